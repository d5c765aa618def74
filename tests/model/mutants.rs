//! Shows what goes wrong if a rule is left out. For each rule, the checker finds the shortest way to break a promise.
//!
//! Some mistakes cost only extra reads, thanks to the proof. A test shows that, and another one makes the same mistake without
//! the proof.

use crate::check::{breaks, holds};
use crate::decision::Job::{self, AddEdge, DeleteTask, Patch, PatchByOlderCode};
use crate::properties::Always;
use crate::row::Entity::{Edge, Membership, Task};
use crate::rules::{
    CASCADE, EACH, EMULATOR, HOT_ROW, KEPT, OLDER_CODE, OVERFLOW, PAGED_OVERFLOW, PARTS, REMOVAL, RESTORED, TWO_WRITERS,
};
use crate::scenario::{Index, Last, Mutant, Scenario};

// The commit.

#[test]
fn a_counter_advanced_in_a_call_of_its_own_leaves_versions_that_no_row_holds() {
    let mutants = &[Mutant::CounterAdvancedSeparately];
    // A writer that is killed between the calls blocks every later pull.
    let scenario = Scenario { mutants, ..TWO_WRITERS };
    breaks(scenario, Always::EachVersionIsHeldByOneRow);
    breaks(scenario, Always::AnAppliedProjectIsProvenByTheTable);
    // That is thanks to the proof. Without it, rows are lost.
    holds(Scenario { always: Always::OF_THE_DEVICE, ..scenario });
    let mutants = &[Mutant::CounterAdvancedSeparately, Mutant::MarkTakenWithoutProof];
    breaks(Scenario { mutants, ..EMULATOR }, Always::EveryRowUpToTheMarkIsOnTheDevice);
}

#[test]
fn a_cascade_that_does_not_look_at_last_misses_an_edge() {
    let mutants = &[Mutant::LastNotChecked];
    breaks(Scenario { mutants, ..CASCADE }, Always::NoDeadTaskHasALiveEdge);
}

#[test]
fn a_commit_that_uses_no_set_and_does_not_look_at_last_hides_its_predecessor_from_a_cascade() {
    let mutants = &[Mutant::LastNotCheckedWithoutSets];
    breaks(Scenario { mutants, ..THREE }, Always::NoDeadTaskHasALiveEdge);
}

/// The third writer's commit comes between the edge and the cascade.
const THREE: Scenario = Scenario { writers: &[&[AddEdge], &[DeleteTask], &[Patch(&[Membership])]], ..CASCADE };

#[test]
fn a_set_read_before_last_was_seen_lacks_an_edge() {
    let mutants = &[Mutant::SetsReadBeforeLastWasSeen];
    breaks(Scenario { mutants, ..CASCADE }, Always::NoDeadTaskHasALiveEdge);
}

#[test]
fn a_set_read_while_last_is_only_condition_checked_lacks_an_edge() {
    let mutants = &[Mutant::SetsReadWhileLastIsOnlyConditionChecked];
    breaks(Scenario { mutants, ..CASCADE }, Always::NoDeadTaskHasALiveEdge);
}

/// To condition-check `last` is to see it in place only because DynamoDB answers `TransactionConflict` while a commit is being
/// applied. If DynamoDB ever judged such an item by its decided state, every commit would have to *see* `last`. No draft could
/// then be sent again on top of a commit that it has not seen.
#[test]
fn a_condition_check_on_last_relies_on_the_conflict_with_a_commit_being_applied() {
    let mutants = &[Mutant::NoConflictWithACommitBeingApplied];
    breaks(Scenario { mutants, ..THREE }, Always::NoDeadTaskHasALiveEdge);
    breaks(Scenario { mutants, last: Last::Seen, ..THREE }, Always::NoDeadTaskHasALiveEdge);
    let mutants = &[Mutant::NoConflictWithACommitBeingApplied, Mutant::NothingIsRebased];
    holds(Scenario { mutants, last: Last::Seen, ..THREE });
}

