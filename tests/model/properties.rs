//! The promises, and the events that must be possible. Without the events, a product that does nothing would keep every promise.

use stateright::Property;

use crate::commit::{Phase as Writing, Writer};
use crate::copies::Copies;
use crate::device::{Answer, How, shown};
use crate::proof::{Verdict, judge, newest};
use crate::pull::{Found, Phase as Pulling, Request, Source};
use crate::row::{Entity, PerRow, Row};
use crate::scenario::{Scenario, State, View};

type Condition = fn(&Scenario, &State) -> bool;

/// A promise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Always {
    /// A row whose current version is up to the mark is on the device as it is. The judgement uses the committed state, visible
    /// or not.
    EveryRowUpToTheMarkIsOnTheDevice,
    /// The resync of a device that was told of a removal is an exception.
    TheMarkNeverGoesBack,
    TheMarkIsNeverAheadOfTheCounter,
    /// This is about an uncut answer without newer rows, and also about the empty answer.
    AnExactAnswerIsTheStateAtTheMark,
    /// No answer includes the caller's removal, or follows one that told of it, unless the caller was added again.
    NothingIsDeliveredAfterARemoval,
    /// An answer that includes less does not show later writes of others either.
    NothingWrittenAfterARemovalIsDelivered,
    /// No answer shows a row that was replaced before the reader was added. Only an index that is current can promise this.
    NothingFromBeforeTheReaderWasLetIn,
    /// A member's own membership is not among the deleted rows of an answer.
    NoMemberIsToldOfTheirOwnTombstone,
    /// An answer with `has_more` has no row that is newer than its mark.
    NoPageShowsWhatIsBeyondItsMark,
    /// An answer without `has_more` accounts for the counter that its pull read.
    WhatIsSaidToBeAllIsAll,
    /// Nobody is told of a removal that was undone at S.
    NoMemberIsTakenForRemoved,
    /// This holds at every version, because a pull may end at any.
    NoDeadTaskHasALiveEdge,
    /// Otherwise the version is in the archive, or in a silent part of a history that was cut without an archive. Also, the
    /// revision counts add up.
    EachVersionIsHeldByOneRow,
    /// An archived version does not belong to another row either.
    NoArchivedVersionIsCurrent,
    NoChangeIsCommittedTwice,
    /// No answer says that a job was refused or that nothing was written, if it was committed, even in part.
    NoCommitIsDenied,
    /// Nothing else is committed before the deletion is complete.
    ADeletionComesToItsEnd,
    /// With all commits applied, one read of the table is enough for a proof, so that 503 ends.
    AnAppliedProjectIsProvenByTheTable,
    /// With all commits applied, no pull waits for a version that the counter may never reach.
    AnAppliedCounterIsNotWaitedFor,
    /// The strong path is not taken. Only an index that is current can promise this.
    TheIndexSuffices,
}

