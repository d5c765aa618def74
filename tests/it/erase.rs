//! Tests that a user, or the content of old tombstones, is erased while devices continue to pull.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::types::AttributeValue::S;
use axum::http::Method;
use indicatif::ProgressBar;
use ops::erase::{self, Options, Report, Target};
use ops::verify::{self, Patience, Verdict};
use serde_json::{Value, json};
use shared::domain::{Error, Role};
use shared::storage::Table;
use tests::support::{Device, OWNER, Pull, TestApp, TestProject, TestTable};

use crate::cascade;
use crate::trail::{now, unsign};

async fn run(project: &TestProject, table: &Table, target: &Target, dry_run: bool) -> Result<Report, Error> {
    let id = project.id.parse().expect("an id");
    let options = Options { target: target.clone(), project: Some(id), rate: 1_000_000, dry_run };
    erase::run(table, &options, &ProgressBar::hidden()).await
}

async fn erased(project: &TestProject, target: &Target) -> Report {
    let table = TestTable::of_this_process().await.table().await;
    run(project, &table, target, false).await.expect("a report")
}

fn user(name: &str) -> Target {
    Target::User(name.parse().expect("a user"))
}

async fn assert_sound(project: &TestProject) {
    let table = TestTable::of_this_process().await.table().await;
    let id = project.id.parse().expect("an id");
    let report = verify::run(&table, Some(id), Patience::default(), &ProgressBar::hidden()).await.expect("a report");
    assert_eq!(report.verdict, Verdict::Sound, "{report}");
    project.assert_dense().await;
}

/// Whether this user is named anywhere in the project or in its idempotency records.
async fn names(project: &TestProject, user: &str) -> Vec<String> {
    let items = project.items().await.into_iter().chain(project.records().await);
    items.filter(|(_, item)| format!("{item:?}").contains(user)).map(|(entity, _)| entity).collect()
}

/// A project in which mia was the assignee of live and dead tasks, wrote rows, gave memberships and got one.
async fn with_mia(mia: &str) -> TestProject {
    let setup = TestApp::new().await.with_project().with_tasks(60).with_edge("t1", "t2").with_calendar("site");
    let project = setup.with_member(mia, Role::Admin).with_member("vic", Role::Viewer).await;
    for n in 1..=40 {
        project.patch(&format!("tasks/t{n}"), &json!({"assignee": mia})).await.expect(200);
    }
    project.patch("tasks/t3", &json!({"notes": "kept"})).by(mia).key("k1").await.expect(200);
    project.patch("tasks/t50", &json!({"notes": "by an author"})).by(mia).await.expect(200);
    project.delete("tasks/t4").by(mia).await.expect(204);
    project.delete("tasks/t60").by(mia).await.expect(204);
    project.change(mia, Role::Scheduler).key("k2").await.expect(200);
    project
}