/// The commit in between may not be completely applied yet, and the counter does not name it any more.
#[test]
fn a_draft_rebased_without_conditions_on_last_hides_its_predecessor_from_a_cascade() {
    let mutants = &[Mutant::RebasedWithoutLast];
    breaks(Scenario { mutants, ..THREE }, Always::NoDeadTaskHasALiveEdge);
}

#[test]
fn a_draft_rebased_over_a_row_that_it_looked_at_is_wrong() {
    let mutants = &[Mutant::RebasedOverANamedRow];
    breaks(Scenario { mutants, ..CASCADE }, Always::NoDeadTaskHasALiveEdge);
    let writers: &[&[_]] = &[&[Patch(&[Task])], &[Patch(&[Task])]];
    breaks(Scenario { mutants, writers, ..TWO_WRITERS }, Always::EachVersionIsHeldByOneRow);
}

#[test]
fn a_cascade_rebased_over_a_new_edge_misses_it() {
    let mutants = &[Mutant::RebasedOverAListedCollection];
    breaks(Scenario { mutants, ..CASCADE }, Always::NoDeadTaskHasALiveEdge);
}

/// The writes of the first of them are not in `last`.
#[test]
fn a_cascade_rebased_across_two_commits_misses_an_edge() {
    let mutants = &[Mutant::RebasedAcrossTwoCommits];
    breaks(Scenario { mutants, ..THREE }, Always::NoDeadTaskHasALiveEdge);
}

#[test]
fn a_row_that_was_looked_at_and_not_checked_is_gone_by_the_commit() {
    let mutants = &[Mutant::RowsLookedAtNotChecked];
    breaks(Scenario { mutants, ..CASCADE }, Always::NoDeadTaskHasALiveEdge);
}

#[test]
fn a_row_written_unconditionally_forgets_a_version() {
    let mutants = &[Mutant::RowsWrittenUnconditionally];
    let writers: &[&[_]] = &[&[Patch(&[Task])], &[Patch(&[Task])]];
    breaks(Scenario { mutants, writers, ..TWO_WRITERS }, Always::EachVersionIsHeldByOneRow);
}

#[test]
fn two_rows_with_one_version_are_parted_by_a_page() {
    let mutants = &[Mutant::TwoRowsGivenOneVersion];
    let writers: &[&[_]] = &[&[Patch(&[Task, Edge])], &[Patch(&[Membership])]];
    let scenario = Scenario { mutants, writers, limit: 1, ..TWO_WRITERS };
    breaks(scenario, Always::EachVersionIsHeldByOneRow);
    breaks(scenario, Always::EveryRowUpToTheMarkIsOnTheDevice);
}

/// The batch writes the edge of a dead task, for which it should be refused.
#[test]
fn a_refused_operation_that_leaves_a_trace_brings_an_edge_of_a_dead_task_back() {
    let mutants = &[Mutant::RefusedOperationLeavesATrace];
    breaks(Scenario { mutants, ..EACH }, Always::NoDeadTaskHasALiveEdge);
}

#[test]
fn a_task_that_dies_a_version_before_its_edge_leaves_it_dangling() {
    let mutants = &[Mutant::TaskTombstoneBeforeItsEdges];
    let writers: &[&[_]] = &[&[DeleteTask]];
    breaks(Scenario { mutants, writers, ..TWO_WRITERS }, Always::NoDeadTaskHasALiveEdge);
}

#[test]
fn a_list_that_is_not_carried_on_makes_up_for_a_row_that_is_missing() {
    let scenario = Scenario { mutants: &[Mutant::SupersededNotCarriedOn], ..HOT_ROW };
    breaks(scenario, Always::EachVersionIsHeldByOneRow);
    for index in [Index::Free, Index::Empty] {
        breaks(Scenario { index, ..scenario }, Always::EveryRowUpToTheMarkIsOnTheDevice);
    }
}

#[test]
fn a_new_token_after_a_lost_answer_commits_twice() {
    let mutants = &[Mutant::NewTokenAfterALostAnswer];
    let scenario = Scenario { mutants, answers_get_lost: true, pulls: false, ..TWO_WRITERS };
    breaks(scenario, Always::NoChangeIsCommittedTwice);
}

