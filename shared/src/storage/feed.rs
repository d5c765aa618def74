//! What a pull reads: rows in the order of their versions from the index, or all of them from the table.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;

use super::layout::{self, Item, number, text};
use super::page;
use super::table::{BY_VERSION, Table};
use crate::domain::{Error, Escaped, ProjectId, Row, RowKey, ServerVersion, Superseded};

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
    /// It was a tombstone from its first version on: a restore wrote it for a row that only the lost table had.
    pub is_buried: bool,
}

impl RowVersions {
    /// Did the row exist at this version? None where its list of versions is silent about that.
    ///
    /// A buried row existed before the restore that wrote it. So it existed at each version of that restore and later: above
    /// the last of the `skipped` versions that are below its own.
    pub fn existed_at(&self, then: ServerVersion, skipped: &[(u64, u64)]) -> Option<bool> {
        if self.is_buried {
            let below = skipped.iter().map(|(_, last)| *last).filter(|last| *last < self.version.get());
            return Some(below.max().is_some_and(|raised_to| then.get() > raised_to) || then >= self.version);
        }
        self.superseded.existed_at(then, self.version, self.writes)
    }
}

/// Where the next page of a query begins.
#[derive(Debug, Clone)]
pub struct PageCursor(pub(super) Item);

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

impl Table {
    /// The rows of a project with a `server_version` above `after` and, if there is an end, up to `to`, ascending, as the
    /// index has them now.
    ///
    /// Eventually consistent in every way: rows may be missing, old, there twice, or gone on a later page. Of
    /// several readings side by side one must have no end: a row that is newer than the counter still holds the versions it
    /// held before.
    pub async fn feed_page(
        &self,
        project: &ProjectId,
        after: u64,
        to: Option<u64>,
        cursor: Option<PageCursor>,
    ) -> Result<FeedPage, Error> {
        page::send(content(self.by_version(project, after, to, cursor))).await
    }

    /// What the rows of a project with a `server_version` above `after` and, if there is an end, up to `to` superseded,
    /// descending, as the index has them now.
    ///
    /// Eventually consistent like the feed. A page is 1 MB of what was looked at: it may be empty and not be the last one.
    pub async fn superseding_page(
        &self,
        project: &ProjectId,
        after: u64,
        to: Option<u64>,
        cursor: Option<PageCursor>,
    ) -> Result<FeedPage<Superseding>, Error> {
        let query = self
            .by_version(project, after, to, cursor)
            .scan_index_forward(false)
            // A row that was written once has none.
            .filter_expression("attribute_exists(superseded)")
            .projection_expression("entity, server_version, superseded");
        page::send(query).await
    }

    /// A query of the index, from `cursor` on if that is given.
    fn by_version(
        &self,
        project: &ProjectId,
        after: u64,
        to: Option<u64>,
        cursor: Option<PageCursor>,
    ) -> QueryFluentBuilder {
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(BY_VERSION)
            .expression_attribute_values(":project", text(project.as_str()))
            .set_exclusive_start_key(cursor.map(|cursor| cursor.0));
        match to {
            // A key takes one condition, and BETWEEN includes both ends.
            Some(to) => query
                .key_condition_expression("project_id = :project AND server_version BETWEEN :first AND :last")
                .expression_attribute_values(":first", number(after + 1))
                .expression_attribute_values(":last", number(to)),
            None => query
                .key_condition_expression("project_id = :project AND server_version > :after")
                .expression_attribute_values(":after", number(after)),
        }
    }

    /// All rows of a project, tombstones included, read strongly from the table.
    ///
    /// Each row is current, but rows of one commit may be there and others not yet. Throttled, it is `Overloaded` at once, and
    /// for the caller to wait: the dearest of all reads is not to press on a partition that commits need, too.
    pub async fn rows_page(&self, project: &ProjectId, cursor: Option<PageCursor>) -> Result<FeedPage, Error> {
        let query = content(self.all_rows(project, cursor)).projection_expression(format!("{CONTENT}, archived_from"));
        page::send_once_if_throttled(query).await
    }

    /// The keys of all rows of a project, tombstones included, each with the versions that it held, read strongly from the
    /// table. Throttled, it is given up at once with `Overloaded`, see [`Table::rows_page`].
    pub async fn versions_page(
        &self,
        project: &ProjectId,
        cursor: Option<PageCursor>,
    ) -> Result<FeedPage<RowVersions>, Error> {
        let query = self.all_rows(project, cursor).projection_expression(VERSIONS);
        page::send_once_if_throttled(query).await
    }

    /// A strong query of all rows, from `cursor` on if that is given.
    fn all_rows(&self, project: &ProjectId, cursor: Option<PageCursor>) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .key_condition_expression("project_id = :project AND entity >= :first")
            .expression_attribute_values(":project", text(project.as_str()))
            .expression_attribute_values(":first", text(layout::FIRST_ROW))
            .set_exclusive_start_key(cursor.map(|cursor| cursor.0))
    }
}

/// What [`FeedRow`] is read from, and no more; in the table there is also `archived_from`. `row` is a reserved word.
const CONTENT: &str = "entity, server_version, writes, superseded, is_deleted, #row";

/// What [`RowVersions`] is read from.
const VERSIONS: &str = "entity, server_version, writes, superseded, is_deleted";

fn content(query: QueryFluentBuilder) -> QueryFluentBuilder {
    query.projection_expression(CONTENT).expression_attribute_names("#row", "row")
}

/// The attributes a key condition needs, for any query of one collection.
pub(super) fn collection_prefix(collection: crate::domain::Collection) -> AttributeValue {
    text(format!("{}#", collection.name()))
}
