//! The reads before a project is created, and the count of projects that a user creates.
//!
//! A user who creates a project chooses its id, and need not be a member of anything. So the first read is cheap: the
//! counter alone, with the caller's record and count, eventually consistent. If there is no counter, there are no rows
//! either, and none is read. The transaction checks all of that. If there is a counter, only a member goes on.
//!
//! **Count**, `project_id = user#<user>`, `entity = created#<day>`: `created` N (projects that the user created on that
//! day, UTC), `expires_at` N. It is kept only where there is a quota, in the transaction that makes the project.

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::layout::{self, Item, number, text};
use super::new_projects;
use super::read::Snapshot;
use super::reading::ReadSet;
use super::table::Table;
use super::transaction::unbuilt;
use crate::domain::{Error, ProjectId, RowKey, UserId};

/// How long a day's count is kept, in seconds: until no clock is in that day any more.
const COUNT_TTL: i64 = 2 * 24 * 60 * 60;

impl Table {
    /// The start of a decision to create a project. Fails with `IdTaken` if the project exists and the caller is no
    /// member, and with `QuotaExceeded` if the caller has created as many as a day allows. `again` says that the last
    /// read was outdated.
    pub(super) async fn read_new_project(
        &self,
        project: &ProjectId,
        creator: &UserId,
        read_set: &ReadSet,
        record_id: Option<String>,
        again: bool,
    ) -> Result<Snapshot, Error> {
        if self.members.knows(project, creator) {
            return self.snapshot_with(project, &read_set.rows, record_id).await;
        }
        let mut keys = vec![layout::key(project, layout::COUNTER)];
        keys.extend(record_id.clone().map(|id| layout::request_key(project, id)));
        if read_set.start_above {
            keys.push(new_projects::key());
        }
        let count = count_key(creator);
        if self.quotas.max_projects_a_day > 0 {
            keys.push(count.clone());
        }
        let found = self.batch_get_with(keys, again).await?;
        let is_count = |item: &Item| item.get("project_id") == count.get("project_id");
        let created =
            found.iter().find(|item| is_count(item)).map(|item| layout::integer(item, "created")).transpose()?;
        let is_note = |item: &Item| new_projects::is_note(item).unwrap_or(false);
        let is_of_project = |item: &Item| item.get("project_id") == Some(&text(project.as_str()));
        let has_counter = found.iter().any(is_of_project);
        let has_record = found.iter().any(|item| !is_of_project(item) && !is_count(item) && !is_note(item));
        if has_record {
            return self.snapshot_with(project, &read_set.rows, record_id).await;
        }
        if has_counter {
            return match self.expect_member(project, creator).await {
                Ok(()) => self.snapshot_with(project, &read_set.rows, record_id).await,
                Err(Error::NotAMember | Error::MembershipRevoked) => Err(Error::IdTaken(RowKey::project(project))),
                Err(error) => Err(error),
            };
        }
        self.quotas.expect_another_project(created.unwrap_or(0))?;
        let note = found.iter().find(|item| is_note(item)).map(new_projects::start_above).transpose()?;
        Ok(Snapshot::of_nothing(&read_set.rows).starting_above(note.unwrap_or(0)))
    }

    /// Counts a project that the user creates now, on the condition that the quota allows it. Does nothing without a
    /// quota.
    pub(super) fn count_creation(&self, creator: &UserId) -> Result<Option<TransactWriteItem>, Error> {
        let max = self.quotas.max_projects_a_day;
        if max == 0 {
            return Ok(None);
        }
        let update = Update::builder()
            .table_name(self.name())
            .set_key(Some(count_key(creator)))
            .condition_expression("attribute_not_exists(created) OR created < :max")
            .update_expression("SET expires_at = :end ADD created :one")
            .expression_attribute_values(":max", number(max))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":end", number(Timestamp::now().as_second() + COUNT_TTL));
        Ok(Some(TransactWriteItem::builder().update(update.build().map_err(unbuilt)?).build()))
    }
}

fn count_key(creator: &UserId) -> Item {
    let today = Zoned::new(Timestamp::now(), TimeZone::UTC).date();
    [("project_id".to_owned(), text(layout::counts(creator))), ("entity".to_owned(), text(format!("created#{today}")))]
        .into()
}