#[test]
fn a_conflict_answered_to_the_repetition_does_not_settle_the_fate_of_the_request() {
    let mutants = &[Mutant::ConflictSettlesTheFate];
    let scenario = Scenario { mutants, answers_get_lost: true, pulls: false, ..TWO_WRITERS };
    breaks(scenario, Always::NoChangeIsCommittedTwice);
}

#[test]
fn a_condition_answered_to_a_late_repetition_does_not_settle_the_fate_of_the_request() {
    let mutants = &[Mutant::ConditionSettlesTheFate];
    let lost = Scenario { mutants, answers_get_lost: true, tokens_are_forgotten: true, ..TWO_WRITERS };
    let writers: &[&[_]] = &[&[Patch(&[Task])]];
    breaks(Scenario { writers, pulls: false, ..lost }, Always::NoChangeIsCommittedTwice);
    let writers: &[&[_]] = &[&[AddEdge]];
    breaks(Scenario { rows: CASCADE.rows, writers, pulls: false, ..lost }, Always::NoCommitIsDenied);
}

// A deletion in several parts.

/// Somebody changes the task in between, and the rest of the deletion is refused.
#[test]
fn a_deletion_whose_parts_are_decided_anew_is_denied_when_half_of_it_is_done() {
    let mutants = &[Mutant::EachPartIsDecidedAnew];
    breaks(Scenario { mutants, ..PARTS }, Always::NoCommitIsDenied);
}

#[test]
fn a_deletion_that_others_do_not_finish_first_is_left_half_done() {
    let mutants = &[Mutant::NoteIsNotMinded];
    breaks(Scenario { mutants, ..PARTS }, Always::ADeletionComesToItsEnd);
}

/// The draft does not have the note, so the note is lost.
#[test]
fn a_draft_rebased_over_a_deletion_that_has_begun_forgets_it() {
    let mutants = &[Mutant::RebasedOverANote];
    breaks(Scenario { mutants, ..PARTS }, Always::ADeletionComesToItsEnd);
}

#[test]
fn a_deletion_given_up_after_its_first_part_is_not_to_be_answered_as_if_nothing_had_been_written() {
    let mutants = &[Mutant::BusyAfterAPart];
    breaks(Scenario { mutants, ..PARTS }, Always::NoCommitIsDenied);
}

// The archive.

/// A writer that is killed in between leaves versions that nothing names. Every pull across them must read the table.
#[test]
fn what_is_archived_after_the_commit_may_never_be() {
    let mutants = &[Mutant::ArchivedAfterTheCommit];
    breaks(Scenario { mutants, ..OVERFLOW }, Always::EachVersionIsHeldByOneRow);
    let always = &[Always::TheIndexSuffices];
    let emulator = Scenario { index: EMULATOR.index, application: EMULATOR.application, ..OVERFLOW };
    breaks(Scenario { mutants, always, ..emulator }, Always::TheIndexSuffices);
}

/// The commit may fail, and then that version is current.
#[test]
fn a_version_that_is_archived_by_the_commit_that_supersedes_it_loses_its_row() {
    let mutants = &[Mutant::ArchivesTheVersionBeingSuperseded];
    breaks(Scenario { mutants, ..OVERFLOW }, Always::NoArchivedVersionIsCurrent);
    breaks(Scenario { mutants, ..OVERFLOW }, Always::EveryRowUpToTheMarkIsOnTheDevice);
}

#[test]
fn an_archive_that_is_no_sighting_makes_an_answer_exact_that_lacks_a_row() {
    let mutants = &[Mutant::ArchiveIsNoSighting];
    breaks(Scenario { mutants, ..OVERFLOW }, Always::AnExactAnswerIsTheStateAtTheMark);
}

/// If a page is cut, a later row is not read, and that does not make it newer than the counter.
#[test]
fn a_row_behind_the_page_is_no_sighting() {
    let mutants = &[Mutant::SightingOfWhatIsMissing];
    breaks(Scenario { mutants, ..PAGED_OVERFLOW }, Always::AnAppliedCounterIsNotWaitedFor);
}

