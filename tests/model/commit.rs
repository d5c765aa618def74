//! The writers. They read, see `last` in place, decide, archive, commit, and find out the outcome.

use crate::copies::Copies;
use crate::decision::{Job, Reads, decide, finish, rebase};
use crate::proof::adds_up;
use crate::row::{Entity, Overflow, Row, Version, Versions};
use crate::scenario::{Mutant, Scenario, View};
use crate::table::{Cancelled, Part, Table, Transaction};

/// A writer. It does its jobs one after the other, each to its end.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Writer {
    jobs: &'static [Job],
    pub(crate) phase: Phase,
    /// A request that the writer no longer waits for and that may still arrive.
    stray: Option<Transaction>,
    /// How often the present job was committed. Only the properties use it, because no writer knows it.
    pub(crate) commits: u8,
    /// Whether a job that was committed, if only in part, was ever answered as if nothing had been written.
    pub(crate) denied: bool,
    /// Whether the answer to a job was that its outcome is not known.
    pub(crate) told_nothing: bool,
}

/// The state of a writer in its job.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Phase {
    /// Counter and named rows are being read. `again` means that this follows a cancelled transaction.
    Reading {
        begin: Reads,
        again: bool,
    },
    /// They were read and `last` was seen in place. The set is being read.
    ReadingSet {
        reads: Reads,
    },
    /// Somebody's deletion has begun. Its remaining rows are being read.
    ReadingTheRest {
        reads: Reads,
    },
    /// The writer has decided, and the versions for which the histories have no room are in the archive.
    Archived {
        reads: Reads,
        rebased: bool,
    },
    /// A mutant has committed, and these versions are not in the archive yet.
    Late {
        transaction: Transaction,
    },
    /// Nothing names these versions.
    Healing {
        versions: Versions,
    },
    /// The request was refused because of a commit that came between. That commit does not matter to the decision, which is put
    /// on top of it.
    Rebased {
        reads: Reads,
    },
    /// The request has no answer.
    Unsure {
        reads: Reads,
        transaction: Transaction,
        executed: bool,
    },
    /// A mutant has advanced the counter, and the row is not written yet.
    Counted {
        version: Version,
    },
    Done,
}

/// The fate of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Answered,
    AnswerLost,
    /// The request is still on its way when the writer stops waiting.
    Delayed,
}

/// A step of a writer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// These rows were read, and now `last` is seen in place.
    SeeLast(Reads),
    /// A deletion has begun, and its latest part is seen in place.
    SeeTheRest(Reads),
    /// These rows remain: commit the next part.
    Finish(Reads, Fate),
    /// Answer at the deadline.
    GiveUp,
    /// The same payload, so late that its token is forgotten.
    RepeatLate,
    /// These rows were read: decide and commit.
    Commit(Reads, Fate),
    /// These rows were read, or are still valid: decide, and archive the versions for which the histories have no room.
    Archive(Reads, bool),
    /// Commit once the archive is acknowledged.
    CommitArchived(Fate),
    /// All rows were read, and then the archive.
    LookForLostVersions(Reads),
    /// Archive them.
    Heal,
    /// Send the decision on top of the commit that came between, without deciding again.
    CommitRebased(Fate),
    /// Decide again although it is not necessary.
    ReadAgain,
    /// A request that was on its way arrives.
    Arrive,
    /// Repeat the same payload with the same `ClientRequestToken`.
    Repeat,
    /// A mutant writes the counter in a call of its own.
    Count,
    /// A mutant writes the row in a call of its own.
    WriteRow,
    /// A mutant archives the versions for which the histories had no room after the commit.
    ArchiveLate(Transaction),
}

/// Whether a commit has to put something into the archive first.
///
/// It has not if a row is newer than the counter that was read. Such a commit would be refused, so its writer reads again.
fn needs_archive(view: View<'_>, job: Job, reads: Reads, rebased: bool) -> bool {
    let View { scenario, table } = view;
    let current = table.counter.at(reads.counter).map_or(0, |counter| counter.current_version);
    let is_newer = |entity| table.rows[entity].at(reads.rows[entity]).is_some_and(|row| row.server_version > current);
    !scenario.is(Mutant::ArchivedAfterTheCommit)
        && (rebased || !job.named().iter().any(|&entity| is_newer(entity)))
        && decide(view, job, reads, rebased).is_some_and(|transaction| !table.archives(&transaction))
}

