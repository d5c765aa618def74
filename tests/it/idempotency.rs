//! Tests `Idempotency-Key`: a repeated mutation is applied once and gets the same answer.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::http::Method;
use serde_json::{Value, json};
use shared::domain::Role;
use tests::support::{Answer, Call, OWNER, TestApp, TestProject};

async fn project() -> TestProject {
    let setup = TestApp::new().await.with_project().with_tasks(3).with_edge("t1", "t2").with_calendar("site");
    setup.with_member("mia", Role::Member).with_member("adam", Role::Admin).await
}

/// Sends a call, and repeats it to another instance. The repetition must replay the first answer and write nothing.
async fn twice(project: &TestProject, call: impl Fn(&TestProject) -> Call) -> Answer {
    let first = call(project).await;
    assert!(first.status < 300, "{first:?}");
    let elsewhere = project.seen_by(TestApp::new().await);
    let records = project.records().await;
    let again = project.writes_nothing(call(&elsewhere)).await;
    again.assert_replays(&first);
    assert_eq!(project.records().await, records);
    first
}

/// One call of each kind of mutation.
fn mutations(project: &TestProject) -> Vec<(Method, String, Option<Value>)> {
    let mia = format!("memberships/{}/", project.membership("mia"));
    let some = |method, path: &str, body| (method, path.to_owned(), Some(body));
    vec![
        some(Method::POST, "tasks/", json!({"id": "own", "name": "Dig"})),
        some(Method::POST, "tasks/", json!({"name": "Dig"})),
        some(Method::POST, "dependencies/", json!({"predecessor": "t2", "successor": "t3"})),
        some(
            Method::POST,
            "calendars/",
            json!({"name": "Office", "exceptions": [{"start": "2026-12-24", "end": "2026-12-24"}]}),
        ),
        some(Method::POST, "memberships/", json!({"user": "new", "role": 1})),
        some(Method::PATCH, "", json!({"name": "Villa", "calendar": "site"})),
        some(Method::PATCH, "tasks/t1/", json!({"name": "Fill"})),
        some(Method::PATCH, "dependencies/t1-t2/", json!({"lag": 3})),
        some(Method::PATCH, "calendars/site/", json!({"hours_per_day": 7.5})),
        some(Method::PATCH, &mia, json!({"role": 1})),
        (Method::DELETE, "dependencies/t1-t2/".to_owned(), None),
        (Method::DELETE, "tasks/t1/".to_owned(), None),
        (Method::DELETE, mia, None),
    ]
}

fn call(project: &TestProject, (method, path, body): &(Method, String, Option<Value>)) -> Call {
    let call = project.call(method.clone(), path);
    match body {
        Some(body) => call.json(body),
        None => call,
    }
}

#[tokio::test]
async fn a_repeated_mutation_is_answered_the_same_by_any_instance_and_writes_nothing() {
    let project = project().await;
    for (number, mutation) in mutations(&project).iter().enumerate() {
        let before = project.current_version().await;
        let key = format!("key-{number}");
        let first = twice(&project, |project| call(project, mutation).key(&key)).await;
        assert!(project.current_version().await > before, "{mutation:?}");
        assert_eq!(first.committed(), project.current_version().await, "{mutation:?}");
    }
    project.assert_dense().await;
}

#[tokio::test]
async fn a_replay_is_the_first_answer_whatever_happened_to_the_row_since() {
    let project = project().await;
    let change = |project: &TestProject| project.patch("tasks/t1", &json!({"name": "mine"})).key("k");
    let first = change(&project).await.expect(200);
    project.patch("tasks/t1", &json!({"name": "theirs"})).await.expect(200);
    project.writes_nothing(change(&project)).await.assert_replays(&first);
    project.delete("tasks/t1").await.expect(204);
    project.writes_nothing(change(&project)).await.assert_replays(&first);
}

#[tokio::test]
async fn without_a_key_a_creation_without_an_id_is_another_row_each_time() {
    let project = project().await;
    let body = json!({"name": "Dig"});
    let (one, other) = (project.create("tasks", body.clone()).await, project.create("tasks", body).await);
    assert_ne!(one["id"], other["id"]);
    assert!(project.records().await.is_empty());
}

