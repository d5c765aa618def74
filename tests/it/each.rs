//! Tests the batch in the mode `each`: every operation is judged by itself, and the accepted ones are one commit.

use std::future::IntoFuture;

use serde_json::{Value, json};
use shared::domain::{Quotas, Role};
use shared::storage::MAX_ROWS;
use tests::support::{Answer, Call, TestApp, TestProject, TestTable};
use tokio::task::JoinSet;

use crate::batch::{batch, edge, task};

fn each(project: &TestProject, operations: impl IntoIterator<Item = Value>) -> Call {
    let operations: Vec<Value> = operations.into_iter().collect();
    project.post("batch", &json!({"mode": "each", "operations": operations}))
}

fn patch(row: &str, body: Value) -> Value {
    json!({"method": "PATCH", "path": row, "body": body})
}

fn delete(row: &str) -> Value {
    json!({"method": "DELETE", "path": row})
}

/// The operation of a user who has seen the row up to this version.
fn on(base: u64, mut operation: Value) -> Value {
    operation["base_version"] = json!(base);
    operation
}

/// The operation of a user who has seen single fields up to other versions.
fn with_fields(fields: Value, mut operation: Value) -> Value {
    operation["base_fields"] = fields;
    operation
}

fn results(answer: &Answer) -> Vec<Value> {
    answer.json()["results"].as_array().expect("results").clone()
}

/// The result of each operation: the status, the code of its refusal, or the reason why it was not attempted.
async fn outcomes(call: Call) -> Vec<String> {
    let answer = call.await.expect(200);
    let outcome = |result: Value| match (&result["problem"]["code"], &result["code"]) {
        (Value::String(code), _) => {
            assert_eq!(result["status"], result["problem"]["status"]);
            code.clone()
        }
        (_, Value::String(code)) => {
            assert_eq!(result["status"], 0);
            code.clone()
        }
        _ => result["status"].to_string(),
    };
    results(&answer).into_iter().map(outcome).collect()
}

