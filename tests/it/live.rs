//! Tests the function `live`: watching projects over a WebSocket.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::types::AttributeValue;
use live::Event;
use serde_json::{Value, json};
use shared::domain::{ProjectId, Role};
use shared::http::CallerBudgets;
use tests::support::{Clients, LiveApp, OWNER, TestApp, TestProject, TestTable, moved};

/// An id of a connection that no other test uses.
fn connection() -> String {
    format!("{}=", ProjectId::generate())
}

/// The functions on a table that notes its calls.
async fn witnessed() -> (LiveApp, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let noted = Arc::clone(&asked);
    let table = TestTable::of_this_process().await.seen_by(move |operation, _| {
        noted.lock().expect("what was asked").push(operation.to_owned());
        Ok(())
    });
    (LiveApp::on(table.await), asked)
}

fn taken(asked: &Mutex<Vec<String>>) -> Vec<String> {
    std::mem::take(&mut *asked.lock().expect("what was asked"))
}

fn watching(project: &TestProject, version: u64) -> Value {
    json!({"watching": [{"project": project.id, "version": version}], "refused": []})
}

#[tokio::test]
async fn a_watcher_learns_the_versions_of_their_projects_and_all_other_projects_look_the_same() {
    let app = TestApp::new().await;
    let (live, own) = (LiveApp::new().await, app.with_project().with_tasks(2).await);
    let (foreign, deleted, left) = (app.with_project().await, app.with_project().await, app.with_project().await);
    for project in [&own, &deleted, &left] {
        project.give("vic", Role::Viewer).await.expect(201);
    }
    deleted.delete("").await.expect(204);
    left.remove("vic").await.expect(204);
    let absent = ProjectId::generate().to_string();
    let wanted = [&foreign.id, &own.id, &absent, &deleted.id, &left.id].map(String::as_str);
    let version = own.current_version().await;
    let id = connection();
    let expected = json!({
        "watching": [{"project": own.id, "version": version}],
        "refused": [foreign.id, absent, deleted.id, left.id],
    });
    assert_eq!(live.watch(&id, "vic", &wanted).await, expected);
    for project in [&foreign.id, &absent, &deleted.id, &left.id] {
        assert!(live.watchers(project).await.is_empty(), "{project}");
    }
    assert_eq!(live.watchers(&own.id).await, [id]);
}

#[tokio::test]
async fn watching_a_foreign_project_costs_the_same_as_watching_an_absent_one() {
    let (live, foreign) = (LiveApp::new().await, TestApp::new().await.with_project().await);
    let mut costs = Vec::new();
    for project in [&foreign.id, &ProjectId::generate().to_string()] {
        live.watch(&connection(), "nobody", &[project]).await;
        let line = live.line();
        costs.push([&line["ReadUnits"], &line["WriteUnits"]].map(Value::clone));
    }
    assert_eq!(costs[0], costs[1]);
    assert_eq!(costs[0][1], json!(0.0), "a stranger writes no watch");
}

#[tokio::test]
async fn a_stranger_has_one_item_written_and_nothing_read() {
    let (live, asked) = witnessed().await;
    let id = connection();
    live.event(&id, Event::Opened).await;
    assert_eq!(taken(&asked), ["BatchWriteItem"]);
    let projects: Vec<String> = (0..100).map(|_| ProjectId::generate().to_string()).collect();
    let megabyte = json!({"action": "watch", "token": "x".repeat(1 << 20), "projects": projects});
    let signed_by_nobody = format!("{}x", TestApp::token("vic"));
    for (message, code) in [
        (json!({"action": "ping"}), ""),
        (json!({"action": "watch", "projects": projects}), "token_missing"),
        (json!({"action": "watch", "token": "x", "projects": projects}), "token_invalid"),
        (json!({"action": "watch", "token": signed_by_nobody, "projects": projects}), "token_invalid"),
        (json!({"action": "shout"}), "invalid_message"),
        (megabyte, "message_too_large"),
    ] {
        let answer = live.say(&id, &message).await;
        assert_eq!(answer["code"].as_str().unwrap_or_default(), code, "{answer}");
    }
    assert_eq!(taken(&asked), [""; 0]);
}

