//! The only way to write.
//!
//! 1. Counter, the caller's membership and the rows that the request names are read in one strong `BatchGetItem`.
//! 2. A commit starts only when its predecessor is wholly applied. A transaction is applied item by item, so what was
//!    read may show half of one. The counter names the rows of the latest commit (`last`): each is seen in place at its
//!    version, or becomes a condition of this transaction. Sets are queried strongly only after all of `last` was seen.
//! 3. A pure decision drafts the rows, or refuses.
//! 4. One `TransactWriteItems`: the counter from the value that was read to that plus the rows written, with the new
//!    `last`; each row on the condition that it is as it was read; the same condition on each row that the decision looked
//!    at and did not write.
//! 5. Cancelled: someone was faster. The refusal brings the fresh counter along: if just one commit came between and it
//!    touched nothing that the decision looked at, the same draft is sent on top of it, with that commit's rows as
//!    conditions. Otherwise the decision is made again on fresh values. No answer: the same payload is sent with the same
//!    token until its fate is known, so that nothing commits twice.
//!
//! So all commits of a project are serialisable, whatever runs them.
//!
//! A decision that must be one commit, however many rows it looks at ([`Look::in_one_commit`]), takes another way to the
//! same end: the counter first, then the named rows with those of `last`, which must be in place, then the sets. What is
//! read after the counter is as of the counter or newer, and if it is newer, the counter's condition fails. So the rows
//! that are not written need no conditions, and the whole transaction is there for those that are.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{ConditionCheck, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use tokio::time::Instant;
use uuid::Uuid;

use super::backoff::{Backoff, Contention};
use super::layout::{self, COUNTER, key, number};
use super::read::Snapshot;
use super::table::Table;
use crate::domain::{
    Collection, Counter, Draft, Error, PlannedRow, ProjectId, Row, RowKey, ServerVersion, Step, UserId,
};

/// How long a commit tries before it answers `Busy`.
const DEADLINE: Duration = Duration::from_secs(5);
/// The most items a transaction holds.
const MAX_ITEMS: usize = 100;
/// The most rows that one commit writes: beside the counter and the record of a request that may be sent again.
pub const MAX_ROWS: usize = MAX_ITEMS - 2;
/// The most bytes that they take on the table, each as it was or as it shall be, whichever is more. DynamoDB allows
/// 4,194,304 for a transaction; the rest is for the counter and the record of the request.
pub const MAX_BYTES: usize = 4_000_000;
/// Up to so many rows of the latest commit become conditions, which saves a call; more are read instead, which is cheaper.
const MAX_CONDITIONS_ON_LAST: usize = 4;

/// What a decision looks at.
#[derive(Debug, Clone)]
pub struct Look {
    rows: Vec<RowKey>,
    sets: Vec<Collection>,
    one_commit: bool,
}

impl Look {
    /// Looks at the caller's membership, as every decision does.
    pub fn by(project: &ProjectId, caller: &UserId) -> Self {
        Self { rows: vec![RowKey::membership(project, caller)], sets: vec![], one_commit: false }
    }

    /// … and at these rows, whether they are there or not.
    #[must_use]
    pub fn at(mut self, rows: impl IntoIterator<Item = RowKey>) -> Self {
        self.rows.extend(rows);
        self
    }

    /// … and at all live rows of these collections.
    #[must_use]
    pub fn at_all(mut self, sets: impl IntoIterator<Item = Collection>) -> Self {
        self.sets.extend(sets);
        self.sets.sort_unstable();
        self.sets.dedup();
        self
    }

    /// … for one commit and not several: up to [`MAX_ROWS`] rows and [`MAX_BYTES`] bytes are written, however many are
    /// looked at. It is for the decision to keep to that. A call more than otherwise.
    #[must_use]
    pub fn in_one_commit(mut self) -> Self {
        self.one_commit = true;
        self
    }
}

/// What a commit left behind.
#[derive(Debug)]
pub struct Committed<T> {
    /// What the decision answered.
    pub answer: T,
    /// The project's current version as of this commit, or as it was read when nothing was written.
    pub version: Option<ServerVersion>,
    /// The rows that were read, those that were written in their new state.
    rows: HashMap<RowKey, Row>,
}

