//! The rows that a pull reads, and pages of them.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::raw::Escaped;
use crate::domain::{ProjectId, Row, RowKey, ServerVersion, Superseded};

/// A row as a pull needs it: what the proof counts, and the JSON that is copied to the device unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedRow {
    /// Which row.
    pub key: RowKey,
    /// The version of this copy.
    pub version: ServerVersion,
    /// How many versions it had held then.
    pub writes: u64,
    /// Which ones.
    pub superseded: Superseded,
    /// Of a copy from the table: every version from here on that the list does not name is archived. The index does not have it.
    pub archived_from: Option<u64>,
    /// The row as a device gets it; none for a tombstone.
    pub json: Option<Escaped>,
}

impl FeedRow {
    /// A row that was read whole, as the feed shows it.
    pub fn of(project: &ProjectId, row: &Row) -> Self {
        Self {
            key: row.key.clone(),
            version: row.version,
            writes: row.writes,
            superseded: row.superseded.clone(),
            archived_from: row.archived_from,
            json: row.live().map(|_| Escaped::of(&row.device_json(project))),
        }
    }
}

/// What a copy of a row that was written more than once says of versions, when the row itself is not wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superseding {
    /// The version of this copy.
    pub version: ServerVersion,
    /// The versions before, which no row holds any more.
    pub superseded: Superseded,
}

/// Which versions a row held, when the row itself is not wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowVersions {
    /// Which row.
    pub key: RowKey,
    /// The version it is at.
    pub version: ServerVersion,
    /// How many it ever held, this one included.
    pub writes: u64,
    /// The ones before.
    pub superseded: Superseded,
}

impl RowVersions {
    /// Did the row exist at this version? None where its list of versions is silent about that.
    pub fn existed_at(&self, then: ServerVersion) -> Option<bool> {
        self.superseded.existed_at(then, self.version, self.writes)
    }
}

/// Where the next page of a query begins.
#[derive(Debug, Clone)]
pub struct PageCursor(pub(super) HashMap<String, AttributeValue>);

impl PageCursor {
    /// In the index, the version that was looked at last: 0, if it is not in there.
    pub fn version(&self) -> u64 {
        let digits = self.0.get("server_version").and_then(|version| version.as_n().ok());
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }
}

/// One page, at most 1 MB of items.
#[derive(Debug)]
pub struct FeedPage<R = FeedRow> {
    /// The rows; from the index in the order of their versions, up or down, from the table in the order of their keys.
    pub rows: Vec<R>,
    /// Where the next page begins, if there is one.
    pub next: Option<PageCursor>,
}
