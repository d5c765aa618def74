//! What the convergence test found, each bug with the play that showed it at once.

use std::ops::Range;

use crate::operations::Kind;
use crate::run::play;
use crate::scenario::{Scenario, Weights};
use crate::table::{Delays, Faults, Lag};

/// `BatchGetItem` had read the counter before a commit and the row after it: the draft gave the row a version not above the
/// one it held, and the instance panicked while encoding what the row superseded.
#[test]
fn a_row_that_is_newer_than_the_counter_beside_it_is_read_again() {
    let faults = Faults { network: Delays::up_to(3), apart: Delays::up_to(30), ..Faults::NONE };
    let scenario = Scenario {
        name: "one row",
        writers: 6,
        devices: 0,
        operations: 100,
        tasks: 1,
        edges: 0,
        writer_pause: 10,
        weights: Weights::only(&[(Kind::ChangeTask, 1)]),
        faults,
        ..Scenario::draw(0)
    };
    expect_no_violation(&scenario, 1..2);
}

/// The index still had the tombstone of someone who had been added again, and the pull believed that rather than the
/// membership it had read strongly: the device was wiped.
#[test]
fn an_old_tombstone_of_a_member_added_again_does_not_wipe_the_device() {
    let scenario = Scenario {
        name: "added again",
        writers: 2,
        devices: 7,
        operations: 100,
        writer_pause: 20,
        device_pause: 40,
        faults: Faults { lag: Lag::Drawn(Delays { usual: 300, rare: 0.0, longest: 0 }), ..Faults::NONE },
        ..members_come_and_go()
    };
    expect_no_violation(&scenario, 1..3);
}

/// A busy answer, which rows newer than the counter keep from being a snapshot, relied on the membership that had been
/// read first: it ended at the version of a removal that had not been seen yet, or showed the removed member rows that
/// were written afterwards.
#[test]
fn a_busy_answer_reads_the_membership_again() {
    let scenario = Scenario {
        name: "busy",
        writers: 12,
        devices: 7,
        operations: 300,
        writer_pause: 2,
        device_pause: 5,
        faults: Faults {
            network: Delays { usual: 12, rare: 0.0, longest: 0 },
            apart: Delays { usual: 12, rare: 0.0, longest: 0 },
            ..Faults::NONE
        },
        ..members_come_and_go()
    };
    expect_no_violation(&scenario, 1..5);
}

fn members_come_and_go() -> Scenario {
    let weights = [(Kind::AddMember, 10), (Kind::RemoveMember, 8), (Kind::ChangeTask, 10)];
    Scenario { tasks: 12, edges: 0, weights: Weights::only(&weights), ..Scenario::draw(0) }
}

fn expect_no_violation(scenario: &Scenario, seeds: Range<u64>) {
    for seed in seeds {
        if let Err(failure) = play(seed, scenario, false) {
            panic!("seed {seed}: {}", failure.violation);
        }
    }
}
