//! The table, with one counter, three rows, and transactions that are applied item by item.

use std::ops::RangeInclusive;

use crate::archive::Archive;
use crate::row::{Entity, PerRow, Row, Version, Versions};
use crate::scenario::{Application, Mutant, Scenario};

/// A moment in an item's history, as the number of its writes so far. 0 is before it existed.
pub(crate) type Moment = u8;

/// The counter item.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Counter {
    pub(crate) current_version: Version,
    /// The version that the latest commit gave to each row, or 0 if it did not write the row.
    pub(crate) last: PerRow<Version>,
    /// Whether the deletion of the task has begun. The next writer must finish it.
    pub(crate) unfinished: bool,
}

/// One item with its whole history: the committed states, and how many of them a strong read sees by now.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Item<T> {
    copies: Vec<T>,
    visible: Moment,
}

impl<T> Item<T> {
    fn new(copies: impl IntoIterator<Item = T>) -> Self {
        let mut item = Self { copies: copies.into_iter().collect(), visible: 0 };
        item.apply_all();
        item
    }

    pub(crate) fn copies(&self) -> &[T] {
        &self.copies
    }

    pub(crate) fn committed(&self) -> Option<&T> {
        self.copies.last()
    }

    /// The state after the latest commit, visible or not.
    pub(crate) fn newest(&self) -> Moment {
        Moment::try_from(self.copies.len()).unwrap_or(Moment::MAX)
    }

    /// The state that a strong read sees now.
    pub(crate) fn now(&self) -> Moment {
        self.visible
    }

    pub(crate) fn at(&self, moment: Moment) -> Option<&T> {
        self.copies.get(usize::from(moment).checked_sub(1)?)
    }

    /// All states that a strong read may have seen if it began at `begin` and ends now.
    pub(crate) fn seen_since(&self, begin: Moment) -> RangeInclusive<Moment> {
        begin..=self.visible
    }

    /// Whether no commit is still being applied here.
    pub(crate) fn is_settled(&self) -> bool {
        usize::from(self.visible) == self.copies.len()
    }

    fn apply(&mut self) {
        self.visible += 1;
    }

    fn apply_all(&mut self) {
        while !self.is_settled() {
            self.apply();
        }
    }
}

/// Names an item.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Key {
    Counter,
    Row(Entity),
}

/// Conditions and writes of one `TransactWriteItems`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Transaction {
    /// `current_version = :read`.
    pub(crate) read: Version,
    pub(crate) counter: Counter,
    /// The version that a written or checked row must have, or 0 if the row must not exist.
    pub(crate) expected: PerRow<Option<Version>>,
    pub(crate) puts: PerRow<Option<Row>>,
    /// The versions that must be in the archive first.
    pub(crate) archive: PerRow<Versions>,
    pub(crate) part: Part,
}

/// The part of a decision that a transaction writes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Part {
    Whole,
    /// The first part of several.
    First,
    /// A later part of a deletion. Another writer may have asked for the deletion.
    Later,
}

/// The reason why a transaction was cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cancelled {
    /// Another commit is still being applied to one of the items.
    Conflict,
    Condition,
}

/// One project's partition.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Table {
    pub(crate) counter: Item<Counter>,
    pub(crate) rows: PerRow<Item<Row>>,
    /// A table that was written with plain puts, each of which is visible at once.
    pub(crate) archive: Archive,
    /// The versions that no row held, according to a restore.
    pub(crate) skipped: Versions,
}

impl Table {
    /// A table with these rows, made in one commit each, long ago.
    pub(crate) fn with(entities: &[Entity]) -> Self {
        let mut rows = PerRow::from_fn(|_| Item::new([]));
        let mut counter = Counter::default();
        for &entity in entities {
            let version = counter.current_version + 1;
            rows[entity] = Item::new([Row::new(version)]);
            counter = Counter { current_version: version, ..Counter::default() };
            counter.last[entity] = version;
        }
        Self { counter: Item::new([counter]), rows, archive: Archive::default(), skipped: Versions::default() }
    }

    /// The newest version that was given to a row, visible or not.
    pub(crate) fn committed_version(&self) -> Version {
        self.counter.committed().map_or(0, |counter| counter.current_version)
    }

    /// The version in a strong read of the counter.
    pub(crate) fn visible_version(&self) -> Version {
        self.counter.at(self.counter.now()).map_or(0, |counter| counter.current_version)
    }

    /// A row in the project's state at `version`. It may be a tombstone.
    pub(crate) fn row_in_state(&self, entity: Entity, version: Version) -> Option<&Row> {
        self.rows[entity].copies.iter().rev().find(|row| row.server_version <= version)
    }

    /// Decides a transaction exactly, by the committed state and not by the visible one.
    pub(crate) fn commit(&mut self, scenario: &Scenario, transaction: &Transaction) -> Result<(), Cancelled> {
        let conflicts = |&entity: &Entity| {
            let touched = transaction.expected[entity].is_some() || transaction.puts[entity].is_some();
            touched && !self.rows[entity].is_settled()
        };
        let conflict = !self.counter.is_settled() || Entity::ALL.iter().any(conflicts);
        if conflict && !scenario.is(Mutant::NoConflictWithACommitBeingApplied) {
            return Err(Cancelled::Conflict);
        }
        let is_expected = |&entity: &Entity| {
            let version = self.rows[entity].committed().map_or(0, |row| row.server_version);
            transaction.expected[entity].is_none_or(|expected| expected == version)
        };
        if self.committed_version() != transaction.read || !Entity::ALL.iter().all(is_expected) {
            return Err(Cancelled::Condition);
        }
        self.counter.copies.push(transaction.counter);
        for entity in Entity::ALL {
            self.rows[entity].copies.extend(transaction.puts[entity]);
        }
        if scenario.application == Application::AtOnce {
            self.unapplied().into_iter().for_each(|key| self.apply(key));
        }
        Ok(())
    }

    /// The items to which a commit is still being applied.
    pub(crate) fn unapplied(&self) -> Vec<Key> {
        let counter = (!self.counter.is_settled()).then_some(Key::Counter);
        let rows = Entity::ALL.into_iter().filter(|&entity| !self.rows[entity].is_settled());
        counter.into_iter().chain(rows.map(Key::Row)).collect()
    }

    /// One item of a commit becomes visible to strong reads.
    pub(crate) fn apply(&mut self, key: Key) {
        match key {
            Key::Counter => self.counter.apply(),
            Key::Row(entity) => self.rows[entity].apply(),
        }
    }

    /// Whether the archive has all versions that a transaction drops from histories.
    pub(crate) fn archives(&self, transaction: &Transaction) -> bool {
        let is_there = |&entity: &Entity| transaction.archive[entity].without(self.archive.rows[entity]).is_empty();
        Entity::ALL.iter().all(is_there)
    }

    /// Archives the versions that a transaction is going to drop.
    pub(crate) fn put_archive(&mut self, transaction: &Transaction) {
        for entity in Entity::ALL {
            let archived = self.archive.rows[entity];
            self.archive.rows[entity] = archived.with(transaction.archive[entity]);
        }
    }

    /// A write of the counter in a call of its own, as no commit does it.
    pub(crate) fn put_counter(&mut self, counter: Counter) {
        self.counter.copies.push(counter);
        self.counter.apply_all();
    }

    /// A write of a row in a call of its own, as no commit does it.
    pub(crate) fn put_row(&mut self, entity: Entity, row: Row) {
        self.rows[entity].copies.push(row);
        self.rows[entity].apply_all();
    }
}
