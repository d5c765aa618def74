//! The promises that hold, each with the bounds of its check.

use crate::check::holds;
use crate::decision::Job::{
    AddEdge, AddMemberAgain, DeleteTask, DeleteTaskIf, Heal, Patch, PatchByOlderCode, PatchEach, RemoveMember,
};
use crate::properties::{Always, Sometimes};
use crate::row::Entity::{Edge, Membership, Task};
use crate::row::Overflow;
use crate::scenario::{Application, Index, Last, Scenario};

/// Two writers, and a device whose responses hold every row.
pub(crate) const TWO_WRITERS: Scenario = Scenario {
    rows: &[Task, Membership, Edge],
    writers: &[&[Patch(&[Task])], &[Patch(&[Edge])]],
    pulls: true,
    limit: 3,
    list_capacity: 15,
    overflow: Overflow::Forgotten,
    restored: None,
    last: Last::ConditionChecked,
    answers_get_lost: false,
    transaction_rows: 3,
    tokens_are_forgotten: false,
    keeps_a_page: false,
    application: Application::ItemByItem,
    index: Index::Free,
    mutants: &[],
    always: Always::ALL,
    sometimes: &[],
};

/// Two writers and a device in front of an emulator.
pub(crate) const EMULATOR: Scenario =
    Scenario { application: Application::AtOnce, index: Index::Current, ..TWO_WRITERS };

/// A task is deleted while somebody adds an edge to it.
pub(crate) const CASCADE: Scenario =
    Scenario { rows: &[Task, Membership], writers: &[&[AddEdge], &[DeleteTask]], ..TWO_WRITERS };

/// A batch whose operations are judged one by one, while what one of them is about is deleted.
pub(crate) const EACH: Scenario =
    Scenario { writers: &[&[PatchEach(&[Membership, Edge])], &[DeleteTask]], limit: 2, ..TWO_WRITERS };

/// A deletion that does not fit a transaction, made on a version of the task, while others write.
pub(crate) const PARTS: Scenario = Scenario {
    writers: &[&[DeleteTaskIf(1)], &[Patch(&[Task])], &[Patch(&[Membership])]],
    transaction_rows: 1,
    pulls: false,
    ..TWO_WRITERS
};

/// The device's user is removed and added again while somebody writes.
pub(crate) const REMOVAL: Scenario = Scenario {
    rows: &[Task, Membership],
    writers: &[&[RemoveMember, AddMemberAgain], &[Patch(&[Task])]],
    limit: 1,
    ..TWO_WRITERS
};

/// The device's user is removed and added again, while an instance keeps a page.
pub(crate) const KEPT: Scenario = Scenario { keeps_a_page: true, ..REMOVAL };

/// One row is written again and again while another one is written once.
pub(crate) const HOT_ROW: Scenario =
    Scenario { writers: &[&[Patch(&[Task]), Patch(&[Task]), Patch(&[Task])], &[Patch(&[Edge])]], ..TWO_WRITERS };

/// One row is written more often than its history holds, and the dropped versions are archived.
pub(crate) const OVERFLOW: Scenario = Scenario { list_capacity: 1, overflow: Overflow::Archived, ..HOT_ROW };

/// One row is written more often than its history holds, and rows are cut into pages.
pub(crate) const PAGED_OVERFLOW: Scenario = Scenario {
    rows: &[Membership, Task],
    writers: &[&[Patch(&[Task]), Patch(&[Task]), Patch(&[Task])], &[Patch(&[Membership])]],
    limit: 1,
    ..OVERFLOW
};

/// Older code cuts a history, and a backfill archives the versions.
pub(crate) const OLDER_CODE: Scenario = Scenario {
    writers: &[&[PatchByOlderCode(&[Task]), PatchByOlderCode(&[Task])], &[AddEdge], &[Heal]],
    rows: &[Task, Membership],
    ..OVERFLOW
};

/// A table is restored from a backup after one row was written more often than its history holds.
pub(crate) const RESTORED: Scenario = Scenario {
    restored: Some(&[Patch(&[Task]), Patch(&[Task]), Patch(&[Task, Edge])]),
    writers: &[&[Patch(&[Task])], &[Patch(&[Edge])]],
    ..OVERFLOW
};

#[test]
fn a_device_keeps_up_with_three_writers() {
    for limit in [1, 2, 3] {
        holds(Scenario {
            writers: &[&[Patch(&[Task])], &[Patch(&[Edge])], &[Patch(&[Task, Edge])]],
            limit,
            sometimes: &[
                Sometimes::ARequestIsDecidedAgain,
                Sometimes::ADraftIsRebased,
                Sometimes::AnAnswerIsBusy,
                Sometimes::AnAnswerComesFromTheTable,
            ],
            ..TWO_WRITERS
        });
    }
}

