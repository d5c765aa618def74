//! Stopping the functions, and a new table that is restored from a backup of an old one.
//!
//! A backup holds each item as it was at a moment of its own, all of them close to one another: of a commit that was being
//! applied, it may hold any part.

use std::sync::{Arc, Mutex};

use fastrand::Rng;
use tokio::sync::Notify;

use super::base::Base;
use super::index::{INDEXES, Index};
use super::{Items, Millis, State, UnreliableTable};
use crate::figures::Figures;
use crate::history::History;

impl UnreliableTable {
    /// Keeps what a backup of any moment from now on takes.
    pub(crate) fn keep_backups(&self) {
        self.state().base.keeps_all = true;
    }

    /// Stops the functions: whatever they were asked is not answered any more.
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
        // All of them, in the order in which they came to wait.
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

    /// What the functions answer; none when they are stopped before.
    pub(crate) async fn unless_closed<T>(&self, asked: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.is(true) => None,
            answer = asked => Some(answer),
        }
    }

    /// A backup of this table: each item as it was at one of the last `spread` ms before `moment`. Archives are all as of
    /// the moment: an archive is on the table before its row needs it.
    pub(crate) fn backup(&self, moment: Millis, spread: Millis, rng: &mut Rng) -> Items {
        let at = |key: &super::Key| match key.1.starts_with("_dropped#") {
            true => moment,
            false => moment - rng.u64(0..=spread),
        };
        self.state().base.cut(at)
    }

    /// When items changed after this moment and up to that one, in order.
    pub(crate) fn moments(&self, after: Millis, until: Millis) -> Vec<Millis> {
        self.state().base.moments(after, until)
    }

    /// Puts a new table with these items in the place of this one, which is returned.
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
