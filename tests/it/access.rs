//! Tests who may do what: the table of roles, and users who are not members.

use axum::http::Method;
use serde_json::{Value, json};
use shared::domain::{ProjectId, Role};
use tests::support::{Answer, Call, TestApp, TestProject};

const ROLES: [(&str, Role); 4] =
    [("vic", Role::Viewer), ("mia", Role::Member), ("sofia", Role::Scheduler), ("adam", Role::Admin)];

/// A batch that changes one row.
fn operations(patch: Value, path: &str) -> Value {
    json!({"operations": [{"method": "PATCH", "path": path, "body": patch}]})
}

/// Every route of the product, as a call that a user may make once, with the role that it requires.
fn every_call(project: &TestProject, user: &str) -> Vec<(Role, Call)> {
    let fresh = || ProjectId::generate().to_string();
    let edge = json!({"id": format!("by-{user}"), "predecessor": "t1", "successor": "t3"});
    let mut calls = vec![
        (Role::Viewer, project.sync("since=0")),
        (Role::Viewer, project.get("")),
        (Role::Admin, project.patch("", &json!({"description": fresh()}))),
        (Role::Member, project.post("tasks", &json!({"name": "x"}))),
        (Role::Member, project.patch("tasks/t1", &json!({"notes": fresh()}))),
        (Role::Member, project.delete("tasks/t9")),
        (Role::Member, project.post("batch", &operations(json!({"name": fresh()}), "tasks/t1"))),
        (Role::Scheduler, project.post("batch", &operations(json!({"lag": 4}), "dependencies/t1-t2"))),
        (Role::Admin, project.post("batch", &operations(json!({"name": fresh()}), "calendars/site"))),
        (Role::Scheduler, project.post("dependencies", &edge)),
        (Role::Scheduler, project.patch("dependencies/t1-t2", &json!({"lag": 3}))),
        (Role::Scheduler, project.delete("dependencies/t8-t7")),
        (Role::Admin, project.post("calendars", &json!({"name": fresh()}))),
        (Role::Admin, project.patch("calendars/site", &json!({"name": fresh()}))),
        (Role::Admin, project.delete("calendars/gone")),
        (Role::Admin, project.give(&fresh(), Role::Viewer)),
        (Role::Admin, project.change("newt", Role::Member)),
        (Role::Admin, project.remove("gone")),
    ];
    let membership = format!("memberships/{}", project.membership("newt"));
    for row in ["tasks/t1", "dependencies/t1-t2", "calendars/site", membership.as_str()] {
        let (collection, _) = row.split_once('/').expect("a collection");
        calls.push((Role::Viewer, project.get(&format!("{row}/"))));
        calls.push((Role::Viewer, project.get(&format!("{collection}/"))));
    }
    calls.push((Role::Owner, project.delete("")));
    calls.into_iter().map(|(role, call)| (role, call.by(user))).collect()
}

/// A project in which each of these calls finds a row to act on, or one that is deleted already.
async fn project() -> TestProject {
    let mut setup = TestApp::new().await.with_project().with_tasks(9).with_calendar("site").with_calendar("gone");
    setup = setup.with_edge("t1", "t2").with_edge("t8", "t7").with_member("newt", Role::Viewer);
    for (user, role) in ROLES {
        setup = setup.with_member(user, role);
    }
    let project = setup.with_member("gone", Role::Viewer).await;
    for row in ["tasks/t9", "dependencies/t8-t7", "calendars/gone"] {
        project.delete(row).await.expect(204);
    }
    project.remove("gone").await.expect(204);
    project
}

#[tokio::test]
async fn each_route_takes_its_role_and_refuses_the_ones_below() {
    let project = project().await;
    for (user, role) in ROLES {
        for (needed, call) in every_call(&project, user) {
            if role < needed {
                project.refuses(call, 403, "role_too_low").await;
            } else {
                let answer = call.await;
                assert!((200..300).contains(&answer.status), "{user}: {answer:?}");
            }
        }
        let edge = project.delete(&format!("dependencies/by-{user}")).await;
        assert_eq!(edge.status, if role < Role::Scheduler { 404 } else { 204 });
    }
    project.assert_dense().await;
}

#[tokio::test]
async fn only_an_owner_deletes_the_project() {
    let project = project().await;
    for (user, _) in ROLES {
        project.refuses(project.delete("").by(user), 403, "role_too_low").await;
    }
    project.delete("").await.expect(204);
}

/// Everything by which a caller can tell two answers apart, except the time that they took.
fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let headers = answer.headers.iter().map(|(name, value)| {
        let value = value.to_str().expect("readable");
        let is_time = |part: &&str| !part.starts_with("dur=");
        (name.to_string(), value.split(';').filter(is_time).collect::<Vec<_>>().join(";"))
    });
    (answer.status, headers.collect(), answer.text.clone())
}

#[tokio::test]
async fn a_foreign_project_and_one_that_does_not_exist_look_the_same_on_every_route() {
    let foreign = project().await;
    let unknown = TestProject { app: foreign.app.clone(), id: ProjectId::generate().to_string() };
    for ((_, there), (_, nowhere)) in every_call(&foreign, "eve").into_iter().zip(every_call(&unknown, "eve")) {
        let there = foreign.refuses(there, 403, "not_a_member").await;
        let nowhere = unknown.refuses(nowhere, 403, "not_a_member").await;
        assert_eq!(seen(&there), seen(&nowhere));
    }
    assert!(unknown.items().await.is_empty());
}

#[tokio::test]
async fn one_who_was_removed_is_told_so_on_every_route_but_a_pull_that_wipes_the_device() {
    let project = project().await;
    project.sync("since=1").by("gone").await.expect(200);
    for (_, call) in every_call(&project, "gone") {
        project.refuses(call, 403, "membership_revoked").await;
    }
}

#[tokio::test]
async fn bad_input_by_a_stranger_tells_no_more_than_good_input() {
    let project = project().await;
    let stranger = |call: Call| project.refuses(call.by("eve"), 403, "not_a_member");
    stranger(project.post("tasks", &json!({"name": 5}))).await;
    stranger(project.post("memberships", &json!({"user": "mia", "role": 7}))).await;
    stranger(project.patch("tasks/never", &json!({"name": "x"})).if_match(1)).await;
    stranger(project.call(Method::DELETE, "memberships/never/")).await;
}
