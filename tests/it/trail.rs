//! Tests the author and time of a row's last write, which are on the table and nowhere else.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::types::AttributeValue::S;
use serde_json::json;
use shared::domain::Role;
use tests::support::{OWNER, Stored, TestApp, TestProject, TestTable};

use crate::cascade;

/// The present time, in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

/// The author of this row, from its item.
#[track_caller]
fn author(row: &Stored) -> Option<&str> {
    let now = now();
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
    let project = TestApp::new().await.with_project().with_member("mia", Role::Scheduler).await;
    cascade::tie_hub(&project, "hub", 30).await;
    cascade::begin(&project, 1, |project| project.delete("tasks/hub").by("mia")).await;
    let counter = project.counter().await;
    let note = counter.get("unfinished").and_then(|note| note.as_m().ok()).expect("a note");
    assert_eq!(note["by"].as_s().map(String::as_str), Ok("mia"));
    project.patch("", &json!({"name": "Home"})).await.expect(200);
    let stored = project.stored().await;
    let dead: Vec<_> = stored.iter().filter(|(_, row)| row.is_dead()).collect();
    assert_eq!(dead.len(), 121);
    assert!(dead.iter().all(|(_, row)| author(row) == Some("mia")));
    assert_eq!(author(&stored[&format!("projects#{}", project.id)]), Some(OWNER));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_goes_on_when_its_note_does_not_say_any_more_who_asked_for_it() {
    // If older code makes a part of the deletion, it drops the name from the note. An erasure drops it, too.
    let project = TestApp::new().await.with_project().await;
    cascade::tie_hub(&project, "hub", 56).await;
    let table = TestTable::of_this_process().await;
    let update = table.client().await.update_item().table_name(&table.name);
    let update = update.key("project_id", S(project.id.clone())).key("entity", S("_counter".to_owned()));
    let update = update.update_expression("REMOVE unfinished.#by").expression_attribute_names("#by", "by");
    let (commits, handle) = (AtomicUsize::new(0), tokio::runtime::Handle::current());
    let update = Mutex::new(Some(update));
    let forget = move |operation: &str, _: &mut _| {
        let begun = match operation {
            "TransactWriteItems" => commits.fetch_add(1, Ordering::Relaxed) > 1,
            _ => commits.load(Ordering::Relaxed) > 0,
        };
        let update = begun.then(|| update.lock().ok()?.take()).flatten();
        if let Some(update) = update {
            tokio::task::block_in_place(|| handle.block_on(async { update.send().await.map(drop).map_err(Box::new) }))?;
        }
        Ok(())
    };
    let seen = TestApp::on(table, table.seen_by(forget).await).await;
    project.seen_by(seen).delete("tasks/hub").await.expect(204);
    cascade::assert_finished(&project, "hub").await;
}

/// The item as older code leaves it on the table.
pub(crate) async fn unsign(project: &TestProject, entity: &str) {
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
