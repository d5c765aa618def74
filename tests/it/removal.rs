//! Tests the answers to a device after its user was removed, or after the project was deleted.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;
use shared::domain::{Mark, Role};
use tests::support::{Device, Pull, TestApp, TestProject, TestTable};

async fn project() -> TestProject {
    let setup = TestApp::new().await.with_project().with_tasks(3).with_edge("t1", "t2").with_calendar("site");
    setup.with_member("mia", Role::Member).with_member("vic", Role::Viewer).await
}

async fn pull(project: &TestProject, user: &str, query: &str) -> Pull {
    Pull::of(&project.sync(query).by(user).await)
}

#[tokio::test]
async fn one_who_was_removed_gets_every_id_as_a_tombstone_and_then_is_told_so() {
    let project = project().await;
    let mut device = Device::default();
    device.apply(&pull(&project, "mia", "since=0").await);
    assert!(!device.rows.is_empty());
    project.delete("tasks/t3").await.expect(204);
    project.remove("mia").await.expect(204);
    let removed_at = project.current_version().await;
    let known = project.stored().await.len();
    project.create("tasks", json!({"id": "later", "name": "x"})).await;
    project.patch("tasks/later", &json!({"name": "secret"})).await.expect(200);
    project.patch("tasks/t1", &json!({"name": "known, and changed since"})).await.expect(200);
    project.give("mallory", Role::Viewer).await.expect(201);

    let query = format!("since={}", device.mark);
    let wipe = pull(&project, "mia", &query).await;
    assert_eq!((wipe.mark, wipe.has_more, wipe.path.as_str()), (removed_at, false, "wiped"));
    assert!(wipe.versions().is_empty(), "no row is shown any more");
    assert_eq!(wipe.len(), known, "dead rows too, and none that was made later");
    assert!(!wipe.deleted("tasks").contains(&"later"));
    assert!(wipe.deleted("tasks").contains(&"t1"));
    device.apply(&wipe);
    assert!(device.rows.is_empty());
    // A device that holds nothing has nothing to forget either.
    for since in [0, removed_at, removed_at + 1, 1_000] {
        let call = project.sync(&format!("since={since}")).by("mia");
        project.refuses(call, 403, "membership_revoked").await;
    }
    // A device that never received the wipe gets it again.
    assert_eq!(pull(&project, "mia", &query).await.len(), wipe.len());
    project.refuses(project.sync("since=0&turbo=true").by("mia"), 403, "membership_revoked").await;
}

#[tokio::test]
async fn one_who_was_removed_is_told_no_later_row_however_often_it_was_written() {
    let table = TestTable::of_this_process().await;
    let app = TestApp::on(table, table.table().await.with_max_history_bytes(4)).await;
    let project = app.with_project().with_tasks(2).with_member("mia", Role::Member).await;
    let mark = project.pull(0).await.mark;
    project.remove("mia").await.expect(204);
    project.create("tasks", json!({"id": "later", "name": "x"})).await;
    for n in 0..12 {
        for task in ["t1", "later"] {
            project.patch(&format!("tasks/{task}"), &json!({"notes": n.to_string()})).await.expect(200);
        }
    }
    let wipe = pull(&project, "mia", &format!("since={mark}")).await;
    assert_eq!(wipe.deleted("tasks"), ["t1", "t2"]);
    // Code from before the archive has dropped versions, so nobody knows since when the row exists.
    let archives: Vec<String> = project.items().await.into_keys().filter(|key| key.starts_with("_dropped#")).collect();
    assert!(archives.len() > 2);
    for entity in archives {
        let delete = app.look_into().delete_item().table_name(&table.name);
        let delete = delete.key("project_id", AttributeValue::S(project.id.clone()));
        delete.key("entity", AttributeValue::S(entity)).send().await.expect("an answer");
    }
    let wipe = pull(&project, "mia", &format!("since={mark}")).await;
    assert_eq!(wipe.deleted("tasks"), ["later", "t1", "t2"]);
}

/// The same project through an instance that names this many ids in one response of a wipe.
async fn in_pages_of(ids: usize, project: &TestProject) -> TestProject {
    project.seen_by(TestApp::with_wipe_pages_of(ids).await)
}

