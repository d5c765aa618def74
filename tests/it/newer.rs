//! Tests this code beside a newer version of the model on one table, as during a canary or after a roll-back.

use std::time::Duration;

use indicatif::ProgressBar;
use ops::backfill;
use ops::verify::{self, Patience, Verdict};
use serde_json::{Value, json};
use shared::domain::{Collection, CollectionName, ColumnVersions, Role, ServerVersion};
use tests::support::{Device, Pull, TestApp, TestProject, TestTable};

const COLOURED: &str = r#"{"colour":"red","sizes":"[{\"b\": 1,\"a\":2}]","price":1.50}"#;

async fn project() -> TestProject {
    let setup =
        TestApp::new().await.beside_newer().with_project().with_tasks(3).with_edge("t1", "t2").with_calendar("site");
    setup.with_member("mia", Role::Member).await
}

/// The text of a row on the table, live or dead.
async fn text(project: &TestProject, entity: &str) -> String {
    let row = project.stored().await.remove(entity).expect("a row");
    let text = row.get(if row.is_dead() { "deleted_row" } else { "row" }).and_then(|text| text.as_s().ok());
    text.expect("text").clone()
}

async fn audit(project: &TestProject) -> verify::Report {
    let table = TestTable::of_this_process().await.table().await;
    let patience = Patience { readings: 5, pause: Duration::from_millis(20) };
    let id = project.id.parse().expect("an id");
    verify::run(&table, Some(id), patience, &ProgressBar::hidden()).await.expect("a report")
}

/// One `synchronize()` of an app that knows the columns and collections of the newer version.
async fn synchronize(device: &mut Device, project: &TestProject) -> Pull {
    let pull = Pull::with_newer(&project.sync(&format!("since={}", device.mark)).await);
    device.apply(&pull);
    pull
}

#[tokio::test]
async fn columns_of_a_newer_version_are_shown_and_survive_every_write_verbatim() {
    let project = project().await;
    project.newer_writes("tasks#t1", json!({}), COLOURED).await;
    let tail = format!(",{}", &COLOURED[1..]);
    let row = project.get("tasks/t1/").await.expect(200);
    assert!(row.text.ends_with(&tail), "{}", row.text);
    let listed = project.get("tasks/").await.expect(200).json();
    assert_eq!(listed["results"][0]["sizes"], json!("[{\"b\": 1,\"a\":2}]"), "as it stands, and not nested again");
    let mut device = Device::default();
    synchronize(&mut device, &project).await;
    let patched = project.patch("tasks/t1", &json!({"percent_complete": 10})).await.expect(200);
    assert!(patched.text.ends_with(&tail), "{}", patched.text);
    assert!(text(&project, "tasks#t1").await.ends_with(&tail));
    let pull = synchronize(&mut device, &project).await;
    let row = pull.row("tasks", "t1");
    assert_eq!((&row["colour"], &row["percent_complete"]), (&json!("red"), &json!(10)));
    let batch = json!({"operations": [{"method": "PATCH", "path": "tasks/t1", "body": {"notes": "x"}}]});
    project.post("batch", &batch).await.expect(200);
    assert!(text(&project, "tasks#t1").await.ends_with(&tail));
    assert_eq!(audit(&project).await.verdict, Verdict::Sound);
    project.delete("tasks/t1").await.expect(204);
    assert!(text(&project, "tasks#t1").await.ends_with(&tail), "a tombstone keeps the last content");
}