/// Below the floor of a history there are also versions that are only missing from the index for the moment.
#[test]
fn a_silent_list_taken_for_archived_loses_rows() {
    let mutants = &[Mutant::SilentListTakenForArchived];
    breaks(Scenario { mutants, ..OVERFLOW }, Always::EveryRowUpToTheMarkIsOnTheDevice);
}

/// Versions that older code dropped count as written before the counter, and make up for a missing row.
#[test]
fn a_list_cut_by_older_code_and_taken_for_archived_loses_rows() {
    const OLDER: Job = PatchByOlderCode(&[Task]);
    let mutants = &[Mutant::CutByOldCodeTakenForArchived];
    let writers: &[&[_]] = &[&[OLDER, OLDER, Patch(&[Task])]];
    breaks(Scenario { mutants, writers, ..OLDER_CODE }, Always::EachVersionIsHeldByOneRow);
    let writers: &[&[_]] = &[&[OLDER, OLDER, OLDER, Patch(&[Task])], &[AddEdge]];
    let scenario = Scenario { mutants, writers, index: Index::Empty, ..OLDER_CODE };
    breaks(scenario, Always::EveryRowUpToTheMarkIsOnTheDevice);
}

/// So the archive is read after the last row, or the row's history counts as silent.
#[test]
fn an_archive_read_before_the_rows_makes_up_for_a_row_that_is_missing() {
    let mutants = &[Mutant::ArchiveReadBeforeTheRows];
    breaks(Scenario { mutants, index: Index::Empty, ..OVERFLOW }, Always::EveryRowUpToTheMarkIsOnTheDevice);
}

/// A version that a torn read misses looks like one that nothing names.
#[test]
fn a_project_healed_without_the_sum_loses_rows() {
    let mutants = &[Mutant::HealedWithoutTheSum];
    breaks(Scenario { mutants, ..OLDER_CODE }, Always::NoArchivedVersionIsCurrent);
    breaks(Scenario { mutants, ..OLDER_CODE }, Always::EveryRowUpToTheMarkIsOnTheDevice);
}

/// Archived versions then look as if no row ever got them.
#[test]
fn a_table_restored_without_a_look_at_the_archive_does_not_add_up() {
    let mutants = &[Mutant::RestoredWithoutTheArchive];
    breaks(Scenario { mutants, ..RESTORED }, Always::EachVersionIsHeldByOneRow);
    let always = &[Always::AnAppliedProjectIsProvenByTheTable];
    breaks(Scenario { mutants, always, ..RESTORED }, Always::AnAppliedProjectIsProvenByTheTable);
}

// The pull.

#[test]
fn a_mark_taken_without_proof_loses_rows_and_no_emulator_shows_it() {
    let mutants = &[Mutant::MarkTakenWithoutProof];
    breaks(Scenario { mutants, ..TWO_WRITERS }, Always::EveryRowUpToTheMarkIsOnTheDevice);
    holds(Scenario { mutants, always: Always::OF_THE_DEVICE, ..EMULATOR });
}

#[test]
fn a_counter_read_after_the_rows_loses_rows_or_costs_reads() {
    let mutants = &[Mutant::CounterReadAfterTheRows, Mutant::MarkTakenWithoutProof];
    breaks(Scenario { mutants, ..EMULATOR }, Always::EveryRowUpToTheMarkIsOnTheDevice);
    // With the proof.
    let mutants = &[Mutant::CounterReadAfterTheRows];
    holds(Scenario { mutants, ..TWO_WRITERS });
    let always = &[Always::TheIndexSuffices];
    breaks(Scenario { mutants, always, ..EMULATOR }, Always::TheIndexSuffices);
}

#[test]
fn a_query_bounded_at_the_mark_shows_no_state_or_costs_reads() {
    let mutants = &[Mutant::QueryBoundedAtTheMark, Mutant::MarkTakenWithoutProof];
    breaks(Scenario { mutants, ..EMULATOR }, Always::AnExactAnswerIsTheStateAtTheMark);
    // With the proof.
    let mutants = &[Mutant::QueryBoundedAtTheMark];
    holds(Scenario { mutants, ..TWO_WRITERS });
    let always = &[Always::TheIndexSuffices];
    breaks(Scenario { mutants, always, ..EMULATOR }, Always::TheIndexSuffices);
}

