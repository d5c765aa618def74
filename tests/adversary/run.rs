//! Plays one seed from its beginning to its end.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::http::Method;
use fastrand::Rng;
use serde_json::{Value, json};
use shared::auth::Verifier;
use shared::domain::{RowKey, UserId};
use shared::storage::Table;
use stack::token::{LOCAL_SECRET, sign};
use sync::KeptPages;
use tokio::task::JoinHandle;
use tokio::time::{Duration, sleep};

use crate::device::{Device, Pulled};
use crate::figures::Figures;
use crate::http::{Ask, PROJECT};
use crate::newer::NewerWriter;
use crate::operations::Operation;
use crate::restore::Operator;
use crate::scenario::{RESTORES, Scenario, USERS};
use crate::table::{Faults, Meter, NAME, UnreliableTable};
use crate::writer::{Fates, Writer};

/// A violation, with the events that led to it if they were traced.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) violation: String,
    pub(crate) trace: Vec<String>,
}

/// The product's configuration of the SDK, and the users' tokens. They are the same in every run.
pub(crate) static SDK: LazyLock<aws_config::SdkConfig> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(Table::sdk_config().region("nowhere-1").no_credentials().load())
});
pub(crate) static TOKENS: LazyLock<Arc<[String]>> =
    LazyLock::new(|| USERS.iter().map(|(user, _)| sign(LOCAL_SECRET, user).expect("a token")).collect());
static MEMBERSHIPS: LazyLock<Arc<[String]>> = LazyLock::new(|| {
    let project = PROJECT.parse().expect("an id");
    let key = |user: &str| RowKey::membership(&project, &user.parse::<UserId>().expect("a user")).to_string();
    USERS.iter().map(|(user, _)| key(user)).collect()
});
pub(crate) static VERIFIER: LazyLock<Arc<Verifier>> = LazyLock::new(|| {
    let variable = |name: &str| (name == "JWT_SECRET").then(|| LOCAL_SECRET.to_owned());
    Arc::new(Verifier::configured(variable).expect("a verifier"))
});

/// The key of a user's membership.
pub(crate) fn membership(user: usize) -> String {
    MEMBERSHIPS[user].clone()
}

/// Plays a seed. Returns its counts, and the course of events if it is traced.
pub(crate) fn play(seed: u64, scenario: &Scenario, traced: bool) -> Result<(Figures, Vec<String>), Failure> {
    LazyLock::force(&SDK);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let table = UnreliableTable::new(seed, Faults::NONE, traced);
        if scenario.restores > 0 {
            table.keep_backups();
        }
        let kept = || Arc::new(scenario.kept.map_or_else(KeptPages::off, KeptPages::new));
        let play = Play { seed, scenario: scenario.clone(), table: Arc::clone(&table), kept: [kept(), kept()] };
        let failed = async {
            while table.failure().is_none() {
                sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::select! {
            biased;
            () = play.all() => {}
            () = failed => {}
            () = sleep(Duration::from_secs(24 * 60 * 60)) => table.fail("does not come to an end"),
        }
        match table.failure() {
            Some(violation) => Err(Failure { violation, trace: table.take_trace() }),
            None => {
                let trace = table.take_trace();
                let mut state = table.state();
                let mut figures = std::mem::take(&mut state.figures);
                figures.seeds = 1;
                figures.versions = state.history.versions_given();
                figures.scenario(scenario.name);
                if scenario.restores > 0 {
                    figures.scenario(RESTORES);
                }
                Ok((figures, trace))
            }
        }
    })
}

#[derive(Clone)]
struct Play {
    seed: u64,
    scenario: Scenario,
    table: Arc<UnreliableTable>,
    /// The kept pages of each of two instances.
    kept: [Arc<KeptPages>; 2],
}

