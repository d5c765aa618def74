//! Tests projects. A project is a synced row itself and is created with its owner.

use axum::http::Method;
use serde_json::{Value, json};
use shared::domain::{ProjectId, Role};
use tests::support::{Call, OWNER, TestApp};

fn create(app: &TestApp, body: &Value) -> Call {
    app.call(Method::POST, "/api/v1/projects/").by(OWNER).json(body)
}

#[tokio::test]
async fn a_new_project_has_version_1_and_its_creator_as_the_owner() {
    let app = TestApp::new().await;
    let answer = create(&app, &json!({"name": "House", "start_date": "2026-03-02"})).await.expect(201);
    let row = answer.row();
    let id = row["id"].as_str().expect("an id");
    let expected = json!({"id": id, "server_version": 1, "name": "House", "description": "",
        "start_date": "2026-03-02", "calendar": null});
    assert_eq!(row, expected);
    assert_eq!(answer.header("location"), Some(format!("/api/v1/projects/{id}/").as_str()));
    let members = app.call(Method::GET, &format!("/api/v1/projects/{id}/memberships/")).by(OWNER).await.json();
    assert_eq!(members["results"][0]["user"], OWNER);
    assert_eq!(members["results"][0]["role"], 400);
    assert_eq!(members["results"][0]["server_version"], 2);
}

#[tokio::test]
async fn a_project_starts_today_unless_it_says_when() {
    let app = TestApp::new().await;
    let row = create(&app, &json!({"name": "House"})).await.expect(201).row();
    assert_eq!(row["start_date"].as_str().map(str::len), Some("2026-03-02".len()));
}

#[tokio::test]
async fn a_project_is_read_and_changed() {
    let project = TestApp::new().await.with_project().await;
    let changed = project.patch("", &json!({"name": "Barn", "description": "red"})).await.row();
    assert_eq!((&changed["name"], &changed["server_version"]), (&json!("Barn"), &json!(3)));
    assert_eq!(project.get("").await.row(), changed);
    assert_eq!(project.pull(2).await.row("projects", &project.id), &changed);
    project
        .refuses_fields(project.patch("", &json!({"name": " ", "start_date": "2026-02-30"})), &["name", "start_date"])
        .await;
}

#[tokio::test]
async fn a_project_that_is_created_again_is_the_same_and_another_content_is_refused() {
    let project = TestApp::new().await.with_project().await;
    let body = json!({"id": project.id, "name": "House"});
    assert_eq!(create(&project.app, &body).await.expect(200).version(), 1);
    let other = json!({"id": project.id, "name": "Barn"});
    project.refuses(create(&project.app, &other), 409, "id_taken").await;
    // Another user learns only that the id is taken.
    project.refuses(create(&project.app, &body).by("eve"), 409, "id_taken").await;
    project.delete("").await.expect(204);
    project.refuses(create(&project.app, &body), 409, "id_deleted").await;
    project.refuses(create(&project.app, &body).by("eve"), 409, "id_taken").await;
}

#[tokio::test]
async fn the_list_of_projects_holds_those_that_the_caller_is_a_live_member_of_page_by_page() {
    let app = TestApp::new().await;
    // Projects of other users do not appear.
    let user = ProjectId::generate().to_string();
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.push(app.with_project().with_member(&user, Role::Viewer).await);
    }
    let removed = expected.remove(1);
    removed.delete(&format!("memberships/{}", removed.membership(&user))).await.expect(204);
    let deleted = expected.remove(2);
    deleted.delete("").await.expect(204);
    let mut ids: Vec<String> = expected.into_iter().map(|project| project.id).collect();
    ids.sort_unstable();

    let mut listed = Vec::new();
    let mut next = Some("/api/v1/projects?limit=2".to_owned());
    while let Some(path) = next {
        let page = app.call(Method::GET, &path).by(&user).await.expect(200).json();
        let results = page["results"].as_array().expect("an array");
        assert!(results.len() <= 2);
        listed.extend(results.iter().map(|row| row["id"].as_str().expect("an id").to_owned()));
        next = page["next"].as_str().map(str::to_owned);
    }
    listed.sort_unstable();
    assert_eq!(listed, ids);
}

#[tokio::test]
async fn a_deleted_project_is_410_for_its_members_on_every_route_and_nothing_is_written_any_more() {
    let project = TestApp::new().await.with_project().with_tasks(1).with_member("vic", Role::Viewer).await;
    project.delete("").await.expect(204);
    for call in [
        project.get(""),
        project.get("tasks/"),
        project.get("tasks/t1/"),
        project.get("memberships/").by("vic"),
        project.post("tasks", &json!({"name": "x"})),
        project.patch("tasks/t1", &json!({"name": "x"})),
        project.patch("", &json!({"name": "x"})),
        project.delete("tasks/t1"),
        project.delete(""),
    ] {
        project.refuses(call, 410, "project_deleted").await;
    }
    project.refuses(project.get("").by("eve"), 403, "not_a_member").await;
}

#[tokio::test]
async fn a_project_that_cannot_be_read_is_not_listed_and_hides_no_other() {
    let (app, user) = (TestApp::new().await, ProjectId::generate().to_string());
    let mut projects = Vec::new();
    for _ in 0..3 {
        projects.push(app.with_project().with_member(&user, Role::Viewer).await);
    }
    projects[0].spoil(&format!("projects#{}", projects[0].id), "writes").await;
    projects[1].spoil(&format!("memberships#{}", projects[1].membership(&user)), "writes").await;
    let list = app.call(Method::GET, "/api/v1/projects/").by(&user).await.expect(200).json();
    let ids: Vec<&str> =
        list["results"].as_array().expect("rows").iter().filter_map(|row| row["id"].as_str()).collect();
    assert_eq!(ids, [projects[2].id.as_str()]);
    projects[0].get("").by(&user).await.problem(500, "internal_error");
}
