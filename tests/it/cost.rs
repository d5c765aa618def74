//! Measures the capacity units of each kind of request. This is the table of `infra/docs/cost.md`, line by line.
//!
//! `cargo test -p tests --test it cost:: -- --nocapture --include-ignored` prints it. The figures are those of the embedded
//! engine, which follows DynamoDB's documented rules. A write in a transaction counts twice in the table and once in an index. A
//! moved index entry counts as a deletion and an insertion. A strong read takes one unit for 4 KB, and any other read half of
//! that. A condition counts as a write.

use axum::http::Method;
use serde_json::{Value, json};
use shared::domain::Role;
use tests::support::{Answer, Call, OWNER, TestApp, TestProject, TestTable};

/// The price of a million units in dollars, on demand in us-east-1.
const READ: f64 = 0.125;
const WRITE: f64 = 0.625;

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cost {
    answers: u32,
    pub(crate) calls: u32,
    reads: f64,
    writes: f64,
}

impl Cost {
    /// The cost that an answer reports.
    #[track_caller]
    pub(crate) fn of(answer: &Answer) -> Self {
        assert!((200..300).contains(&answer.status), "{answer:?}");
        let timing = answer.header("server-timing").expect("Server-Timing");
        let numbers: Vec<f64> = timing
            .split("desc=\"")
            .filter_map(|part| part.split(' ').next().and_then(|number| number.parse().ok()))
            .collect();
        let [calls, reads, writes] = numbers[..] else { panic!("{timing}") };
        Self { answers: 1, calls: calls as u32, reads, writes }
    }

    pub(crate) fn reads(self) -> f64 {
        self.reads
    }

    fn and(self, other: Self) -> Self {
        Self {
            answers: self.answers + other.answers,
            calls: self.calls + other.calls,
            reads: self.reads + other.reads,
            writes: self.writes + other.writes,
        }
    }

    fn line(self, what: &str) -> String {
        let Self { answers, calls, reads, writes } = self;
        let million = reads * READ + writes * WRITE;
        format!("| {what} | {answers} | {calls} | {reads} | {writes} | ${million:.2} |")
    }
}

/// The lines counted so far.
#[derive(Default)]
pub(crate) struct Lines(Vec<String>);

impl Lines {
    fn add(&mut self, what: &str, cost: Cost) {
        self.0.push(cost.line(what));
    }

    pub(crate) async fn call(&mut self, what: &str, call: Call) -> Answer {
        let answer = call.await;
        self.add(what, Cost::of(&answer));
        answer
    }

    /// Checks that each line is in the page, word for word.
    #[track_caller]
    fn assert_in_the_page(&self) {
        println!("{}", self.0.join("\n"));
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/docs/cost.md");
        let page = std::fs::read_to_string(page).expect("the page");
        let missing: Vec<&String> = self.0.iter().filter(|line| !page.contains(line.as_str())).collect();
        assert!(missing.is_empty(), "infra/docs/cost.md has other figures than these:\n{missing:#?}");
    }
}

fn creations(ids: impl Iterator<Item = usize>) -> Value {
    let operation = |n: usize| {
        let body = json!({"id": format!("task-{n:06}"), "name": format!("Work package {n:06}"), "duration": 5});
        json!({"method": "POST", "path": "tasks/", "body": body})
    };
    json!({"operations": ids.map(operation).collect::<Vec<_>>()})
}

/// Changes these tasks, in this order.
async fn change(project: &TestProject, ids: &[usize], percent: usize) {
    for batch in ids.chunks(98) {
        let operation = |n: &usize| {
            let body = json!({"percent_complete": percent});
            json!({"method": "PATCH", "path": format!("tasks/task-{n:06}/"), "body": body})
        };
        let operations: Vec<Value> = batch.iter().map(operation).collect();
        project.post("batch", &json!({"operations": operations})).await.expect(200);
    }
}

/// A project with this many rows, including its own row and the owner's membership.
async fn with_rows(rows: usize) -> TestProject {
    let project = TestApp::new().await.with_project().await;
    let tasks: Vec<usize> = (0..rows - 2).collect();
    for batch in tasks.chunks(98) {
        project.post("batch", &creations(batch.iter().copied())).await.expect(200);
    }
    project
}

/// Pulls until there are no more pages.
async fn pull(project: &TestProject, mut since: u64) -> Cost {
    let mut cost = Cost::default();
    loop {
        let answer = project.sync(&format!("since={since}")).await;
        cost = cost.and(Cost::of(&answer));
        let body = answer.json();
        since = body["timestamp"].as_u64().expect("a mark");
        if body.get("has_more").is_none() {
            return cost;
        }
    }
}