impl Always {
    /// The promises that hold with any index.
    pub(crate) const ALL: &'static [Self] = &[
        Self::EveryRowUpToTheMarkIsOnTheDevice,
        Self::TheMarkNeverGoesBack,
        Self::TheMarkIsNeverAheadOfTheCounter,
        Self::AnExactAnswerIsTheStateAtTheMark,
        Self::NothingIsDeliveredAfterARemoval,
        Self::NothingWrittenAfterARemovalIsDelivered,
        Self::NoMemberIsTakenForRemoved,
        Self::NoMemberIsToldOfTheirOwnTombstone,
        Self::NoPageShowsWhatIsBeyondItsMark,
        Self::WhatIsSaidToBeAllIsAll,
        Self::NoDeadTaskHasALiveEdge,
        Self::EachVersionIsHeldByOneRow,
        Self::NoArchivedVersionIsCurrent,
        Self::NoChangeIsCommittedTwice,
        Self::NoCommitIsDenied,
        Self::ADeletionComesToItsEnd,
        Self::AnAppliedProjectIsProvenByTheTable,
        Self::AnAppliedCounterIsNotWaitedFor,
    ];

    /// The promises to the device, whatever the writers do.
    pub(crate) const OF_THE_DEVICE: &'static [Self] = &[
        Self::EveryRowUpToTheMarkIsOnTheDevice,
        Self::TheMarkNeverGoesBack,
        Self::TheMarkIsNeverAheadOfTheCounter,
        Self::AnExactAnswerIsTheStateAtTheMark,
    ];

    pub(crate) fn name(self) -> &'static str {
        self.describe().0
    }

    pub(crate) fn property(self) -> Property<Scenario> {
        let (name, condition) = self.describe();
        Property::always(name, condition)
    }

    fn describe(self) -> (&'static str, Condition) {
        match self {
            Self::EveryRowUpToTheMarkIsOnTheDevice => {
                ("every row up to the mark is on the device", every_row_up_to_the_mark_is_on_the_device)
            }
            Self::TheMarkNeverGoesBack => ("the mark never goes back", |_, state| !state.pull.device.mark_went_back),
            Self::TheMarkIsNeverAheadOfTheCounter => ("the mark is never ahead of the counter", |_, state| {
                let device = &state.pull.device;
                device.answer == Answer::Removed || device.mark <= state.table.visible_version()
            }),
            Self::AnExactAnswerIsTheStateAtTheMark => {
                ("an exact answer is the state at the mark", an_exact_answer_is_the_state_at_the_mark)
            }
            Self::NothingIsDeliveredAfterARemoval => {
                ("nothing is delivered after a removal", nothing_is_delivered_after_a_removal)
            }
            Self::NothingWrittenAfterARemovalIsDelivered => {
                ("nothing written after a removal is delivered", nothing_written_after_a_removal_is_delivered)
            }
            Self::NothingFromBeforeTheReaderWasLetIn => {
                ("nothing from before the reader was let in is shown", |_, state| !state.pull.device.shown_from_before)
            }
            Self::NoMemberIsToldOfTheirOwnTombstone => {
                ("no member is told of their own tombstone", |_, state| !state.pull.device.told_of_own_tombstone)
            }
            Self::NoPageShowsWhatIsBeyondItsMark => {
                ("no page shows what is beyond its mark", |_, state| !state.pull.device.shown_beyond_a_page)
            }
            Self::WhatIsSaidToBeAllIsAll => {
                ("what is said to be all is all", |_, state| !state.pull.device.told_that_was_all)
            }
            Self::NoMemberIsTakenForRemoved => {
                ("no member is taken for removed", |_, state| !state.pull.device.told_of_an_undone_removal)
            }
            Self::NoDeadTaskHasALiveEdge => ("no dead task has a live edge", no_dead_task_has_a_live_edge),
            Self::EachVersionIsHeldByOneRow => ("each version is held by one row", each_version_is_held_by_one_row),
            Self::NoArchivedVersionIsCurrent => ("no archived version is current", no_archived_version_is_current),
            Self::NoChangeIsCommittedTwice => {
                ("no change is committed twice", |_, state| state.writers.iter().all(|writer| writer.commits <= 1))
            }
            Self::NoCommitIsDenied => {
                ("no commit is denied", |_, state| !state.writers.iter().any(|writer| writer.denied))
            }
            Self::ADeletionComesToItsEnd => ("a deletion comes to its end", a_deletion_comes_to_its_end),
            Self::AnAppliedProjectIsProvenByTheTable => {
                ("an applied project is proven by the table", an_applied_project_is_proven_by_the_table)
            }
            Self::AnAppliedCounterIsNotWaitedFor => {
                ("an applied counter is not waited for", an_applied_counter_is_not_waited_for)
            }
            Self::TheIndexSuffices => {
                ("the index suffices", |_, state| !matches!(state.pull.phase, Pulling::Scan { .. }))
            }
        }
    }
}

fn every_row_up_to_the_mark_is_on_the_device(_: &Scenario, state: &State) -> bool {
    let device = &state.pull.device;
    device.answer == Answer::Removed
        || Entity::ALL.into_iter().all(|entity| {
            let row = state.table.rows[entity].committed();
            let is_newer = row.is_none_or(|row| row.server_version > device.mark);
            is_newer || device.rows[entity] == shown(row)
        })
}

fn an_exact_answer_is_the_state_at_the_mark(_: &Scenario, state: &State) -> bool {
    let device = &state.pull.device;
    let in_state = |entity| shown(state.table.row_in_state(entity, device.mark));
    !matches!(device.answer, Answer::Exact(_)) || device.rows == PerRow::from_fn(in_state)
}

fn nothing_is_delivered_after_a_removal(_: &Scenario, state: &State) -> bool {
    let device = &state.pull.device;
    let known = device.mark.max(device.told_removed_at);
    let memberships = state.table.rows[Entity::Membership].copies();
    let removal = memberships.iter().rev().find(|row| row.is_deleted && row.server_version <= known);
    matches!(device.answer, Answer::Nothing | Answer::Removed)
        || removal.is_none_or(|removal| {
            let since = |version| version > removal.server_version;
            memberships.iter().any(|row| !row.is_deleted && since(row.server_version))
        })
}