impl Play {
    async fn all(&self) {
        let mut founder = self.writer(0);
        self.found(&mut founder).await;
        self.table.state().faults = self.scenario.faults;
        let numbers = Arc::new(AtomicU64::new(1_000));
        let operator = (self.scenario.restores > 0).then(|| tokio::spawn(self.clone().restore(Arc::clone(&numbers))));
        let writers: Vec<JoinHandle<Fates>> = (1..=self.scenario.writers)
            .map(|number| tokio::spawn(self.clone().write(self.writer(number), Arc::clone(&numbers))))
            .collect();
        let newer = tokio::spawn(self.clone().write_as_newer());
        let devices: Vec<JoinHandle<Device>> = (0..self.scenario.devices)
            .map(|number| tokio::spawn(self.clone().pull(self.device(number), Arc::clone(&numbers))))
            .collect();
        if let Some(operator) = operator {
            self.joined(operator).await;
        }
        let mut fates = vec![];
        for writer in writers {
            fates.extend(self.joined(writer).await);
        }
        self.joined(newer).await;
        let mut drained = Vec::new();
        for device in devices {
            drained.extend(self.joined(device).await);
        }
        // Calls that are still under way arrive, the indexes catch up, and from now on the table works.
        self.table.state().faults = Faults::NONE;
        sleep(Duration::from_secs(60)).await;
        founder.meet_the_table();
        self.finish_deletion(&founder).await;
        for device in drained {
            self.drain(device).await;
        }
        fates.push(founder.fates);
        for fates in fates {
            // This is a block of its own, because the code below locks the state, too.
            let judged = fates.check(&self.table.state().history);
            if let Err(violation) = judged {
                self.table.fail(violation);
            }
        }
        crate::clean::check(&self.table);
    }

    async fn joined<T>(&self, task: JoinHandle<T>) -> Option<T> {
        match task.await {
            Ok(value) => Some(value),
            Err(panic) => {
                self.table.fail(message(panic));
                None
            }
        }
    }

    /// An instance of a function, which shares only the table with other instances.
    fn instance(&self) -> Table {
        Table::new(self.table.client(&SDK), NAME).with_max_history_bytes(self.scenario.max_history_bytes)
    }

    /// An instance of code that is older than the archive.
    fn older_instance(&self) -> Table {
        Table::new(self.table.older_client(&SDK), NAME).with_max_history_bytes(self.scenario.max_history_bytes)
    }

    fn rng(&self, number: u64) -> Rng {
        Rng::with_seed(self.seed.wrapping_mul(1_000) + number)
    }

    fn writer(&self, number: usize) -> Writer {
        let play = self.clone();
        let instances = move || {
            let other = if play.scenario.has_older_code { play.older_instance() } else { play.instance() };
            [play.instance(), other].map(|table| rest::router(rest::App { table, verifier: Arc::clone(&VERIFIER) }))
        };
        Writer {
            name: format!("writer {number}"),
            routers: instances(),
            instances: Box::new(instances),
            incarnation: 0,
            table: Arc::clone(&self.table),
            rng: self.rng(number as u64),
            tokens: Arc::clone(&TOKENS),
            memberships: Arc::clone(&MEMBERSHIPS),
            fates: Fates::default(),
            sent: VecDeque::new(),
        }
    }

    fn device(&self, number: usize) -> Device {
        let mut rng = self.rng(500 + number as u64);
        let user = rng.usize(..USERS.len());
        let meter = Arc::new(Meter::default());
        let wipe_pages = [1, 3, 10, usize::MAX][rng.usize(0..4)];
        let (table, metered) = (Arc::clone(&self.table), Arc::clone(&meter));
        let kept = self.kept.clone();
        let instances = move || {
            kept.clone().map(|kept| -> Router {
                let instance = Table::new(table.metered_client(&SDK, Arc::clone(&metered)), NAME);
                let app = sync::App::new(instance, Arc::clone(&VERIFIER)).with_wipe_pages_of(wipe_pages);
                sync::router(app.keeping(kept))
            })
        };
        let instances = (Box::new(instances) as Box<_>, self.scenario.index_is_current());
        let name = format!("device {number} of {}", USERS[user].0);
        let user = (membership(user), TOKENS[user].clone());
        Device::new(name, user, instances, meter, Arc::clone(&self.table), rng)
    }