/// The fields because of which an operation was refused.
fn refused_fields(result: &Value) -> Vec<&str> {
    result["problem"]["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|e| e["field"].as_str().expect("a field"))
        .collect()
}

async fn seen(project: &TestProject, row: &str) -> u64 {
    project.get(&format!("{row}/")).await.version()
}

#[tokio::test]
async fn a_refused_operation_leaves_no_trace_and_the_others_are_one_commit() {
    let project = TestApp::new().await.with_project().with_tasks(3).with_edge("t1", "t2").await;
    let start = project.current_version().await;
    let operations = [
        task("n1"),
        patch("tasks/t3", json!({"name": ""})),
        edge("t2", "n1"),
        patch("tasks/never", json!({"name": "x"})),
        edge("n1", "t1"),
        delete("tasks/t3"),
        delete("tasks/never"),
        json!({"method": "POST", "path": "tasks", "body": {"id": "t1", "name": "another"}}),
    ];
    let answer = each(&project, operations).await.expect(200);
    let end = project.current_version().await;
    assert_eq!((end, answer.committed()), (start + 3, end));
    let stored = project.stored().await;
    let version = |key: &str| stored[key].number("server_version");
    let results = results(&answer);
    assert_eq!(results[0], json!({"status": 201, "id": "n1", "server_version": version("tasks#n1")}));
    assert_eq!(results[2], json!({"status": 201, "id": "t2-n1", "server_version": version("dependencies#t2-n1")}));
    assert_eq!(results[5], json!({"status": 204, "id": "t3", "server_version": version("tasks#t3")}));
    for (place, status, id, code) in [
        (1, 422, "t3", "validation_failed"),
        (3, 404, "never", "not_found"),
        (4, 409, "n1-t1", "dependency_cycle"),
        (6, 404, "never", "not_found"),
        (7, 409, "t1", "id_taken"),
    ] {
        let result = &results[place];
        assert_eq!((&result["status"], &result["id"]), (&json!(status), &json!(id)), "{result}");
        assert_eq!(result["problem"]["code"], code, "{result}");
        assert_eq!(result["problem"]["status"], status, "{result}");
        assert!(result["problem"].get("operation").is_none(), "as of the single request: {result}");
    }
    assert_eq!(refused_fields(&results[1]), ["name"]);
    assert_eq!(results[4]["problem"]["tasks"], json!(["n1", "t1", "t2"]));
    assert!(!stored.contains_key("dependencies#n1-t1"));
    assert_eq!(stored["tasks#t1"].content()["name"], "Task 1");
    project.assert_dense().await;
    let pull = project.pull(start).await;
    assert_eq!((pull.updated("tasks"), pull.updated("dependencies")), (vec!["n1"], vec!["t2-n1"]));
    assert_eq!((pull.deleted("tasks"), pull.mark), (vec!["t3"], end));
}

#[tokio::test]
async fn an_operation_sees_what_was_accepted_before_it_and_nothing_of_what_was_refused() {
    let project = TestApp::new().await.with_project().with_tasks(2).with_edge("t1", "t2").await;
    let nameless = |id: &str| json!({"method": "POST", "path": "tasks", "body": {"id": id, "name": ""}});
    let operations = [nameless("n1"), edge("t2", "n1"), task("n1"), edge("t2", "n1"), edge("n1", "t1")];
    let expected = ["validation_failed", "validation_failed", "201", "201", "dependency_cycle"];
    assert_eq!(outcomes(each(&project, operations)).await, expected);
    // A refused edge closes no cycle with the next one, and a task whose deletion is refused still exists.
    let turned =
        json!({"method": "POST", "path": "dependencies", "body": {"id": "e", "predecessor": "n1", "successor": "t2"}});
    let operations = [
        turned.clone(),
        delete("dependencies/t2-n1"),
        turned,
        on(1, delete("tasks/t1")),
        patch("tasks/t1", json!({"name": "here"})),
    ];
    let expected = ["dependency_cycle", "204", "201", "sync_conflict", "200"];
    assert_eq!(outcomes(each(&project, operations)).await, expected);
    project.assert_dense().await;
}

#[tokio::test]
async fn operations_that_do_not_fit_and_all_later_ones_are_not_attempted_and_succeed_in_the_next_request() {
    let project = TestApp::new().await.with_project().with_tasks(3).with_edge("t1", "t2").await;
    let start = project.current_version().await;
    let tasks = (1..MAX_ROWS - 1).map(|n| task(&format!("n{n}")));
    let operations = tasks.chain([on(99, delete("tasks/t1")), delete("tasks/t1"), delete("tasks/t3")]);
    let mut operations: Vec<Value> = operations.collect();
    operations.truncate(MAX_ROWS);
    operations[MAX_ROWS - 3] = task("first");
    operations[MAX_ROWS - 2] = delete("tasks/t1");
    operations[MAX_ROWS - 1] = delete("tasks/t3");
    operations[0] = task("also");
    // There are 96 rows, and two more with the dependency. That fits exactly, so one more row is too much.
    operations[1] = patch("tasks/t2", json!({"name": "x"}));
    assert_eq!(outcomes(each(&project, operations.clone())).await[MAX_ROWS - 2..], ["204", "not_attempted"]);
    assert_eq!(project.current_version().await, start + 98);
    let next = outcomes(each(&project, [operations[MAX_ROWS - 1].clone()])).await;
    assert_eq!(next, ["204"]);
    project.assert_dense().await;
}

#[tokio::test]
async fn once_the_commit_is_full_nothing_more_is_attempted_though_it_would_fit() {
    let project = TestApp::new().await.with_project().with_tasks(4).with_edge("t1", "t2").await;
    let tasks = (0..MAX_ROWS - 3).map(|n| task(&format!("n{n}")));
    let operations = tasks.chain([patch("tasks/t4", json!({"name": "97th, and"})), task("m"), delete("tasks/t3")]);
    let mut operations: Vec<Value> = operations.collect();
    operations.swap(MAX_ROWS - 2, MAX_ROWS - 3);
    operations[MAX_ROWS - 2] = delete("tasks/t1");
    operations[MAX_ROWS - 3] = task("m");
    let before = project.current_version().await;
    let outcomes = outcomes(each(&project, operations)).await;
    // 96 rows and 2 are 98. The last one does not fit.
    assert_eq!(outcomes[MAX_ROWS - 2..], ["204", "not_attempted"]);
    assert_eq!(project.current_version().await, before + 98);
}

#[tokio::test]
async fn an_operation_that_no_commit_could_hold_is_refused_wherever_it_stands() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    let spokes = |n: std::ops::Range<usize>| n.map(|n| task(&format!("s{n}"))).collect::<Vec<_>>();
    batch(&project, spokes(0..MAX_ROWS)).await.expect(200);
    let edges = (0..MAX_ROWS).map(|n| edge("t1", &format!("s{n}")));
    batch(&project, edges).await.expect(200);
    let hub = || delete("tasks/t1");
    for operations in [vec![hub(), task("a")], vec![task("b"), hub(), task("c")], vec![hub()]] {
        let count = operations.len();
        let outcomes = outcomes(each(&project, operations)).await;
        assert_eq!(outcomes.iter().filter(|outcome| *outcome == "batch_too_large").count(), 1, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(|outcome| *outcome == "201").count(), count - 1, "{outcomes:?}");
    }
    // Alone, the deletion takes several commits, on the same condition.
    let seen = seen(&project, "tasks/t1").await;
    project.delete("tasks/t1").based_on(seen).key("hub").await.expect(204);
}

