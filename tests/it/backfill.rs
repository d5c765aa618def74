//! Tests the backfill after a column was added on the server and older rows lack it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use indicatif::ProgressBar;
use ops::backfill::{self, Options, Report};
use ops::verify::{self, Patience, Verdict};
use serde_json::json;
use shared::domain::Collection;
use shared::storage::Table;
use tests::support::{Device, TestApp, TestProject, TestTable};
use tokio::sync::Notify;

/// Takes a column out of a row's JSON, as if it had been written before the column was there.
async fn strip(project: &TestProject, entity: &str, column: &str) {
    let table = TestTable::of_this_process().await;
    let mut row = project.stored().await[entity].content();
    assert!(row.as_object_mut().expect("an object").remove(column).is_some());
    let update = table.client().await.update_item().table_name(&table.name);
    let update = update
        .key("project_id", AttributeValue::S(project.id.clone()))
        .key("entity", AttributeValue::S(entity.to_owned()))
        .update_expression("SET #row = :row")
        .expression_attribute_names("#row", "row")
        .expression_attribute_values(":row", AttributeValue::S(row.to_string()));
    update.send().await.expect("an update");
}

async fn run(project: &TestProject, table: &Table, collection: Option<Collection>) -> Report {
    let options = Options { project: Some(project.id.parse().expect("an id")), collection, rate: 1_000_000 };
    backfill::run(table, &options, &ProgressBar::hidden()).await.expect("a report")
}

async fn backfill(project: &TestProject) -> Report {
    run(project, &TestTable::of_this_process().await.table().await, None).await
}

async fn audit(project: &TestProject) -> verify::Report {
    let table = TestTable::of_this_process().await.table().await;
    let patience = Patience { readings: 5, pause: Duration::from_millis(20) };
    let id = project.id.parse().expect("an id");
    verify::run(&table, Some(id), patience, &ProgressBar::hidden()).await.expect("a report")
}

#[tokio::test]
async fn a_device_gets_the_default_of_a_column_that_rows_lacked_with_its_next_pull() {
    let project = TestApp::new().await.with_project().with_tasks(70).with_calendar("site").await;
    project.patch("tasks/t3", &json!({"notes": "kept"})).await.expect(200);
    project.delete("tasks/t70").await.expect(204);
    let mut device = Device::default();
    device.synchronize(&project, None).await;
    // There are more rows than one commit writes.
    let old: Vec<String> = (10..70).map(|n| format!("tasks#t{n}")).collect();
    for entity in &old {
        strip(&project, entity, "notes").await;
    }
    strip(&project, "calendars#site", "exceptions").await;
    let report = audit(&project).await;
    assert_eq!(report.verdict, Verdict::Violated);
    assert!(report.to_string().contains("the JSON has no column notes; run `trueppm backfill`"), "{report}");
    let before = project.stored().await;

    let table = TestTable::of_this_process().await.table().await;
    let report = run(&project, &table, Some(Collection::Tasks)).await;
    assert_eq!((report.filled_rows, report.rows, report.exit_code()), (60, 70, 0));
    let report = backfill(&project).await;
    assert_eq!((report.filled_rows, report.left), (1, vec![]));

    let pull = device.synchronize(&project, None).await;
    assert_eq!(pull.len(), 61);
    assert_eq!(pull.row("tasks", "t10")["notes"], "");
    assert_eq!(pull.row("calendars", "site")["exceptions"], "[]");
    assert_eq!(device.rows[&("tasks".to_owned(), "t3".to_owned())]["notes"], "kept");
    assert_eq!(device.rows, project.live_rows().await);
    assert_eq!(pull.checksums, Some(device.checksums()));
    for (entity, row) in project.stored().await {
        let had_all = !old.contains(&entity) && entity != "calendars#site";
        assert_eq!(row == before[&entity], had_all, "{entity}");
    }
    project.assert_dense().await;
    let report = audit(&project).await;
    assert_eq!(report.verdict, Verdict::Sound, "{report}");

    let items = project.items().await;
    assert_eq!(backfill(&project).await.filled_rows, 0);
    assert_eq!(project.items().await, items, "a second run wrote something");
}

#[tokio::test]
async fn a_project_that_is_not_there_is_reported() {
    let nowhere = TestProject { app: TestApp::new().await, id: "nowhere".to_owned() };
    let report = backfill(&nowhere).await;
    assert_eq!((report.projects, report.exit_code(), report.left[0].entity.as_str()), (0, 1, "_counter"));
}