impl<T> Committed<T> {
    /// A row as it is after the commit; `NotFound` when there is none.
    pub fn row(&self, key: &RowKey) -> Result<&Row, Error> {
        self.rows.get(key).ok_or_else(|| Error::NotFound(key.clone()))
    }
}

/// What became of a transaction.
enum Fate {
    Committed,
    /// A condition failed or a conflict was met: nothing was written, and nothing will be. With the counter, if it was
    /// the counter that had moved.
    Refused(Option<Counter>),
}

impl Table {
    /// Makes a decision and commits what it drafts, or returns its refusal.
    ///
    /// `decide` is called again on fresh values for as long as others are faster, up to 5 s: then `Busy`, with nothing
    /// written, or `OutcomeUnknown` when the last answer was lost. A decision that drafts nothing commits nothing.
    pub async fn commit<T>(
        &self,
        project: &ProjectId,
        look: &Look,
        mut decide: impl FnMut(&mut Draft) -> Result<Step<T>, Error>,
    ) -> Result<Committed<T>, Error> {
        let mut contention = Contention::until(Instant::now() + DEADLINE);
        loop {
            let Some((mut draft, mut conditions)) = self.draft(project, look, contention.deadline()).await? else {
                contention.step_back().await?;
                continue;
            };
            let step = decide(&mut draft)?;
            let mut version = draft.counter().map(|counter| counter.current);
            let committed = loop {
                let plan = draft.plan()?;
                if plan.is_empty() {
                    break true;
                }
                let items = self.items(&draft, &plan, &conditions)?;
                match self.transact(items, contention.deadline()).await? {
                    Fate::Committed => {
                        version = plan.last().map(|planned| planned.row.version);
                        draft.apply(plan.into_iter().map(|planned| planned.row).collect());
                        break true;
                    }
                    Fate::Refused(Some(counter)) if contention.at_once() => {
                        let last = counter.last.clone();
                        let room = MAX_ITEMS - 1 - plan.len() - draft.looked_at().count();
                        if last.len() > room || !draft.rebase(counter) {
                            break false;
                        }
                        conditions = last;
                    }
                    Fate::Refused(_) => break false,
                }
            };
            match step {
                _ if !committed => contention.step_back().await?,
                Step::Last(answer) => return Ok(Committed { answer, version, rows: draft.into_rows() }),
                Step::More => contention = Contention::until(Instant::now() + DEADLINE),
            }
        }
    }

    /// The transaction of a draft: the counter, the rows, and the conditions on everything else that was looked at.
    fn items(
        &self,
        draft: &Draft,
        plan: &[PlannedRow],
        conditions: &[(RowKey, ServerVersion)],
    ) -> Result<Vec<TransactWriteItem>, Error> {
        let project = draft.project();
        let mut items = vec![counter_update(self, draft, plan)?];
        for planned in plan {
            items.push(row_put(self, project, &planned.row, planned.condition)?);
        }
        for (key, version) in draft.looked_at() {
            items.push(condition_check(self, project, key, version)?);
        }
        for (key, version) in conditions {
            items.push(condition_check(self, project, key, Some(*version))?);
        }
        debug_assert!(items.len() <= MAX_ITEMS, "{} items", items.len());
        Ok(items)
    }

    /// Reads what a decision looks at, the predecessor in place; with it the rows of the latest commit that are yet to be
    /// made conditions. None when rows are older than the latest commit, or newer because someone was faster: read again.
    async fn draft(
        &self,
        project: &ProjectId,
        look: &Look,
        deadline: Instant,
    ) -> Result<Option<(Draft, Vec<(RowKey, ServerVersion)>)>, Error> {
        let snapshot = self.look(project, look).await?;
        let last = snapshot.counter.as_ref().map(|counter| counter.last.clone()).unwrap_or_default();
        let (named, mut unseen): (Vec<_>, Vec<_>) = last.into_iter().partition(|(key, _)| snapshot.has(key));
        let in_place =
            |(key, version): &(RowKey, ServerVersion)| snapshot.row(key).is_some_and(|row| row.version >= *version);
        if !named.iter().all(in_place) {
            return Ok(None);
        }
        if !look.sets.is_empty() || unseen.len() > MAX_CONDITIONS_ON_LAST {
            self.see_in_place(project, &unseen, deadline).await?;
            unseen.clear();
        }
        let mut listed_rows = Vec::new();
        for collection in &look.sets {
            listed_rows.extend(self.list_all(project, *collection).await?);
        }
        let counter = snapshot.counter.clone();
        let named_rows = snapshot.into_rows();
        // A row from a commit after the counter that was read: against that counter nothing can be committed any more.
        let current = counter.as_ref().map_or(0, |counter| counter.current.get());
        if named_rows.values().flatten().chain(&listed_rows).any(|row| row.version.get() > current) {
            return Ok(None);
        }
        let room = if look.one_commit { usize::MAX } else { MAX_ITEMS - 1 - named_rows.len() - unseen.len() };
        let listed = look.sets.iter().copied().collect();
        let draft = Draft::new(project.clone(), counter, named_rows, listed, listed_rows, room);
        Ok(Some((if look.one_commit { draft.read_in_order() } else { draft }, unseen)))
    }

