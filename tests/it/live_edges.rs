//! Tests the index of live dependencies: deleted ones cost nothing, and live ones that it lacks are still found.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use indicatif::ProgressBar;
use ops::backfill::{self, Options};
use ops::restore;
use ops::verify::{self, Patience, Verdict};
use serde_json::{Value, json};
use shared::storage::reasons;
use tests::support::{Answer, TestApp, TestProject, TestTable};

use crate::batch::{batch, edge};
use crate::cost::Cost;

/// Creates 60 dependencies of all types between six tasks and deletes them, this many times.
async fn churn(project: &TestProject, times: usize) {
    for time in 0..times {
        let mut create = Vec::new();
        for (one, other) in (1..=6).flat_map(|one| (one + 1..=6).map(move |other| (one, other))) {
            for kind in ["FS", "SS", "FF", "SF"] {
                let body = json!({"id": format!("{kind}-{one}-{other}-{time}"), "predecessor": format!("t{one}"),
                    "successor": format!("t{other}"), "dep_type": kind});
                create.push(json!({"method": "POST", "path": "dependencies/", "body": body}));
            }
        }
        let delete = |operation: &Value| {
            let id = operation["body"]["id"].as_str().expect("an id");
            json!({"method": "DELETE", "path": format!("dependencies/{id}/")})
        };
        let deleted: Vec<Value> = create.iter().map(delete).collect();
        batch(project, create).await.expect(200);
        batch(project, deleted).await.expect(200);
    }
}

/// The cost of creating a dependency, of listing them, and of deleting a task with one.
async fn costs(project: &TestProject) -> [Cost; 3] {
    let mut costs = Vec::new();
    for call in [project.post_edge("t1", "t2"), project.get("dependencies/"), project.delete("tasks/t1")] {
        costs.push(Cost::of(&call.await));
    }
    costs.try_into().expect("three")
}

async fn audit(project: &TestProject, table: &TestTable) -> verify::Report {
    let patience = Patience { readings: 2, pause: Duration::from_millis(20) };
    let id = project.id.parse().expect("an id");
    verify::run(&table.table().await, Some(id), patience, &ProgressBar::hidden()).await.expect("a report")
}

async fn backfill(project: &TestProject) -> backfill::Report {
    let options = Options { project: Some(project.id.parse().expect("an id")), collection: None, rate: 1_000_000 };
    let table = TestTable::of_this_process().await.table().await;
    backfill::run(&table, &options, &ProgressBar::hidden()).await.expect("a report")
}

/// The contents of the index, and the contents that it should have.
async fn indexed_and_live(project: &TestProject) -> [BTreeSet<String>; 2] {
    let table = TestTable::of_this_process().await;
    let query = table.client().await.query().table_name(&table.name).index_name("live_edges").consistent_read(true);
    let query = query
        .key_condition_expression("project_id = :project")
        .expression_attribute_values(":project", AttributeValue::S(project.id.clone()));
    let items = query.send().await.expect("a page").items.unwrap_or_default();
    let indexed = items.iter().map(|item| item["entity"].as_s().expect("a text").clone()).collect();
    let stored = project.stored().await.into_iter();
    let live = stored.filter(|(entity, row)| entity.starts_with("dependencies#") && !row.is_dead());
    [indexed, live.map(|(entity, _)| entity).collect()]
}

/// The product before the index existed. No item that it writes has the attribute.
fn write_like_older_code(operation: &str, request: &mut HttpRequest) -> Result<(), BoxError> {
    if operation != "TransactWriteItems" {
        return Ok(());
    }
    let mut body: Value = serde_json::from_slice(request.body().bytes().ok_or("no body")?)?;
    for item in body["TransactItems"].as_array_mut().ok_or("no items")? {
        if let Some(item) = item.pointer_mut("/Put/Item").and_then(Value::as_object_mut) {
            item.remove("live_edge");
        }
    }
    let body = body.to_string();
    request.headers_mut().insert("content-length", body.len().to_string());
    *request.body_mut() = SdkBody::from(body);
    Ok(())
}

/// The project through older code.
async fn with_older_code(project: &TestProject) -> TestProject {
    let table = TestTable::of_this_process().await;
    let app = TestApp::on(table, table.seen_by(write_like_older_code).await).await;
    TestProject { app, id: project.id.clone() }
}

