//! Tests the promises of a restore: for repeated requests, for versions and marks from before it, for removed members, and for
//! the projects beside one that cannot be restored.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::Method;
use indicatif::ProgressBar;
use ops::backfill;
use ops::restore::{self, Options, RAISE, Report};
use serde_json::{Value, json};
use shared::domain::Role;
use shared::storage::Table;
use tests::support::{OWNER, Pull, TestProject, TestTable};

use crate::restore::{Item, Phone, app, assert_sound, fill, items, table};

type Items = BTreeMap<(String, String), Item>;

pub(crate) async fn run(table: &Table, lost: Option<&TestTable>) -> Result<Report, String> {
    let lost = match lost {
        Some(lost) => Some(lost.table().await),
        None => None,
    };
    let options = Options { project: None, lost, rate: 1_000_000, raise: RAISE };
    let report = restore::run(table, &options, &ProgressBar::hidden()).await;
    report.map_err(|error| shared::storage::reasons(error.as_ref()))
}

/// A new table with the contents of a backup, which was restored and found sound.
async fn restored(backup: &Items, lost: Option<&TestTable>) -> (TestTable, Report) {
    let restored = table("restored").await;
    fill(&restored, backup).await;
    let report = run(&restored.table().await, lost).await.expect("a report");
    assert_eq!(report.damaged, []);
    assert_sound(&restored).await;
    (restored, report)
}

async fn on(table: &TestTable, project: &TestProject) -> TestProject {
    project.seen_by(app(table).await)
}

fn counter(project: &TestProject) -> (String, String) {
    (project.id.clone(), "_counter".to_owned())
}

#[tokio::test]
async fn a_keyed_request_replays_if_the_restored_table_holds_all_it_did_and_is_done_anew_if_not() {
    let old = table("keyed").await;
    let project = app(&old).await.with_project().await;
    let pour = || project.post("tasks", &json!({"name": "Pour concrete"})).key("before");
    let first = pour().await.expect(201);
    let many = json!({"operations": [
        {"method": "POST", "path": "tasks/", "body": {"id": "x", "name": "x"}},
        {"method": "POST", "path": "tasks/", "body": {"id": "y", "name": "y"}},
        {"method": "POST", "path": "dependencies/", "body": {"id": "xy", "predecessor": "x", "successor": "y"}}]});
    project.post("batch", &many).key("cut").await.expect(200);
    let mut backup = items(&old).await;
    // The backup cuts the batch: one of its rows is missing, so its dependency names no task. The record of a request is there
    // without the effect of the request.
    backup.remove(&(project.id.clone(), "tasks#y".to_owned())).expect("a row");
    let late = json!({"name": "Late"});
    project.post("tasks", &late).key("ahead").await.expect(201);
    let ahead = items(&old).await.into_iter().filter(|(key, _)| key.0.starts_with("request#"));
    backup.extend(ahead);

    let (new, report) = restored(&backup, None).await;
    assert_eq!((report.kept_requests, report.dropped_requests), (1, 2), "{report}");
    assert_eq!(report.torn[0].finished_rows, ["dependencies#xy"]);
    let project = on(&new, &project).await;
    let again = project.post("tasks", &json!({"name": "Pour concrete"})).key("before").await;
    again.assert_replays(&first);
    let late = project.post("tasks", &late).key("ahead").await.expect(201);
    assert!(!late.is_replay());
    project.get(&format!("tasks/{}", late.row()["id"].as_str().expect("an id"))).await.expect(200);
    // The dependency's id is used up. The answers say that the other rows of the batch exist.
    let answer = project.post("batch", &many).key("cut").await;
    answer.problem(409, "id_deleted");
    let tasks = json!({"operations": [many["operations"][0], many["operations"][1]]});
    let answer = project.post("batch", &tasks).key("cut").await.expect(200);
    let statuses = answer.json()["results"].as_array().expect("results").iter().map(|r| r["status"].clone()).collect();
    assert_eq!((answer.is_replay(), Value::Array(statuses)), (false, json!([200, 201])));
}

