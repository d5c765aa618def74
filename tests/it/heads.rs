//! Tests the heads, which tell which of the caller's projects moved.

use axum::http::Method;
use serde_json::{Value, json};
use shared::domain::{ProjectId, Role};
use tests::support::{Answer, Call, TestApp, TestProject, TestTable};

use crate::cost::{Cost, Lines};

fn heads(app: &TestApp, user: &str, query: &str) -> Call {
    app.call(Method::GET, &format!("/api/v1/heads/{query}")).by(user)
}

/// A user whom no other test knows.
fn somebody() -> String {
    ProjectId::generate().to_string()
}

/// The heads on all pages, and the number of pages.
async fn all_heads(app: &TestApp, user: &str, limit: usize) -> (Vec<(String, u64)>, Vec<Answer>) {
    let (mut found, mut pages) = (Vec::new(), Vec::new());
    let mut query = Some(format!("?limit={limit}"));
    while let Some(asked) = query {
        let page = heads(app, user, &asked).await.expect(200);
        let body = page.json();
        let listed = body["heads"].as_array().expect("an array");
        assert!(listed.len() <= limit);
        let head = |head: &Value| {
            (head["project"].as_str().expect("an id").to_owned(), head["version"].as_u64().expect("a version"))
        };
        found.extend(listed.iter().map(head));
        query = body["next"].as_str().map(|cursor| format!("?limit={limit}&cursor={cursor}"));
        pages.push(page);
    }
    (found, pages)
}

/// Projects with this user as a member, in the order of their ids.
async fn projects(app: &TestApp, user: &str, number: usize) -> Vec<TestProject> {
    let mut projects = Vec::new();
    for _ in 0..number {
        projects.push(app.with_project().with_member(user, Role::Viewer).await);
    }
    projects.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    projects
}

#[tokio::test]
async fn the_heads_are_the_current_versions_of_the_callers_projects() {
    let (app, user) = (TestApp::new().await, somebody());
    let projects = projects(&app, &user, 3).await;
    projects[1].create("tasks", json!({"name": "Dig"})).await;
    let expected = [3, 4, 3].map(Some);
    for (project, version) in projects.iter().zip(expected) {
        assert_eq!(Some(project.current_version().await), version);
    }
    let answer = heads(&app, &user, "").await.expect(200).json();
    let head = |(project, version): (&TestProject, _)| json!({"project": project.id, "version": version});
    let listed: Vec<Value> = projects.iter().zip([3, 4, 3]).map(head).collect();
    assert_eq!(answer, json!({"heads": listed, "next": null}));
}

#[tokio::test]
async fn a_version_that_was_answered_is_in_the_heads_at_once() {
    let (app, user) = (TestApp::new().await, somebody());
    let project = &projects(&app, &user, 1).await[0];
    for n in 0..5 {
        let version = project.create("tasks", json!({"name": format!("Task {n}")})).await["server_version"].clone();
        assert_eq!(heads(&app, &user, "").await.json()["heads"][0]["version"], version);
    }
}

#[tokio::test]
async fn a_project_that_is_deleted_or_was_left_or_is_somebody_elses_has_no_head() {
    let (app, user) = (TestApp::new().await, somebody());
    let projects = projects(&app, &user, 4).await;
    app.with_project().await;
    projects[0].delete("").await.expect(204);
    projects[1].remove(&user).await.expect(204);
    projects[2].remove(&user).by(&user).await.expect(204);
    let (found, _) = all_heads(&app, &user, 100).await;
    assert_eq!(found, [(projects[3].id.clone(), 3)]);
    // A member who is added again is named again.
    projects[1].give(&user, Role::Viewer).await.expect(201);
    let names: Vec<String> = all_heads(&app, &user, 100).await.0.into_iter().map(|(project, _)| project).collect();
    assert_eq!(names, [projects[1].id.as_str(), projects[3].id.as_str()]);
}

#[tokio::test]
async fn a_project_whose_counter_or_membership_cannot_be_read_has_no_head_and_hides_no_other() {
    let (app, user) = (TestApp::new().await, somebody());
    let projects = projects(&app, &user, 5).await;
    let membership = |project: &TestProject| format!("memberships#{}", project.membership(&user));
    projects[0].spoil("_counter", "checksums").await;
    projects[1].spoil(&membership(&projects[1]), "writes").await;
    projects[3].spoil(&membership(&projects[3]), "row").await;
    for limit in [1, 2, 100] {
        let (found, _) = all_heads(&app, &user, limit).await;
        assert_eq!(found, [(projects[2].id.clone(), 3), (projects[4].id.clone(), 3)], "limit {limit}");
    }
    // A request about the project alone says that it failed.
    projects[0].sync("since=0").by(&user).await.problem(500, "internal_error");
}

