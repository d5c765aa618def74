//! Tests a lost table that is restored from a backup with half a commit, while devices have seen later commits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use indicatif::ProgressBar;
use ops::restore::{self, Options, RAISE};
use ops::verify::{self, Patience, Verdict};
use serde_json::json;
use shared::domain::Role;
use tests::support::{Answer, Device, OWNER, Pull, TestApp, TestProject, TestTable};
use tokio::sync::Notify;

pub(crate) type Item = HashMap<String, AttributeValue>;

/// A separate table, beside this process's.
pub(crate) async fn table(name: &str) -> TestTable {
    static TABLES: AtomicU32 = AtomicU32::new(0);
    let shared = TestTable::of_this_process().await;
    let number = TABLES.fetch_add(1, Ordering::Relaxed);
    let table = TestTable { endpoint: shared.endpoint.clone(), name: format!("{}-{name}-{number}", shared.name) };
    stack::table::create(&table.client().await, &table.name).await.expect("a table");
    table
}

pub(crate) async fn app(table: &TestTable) -> TestApp {
    TestApp::on(table, table.table().await).await
}

/// Every item of a table.
pub(crate) async fn items(table: &TestTable) -> BTreeMap<(String, String), Item> {
    let pages =
        table.client().await.scan().table_name(&table.name).consistent_read(true).into_paginator().items().send();
    let text = |item: &Item, name: &str| item[name].as_s().expect("a text").clone();
    let items = pages.collect::<Result<Vec<Item>, _>>().await.expect("the items");
    items.into_iter().map(|item| ((text(&item, "project_id"), text(&item, "entity")), item)).collect()
}

pub(crate) async fn fill(table: &TestTable, items: &BTreeMap<(String, String), Item>) {
    let client = table.client().await;
    for item in items.values() {
        client.put_item().table_name(&table.name).set_item(Some(item.clone())).send().await.expect("an answer");
    }
}

/// Makes one run. Returns false if it was stopped after `writes` writes.
async fn run(table: &TestTable, lost: Option<&TestTable>, writes: u32) -> bool {
    let stopped = Arc::new(Notify::new());
    let (left, stop) = (AtomicU32::new(writes), Arc::clone(&stopped));
    let restored = table.seen_by(move |operation, _| {
        let writes = matches!(operation, "TransactWriteItems" | "BatchWriteItem");
        if writes && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
            stop.notify_one();
            return Err("stopped".into());
        }
        Ok(())
    });
    let restored = restored.await;
    let lost = match lost {
        Some(lost) => Some(lost.table().await),
        None => None,
    };
    let options = Options { project: None, lost, rate: 1_000_000, raise: RAISE };
    let progress = ProgressBar::hidden();
    tokio::select! {
        biased;
        () = stopped.notified() => false,
        report = restore::run(&restored, &options, &progress) => match report {
            Ok(report) => {
                assert_eq!(report.damaged, []);
                true
            }
            Err(error) => {
                assert!(format!("{error:?}").contains("stopped"), "{error:?}");
                false
            }
        }
    }
}

pub(crate) async fn assert_sound(table: &TestTable) {
    let patience = Patience { readings: 5, pause: Duration::from_millis(20) };
    let report = verify::run(&table.table().await, None, patience, &ProgressBar::hidden()).await.expect("a report");
    assert_eq!(report.verdict, Verdict::Sound, "{report}");
}

/// A phone of a user.
#[derive(Clone)]
pub(crate) struct Phone {
    user: &'static str,
    pub(crate) device: Device,
}

impl Phone {
    pub(crate) async fn of(user: &'static str, project: &TestProject) -> Self {
        let mut phone = Self { user, device: Device::default() };
        phone.catch_up(project).await;
        phone
    }

    async fn pull(&self, project: &TestProject, since: u64) -> Answer {
        project.sync(&format!("since={since}&limit=40")).by(self.user).await
    }

    /// Pulls as the plain client does, until there are no more pages.
    pub(crate) async fn catch_up(&mut self, project: &TestProject) {
        loop {
            let pull = Pull::of(&self.pull(project, self.device.mark).await);
            self.device.apply(&pull);
            // A wipe has no checksums, and neither has a page that is not the last one.
            if let Some(checksums) = pull.checksums {
                assert_eq!(self.device.checksums(), checksums, "what {} holds", self.user);
            }
            if !pull.has_more {
                return;
            }
        }
    }
}