#[tokio::test]
async fn a_user_is_erased_and_devices_that_pull_across_it_agree_with_the_server() {
    let project = with_mia("mia-the-erased").await;
    let (mut vic, mut mia, mut late) = (Device::default(), Device::default(), Device::default());
    vic.synchronize(&project, None).await;
    mia.apply(&Pull::of(&project.sync("since=0").by("mia-the-erased").await));
    let whole = project.pull(0).await.mark;
    late.apply(&Pull::of(&project.sync("since=0&limit=20").await));
    assert!(late.mark < whole && !names(&project, "mia-the-erased").await.is_empty());

    let table = TestTable::of_this_process().await.table().await;
    let before = project.items().await;
    let dry = run(&project, &table, &user("mia-the-erased"), true).await.expect("a report");
    assert_eq!(project.items().await, before, "a dry run wrote something");
    assert_eq!((dry.removed_memberships, dry.unassigned_tasks, dry.erased_tombstones), (1, 39, 1));

    let report = erased(&project, &user("mia-the-erased")).await;
    assert_eq!((report.exit_code(), &report.left[..]), (0, &[][..]), "{report}");
    // The membership's tombstone does not name the user either.
    assert_eq!((report.removed_memberships, report.unassigned_tasks, report.erased_tombstones), (1, 39, 2));
    assert!(report.erased_answers >= 2 && report.forgotten_authors >= 3, "{report}");
    assert_eq!(names(&project, "mia-the-erased").await, [""; 0]);
    assert_sound(&project).await;

    for device in [&mut vic, &mut late] {
        loop {
            let pull = device.synchronize(&project, Some(30)).await;
            if !pull.has_more {
                assert_eq!(pull.checksums, Some(device.checksums()));
                break;
            }
        }
        assert_eq!(device.rows, project.live_rows().await);
        assert!(!format!("{:?}", device.rows).contains("mia-the-erased"));
        assert_eq!(device.rows[&("tasks".to_owned(), "t3".to_owned())]["notes"], "kept");
    }
    mia.apply(&Pull::of(&project.sync(&format!("since={}", mia.mark)).by("mia-the-erased").await));
    assert!(mia.rows.is_empty(), "the user's own device is told to forget everything");

    // A repeated request gets the same answer as before, except for the name.
    let again = project.change("mia-the-erased", Role::Scheduler).key("k2").await.expect(200);
    assert_eq!((again.is_replay(), &again.json()["user"]), (true, &json!("erased")));
    let items = project.items().await;
    assert_eq!(erased(&project, &user("mia-the-erased")).await.changes(), 0);
    assert_eq!(project.items().await, items, "a second run wrote something");
    // An erased user may be added again as a new one.
    project.give("mia-the-erased", Role::Viewer).await.expect(201);
    mia.apply(&Pull::of(&project.sync(&format!("since={}", mia.mark)).by("mia-the-erased").await));
    assert_eq!(mia.rows, project.live_rows().await);
    assert_sound(&project).await;
}

#[tokio::test]
async fn an_erasure_that_is_cut_off_anywhere_goes_on_when_it_is_started_again() {
    let project = with_mia("mia-cut-off").await;
    let mut device = Device::default();
    device.synchronize(&project, None).await;
    for most in 1.. {
        let writes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&writes);
        let cut_off = move |operation: &str, _: &mut _| {
            let writes_now = ["TransactWriteItems", "UpdateItem"].contains(&operation);
            if writes_now && counted.fetch_add(1, Ordering::Relaxed) > most % 4 {
                return Err("cut off".into());
            }
            Ok(())
        };
        let table = TestTable::of_this_process().await.seen_by(cut_off).await;
        let ended = run(&project, &table, &user("mia-cut-off"), false).await;
        device.synchronize(&project, None).await;
        assert_eq!(device.rows, project.live_rows().await);
        project.assert_dense().await;
        if ended.is_ok_and(|report| report.exit_code() == 0) {
            break;
        }
        assert!(most < 100, "it gets no further");
    }
    assert_eq!(names(&project, "mia-cut-off").await, [""; 0]);
    assert_sound(&project).await;
}

#[tokio::test]
async fn an_unfinished_deletion_is_finished_without_the_name_of_the_one_who_asked_for_it() {
    let project = TestApp::new().await.with_project().with_member("mia-the-deleter", Role::Scheduler).await;
    cascade::tie_hub(&project, "hub", 30).await;
    cascade::begin(&project, 1, |project| project.delete("tasks/hub").by("mia-the-deleter").key("k")).await;
    // The next commit finishes it. Here that is the removal of the membership.
    let report = erased(&project, &user("mia-the-deleter")).await;
    assert_eq!((report.exit_code(), names(&project, "mia-the-deleter").await), (0, vec![]), "{report}");
    cascade::assert_finished(&project, "hub").await;
    assert_sound(&project).await;

    // If the erasure has nothing to commit, the note stays but loses the name.
    let project = TestApp::new().await.with_project().await;
    cascade::tie_hub(&project, "hub", 30).await;
    cascade::begin(&project, 1, |project| project.delete("tasks/hub")).await;
    let update = project.app.look_into().update_item().table_name(&TestTable::of_this_process().await.name);
    let update = update.key("project_id", S(project.id.clone())).key("entity", S("_counter".to_owned()));
    let update = update.update_expression("SET unfinished.#by = :by").expression_attribute_names("#by", "by");
    update.expression_attribute_values(":by", S("mia-the-deleter".to_owned())).send().await.expect("an update");
    let report = erased(&project, &user("mia-the-deleter")).await;
    assert_eq!((report.forgotten_authors, names(&project, "mia-the-deleter").await), (1, vec![]), "{report}");
    assert!(project.counter().await.get("unfinished").is_some());
    project.patch("", &json!({"name": "Home"})).await.expect(200);
    cascade::assert_finished(&project, "hub").await;
    assert_sound(&project).await;
}

