//! Tests real races: each writer has its own client, and all start at once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};
use shared::domain::{ProjectId, Role};
use tests::support::{Answer, Call, Device, OWNER, TestApp, TestProject};
use tokio::sync::Barrier;

use crate::{batch, cascade};

/// Sends the calls at once and returns the answers in the order of the calls.
async fn race(calls: impl IntoIterator<Item = Call>) -> Vec<Answer> {
    let calls: Vec<Call> = calls.into_iter().collect();
    let start = Arc::new(Barrier::new(calls.len()));
    let racing: Vec<_> = calls
        .into_iter()
        .map(|call| {
            let start = Arc::clone(&start);
            tokio::spawn(async move {
                start.wait().await;
                call.await
            })
        })
        .collect();
    let mut answers = Vec::with_capacity(racing.len());
    for answer in racing {
        answers.push(answer.await.expect("no panic"));
    }
    answers
}

/// Sends two calls at once. In two rounds of three, one of them is a little later than the other.
async fn race_two(round: u32, calls: [Call; 2]) -> [Answer; 2] {
    let [first, second] = calls;
    let send = |call: Call, turn: u32| {
        let pause = if round % 3 == turn { Duration::from_millis(3 * u64::from(round)) } else { Duration::ZERO };
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            call.await
        })
    };
    let (first, second) = (send(first, 1), send(second, 2));
    [first.await.expect("no panic"), second.await.expect("no panic")]
}

/// Plays some rounds of a race, and more until each of its two outcomes has occurred.
async fn until_either_won(mut race: impl AsyncFnMut(u32) -> bool) {
    let mut seen = HashSet::new();
    for round in 0..60 {
        seen.insert(race(round).await);
        if round >= 8 && seen.len() == 2 {
            return;
        }
    }
    panic!("always the same outcome: {seen:?}");
}

/// The same project through two clients.
async fn two(project: &TestProject) -> [TestProject; 2] {
    [project.seen_by(TestApp::new().await), project.seen_by(TestApp::new().await)]
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_writers_on_one_project_leave_dense_versions_and_a_device_that_missed_nothing() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    let mut writers = Vec::new();
    for writer in 0..16 {
        let project = project.seen_by(TestApp::new().await);
        writers.push(tokio::spawn(async move {
            for n in 0..3 {
                let own = json!({"id": format!("w{writer}-{n}"), "name": "x"});
                until_not_busy(|| project.post("tasks", &own)).await;
                let shared = json!({ "notes": format!("{writer} {n}") });
                until_not_busy(|| project.patch("tasks/t1", &shared)).await;
            }
        }));
    }
    let mut device = Device::default();
    while !writers.iter().all(|writer| writer.is_finished()) {
        device.synchronize(&project, None).await;
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    project.assert_dense().await;
    assert_eq!(project.current_version().await, 3 + 16 * 3 * 2);
    device.synchronize(&project, None).await;
    assert_eq!(device.rows, project.live_rows().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_sent_eight_times_at_once_takes_effect_once_and_seven_replay_it() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    let mut instances = Vec::new();
    for _ in 0..8 {
        instances.push(project.seen_by(TestApp::new().await));
    }
    for round in 0..4 {
        let key = format!("key-{round}");
        let before = project.current_version().await;
        let create = |project: &TestProject| project.post("tasks", &json!({"name": key})).key(&key);
        let answers = race(instances.iter().map(create)).await;
        let first = answers.iter().find(|answer| !answer.is_replay()).expect("one that was the first");
        assert_eq!(answers.iter().filter(|answer| answer.is_replay()).count(), 7, "{answers:?}");
        for answer in &answers {
            assert_eq!((answer.status, &answer.text), (201, &first.text));
        }
        assert_eq!(project.current_version().await, before + 1);
    }
    assert_eq!(project.records().await.len(), 4);
    project.assert_dense().await;
}

/// Repeats a call as a client does, until the answer is not that other commits won.
async fn until_not_busy(call: impl Fn() -> Call) {
    loop {
        let answer = call().await;
        if answer.status != 503 {
            assert!(matches!(answer.status, 200 | 201), "{answer:?}");
            return;
        }
        answer.problem(503, "busy");
        assert!(answer.header("retry-after").is_some());
    }
}

/// Returns which of two answers is the success. The other one must be this problem.
#[track_caller]
fn first_won(answers: &[Answer; 2], status: u16, problem: (u16, &str)) -> bool {
    let [first, second] = answers;
    let first_won = first.status == status;
    let (winner, loser) = if first_won { (first, second) } else { (second, first) };
    winner.clone().expect(status);
    loser.problem(problem.0, problem.1);
    first_won
}

#[tokio::test]
async fn of_two_edges_that_would_close_a_cycle_together_one_is_refused() {
    let project = TestApp::new().await.with_project().with_tasks(2).await;
    let [ann, bob] = two(&project).await;
    until_either_won(async |round| {
        let edge = |id: &str, from: &str, to: &str| json!({"id": format!("{id}-{round}"), "predecessor": from, "successor": to});
        let edges = [edge("there", "t1", "t2"), edge("back", "t2", "t1")];
        let answers = race_two(round, [ann.post("dependencies", &edges[0]), bob.post("dependencies", &edges[1])]).await;
        let there = first_won(&answers, 201, (409, "dependency_cycle"));
        let id = if there { format!("there-{round}") } else { format!("back-{round}") };
        project.delete(&format!("dependencies/{id}")).await.expect(204);
        there
    })
    .await;
    project.assert_dense().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_is_deleted_while_edges_are_made_takes_all_of_them_along() {
    let project = TestApp::new().await.with_project().with_tasks(8).await;
    let mut writers = Vec::new();
    for _ in 0..8 {
        writers.push(project.seen_by(TestApp::new().await));
    }
    for round in 0..6 {
        let hub = format!("hub{round}");
        project.create("tasks", json!({"id": hub, "name": "hub"})).await;
        let edges = (1..8).map(|task| writers[task].post_edge(&hub, &format!("t{task}")));
        // The hub has edges already when it is deleted, and more are being created.
        let deletion = {
            let (writer, hub) = (writers[0].clone(), format!("tasks/{hub}"));
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(10 * round)).await;
                writer.delete(&hub).await
            })
        };
        for tied in race(edges).await {
            match tied.status {
                201 => {}
                503 => assert_eq!(tied.problem(503, "busy")["status"], 503),
                _ => assert_eq!(tied.problem(422, "validation_failed")["errors"][0]["field"], "predecessor"),
            }
        }
        deletion.await.expect("no panic").expect(204);
        assert!(project.pull(0).await.updated("dependencies").is_empty());
        project.assert_dense().await;
    }
}

