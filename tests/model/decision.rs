//! The pure part of a commit: the job, the rows that were read, and the writes with their conditions.

use crate::row::{Entity, Overflow, PerRow, Row, Version};
use crate::scenario::{Mutant, Scenario, View};
use crate::table::{Counter, Moment, Part, Table, Transaction};

/// The job that a caller asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Job {
    /// Change these rows in one commit.
    Patch(&'static [Entity]),
    /// Change these rows in one commit, by code from before the archive.
    PatchByOlderCode(&'static [Entity]),
    /// Change the live rows among these in one commit. The others are refused.
    PatchEach(&'static [Entity]),
    /// Create the edge.
    AddEdge,
    /// Delete the task and the edges that name it. These edges are a set.
    DeleteTask,
    /// Delete the task in the same way if it is at this version.
    DeleteTaskIf(Version),
    RemoveMember,
    AddMemberAgain,
    /// Find the versions that nothing names, and archive them.
    Heal,
}

impl Job {
    /// The rows that the request names. They are read together with the counter.
    pub(crate) fn named(self) -> &'static [Entity] {
        match self {
            Self::Patch(entities) | Self::PatchByOlderCode(entities) | Self::PatchEach(entities) => entities,
            Self::AddEdge => &[Entity::Task, Entity::Edge],
            Self::DeleteTask | Self::DeleteTaskIf(_) => &[Entity::Task],
            Self::RemoveMember | Self::AddMemberAgain => &[Entity::Membership],
            Self::Heal => &Entity::ALL,
        }
    }

    /// The fate of the versions for which a history has no room when this is committed.
    pub(crate) fn overflow(self, scenario: &Scenario) -> Overflow {
        match self {
            Self::PatchByOlderCode(_) => Overflow::Forgotten,
            _ => scenario.overflow,
        }
    }

    /// The rows that only a query finds.
    pub(crate) fn set(self) -> &'static [Entity] {
        match self {
            Self::DeleteTask | Self::DeleteTaskIf(_) => &[Entity::Edge],
            _ => &[],
        }
    }

    pub(crate) fn uses_a_set(self) -> bool {
        !self.set().is_empty()
    }
}

/// The copies of counter and rows that were read, or the moment at which their reads began. Rows that are not read stay at 0.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Reads {
    pub(crate) counter: Moment,
    pub(crate) rows: PerRow<Moment>,
}

impl Reads {
    pub(crate) fn begin(table: &Table, entities: &[Entity]) -> Self {
        Self { counter: table.counter.now(), ..Self::default() }.and_begin(table, entities)
    }

    /// Adds these rows, whose reads begin now.
    pub(crate) fn and_begin(mut self, table: &Table, entities: &[Entity]) -> Self {
        for &entity in entities {
            self.rows[entity] = table.rows[entity].now();
        }
        self
    }

    /// Every possible result of reads of these rows that began then and end now.
    pub(crate) fn rows_until_now(self, table: &Table, entities: &[Entity]) -> Vec<Self> {
        entities.iter().fold(vec![self], |outcomes, &entity| {
            let each_moment = |reads: Self| {
                table.rows[entity].seen_since(reads.rows[entity]).map(move |moment| {
                    let mut reads = reads;
                    reads.rows[entity] = moment;
                    reads
                })
            };
            outcomes.into_iter().flat_map(each_moment).collect()
        })
    }

    /// Every possible result if the counter is in the batch.
    pub(crate) fn until_now(self, table: &Table, entities: &[Entity]) -> Vec<Self> {
        let rows = self.rows_until_now(table, entities);
        let with = |counter| rows.iter().map(move |&reads| Self { counter, ..reads });
        table.counter.seen_since(self.counter).flat_map(with).collect()
    }
}