impl Writer {
    pub(crate) fn new(view: View<'_>, jobs: &'static [Job]) -> Self {
        let mut writer = Self { jobs, phase: Phase::Done, stray: None, commits: 0, denied: false, told_nothing: false };
        writer.begin(view, false);
        writer
    }

    fn begin(&mut self, View { scenario, table }: View<'_>, again: bool) {
        self.phase = self.jobs.first().map_or(Phase::Done, |job| {
            let mut begin = Reads::begin(table, job.named());
            if scenario.is(Mutant::SetsReadBeforeLastWasSeen) {
                begin = begin.and_begin(table, job.set());
            }
            Phase::Reading { begin, again }
        });
    }

    fn begin_next_job(&mut self, view: View<'_>) {
        self.jobs = self.jobs.get(1..).unwrap_or_default();
        self.commits = 0;
        self.begin(view, false);
    }

    pub(crate) fn steps(&self, View { scenario, table }: View<'_>) -> Vec<Step> {
        let fates: &[Fate] = if scenario.answers_get_lost {
            &[Fate::Answered, Fate::AnswerLost, Fate::Delayed]
        } else {
            &[Fate::Answered]
        };
        let view = View { scenario, table };
        let commit = |reads| match self.jobs.first() {
            Some(Job::Heal) => vec![Step::LookForLostVersions(reads)],
            Some(&job) if needs_archive(view, job, reads, false) => vec![Step::Archive(reads, false)],
            _ => fates.iter().map(|&fate| Step::Commit(reads, fate)).collect(),
        };
        let mut steps: Vec<Step> = match (self.phase, self.jobs.first()) {
            (Phase::Done, _) | (_, None) => vec![],
            (Phase::Reading { .. }, _) if scenario.is(Mutant::CounterAdvancedSeparately) => {
                vec![Step::Count]
            }
            (Phase::Reading { begin, again }, Some(job)) if scenario.minds_notes() => {
                let is_noted =
                    |reads: &Reads| table.counter.at(reads.counter).is_some_and(|counter| counter.unfinished);
                let reads = begin.until_now(table, job.named());
                let (noted, free): (Vec<_>, Vec<_>) = reads.into_iter().partition(is_noted);
                let noted = noted.into_iter().map(Step::SeeTheRest);
                let free: Vec<Step> = match scenario.sees_last(*job) {
                    true => free.into_iter().map(Step::SeeLast).collect(),
                    false => free.into_iter().flat_map(commit).collect(),
                };
                noted.chain(free).chain(again.then_some(Step::GiveUp)).collect()
            }
            (Phase::ReadingTheRest { reads }, _) => {
                let each = |reads| fates.iter().map(move |&fate| Step::Finish(reads, fate));
                reads.rows_until_now(table, &[Entity::Task, Entity::Edge]).into_iter().flat_map(each).collect()
            }
            (Phase::Reading { begin, .. }, Some(job)) if scenario.sees_last(*job) => {
                begin.until_now(table, job.named()).into_iter().map(Step::SeeLast).collect()
            }
            (Phase::Reading { begin, .. }, Some(job)) => {
                begin.until_now(table, job.named()).into_iter().flat_map(commit).collect()
            }
            (Phase::ReadingSet { reads }, Some(job)) => {
                reads.rows_until_now(table, job.set()).into_iter().flat_map(commit).collect()
            }
            (Phase::Rebased { reads }, Some(&job)) if needs_archive(view, job, reads, true) => {
                vec![Step::Archive(reads, true), Step::ReadAgain]
            }
            (Phase::Archived { .. }, _) => fates.iter().map(|&fate| Step::CommitArchived(fate)).collect(),
            (Phase::Late { transaction }, _) => vec![Step::ArchiveLate(transaction)],
            (Phase::Healing { .. }, _) => vec![Step::Heal],
            (Phase::Rebased { .. }, _) => {
                fates.iter().map(|&fate| Step::CommitRebased(fate)).chain([Step::ReadAgain]).collect()
            }
            // This happens once, or a mutant would commit for ever.
            (Phase::Unsure { .. }, _) if scenario.tokens_are_forgotten && self.commits <= 1 => {
                vec![Step::Repeat, Step::RepeatLate]
            }
            (Phase::Unsure { .. }, _) => vec![Step::Repeat],
            (Phase::Counted { .. }, _) => vec![Step::WriteRow],
        };
        steps.extend(self.stray.map(|_| Step::Arrive));
        steps
    }

