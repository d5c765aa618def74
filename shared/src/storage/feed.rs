//! What a pull reads: rows in the order of their versions from the index, or all of them from the table.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;

use super::feed_row::{FeedPage, PageCursor, RowHistory, RowVersions};
use super::layout::{self, number, text};
use super::raw;
use super::table::{BY_VERSION, Table};
use crate::domain::{Error, ProjectId};

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
        raw::send(content(self.by_version(project, after, to, cursor))).await
    }

    /// What the rows of a project with a `server_version` above `after` and, if there is an end, up to `to` superseded,
    /// descending, as the index has them now.
    ///
    /// Eventually consistent like the feed. A page is 1 MB of what was looked at: it may be empty and not be the last one.
    pub async fn histories_page(
        &self,
        project: &ProjectId,
        after: u64,
        to: Option<u64>,
        cursor: Option<PageCursor>,
    ) -> Result<FeedPage<RowHistory>, Error> {
        let query = self
            .by_version(project, after, to, cursor)
            .scan_index_forward(false)
            // A row that was written once has none.
            .filter_expression("attribute_exists(superseded)")
            .projection_expression("entity, server_version, superseded");
        raw::send(query).await
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
        raw::send_once_if_throttled(query).await
    }

    /// The keys of all rows of a project, tombstones included, each with the versions that it held, read strongly from the
    /// table. Throttled, it is given up at once with `Overloaded`, see [`Table::rows_page`].
    pub async fn versions_page(
        &self,
        project: &ProjectId,
        cursor: Option<PageCursor>,
    ) -> Result<FeedPage<RowVersions>, Error> {
        let query = self.all_rows(project, cursor).projection_expression(VERSIONS);
        raw::send_once_if_throttled(query).await
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

/// What a [`FeedRow`](super::FeedRow) is read from, and no more; in the table there is also `archived_from`. `row` is a reserved word.
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
