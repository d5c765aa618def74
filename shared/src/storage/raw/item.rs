//! The attributes of items, as DynamoDB writes them.
//!
//! A value is an object with its type's name as the one key, which is how serde writes an enum.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Debug;

use aws_smithy_types::base64;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::feed_row::{FeedRow, RowHistory, RowVersions};
use super::Escaped;
use crate::domain::{Error, Mark, RowKey, ServerVersion, VersionHistory};

#[derive(Deserialize)]
pub(super) enum Text<'a> {
    S(#[serde(borrow)] Cow<'a, str>),
}

#[derive(Deserialize)]
pub(super) enum Number<'a> {
    N(#[serde(borrow)] Cow<'a, str>),
}

#[derive(Deserialize)]
pub(super) enum Base64<'a> {
    B(#[serde(borrow)] Cow<'a, str>),
}

#[derive(Deserialize)]
pub(super) enum Bool {
    #[serde(rename = "BOOL")]
    Bool(bool),
}

#[derive(Deserialize)]
pub(super) enum List<T> {
    L(Vec<T>),
}

#[derive(Deserialize)]
pub(super) enum Map<'a, T> {
    #[serde(bound = "T: Deserialize<'de>")]
    M(#[serde(borrow)] HashMap<Cow<'a, str>, T>),
}

impl Text<'_> {
    /// The error that something is wrong with the item whose `entity` this is.
    pub(super) fn corrupt(&self, what: &str) -> Error {
        let Self::S(entity) = self;
        Error::Corrupt(format!("{entity}: {what}"))
    }
}

impl Number<'_> {
    pub(super) fn parse<N: std::str::FromStr>(&self) -> Option<N> {
        let Self::N(digits) = self;
        digits.parse().ok()
    }

    pub(super) fn version(&self) -> Option<ServerVersion> {
        self.parse::<u64>()?.try_into().ok()
    }
}

/// A row's JSON, which is not parsed. Its string is checked to be well-formed and copied unchanged. It is empty if the
/// text was taken out before.
#[derive(Deserialize)]
pub(super) enum Json<'a> {
    S(#[serde(borrow)] &'a RawValue),
}

impl<'a> Json<'a> {
    /// The text between the quotes. None if the value is no string.
    pub(super) fn escaped(&self) -> Option<&'a str> {
        let Self::S(string) = self;
        let text = string.get().strip_prefix('"')?.strip_suffix('"')?;
        // Escapes were skipped unread so far. Half of a surrogate pair is the one escape that passes there and means no
        // character.
        if text.contains("\\u") {
            serde_json::from_str::<Cow<'_, str>>(string.get()).ok()?;
        }
        Some(text)
    }
}

/// A row's attributes. Other attributes are ignored. An attribute that occurs twice or has another type is an error.
#[derive(Deserialize)]
pub(in super::super) struct Attributes<'a> {
    #[serde(borrow)]
    pub(super) entity: Text<'a>,
    #[serde(borrow)]
    pub(super) server_version: Number<'a>,
    #[serde(borrow)]
    pub(super) writes: Option<Number<'a>>,
    #[serde(borrow)]
    pub(super) superseded: Option<Base64<'a>>,
    #[serde(borrow)]
    pub(super) archived_from: Option<Number<'a>>,
    pub(super) is_deleted: Option<Bool>,
    #[serde(borrow)]
    pub(super) row: Option<Json<'a>>,
}

impl Attributes<'_> {
    fn version(&self) -> Result<ServerVersion, Error> {
        self.server_version.version().ok_or_else(|| self.entity.corrupt("server_version"))
    }

    fn key(&self) -> Result<RowKey, Error> {
        let Text::S(entity) = &self.entity;
        entity.parse().map_err(|_| self.entity.corrupt("entity"))
    }

    fn revision_count(&self) -> Result<u64, Error> {
        self.writes.as_ref().and_then(Number::parse).ok_or_else(|| self.entity.corrupt("writes"))
    }

    fn history(&self, version: ServerVersion) -> Result<VersionHistory, Error> {
        let Some(Base64::B(text)) = &self.superseded else { return Ok(VersionHistory::default()) };
        let bytes = base64::decode(text.as_ref()).ok();
        let list = bytes.and_then(|bytes| VersionHistory::decode(&bytes, version).ok());
        list.ok_or_else(|| self.entity.corrupt("superseded"))
    }

    fn archived_above(&self) -> Result<Option<Mark>, Error> {
        let Some(from) = &self.archived_from else { return Ok(None) };
        let above = from.parse().and_then(|from| Mark::below_floor(from).ok());
        above.map(Some).ok_or_else(|| self.entity.corrupt("archived_from"))
    }
}

/// A type as which an item can be read.
pub(in super::super) trait FromItem: Clone + Debug + Send + Sync + Sized + 'static {
    /// `row` is the row's JSON. It is also none if it is no string.
    fn from_item(item: &Attributes<'_>, row: Option<Escaped>) -> Result<Self, Error>;
}

impl FromItem for FeedRow {
    fn from_item(item: &Attributes<'_>, row: Option<Escaped>) -> Result<Self, Error> {
        let version = item.version()?;
        let history = item.history(version)?;
        let is_deleted = matches!(item.is_deleted, Some(Bool::Bool(true)));
        if item.row.is_some() != row.is_some() || is_deleted == row.is_some() {
            return Err(item.entity.corrupt("row"));
        }
        let archived_above = item.archived_above()?;
        Ok(Self {
            key: item.key()?,
            version,
            revision_count: item.revision_count()?,
            history,
            archived_above,
            json: row,
        })
    }
}

impl FromItem for RowVersions {
    fn from_item(item: &Attributes<'_>, _row: Option<Escaped>) -> Result<Self, Error> {
        let (version, revision_count) = (item.version()?, item.revision_count()?);
        let is_buried = revision_count == 1 && matches!(item.is_deleted, Some(Bool::Bool(true)));
        Ok(Self { key: item.key()?, version, revision_count, history: item.history(version)?, is_buried })
    }
}

impl FromItem for RowHistory {
    fn from_item(item: &Attributes<'_>, _row: Option<Escaped>) -> Result<Self, Error> {
        let version = item.version()?;
        Ok(Self { version, history: item.history(version)? })
    }
}
