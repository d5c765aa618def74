//! Tests pages that an instance keeps for a herd's first sync.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, header};
use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use shared::domain::Role;
use sync::Limits;
use tests::support::{Answer, Device, Pull, TestApp, TestProject, TestTable};
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tower::ServiceExt;

use crate::after_restore;
use crate::cost::Cost;
use crate::restore::{fill, items, table};

/// Pages are kept however small they are.
const ALL: Limits =
    Limits { bytes: 1024 * 1024, age: Duration::from_secs(3600), min_rows: 1, max_behind: 1_000, rounded_part: 8 };

/// A project with this many tasks and with vic as a viewer, on an instance that keeps pages.
async fn project(tasks: usize) -> TestProject {
    TestApp::keeping(ALL).await.with_project().with_tasks(tasks).with_member("vic", Role::Viewer).await
}

/// Each answer of a first sync.
async fn first_sync(project: &TestProject, user: &str) -> Vec<Answer> {
    let mut answers: Vec<Answer> = vec![];
    loop {
        let since = answers.last().map_or(0, |answer| Pull::of(answer).mark);
        answers.push(project.sync(&format!("since={since}&limit=4")).by(user).await);
        if answers.last().is_some_and(|answer| !Pull::of(answer).has_more) {
            return answers;
        }
    }
}

fn outcomes(answers: &[Answer]) -> Vec<String> {
    answers.iter().map(|answer| Pull::of(answer).path).collect()
}

fn rows(answers: &[Answer]) -> BTreeMap<(String, String), Value> {
    let mut device = Device::default();
    answers.iter().for_each(|answer| device.apply(&Pull::of(answer)));
    device.rows
}

#[tokio::test]
async fn a_second_device_gets_the_pages_of_the_first_and_reads_counter_and_membership_alone() {
    let project = project(9).await;
    let first = first_sync(&project, "olga").await;
    let second = first_sync(&project, "vic").await;
    assert!(outcomes(&first).iter().all(|outcome| outcome == "first_read"), "{:?}", outcomes(&first));
    assert_eq!(outcomes(&second), vec!["kept"; first.len()]);
    let bodies = |answers: &[Answer]| answers.iter().map(|answer| answer.text.clone()).collect::<Vec<_>>();
    assert_eq!(bodies(&first), bodies(&second));
    assert!(Pull::of(&second[second.len() - 1]).checksums.is_some());
    assert!(second.iter().all(|answer| Cost::of(answer).reads() <= 3.0), "{second:?}");
    assert_eq!(rows(&second), project.live_rows().await);
}

#[tokio::test]
async fn what_changed_since_a_page_was_made_comes_after_it() {
    let project = project(9).await;
    let first = first_sync(&project, "olga").await;
    project.patch("tasks/t1", &json!({"name": "changed"})).await.expect(200);
    project.delete("tasks/t2").await.expect(204);
    let second = first_sync(&project, "vic").await;
    let kept = outcomes(&second).iter().take_while(|outcome| *outcome == "kept").count();
    assert_eq!((kept, second.len()), (first.len(), first.len() + 1), "{:?}", outcomes(&second));
    let (last, same) = (Pull::of(&second[kept - 1]), Pull::of(&first[kept - 1]));
    assert!(last.has_more && last.checksums.is_none() && same.checksums.is_some(), "no longer the state at its mark");
    assert_eq!(last.versions(), same.versions());
    assert_eq!(rows(&second), project.live_rows().await);
}

#[tokio::test]
async fn a_member_who_was_added_since_gets_no_page_from_before() {
    let project = project(3).await;
    first_sync(&project, "olga").await;
    project.delete("tasks/t1").await.expect(204);
    project.give("nora", Role::Viewer).await.expect(201);
    let answers = first_sync(&project, "nora").await;
    assert!(!outcomes(&answers).contains(&"kept".to_owned()), "{:?}", outcomes(&answers));
    assert!(answers.iter().all(|answer| Pull::of(answer).updated("tasks").iter().all(|task| *task != "t1")));
    // She may also get pages that are made from now on.
    let again = first_sync(&project, "nora").await;
    assert!(outcomes(&again).iter().all(|outcome| outcome == "kept"), "{:?}", outcomes(&again));
}

/// The counter that covers a page may be read long after the rows of the page.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_rows_were_read_before_a_member_was_added_is_not_given_to_them() {
    let table = TestTable::of_this_process().await;
    let (step, beside) = (Arc::new(AtomicU8::new(0)), Arc::new(OnceLock::<TestProject>::new()));
    let seen = table.seen_by({
        let (step, beside) = (Arc::clone(&step), Arc::clone(&beside));
        move |operation, _| {
            let at = step.load(Ordering::Relaxed);
            if !matches!((operation, at), ("Query", 1) | ("GetItem", 2)) {
                return Ok(());
            }
            step.store(at + 1, Ordering::Relaxed);
            let project = beside.get().ok_or("no project")?;
            block_in_place(|| {
                Handle::current().block_on(async {
                    if at == 1 {
                        // The pull meets this row beyond its counter, and reads the counter again after the rows.
                        project.patch("tasks/t9", &json!({"name": "newer"})).await.expect(200);
                    } else {
                        project.patch("tasks/t1", &json!({"name": "replaced"})).await.expect(200);
                        project.give("nora", Role::Viewer).await.expect(201);
                    }
                });
            });
            Ok(())
        }
    });
    let app = TestApp::on_keeping(table, seen.await, ALL).await;
    let project = app.with_project().with_tasks(9).with_member("vic", Role::Viewer).await;
    beside.set(project.seen_by(TestApp::new().await)).ok().expect("one project");
    step.store(1, Ordering::Relaxed);
    let made = Pull::of(&project.sync("since=0&limit=4").await);
    assert_eq!((step.load(Ordering::Relaxed), made.has_more), (3, true));
    assert!(made.updated("tasks").contains(&"t1"), "{:?}", made.updated("tasks"));
    let of = async |user| Pull::of(&project.sync("since=0&limit=4").by(user).await);
    assert_eq!(of("vic").await.path, "kept");
    let noras = of("nora").await;
    assert_eq!((noras.path.as_str(), noras.updated("tasks").contains(&"t1")), ("first_read", false));
}

