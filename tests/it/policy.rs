//! Least privilege: what each function asks of DynamoDB is what its policy in template.yaml allows, no more and no less.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use axum::http::Method;
use serde_json::{Value, json};
use shared::domain::{Role, ServerVersion};
use tests::support::{OWNER, Pull, TestApp, TestProject, TestTable};
use yaml_rust2::{Yaml, YamlLoader};

use crate::batch::{batch, edge, task};

const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml");
const DEPLOY_ROLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/deploy-role.yaml");

/// A template as it is written: `!Ref X` is `X`.
fn parsed(path: &str) -> Yaml {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    YamlLoader::load_from_str(&text).expect("YAML").remove(0)
}

/// Actions, each with the resource that it is allowed on or was asked of.
type Actions = BTreeSet<(String, String)>;

/// Notes what a function asks, and can keep the index from answering.
#[derive(Debug, Clone, Default)]
struct Witness {
    seen: Arc<Mutex<Actions>>,
    index_lags: Arc<AtomicBool>,
}

impl Witness {
    fn look(&self, operation: &str, request: &mut HttpRequest) -> Result<(), BoxError> {
        let mut body: Value = serde_json::from_slice(request.body().bytes().ok_or("no body")?)?;
        self.seen.lock().expect("what was seen").extend(needed(operation, &body));
        if body["IndexName"] == "by_version" && self.index_lags.load(Ordering::Relaxed) {
            // As if no row had arrived there yet. The engine does not check signatures.
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

/// What a role of the template allows on the table.
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
                    // X-Ray knows no resources.
                    assert!(!resource.contains('*') || action.starts_with("xray:"), "{name}: {action} on {resource}");
                    if action.starts_with("dynamodb:") {
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

/// `!GetAtt Table.Arn` and `!Sub ${Table.Arn}/index/…`.
fn resource_in_words(resource: &str) -> String {
    if resource == "Table.Arn" { "table".to_owned() } else { resource.replace("${Table.Arn}", "table") }
}

/// Both functions, each behind a witness.
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

/// Every route, and every way that a commit takes.
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
        tokio::spawn(async move { call.await.expect(200) })
    });
    for call in racing.collect::<Vec<_>>() {
        call.await.expect("no panic");
    }
}

/// Every way to the answer of a pull.
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

#[tokio::test]
async fn each_function_may_do_what_it_does_and_nothing_else() {
    let (app, rest, sync) = watched().await;
    let project = app.with_project().await;
    edit(&project).await;
    pull(&project, &sync).await;
    let template = &parsed(TEMPLATE);
    for (function, witness) in [("Sync", sync), ("Rest", rest)] {
        let seen = witness.seen.lock().expect("what was seen").clone();
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
    for role in ["SyncRole", "RestRole"] {
        let properties = &template["Resources"][role]["Properties"];
        assert!(!properties["PermissionsBoundary"].is_badvalue(), "{role} could not be made by the deployment");
        for policy in properties["Policies"].as_vec().expect("policies") {
            allowed.extend(actions(&policy["PolicyDocument"]));
        }
    }
    assert_eq!(actions(boundary), allowed);
}
