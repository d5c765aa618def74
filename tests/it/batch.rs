//! Tests the batch, which applies all operations or none, in order, each by its own rules.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Value, json};
use shared::domain::Role;
use tests::support::{Answer, Call, Device, TestApp, TestProject};

pub(crate) fn batch(project: &TestProject, operations: impl IntoIterator<Item = Value>) -> Call {
    let operations: Vec<Value> = operations.into_iter().collect();
    project.post("batch", &json!({ "operations": operations }))
}

pub(crate) fn task(id: &str) -> Value {
    json!({"method": "POST", "path": "tasks/", "body": {"id": id, "name": id}})
}

pub(crate) fn edge(from: &str, to: &str) -> Value {
    let body = json!({"id": format!("{from}-{to}"), "predecessor": from, "successor": to});
    json!({"method": "POST", "path": "dependencies/", "body": body})
}

fn patch(path: &str, body: Value) -> Value {
    json!({"method": "PATCH", "path": path, "body": body})
}

fn delete(path: &str) -> Value {
    json!({"method": "DELETE", "path": path})
}

/// Checks that the batch is refused because of this operation and that nothing is written.
async fn refused(call: Call, project: &TestProject, status: u16, code: &str, operation: usize) -> Answer {
    let answer = project.refuses(call, status, code).await;
    assert_eq!(answer.json()["operation"], operation, "{}", answer.text);
    answer
}

fn results(answer: &Answer) -> Vec<(u64, String, Option<u64>)> {
    let body = answer.json();
    let results = body["results"].as_array().expect("results").iter();
    let read = results.map(|result| {
        let id = result["id"].as_str().expect("an id").to_owned();
        (result["status"].as_u64().expect("a status"), id, result["server_version"].as_u64())
    });
    read.collect()
}

#[tokio::test]
async fn a_batch_is_one_commit_and_says_where_each_row_is() {
    let project = TestApp::new().await.with_project().with_tasks(2).with_edge("t1", "t2").await;
    let start = project.current_version().await;
    let operations = [
        task("n1"),
        edge("t2", "n1"),
        patch("tasks/t2/", json!({"percent_complete": 50})),
        patch("tasks/n1", json!({"notes": "made a moment ago"})),
        delete("tasks/t1"),
        json!({"method": "POST", "path": "calendars", "body": {"id": "site", "name": "Site"}}),
    ];
    let answer = batch(&project, operations).await.expect(200);
    let last = project.current_version().await;
    assert_eq!(last, start + 6, "five rows named and the edge of the deleted task");
    assert_eq!(answer.header("x-server-version"), Some(last.to_string().as_str()));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let stored = project.stored().await;
    let version = |key: &str| Some(stored[key].number("server_version"));
    assert_eq!(
        results(&answer),
        [
            (201, "n1".to_owned(), version("tasks#n1")),
            (201, "t2-n1".to_owned(), version("dependencies#t2-n1")),
            (200, "t2".to_owned(), version("tasks#t2")),
            (200, "n1".to_owned(), version("tasks#n1")),
            (204, "t1".to_owned(), version("tasks#t1")),
            (201, "site".to_owned(), version("calendars#site")),
        ]
    );
    assert_eq!(stored["tasks#n1"].number("writes"), 1, "two operations, one write");
    assert!(stored["dependencies#t1-t2"].is_dead());
    project.assert_dense().await;
    let pull = project.pull(start).await;
    assert_eq!((pull.updated("tasks"), pull.updated("calendars")), (vec!["n1", "t2"], vec!["site"]));
    assert_eq!((pull.deleted("tasks"), pull.deleted("dependencies"), pull.mark), (vec!["t1"], vec!["t1-t2"], last));
}

#[tokio::test]
async fn one_refused_operation_refuses_them_all() {
    let project = TestApp::new().await.with_project().with_tasks(2).await;
    let with = |operation: Value| batch(&project, [task("n1"), patch("tasks/t1", json!({"name": "x"})), operation]);
    refused(with(patch("tasks/none", json!({"name": "x"}))), &project, 404, "not_found", 2).await;
    refused(
        with(json!({"method": "POST", "path": "tasks", "body": {"id": "t2", "name": "x"}})),
        &project,
        409,
        "id_taken",
        2,
    )
    .await;
    let answer =
        refused(with(patch("tasks/t2", json!({"name": "", "rank": 1}))), &project, 422, "validation_failed", 2).await;
    assert_eq!(answer.fields(), ["operations[2].body.rank"]);
    let answer = refused(with(edge("t1", "none")), &project, 422, "validation_failed", 2).await;
    assert_eq!(answer.fields(), ["operations[2].body.successor"]);
    project.delete("tasks/t2").await.expect(204);
    refused(with(task("t2")), &project, 409, "id_deleted", 2).await;
}