#[tokio::test]
async fn a_version_from_before_a_restore_neither_matches_a_row_nor_merges_a_change_that_differs() {
    let old = table("versions").await;
    let project = app(&old).await.with_project().with_tasks(1).await;
    let kept = project.patch("tasks/t1", &json!({"notes": "a"})).await.version();
    let backup = items(&old).await;
    let taken_back = project.patch("tasks/t1", &json!({"notes": "b", "percent_complete": 80})).await.version();
    for lost in [None, Some(&old)] {
        let (new, _) = restored(&backup, lost).await;
        let project = on(&new, &project).await;
        let now = project.get("tasks/t1").await.version();
        for version in [kept, taken_back] {
            let patch = || project.patch("tasks/t1", &json!({"notes": "c"}));
            let answer = project.refuses(patch().based_on(version), 409, "sync_conflict").await;
            assert_eq!(answer.json()["conflict_fields"], json!(["notes"]));
            let stale = format!("\"{version}\"");
            project.refuses(patch().header("if-match", &stale), 412, "version_mismatch").await;
            let delete = project.delete("tasks/t1").header("if-match", &stale);
            project.refuses(delete, 412, "version_mismatch").await;
            let body = json!({"operations": [{"method": "DELETE", "path": "tasks/t1", "if_match": version}]});
            project.refuses(project.post("batch", &body), 412, "version_mismatch").await;
            // A field that has the value already does not differ.
            project.patch("tasks/t1", &json!({"notes": "a"})).based_on(version).await.expect(200);
        }
        let answer = project.patch("tasks/t1", &json!({"notes": "c"})).based_on(now).await.expect(200);
        assert_eq!(answer.header("x-merged-concurrent-fields"), None);
    }
}

#[tokio::test]
async fn who_lost_access_after_the_backup_has_none_after_the_restore_or_is_named() {
    let old = table("members").await;
    let project = app(&old).await.with_project().with_member("eve", Role::Admin).with_member("adam", Role::Admin);
    let project = project.with_member("mia", Role::Member).await;
    let backup = items(&old).await;
    project.remove("eve").await.expect(204);
    project.change("adam", Role::Viewer).await.expect(200);
    project.change("mia", Role::Owner).await.expect(200);
    project.remove(OWNER).by("mia").await.expect(204);

    let (new, report) = restored(&backup, Some(&old)).await;
    let mut changed: Vec<_> = report.memberships.iter().map(|change| (change.user.as_str(), change.role)).collect();
    changed.sort_unstable();
    assert_eq!(changed, [("adam", Some(1)), ("eve", None), ("mia", Some(400)), (OWNER, None)]);
    assert_eq!(report.have_access, []);
    let again = on(&new, &project).await;
    for (user, code) in [("eve", "membership_revoked"), (OWNER, "membership_revoked"), ("adam", "role_too_low")] {
        again.give("mallory", Role::Viewer).by(user).await.problem(403, code);
    }
    again.give("nina", Role::Admin).by("mia").await.expect(201);
    // The removed member's phone is emptied, whatever mark it has.
    for since in [3, 5] {
        let pull = Pull::of(&again.sync(&format!("since={since}")).by("eve").await);
        assert!(pull.checksums.is_none() && !pull.is_empty(), "{pull:?}");
        assert!(pull.updated("tasks").is_empty() && pull.updated("memberships").is_empty(), "{pull:?}");
    }

    let (new, report) = restored(&backup, None).await;
    assert_eq!(report.memberships, []);
    let have = &report.have_access[0];
    let mut users: Vec<_> = have.members.iter().map(|member| (member.user.as_str(), member.role)).collect();
    users.sort_unstable();
    assert_eq!(have.project, project.id);
    assert_eq!(users, [("adam", 300), ("eve", 300), ("mia", 100), (OWNER, 400)]);
    assert!(report.to_string().contains("4 memberships of 1 projects are as in the backup"), "{report}");
    on(&new, &project).await.get("tasks").by("eve").await.expect(200);
}