#[test]
fn a_table_believed_without_its_sum_loses_rows() {
    let mutants = &[Mutant::TableBelievedWithoutItsSum];
    breaks(Scenario { mutants, ..TWO_WRITERS }, Always::EveryRowUpToTheMarkIsOnTheDevice);
}

#[test]
fn a_list_silent_above_the_mark_makes_up_for_a_row_that_is_missing() {
    let mutants = &[Mutant::SilentListBelieved];
    let scenario = Scenario { mutants, list_capacity: 1, ..HOT_ROW };
    for index in [Index::Free, Index::Empty] {
        breaks(Scenario { index, ..scenario }, Always::EveryRowUpToTheMarkIsOnTheDevice);
    }
}

#[test]
fn a_final_mark_on_an_early_page_loses_the_later_ones() {
    let scenario = Scenario { mutants: &[Mutant::FinalMarkOnAnEarlyPage], limit: 1, ..TWO_WRITERS };
    breaks(scenario, Always::EveryRowUpToTheMarkIsOnTheDevice);
}

/// Such a page may end at the version of a removal, and be taken for the mark of a removed member.
#[test]
fn a_page_that_ends_between_two_rows_makes_the_mark_go_back() {
    let mutants = &[Mutant::PageEndsBetweenTwoRows];
    breaks(Scenario { mutants, ..REMOVAL }, Always::TheMarkNeverGoesBack);
}

/// The next pull finds the counter at its mark and has nothing to add to rows from beyond it.
#[test]
fn a_busy_answer_ahead_of_the_counter_is_followed_by_a_wrong_empty_one() {
    let mutants = &[Mutant::BusyAnswerAheadOfTheCounter];
    breaks(Scenario { mutants, ..TWO_WRITERS }, Always::AnExactAnswerIsTheStateAtTheMark);
}

/// The same happens with a row that the page left out because it is newer.
#[test]
fn a_cut_answer_ahead_of_the_counter_is_followed_by_a_wrong_empty_one() {
    let mutants = &[Mutant::CutAnswerAheadOfTheCounter];
    let scenario = Scenario { mutants, limit: 1, ..TWO_WRITERS };
    breaks(scenario, Always::AnExactAnswerIsTheStateAtTheMark);
}

/// Only the version history of a later row was read.
#[test]
fn a_row_of_which_only_the_history_was_read_is_lost() {
    let mutants = &[Mutant::RowOfAListTakenForRead];
    breaks(Scenario { mutants, limit: 2, ..TWO_WRITERS }, Always::EveryRowUpToTheMarkIsOnTheDevice);
}

#[test]
fn a_newer_row_than_the_counter_counts_even_if_only_its_history_was_read() {
    let mutants = &[Mutant::RowOfAListNotSeen];
    for limit in [1, 2] {
        breaks(Scenario { mutants, limit, ..TWO_WRITERS }, Always::AnExactAnswerIsTheStateAtTheMark);
    }
}

// The caller's membership.

#[test]
fn a_removed_member_is_served_where_the_own_dead_membership_is_not_looked_for() {
    let mutants = &[Mutant::OwnDeadMembershipNotLookedFor];
    breaks(Scenario { mutants, ..REMOVAL }, Always::NothingIsDeliveredAfterARemoval);
}

/// The index may show a tombstone long after the member was added again. The membership that was read with the counter is one of
/// the rows, and of two copies the newer one counts.
#[test]
fn a_member_is_taken_for_removed_where_an_old_tombstone_is_believed() {
    let mutants = &[Mutant::OldOwnTombstoneBelieved];
    breaks(Scenario { mutants, ..REMOVAL }, Always::NoMemberIsTakenForRemoved);
}

