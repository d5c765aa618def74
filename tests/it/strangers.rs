//! Tests the load that one caller can cause. A stranger causes one small read, whatever they send. A member causes as much as
//! their budget and the quotas allow.

use std::future::IntoFuture;
use std::sync::{Arc, Mutex};

use axum::http::Method;
use fastrand::Rng;
use serde_json::{Value, json};
use shared::domain::{Quotas, Role, UserId, membership_id};
use shared::http::{CallerBudgets, RequestLog};
use tests::support::{Answer, Call, OWNER, TestApp, TestProject, TestTable};
use tokio::task::JoinSet;

/// The cost of a request, as its line in the log says.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Taken {
    calls: u64,
    read_units: f64,
    write_units: f64,
}

/// An instance of the functions, with its log.
struct Instance {
    app: TestApp,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Instance {
    async fn new() -> Self {
        let (mut app, lines) = (TestApp::new().await, Arc::new(Mutex::new(vec![])));
        let log = |function| {
            let lines = Arc::clone(&lines);
            RequestLog::new(function, "test", move |line| lines.lock().expect("the lines").push(line.to_owned()))
        };
        app.rest = app.rest.layer(log("rest"));
        app.sync = app.sync.layer(log("sync"));
        Self { app, lines }
    }

    /// Sends a request and returns its cost.
    async fn send(&self, call: Call) -> (Answer, Taken) {
        self.lines.lock().expect("the lines").clear();
        let answer = call.await;
        let lines = self.lines.lock().expect("the lines").clone();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line: Value = serde_json::from_str(&lines[0]).expect("JSON");
        let number = |name: &str| line[name].as_f64().expect("a number");
        let calls = line["TableCalls"].as_u64().expect("a number");
        (answer, Taken { calls, read_units: number("ReadUnits"), write_units: number("WriteUnits") })
    }
}

/// A project that is expensive to read. It has rows of 300 KB, and a commit of 98 rows with long ids makes the counter as large
/// as possible.
async fn dear_project() -> TestProject {
    let project = TestApp::new().await.with_project().with_tasks(3).await;
    let holidays = json!({"start": "2026-01-01", "end": "2026-01-02", "description": "h".repeat(250)});
    let exceptions = vec![holidays; 365];
    for id in ["c1", "c2"] {
        project.create("calendars", json!({"id": id, "name": "Site", "exceptions": exceptions})).await;
    }
    let long = |prefix: &str, n: usize| format!("{prefix}{}{n:03}", "x".repeat(60));
    let task = |n| json!({"method": "POST", "path": "tasks/", "body": {"id": long("t", n), "name": "Dig"}});
    let edge = |n| {
        let body = json!({"id": long("e", n), "predecessor": "t1", "successor": long("t", n)});
        json!({"method": "POST", "path": "dependencies/", "body": body})
    };
    for operations in [(0..98).map(task).collect::<Vec<_>>(), (0..98).map(edge).collect()] {
        project.post("batch", &json!({"operations": operations})).await.expect(200);
    }
    project
}

/// A random request below a project, as a stranger may send it. Ids are mostly those of rows.
fn any_request(rng: &mut Rng, app: &TestApp, project: &str, stranger: &str) -> Call {
    let ids = ["t1", "t2", "t3", "c1", "c2", "nothing", project];
    let id = |rng: &mut Rng| ids[rng.usize(..ids.len())].to_owned();
    let collections = ["tasks", "dependencies", "calendars", "memberships"];
    let collection = collections[rng.usize(..collections.len())];
    let body = |rng: &mut Rng| match rng.u8(..4) {
        0 => json!({"name": "x", "assignee": OWNER, "calendar": id(rng)}),
        1 => json!({"predecessor": id(rng), "successor": id(rng)}),
        2 => json!({"user": stranger, "role": 400}),
        _ => json!({"id": id(rng), "name": "x", "calendar": id(rng)}),
    };
    let path = format!("/api/v1/projects/{project}/");
    let row = format!("{path}{collection}/{}/", id(rng));
    let call = match rng.u8(..9) {
        0 => app.call(Method::GET, &[path.clone(), format!("{path}{collection}/?limit=1000"), row][rng.usize(..3)]),
        1 => app.call(Method::POST, &format!("{path}{collection}/")).json(&body(rng)),
        2 => app.call(Method::PATCH, &row).json(&body(rng)),
        3 => app.call(Method::DELETE, &row),
        4 => app.call(Method::PATCH, &path).json(&body(rng)),
        5 => app.call(Method::DELETE, &path),
        6 => app.call_sync(&format!("{path}sync/?since={}", rng.u64(..400))),
        7 => {
            app.call(Method::POST, "/api/v1/projects/").json(&json!({"id": project, "name": "x", "calendar": id(rng)}))
        }
        _ => {
            let operation = |rng: &mut Rng| {
                let collection = ["tasks", "dependencies", "calendars"][rng.usize(..3)];
                match rng.u8(..3) {
                    0 => json!({"method": "POST", "path": format!("{collection}/"), "body": body(rng)}),
                    1 => json!({"method": "PATCH", "path": format!("{collection}/{}/", id(rng)), "body": body(rng)}),
                    _ => json!({"method": "DELETE", "path": format!("{collection}/{}/", id(rng))}),
                }
            };
            let operations: Vec<Value> = (0..rng.usize(1..=98)).map(|_| operation(rng)).collect();
            app.call(Method::POST, &format!("{path}batch/")).json(&json!({"operations": operations}))
        }
    };
    let call = if rng.bool() { call.key("once") } else { call };
    call.by(stranger)
}

#[tokio::test]
async fn whatever_a_stranger_sends_costs_at_most_3_read_units_and_2_calls() {
    if TestTable::may_count_differently() {
        return;
    }
    let project = dear_project().await;
    let instance = Instance::new().await;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    for _ in 0..300 {
        let (answer, taken) = instance.send(any_request(&mut rng, &instance.app, &project.id, "stranger")).await;
        assert!((400..500).contains(&answer.status), "seed {seed}: {answer:?}");
        let allowed = taken.calls <= 2 && taken.read_units <= 3.0 && taken.write_units == 0.0;
        assert!(allowed, "seed {seed}: {taken:?} for {answer:?}");
    }
}

#[tokio::test]
async fn to_a_stranger_a_project_that_exists_costs_and_says_the_same_as_one_that_does_not() {
    if TestTable::may_count_differently() {
        return;
    }
    let project = dear_project().await;
    let instance = Instance::new().await;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    for round in 0..100 {
        let mut seen = vec![];
        for id in [project.id.as_str(), "no-such-project"] {
            // Both get the same random choices.
            let call = any_request(&mut Rng::with_seed(seed + round), &instance.app, id, "stranger");
            let (answer, taken) = instance.send(call).await;
            seen.push((answer.status, answer.text.replace(id, "ID"), taken));
        }
        // Only a caller who names an id may learn that it is taken.
        if seen.iter().all(|(status, ..)| ![201, 409].contains(status)) {
            assert_eq!(seen[0], seen[1], "seed {}", seed + round);
        }
    }
}

#[tokio::test]
async fn a_member_is_asked_for_once_by_each_instance() {
    if TestTable::may_count_differently() {
        return;
    }
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    let instance = Instance::new().await;
    let there = project.seen_by(instance.app.clone());
    let calls = async |n: u64| {
        let (answer, taken) = instance.send(there.patch("tasks/t1", &json!({"percent_complete": n}))).await;
        assert_eq!(answer.status, 200);
        taken.calls
    };
    assert_eq!([calls(1).await, calls(2).await, calls(3).await], [3, 2, 2]);
}

#[tokio::test]
async fn a_removed_member_is_a_stranger_from_the_first_refusal_on() {
    if TestTable::may_count_differently() {
        return;
    }
    let project = dear_project().await;
    project.create("memberships", json!({"user": "mia", "role": Role::Admin})).await;
    let instance = Instance::new().await;
    let patch = || {
        let call = instance.app.call(Method::PATCH, &format!("/api/v1/projects/{}/calendars/c1/", project.id));
        instance.send(call.json(&json!({"name": "Other"})).by("mia"))
    };
    assert_eq!(patch().await.0.status, 200);
    let user: UserId = "mia".parse().expect("a user");
    let id = membership_id(&project.id.parse().expect("a project"), &user);
    project.delete(&format!("memberships/{id}")).await.expect(204);
    let (first, second) = (patch().await, patch().await);
    assert_eq!((first.0.status, second.0.status), (403, 403));
    assert_eq!(second.1, Taken { calls: 1, read_units: 1.0, write_units: 0.0 });
}

#[tokio::test]
async fn whether_an_id_is_taken_is_not_told_to_a_request_that_makes_no_sense() {
    let project = TestApp::new().await.with_project().await;
    let create = |id: &str, name: &str| {
        project.app.call(Method::POST, "/api/v1/projects/").by("stranger").json(&json!({"id": id, "name": name}))
    };
    for id in [project.id.as_str(), "no-such-project"] {
        assert_eq!(create(id, "").await.expect(422).json()["code"], "validation_failed");
    }
    assert_eq!(create(&project.id, "Mine").await.expect(409).json()["code"], "id_taken");
}

#[tokio::test]
async fn a_caller_whose_budget_is_spent_waits_and_others_do_not() {
    let project = TestApp::new().await.with_project().with_member("mia", Role::Member).await;
    // Two requests overdraw the budget, and it takes a day to refill.
    let budgets = CallerBudgets::new(10.0 / 86_400.0, 10.0);
    let mut app = project.app.clone();
    app.rest = CallerBudgets::around(Some(budgets), app.rest);
    let there = project.seen_by(app);
    let create = |user: &str| there.post("tasks", &json!({"name": "Dig"})).by(user);
    create(OWNER).await.expect(201);
    let refused = create(OWNER).await.expect(429);
    assert_eq!(refused.json()["code"], "rate_limited");
    let wait: u64 = refused.header("retry-after").expect("Retry-After").parse().expect("seconds");
    assert!((86_400..10 * 86_400).contains(&wait), "{wait}");
    create("mia").await.expect(201);
    project.get("tasks").await.expect(200);
}

#[tokio::test]
async fn a_project_and_a_day_hold_as_much_as_they_may_and_no_more() {
    let table = TestTable::of_this_process().await;
    let quotas = Quotas { max_rows: 3, max_members: 2, max_projects_a_day: 2 };
    let app = TestApp::on(table, table.table().await.with_quotas(quotas)).await;
    let user = format!("u{}", fastrand::u64(..));
    let create = |id: String| {
        let body = json!({"id": id, "name": "House"});
        app.call(Method::POST, "/api/v1/projects/").by(&user).json(&body)
    };
    let full = |answer: Answer, what: &str| {
        let problem = answer.expect(409).json();
        assert_eq!(problem["code"], "quota_exceeded");
        assert!(problem["limit"].get(what).is_some(), "{problem}");
    };
    let (first, second) = (format!("{user}-1"), format!("{user}-2"));
    create(first.clone()).await.expect(201);
    create(second.clone()).await.expect(201);
    create(second).await.expect(200);
    full(create(format!("{user}-3")).await, "projects");
    let call = |method, path: &str| app.call(method, &format!("/api/v1/projects/{first}/{path}/")).by(&user);
    let task = |id: &str| call(Method::POST, "tasks").json(&json!({"id": id, "name": "Dig"}));
    for id in ["a", "b", "c"] {
        task(id).await.expect(201);
    }
    task("c").await.expect(200);
    full(task("d").await, "tasks");
    let operations = json!({"operations": [
        {"method": "DELETE", "path": "tasks/a/"},
        {"method": "POST", "path": "tasks/", "body": {"id": "d", "name": "Dig"}},
    ]});
    call(Method::POST, "batch").json(&operations).await.expect(200);
    let member = |name: &str| call(Method::POST, "memberships").json(&json!({"user": name, "role": 1}));
    member("ann").await.expect(201);
    full(member("bob").await, "memberships");
}

#[tokio::test]
async fn of_many_creations_at_once_as_many_succeed_as_a_day_allows() {
    let table = TestTable::of_this_process().await;
    let quotas = Quotas { max_projects_a_day: 3, ..Quotas::default() };
    let app = TestApp::on(table, table.table().await.with_quotas(quotas)).await;
    let user = format!("u{}", fastrand::u64(..));
    let create = |number: usize| {
        let body = json!({"id": format!("{user}-{number}"), "name": "House"});
        app.call(Method::POST, "/api/v1/projects/").by(&user).json(&body).into_future()
    };
    let creations: JoinSet<Answer> = (0..8).map(create).collect();
    let mut statuses: Vec<u16> = creations.join_all().await.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 201, 201, 409, 409, 409, 409, 409]);
}
