//! Runs the checker and reports its results.

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::properties::Always;
use crate::scenario::{Action, Scenario};

/// Checks that every state within the bounds keeps every promise, and that everything that must be possible happens.
pub(crate) fn holds(scenario: Scenario) {
    let begin = Instant::now();
    let checker = scenario.checker().spawn_dfs().join();
    report(&checker, begin);
    checker.assert_properties();
}

/// Checks that the promise can be broken within the bounds. Prints the shortest way.
pub(crate) fn breaks(scenario: Scenario, promise: Always) {
    let begin = Instant::now();
    let mut shortest: Option<Vec<Action>> = None;
    loop {
        let mut checker = scenario.checker().finish_when(HasDiscoveries::AnyOf([promise.name()].into()));
        if let Some(found) = &shortest {
            // The checker goes on a little after its first discovery, and keeps the last one.
            checker = checker.target_max_depth(found.len() + 1);
        }
        let checker = checker.spawn_bfs().join();
        match checker.discovery(promise.name()) {
            Some(path) => shortest = Some(path.into_actions()),
            None => break report(&checker, begin),
        }
        if shortest.as_ref().is_some_and(Vec::is_empty) {
            break report(&checker, begin);
        }
    }
    assert!(shortest.is_some(), "never broken: {}", promise.name());
    let shortest = shortest.unwrap_or_default();
    println!("  broken in {} steps: {}", shortest.len(), promise.name());
    shortest.iter().for_each(|action| println!("    {action:?}"));
}

fn report(checker: &impl Checker<Scenario>, begin: Instant) {
    println!("{}", checker.model());
    println!(
        "  {} unique states, {} generated, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        begin.elapsed().as_secs_f64(),
    );
}
