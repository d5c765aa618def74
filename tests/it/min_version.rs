//! Tests a device that has just written and wants to see its write.

use std::time::{Duration, Instant};

use serde_json::json;
use shared::domain::Role;
use tests::support::{Device, Pull, TestApp};

#[tokio::test]
async fn a_pull_with_the_version_of_ones_own_write_brings_it() {
    let project = TestApp::new().await.with_project().with_tasks(2).await;
    let mut device = Device::default();
    device.synchronize(&project, None).await;
    for n in 0..5 {
        let version = project.patch("tasks/t1", &json!({ "notes": n.to_string() })).await.expect(200).version();
        let pull = Pull::of(&project.sync(&format!("since={}&min_version={version}", device.mark)).await);
        assert!(pull.mark >= version && !pull.has_more);
        assert_eq!(pull.row("tasks", "t1")["notes"], n.to_string());
        device.apply(&pull);
        // The device is up to date, and the parameter is checked nevertheless.
        let idle = Pull::of(&project.sync(&format!("since={version}&min_version={version}")).await);
        assert_eq!((idle.path.as_str(), idle.mark), ("unchanged", version));
    }
}

#[tokio::test]
async fn a_page_may_end_below_the_version_that_is_asked_for_and_the_last_one_does_not() {
    let project = TestApp::new().await.with_project().with_tasks(6).await;
    let end = project.current_version().await;
    let mut marks = vec![0];
    loop {
        let since = marks.last().expect("a mark");
        let page = Pull::of(&project.sync(&format!("since={since}&limit=3&min_version={end}")).await);
        marks.push(page.mark);
        if !page.has_more {
            break;
        }
    }
    assert_eq!(marks, [0, 3, 6, end]);
}

#[tokio::test]
async fn a_version_that_was_not_given_out_is_a_conflict_after_a_moment() {
    let project = TestApp::new().await.with_project().with_member("mia", Role::Member).await;
    let end = project.current_version().await;
    for query in [format!("since=0&min_version={}", end + 1), format!("since={end}&min_version={}", end + 98)] {
        let asked = Instant::now();
        project.refuses(project.sync(&query), 409, "min_version_ahead_of_server").await;
        let took = asked.elapsed();
        assert!((Duration::from_secs(1)..Duration::from_secs(5)).contains(&took), "{took:?}");
    }
    for query in [format!("since=0&min_version={}", end + 99), format!("since={end}&min_version=9007199254740991")] {
        let answer = project.refuses(project.sync(&query), 409, "min_version_ahead_of_server").await;
        let timing = answer.header("server-timing").expect("Server-Timing").to_owned();
        assert!(timing.contains("\"1 call\"") || timing.contains("\"2 calls\""), "no commit is so far ahead: {timing}");
    }
    let call = project.sync(&format!("since={}&min_version={}", end + 2, end + 1));
    project.refuses(call, 409, "since_ahead_of_server").await;
    project.remove("mia").await.expect(204);
    let wiped = Pull::of(&project.sync("since=1&min_version=1000").by("mia").await);
    assert_eq!(wiped.path, "wiped", "who was removed is told that first");
}

#[tokio::test]
async fn a_version_that_is_committed_while_the_pull_waits_is_in_its_answer() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    let next = project.current_version().await + 1;
    let pull = async { Pull::of(&project.sync(&format!("since=0&min_version={next}")).await) };
    let write = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        project.patch("tasks/t1", &json!({"notes": "late"})).await.expect(200).version()
    };
    let (pull, version) = tokio::join!(pull, write);
    assert_eq!((version, pull.mark), (next, next));
    assert_eq!(pull.row("tasks", "t1")["notes"], "late");
}

#[tokio::test]
async fn a_min_version_that_is_no_version_is_named() {
    let project = TestApp::new().await.with_project().await;
    for value in ["-1", "x", "", "1.5", "9007199254740992", "1&min_version=1"] {
        let call = project.sync(&format!("min_version={value}"));
        assert_eq!(project.refuses(call, 400, "invalid_parameter").await.fields(), ["min_version"], "{value}");
    }
    assert_eq!(Pull::of(&project.sync("min_version=0").await).mark, 2);
}
