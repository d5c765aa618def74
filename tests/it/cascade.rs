//! Tests that deleting a task deletes its dependencies.

use std::future::IntoFuture;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use shared::domain::Role;
use shared::storage::MAX_ROWS;
use tests::support::{Call, Device, Fault, Pull, TestApp, TestProject, TestTable};

use crate::batch;

/// Checks that no live dependency names a dead task.
fn assert_no_dangling_edge(device: &Device) {
    for ((collection, id), edge) in &device.rows {
        if collection == "dependencies" {
            for end in ["predecessor", "successor"] {
                let task = ("tasks".to_owned(), edge[end].as_str().expect("a task").to_owned());
                assert!(device.rows.contains_key(&task), "{id} is there without {task:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_deleted_task_takes_every_live_edge_along_and_the_device_gets_all_tombstones() {
    let setup = TestApp::new().await.with_project().with_tasks(4).with_edge("t1", "t2").with_edge("t2", "t3");
    let project = setup.with_edge("t3", "t4").with_edge("t2", "t4").await;
    project.delete("dependencies/t2-t4").await.expect(204);
    let mark = project.pull(0).await.mark;
    project.delete("tasks/t2").await.expect(204);
    let pull = project.pull(mark).await;
    assert_eq!((pull.deleted("tasks"), pull.deleted("dependencies")), (vec!["t2"], vec!["t1-t2", "t2-t3"]));
    assert_eq!((pull.len(), pull.mark), (3, mark + 3));
    assert_eq!(project.pull(0).await.updated("dependencies"), ["t3-t4"]);
}

#[tokio::test]
async fn the_edges_tombstones_come_before_the_tasks() {
    let project = TestApp::new().await.with_project().with_tasks(3).with_edge("t1", "t2").with_edge("t2", "t3").await;
    let mark = project.current_version().await;
    project.delete("tasks/t2").await.expect(204);
    let page = Pull::of(&project.sync(&format!("since={mark}&limit=2")).await);
    assert_eq!((page.deleted("dependencies").len(), page.deleted("tasks").len()), (2, 0));
    assert_eq!(project.pull(page.mark).await.deleted("tasks"), ["t2"]);
}

#[tokio::test]
async fn a_stale_delete_leaves_the_edges_alone() {
    let project = TestApp::new().await.with_project().with_tasks(2).with_edge("t1", "t2").await;
    project.refuses(project.delete("tasks/t1").if_match(2), 412, "version_mismatch").await;
    assert_eq!(project.pull(0).await.updated("dependencies"), ["t1-t2"]);
}

/// Adds a task `hub` to the project, with four edges of each type to and from each of this many other tasks.
pub(crate) async fn tie_hub(project: &TestProject, hub: &str, others: usize) {
    let mut operations = vec![batch::task(hub)];
    operations.extend((0..others).map(|n| batch::task(&format!("{hub}-{n}"))));
    for n in 0..others {
        let other = format!("{hub}-{n}");
        let (predecessor, successor) = if n % 2 == 0 { (hub, other.as_str()) } else { (other.as_str(), hub) };
        for dep_type in ["FS", "SS", "FF", "SF"] {
            let id = format!("{other}-{dep_type}");
            let body = json!({"id": id, "predecessor": predecessor, "successor": successor, "dep_type": dep_type});
            operations.push(json!({"method": "POST", "path": "dependencies/", "body": body}));
        }
    }
    for operations in operations.chunks(MAX_ROWS) {
        batch::batch(project, operations.to_vec()).await.expect(200);
    }
}

/// A project whose task `t1` has so many edges.
async fn hub(edges: usize) -> TestProject {
    let project = TestApp::new().await.with_project().await;
    tie_hub(&project, "t1", edges / 4).await;
    project
}

/// The number of live edges of the project.
pub(crate) async fn live_edges(project: &TestProject) -> usize {
    project.live_rows().await.keys().filter(|(collection, _)| collection == "dependencies").count()
}

/// The project through an instance that can send this many transactions and then no more.
async fn with_transactions(project: &TestProject, most: usize) -> TestProject {
    let table = TestTable::of_this_process().await;
    let fault = move |n| if n > most { Fault::Expired } else { Fault::None };
    project.seen_by(TestApp::on(table, table.with_faults(fault).await).await)
}

/// Sends a deletion that is cut off after this many of its commits. The answer must not say that nothing was written.
pub(crate) async fn begin(project: &TestProject, commits: usize, deletion: impl Fn(&TestProject) -> Call) {
    let answer = deletion(&with_transactions(project, commits).await).await;
    answer.problem(503, "outcome_unknown");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(project.counter().await.get("unfinished").is_some());
}

/// Checks that the task was deleted after all its edges, and that nothing is left to do.
pub(crate) async fn assert_finished(project: &TestProject, task: &str) {
    let stored = project.stored().await;
    let died = stored[&format!("tasks#{task}")].number("deleted_version");
    let names = |row: &Value| row["predecessor"] == task || row["successor"] == task;
    let edges = stored.iter().filter(|(key, row)| key.starts_with("dependencies#") && names(&row.content()));
    for (key, edge) in edges {
        assert!(edge.is_dead() && edge.number("deleted_version") < died, "{key}");
    }
    assert!(project.counter().await.get("unfinished").is_none());
    project.assert_dense().await;
}

#[tokio::test]
async fn a_deletion_that_has_begun_comes_to_its_end_whoever_loses_a_role_or_changes_the_task() {
    let project = hub(224).await;
    project.create("memberships", json!({"user": "mia", "role": Role::Member})).await;
    let version = project.get("tasks/t1/").await.version();
    let deletion = |project: &TestProject| project.delete("tasks/t1").by("mia").if_match(version).key("k");
    begin(&project, 1, deletion).await;
    let begun = live_edges(&project).await;
    assert!(begun > 0 && begun < 224, "{begun} edges");

    project.patch("tasks/t1", &json!({"notes": "keep it"})).await.problem(404, "not_found");
    assert_finished(&project, "t1").await;
    let died = project.current_version().await;
    project.change("mia", Role::Viewer).await.expect(200);
    let again = project.writes_nothing(deletion(&project)).await.expect(204);
    assert!(again.is_replay());
    assert_eq!(again.committed(), died);
}

#[tokio::test]
async fn every_kind_of_commit_finishes_a_deletion_first() {
    let kinds: [fn(&TestProject) -> Call; 7] = [
        |project| project.post("tasks", &json!({"id": "new", "name": "new"})),
        |project| project.patch("", &json!({"name": "Villa"})),
        |project| project.post("memberships", &json!({"user": "vic", "role": 1})),
        |project| batch::batch(project, [batch::task("in-a-batch")]),
        |project| project.delete("tasks/t1-0"),
        |project| project.post("calendars", &json!({"name": "site"})).key("calendar"),
        |project| project.delete(""),
    ];
    let project = TestApp::new().await.with_project().await;
    for (n, kind) in kinds.into_iter().enumerate() {
        let task = format!("t{}", n + 1);
        tie_hub(&project, &task, 26).await;
        begin(&project, 1, |project| project.delete(&format!("tasks/{task}"))).await;
        let answer = kind(&project).await;
        assert!(answer.status < 300, "{answer:?}");
        assert_finished(&project, &task).await;
        let died = project.stored().await[&format!("tasks#{task}")].number("deleted_version");
        assert_eq!(died + 1, answer.committed(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_repetition_of_a_deletion_that_has_begun_is_answered_like_its_first_sending() {
    let project = hub(308).await;
    let version = project.get("tasks/t1/").await.version();
    let deletion = |project: &TestProject| project.delete("tasks/t1").if_match(version);
    begin(&project, 1, deletion).await;
    // The repetition, too, can be cut off.
    begin(&project, 1, deletion).await;
    assert!(live_edges(&project).await > 0);
    deletion(&project).await.expect(204);
    assert_finished(&project, "t1").await;
}

#[tokio::test]
async fn a_deletion_whose_answer_is_lost_on_the_way_is_answered_with_its_last_version() {
    let project = hub(224).await;
    let table = TestTable::of_this_process().await;
    // Each part takes effect, and each time the first answer is lost.
    let fault = |n| if n % 2 == 1 { Fault::AnswerLost } else { Fault::None };
    let unlucky = project.seen_by(TestApp::on(table, table.with_faults(fault).await).await);
    let answer = unlucky.delete("tasks/t1").key("k").await.expect(204);
    assert!(!answer.is_replay());
    assert_finished(&project, "t1").await;
    assert_eq!(answer.committed(), project.current_version().await);
    project.delete("tasks/t1").key("k").await.assert_replays(&answer);
}

#[tokio::test]
async fn the_last_part_whose_token_is_forgotten_is_seen_in_the_table() {
    let project = hub(112).await;
    let table = TestTable::of_this_process().await;
    let fault = |n| match n {
        2 => Fault::AnswerLost,
        3 => Fault::TokenForgotten,
        _ => Fault::None,
    };
    let unlucky = project.seen_by(TestApp::on(table, table.with_faults(fault).await).await);
    let answer = unlucky.delete("tasks/t1").await.expect(204);
    assert_finished(&project, "t1").await;
    assert_eq!(answer.committed(), project.current_version().await);
}

/// Sets or removes the note on the counter. Code that does not know the note never does either.
async fn note(project: &TestProject, note: Option<AttributeValue>) {
    let update = project.app.look_into().update_item().table_name(&TestTable::of_this_process().await.name);
    let update = update
        .key("project_id", AttributeValue::S(project.id.clone()))
        .key("entity", AttributeValue::S("_counter".to_owned()));
    let update = match note {
        Some(note) => update.update_expression("SET unfinished = :note").expression_attribute_values(":note", note),
        None => update.update_expression("REMOVE unfinished"),
    };
    update.send().await.expect("an update");
}

#[tokio::test]
async fn an_edge_that_older_code_ties_to_a_task_that_is_being_deleted_goes_with_it() {
    let project = hub(224).await;
    begin(&project, 1, |project| project.delete("tasks/t1")).await;
    let noted = project.counter().await.get("unfinished").cloned();
    // Older code does not see the note.
    note(&project, None).await;
    project.create("tasks", json!({"id": "late", "name": "late"})).await;
    project.post_edge("t1", "late").await.expect(201);
    note(&project, noted).await;
    project.delete("tasks/t1").await.expect(204);
    assert!(project.stored().await["dependencies#t1-late"].is_dead());
    assert_finished(&project, "t1").await;
}

#[tokio::test]
async fn a_note_of_a_task_that_is_dead_already_or_never_was_is_dropped_by_the_next_commit() {
    let project = TestApp::new().await.with_project().with_tasks(2).await;
    project.delete("tasks/t2").await.expect(204);
    for task in ["t2", "never"] {
        note(&project, Some(AttributeValue::M([("task".to_owned(), AttributeValue::S(task.to_owned()))].into()))).await;
        let before = project.current_version().await;
        project.patch("tasks/t1", &json!({"name": task})).await.expect(200);
        assert!(project.counter().await.get("unfinished").is_none());
        assert_eq!(project.current_version().await, before + 1);
    }
}

#[tokio::test]
async fn a_device_that_pulls_between_the_parts_of_a_deletion_misses_nothing() {
    let project = hub(308).await;
    let mut device = Device::default();
    device.synchronize(&project, None).await;
    for commits in [1, 1] {
        begin(&project, commits, |project| project.delete("tasks/t1")).await;
        device.synchronize(&project, None).await;
        assert_eq!(device.rows, project.live_rows().await);
        assert_no_dangling_edge(&device);
    }
    project.delete("tasks/t1").await.expect(204);
    device.synchronize(&project, None).await;
    assert_eq!(device.rows, project.live_rows().await);
}

#[tokio::test]
async fn a_task_with_more_edges_than_fit_one_transaction_dies_after_all_of_them() {
    let project = hub(112).await;
    let watching = project.seen_by(TestApp::new().await);
    let mut device = Device::default();
    device.synchronize(&watching, None).await;
    let deletion = tokio::spawn(project.delete("tasks/t1").into_future());
    while !deletion.is_finished() {
        device.synchronize(&watching, None).await;
        assert_no_dangling_edge(&device);
    }
    deletion.await.expect("no panic").expect(204);

    let stored = project.stored().await;
    let task = stored["tasks#t1"].number("deleted_version");
    let edges: Vec<_> = stored.iter().filter(|(key, _)| key.starts_with("dependencies#")).map(|(_, row)| row).collect();
    assert_eq!(edges.len(), 112);
    assert!(edges.iter().all(|edge| edge.is_dead() && edge.number("deleted_version") < task));
    assert_eq!(task, project.current_version().await);
    project.assert_dense().await;
    device.synchronize(&watching, None).await;
    assert_eq!(device.rows, project.live_rows().await);
    project.writes_nothing(project.delete("tasks/t1")).await.expect(204);
}