#[tokio::test]
async fn a_deletion_of_what_its_user_has_not_seen_is_a_conflict_with_the_fields_and_their_values() {
    let project = TestApp::new().await.with_project().with_tasks(3).with_edge("t1", "t2").await;
    let base = seen(&project, "tasks/t1").await;
    project.patch("tasks/t1", &json!({"notes": "theirs", "duration": 7})).await.expect(200);
    let now = seen(&project, "tasks/t1").await;
    let answer = project.writes_nothing(each(&project, [on(base, delete("tasks/t1"))])).await;
    let problem = &results(&answer)[0]["problem"];
    assert_eq!((&problem["status"], &problem["code"]), (&json!(409), &json!("sync_conflict")));
    assert_eq!(problem["conflict_fields"], json!(["duration", "notes"]));
    assert_eq!(problem["server_value"], json!({"duration": 7, "notes": "theirs"}));
    assert_eq!(problem["client_value"], json!({"duration": null, "notes": null}));
    assert_eq!(problem["server_version"], now);
    let seen_both = |operation| with_fields(json!({"notes": now, "duration": now}), operation);
    let seen_one = |operation| with_fields(json!({"notes": now}), operation);
    assert_eq!(outcomes(each(&project, [seen_one(on(base, delete("tasks/t1")))])).await, ["sync_conflict"]);
    assert_eq!(outcomes(each(&project, [on(0, delete("tasks/t1"))])).await, ["sync_conflict"]);
    assert_eq!(outcomes(each(&project, [on(now + 1, delete("tasks/t1"))])).await, ["version_mismatch"]);
    // The dependency that is deleted with the task was changed, and is not judged.
    project.patch("dependencies/t1-t2", &json!({"lag": 3})).await.expect(200);
    let answer = each(&project, [seen_both(on(base, delete("tasks/t1")))]).await.expect(200);
    let tombstone = project.stored().await["tasks#t1"].number("server_version");
    assert_eq!(results(&answer), [json!({"status": 204, "id": "t1", "server_version": tombstone})]);
    assert!(project.stored().await["dependencies#t1-t2"].is_dead());
    // One row is dead, whatever version its user has seen. Another one never existed.
    let again = each(&project, [on(base, delete("tasks/t1")), on(0, delete("tasks/never"))]);
    let again = results(&project.writes_nothing(again).await);
    assert_eq!(again[0], json!({"status": 204, "id": "t1", "server_version": tombstone}));
    assert_eq!(again[1]["status"], 404);
}

