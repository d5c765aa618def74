//! The transaction that a draft becomes.

use std::time::Duration;

use aws_sdk_dynamodb::types::{ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};

use super::layout::{self, COUNTER, key, number};
use super::table::Table;
use super::transaction::{self, Condition};
use crate::domain::{Counter, Draft, Error, PlannedWrite, RowKey, ServerVersion, UnfinishedDeletion};

impl Table {
    /// The transaction of a draft: the counter, the rows, and the conditions on everything else that was read. The
    /// counter then notes the deletion that is `unfinished`, or none.
    pub(super) fn items(
        &self,
        draft: &Draft,
        planned_writes: &[PlannedWrite],
        conditions: &[(RowKey, ServerVersion)],
        waited: Duration,
        unfinished: Option<&UnfinishedDeletion>,
    ) -> Result<Vec<TransactWriteItem>, Error> {
        let project = draft.project();
        let mut items = vec![counter_update(self, draft, planned_writes, waited, unfinished)?];
        for planned in planned_writes {
            let item = layout::row_item(project, &planned.row);
            items.push(transaction::put(self, item, &Condition::row(planned.condition))?);
        }
        for (key, version) in draft.other_conditions() {
            items.push(transaction::check(self, layout::key_of_row(project, key), &Condition::row(version))?);
        }
        for (key, version) in conditions {
            items.push(transaction::check(self, layout::key_of_row(project, key), &Condition::row(Some(*version)))?);
        }
        Ok(items)
    }
}

fn counter_update(
    table: &Table,
    draft: &Draft,
    planned_writes: &[PlannedWrite],
    waited: Duration,
    unfinished: Option<&UnfinishedDeletion>,
) -> Result<TransactWriteItem, Error> {
    let rows = planned_writes.iter().map(|planned| &planned.row);
    let new = rows.clone().next_back().map(|row| row.version).ok_or(Error::Bug("an empty commit"))?;
    let mut update = Update::builder()
        .table_name(table.name())
        .set_key(Some(key(draft.project(), COUNTER)))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .expression_attribute_values(":new", number(new))
        .expression_attribute_values(":last", layout::last(rows.map(|row| (row.key.to_string(), row.version))))
        .expression_attribute_values(":checksums", layout::checksums(&draft.checksums(planned_writes)))
        // `last` is a reserved word.
        .expression_attribute_names("#last", "last")
        .expression_attribute_names("#waited", layout::WAITED)
        .expression_attribute_values(":waited", number(waited.as_millis()));
    // Write the checksums as values, not as additions. The condition guarantees what they were computed from.
    let mut set = "SET current_version = :new, #last = :last, #waited = :waited, checksums = :checksums".to_owned();
    let own = RowKey::project(draft.project());
    if draft.deletes_project()
        && let Some(tombstone) = planned_writes.iter().find(|planned| planned.row.key == own)
    {
        update = update.expression_attribute_values(":deleted", number(tombstone.row.version));
        set.push_str(", deleted_at = :deleted");
    }
    if let Some((first, last)) = draft.skips_at_creation() {
        // A device that knows another project by this id must start over.
        update = update
            .expression_attribute_values(":skipped", layout::skipped(&[(first, last)]))
            .expression_attribute_values(":resync", number(last));
        set.push_str(", skipped = :skipped, resync_through = :resync");
    }
    let noted = draft.counter().is_some_and(|counter| counter.unfinished.is_some());
    if unfinished.is_some() || noted {
        update = update.expression_attribute_names("#unfinished", layout::UNFINISHED);
    }
    if let Some(deletion) = unfinished {
        update = update.expression_attribute_values(":unfinished", layout::unfinished(deletion)?);
        set.push_str(", #unfinished = :unfinished");
    } else if noted {
        set.push_str(" REMOVE #unfinished");
    }
    update = match draft.counter() {
        Some(Counter { current, .. }) => {
            update.condition_expression("current_version = :read").expression_attribute_values(":read", number(current))
        }
        None => update.condition_expression("attribute_not_exists(current_version)"),
    };
    let update = update.update_expression(set).build().map_err(transaction::unbuilt)?;
    Ok(TransactWriteItem::builder().update(update).build())
}
