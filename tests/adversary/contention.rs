//! Many writers on one project, each with nothing else to do.

use std::sync::{Arc, LazyLock};

use axum::http::Method;
use serde_json::json;
use shared::storage::Table;
use tokio::time::{Duration, Instant};

use crate::http::{Ask, PROJECT};
use crate::run::{SDK, TOKENS, VERIFIER};
use crate::table::{Delays, Faults, NAME, UnreliableTable};

/// What became of the requests of one play.
#[derive(Debug, Default)]
struct Outcome {
    waits: Vec<Duration>,
    busy: u64,
    other: u64,
}

struct Measured {
    committed: usize,
    busy: u64,
    tries: u64,
    seconds: f64,
    p50: Duration,
    p99: Duration,
}

/// For so long each writer sends one request after the other.
const PLAY: Duration = Duration::from_secs(6);

/// A call takes 10 ms on average, half of it before its effect and half of it after.
const TEN_MILLISECONDS: Faults = Faults { network: Delays { usual: 10, rare: 0.0, longest: 0 }, ..Faults::NONE };

async fn request(router: &axum::Router, method: Method, path: String, body: serde_json::Value) -> u16 {
    let ask = Ask { method, path, token: TOKENS[0].clone(), if_match: None, key: None, body: Some(body) };
    ask.send(router).await.status
}

async fn writer(router: axum::Router, number: usize) -> Outcome {
    let mut outcome = Outcome::default();
    let end = Instant::now() + PLAY;
    let mut change = 0;
    while Instant::now() < end {
        change += 1;
        let began = Instant::now();
        let path = format!("/api/v1/projects/{PROJECT}/tasks/t{number}/");
        match request(&router, Method::PATCH, path, json!({"name": format!("change {change}")})).await {
            200 => outcome.waits.push(began.elapsed()),
            503 => outcome.busy += 1,
            _ => outcome.other += 1,
        }
    }
    outcome
}

fn measure(writers: usize) -> Measured {
    LazyLock::force(&SDK);
    fastrand::seed(7);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let table = UnreliableTable::new(7, Faults::NONE, false);
        let instance =
            || rest::router(rest::App { table: Table::new(table.client(&SDK), NAME), verifier: Arc::clone(&VERIFIER) });
        let founder = instance();
        let project = json!({"id": PROJECT, "name": "busy", "start_date": "2026-03-02"});
        assert_eq!(request(&founder, Method::POST, "/api/v1/projects/".to_owned(), project).await, 201);
        for number in 0..writers {
            let path = format!("/api/v1/projects/{PROJECT}/tasks/");
            let task = json!({"id": format!("t{number}"), "name": "new"});
            assert_eq!(request(&founder, Method::POST, path, task).await, 201);
        }
        let before = table.state().history.current();
        let calls =
            |table: &UnreliableTable| table.state().figures.calls.get("TransactWriteItems").copied().unwrap_or(0);
        let calls_before = calls(&table);
        table.state().faults = TEN_MILLISECONDS;
        let began = Instant::now();
        let tasks: Vec<_> = (0..writers).map(|number| tokio::spawn(writer(instance(), number))).collect();
        let mut all = Outcome::default();
        for task in tasks {
            let outcome = task.await.expect("no panic");
            all.waits.extend(outcome.waits);
            all.busy += outcome.busy;
            all.other += outcome.other;
        }
        let seconds = began.elapsed().as_secs_f64();
        assert_eq!(table.failure(), None);
        assert_eq!(all.other, 0, "neither done nor busy");
        let committed = all.waits.len();
        let versions = table.state().history.current() - before;
        assert_eq!(versions, committed as u64, "lost, or done twice");
        all.waits.sort_unstable();
        Measured {
            committed,
            busy: all.busy,
            tries: calls(&table) - calls_before,
            seconds,
            p50: all.waits[committed / 2],
            p99: all.waits[committed * 99 / 100],
        }
    })
}

fn print(writers: usize, measured: &Measured) {
    let Measured { committed, busy, tries, seconds, p50, p99 } = measured;
    println!(
        "{writers:>4} writers: {:6.1} commits/s, {:5.2} tries each, p50 {p50:?}, p99 {p99:?}, {busy} busy",
        *committed as f64 / seconds,
        *tries as f64 / *committed as f64,
    );
}

#[test]
fn none_of_32_writers_on_one_project_is_refused() {
    for writers in [1, 2, 8, 32] {
        let measured = measure(writers);
        print(writers, &measured);
        assert_eq!(measured.busy, 0);
    }
}

#[test]
fn of_128_writers_on_one_project_some_are_refused_and_none_is_lost_or_done_twice() {
    print(128, &measure(128));
}