    /// The project with its members and the first rows.
    async fn found(&self, founder: &mut Writer) {
        self.post(founder, "", json!({"id": PROJECT, "name": "founded", "start_date": "2026-03-02"})).await;
        for (user, role) in &USERS[1..] {
            if *role > 0 {
                self.post(founder, "memberships/", json!({"user": user, "role": role})).await;
            }
        }
        self.post(founder, "calendars/", json!({"id": "c0", "name": "founded c0"})).await;
        for number in 0..self.scenario.tasks {
            let id = format!("t{number}");
            self.post(founder, "tasks/", json!({"id": id, "name": format!("founded {id}")})).await;
        }
        let types = ["FS", "SS", "FF", "SF"];
        let ends = (1..self.scenario.tasks).flat_map(|task| types.map(|dep_type| (task, dep_type)));
        for (number, (task, dep_type)) in ends.take(self.scenario.edges).enumerate() {
            let edge = json!({"id": format!("e{number}"), "predecessor": "t0", "successor": format!("t{task}"),
                "dep_type": dep_type, "lag": -36_501 - i64::try_from(number % 20).expect("small")});
            self.post(founder, "dependencies/", edge).await;
        }
        for hub in 0..self.scenario.hubs {
            self.found_hub(founder, hub).await;
        }
    }

    /// Creates a task with so many edges that its deletion does not fit one transaction.
    async fn found_hub(&self, founder: &Writer, hub: usize) {
        let id = format!("hub{hub}");
        let create = |path: &str, body: Value| json!({"method": "POST", "path": path, "body": body});
        let mut operations = vec![create("tasks/", json!({"id": id, "name": format!("founded {id}")}))];
        for task in 0..self.scenario.tasks {
            for (number, dep_type) in ["FS", "SS", "FF", "SF"].into_iter().enumerate() {
                operations.push(create("dependencies/", json!({"id": format!("e-{id}-{task}-{number}"), "predecessor": id,
                    "successor": format!("t{task}"), "dep_type": dep_type, "lag": -36_501 - i64::try_from(number).expect("small")})));
            }
        }
        for operations in operations.chunks(90) {
            let body = Some(json!({ "operations": operations }));
            let path = format!("/api/v1/projects/{PROJECT}/batch/");
            let ask = Ask { method: Method::POST, body, ..Ask::get(path, &TOKENS[0]) };
            let reply = ask.send(&founder.routers[0]).await;
            if reply.status != 200 {
                self.table.fail(format!("not founded: {id} {}", reply.body));
            }
        }
    }

    /// Finishes a deletion that has begun, by making another commit.
    async fn finish_deletion(&self, founder: &Writer) {
        let unfinished = |table: &UnreliableTable| {
            let state = table.state();
            state.history.unfinished.clone().filter(|_| state.history.deleted_at.is_none())
        };
        if unfinished(&self.table).is_none() {
            return;
        }
        let (path, body) = (format!("/api/v1/projects/{PROJECT}/tasks/"), Some(json!({"name": "the last one"})));
        let ask = Ask { method: Method::POST, body, ..Ask::get(path, &TOKENS[0]) };
        ask.send(&founder.routers[0]).await;
        if let Some(task) = unfinished(&self.table) {
            self.table.fail(format!("the deletion of {task} does not come to an end"));
        }
    }

    async fn post(&self, founder: &mut Writer, path: &str, body: Value) {
        let path =
            if path.is_empty() { "/api/v1/projects/".to_owned() } else { format!("/api/v1/projects/{PROJECT}/{path}") };
        let ask = Ask { method: Method::POST, body: Some(body), ..Ask::get(path, &TOKENS[0]) };
        let body = ask.body.as_ref().expect("a body");
        let collection = ask.path.trim_end_matches('/').rsplit('/').next().expect("a collection");
        let row = match (collection, body["id"].as_str(), body["user"].as_str()) {
            (_, Some(id), _) => format!("{collection}#{id}"),
            (_, _, user) => membership(USERS.iter().position(|(name, _)| Some(*name) == user).expect("a user")),
        };
        let operation = Operation { ask, user: 0, needed: 0, mark: None, row, parts: vec![] };
        if founder.send(&operation, None).await != Some(201) {
            self.table.fail(format!("not founded: {operation:?}"));
        }
    }

