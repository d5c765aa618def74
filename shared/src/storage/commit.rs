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
//!    Before it is sent, versions that the lists of these rows have no room for any more are archived, see `archive.rs`.
//! 5. Cancelled: someone was faster. The refusal brings the fresh counter along: if just one commit came between and it
//!    touched nothing that the decision looked at, the same draft is sent on top of it, with that commit's rows as
//!    conditions. Otherwise the decision is made again on fresh values. No answer: the same payload is sent with the same
//!    token until its fate is known, so that nothing commits twice.
//!
//! A request with an idempotency key happens once. Its record is read along in step 1: found, it is answered again, to
//! whoever is still a member. The answer is kept in the transaction of step 4, on the condition that the record is as it was
//! read, so that of two at once one is refused, reads again and finds the answer. And since a torn reading may show what the
//! first try did without the record of it, a decision that would write nothing puts that condition to the table before it is
//! believed: a success by keeping its answer, a refusal by the condition alone.
//!
//! So all commits of a project are serialisable, whatever runs them.
//!
//! A decision that must be one commit, however many rows it looks at ([`Look::in_one_commit`]), takes another way to the
//! same end: the counter first, then the named rows with those of `last`, which must be in place, then the sets. What is
//! read after the counter is as of the counter or newer, and if it is newer, the counter's condition fails. So the rows
//! that are not written need no conditions, and the whole transaction is there for those that are.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_dynamodb::types::{ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use tokio::time::Instant;

use super::backoff::{Backoff, Contention};
use super::layout::{self, COUNTER, key, number};
use super::read::{Along, Snapshot};
use super::record::Slot;
use super::table::Table;
use super::transaction::{self, Condition, Fate};
use crate::domain::{
    Answer, Answered, ArchivedVersions, Collection, Counter, Draft, Error, KeyedRequest, PlannedRow, ProjectId, Role,
    Row, RowKey, ServerVersion, Step, UserId,
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
    request: Option<KeyedRequest>,
    one_commit: bool,
    /// The version above which a new project begins.
    start_above: bool,
}

impl Look {
    /// Looks at the caller's membership, as every decision does.
    pub fn by(project: &ProjectId, caller: &UserId) -> Self {
        Self::of_operator([RowKey::membership(project, caller)])
    }

    /// Looks at these rows and nothing else: for an operator, who needs no membership.
    pub fn of_operator(rows: impl IntoIterator<Item = RowKey>) -> Self {
        let (sets, request, one_commit, start_above) = Default::default();
        Self { rows: rows.into_iter().collect(), sets, request, one_commit, start_above }
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

    /// … and at where the versions of new projects begin: for the creation of a project whose id may have been another's,
    /// which a restore did not bring back.
    #[must_use]
    pub fn at_the_start_of_versions(mut self) -> Self {
        self.start_above = true;
        self
    }

    /// … and at whether this request, the caller's, was answered before; without a key it is not asked.
    #[must_use]
    pub fn keyed(mut self, request: Option<KeyedRequest>) -> Self {
        self.request = request;
        self
    }
}

/// What a commit leaves behind, or would.
#[derive(Debug)]
pub struct Committed<'a, T> {
    /// What was decided.
    pub decided: &'a T,
    draft: &'a Draft,
    plan: &'a [PlannedRow],
}

impl<T> Committed<'_, T> {
    /// A row as it is after the commit, one that was read or written; `NotFound` when there is none.
    pub fn row(&self, key: &RowKey) -> Result<&Row, Error> {
        let written = self.plan.iter().map(|planned| &planned.row).find(|row| row.key == *key);
        written.or_else(|| self.draft.row(key)).ok_or_else(|| Error::NotFound(key.clone()))
    }

    /// The version that it commits, or where it finds the project when there is nothing to write.
    fn version(&self) -> Result<ServerVersion, Error> {
        let written = self.plan.last().map(|planned| planned.row.version);
        let version = written.or(self.draft.counter().map(|counter| counter.current));
        version.ok_or_else(|| Error::Corrupt("a success without a project".to_owned()))
    }
}

/// What a decision starts from.
enum Start {
    /// The predecessor was not in place, or someone was faster: read again.
    Torn,
    /// The request was answered before.
    Answered(Answered),
    Reading(Box<Reading>),
}

/// What was read for a decision.
struct Reading {
    draft: Draft,
    /// The rows of the latest commit that are yet to be made conditions.
    conditions: Vec<(RowKey, ServerVersion)>,
    /// Where the record of the request goes, if it has a key.
    slot: Option<Slot>,
    /// How long the latest commit's request had waited since it was first refused.
    waited: Duration,
}