#[tokio::test]
async fn what_a_device_has_to_forget_comes_in_pages_that_leave_nothing_out() {
    let project = project().await;
    let mut device = Device::default();
    device.apply(&pull(&project, "mia", "since=0").await);
    project.remove("mia").await.expect(204);
    let removed_at = project.current_version().await;
    let known: BTreeSet<String> = project.stored().await.into_keys().collect();
    let project = in_pages_of(2, &project).await;
    let mut named = BTreeSet::new();
    for page in 0.. {
        // These rows sort before, between and after those that are named.
        for task in ["0", "t2-", "z"] {
            project.create("tasks", json!({"id": format!("{task}{page}"), "name": "later"})).await;
        }
        project
            .create(
                "dependencies",
                json!({"id": format!("0{page}"), "predecessor": "t1", "successor": format!("z{page}")}),
            )
            .await;
        let wipe = pull(&project, "mia", &format!("since={}", device.mark)).await;
        assert!(wipe.len() <= 2 && wipe.path == "wiped" && wipe.versions().is_empty());
        for collection in ["projects", "tasks", "dependencies", "calendars", "memberships"] {
            named.extend(wipe.deleted(collection).iter().map(|id| format!("{collection}#{id}")));
        }
        device.apply(&wipe);
        if !wipe.has_more {
            break;
        }
        assert!(wipe.mark >= 1 << 52, "a mark that no device has had for its rows");
    }
    assert_eq!((named, device.rows.len(), device.mark), (known, 0, removed_at));
    project.refuses(project.sync(&format!("since={removed_at}")).by("mia"), 403, "membership_revoked").await;
}

#[tokio::test]
async fn a_deleted_project_is_forgotten_in_pages_too() {
    let project = project().await;
    let mut device = Device::default();
    device.apply(&pull(&project, "vic", "since=0").await);
    project.delete("").await.expect(204);
    let project = in_pages_of(1, &project).await;
    let rows = project.stored().await.len();
    for page in 1..=rows {
        let wipe = pull(&project, "vic", &format!("since={}", device.mark)).await;
        assert_eq!((wipe.len(), wipe.has_more), (1, page < rows));
        device.apply(&wipe);
    }
    assert_eq!((device.rows.len(), device.mark), (0, project.current_version().await));
}

#[tokio::test]
async fn one_who_is_added_again_while_the_device_forgets_gets_everything() {
    let project = in_pages_of(2, &project().await).await;
    let mut device = Device::default();
    device.apply(&pull(&project, "mia", "since=0").await);
    project.remove("mia").await.expect(204);
    device.apply(&pull(&project, "mia", &format!("since={}", device.mark)).await);
    assert!(!device.rows.is_empty() && Mark::try_from(device.mark).is_ok_and(|mark| mark.wipe_place().is_some()));
    project.delete("tasks/t3").await.expect(204);
    project.patch("tasks/t1", &json!({"name": "changed meanwhile"})).await.expect(200);
    project.give("mia", Role::Viewer).await.expect(201);
    let mut turbo = device.clone();
    let mark = device.mark;
    device.apply(&pull(&project, "mia", &format!("since={mark}")).await);
    // This is not a first sync, so the tombstones are included.
    turbo.apply(&pull(&project, "mia", &format!("since={mark}&turbo=true")).await);
    for device in [device, turbo] {
        assert_eq!((device.rows, device.mark), (project.live_rows().await, project.current_version().await));
    }
}

#[tokio::test]
async fn a_live_member_with_a_place_in_a_wipe_gets_everything_and_a_place_of_another_table_is_refused() {
    let project = project().await;
    let everything = pull(&project, "mia", "since=0").await;
    for place in [1_u64 << 52, (1 << 52) + 3, (1 << 52) + u64::from(u32::MAX)] {
        let pull = pull(&project, "mia", &format!("since={place}")).await;
        assert_eq!((pull.mark, pull.versions()), (everything.mark, everything.versions()));
        project
            .refuses(
                project.sync(&format!("since={place}&min_version=1000")).by("mia"),
                409,
                "min_version_ahead_of_server",
            )
            .await;
    }
    for place in [(1_u64 << 52) + (1 << 32), (1 << 53) - 1] {
        let call = project.sync(&format!("since={place}")).by("mia");
        project.refuses(call, 409, "since_ahead_of_server").await;
    }
}

#[tokio::test]
async fn one_who_is_added_again_gets_everything_whether_the_device_was_wiped_or_not() {
    let project = project().await;
    let mut wiped = Device::default();
    wiped.apply(&pull(&project, "mia", "since=0").await);
    let mut offline = wiped.clone();
    project.remove("mia").await.expect(204);
    wiped.apply(&pull(&project, "mia", &format!("since={}", wiped.mark)).await);
    assert_eq!((wiped.mark, wiped.rows.len()), (project.current_version().await, 0));
    project.patch("tasks/t1", &json!({"name": "changed meanwhile"})).await.expect(200);
    project.give("mia", Role::Viewer).await.expect(201);

    for device in [&mut wiped, &mut offline] {
        let before = device.mark;
        device.apply(&pull(&project, "mia", &format!("since={before}")).await);
        assert_eq!(device.rows, project.live_rows().await);
    }
    assert_eq!(wiped.mark, project.current_version().await);
}

