//! Tests empty pages that are not the last ones, which DynamoDB may send for any query.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};
use shared::domain::ServerVersion;
use shared::storage::Table;
use tests::support::{Device, OWNER, TestApp, TestProject, TestTable};

/// A connection to the table on which each query from the beginning gets only a key to continue after.
#[derive(Debug, Clone)]
struct Way<T> {
    inner: T,
    /// The queries that got an empty page.
    answered: Arc<Mutex<HashSet<String>>>,
}

impl HttpClient for Way<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Way { inner, answered: Arc::clone(&self.answered) })
    }
}

impl HttpConnector for Way<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body: Value = serde_json::from_slice(request.body().bytes().expect("a body")).expect("JSON");
        let index = body["IndexName"].as_str().unwrap_or("table");
        let is_first = body.get("KeyConditionExpression").is_some() && body.get("ExclusiveStartKey").is_none();
        let values = &body["ExpressionAttributeValues"];
        let of_archive = values[":first"]["S"].as_str().is_some_and(|first| first.starts_with('_'));
        if !is_first || index == "by_user" || of_archive {
            return self.inner.call(request);
        }
        let descends = body["ScanIndexForward"] == false;
        // The key is before all items of the query, and within its bounds.
        let entity = match (index, values[":collection"]["S"].as_str()) {
            ("live_edges", _) => "dependencies#!".to_owned(),
            ("by_version", _) if descends => "~".to_owned(),
            ("by_version", _) => "!".to_owned(),
            (_, collection) => format!("{}!", collection.unwrap_or("a")),
        };
        let mut next = json!({"project_id": values[":project"], "entity": {"S": entity}});
        if index == "by_version" {
            let number = |name: &str| values[name]["N"].as_str().and_then(|digits| digits.parse::<u64>().ok());
            let first = number(":first").or(number(":after").map(|after| after + 1)).expect("a version");
            let last = number(":last").unwrap_or(ServerVersion::MAX);
            next["server_version"] = json!({"N": (if descends { last } else { first }).to_string()});
        }
        if index == "live_edges" {
            next["live_edge"] = json!({"S": "!"});
        }
        self.answered.lock().expect("no panic").insert(index.to_owned());
        let answer = json!({"Items": [], "Count": 0, "ScannedCount": 0, "LastEvaluatedKey": next});
        let response = HttpResponse::new(200.try_into().expect("a status"), SdkBody::from(answer.to_string()));
        HttpConnectorFuture::ready(Ok(response))
    }
}

#[tokio::test]
async fn an_empty_page_that_has_a_next_one_ends_nothing_and_loses_nothing() {
    let table = TestTable::of_this_process().await;
    let answered = Arc::new(Mutex::new(HashSet::new()));
    let client = table.client().await;
    let inner = client.config().http_client().expect("an HTTP client");
    let config = client.config().to_builder().http_client(Way { inner, answered: Arc::clone(&answered) });
    let seen = Table::new(Client::from_conf(config.build()), &table.name).with_max_history_bytes(6);
    let app = TestApp::on(table, seen).await;
    let project: TestProject = app.with_project().with_tasks(5).with_edge("t1", "t2").with_edge("t2", "t3").await;
    for n in 0..20 {
        project.patch("tasks/t1", &json!({"notes": n.to_string()})).await.expect(200);
    }
    for limit in [None, Some(2)] {
        let mut device = Device::default();
        while device.synchronize(&project, limit).await.has_more {}
        assert_eq!(device.rows, project.live_rows().await, "limit {limit:?}");
    }
    assert_eq!(project.get("tasks/").await.expect(200).json()["results"].as_array().map(Vec::len), Some(5));
    project.delete("tasks/t2").await.expect(204);
    assert_eq!(project.get("dependencies/").await.expect(200).json()["results"].as_array().map(Vec::len), Some(0));
    project.delete("").by(OWNER).await.expect(204);
    assert_eq!(project.pull(1).await.len(), project.stored().await.len());
    let answered: Vec<String> = answered.lock().expect("no panic").iter().cloned().collect();
    assert_eq!(answered.len(), 3, "{answered:?}");
}
