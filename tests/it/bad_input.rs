//! Tests invalid input. The answer is a 4xx with a stable code that names the field. Nothing is written, and there is never a
//! panic or a 5xx.

use axum::http::Method;
use serde_json::{Value, json};
use tests::support::{OWNER, TestApp, TestProject};

async fn project() -> TestProject {
    TestApp::new().await.with_project().with_tasks(2).with_edge("t1", "t2").with_calendar("site").await
}

/// Every address that takes a body, with its method.
fn bodies(project: &TestProject) -> Vec<(Method, String)> {
    let mut found = vec![(Method::POST, "/api/v1/projects/".to_owned())];
    let below = |path: &str| format!("/api/v1/projects/{}/{path}", project.id);
    let membership = format!("memberships/{}/", project.membership(OWNER));
    for collection in ["tasks/", "dependencies/", "calendars/", "memberships/", "batch/"] {
        found.push((Method::POST, below(collection)));
    }
    for row in ["", "tasks/t1/", "dependencies/t1-t2/", "calendars/site/", membership.as_str()] {
        found.push((Method::PATCH, below(row)));
    }
    found
}

/// JSON in a text in JSON, over and over. serde_json alone would read each level with a new limit of depth.
fn nested(levels: usize) -> String {
    let quote = |level: usize| match level {
        0 => "\"".to_owned(),
        level => format!("\\{}u0022", "u005c".repeat(level - 1)),
    };
    let open = |level| format!("{{{0}$serde_json::private::RawValue{0}:{0}{1}", quote(level), "[".repeat(124));
    let close = |level| format!("{}{}}}", "]".repeat(124), quote(level));
    let (open, close): (String, String) = ((0..levels).map(open).collect(), (0..levels).rev().map(close).collect());
    format!("{open}1{close}")
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_400_on_every_route() {
    let project = project().await;
    let deep = "[".repeat(100_000);
    for (method, path) in bodies(&project) {
        for body in [
            "",
            "{",
            "{\"name\":}",
            "[]",
            "\"x\"",
            "5",
            "null",
            "{} {}",
            "{\"name\":\"\\ud800\"}",
            "{\"name\":\"a\0b\"}",
            "{\"lag\":1e999}",
            "{\"name\":\"x\",\"name\":\"x\"}",
            "{\"operations\":[{\"body\":{\"id\":\"a\",\"id\":\"b\"}}]}",
            "{\"name\":{\"$serde_json::private::RawValue\":\"1\"}}",
            &deep,
            &format!("{{\"name\":{}}}", nested(20)),
            &format!("{{\"operations\":[{{\"body\":{{\"name\":{}}}}}]}}", nested(20)),
        ] {
            let call = project.app.call(method.clone(), &path).by(OWNER).body("application/json", body.to_owned());
            project.refuses(call, 400, "malformed_json").await;
        }
        let call = project.app.call(method, &path).by(OWNER).body("application/json", vec![0x7b, 0xff, 0x7d]);
        project.refuses(call, 400, "malformed_json").await;
    }
}

#[tokio::test]
async fn a_body_of_another_type_is_415_and_a_large_one_413_on_every_route() {
    let project = project().await;
    let large = |size: usize| format!(r#"{{"name":"{}"}}"#, "x".repeat(size));
    for (method, path) in bodies(&project) {
        let call = || project.app.call(method.clone(), &path).by(OWNER);
        let limit = if path.ends_with("batch/") { 2 * 1024 * 1024 } else { 256 * 1024 };
        for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
            project.refuses(call().body(media_type, "{}"), 415, "unsupported_media_type").await;
        }
        project.refuses(call(), 415, "unsupported_media_type").await;
        // This holds for every encoding, because nothing is decompressed here.
        for encoding in ["gzip", "br", "GZIP", "identity, gzip", ""] {
            let encoded = call().body("application/json", "{}").header("content-encoding", encoding);
            project.refuses(encoded, 415, "unsupported_media_type").await;
        }
        project.refuses(call().body("application/json", large(limit + 1)), 413, "body_too_large").await;
    }
}

#[tokio::test]
async fn json_and_merge_patches_are_taken_with_any_charset() {
    let project = project().await;
    for media_type in ["application/json; charset=utf-8", "application/merge-patch+json", "Application/JSON"] {
        let name = format!("{{\"name\": \"as {media_type}\"}}");
        project.call(Method::PATCH, "tasks/t1/").body(media_type, name).await.expect(200);
    }
}

#[tokio::test]
async fn an_unknown_field_is_named_on_every_route() {
    let project = project().await;
    // A batch names the first wrong operation.
    for (method, path) in bodies(&project).into_iter().filter(|(_, path)| !path.ends_with("batch/")) {
        let call = project.app.call(method, &path).by(OWNER).json(&json!({"colour": "red", "_status": "synced"}));
        let answer = project.refuses(call, 422, "validation_failed").await;
        assert!(answer.fields().starts_with(&["_status".to_owned(), "colour".to_owned()]), "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_wrong_value_names_its_field_whether_the_row_is_created_or_changed() {
    let project = project().await;
    let long = |n: usize| json!("x".repeat(n));
    let task = [
        ("name", vec![json!(5), json!(null), json!(""), json!(" "), long(513), json!("a\0b"), json!(["x"])]),
        ("notes", vec![long(50_001), json!("\0"), json!(null)]),
        ("wbs_path", vec![json!("1..2"), json!(1.2)]),
        ("duration", vec![json!(-1), json!(36_526), json!(1.5), json!("1"), json!(null), json!(1e30), json!(u64::MAX)]),
        ("percent_complete", vec![json!(101), json!(-1), json!(true)]),
        ("planned_start", vec![json!("2026-02-30"), json!("2026-2-3"), json!("20260203"), json!(0), json!("")]),
        ("status", vec![json!("DONE"), json!(1), json!(null)]),
        ("is_milestone", vec![json!("true"), json!(1), json!(null)]),
        ("assignee", vec![json!(""), json!(7), json!("nobody"), long(256), json!("t\u{200b}")]),
        ("optimistic_duration", vec![json!(-1), json!("1")]),
    ];
    let edge = [
        ("predecessor", vec![json!("a/b"), json!(""), json!(5), json!(null), json!("never"), json!("\0")]),
        ("successor", vec![json!("t1"), json!("a b")]),
        ("dep_type", vec![json!("fs"), json!("XX"), json!(1)]),
        ("lag", vec![json!(36_526), json!(0.5), json!("1"), json!(null)]),
    ];
    let calendar = [
        ("name", vec![long(256), json!("\u{0}")]),
        ("working_days", vec![json!(0), json!(128), json!("31")]),
        (
            "hours_per_day",
            vec![json!(0), json!(24.01), json!(7.505), json!(7.500_000_001), json!("8"), json!(null), json!(1e308)],
        ),
        ("timezone", vec![json!("Mars/Olympus"), json!("europe/berlin"), json!("../etc/passwd"), json!("")]),
        ("exceptions", vec![json!("[]"), json!({}), json!(null)]),
    ];
    let house = [
        ("name", vec![long(256), json!("")]),
        ("description", vec![long(10_001), json!(null)]),
        ("start_date", vec![json!("2026-02-30"), json!("tomorrow"), json!(null), json!("0000-01-01")]),
        ("calendar", vec![json!("never"), json!("a/b"), json!(5)]),
    ];
    let create_edge = json!({"predecessor": "t1", "successor": "t2", "dep_type": "SS"});
    check(&project, "tasks/", "tasks/t1/", &json!({"name": "x", "duration": 2}), &task).await;
    check(&project, "dependencies/", "dependencies/t1-t2/", &create_edge, &edge).await;
    check(&project, "calendars/", "calendars/site/", &json!({"name": "x"}), &calendar).await;
    check(&project, "../", "", &json!({"name": "x"}), &house).await;
}

#[tokio::test]
async fn an_integer_is_one_however_it_is_written() {
    let project = project().await;
    let send = |method, path: &str, body: &'static str| project.call(method, path).body("application/json", body);
    for body in [r#"{"duration":5.0}"#, r#"{"duration":0.5e1}"#, r#"{"duration":5,"percent_complete":10.0}"#] {
        assert_eq!(send(Method::PATCH, "tasks/t1/", body).await.row()["duration"], 5, "{body}");
    }
    assert_eq!(send(Method::POST, "tasks/", r#"{"name":"x","duration":1e1}"#).await.expect(201).json()["duration"], 10);
    let stale = r#"{"operations":[{"method":"PATCH","path":"tasks/t2/","body":{"name":"y"},"if_match":1.0}]}"#;
    project.refuses(send(Method::POST, "batch/", stale), 412, "version_mismatch").await;
    for hours in ["8.25", "0.07", "7.1", "24.0", "2.3", "1e1"] {
        let calendar = format!(r#"{{"hours_per_day":{hours}}}"#);
        project.call(Method::PATCH, "calendars/site/").body("application/json", calendar).await.expect(200);
    }
}

#[tokio::test]
async fn a_refusal_lists_twenty_fields_and_counts_the_others() {
    let project = project().await;
    let mut task: Value = (0..30).map(|n| (format!("f{n:02}"), json!(n))).collect();
    task["name"] = json!("x");
    let answer = project.refuses(project.post("tasks", &task), 422, "validation_failed").await;
    assert_eq!(answer.fields(), (0..20).map(|n| format!("f{n:02}")).collect::<Vec<_>>());
    let detail = answer.json()["detail"].as_str().expect("a detail").to_owned();
    assert!(detail.ends_with("And 10 more.") && !detail.contains("f20"), "{detail}");
}

/// Each wrong value in a creation and in a change.
async fn check(project: &TestProject, collection: &str, row: &str, good: &Value, wrong: &[(&str, Vec<Value>)]) {
    let creation = match collection {
        "../" => "/api/v1/projects/".to_owned(),
        collection => format!("/api/v1/projects/{}/{collection}", project.id),
    };
    for (field, values) in wrong {
        for value in values {
            let mut body = good.clone();
            body[*field] = value.clone();
            let post = project.app.call(Method::POST, &creation).by(OWNER).json(&body);
            project.refuses_fields(post, &[field]).await;
            project.refuses_fields(project.call(Method::PATCH, row).json(&json!({ *field: value })), &[field]).await;
        }
    }
}

#[tokio::test]
async fn an_invalid_id_is_named_in_every_collection() {
    let project = project().await;
    let overlong = "x".repeat(65);
    for (collection, body) in [
        ("tasks", json!({"name": "x"})),
        ("dependencies", json!({"predecessor": "t2", "successor": "t1"})),
        ("calendars", json!({"name": "x"})),
        ("memberships", json!({"user": "mia", "role": 1})),
    ] {
        for id in
            [json!("a/b"), json!(""), json!(5), json!(null), json!("ä"), json!("a\0"), json!("a b"), json!(overlong)]
        {
            let mut body = body.clone();
            body["id"] = id;
            project.refuses_fields(project.post(collection, &body), &["id"]).await;
        }
    }
    let post =
        |id: &str| project.app.call(Method::POST, "/api/v1/projects/").by(OWNER).json(&json!({"id": id, "name": "x"}));
    for id in ["a/b", "", "request#p", &overlong] {
        project.refuses_fields(post(id), &["id"]).await;
    }
}

#[tokio::test]
async fn all_that_breaks_a_rule_is_named_at_once() {
    let project = project().await;
    let body = json!({"name": "", "duration": -1, "planned_start": "2026-02-30", "percent_complete": 101});
    let fields = ["name", "duration", "percent_complete", "planned_start"];
    project.refuses_fields(project.post("tasks", &body), &fields).await;
    project.refuses_fields(project.post("dependencies", &json!({})), &["predecessor", "successor"]).await;
}

#[tokio::test]
async fn a_mebibyte_of_text_is_refused_and_the_longest_allowed_is_kept() {
    let project = project().await;
    let notes = "ä".repeat(50_000);
    let row = project.create("tasks", json!({"id": "long", "name": "ä".repeat(512), "notes": notes})).await;
    assert_eq!(row["notes"], notes);
    let huge = json!({"name": "x", "notes": "x".repeat(1024 * 1024)});
    project.refuses(project.post("tasks", &huge), 413, "body_too_large").await;
}