#[tokio::test]
async fn who_is_out_after_a_restore_keeps_nothing_that_only_the_lost_table_had() {
    let old = table("leaving").await;
    let old_app = app(&old).await;
    let project = old_app.with_project().with_tasks(2).with_member("eve", Role::Member).await;
    project.give("back", Role::Member).await.expect(201);
    project.remove("back").await.expect(204);
    let backup = items(&old).await;
    project.create("tasks", json!({"id": "later", "name": "Later"})).await;
    project.give("back", Role::Member).await.expect(201);
    project.give("mia", Role::Member).await.expect(201);
    project.give("nina", Role::Member).await.expect(201);
    let made = old_app.with_project().with_tasks(2).with_member("eve", Role::Member).with_member("mia", Role::Member);
    let made = made.await;
    let mut phones = Vec::new();
    for user in ["eve", "mia", "nina", "back"] {
        phones.push((&project, Phone::of(user, &project).await));
    }
    for user in ["eve", "mia", OWNER] {
        phones.push((&made, Phone::of(user, &made).await));
    }
    project.remove("eve").await.expect(204);

    let (new, _) = restored(&backup, Some(&old)).await;
    for (project, mut phone) in phones {
        phone.catch_up(&on(&new, project).await).await;
        assert_eq!(phone.device.rows, BTreeMap::new());
    }
}

#[tokio::test]
async fn a_project_that_the_backup_does_not_know_made_again_under_its_id_begins_above_every_mark() {
    let old = table("made").await;
    let old_app = app(&old).await;
    let other = old_app.with_project().await;
    let backup = items(&old).await;
    let project = old_app.with_project().with_tasks(3).await;
    let mark = project.pull(0).await.mark;

    let (new, _) = restored(&backup, None).await;
    // A backup of the restored table is restored. The versions then begin still higher.
    let (newer, _) = restored(&items(&new).await, None).await;
    for (table, floor) in [(&new, RAISE), (&newer, 2 * RAISE)] {
        let again = on(table, &project).await;
        again.sync(&format!("since={mark}")).await.problem(403, "not_a_member");
        let create = json!({"id": project.id, "name": "House"});
        let made = again.app.call(Method::POST, "/api/v1/projects/").by(OWNER).json(&create).await.expect(201);
        assert_eq!(made.version(), floor + 1);
        again.create("tasks", json!({"id": "t9", "name": "Other"})).await;
        for since in [1, mark, floor] {
            again.sync(&format!("since={since}")).await.problem(409, "resync_required");
        }
        let pull = again.pull(0).await;
        assert_eq!((pull.mark, pull.len()), (floor + 3, 3));
        again.patch("tasks/t9", &json!({"name": "X"})).based_on(mark).await.problem(409, "sync_conflict");
        assert_sound(table).await;
        // No device has a mark for an id that the server chooses.
        let body = json!({"name": "Fresh"});
        let fresh = again.app.call(Method::POST, "/api/v1/projects/").by(OWNER).json(&body).await.expect(201);
        assert_eq!(fresh.version(), 1);
        // The id depends on the key, so the project may have been created before.
        let keyed = again.app.call(Method::POST, "/api/v1/projects/").by(OWNER).json(&body).key("k").await.expect(201);
        assert_eq!(keyed.version(), floor + 1);
    }

    let (new, _) = restored(&backup, Some(&old)).await;
    let again = on(&new, &project).await;
    let create = json!({"id": project.id, "name": "House"});
    again.app.call(Method::POST, "/api/v1/projects/").by(OWNER).json(&create).await.problem(409, "id_taken");
    assert!(!items(&new).await.keys().any(|(partition, _)| partition == "table#"));
    on(&new, &other).await.get("").await.expect(200);
}

#[tokio::test]
async fn a_creation_that_the_backup_cut_on_a_table_restored_before_is_taken_back() {
    let old = table("twice").await;
    app(&old).await.with_project().await;
    let (new, _) = restored(&items(&old).await, None).await;
    let before = items(&new).await;
    let project = app(&new).await.with_project().await;
    let after = items(&new).await;
    for part in [counter(&project), (project.id.clone(), format!("projects#{}", project.id))] {
        let mut half = before.clone();
        half.insert(part.clone(), after[&part].clone());
        let (newer, report) = restored(&half, None).await;
        assert!(report.torn.len() == 1 && report.torn[0].removed, "{report}");
        assert!(items(&newer).await.keys().all(|(partition, _)| *partition != project.id));
    }
}

