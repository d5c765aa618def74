//! Tasks over REST.

use serde_json::json;
use tests::support::{OWNER, TestApp};

#[tokio::test]
async fn a_task_is_created_read_changed_and_deleted() {
    let project = TestApp::new().await.with_project().await;
    let created = project.post("tasks", &json!({"name": "Dig"})).await.expect(201);
    let id = created.row()["id"].as_str().expect("an id").to_owned();
    let address = format!("/api/v1/projects/{}/tasks/{id}/", project.id);
    assert_eq!(created.header("location"), Some(address.as_str()));
    let read = project.app.call(axum::http::Method::GET, &address).by(OWNER).await;
    assert_eq!(read.row(), created.row());
    project.assert_dense().await;
    let pull = project.pull(0).await;
    assert_eq!(pull.updated("tasks"), [id]);
}
