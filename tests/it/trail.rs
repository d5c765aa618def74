//! Who wrote a row last, and when: on the table, and nowhere else.

use jiff::Timestamp;
use serde_json::json;
use shared::domain::Role;
use tests::support::{Fault, OWNER, Stored, TestApp, TestProject, TestTable};

use crate::cascade;

/// Who wrote this row, by its item.
#[track_caller]
fn author(row: &Stored) -> Option<&str> {
    let now = u64::try_from(Timestamp::now().as_second()).expect("a clock after 1970");
    assert!((now - 600..=now).contains(&row.number("written_at")), "{row:?}");
    row.get("written_by").map(|user| user.as_s().expect("a text").as_str())
}

#[tokio::test]
async fn each_row_names_who_wrote_it_last_and_no_answer_does() {
    let project = TestApp::new().await.with_project().with_tasks(3).with_member("mia", Role::Scheduler).await;
    assert!(project.stored().await.values().all(|row| author(row) == Some(OWNER)));
    project.patch("tasks/t1", &json!({"name": "Dug"})).by("mia").await.expect(200);
    project.delete("tasks/t2").by("mia").await.expect(204);
    let operation = json!({"method": "POST", "path": "tasks/", "body": {"id": "t4", "name": "Fill"}});
    project.post("batch", &json!({"operations": [operation]})).by("mia").await.expect(200);
    let stored = project.stored().await;
    for (entity, by) in [("tasks#t1", "mia"), ("tasks#t2", "mia"), ("tasks#t3", OWNER), ("tasks#t4", "mia")] {
        assert_eq!(author(&stored[entity]), Some(by), "{entity}");
    }
    let row = project.get("tasks/t1").await.expect(200).text;
    let pull = project.sync("since=0").await.text;
    for answer in [row, pull] {
        assert!(!answer.contains("written_") && answer.contains("Dug"), "{answer}");
    }
    // A reader of the whole item is not confused by it.
    project.patch("tasks/t1", &json!({"name": "Dug up"})).await.expect(200);
    assert_eq!(author(&project.stored().await["tasks#t1"]), Some(OWNER));
}

#[tokio::test]
async fn a_deletion_that_somebody_else_finishes_is_the_write_of_the_one_who_asked_for_it() {
    let app = TestApp::new().await;
    let project = app.with_project().with_member("mia", Role::Scheduler).await;
    cascade::tie_hub(&project, "hub", 20).await;
    let seen =
        TestTable::of_this_process().await.with_faults(|n| if n == 1 { Fault::None } else { Fault::Expired }).await;
    let broken = project.seen_by(TestApp::on(TestTable::of_this_process().await, seen).await);
    broken.delete("tasks/hub").by("mia").await.problem(503, "outcome_unknown");
    let counter = project.counter().await;
    let note = counter.get("unfinished").and_then(|note| note.as_m().ok()).expect("a note");
    assert_eq!(note["by"].as_s().map(String::as_str), Ok("mia"));
    project.patch("", &json!({"name": "Home"})).await.expect(200);
    let stored = project.stored().await;
    let dead: Vec<_> = stored.iter().filter(|(_, row)| row.is_dead()).collect();
    assert_eq!(dead.len(), 161);
    assert!(dead.iter().all(|(_, row)| author(row) == Some("mia")));
    assert_eq!(author(&stored[&format!("projects#{}", project.id)]), Some(OWNER));
}

/// What older code leaves on the table.
pub(crate) async fn unsign(project: &TestProject, entity: &str) {
    use aws_sdk_dynamodb::types::AttributeValue::S;
    let table = TestTable::of_this_process().await;
    let update = table.client().await.update_item().table_name(&table.name);
    let update = update.key("project_id", S(project.id.clone())).key("entity", S(entity.to_owned()));
    update.update_expression("REMOVE written_by, written_at").send().await.expect("an update");
}

#[tokio::test]
async fn a_row_that_older_code_wrote_is_read_and_signed_with_its_next_write() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    unsign(&project, "tasks#t1").await;
    project.get("tasks/t1").await.expect(200);
    assert_eq!(project.pull(0).await.updated("tasks"), ["t1"]);
    project.patch("tasks/t1", &json!({"name": "Dug"})).await.expect(200);
    assert_eq!(author(&project.stored().await["tasks#t1"]), Some(OWNER));
}
