//! A device: it pulls, may be killed while it does, and every answer it gets is judged.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use fastrand::Rng;
use shared::domain::WipePlace;
use tokio::time::{Duration, timeout};

use crate::answer::{Answer, Given};
use crate::http::{Ask, PROJECT, Reply};
use crate::table::{Meter, UnreliableTable};

/// A device of one user, with one database.
pub(crate) struct Device {
    pub(crate) name: String,
    /// The key of the user's membership: `memberships#<id>`.
    pub(crate) membership: String,
    token: String,
    /// The instances that answer it. Each keeps pages of its own, for all devices.
    routers: [Router; 2],
    /// Starts the function anew, on the present table. The kept pages stay, as in an instance that is not stopped.
    instances: Box<dyn Fn() -> [Router; 2] + Send>,
    /// Whether the index is current. Then no answer may have anything from before its user was added.
    index_is_current: bool,
    /// The number of restores before it got its mark, and before the function was started.
    restores: u64,
    incarnation: u64,
    /// The meter of the calls for this device alone.
    meter: Arc<Meter>,
    table: Arc<UnreliableTable>,
    pub(crate) rng: Rng,
    /// The number of updates of its app that are still to come. A client asks only once for the data that a migration needs.
    updates: u8,
    pub(crate) mark: u64,
    /// The version of each live row it holds.
    pub(crate) rows: BTreeMap<String, u64>,
}

/// The result of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// The device has everything.
    All,
    /// There are more pages.
    Page,
    /// The user may see nothing.
    Nothing,
    /// The server could not answer, or the device was killed before it stored the answer.
    Failed,
}

impl Device {
    pub(crate) fn new(
        name: String,
        (membership, token): (String, String),
        (instances, index_is_current): (Box<dyn Fn() -> [Router; 2] + Send>, bool),
        meter: Arc<Meter>,
        table: Arc<UnreliableTable>,
        rng: Rng,
    ) -> Self {
        let routers = instances();
        let (rows, updates) = (BTreeMap::new(), 2);
        let (incarnation, restores) = (0, 0);
        Self {
            name,
            membership,
            token,
            routers,
            instances,
            index_is_current,
            restores,
            incarnation,
            meter,
            table,
            rng,
            updates,
            mark: 0,
            rows,
        }
    }

    /// Waits while the functions are stopped, and then uses those that were started since.
    pub(crate) async fn meet_the_table(&mut self) {
        self.table.is_open().await;
        let incarnation = self.table.state().incarnation;
        if self.incarnation != incarnation {
            (self.routers, self.incarnation) = ((self.instances)(), incarnation);
        }
    }

    /// Clears the device, as a new installation of the app does.
    pub(crate) fn reinstall(&mut self) {
        self.mark = 0;
        self.rows.clear();
    }

