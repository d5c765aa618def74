//! Tests `X-Base-Version`: a change is merged field by field with later changes of others.

use serde_json::json;
use shared::domain::Role;
use tests::support::{Answer, TestApp, TestProject};

const MERGED: &str = "x-merged-concurrent-fields";

async fn project() -> TestProject {
    let setup = TestApp::new().await.with_project().with_tasks(2).with_edge("t1", "t2").with_calendar("site");
    setup.with_member("mia", Role::Member).await
}

async fn seen(project: &TestProject, row: &str) -> u64 {
    let path = if row.is_empty() { String::new() } else { format!("{row}/") };
    project.get(&path).await.version()
}

/// Asserts a conflict over these fields, each with the server's and the client's value.
#[track_caller]
fn assert_conflict(answer: &Answer, version: u64, fields: &[(&str, serde_json::Value, serde_json::Value)]) {
    let problem = answer.problem(409, "sync_conflict");
    let names: Vec<&str> = fields.iter().map(|(name, ..)| *name).collect();
    assert_eq!(problem["conflict_fields"], json!(names));
    for (name, server, client) in fields {
        assert_eq!((&problem["server_value"][name], &problem["client_value"][name]), (server, client), "{name}");
    }
    assert_eq!(problem["server_version"], json!(version));
    assert_eq!(answer.header("etag"), Some(format!("\"{version}\"").as_str()));
}

#[tokio::test]
async fn changes_of_different_fields_are_both_there_in_the_end() {
    let project = project().await;
    let base = seen(&project, "tasks/t1").await;
    project.patch("tasks/t1", &json!({"name": "theirs", "duration": 9})).await.expect(200);
    let merged = project.patch("tasks/t1", &json!({"notes": "mine"})).based_on(base).await.expect(200);
    assert_eq!(merged.header(MERGED), Some("name, duration"));
    let row = merged.row();
    assert_eq!((&row["name"], &row["duration"], &row["notes"]), (&json!("theirs"), &json!(9), &json!("mine")));
    assert_eq!(merged.version(), project.current_version().await);
    // From now on that version is the base, and no change is concurrent.
    let next = project.patch("tasks/t1", &json!({"name": "mine"})).based_on(merged.version()).await.expect(200);
    assert_eq!(next.header(MERGED), None);
}

#[tokio::test]
async fn a_field_that_was_changed_to_another_value_is_a_conflict_and_nothing_is_written() {
    let project = project().await;
    let base = seen(&project, "tasks/t1").await;
    let patch = |body| project.patch("tasks/t1", &body);
    patch(json!({"name": "one", "duration": 9})).await.expect(200);
    let now = patch(json!({"name": "theirs"})).await.version();
    let mine = json!({"name": "mine", "duration": 9, "notes": "free"});
    let refused = project.writes_nothing(patch(mine.clone()).based_on(base)).await;
    assert_conflict(&refused, now, &[("name", json!("theirs"), json!("mine"))]);
    let refused = project.writes_nothing(patch(json!({"name": "mine", "duration": 5})).based_on(base)).await;
    assert_conflict(&refused, now, &[("name", json!("theirs"), json!("mine")), ("duration", json!(9), json!(5))]);
    // The user chooses as the answer suggests, and sends the change again.
    let chosen = patch(mine).based_on(now).await.expect(200);
    assert_eq!((&chosen.row()["name"], chosen.header(MERGED)), (&json!("mine"), None));
}

#[tokio::test]
async fn the_same_value_from_two_people_is_no_conflict() {
    let project = project().await;
    let base = seen(&project, "tasks/t1").await;
    let theirs = project.patch("tasks/t1", &json!({"name": "same", "duration": 4})).await.expect(200);
    let same = project.patch("tasks/t1", &json!({"name": "same"})).based_on(base);
    let same = project.writes_nothing(same).await.expect(200);
    assert_eq!((same.row(), same.header(MERGED)), (theirs.row(), Some("duration")));
    // A value that was changed and changed back is either the value that the caller wants, or a conflict.
    project.patch("tasks/t1", &json!({"name": "Task 1"})).await.expect(200);
    project.patch("tasks/t1", &json!({"name": "Task 1"})).based_on(base).await.expect(200);
    project.patch("tasks/t1", &json!({"name": "mine"})).based_on(base).await.problem(409, "sync_conflict");
}

#[tokio::test]
async fn every_kind_of_row_is_merged() {
    let project = project().await;
    let mia = format!("memberships/{}", project.membership("mia"));
    for (row, theirs, mine, conflict) in [
        ("", json!({"name": "theirs"}), json!({"description": "mine"}), json!({"name": "mine"})),
        ("dependencies/t1-t2", json!({"lag": 3}), json!({"dep_type": "SS"}), json!({"lag": 4})),
        ("calendars/site", json!({"hours_per_day": 7}), json!({"name": "mine"}), json!({"hours_per_day": 6})),
        (mia.as_str(), json!({"role": 200}), json!({"user": "mia"}), json!({"role": 1})),
    ] {
        let base = seen(&project, row).await;
        project.patch(row, &theirs).await.expect(200);
        let names: Vec<&String> = theirs.as_object().expect("an object").keys().collect();
        let merged = project.patch(row, &mine).based_on(base).await.expect(200);
        assert_eq!(merged.header(MERGED), Some(names[0].as_str()), "{row}");
        for (field, value) in theirs.as_object().into_iter().chain(mine.as_object()).flatten() {
            let got = &merged.row()[field];
            assert!(got == value || got.as_f64() == value.as_f64(), "{row} {field}: {got}");
        }
        project.refuses(project.patch(row, &conflict).based_on(base), 409, "sync_conflict").await;
    }
}