    /// Reads the counter and the rows that a decision names; for one commit, the rows after the counter, and those of
    /// `last` with them.
    async fn look(&self, project: &ProjectId, look: &Look) -> Result<Snapshot, Error> {
        if !look.one_commit {
            return self.snapshot(project, &look.rows).await;
        }
        let counter = self.counter(project).await?;
        let last = counter.iter().flat_map(|counter| counter.last.iter().map(|(key, _)| key.clone()));
        let rows: Vec<RowKey> = look.rows.iter().cloned().chain(last).collect();
        Ok(self.snapshot(project, &rows).await?.after(counter))
    }

    /// Waits until each row is there at its version or a later one.
    async fn see_in_place(
        &self,
        project: &ProjectId,
        rows: &[(RowKey, ServerVersion)],
        deadline: Instant,
    ) -> Result<(), Error> {
        let mut backoff = Backoff::until(deadline);
        let mut unseen = rows.to_vec();
        while !unseen.is_empty() {
            let keys: Vec<RowKey> = unseen.iter().map(|(key, _)| key.clone()).collect();
            let snapshot = self.snapshot(project, &keys).await?;
            unseen.retain(|(key, version)| snapshot.row(key).is_none_or(|row| row.version < *version));
            if !unseen.is_empty() && !backoff.wait().await {
                return Err(Error::Busy);
            }
        }
        Ok(())
    }

    /// Sends one transaction until its fate is known.
    async fn transact(&self, items: Vec<TransactWriteItem>, deadline: Instant) -> Result<Fate, Error> {
        let token = Uuid::now_v7().to_string();
        let mut backoff = Backoff::until(deadline);
        // An earlier try with this token may have taken effect, or may yet.
        let mut in_doubt = false;
        loop {
            let result = self
                .client
                .transact_write_items()
                .set_transact_items(Some(items.clone()))
                .client_request_token(&token)
                .customize()
                // Tried again here and not by the SDK, which would hide that an earlier try is in doubt.
                .config_override(aws_sdk_dynamodb::Config::builder().retry_config(RetryConfig::disabled()))
                .send()
                .await;
            let error = match result {
                Ok(_) => return Ok(Fate::Committed),
                Err(error) => error,
            };
            match meaning(&error) {
                Meaning::Conflict if in_doubt => {}
                Meaning::Conflict => return Ok(Fate::Refused(None)),
                Meaning::ConditionFailed => return Ok(Fate::Refused(moved_counter(&error)?)),
                Meaning::Throttled => {}
                Meaning::Lost => in_doubt = true,
                Meaning::Fault => return Err(Error::Unavailable(DisplayErrorContext(error).to_string().into())),
            }
            if !backoff.wait().await {
                return Err(if in_doubt { Error::OutcomeUnknown } else { Error::Busy });
            }
        }
    }
}

/// What a failed try says about the transaction.
enum Meaning {
    /// Conditions were evaluated and one does not hold; it never will again, since versions only rise.
    ConditionFailed,
    /// Another transaction was at one of the items, or one of them was throttled. Says nothing about an earlier try.
    Conflict,
    /// Not executed.
    Throttled,
    /// May have been executed, or may be yet.
    Lost,
    /// Trying again is of no use.
    Fault,
}

const CONDITION_FAILED: &str = "ConditionalCheckFailed";

