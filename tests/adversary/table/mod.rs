//! A table that keeps what DynamoDB promises, and nothing more.
//!
//! It sits beneath the SDK, in the place of its HTTP connections, so that all of the product runs, the SDK's own retries
//! and time limits included. All its whims come from one seed and its clock is the runtime's paused one: a seed is one
//! course of events. What it is asked and does not know makes it panic.
//!
//! Promised: a transaction is one moment, evaluated exactly, and answered once all of it is applied; a strong read of one
//! item is current; an index gets there in the end. Not promised, and not kept: anything about reads of several items,
//! anything an index shows meanwhile, that calls are served, and that their answers arrive.

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

/// The table's name; another one is refused.
pub(crate) const NAME: &str = "unreliable";

/// The table of one run.
#[derive(Debug)]
pub(crate) struct UnreliableTable {
    epoch: Instant,
    state: Mutex<State>,
    /// The functions were started or stopped.
    switched: Notify,
}

/// Everything about a run that is shared, with the truth about what was committed.
#[derive(Debug)]
pub(crate) struct State {
    base: Base,
    /// How many tables had this name before: each was lost, and this one restored.
    pub(crate) incarnation: u64,
    /// This one was lost: it is only read.
    is_lost: bool,
    /// The functions are stopped.
    is_closed: bool,
    indexes: Vec<Index>,
    tokens: BTreeMap<String, Token>,
    /// The latest transactions of several items: of which item each made which state.
    recent: VecDeque<Vec<(Key, u64)>>,
    pub(crate) faults: Faults,
    rng: Rng,
    pub(crate) history: History,
    /// The newest version that a mutation was answered with.
    pub(crate) acknowledged: u64,
    pub(crate) figures: Figures,
    /// Items of transactions that were cancelled.
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

/// So many transactions are remembered, to tell when a read is torn.
const RECENT: usize = 8;

impl UnreliableTable {
    /// An empty table; `traced` keeps a line for each event.
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

    /// What is known at this moment. Never held across an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Millis {
        u64::try_from(self.epoch.elapsed().as_millis()).expect("a short run")
    }

    /// Notes a violation; the first one counts.
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
    /// The version of a row that a strong read sees at this moment; 0 if it is not there.
    pub(crate) fn seen_version(&self, project: &str, row: &str, now: Millis) -> u64 {
        let (_, item) = self.base.read(&(project.to_owned(), row.to_owned()), now);
        item.and_then(|item| item["server_version"]["N"].as_str()?.parse().ok()).unwrap_or(0)
    }

    /// The project's version that a strong read sees at this moment; 0 if there is no project.
    pub(crate) fn seen_counter(&self, project: &str, now: Millis) -> u64 {
        let (_, item) = self.base.read(&(project.to_owned(), "_counter".to_owned()), now);
        item.and_then(|item| item["current_version"]["N"].as_str()?.parse().ok()).unwrap_or(0)
    }

    /// Counts a reading of several items that shows some of a transaction and not the rest.
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

/// Panics when a request has a member that this table does not look at.
fn expect_only(request: &Value, known: &[&str]) {
    for name in request.as_object().expect("an object").keys() {
        assert!(known.contains(&name.as_str()), "{name} is not understood in {request}");
    }
}
