//! The tests that play seeds.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::figures::Figures;
use crate::run::{Failure, play};
use crate::scenario::{HERD, Scenario};
use crate::table::{DESCENDING, Faults};

/// The number of seeds that are played by default. CI sets `ADVERSARY_SEEDS` to play more.
const SEEDS: Range<u64> = 0..20;
/// The minimum number of operations per seed, on average. With fewer, the scenarios would be too short to mean anything.
const OPERATIONS_PER_SEED: u64 = 430;

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not understood")))
}

/// A violation, and the course of events that led to it.
struct Broken {
    seed: u64,
    violation: String,
    explanation: String,
}

/// Stops at the first violation and prints it in one line, which the runner of the mutants reads.
fn is_brief() -> bool {
    variable::<u8>("ADVERSARY_BRIEF").is_some()
}

/// Plays a seed. After a violation, plays it again for the trace, and prints how to do that by hand.
fn play_or_explain(seed: u64) -> Result<Figures, Broken> {
    let scenario = match variable::<String>("ADVERSARY_TABLE").as_deref() {
        None => Scenario::draw(seed),
        Some("orderly") => Scenario { faults: Faults::NONE, ..Scenario::draw(seed) },
        Some(other) => panic!("ADVERSARY_TABLE={other} is not understood"),
    };
    play(seed, &scenario, false).map(|(figures, _)| figures).map_err(|Failure { violation, .. }| {
        if is_brief() {
            return Broken { seed, violation, explanation: String::new() };
        }
        let (same, trace) = match play(seed, &scenario, true) {
            Err(again) => (again.violation == violation, again.trace),
            Ok(_) => (false, vec![]),
        };
        let shown = variable("ADVERSARY_TRACE").unwrap_or(40);
        let trace = trace[trace.len().saturating_sub(shown)..].join("\n");
        let another = if same { "" } else { "(played again it went another way)\n" };
        let explanation = format!(
            "seed {seed} ({}): {violation}\n{another}the last events:\n{trace}\n\nagain: ADVERSARY_SEED={seed} \
             ADVERSARY_TRACE={shown} cargo test -p adversary converge\n",
            scenario.name
        );
        Broken { seed, violation, explanation }
    })
}

/// Plays seeds on all processors until `enough` says so.
fn play_all(seeds: Range<u64>, enough: impl Fn(&Figures) -> bool + Sync) -> (Figures, Vec<Broken>) {
    let wanted = variable::<String>("ADVERSARY_SCENARIO");
    let next = AtomicU64::new(seeds.start);
    let sum = Mutex::new((Figures::default(), Vec::new()));
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_enough = {
                        let (figures, broken) = &*sum.lock().expect("no panic");
                        enough(figures) || (is_brief() && !broken.is_empty())
                    };
                    if seed >= seeds.end || is_enough {
                        return;
                    }
                    if wanted.as_ref().is_some_and(|wanted| !Scenario::draw(seed).is_called(wanted)) {
                        continue;
                    }
                    let played = play_or_explain(seed);
                    let mut sum = sum.lock().expect("no panic");
                    match played {
                        Ok(figures) => sum.0.add(&figures),
                        Err(broken) => sum.1.push(broken),
                    }
                }
            });
        }
    });
    sum.into_inner().expect("no panic")
}

fn report(seeds: &str, figures: &Figures, broken: &[Broken], began: Instant) {
    if is_brief() {
        return report_briefly(figures, broken, began);
    }
    println!("seeds {seeds}, {:.1} s\n{figures}", began.elapsed().as_secs_f64());
    for broken in broken.iter().take(3) {
        println!("{}", broken.explanation);
    }
    let mut kinds: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for Broken { seed, violation, .. } in broken {
        kinds.entry(without_names(violation)).or_default().push(*seed);
    }
    let played = figures.seeds + broken.len() as u64;
    let kinds: Vec<String> =
        kinds.into_iter().map(|(kind, seeds)| format!("{}x {kind} {seeds:?}", seeds.len())).collect();
    assert!(broken.is_empty(), "caught in {} of {played} seeds: {}", broken.len(), kinds.join("; "));
}

/// How the violation was found, and after how many seeds and seconds. If nothing was found, says so and lists the outcomes of the
/// pulls.
fn report_briefly(figures: &Figures, broken: &[Broken], began: Instant) {
    let (seconds, ways) = (began.elapsed().as_secs_f64(), figures.ways());
    match broken.first() {
        Some(Broken { seed, violation, .. }) => {
            let played = figures.seeds + broken.len() as u64;
            panic!("caught: {}|{played}|{seconds:.1}|seed {seed}: {}", kind(violation), without_names(violation));
        }
        None => println!("survived|{}|{seconds:.1}|{ways}", figures.seeds),
    }
}