#[tokio::test]
async fn each_field_of_a_change_is_judged_by_its_own_base_in_both_modes() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    let first = seen(&project, "tasks/t1").await;
    project.patch("tasks/t1", &json!({"name": "theirs"})).await.expect(200);
    let second = seen(&project, "tasks/t1").await;
    let mine = || on(first, patch("tasks/t1", json!({"name": "mine", "notes": "mine"})));
    let insists = || with_fields(json!({"name": second, "no_such_field": 1}), mine());
    assert_eq!(outcomes(each(&project, [mine()])).await, ["sync_conflict"]);
    let answer = project.refuses(batch(&project, [task("n"), mine()]), 409, "sync_conflict").await;
    assert_eq!((&answer.json()["operation"], &answer.json()["conflict_fields"]), (&json!(1), &json!(["name"])));
    assert_eq!(
        outcomes(each(&project, [with_fields(json!({"name": 0}), on(second, mine()))])).await,
        ["sync_conflict"]
    );
    batch(&project, [insists()]).await.expect(200);
    project.patch("tasks/t1", &json!({"duration": 4})).await.expect(200);
    let third = on(second, patch("tasks/t1", json!({"notes": "mine"})));
    for call in [each(&project, [third.clone()]), batch(&project, [third])] {
        let result = results(&call.await.expect(200)).remove(0);
        assert_eq!(
            (&result["status"], &result["merged_fields"]),
            (&json!(200), &json!(["name", "duration"])),
            "{result}"
        );
    }
    let row = project.get("tasks/t1").await.row();
    assert_eq!((&row["name"], &row["notes"], &row["duration"]), (&json!("mine"), &json!("mine"), &json!(4)));
}

#[tokio::test]
async fn the_same_value_written_otherwise_is_no_conflict() {
    let project = TestApp::new().await.with_project().with_calendar("c").await;
    let base = seen(&project, "calendars/c").await;
    let full = json!([{"start": "2026-12-24", "end": "2026-12-26", "description": ""}]);
    project.patch("calendars/c", &json!({"exceptions": full, "hours_per_day": 7})).await.expect(200);
    let bare = json!([{"start": "2026-12-24", "end": "2026-12-26"}]);
    let same = on(base, patch("calendars/c", json!({"exceptions": bare, "hours_per_day": 7.0})));
    assert_eq!(outcomes(each(&project, [same])).await, ["200"]);
    let other = on(base, patch("calendars/c", json!({"exceptions": [], "hours_per_day": 7.0})));
    assert_eq!(outcomes(each(&project, [other])).await, ["sync_conflict"]);
    // The value that a pull shows is sent back, and it stays the same.
    let shown = project.pull(0).await.row("calendars", "c")["exceptions"].as_str().expect("a text").to_owned();
    let sent: Value = serde_json::from_str(&shown).expect("JSON");
    project.writes_nothing(each(&project, [patch("calendars/c", json!({"exceptions": sent}))])).await.expect(200);
}

#[tokio::test]
async fn the_whole_answer_is_kept_also_when_everything_was_refused() {
    let project = TestApp::new().await.with_project().with_tasks(2).await;
    let send = || each(&project, [edge("t1", "t3"), patch("tasks/t3", json!({"name": "late"}))]).key("outbox");
    let first = send().await.expect(200);
    let codes = ["validation_failed", "not_found"];
    assert_eq!(results(&first).iter().map(|result| &result["problem"]["code"]).collect::<Vec<_>>(), codes);
    // Now both could be created, but the user has given them up.
    project.create("tasks", json!({"id": "t3", "name": "t3"})).await;
    let again = project.writes_nothing(send()).await;
    again.assert_replays(&first);
    project.refuses(each(&project, [task("n")]).key("outbox"), 422, "idempotency_key_reused").await;
    // This also holds for a long answer. Of the long answer to a single request, only the row's name is stored.
    let many =
        || each(&project, (0..MAX_ROWS).map(|n| patch(&format!("tasks/m{n}"), json!({"name": "x"})))).key("many");
    let first = many().await.expect(200);
    assert!(first.text.len() > 8 * 1024, "{}", first.text.len());
    project.create("tasks", json!({"id": "m5", "name": "m5"})).await;
    project.writes_nothing(many()).await.assert_replays(&first);
    // Some operations are refused, and some are not.
    let mixed = || each(&project, [task("n1"), edge("n1", "t9"), delete("tasks/t2")]).key("mixed");
    let first = mixed().await.expect(200);
    project.create("tasks", json!({"id": "t9", "name": "t9"})).await;
    project.writes_nothing(mixed()).await.assert_replays(&first);
    project.remove("olga").await.problem(409, "last_owner");
}