#[tokio::test]
async fn the_same_batch_again_changes_nothing_and_says_so() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    let operations =
        || [task("n1"), edge("t1", "n1"), task("n2"), delete("tasks/n2"), patch("tasks/t1", json!({"name": "x"}))];
    let first = batch(&project, operations()).await.expect(200);
    let again = project.writes_nothing(batch(&project, operations())).await.expect(200);
    assert_eq!(again.header("x-server-version"), first.header("x-server-version"));
    let [first, again] = [first, again].map(|answer| results(&answer));
    assert_eq!(again.iter().map(|(status, ..)| *status).collect::<Vec<_>>(), [200, 200, 201, 204, 200]);
    assert!(first.iter().zip(&again).all(|(first, again)| (&first.1, first.2) == (&again.1, again.2)), "{again:?}");
    assert_eq!(first[2].2, None, "made and deleted: no row");
    project.create("tasks", json!({"id": "n2", "name": "never used"})).await;
}

#[tokio::test]
async fn an_operation_without_an_id_gets_one_from_the_server() {
    let project = TestApp::new().await.with_project().await;
    let unnamed = || json!({"method": "POST", "path": "tasks", "body": {"name": "x"}});
    let answer = batch(&project, [unnamed(), unnamed()]).await.expect(200);
    let ids: BTreeSet<String> = results(&answer).into_iter().map(|(_, id, _)| id).collect();
    let stored: BTreeSet<String> = project.pull(0).await.updated("tasks").into_iter().map(str::to_owned).collect();
    assert_eq!((ids.len(), ids), (2, stored));
}

#[tokio::test]
async fn each_operation_takes_the_role_of_the_single_request() {
    let setup = TestApp::new().await.with_project().with_tasks(2).with_edge("t1", "t2").with_calendar("c");
    let setup = setup.with_member("vic", Role::Viewer).with_member("mia", Role::Member);
    let project = setup.with_member("sofia", Role::Scheduler).await;
    let rename = || patch("tasks/t1", json!({"name": "x"}));
    let by = |user: &str, operations: Vec<Value>| batch(&project, operations).by(user);
    refused(by("vic", vec![rename()]), &project, 403, "role_too_low", 0).await;
    refused(by("mia", vec![rename(), delete("dependencies/t1-t2")]), &project, 403, "role_too_low", 1).await;
    refused(by("sofia", vec![delete("dependencies/t1-t2"), delete("calendars/c")]), &project, 403, "role_too_low", 1)
        .await;
    project.refuses(by("eve", vec![rename()]), 403, "not_a_member").await;
    project.refuses(by("mia", vec![rename()]).without_token(), 401, "token_missing").await;
    by("mia", vec![rename(), delete("tasks/t2")]).await.expect(200);
    project.remove("mia").await.expect(204);
    project.refuses(by("mia", vec![rename()]), 403, "membership_revoked").await;
    project.delete("").await.expect(204);
    project.refuses(by("sofia", vec![rename()]), 410, "project_deleted").await;
}

#[tokio::test]
async fn a_cycle_through_edges_of_the_batch_and_of_the_project_is_refused_with_its_tasks() {
    let project = TestApp::new().await.with_project().with_tasks(3).with_edge("t1", "t2").await;
    let cycle = [edge("t2", "t3"), task("n"), edge("t3", "n"), edge("n", "t1")];
    let answer = refused(batch(&project, cycle), &project, 409, "dependency_cycle", 3).await;
    assert_eq!(answer.json()["tasks"], json!(["n", "t1", "t2", "t3"]));
    let twice =
        json!({"method": "POST", "path": "dependencies", "body": {"id": "e", "predecessor": "t2", "successor": "t3"}});
    refused(batch(&project, [edge("t2", "t3"), twice]), &project, 409, "duplicate_dependency", 1).await;
    let turned = patch("dependencies/t1-t2", json!({"predecessor": "t2", "successor": "t1"}));
    batch(&project, [turned, edge("t3", "t2")]).await.expect(200);
}