fn nothing_written_after_a_removal_is_delivered(_: &Scenario, state: &State) -> bool {
    let membership = state.table.rows[Entity::Membership].committed();
    let removal = membership.filter(|row| row.is_deleted);
    removal.is_none_or(|removal| state.pull.device.rows.iter().all(|&version| version < removal.server_version))
}

fn no_dead_task_has_a_live_edge(_: &Scenario, state: &State) -> bool {
    (1..=state.table.committed_version()).all(|version| {
        let is_live = |entity| shown(state.table.row_in_state(entity, version)) != 0;
        is_live(Entity::Task) || !is_live(Entity::Edge)
    })
}

fn each_version_is_held_by_one_row(_: &Scenario, state: &State) -> bool {
    let table = &state.table;
    let rows = || table.rows.iter().filter_map(|item| item.committed());
    let current = table.committed_version();
    // Versions that older code drops are forgotten. From `archived_from` on, no version is forgotten.
    let forgets = |row: &Row, version| version < row.archived_from.unwrap_or(row.silent_below);
    let known = table.skipped.with(table.archive.named()).with(table.archive.anonymous);
    let is_held = |version| match rows().filter(|row| row.held().has(version)).count() {
        0 => known.has(version) || rows().any(|row| forgets(row, version)),
        holders => holders == 1 && !table.skipped.has(version),
    };
    let skipped = table.skipped.iter().count();
    (1..=current).all(is_held)
        && rows().map(|row| usize::from(row.writes)).sum::<usize>() + skipped == usize::from(current)
}

fn no_archived_version_is_current(_: &Scenario, state: &State) -> bool {
    let table = &state.table;
    let archive = table.archive;
    let all = archive.named().with(archive.anonymous);
    Entity::ALL.into_iter().all(|entity| {
        let row = table.rows[entity].committed();
        row.is_none_or(|row| {
            let of_others = archive.named().without(archive.rows[entity]);
            !all.has(row.server_version) && row.held().without(of_others) == row.held()
        })
    })
}

fn an_applied_counter_is_not_waited_for(scenario: &Scenario, state: &State) -> bool {
    let table = &state.table;
    match state.pull.phase {
        Pulling::Recount { found, .. } if table.unapplied().is_empty() => {
            newest(View { scenario, table }, found) <= table.visible_version()
        }
        _ => true,
    }
}

fn a_deletion_comes_to_its_end(_: &Scenario, state: &State) -> bool {
    let is_dead_at = |entity, version| {
        state.table.row_in_state(entity, version).is_some_and(|row| row.server_version == version && row.is_deleted)
    };
    state.table.counter.copies().windows(2).all(|pair| {
        let next = pair[1];
        let goes_on = |entity| next.last[entity] == 0 || is_dead_at(entity, next.last[entity]);
        let ends = next.last[Entity::Task] != 0 || next.unfinished;
        !pair[0].unfinished || (next.last[Entity::Membership] == 0 && Entity::ALL.into_iter().all(goes_on) && ends)
    })
}

fn an_applied_project_is_proven_by_the_table(scenario: &Scenario, state: &State) -> bool {
    let table = &state.table;
    let request = Request::new(state.pull.device.mark, table.visible_version());
    let now = PerRow::from_fn(|entity| table.rows[entity].now());
    !table.unapplied().is_empty()
        || Copies::from_table(table, now).into_iter().all(|copies| {
            let found = Found { request, source: Source::Table, copies, archive: None };
            judge(View { scenario, table }, found) != Verdict::Short
        })
}

/// An event that must be possible.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sometimes {
    ARequestIsDecidedAgain,
    ADraftIsRebased,
    AnExecutedRequestIsNotAnswered,
    ACascadeIsCommitted,
    ABatchIsMadeInPart,
    ADeletionIsHalfDone,
    ADeletionIsFinishedByAnother,
    AnOutcomeIsUnknown,
    AListIsCut,
    SomethingIsArchivedForNothing,
    APageIsCut,
    AnAnswerIsBusy,
    AnAnswerComesFromTheTable,
    AnAnswerRestsOnTheArchive,
    AnExactAnswerRestsOnTheArchive,
    AVersionIsHealed,
    ARemovalIsTold,
    AMemberAddedAgainIsResynced,
    AKeptPageIsGiven,
    AFinalPageIsRepeated,
}