#[tokio::test]
async fn a_refusal_of_the_request_itself_is_not_kept() {
    let project = TestApp::new().await.with_project().with_tasks(1).with_member("mia", Role::Member).await;
    let rename = || each(&project, [patch("tasks/t1", json!({"name": "x"}))]).by("mia").key("k");
    project.remove("mia").await.expect(204);
    project.refuses(rename(), 403, "membership_revoked").await;
    project.give("mia", Role::Member).await.expect(201);
    assert_eq!(outcomes(rename()).await, ["200"]);
    project.refuses(each(&project, [task("n")]).by("eve").key("k"), 403, "not_a_member").await;
    project.refuses(each(&project, [task("n")]).without_token(), 401, "token_missing").await;
    project.delete("").await.expect(204);
    project.refuses(each(&project, [task("n")]).by("mia"), 410, "project_deleted").await;
}

#[tokio::test]
async fn each_operation_takes_the_role_of_the_single_request() {
    let setup = TestApp::new().await.with_project().with_tasks(2).with_edge("t1", "t2").with_calendar("c");
    let setup = setup.with_member("vic", Role::Viewer).with_member("mia", Role::Member);
    let project = setup.with_member("sofia", Role::Scheduler).await;
    let operations = |name: &str| {
        [
            patch("tasks/t1", json!({"name": name})),
            patch("dependencies/t1-t2", json!({"lag": name.len()})),
            patch("calendars/c", json!({"name": name})),
        ]
    };
    let too_low = "role_too_low";
    for (user, expected) in [
        ("vic", [too_low, too_low, too_low]),
        ("mia", ["200", too_low, too_low]),
        ("sofia", ["200", "200", too_low]),
        ("olga", ["200", "200", "200"]),
    ] {
        assert_eq!(outcomes(each(&project, operations(user)).by(user)).await, expected, "{user}");
    }
}

#[tokio::test]
async fn a_quota_refuses_the_operation_that_passes_it_and_no_other() {
    let table = TestTable::of_this_process().await;
    let quotas = Quotas { max_rows: 3, ..Quotas::default() };
    let app = TestApp::on(table, table.table().await.with_quotas(quotas)).await;
    let project = app.with_project().with_tasks(2).await;
    let operations =
        [task("a"), task("b"), patch("tasks/t1", json!({"name": "x"})), delete("tasks/t2"), task("c"), task("d")];
    let full = "quota_exceeded";
    assert_eq!(outcomes(each(&project, operations)).await, ["201", full, "200", "204", "201", full]);
    assert_eq!(project.pull(0).await.updated("tasks"), ["a", "c", "t1"]);
}