/// The same reads with the counter that a refusal returned. `None` if the decision must be made again.
///
/// The decision stays valid on top of exactly one commit that wrote nothing in its read set.
pub(crate) fn rebase(View { scenario, table }: View<'_>, job: Job, reads: Reads) -> Option<Reads> {
    let read = table.counter.at(reads.counter)?.current_version;
    let counter = table.counter.committed()?;
    let written = || Entity::ALL.into_iter().filter(|&entity| counter.last[entity] != 0);
    let came_between = counter.current_version - read;
    let one_commit = written().count() == usize::from(came_between)
        || (came_between > 0 && scenario.is(Mutant::RebasedAcrossTwoCommits));
    let touched = |entity: Entity| {
        job.named().contains(&entity) && !scenario.is(Mutant::RebasedOverANamedRow)
            || job.set().contains(&entity) && !scenario.is(Mutant::RebasedOverAListedCollection)
    };
    let is_noted = counter.unfinished && !scenario.is(Mutant::RebasedOverANote);
    let stands = one_commit && !is_noted && !written().any(touched) && !scenario.is(Mutant::NothingIsRebased);
    stands.then(|| Reads { counter: table.counter.newest(), ..reads })
}

/// Decides. `None` is an error (404, 409) for the caller. On rebased reads, the rows of the commit in between are conditions,
/// however `last` is checked otherwise.
pub(crate) fn decide(view: View<'_>, job: Job, reads: Reads, rebased: bool) -> Option<Transaction> {
    let View { scenario, table } = view;
    let counter = table.counter.at(reads.counter)?;
    let read = |entity: Entity| table.rows[entity].at(reads.rows[entity]);
    let version = |entity: Entity| read(entity).map_or(0, |row| row.server_version);
    let mut transaction = Transaction {
        read: counter.current_version,
        counter: Counter { current_version: counter.current_version, ..Counter::default() },
        expected: if rebased { PerRow::default() } else { last_in_place(view, job, counter) },
        puts: PerRow::default(),
        archive: PerRow::default(),
        part: Part::Whole,
    };
    // Each row of the decision must be as it was read.
    if !scenario.is(Mutant::RowsLookedAtNotChecked) {
        for &entity in job.named() {
            transaction.expected[entity] = Some(version(entity));
        }
    }
    let mut writes = writes(scenario, job, read)?;
    if writes.len() > scenario.transaction_rows {
        writes.truncate(scenario.transaction_rows);
        transaction.part = Part::First;
        transaction.counter.unfinished = !scenario.is(Mutant::EachPartIsDecidedAnew);
    }
    for (index, (entity, is_deleted)) in writes.into_iter().enumerate() {
        if index == 0 || !scenario.is(Mutant::TwoRowsGivenOneVersion) {
            transaction.counter.current_version += 1;
        }
        let next = transaction.counter.current_version;
        transaction.counter.last[entity] = next;
        let overflow = job.overflow(scenario);
        let row = Row::next(scenario, overflow, read(entity), next, is_deleted);
        transaction.puts[entity] = Some(row);
        if let Some(before) = read(entity).filter(|_| overflow == Overflow::Archived) {
            let dropped = before.dropped_by(&row);
            let of_this_commit = scenario.is(Mutant::ArchivesTheVersionBeingSuperseded) && !dropped.is_empty();
            transaction.archive[entity] = if of_this_commit { before.held() } else { dropped };
        }
        transaction.expected[entity] =
            if scenario.is(Mutant::RowsWrittenUnconditionally) { None } else { Some(version(entity)) };
    }
    if rebased && !scenario.is(Mutant::RebasedWithoutLast) {
        for entity in Entity::ALL.into_iter().filter(|&entity| counter.last[entity] != 0) {
            transaction.expected[entity] = Some(counter.last[entity]);
        }
    }
    Some(transaction)
}