#[tokio::test]
async fn of_100_messages_of_a_connection_10_are_read_and_the_others_say_when_to_come_back() {
    let (live, asked) = witnessed().await;
    let (id, mut codes) = (connection(), Vec::new());
    for _ in 0..100 {
        let answer = live.say(&id, &json!({"action": "watch", "token": "x", "projects": []})).await;
        codes.push(answer["code"].as_str().expect("a code").to_owned());
        assert_eq!(answer["code"] == "rate_limited", answer["retry_after"].is_u64(), "{answer}");
    }
    let read = codes.iter().filter(|code| *code == "token_invalid").count();
    // There are more only if the machine took seconds for this.
    assert!((10..20).contains(&read) && codes[10..].contains(&"rate_limited".to_owned()), "{codes:?}");
    assert!(codes.iter().all(|code| ["token_invalid", "rate_limited"].contains(&code.as_str())));
    assert_eq!(taken(&asked), [""; 0]);
}

#[tokio::test]
async fn a_caller_whose_budget_is_spent_has_nothing_read() {
    let (mut live, asked) = witnessed().await;
    live.live = live.live.with_budgets(Some(CallerBudgets::new(1e-6, 1.0)));
    let project = ProjectId::generate().to_string();
    assert_eq!(live.watch(&connection(), "nobody", &[&project]).await["refused"], json!([project]));
    taken(&asked);
    let answer = live.watch(&connection(), "nobody", &[&project]).await;
    assert_eq!(answer["code"], "rate_limited");
    assert_eq!(taken(&asked), [""; 0]);
    assert!(live.watch(&connection(), "another", &[&project]).await["code"].is_null());
}

#[tokio::test]
async fn more_than_100_projects_are_refused_and_100_are_watched() {
    let (live, asked) = witnessed().await;
    let projects: Vec<String> = (0..101).map(|_| ProjectId::generate().to_string()).collect();
    let projects: Vec<&str> = projects.iter().map(String::as_str).collect();
    assert_eq!(live.watch(&connection(), "nobody", &projects).await["code"], "too_many_projects");
    assert_eq!(taken(&asked), [""; 0]);
    let answer = live.watch(&connection(), "nobody", &projects[..100]).await;
    assert_eq!(answer["refused"].as_array().map(Vec::len), Some(100));
}

#[tokio::test]
async fn a_later_watch_replaces_the_earlier_one_and_an_end_ends_all() {
    let app = TestApp::new().await;
    let (live, id) = (LiveApp::new().await, connection());
    let (a, b, c) = (app.with_project().await, app.with_project().await, app.with_project().await);
    live.event(&id, Event::Opened).await;
    live.watch(&id, OWNER, &[&a.id, &b.id]).await;
    live.watch(&id, OWNER, &[&b.id, &c.id]).await;
    assert_eq!([live.watchers(&a.id).await.len(), live.watchers(&b.id).await.len()], [0, 1]);
    assert_eq!(live.watchers(&c.id).await, [id.as_str()]);
    // A refused message changes nothing.
    live.say(&id, &json!({"action": "watch", "token": "x", "projects": []})).await;
    assert_eq!(live.watchers(&b.id).await.len(), 1);
    live.event(&id, Event::Ended).await;
    for project in [&a, &b, &c] {
        assert!(live.watchers(&project.id).await.is_empty());
    }
    // The table has no item of it any more.
    let own = app.look_into().query().table_name(&TestTable::of_this_process().await.name);
    let own = own.key_condition_expression("project_id = :connection");
    let own = own.expression_attribute_values(":connection", AttributeValue::S(format!("connection#{id}")));
    assert_eq!(own.send().await.expect("items").count, 0);
}

