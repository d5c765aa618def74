//! The reads of a pull: counter and membership, then rows in the order of their versions from the index, or all rows from the
//! table.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::KeysAndAttributes;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::feed_row::{FeedPage, PageCursor, RowHistory, RowVersions};
use super::layout::{self, COUNTER, key, key_of_row, number, text};
use super::pull_start::PullStart;
use super::raw;
use super::read::PATIENCE;
use super::table::{BY_VERSION, Table};
use super::transaction::unbuilt;
use crate::domain::{Error, ProjectId, RowKey, UserId, VersionSpan};

impl Table {
    /// Reads a project's counter and the caller's membership. `Busy` if DynamoDB leaves one of them unprocessed for 3 s.
    pub async fn pull_start(&self, project: &ProjectId, caller: &UserId) -> Result<PullStart, Error> {
        let membership = RowKey::membership(project, caller);
        let mut backoff = Backoff::until(Instant::now() + PATIENCE);
        loop {
            let request = KeysAndAttributes::builder()
                .set_keys(Some(vec![key(project, COUNTER), key_of_row(project, &membership)]))
                .consistent_read(true)
                .build()
                .map_err(unbuilt)?;
            let batch = self.client.batch_get_item().request_items(self.name(), request);
            // If one of them is unprocessed, both are read again, so that they are always of one call.
            if let Some(start) = raw::read_pull_start(batch).await? {
                return Ok(start);
            }
            if !backoff.wait().await {
                return Err(Error::Busy);
            }
        }
    }

    /// A page of the rows of a project with a `server_version` in the span, ascending, as the index has them now.
    ///
    /// The index is eventually consistent, so rows may be missing, old, there twice, or gone on a later page. If
    /// several spans are read in parallel, one of them must have no end. A row that is newer than the counter still
    /// accounts for the versions that it held before.
    pub async fn feed_page(
        &self,
        project: &ProjectId,
        span: VersionSpan,
        cursor: Option<PageCursor>,
    ) -> Result<FeedPage, Error> {
        raw::send(content(self.by_version(project, span, cursor))).await
    }

    /// A page of the version histories of the rows with a `server_version` in the span, descending, as the index has them now.
    ///
    /// The read is eventually consistent like the feed. DynamoDB reads 1 MB for a page and then leaves out the rows
    /// without a history. So a page may be empty and not be the last one.
    pub async fn histories_page(
        &self,
        project: &ProjectId,
        span: VersionSpan,
        cursor: Option<PageCursor>,
    ) -> Result<FeedPage<RowHistory>, Error> {
        let query = self
            .by_version(project, span, cursor)
            .scan_index_forward(false)
            // A row that was written once has no history.
            .filter_expression("attribute_exists(superseded)")
            .projection_expression("entity, server_version, superseded");
        raw::send(query).await
    }

    /// A query of the index, from `cursor` on if that is given.
    fn by_version(&self, project: &ProjectId, span: VersionSpan, cursor: Option<PageCursor>) -> QueryFluentBuilder {
        let query = self
            .client
            .query()
            .table_name(self.name())
            .index_name(BY_VERSION)
            .expression_attribute_values(":project", text(project.as_str()))
            .set_exclusive_start_key(cursor.map(|cursor| cursor.0));
        if span.has_end() {
            // DynamoDB takes one condition on a sort key, and BETWEEN includes both ends.
            query
                .key_condition_expression("project_id = :project AND server_version BETWEEN :first AND :last")
                .expression_attribute_values(":first", number(span.after.plus(1)))
                .expression_attribute_values(":last", number(span.through))
        } else {
            query
                .key_condition_expression("project_id = :project AND server_version > :after")
                .expression_attribute_values(":after", number(span.after))
        }
    }

    /// A page of all rows of a project, tombstones included, read strongly from the table.
    ///
    /// Each row is current, but the page may show some rows of a commit and not the others. If the read is throttled, it fails at
    /// once with `Overloaded`, and the caller waits: this is the most expensive read, and commits need the same partition.
    pub async fn rows_page(&self, project: &ProjectId, cursor: Option<PageCursor>) -> Result<FeedPage, Error> {
        let query = content(self.all_rows(project, cursor)).projection_expression(format!("{CONTENT}, archived_from"));
        raw::send_once_if_throttled(query).await
    }

    /// A page of all rows of a project, read in the same way, with their keys and versions alone.
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
            .table_name(self.name())
            .consistent_read(true)
            .key_condition_expression("project_id = :project AND entity >= :first")
            .expression_attribute_values(":project", text(project.as_str()))
            .expression_attribute_values(":first", text(layout::FIRST_ROW))
            .set_exclusive_start_key(cursor.map(|cursor| cursor.0))
    }
}

/// The attributes from which a [`FeedRow`](super::FeedRow) is read. The table also has `archived_from`. `row` is a
/// reserved word.
const CONTENT: &str = "entity, server_version, writes, superseded, is_deleted, #row";

/// The attributes from which [`RowVersions`] is read.
const VERSIONS: &str = "entity, server_version, writes, superseded, is_deleted";

fn content(query: QueryFluentBuilder) -> QueryFluentBuilder {
    query.projection_expression(CONTENT).expression_attribute_names("#row", "row")
}
