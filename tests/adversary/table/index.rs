//! An index like a real one: a few replicas, each of which follows the table row by row at its own pace.
//!
//! A read that uses one replica and then another one may see time go back. While a row moves from its old key to its new one, a
//! replica shows both copies or neither. It never shows a copy that the row did not have. Once a newer copy has replaced an older
//! one for good, it never shows the older one again.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;

use super::base::{Items, Key, Written};
use super::expression::{Condition, Item, Stored};
use super::faults::{Faults, Millis};
use crate::figures::Figures;

const REPLICAS: usize = 3;

/// The key of an index, and the attributes that it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schema {
    pub(crate) name: &'static str,
    pub(crate) hash: &'static str,
    pub(crate) range: &'static str,
    pub(crate) projected: &'static [&'static str],
}

/// The indexes of template.yaml.
pub(crate) const INDEXES: [Schema; 2] = [
    Schema {
        name: "by_version",
        hash: "project_id",
        range: "server_version",
        projected: &["row", "superseded", "writes", "is_deleted"],
    },
    Schema { name: "by_user", hash: "user_id", range: "project_id", projected: &[] },
];

/// An index.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) schema: Schema,
    rows: BTreeMap<Key, Row>,
}

#[derive(Debug, Default)]
struct Row {
    replicas: [Vec<Entry>; REPLICAS],
    /// The states of the row with the time from which on the table shows each one. A state is none while the index must not have
    /// the row.
    shown_by_table: Vec<(Millis, Option<u64>)>,
    /// The newest state that any read was shown.
    newest_shown: u64,
}

/// One read of an index.
pub(crate) struct Reading<'a> {
    pub(crate) condition: &'a Condition,
    pub(crate) replica: usize,
    pub(crate) now: Millis,
}

/// A copy of a row and the time when a replica shows it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    from: Millis,
    until: Millis,
    /// The ordinal of this state of the row.
    pub(crate) number: u64,
    pub(crate) item: Arc<Stored>,
}

impl Index {
    pub(crate) fn new(schema: Schema) -> Self {
        Self { schema, rows: BTreeMap::new() }
    }

    /// The index of a new table with these items.
    pub(crate) fn of(schema: Schema, items: &Items, now: Millis) -> Self {
        let mut index = Self::new(schema);
        for (key, item) in items {
            let Some(item) = index.project(item).map(|item| Arc::new(Stored::new(item))) else { continue };
            let entry = || vec![Entry { from: now, until: Millis::MAX, number: 1, item: Arc::clone(&item) }];
            let replicas = std::array::from_fn(|_| entry());
            index.rows.insert(key.clone(), Row { replicas, shown_by_table: vec![(now, Some(1))], newest_shown: 0 });
        }
        index
    }

    /// Lets each replica follow a write at its own pace, once the table shows it.
    pub(crate) fn follow(&mut self, written: &Written, now: Millis, faults: &Faults, rng: &mut Rng) {
        let item =
            written.after.item.as_ref().and_then(|item| self.project(item)).map(|item| Arc::new(Stored::new(item)));
        if item.is_none() && !self.rows.contains_key(&written.key) {
            return;
        }
        let row = self.rows.entry(written.key.clone()).or_default();
        let number = item.is_some().then_some(written.after.number);
        let seen = row.shown_by_table.iter().rposition(|(from, _)| *from <= now);
        row.shown_by_table.drain(..seen.unwrap_or(0));
        row.shown_by_table.push((written.after.from, number));
        for entries in &mut row.replicas {
            let earliest = entries.last().map_or(0, |entry| entry.from);
            let from = (written.after.from + faults.lag.draw(rng)).max(earliest);
            let gap = faults.overlap.draw(rng);
            let gone_between = rng.bool();
            if let Some(old) = entries.last_mut() {
                let until = match &item {
                    Some(item) if self.schema.same_key(&old.item, item) => from,
                    _ if gone_between => from.saturating_sub(gap).max(old.from),
                    _ => from + gap,
                };
                old.until = old.until.min(until);
            }
            entries.retain(|entry| entry.until > now);
            if let Some(item) = &item {
                entries.push(Entry { from, until: Millis::MAX, number: written.after.number, item: Arc::clone(item) });
            }
        }
    }

    /// The copies that a replica shows of the rows in one partition, and the ways in which they differ from the table.
    pub(crate) fn read(&mut self, at: &Reading<'_>, figures: &mut Figures) -> Vec<(Key, Entry)> {
        let mut found = Vec::new();
        for (key, row) in &mut self.rows {
            let entries = &row.replicas[at.replica % REPLICAS];
            let shown = || entries.iter().filter(|entry| entry.from <= at.now && at.now < entry.until);
            let newest = shown().map(|entry| entry.number).max().unwrap_or(0);
            let current = row.shown_by_table.iter().rev().find(|(from, _)| *from <= at.now);
            if current.is_some_and(|(_, current)| current.is_some_and(|current| newest < current)) {
                figures.inject(if newest == 0 { "row missing in an index" } else { "old copy in an index" });
            }
            if shown().count() > 1 {
                figures.inject("old and new copy at once");
            }
            if newest < row.newest_shown {
                figures.inject("index went back in time");
            }
            row.newest_shown = row.newest_shown.max(newest);
            let wanted = shown().filter(|entry| at.condition.holds(Some(&entry.item)));
            found.extend(wanted.map(|entry| (key.clone(), entry.clone())));
        }
        found
    }

    /// The item as the index keeps it, or none if it lacks the index's key.
    fn project(&self, item: &Item) -> Option<Item> {
        let Schema { hash, range, projected, .. } = self.schema;
        if !item.contains_key(hash) || !item.contains_key(range) {
            return None;
        }
        let kept = |name: &str| ["project_id", "entity", hash, range].contains(&name) || projected.contains(&name);
        Some(item.iter().filter(|(name, _)| kept(name)).map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

impl Schema {
    fn same_key(&self, left: &Item, right: &Item) -> bool {
        [self.hash, self.range].into_iter().all(|name| left.get(name) == right.get(name))
    }
}