#[tokio::test]
async fn a_removed_member_is_told_so_whatever_is_kept() {
    let project = project(3).await;
    let first = first_sync(&project, "vic").await;
    project.remove("vic").await.expect(204);
    project.sync("since=0&limit=4").by("vic").await.problem(403, "membership_revoked");
    let mark = Pull::of(&first[0]).mark;
    assert_eq!(Pull::of(&project.sync(&format!("since={mark}&limit=4")).by("vic").await).path, "wiped");
}

#[tokio::test]
async fn a_page_without_tombstones_is_for_a_fresh_database_alone() {
    let project = project(3).await;
    project.delete("tasks/t2").await.expect(204);
    let pull = async |query| Pull::of(&project.sync(query).await);
    assert_eq!(pull("since=0&turbo=true").await.deleted("tasks"), [""; 0]);
    let with = pull("since=0").await;
    assert_eq!((with.path.as_str(), with.deleted("tasks")), ("first_read", vec!["t2"]));
    for (query, deleted) in [("since=0&turbo=true", vec![]), ("since=0", vec!["t2"])] {
        let again = pull(query).await;
        assert_eq!((again.path.as_str(), again.deleted("tasks")), ("kept", deleted));
    }
    assert_eq!(pull("since=0&limit=1000").await.path, "first_read", "pages of another size are others");
}

#[tokio::test]
async fn a_page_from_before_a_restore_is_not_given() {
    let table = table("kept").await;
    // Otherwise `max_behind` would hide the page, because a restore raises the counter by more.
    let app = TestApp::on_keeping(&table, table.table().await, Limits { max_behind: u64::MAX, ..ALL }).await;
    let project = app.with_project().with_tasks(3).with_member("vic", Role::Viewer).await;
    let backup = items(&table).await;
    project.patch("tasks/t1", &json!({"name": "lost"})).await.expect(200);
    first_sync(&project, "olga").await;
    fill(&table, &backup).await;
    after_restore::run(&table.table().await, None).await.expect("a report");
    let answers = first_sync(&project, "vic").await;
    assert!(!outcomes(&answers).contains(&"kept".to_owned()), "{:?}", outcomes(&answers));
    assert_eq!(rows(&answers), project.live_rows().await);
}

/// If many devices pull at once, only one pull reads.
#[tokio::test]
async fn of_devices_that_come_at_once_one_reads_and_the_others_wait_for_it() {
    let project = project(20).await;
    let pulls: Vec<_> = (0..20).map(|_| tokio::spawn(project.sync("since=0&limit=9").into_future())).collect();
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for pull in pulls {
        *outcomes.entry(Pull::of(&pull.await.expect("no panic")).path).or_default() += 1;
    }
    assert_eq!(outcomes, [("first_read".to_owned(), 1), ("kept".to_owned(), 19)].into());
}

#[tokio::test]
async fn a_compressed_page_is_kept_as_it_is_and_cut_later() {
    let project = project(60).await;
    let pull = async || {
        let request = Request::get(format!("/api/v1/projects/{}/sync/?since=0", project.id))
            .header(header::AUTHORIZATION, format!("Bearer {}", TestApp::token("vic")))
            .header(header::ACCEPT_ENCODING, "gzip")
            .body(Body::empty())
            .expect("a request");
        let response = project.app.sync.clone().oneshot(request).await.expect("an answer");
        let timing = response.headers()["server-timing"].to_str().expect("text").to_owned();
        assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        let mut plain = String::new();
        GzDecoder::new(&body[..]).read_to_string(&mut plain).expect("gzip");
        (timing.split('"').nth(1).expect("an outcome").to_owned(), plain)
    };
    let (first, made) = pull().await;
    let (second, given) = pull().await;
    assert_eq!((first.as_str(), second.as_str(), &made), ("first_read", "kept", &given));
    project.patch("tasks/t1", &json!({"name": "changed"})).await.expect(200);
    let (third, cut) = pull().await;
    let (made, cut): (Value, Value) =
        (serde_json::from_str(&made).expect("JSON"), serde_json::from_str(&cut).expect("JSON"));
    assert_eq!((third.as_str(), &cut["changes"], &cut["has_more"]), ("kept", &made["changes"], &json!(true)));
    assert_eq!(cut.get("checksum"), None);
}

#[tokio::test]
async fn a_page_is_answered_to_head_without_its_body() {
    let project = project(3).await;
    let path = format!("/api/v1/projects/{}/sync/?since=0", project.id);
    project.app.call_sync(&path).by("vic").await.expect(200);
    for by in ["vic", "olga"] {
        let request = Request::builder()
            .method(Method::HEAD)
            .uri(&path)
            .header(header::AUTHORIZATION, format!("Bearer {}", TestApp::token(by)))
            .body(Body::empty())
            .expect("a request");
        let response = project.app.sync.clone().oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert!(response.headers()["server-timing"].to_str().expect("text").contains("kept"));
        assert!(response.into_body().collect().await.expect("a body").to_bytes().is_empty());
    }
}
