//! A writer: function instances of its own, and the clients who send them changes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use axum::Router;
use fastrand::Rng;
use serde_json::{Map, Value};
use shared::idempotency::KeyedRequest;
use tokio::time::{Duration, timeout};

use crate::history::History;
use crate::http::{PROJECT, Reply};
use crate::operations::{Maker, Operation};
use crate::scenario::{Scenario, USERS};
use crate::table::UnreliableTable;

/// The facts about the requests that left a mark, by the mark.
#[derive(Debug, Default)]
pub(crate) struct Fates(BTreeMap<String, Fate>);

#[derive(Debug, Default)]
struct Fate {
    /// The number of requests that may have taken effect.
    possible: usize,
    /// The versions that answers named.
    acknowledged: Vec<u64>,
    /// Whether they had a key. Then at most one of them took effect, and none if the final answer was a refusal.
    keyed: bool,
    refused: Option<String>,
}

/// Two function instances and their clients.
pub(crate) struct Writer {
    pub(crate) name: String,
    /// The instances. A client that repeats a request gets the other one.
    pub(crate) routers: [Router; 2],
    /// Starts them anew on the present table. Returns which of them it was.
    pub(crate) instances: Box<dyn Fn() -> [Router; 2] + Send>,
    pub(crate) incarnation: u64,
    pub(crate) table: Arc<UnreliableTable>,
    pub(crate) rng: Rng,
    pub(crate) tokens: Arc<[String]>,
    pub(crate) memberships: Arc<[String]>,
    pub(crate) fates: Fates,
    /// The latest requests with a key that took effect or may have taken effect.
    pub(crate) sent: VecDeque<Operation>,
}

/// The number of requests that are kept to be repeated.
const SENT: usize = 12;

/// The versions that a strong read would have seen when a request began.
struct Given {
    version: u64,
    deleted: bool,
}

impl Writer {
    /// Makes an operation and carries it out.
    pub(crate) async fn operate(&mut self, number: u64, scenario: &Scenario) {
        let operation = {
            let state = self.table.state();
            let (tokens, memberships, weights) = (&self.tokens, &self.memberships, &scenario.weights);
            Maker { rng: &mut self.rng, history: &state.history, tokens, memberships, weights, number }.operation()
        };
        let often = operation.row.starts_with("tasks#") && operation.ask.method == "DELETE" && scenario.hubs > 0;
        let killed = if often { self.rng.bool() } else { self.rng.u8(0..12) == 0 };
        let mut patience = (killed && !scenario.plain_clients).then(|| self.rng.u64(0..80));
        self.table.trace(|| format!("{} operates {number} {} patience {patience:?}", self.name, operation.ask.path));
        // A client that does not know the outcome of its request repeats it or gives up.
        let mut outcome = None;
        for _ in 0..4 {
            self.routers.swap(0, 1);
            outcome = self.send(&operation, patience).await;
            if outcome.is_some() || self.rng.u8(0..3) == 0 {
                break;
            }
            patience = None;
        }
        if operation.ask.key.is_some() && outcome.is_none_or(|status| status < 300) {
            self.sent.truncate(SENT - 1);
            self.sent.push_front(operation);
        }
    }

    /// Uses the functions that were started since, if the table was restored. Returns whether it was.
    pub(crate) fn meet_the_table(&mut self) -> bool {
        let incarnation = self.table.state().incarnation;
        let is_another = self.incarnation != incarnation;
        if is_another {
            (self.routers, self.incarnation) = ((self.instances)(), incarnation);
        }
        is_another
    }

    /// Any client may repeat its request after the restore, whether it was answered before or not.
    pub(crate) async fn repeat_what_was_sent_before_a_restore(&mut self) {
        self.table.is_open().await;
        if !self.meet_the_table() {
            return;
        }
        for operation in std::mem::take(&mut self.sent) {
            if self.rng.bool() {
                self.table.trace(|| format!("{} repeats {}", self.name, operation.ask.path));
                self.send(&operation, None).await;
            }
        }
    }

