//! The changes of an erasure. They are made in place, without a new version, to attributes and contents that no device,
//! no proof and no decision reads.
//!
//! Each write is on the condition that the item still is the one that was read. A commit that comes between writes the whole
//! item anew; then nothing is changed, and whoever erases reads again.

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
    /// Takes the name of its author off a row. False when the row has been written since it was read.
    pub async fn forget_author(&self, project: &ProjectId, row: &Row) -> Result<bool, Error> {
        let update =
            self.update_in_place(key_of_row(project, &row.key)).update_expression(format!("REMOVE {WRITTEN_BY}"));
        self.changed_in_place(update.condition_expression("server_version = :read"), row.version).await
    }

    /// Takes the name of whoever asked for it off an unfinished deletion. False when the counter has moved since it was read.
    pub async fn forget_author_of_deletion(&self, project: &ProjectId, counter: ServerVersion) -> Result<bool, Error> {
        let update = self.update_in_place(key(project, COUNTER)).update_expression("REMOVE #unfinished.#by");
        let update =
            update.expression_attribute_names("#unfinished", UNFINISHED).expression_attribute_names("#by", "by");
        self.changed_in_place(update.condition_expression("current_version = :read"), counter).await
    }

    /// Puts this content in the place of a tombstone's, which is at the same version. False when the row has been written
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

    /// Puts another body in the place of the one that an idempotency record keeps. False when the record has been replaced
    /// since it was read.
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

    /// Removes what is counted of a user, or in a dry run does not, and says how many items that is. A day's count of a
    /// project that is made meanwhile begins anew.
    pub async fn remove_counts(&self, user: &UserId, dry_run: bool) -> Result<u64, Error> {
        let (mut counts, mut cursor) = (0, None);
        loop {
            let page = self.partition_page(&layout::counts(user), cursor).await?;
            for item in &page.items {
                counts += 1;
                if !dry_run {
                    let delete = self.client.delete_item().table_name(&self.name).set_key(Some(item.key()));
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