#[test]
fn what_is_accepted_of_a_batch_is_one_commit_and_what_is_refused_leaves_no_trace() {
    for answers_get_lost in [false, true] {
        holds(Scenario {
            answers_get_lost,
            sometimes: &[
                Sometimes::ABatchIsMadeInPart,
                Sometimes::ACascadeIsCommitted,
                Sometimes::ARequestIsDecidedAgain,
            ],
            ..EACH
        });
    }
}

#[test]
fn a_device_keeps_up_with_a_longer_history() {
    holds(Scenario {
        writers: &[&[Patch(&[Task]), Patch(&[Task, Edge])], &[Patch(&[Edge]), DeleteTask]],
        limit: 1,
        sometimes: &[
            Sometimes::ACascadeIsCommitted,
            Sometimes::APageIsCut,
            Sometimes::AnAnswerIsBusy,
            Sometimes::AnAnswerComesFromTheTable,
        ],
        ..TWO_WRITERS
    });
}

#[test]
fn a_device_keeps_up_though_lists_are_cut() {
    holds(Scenario {
        writers: &[&[Patch(&[Task]), Patch(&[Task, Edge])], &[Patch(&[Edge]), DeleteTask]],
        limit: 2,
        list_capacity: 1,
        sometimes: &[
            Sometimes::AListIsCut,
            Sometimes::APageIsCut,
            Sometimes::AnAnswerIsBusy,
            Sometimes::AnAnswerComesFromTheTable,
        ],
        ..TWO_WRITERS
    });
    holds(Scenario { list_capacity: 1, sometimes: &[Sometimes::AListIsCut], ..HOT_ROW });
}

#[test]
fn a_device_keeps_up_though_lists_overflow() {
    for (list_capacity, limit, scenario) in [(1, 3, OVERFLOW), (2, 3, OVERFLOW), (1, 2, PAGED_OVERFLOW)] {
        holds(Scenario {
            list_capacity,
            limit,
            sometimes: &[
                Sometimes::AListIsCut,
                Sometimes::SomethingIsArchivedForNothing,
                Sometimes::AnAnswerIsBusy,
                Sometimes::AnAnswerComesFromTheTable,
                Sometimes::AnAnswerRestsOnTheArchive,
                Sometimes::AnExactAnswerRestsOnTheArchive,
            ],
            ..scenario
        });
    }
}

#[test]
fn a_device_keeps_up_though_older_code_cuts_lists_and_a_project_is_healed() {
    let sometimes = &[Sometimes::AVersionIsHealed, Sometimes::AnAnswerRestsOnTheArchive];
    holds(Scenario { sometimes, ..OLDER_CODE });
    let writers: &[&[_]] = &[&[PatchByOlderCode(&[Task]), PatchByOlderCode(&[Task]), Patch(&[Task])], &[Heal]];
    holds(Scenario { writers, sometimes, ..OLDER_CODE });
}

#[test]
fn a_device_keeps_up_with_a_restored_table_whose_lists_had_overflowed() {
    holds(Scenario { sometimes: &[Sometimes::AnExactAnswerRestsOnTheArchive], ..RESTORED });
}

#[test]
fn an_emulator_never_makes_a_pull_read_the_table_though_lists_overflow() {
    for list_capacity in [1, 2] {
        for limit in [1, 3] {
            holds(Scenario {
                writers: &[&[Patch(&[Task]), Patch(&[Task]), Patch(&[Task])], &[Patch(&[Task, Edge])], &[DeleteTask]],
                overflow: Overflow::Archived,
                list_capacity,
                limit,
                always: &[Always::TheIndexSuffices, Always::AnAppliedCounterIsNotWaitedFor],
                sometimes: &[Sometimes::AnExactAnswerRestsOnTheArchive],
                ..EMULATOR
            });
        }
    }
}

#[test]
fn a_cascade_sees_every_edge_and_the_device_sees_the_cascade() {
    for (limit, last) in [(1, Last::ConditionChecked), (2, Last::ConditionChecked), (1, Last::Seen)] {
        holds(Scenario {
            writers: &[&[AddEdge], &[DeleteTask], &[Patch(&[Membership])]],
            limit,
            last,
            sometimes: &[
                Sometimes::ARequestIsDecidedAgain,
                Sometimes::ADraftIsRebased,
                Sometimes::ACascadeIsCommitted,
                Sometimes::APageIsCut,
                Sometimes::AnAnswerComesFromTheTable,
            ],
            ..CASCADE
        });
    }
}

#[test]
fn a_deletion_in_parts_comes_to_its_end_and_nobody_is_told_otherwise() {
    let sometimes = &[Sometimes::ADeletionIsHalfDone, Sometimes::ADeletionIsFinishedByAnother];
    holds(Scenario { sometimes, ..PARTS });
    holds(Scenario { sometimes, answers_get_lost: true, ..PARTS });
    let writers: &[&[_]] = &[&[DeleteTaskIf(1)], &[Patch(&[Task])]];
    holds(Scenario { writers, pulls: true, sometimes, ..PARTS });
}

