//! A wipe: the answer that tells a device to forget a project. It is for a removed member, and for each member of a deleted
//! project.
//!
//! The answer has the ids of the rows that existed then, as tombstones, and none of a later row. One exception: it also names
//! rows that a restore buried, because the device may have them from the lost table. After all of them the device has no rows.
//! Its mark is then the version of the removal or deletion, and it is told nothing more.
//!
//! Ids that do not fit one response come in pages. Each page reads the project again from its beginning, strongly, and
//! leaves out the rows before the place in the mark, see [`WipePlace`]. The place cannot be a version, because a device
//! with a version as its mark may have been told nothing yet. Rows come in the order of their keys. If rows are created
//! meanwhile that sort before an id, that id may be named twice, but none is left out.

use std::collections::{BTreeSet, HashMap};

use shared::domain::{ArchivedVersions, Error, Mark, ProjectId, RowKey, ServerVersion, WipePlace};
use shared::storage::{PullMembership, RowVersions, Table};
use tokio::time::{Duration, Instant};

use crate::body::{IdBudget, PullAnswer};
use crate::strong_reads::StrongReads;
use crate::throttle::unthrottled;

/// How long a page may take to read, with the waits for a throttled partition. The function has 29 s.
const MAX_PAGE_TIME: Duration = Duration::from_secs(20);

/// Why the device is to forget the project.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ended {
    /// The project was deleted at this version.
    Deleted(ServerVersion),
    /// The caller was removed.
    Removed {
        /// The version of the removal.
        at: ServerVersion,
        /// The newest version that they may have seen. A restore writes a dead membership again, at a much higher version.
        knew: ServerVersion,
    },
}

impl Ended {
    /// The removal of a dead membership.
    pub(crate) fn removed(PullMembership { row, removals }: &PullMembership) -> Self {
        let is_removal = |version: &ServerVersion| removals.versions().contains(version);
        let written_dead = row.history.versions().iter().copied().take_while(is_removal);
        Self::Removed { at: row.version, knew: written_dead.last().unwrap_or(row.version) }
    }

    /// The version of the removal or deletion.
    fn at(self) -> ServerVersion {
        match self {
            Self::Deleted(at) | Self::Removed { at, .. } => at,
        }
    }

    /// The newest version that the caller may have seen. The ids of rows that were created later are not told.
    fn knew(self) -> ServerVersion {
        match self {
            Self::Deleted(at) => at,
            Self::Removed { knew, .. } => knew,
        }
    }
}

/// A request for a wipe.
pub(crate) struct Wipe<'a> {
    pub(crate) table: &'a Table,
    pub(crate) strong: &'a StrongReads,
    pub(crate) project: &'a ProjectId,
    pub(crate) since: Mark,
    /// The version up to which a restore refuses marks, from the project's counter.
    pub(crate) resync_through: Option<ServerVersion>,
    /// The room that one page has.
    pub(crate) budget: IdBudget,
}

impl Wipe<'_> {
    /// The next page. After the last one it is `MembershipRevoked`, or an empty answer if the project is deleted.
    pub(crate) async fn answer(&self, ended: Ended) -> Result<PullAnswer, Error> {
        let (since, end) = (self.since, Mark::from(ended.at()));
        let was_told = since.wipe_place().is_none() && since >= end;
        let holds_nothing = since == Mark::NOTHING;
        match ended {
            Ended::Removed { .. } if was_told || holds_nothing => Err(Error::MembershipRevoked),
            Ended::Deleted(_) if was_told || holds_nothing => Ok(PullAnswer::empty(since.max(end))),
            _ => self.page(ended).await,
        }
    }

    async fn page(&self, ended: Ended) -> Result<PullAnswer, Error> {
        let _under_way = self.strong.begin(self.project)?;
        let deadline = Instant::now() + MAX_PAGE_TIME;
        let named_before = self.since.wipe_place().map_or(0, WipePlace::rows);
        let mut ids = Ids { named_before, rows: 0, left: self.budget, deleted: vec![] };
        let mut archived = None;
        let mut cursor = None;
        loop {
            let page = unthrottled(deadline, || self.table.versions_page(self.project, cursor.clone())).await;
            let page = match page {
                // A short page is better than none.
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
                return Ok(PullAnswer { deleted: ids.deleted, ..PullAnswer::empty(ended.at()) });
            }
            if Instant::now() >= deadline && !ids.deleted.is_empty() {
                return Ok(self.cut(ids));
            }
        }
    }

    /// Whether a row with a silent history existed at the version `knew`. The archive tells; it is read for the first such row.
    async fn existed(
        &self,
        row: &RowVersions,
        knew: ServerVersion,
        archived: &mut Option<Archived>,
        deadline: Instant,
    ) -> Result<bool, Error> {
        if archived.is_none() {
            let above = unthrottled(deadline, || self.table.archived_above(self.project, knew.into())).await?;
            *archived = Some(Archived::above(knew, above.unwrap_or_default()));
        }
        Ok(!archived.as_ref().is_some_and(|archived| archived.has_all_of(row)))
    }

    /// The ids so far, with a mark that says where the next page begins.
    fn cut(&self, ids: Ids) -> PullAnswer {
        let place = WipePlace::new(self.resync_through, ids.rows);
        PullAnswer { deleted: ids.deleted, has_more: true, ..PullAnswer::empty(place.mark()) }
    }
}

/// The ids of a page.
struct Ids {
    /// The number of rows, in the order of their keys, that the pages before dealt with.
    named_before: u64,
    /// The number of rows that are dealt with, those of the pages before included.
    rows: u64,
    left: IdBudget,
    deleted: Vec<RowKey>,
}

impl Ids {
    /// Whether a page before dealt with the next row.
    fn are_named_before(&self) -> bool {
        self.rows < self.named_before
    }

    /// Deals with the next row. Returns false if its id has to be named and does not fit.
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

/// The archived versions of each row above the newest version that the caller may have seen.
struct Archived(HashMap<RowKey, BTreeSet<ServerVersion>>);

impl Archived {
    fn above(knew: ServerVersion, archives: Vec<ArchivedVersions>) -> Self {
        let mut of_rows: HashMap<RowKey, BTreeSet<ServerVersion>> = HashMap::new();
        for archive in archives {
            if let Some(row) = archive.row() {
                let above = archive.versions().iter().copied().filter(|version| *version > knew);
                of_rows.entry(row.clone()).or_default().extend(above);
            }
        }
        Self(of_rows)
    }

    /// Whether these are all the versions that the row's history does not name. If they are, the row was created later. Otherwise
    /// the row existed, or code from before the archive dropped versions. Such a row is named, because it may be on the device.
    fn has_all_of(&self, row: &RowVersions) -> bool {
        let silent = row.history.silent_through();
        let is_unlisted = |version: &&ServerVersion| silent.covers(**version);
        let archived = self.0.get(&row.key).map_or(0, |versions| versions.iter().filter(is_unlisted).count());
        archived as u64 == row.unlisted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::membership;

    fn ended(writes: &[(u64, bool)]) -> (u64, u64) {
        let ended = Ended::removed(&membership(writes));
        (ended.at().get(), ended.knew().get())
    }

    #[test]
    fn a_membership_that_a_restore_wrote_again_counts_as_removed_when_it_first_was() {
        assert_eq!(ended(&[(2, false), (5, true)]), (5, 5));
        assert_eq!(ended(&[(2, false), (5, true), (90, true), (1_000, true)]), (1_000, 5));
        assert_eq!(ended(&[(2, false), (5, true), (7, false), (9, true), (90, true)]), (90, 9));
    }
}