#[tokio::test]
async fn a_calendar_in_use_stays_and_so_does_the_rest_of_the_batch() {
    let project = TestApp::new().await.with_project().with_calendar("used").with_calendar("spare").await;
    project.patch("", &json!({"calendar": "used"})).await.expect(200);
    let both = [delete("calendars/spare"), delete("calendars/used")];
    refused(batch(&project, both), &project, 409, "calendar_in_use", 1).await;
    batch(&project, [delete("calendars/spare")]).await.expect(200);
}

#[tokio::test]
async fn if_match_names_the_version_before_the_batch() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    let version = project.get("tasks/t1").await.version();
    let change = |version: u64, body: Value| {
        let mut operation = patch("tasks/t1", body);
        operation["if_match"] = json!(version);
        operation
    };
    let stale = [task("n1"), change(version - 1, json!({"name": "x"}))];
    let answer = refused(batch(&project, stale), &project, 412, "version_mismatch", 1).await;
    assert_eq!(answer.json()["current"]["server_version"], version);
    let offline = [change(version, json!({"name": "x"})), change(version, json!({"percent_complete": 10}))];
    batch(&project, offline).await.expect(200);
    let row = project.get("tasks/t1").await.row();
    assert_eq!((&row["name"], &row["percent_complete"]), (&json!("x"), &json!(10)));
}

#[tokio::test]
async fn ninety_eight_rows_fit_and_the_operation_beyond_is_named() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    let tasks = |n: usize| (0..n).map(|n| task(&format!("n{n}")));
    let answer = refused(batch(&project, tasks(120)), &project, 422, "batch_too_large", 98).await;
    assert_eq!(answer.json()["limit"], json!({"operations": 98}));
    batch(&project, tasks(98)).await.expect(200);
    // Each names two tasks that the batch does not write. The role is checked, too.
    let edges = |n: usize| (0..n).map(|n| edge(&format!("n{n}"), &format!("n{}", n + 1)));
    batch(&project, edges(97).chain([edge("t1", "n0")])).await.expect(200);
    // Each deletion takes three rows, and the last one also deletes an edge. That makes 98.
    let cascade = || (0..32).map(|n| delete(&format!("tasks/n{}", 3 * n))).chain([delete("tasks/n1")]);
    let beyond = cascade().chain([task("m")]);
    let answer = refused(batch(&project, beyond), &project, 422, "batch_too_large", 33).await;
    let detail = answer.json()["detail"].to_string();
    assert!(detail.contains("Operation 33") && detail.contains("98 rows"), "{detail}");
    let before = project.current_version().await;
    batch(&project, cascade()).await.expect(200);
    assert_eq!(project.current_version().await, before + 98);
    project.assert_dense().await;
}

#[tokio::test]
async fn four_megabytes_of_rows_fit_and_the_operation_beyond_is_named() {
    let project = TestApp::new().await.with_project().await;
    let long = |n: usize| json!({"method": "POST", "path": "tasks", "body": {"id": format!("l{n}"), "name": "x", "notes": "x".repeat(20_000)}});
    batch(&project, (0..98).map(long)).await.expect(200);
    let grown =
        |n: usize| patch(&format!("tasks/l{n}"), json!({"notes": "y".repeat(40_000), "planned_start": "2026-03-02"}));
    batch(&project, (0..49).map(grown)).await.expect(200);
    batch(&project, (49..98).map(grown)).await.expect(200);
    // The request has few bytes, and the rows have many.
    let done = |n: usize| patch(&format!("tasks/l{n}"), json!({"percent_complete": 100}));
    let answer = refused(batch(&project, (0..98).map(done)), &project, 422, "batch_too_large", 96).await;
    assert_eq!(answer.json()["limit"], json!({"bytes": 4_000_000}));
    batch(&project, (0..96).map(done)).await.expect(200);
    batch(&project, (0..96).map(|n| delete(&format!("tasks/l{n}")))).await.expect(200);
}

