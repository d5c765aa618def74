//! The only way to write rows.
//!
//! 1. Read counter, the caller's membership and the rows that the request names, in one strong `BatchGetItem`.
//! 2. Wait for the predecessor. A transaction is applied item by item, so the read may show half of one. The counter names the
//!    rows of the latest commit (`last`). Each of them is seen in place at its version, or becomes a condition of this
//!    transaction. Whole collections are queried strongly only after all of them were seen in place.
//! 3. Decide. A pure function drafts the rows, or refuses.
//! 4. Write one `TransactWriteItems`. The counter goes from the value that was read to that plus the number of rows, with the new
//!    `last`. Each row is conditional on being as it was read. So is each row that the decision looked at and did not write.
//! 5. Refused: another commit was faster. The refusal returns the fresh counter. If exactly one commit came between, and it
//!    touched nothing that the decision looked at, the same draft is sent on top of it, with its rows as conditions. Otherwise
//!    the decision is made again on fresh values.
//! 6. No answer: the same payload is sent with the same token until its fate is known, so nothing commits twice.
//!    `transaction.rs` says what can be known.
//!
//! So all commits of a project are serialisable, whatever runs them.
//!
//! **Several commits.** The deletion of a task with more dependencies than fit one transaction takes several. The first is made
//! as above. Whoever commits next makes the others, see `finish.rs`. So a decision starts only if the counter notes no
//! unfinished deletion.
//!
//! **Idempotency.** A request with a key takes effect once. Its record is read in step 1. If it is there, its answer is
//! sent again, to members only. The answer is stored in the transaction of step 4, on the condition that the record is
//! as it was read. Of two requests at once, one is refused, reads again and finds the answer. A torn read may show the
//! effect of the first try without its record. So a decision that would write nothing is not trusted before the table
//! has checked that condition. A success stores its answer. A refusal checks the condition alone.
//!
//! **One commit** ([`ReadSet::in_one_commit`]). A batch must be one commit, however many rows it looks at. It reads the counter
//! first, then the named rows together with those of `last`, which must be in place, then the collections. What is read after
//! the counter is as of the counter or newer. If it is newer, the counter's condition fails. So rows that are not written need
//! no condition, and the whole transaction is there for those that are.

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

/// How long the record of a request is looked for if its outcome is not known.
const MAX_SETTLING: Duration = Duration::from_secs(2);
/// The most rows that one commit writes. The counter and the idempotency record need the other two places.
pub const MAX_ROWS: usize = MAX_ITEMS - 2;
/// The most bytes that these rows take on the table. Of each row the old or the new state counts, whichever is larger.
/// DynamoDB allows 4,194,304 for a transaction. The rest is for the counter and the idempotency record.
pub const MAX_BYTES: usize = 4_000_000;

/// The rows as a commit leaves them, for whoever makes its answer.
#[derive(Debug)]
pub struct Committed<'a, T> {
    /// The result of the decision.
    pub decided: &'a T,
    draft: &'a Draft,
    planned_writes: &'a [PlannedWrite],
}

impl<T> Committed<'_, T> {
    /// A row after the commit, if it was read or written. `NotFound` if it is not there.
    pub fn row(&self, key: &RowKey) -> Result<&Row, Error> {
        let written = self.planned_writes.iter().map(|planned| &planned.row).find(|row| row.key == *key);
        written.or_else(|| self.draft.row(key)).ok_or_else(|| Error::NotFound(key.clone()))
    }

    /// The version of the commit. If there is nothing to write, the project's version.
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
    /// Something may be written already, so nobody may be told that nothing was.
    begun: bool,
    /// Nothing is left to do of the deletion of this task, even if the counter notes it.
    over: Option<RowId>,
}

/// The result of one attempt at a commit.
enum Attempt {
    /// The commit is made, there was nothing to write, or the request was answered before.
    Done(Answered),
    /// The first of several commits is made. After the others, this is the answer.
    MoreToCommit(UnfinishedDeletion, RestAnswer),
    /// Another commit was faster, or the read was torn.
    Retry,
}

impl Table {
    /// Makes a decision and commits what it drafts, or returns its refusal. A request that was answered before gets the same
    /// answer, see [`ReadSet::keyed`].
    ///
    /// `decide` is called again on fresh values while others are faster, for up to 5 s. Then the error is `Busy` and nothing was
    /// written. If something may be written and the rest is not certain, the error is `OutcomeUnknown`. The same request, sent
    /// again, then comes to the end that this one would have come to. A decision that drafts nothing commits nothing.
    ///
    /// `answer_of` makes the answer of a success. It is called here and not by the caller, because the transaction that makes the
    /// change also stores the answer to a request with a key. So the answer must be known whenever a transaction is built: also
    /// when the draft is put on top of another commit, which gives its rows other versions.
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
                    // The creator of a project is a member from then on.
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

    /// Reads, decides and commits, once.
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
        // Only a commit since the last try says who else is waiting. The one before may be long ago.
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
        // This very request may have begun the deletion, and asks again for its outcome.
        let is_own = read_set.names(&RowKey::new(Collection::Tasks, deletion.task.clone()));
        course.begun |= is_own;
        match self.finish_part(project, &deletion, &mut course.contention).await {
            Ok(Part::Over(_)) => course.over = Some(deletion.task),
            Ok(Part::Made | Part::Retry) => {}
            // The commit with the unknown outcome is another request's.
            Err(Error::OutcomeUnknown) if !is_own => return Err(Error::Busy),
            Err(error) => return Err(error),
        }
        Ok(Attempt::Retry)
    }

    /// Commits the draft, on top of a commit that came between if possible.
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
                // Reading again is safe: the next write is conditional on there being no record.
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
            let taken = 1 + planned_writes.len() + draft.other_conditions().count() + usize::from(slot.is_some());
            if last.len() > MAX_ITEMS.saturating_sub(taken) || !draft.rebase(counter) {
                return Ok(Attempt::Retry);
            }
            conditions = last;
        }
    }

    /// How much a project may hold, for a decision that judges its parts one by one.
    pub fn quotas(&self) -> Quotas {
        self.quotas
    }

    /// Refuses a draft with more rows than a project may hold, unless it is an operator's.
    fn expect_quotas(&self, read_set: &ReadSet, draft: &Draft) -> Result<(), Error> {
        if read_set.is_operators() { Ok(()) } else { self.quotas.expect_kept(draft) }
    }

    /// Whether there is certainly no record of the request. Only members are told.
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

    /// The stored answer to a request with an unknown outcome, if there is one.
    async fn kept_answer(&self, project: &ProjectId, read_set: &ReadSet) -> Option<Answered> {
        let start = self.start(project, read_set, None, true, Instant::now() + MAX_SETTLING);
        match timeout(MAX_SETTLING, start).await {
            Ok(Ok(Start::Answered(answered))) => Some(answered),
            _ => None,
        }
    }
}

/// Whether this counter shows that the planned writes were not committed. It does if exactly one commit came since the counter
/// was read, and that commit wrote other rows or other versions.
fn rules_out(counter: &Counter, draft: &Draft, planned_writes: &[PlannedWrite]) -> bool {
    let planned = |(key, version): &(RowKey, ServerVersion)| {
        planned_writes.iter().any(|planned| planned.row.key == *key && planned.row.version == *version)
    };
    draft.is_followed_by(counter)
        && !(counter.write_set.len() == planned_writes.len() && counter.write_set.iter().all(planned))
}

/// The error of a request that may have written something. It must not say that nothing was written.
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
