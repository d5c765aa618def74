//! The rows that a pull reads, and pages of them.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::raw::Escaped;
use crate::domain::{Mark, ProjectId, Row, RowKey, ServerVersion, VersionHistory};

/// A row as a pull needs it: what the proof counts, and the JSON that is copied to the device unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedRow {
    /// Which row.
    pub key: RowKey,
    /// The version of this copy.
    pub version: ServerVersion,
    /// The revision count of this copy.
    pub revision_count: u64,
    /// The versions that it had before.
    pub history: VersionHistory,
    /// Every version above it that the history does not name is archived. Only a copy from the table has it, not one
    /// from the index.
    pub archived_above: Option<Mark>,
    /// The row as a device gets it. None for a tombstone.
    pub json: Option<Escaped>,
}

impl FeedRow {
    /// A row that was read whole, as the feed shows it.
    pub fn of(project: &ProjectId, row: &Row) -> Self {
        Self {
            key: row.key.clone(),
            version: row.version,
            revision_count: row.revision_count,
            history: row.history.clone(),
            archived_above: row.archived_above,
            json: row.live().map(|_| Escaped::of(&row.device_json(project))),
        }
    }
}

/// The version history of a row that was written more than once, without the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowHistory {
    /// The version of this copy.
    pub version: ServerVersion,
    /// The versions that it had before.
    pub history: VersionHistory,
}

/// The key and the versions of a row, without the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowVersions {
    /// Which row.
    pub key: RowKey,
    /// Its version.
    pub version: ServerVersion,
    /// How many versions it ever had, this one included.
    pub revision_count: u64,
    /// The versions that it had before.
    pub history: VersionHistory,
    /// Whether it was a tombstone from its first version on. A restore writes one for a row that only the lost table had.
    pub is_buried: bool,
}

impl RowVersions {
    /// Whether the row may be on a device that has the project up to this version. None if its history does not say.
    ///
    /// A buried row may, whatever its version: the device can have it from the lost table.
    pub fn may_be_known_at(&self, then: ServerVersion) -> Option<bool> {
        if self.is_buried { Some(true) } else { self.history.existed_at(then, self.version, self.revision_count) }
    }

    /// How many of its earlier versions its history does not name.
    pub fn unlisted(&self) -> u64 {
        self.revision_count.saturating_sub(self.history.versions().len() as u64 + 1)
    }
}

/// The start of the next page of a query.
#[derive(Debug, Clone)]
pub struct PageCursor(pub(super) HashMap<String, AttributeValue>);

impl PageCursor {
    /// In the index, the version of the last row of the page. None if the cursor is of the table.
    pub fn version(&self) -> Option<ServerVersion> {
        self.0.get("server_version")?.as_n().ok()?.parse::<u64>().ok()?.try_into().ok()
    }
}

/// One page, at most 1 MB of items.
#[derive(Debug)]
pub struct FeedPage<R = FeedRow> {
    /// The rows. From the index in the order of their versions, ascending or descending; from the table in the order of their keys.
    pub rows: Vec<R>,
    /// The start of the next page, if there is one.
    pub next: Option<PageCursor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u64) -> ServerVersion {
        ServerVersion::try_from(number).expect("a version")
    }

    #[test]
    fn a_row_that_only_the_lost_table_had_may_be_known_to_whoever_was_there_before() {
        let key = "tasks#a".parse().expect("a key");
        let (version, history) = (version(108), VersionHistory::default());
        let buried = RowVersions { key, version, revision_count: 1, history, is_buried: true };
        let made = RowVersions { is_buried: false, ..buried.clone() };
        let known = |row: &RowVersions| [40, 107, 108].map(|then| row.may_be_known_at(self::version(then)));
        let made_known = [Some(false), Some(false), Some(true)];
        assert_eq!((known(&buried), known(&made)), ([Some(true); 3], made_known));
    }
}
