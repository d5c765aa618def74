//! The demo over the embedded engine, as the page uses it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use shared::auth::Verifier;
use tower::ServiceExt;

use super::{Demo, Journal, OWNER, router, seed};
use ops::endpoint;
use stack::token::{LOCAL_SECRET, Signer};
use stack::{engine, table, token};

const NAME: &str = "demo";

/// The demo on a fresh table.
async fn stack() -> Router {
    let endpoint = engine::start(None).expect("an engine");
    let journal = Arc::<Journal>::default();
    let client = journal.client(&endpoint::config(&endpoint).await);
    table::create(&client, NAME).await.expect("a table");
    let secret = |name: &str| (name == "JWT_SECRET").then(|| LOCAL_SECRET.to_owned());
    let verifier = Arc::new(Verifier::configured(secret).expect("a verifier"));
    let router = router(&Arc::new(Demo::new(client, NAME, journal, verifier, Signer::new(LOCAL_SECRET))));
    seed(&router, &token::sign(LOCAL_SECRET, OWNER).expect("a token")).await.expect("a demo project");
    router
}

/// Sends a request from the page. Returns the answer's status, its `Server-Timing`, and its JSON.
async fn ask(router: &Router, method: &str, path: &str, body: Value) -> (StatusCode, String, Value) {
    let token = token::sign(LOCAL_SECRET, OWNER).expect("a token");
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost:8080")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(if body.is_null() { Body::empty() } else { Body::from(body.to_string()) });
    let response = router.clone().oneshot(request.expect("a request")).await.expect("an answer");
    let status = response.status();
    let timing = response.headers().get("server-timing").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let timing = timing.to_owned();
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    (status, timing, serde_json::from_slice(&bytes).unwrap_or_default())
}

const PULL: &str = "/api/v1/projects/demo/sync/?since=0";
const TASK: &str = "/api/v1/projects/demo/tasks/paint/";
const VERSIONS: &str = "/demo/projects/demo/versions";

#[tokio::test]
async fn while_the_index_lags_a_pull_reads_strongly_and_misses_nothing() {
    let router = stack().await;
    let (_, way, before) = ask(&router, "GET", PULL, Value::Null).await;
    assert!(way.contains("first_read"), "{way}");
    let (status, ..) = ask(&router, "PUT", "/demo/lag", json!({"milliseconds": 60_000})).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    ask(&router, "PATCH", TASK, json!({"percent_complete": 5})).await;
    let path = format!("/api/v1/projects/demo/sync/?since={}", before["timestamp"]);
    let (_, way, delta) = ask(&router, "GET", &path, Value::Null).await;
    assert!(way.contains("strong"), "{way}");
    assert_eq!(delta["timestamp"], before["timestamp"].as_u64().expect("a mark") + 1);
    assert_eq!(delta["changes"]["tasks"]["updated"][0]["percent_complete"], 5);
    ask(&router, "PUT", "/demo/lag", json!({"milliseconds": 0})).await;
    let (_, way, _) = ask(&router, "GET", &path, Value::Null).await;
    assert!(way.contains("first_read"), "{way}");
}

#[tokio::test]
async fn each_version_tells_its_row_and_the_commit_that_gave_it() {
    let router = stack().await;
    ask(&router, "DELETE", TASK, Value::Null).await;
    let (_, _, told) = ask(&router, "GET", VERSIONS, Value::Null).await;
    let versions = told["history"]["versions"].as_array().expect("versions");
    let numbers: Vec<u64> = versions.iter().filter_map(|held| held["version"].as_u64()).collect();
    let current = told["history"]["current"].as_u64().expect("a counter");
    assert_eq!(numbers, (1..=current).collect::<Vec<_>>());
    let last = &versions[versions.len() - 1];
    assert_eq!((&last["id"], &last["fate"], &last["name"]), (&json!("paint"), &json!("tombstone"), &json!("Paint")));
    let commit = told["commits"].as_array().and_then(|commits| commits.last()).expect("a commit");
    // With its three dependencies.
    assert_eq!(commit["versions"], json!([current - 3, current]));
    assert_eq!(commit["request"], "DELETE tasks/paint by olga");
}

#[tokio::test]
async fn a_backup_restored_again_and_again_ends_above_every_mark() {
    let router = stack().await;
    let (status, _, refused) = ask(&router, "POST", "/demo/projects/demo/restore", json!({"lost_table": false})).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("no_backup")));
    ask(&router, "POST", "/demo/projects/demo/backup", Value::Null).await;
    for lost_table in [false, true, false] {
        ask(&router, "POST", "/api/v1/projects/demo/tasks/", json!({"name": "Lost"})).await;
        let (_, _, held) = ask(&router, "GET", PULL, Value::Null).await;
        let mark = held["timestamp"].as_u64().expect("a mark");
        let restore = json!({ "lost_table": lost_table });
        let (status, _, report) = ask(&router, "POST", "/demo/projects/demo/restore", restore).await;
        assert_eq!((status, &report["restored_projects"]), (StatusCode::OK, &json!(1)), "{report}");
        let path = format!("/api/v1/projects/demo/sync/?since={mark}");
        let (status, _, delta) = ask(&router, "GET", &path, Value::Null).await;
        let (_, _, all) = ask(&router, "GET", PULL, Value::Null).await;
        assert!(all["timestamp"].as_u64().is_some_and(|now| now > mark));
        assert_eq!(all["changes"]["tasks"]["updated"].as_array().map(Vec::len), Some(12));
        if lost_table {
            assert_eq!(delta["changes"]["tasks"]["deleted"].as_array().map(Vec::len), Some(1));
        } else {
            assert_eq!((status, &delta["code"]), (StatusCode::CONFLICT, &json!("resync_required")));
        }
    }
}

#[tokio::test]
async fn tokens_are_for_this_page_only() {
    let router = stack().await;
    let send = async |host: &str, site: Option<&str>| {
        let mut request = Request::get("/demo/setup").header(header::HOST, host);
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        router.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer").status()
    };
    assert_eq!(send("127.0.0.1:8080", Some("same-origin")).await, StatusCode::OK);
    assert_eq!(send("[::1]:8080", None).await, StatusCode::OK);
    assert_eq!(send("rebound.example:8080", Some("same-origin")).await, StatusCode::FORBIDDEN);
    assert_eq!(send("localhost:8080", Some("cross-site")).await, StatusCode::FORBIDDEN);
    let request =
        Request::get("/demo/setup").header(header::HOST, "localhost").header(header::ORIGIN, "http://a.example");
    let response = router.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer");
    assert!(!response.headers().contains_key("access-control-allow-origin"));
}
