//! What a pull answers someone for whom there is nothing any more: a member who was removed, or one of a deleted project.
//!
//! The ids of the rows that existed when it ended, as tombstones, and none of a later one but those that a restore buried: the
//! device may have these from the lost table. A device that has applied them
//! all holds nothing any more; it gets the version at which it ended as its mark, and is told no more from then on.
//!
//! What does not fit one response follows in pages. Each reads the project from its beginning, strongly, and leaves out what
//! lies before the place in its mark, see [`WipePlace`]. No version would do for that: a mark up to the counter may be a
//! device's that has been told nothing yet. Rows come in the order of their keys, so that an id may be named on two pages,
//! when rows were made before it in between, and none is left out.

use std::collections::{BTreeSet, HashMap};

use shared::domain::{ArchivedVersions, Error, ProjectId, Row, RowKey, ServerVersion, Since, WipePlace};
use shared::storage::{RowVersions, Table};
use tokio::time::{Duration, Instant};

use crate::body::{IdBudget, PullAnswer};
use crate::strong_reads::StrongReads;
use crate::throttle::unthrottled;

/// How long a page is read, waiting for a throttled partition included. The function has 29 s.
const DEADLINE: Duration = Duration::from_secs(20);

/// Why there is nothing for the caller any more.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ended {
    /// The project was deleted at this version.
    Deleted(ServerVersion),
    /// The caller was removed.
    Removed {
        /// At this version.
        at: ServerVersion,
        /// The newest version that they may know of: a restore writes a dead membership again, much later.
        knew: ServerVersion,
    },
}

impl Ended {
    /// The removal that a dead membership tells of.
    pub(crate) fn removed(membership: &Row) -> Self {
        let dead_since = |version: u64| membership.removed_at.iter().any(|removed| removed.get() == version);
        let written_dead = membership.history.versions().iter().copied().take_while(|version| dead_since(*version));
        let knew = written_dead.last().and_then(|version| version.try_into().ok());
        Self::Removed { at: membership.version, knew: knew.unwrap_or(membership.version) }
    }

    /// The version at which it ended.
    fn at(self) -> ServerVersion {
        match self {
            Self::Deleted(at) | Self::Removed { at, .. } => at,
        }
    }

    /// A row that was made later is none of the caller's business.
    fn knew(self) -> ServerVersion {
        match self {
            Self::Deleted(at) => at,
            Self::Removed { knew, .. } => knew,
        }
    }
}

/// What is to be wiped.
pub(crate) struct Wipe<'a> {
    pub(crate) table: &'a Table,
    pub(crate) strong: &'a StrongReads,
    pub(crate) project: &'a ProjectId,
    pub(crate) since: Since,
    /// The project's.
    pub(crate) resync_through: Option<ServerVersion>,
    /// What one page may name.
    pub(crate) budget: IdBudget,
}

impl Wipe<'_> {
    /// The next page; once they were all given, `MembershipRevoked`, or nothing of a deleted project.
    pub(crate) async fn answer(&self, ended: Ended) -> Result<PullAnswer, Error> {
        let (since, end) = (self.since.get(), ended.at().get());
        let was_told = self.since.wipe_place().is_none() && since >= end;
        let holds_nothing = self.since == Since::NOTHING;
        match ended {
            Ended::Removed { .. } if was_told || holds_nothing => Err(Error::MembershipRevoked),
            Ended::Deleted(_) if was_told || holds_nothing => Ok(PullAnswer::empty(since.max(end))),
            _ => self.page(ended).await,
        }
    }

    async fn page(&self, ended: Ended) -> Result<PullAnswer, Error> {
        let _under_way = self.strong.begin(self.project)?;
        let deadline = Instant::now() + DEADLINE;
        let named_before = self.since.wipe_place().map_or(0, WipePlace::rows);
        let mut ids = Ids { named_before, rows: 0, left: self.budget, deleted: vec![] };
        let mut archived = None;
        let mut cursor = None;
        loop {
            let page = unthrottled(deadline, || self.table.versions_page(self.project, cursor.clone())).await;
            let page = match page {
                // What is there already is a step forward.
                Err(Error::Overloaded) if !ids.deleted.is_empty() => return Ok(self.cut(ids)),
                page => page?,
            };
            for row in page.rows {
                let is_known = match row.may_be_known_at(ended.knew()) {
                    Some(is_known) => is_known,
                    None if ids.are_named_before() => false,
                    None => match self.existed(&row, ended.knew(), &mut archived, deadline).await {
                        Err(Error::Overloaded) if !ids.deleted.is_empty() => return Ok(self.cut(ids)),
                        is_known => is_known?,
                    },
                };
                if !ids.take(row.key, is_known) {
                    return Ok(self.cut(ids));
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(PullAnswer { deleted: ids.deleted, ..PullAnswer::empty(ended.at().get()) });
            }
            if Instant::now() >= deadline && !ids.deleted.is_empty() {
                return Ok(self.cut(ids));
            }
        }
    }

    /// Did a row whose own list is silent exist at the version `knew`? The archive says so, which is read at the first such row.
    async fn existed(
        &self,
        row: &RowVersions,
        knew: ServerVersion,
        archived: &mut Option<Archived>,
        deadline: Instant,
    ) -> Result<bool, Error> {
        if archived.is_none() {
            let above = unthrottled(deadline, || self.table.archived_above(self.project, knew.get())).await?;
            *archived = Some(Archived::above(knew, above.unwrap_or_default()));
        }
        Ok(!archived.as_ref().is_some_and(|archived| archived.has_all_of(row)))
    }

    /// The ids so far, and a mark that says how far that is.
    fn cut(&self, ids: Ids) -> PullAnswer {
        let place = WipePlace::new(self.resync_through, ids.rows);
        PullAnswer { deleted: ids.deleted, has_more: true, ..PullAnswer::empty(place.mark()) }
    }
}

