//! What a device is told when its user is removed, and when the project is deleted.

use serde_json::json;
use shared::domain::Role;
use tests::support::{Device, Pull, TestApp, TestProject};

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
    project.create("tasks", json!({"id": "later", "name": "x"})).await;

    let query = format!("since={}", device.mark);
    let wipe = pull(&project, "mia", &query).await;
    assert_eq!((wipe.mark, wipe.has_more, wipe.path.as_str()), (removed_at, false, "wiped"));
    assert!(wipe.versions().is_empty(), "no row is shown any more");
    assert_eq!(wipe.len(), project.stored().await.len(), "dead rows and later ones too");
    device.apply(&wipe);
    assert!(device.rows.is_empty());
    for since in [removed_at, removed_at + 1, 1_000] {
        let call = project.sync(&format!("since={since}")).by("mia");
        project.refuses(call, 403, "membership_revoked").await;
    }
    // A device that never received the wipe gets it again.
    assert_eq!(pull(&project, "mia", &query).await.len(), wipe.len());
    assert!(pull(&project, "mia", "since=0&turbo=true").await.is_empty());
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
    device.apply(&pull(&project, "mia", "since=0").await);
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
    assert!(pull(&project, "vic", "since=0&turbo=true").await.is_empty());
    project.refuses(project.sync("since=0").by("eve"), 403, "not_a_member").await;
}

#[tokio::test]
async fn what_tells_a_device_to_forget_everything_is_never_cut() {
    let project = project().await;
    let rows = project.stored().await.len();
    project.remove("mia").await.expect(204);
    let removed = pull(&project, "mia", "since=0&limit=1").await;
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
    for since in [0, first - 1, first, second - 1] {
        let wipe = pull(&project, "mia", &format!("since={since}")).await;
        assert_eq!((wipe.mark, wipe.len()), (second, project.stored().await.len()), "{since}");
    }
    project.refuses(project.sync(&format!("since={second}")).by("mia"), 403, "membership_revoked").await;
}
