//! Tests leaving a project, even a deleted one, and the cost of a page of the list of projects.

use axum::http::Method;
use indicatif::ProgressBar;
use ops::verify::{self, Patience, Verdict};
use serde_json::{Value, json};
use shared::domain::Role;
use tests::support::{Device, OWNER, Pull, TestApp, TestProject, TestTable};

use crate::cost::Cost;

/// The ids on all pages of a user's projects, with the number of pages and read units.
async fn projects_of(app: &TestApp, user: &str, limit: usize) -> (Vec<String>, Vec<Cost>) {
    let (mut ids, mut costs) = (Vec::new(), Vec::new());
    let mut next = Some(format!("/api/v1/projects/?limit={limit}"));
    while let Some(path) = next {
        let answer = app.call(Method::GET, &path).by(user).await.expect(200);
        costs.push(Cost::of(&answer));
        let page = answer.json();
        let rows = page["results"].as_array().expect("an array");
        assert!(rows.len() <= limit);
        ids.extend(rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()));
        next = page["next"].as_str().map(str::to_owned);
    }
    (ids, costs)
}

async fn assert_sound(project: &TestProject) {
    let table = TestTable::of_this_process().await.table().await;
    let id = project.id.parse().expect("an id");
    let report = verify::run(&table, Some(id), Patience::default(), &ProgressBar::hidden()).await.expect("a report");
    assert_eq!(report.verdict, Verdict::Sound, "{report}");
}

#[tokio::test]
async fn a_member_may_leave_a_deleted_project_and_is_not_listed_any_more() {
    let user = "leaves-a-deleted-project";
    let project = TestApp::new().await.with_project().with_tasks(3).with_member(user, Role::Viewer).await;
    let mut told_late = Device::default();
    told_late.apply(&Pull::of(&project.sync("since=0").by(user).await));
    project.delete("").await.expect(204);
    let mut told_before = told_late.clone();
    told_before.apply(&Pull::of(&project.sync(&format!("since={}", told_before.mark)).by(user).await));
    assert!(told_before.rows.is_empty());

    project.refuses(project.remove(user), 410, "project_deleted").await;
    project.refuses(project.remove(OWNER).by(user), 410, "project_deleted").await;
    project.remove(user).by(user).await.expect(204);
    let left_at = project.current_version().await;
    // A device that holds rows is told to forget them, as when its user is removed from a live project. A device that holds none
    // is told of the deletion again. Then both are told that their user was removed.
    for mut device in [told_late, told_before] {
        let pull = Pull::of(&project.sync(&format!("since={}", device.mark)).by(user).await);
        device.apply(&pull);
        assert_eq!((device.rows.len(), device.mark, pull.path.as_str()), (0, left_at, "wiped"));
        project.refuses(project.sync(&format!("since={left_at}")).by(user), 403, "membership_revoked").await;
    }
    project.refuses(project.remove(user).by(user), 403, "membership_revoked").await;
    // The others are told of the deletion as before.
    let mut owner = Device::default();
    owner.apply(&Pull::of(&project.sync("since=1").await));
    assert!(owner.rows.is_empty());
    project.assert_dense().await;
    assert_sound(&project).await;
    assert_eq!(project.stored().await[&format!("memberships#{}", project.membership(user))].get("user_id"), None);
    assert_eq!(projects_of(&project.app, user, 100).await.0, [""; 0]);
}

#[tokio::test]
async fn one_who_was_made_an_owner_and_left_alone_deletes_the_project_and_leaves_it() {
    let user = "an-owner-by-surprise";
    let project = TestApp::new().await.with_project().with_member(user, Role::Owner).await;
    // While there is another owner, either may leave at any time.
    project.remove(OWNER).await.expect(204);
    let refusal = project.refuses(project.remove(user).by(user), 409, "last_owner").await;
    assert!(refusal.json()["detail"].as_str().is_some_and(|detail| detail.contains("delete the project")));
    project.delete("").by(user).await.expect(204);
    project.remove(user).by(user).key("leave").await.expect(204);
    project.assert_dense().await;
    assert_sound(&project).await;
    let call = project.app.call(Method::GET, "/api/v1/projects/").by(user).await.expect(200);
    assert_eq!(call.json(), json!({"results": [], "next": null}));
}

#[tokio::test]
async fn all_members_of_a_deleted_project_may_leave_at_once() {
    let users = ["at-once-1", "at-once-2", "at-once-3"];
    let mut setup = TestApp::new().await.with_project();
    for user in users {
        setup = setup.with_member(user, Role::Owner);
    }
    let project = setup.await;
    project.delete("").await.expect(204);
    let leaves = users.into_iter().chain([OWNER]).map(|user| {
        let call = project.remove(user).by(user);
        tokio::spawn(async move { call.await.status })
    });
    for leave in leaves.collect::<Vec<_>>() {
        assert_eq!(leave.await.expect("an answer"), 204);
    }
    project.assert_dense().await;
    assert_sound(&project).await;
}

#[tokio::test]
async fn a_page_of_projects_looks_at_a_bounded_number_of_memberships_however_many_are_of_deleted_projects() {
    let user = "put-into-many-projects";
    let app = TestApp::new().await;
    let mut live = Vec::new();
    for n in 0..230 {
        let id = format!("many-{n:03}");
        let body = json!({"id": id, "name": "House", "start_date": "2026-03-02"});
        app.call(Method::POST, "/api/v1/projects/").by(OWNER).json(&body).await.expect(201);
        let project = TestProject { app: app.clone(), id };
        project.give(user, Role::Viewer).await.expect(201);
        // Only four of 230 are live: at the beginning, in the middle and at the end.
        if [0, 120, 228, 229].contains(&n) {
            live.push(project.id);
        } else {
            project.delete("").await.expect(204);
        }
    }
    for (limit, pages) in [(1, 6), (2, 4), (100, 3), (1_000, 1)] {
        let (ids, costs) = projects_of(&app, user, limit).await;
        assert_eq!(ids, live, "limit {limit}");
        assert!(costs.len() <= pages, "limit {limit}: {} pages", costs.len());
        if TestTable::may_count_differently() {
            continue;
        }
        for cost in costs {
            // Each membership takes a share of the index's page and one read of a row. A membership that is shown takes two
            // reads.
            let most = 20 + limit.max(100);
            assert!(cost.calls <= 24 && cost.reads() <= most as f64 * 1.1, "limit {limit}: {cost:?}");
        }
    }
    let first: Value = app.call(Method::GET, "/api/v1/projects/?limit=2").by(user).await.expect(200).json();
    assert!(first["next"].is_string() && first["results"].as_array().is_some_and(|rows| rows.len() == 1), "{first}");
}