/// The ids of a page.
struct Ids {
    /// So many rows were dealt with on the pages before.
    named_before: u64,
    /// So many rows, from the first one on, are dealt with.
    rows: u64,
    left: IdBudget,
    deleted: Vec<RowKey>,
}

impl Ids {
    /// Was the next row dealt with on a page before?
    fn are_named_before(&self) -> bool {
        self.rows < self.named_before
    }

    /// Deals with the next row; false when it has to be named and does not fit any more.
    fn take(&mut self, key: RowKey, is_known: bool) -> bool {
        if is_known && !self.are_named_before() {
            if !self.left.take(&key) {
                return false;
            }
            self.deleted.push(key);
        }
        self.rows += 1;
        true
    }
}

/// Which versions of which rows were archived above the version that the caller may know of.
struct Archived(HashMap<RowKey, BTreeSet<u64>>);

impl Archived {
    fn above(knew: ServerVersion, archives: Vec<ArchivedVersions>) -> Self {
        let mut of_rows: HashMap<RowKey, BTreeSet<u64>> = HashMap::new();
        for archive in archives {
            if let Some(row) = archive.row() {
                let above = archive.versions().iter().copied().filter(|version| *version > knew.get());
                of_rows.entry(row.clone()).or_default().extend(above);
            }
        }
        Self(of_rows)
    }

    /// Are all versions that the row's list has no room for among them? Then it was made later. If not, it existed, or versions were
    /// dropped by code from before the archive: such a row is named, since it may be on the device.
    fn has_all_of(&self, row: &RowVersions) -> bool {
        let archived = self.0.get(&row.key).map_or(0, |versions| versions.range(..row.history.floor()).count());
        archived as u64 == row.unlisted()
    }
}

#[cfg(test)]
mod tests {
    use shared::domain::{RowKey, Write};

    use super::*;

    fn version(number: u64) -> ServerVersion {
        ServerVersion::try_from(number).expect("a version")
    }

    /// A membership that was given or, where it says so, removed at these versions.
    fn membership(writes: &[(u64, bool)]) -> Row {
        let key: RowKey = "memberships#m".parse().expect("a key");
        let write = |removed| if removed { Write::Delete } else { Write::Put(shared::domain::Columns::new()) };
        let written = writes.iter().fold(None, |row: Option<Row>, (at, removed)| {
            Some(Row::written(row.as_ref(), key.clone(), write(*removed), version(*at)))
        });
        written.expect("a write")
    }

    fn ended(writes: &[(u64, bool)]) -> (u64, u64) {
        let ended = Ended::removed(&membership(writes));
        (ended.at().get(), ended.knew().get())
    }

    #[test]
    fn what_a_restore_writes_again_was_removed_when_it_was_first() {
        assert_eq!(ended(&[(2, false), (5, true)]), (5, 5));
        assert_eq!(ended(&[(2, false), (5, true), (90, true), (1_000, true)]), (1_000, 5));
        assert_eq!(ended(&[(2, false), (5, true), (7, false), (9, true), (90, true)]), (90, 9));
    }
}
