//! Tests rows that are written so often that their version histories drop versions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use shared::domain::ArchivedVersions;
use tests::support::{Device, TestApp, TestProject, TestTable};

use crate::batch::{batch, task};

/// A project in which a version history takes this many bytes.
async fn with_short_lists(max_history_bytes: usize) -> TestProject {
    let table = TestTable::of_this_process().await;
    let seen = table.table().await.with_max_history_bytes(max_history_bytes);
    TestApp::on(table, seen).await.with_project().with_tasks(3).await
}

async fn write(project: &TestProject, task: &str, times: u64) {
    for n in 0..times {
        project.patch(&format!("tasks/{task}"), &json!({"notes": format!("{task} {n}")})).await.expect(200);
    }
}

/// The archive: for each item its newest version and all its versions.
async fn archive(project: &TestProject) -> Vec<(u64, BTreeSet<u64>)> {
    let items = project.items().await.into_iter().filter_map(|(entity, item)| {
        let newest: u64 = entity.strip_prefix("_dropped#")?.parse().expect("a version");
        assert!(item.get("server_version").is_none() && item.get("user_id").is_none(), "{entity} is in an index");
        let bytes = item.get("versions").expect("versions").as_b().expect("bytes");
        let archived = ArchivedVersions::decode(None, newest.try_into().expect("a version"), bytes.as_ref());
        Some((newest, archived.expect("an archive").versions().iter().map(|version| version.get()).collect()))
    });
    items.collect()
}

/// Pulls to the end in pages of this size, and compares. The first read must prove each page.
async fn pull_in_pages(project: &TestProject, mut device: Device, limit: Option<usize>) {
    loop {
        let pull = device.synchronize(project, limit).await;
        assert_eq!(pull.path, "first_read", "limit {limit:?}, {}", pull.mark);
        if !pull.has_more {
            assert_eq!(device.rows, project.live_rows().await, "limit {limit:?}");
            assert_eq!(pull.checksums, Some(device.checksums()));
            return;
        }
    }
}

#[tokio::test]
async fn a_row_written_many_hundred_times_is_pulled_by_the_first_reading_of_the_index() {
    let project = TestApp::new().await.with_project().with_tasks(3).await;
    let mut devices = vec![Device::default()];
    for _ in 0..7 {
        let mut device = devices.last().expect("one").clone();
        device.synchronize(&project, None).await;
        devices.push(device);
        write(&project, "t2", 90).await;
        write(&project, "t1", 1).await;
    }
    assert!(archive(&project).await.len() >= 3);
    for device in devices {
        for limit in [None, Some(1), Some(2)] {
            pull_in_pages(&project, device.clone(), limit).await;
        }
    }
    // The sum proves a first pull without the archive. Another pull reads the archive once.
    for (since, calls) in [(0, "2 calls"), (5, "3 calls"), (200, "3 calls"), (635, "2 calls")] {
        let answer = project.sync(&format!("since={since}")).await;
        let timing = answer.header("server-timing").expect("Server-Timing");
        assert!(timing.contains(calls) && timing.contains("first_read"), "{since}: {timing}");
    }
}

#[tokio::test]
async fn a_batch_of_98_full_lists_fits_a_transaction_and_leaves_everything_provable() {
    let project = with_short_lists(5).await;
    batch(&project, (0..98).map(|n| task(&format!("b{n}"))).collect::<Vec<_>>()).await.expect(200);
    let mut devices = vec![Device::default()];
    for round in 0..9 {
        let mut device = devices.last().expect("one").clone();
        device.synchronize(&project, None).await;
        devices.push(device);
        let patch =
            |n| json!({"method": "PATCH", "path": format!("tasks/b{n}/"), "body": {"notes": format!("{round}")}});
        batch(&project, (0..98).map(patch).collect::<Vec<Value>>()).await.expect(200);
    }
    assert!(archive(&project).await.len() >= 2 * 98);
    for device in devices {
        for limit in [None, Some(40)] {
            pull_in_pages(&project, device.clone(), limit).await;
        }
    }
}

