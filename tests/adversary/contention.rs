//! Measures many writers on one project that send one request after the other.
//!
//! It plays one seed for 10 s of simulated time. `CONTENTION_SEEDS=n` and `CONTENTION_SECONDS=n` play more and longer.

use std::sync::{Arc, LazyLock};

use axum::http::Method;
use serde_json::json;
use shared::storage::Table;
use tokio::time::{Duration, Instant, sleep};

use crate::http::{Ask, PROJECT};
use crate::run::{SDK, TOKENS, VERIFIER};
use crate::table::{Delays, Faults, NAME, UnreliableTable};

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |number| number.parse().expect("a number"))
}

/// How long each writer sends requests.
static PLAY: LazyLock<Duration> = LazyLock::new(|| Duration::from_secs(from_environment("CONTENTION_SECONDS", 10)));

/// A call takes 10 ms, with its effect in the middle.
const EXACT: Faults = Faults { network: Delays::between(5, 5), ..Faults::NONE };
/// Each way takes up to a millisecond more or less.
const UNEVEN: Faults = Faults { network: Delays::between(4, 6), ..Faults::NONE };
/// A transaction takes up to 8 ms more for each of its items. Meanwhile another transaction meets a conflict.
const CONFLICTS: Faults = Faults { tear: Delays::up_to(8), ..UNEVEN };

/// The results of the requests of some seeds.
#[derive(Debug, Clone, Default)]
struct Outcome {
    /// The waiting times of the requests that succeeded.
    waits: Vec<Duration>,
    /// The number of requests that were answered 503.
    busy: u64,
    other: u64,
    transactions: u64,
    cancelled_items: u64,
    simulated: Duration,
}

impl Outcome {
    fn add(&mut self, more: Self) {
        self.waits.extend(more.waits);
        self.busy += more.busy;
        self.other += more.other;
        self.transactions += more.transactions;
        self.cancelled_items += more.cancelled_items;
        self.simulated += more.simulated;
    }

    fn commits_per_second(&self) -> f64 {
        self.waits.len() as f64 / self.simulated.as_secs_f64()
    }

    fn tries_per_commit(&self) -> f64 {
        self.transactions as f64 / self.waits.len() as f64
    }

    /// A transaction takes two units for each item up to 1 KB, even if it is cancelled. All items here are that small.
    fn write_units_wasted_per_commit(&self) -> f64 {
        2.0 * self.cancelled_items as f64 / self.waits.len() as f64
    }

    fn percentile(&mut self, percent: usize) -> Duration {
        self.waits.sort_unstable();
        self.waits[(self.waits.len() - 1) * percent / 100]
    }
}

async fn request(router: &axum::Router, method: Method, path: String, body: serde_json::Value) -> (u16, bool) {
    let ask = Ask { method, body: Some(body), ..Ask::get(path, &TOKENS[0]) };
    let reply = ask.send(router).await;
    (reply.status, reply.retry_after)
}

async fn writer(router: axum::Router, number: usize, start: Duration) -> Outcome {
    let mut outcome = Outcome::default();
    let end = Instant::now() + *PLAY;
    sleep(start).await;
    let mut change = 0;
    while Instant::now() < end {
        change += 1;
        let began = Instant::now();
        let path = format!("/api/v1/projects/{PROJECT}/tasks/t{number}/");
        match request(&router, Method::PATCH, path, json!({"name": format!("change {change}")})).await {
            (200, _) => outcome.waits.push(began.elapsed()),
            (503, true) => outcome.busy += 1,
            _ => outcome.other += 1,
        }
    }
    outcome
}