    /// Makes one pull. With `patience`, the device is killed if the answer takes longer.
    pub(crate) async fn pull(&mut self, limit: Option<usize>, turbo: bool, patience: Option<u64>) -> Pulled {
        self.meet_the_table().await;
        let mut path = format!("/api/v1/projects/{PROJECT}/sync/?since={}", self.mark);
        if let Some(limit) = limit {
            path.push_str(&format!("&limit={limit}"));
        }
        if turbo {
            path.push_str("&turbo=true");
        }
        let migrates = self.mark > 0 && self.updates > 0 && self.rng.u8(0..30) == 0;
        if migrates {
            self.updates -= 1;
            // {"from":1,"tables":[],"columns":[{"table":"tasks","columns":["notes"]}]}
            let columns = "%5B%7B%22table%22:%22tasks%22,%22columns%22:%5B%22notes%22%5D%7D%5D";
            path.push_str(&format!("&migration=%7B%22from%22:1,%22tables%22:%5B%5D,%22columns%22:{columns}%7D"));
        }
        let reads_own_write = self.rng.u8(0..5) == 0;
        let given = {
            let now = self.table.now();
            let state = self.table.state();
            let min_version = if reads_own_write { state.acknowledged } else { 0 };
            let membership_at_start = state.seen_version(PROJECT, &self.membership, now);
            let counter_at_start = state.seen_counter(PROJECT, now);
            let index_is_current = self.index_is_current;
            Given { turbo, migrates, min_version, membership_at_start, counter_at_start, index_is_current }
        };
        if reads_own_write {
            path.push_str(&format!("&min_version={}", given.min_version));
        }
        self.table.trace(|| format!("{} asks, patience {patience:?}", self.name));
        let ask = Ask::get(path, &self.token);
        // Calls that an earlier, killed pull still made are not counted.
        self.meter.take();
        let router = &self.routers[usize::from(self.rng.bool())];
        let asked = self.table.unless_closed(ask.send(router));
        let reply = match patience {
            None => asked.await,
            Some(patience) => timeout(Duration::from_millis(patience), asked).await.ok().flatten(),
        };
        let Some(reply) = reply else {
            self.table.state().figures.killed += 1;
            return Pulled::Failed;
        };
        self.table.trace(|| format!("{} {} -> {} {} {}", self.name, ask.path, reply.status, reply.way, brief(&reply)));
        let way = if reply.status == 200 { reply.way.clone() } else { format!("{} {}", reply.status, reply.code()) };
        self.table.state().figures.pull(&way, self.meter.take());
        match self.take(&reply, &given) {
            Ok(pulled) => {
                self.restores = self.table.state().history.restores;
                pulled
            }
            Err(violation) => {
                self.table.fail(format!("{}: {violation}\n  {}\n  {}", self.name, ask.path, reply.body));
                Pulled::Failed
            }
        }
    }

    /// Judges an answer and then applies it. The error says which promise it breaks.
    fn take(&mut self, reply: &Reply, given: &Given) -> Result<Pulled, String> {
        let table = Arc::clone(&self.table);
        let state = table.state();
        let is_from_before = self.restores < state.history.restores;
        match reply.status {
            200 => {
                if state.history.refuses(self.mark) {
                    return Err(format!("{} is a mark from before the restore, and is taken", self.mark));
                }
                let answer = Answer::read(&reply.body)?;
                if reply.way == "wiped" {
                    self.take_wipe(&answer, &state.history, given)?;
                    return Ok(if answer.has_more { Pulled::Page } else { Pulled::All });
                }
                self.take_changes(&answer, &state.history, given)?;
                Ok(if answer.has_more { Pulled::Page } else { Pulled::All })
            }
            403 if reply.code() == "membership_revoked" => {
                if !self.rows.is_empty() {
                    return Err("a removed member keeps the data".to_owned());
                }
                Ok(Pulled::Nothing)
            }
            403 if reply.code() == "not_a_member" && given.membership_at_start == 0 => {
                // The device of a user whom the backup does not know forgets the project.
                self.reinstall();
                Ok(Pulled::Nothing)
            }
            409 if matches!(reply.code(), "resync_required" | "since_ahead_of_server") => {
                let is_place = self.mark >= WipePlace::FIRST_MARK && is_from_before;
                if !is_place && !state.history.refuses(self.mark) {
                    return Err(format!("the mark {} is refused: {}", self.mark, reply.code()));
                }
                // The device replaces its rows.
                self.reinstall();
                Ok(Pulled::Page)
            }
            503 => Ok(Pulled::Failed),
            _ => Err(format!("an answer that cannot be: {} {}", reply.status, reply.code())),
        }
    }
}

fn brief(reply: &Reply) -> String {
    if reply.status != 200 {
        return reply.code().to_owned();
    }
    let mut rows = Vec::new();
    for (collection, changes) in reply.body["changes"].as_object().into_iter().flatten() {
        for row in changes["updated"].as_array().into_iter().flatten() {
            rows.push(format!("{collection}#{}@{}", row["id"].as_str().unwrap_or("?"), row["server_version"]));
        }
        for id in changes["deleted"].as_array().into_iter().flatten() {
            rows.push(format!("-{collection}#{}", id.as_str().unwrap_or("?")));
        }
    }
    let more = if reply.body["has_more"] == true { " and more" } else { "" };
    format!("mark {}{more}: {}", reply.body["timestamp"], rows.join(" "))
}
