//! The tests that play seeds.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::figures::Figures;
use crate::run::play;
use crate::scenario::Scenario;

/// What CI plays: at least so many seeds and operations.
const SEEDS: Range<u64> = 0..220;
const OPERATIONS: u64 = 100_000;

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not understood")))
}

/// Plays a seed; on a violation plays it again for the trace, and says how to do that by hand.
fn play_or_explain(seed: u64) -> Result<Figures, String> {
    let scenario = Scenario::draw(seed);
    play(seed, &scenario, false).map_err(|failure| {
        let again = play(seed, &scenario, true);
        let (same, trace) = match again {
            Err(again) => (again.violation == failure.violation, again.trace),
            Ok(_) => (false, vec![]),
        };
        let shown = variable("ADVERSARY_TRACE").unwrap_or(60);
        let trace = trace[trace.len().saturating_sub(shown)..].join("\n");
        let reproduced = if same { "" } else { "\n(played again it went another way)" };
        format!(
            "seed {seed} ({}): {}{reproduced}\nthe last events:\n{trace}\n\nagain: \
             ADVERSARY_SEED={seed} cargo test -p tests --test adversary converge\n",
            scenario.name, failure.violation
        )
    })
}

/// Plays seeds on all processors until `enough` says so.
fn play_all(seeds: Range<u64>, enough: impl Fn(&Figures) -> bool + Sync) -> (Figures, Vec<String>) {
    let next = AtomicU64::new(seeds.start);
    let sum = Mutex::new((Figures::default(), Vec::new()));
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || enough(&sum.lock().expect("no panic").0) {
                        return;
                    }
                    let played = play_or_explain(seed);
                    let mut sum = sum.lock().expect("no panic");
                    match played {
                        Ok(figures) => sum.0.add(&figures),
                        Err(failure) => sum.1.push(failure),
                    }
                }
            });
        }
    });
    sum.into_inner().expect("no panic")
}

fn report(seeds: &str, figures: &Figures, failures: &[String], began: Instant) {
    println!("seeds {seeds}, {:.1} s\n{figures}", began.elapsed().as_secs_f64());
    for failure in failures.iter().take(3) {
        println!("{failure}");
    }
    assert!(failures.is_empty(), "{} seeds failed", failures.len());
}

#[test]
fn devices_converge_over_an_unreliable_table() {
    let began = Instant::now();
    let seeds = match (variable::<u64>("ADVERSARY_SEED"), variable::<String>("ADVERSARY_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(range)) => {
            let (from, to) = range.split_once("..").expect("a range: 100..200");
            from.parse().expect("a seed")..to.parse().expect("a seed")
        }
        (None, None) => SEEDS,
    };
    let (figures, failures) = play_all(seeds.clone(), |_| false);
    report(&format!("{seeds:?}"), &figures, &failures, began);
    if seeds == SEEDS {
        assert!(figures.total_operations() >= OPERATIONS, "too few operations: {}", figures.total_operations());
    }
}

/// As long as it takes for ten million operations, or half an hour: `ADVERSARY_SOAK=minutes`.
#[test]
fn devices_converge_over_an_unreliable_table_for_half_an_hour() {
    let Some(minutes) = variable::<u64>("ADVERSARY_SOAK") else { return };
    let began = Instant::now();
    let limit = Duration::from_secs(minutes * 60);
    let first = variable("ADVERSARY_FIRST_SEED").unwrap_or(1_000_000);
    let enough = |figures: &Figures| figures.total_operations() >= 10_000_000 || began.elapsed() >= limit;
    let (figures, failures) = play_all(first..u64::MAX, enough);
    report(&format!("from {first}"), &figures, &failures, began);
}

#[test]
fn a_seed_is_one_course_of_events() {
    let scenario = Scenario::draw(3);
    let figures = || play(3, &scenario, false).expect("no violation");
    assert_eq!(figures(), figures());
}