#[tokio::test]
async fn an_operation_that_makes_no_sense_is_refused_alone_and_names_what_is_wrong() {
    let project = TestApp::new().await.with_project().with_tasks(2).await;
    let with = |member: &str, value: Value| {
        let mut operation = patch("tasks/t1", json!({"name": "x"}));
        operation[member] = value;
        operation
    };
    let both = on(1, with("if_match", json!(1)));
    let operations = [
        (with("method", json!("GET")), "method", json!("t1")),
        (with("colour", json!("red")), "colour", json!("t1")),
        (with("path", json!("tasks/a b")), "path", json!(null)),
        (with("path", json!("memberships/x")), "path", json!("x")),
        (with("body", json!({"colour": "red"})), "colour", json!("t1")),
        (with("body", json!(7)), "body", json!("t1")),
        (with("base_version", json!(-1)), "base_version", json!("t1")),
        (with("base_fields", json!({"name": 1})), "base_fields", json!("t1")),
        (with_fields(json!({"name": "1"}), on(1, with("method", json!("PATCH")))), "base_fields.name", json!("t1")),
        (both, "base_version", json!("t1")),
        (on(1, task("n")), "base_version", json!("n")),
        (json!({"method": "DELETE"}), "path", json!(null)),
    ];
    let sent = operations.iter().map(|(operation, ..)| operation.clone()).chain([task("good")]);
    let results = results(&each(&project, sent).await.expect(200));
    for ((_, field, id), result) in operations.iter().zip(&results) {
        assert_eq!((&result["status"], &result["id"]), (&json!(422), id), "{result}");
        assert_eq!(refused_fields(result), [*field], "{result}");
    }
    assert_eq!(results.last().expect("a result")["status"], 201);
    let of_row_made_here = [task("made"), on(1, patch("tasks/made", json!({"name": "x"})))];
    assert_eq!(outcomes(each(&project, of_row_made_here)).await, ["201", "validation_failed"]);
    // A problem that is not about a single operation refuses the whole request.
    let send = |body: Value| project.post("batch", &body);
    project.refuses_fields(send(json!({"mode": "some", "operations": [task("m")]})), &["mode"]).await;
    project.refuses_fields(send(json!({"mode": "each", "operations": []})), &["operations"]).await;
    project.refuses_fields(send(json!({"mode": "each", "operations": [task("m"), 5]})), &["operations[1]"]).await;
    project.refuses(each(&project, (0..=MAX_ROWS).map(|n| task(&format!("x{n}")))), 422, "batch_too_large").await;
}

#[tokio::test]
async fn problems_that_are_too_long_for_one_answer_wait_for_the_next_request_and_one_alone_is_shortened() {
    let project = TestApp::new().await.with_project().with_tasks(3).await;
    let base = project.current_version().await;
    let long = |letter: &str| json!({"notes": letter.repeat(50_000)});
    for row in ["tasks/t1", "tasks/t2"] {
        project.patch(row, &long("a")).await.expect(200);
    }
    let mine = |row: &str, letter| on(base, patch(row, long(letter)));
    let operations = [mine("tasks/t1", "b"), mine("tasks/t2", "b"), delete("tasks/t3")];
    assert_eq!(outcomes(each(&project, operations)).await, ["sync_conflict", "not_attempted", "not_attempted"]);
    project.patch("tasks/t1", &long("\u{4e2d}")).await.expect(200);
    let alone = || each(&project, [mine("tasks/t1", "b"), delete("tasks/t3")]).key("alone");
    let answer = alone().await.expect(200);
    let results = results(&answer);
    let problem = &results[0]["problem"];
    assert_eq!((&problem["code"], &problem["conflict_fields"]), (&json!("sync_conflict"), &json!(["notes"])));
    assert_eq!(problem["shortened"], true);
    assert!(problem.get("server_value").is_none() && problem["server_version"].is_u64(), "{problem}");
    assert_eq!(results[1]["status"], 204);
    assert!(answer.text.len() < 2_000, "{}", answer.text.len());
    project.writes_nothing(alone()).await.assert_replays(&answer);
}

#[tokio::test]
async fn of_devices_that_push_one_field_at_once_one_is_accepted_and_the_others_are_told_of_it() {
    let project = TestApp::new().await.with_project().with_tasks(8).await;
    let base = seen(&project, "tasks/t1").await;
    let mut pushes = JoinSet::new();
    for device in 0..8 {
        let own_base = seen(&project, &format!("tasks/t{}", device + 1)).await;
        let own = on(own_base, patch(&format!("tasks/t{}", device + 1), json!({"name": format!("own {device}")})));
        let shared = on(base, patch("tasks/t1", json!({"notes": format!("by {device}")})));
        pushes.spawn(
            each(&project, [shared, own, task(&format!("n{device}"))]).key(&format!("push-{device}")).into_future(),
        );
    }
    let (mut accepted, mut refused) = (vec![], 0);
    for answer in pushes.join_all().await {
        let results = results(&answer.expect(200));
        assert_eq!(results[2]["status"], 201);
        match &results[0]["problem"] {
            Value::Null => accepted.push(results[0]["server_version"].clone()),
            problem => {
                assert_eq!(problem["conflict_fields"], json!(["notes"]));
                refused += 1;
            }
        }
    }
    assert_eq!((accepted.len(), refused), (1, 7));
    project.assert_dense().await;
}
