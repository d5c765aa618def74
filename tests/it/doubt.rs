//! Tests writes of which it is not known whether they took effect.

use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tests::support::{Fault, TestApp, TestProject, TestTable};
use tokio::sync::Notify;

/// The project through an instance whose first attempts of transactions have these fates. All later attempts succeed.
async fn unlucky<const N: usize>(project: &TestProject, faults: [Fault; N]) -> TestProject {
    let table = TestTable::of_this_process().await;
    let fault = move |n: usize| faults.get(n - 1).copied().unwrap_or(Fault::None);
    project.seen_by(TestApp::on(table, table.with_faults(fault).await).await)
}

/// The same project, but the second attempt waits until it is released. Returns the notification that the attempt has begun to
/// wait.
async fn held<const N: usize>(project: &TestProject, faults: [Fault; N]) -> (TestProject, Arc<Notify>, Sender<()>) {
    let (let_go, go) = mpsc::channel();
    let reached = Arc::new(Notify::new());
    let (go, arrived) = (Mutex::new(go), Arc::clone(&reached));
    let fault = move |n: usize| {
        if n == 2 {
            arrived.notify_one();
            let go = go.lock().expect("no panic");
            tokio::task::block_in_place(|| go.recv_timeout(Duration::from_secs(60))).expect("to be let go");
        }
        faults.get(n - 1).copied().unwrap_or(Fault::None)
    };
    let table = TestTable::of_this_process().await;
    (project.seen_by(TestApp::on(table, table.with_faults(fault).await).await), reached, let_go)
}

async fn project() -> TestProject {
    TestApp::new().await.with_project().with_tasks(2).await
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_made_once_and_answered() {
    let project = project().await;
    let before = project.current_version().await;
    let change =
        unlucky(&project, [Fault::AnswerLost, Fault::AnswerLost]).await.patch("tasks/t1", &json!({"name": "A"}));
    assert_eq!(change.await.expect(200).version(), before + 1);
    assert_eq!(project.current_version().await, before + 1);
}

#[tokio::test]
async fn a_write_whose_token_is_forgotten_is_not_called_refused() {
    let project = project().await;
    let before = project.current_version().await;
    let unlucky = unlucky(&project, [Fault::AnswerLost, Fault::TokenForgotten]).await;
    let answer = unlucky.patch("tasks/t1", &json!({"name": "A"})).if_match(3).await;
    answer.problem(503, "outcome_unknown");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(project.current_version().await, before + 1);
}

#[tokio::test]
async fn a_keyed_write_whose_token_is_forgotten_is_answered_from_its_record() {
    let project = project().await;
    let before = project.current_version().await;
    let unlucky = unlucky(&project, [Fault::AnswerLost, Fault::TokenForgotten]).await;
    let answer = unlucky.patch("tasks/t1", &json!({"name": "A"})).if_match(3).key("k").await.expect(200);
    assert_eq!((answer.version(), answer.is_replay()), (before + 1, true));
    assert_eq!(project.current_version().await, before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_token_is_forgotten_is_not_made_again_over_somebody_elses() {
    let project = project().await;
    for key in [None, Some("k")] {
        let before = project.current_version().await;
        let (mine, reached, let_go) = held(&project, [Fault::AnswerLost, Fault::TokenForgotten]).await;
        let change = mine.patch("tasks/t1", &json!({"name": format!("mine {key:?}")}));
        let change = tokio::spawn(async move {
            match key {
                Some(key) => change.key(key).await,
                None => change.await,
            }
        });
        reached.notified().await;
        project.patch("tasks/t1", &json!({"name": format!("theirs {key:?}")})).await.expect(200);
        let_go.send(()).expect("a try that waits");
        let answer = change.await.expect("no panic");
        match key {
            Some(_) => assert_eq!(answer.expect(200).version(), before + 1),
            None => drop(answer.problem(503, "outcome_unknown")),
        }
        assert_eq!(project.get("tasks/t1/").await.row()["name"], format!("theirs {key:?}"));
        assert_eq!(project.current_version().await, before + 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_the_next_commit_rules_out_is_made_after_it() {
    let project = project().await;
    let before = project.current_version().await;
    let (mine, reached, let_go) = held(&project, [Fault::NeverArrives]).await;
    let change = mine.patch("tasks/t1", &json!({"name": "mine"}));
    let change = tokio::spawn(async move { change.await });
    reached.notified().await;
    project.patch("tasks/t2", &json!({"name": "theirs"})).await.expect(200);
    let_go.send(()).expect("a try that waits");
    assert_eq!(change.await.expect("no panic").expect(200).version(), before + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyed_write_that_never_arrived_is_decided_again() {
    let project = project().await;
    let (mine, reached, let_go) = held(&project, [Fault::NeverArrives]).await;
    let change = mine.patch("tasks/t1", &json!({"name": "mine"})).if_match(3).key("k");
    let change = tokio::spawn(async move { change.await });
    reached.notified().await;
    // There are two commits, and one of them is on the same row.
    project.patch("tasks/t1", &json!({"name": "theirs"})).await.expect(200);
    project.patch("tasks/t2", &json!({"name": "theirs"})).await.expect(200);
    let_go.send(()).expect("a try that waits");
    change.await.expect("no panic").problem(412, "version_mismatch");
    assert!(project.records().await.is_empty());
}

#[tokio::test]
async fn a_fault_settles_no_doubt() {
    let project = project().await;
    let before = project.current_version().await;
    let post = |project: &TestProject| project.post("tasks", &json!({"name": "once"}));
    let answer = post(&unlucky(&project, [Fault::AnswerLost, Fault::Expired]).await).await;
    answer.problem(503, "outcome_unknown");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(project.current_version().await, before + 1);
    // With a key, the idempotency record tells the outcome.
    let keyed = post(&unlucky(&project, [Fault::AnswerLost, Fault::Expired]).await).key("k").await.expect(201);
    assert_eq!(keyed.version(), before + 2);
    // If the outcome is known, the answer names the fault.
    let refused = post(&unlucky(&project, [Fault::Expired]).await);
    project.refuses(refused, 503, "unavailable").await;
}

#[tokio::test]
async fn a_write_for_which_the_project_has_no_room_is_refused_for_good() {
    let project = project().await;
    let post = |project: &TestProject| project.post("tasks", &json!({"name": "one too many"}));
    let refused = post(&unlucky(&project, [Fault::Full]).await);
    project.refuses(refused, 409, "quota_exceeded").await;
    // It settles no doubt about an earlier attempt.
    post(&unlucky(&project, [Fault::AnswerLost, Fault::Full]).await).await.problem(503, "outcome_unknown");
}
