//! Writers: read, see `last` in place, decide, commit, and find out what became of it.

use crate::decision::{Job, Reads, decide, rebase};
use crate::row::{Entity, Row, Version};
use crate::scenario::{Mutant, Scenario, View};
use crate::table::{Cancelled, Table, Transaction};

/// A writer. It does its jobs one after the other, each to its end.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Writer {
    jobs: &'static [Job],
    pub(crate) phase: Phase,
    /// A request that the writer no longer waits for and that may still arrive.
    stray: Option<Transaction>,
    /// How often the present job was committed: for the properties, no writer knows it.
    pub(crate) commits: u8,
}

/// Where a writer is in its job.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Phase {
    /// Counter and named rows are being read; `again` after a cancelled transaction.
    Reading {
        begin: Reads,
        again: bool,
    },
    /// They were read and `last` was seen in place; the set is being read.
    ReadingSet {
        reads: Reads,
    },
    /// Refused for a commit that came between and does not matter to the decision, which is put on top of it.
    Rebased {
        reads: Reads,
    },
    /// No answer came.
    Unsure {
        reads: Reads,
        transaction: Transaction,
        executed: bool,
    },
    /// Of a mutant: the counter was advanced, the row is not written yet.
    Counted {
        version: Version,
    },
    Done,
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Answered,
    AnswerLost,
    /// Still on its way when the writer stops waiting.
    Delayed,
}

/// A step of a writer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// These were read, and now `last` is seen in place.
    SeeLast(Reads),
    /// These were read: decide and commit.
    Commit(Reads, Fate),
    /// Not decided again: sent on top of the commit that came between.
    CommitRebased(Fate),
    /// Decided again although that would not be needed.
    ReadAgain,
    /// What was on its way arrives.
    Arrive,
    /// The same payload with the same `ClientRequestToken`.
    Repeat,
    /// Of a mutant: the counter in a call of its own.
    Count,
    /// Of a mutant: the row in a call of its own.
    WriteRow,
}

impl Writer {
    pub(crate) fn new(view: View<'_>, jobs: &'static [Job]) -> Self {
        let mut writer = Self { jobs, phase: Phase::Done, stray: None, commits: 0 };
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
        let commit = |reads| fates.iter().map(move |&fate| Step::Commit(reads, fate));
        let mut steps: Vec<Step> = match (self.phase, self.jobs.first()) {
            (Phase::Done, _) | (_, None) => vec![],
            (Phase::Reading { .. }, _) if scenario.is(Mutant::CounterAdvancedSeparately) => {
                vec![Step::Count]
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
            (Phase::Rebased { .. }, _) => {
                fates.iter().map(|&fate| Step::CommitRebased(fate)).chain([Step::ReadAgain]).collect()
            }
            (Phase::Unsure { .. }, _) => vec![Step::Repeat],
            (Phase::Counted { .. }, _) => vec![Step::WriteRow],
        };
        steps.extend(self.stray.map(|_| Step::Arrive));
        steps
    }

    /// Takes a step; `None` where it changes nothing.
    pub(crate) fn step(&mut self, scenario: &Scenario, table: &mut Table, step: Step) -> Option<()> {
        match (step, self.jobs.first()) {
            (Step::Arrive, _) => self.arrive(scenario, table),
            (Step::SeeLast(reads), Some(&job)) => self.see_last(View { scenario, table }, job, reads),
            (Step::Commit(reads, fate), Some(&job)) => {
                match decide(View { scenario, table }, job, reads, false) {
                    Some(transaction) => self.send(scenario, table, job, reads, transaction, fate),
                    None => self.begin_next_job(View { scenario, table }),
                }
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

    /// Begins to read the set once `last` is in place.
    fn see_last(&mut self, View { scenario, table }: View<'_>, job: Job, reads: Reads) -> Option<()> {
        let last = table.counter.at(reads.counter)?.last;
        let is_in_place = |&entity: &Entity| {
            let item = &table.rows[entity];
            item.at(item.now()).map_or(0, |row| row.server_version) >= last[entity]
        };
        let seen = Entity::ALL.iter().all(is_in_place)
            || scenario.is(Mutant::LastNotChecked)
            || scenario.is(Mutant::SetsReadWhileLastIsOnlyConditionChecked);
        let reads =
            if scenario.is(Mutant::SetsReadBeforeLastWasSeen) { reads } else { reads.and_begin(table, job.set()) };
        seen.then(|| self.phase = Phase::ReadingSet { reads })
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
        self.commits += u8::from(executed);
        match result {
            _ if fate == Fate::AnswerLost => self.phase = Phase::Unsure { reads, transaction, executed },
            Ok(()) => self.begin_next_job(View { scenario, table }),
            Err(Cancelled::Condition) => self.rebase_or_begin(View { scenario, table }, job, reads),
            Err(Cancelled::Conflict) => self.begin(View { scenario, table }, true),
        }
    }

    /// A failed condition on the counter brings the counter along.
    fn rebase_or_begin(&mut self, view: View<'_>, job: Job, reads: Reads) {
        match rebase(view, job, reads) {
            Some(reads) => self.phase = Phase::Rebased { reads },
            None => self.begin(view, true),
        }
    }

    fn arrive(&mut self, scenario: &Scenario, table: &mut Table) -> Option<()> {
        let stray = self.stray.take()?;
        let arrived = table.commit(scenario, &stray).is_ok();
        self.commits += u8::from(arrived);
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
                // What is still on its way will find its token used.
                self.stray = None;
                self.commits += u8::from(!executed);
                self.begin_next_job(View { scenario, table });
            }
            Err(Cancelled::Condition) => {
                // What is still on its way will find the counter beyond the version that was read, for good.
                self.stray = None;
                self.rebase_or_begin(View { scenario, table }, job, reads);
            }
            Err(Cancelled::Conflict) if scenario.is(Mutant::ConflictSettlesTheFate) => {
                self.begin(View { scenario, table }, true);
            }
            Err(Cancelled::Conflict) => return None,
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
            let row = Row::next(scenario, table.rows[entity].committed(), version, false);
            table.put_row(entity, row);
        }
        self.commits += 1;
        self.begin_next_job(View { scenario, table });
        Some(())
    }
}