/// The way in which a violation was found.
fn kind(violation: &str) -> &'static str {
    let kinds = [
        ("panicked", "panic"),
        ("is not served in the end", "alarm"),
        ("does not come to an end", "alarm"),
        ("at mark ", "lost change"),
        ("differs in the end", "lost change"),
        ("was acknowledged at", "lost change"),
        ("is not the server's state", "torn state"),
        ("never was", "torn state"),
        ("device ", "wrong answer"),
        ("writer ", "wrong answer"),
    ];
    // All other violations are found in the table.
    kinds.into_iter().find(|(part, _)| violation.contains(part)).map_or("audit", |(_, kind)| kind)
}

/// The kind of a violation: its first line without rows, numbers and lists.
fn without_names(violation: &str) -> String {
    let line = violation.lines().next().unwrap_or_default();
    let line = line.split_once(": ").map_or(line, |(who, what)| if who.contains(' ') { what } else { line });
    let is_name = |word: &&str| word.contains(|c: char| c.is_ascii_digit() || matches!(c, '#' | '[' | '{' | '('));
    let words: Vec<&str> = line.split(' ').filter(|word| !is_name(word)).collect();
    words.join(" ").chars().take(90).collect()
}

/// Checks that pulls have every outcome, often read the index from its end, and hardly ever give up. A server that never gives
/// recent rows, or that refuses pulls without a reason, would converge as well.
fn expect_every_way(figures: &Figures) {
    let taken = |way: &str| figures.pulls.get(way).copied().unwrap_or(0);
    for way in sync::PullOutcome::ALL {
        assert!(taken(way.name()) > 0, "{} was never taken", way.name());
    }
    let (given_up, all) = (taken("503 not_proven"), figures.pulls.values().sum::<u64>());
    assert!(given_up * 500 <= all, "{given_up} of {all} pulls were given up");
    let from_the_end = figures.calls.get(DESCENDING).copied().unwrap_or(0);
    assert!(from_the_end * 20 >= all, "{from_the_end} readings from the end of the index in {all} pulls");
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
    let (figures, broken) = play_all(seeds.clone(), |_| false);
    report(&format!("{seeds:?}"), &figures, &broken, began);
    let operations = figures.total_operations();
    assert!(figures.seeds < SEEDS.end || operations >= OPERATIONS_PER_SEED * figures.seeds, "{operations} operations");
    let is_mixed = ["ADVERSARY_SCENARIO", "ADVERSARY_TABLE"].iter().all(|name| variable::<String>(name).is_none());
    if figures.seeds >= SEEDS.end && is_mixed {
        expect_every_way(&figures);
    }
}

/// Plays seeds until there were ten million operations, or for `ADVERSARY_SOAK=minutes` if that is shorter.
#[test]
fn devices_converge_over_an_unreliable_table_for_half_an_hour() {
    let Some(minutes) = variable::<u64>("ADVERSARY_SOAK") else { return };
    let began = Instant::now();
    let limit = Duration::from_secs(minutes * 60);
    let first = variable("ADVERSARY_FIRST_SEED").unwrap_or(1_000_000);
    let enough = |figures: &Figures| figures.total_operations() >= 10_000_000 || began.elapsed() >= limit;
    let (figures, broken) = play_all(first..u64::MAX, enough);
    report(&format!("from {first}"), &figures, &broken, began);
}

/// Replaces the ids that the server made (UUIDv7), which depend on the time of day, by the order in which they appear.
fn without_chosen_ids(course: Vec<String>) -> Vec<String> {
    let mut ids: BTreeMap<String, usize> = BTreeMap::new();
    let mut rename = |line: String| {
        let parts = line.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
        let made: Vec<String> =
            parts.filter(|id| id.len() == 36 && id.as_bytes()[14] == b'7').map(str::to_owned).collect();
        made.into_iter().fold(line, |line, id| {
            let next = ids.len();
            let number = *ids.entry(id.clone()).or_insert(next);
            line.replace(&id, &format!("id-{number}"))
        })
    };
    course.into_iter().map(&mut rename).collect()
}

/// A seed does the same whatever else runs beside it. Otherwise no failure could be reproduced.
#[test]
fn a_seed_is_one_course_of_events() {
    let course = |seed| without_chosen_ids(play(seed, &Scenario::draw(seed), true).expect("no violation").1);
    thread::scope(|scope| {
        let herds = (4..).filter(|seed| Scenario::draw(*seed).name == HERD).take(3);
        for seed in (0..4).chain(herds) {
            scope.spawn(move || {
                let (first, second) = (course(seed), course(seed));
                let same = first.iter().zip(&second).take_while(|(first, second)| first == second).count();
                let from = same.saturating_sub(12);
                let part = |course: &[String]| course[from..course.len().min(same + 3)].join("\n");
                assert!(
                    first.len() == same && second.len() == same,
                    "seed {seed} went two ways:\n{}\n--- or\n{}",
                    part(&first),
                    part(&second)
                );
            });
        }
    });
}