#[tokio::test]
async fn a_record_lies_beside_the_project_holds_no_key_and_expires_in_a_day() {
    let project = project().await;
    let before = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    project.post("tasks", &json!({"name": "Dig"})).key("my-key").await.expect(201);
    let records = project.records().await;
    let (id, record) = records.first_key_value().expect("a record");
    assert_eq!(records.len(), 1);
    assert!(!id.contains("my-key"));
    assert!(record.get("server_version").is_none(), "or it would be in the index");
    let expires = record.number("expires_at");
    assert!((before + 86_400..before + 86_460).contains(&expires), "{expires}");
}

#[tokio::test]
async fn the_same_key_with_another_request_is_refused() {
    let project = project().await;
    let seen = project.get("tasks/t1/").await.version();
    project.patch("tasks/t1", &json!({"name": "one"})).if_match(seen).key("k").await.expect(200);
    for other in [
        project.patch("tasks/t1", &json!({"name": "two"})).if_match(seen),
        project.patch("tasks/t2", &json!({"name": "one"})).if_match(seen),
        project.patch("tasks/t1", &json!({"name": "one"})),
        project.delete("tasks/t1").if_match(seen),
        project.post("tasks", &json!({"name": "one"})),
    ] {
        project.refuses(other.key("k"), 422, "idempotency_key_reused").await;
    }
    // With and without the slash it is the same address.
    let again = project.call(Method::PATCH, "tasks/t1").json(&json!({"name": "one"})).if_match(seen).key("k");
    assert!(project.writes_nothing(again).await.expect(200).is_replay());
}

#[tokio::test]
async fn another_callers_key_and_another_projects_key_are_other_keys() {
    let project = project().await;
    let body = json!({"name": "Dig"});
    let one = project.post("tasks", &body).key("k").await.expect(201);
    let other = project.post("tasks", &body).by("mia").key("k").await.expect(201);
    let elsewhere = TestApp::new().await.with_project().await;
    let third = elsewhere.post("tasks", &body).key("k").await.expect(201);
    assert!(!one.is_replay() && !other.is_replay() && !third.is_replay());
    assert_ne!(one.row()["id"], other.row()["id"]);
}

#[tokio::test]
async fn a_refusal_is_not_recorded_and_the_key_is_free_for_a_better_request() {
    let project = project().await;
    for (bad, status, code) in [
        (project.post("tasks", &json!({"name": ""})), 422, "validation_failed"),
        (project.patch("tasks/none", &json!({"name": "x"})), 404, "not_found"),
        (project.patch("tasks/t1", &json!({"name": "x"})).if_match(1), 412, "version_mismatch"),
        (project.patch("", &json!({"name": "x"})).by("mia"), 403, "role_too_low"),
        (project.patch("", &json!({"name": "x"})).by("nobody"), 403, "not_a_member"),
    ] {
        project.refuses(bad.key("k"), status, code).await;
    }
    assert!(project.records().await.is_empty());
    project.post("tasks", &json!({"name": "Dig"})).key("k").await.expect(201);
}

#[tokio::test]
async fn a_success_that_had_nothing_to_write_is_the_answer_to_its_repetition_too() {
    let project = project().await;
    let same = |project: &TestProject| project.patch("tasks/t1", &json!({"name": "Task 1"})).key("patch");
    let first = project.writes_nothing(same(&project)).await.expect(200);
    assert_eq!(first.committed(), project.current_version().await);
    let gone = |project: &TestProject| project.remove("mia").key("remove");
    project.remove("mia").await.expect(204);
    let second = project.writes_nothing(gone(&project)).await.expect(204);
    // Meanwhile a repetition of either would have something to write.
    project.patch("tasks/t1", &json!({"name": "theirs"})).await.expect(200);
    project.give("mia", Role::Member).await.expect(201);
    project.writes_nothing(same(&project)).await.assert_replays(&first);
    project.writes_nothing(gone(&project)).await.assert_replays(&second);
}

#[tokio::test]
async fn of_an_unchanged_long_row_only_the_key_is_kept() {
    let project = project().await;
    project.patch("tasks/t1", &json!({"notes": "x".repeat(40_000)})).await.expect(200);
    let same = |project: &TestProject| project.patch("tasks/t1", &json!({"name": "Task 1"})).key("patch");
    let first = project.writes_nothing(same(&project)).await.expect(200);
    let records = project.records().await;
    assert!(records.values().any(|record| record.get("row").is_some()), "the row is not named");
    assert!(records.values().all(|record| !format!("{record:?}").contains("xxxx")), "the row is kept");
    project.writes_nothing(same(&project)).await.assert_replays(&first);
    let changed = project.patch("tasks/t1", &json!({"name": "theirs"})).await.expect(200);
    let again = project.writes_nothing(same(&project)).await.expect(200);
    assert!(again.is_replay() && again.json() == changed.json(), "the row as it is now");
    assert_eq!((again.header("etag"), again.committed()), (changed.header("etag"), first.committed()));
}