#[tokio::test]
async fn dependencies_that_were_deleted_cost_those_that_come_after_them_nothing() {
    if TestTable::may_count_differently() {
        return;
    }
    let app = TestApp::new().await;
    let (fresh, old) = (app.with_project().with_tasks(6).await, app.with_project().with_tasks(6).await);
    churn(&old, 5).await;
    // The next commit checks all rows of the latest one, so that one should be small.
    old.patch("tasks/t6", &json!({"notes": "x"})).await.expect(200);
    fresh.patch("tasks/t6", &json!({"notes": "x"})).await.expect(200);
    let dead = old.stored().await.values().filter(|row| row.is_dead()).count();
    assert_eq!(dead, 300);
    assert_eq!(costs(&old).await, costs(&fresh).await);
}

#[tokio::test]
async fn exactly_the_live_dependencies_are_in_the_index_whatever_became_of_the_others() {
    let table = TestTable::of_this_process().await;
    let project = TestApp::new().await.with_project().with_tasks(6).await;
    churn(&project, 1).await;
    for (one, other) in [("t1", "t2"), ("t2", "t3"), ("t3", "t4"), ("t4", "t5")] {
        project.post_edge(one, other).await.expect(201);
    }
    project.patch("dependencies/t3-t4", &json!({"lag": 3})).await.expect(200);
    project.delete("dependencies/t4-t5").await.expect(204);
    let changes = json!({"method": "PATCH", "path": "dependencies/t2-t3/", "body": {"dep_type": "SS"}});
    batch(&project, [edge("t1", "t5"), changes]).await.expect(200);
    project.delete("tasks/t1").await.expect(204);
    let [indexed, live] = indexed_and_live(&project).await;
    assert_eq!(live, ["dependencies#t2-t3", "dependencies#t3-t4"].map(str::to_owned).into());
    assert_eq!(indexed, live);
    let page = project.get("dependencies/?limit=1").await.expect(200).json();
    let rest = page["next"].as_str().expect("a second page").split_once("dependencies/").expect("a path").1.to_owned();
    // The row to continue after is no longer in the index.
    project.delete("dependencies/t2-t3").await.expect(204);
    let page = project.get(&format!("dependencies/{rest}")).await.expect(200).json();
    assert_eq!(page["results"][0]["id"], "t3-t4");
    let report = audit(&project, table).await;
    assert_eq!(report.verdict, Verdict::Sound, "{report}");
}

#[tokio::test]
async fn rules_see_a_dependency_that_older_code_wrote_and_backfill_puts_it_into_the_index() {
    let table = TestTable::of_this_process().await;
    let chain = TestApp::new().await.with_project().with_tasks(5).with_edge("t1", "t2").with_edge("t2", "t3");
    let project = chain.with_edge("t3", "t4").await;
    let older = with_older_code(&project).await;
    older.patch("dependencies/t1-t2", &json!({"lag": 1})).await.expect(200);
    older.post_edge("t4", "t5").await.expect(201);
    let [indexed, _] = indexed_and_live(&project).await;
    assert_eq!(indexed, ["dependencies#t2-t3", "dependencies#t3-t4"].map(str::to_owned).into());

    let refused = |call, code| project.refuses(call, 409, code);
    let answer: Answer = refused(project.post_edge("t5", "t1"), "dependency_cycle").await;
    assert_eq!(answer.json()["tasks"], json!(["t5", "t1", "t2", "t3", "t4"]));
    let again = json!({"id": "again", "predecessor": "t1", "successor": "t2"});
    refused(project.post("dependencies", &again), "duplicate_dependency").await;
    let operations = json!({"operations": [edge("t3", "t1")]});
    refused(project.post("batch", &operations), "dependency_cycle").await;
    project.delete("tasks/t5").await.expect(204);
    assert!(project.stored().await["dependencies#t4-t5"].is_dead(), "it names a dead task");
    // Any other write of the row by this code adds it, too.
    older.post_edge("t1", "t3").await.expect(201);
    project.patch("dependencies/t1-t3", &json!({"lag": 2})).await.expect(200);

    let report = audit(&project, table).await;
    assert_eq!(report.verdict, Verdict::Violated);
    assert!(report.to_string().contains("dependencies#t1-t2: attributes_agree: live_edge"), "{report}");
    let version = project.current_version().await;
    let report = backfill(&project).await;
    assert_eq!((report.listed_edges, report.filled_rows, report.exit_code()), (1, 0, 0), "{report}");
    assert_eq!(project.current_version().await, version, "no device is told");
    let [indexed, live] = indexed_and_live(&project).await;
    assert_eq!((indexed, live.len()), (live.clone(), 4));
    let report = audit(&project, table).await;
    assert_eq!(report.verdict, Verdict::Sound, "{report}");
    let items = project.items().await;
    assert_eq!(backfill(&project).await.listed_edges, 0);
    assert_eq!(project.items().await, items, "a second run wrote something");
}

