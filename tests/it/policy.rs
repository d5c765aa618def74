//! Tests least privilege: the policy of each function in template.yaml allows exactly the function's calls to DynamoDB and to the
//! gateway.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use axum::http::Method;
use live::{Event, Live};
use poke::Poke;
use serde_json::{Value, json};
use shared::auth::Verifier;
use shared::domain::{ConnectionId, Role, ServerVersion};
use shared::live::{Connections, Delivery};
use shared::storage::Unwatched;
use stack::token::LOCAL_SECRET;
use tests::support::{OWNER, Pull, TestApp, TestProject, TestTable};
use yaml_rust2::{Yaml, YamlLoader};

use crate::batch::{batch, edge, task};

const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml");
const DEPLOY_ROLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/deploy-role.yaml");
/// The calls that Lambda makes with a function's role to hand it a stream.
const READING_A_STREAM: [(&str, &str); 4] = [
    ("dynamodb:DescribeStream", "stream"),
    ("dynamodb:GetRecords", "stream"),
    ("dynamodb:GetShardIterator", "stream"),
    ("dynamodb:ListStreams", "*"),
];

/// A template in which `!Ref X` is read as `X`.
fn parsed(path: &str) -> Yaml {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    YamlLoader::load_from_str(&text).expect("YAML").remove(0)
}

/// The actions, each with the resource on which it is allowed or was called.
type Actions = BTreeSet<(String, String)>;

/// Notes a function's calls, and can make the index answer with nothing.
#[derive(Debug, Clone, Default)]
struct Witness {
    seen: Arc<Mutex<Actions>>,
    /// The actions, each with a partition that was requested.
    partitions: Arc<Mutex<Actions>>,
    index_lags: Arc<AtomicBool>,
}

impl Witness {
    fn look(&self, operation: &str, request: &mut HttpRequest) -> Result<(), BoxError> {
        let mut body: Value = serde_json::from_slice(request.body().bytes().ok_or("no body")?)?;
        self.seen.lock().expect("what was seen").extend(needed(operation, &body));
        let action = format!("dynamodb:{operation}");
        let partitions = partitions(operation, &body).into_iter().map(|partition| (action.clone(), partition));
        self.partitions.lock().expect("what was seen").extend(partitions);
        if body["IndexName"] == "by_version" && self.index_lags.load(Ordering::Relaxed) {
            // The index answers as if no row had arrived there yet. The engine does not check signatures, so the request may be
            // changed.
            body["ExpressionAttributeValues"][":after"] = json!({"N": ServerVersion::MAX.to_string()});
            let body = body.to_string();
            request.headers_mut().insert("content-length", body.len().to_string());
            *request.body_mut() = SdkBody::from(body);
        }
        Ok(())
    }
}

/// The permissions of an operation. A transaction needs those of the actions in it.
fn needed(operation: &str, body: &Value) -> Actions {
    let on = |action: &str, resource: &str| (format!("dynamodb:{action}"), resource.to_owned());
    match (operation, body["IndexName"].as_str(), body["TransactItems"].as_array()) {
        ("TransactWriteItems", _, Some(items)) => {
            let kinds = items.iter().flat_map(|item| item.as_object().expect("an item").keys());
            let action = |kind: &String| match kind.as_str() {
                "ConditionCheck" => on("ConditionCheckItem", "table"),
                kind => on(&format!("{kind}Item"), "table"),
            };
            kinds.map(action).collect()
        }
        (_, Some(index), _) => [on(operation, &format!("table/index/{index}"))].into(),
        _ => [on(operation, "table")].into(),
    }
}