#[tokio::test]
async fn a_wiped_device_gets_its_full_pull_in_pages_too() {
    let project = project().await;
    project.remove("mia").await.expect(204);
    let mut device = Device::default();
    device.apply(&pull(&project, "mia", "since=1").await);
    project.give("mia", Role::Viewer).await.expect(201);
    for _ in 0..20 {
        let page = pull(&project, "mia", &format!("since={}&limit=2", device.mark)).await;
        assert!(page.len() <= 2);
        device.apply(&page);
        if !page.has_more {
            break;
        }
    }
    assert_eq!(device.rows, project.live_rows().await);
}

#[tokio::test]
async fn a_deleted_project_empties_every_members_device_once() {
    let project = project().await;
    let mut device = Device::default();
    device.apply(&pull(&project, "vic", "since=0").await);
    project.delete("").await.expect(204);
    let deleted_at = project.current_version().await;
    assert_eq!(project.counter().await.number("deleted_at"), deleted_at);

    let wipe = pull(&project, "vic", &format!("since={}", device.mark)).await;
    assert_eq!((wipe.mark, wipe.has_more, wipe.path.as_str()), (deleted_at, false, "wiped"));
    device.apply(&wipe);
    assert!(device.rows.is_empty());
    for since in [deleted_at, deleted_at + 5] {
        let later = pull(&project, "vic", &format!("since={since}")).await;
        assert_eq!((later.mark, later.len()), (since, 0));
    }
    for query in ["since=0&turbo=true", "since=0"] {
        let first = pull(&project, "vic", query).await;
        assert_eq!((first.mark, first.len()), (deleted_at, 0), "a device that holds nothing has nothing to forget");
    }
    project.refuses(project.sync("since=0").by("eve"), 403, "not_a_member").await;
}

#[tokio::test]
async fn what_tells_a_device_to_forget_everything_is_not_cut_at_a_limit_of_rows() {
    let project = project().await;
    let rows = project.stored().await.len();
    project.remove("mia").await.expect(204);
    let removed = pull(&project, "mia", "since=1&limit=1").await;
    assert_eq!((removed.len(), removed.has_more), (rows, false));
    project.delete("").await.expect(204);
    let deleted = pull(&project, "vic", "since=1&limit=1").await;
    assert_eq!((deleted.len(), deleted.has_more), (rows, false));
}

#[tokio::test]
async fn only_a_mark_at_one_of_the_removals_is_a_wiped_devices() {
    let project = project().await;
    let mut removals = Vec::new();
    for _ in 0..2 {
        project.remove("mia").await.expect(204);
        removals.push(project.current_version().await);
        project.give("mia", Role::Member).await.expect(201);
        project.patch("tasks/t1", &json!({ "notes": removals.len().to_string() })).await.expect(200);
    }
    let everything = pull(&project, "mia", "since=0").await;
    let mark = everything.mark;
    for since in 1..=mark {
        let pull = pull(&project, "mia", &format!("since={since}")).await;
        if removals.contains(&since) {
            assert_eq!((pull.len(), pull.mark), (everything.len(), mark), "{since} is a removal");
        } else {
            let newer = everything.versions().into_iter().filter(|version| *version > since);
            assert_eq!(pull.versions(), newer.collect::<Vec<_>>(), "{since} is an ordinary mark");
        }
        assert!(pull.deleted("memberships").is_empty());
    }
}

#[tokio::test]
async fn one_who_is_removed_again_is_told_again_wiped_or_not() {
    let project = project().await;
    project.remove("mia").await.expect(204);
    let first = project.current_version().await;
    project.give("mia", Role::Viewer).await.expect(201);
    project.remove("mia").await.expect(204);
    let second = project.current_version().await;
    for since in [1, first - 1, first, second - 1] {
        let wipe = pull(&project, "mia", &format!("since={since}")).await;
        assert_eq!((wipe.mark, wipe.len()), (second, project.stored().await.len()), "{since}");
    }
    project.refuses(project.sync(&format!("since={second}")).by("mia"), 403, "membership_revoked").await;
}

#[tokio::test]
async fn a_member_who_was_removed_many_times_gets_everything_at_each_of_the_removals() {
    let project = project().await;
    let mut removals = Vec::new();
    for _ in 0..20 {
        project.remove("mia").await.expect(204);
        removals.push(project.current_version().await);
        project.give("mia", Role::Member).await.expect(201);
    }
    let stored = project.stored().await;
    let kept = stored[&format!("memberships#{}", project.membership("mia"))].numbers("removed_at");
    assert_eq!(kept, removals[4..]);
    let everything = pull(&project, "mia", "since=0").await;
    for since in &removals {
        let pull = pull(&project, "mia", &format!("since={since}")).await;
        assert_eq!((pull.versions(), pull.mark), (everything.versions(), everything.mark), "{since}");
    }
    let between = pull(&project, "mia", &format!("since={}", removals[18] + 1)).await;
    assert_eq!(between.len(), 1, "the membership alone");
}