    /// Takes a step. Returns `None` if it changes nothing.
    pub(crate) fn step(&mut self, scenario: &Scenario, table: &mut Table, step: Step) -> Option<()> {
        match (step, self.jobs.first()) {
            (Step::Arrive, _) => self.arrive(scenario, table),
            (Step::SeeLast(reads), Some(&job)) => self.see_last(View { scenario, table }, job, reads),
            (Step::Commit(reads, fate), Some(&job)) => {
                match decide(View { scenario, table }, job, reads, false) {
                    Some(transaction) => self.send(scenario, table, job, reads, transaction, fate),
                    None => return self.refuse(View { scenario, table }, job, reads),
                }
                Some(())
            }
            (Step::SeeTheRest(reads), Some(_)) => {
                self.is_last_in_place(scenario, table, reads)?;
                let reads = reads.and_begin(table, &[Entity::Task, Entity::Edge]);
                self.phase = Phase::ReadingTheRest { reads };
                Some(())
            }
            (Step::Finish(reads, fate), Some(&job)) => {
                let transaction = finish(View { scenario, table }, reads)?;
                self.send(scenario, table, job, reads, transaction, fate);
                Some(())
            }
            (Step::GiveUp, Some(_)) => {
                if self.commits > 0 && !scenario.is(Mutant::BusyAfterAPart) {
                    self.told_nothing = true;
                } else {
                    self.denied |= self.commits > 0;
                }
                self.begin_next_job(View { scenario, table });
                Some(())
            }
            (Step::RepeatLate, Some(&job)) => self.repeat_late(scenario, table, job),
            (Step::Archive(reads, rebased), Some(&job)) => {
                let transaction = decide(View { scenario, table }, job, reads, rebased)?;
                table.put_archive(&transaction);
                self.phase = Phase::Archived { reads, rebased };
                Some(())
            }
            (Step::CommitArchived(fate), Some(&job)) => {
                let Phase::Archived { reads, rebased } = self.phase else { return None };
                let transaction = decide(View { scenario, table }, job, reads, rebased)?;
                self.send(scenario, table, job, reads, transaction, fate);
                Some(())
            }
            (Step::ArchiveLate(transaction), Some(_)) => {
                table.put_archive(&transaction);
                self.begin_next_job(View { scenario, table });
                Some(())
            }
            (Step::LookForLostVersions(reads), Some(_)) => self.look_for_lost_versions(View { scenario, table }, reads),
            (Step::Heal, Some(_)) => {
                let Phase::Healing { versions } = self.phase else { return None };
                table.archive.anonymous = table.archive.anonymous.with(versions);
                self.begin_next_job(View { scenario, table });
                Some(())
            }
            (Step::CommitRebased(fate), Some(&job)) => {
                let Phase::Rebased { reads } = self.phase else { return None };
                let transaction = decide(View { scenario, table }, job, reads, true)?;
                self.send(scenario, table, job, reads, transaction, fate);
                Some(())
            }
            (Step::ReadAgain, Some(_)) => {
                self.begin(View { scenario, table }, true);
                Some(())
            }
            (Step::Repeat, Some(&job)) => self.repeat(scenario, table, job),
            (Step::Count, Some(_)) => self.count(table),
            (Step::WriteRow, Some(&job)) => self.write_row(scenario, table, job),
            (_, None) => None,
        }
    }

