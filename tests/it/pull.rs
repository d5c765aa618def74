//! Tests what a device pulls. `Pull::of` checks the form of each response, in every test.

use serde_json::json;
use shared::domain::Role;
use tests::support::{Device, OWNER, Pull, TestApp};

#[tokio::test]
async fn a_new_project_is_at_2_with_its_owner_and_the_first_pull_delivers_both() {
    let project = TestApp::new().await.with_project().await;
    let pull = project.pull(0).await;
    assert_eq!((pull.mark, pull.has_more, pull.len()), (2, false, 2));
    assert_eq!(pull.updated("projects"), [project.id.as_str()]);
    assert_eq!(pull.row("memberships", &project.membership(OWNER))["role"], 400);
}

#[tokio::test]
async fn since_is_0_when_it_is_left_out() {
    let project = TestApp::new().await.with_project().with_tasks(2).await;
    let all = project.sync("since=0").await;
    assert_eq!(project.sync("").await.text, all.text);
}

#[tokio::test]
async fn a_pull_delivers_what_is_newer_than_its_mark_and_nothing_else() {
    let project = TestApp::new().await.with_project().with_tasks(4).await;
    let mark = project.pull(0).await.mark;
    project.patch("tasks/t2", &json!({"name": "two"})).await.expect(200);
    project.delete("tasks/t3").await.expect(204);
    let pull = project.pull(mark).await;
    assert_eq!((pull.mark, pull.len()), (mark + 2, 2));
    assert_eq!(pull.row("tasks", "t2")["name"], "two");
    assert_eq!(pull.deleted("tasks"), ["t3"]);
    assert_eq!(project.pull(mark + 1).await.len(), 1);
}

#[tokio::test]
async fn a_cold_row_is_delivered_after_a_hundred_edits_to_another() {
    let project = TestApp::new().await.with_project().with_tasks(2).await;
    let mut device = Device::default();
    device.synchronize(&project, None).await;
    for n in 0..100 {
        project.patch("tasks/t1", &json!({ "name": format!("busy {n}") })).await.expect(200);
        if n % 20 == 0 {
            device.synchronize(&project, None).await;
        }
    }
    project.patch("tasks/t2", &json!({"name": "cold"})).await.expect(200);
    let pull = device.synchronize(&project, None).await;
    assert_eq!(pull.row("tasks", "t2")["name"], "cold");
    assert_eq!(device.rows, project.live_rows().await);
}

/// The row's history is silent about its first versions. All rows still add up. A part of the rows does not, so the table is
/// read.
#[tokio::test]
async fn a_row_that_was_written_more_often_than_it_remembers_makes_no_pull_read_the_table() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    for n in 0..260 {
        project.patch("tasks/t1", &json!({ "name": format!("busy {n}") })).await.expect(200);
    }
    let pulls = [project.pull(0).await, project.pull(2).await];
    assert_eq!(pulls.each_ref().map(|pull| pull.path.as_str()), ["first_read", "first_read"]);
    assert_eq!(pulls.map(|pull| pull.row("tasks", "t1")["name"].clone()), ["busy 259", "busy 259"]);
}

#[tokio::test]
async fn an_idle_pull_answers_the_same_mark_and_reads_no_index() {
    let project = TestApp::new().await.with_project().with_tasks(3).await;
    let mark = project.pull(0).await.mark;
    for _ in 0..2 {
        let idle = project.pull(mark).await;
        assert_eq!((idle.mark, idle.has_more, idle.len(), idle.path.as_str()), (mark, false, 0, "unchanged"));
    }
    assert_eq!(project.pull(mark - 1).await.path, "first_read");
}