    /// Sends a request. Returns none if its outcome is not known.
    pub(crate) async fn send(&mut self, operation: &Operation, patience: Option<u64>) -> Option<u16> {
        self.table.is_open().await;
        self.meet_the_table();
        let given = {
            let now = self.table.now();
            let state = self.table.state();
            let version = state.seen_version(PROJECT, &operation.row, now);
            Given { version, deleted: state.history.deleted_at.is_some() }
        };
        let answer = self.table.unless_closed(operation.ask.send(&self.routers[0]));
        let reply = match patience {
            None => answer.await,
            Some(patience) => timeout(Duration::from_millis(patience), answer).await.ok().flatten(),
        };
        self.table.trace(|| {
            let asked = format!("{} {} {}", self.name, operation.ask.method, operation.ask.path);
            let body = operation.ask.body.as_ref().map(Value::to_string).unwrap_or_default();
            match &reply {
                Some(reply) => format!("{asked} {body} -> {} {} {:?}", reply.status, reply.code(), reply.etag),
                None => format!("{asked} {body} -> killed"),
            }
        });
        let Some(reply) = reply else {
            self.table.state().figures.killed += 1;
            self.table.state().figures.operation("killed");
            self.note(operation, None);
            return None;
        };
        if !reply.merged.is_empty() {
            self.table.state().figures.merged += 1;
        }
        if reply.replayed {
            self.table.state().figures.replayed += 1;
        }
        let refusal = if reply.status < 400 { String::new() } else { format!(" {}", reply.code()) };
        self.table.state().figures.operation(&format!("{}{refusal}", reply.status));
        let in_batch = if reply.status < 400 { "in a batch" } else { "in a refused batch" };
        for place in 0..operation.parts.len() {
            let outcome = crate::each::outcome(operation, &reply, place).unwrap_or_else(|| in_batch.to_owned());
            self.table.state().figures.operation(&outcome);
        }
        let judged = judge(operation, &reply, &given, &self.table.state().history);
        if let Err(violation) = judged {
            let Operation { ask, .. } = operation;
            self.table.fail(format!("{}: {violation}\n  {ask:?}\n  {} {}", self.name, reply.status, reply.body));
        }
        self.note(operation, Some(&reply));
        let unknown = reply.status == 503 && reply.code() != "busy";
        (!unknown).then_some(reply.status)
    }

    fn note(&mut self, operation: &Operation, reply: Option<&Reply>) {
        for (place, part) in operation.parts.iter().enumerate() {
            let own = reply.and_then(|reply| crate::each::reply_to(operation, reply, place));
            self.note(part, own.as_ref().or(reply));
        }
        let Some(mark) = &operation.mark else { return };
        let fate = self.fates.0.entry(mark.clone()).or_default();
        fate.keyed = operation.ask.key.is_some();
        match reply {
            Some(reply) if reply.status < 300 => {
                fate.possible += 1;
                fate.acknowledged.extend(reply.etag);
                let mut state = self.table.state();
                state.acknowledged = state.acknowledged.max(reply.etag.unwrap_or(0));
            }
            // A user who has lost the right is not told the outcome. With a key, the request may have taken effect and its answer
            // may be lost.
            Some(reply) if matches!(reply.status, 403 | 410) => fate.possible += usize::from(fate.keyed),
            Some(reply) if reply.status != 503 => fate.refused = Some(reply.code().to_owned()),
            Some(reply) if reply.code() == "busy" => {}
            _ => fate.possible += 1,
        }
    }
}

