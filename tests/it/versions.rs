//! Tests the versions in the table's items.

use serde_json::json;
use shared::domain::{Collection, ColumnVersions, Role, ServerVersion};
use tests::support::{OWNER, TestApp, TestProject};

/// The rows of the latest commit as the counter names them, in the order of their versions.
async fn last(project: &TestProject) -> Vec<(u64, String)> {
    let counter = project.counter().await;
    let last = counter.get("last").expect("last").as_m().expect("a map");
    let version = |value: &aws_sdk_dynamodb::types::AttributeValue| value.as_n().expect("a number").parse::<u64>();
    let mut rows: Vec<_> = last.iter().map(|(key, at)| (version(at).expect("a version"), key.clone())).collect();
    rows.sort_unstable();
    rows
}

#[tokio::test]
async fn versions_are_dense_and_each_is_held_by_one_row_whatever_happens() {
    let setup = TestApp::new().await.with_project().with_tasks(4).with_edge("t1", "t2").with_edge("t2", "t3");
    let project = setup.with_calendar("site").with_member("mia", Role::Member).await;
    project.assert_dense().await;
    for n in 0..5 {
        project.patch("tasks/t1", &json!({"percent_complete": n * 10})).await.expect(200);
        project.patch("", &json!({"calendar": if n % 2 == 0 { json!("site") } else { json!(null) }})).await.expect(200);
    }
    project.delete("tasks/t2").await.expect(204);
    project.refuses(project.post_edge("t1", "t2"), 409, "id_deleted").await;
    project.refuses(project.delete("calendars/site"), 409, "calendar_in_use").await;
    project.remove("mia").await.expect(204);
    project.give("mia", Role::Owner).await.expect(201);
    project.remove(OWNER).await.expect(204);
    project.assert_dense().await;
    project.delete("").by("mia").await.expect(204);
    project.assert_dense().await;
}

#[tokio::test]
async fn a_row_remembers_the_versions_it_held_and_how_many() {
    let project = TestApp::new().await.with_project().with_tasks(2).await;
    for (task, version) in [("t1", 5), ("t2", 6), ("t1", 7)] {
        let patch = project.patch(&format!("tasks/{task}"), &json!({ "notes": version.to_string() }));
        assert_eq!(patch.await.version(), version);
    }
    project.delete("tasks/t1").await.expect(204);
    let stored = project.stored().await;
    assert_eq!(stored["tasks#t1"].versions(), [3, 5, 7, 8]);
    assert_eq!(stored["tasks#t1"].number("writes"), 4);
    assert_eq!(stored["tasks#t2"].versions(), [4, 6]);
    assert_eq!(stored[&format!("projects#{}", project.id)].versions(), [1]);
}

#[tokio::test]
async fn a_row_knows_for_each_field_which_version_changed_it_last() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    project.patch("tasks/t1", &json!({"name": "one"})).await.expect(200);
    project.patch("tasks/t1", &json!({"name": "one", "notes": "x"})).await.expect(200);
    let row = project.stored().await.remove("tasks#t1").expect("the task");
    let current = ServerVersion::try_from(row.number("server_version")).expect("a version");
    let bytes = row.get("changed").expect("changed").as_b().expect("bytes").clone();
    let changed = ColumnVersions::decode(bytes.as_ref(), current).expect("a record");
    for (index, column) in Collection::Tasks.columns().iter().enumerate() {
        let expected = match *column {
            "name" => 4,
            "notes" => 5,
            _ => 3,
        };
        assert_eq!(changed.version_of(index), Some(expected), "{column}");
    }
}

#[tokio::test]
async fn the_counter_names_the_rows_of_the_latest_commit() {
    let project = TestApp::new().await.with_project().await;
    let membership = format!("memberships#{}", project.membership(OWNER));
    assert_eq!(last(&project).await, [(1, format!("projects#{}", project.id)), (2, membership)]);
    for task in ["a", "b"] {
        project.create("tasks", json!({"id": task, "name": task})).await;
    }
    assert_eq!(last(&project).await, [(4, "tasks#b".to_owned())]);
    project.post_edge("a", "b").await.expect(201);
    project.delete("tasks/b").await.expect(204);
    assert_eq!(last(&project).await, [(6, "dependencies#a-b".to_owned()), (7, "tasks#b".to_owned())]);
    assert_eq!(project.current_version().await, 7);
}

#[tokio::test]
async fn a_tombstone_keeps_its_last_content_out_of_the_index() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    let row = project.get("tasks/t1/").await.row();
    project.delete("tasks/t1").await.expect(204);
    let dead = project.stored().await.remove("tasks#t1").expect("the tombstone");
    assert!(dead.is_dead() && dead.get("row").is_none());
    assert_eq!((dead.number("deleted_version"), dead.number("server_version")), (4, 4));
    assert_eq!(dead.content()["name"], row["name"]);
}

#[tokio::test]
async fn a_live_row_is_stored_as_the_device_gets_it() {
    let project = TestApp::new().await.with_project().with_tasks(1).with_calendar("site").await;
    let pull = project.pull(0).await;
    let stored = project.stored().await;
    for (collection, id) in [("tasks", "t1"), ("calendars", "site"), ("projects", project.id.as_str())] {
        assert_eq!(&stored[&format!("{collection}#{id}")].content(), pull.row(collection, id));
    }
}
