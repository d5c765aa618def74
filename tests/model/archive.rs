//! The archive, which holds the versions for which a row's history has no room.
//!
//! An archive item repeats what the history of a committed copy says already. So it is true whatever happens to the commit for
//! which it is written. It needs no condition, and it is never changed.

use crate::row::{Entity, PerRow, Row, Version, Versions};
use crate::table::Table;

/// Versions that are surely superseded, each with its row if that is known.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Archive {
    pub(crate) rows: PerRow<Versions>,
    /// The anonymous archive, which a backfill wrote.
    pub(crate) anonymous: Versions,
}

impl Archive {
    /// Every possible result of a strong query of the items above `since` that began with `self` and ends now. It has every item
    /// that existed at the beginning, and any of those that came meanwhile.
    pub(crate) fn until_now(self, table: &Table, since: Version) -> Vec<Self> {
        let now = table.archive;
        let rows = Entity::ALL.into_iter().fold(vec![self.above(since)], |outcomes, entity| {
            let each = |outcome: Self| {
                let sets = outcome.rows[entity].and_any_of(now.rows[entity].after(since));
                sets.into_iter().map(move |set| {
                    let mut outcome = outcome;
                    outcome.rows[entity] = set;
                    outcome
                })
            };
            outcomes.into_iter().flat_map(each).collect()
        });
        let with_anonymous = |outcome: Self| {
            let sets = outcome.anonymous.and_any_of(now.anonymous.after(since));
            sets.into_iter().map(move |anonymous| Self { anonymous, ..outcome })
        };
        rows.into_iter().flat_map(with_anonymous).collect()
    }

    fn above(self, since: Version) -> Self {
        Self { rows: PerRow::from_fn(|entity| self.rows[entity].after(since)), anonymous: self.anonymous.after(since) }
    }

    /// The archived versions of all rows together.
    pub(crate) fn named(self) -> Versions {
        self.rows.iter().fold(Versions::default(), |all, &versions| all.with(versions))
    }

    /// Whether it names a version of a row above that of the copy that was read, if any. Then a newer copy exists.
    pub(crate) fn names_a_newer(self, entity: Entity, read: Option<&Row>) -> bool {
        !self.rows[entity].after(read.map_or(0, |row| row.server_version)).is_empty()
    }
}