#[tokio::test]
async fn a_base_version_covers_the_columns_of_a_newer_version() {
    let project = project().await;
    let first = project.newer_writes("tasks#t1", json!({}), r#"{"colour":"red","size":1}"#).await;
    let second = project.newer_writes("tasks#t1", json!({"notes": "n"}), r#"{"colour":"red","size":2}"#).await;
    let patched = project.patch("tasks/t1", &json!({"duration": 9})).based_on(first).await.expect(200);
    assert_eq!(patched.header("x-merged-concurrent-fields"), Some("notes, size"));
    let patched = project.patch("tasks/t1", &json!({"duration": 8})).based_on(patched.version()).await.expect(200);
    assert_eq!(patched.header("x-merged-concurrent-fields"), None);
    let patched = project.patch("tasks/t1", &json!({"percent_complete": 7})).based_on(first - 1).await.expect(200);
    assert_eq!(patched.header("x-merged-concurrent-fields"), Some("duration, notes, colour, size"));
    let row = project.stored().await.remove("tasks#t1").expect("the task");
    let current = ServerVersion::try_from(row.number("server_version")).expect("a version");
    let bytes = row.get("changed").expect("changed").as_b().expect("bytes").clone();
    let changed = ColumnVersions::decode(bytes.as_ref(), current).expect("versions");
    let known = Collection::Tasks.columns().len();
    let unknown = [known, known + 1, known + 2].map(|index| changed.version_of(index));
    assert_eq!(unknown, [Some(first), Some(second), None]);
    // No caller of this code may set a column that it cannot check.
    project.refuses_fields(project.patch("tasks/t1", &json!({"colour": "blue"})), &["colour"]).await;
}

#[tokio::test]
async fn rows_of_a_collection_of_a_newer_version_pass_through_pulls_and_commits_and_are_counted() {
    let project = project().await;
    let mut device = Device::default();
    synchronize(&mut device, &project).await;
    project.newer_writes("notes#n1", json!({}), r#"{"text":"one"}"#).await;
    project.newer_writes("notes#n2", json!({}), r#"{"text":"two"}"#).await;
    let pull = synchronize(&mut device, &project).await;
    assert_eq!(pull.row("notes", "n1")["text"], "one");
    assert_eq!(pull.checksums, Some(device.checksums()));
    // The latest commit's rows become conditions of the next one.
    project.newer_deletes("notes#n2").await;
    project.patch("tasks/t1", &json!({"notes": "x"})).await.expect(200);
    project.post("tasks", &json!({"id": "t4", "name": "new"})).await.expect(201);
    project.newer_writes("aaa#n", json!({}), "{}").await;
    project.delete("tasks/t2").await.expect(204);
    let pull = synchronize(&mut device, &project).await;
    assert_eq!((pull.deleted("notes"), pull.updated("aaa")), (vec!["n2"], vec!["n"]));
    let idle = synchronize(&mut device, &project).await;
    assert_eq!((idle.path.as_str(), &idle.checksums), ("unchanged", &Some(device.checksums())));
    let notes: CollectionName = "notes".parse().expect("a name");
    assert_eq!(idle.checksums.expect("checksums").get(notes)[0], 1);
    let mut new = Device::default();
    synchronize(&mut new, &project).await;
    assert_eq!(new.rows, device.rows);
    assert_eq!(audit(&project).await.verdict, Verdict::Sound);
    assert_eq!(audit(&project).await.counts.live["notes"], 1);
}

#[tokio::test]
async fn who_is_removed_forgets_the_rows_of_a_collection_of_a_newer_version_too() {
    let project = project().await;
    project.newer_writes("notes#n1", json!({}), r#"{"text":"one"}"#).await;
    let by_mia = |since: u64| project.sync(&format!("since={since}")).by("mia");
    let mut device = Device::default();
    device.apply(&Pull::with_newer(&by_mia(0).await));
    project.remove("mia").await.expect(204);
    let wipe = Pull::with_newer(&by_mia(device.mark).await);
    assert_eq!(wipe.deleted("notes"), ["n1"]);
    device.apply(&wipe);
    assert!(device.rows.is_empty(), "{:?}", device.rows);
}

#[tokio::test]
async fn a_backfill_leaves_alone_what_a_newer_version_wrote() {
    let project = project().await;
    project.newer_writes("notes#n1", json!({}), r#"{"text":"one"}"#).await;
    project.newer_writes("tasks#t1", json!({"status": "BLOCKED"}), COLOURED).await;
    let before = project.current_version().await;
    let table = TestTable::of_this_process().await.table().await;
    let id = project.id.parse().expect("an id");
    let options = backfill::Options { project: Some(id), collection: None, rate: 1_000_000 };
    let report = backfill::run(&table, &options, &ProgressBar::hidden()).await.expect("a report");
    assert_eq!((report.left, report.filled_rows, project.current_version().await), (vec![], 0, before));
}

#[tokio::test]
async fn a_value_that_only_a_newer_version_allows_fails_no_reading_and_no_patch_of_another_field() {
    let project = project().await;
    project.newer_writes("tasks#t1", json!({"status": "BLOCKED", "percent_complete": 150}), "{}").await;
    assert_eq!(project.get("tasks/t1/").await.expect(200).json()["status"], "BLOCKED");
    project.get("tasks/").await.expect(200);
    assert_eq!(Pull::with_newer(&project.sync("since=0").await).row("tasks", "t1")["status"], "BLOCKED");
    let patched = project.patch("tasks/t1", &json!({"name": "new"})).await.expect(200).json();
    assert_eq!((&patched["name"], &patched["status"]), (&json!("new"), &json!("BLOCKED")));
    assert_eq!(patched["percent_complete"], 150);
    project.refuses_fields(project.patch("tasks/t1", &json!({"status": "BLOCKED"})), &["status"]).await;
    let patched = project.patch("tasks/t1", &json!({"status": "NOT_STARTED"})).await.expect(200).json();
    assert_eq!((&patched["status"], &patched["percent_complete"]), (&json!("NOT_STARTED"), &json!(150)));
    project.refuses(project.post("tasks", &json!({"id": "t1", "name": "other"})), 409, "id_taken").await;
}

#[tokio::test]
async fn an_edge_of_a_type_of_a_newer_version_is_no_duplicate_and_closes_cycles_like_any_other() {
    let project = project().await;
    project.newer_writes("dependencies#t1-t2", json!({"dep_type": "XX"}), "{}").await;
    project.refuses(project.post_edge("t2", "t1"), 409, "dependency_cycle").await;
    let same_ends = json!({"id": "e", "predecessor": "t1", "successor": "t2"});
    project.post("dependencies", &same_ends).await.expect(201);
    project.patch("dependencies/t1-t2", &json!({"lag": 3})).await.expect(200);
    assert!(text(&project, "dependencies#t1-t2").await.contains(r#""dep_type":"XX","lag":3"#));
    project.delete("tasks/t2").await.expect(204);
    assert!(project.stored().await["dependencies#t1-t2"].is_dead());
}

#[tokio::test]
async fn a_role_of_a_newer_version_may_what_the_role_below_it_may() {
    let project = project().await;
    let mia = format!("memberships#{}", project.membership("mia"));
    project.newer_writes(&mia, json!({"role": 150}), "{}").await;
    project.patch("tasks/t1", &json!({"notes": "hers"})).by("mia").await.expect(200);
    project.refuses(project.delete("dependencies/t1-t2").by("mia"), 403, "role_too_low").await;
    project.sync("since=0").by("mia").await.expect(200);
    let changed: Value = project.change("mia", Role::Member).await.expect(200).json();
    assert_eq!(changed["role"], 100, "150 stood for it, and is replaced");
}
