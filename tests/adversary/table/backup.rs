//! Stops the functions, and replaces the table by one that is restored from a backup.
//!
//! A backup holds each item as it was at a moment of its own. These moments are close to one another. So the backup may hold any
//! part of a commit that was being applied.

use std::sync::{Arc, Mutex};

use fastrand::Rng;
use tokio::sync::Notify;

use super::base::Base;
use super::index::{INDEXES, Index};
use super::{Items, Millis, State, UnreliableTable};
use crate::figures::Figures;
use crate::history::History;

impl UnreliableTable {
    /// Keeps all states of items, so that a backup of any later moment can be made.
    pub(crate) fn keep_backups(&self) {
        self.state().base.keeps_all = true;
    }

    /// Stops the functions. They answer none of the requests that are under way.
    pub(crate) fn close(&self) {
        self.trace(|| "the functions are stopped".to_owned());
        self.switch(true);
    }

    /// Lets the functions take requests again.
    pub(crate) fn reopen(&self) {
        self.trace(|| "the functions are started".to_owned());
        self.switch(false);
    }

    fn switch(&self, is_closed: bool) {
        self.state().is_closed = is_closed;
        // Wakes all waiting callers, in the order in which they began to wait.
        self.switched.notify_waiters();
    }

    /// Waits until the functions take requests.
    pub(crate) async fn is_open(&self) {
        self.is(false).await;
    }

    async fn is(&self, closed: bool) {
        loop {
            let switched = self.switched.notified();
            if self.state().is_closed == closed {
                return;
            }
            switched.await;
        }
    }

    /// The answer of the functions, or none if they are stopped before.
    pub(crate) async fn unless_closed<T>(&self, asked: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.is(true) => None,
            answer = asked => Some(answer),
        }
    }

    /// A backup of this table, with each item as it was at one of the last `spread` ms before `moment`. All archives are as of
    /// `moment`, because an archive is on the table before its row needs it.
    pub(crate) fn backup(&self, moment: Millis, spread: Millis, rng: &mut Rng) -> Items {
        let at = |key: &super::Key| match key.1.starts_with("_dropped#") {
            true => moment,
            false => moment - rng.u64(0..=spread),
        };
        self.state().base.cut(at)
    }

    /// The times after `after` and up to `until` at which items changed, in order.
    pub(crate) fn moments(&self, after: Millis, until: Millis) -> Vec<Millis> {
        self.state().base.moments(after, until)
    }

    /// Replaces this table by a new one with these items. Returns the old one.
    pub(crate) fn replace(&self, items: &Items) -> Arc<Self> {
        let now = self.now();
        let state = &mut *self.state();
        let seed = state.rng.u64(..);
        let old = State {
            base: std::mem::replace(&mut state.base, Base::of(items, now)),
            incarnation: state.incarnation,
            is_lost: true,
            is_closed: false,
            indexes: vec![],
            tokens: std::mem::take(&mut state.tokens),
            recent: std::mem::take(&mut state.recent),
            faults: state.faults,
            rng: Rng::with_seed(seed),
            history: History::default(),
            acknowledged: 0,
            figures: Figures::default(),
            cancelled_items: 0,
            failure: None,
            trace: None,
        };
        state.incarnation += 1;
        state.indexes = INDEXES.into_iter().map(|schema| Index::of(schema, items, now)).collect();
        Arc::new(Self { epoch: self.epoch, state: Mutex::new(old), switched: Notify::new() })
    }
}
