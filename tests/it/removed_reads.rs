//! Tests a member who is removed during a read. The member gets nothing that was written after the removal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use axum::http::Method;
use serde_json::{Value, json};
use shared::domain::Role;
use shared::storage::Table;
use tests::support::{Answer, Call, TestApp, TestProject, TestTable};
use tokio::sync::Notify;

/// Items whose key begins with this are read last, and only after they are released.
#[derive(Debug, Default)]
struct Gate {
    entity: Mutex<Option<&'static str>>,
    /// The next page of a user's projects is empty, and is not the last one.
    empty_page: AtomicBool,
    reached: Notify,
    open: Notify,
}

#[derive(Debug, Clone)]
struct Way<T> {
    inner: T,
    gate: Arc<Gate>,
}

impl HttpClient for Way<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Way { inner, gate: Arc::clone(&self.gate) })
    }
}

impl HttpConnector for Way<SharedHttpConnector> {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let mut body: Value = serde_json::from_slice(request.body().bytes().expect("a body")).expect("JSON");
        if body["IndexName"] == "by_user" && self.gate.empty_page.swap(false, Ordering::Relaxed) {
            let user = &body["ExpressionAttributeValues"][":user"];
            let key = json!({"user_id": user, "project_id": {"S": "-"}, "entity": {"S": "memberships#-"}});
            let page = json!({"Items": [], "Count": 0, "ScannedCount": 1, "LastEvaluatedKey": key});
            let status = 200.try_into().expect("a status");
            return HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(page.to_string()))));
        }
        let Some(entity) = *self.gate.entity.lock().expect("the gate") else { return self.inner.call(request) };
        let is_held = |key: &Value| key["entity"]["S"].as_str().is_some_and(|key| key.starts_with(entity));
        let of_table = body["RequestItems"].as_object_mut().and_then(|tables| tables.iter_mut().next());
        let holds = match of_table {
            Some((table, asked)) => {
                let (table, keys) = (table.clone(), asked["Keys"].as_array().expect("keys").clone());
                let (later, now): (Vec<Value>, Vec<Value>) = keys.into_iter().partition(is_held);
                // Counter and membership of a pull are always read in one call.
                if entity != "_counter" && !later.is_empty() && !now.is_empty() {
                    // A call may read some items now and leave the rest unprocessed.
                    asked["Keys"] = json!(now);
                    let rest = json!({ table: {"Keys": later, "ConsistentRead": true} });
                    *request.body_mut() = SdkBody::from(body.to_string());
                    let _ = request.headers_mut().remove("content-length");
                    let answer = self.inner.call(request);
                    return HttpConnectorFuture::new(async move {
                        let answer = answer.await?;
                        let mut body: Value =
                            serde_json::from_slice(answer.body().bytes().expect("a body")).expect("JSON");
                        body["UnprocessedKeys"] = rest;
                        Ok(HttpResponse::new(answer.status(), SdkBody::from(body.to_string())))
                    });
                }
                now.is_empty()
            }
            None => {
                is_held(&body["Key"])
                    || (body["ConsistentRead"] == true
                        && body["ExpressionAttributeValues"][":collection"]["S"].as_str() == Some(entity))
            }
        };
        if !holds {
            return self.inner.call(request);
        }
        let way = self.clone();
        HttpConnectorFuture::new(async move {
            way.gate.entity.lock().expect("the gate").take();
            way.gate.reached.notify_one();
            way.gate.open.notified().await;
            way.inner.call(request).await
        })
    }
}

/// A project with a member, and the same project seen through the gate.
async fn project() -> (TestProject, TestProject, Arc<Gate>) {
    let table = TestTable::of_this_process().await;
    let gate = Arc::new(Gate::default());
    let client = table.client().await;
    let inner = client.config().http_client().expect("an HTTP client");
    let config = client.config().to_builder().http_client(Way { inner, gate: Arc::clone(&gate) });
    let app = TestApp::on(table, Table::new(Client::from_conf(config.build()), &table.name)).await;
    let project = TestApp::new().await.with_project().with_tasks(1).with_member("mia", Role::Viewer).await;
    let seen = project.seen_by(app);
    (project, seen, gate)
}