#[tokio::test]
async fn a_row_without_a_default_is_reported_and_left_and_a_deleted_project_is_left_alone() {
    let project = TestApp::new().await.with_project().with_tasks(2).await;
    strip(&project, "tasks#t1", "name").await;
    strip(&project, "tasks#t2", "notes").await;
    let before: BTreeMap<_, _> = project.stored().await;
    let report = backfill(&project).await;
    assert_eq!((report.filled_rows, report.exit_code()), (1, 1));
    let left: Vec<_> = report.left.iter().map(|left| (left.entity.as_str(), left.detail.as_str())).collect();
    assert_eq!(left, [("tasks#t1", "name: is required")]);
    assert_eq!(project.stored().await["tasks#t1"], before["tasks#t1"]);

    let deleted = TestApp::new().await.with_project().with_tasks(1).await;
    strip(&deleted, "tasks#t1", "notes").await;
    deleted.delete("").await.expect(204);
    let items = deleted.items().await;
    assert_eq!(backfill(&deleted).await.deleted_projects, 1);
    assert_eq!(deleted.items().await, items);
    let report = audit(&deleted).await;
    assert_eq!(report.verdict, Verdict::Sound, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_between_reading_and_writing_survives() {
    // The writes come between the page and the commit's own read, and between that read and its transaction.
    for kind in ["BatchGetItem", "TransactWriteItems"] {
        let project = TestApp::new().await.with_project().with_tasks(3).await;
        for n in 1..=3 {
            strip(&project, &format!("tasks#t{n}"), "notes").await;
        }
        let (let_go, go) = mpsc::channel();
        let reached = Arc::new(Notify::new());
        // The first request of the kind is held until it is let go.
        let (held, go, arrived) = (AtomicBool::new(false), Mutex::new(go), Arc::clone(&reached));
        let hold = move |operation: &str, _: &mut _| {
            if operation == kind && !held.swap(true, Ordering::Relaxed) {
                arrived.notify_one();
                let go = go.lock().map_err(|error| error.to_string())?;
                tokio::task::block_in_place(|| go.recv_timeout(Duration::from_secs(60)))?;
            }
            Ok(())
        };
        let table = TestTable::of_this_process().await.seen_by(hold).await;
        let running = tokio::spawn({
            let project = project.clone();
            async move { run(&project, &table, None).await }
        });
        reached.notified().await;
        project.patch("tasks/t1", &json!({"name": "Changed", "notes": "meanwhile"})).await.expect(200);
        project.delete("tasks/t2").await.expect(204);
        let meanwhile = project.stored().await;
        let_go.send(()).expect("the run");
        let report = running.await.expect("a report");

        assert_eq!((report.filled_rows, report.left), (1, vec![]), "{kind}");
        let stored = project.stored().await;
        assert_eq!((&stored["tasks#t1"], &stored["tasks#t2"]), (&meanwhile["tasks#t1"], &meanwhile["tasks#t2"]));
        assert_eq!(stored["tasks#t1"].content()["notes"], "meanwhile");
        assert_eq!(stored["tasks#t3"].content()["notes"], "");
        project.assert_dense().await;
    }
}

#[tokio::test]
async fn versions_that_older_code_dropped_are_archived_so_that_no_pull_reads_the_whole_table_for_them() {
    let project = TestApp::new().await.with_project().with_tasks(3).await;
    for n in 0..300 {
        project.patch("tasks/t1", &json!({"name": format!("Task {n}")})).await.expect(200);
    }
    // Older code leaves it like this: nothing is archived, and the row does not say so.
    let table = TestTable::of_this_process().await;
    let client = table.client().await;
    let key = |entity: &str| {
        let text = |text: &str| Some(AttributeValue::S(text.to_owned()));
        [("project_id", text(&project.id)), ("entity", text(entity))]
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
    };
    let forget = client.update_item().table_name(&table.name).set_key(Some(key("tasks#t1")));
    forget.update_expression("REMOVE archived_from").send().await.expect("an update");
    let dropped = project.items().await;
    let dropped: Vec<&str> =
        dropped.keys().map(String::as_str).filter(|entity| entity.starts_with("_dropped#")).collect();
    assert!(!dropped.is_empty());
    for entity in dropped {
        client.delete_item().table_name(&table.name).set_key(Some(key(entity))).send().await.expect("an answer");
    }
    assert_eq!(project.pull(10).await.path, "strong");

    let report = backfill(&project).await;
    assert!(report.archived_versions > 100 && report.exit_code() == 0, "{report}");
    // It is not known which row held the versions. So this answer is proven up to its mark and carries no checksums.
    let pull = project.pull(10).await;
    assert_ne!(pull.path, "strong");
    assert_eq!((pull.mark, pull.checksums), (305, None));
    let report = audit(&project).await;
    assert_eq!(report.verdict, Verdict::Sound, "{report}");
    let items = project.items().await;
    assert_eq!(backfill(&project).await.archived_versions, 0);
    assert_eq!(project.items().await, items, "a second run wrote something");
}
