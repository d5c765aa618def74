//! The bounds of a check, the rules that are left out in it, and the machine that the checker explores.

use std::fmt::{Debug, Display, Formatter};
use std::ops::RangeInclusive;

use stateright::{Model, Property};

use crate::commit::{self, Writer};
use crate::decision::Job;
use crate::properties::{Always, Sometimes};
use crate::pull::{self, Pull};
use crate::restore::restored;
use crate::row::{Entity, Overflow, Version};
use crate::table::{Key, Table};

/// The bounds of one check.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    /// The rows that exist at first, made in this order.
    pub(crate) rows: &'static [Entity],
    pub(crate) writers: &'static [&'static [Job]],
    /// Whether the device pulls. It begins with nothing, or with the state at any version of the first rows.
    pub(crate) pulls: bool,
    /// The number of rows in a response.
    pub(crate) limit: usize,
    /// The number of versions in `superseded`.
    pub(crate) list_capacity: u32,
    pub(crate) overflow: Overflow,
    /// The jobs that made the table, one after the other, before it was restored from a backup that may have cut the last commit.
    pub(crate) restored: Option<&'static [Job]>,
    pub(crate) last: Last,
    pub(crate) answers_get_lost: bool,
    /// The number of rows in a transaction. It limits only deletions.
    pub(crate) transaction_rows: usize,
    /// Whether a request may be repeated so late that its token is forgotten.
    pub(crate) tokens_are_forgotten: bool,
    /// Whether an instance keeps a page of another device's pull.
    pub(crate) keeps_a_page: bool,
    pub(crate) application: Application,
    pub(crate) index: Index,
    pub(crate) mutants: &'static [Mutant],
    pub(crate) always: &'static [Always],
    pub(crate) sometimes: &'static [Sometimes],
}

/// How a commit that uses no set makes sure that its predecessor is completely applied. A commit that uses a set sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Last {
    Seen,
    ConditionChecked,
}

/// How a commit becomes visible.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Application {
    ItemByItem,
    /// All items become visible at once, as in an emulator.
    AtOnce,
}

/// The contents of the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Index {
    /// For each row, any copy that the table ever showed, or none.
    Free,
    /// The same as the table, as in an emulator.
    Current,
    /// Nothing, so every pull has to read the table.
    Empty,
}

/// A rule that is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mutant {
    // These rules belong to DynamoDB.
    NoConflictWithACommitBeingApplied,
    // These rules belong to the commit.
    CounterAdvancedSeparately,
    LastNotChecked,
    LastNotCheckedWithoutSets,
    SetsReadBeforeLastWasSeen,
    SetsReadWhileLastIsOnlyConditionChecked,
    RowsLookedAtNotChecked,
    RowsWrittenUnconditionally,
    TwoRowsGivenOneVersion,
    TaskTombstoneBeforeItsEdges,
    RefusedOperationLeavesATrace,
    SupersededNotCarriedOn,
    NewTokenAfterALostAnswer,
    ConflictSettlesTheFate,
    ConditionSettlesTheFate,
    // These rules belong to a deletion in several parts.
    EachPartIsDecidedAnew,
    NoteIsNotMinded,
    BusyAfterAPart,
    RebasedOverANote,
    // These rules belong to a draft that is sent again on top of the commit that won.
    NothingIsRebased,
    RebasedWithoutLast,
    RebasedOverANamedRow,
    RebasedOverAListedCollection,
    RebasedAcrossTwoCommits,
    // These rules belong to the archive.
    ArchivedAfterTheCommit,
    ArchivesTheVersionBeingSuperseded,
    CutByOldCodeTakenForArchived,
    HealedWithoutTheSum,
    RestoredWithoutTheArchive,
    ArchiveIsNoSighting,
    SightingOfWhatIsMissing,
    ArchiveReadBeforeTheRows,
    SilentListTakenForArchived,
    // These rules belong to the pull.
    CounterReadAfterTheRows,
    MarkTakenWithoutProof,
    QueryBoundedAtTheMark,
    TableBelievedWithoutItsSum,
    SilentListBelieved,
    FinalMarkOnAnEarlyPage,
    PageEndsBetweenTwoRows,
    BusyAnswerAheadOfTheCounter,
    CutAnswerAheadOfTheCounter,
    RowOfAListTakenForRead,
    RowOfAListNotSeen,
    // These rules belong to the caller's membership.
    OwnDeadMembershipNotLookedFor,
    OldOwnTombstoneBelieved,
    OldOwnTombstoneDelivered,
    MembershipNotReadAgain,
    BusyAnswerAtARemoval,
    EmptyAnswerBeforeTheResync,
    // These rules belong to a kept page.
    PageGivenToAYoungerMember,
    PageGivenWithTheOwnTombstone,
    PageGivenWithoutTheMembership,
    PageGivenAheadOfTheCounter,
    PageKeptBeforeItsCounter,
    FinalPageRepeatedLater,
    BusyAnswerKept,
}

