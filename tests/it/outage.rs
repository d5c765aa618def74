//! Tests a table that is missing or cannot be reached.

use std::io;
use std::sync::{Arc, Mutex};

use axum::http::Method;
use serde_json::json;
use shared::storage::Table;
use tests::support::{Call, OWNER, TestApp, TestTable};
use tracing_subscriber::fmt::MakeWriter;

/// The lines that are logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("the log").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    fn take_errors(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().expect("the log"));
        let text = String::from_utf8(bytes).expect("a readable log");
        text.lines().filter(|line| line.contains("ERROR")).map(str::to_owned).collect()
    }
}

fn calls(app: &TestApp) -> Vec<Call> {
    let path = |path: &str| format!("/api/v1/projects/p/{path}");
    let calls = vec![
        app.call_sync(&path("sync/?since=0")),
        app.call(Method::GET, "/api/v1/projects/"),
        app.call(Method::GET, "/api/v1/heads/"),
        app.call(Method::GET, &path("tasks/")),
        app.call(Method::POST, &path("tasks/")).json(&json!({"name": "x"})),
        app.call(Method::POST, "/api/v1/projects/").json(&json!({"id": "p", "name": "x"})),
        app.call(Method::DELETE, &path("tasks/t/")),
    ];
    calls.into_iter().map(|call| call.by(OWNER)).collect()
}

/// Checks that each call is answered 503 without details, and logged once.
async fn assert_unavailable(app: &TestApp, secrets: &[&str]) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    for call in calls(app) {
        let answer = call.await;
        answer.problem(503, "unavailable");
        assert_eq!(answer.header("retry-after"), Some("1"));
        for secret in secrets {
            assert!(!answer.text.contains(secret), "{}", answer.text);
        }
        let errors = log.take_errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("alarm=\"unavailable\""), "{errors:?}");
    }
    drop(guard);
}

#[tokio::test]
async fn a_missing_table_is_503_without_details_and_logged_once() {
    let table = TestTable::of_this_process().await;
    let app = TestApp::on(table, Table::new(table.client().await, "no-such-table")).await;
    assert_unavailable(&app, &["no-such-table", "ResourceNotFound", "127.0.0.1"]).await;
}

#[tokio::test]
async fn an_unreachable_table_is_503_without_details_and_logged_once() {
    let table = TestTable::of_this_process().await;
    // Nothing listens on the discard port.
    let client = ops::endpoint::client("http://127.0.0.1:9").await;
    let app = TestApp::on(table, Table::new(client, &table.name)).await;
    assert_unavailable(&app, &["127.0.0.1", "onnect", table.name.as_str()]).await;
}

#[tokio::test]
async fn health_needs_no_table() {
    let table = TestTable::of_this_process().await;
    let app = TestApp::on(table, Table::new(table.client().await, "no-such-table")).await;
    app.call(Method::GET, "/health").await.expect(200);
}