impl Fates {
    /// Checks that no acknowledged write is lost, that no refused write took effect, and that none took effect more often than it
    /// was sent, or more than once with a key.
    pub(crate) fn check(&self, history: &History) -> Result<(), String> {
        for (mark, fate) in &self.0 {
            let taken_on = history.taken_on(mark);
            // A repetition may have had nothing to write, if somebody changed other fields of the row since.
            let is_shown = |version: &u64| taken_on.contains(version) || history.shows(*version, mark);
            let is_gone = |version: &u64| history.gone.contains_key(version);
            if let Some(lost) = fate.acknowledged.iter().find(|version| !is_shown(version) && !is_gone(version)) {
                return Err(format!("{mark:?} was acknowledged at {lost} and written at {taken_on:?}"));
            }
            if history.ever_taken_on(mark) > fate.possible {
                return Err(format!("{mark:?} was asked for {} time(s) and written at {taken_on:?}", fate.possible));
            }
            // A commit of which a backup held only a part is decided anew.
            let taken_on: Vec<u64> =
                taken_on.iter().copied().filter(|version| !history.torn.contains(version)).collect();
            if fate.keyed && taken_on.len() > 1 {
                return Err(format!("{mark:?} was asked for with a key and written at {taken_on:?}"));
            }
            if let (true, Some(code), false) = (fate.keyed, &fate.refused, taken_on.is_empty()) {
                return Err(format!("{mark:?} had a key, was refused as {code}, and was written at {taken_on:?}"));
            }
        }
        Ok(())
    }
}

/// The codes of refusals that a well-formed request may get.
pub(crate) const REFUSALS: [(u16, &str); 16] = [
    (403, "not_a_member"),
    (403, "membership_revoked"),
    (403, "role_too_low"),
    (404, "not_found"),
    (409, "id_taken"),
    (409, "id_deleted"),
    (409, "dependency_cycle"),
    (409, "duplicate_dependency"),
    (409, "calendar_in_use"),
    (409, "last_owner"),
    (410, "project_deleted"),
    (412, "version_mismatch"),
    (422, "validation_failed"),
    (422, "batch_too_large"),
    (503, "busy"),
    (503, "unavailable"),
];

/// Whether the true history allows this answer.
fn judge(operation: &Operation, reply: &Reply, given: &Given, history: &History) -> Result<(), String> {
    let Operation { ask, row, .. } = operation;
    let chosen = format!("tasks#{}", reply.body["id"].as_str().unwrap_or("-"));
    let row = if row.is_empty() { &chosen } else { row };
    let allowed = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
    allowed(!reply.replayed || ask.key.is_some(), "a replay without a key")?;
    let speaks = reply.status < 300 && ask.method != "GET";
    allowed(speaks == reply.committed.is_some(), "X-Server-Version belongs to the success of a mutation")?;
    allowed(reply.committed.is_none_or(|version| version <= history.current()), "a version that was not committed")?;
    match (reply.status, ask.method.as_str()) {
        _ if crate::each::is_each(operation) => crate::each::judge(operation, reply, history),
        (200, "GET") if reply.body.get("results").is_some() => judge_list(operation.user, reply, history),
        (200, "GET") => {
            expect_not_removed_before(operation.user, given_version(&reply.body), history)?;
            allowed(reply.etag >= Some(given.version), "older than what a strong read saw before")?;
            is_true(row, reply, history)
        }
        (200, "POST") if !operation.parts.is_empty() => crate::batch::judge(operation, reply, history),
        (200 | 201, _) => {
            is_true(row, reply, history)?;
            let version = reply.etag.unwrap_or(0);
            let Some(mark) = &operation.mark else { return Ok(()) };
            if history.taken_on(mark) == [version] {
                allowed(reply.committed >= Some(version), "X-Server-Version is below the row's version")?;
                expect_role(operation.user, operation.needed, version, history)?;
                let before = history.entry(version).and_then(|entry| entry.previous);
                allowed(
                    ask.if_match.is_none() || ask.if_match == before,
                    "written although the row was at another version",
                )?;
                crate::merge::judge(operation, reply, version, history)?;
            }
            Ok(())
        }
        (204, "DELETE") => {
            let dead = |version: &u64| history.entry(*version).is_some_and(|entry| entry.live.is_none());
            allowed(history.rows().get(row).is_some_and(|held| held.iter().any(dead)), "not dead at all")
        }
        (404, "GET") => {
            // A membership may have been dead for a while and be live again by now.
            let held = history.rows().get(row).into_iter().flatten();
            let dead = |version: &&u64| history.entry(**version).is_some_and(|entry| entry.live.is_none());
            let gone = held.filter(|version| **version >= given.version).any(|version| dead(&version));
            allowed(given.version == 0 || gone, "not found, but there all the time")
        }
        (410, _) => allowed(history.deleted_at.is_some(), "the project was not deleted"),
        (409, _) if reply.code() == "sync_conflict" => {
            crate::merge::judge_conflict(operation, reply, given.version, history)
        }
        (412, _) => {
            let asked =
                ask.if_match.or(ask.base).is_some() || operation.parts.iter().any(|part| part.ask.if_match.is_some());
            allowed(asked, "neither If-Match nor X-Base-Version was sent")
        }
        (503, _) if reply.code() == "outcome_unknown" => Ok(()),
        (status, _) if status < 300 => Err("an unexpected success".to_owned()),
        (status, _) => allowed(REFUSALS.contains(&(status, reply.code())), "an answer that cannot be"),
    }?;
    expect_not_denied(operation, reply, history)?;
    let late = reply.status < 300 && ask.method != "GET" && given.deleted && operation.mark.is_some();
    allowed(!late, "a write into a deleted project")
}