#[tokio::test]
async fn what_was_merged_obeys_the_rules() {
    let project = project().await;
    let base = seen(&project, "tasks/t1").await;
    project.patch("tasks/t1", &json!({"optimistic_duration": 9})).await.expect(200);
    let mine = project.patch("tasks/t1", &json!({"pessimistic_duration": 5})).based_on(base);
    project.refuses_fields(mine, &["pessimistic_duration"]).await;
}

#[tokio::test]
async fn a_base_from_before_a_row_was_made_anew_is_a_conflict() {
    let project = project().await;
    let mia = format!("memberships/{}", project.membership("mia"));
    let base = seen(&project, &mia).await;
    project.remove("mia").await.expect(204);
    project.give("mia", Role::Viewer).await.expect(201);
    let old = project.patch(&mia, &json!({"role": 200})).based_on(base);
    project.refuses(old, 409, "sync_conflict").await;
    project.refuses(project.patch("tasks/t1", &json!({"name": "x"})).based_on(1), 409, "sync_conflict").await;
}

#[tokio::test]
async fn a_base_that_the_row_has_not_reached_is_412_with_the_row() {
    let project = project().await;
    let now = seen(&project, "tasks/t1").await;
    for base in [now + 1, 9_007_199_254_740_991] {
        let ahead = project.patch("tasks/t1", &json!({"name": "x"})).based_on(base);
        let ahead = project.refuses(ahead, 412, "version_mismatch").await;
        assert_eq!(ahead.json()["current"]["server_version"], json!(now));
    }
}

#[tokio::test]
async fn a_header_that_is_no_version_or_not_alone_is_named() {
    let project = project().await;
    let now = seen(&project, "tasks/t1").await;
    let patch = || project.patch("tasks/t1", &json!({"name": "x"}));
    let bad = ["", "-1", "+1", "\"5\"", "x", "9007199254740992"];
    let bad = bad.map(|value| patch().header("x-base-version", value)).into_iter();
    let others = [
        patch().based_on(now).if_match(now),
        patch().based_on(now).header("if-match", "*"),
        patch().based_on(now).based_on(now),
        project.delete("tasks/t1").based_on(now).if_match(now),
    ];
    for call in bad.chain(others) {
        let answer = project.refuses(call, 400, "invalid_parameter").await;
        assert_eq!(answer.fields(), ["X-Base-Version"]);
    }
    let with_fields = |fields: &str| patch().header("x-base-fields", fields);
    let bad = ["", "x", "[]", "{\"name\":-1}", "{\"name\":\"1\"}", "{\"name\":9007199254740992}", "{\"a\":1,\"a\":2}"];
    let bad = bad.map(|fields| with_fields(fields).based_on(now)).into_iter();
    let alone = [with_fields("{}"), with_fields("{}").if_match(now), with_fields("{}").header("x-base-fields", "{}")];
    for call in bad.chain(alone) {
        let answer = project.refuses(call, 400, "invalid_parameter").await;
        assert_eq!(answer.fields(), ["X-Base-Fields"]);
    }
}

#[tokio::test]
async fn a_deletion_is_made_by_who_has_seen_the_whole_row() {
    let project = project().await;
    let mia = format!("memberships/{}", project.membership("mia"));
    for (row, theirs, field) in [
        ("dependencies/t1-t2", json!({"lag": 3}), "lag"),
        ("tasks/t1", json!({"name": "theirs"}), "name"),
        ("calendars/site", json!({"hours_per_day": 7.5}), "hours_per_day"),
        (mia.as_str(), json!({"role": 200}), "role"),
        ("", json!({"description": "theirs"}), "description"),
    ] {
        let base = seen(&project, row).await;
        project.patch(row, &theirs).await.expect(200);
        let now = seen(&project, row).await;
        let refused = project.writes_nothing(project.delete(row).based_on(base)).await;
        assert_conflict(&refused, now, &[(field, theirs[field].clone(), json!(null))]);
        project.refuses(project.delete(row).based_on(0), 409, "sync_conflict").await;
        project.refuses(project.delete(row).based_on(now + 1), 412, "version_mismatch").await;
        let insists = project.delete(row).based_on(base).header("x-base-fields", &json!({ field: now }).to_string());
        insists.await.expect(204);
        let again = project.delete(row).based_on(base);
        if row.is_empty() {
            again.await.problem(410, "project_deleted");
        } else {
            project.writes_nothing(again).await.expect(204);
        }
    }
}

#[tokio::test]
async fn other_bases_are_another_request() {
    let project = project().await;
    let now = seen(&project, "tasks/t1").await;
    let mine = |fields: &str| {
        let call = project.patch("tasks/t1", &json!({"name": "mine"})).based_on(now).key("k");
        if fields.is_empty() { call } else { call.header("x-base-fields", fields) }
    };
    let first = mine("{\"name\":1}").await;
    first.problem(409, "sync_conflict");
    let first = mine("{\"notes\":1}").await.expect(200);
    project.writes_nothing(mine("{\"notes\":1}")).await.assert_replays(&first);
    project.refuses(mine("{\"notes\":2}"), 422, "idempotency_key_reused").await;
    project.refuses(mine(""), 422, "idempotency_key_reused").await;
}

#[tokio::test]
async fn a_merged_change_that_is_repeated_says_again_what_it_merged() {
    let project = project().await;
    let base = seen(&project, "tasks/t1").await;
    project.patch("tasks/t1", &json!({"name": "theirs"})).await.expect(200);
    let mine = |base| project.patch("tasks/t1", &json!({"notes": "mine"})).based_on(base).key("k");
    let first = mine(base).await.expect(200);
    let again = project.writes_nothing(mine(base)).await;
    again.assert_replays(&first);
    assert_eq!(again.header(MERGED), Some("name"));
    project.refuses(mine(base + 1), 422, "idempotency_key_reused").await;
}