/// An app whose calls of one operation can be made to fail before they reach the table.
async fn failing(operation: &'static str) -> (TestProject, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&fails);
    let table = TestTable::of_this_process().await;
    let look = move |name: &str, _: &mut _| {
        if name == operation && told.load(Ordering::Relaxed) { Err("not sent".into()) } else { Ok(()) }
    };
    let seen = table.seen_by(look).await.with_max_history_bytes(6);
    (TestApp::on(table, seen).await.with_project().with_tasks(3).await, fails)
}

#[tokio::test]
async fn a_commit_whose_versions_cannot_be_archived_writes_nothing() {
    let (project, fails) = failing("BatchWriteItem").await;
    write(&project, "t1", 5).await;
    fails.store(true, Ordering::Relaxed);
    assert!(archive(&project).await.is_empty());
    let refused = project.refuses(project.patch("tasks/t1", &json!({"notes": "x"})), 503, "unavailable").await;
    assert!(refused.header("retry-after").is_some());
    write(&project, "t2", 1).await;
    fails.store(false, Ordering::Relaxed);
    write(&project, "t1", 1).await;
    assert_eq!(archive(&project).await.len(), 1);
}

#[tokio::test]
async fn versions_are_archived_before_the_commit_and_the_one_that_it_replaces_is_not_among_them() {
    let (project, fails) = failing("TransactWriteItems").await;
    write(&project, "t1", 5).await;
    let mut device = Device::default();
    device.synchronize(&project, None).await;
    assert!(archive(&project).await.is_empty());
    let before = project.stored().await;
    fails.store(true, Ordering::Relaxed);
    let answer = project.patch("tasks/t1", &json!({"notes": "x"})).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    // The caller got no further than this. The archived versions are true nevertheless.
    assert_eq!(project.stored().await, before);
    let archived = archive(&project).await;
    let versions: BTreeSet<u64> = archived.iter().flat_map(|(_, versions)| versions.clone()).collect();
    let held: BTreeSet<u64> = before["tasks#t1"].versions().into_iter().collect();
    let current = before["tasks#t1"].number("server_version");
    assert!(
        !versions.is_empty() && versions.is_subset(&held) && !versions.contains(&current),
        "{versions:?}, {held:?}"
    );
    pull_in_pages(&project, Device::default(), Some(1)).await;
    fails.store(false, Ordering::Relaxed);
    write(&project, "t1", 20).await;
    pull_in_pages(&project, device, None).await;
    pull_in_pages(&project, Device::default(), Some(1)).await;
}

#[tokio::test]
async fn a_row_says_from_where_on_it_is_archived_and_one_that_older_code_has_written_says_so_anew() {
    let project = with_short_lists(6).await;
    write(&project, "t1", 12).await;
    let row = project.stored().await.remove("tasks#t1").expect("the row");
    assert_eq!(row.number("archived_from"), 0);
    assert!(project.stored().await["tasks#t2"].get("archived_from").is_none());
    project.forget("tasks#t1", "archived_from").await;
    write(&project, "t1", 12).await;
    let row = project.stored().await.remove("tasks#t1").expect("the row");
    assert!((10..20).contains(&row.number("archived_from")), "{row:?}");
}

#[tokio::test]
async fn an_archive_is_no_row_of_the_project() {
    let project = with_short_lists(6).await;
    write(&project, "t1", 20).await;
    assert!(!archive(&project).await.is_empty());
    let list = project.get("tasks/").await.expect(200).json();
    assert_eq!(list["results"].as_array().map(Vec::len), Some(3));
    project.delete("").await.expect(204);
    let wipe = project.pull(3).await;
    assert_eq!((wipe.path.as_str(), wipe.len()), ("wiped", project.stored().await.len()));
}