#[tokio::test]
async fn a_run_over_the_whole_table_finds_every_project_and_what_is_counted_of_the_user() {
    let app = TestApp::new().await;
    let who = "mia-in-several-projects";
    let projects = [app.with_project().with_member(who, Role::Admin).await, app.with_project().await];
    projects[1].give(who, Role::Viewer).key("k").await.expect(201);
    let put = app.look_into().put_item().table_name(&TestTable::of_this_process().await.name);
    let put = put.item("project_id", S(format!("user#{who}"))).item("entity", S("created#2026-03-02".to_owned()));
    put.send().await.expect("a count");
    let table = TestTable::of_this_process().await.table().await;
    let options = |dry_run| Options { target: user(who), project: None, rate: 1_000_000, dry_run };
    let dry = erase::run(&table, &options(true), &ProgressBar::hidden()).await.expect("a report");
    assert_eq!((dry.removed_memberships, dry.removed_counts), (2, 1));
    // Other tests leave unreadable items on the table. They are reported and stop nothing.
    let report = erase::run(&table, &options(false), &ProgressBar::hidden()).await.expect("a report");
    assert_eq!((report.removed_memberships, report.removed_counts, report.erased_answers), (2, 1, 1), "{report}");
    for project in &projects {
        assert_eq!(names(project, who).await, [""; 0]);
        assert_sound(project).await;
    }
    let again = erase::run(&table, &options(false), &ProgressBar::hidden()).await.expect("a report");
    assert_eq!(again.changes(), 0);
}

#[tokio::test]
async fn the_last_owner_is_left_until_there_is_another_or_the_project_is_deleted() {
    let app = TestApp::new().await;
    for deletes in [false, true] {
        let project = app.with_project().with_tasks(1).with_member("otto-the-last", Role::Owner).await;
        project.patch("tasks/t1", &json!({"assignee": "otto-the-last"})).by("otto-the-last").await.expect(200);
        project.remove(OWNER).await.expect(204);
        let report = erased(&project, &user("otto-the-last")).await;
        let membership = format!("memberships#{}", project.membership("otto-the-last"));
        assert_eq!((report.exit_code(), report.left[0].entity.as_str()), (1, membership.as_str()));
        assert_eq!(report.unassigned_tasks, 1, "all else is erased");
        assert_eq!(names(&project, "otto-the-last").await, [membership]);
        match deletes {
            true => project.delete("").by("otto-the-last").await.expect(204),
            false => project.give("ann", Role::Owner).by("otto-the-last").await.expect(201),
        };
        assert_eq!(erased(&project, &user("otto-the-last")).await.exit_code(), 0);
        assert_eq!(names(&project, "otto-the-last").await, [""; 0]);
        assert_sound(&project).await;
        let list = app.call(Method::GET, "/api/v1/projects/?limit=1000").by("otto-the-last").await.expect(200).json();
        assert_eq!(list["results"], json!([]));
    }
}

