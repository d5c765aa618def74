//! Tests dependencies.

use serde_json::json;
use tests::support::TestApp;

#[tokio::test]
async fn a_dependency_ties_two_tasks_finish_to_start_unless_it_says_otherwise() {
    let project = TestApp::new().await.with_project().with_tasks(2).await;
    let edge = project.create("dependencies", json!({"id": "e", "predecessor": "t1", "successor": "t2"})).await;
    let expected = json!({"id": "e", "server_version": 5, "project": project.id, "predecessor": "t1",
        "successor": "t2", "dep_type": "FS", "lag": 0});
    assert_eq!(edge, expected);
    let changed = project.patch("dependencies/e", &json!({"dep_type": "SF", "lag": -3})).await.row();
    assert_eq!((&changed["dep_type"], &changed["lag"]), (&json!("SF"), &json!(-3)));
}

#[tokio::test]
async fn both_ends_of_a_dependency_are_live_tasks_of_the_same_project_and_not_the_same() {
    let app = TestApp::new().await;
    let other = app.with_project().with_tasks(3).await;
    let project = app.with_project().with_tasks(2).await;
    project.create("tasks", json!({"id": "dead", "name": "x"})).await;
    project.delete("tasks/dead").await.expect(204);
    assert_eq!(other.get("tasks/t3/").await.status, 200);
    for end in ["t3", "dead", "never"] {
        project.refuses_fields(project.post_edge("t1", end), &["successor"]).await;
        project.refuses_fields(project.post_edge(end, "t1"), &["predecessor"]).await;
    }
    project.refuses_fields(project.post_edge("t1", "t1"), &["successor"]).await;
    project.post_edge("t1", "t2").await.expect(201);
    project.refuses_fields(project.patch("dependencies/t1-t2", &json!({"successor": "dead"})), &["successor"]).await;
}

#[tokio::test]
async fn two_tasks_are_tied_once_by_each_type() {
    let project = TestApp::new().await.with_project().with_tasks(2).with_edge("t1", "t2").await;
    let again = json!({"id": "again", "predecessor": "t1", "successor": "t2"});
    let answer = project.refuses(project.post("dependencies", &again), 409, "duplicate_dependency").await;
    assert_eq!(answer.json()["id"], "t1-t2");
    let parallel = json!({"id": "ss", "predecessor": "t1", "successor": "t2", "dep_type": "SS"});
    project.create("dependencies", parallel).await;
    let patch = project.patch("dependencies/ss", &json!({"dep_type": "FS"}));
    project.refuses(patch, 409, "duplicate_dependency").await;
    project.delete("dependencies/t1-t2").await.expect(204);
    project.post("dependencies", &again).await.expect(201);
}

#[tokio::test]
async fn a_dependency_that_would_close_a_cycle_is_refused_and_the_tasks_on_it_are_named() {
    let chain = TestApp::new().await.with_project().with_tasks(4);
    let project = chain.with_edge("t1", "t2").with_edge("t2", "t3").with_edge("t3", "t4").await;
    let answer = project.refuses(project.post_edge("t3", "t1"), 409, "dependency_cycle").await;
    assert_eq!(answer.json()["tasks"], json!(["t3", "t1", "t2"]));
    let longer = json!({"predecessor": "t4"});
    let answer = project.refuses(project.patch("dependencies/t1-t2", &longer), 409, "dependency_cycle").await;
    assert_eq!(answer.json()["tasks"], json!(["t4", "t2", "t3"]));
    // Without the edge t2-t3 there is no cycle any more, and an edge that is reversed closes no cycle with itself.
    project.delete("dependencies/t2-t3").await.expect(204);
    project.post_edge("t3", "t1").await.expect(201);
    let turned = json!({"predecessor": "t2", "successor": "t1"});
    assert_eq!(project.patch("dependencies/t1-t2", &turned).await.row()["predecessor"], "t2");
}