    /// Writes until all operations of the run are done.
    async fn write(self, mut writer: Writer, numbers: Arc<AtomicU64>) -> Fates {
        loop {
            let number = numbers.fetch_add(1, Ordering::Relaxed);
            if number >= 1_000 + self.scenario.operations {
                return writer.fates;
            }
            let pause = writer.rng.u64(0..=self.scenario.writer_pause);
            sleep(Duration::from_millis(pause)).await;
            writer.repeat_what_was_sent_before_a_restore().await;
            writer.operate(number, &self.scenario).await;
        }
    }

    /// Restores the table at some numbers of operations.
    async fn restore(self, numbers: Arc<AtomicU64>) {
        let mut rng = self.rng(950);
        let most = 1_000 + self.scenario.operations * 9 / 10;
        let mut at: Vec<u64> = (0..self.scenario.restores).map(|_| rng.u64(1_020..most)).collect();
        at.sort_unstable();
        let bytes = self.scenario.max_history_bytes;
        Operator::new(Arc::clone(&self.table), rng, bytes, numbers, at).operate().await;
    }

    /// Writes columns and rows that only a newer version knows, while others write.
    async fn write_as_newer(self) {
        let play = self.clone();
        let instances = move || (play.instance(), play.table.client(&SDK));
        let mut newer = NewerWriter { instances, table: Arc::clone(&self.table), rng: self.rng(900) };
        newer.write(self.scenario.newer_writes).await;
    }

    /// Pulls while others write.
    async fn pull(self, mut device: Device, numbers: Arc<AtomicU64>) -> Device {
        let plain = self.scenario.plain_clients;
        let limits = if plain { [None; 6] } else { [None, None, Some(1), Some(3), Some(10), Some(40)] };
        while numbers.load(Ordering::Relaxed) < 1_000 + self.scenario.operations {
            let pause = device.rng.u64(0..=self.scenario.device_pause);
            sleep(Duration::from_millis(pause)).await;
            if device.rng.u8(0..60) == 0 {
                device.reinstall();
            }
            let limit = limits[device.rng.usize(..limits.len())];
            let turbo = device.mark == 0 && device.rng.bool();
            loop {
                let patience = (device.rng.u8(0..10) == 0 && !plain).then(|| device.rng.u64(0..100));
                // The plain client does not ask again at once.
                let pulled = device.pull(limit, turbo && device.mark == 0, patience).await;
                if pulled == Pulled::Nothing {
                    sleep(Duration::from_millis(4 * self.scenario.device_pause)).await;
                }
                if pulled != Pulled::Page || device.rng.u8(0..8) == 0 {
                    break;
                }
            }
        }
        device
    }

    /// Pulls to the end, and compares.
    async fn drain(&self, mut device: Device) {
        let limit = [None, Some(1), Some(7)][device.rng.usize(0..3)];
        for _ in 0..5_000 {
            match device.pull(limit, false, None).await {
                Pulled::Page => {}
                Pulled::Failed => return self.table.fail(format!("{} is not served in the end", device.name)),
                Pulled::All | Pulled::Nothing => return self.compare(&device),
            }
        }
        self.table.fail(format!("{} does not come to an end", device.name));
    }

    fn compare(&self, device: &Device) {
        let differences = {
            let state = self.table.state();
            let history = &state.history;
            let current = history.current();
            if history.deleted_at.is_some() || !history.was_live(&device.membership, current) {
                if device.rows.is_empty() { String::new() } else { format!("should hold nothing: {:?}", device.rows) }
            } else if device.mark != current {
                format!("ends at {} of {current}", device.mark)
            } else {
                device.differences(history, current)
            }
        };
        if !differences.is_empty() {
            self.table.fail(format!("{} differs in the end: {differences}", device.name));
        }
    }
}

/// The message of a task that panicked, without the task's number, which differs between two runs of one seed.
pub(crate) fn message(panicked: tokio::task::JoinError) -> String {
    let panic = panicked.into_panic();
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without a word"))
}