#[tokio::test]
async fn who_is_removed_while_they_begin_to_watch_watches_nothing() {
    let project = TestApp::new().await.with_project().with_member("vic", Role::Viewer).await;
    let (live, id) = (LiveApp::new().await, connection());
    // From now on this instance knows vic, so that it does not look before it writes the watch.
    live.watch(&id, "vic", &[&project.id]).await;
    live.event(&id, Event::Ended).await;
    project.remove("vic").await.expect(204);
    assert_eq!(live.watch(&id, "vic", &[&project.id]).await, json!({"watching": [], "refused": [project.id]}));
    assert!(live.watchers(&project.id).await.is_empty());
}

/// For each n, a commit and its poke happen while `live` makes its n-th request to the table.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_at_any_moment_of_a_watch_is_in_its_answer_or_is_poked() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    for moment in 0..6 {
        let clients = Arc::<Clients>::default();
        let (requests, committed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let table = {
            let (clients, id, committed) = (Arc::clone(&clients), project.id.clone(), Arc::clone(&committed));
            let seen = move |_: &str, _: &mut _| {
                if requests.fetch_add(1, Ordering::SeqCst) == moment {
                    let (clients, id) = (Arc::clone(&clients), id.clone());
                    let version = std::thread::spawn(move || commit_and_poke(&id, clients)).join().expect("a commit");
                    committed.store(usize::try_from(version).expect("a version"), Ordering::SeqCst);
                }
                Ok(())
            };
            TestTable::of_this_process().await.seen_by(seen).await
        };
        let live = LiveApp::with(table, Arc::clone(&clients));
        let id = connection();
        let answer = live.watch(&id, OWNER, &[&project.id]).await;
        let version = u64::try_from(committed.load(Ordering::SeqCst)).expect("a version");
        assert!(version > 0 || moment > 3, "a watch takes 4 requests and more, so moment {moment} is in it");
        let told = answer["watching"][0]["version"].as_u64().expect("a version");
        let poked = clients.sent(&id).iter().filter_map(|poke| poke["version"].as_u64()).max().unwrap_or_default();
        assert!(told.max(poked) >= version, "moment {moment}: {version} came, {told} was told and {poked} poked");
        live.event(&id, Event::Ended).await;
    }
}

/// Makes a commit and its poke with instances of their own.
fn commit_and_poke(project: &str, clients: Arc<Clients>) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let app = TestApp::new().await;
        let path = format!("/api/v1/projects/{project}/tasks/t1/");
        let name = ProjectId::generate().to_string();
        let patch = app.call(axum::http::Method::PATCH, &path).by(OWNER).json(&json!({ "name": name }));
        let version = patch.await.expect(200).committed();
        let live = LiveApp::with(TestTable::of_this_process().await.table().await, clients);
        assert_eq!(live.batch(&[moved(project, version)]).await, None);
        version
    })
}

#[tokio::test]
async fn a_watch_ends_with_its_token_and_never_lasts_longer_than_a_connection() {
    let (live, project) = (LiveApp::new().await, TestApp::new().await.with_project().await);
    let version = project.current_version().await;
    let id = connection();
    assert_eq!(live.watch(&id, OWNER, &[&project.id]).await, watching(&project, version));
    let watchers = live.table.watchers(&project.id.parse().expect("a project")).await.expect("watchers");
    // The token of the tests is valid for 30 days.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs();
    let left = watchers[0].until - i64::try_from(now).expect("a time");
    assert!((1..=2 * 60 * 60).contains(&left), "{left}");
    let stack = stack::token::Signer::as_variables_say(stack::token::LOCAL_SECRET, |name| {
        (name == "JWT_MAX_LIFETIME").then(|| "600".to_owned())
    });
    let (token, expires_at) = stack.sign_until(OWNER).expect("a token");
    live.say(&id, &json!({"action": "watch", "token": token, "projects": [project.id]})).await;
    let watchers = live.table.watchers(&project.id.parse().expect("a project")).await.expect("watchers");
    assert_eq!(watchers[0].until, i64::try_from(expires_at).expect("a time") + 60, "with the allowed clock skew");
}