#[tokio::test]
async fn a_batch_that_makes_no_sense_is_refused() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    let send = |body: Value| project.post("batch", &body);
    project.refuses_fields(send(json!({"operations": []})), &["operations"]).await;
    project.refuses_fields(send(json!({"operations": [task("n")], "atomic": false})), &["atomic"]).await;
    let memberships = json!({"method": "DELETE", "path": format!("memberships/{}", project.membership("olga"))});
    project.refuses_fields(send(json!({"operations": [task("n"), memberships]})), &["operations[1].path"]).await;
    project
        .refuses_fields(send(json!({"operations": [task("n"), delete("../other/tasks/t1")]})), &["operations[1].path"])
        .await;
    project.refuses(project.call(Method::POST, "batch/").body("text/plain", "x"), 415, "unsupported_media_type").await;
    project.refuses(project.call(Method::POST, "batch").body("application/json", "["), 400, "malformed_json").await;
    let cut = r#"{"operations": [{"method": "POST", "path": "tasks", "body": {"name": "ok"}},
        {"method": "POST", "path": "tasks", "body": {"name": "cut \ud83d"}}]}"#;
    let answer =
        project.refuses(project.call(Method::POST, "batch").body("application/json", cut), 400, "malformed_json").await;
    assert_eq!(answer.json()["operation"], 1, "{}", answer.text);
    assert!(answer.text.contains("operations[1].body.name"), "{}", answer.text);
    let large = json!({"operations": [task("n")], "padding": "x".repeat(2 * 1024 * 1024)});
    project.refuses(send(large), 413, "body_too_large").await;
    let answer = project.get("batch").await;
    answer.problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("POST"));
}

#[tokio::test]
async fn a_row_that_the_table_could_not_hold_is_refused_alone_and_in_a_batch() {
    let project = TestApp::new().await.with_project().await;
    // Each quotation mark is two bytes in the request and four in the row, where exceptions are JSON in a JSON string.
    let exception = json!({"start": "2026-12-24", "end": "2026-12-24", "description": "\"".repeat(90)});
    let calendar = json!({"id": "c", "name": "Site", "exceptions": vec![exception; 999]});
    assert!(calendar.to_string().len() < 256 * 1024);
    project.refuses_fields(project.post("calendars", &calendar), &["exceptions"]).await;
    let operation = json!({"method": "POST", "path": "calendars", "body": calendar});
    project.refuses_fields(batch(&project, [operation]), &["operations[0].body.exceptions"]).await;
}

#[tokio::test]
async fn devices_see_a_batch_whole_or_not_at_all_and_no_edge_without_its_task_on_any_page() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    let mut device = Device::default();
    device.synchronize(&project, None).await;
    let operations = (0..20).flat_map(|n| [task(&format!("n{n}")), edge("t1", &format!("n{n}"))]);
    batch(&project, operations).await.expect(200);
    batch(&project, (0..10).map(|n| delete(&format!("tasks/n{n}")))).await.expect(200);
    while device.synchronize(&project, Some(3)).await.has_more {
        for edge in device.rows.iter().filter(|((collection, _), _)| collection == "dependencies").map(|(_, edge)| edge)
        {
            let task = ("tasks".to_owned(), edge["successor"].as_str().expect("a task").to_owned());
            assert!(device.rows.contains_key(&task), "{edge}");
        }
    }
    assert_eq!(device.rows, project.live_rows().await);
}

#[tokio::test]
async fn a_batch_with_a_key_happens_once() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    let unnamed = json!({"method": "POST", "path": "tasks/", "body": {"name": "no id"}});
    let operations = [task("n1"), patch("tasks/t1/", json!({"name": "once"})), unnamed];
    let send = || batch(&project, operations.clone()).header("idempotency-key", "outbox-1");
    let first = send().await.expect(200);
    let after = project.current_version().await;
    let again = send().await.expect(200);
    assert_eq!((&again.text, again.header("x-server-version")), (&first.text, first.header("x-server-version")));
    assert_eq!(again.header("idempotent-replay"), Some("true"));
    assert_eq!(project.current_version().await, after, "nothing was written");
    let other = batch(&project, [task("n2")]).header("idempotency-key", "outbox-1");
    project.refuses(other, 422, "idempotency_key_reused").await;
}