#[tokio::test]
async fn a_tombstone_in_the_index_is_listed_nowhere_and_backfill_takes_it_out() {
    let table = TestTable::of_this_process().await;
    let project = TestApp::new().await.with_project().with_tasks(3).with_edge("t1", "t2").with_edge("t2", "t3").await;
    project.delete("dependencies/t1-t2").await.expect(204);
    let update = table.client().await.update_item().table_name(&table.name);
    let update = update
        .key("project_id", AttributeValue::S(project.id.clone()))
        .key("entity", AttributeValue::S("dependencies#t1-t2".to_owned()))
        .update_expression("SET live_edge = :id")
        .expression_attribute_values(":id", AttributeValue::S("t1-t2".to_owned()));
    update.send().await.expect("an update");
    let listed = project.get("dependencies/").await.expect(200).json();
    assert_eq!(listed["results"].as_array().map(Vec::len), Some(1));
    project.post_edge("t3", "t1").await.expect(201);
    assert_eq!(audit(&project, table).await.verdict, Verdict::Violated);
    assert_eq!(backfill(&project).await.listed_edges, 1);
    let [indexed, live] = indexed_and_live(&project).await;
    assert_eq!(indexed, live);
    assert_eq!(audit(&project, table).await.verdict, Verdict::Sound);
}

#[tokio::test]
async fn a_restored_table_has_each_live_dependency_in_the_index() {
    let table = crate::restore::table("edges").await;
    let app = crate::restore::app(&table).await;
    let project = app.with_project().with_tasks(3).with_edge("t1", "t2").with_edge("t2", "t3").await;
    // The backup is from before the index.
    project.forget("dependencies#t1-t2", "live_edge").await;
    assert_eq!(audit(&project, &table).await.verdict, Verdict::Violated);
    let options = restore::Options { project: None, lost: None, rate: 1_000_000, raise: restore::RAISE };
    restore::run(&table.table().await, &options, &ProgressBar::hidden()).await.expect("a report");
    let report = audit(&project, &table).await;
    assert_eq!(report.verdict, Verdict::Sound, "{report}");
}

#[tokio::test]
async fn a_table_that_was_made_without_the_index_is_refused_in_one_sentence() {
    let shared = TestTable::of_this_process().await;
    let table = TestTable { endpoint: shared.endpoint.clone(), name: format!("{}-bare", shared.name) };
    let client = table.client().await;
    let mut create = client.create_table().table_name(&table.name).billing_mode(BillingMode::PayPerRequest);
    for (attribute, kind) in [("project_id", KeyType::Hash), ("entity", KeyType::Range)] {
        let key = KeySchemaElement::builder().attribute_name(attribute).key_type(kind);
        let text = AttributeDefinition::builder().attribute_name(attribute).attribute_type(ScalarAttributeType::S);
        create = create.key_schema(key.build().expect("a key"));
        create = create.attribute_definitions(text.build().expect("an attribute"));
    }
    create.send().await.expect("a table");
    let sentence = format!("{} has no index live_edges, and a table gets that only when it is made", table.name);
    let refused = |error: &dyn std::error::Error| assert!(reasons(error).ends_with(&sentence), "{}", reasons(error));
    let progress = ProgressBar::hidden();
    let bare = table.table().await;
    refused(&verify::run(&bare, None, Patience::default(), &progress).await.expect_err("no index"));
    let options = Options { project: None, collection: None, rate: 1 };
    refused(&backfill::run(&bare, &options, &progress).await.expect_err("no index"));
    let options = restore::Options { project: None, lost: None, rate: 1, raise: restore::RAISE };
    refused(restore::run(&bare, &options, &progress).await.expect_err("no index").as_ref());
    refused(stack::table::create(&client, &table.name).await.expect_err("no index").as_ref());
}