fn play(writers: usize, faults: Faults, seed: u64) -> Outcome {
    LazyLock::force(&SDK);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let table = UnreliableTable::new(seed, Faults::NONE, false);
        let instance =
            || rest::router(rest::App { table: Table::new(table.client(&SDK), NAME), verifier: Arc::clone(&VERIFIER) });
        let founder = instance();
        let project = json!({"id": PROJECT, "name": "busy", "start_date": "2026-03-02"});
        assert_eq!(request(&founder, Method::POST, "/api/v1/projects/".to_owned(), project).await.0, 201);
        for number in 0..writers {
            let path = format!("/api/v1/projects/{PROJECT}/tasks/");
            let task = json!({"id": format!("t{number}"), "name": "new"});
            assert_eq!(request(&founder, Method::POST, path, task).await.0, 201);
        }
        let calls =
            |table: &UnreliableTable| table.state().figures.calls.get("TransactWriteItems").copied().unwrap_or(0);
        let before = table.state().history.current();
        let calls_before = calls(&table);
        table.state().faults = faults;
        let began = Instant::now();
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut start = || Duration::from_millis(rng.u64(0..20));
        let tasks: Vec<_> = (0..writers).map(|number| tokio::spawn(writer(instance(), number, start()))).collect();
        let mut all = Outcome::default();
        for task in tasks {
            all.add(task.await.expect("no panic"));
        }
        all.simulated = began.elapsed();
        all.transactions = calls(&table) - calls_before;
        all.cancelled_items = table.state().cancelled_items;
        assert_eq!(table.failure(), None, "seed {seed}");
        assert_eq!(all.other, 0, "seed {seed}: neither done nor told to try again later");
        let versions = table.state().history.current() - before;
        assert_eq!(versions, all.waits.len() as u64, "seed {seed}: lost, or done twice");
        all
    })
}

/// Plays the seeds and checks each. Prints the results, and the speed with its range over the seeds.
fn play_seeds(writers: usize, faults: Faults, check: impl Fn(&mut Outcome, u64)) {
    let seeds = 0..from_environment("CONTENTION_SEEDS", 1);
    let outcomes: Vec<Outcome> = seeds.map(|seed| play(writers, faults, seed)).collect();
    let mut all = Outcome::default();
    outcomes.iter().cloned().for_each(|outcome| all.add(outcome));
    let speeds = || outcomes.iter().map(Outcome::commits_per_second);
    println!(
        "| {writers:>3} | {:5.1} ({:.1} to {:.1}) | {:4.2} | {:4.1} | {:4} ms | {:4} ms | {} of {} |",
        all.commits_per_second(),
        speeds().fold(f64::INFINITY, f64::min),
        speeds().fold(0.0, f64::max),
        all.tries_per_commit(),
        all.write_units_wasted_per_commit(),
        all.percentile(50).as_millis(),
        all.percentile(99).as_millis(),
        all.busy,
        all.waits.len() as u64 + all.busy,
    );
    (0..).zip(outcomes).for_each(|(seed, mut outcome)| check(&mut outcome, seed));
}

fn expect_smooth(outcome: &mut Outcome, seed: u64) {
    assert_eq!(outcome.busy, 0, "seed {seed}: refused");
    assert!(outcome.commits_per_second() >= 70.0, "seed {seed}: {} commits/s", outcome.commits_per_second());
    assert!(outcome.tries_per_commit() <= 5.0, "seed {seed}: {} tries", outcome.tries_per_commit());
    assert!(outcome.percentile(99) < Duration::from_secs(2), "seed {seed}: p99 {:?}", outcome.percentile(99));
}

#[test]
fn few_writers_on_one_project_hardly_wait() {
    // An instance's first request for a user also reads the membership.
    play_seeds(1, EXACT, |outcome, _| {
        assert_eq!(outcome.percentile(99), Duration::from_millis(20));
        assert_eq!(outcome.percentile(100), Duration::from_millis(30));
    });
    play_seeds(2, EXACT, |outcome, seed| assert!(outcome.percentile(99) < Duration::from_millis(50), "seed {seed}"));
    play_seeds(8, EXACT, |outcome, seed| {
        assert!(outcome.percentile(99) < Duration::from_millis(500), "seed {seed}: p99 {:?}", outcome.percentile(99));
        assert!(outcome.commits_per_second() >= 70.0, "seed {seed}: {} commits/s", outcome.commits_per_second());
    });
}

#[test]
fn none_of_32_writers_on_one_project_is_refused() {
    play_seeds(32, EXACT, expect_smooth);
    play_seeds(32, UNEVEN, expect_smooth);
}

#[test]
fn none_of_32_writers_is_refused_where_transactions_meet_conflicts() {
    play_seeds(32, CONFLICTS, |outcome, seed| assert_eq!(outcome.busy, 0, "seed {seed}"));
}

#[test]
fn of_128_writers_on_one_project_none_is_lost_or_done_twice_and_the_project_keeps_its_speed() {
    play_seeds(128, EXACT, |outcome, seed| {
        assert!(outcome.commits_per_second() >= 70.0, "seed {seed}: {} commits/s", outcome.commits_per_second());
    });
}