/// The partitions of a call that is not a transaction: what IAM calls its leading keys.
fn partitions(operation: &str, body: &Value) -> Vec<String> {
    let of_table = || body["RequestItems"].as_object().into_iter().flat_map(|tables| tables.values());
    let keys: Vec<&Value> = match operation {
        "GetItem" | "DeleteItem" => vec![&body["Key"]["project_id"]],
        "Query" => vec![&body["ExpressionAttributeValues"][":partition"]],
        "BatchGetItem" => of_table()
            .flat_map(|table| table["Keys"].as_array().into_iter().flatten())
            .map(|key| &key["project_id"])
            .collect(),
        "BatchWriteItem" => of_table()
            .flat_map(|writes| writes.as_array().into_iter().flatten())
            .flat_map(|write| {
                [&write["PutRequest"]["Item"]["project_id"], &write["DeleteRequest"]["Key"]["project_id"]]
            })
            .collect(),
        _ => vec![],
    };
    keys.into_iter().filter_map(|key| Some(key["S"].as_str()?.to_owned())).collect()
}

/// The patterns of partitions to which a role's statement limits an action. None if it does not limit the action.
fn limits(template: &Yaml, function: &str, action: &str) -> Vec<String> {
    let policies = &template["Resources"][format!("{function}Role").as_str()]["Properties"]["Policies"];
    let statements = policies.as_vec().into_iter().flatten();
    let statements = statements.flat_map(|policy| policy["PolicyDocument"]["Statement"].as_vec().into_iter().flatten());
    let limited = statements.filter(|statement| texts(&statement["Action"]).contains(&action));
    let patterns = limited.flat_map(|statement| {
        let keys = &statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"];
        keys.as_vec().into_iter().flatten().filter_map(Yaml::as_str).map(str::to_owned)
    });
    patterns.collect()
}

/// The actions that a role of the template allows on the table.
fn allowed(template: &Yaml, function: &str) -> Actions {
    let resources = &template["Resources"];
    let properties = &resources[format!("{function}Function").as_str()]["Properties"];
    let name = properties["Role"].as_str().and_then(|role| role.strip_suffix(".Arn")).expect("a role of its own");
    assert!(properties["Policies"].is_badvalue(), "with a role of its own, SAM leaves these out");
    let role = &resources[name]["Properties"];
    assert!(role["ManagedPolicyArns"].is_badvalue(), "{name}: a managed policy says more than is seen here");
    let mut actions = Actions::new();
    for policy in role["Policies"].as_vec().expect("policies") {
        for statement in policy["PolicyDocument"]["Statement"].as_vec().expect("statements") {
            assert_eq!(statement["Effect"].as_str(), Some("Allow"), "{name}");
            for action in texts(&statement["Action"]) {
                assert!(!action.contains('*'), "{name}: {action}");
                for resource in texts(&statement["Resource"]) {
                    // X-Ray knows no resources, nor does a list of streams, and the gateway chooses the ids of connections.
                    let may_be_any = action.starts_with("xray:") || action == "dynamodb:ListStreams";
                    let named = resource.strip_suffix("/@connections/*").unwrap_or(resource);
                    assert!(!named.contains('*') || may_be_any, "{name}: {action} on {resource}");
                    if action.starts_with("dynamodb:") || action.starts_with("execute-api:") {
                        actions.insert((action.to_owned(), resource_in_words(resource)));
                    }
                }
            }
        }
    }
    actions
}

fn texts(yaml: &Yaml) -> Vec<&str> {
    let texts = yaml.as_vec().map_or_else(|| vec![yaml.as_str()], |list| list.iter().map(Yaml::as_str).collect());
    texts.into_iter().map(|text| text.expect("a text")).collect()
}

/// `!GetAtt Table.Arn`, `!GetAtt Table.StreamArn`, `!Sub ${Table.Arn}/index/…`, and of the gateway what follows the stage.
fn resource_in_words(resource: &str) -> String {
    match resource {
        "Table.Arn" => "table".to_owned(),
        "Table.StreamArn" => "stream".to_owned(),
        _ => match resource.split_once(":${LiveApi}/live/") {
            Some((_, of_connections)) => of_connections.to_owned(),
            None => resource.replace("${Table.Arn}", "table"),
        },
    }
}