/// The next part of a deletion that anyone has begun. It needs no decision, because the first part was decided. None if a torn
/// read shows nothing left to do.
pub(crate) fn finish(View { scenario, table }: View<'_>, reads: Reads) -> Option<Transaction> {
    let counter = table.counter.at(reads.counter)?;
    let read = |entity: Entity| table.rows[entity].at(reads.rows[entity]);
    let left = [Entity::Edge, Entity::Task].into_iter().filter_map(|entity| Some((entity, read(entity)?)));
    let left: Vec<_> = left.filter(|(_, row)| !row.is_deleted).collect();
    let (entity, row) = *left.first()?;
    let next = counter.current_version + 1;
    let mut transaction = Transaction {
        read: counter.current_version,
        counter: Counter { current_version: next, unfinished: left.len() > 1, ..Counter::default() },
        expected: PerRow::default(),
        puts: PerRow::default(),
        archive: PerRow::default(),
        part: Part::Later,
    };
    transaction.counter.last[entity] = next;
    transaction.expected[entity] = Some(row.server_version);
    transaction.puts[entity] = Some(Row::next(scenario, scenario.overflow, Some(row), next, true));
    Some(transaction)
}

/// The rows to write, and whether they become tombstones, in the order of their versions. An edge's tombstone comes before its
/// task's, so that the edge dangles at no version.
fn writes<'a>(scenario: &Scenario, job: Job, read: impl Fn(Entity) -> Option<&'a Row>) -> Option<Vec<(Entity, bool)>> {
    let is_live = |entity: Entity| read(entity).is_some_and(|row| !row.is_deleted);
    let is_dead = |entity: Entity| read(entity).is_some_and(|row| row.is_deleted);
    match job {
        Job::Patch(entities) | Job::PatchByOlderCode(entities) => entities
            .iter()
            .all(|&entity| is_live(entity))
            .then(|| entities.iter().map(|&entity| (entity, false)).collect()),
        Job::PatchEach(entities) => {
            let leaves_a_trace = scenario.is(Mutant::RefusedOperationLeavesATrace);
            let accepted = entities.iter().filter(|&&entity| is_live(entity));
            let written: Vec<_> = match leaves_a_trace {
                true => entities.iter().filter(|&&entity| read(entity).is_some()).collect(),
                false => accepted.collect(),
            };
            // If everything is refused, nothing is written.
            (!written.is_empty()).then(|| written.into_iter().map(|&entity| (entity, false)).collect())
        }
        Job::AddEdge => (is_live(Entity::Task) && read(Entity::Edge).is_none()).then(|| vec![(Entity::Edge, false)]),
        Job::DeleteTask | Job::DeleteTaskIf(_) if !is_live(Entity::Task) => None,
        Job::DeleteTaskIf(version) if read(Entity::Task).is_none_or(|task| task.server_version != version) => None,
        Job::DeleteTask | Job::DeleteTaskIf(_) if !is_live(Entity::Edge) => Some(vec![(Entity::Task, true)]),
        Job::DeleteTask | Job::DeleteTaskIf(_) if scenario.is(Mutant::TaskTombstoneBeforeItsEdges) => {
            Some(vec![(Entity::Task, true), (Entity::Edge, true)])
        }
        Job::DeleteTask | Job::DeleteTaskIf(_) => Some(vec![(Entity::Edge, true), (Entity::Task, true)]),
        Job::RemoveMember => is_live(Entity::Membership).then(|| vec![(Entity::Membership, true)]),
        Job::AddMemberAgain => is_dead(Entity::Membership).then(|| vec![(Entity::Membership, false)]),
        Job::Heal => None,
    }
}

/// The condition checks on `last`, unless it was seen in place.
fn last_in_place(view: View<'_>, job: Job, counter: &Counter) -> PerRow<Option<Version>> {
    let scenario = view.scenario;
    let seen = scenario.sees_last(job) && !scenario.is(Mutant::SetsReadWhileLastIsOnlyConditionChecked);
    let skipped = scenario.is(Mutant::LastNotChecked) || scenario.is(Mutant::LastNotCheckedWithoutSets);
    PerRow::from_fn(|entity| {
        let last = counter.last[entity];
        (last != 0 && !seen && !skipped).then_some(last)
    })
}