#[tokio::test]
async fn of_two_owners_who_leave_at_once_one_stays() {
    let app = TestApp::new().await;
    until_either_won(async |round| {
        let project = app.with_project().with_member("otto", Role::Owner).await;
        let [one, other] = two(&project).await;
        let answers = race_two(round, [one.remove(OWNER).by(OWNER), other.remove("otto").by("otto")]).await;
        first_won(&answers, 204, (409, "last_owner"))
    })
    .await;
}

#[tokio::test]
async fn of_two_owners_who_demote_each_other_at_once_one_stays() {
    let app = TestApp::new().await;
    until_either_won(async |round| {
        let project = app.with_project().with_member("otto", Role::Owner).await;
        let [one, other] = two(&project).await;
        let demote = [one.change("otto", Role::Viewer).by(OWNER), other.change(OWNER, Role::Viewer).by("otto")];
        first_won(&race_two(round, demote).await, 200, (403, "role_too_low"))
    })
    .await;
}

#[tokio::test]
async fn a_new_edge_never_outlives_a_task_that_is_deleted_at_the_same_time() {
    let app = TestApp::new().await;
    until_either_won(async |round| {
        let project = app.with_project().with_tasks(2).await;
        let [deleting, tying] = two(&project).await;
        let [deleted, tied] = race_two(round, [deleting.delete("tasks/t1"), tying.post_edge("t1", "t2")]).await;
        deleted.expect(204);
        project.assert_dense().await;
        let stored = project.stored().await;
        if tied.status == 201 {
            assert!(stored["dependencies#t1-t2"].is_dead());
            return true;
        }
        tied.problem(422, "validation_failed");
        assert_eq!(tied.fields(), ["predecessor"]);
        assert!(!stored.contains_key("dependencies#t1-t2"));
        false
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_deletion_that_meets_a_change_of_the_task_takes_all_of_its_edges_or_none() {
    let app = TestApp::new().await;
    until_either_won(async |round| {
        let project = app.with_project().await;
        cascade::tie_hub(&project, "hub", 25).await;
        let [deleting, patching] = two(&project).await;
        let version = project.get("tasks/hub/").await.version();
        let deletion = deleting.delete("tasks/hub").if_match(version).key("k");
        let patch = patching.patch("tasks/hub", &json!({"notes": "keep it"}));
        let [deleted, patched] = race_two(round, [deletion, patch]).await;
        project.assert_dense().await;
        if deleted.status == 204 {
            patched.problem(404, "not_found");
            assert_eq!(cascade::live_edges(&project).await, 0);
            return true;
        }
        deleted.problem(412, "version_mismatch");
        patched.expect(200);
        assert_eq!(cascade::live_edges(&project).await, 100);
        false
    })
    .await;
}

#[tokio::test]
async fn two_creations_with_one_id_make_one_row() {
    let project = TestApp::new().await.with_project().await;
    let [ann, bob] = two(&project).await;
    until_either_won(async |round| {
        let task = |name: &str| json!({"id": format!("same-{round}"), "name": name});
        let same = race_two(round, [ann.post("tasks", &task("x")), bob.post("tasks", &task("x"))]).await;
        assert_eq!(same[0].row(), same[1].row());
        assert_eq!(same[0].status + same[1].status, 201 + 200);

        let task = |name: &str| json!({"id": format!("other-{round}"), "name": name});
        let other = race_two(round, [ann.post("tasks", &task("ann's")), bob.post("tasks", &task("bob's"))]).await;
        let ann_won = first_won(&other, 201, (409, "id_taken"));
        let row = project.get(&format!("tasks/other-{round}/")).await.row();
        assert_eq!(row["name"], if ann_won { "ann's" } else { "bob's" });
        assert_eq!(project.current_version().await, 2 + 2 * (u64::from(round) + 1));
        ann_won
    })
    .await;
}

#[tokio::test]
async fn two_people_who_create_a_project_with_one_id_do_not_share_it() {
    let app = TestApp::new().await;
    until_either_won(async |round| {
        let project = TestProject { app: app.clone(), id: ProjectId::generate().to_string() };
        let body = json!({"id": project.id, "name": "House", "start_date": "2026-03-02"});
        let [one, other] = two(&project).await;
        let create = |at: &TestProject, user| at.app.call(Method::POST, "/api/v1/projects/").by(user).json(&body);
        let answers = race_two(round, [create(&one, "ann"), create(&other, "bob")]).await;
        let ann_won = first_won(&answers, 201, (409, "id_taken"));
        assert_eq!(project.current_version().await, 2);
        let loser = if ann_won { "bob" } else { "ann" };
        project.refuses(project.get("").by(loser), 403, "not_a_member").await;
        ann_won
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_eight_changes_of_one_version_exactly_one_wins() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    let mut writers = Vec::new();
    for _ in 0..8 {
        writers.push(project.seen_by(TestApp::new().await));
    }
    let mut winners = HashSet::new();
    for round in 0..20 {
        let seen = project.current_version().await;
        let name = |n: usize| -> Value { json!({ "name": format!("{round} {n}") }) };
        let calls = writers.iter().enumerate().map(|(n, writer)| writer.patch("tasks/t1", &name(n)).if_match(seen));
        let answers = race(calls).await;
        let won: Vec<usize> = (0..8).filter(|n| answers[*n].status == 200).collect();
        assert_eq!(won.len(), 1, "{:?}", statuses(&answers));
        let row = answers[won[0]].row();
        for (_, lost) in answers.iter().enumerate().filter(|(n, _)| *n != won[0]) {
            assert_eq!(lost.problem(412, "version_mismatch")["current"], row);
        }
        assert_eq!(project.current_version().await, seen + 1);
        winners.insert(won[0]);
        if round >= 3 && winners.len() > 1 {
            return;
        }
    }
    panic!("always the same one: {winners:?}");
}

#[tokio::test]
async fn a_member_who_is_removed_while_writing_writes_before_or_not_at_all() {
    let app = TestApp::new().await;
    until_either_won(async |round| {
        let project = app.with_project().with_tasks(1).with_member("mia", Role::Member).await;
        let [owner, member] = two(&project).await;
        let patch = member.patch("tasks/t1", &json!({"name": "mia was here"})).by("mia");
        let [removed, patched] = race_two(round, [owner.remove("mia"), patch]).await;
        removed.expect(204);
        let stored = project.stored().await;
        let removed_at = stored[&format!("memberships#{}", project.membership("mia"))].number("deleted_version");
        let written_at = stored["tasks#t1"].number("server_version");
        if patched.status == 200 {
            assert!(written_at < removed_at);
            return true;
        }
        patched.problem(403, "membership_revoked");
        assert_eq!(written_at, 3);
        false
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_batches_at_once_each_is_whole_and_decided_on_what_the_other_left() {
    let project = TestApp::new().await.with_project().with_tasks(2).await;
    let [ann, bob] = two(&project).await;
    let mut expected = project.current_version().await;
    until_either_won(async |round| {
        // There are ten tasks and an edge in each direction. Both batches together would close a cycle.
        let send = |by: &TestProject, who: &str, from: &str, to: &str| {
            let mut operations: Vec<Value> = (0..10).map(|n| batch::task(&format!("{who}-{round}-{n}"))).collect();
            let mut edge = batch::edge(from, to);
            edge["body"]["id"] = json!(format!("{who}-{round}"));
            operations.push(edge);
            batch::batch(by, operations)
        };
        let calls = [send(&ann, "ann", "t1", "t2"), send(&bob, "bob", "t2", "t1")];
        let answers = race_two(round, calls).await;
        let ann_won = first_won(&answers, 200, (409, "dependency_cycle"));
        expected += 11;
        assert_eq!(project.current_version().await, expected);
        let (winner, loser) = if ann_won { ("ann", "bob") } else { ("bob", "ann") };
        let tasks = project.stored().await;
        assert!(!tasks.keys().any(|key| key.starts_with(&format!("tasks#{loser}-{round}-"))));
        project.delete(&format!("dependencies/{winner}-{round}")).await.expect(204);
        expected += 1;
        ann_won
    })
    .await;
    project.assert_dense().await;
}