/// It is not enough to ignore the tombstone, because a page may still end with it.
#[test]
fn an_old_tombstone_among_the_rows_makes_the_mark_go_back() {
    let mutants = &[Mutant::OldOwnTombstoneDelivered];
    breaks(Scenario { mutants, ..REMOVAL }, Always::TheMarkNeverGoesBack);
}

/// The rows of a busy answer that are newer than S may be newer than the removal. But then the removal is completely applied, and
/// another read of the membership, together with the counter, shows it.
#[test]
fn a_busy_answer_without_another_look_at_the_membership_shows_what_was_written_after_the_removal() {
    let mutants = &[Mutant::MembershipNotReadAgain];
    let scenario = Scenario { mutants, limit: 3, ..REMOVAL };
    breaks(scenario, Always::NothingWrittenAfterARemovalIsDelivered);
}

/// The membership is back already while S is still the version of its removal.
#[test]
fn a_busy_answer_at_the_version_of_a_removal_makes_the_mark_go_back() {
    let mutants = &[Mutant::BusyAnswerAtARemoval];
    breaks(Scenario { mutants, ..REMOVAL }, Always::TheMarkNeverGoesBack);
}

/// The counter is as old as the removal, and the membership is live again. A pull that compares `since` with S first finds them
/// equal.
#[test]
fn a_member_added_again_gets_an_empty_answer_where_the_resync_is_looked_for_last() {
    let mutants = &[Mutant::EmptyAnswerBeforeTheResync];
    breaks(Scenario { mutants, ..REMOVAL }, Always::EveryRowUpToTheMarkIsOnTheDevice);
}

// A page that is kept.

/// Rows that were replaced before the member was added are not for them, and the page was made before they were a member.
#[test]
fn a_page_for_a_younger_member_shows_what_is_from_before_they_were_let_in() {
    let mutants = &[Mutant::PageGivenToAYoungerMember];
    let always = &[Always::NothingFromBeforeTheReaderWasLetIn];
    breaks(Scenario { mutants, index: Index::Current, always, ..KEPT }, always[0]);
}

/// The page was made for another user from an index that lagged, and the member was added again.
#[test]
fn a_page_with_the_own_tombstone_tells_a_member_of_a_removal_that_is_over() {
    let mutants = &[Mutant::PageGivenWithTheOwnTombstone];
    breaks(Scenario { mutants, ..KEPT }, Always::NoMemberIsToldOfTheirOwnTombstone);
}

#[test]
fn a_page_that_is_given_before_the_membership_is_read_is_given_to_a_removed_member() {
    let mutants = &[Mutant::PageGivenWithoutTheMembership];
    breaks(Scenario { mutants, ..KEPT }, Always::NothingIsDeliveredAfterARemoval);
}

/// A pull's counter may be older than a page that was made since. That does no harm here, because the next pull reads the counter
/// anew. The product still gives no such page, because a restore takes the counter back.
#[test]
fn a_page_that_is_newer_than_the_counter_of_its_pull_does_no_harm() {
    let mutants = &[Mutant::PageGivenAheadOfTheCounter];
    holds(Scenario { mutants, limit: 1, keeps_a_page: true, ..TWO_WRITERS });
}

#[test]
fn a_page_kept_before_its_counter_is_read_is_followed_by_a_wrong_exact_answer() {
    let mutants = &[Mutant::PageKeptBeforeItsCounter];
    breaks(Scenario { mutants, limit: 1, keeps_a_page: true, ..TWO_WRITERS }, Always::AnExactAnswerIsTheStateAtTheMark);
}

#[test]
fn a_final_page_that_is_repeated_later_says_that_there_is_no_more() {
    let mutants = &[Mutant::FinalPageRepeatedLater];
    breaks(Scenario { mutants, keeps_a_page: true, ..TWO_WRITERS }, Always::WhatIsSaidToBeAllIsAll);
}

#[test]
fn a_busy_answer_that_is_kept_shows_rows_from_beyond_the_mark() {
    let mutants = &[Mutant::BusyAnswerKept];
    breaks(Scenario { mutants, keeps_a_page: true, ..TWO_WRITERS }, Always::NoPageShowsWhatIsBeyondItsMark);
}
