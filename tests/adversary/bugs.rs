//! The bugs that the convergence test found, each with the scenario that shows it at once.

use crate::operations::Kind;
use crate::run::play;
use crate::scenario::{Scenario, Weights};
use crate::table::{Delays, Faults};

/// `BatchGetItem` had read the counter before a commit and the row after it. So the draft gave the row a version that was not
/// above its own, and the instance panicked while it encoded the version history.
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
    if let Err(failure) = play(1, &scenario, false) {
        panic!("{}", failure.violation);
    }
}