#[tokio::test]
async fn a_repetition_is_answered_to_members_only() {
    let project = project().await;
    let change = |project: &TestProject| project.patch("tasks/t1", &json!({"name": "mine"})).by("mia").key("k");
    let first = change(&project).await.expect(200);
    project.change("mia", 1).await.expect(200);
    // A viewer may see the answer.
    project.writes_nothing(change(&project)).await.assert_replays(&first);
    project.remove("mia").await.expect(204);
    project.refuses(change(&project), 403, "membership_revoked").await;
    project.refuses(change(&project).by("nobody"), 403, "not_a_member").await;
    project.refuses(change(&project).without_token(), 401, "token_missing").await;
    project.give("mia", Role::Viewer).await.expect(201);
    project.writes_nothing(change(&project)).await.assert_replays(&first);
}

#[tokio::test]
async fn who_left_or_deleted_the_project_is_told_so_when_asking_again() {
    let project = project().await;
    let leave = |project: &TestProject| project.remove("mia").by("mia").key("k");
    leave(&project).await.expect(204);
    project.refuses(leave(&project), 403, "membership_revoked").await;
    let delete = |project: &TestProject| project.delete("").key("k");
    assert_eq!(delete(&project).await.expect(204).committed(), project.current_version().await);
    project.refuses(delete(&project), 410, "project_deleted").await;
}

#[tokio::test]
async fn an_expired_record_counts_as_absent_though_it_is_still_there() {
    let project = project().await;
    let create = |name: &str| project.post("tasks", &json!({ "name": name })).key("k");
    let first = create("one").await.expect(201);
    project.expire_records().await;
    let second = create("one").await.expect(201);
    assert!(!second.is_replay());
    assert_ne!(first.row()["id"], second.row()["id"]);
    project.writes_nothing(create("one")).await.assert_replays(&second);
    project.expire_records().await;
    let third = create("another request").await.expect(201);
    project.writes_nothing(create("another request")).await.assert_replays(&third);
    // A request that had nothing to write, and a refused one, meet an expired record.
    project.expire_records().await;
    project.writes_nothing(project.patch("tasks/t1", &json!({})).key("k")).await.expect(200);
    project.expire_records().await;
    project.refuses(create("").key("other"), 400, "invalid_parameter").await;
    project.refuses(create(""), 422, "validation_failed").await;
}

#[tokio::test]
async fn a_project_created_with_a_key_and_no_id_is_one_project() {
    let app = TestApp::new().await;
    let user = format!("u-{}", shared::domain::RowId::generate());
    let create = |name: &str, user: &str| {
        app.call(Method::POST, "/api/v1/projects/").by(user).json(&json!({"name": name, "start_date": "2026-03-02"}))
    };
    let first = create("House", &user).key("k").await.expect(201);
    assert_eq!(first.committed(), 2, "the project and its owner");
    create("House", &user).key("k").await.assert_replays(&first);
    create("Villa", &user).key("k").await.problem(422, "idempotency_key_reused");
    let id = first.row()["id"].as_str().expect("an id").to_owned();
    assert_eq!(first.header("location"), Some(format!("/api/v1/projects/{id}/").as_str()));
    let ids = [create("House", &user).key("l"), create("House", &user), create("House", OWNER).key("k")];
    for other in ids {
        let other = other.await.expect(201);
        assert_ne!(other.row()["id"], first.row()["id"]);
    }
    // Its record is removed after a day, and its id stays.
    let project = TestProject { app: app.clone(), id };
    project.expire_records().await;
    let again = create("House", &user).key("k").await.expect(200);
    assert_eq!(again.row(), first.row());
}