#[tokio::test]
async fn tombstones_before_a_date_lose_their_content_and_no_device_notices() {
    let project =
        TestApp::new().await.with_project().with_tasks(6).with_edge("t1", "t2").with_member("mia", Role::Member).await;
    let (mut device, mut late) = (Device::default(), Device::default());
    device.synchronize(&project, None).await;
    late.apply(&Pull::of(&project.sync("since=0&limit=4").await));
    for row in ["dependencies/t1-t2", "tasks/t1", "tasks/t2"] {
        project.delete(row).await.expect(204);
    }
    project.remove("mia").await.expect(204);
    device.synchronize(&project, None).await;
    unsign(&project, "tasks#t2").await;
    let [past, future] = [now() - 3_600, now() + 3_600].map(|at| i64::try_from(at).expect("seconds"));
    let tombstones = |before, undated| Target::Tombstones { before, undated };

    let before = project.items().await;
    let report = erased(&project, &tombstones(past, false)).await;
    assert_eq!((report.changes(), report.undated_tombstones, report.exit_code()), (0, 1, 1));
    assert_eq!(project.items().await, before, "nothing is that old");

    let report = erased(&project, &tombstones(future, false)).await;
    assert_eq!((report.erased_tombstones, report.undated_tombstones, report.exit_code()), (3, 1, 1));
    assert_eq!(project.stored().await["tasks#t2"].content()["name"], "Task 2");
    let report = erased(&project, &tombstones(future, true)).await;
    assert_eq!((report.erased_tombstones, report.exit_code()), (1, 0));
    assert_eq!(erased(&project, &tombstones(future, true)).await.changes(), 0);

    let stored = project.stored().await;
    for (entity, row) in &stored {
        let content = row.content();
        assert_eq!(
            content.get("name").or(content.get("user")).is_some_and(Value::is_null),
            row.is_dead() && !entity.starts_with("dep")
        );
        assert_eq!(row.number("server_version"), before[entity].number("server_version"), "{entity}");
    }
    assert_sound(&project).await;
    for device in [&mut device, &mut late] {
        let pull = device.synchronize(&project, None).await;
        assert_eq!(pull.checksums, Some(device.checksums()));
        assert_eq!(device.rows, project.live_rows().await);
    }
    // A tombstone stays a tombstone. Its id is not used again, but a member may be added again.
    project.refuses(project.post("tasks", &json!({"id": "t1", "name": "Dig"})), 409, "id_deleted").await;
    project.delete("tasks/t1").await.expect(204);
    project.refuses(project.patch("tasks/t1", &json!({"name": "Dig"})), 404, "not_found").await;
    project.remove("mia").await.expect(204);
    project.give("mia", Role::Viewer).await.expect(201);
    assert_sound(&project).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_who_is_added_again_while_the_tombstone_is_erased_stays() {
    let project = TestApp::new().await.with_project().with_member("mia", Role::Member).await;
    project.remove("mia").await.expect(204);
    // The write comes between the read of the tombstone and its erasure.
    let meanwhile = project.give("mia", Role::Viewer);
    let meanwhile = std::sync::Mutex::new(Some(meanwhile));
    let handle = tokio::runtime::Handle::current();
    let add = move |operation: &str, _: &mut _| {
        let call = (operation == "UpdateItem").then(|| meanwhile.lock().ok()?.take()).flatten();
        if let Some(call) = call {
            tokio::task::block_in_place(|| handle.block_on(async { call.await.expect(201) }));
        }
        Ok(())
    };
    let table = TestTable::of_this_process().await.seen_by(add).await;
    let target = Target::Tombstones { before: i64::MAX, undated: false };
    let report = run(&project, &table, &target, false).await.expect("a report");
    assert_eq!((report.changes(), report.exit_code()), (0, 0));
    let row = project.stored().await[&format!("memberships#{}", project.membership("mia"))].clone();
    assert!(!row.is_dead() && row.content()["user"] == "mia");
    assert_eq!(row.get("deleted_row"), None, "a live row has no tombstone's attribute");
    assert_sound(&project).await;
}