/// The HTTP functions, each behind a witness.
async fn watched() -> (TestApp, Witness, Witness) {
    let table = TestTable::of_this_process().await;
    let behind = async |witness: &Witness| {
        let witness = witness.clone();
        let seen = table.seen_by(move |operation, request| witness.look(operation, request)).await;
        TestApp::on(table, seen.with_max_history_bytes(4)).await
    };
    let (rest, sync) = (Witness::default(), Witness::default());
    let mut app = behind(&rest).await;
    let other = behind(&sync).await;
    (app.sync, app.outcomes) = (other.sync, other.outcomes);
    (app, rest, sync)
}

/// Calls every route, with every kind of commit.
async fn edit(project: &TestProject) {
    project.get("").await.expect(200);
    project.patch("", &json!({"name": "Bridge"})).await.expect(200);
    let calendar = json!({"id": "week", "name": "Week"});
    let member = json!({"user": "vic", "role": Role::Viewer});
    for (collection, body) in [("calendars", calendar), ("memberships", member)] {
        let id = project.create(collection, body).await["id"].as_str().expect("an id").to_owned();
        project.get(&format!("{collection}/")).await.expect(200);
        project.get(&format!("{collection}/{id}/")).await.expect(200);
        let patch = if collection == "calendars" { json!({"name": "Six days"}) } else { json!({"role": 100}) };
        project.patch(&format!("{collection}/{id}"), &patch).await.expect(200);
        project.delete(&format!("{collection}/{id}")).await.expect(204);
    }
    project.give("vic", Role::Member).await.expect(201);
    project.app.call(Method::GET, "/api/v1/projects/").by("vic").await.expect(200);

    batch(project, [task("a"), task("b"), task("c"), edge("a", "b"), edge("b", "c")]).await.expect(200);
    project.get("dependencies/a-b/").await.expect(200);
    project.patch("dependencies/a-b", &json!({"lag": 2})).await.expect(200);
    project.delete("tasks/b").await.expect(204);

    let keyed = || project.post("tasks", &json!({"id": "d", "name": "Once"})).key("k1");
    keyed().await.expect(201);
    assert!(keyed().await.is_replay());
    project.delete("tasks/none").key("k2").await.problem(404, "not_found");
    project.patch("tasks/a", &json!({"name": "A"})).based_on(1).await.problem(409, "sync_conflict");
    let racing = (0..8).map(|n| {
        let call = project.patch("tasks/a", &json!({"percent_complete": n}));
        // On a slow machine one of them may be refused: what counts here is what each of them does.
        tokio::spawn(async move { assert!([200, 503].contains(&call.await.status)) })
    });
    for call in racing.collect::<Vec<_>>() {
        call.await.expect("no panic");
    }
}

/// Makes pulls with every outcome.
async fn pull(project: &TestProject, witness: &Witness) {
    let mark = project.pull(0).await.mark;
    assert!(project.pull(mark).await.is_empty());
    project.sync("since=0&turbo=true").await.expect(200);
    assert!(Pull::of(&project.sync("since=0&limit=2").await).has_more);
    project.sync(&format!("since={}", mark + 1)).await.problem(409, "since_ahead_of_server");
    witness.index_lags.store(true, Ordering::Relaxed);
    assert_eq!(project.pull(0).await.path, "strong");
    witness.index_lags.store(false, Ordering::Relaxed);
    project.remove("vic").await.expect(204);
    Pull::of(&project.sync(&format!("since={mark}")).by("vic").await);
    project.delete("").by(OWNER).await.expect(204);
    Pull::of(&project.sync(&format!("since={mark}")).await);
}

/// Connections that accept every message, except [`DEAD`] ones.
#[derive(Clone)]
struct Sockets(Witness);

const DEAD: &str = "dead";

impl Sockets {
    fn note(&self, method: &str) {
        let of_connections = format!("{method}/@connections/*");
        let mut seen = self.0.seen.lock().expect("what was seen");
        seen.insert(("execute-api:ManageConnections".to_owned(), of_connections));
    }
}