impl Scenario {
    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutants.contains(&mutant)
    }

    /// Whether a deletion may take several parts, and a writer who finds that one has begun finishes it first.
    pub(crate) fn minds_notes(&self) -> bool {
        self.transaction_rows < Entity::ALL.len() && !self.is(Mutant::NoteIsNotMinded)
    }

    /// Whether this job's commit sees `last` in place.
    pub(crate) fn sees_last(&self, job: Job) -> bool {
        job.uses_a_set() || self.last == Last::Seen
    }
}

impl Display for Scenario {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { rows, writers, limit, list_capacity, overflow, mutants, .. } = self;
        write!(f, "rows {rows:?}, writers {writers:?}")?;
        if self.pulls {
            write!(f, ", {limit} rows in a response, {list_capacity} versions in a list, more {overflow:?}")?;
            write!(f, ", index {:?}", self.index)?;
        }
        write!(f, ", commits applied {:?}, last {:?}", self.application, self.last)?;
        if self.answers_get_lost {
            write!(f, ", answers lost")?;
        }
        if !mutants.is_empty() {
            write!(f, ", mutants {mutants:?}")?;
        }
        Ok(())
    }
}

/// A scenario together with its table.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) table: &'a Table,
}

/// The state of everything at one moment.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct State {
    pub(crate) table: Table,
    pub(crate) writers: Vec<Writer>,
    pub(crate) pull: Pull,
}

/// The next step of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// One item of a commit becomes visible.
    Apply(Key),
    Writer(usize, commit::Step),
    Pull(pull::Step),
}

impl Model for Scenario {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let begin = |table: Table, marks: RangeInclusive<Version>| {
            let view = View { scenario: self, table: &table };
            let writers: Vec<_> = self.writers.iter().map(|jobs| Writer::new(view, jobs)).collect();
            let state = |mark| State { table: table.clone(), writers: writers.clone(), pull: Pull::new(&table, mark) };
            marks.map(state).collect::<Vec<_>>()
        };
        let table = Table::with(self.rows);
        match self.restored {
            // Older marks are refused, so each device begins with nothing.
            Some(before) => restored(self, table, before).into_iter().flat_map(|table| begin(table, 0..=0)).collect(),
            None => {
                let newest = if self.pulls { table.committed_version() } else { 0 };
                begin(table, 0..=newest)
            }
        }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let view = View { scenario: self, table: &state.table };
        actions.extend(state.table.unapplied().into_iter().map(Action::Apply));
        for (index, writer) in state.writers.iter().enumerate() {
            actions.extend(writer.steps(view).into_iter().map(|step| Action::Writer(index, step)));
        }
        if self.pulls {
            actions.extend(state.pull.steps(view).into_iter().map(Action::Pull));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Apply(key) => next.table.apply(key),
            Action::Writer(index, step) => {
                next.writers.get_mut(index)?.step(self, &mut next.table, step)?;
            }
            Action::Pull(step) => {
                next.pull.step(View { scenario: self, table: &state.table }, step)?;
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let always = self.always.iter().map(|always| always.property());
        always.chain(self.sometimes.iter().map(|sometimes| sometimes.property())).collect()
    }
}
