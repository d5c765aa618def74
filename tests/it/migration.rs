//! Tests a device whose app has new columns or collections.

use serde_json::{Value, json};
use shared::domain::Role;
use tests::support::{Call, Device, Pull, TestApp, TestProject};

fn sync(project: &TestProject, since: u64, migration: &Value, more: &str) -> Call {
    let migration: String = migration.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    project.sync(&format!("since={since}&schema_version=2&migration={migration}{more}"))
}

/// The parameter that WatermelonDB sends after the app got the column `notes`.
fn new_column() -> Value {
    json!({"from": 1, "tables": [], "columns": [{"table": "tasks", "columns": ["notes"]}]})
}

#[tokio::test]
async fn a_migration_that_names_something_served_brings_everything_whatever_the_mark() {
    let project = TestApp::new().await.with_project().with_tasks(3).await;
    project.delete("tasks/t3").await.expect(204);
    let mut device = Device::default();
    device.synchronize(&project, None).await;
    let full = project.sync("since=0").await;
    for since in [device.mark, device.mark - 1, 1] {
        for migration in [new_column(), json!({"from": 1, "tables": ["tasks"], "columns": []})] {
            assert_eq!(sync(&project, since, &migration, "").await.text, full.text, "{since} {migration}");
        }
    }
}

#[tokio::test]
async fn unknown_names_and_no_migration_at_all_make_an_ordinary_pull() {
    let project = TestApp::new().await.with_project().with_tasks(2).await;
    let mark = project.current_version().await;
    for migration in [
        Value::Null,
        json!({"from": 1, "tables": ["drafts"], "columns": [{"table": "tasks", "columns": ["colour"]}]}),
        json!({"from": 3, "tables": [], "columns": []}),
    ] {
        let idle = Pull::of(&sync(&project, mark, &migration, "").await);
        assert_eq!((idle.mark, idle.len(), idle.path.as_str()), (mark, 0, "unchanged"), "{migration}");
    }
}

#[tokio::test]
async fn an_invalid_migration_is_named() {
    let project = TestApp::new().await.with_project().await;
    for text in [
        "",
        "%7B",
        "x",
        "%5B%5D",
        "1",
        "%7B%22tables%22:1%7D",
        "%7B%22columns%22:%5B%22a%22%5D%7D",
        "null&migration=null",
    ] {
        let call = project.sync(&format!("since=1&migration={text}"));
        let answer = project.refuses(call, 400, "invalid_parameter").await;
        assert_eq!(answer.fields(), ["migration"], "{text}");
    }
}

#[tokio::test]
async fn a_migrations_pages_may_begin_below_the_mark_and_ordinary_pulls_bring_the_rest() {
    let project = TestApp::new().await.with_project().with_tasks(8).with_edge("t1", "t2").await;
    let mut device = Device::default();
    device.synchronize(&project, None).await;
    let before = device.mark;
    // The column is added, and the device's rows lack it.
    device.rows.values_mut().for_each(|row| drop(row.as_object_mut().expect("a row").remove("notes")));
    let page = Pull::of(&sync(&project, before, &new_column(), "&limit=4").await);
    assert!(page.has_more && page.mark < before && page.checksums.is_none());
    device.apply(&page);
    project.delete("tasks/t7").await.expect(204);
    while device.synchronize(&project, Some(4)).await.has_more {}
    assert_eq!(device.rows, project.live_rows().await);
}

#[tokio::test]
async fn a_migration_excuses_neither_a_mark_ahead_of_the_server_nor_a_removal_nor_a_deletion() {
    let project = TestApp::new().await.with_project().with_member("mia", Role::Member).await;
    let mark = project.current_version().await;
    project.refuses(sync(&project, mark + 1, &new_column(), ""), 409, "since_ahead_of_server").await;
    project.refuses(sync(&project, mark, &new_column(), "").by("eve"), 403, "not_a_member").await;
    project.remove("mia").await.expect(204);
    project.refuses(sync(&project, mark + 1, &new_column(), "").by("mia"), 403, "membership_revoked").await;
    assert_eq!(Pull::of(&sync(&project, mark, &new_column(), "").by("mia").await).path, "wiped");
    project.delete("").await.expect(204);
    let end = project.current_version().await;
    let wiped = Pull::of(&sync(&project, end, &new_column(), "").await);
    assert_eq!((wiped.mark, wiped.len()), (end, 0));
}