impl Connections for Sockets {
    async fn send(&self, to: &ConnectionId, _: &str) -> Delivery {
        self.note("POST");
        if to.as_str().starts_with(DEAD) { Delivery::Gone } else { Delivery::Sent }
    }

    async fn close(&self, _: &ConnectionId) -> Delivery {
        self.note("DELETE");
        Delivery::Sent
    }
}

fn connection(id: &str) -> Unwatched {
    Unwatched { connection: id.parse().expect("an id"), opened_at: 0 }
}

/// Sends every kind of message of a connection, and every kind of record of the stream.
async fn watch_and_poke(project: &TestProject) -> [(&'static str, Witness); 2] {
    let table = TestTable::of_this_process().await;
    let [of_live, of_poke] = [(); 2].map(|()| Witness::default());
    let behind =
        async |witness: Witness| table.seen_by(move |operation, request| witness.look(operation, request)).await;
    let verifier = Verifier::configured(|name| (name == "JWT_SECRET").then(|| LOCAL_SECRET.to_owned()));
    let live = Live::new(behind(of_live.clone()).await, Arc::new(verifier.expect("a verifier")));
    let seen_by_poke = behind(of_poke.clone()).await;
    seen_by_poke.connect().await;
    let poke = Poke::new(seen_by_poke, Arc::new(Sockets(of_poke.clone())));

    // Other tests use the same table at the same time.
    let [open, dead, expired] = ["open", DEAD, "expired"].map(|kind| format!("{kind}-{}", project.id));
    for id in [&open, &dead, &expired] {
        live.answer(&connection(id), Event::Opened).await;
        let watch = json!({"action": "watch", "token": TestApp::token(OWNER), "projects": [project.id]});
        let answer = live.answer(&connection(id), Event::Said(watch.to_string())).await.message.expect("an answer");
        assert!(answer.contains("watching"), "{answer}");
    }
    expire(project, &expired).await;
    poke.handle(&of_stream(project, "_counter", json!({"current_version": {"N": "9"}}))).await;
    let removed = json!({"is_deleted": {"BOOL": true}, "deleted_row": {"S": json!({"user": OWNER}).to_string()}});
    poke.handle(&of_stream(project, "memberships#m", removed)).await;
    live.answer(&connection(&open), Event::Ended).await;
    // Another test's sweep may come first.
    for id in 0.. {
        live.answer(&connection(&format!("silent{id}-{}", project.id)), Event::Opened).await;
        if poke.sweep().await.expect("a sweep") > 0 {
            break;
        }
    }
    [("Live", of_live), ("Poke", of_poke)]
}

fn of_stream(project: &TestProject, entity: &str, image: Value) -> Value {
    let keys = json!({"project_id": {"S": project.id}, "entity": {"S": entity}});
    let dynamodb = json!({"Keys": keys, "NewImage": image, "SequenceNumber": "1"});
    json!({"Records": [{"eventName": "MODIFY", "dynamodb": dynamodb}]})
}

/// Makes a watch expire, without the product.
async fn expire(project: &TestProject, connection: &str) {
    let text = |value: String| aws_sdk_dynamodb::types::AttributeValue::S(value);
    let mut found = 0;
    for partition in 0..4 {
        let update = project.app.look_into().update_item().table_name(&TestTable::of_this_process().await.name);
        let key = [("project_id", format!("live#{}#{partition}", project.id)), ("entity", connection.to_owned())];
        let update = key.into_iter().fold(update, |update, (name, value)| update.key(name, text(value)));
        let zero = aws_sdk_dynamodb::types::AttributeValue::N("0".to_owned());
        let update = update.update_expression("SET #until = :zero").expression_attribute_names("#until", "until");
        let update = update.expression_attribute_values(":zero", zero).condition_expression("attribute_exists(entity)");
        found += usize::from(update.send().await.is_ok());
    }
    assert_eq!(found, 1, "a watch is in one partition");
}

#[tokio::test]
async fn each_function_may_do_what_it_does_and_nothing_else() {
    let (app, rest, sync) = watched().await;
    let project = app.with_project().await;
    edit(&project).await;
    let [live, poke] = watch_and_poke(&project).await;
    pull(&project, &sync).await;
    let template = &parsed(TEMPLATE);
    for (function, witness) in [("Sync", sync), ("Rest", rest), live, poke] {
        let mut seen = witness.seen.lock().expect("what was seen").clone();
        if function == "Poke" {
            seen.extend(READING_A_STREAM.map(|(action, on)| (action.to_owned(), on.to_owned())));
        }
        let allowed = allowed(template, function);
        let [lacks, surplus] = [seen.difference(&allowed), allowed.difference(&seen)].map(Vec::from_iter);
        assert!(lacks.is_empty() && surplus.is_empty(), "{function}: lacks {lacks:?}, has needlessly {surplus:?}");
    }
}

#[test]
fn the_boundary_of_a_deployment_leaves_the_functions_what_they_may_do_and_nothing_else() {
    let template = &parsed(TEMPLATE);
    let boundary = &parsed(DEPLOY_ROLE)["Resources"]["RoleBoundary"]["Properties"]["PolicyDocument"];
    let actions = |document: &Yaml| -> BTreeSet<String> {
        let statements = document["Statement"].as_vec().expect("statements").iter();
        statements.flat_map(|statement| texts(&statement["Action"])).map(str::to_owned).collect()
    };
    let mut allowed = BTreeSet::new();
    for role in ["SyncRole", "RestRole", "LiveRole", "PokeRole"] {
        let properties = &template["Resources"][role]["Properties"];
        assert!(!properties["PermissionsBoundary"].is_badvalue(), "{role} could not be made by the deployment");
        for policy in properties["Policies"].as_vec().expect("policies") {
            allowed.extend(actions(&policy["PolicyDocument"]));
        }
    }
    assert_eq!(actions(boundary), allowed);
}

#[test]
fn the_deployment_may_make_the_filters_that_count_lines_of_the_logs() {
    let policies = &parsed(DEPLOY_ROLE)["Resources"]["StackRole"]["Properties"]["Policies"];
    let statements = policies.as_vec().expect("policies").iter();
    let statements = statements.flat_map(|policy| policy["PolicyDocument"]["Statement"].as_vec().into_iter().flatten());
    let actions: BTreeSet<&str> = statements.flat_map(|statement| texts(&statement["Action"])).collect();
    for action in ["logs:PutMetricFilter", "logs:DescribeMetricFilters", "logs:DeleteMetricFilter"] {
        assert!(actions.contains(action), "{action}");
    }
}

#[tokio::test]
async fn live_and_poke_write_and_delete_in_partitions_of_connections_only() {
    let (app, ..) = watched().await;
    let project = app.with_project().await;
    let template = &parsed(TEMPLATE);
    for (function, witness) in watch_and_poke(&project).await {
        let asked = witness.partitions.lock().expect("what was seen").clone();
        let writes = ["dynamodb:BatchWriteItem", "dynamodb:DeleteItem"];
        let limited: Vec<_> =
            asked.iter().filter(|(action, _)| function == "Poke" || writes.contains(&action.as_str())).collect();
        assert!(!limited.is_empty());
        for (action, partition) in limited {
            let patterns = limits(template, function, action);
            let fits = |pattern: &String| match pattern.strip_suffix('*') {
                Some(start) => partition.starts_with(start),
                None => partition == pattern,
            };
            assert!(!patterns.is_empty(), "{function}: {action} is not limited to partitions");
            assert!(patterns.iter().any(fits), "{function}: {action} in {partition}, and may in {patterns:?}");
            assert!(patterns.iter().all(|pattern| pattern == "_" || pattern.ends_with("#*")), "{patterns:?}");
        }
    }
}
