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
//!    token until its fate is known, so that nothing commits twice; what can be known of it says `transaction.rs`.
//!
//! One decision may take several commits: to delete a task with more dependencies than fit one transaction. The first of
//! them is made as above, and whoever commits next makes the others, see `finish.rs`. So a decision starts only when the
//! counter notes no deletion that is unfinished.
//!
//! A request with an idempotency key happens once. Its record is read along in step 1: found, it is answered again, to
//! whoever is still a member. The answer is kept in the transaction of step 4, on the condition that the record is as it was
//! read, so that of two at once one is refused, reads again and finds the answer. And since a torn reading may show what the
//! first try did without the record of it, a decision that would write nothing puts that condition to the table before it is
//! believed: a success by keeping its answer, a refusal by the condition alone.
//!
//! So all commits of a project are serialisable, whatever runs them.
//!
//! A decision that must be one commit, however many rows it looks at ([`ReadSet::in_one_commit`]), takes another way to the
//! same end: the counter first, then the named rows with those of `last`, which must be in place, then the sets. What is
//! read after the counter is as of the counter or newer, and if it is newer, the counter's condition fails. So the rows
//! that are not written need no conditions, and the whole transaction is there for those that are.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::backoff::Contention;
use super::finish::Part;
use super::idempotency::IdempotencySlot;
use super::reading::{ReadSet, Reading, Start};
use super::table::Table;
use super::transaction::{DEADLINE, Fate, MAX_ITEMS};
use crate::domain::{
    Collection, Counter, Draft, Error, PlannedWrite, ProjectId, Quotas, Role, Row, RowId, RowKey, ServerVersion, Step,
    UnfinishedDeletion,
};
use crate::idempotency::{Answered, RestAnswer};

/// How long the record of a request is asked for when it is not known what became of it.
const MAX_SETTLING: Duration = Duration::from_secs(2);
/// The most rows that one commit writes: beside the counter and the record of a request that may be sent again.
pub const MAX_ROWS: usize = MAX_ITEMS - 2;
/// The most bytes that they take on the table, each as it was or as it shall be, whichever is more. DynamoDB allows
/// 4,194,304 for a transaction; the rest is for the counter and the record of the request.
pub const MAX_BYTES: usize = 4_000_000;

/// What a commit leaves behind, or would.
#[derive(Debug)]
pub struct Committed<'a, T> {
    /// What was decided.
    pub decided: &'a T,
    draft: &'a Draft,
    planned_writes: &'a [PlannedWrite],
}

impl<T> Committed<'_, T> {
    /// A row as it is after the commit, one that was read or written; `NotFound` when there is none.
    pub fn row(&self, key: &RowKey) -> Result<&Row, Error> {
        let written = self.planned_writes.iter().map(|planned| &planned.row).find(|row| row.key == *key);
        written.or_else(|| self.draft.row(key)).ok_or_else(|| Error::NotFound(key.clone()))
    }

    /// The version that it commits, or where it finds the project when there is nothing to write.
    fn version(&self) -> Result<ServerVersion, Error> {
        let written = self.planned_writes.last().map(|planned| planned.row.version);
        let version = written.or(self.draft.counter().map(|counter| counter.current));
        version.ok_or(Error::Bug("a success without a project"))
    }
}

/// One request on its way to its commit.
struct Course {
    contention: Contention,
    /// The version at which it was tried last, and refused.
    tried: Option<u64>,
    /// Some of what it asks for may be written: nobody may be told that nothing was.
    begun: bool,
    /// A task of whose deletion nothing is left to do, should the counter note one.
    over: Option<RowId>,
}

/// What an attempt at a commit came to.
enum Attempt {
    /// It is made, there was nothing to write, or the request was answered before.
    Done(Answered),
    /// It is the first one of several; once the others are made, this is the answer.
    MoreToCommit(UnfinishedDeletion, RestAnswer),
    /// Others were faster, or what was read was torn: read again.
    Retry,
}

