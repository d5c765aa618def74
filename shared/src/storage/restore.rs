//! The reads and writes that turn a restored table into one that commits could have left.
//!
//! A point-in-time restore may cut a transaction in two: any of its items is there or not, the counter included. What
//! is repaired here is the counter. [`Table::commit`] writes the rows, like any others.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use tokio::time::{Duration, Instant};

use super::audit::StoredItem;
use super::layout::{self, COUNTER, Item, key, number, text};
use super::table::{Table, unavailable};
use super::transaction::{self, Condition, Fate, unbuilt};
use crate::domain::{Checksums, Counter, Error, ProjectId, RowKey, ServerVersion};

/// How long one write is tried.
const DEADLINE: Duration = Duration::from_secs(10);

/// The progress of a project's restore, noted on its counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restoration {
    /// The table for which the note was written, see [`Table::identity`]. A backup of this table brings the note along.
    pub table: String,
    /// The first and the last version of the range that the counter was raised over.
    pub raised: (u64, u64),
    /// `resync_through` as it was before.
    pub resync_before: Option<ServerVersion>,
    /// Whether every row is above the range.
    pub done: bool,
}

impl StoredItem {
    /// The counter. If its checksums are missing or cannot be read, it gets those of no row.
    pub fn counter_to_repair(&self) -> Result<Counter, Error> {
        let mut item = self.0.clone();
        if layout::checksums_of(&item).is_none() {
            item.insert("checksums".to_owned(), layout::checksums(&Checksums::default()));
        }
        layout::counter(&item)
    }

    /// The progress that a counter notes of the project's restore. None if it never began.
    pub fn restoration(&self) -> Result<Option<Restoration>, Error> {
        let Some(AttributeValue::M(note)) = self.0.get("restored") else { return Ok(None) };
        Ok(Some(Restoration {
            table: layout::string(note, "table")?.to_owned(),
            raised: (layout::version_of(note, "first")?.get(), layout::version_of(note, "last")?.get()),
            resync_before: note
                .contains_key("resync_before")
                .then(|| layout::version_of(note, "resync_before"))
                .transpose()?,
            done: note.get("done") == Some(&AttributeValue::Bool(true)),
        }))
    }
}

fn noted(restoration: &Restoration) -> AttributeValue {
    let mut note: Item = [
        ("table".to_owned(), text(&restoration.table)),
        ("first".to_owned(), number(restoration.raised.0)),
        ("last".to_owned(), number(restoration.raised.1)),
        ("done".to_owned(), AttributeValue::Bool(restoration.done)),
    ]
    .into();
    if let Some(version) = restoration.resync_before {
        note.insert("resync_before".to_owned(), number(version));
    }
    AttributeValue::M(note)
}

impl Table {
    /// The identity of this table. A table with the same name at another time has another one.
    pub async fn identity(&self) -> Result<String, Error> {
        let output = self.client.describe_table().table_name(self.name()).send().await.map_err(unavailable)?;
        let identity = output.table.and_then(|table| table.table_id.or(table.table_arn));
        identity.ok_or_else(|| Error::Corrupt(format!("the table {} has no id", self.name())))
    }

    /// Puts a counter in the place of the one that was read, in one transaction on the condition that nothing has moved.
    ///
    /// `torn` are rows that the counter names and that are not in place, each with the version that was read. That they
    /// are still so is another condition. A transaction under way makes it fail. Fails with `Busy` if something moved.
    /// Then read again.
    pub async fn replace_counter(
        &self,
        project: &ProjectId,
        read: Option<ServerVersion>,
        counter: &Counter,
        restoration: Option<&Restoration>,
        torn: &[(RowKey, Option<ServerVersion>)],
    ) -> Result<(), Error> {
        let last = counter.write_set.iter().map(|(key, version)| (key.to_string(), *version));
        let mut update = Update::builder()
            .table_name(self.name())
            .set_key(Some(key(project, COUNTER)))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .expression_attribute_names("#last", "last")
            .expression_attribute_values(":current", number(counter.current))
            .expression_attribute_values(":last", layout::last(last))
            .expression_attribute_values(":checksums", layout::checksums(&counter.checksums))
            .expression_attribute_values(":skipped", layout::skipped(&counter.skipped));
        let mut set =
            "SET current_version = :current, #last = :last, skipped = :skipped, checksums = :checksums".to_owned();
        let mut remove = Vec::new();
        for (attribute, value) in [
            ("deleted_at", counter.deleted_at.map(number)),
            ("resync_through", counter.resync_through.map(number)),
            ("restored", restoration.map(noted)),
        ] {
            match value {
                Some(value) => {
                    set.push_str(&format!(", {attribute} = :{attribute}"));
                    update = update.expression_attribute_values(format!(":{attribute}"), value);
                }
                None => remove.push(attribute),
            }
        }
        if !remove.is_empty() {
            set.push_str(&format!(" REMOVE {}", remove.join(", ")));
        }
        update = update.condition_expression(Condition::number("current_version", read).expression());
        if let Some(read) = read {
            update = update.expression_attribute_values(":read", number(read));
        }
        let update = update.update_expression(set).build().map_err(unbuilt)?;
        let mut items = vec![TransactWriteItem::builder().update(update).build()];
        for (key, version) in torn {
            items.push(transaction::check(self, layout::key_of_row(project, key), &Condition::row(*version))?);
        }
        self.expect_committed(items).await
    }

    /// Removes the items of a project whose creation was cut in two, on the condition that they are as they were read.
    pub async fn remove_remains(
        &self,
        project: &ProjectId,
        counter: Option<ServerVersion>,
        rows: &[(RowKey, ServerVersion)],
    ) -> Result<(), Error> {
        let mut items = Vec::new();
        if counter.is_some() {
            let condition = Condition::number("current_version", counter);
            items.push(transaction::delete(self, key(project, COUNTER), &condition)?);
        }
        for (row, read) in rows {
            items.push(transaction::delete(self, layout::key_of_row(project, row), &Condition::row(Some(*read)))?);
        }
        self.expect_committed(items).await
    }

    async fn expect_committed(&self, items: Vec<TransactWriteItem>) -> Result<(), Error> {
        match self.transact(items, Instant::now() + DEADLINE).await? {
            Fate::Committed => Ok(()),
            Fate::Refused(_) => Err(Error::Busy),
            Fate::Unsettled(_) => Err(Error::OutcomeUnknown),
        }
    }
}