fn meaning(error: &SdkError<TransactWriteItemsError>) -> Meaning {
    let SdkError::ServiceError(service) = error else {
        return match error {
            SdkError::ConstructionFailure(_) => Meaning::Fault,
            _ => Meaning::Lost,
        };
    };
    match service.err() {
        TransactWriteItemsError::TransactionCanceledException(cancelled) => {
            let codes: Vec<&str> = cancelled.cancellation_reasons().iter().filter_map(|r| r.code()).collect();
            if codes.iter().all(|code| matches!(*code, "None" | CONDITION_FAILED)) {
                Meaning::ConditionFailed
            } else if codes.iter().any(|code| matches!(*code, "ValidationError" | "ItemCollectionSizeLimitExceeded")) {
                Meaning::Fault
            } else {
                Meaning::Conflict
            }
        }
        TransactWriteItemsError::TransactionInProgressException(_) => Meaning::Lost,
        TransactWriteItemsError::InternalServerError(_) => Meaning::Lost,
        TransactWriteItemsError::ProvisionedThroughputExceededException(_)
        | TransactWriteItemsError::RequestLimitExceeded(_) => Meaning::Throttled,
        other => match other.code() {
            Some("ThrottlingException" | "Throttling") => Meaning::Throttled,
            _ if service.raw().status().is_server_error() => Meaning::Lost,
            _ => Meaning::Fault,
        },
    }
}

/// The counter, if its condition is among those that failed. It is the first item of each transaction.
fn moved_counter(error: &SdkError<TransactWriteItemsError>) -> Result<Option<Counter>, Error> {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
        return Ok(None);
    };
    let counter = cancelled.cancellation_reasons().first().filter(|reason| reason.code() == Some(CONDITION_FAILED));
    counter.and_then(|reason| reason.item()).map(layout::counter).transpose()
}

fn counter_update(table: &Table, draft: &Draft, plan: &[PlannedRow]) -> Result<TransactWriteItem, Error> {
    let rows = plan.iter().map(|planned| &planned.row);
    let new =
        rows.clone().next_back().map(|row| row.version).ok_or_else(|| Error::Corrupt("an empty commit".to_owned()))?;
    let mut update = Update::builder()
        .table_name(&table.name)
        .set_key(Some(key(draft.project(), COUNTER)))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .expression_attribute_values(":new", number(new))
        .expression_attribute_values(":last", layout::last(rows.map(|row| (row.key.to_string(), row.version))))
        // `last` is a reserved word.
        .expression_attribute_names("#last", "last");
    let mut set = "SET current_version = :new, #last = :last".to_owned();
    if draft.deletes_project() {
        set.push_str(", deleted_at = :new");
    }
    update = match draft.counter() {
        Some(Counter { current, .. }) => {
            update.condition_expression("current_version = :read").expression_attribute_values(":read", number(current))
        }
        None => update.condition_expression("attribute_not_exists(current_version)"),
    };
    let update = update.update_expression(set).build().map_err(|error| Error::Unavailable(error.into()))?;
    Ok(TransactWriteItem::builder().update(update).build())
}

const AS_READ: &str = "server_version = :read";
const ABSENT: &str = "attribute_not_exists(entity)";

fn row_put(
    table: &Table,
    project: &ProjectId,
    row: &Row,
    condition: Option<ServerVersion>,
) -> Result<TransactWriteItem, Error> {
    let put = Put::builder().table_name(&table.name).set_item(Some(layout::row_item(project, row)));
    let put = match condition {
        Some(read) => put.condition_expression(AS_READ).expression_attribute_values(":read", number(read)),
        None => put.condition_expression(ABSENT),
    };
    let put = put.build().map_err(|error| Error::Unavailable(error.into()))?;
    Ok(TransactWriteItem::builder().put(put).build())
}

fn condition_check(
    table: &Table,
    project: &ProjectId,
    row: &RowKey,
    version: Option<ServerVersion>,
) -> Result<TransactWriteItem, Error> {
    let check = ConditionCheck::builder().table_name(&table.name).set_key(Some(key(project, row.to_string())));
    let check = match version {
        Some(read) => check.condition_expression(AS_READ).expression_attribute_values(":read", number(read)),
        None => check.condition_expression(ABSENT),
    };
    let check = check.build().map_err(|error| Error::Unavailable(error.into()))?;
    Ok(TransactWriteItem::builder().condition_check(check).build())
}
