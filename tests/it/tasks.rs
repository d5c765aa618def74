//! Tests tasks.

use serde_json::{Value, json};
use tests::support::{OWNER, TestApp};

#[tokio::test]
async fn every_field_of_a_task_has_a_default_except_its_name() {
    let project = TestApp::new().await.with_project().await;
    let task = project.create("tasks", json!({"id": "dig", "name": "Dig"})).await;
    let expected = json!({"id": "dig", "server_version": 3, "project": project.id, "name": "Dig", "wbs_path": null,
        "duration": 1, "percent_complete": 0, "notes": "", "planned_start": null, "status": "NOT_STARTED",
        "is_milestone": false, "assignee": null, "optimistic_duration": null, "most_likely_duration": null,
        "pessimistic_duration": null});
    assert_eq!(task, expected);
}

#[tokio::test]
async fn every_field_of_a_task_is_kept_as_it_was_sent() {
    let project = TestApp::new().await.with_project().await;
    let fields = json!({"name": "Däch \"decken\" \\ 🏠\n", "wbs_path": "3.2", "duration": 9, "percent_complete": 40,
        "notes": "\u{1}\t\u{7f}\u{2028}", "planned_start": "2028-02-29", "status": "IN_PROGRESS", "is_milestone": false,
        "assignee": OWNER, "optimistic_duration": 7, "most_likely_duration": 9, "pessimistic_duration": 16});
    let row = project.create("tasks", fields.clone()).await;
    let id = row["id"].as_str().expect("an id");
    for (name, value) in fields.as_object().expect("an object") {
        assert_eq!(&row[name], value, "{name}");
    }
    assert_eq!(project.get(&format!("tasks/{id}/")).await.row(), row);
    assert_eq!(project.pull(0).await.row("tasks", id), &row);
}

#[tokio::test]
async fn a_milestone_is_a_task_without_duration() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    let milestone = project.create("tasks", json!({"name": "Keys", "is_milestone": true})).await;
    assert_eq!(milestone["duration"], 0);
    let milestone = project.create("tasks", json!({"name": "Keys", "duration": 0})).await;
    assert_eq!(milestone["is_milestone"], true);
    for (patch, duration) in [
        (json!({"duration": 0}), 0),
        (json!({"duration": 4}), 4),
        (json!({"is_milestone": true}), 0),
        (json!({"duration": 2, "is_milestone": false}), 2),
        (json!({"duration": 0, "is_milestone": true}), 0),
    ] {
        let row = project.patch("tasks/t1", &patch).await.row();
        assert_eq!((&row["duration"], &row["is_milestone"]), (&json!(duration), &json!(duration == 0)), "{patch}");
    }
    for patch in [json!({"duration": 1, "is_milestone": true}), json!({"is_milestone": false})] {
        project.refuses_fields(project.patch("tasks/t1", &patch), &["is_milestone"]).await;
    }
}

#[tokio::test]
async fn estimates_rise_from_optimistic_to_pessimistic_after_a_patch_too() {
    let project = TestApp::new().await.with_project().await;
    let estimates = json!({"id": "t", "name": "Roof", "optimistic_duration": 7, "pessimistic_duration": 16});
    project.create("tasks", estimates).await;
    let patch = |field: &str, days: Value| project.patch("tasks/t", &json!({ field: days }));
    project.refuses_fields(patch("most_likely_duration", json!(6)), &["most_likely_duration"]).await;
    project.refuses_fields(patch("most_likely_duration", json!(17)), &["pessimistic_duration"]).await;
    assert_eq!(patch("most_likely_duration", json!(9)).await.row()["most_likely_duration"], 9);
    assert_eq!(patch("pessimistic_duration", json!(null)).await.row()["pessimistic_duration"], Value::Null);
}

#[tokio::test]
async fn a_task_is_assigned_to_members_only_and_stays_with_one_who_leaves() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    let assign = |user: Value| project.patch("tasks/t1", &json!({ "assignee": user }));
    project.refuses_fields(assign(json!("mia")), &["assignee"]).await;
    project.refuses_fields(project.post("tasks", &json!({"name": "x", "assignee": "mia"})), &["assignee"]).await;
    project.create("memberships", json!({"user": "mia", "role": 100})).await;
    assert_eq!(assign(json!("mia")).await.row()["assignee"], "mia");
    project.delete(&format!("memberships/{}", project.membership("mia"))).await.expect(204);
    assert_eq!(project.get("tasks/t1/").await.row()["assignee"], "mia");
    let renamed = json!({"name": "Dig deeper", "assignee": "mia"});
    assert_eq!(project.patch("tasks/t1", &renamed).await.row()["name"], "Dig deeper");
    assert_eq!(assign(json!(null)).await.row()["assignee"], Value::Null);
    project.refuses_fields(assign(json!("mia")), &["assignee"]).await;
}

#[tokio::test]
async fn a_tasks_project_and_version_are_read_only() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    for field in ["id", "project", "server_version"] {
        let value = if field == "server_version" { json!(3) } else { json!("t1") };
        project.refuses_fields(project.patch("tasks/t1", &json!({ field: value })), &[field]).await;
    }
    let body = json!({"name": "x", "server_version": 3, "project": "p"});
    project.refuses_fields(project.post("tasks", &body), &["project", "server_version"]).await;
}