impl Table {
    /// Makes a decision and commits what it drafts, or returns its refusal. A request that was answered before is answered
    /// the same again, see [`ReadSet::keyed`].
    ///
    /// `decide` is called again on fresh values for as long as others are faster, up to 5 s: then `Busy`, with nothing
    /// written. When something may be written and not all of it surely is, the error is `OutcomeUnknown`, and the same
    /// request again comes to the end that this one would have come to. A decision that drafts nothing commits nothing.
    /// `answer_of` makes the answer of a success. For a request with a key it is stored, in the last commit that the request
    /// takes. It is called here and not above, because the answer to a request with a key
    /// is stored by the same transaction that makes the change. So it must be known when the transaction is built, and again
    /// each time it is built on top of another commit, with other versions.
    pub async fn commit<T>(
        &self,
        project: &ProjectId,
        read_set: &ReadSet,
        mut decide: impl FnMut(&mut Draft) -> Result<Step<T>, Error>,
        answer_of: impl Fn(&Committed<'_, T>) -> Result<RestAnswer, Error>,
    ) -> Result<Answered, Error> {
        if let Some(member) = read_set.member() {
            self.expect_member(project, member).await?;
        }
        let contention = Contention::until(Instant::now() + DEADLINE);
        let mut course = Course { contention, tried: None, begun: false, over: None };
        let error = loop {
            match self.attempt(project, read_set, &mut course, &mut decide, &answer_of).await {
                Ok(Attempt::Done(answered)) => {
                    // Whoever made a project is a member from then on.
                    read_set.creator().into_iter().for_each(|creator| self.members.remember(project, creator));
                    return Ok(answered);
                }
                Ok(Attempt::MoreToCommit(deletion, answer)) => {
                    course.begun = true;
                    match self.finish(project, &deletion).await {
                        Ok(version) => return Ok(Answered { answer, version, replayed: false }),
                        Err(error) => break error,
                    }
                }
                Ok(Attempt::Retry) => {}
                Err(error) => break error,
            }
        };
        let error = if course.begun { not_denying(error) } else { error };
        match (&error, &read_set.request) {
            (Error::OutcomeUnknown, Some(_)) => self.kept_answer(project, read_set).await.ok_or(error),
            _ => Err(error),
        }
    }

    /// Reads what a decision starts from, decides and commits.
    async fn attempt<T>(
        &self,
        project: &ProjectId,
        read_set: &ReadSet,
        course: &mut Course,
        decide: &mut impl FnMut(&mut Draft) -> Result<Step<T>, Error>,
        answer_of: &impl Fn(&Committed<'_, T>) -> Result<RestAnswer, Error>,
    ) -> Result<Attempt, Error> {
        let mut reading = match self
            .start(project, read_set, course.over.as_ref(), course.tried.is_some(), course.contention.deadline())
            .await?
        {
            Start::Reading(reading) => *reading,
            Start::Answered(answered) => return Ok(Attempt::Done(answered)),
            Start::Unfinished(deletion) => return self.finish_first(project, read_set, course, deletion).await,
            Start::Torn => {
                course.contention.wait().await?;
                return Ok(Attempt::Retry);
            }
        };
        // The latest commit of a project may be long ago; only one that came between says who else is waiting.
        let others_commit = course.tried.is_some_and(|tried| reading.draft.version() > tried);
        if others_commit && !course.contention.has_its_turn(reading.waited).await? {
            return Ok(Attempt::Retry);
        }
        let decided = decide(&mut reading.draft);
        match decided.and_then(|step| self.expect_quotas(read_set, &reading.draft).map(|()| step)) {
            Ok(step) => self.write(reading, read_set, &step, course, answer_of).await,
            Err(refusal) => {
                let Reading { draft, slot, .. } = &reading;
                if self.is_first(slot.as_ref(), read_set, draft, course.contention.deadline()).await? {
                    return Err(refusal);
                }
                course.contention.wait().await?;
                Ok(Attempt::Retry)
            }
        }
    }

    /// Goes on with a deletion that comes before anything else.
    async fn finish_first(
        &self,
        project: &ProjectId,
        read_set: &ReadSet,
        course: &mut Course,
        deletion: UnfinishedDeletion,
    ) -> Result<Attempt, Error> {
        // Maybe this very request has begun it, and asks again what became of it.
        let is_own = read_set.names(&RowKey::new(Collection::Tasks, deletion.task.clone()));
        course.begun |= is_own;
        match self.finish_part(project, &deletion, &mut course.contention).await {
            Ok(Part::Over(_)) => course.over = Some(deletion.task),
            Ok(Part::Made | Part::Retry) => {}
            // It is another request's commit of which it is not known.
            Err(Error::OutcomeUnknown) if !is_own => return Err(Error::Busy),
            Err(error) => return Err(error),
        }
        Ok(Attempt::Retry)
    }

    /// Commits what was drafted, on top of a commit that came between if that can be.
    async fn write<T>(
        &self,
        reading: Reading,
        read_set: &ReadSet,
        step: &Step<T>,
        course: &mut Course,
        answer_of: &impl Fn(&Committed<'_, T>) -> Result<RestAnswer, Error>,
    ) -> Result<Attempt, Error> {
        let Reading { mut draft, mut conditions, slot, .. } = reading;
        let (Step::Last(decided) | Step::More { decided, .. }) = step;
        let mut archived = HashSet::new();
        loop {
            let planned_writes = draft.planned_writes()?;
            self.archive_dropped(draft.project(), &planned_writes, &mut archived, course.contention.deadline()).await?;
            let committed = Committed { decided, draft: &draft, planned_writes: &planned_writes };
            let (answer, version) = (answer_of(&committed)?, committed.version()?);
            let unfinished = match step {
                Step::Last(_) => None,
                Step::More { task, .. } => {
                    let promised = slot.as_ref().map(|slot| slot.promise(&answer)).transpose()?;
                    Some(UnfinishedDeletion { task: task.clone(), promised, by: draft.user().cloned() })
                }
            };
            let waited = course.contention.waited();
            let mut items = match planned_writes.is_empty() {
                true => vec![],
                false => self.items(&draft, &planned_writes, &conditions, waited, unfinished.as_ref())?,
            };
            if let (Some(slot), None) = (&slot, &unfinished) {
                let put = if planned_writes.is_empty() { IdempotencySlot::put_unchanged } else { IdempotencySlot::put };
                items.push(put(slot, self, &answer, version)?);
            }
            if let Some(creator) = read_set.creator().filter(|_| !planned_writes.is_empty()) {
                items.extend(self.count_creation(creator)?);
            }
            debug_assert!(items.len() <= MAX_ITEMS, "{} items", items.len());
            let made = match unfinished {
                None => Attempt::Done(Answered { answer, version, replayed: false }),
                Some(deletion) => Attempt::MoreToCommit(deletion, answer),
            };
            if items.is_empty() {
                return Ok(made);
            }
            let moved = match self.transact(items, course.contention.deadline()).await? {
                Fate::Committed => return Ok(made),
                Fate::Refused(moved) => moved,
                Fate::Unsettled(Some(moved)) if rules_out(&moved.counter, &draft, &planned_writes) => Some(moved),
                // Read again: whatever is written then is written on the condition that there is no record.
                Fate::Unsettled(_) if slot.is_some() => {
                    course.begun = true;
                    None
                }
                Fate::Unsettled(_) => return Err(Error::OutcomeUnknown),
            };
            course.tried = Some(draft.version());
            let at_once = course.contention.tries_at_once(moved.as_ref().map(|moved| moved.waited)).await?;
            let Some(counter) = moved.map(|moved| moved.counter).filter(|_| at_once) else {
                return Ok(Attempt::Retry);
            };
            let last = counter.write_set.clone();
            let taken = 1 + planned_writes.len() + draft.looked_at().count() + usize::from(slot.is_some());
            if last.len() > MAX_ITEMS.saturating_sub(taken) || !draft.rebase(counter) {
                return Ok(Attempt::Retry);
            }
            conditions = last;
        }
    }

    /// How much a project may hold: what a decision that judges its parts one by one is to judge each of them by.
    pub fn quotas(&self) -> Quotas {
        self.quotas
    }

    /// Refuses what makes more rows than a project may hold. An operator may.
    fn expect_quotas(&self, read_set: &ReadSet, draft: &Draft) -> Result<(), Error> {
        if read_set.is_operators() { Ok(()) } else { self.quotas.expect_kept(draft) }
    }

    /// Is there surely no record of the request? Whoever is no member is not told.
    async fn is_first(
        &self,
        slot: Option<&IdempotencySlot>,
        read_set: &ReadSet,
        draft: &Draft,
        deadline: Instant,
    ) -> Result<bool, Error> {
        match (slot, &read_set.request) {
            (Some(slot), Some(request)) if draft.authorize(request.caller(), Role::Viewer).is_ok() => {
                Ok(matches!(self.transact(vec![slot.check(self)?], deadline).await?, Fate::Committed))
            }
            _ => Ok(true),
        }
    }

    /// The answer to a request of which it is not known what became, if there is a record of it.
    async fn kept_answer(&self, project: &ProjectId, read_set: &ReadSet) -> Option<Answered> {
        let start = self.start(project, read_set, None, true, Instant::now() + MAX_SETTLING);
        match timeout(MAX_SETTLING, start).await {
            Ok(Ok(Start::Answered(answered))) => Some(answered),
            _ => None,
        }
    }
}

/// Does this counter show that the planned writes were not committed? It does when just one commit came since the counter that was
/// read, and that one wrote other rows, or other versions of them.
fn rules_out(counter: &Counter, draft: &Draft, planned_writes: &[PlannedWrite]) -> bool {
    let planned = |(key, version): &(RowKey, ServerVersion)| {
        planned_writes.iter().any(|planned| planned.row.key == *key && planned.row.version == *version)
    };
    draft.is_followed_by(counter)
        && !(counter.write_set.len() == planned_writes.len() && counter.write_set.iter().all(planned))
}

/// The error of a request of which something may be written: none that says that nothing was.
fn not_denying(error: Error) -> Error {
    match error {
        Error::Busy => Error::OutcomeUnknown,
        Error::Unavailable(source) => {
            tracing::warn!(error = %source, "a request was begun and could not be finished");
            Error::OutcomeUnknown
        }
        error => error,
    }
}
