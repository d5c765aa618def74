//! Deleting a task takes its dependencies along.

use std::future::IntoFuture;

use serde_json::json;
use tests::support::{Device, Pull, TestApp, TestProject};

/// No dependency is live that names a task which is not.
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

/// A task `t1` with four edges of each type to and from each of the others.
async fn hub(edges: usize) -> TestProject {
    let project = TestApp::new().await.with_project().with_tasks(edges / 4 + 1).await;
    for task in 2..=edges / 4 + 1 {
        let other = format!("t{task}");
        let (predecessor, successor) = if task % 2 == 0 { ("t1", other.as_str()) } else { (other.as_str(), "t1") };
        for dep_type in ["FS", "SS", "FF", "SF"] {
            let id = format!("{other}-{dep_type}");
            let edge = json!({"id": id, "predecessor": predecessor, "successor": successor, "dep_type": dep_type});
            project.create("dependencies", edge).await;
        }
    }
    project
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