#[tokio::test]
async fn each_request_costs_what_the_page_says() {
    if TestTable::may_count_differently() {
        return;
    }
    let mut lines = Lines::default();
    let project = with_rows(1_000).await;
    lines.add("pull, nothing new", pull(&project, 1_000).await);
    lines.add("pull, 50 rows", pull(&project, 950).await);
    lines.add("pull, all of 1,000 rows", pull(&project, 0).await);

    let task = "tasks/task-000001";
    project.patch("tasks/task-000002", &json!({"duration": 6})).await.expect(200);
    lines.call("`GET` a task", project.get("tasks/task-000001/")).await;
    lines.call("list 100 tasks", project.get("tasks/")).await;
    lines.call("create a task", project.post("tasks", &json!({"id": "new", "name": "Dig"}))).await;
    lines.call("`PATCH` a task", project.patch(task, &json!({"percent_complete": 10}))).await;
    lines.call("`PATCH` the same task again", project.patch(task, &json!({"percent_complete": 20}))).await;
    lines.call("… with an `Idempotency-Key`", project.patch(task, &json!({"percent_complete": 30})).key("k")).await;
    lines.call("… which is replayed", project.patch(task, &json!({"percent_complete": 30})).key("k")).await;
    lines.call("`PATCH` that changes nothing", project.patch(task, &json!({"percent_complete": 30}))).await;

    let small = TestApp::new().await.with_project().with_tasks(52).await;
    small.create("tasks", json!({"id": "other", "name": "Other"})).await;
    lines.call("delete a task without dependencies", small.delete("tasks/other")).await;
    lines.call("create a dependency, the first", small.post_edge("t1", "t2")).await;
    lines.call("`PATCH` a dependency", small.patch("dependencies/t1-t2", &json!({"lag": 1}))).await;
    lines.call("delete a dependency", small.delete("dependencies/t1-t2")).await;
    lines.call("create a calendar", small.post("calendars", &json!({"id": "c", "name": "Works"}))).await;
    lines.call("`PATCH` a calendar", small.patch("calendars/c", &json!({"hours_per_day": 7}))).await;
    lines.call("delete a calendar", small.delete("calendars/c")).await;
    lines.call("add a member", small.give("mia", Role::Member)).await;
    lines.call("change a member's role", small.change("mia", Role::Scheduler)).await;
    lines.call("remove a member", small.remove("mia")).await;
    for n in 3..=52 {
        small.post_edge("t1", &format!("t{n}")).await.expect(201);
    }
    lines.call("delete a task with 50 dependencies", small.delete("tasks/t1")).await;
    lines.call("batch that creates 98 tasks", small.post("batch", &creations(0..98))).await;
    let pushed = TestApp::new().await.with_project().with_tasks(3).await;
    let rename = |task: &str, base: u64| json!({"method": "PATCH", "path": format!("tasks/{task}/"), "body": {"name": "mine"}, "base_version": base});
    let (seen, unseen) = (rename("t1", pushed.get("tasks/t1/").await.version()), rename("t2", 0));
    let each = |operations: [&Value; 2]| pushed.post("batch", &json!({"mode": "each", "operations": operations}));
    lines
        .call("batch in the mode `each` with a key, of two `PATCH`es one refused", each([&seen, &unseen]).key("1"))
        .await;
    lines.call("… both refused", each([&unseen, &unseen]).key("2")).await;
    let body = json!({"id": format!("made-{}", small.id), "name": "House", "start_date": "2026-03-02"});
    lines.call("create a project", small.app.call(Method::POST, "/api/v1/projects/").by(OWNER).json(&body)).await;
    let other = TestApp::new().await.with_project().await;
    lines.call("`PATCH` a project", other.patch("", &json!({"name": "Home"}))).await;
    lines.call("delete a project", other.delete("")).await;
    crate::heads::add_lines(&mut lines).await;
    lines.assert_in_the_page();
}

#[tokio::test]
#[ignore = "makes 110,000 rows and changes them"]
async fn a_long_pull_costs_what_the_page_says() {
    let mut lines = Lines::default();
    let mut add = async |what: &str, project: &TestProject| {
        lines.add(what, pull(project, 0).await);
        println!("{}", lines.0[lines.0.len() - 1]);
    };
    add("pull, all of 10,000 rows", &with_rows(10_000).await).await;
    let project = with_rows(100_000).await;
    add("pull, all of 100,000 rows", &project).await;
    let mut tasks: Vec<usize> = (0..100_000 - 2).collect();
    let some: Vec<usize> = tasks.iter().copied().step_by(2_000).collect();
    change(&project, &some, 10).await;
    add("… 50 of them changed since", &project).await;
    let mut rng = fastrand::Rng::with_seed(1);
    rng.shuffle(&mut tasks);
    change(&project, &tasks[..20_000], 20).await;
    add("… 20,000 of them changed since, in random order", &project).await;
    for percent in [30, 40] {
        rng.shuffle(&mut tasks);
        change(&project, &tasks[..50_000], percent).await;
    }
    add("… 100,000 changes later, in random order", &project).await;
    lines.assert_in_the_page();
}
