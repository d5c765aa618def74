//! Tests what is the same for every collection: creating, reading, changing and deleting a row.

use axum::http::Method;
use serde_json::{Value, json};
use tests::support::{OWNER, TestApp, TestProject};

/// For each collection a creation, other content for it, and a change.
fn collections() -> [(&'static str, Value, Value, Value); 3] {
    [
        ("tasks", json!({"name": "Dig", "notes": "deep"}), json!({"name": "Fill"}), json!({"name": "Dig deeper"})),
        (
            "dependencies",
            json!({"predecessor": "t1", "successor": "t2"}),
            json!({"predecessor": "t2", "successor": "t1"}),
            json!({"lag": 5}),
        ),
        (
            "calendars",
            json!({"name": "Site", "hours_per_day": 8, "exceptions": [{"start": "2026-12-24", "end": "2026-12-24"}]}),
            json!({"name": "Office"}),
            json!({"hours_per_day": 7.5}),
        ),
    ]
}

async fn project() -> TestProject {
    TestApp::new().await.with_project().with_tasks(2).await
}

fn with_id(body: &Value, id: &str) -> Value {
    let mut body = body.clone();
    body["id"] = json!(id);
    body
}

#[tokio::test]
async fn a_row_is_created_with_the_clients_id_and_its_address_answers() {
    let project = project().await;
    for (collection, body, ..) in collections() {
        for id in ["bVvC2oXCRx4Ts0aL", "0198c8d5-6b1e-7cc0-8f0e-0d8f6b6a1c11", "-", &"x".repeat(64)] {
            let created = project.post(collection, &with_id(&body, id)).await.expect(201);
            assert_eq!(created.row()["id"], id);
            let address = format!("/api/v1/projects/{}/{collection}/{id}/", project.id);
            assert_eq!(created.header("location"), Some(address.as_str()));
            let read = project.app.call(Method::GET, &address).by(OWNER).await;
            assert_eq!(read.row(), created.row());
            project.delete(&format!("{collection}/{id}")).await.expect(204);
        }
    }
}

#[tokio::test]
async fn a_row_without_an_id_gets_one_from_the_server() {
    let project = project().await;
    for (collection, body, ..) in collections() {
        let id = project.create(collection, body).await["id"].as_str().expect("an id").to_owned();
        assert_eq!(id.len(), 36, "a UUID");
        project.get(&format!("{collection}/{id}/")).await.expect(200);
    }
}

#[tokio::test]
async fn the_same_creation_again_answers_200_and_writes_nothing() {
    let project = project().await;
    for (collection, body, ..) in collections() {
        let body = with_id(&body, "again");
        let created = project.post(collection, &body).await.expect(201);
        let repeated = project.writes_nothing(project.post(collection, &body)).await.expect(200);
        assert_eq!(repeated.row(), created.row());
        assert_eq!(repeated.header("location"), None);
    }
}

#[tokio::test]
async fn the_id_of_another_row_is_taken_and_that_of_a_deleted_row_is_not_used_again() {
    let project = project().await;
    for (collection, body, other, change) in collections() {
        let (body, other) = (with_id(&body, "x"), with_id(&other, "x"));
        let row = format!("{collection}/x");
        project.post(collection, &body).await.expect(201);
        project.refuses(project.post(collection, &other), 409, "id_taken").await;
        project.delete(&row).await.expect(204);
        for again in [&body, &other] {
            project.refuses(project.post(collection, again), 409, "id_deleted").await;
        }
        project.refuses(project.patch(&row, &change), 404, "not_found").await;
        project.refuses(project.get(&format!("{row}/")), 404, "not_found").await;
    }
}

#[tokio::test]
async fn a_row_is_deleted_once_and_a_second_time_is_fine() {
    let project = project().await;
    for (collection, body, ..) in collections() {
        project.create(collection, with_id(&body, "x")).await;
        let row = format!("{collection}/x");
        let gone = project.delete(&row).await.expect(204);
        assert!(gone.text.is_empty());
        project.writes_nothing(project.delete(&row)).await.expect(204);
        project.refuses(project.delete(&format!("{collection}/never")), 404, "not_found").await;
        project.refuses(project.get(&format!("{collection}/never/")), 404, "not_found").await;
    }
}

#[tokio::test]
async fn a_change_takes_the_next_version_and_one_that_changes_nothing_takes_none() {
    let project = project().await;
    for (collection, body, _, change) in collections() {
        project.create(collection, with_id(&body, "x")).await;
        let row = format!("{collection}/x");
        let current = project.current_version().await;
        let changed = project.patch(&row, &change).await.expect(200);
        assert_eq!(changed.version(), current + 1);
        for (field, value) in change.as_object().expect("an object") {
            assert_eq!(&changed.row()[field], value);
        }
        for nothing in [change, json!({})] {
            let again = project.writes_nothing(project.patch(&row, &nothing)).await.expect(200);
            assert_eq!(again.row(), changed.row());
        }
    }
}

#[tokio::test]
async fn each_address_works_with_and_without_the_slash_at_its_end() {
    let project = project().await;
    for (collection, body, _, change) in collections() {
        let bare = |method, path: &str| project.call(method, path);
        bare(Method::POST, collection).json(&with_id(&body, "x")).await.expect(201);
        let row = format!("{collection}/x");
        let list = bare(Method::GET, collection).await.expect(200).json();
        assert_eq!(list, project.get(&format!("{collection}/")).await.json());
        assert_eq!(bare(Method::GET, &row).await.row(), project.get(&format!("{row}/")).await.row());
        bare(Method::PATCH, &row).json(&change).await.expect(200);
        bare(Method::DELETE, &row).await.expect(204);
    }
    let project_itself = format!("/api/v1/projects/{}", project.id);
    project.app.call(Method::GET, &project_itself).by(OWNER).await.expect(200);
    let sync = project.app.call_sync(&format!("{project_itself}/sync?since=0")).by(OWNER).await;
    assert_eq!(sync.text, project.sync("since=0").await.text);
}

#[tokio::test]
async fn the_same_id_in_another_collection_or_project_is_another_row() {
    let app = TestApp::new().await;
    for project in [app.with_project().with_tasks(2).await, app.with_project().with_tasks(2).await] {
        for (collection, body, ..) in collections() {
            project.create(collection, with_id(&body, "same")).await;
        }
        project.delete("dependencies/same").await.expect(204);
        project.get("tasks/same/").await.expect(200);
        project.get("calendars/same/").await.expect(200);
    }
}