/// Checks that no answer says that a deletion that has begun was refused, or that nothing was written. A user who has lost the
/// right is not told the outcome.
fn expect_not_denied(Operation { ask, user, .. }: &Operation, reply: &Reply, history: &History) -> Result<(), String> {
    let Some(key) = &ask.key else { return Ok(()) };
    let (user, key) = (USERS[*user].0.parse().expect("a user"), key.parse().expect("a key"));
    let record = KeyedRequest::new(user, key, &[], &Map::new()).record_id();
    let gone = ["membership_revoked", "not_a_member", "project_deleted"].contains(&reply.code());
    if !history.begun.contains(&record) || reply.status < 300 || gone || reply.code() == "outcome_unknown" {
        return Ok(());
    }
    Err("a deletion had begun, and its request is refused".to_owned())
}

/// Checks that the row in the answer was committed.
fn is_true(row: &str, reply: &Reply, history: &History) -> Result<(), String> {
    let entry = reply.etag.and_then(|version| history.entry(version)).filter(|entry| entry.row == row);
    match entry.and_then(|entry| entry.live.as_deref()) {
        Some(content) if flat(&reply.body) == *content => Ok(()),
        _ => Err("a row that never was so".to_owned()),
    }
}

/// A row of a REST answer in the form that devices get.
fn flat(body: &Value) -> Map<String, Value> {
    let nested = |value: &Value| value.is_array() || value.is_object();
    let flatten = |value: &Value| if nested(value) { Value::String(value.to_string()) } else { value.clone() };
    body.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), flatten(value))).collect()
}

fn given_version(row: &Value) -> u64 {
    row["server_version"].as_u64().unwrap_or(0)
}

/// Checks that a removed user gets nothing that was written after the removal, unless they were added again.
fn expect_not_removed_before(user: usize, version: u64, history: &History) -> Result<(), String> {
    let membership = history.rows().get(&crate::run::membership(user)).and_then(|held| held.last());
    match membership.filter(|at| history.entry(**at).is_some_and(|entry| entry.live.is_none())) {
        Some(removed) if *removed < version => {
            Err(format!("{version} is shown to someone who was removed at {removed}"))
        }
        _ => Ok(()),
    }
}

fn judge_list(user: usize, reply: &Reply, history: &History) -> Result<(), String> {
    for row in reply.body["results"].as_array().into_iter().flatten() {
        let version = given_version(row);
        expect_not_removed_before(user, version, history)?;
        let content = history.entry(version).and_then(|entry| entry.live.as_deref());
        if content != Some(&flat(row)) {
            return Err(format!("lists a row that never was so: {row}"));
        }
    }
    Ok(())
}

/// Checks that the writer had the role for the write at that moment.
pub(crate) fn expect_role(user: usize, needed: i64, version: u64, history: &History) -> Result<(), String> {
    // For writes before a restore, the restore may have taken back the memberships of that time.
    if version == 1 || version <= history.raised_to {
        return Ok(());
    }
    let membership = &crate::run::membership(user);
    let role = history
        .version_at(membership, version - 1)
        .and_then(|at| history.entry(at)?.live.as_ref()?["role"].as_i64())
        .unwrap_or(0);
    if role >= needed { Ok(()) } else { Err(format!("written with the role {role} at {version}")) }
}