#[test]
fn a_lost_answer_whose_token_is_forgotten_commits_nothing_twice() {
    let sometimes = &[Sometimes::AnExecutedRequestIsNotAnswered, Sometimes::AnOutcomeIsUnknown];
    let writers: &[&[_]] = &[&[Patch(&[Task])], &[Patch(&[Task])], &[Patch(&[Membership])]];
    let scenario = Scenario { writers, pulls: false, answers_get_lost: true, sometimes, ..TWO_WRITERS };
    holds(Scenario { tokens_are_forgotten: true, ..scenario });
    holds(Scenario { tokens_are_forgotten: true, answers_get_lost: true, sometimes, ..PARTS });
}

#[test]
fn a_lost_answer_commits_nothing_twice() {
    let writers: &[&[_]] = &[&[AddEdge], &[DeleteTask], &[Patch(&[Membership])]];
    let sometimes = &[Sometimes::AnExecutedRequestIsNotAnswered];
    holds(Scenario { writers, limit: 1, answers_get_lost: true, sometimes, ..CASCADE });
    // Without a device there is room for more commits.
    let writers: &[&[_]] = &[&[AddEdge, Patch(&[Edge])], &[DeleteTask], &[Patch(&[Task]), Patch(&[Membership])]];
    holds(Scenario { writers, pulls: false, answers_get_lost: true, sometimes, ..CASCADE });
}

#[test]
fn a_removed_member_gets_nothing_and_one_added_again_everything() {
    let sometimes = &[
        Sometimes::ARemovalIsTold,
        Sometimes::AMemberAddedAgainIsResynced,
        Sometimes::AnAnswerIsBusy,
        Sometimes::APageIsCut,
    ];
    holds(Scenario {
        writers: &[&[RemoveMember, AddMemberAgain, RemoveMember, AddMemberAgain], &[Patch(&[Task])]],
        sometimes,
        ..REMOVAL
    });
    holds(Scenario { writers: &[&[RemoveMember, AddMemberAgain], &[AddEdge], &[DeleteTask]], sometimes, ..REMOVAL });
}

#[test]
fn a_device_keeps_up_with_pages_that_were_kept() {
    let sometimes = &[Sometimes::AKeptPageIsGiven, Sometimes::APageIsCut];
    holds(Scenario { keeps_a_page: true, limit: 1, sometimes, ..TWO_WRITERS });
    holds(Scenario { keeps_a_page: true, limit: 2, sometimes, ..TWO_WRITERS });
    let sometimes = &[Sometimes::AFinalPageIsRepeated];
    holds(Scenario { keeps_a_page: true, sometimes, ..TWO_WRITERS });
}

#[test]
fn a_kept_page_is_given_to_whoever_could_have_been_given_it_when_it_was_made() {
    let sometimes = &[Sometimes::AKeptPageIsGiven, Sometimes::ARemovalIsTold, Sometimes::AMemberAddedAgainIsResynced];
    holds(Scenario { sometimes, ..KEPT });
    holds(Scenario { limit: 3, sometimes, ..KEPT });
    // With an index that is current, each row of an answer is from a time when its reader was a member.
    let always = &[Always::NothingFromBeforeTheReaderWasLetIn];
    holds(Scenario { index: Index::Current, always, sometimes, ..KEPT });
    holds(Scenario { index: Index::Current, limit: 3, always, sometimes, ..KEPT });
}

#[test]
fn an_emulator_never_makes_a_pull_read_the_table() {
    for limit in [1, 2, 3] {
        holds(Scenario {
            writers: &[&[Patch(&[Task]), Patch(&[Edge])], &[Patch(&[Task, Edge])], &[DeleteTask]],
            limit,
            always: &[Always::TheIndexSuffices],
            sometimes: &[Sometimes::ACascadeIsCommitted],
            ..EMULATOR
        });
    }
}

#[test]
#[ignore = "five minutes, or one with optimisation"]
fn a_device_keeps_up_with_writers_and_removals_at_once() {
    let sometimes = &[
        Sometimes::AListIsCut,
        Sometimes::APageIsCut,
        Sometimes::AnAnswerIsBusy,
        Sometimes::AnAnswerComesFromTheTable,
        Sometimes::ARemovalIsTold,
        Sometimes::AMemberAddedAgainIsResynced,
    ];
    holds(Scenario {
        writers: &[&[AddEdge, Patch(&[Edge])], &[DeleteTask], &[RemoveMember, AddMemberAgain]],
        list_capacity: 1,
        sometimes,
        ..REMOVAL
    });
    holds(Scenario {
        writers: &[&[Patch(&[Task]), Patch(&[Task, Edge])], &[Patch(&[Edge])], &[RemoveMember, AddMemberAgain]],
        limit: 1,
        list_capacity: 1,
        sometimes,
        ..TWO_WRITERS
    });
}