/// The lost table and its backup.
struct Lost {
    table: TestTable,
    /// The projects: the one with many commits, one that was deleted before the backup, one that was deleted after it, and one
    /// that was created after it.
    projects: [TestProject; 4],
    /// The marks are from before the backup, at it and after it. The members stayed, were removed, or were added.
    phones: Vec<(usize, Phone)>,
    before: BTreeMap<(String, String), Item>,
    after: BTreeMap<(String, String), Item>,
}

impl Lost {
    async fn new() -> Self {
        let table = table("lost").await;
        let app = app(&table).await;
        let setup =
            app.with_project().with_tasks(110).with_edge("t1", "t2").with_edge("t2", "t3").with_edge("t2", "t4");
        let setup = setup.with_calendar("site").with_member("mia", Role::Member).with_member("vic", Role::Viewer);
        let busy = setup.with_member("gone", Role::Viewer).with_member("left", Role::Viewer).await;
        let mut phones = Vec::new();
        for user in [OWNER, "mia", "gone", "left"] {
            phones.push((0, Phone::of(user, &busy).await));
        }
        busy.patch("", &json!({"calendar": "site"})).await.expect(200);
        busy.remove("gone").await.expect(204);
        // One phone of this member was emptied, and the other one has not been told yet.
        let mut emptied = phones[2].1.clone();
        emptied.catch_up(&busy).await;
        assert!(emptied.device.rows.is_empty());
        phones.push((0, emptied));
        let deleted = app.with_project().with_tasks(2).await;
        phones.push((1, Phone::of(OWNER, &deleted).await));
        deleted.delete("").await.expect(204);
        let doomed = app.with_project().with_tasks(3).await;
        phones.push((2, Phone::of(OWNER, &doomed).await));
        for n in 5..9 {
            busy.patch(&format!("tasks/t{n}"), &json!({"name": "changed"})).await.expect(200);
        }
        phones.push((0, Phone::of("vic", &busy).await));
        let before = items(&table).await;
        busy.delete("tasks/t2").await.expect(204);
        let after = items(&table).await;

        // The restore loses all of this.
        phones.push((0, Phone::of("vic", &busy).await));
        busy.create("tasks", json!({"id": "later", "name": "Later"})).await;
        busy.post_edge("t9", "later").await.expect(201);
        busy.patch("tasks/t9", &json!({"name": "lost"})).await.expect(200);
        busy.delete("tasks/t10").await.expect(204);
        busy.create("tasks", json!({"id": "brief", "name": "Made and deleted"})).await;
        phones.push((0, Phone::of(OWNER, &busy).await));
        busy.delete("tasks/brief").await.expect(204);
        busy.give("nina", Role::Member).await.expect(201);
        busy.remove("left").await.expect(204);
        for user in [OWNER, "nina"] {
            phones.push((0, Phone::of(user, &busy).await));
        }
        let mut emptied = phones[3].1.clone();
        emptied.catch_up(&busy).await;
        phones.push((0, emptied));
        let mut emptied = phones[6].1.clone();
        doomed.delete("").await.expect(204);
        emptied.catch_up(&doomed).await;
        phones.push((2, emptied));
        let made = app.with_project().with_tasks(2).await;
        phones.push((3, Phone::of(OWNER, &made).await));
        Self { table, projects: [busy, deleted, doomed, made], phones, before, after }
    }

