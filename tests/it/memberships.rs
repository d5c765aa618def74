//! Tests memberships: who belongs to a project, with which role, and who may change that.

use axum::http::Method;
use serde_json::json;
use shared::domain::Role;
use tests::support::{OWNER, Setup, TestApp};

async fn with_team() -> Setup {
    let setup = TestApp::new().await.with_project();
    let setup = setup.with_member("adam", Role::Admin).with_member("ada", Role::Admin);
    setup.with_member("sofia", Role::Scheduler).with_member("mia", Role::Member).with_member("vic", Role::Viewer)
}

#[tokio::test]
async fn a_membership_has_an_id_that_follows_from_project_and_user() {
    let project = TestApp::new().await.with_project().await;
    let added = project.give("mia", Role::Member).await.expect(201);
    let id = project.membership("mia");
    let expected = json!({"id": id, "server_version": 3, "project": project.id, "user": "mia", "role": 100});
    assert_eq!(added.row(), expected);
    let address = format!("/api/v1/projects/{}/memberships/{id}/", project.id);
    assert_eq!(added.header("location"), Some(address.as_str()));
    let named = json!({"id": id, "user": "mia", "role": 100});
    assert_eq!(project.post("memberships", &named).await.expect(200).row(), expected);
    let misnamed = json!({"id": "mine", "user": "vic", "role": 1});
    project.refuses_fields(project.post("memberships", &misnamed), &["id"]).await;
}

#[tokio::test]
async fn the_longest_user_id_goes_through_every_key_and_record() {
    let app = TestApp::new().await;
    // The id has 255 characters. Most take four bytes, and one must be escaped in JSON.
    let user = format!("{}\"", "\u{1f600}".repeat(254));
    let post =
        |path: &str, key: &str| app.call(Method::POST, path).by(&user).header("idempotency-key", &key.repeat(255));
    let create = || post("/api/v1/projects/", "k").json(&json!({"name": "Mine"}));
    let project = create().await.expect(201).json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(create().await.header("idempotent-replay"), Some("true"));
    let own = app.call(Method::GET, "/api/v1/projects/").by(&user).await.expect(200);
    assert_eq!(own.json()["results"][0]["id"], project.as_str());
    let below = |path: &str| format!("/api/v1/projects/{project}/{path}");
    let task = json!({"id": "t", "name": "x", "assignee": user});
    let tasks = || post(&below("tasks/"), "l").json(&task);
    assert_eq!(tasks().await.expect(201).json()["assignee"], user.as_str());
    let members = app.call(Method::GET, &below("memberships/")).by(&user).await.expect(200);
    assert_eq!(members.json()["results"][0]["user"], user.as_str());
    let pull = app.call_sync(&below("sync/?since=0")).by(&user).await.expect(200);
    assert_eq!(pull.json()["changes"]["memberships"]["updated"][0]["user"], user.as_str());
}

#[tokio::test]
async fn an_admin_gives_changes_and_takes_the_roles_below_the_own() {
    let project = with_team().await.await;
    project.give("new", Role::Scheduler).by("adam").await.expect(201);
    project.change("new", Role::Viewer).by("adam").await.expect(200);
    project.remove("new").by("adam").await.expect(204);
    for call in [
        project.give("eve", Role::Admin),
        project.give("eve", Role::Owner),
        project.change("mia", Role::Admin),
        project.change("ada", Role::Viewer),
        project.change("adam", Role::Owner),
        project.change(OWNER, Role::Viewer),
        project.remove("ada"),
        project.remove(OWNER),
    ] {
        project.refuses(call.by("adam"), 403, "role_too_low").await;
    }
}

#[tokio::test]
async fn below_admin_nobody_manages_memberships_and_everyone_may_leave() {
    let project = with_team().await.await;
    for user in ["sofia", "mia", "vic"] {
        for call in [project.give("eve", Role::Viewer), project.change("vic", Role::Member), project.remove("ada")] {
            project.refuses(call.by(user), 403, "role_too_low").await;
        }
    }
    project.refuses(project.remove("vic").by("mia"), 403, "role_too_low").await;
    for user in ["vic", "mia", "sofia", "ada"] {
        project.remove(user).by(user).await.expect(204);
        project.refuses(project.get("").by(user), 403, "membership_revoked").await;
    }
}

#[tokio::test]
async fn an_owner_manages_every_role_and_can_make_another_owner() {
    let project = with_team().await.await;
    project.change("adam", Role::Owner).await.expect(200);
    project.change(OWNER, Role::Admin).by("adam").await.expect(200);
    project.refuses(project.remove("adam"), 403, "role_too_low").await;
    project.remove(OWNER).by("adam").await.expect(204);
}

#[tokio::test]
async fn the_last_owner_can_neither_leave_nor_be_demoted() {
    let project = with_team().await.await;
    project.refuses(project.remove(OWNER), 409, "last_owner").await;
    project.refuses(project.change(OWNER, Role::Admin), 409, "last_owner").await;
    project.give("otto", Role::Owner).await.expect(201);
    project.remove(OWNER).await.expect(204);
    project.refuses(project.remove("otto").by("otto"), 409, "last_owner").await;
}

#[tokio::test]
async fn a_role_is_one_of_five_numbers_and_a_membership_is_of_one_user_for_ever() {
    let project = with_team().await.await;
    for role in [0, 2, 150, 401, -1] {
        project.refuses_fields(project.give("eve", role), &["role"]).await;
        project.refuses_fields(project.change("mia", role), &["role"]).await;
    }
    let row = format!("memberships/{}", project.membership("mia"));
    project.refuses_fields(project.patch(&row, &json!({"user": "eve"})), &["user"]).await;
    for user in ["", "a\nb"] {
        project.refuses_fields(project.give(user, Role::Viewer), &["user"]).await;
    }
    project.refuses_fields(project.post("memberships", &json!({"role": 1})), &["user"]).await;
    project.refuses(project.give("mia", Role::Viewer), 409, "id_taken").await;
    project.refuses(project.remove("never"), 404, "not_found").await;
}

#[tokio::test]
async fn a_member_who_is_added_again_is_the_same_row_that_knows_when_it_was_removed() {
    let project = TestApp::new().await.with_project().with_member("mia", Role::Member).await;
    let key = format!("memberships#{}", project.membership("mia"));
    for round in [4, 6] {
        project.remove("mia").await.expect(204);
        assert!(project.stored().await[&key].is_dead());
        assert_eq!(project.give("mia", Role::Viewer).await.expect(201).version(), round + 1);
    }
    let stored = &project.stored().await[&key];
    assert_eq!(stored.numbers("removed_at"), [4, 6]);
    assert_eq!(stored.versions(), [3, 4, 5, 6, 7]);
    project.get("").by("mia").await.expect(200);
}

#[tokio::test]
async fn a_role_that_is_raised_or_lowered_counts_from_the_next_request_on() {
    let project = TestApp::new().await.with_project().with_member("vic", Role::Viewer).await;
    let create = |id: &str| project.post("tasks", &json!({"id": id, "name": "x"})).by("vic");
    project.refuses(create("a"), 403, "role_too_low").await;
    project.change("vic", Role::Member).await.expect(200);
    create("a").await.expect(201);
    project.change("vic", Role::Viewer).await.expect(200);
    project.refuses(create("b"), 403, "role_too_low").await;
}