#[tokio::test]
async fn the_heads_come_in_pages_of_which_none_repeats_or_skips_a_project() {
    let (app, user) = (TestApp::new().await, somebody());
    let mut projects = projects(&app, &user, 7).await;
    // With two heads per page, the first page names no project.
    for project in projects.drain(..2) {
        project.delete("").await.expect(204);
    }
    let expected: Vec<(String, u64)> = projects.into_iter().map(|project| (project.id, 3)).collect();
    for (limit, pages) in [(1, 8), (2, 4), (3, 3), (7, 2), (8, 1), (1_000, 1)] {
        let (found, answers) = all_heads(&app, &user, limit).await;
        assert_eq!(found, expected, "limit {limit}");
        assert!(answers.len() <= pages, "limit {limit}: {} pages", answers.len());
    }
    let first = heads(&app, &user, "?limit=2").await.json();
    assert_eq!(first["heads"], json!([]));
    assert!(first["next"].is_string(), "{first}");
}

#[tokio::test]
async fn a_parameter_that_makes_no_sense_is_refused_before_anything_is_read() {
    let (app, user) = (TestApp::new().await, somebody());
    for query in ["?limit=0", "?limit=1001", "?limit=x", "?limit=1&limit=2", "?cursor=", "?cursor=a%2Fb"] {
        let answer = heads(&app, &user, query).await;
        answer.problem(400, "invalid_parameter");
        let timing = answer.header("server-timing").expect("Server-Timing");
        assert!(timing.contains("\"0 calls"), "{query}: {timing}");
    }
    let answer = app.call(Method::GET, "/api/v1/heads/").without_token().await;
    answer.problem(401, "token_missing");
    let timing = answer.header("server-timing").expect("Server-Timing");
    assert!(timing.contains("\"0 calls"), "{timing}");
}

/// Lines of the table in `infra/docs/cost.md`.
pub(crate) async fn add_lines(lines: &mut Lines) {
    let (app, user) = (TestApp::new().await, somebody());
    lines.call("heads of a caller without projects", heads(&app, &user, "")).await;
    for _ in 0..10 {
        app.with_project().with_member(&user, Role::Viewer).await;
    }
    lines.call("heads of 10 projects", heads(&app, &user, "")).await;
}

#[tokio::test]
async fn a_head_takes_two_read_units_and_one_of_a_deleted_project_takes_one() {
    if TestTable::may_count_differently() {
        return;
    }
    let (app, user) = (TestApp::new().await, somebody());
    let projects = projects(&app, &user, 20).await;
    let index = |number: f64| (number * 200.0 / 4096.0).ceil() / 2.0;
    let reads = async || Cost::of(&heads(&app, &user, "").await).reads();
    let taken = reads().await;
    assert!((40.0..=40.0 + index(20.0)).contains(&taken), "{taken}");
    for project in &projects[..5] {
        project.delete("").await.expect(204);
    }
    let taken = reads().await;
    assert!((35.0..=35.0 + index(20.0)).contains(&taken), "{taken}");
}

/// The worst that somebody can do to a caller: make them a member of projects whose counters are as large as possible.
#[tokio::test]
async fn a_head_of_a_project_whose_latest_commit_was_the_largest_takes_four_read_units_at_most() {
    if TestTable::may_count_differently() {
        return;
    }
    let (app, user) = (TestApp::new().await, somebody());
    let project = app.with_project().with_tasks(99).with_member(&user, Role::Viewer).await;
    let operation = |n: usize| {
        let body =
            json!({"id": format!("{n:03}{}", "x".repeat(61)), "predecessor": "t1", "successor": format!("t{n}")});
        json!({"method": "POST", "path": "dependencies/", "body": body})
    };
    let operations: Vec<Value> = (2..=99).map(operation).collect();
    project.post("batch", &json!({"operations": operations})).await.expect(200);
    let reads = async || Cost::of(&heads(&app, &user, "").await).reads();
    // The names alone have nearly 8 KB. Versions with more digits take more.
    let taken = reads().await;
    assert!((3.5..=4.5).contains(&taken), "{taken}");
    // The next commit makes it small again.
    project.patch("", &json!({"description": "red"})).await.expect(200);
    assert_eq!(reads().await, 2.5);
}
