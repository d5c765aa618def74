//! Measures the outcomes of pulls, and their costs, on an index that lags as real ones are reported to lag.

use std::thread;

use crate::figures::Figures;
use crate::operations::Kind;
use crate::run::play;
use shared::domain::VersionHistory;

use crate::scenario::{Scenario, Weights};
use crate::table::{Cost, Delays, Faults, Lag};

/// An index that is 10 ms behind, and for one entry in a thousand more than a second. Calls take 10 ms. Nothing else goes wrong.
const REALISTIC: Faults = Faults {
    network: Delays { least: 0, usual: 10, rare: 0.0, longest: 0 },
    lag: Lag::Lognormal { median: 10.0, p999: 1_000.0 },
    ..Faults::NONE
};

/// A working team: 4 commits per second, 100 tasks.
fn everyday(device_pause: u64) -> Scenario {
    let mut edits = Weights::only(&[
        (Kind::CreateTask, 12),
        (Kind::ChangeTask, 60),
        (Kind::DeleteTask, 4),
        (Kind::CreateEdge, 12),
        (Kind::ChangeEdge, 5),
        (Kind::DeleteEdge, 3),
        (Kind::ChangeProject, 2),
        (Kind::Read, 10),
    ]);
    (edits.heat, edits.hot_rows) = (0.2, 5);
    Scenario {
        name: "realistic lag",
        writers: 4,
        devices: 6,
        operations: 500,
        tasks: 100,
        edges: 40,
        hubs: 0,
        writer_pause: 1_800,
        device_pause,
        weights: edits,
        plain_clients: true,
        max_history_bytes: VersionHistory::MAX_BYTES,
        has_older_code: false,
        faults: REALISTIC,
        newer_writes: 0,
        restores: 0,
        kept: None,
    }
}

const SEEDS: u64 = 2;

fn measure(device_pause: u64) -> Figures {
    let played = |seed| play(seed, &everyday(device_pause), false).map_err(|failure| failure.violation);
    let mut sum = Figures::default();
    thread::scope(|scope| {
        let halves = [0..SEEDS / 2, SEEDS / 2..SEEDS];
        let halves = halves.map(|seeds| scope.spawn(move || seeds.map(played).collect::<Vec<_>>()));
        for played in halves.into_iter().flat_map(|half| half.join().expect("no panic")) {
            sum.add(&played.expect("no violation").0);
        }
    });
    sum
}

const WAYS: [&str; 6] = ["unchanged", "first_read", "asked_again", "caught_up", "busy", "strong"];

fn taken(figures: &Figures, way: &str) -> u64 {
    figures.pulls.get(way).copied().unwrap_or(0)
}

fn answered(figures: &Figures) -> u64 {
    WAYS.iter().map(|way| taken(figures, way)).sum()
}

fn print(title: &str, figures: &Figures) {
    let all = answered(figures);
    println!("{title}: {all} pulls, {} versions", figures.versions);
    println!("| way | share | calls | read units |\n| --- | --- | --- | --- |");
    for way in WAYS {
        let pulls = taken(figures, way);
        let Cost { calls, half_units } = figures.costs.get(way).copied().unwrap_or_default();
        let each = |sum: f64| if pulls == 0 { "-".to_owned() } else { format!("{:.1}", sum / pulls as f64) };
        let share = 100.0 * pulls as f64 / all as f64;
        println!("| `{way}` | {share:.2} % | {} | {} |", each(calls as f64), each(half_units as f64 / 2.0));
    }
}

#[test]
fn under_a_realistic_lag_most_pulls_are_proven_by_what_they_read_first() {
    let now_and_then = measure(10_000);
    print("each device pulls every five seconds on average", &now_and_then);
    let all_the_time = measure(1_000);
    print("each device pulls twice a second on average", &all_the_time);
    for figures in [&now_and_then, &all_the_time] {
        let all = answered(figures);
        assert!(all > 200, "too few to tell: {figures}");
        assert!((taken(figures, "unchanged") + taken(figures, "first_read")) * 10 > all * 8, "{figures}");
        assert!(taken(figures, "strong") * 100 < all, "{figures}");
    }
}