/// The answer to a call by the member, who is removed before `entity` is read. A row is written after the removal.
async fn removed_before(entity: &'static str, call: impl Fn(&TestProject) -> Call) -> Answer {
    let (project, seen, gate) = project().await;
    *gate.entity.lock().expect("the gate") = Some(entity);
    let reading = tokio::spawn(call(&seen).by("mia").into_future());
    gate.reached.notified().await;
    project.remove("mia").await.expect(204);
    project.patch("tasks/t1", &json!({"notes": "secret"})).await.expect(200);
    project.patch("", &json!({"description": "secret"})).await.expect(200);
    gate.open.notify_one();
    let answer = reading.await.expect("no panic");
    assert!(!answer.text.contains("secret"), "{answer:?}");
    answer
}

#[tokio::test]
async fn a_list_of_rows_is_not_for_who_was_removed_before_they_were_read() {
    removed_before("tasks#", |project| project.get("tasks/")).await.problem(403, "membership_revoked");
}

#[tokio::test]
async fn a_row_is_not_for_who_was_removed_before_it_was_read() {
    removed_before("tasks#", |project| project.get("tasks/t1/")).await.problem(403, "membership_revoked");
    removed_before("projects#", |project| project.get("")).await.problem(403, "membership_revoked");
}

#[tokio::test]
async fn a_list_of_projects_leaves_out_those_that_one_was_removed_from_before_they_were_read() {
    let answer = removed_before("projects#", |project| project.app.call(Method::GET, "/api/v1/projects/")).await;
    assert!(answer.expect(200).json()["results"].as_array().is_some());
}

#[tokio::test]
async fn the_heads_leave_out_a_project_that_one_was_removed_from_before_its_counter_was_read() {
    let id = OnceLock::new();
    let heads = |project: &TestProject| {
        id.get_or_init(|| project.id.clone());
        project.app.call(Method::GET, "/api/v1/heads/?limit=1000")
    };
    let answer = removed_before("_counter", heads).await.expect(200);
    // Other tests make the same user a member of other projects.
    assert!(!answer.text.contains(id.get().expect("an id")), "{answer:?}");
}

/// The project is at 4, so a mark of 5 is a guess, and the pull reads the counter again. 5 will be the version of the removal.
#[tokio::test]
async fn a_guessed_mark_does_not_hide_a_removal_before_the_counter_was_read_again() {
    removed_before("_counter", |project| project.sync("since=5")).await.problem(403, "membership_revoked");
}

#[tokio::test]
async fn one_who_is_a_member_before_and_after_a_read_is_answered() {
    let (project, seen, gate) = project().await;
    *gate.entity.lock().expect("the gate") = Some("tasks#");
    let reading = tokio::spawn(seen.get("tasks/").by("mia").into_future());
    gate.reached.notified().await;
    project.remove("mia").await.expect(204);
    project.give("mia", Role::Viewer).await.expect(201);
    project.patch("tasks/t1", &json!({"notes": "for members"})).await.expect(200);
    gate.open.notify_one();
    let answer = reading.await.expect("no panic").expect(200);
    assert!(answer.text.contains("for members"));
}

#[tokio::test]
async fn a_page_of_the_index_that_is_empty_and_not_the_last_one_ends_no_list_of_projects() {
    let (project, seen, gate) = project().await;
    let user = format!("only-{}", project.id);
    project.give(&user, Role::Viewer).await.expect(201);
    for limit in [1, 100] {
        gate.empty_page.store(true, Ordering::Relaxed);
        let page = seen.app.call(Method::GET, &format!("/api/v1/projects/?limit={limit}")).by(&user).await.expect(200);
        assert!(!gate.empty_page.load(Ordering::Relaxed));
        let listed = page.json();
        assert_eq!(listed["results"][0]["id"], project.id.as_str(), "{listed}");
        assert_eq!(listed["results"].as_array().map(Vec::len), Some(1));
    }
}