    /// Answers 404, 409 or 412. A deletion that has begun never gets such an answer: it is done if the task is dead, and
    /// otherwise the read was torn.
    fn refuse(&mut self, view: View<'_>, job: Job, reads: Reads) -> Option<()> {
        let is_begun = self.commits > 0 && !view.scenario.is(Mutant::EachPartIsDecidedAnew);
        if is_begun && matches!(job, Job::DeleteTaskIf(_)) {
            let task = view.table.rows[Entity::Task].at(reads.rows[Entity::Task])?;
            task.is_deleted.then(|| self.begin_next_job(view))
        } else {
            self.denied |= self.commits > 0;
            self.begin_next_job(view);
            Some(())
        }
    }

    /// Begins to read the set after `last` was seen in place.
    fn see_last(&mut self, View { scenario, table }: View<'_>, job: Job, reads: Reads) -> Option<()> {
        self.is_last_in_place(scenario, table, reads)?;
        let reads =
            if scenario.is(Mutant::SetsReadBeforeLastWasSeen) { reads } else { reads.and_begin(table, job.set()) };
        self.phase = Phase::ReadingSet { reads };
        Some(())
    }

    fn is_last_in_place(&self, scenario: &Scenario, table: &Table, reads: Reads) -> Option<()> {
        let last = table.counter.at(reads.counter)?.last;
        let is_in_place = |&entity: &Entity| {
            let item = &table.rows[entity];
            item.at(item.now()).map_or(0, |row| row.server_version) >= last[entity]
        };
        let seen = Entity::ALL.iter().all(is_in_place)
            || scenario.is(Mutant::LastNotChecked)
            || scenario.is(Mutant::SetsReadWhileLastIsOnlyConditionChecked);
        seen.then_some(())
    }

    fn send(
        &mut self,
        scenario: &Scenario,
        table: &mut Table,
        job: Job,
        reads: Reads,
        transaction: Transaction,
        fate: Fate,
    ) {
        if fate == Fate::Delayed {
            self.stray = Some(transaction);
            self.phase = Phase::Unsure { reads, transaction, executed: false };
            return;
        }
        let result = table.commit(scenario, &transaction);
        let executed = result.is_ok();
        self.count_commit(&transaction, executed);
        match result {
            _ if fate == Fate::AnswerLost => self.phase = Phase::Unsure { reads, transaction, executed },
            Ok(()) if transaction.part != Part::Whole => self.begin(View { scenario, table }, true),
            Ok(()) if scenario.is(Mutant::ArchivedAfterTheCommit) && !table.archives(&transaction) => {
                self.phase = Phase::Late { transaction };
            }
            Ok(()) => self.begin_next_job(View { scenario, table }),
            Err(Cancelled::Condition) => self.rebase_or_begin(View { scenario, table }, job, reads, transaction.part),
            Err(Cancelled::Conflict) => self.begin(View { scenario, table }, true),
        }
    }

    /// A failed condition on the counter returns the counter.
    fn rebase_or_begin(&mut self, view: View<'_>, job: Job, reads: Reads, part: Part) {
        match rebase(view, job, reads).filter(|_| part != Part::Later) {
            Some(reads) => self.phase = Phase::Rebased { reads },
            None => self.begin(view, true),
        }
    }

    fn arrive(&mut self, scenario: &Scenario, table: &mut Table) -> Option<()> {
        let stray = self.stray.take()?;
        let arrived = table.commit(scenario, &stray).is_ok();
        self.count_commit(&stray, arrived);
        if let Phase::Unsure { transaction, executed, .. } = &mut self.phase {
            *executed |= arrived && *transaction == stray;
        }
        Some(())
    }

    /// Asks again, with the same token, until the fate of the request is known.
    fn repeat(&mut self, scenario: &Scenario, table: &mut Table, job: Job) -> Option<()> {
        let Phase::Unsure { reads, transaction, executed } = self.phase else {
            return None;
        };
        if scenario.is(Mutant::NewTokenAfterALostAnswer) {
            self.begin(View { scenario, table }, true);
            return Some(());
        }
        match if executed { Ok(()) } else { table.commit(scenario, &transaction) } {
            Ok(()) => {
                // A request that is still on its way will find that its token is used.
                self.stray = None;
                self.count_commit(&transaction, !executed);
                match transaction.part {
                    Part::Whole => self.begin_next_job(View { scenario, table }),
                    Part::First | Part::Later => self.begin(View { scenario, table }, true),
                }
            }
            Err(Cancelled::Condition) => self.settle(View { scenario, table }, job, reads, &transaction),
            Err(Cancelled::Conflict) if scenario.is(Mutant::ConflictSettlesTheFate) => {
                self.begin(View { scenario, table }, true);
            }
            Err(Cancelled::Conflict) => return None,
        }
        Some(())
    }

