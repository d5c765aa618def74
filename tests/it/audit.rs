//! Tests the audit of a table on the embedded engine.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use indicatif::ProgressBar;
use ops::endpoint;
use ops::verify::{Check, Patience, Report, Verdict, run};
use shared::auth::Verifier;
use shared::domain::Error;
use shared::storage::Table;
use stack::token::LOCAL_SECRET;
use stack::{engine, serve, table, token};
use tower::ServiceExt;
use trueppm::demo;

const NAME: &str = "audited";

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// The demo project on a fresh table.
struct Stack {
    client: Client,
    router: Router,
    token: String,
}

impl Stack {
    async fn new() -> Self {
        let endpoint = engine::start(None).expect("an engine");
        let client = endpoint::client(&endpoint).await;
        table::create(&client, NAME).await.expect("a table");
        let secret = |name: &str| (name == "JWT_SECRET").then(|| LOCAL_SECRET.to_owned());
        let verifier = Arc::new(Verifier::configured(secret).expect("a verifier"));
        let router = serve::router(Table::new(client.clone(), NAME), verifier);
        let token = token::sign(LOCAL_SECRET, demo::OWNER).expect("a token");
        demo::seed(&router, &token).await.expect("a demo project");
        Self { client, router, token }
    }

    async fn send(&self, request: axum::http::request::Builder, body: &str) {
        let request = request
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_owned()))
            .expect("a request");
        let status = self.router.clone().oneshot(request).await.expect("an answer").status();
        assert!(status.is_success(), "{status}");
    }

    async fn audit(&self) -> Report {
        let patience = Patience { readings: 5, pause: Duration::from_millis(20) };
        let table = Table::new(self.client.clone(), NAME);
        run(&table, None, patience, &ProgressBar::hidden()).await.expect("a report")
    }

    async fn item(&self, entity: &str) -> HashMap<String, AttributeValue> {
        let get = self.client.get_item().table_name(NAME).key("project_id", text("demo")).key("entity", text(entity));
        get.send().await.expect("an answer").item.expect("an item")
    }

    async fn put(&self, item: HashMap<String, AttributeValue>) {
        self.client.put_item().table_name(NAME).set_item(Some(item)).send().await.expect("an answer");
    }

    async fn delete(&self, partition: &str, entity: &str) {
        let delete = self.client.delete_item().table_name(NAME);
        let delete = delete.key("project_id", text(partition)).key("entity", text(entity));
        delete.send().await.expect("an answer");
    }

    /// Changes one item without the product and returns the findings of the audit. Then restores the item.
    async fn corrupt(&self, entity: &str, change: impl FnOnce(&mut HashMap<String, AttributeValue>)) -> Vec<Check> {
        let before = self.item(entity).await;
        let mut after = before.clone();
        change(&mut after);
        self.put(after).await;
        let broken = self.broken().await;
        self.put(before).await;
        broken
    }

    /// The checks that fail.
    async fn broken(&self) -> Vec<Check> {
        let report = self.audit().await;
        assert_eq!(report.verdict, Verdict::Violated);
        report.checks.into_iter().filter(|(_, tally)| tally.violations > 0).map(|(check, _)| check).collect()
    }
}

#[tokio::test]
async fn an_audit_finds_what_was_done_to_a_table_behind_the_products_back() {
    let stack = Stack::new().await;
    stack.send(Request::patch("/api/v1/projects/demo/tasks/paint/"), r#"{"percent_complete": 10}"#).await;
    stack.send(Request::delete("/api/v1/projects/demo/tasks/garden/"), "").await;
    let report = stack.audit().await;
    assert_eq!((report.verdict, report.live_projects), (Verdict::Sound, 1), "{report}");

    let found = stack.corrupt("tasks#roof", |item| drop(item.insert("server_version".to_owned(), number(3)))).await;
    assert!(found.contains(&Check::AttributesAgree) && found.contains(&Check::VersionHeldOnce), "{found:?}");
    let found = stack.corrupt("_counter", |item| drop(item.insert("deleted_at".to_owned(), number(1)))).await;
    assert_eq!(found, [Check::DeletedAtAgrees]);

    let row = stack.item("tasks#keys").await;
    stack.delete("demo", "tasks#keys").await;
    let found = stack.broken().await;
    let expected = [Check::VersionHeld, Check::WritesAddUp, Check::ChecksumsAgree, Check::EdgeNamesLiveTasks];
    assert_eq!(found, expected);
    stack.put(row.clone()).await;

    for (partition, check) in [("other", Check::CounterReadable), ("no project", Check::PartitionKnown)] {
        stack.put(row.clone().into_iter().chain([("project_id".to_owned(), text(partition))]).collect()).await;
        let found = stack.broken().await;
        assert!(found.contains(&check), "{found:?}");
        stack.delete(partition, "tasks#keys").await;
    }

    stack.send(Request::delete("/api/v1/projects/demo/"), "").await;
    let report = stack.audit().await;
    assert_eq!((report.verdict, report.deleted_projects), (Verdict::Sound, 1), "{report}");
}

#[tokio::test]
async fn a_project_that_is_not_there_is_no_sound_one() {
    let stack = Stack::new().await;
    let table = Table::new(stack.client.clone(), NAME);
    let nowhere = Some("nowhere".parse().expect("an id"));
    let audit = run(&table, nowhere, Patience::default(), &ProgressBar::hidden()).await;
    assert!(matches!(audit, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn a_project_that_is_written_to_is_never_called_violated() {
    let stack = Stack::new().await;
    let writer = async {
        for n in 0..60 {
            stack.send(Request::post("/api/v1/projects/demo/tasks/"), &format!(r#"{{"name": "Task {n}"}}"#)).await;
            stack.send(Request::delete("/api/v1/projects/demo/tasks/electrics/"), "").await;
        }
    };
    let auditor = async {
        for _ in 0..8 {
            let report = stack.audit().await;
            assert_ne!(report.verdict, Verdict::Violated, "{report}");
        }
    };
    tokio::join!(writer, auditor);
    assert_eq!(stack.audit().await.verdict, Verdict::Sound);
}
