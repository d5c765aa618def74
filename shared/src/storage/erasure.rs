//! The changes of an erasure. They are made in place, without a new version, to attributes and contents that no device,
//! no proof and no decision reads.
//!
//! Each write is conditional on the item being as it was read. A commit in between writes the whole item anew. Then nothing is
//! changed, and the erasure reads the item again.

use super::audit::{StoredItem, StoredPage};
use super::feed_row::PageCursor;
use super::kept_body;
use super::layout::{self, COUNTER, Item, UNFINISHED, WRITTEN_BY, key, key_of_row, number, text};
use super::table::{Table, unavailable};
use crate::domain::{Error, ProjectId, Row, ServerVersion, UserId};

impl StoredItem {
    /// Whether the user wrote this row last, or this is a counter that notes the user's unfinished deletion.
    pub fn names_as_author(&self, user: &UserId) -> bool {
        let note = self.0.get(UNFINISHED).and_then(|note| note.as_m().ok());
        let by = note.and_then(|note| layout::string(note, "by").ok());
        self.text(WRITTEN_BY) == Some(user.as_str()) || by == Some(user.as_str())
    }

    fn key(&self) -> Item {
        let key = self.0.iter().filter(|(name, _)| ["project_id", "entity"].contains(&name.as_str()));
        key.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The body of the answer in an idempotency record. None if it cannot be read.
    pub fn answer_body(&self) -> Option<String> {
        kept_body::body_of(&self.0)
    }
}

impl Table {
    /// Removes the author from a row. Returns false if the row was written since it was read.
    pub async fn forget_author(&self, project: &ProjectId, row: &Row) -> Result<bool, Error> {
        let update =
            self.update_in_place(key_of_row(project, &row.key)).update_expression(format!("REMOVE {WRITTEN_BY}"));
        self.changed_in_place(update.condition_expression("server_version = :read"), row.version).await
    }

    /// Removes the author from an unfinished deletion. Returns false if the counter has moved since it was read.
    pub async fn forget_author_of_deletion(&self, project: &ProjectId, counter: ServerVersion) -> Result<bool, Error> {
        let update = self.update_in_place(key(project, COUNTER)).update_expression("REMOVE #unfinished.#by");
        let update =
            update.expression_attribute_names("#unfinished", UNFINISHED).expression_attribute_names("#by", "by");
        self.changed_in_place(update.condition_expression("current_version = :read"), counter).await
    }

    /// Replaces the content of a tombstone by that of `row`, which has the same version. Returns false if the row was written
    /// since it was read.
    pub async fn replace_tombstone(&self, project: &ProjectId, row: &Row) -> Result<bool, Error> {
        debug_assert!(row.live().is_none(), "{} is live", row.key);
        let update = self.update_in_place(key_of_row(project, &row.key)).update_expression("SET deleted_row = :row");
        let update = update
            .condition_expression("server_version = :read AND is_deleted = :dead")
            .expression_attribute_values(":dead", aws_sdk_dynamodb::types::AttributeValue::Bool(true))
            .expression_attribute_values(":row", text(row.device_json(project)));
        self.changed_in_place(update, row.version).await
    }

    /// The idempotency records of a project, page by page.
    pub async fn records_page(&self, project: &ProjectId, cursor: Option<PageCursor>) -> Result<StoredPage, Error> {
        self.partition_page(&layout::requests(project), cursor).await
    }

    /// Replaces the body in an idempotency record. Returns false if the record was replaced since it was read.
    pub async fn replace_kept_body(&self, record: &StoredItem, body: &str) -> Result<bool, Error> {
        let version = layout::version_of(&record.0, "version")?;
        let update = self
            .update_in_place(record.key())
            .update_expression("SET body = :body")
            .condition_expression("version = :read AND expires_at = :until")
            .expression_attribute_values(":until", number(layout::integer(&record.0, "expires_at")?))
            .expression_attribute_values(":body", kept_body::kept(body));
        self.changed_in_place(update, version).await
    }

    /// Removes the counts of a user. Returns their number, and in a dry run removes nothing. If the user creates a project
    /// meanwhile, that day's count begins anew.
    pub async fn remove_counts(&self, user: &UserId, dry_run: bool) -> Result<u64, Error> {
        let (mut counts, mut cursor) = (0, None);
        loop {
            let page = self.partition_page(&layout::counts(user), cursor).await?;
            for item in &page.items {
                counts += 1;
                if !dry_run {
                    let delete = self.client.delete_item().table_name(self.name()).set_key(Some(item.key()));
                    delete.send().await.map_err(unavailable)?;
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(counts);
            }
        }
    }
}