    /// Asks again after the token was forgotten. An execution long ago is then judged like any other commit in between.
    fn repeat_late(&mut self, scenario: &Scenario, table: &mut Table, job: Job) -> Option<()> {
        let Phase::Unsure { reads, transaction, executed: true } = self.phase else { return None };
        // The counter has moved, at least by this request.
        match table.commit(scenario, &transaction) {
            Err(Cancelled::Condition) => self.settle(View { scenario, table }, job, reads, &transaction),
            Ok(()) | Err(Cancelled::Conflict) => return None,
        }
        Some(())
    }

    /// A condition failed while it is not known whether an earlier attempt took effect. No attempt will take effect any more,
    /// because the counter is beyond the version that was read, for good. It is certain that none did if one commit came between
    /// and wrote something else. Otherwise the answer is that the outcome is not known.
    fn settle(&mut self, view: View<'_>, job: Job, reads: Reads, transaction: &Transaction) {
        self.stray = None;
        let counter = view.table.counter.committed();
        let proven = counter.is_some_and(|counter| {
            let written = Entity::ALL.into_iter().filter(|&entity| counter.last[entity] != 0).count();
            let is_next = usize::from(counter.current_version - transaction.read) == written;
            is_next && counter.last != transaction.counter.last
        });
        if proven || view.scenario.is(Mutant::ConditionSettlesTheFate) {
            self.rebase_or_begin(view, job, reads, transaction.part);
        } else if transaction.part == Part::Later {
            // Anyone may have made this part, so its outcome says nothing about this writer.
            self.begin(view, true);
        } else {
            self.told_nothing = true;
            self.begin_next_job(view);
        }
    }

    /// Counts a commit of the job's own.
    fn count_commit(&mut self, transaction: &Transaction, executed: bool) {
        self.commits += u8::from(executed && transaction.part != Part::Later);
    }

    /// Reads all rows and then the archive. If no row is missing, every version up to the counter that neither of them names was
    /// superseded.
    fn look_for_lost_versions(&mut self, View { scenario, table }: View<'_>, reads: Reads) -> Option<()> {
        let current = table.counter.at(reads.counter)?.current_version;
        let copies = Entity::ALL
            .into_iter()
            .fold(Copies::default(), |copies, entity| copies.with(table, entity, reads.rows[entity]));
        let archive = Some(table.archive);
        let view = View { scenario, table };
        if !adds_up(view, current, copies, archive) && !scenario.is(Mutant::HealedWithoutTheSum) {
            return None;
        }
        let held = copies.rows(table).fold(table.skipped, |held, (_, row)| held.with(row.held()));
        let named = held.with(table.archive.named()).with(table.archive.anonymous);
        let versions = Versions::all().up_to(current).without(named);
        if versions.is_empty() {
            self.begin_next_job(view);
        } else {
            self.phase = Phase::Healing { versions };
        }
        Some(())
    }

    fn count(&mut self, table: &mut Table) -> Option<()> {
        let mut counter = *table.counter.committed()?;
        counter.current_version += 1;
        table.put_counter(counter);
        self.phase = Phase::Counted { version: counter.current_version };
        Some(())
    }

    fn write_row(&mut self, scenario: &Scenario, table: &mut Table, job: Job) -> Option<()> {
        let Phase::Counted { version } = self.phase else {
            return None;
        };
        for &entity in job.named() {
            let row = Row::next(scenario, Overflow::Forgotten, table.rows[entity].committed(), version, false);
            table.put_row(entity, row);
        }
        self.commits += 1;
        self.begin_next_job(View { scenario, table });
        Some(())
    }
}