/// Makes the table refuse the transactions of one project.
async fn refusing(table: &TestTable, project: &TestProject) -> Table {
    let id = project.id.clone();
    let look = table.seen_by(move |operation, request| {
        let body = request.body().bytes().unwrap_or_default();
        if operation == "TransactWriteItems" && String::from_utf8_lossy(body).contains(&id) {
            request.headers_mut().insert("x-amz-target", "DynamoDB_20120810.NoSuchOperation");
        }
        Ok(())
    });
    look.await
}

#[tokio::test]
async fn a_project_that_cannot_be_restored_or_filled_in_is_reported_and_stops_no_other() {
    let old = table("several").await;
    let app = app(&old).await;
    let mut projects = [app.with_project().await, app.with_project().await, app.with_project().await];
    projects.sort_by(|one, other| one.id.cmp(&other.id));
    let new = table("restored").await;
    fill(&new, &items(&old).await).await;
    let report = run(&refusing(&new, &projects[0]).await, None).await.expect("a report");
    assert_eq!((report.restored_projects, report.exit_code()), (2, 1));
    assert_eq!((report.damaged.len(), &report.damaged[0].project), (1, &projects[0].id));
    assert!(!report.damaged[0].detail.is_empty(), "{report}");
    assert!(report.to_string().contains("NOT RESTORED"), "{report}");
    let report = run(&new.table().await, None).await.expect("a report");
    assert_eq!((report.restored_projects, report.restored_before, report.exit_code()), (1, 2, 0));
    assert_sound(&new).await;

    let mut rows = items(&new).await;
    for project in &projects {
        let own = rows.get_mut(&(project.id.clone(), format!("projects#{}", project.id))).expect("a row");
        let json = own["row"].as_s().expect("JSON").replace(r#","description":"""#, "");
        own.insert("row".to_owned(), aws_sdk_dynamodb::types::AttributeValue::S(json));
    }
    fill(&new, &rows).await;
    let options = backfill::Options { project: None, collection: None, rate: 1_000_000 };
    let report = backfill::run(&refusing(&new, &projects[1]).await, &options, &ProgressBar::hidden()).await;
    let report = report.expect("a report");
    assert_eq!((report.filled_rows, report.failed.len(), report.exit_code()), (2, 1, 1), "{report}");
    assert_eq!(report.failed[0].project, projects[1].id);
    assert!(report.to_string().contains("FAILED"), "{report}");
}

#[tokio::test]
async fn a_table_that_cannot_be_read_any_more_ends_the_run() {
    let old = table("unreadable").await;
    app(&old).await.with_project().await;
    let gone = AtomicBool::new(false);
    let unreadable = old.seen_by(move |operation, _| {
        let gone = gone.fetch_or(operation == "Query", Ordering::Relaxed);
        if gone || operation == "Query" { Err("no credentials".into()) } else { Ok(()) }
    });
    let failed = run(&unreadable.await, None).await.expect_err("no table");
    assert!(failed.contains("no credentials"), "{failed}");
}

#[tokio::test]
async fn rows_that_take_twice_their_json_are_restored_in_batches_that_fit() {
    if TestTable::may_count_differently() {
        // Another engine may count the JSON of a request towards the 4 MB of a transaction.
        return;
    }
    let old = table("large").await;
    let project = app(&old).await.with_project().await;
    let exception = json!({"start": "2026-01-01", "end": "2026-01-02", "description": "\"".repeat(255)});
    let exceptions = vec![exception; 365];
    for number in 0..11 {
        let calendar = json!({"id": format!("c{number}"), "name": "c", "exceptions": exceptions});
        project.create("calendars", calendar).await;
    }
    let (new, _) = restored(&items(&old).await, None).await;
    let low = |item: &Item| item.get("server_version")?.as_n().ok()?.parse::<u64>().ok().filter(|at| *at <= RAISE);
    assert_eq!(items(&new).await.values().filter_map(low).count(), 0);
    on(&new, &project).await.get("calendars/c10").await.expect(200);
}