impl Sometimes {
    pub(crate) fn property(self) -> Property<Scenario> {
        let (name, condition): (_, Condition) = match self {
            Self::ARequestIsDecidedAgain => ("a request is decided again", |_, state| {
                let again = |phase| matches!(phase, Writing::Reading { again: true, .. });
                state.writers.iter().any(|writer| again(writer.phase))
            }),
            Self::ADraftIsRebased => ("a draft is rebased", |_, state| {
                let rebased = |phase| matches!(phase, Writing::Rebased { .. });
                state.writers.iter().any(|writer| rebased(writer.phase))
            }),
            Self::AnExecutedRequestIsNotAnswered => ("an executed request is not answered", |_, state| {
                let lost = |phase| matches!(phase, Writing::Unsure { executed: true, .. });
                state.writers.iter().any(|writer| lost(writer.phase))
            }),
            Self::ACascadeIsCommitted => ("a cascade is committed", |_, state| {
                let last = state.table.counter.committed().map(|counter| counter.last);
                let both = |last: PerRow<u8>| last[Entity::Task] != 0 && last[Entity::Edge] != 0;
                last.is_some_and(both)
            }),
            Self::ABatchIsMadeInPart => ("a batch is made in part", |_, state| {
                // In a batch that changes the membership and the edge, the edge was refused because it is dead.
                let last = state.table.counter.committed().map(|counter| counter.last);
                let is_dead = state.table.rows[Entity::Edge].committed().is_some_and(|row| row.is_deleted);
                is_dead && last.is_some_and(|last| last[Entity::Membership] != 0 && last[Entity::Edge] == 0)
            }),
            Self::ADeletionIsHalfDone => ("a deletion is half done", |_, state| {
                state.table.counter.committed().is_some_and(|counter| counter.unfinished)
            }),
            Self::ADeletionIsFinishedByAnother => ("a deletion is finished by another", |_, state| {
                let is_over = |row: &Row| row.is_deleted;
                let deletes = |writer: &Writer| writer.commits > 0 && matches!(writer.phase, Writing::Reading { .. });
                state.table.rows[Entity::Task].committed().is_some_and(is_over) && state.writers.iter().any(deletes)
            }),
            Self::AnOutcomeIsUnknown => {
                ("an outcome is unknown", |_, state| state.writers.iter().any(|writer| writer.told_nothing))
            }
            Self::AListIsCut => ("a list is cut", |_, state| {
                let mut rows = state.table.rows.iter().filter_map(|item| item.committed());
                rows.any(|row| row.silent_below > 0)
            }),
            Self::APageIsCut => ("a page is cut", |_, state| matches!(state.pull.device.answer, Answer::Cut(_))),
            Self::AnAnswerIsBusy => {
                ("an answer is busy", |_, state| matches!(state.pull.device.answer, Answer::Busy(_)))
            }
            Self::AnAnswerComesFromTheTable => {
                ("an answer comes from the table", |_, state| how(state).is_some_and(|how| how.source == Source::Table))
            }
            Self::AnAnswerRestsOnTheArchive => {
                ("an answer rests on the archive", |_, state| how(state).is_some_and(|how| how.archive))
            }
            Self::AnExactAnswerRestsOnTheArchive => ("an exact answer rests on the archive", |_, state| {
                matches!(state.pull.device.answer, Answer::Exact(How { archive: true, source: Source::Index, .. }))
            }),
            Self::AVersionIsHealed => ("a version is healed", |_, state| !state.table.archive.anonymous.is_empty()),
            Self::SomethingIsArchivedForNothing => ("a list names what is archived", |_, state| {
                let table = &state.table;
                let named = |row: &Row| row.superseded().without(table.archive.named()) != row.superseded();
                table.rows.iter().filter_map(|item| item.committed()).any(named)
            }),
            Self::AKeptPageIsGiven => ("a kept page is given", |_, state| how(state).is_some_and(|how| how.kept)),
            Self::AFinalPageIsRepeated => ("a final page is repeated", |_, state| {
                matches!(state.pull.device.answer, Answer::Exact(How { kept: true, .. }))
            }),
            Self::ARemovalIsTold => ("a removal is told", |_, state| state.pull.device.answer == Answer::Removed),
            Self::AMemberAddedAgainIsResynced => {
                ("a member added again is resynced", |_, state| how(state).is_some_and(|how| how.resync))
            }
        };
        Property::sometimes(name, condition)
    }
}

fn how(state: &State) -> Option<How> {
    match state.pull.device.answer {
        Answer::Exact(how) | Answer::Busy(how) | Answer::Cut(how) => Some(how),
        Answer::Nothing | Answer::Removed => None,
    }
}
