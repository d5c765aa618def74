//! A table that keeps the promises of DynamoDB and nothing more.
//!
//! It replaces the HTTP connections of the SDK, so all of the product runs, including the SDK's own retries and time limits. All
//! its randomness comes from one seed, and its clock is the paused clock of the runtime. So a seed is one course of events. It
//! panics at a call that it does not know.
//!
//! It promises that a transaction is evaluated exactly, at one moment, and answered once all of it is applied; that a strong read
//! of one item is current; and that an index catches up in the end. It promises nothing about reads of several items, nothing
//! about the state of an index meanwhile, and not that calls are served or that their answers arrive.

mod backup;
mod base;
mod calls;
mod capacity;
mod connection;
mod expression;
mod faults;
mod index;
mod upkeep;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep};

pub(crate) use base::{Items, Key, Written};
pub(crate) use calls::DESCENDING;
pub(crate) use capacity::{Cost, Meter};
pub(crate) use expression::{Item, Stored};
pub(crate) use faults::{Delays, Faults, Lag, Millis};

use crate::figures::Figures;
use crate::history::History;
use base::Base;
use index::Index;

/// The table's name. Any other name is refused.
pub(crate) const NAME: &str = "unreliable";

/// The table of one run.
#[derive(Debug)]
pub(crate) struct UnreliableTable {
    epoch: Instant,
    state: Mutex<State>,
    /// Notifies callers that the functions were started or stopped.
    switched: Notify,
}

/// The shared state of a run, with the true history.
#[derive(Debug)]
pub(crate) struct State {
    base: Base,
    /// The number of lost tables that had this name before this one was restored.
    pub(crate) incarnation: u64,
    /// Whether this table was lost, so that it is only read.
    is_lost: bool,
    /// Whether the functions are stopped.
    is_closed: bool,
    indexes: Vec<Index>,
    tokens: BTreeMap<String, Token>,
    /// The latest transactions of several items, each with its items and the ordinals of their states.
    recent: VecDeque<Vec<(Key, u64)>>,
    pub(crate) faults: Faults,
    rng: Rng,
    pub(crate) history: History,
    /// The newest version that an answer to a mutation named.
    pub(crate) acknowledged: u64,
    pub(crate) figures: Figures,
    /// The number of items in cancelled transactions.
    pub(crate) cancelled_items: u64,
    failure: Option<String>,
    trace: Option<Vec<String>>,
}

/// A transaction that was accepted under a token.
#[derive(Debug)]
struct Token {
    request: Value,
    done: Millis,
}

/// The number of transactions that are remembered, to detect torn reads.
const RECENT: usize = 8;

impl UnreliableTable {
    /// An empty table. `traced` keeps a line for each event.
    pub(crate) fn new(seed: u64, faults: Faults, traced: bool) -> Arc<Self> {
        let state = State {
            base: Base::default(),
            incarnation: 0,
            is_lost: false,
            is_closed: false,
            indexes: index::INDEXES.into_iter().map(Index::new).collect(),
            tokens: BTreeMap::new(),
            recent: VecDeque::new(),
            faults,
            rng: Rng::with_seed(seed ^ 0x7ab1e),
            history: History::default(),
            acknowledged: 0,
            figures: Figures::default(),
            cancelled_items: 0,
            failure: None,
            trace: traced.then(Vec::new),
        };
        Arc::new(Self { epoch: Instant::now(), state: Mutex::new(state), switched: Notify::new() })
    }

    /// The state at this moment. Its lock is never held across an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Millis {
        u64::try_from(self.epoch.elapsed().as_millis()).expect("a short run")
    }

    /// Notes a violation. The first one counts.
    pub(crate) fn fail(&self, what: impl Into<String>) {
        let what = what.into();
        self.trace(|| format!("VIOLATION {what}"));
        self.state().failure.get_or_insert(what);
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }

    /// Adds an event to the trace, if there is one.
    pub(crate) fn trace(&self, line: impl FnOnce() -> String) {
        let now = self.now();
        if let Some(trace) = &mut self.state().trace {
            trace.push(format!("{now:>8} ms  {}", line()));
        }
    }

    pub(crate) fn take_trace(&self) -> Vec<String> {
        self.state().trace.take().unwrap_or_default()
    }

    /// Every item in its latest state.
    pub(crate) fn items(&self) -> Vec<(Key, Arc<Stored>)> {
        self.state().base.latest().map(|(key, item)| (key.clone(), Arc::clone(item))).collect()
    }
}

async fn pause(duration: Millis) {
    if duration > 0 {
        sleep(Duration::from_millis(duration)).await;
    }
}

impl State {
    /// The version of a row that a strong read sees at this moment, or 0 if the row does not exist.
    pub(crate) fn seen_version(&self, project: &str, row: &str, now: Millis) -> u64 {
        let (_, item) = self.base.read(&(project.to_owned(), row.to_owned()), now);
        item.and_then(|item| item["server_version"]["N"].as_str()?.parse().ok()).unwrap_or(0)
    }

    /// The project's version that a strong read sees at this moment, or 0 if there is no project.
    pub(crate) fn seen_counter(&self, project: &str, now: Millis) -> u64 {
        let (_, item) = self.base.read(&(project.to_owned(), "_counter".to_owned()), now);
        item.and_then(|item| item["current_version"]["N"].as_str()?.parse().ok()).unwrap_or(0)
    }

    /// Counts a torn read: a read of several items that shows a part of a transaction.
    fn note_torn(&mut self, kind: &str, seen: &HashMap<&Key, u64>) {
        let torn = self.recent.iter().any(|transaction| {
            let shows = |new: bool| {
                transaction.iter().any(|(key, number)| seen.get(key).is_some_and(|seen| (seen >= number) == new))
            };
            shows(true) && shows(false)
        });
        if torn {
            self.figures.inject(kind);
        }
    }
}

/// Panics if a request has a member that this table does not know.
fn expect_only(request: &Value, known: &[&str]) {
    for name in request.as_object().expect("an object").keys() {
        assert!(known.contains(&name.as_str()), "{name} is not understood in {request}");
    }
}