impl Table {
    /// Makes a decision and commits what it drafts, or returns its refusal. A request that was answered before is answered
    /// the same again, see [`Look::keyed`].
    ///
    /// `decide` is called again on fresh values for as long as others are faster, up to 5 s: then `Busy`, with nothing
    /// written, or `OutcomeUnknown` when the last answer was lost. A decision that drafts nothing commits nothing.
    /// `answer` says what a success is answered; with a key that is kept, in the (last) commit of the request itself.
    pub async fn commit<T>(
        &self,
        project: &ProjectId,
        look: &Look,
        mut decide: impl FnMut(&mut Draft) -> Result<Step<T>, Error>,
        answer: impl Fn(&Committed<'_, T>) -> Result<Answer, Error>,
    ) -> Result<Answered, Error> {
        let mut contention = Contention::until(Instant::now() + DEADLINE);
        let mut archived = HashSet::new();
        // The counter of the last try, which was refused.
        let mut tried = None;
        loop {
            let reading = match self.start(project, look, contention.deadline()).await? {
                Start::Reading(reading) => *reading,
                Start::Answered(answered) => return Ok(answered),
                Start::Torn => {
                    contention.wait().await?;
                    continue;
                }
            };
            let Reading { mut draft, mut conditions, slot, waited } = reading;
            // The latest commit of a project may be long ago; only one that came between says who else is waiting.
            let others_commit = tried.is_some_and(|tried| draft.version() > tried);
            if others_commit && !contention.has_its_turn(waited).await? {
                continue;
            }
            let step = match decide(&mut draft) {
                Ok(step) => step,
                Err(refusal) if self.is_first(slot.as_ref(), &draft, contention.deadline()).await? => {
                    return Err(refusal);
                }
                Err(_) => {
                    contention.wait().await?;
                    continue;
                }
            };
            let committed = loop {
                let plan = draft.plan()?;
                self.archive_dropped(&draft, &plan, &mut archived, contention.deadline()).await?;
                let answered = match &step {
                    Step::Last(decided) => {
                        let committed = Committed { decided, draft: &draft, plan: &plan };
                        let (answer, version) = (answer(&committed)?, committed.version()?);
                        Some(Answered { answer, version, replayed: false })
                    }
                    Step::More => None,
                };
                let waited = contention.waited();
                let mut items = if plan.is_empty() { vec![] } else { self.items(&draft, &plan, &conditions, waited)? };
                if let (Some(slot), Some(answered)) = (&slot, &answered) {
                    items.push(slot.put(self, answered)?);
                }
                debug_assert!(items.len() <= MAX_ITEMS, "{} items", items.len());
                if items.is_empty() {
                    break Some(answered);
                }
                match self.transact(items, contention.deadline()).await? {
                    Fate::Committed => break Some(answered),
                    Fate::Refused(moved) => {
                        tried = Some(draft.version());
                        let at_once = contention.tries_at_once(moved.as_ref().map(|moved| moved.waited)).await?;
                        let Some(counter) = moved.map(|moved| moved.counter).filter(|_| at_once) else { break None };
                        let last = counter.last.clone();
                        let taken = 1 + plan.len() + draft.looked_at().count() + usize::from(slot.is_some());
                        if last.len() > MAX_ITEMS.saturating_sub(taken) || !draft.rebase(counter) {
                            break None;
                        }
                        conditions = last;
                    }
                }
            };
            match committed {
                Some(Some(answered)) => return Ok(answered),
                // One of several commits.
                Some(None) => contention = Contention::until(Instant::now() + DEADLINE),
                None => {}
            }
        }
    }

    /// Is there surely no record of the request? Whoever is no member is not told.
    async fn is_first(&self, slot: Option<&Slot>, draft: &Draft, deadline: Instant) -> Result<bool, Error> {
        match slot {
            Some(slot) if draft.authorize(slot.request().caller(), Role::Viewer).is_ok() => {
                Ok(matches!(self.transact(vec![slot.check(self)?], deadline).await?, Fate::Committed))
            }
            _ => Ok(true),
        }
    }

    /// Archives the versions that the rows of a plan no longer name, before the transaction that writes the rows is sent: a
    /// caller that is killed in between leaves nothing that is not true. `archived` is what this request has archived before.
    async fn archive_dropped(
        &self,
        draft: &Draft,
        plan: &[PlannedRow],
        archived: &mut HashSet<ArchivedVersions>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let dropped = plan.iter().filter_map(|planned| planned.dropped.clone());
        let new: Vec<ArchivedVersions> = dropped.filter(|dropped| !archived.contains(dropped)).collect();
        self.put_archive(draft.project(), &new, deadline).await?;
        archived.extend(new);
        Ok(())
    }

    /// The transaction of a draft: the counter, the rows, and the conditions on everything else that was looked at.
    fn items(
        &self,
        draft: &Draft,
        plan: &[PlannedRow],
        conditions: &[(RowKey, ServerVersion)],
        waited: Duration,
    ) -> Result<Vec<TransactWriteItem>, Error> {
        let project = draft.project();
        let mut items = vec![counter_update(self, draft, plan, waited)?];
        for planned in plan {
            let item = layout::row_item(project, &planned.row);
            items.push(transaction::put(self, item, &Condition::row(planned.condition))?);
        }
        for (key, version) in draft.looked_at() {
            items.push(transaction::check(self, layout::key_of_row(project, key), &Condition::row(version))?);
        }
        for (key, version) in conditions {
            items.push(transaction::check(self, layout::key_of_row(project, key), &Condition::row(Some(*version)))?);
        }
        Ok(items)
    }

    /// Reads what a decision looks at, the predecessor in place.
    async fn start(&self, project: &ProjectId, look: &Look, deadline: Instant) -> Result<Start, Error> {
        let mut snapshot = self.look(project, look).await?;
        let waited = snapshot.waited;
        let last = snapshot.counter.as_ref().map(|counter| counter.last.clone()).unwrap_or_default();
        let (named, mut unseen): (Vec<_>, Vec<_>) = last.into_iter().partition(|(key, _)| snapshot.has(key));
        let in_place =
            |(key, version): &(RowKey, ServerVersion)| snapshot.row(key).is_some_and(|row| row.version >= *version);
        if !named.iter().all(in_place) {
            return Ok(Start::Torn);
        }
        let record = snapshot.record.take();
        if let (Some(request), Some(record)) = (&look.request, record.as_ref().filter(|record| record.is_valid())) {
            // Whoever gets the answer may read at once what it speaks of.
            if snapshot.counter.as_ref().is_none_or(|counter| counter.current < record.version) {
                return Ok(Start::Torn);
            }
            snapshot.authorize(project, request.caller(), Role::Viewer)?;
            return Ok(Start::Answered(record.answer_to(request)?));
        }
        let slot = look.request.as_ref().map(|request| Slot::new(project, request, record.as_ref()));
        if !look.sets.is_empty() || unseen.len() > MAX_CONDITIONS_ON_LAST {
            self.see_in_place(project, &unseen, deadline).await?;
            unseen.clear();
        }
        let mut listed_rows = Vec::new();
        for collection in &look.sets {
            listed_rows.extend(self.list_all(project, *collection).await?);
        }
        let counter = snapshot.counter.clone();
        let start_above = snapshot.start_above;
        let named_rows = snapshot.into_rows();
        // A row from a commit after the counter that was read: against that counter nothing can be committed any more.
        let current = counter.as_ref().map_or(0, |counter| counter.current.get());
        if named_rows.values().flatten().chain(&listed_rows).any(|row| row.version.get() > current) {
            return Ok(Start::Torn);
        }
        let room = match look.one_commit {
            true => usize::MAX,
            false => MAX_ITEMS - 1 - named_rows.len() - unseen.len() - usize::from(slot.is_some()),
        };
        let listed = look.sets.iter().copied().collect();
        let draft = Draft::new(project.clone(), counter, named_rows, listed, listed_rows, room);
        let draft = draft.starting_above(start_above).with_max_history_bytes(self.max_history_bytes);
        let draft = if look.one_commit { draft.read_in_order() } else { draft };
        Ok(Start::Reading(Box::new(Reading { draft, conditions: unseen, slot, waited })))
    }

    /// Reads the counter, the rows that a decision names and the request's record; for one commit, the rows after the
    /// counter, and those of `last` with them.
    async fn look(&self, project: &ProjectId, look: &Look) -> Result<Snapshot, Error> {
        let along = Along { request: look.request.as_ref(), start_above: look.start_above };
        if !look.one_commit {
            return self.snapshot_with(project, &look.rows, along).await;
        }
        let counter = self.counter(project).await?;
        let last = counter.iter().flat_map(|counter| counter.last.iter().map(|(key, _)| key.clone()));
        let rows: Vec<RowKey> = look.rows.iter().cloned().chain(last).collect();
        Ok(self.snapshot_with(project, &rows, along).await?.after(counter))
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
}

fn counter_update(
    table: &Table,
    draft: &Draft,
    plan: &[PlannedRow],
    waited: Duration,
) -> Result<TransactWriteItem, Error> {
    let rows = plan.iter().map(|planned| &planned.row);
    let new =
        rows.clone().next_back().map(|row| row.version).ok_or_else(|| Error::Corrupt("an empty commit".to_owned()))?;
    let mut update = Update::builder()
        .table_name(&table.name)
        .set_key(Some(key(draft.project(), COUNTER)))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .expression_attribute_values(":new", number(new))
        .expression_attribute_values(":last", layout::last(rows.map(|row| (row.key.to_string(), row.version))))
        .expression_attribute_values(":checksums", layout::checksums(&draft.checksums(plan)))
        // `last` is a reserved word.
        .expression_attribute_names("#last", "last")
        .expression_attribute_names("#waited", layout::WAITED)
        .expression_attribute_values(":waited", number(waited.as_millis()));
    // The checksums as values, not additions: the condition pins what they were computed from.
    let mut set = "SET current_version = :new, #last = :last, #waited = :waited, checksums = :checksums".to_owned();
    let own = RowKey::project(draft.project());
    if draft.deletes_project()
        && let Some(tombstone) = plan.iter().find(|planned| planned.row.key == own)
    {
        update = update.expression_attribute_values(":deleted", number(tombstone.row.version));
        set.push_str(", deleted_at = :deleted");
    }
    if let Some((first, last)) = draft.skips_at_creation() {
        // A device that knows another project by this id starts over.
        update = update
            .expression_attribute_values(":skipped", layout::skipped(&[(first, last)]))
            .expression_attribute_values(":resync", number(last));
        set.push_str(", skipped = :skipped, resync_through = :resync");
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
