//! A project as the table holds it, now and at an earlier version.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use shared::domain::{Collection, CollectionName, Counter, Error, ProjectId, Removals, Row, RowKey, UserId, WipePlace};
use shared::storage::{KeptRequest, StoredItem};

/// One project as it was read from the table.
#[derive(Debug, Clone, Default)]
pub struct TableState {
    /// The counter, or none if there is no such project.
    pub(super) counter: Option<Counter>,
    /// Live rows and tombstones.
    pub(super) rows: BTreeMap<RowKey, Row>,
    /// The archived versions, which rows held and whose histories do not name them any more.
    pub(super) archived: HashMap<RowKey, BTreeSet<u64>>,
    /// The idempotency record under the key of the device's unfinished request, if that was looked for.
    pub(super) kept: Option<KeptRequest>,
}

/// A row as it was at a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// The row did not exist yet.
    Absent,
    /// The row was live, at this version.
    Live(u64),
    /// The row was a tombstone.
    Dead,
    /// The table no longer tells.
    Unknown,
}

impl TableState {
    /// A project from all its items. An item that cannot be read is an error, because nothing can be said about the project then.
    pub fn of(stored: &[StoredItem]) -> Result<Self, Error> {
        let mut state = Self::default();
        for item in stored {
            if item.is_counter() {
                state.counter = Some(item.counter()?);
            } else if item.is_archive() {
                let archived = item.archived()?;
                if let Some(row) = archived.row() {
                    state
                        .archived
                        .entry(row.clone())
                        .or_default()
                        .extend(archived.versions().iter().map(|version| version.get()));
                }
            } else {
                let row = item.row()?;
                state.rows.insert(row.key.clone(), row);
            }
        }
        Ok(state)
    }

    /// Adds the idempotency record of the device's unfinished request.
    #[must_use]
    pub fn with_kept(self, kept: Option<KeptRequest>) -> Self {
        Self { kept, ..self }
    }

    /// The server's version, or 0 if there is no such project.
    pub(super) fn current(&self) -> u64 {
        self.counter.as_ref().map_or(0, |counter| counter.current.get())
    }

    /// The version that the latest restore raised the counter to, or 0 if there was none.
    pub(super) fn restored_through(&self) -> u64 {
        self.counter.as_ref().map_or(0, Counter::restored_through)
    }

    /// The version up to which nothing can be said about a device with this mark. It is 0 if this table did not give the mark.
    pub(super) fn complete_up_to(&self, mark: u64) -> u64 {
        let resync =
            self.counter.as_ref().and_then(|counter| counter.resync_through).map_or(0, |through| through.get());
        let is_ours =
            mark < WipePlace::FIRST_MARK && mark <= self.current() && mark > resync.max(self.restored_through());
        if is_ours { mark } else { 0 }
    }

    /// The row that a report names. None if there is no such row, or if the name cannot be a row's.
    pub(super) fn row(&self, table: &str, id: &str) -> Option<&Row> {
        let collection: CollectionName = table.parse().ok()?;
        self.rows.get(&RowKey::new(collection, id.parse().ok()?))
    }

    /// The row with the name `table/id`.
    pub(super) fn row_by_key(&self, key: &str) -> Option<&Row> {
        let (table, id) = key.split_once('/')?;
        self.row(table, id)
    }

    /// The rows of a collection.
    pub(super) fn of_collection(&self, collection: CollectionName) -> impl Iterator<Item = &Row> {
        self.rows.values().filter(move |row| row.key.collection == collection)
    }

    /// The user's membership, live or dead.
    pub(super) fn membership(&self, project: &ProjectId, user: &UserId) -> Option<&Row> {
        self.rows.get(&RowKey::membership(project, user))
    }

    /// Whether the row ever held this version. None if the table no longer tells.
    pub(super) fn has_held(&self, row: &Row, version: u64) -> Option<bool> {
        if row.version.get() == version || self.older(row).any(|older| older == version) {
            return Some(true);
        }
        (version >= row.history.silent_through().floor() || self.is_whole(row)).then_some(false)
    }

    /// The state of the row at a version that is above the latest restore.
    pub(super) fn then(&self, row: &Row, mark: u64) -> Then {
        if row.version.get() <= mark {
            return if row.live().is_some() { Then::Live(row.version.get()) } else { Then::Dead };
        }
        let Some(version) = self.older(row).filter(|version| *version <= mark).max() else {
            return if self.is_whole(row) { Then::Absent } else { Then::Unknown };
        };
        let is_listed = version >= row.history.silent_through().floor();
        let is_told = is_listed || row.archived_above.is_some_and(|above| above.floor() <= version);
        if !is_told || version <= self.restored_through() {
            return Then::Unknown;
        }
        if row.key.collection == Collection::Memberships {
            return Self::member_then(row, version);
        }
        // Only a deleted membership can come back. Any other row that was written again later was live.
        Then::Live(version)
    }

    fn member_then(row: &Row, version: u64) -> Then {
        let forgets = row.removals.versions().len() >= Removals::MAX;
        match row.removals.versions().first() {
            _ if row.removals.versions().iter().any(|removed| removed.get() == version) => Then::Dead,
            Some(oldest) if forgets && version < oldest.get() => Then::Unknown,
            _ => Then::Live(version),
        }
    }

    /// The versions before the current one that are still known.
    fn older<'a>(&'a self, row: &'a Row) -> impl Iterator<Item = u64> + 'a {
        let archived = self.archived.get(&row.key).into_iter().flatten();
        row.history.versions().iter().map(|version| version.get()).chain(archived.copied())
    }

    /// Whether every version that the row ever held is known.
    fn is_whole(&self, row: &Row) -> bool {
        self.older(row).collect::<BTreeSet<_>>().len() as u64 + 1 >= row.revision_count
    }

    /// The number of versions between the mark and the counter. Versions that a restore skipped do not count.
    pub(super) fn versions_after(&self, mark: u64) -> u64 {
        let skipped = self
            .counter
            .iter()
            .flat_map(|counter| &counter.skipped)
            .map(|(first, last)| (last + 1).saturating_sub((*first).max(mark + 1)));
        self.current().saturating_sub(mark).saturating_sub(skipped.sum())
    }

    /// The time of the newest write up to the mark, in seconds since 1970.
    pub(super) fn newest_write(&self, mark: u64) -> Option<i64> {
        let complete = self.complete_up_to(mark);
        let rows = self.rows.values().filter(|row| row.version.get() <= complete);
        rows.filter_map(|row| row.last_write.as_ref()).map(|last| last.at).max()
    }
}