#[tokio::test]
async fn a_first_pull_brings_tombstones_and_turbo_leaves_them_out_there_and_only_there() {
    let project = TestApp::new().await.with_project().with_tasks(3).with_member("vic", Role::Viewer).await;
    let mark = project.pull(0).await.mark;
    project.delete("tasks/t1").await.expect(204);
    project.remove("vic").await.expect(204);
    let full = project.pull(0).await;
    assert_eq!(full.deleted("tasks"), ["t1"]);
    assert_eq!(full.deleted("memberships"), [project.membership("vic")]);
    let turbo = Pull::of(&project.sync("since=0&turbo=true").await);
    assert!(turbo.deleted("tasks").is_empty() && turbo.deleted("memberships").is_empty());
    assert_eq!((turbo.updated("tasks"), turbo.mark), (vec!["t2", "t3"], full.mark));
    for query in [format!("since={mark}&turbo=true"), "since=0&turbo=false".to_owned(), "turbo=1".to_owned()] {
        assert_eq!(Pull::of(&project.sync(&query).await).deleted("tasks"), ["t1"], "{query}");
    }
}

#[tokio::test]
async fn a_row_that_was_made_and_deleted_between_two_pulls_is_a_tombstone() {
    let project = TestApp::new().await.with_project().await;
    let mark = project.pull(0).await.mark;
    project.create("tasks", json!({"id": "brief", "name": "x"})).await;
    project.delete("tasks/brief").await.expect(204);
    let pull = project.pull(mark).await;
    assert_eq!((pull.deleted("tasks"), pull.len(), pull.mark), (vec!["brief"], 1, mark + 2));
}

#[tokio::test]
async fn a_member_who_is_added_again_arrives_as_a_live_row() {
    let project = TestApp::new().await.with_project().with_member("mia", Role::Member).await;
    let mut device = Device::default();
    device.synchronize(&project, None).await;
    project.remove("mia").await.expect(204);
    project.give("mia", Role::Viewer).await.expect(201);
    let pull = device.synchronize(&project, None).await;
    assert_eq!(pull.row("memberships", &project.membership("mia"))["role"], 1);
    assert!(pull.deleted("memberships").is_empty());
    assert_eq!(device.rows, project.live_rows().await);
}

#[tokio::test]
async fn a_mark_ahead_of_the_server_is_a_conflict_and_never_an_empty_delta() {
    let project = TestApp::new().await.with_project().await;
    for since in [3, 100, 9_007_199_254_740_991_u64] {
        let call = project.sync(&format!("since={since}"));
        project.refuses(call, 409, "since_ahead_of_server").await;
    }
    // The membership is checked first, so a stranger learns nothing about the counter.
    project.refuses(project.sync("since=100").by("eve"), 403, "not_a_member").await;
}

#[tokio::test]
async fn a_since_that_is_no_version_is_named() {
    let project = TestApp::new().await.with_project().await;
    for query in [
        "since=-1",
        "since=1e3",
        "since=1.0",
        "since=",
        "since=null",
        "since=+1",
        "since=%001",
        "since=0x1",
        "since=9007199254740992",
        "since=99999999999999999999",
        "since=1&since=2",
        "since=1&since=1",
        "since=%D9%A1",
    ] {
        let answer = project.refuses(project.sync(query), 400, "invalid_parameter").await;
        assert_eq!(answer.fields(), ["since"], "{query}");
    }
    for query in ["limit=0", "limit=-1", "limit=x", "limit=1&limit=1", "turbo=true&turbo=true"] {
        let answer = project.refuses(project.sync(query), 400, "invalid_parameter").await;
        assert_eq!(answer.fields(), [query.split('=').next().expect("a name")], "{query}");
    }
    assert_eq!(Pull::of(&project.sync("since=%30&other=1").await).mark, 2);
}

#[tokio::test]
async fn every_kind_of_row_reaches_the_device_as_rest_shows_it() {
    let setup = TestApp::new().await.with_project().with_tasks(2).with_edge("t1", "t2").with_calendar("site");
    let project = setup.with_member("mia", Role::Member).await;
    let pull = project.pull(0).await;
    let membership = project.membership("mia");
    for (collection, id) in [("tasks", "t1"), ("dependencies", "t1-t2"), ("memberships", membership.as_str())] {
        assert_eq!(pull.row(collection, id), &project.get(&format!("{collection}/{id}/")).await.row());
    }
    assert_eq!(pull.row("projects", &project.id), &project.get("").await.row());
    assert_eq!(pull.row("calendars", "site")["exceptions"], "[]");
}