#[tokio::test]
async fn a_project_created_with_a_key_and_an_id_is_replayed() {
    let app = TestApp::new().await;
    let id = shared::domain::RowId::generate().to_string();
    let create = || {
        let body = json!({"id": id, "name": "House"});
        app.call(Method::POST, "/api/v1/projects/").by(OWNER).json(&body).key("k")
    };
    let first = create().await.expect(201);
    create().await.assert_replays(&first);
}

#[tokio::test]
async fn a_cascade_over_several_commits_is_recorded_with_the_last_one() {
    let project = TestApp::new().await.with_project().with_tasks(61).await;
    for n in 2..=61 {
        for dep_type in ["FS", "SS"] {
            let edge = json!({"id": format!("e{n}{dep_type}"), "predecessor": "t1", "successor": format!("t{n}"), "dep_type": dep_type});
            project.create("dependencies", edge).await;
        }
    }
    let before = project.current_version().await;
    let first = twice(&project, |project| project.delete("tasks/t1").key("k")).await;
    assert_eq!(project.current_version().await, before + 121);
    assert_eq!(first.committed(), before + 121);
    assert_eq!(project.records().await.len(), 1);
}

#[tokio::test]
async fn the_largest_row_fits_into_a_record() {
    let project = project().await;
    // The row has as many bytes as a request's body can hold, and its answer is even longer.
    let notes = "\u{1}".repeat(43_000);
    twice(&project, |project| project.patch("tasks/t1", &json!({ "notes": notes })).key("notes")).await;
    let wide = "\u{1F600}".repeat(50_000);
    twice(&project, |project| project.patch("tasks/t1", &json!({ "notes": wide })).key("wide")).await;
    let exceptions: Vec<Value> = (0..1_000)
        .map(|n| json!({"start": "2026-12-24", "end": "2026-12-24", "description": format!("{n} {}", "\"".repeat(40))}))
        .collect();
    twice(&project, |project| project.patch("calendars/site", &json!({ "exceptions": exceptions })).key("days")).await;
}

#[tokio::test]
async fn an_invalid_key_is_refused_by_name() {
    let project = project().await;
    let post = || project.post("tasks", &json!({"name": "Dig"}));
    let overlong = "k".repeat(256);
    for key in ["", "a b", "\u{e4}", overlong.as_str()] {
        let answer = project.refuses(post().key(key), 400, "invalid_parameter").await;
        assert_eq!(answer.fields(), ["Idempotency-Key"], "{key:?}");
    }
    let answer = project.refuses(post().key("a").key("b"), 400, "invalid_parameter").await;
    assert_eq!(answer.fields(), ["Idempotency-Key"]);
    post().key(&"k".repeat(255)).await.expect(201);
}

#[tokio::test]
async fn the_largest_calendar_can_be_changed_with_a_key_and_the_replay_is_the_same_to_the_byte() {
    let project = project().await;
    let mut random = fastrand::Rng::with_seed(7);
    for (id, from, to) in [("han", '一', '鿿'), ("emoji", '🌀', '🫿'), ("any", '\u{20000}', '\u{2fffd}')] {
        let (mut exceptions, mut size) = (Vec::new(), 0);
        while size < 406_000 {
            let description: String = (0..255).map(|_| random.char(from..=to)).collect();
            let exception = json!({"start": "2026-01-01", "end": "2026-01-02", "description": description});
            // These are the bytes on the table, which has the JSON in a string. A row may have 400 KB there.
            size += serde_json::to_string(&exception.to_string()).expect("JSON").len() - 1;
            exceptions.push(exception);
        }
        let calendar = json!({"id": id, "name": "Site", "exceptions": exceptions});
        let create = json!({"operations": [{"method": "POST", "path": "calendars/", "body": calendar}]});
        project.post("batch", &create).await.expect(200);
        let path = format!("calendars/{id}");
        let first = twice(&project, |project| project.patch(&path, &json!({"name": "Yard"})).key(id)).await;
        assert!(first.text.len() > 390_000, "{}", first.text.len());
        // There is nothing to change, and the answer is still stored.
        let key = format!("{id}-again");
        twice(&project, |project| project.patch(&path, &json!({"name": "Yard"})).key(&key)).await;
    }
    let kept = project.records().await;
    let compressed = kept.values().filter(|record| matches!(record.get("body"), Some(AttributeValue::B(_)))).count();
    let named = kept.values().filter(|record| record.get("row").is_some()).count();
    assert_eq!((kept.len(), compressed, named), (6, 3, 3));
}