    /// Makes the backup. Each item that the last commit wrote is there or not. There are also answers that may be taken back. The
    /// seed decides whether the project's checksums are as that commit left them, belong to other rows, or are missing.
    fn backup(&self, seed: u64) -> BTreeMap<(String, String), Item> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut backup = self.before.clone();
        for (key, item) in &self.after {
            if self.before.get(key) != Some(item) && random.bool() {
                backup.insert(key.clone(), item.clone());
            }
        }
        let of = |project: &TestProject| (project.id.to_string(), "_counter".to_owned());
        let other = self.before[&of(&self.projects[2])]["checksums"].clone();
        let counter = backup.get_mut(&of(&self.projects[0])).expect("a counter");
        match seed % 3 {
            0 => {}
            1 => drop(counter.insert("checksums".to_owned(), other)),
            _ => drop(counter.remove("checksums").expect("checksums")),
        }
        for number in 0..30 {
            let key = (format!("request#{}", self.projects[0].id), format!("hash-{number}"));
            let text = |text: &str| AttributeValue::S(text.to_owned());
            let item = [("project_id".to_owned(), text(&key.0)), ("entity".to_owned(), text(&key.1))];
            backup.insert(key, item.into());
        }
        backup
    }

    /// A table that was restored from the backup, by runs that were stopped before every write.
    async fn restored(&self, seed: u64, with_lost_table: bool) -> (TestTable, [TestProject; 4]) {
        println!("seed {seed}");
        let table = table("restored").await;
        fill(&table, &self.backup(seed)).await;
        let lost = with_lost_table.then_some(&self.table);
        let mut runs = 1;
        while !run(&table, lost, 1).await {
            runs += 1;
            assert!(runs < 100, "it does not come to an end");
        }
        assert!(runs > 10, "only {runs} runs");
        assert_sound(&table).await;
        let settled = items(&table).await;
        assert!(settled.keys().all(|(partition, _)| !partition.starts_with("request#")));
        assert!(run(&table, lost, 0).await, "a run too many");
        assert_eq!(items(&table).await, settled, "and it wrote something");
        let app = app(&table).await;
        (table, self.projects.clone().map(|project| project.seen_by(app.clone())))
    }
}

#[tokio::test]
async fn without_the_lost_table_every_device_starts_over_and_equals_the_server() {
    let lost = Lost::new().await;
    for seed in 0..3 {
        let (_, projects) = lost.restored(seed, false).await;
        let end = projects[0].counter().await.number("resync_through");
        assert!(end > RAISE);
        for (number, phone) in &lost.phones {
            let project = &projects[*number];
            if *number == 3 || phone.user == "nina" {
                // The backup does not have this one.
                phone.pull(project, phone.device.mark).await.problem(403, "not_a_member");
                continue;
            }
            assert!(phone.device.mark > 0);
            phone.pull(project, phone.device.mark).await.problem(409, "resync_required");
            let mut anew = Phone { device: Device::default(), ..phone.clone() };
            if phone.user == "gone" {
                anew.pull(project, 0).await.problem(403, "membership_revoked");
                continue;
            }
            anew.catch_up(project).await;
            let empty = *number == 1;
            assert_eq!(anew.device.rows, if empty { BTreeMap::new() } else { project.live_rows().await });
        }
        for since in [1, end - 1, end] {
            projects[0].sync(&format!("since={since}")).await.problem(409, "resync_required");
        }
        projects[0].sync("since=1").by("stranger").await.problem(403, "not_a_member");
        assert!(projects[0].pull(end + 1).await.mark > end);
        assert_usable(&projects[0]).await;
    }
}

#[tokio::test]
async fn with_the_lost_table_plain_pulls_make_every_device_equal_to_the_server() {
    let lost = Lost::new().await;
    for seed in 0..3 {
        let (_, projects) = lost.restored(seed, true).await;
        assert!(projects[0].counter().await.get("resync_through").is_none());
        for (number, phone) in &lost.phones {
            let (project, mut phone) = (&projects[*number], phone.clone());
            phone.catch_up(project).await;
            let out = *number == 3 || ["nina", "gone", "left"].contains(&phone.user);
            let empty = out || *number == 1;
            let expected = if empty { BTreeMap::new() } else { project.live_rows().await };
            assert_eq!(phone.device.rows, expected, "{} in project {number}", phone.user);
            if out {
                phone.pull(project, phone.device.mark).await.problem(403, "membership_revoked");
            }
        }
        projects[0].post("tasks", &json!({"id": "later", "name": "x"})).await.problem(409, "id_deleted");
        assert_usable(&projects[0]).await;
    }
}

/// This continues where the backup ended.
async fn assert_usable(project: &TestProject) {
    let mut device = Device::default();
    let pull = project.pull(0).await;
    device.apply(&pull);
    assert_eq!(pull.checksums, Some(device.checksums()));
    assert_eq!(device.rows[&("tasks".to_owned(), "t9".to_owned())]["name"], "Task 9");
    project.patch("tasks/t9", &json!({"name": "after the restore"})).await.expect(200);
    project.delete("tasks/t1").await.expect(204);
    project.give("gone", Role::Viewer).await.expect(201);
    device.synchronize(project, None).await;
    assert_eq!(device.rows, project.live_rows().await);
    let back = Phone::of("gone", project).await;
    assert_eq!(back.device.rows, project.live_rows().await);
}
