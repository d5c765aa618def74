//! Tests the checksums with which a device checks itself.

use serde_json::{Value, json};
use shared::domain::{Checksums, Collection, Role, RowKey};
use tests::support::{Device, Pull, TestApp, TestProject};

/// A project with live and dead rows of every collection.
async fn project() -> TestProject {
    let setup = TestApp::new().await.with_project().with_tasks(4).with_edge("t1", "t2").with_edge("t3", "t4");
    let setup = setup.with_calendar("site").with_calendar("spare").with_member("mia", Role::Member);
    let project = setup.with_member("vic", Role::Viewer).await;
    project.delete("tasks/t4").await.expect(204);
    project.delete("calendars/spare").await.expect(204);
    project.remove("vic").await.expect(204);
    project.patch("tasks/t2", &json!({"name": "two"})).await.expect(200);
    project
}

/// The checksums, computed from the lists of REST.
async fn listed(project: &TestProject) -> Checksums {
    let mut checksums = Checksums::default();
    for collection in Collection::ALL {
        let rows = match collection {
            Collection::Projects => vec![project.get("").await.row()],
            _ => {
                let list = project.get(&format!("{}/?limit=1000", collection.name())).await.expect(200).json();
                list["results"].as_array().expect("an array").clone()
            }
        };
        for row in rows {
            let id: String = row["id"].as_str().expect("an id").to_owned();
            let version = row["server_version"].as_u64().and_then(|version| version.try_into().ok());
            checksums.add(&RowKey::new(collection, id.parse().expect("an id")), version.expect("a version"));
        }
    }
    checksums
}

#[tokio::test]
async fn a_snapshot_carries_the_checksums_of_the_live_rows_and_an_idle_pull_does_too() {
    let project = project().await;
    let mut device = Device::default();
    let full = device.synchronize(&project, None).await;
    assert_eq!(full.checksums, Some(listed(&project).await));
    assert_eq!(full.checksums, Some(device.checksums()));
    let live = Collection::ALL.map(|collection| full.checksums.as_ref().expect("checksums").get(collection)[0]);
    assert_eq!(live, [1, 3, 1, 1, 2]);
    let idle = device.synchronize(&project, None).await;
    assert_eq!((idle.path.as_str(), &idle.checksums), ("unchanged", &full.checksums));
    let turbo = Pull::of(&project.sync("since=0&turbo=true").await);
    assert_eq!(turbo.checksums, full.checksums);
}

#[tokio::test]
async fn each_write_takes_the_old_row_out_and_the_new_one_in() {
    let project = project().await;
    let mut device = Device::default();
    device.synchronize(&project, None).await;
    let body = json!({"id": "t9", "name": "nine"});
    for call in [
        project.post("tasks", &body),
        project.patch("tasks/t9", &json!({"notes": "n"})),
        project.post_edge("t9", "t1"),
        project.delete("tasks/t9"),
        project.patch("", &json!({"calendar": "site"})),
        project.give("vic", Role::Viewer),
        project.change("mia", Role::Admin),
        project.remove("mia"),
    ] {
        let before = device.checksums();
        assert!(call.await.status < 300);
        let pull = device.synchronize(&project, None).await;
        assert_eq!(pull.checksums, Some(device.checksums()));
        assert_ne!(pull.checksums, Some(before));
        assert_eq!(pull.checksums, Some(listed(&project).await));
    }
}

#[tokio::test]
async fn a_page_has_none_but_counts_rows_and_the_last_one_has_those_of_the_whole() {
    let project = project().await;
    let rows = project.live_rows().await.len() as u64;
    let mut device = Device::default();
    loop {
        let page = device.synchronize(&project, Some(3)).await;
        assert_eq!(page.checksums.is_none(), page.has_more);
        assert_eq!(page.row_counts, page.has_more.then_some(rows));
        if !page.has_more {
            assert_eq!(page.checksums, Some(listed(&project).await));
            return;
        }
    }
}

#[tokio::test]
async fn one_who_is_told_to_forget_everything_gets_none() {
    let project = project().await;
    project.remove("mia").await.expect(204);
    let wipe: Value = project.sync("since=1").by("mia").await.expect(200).json();
    assert_eq!(wipe.get("checksum"), None);
    project.delete("").await.expect(204);
    let end = project.current_version().await;
    for since in [0, 1, end] {
        let wipe: Value = project.sync(&format!("since={since}")).await.expect(200).json();
        assert_eq!(wipe.get("checksum"), None);
    }
}
