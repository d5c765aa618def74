//! The archive: what a row's list has no room for.
//!
//! An archive item says what the list of a committed copy says already, so it is true whatever becomes of the commit
//! for which it is written, needs no condition, and is never changed.

use crate::row::{Entity, PerRow, Row, Version, Versions};
use crate::table::Table;

/// Versions that are surely superseded, and by which row, where that is known.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Archive {
    pub(crate) rows: PerRow<Versions>,
    /// Of a project that was healed.
    pub(crate) anonymous: Versions,
}

impl Archive {
    /// Each way in which a strong query of the items above `since`, begun with `self` and ended now, may have turned out:
    /// what was there is read, and of what came meanwhile anything.
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

    /// Of all rows together.
    pub(crate) fn named(self) -> Versions {
        self.rows.iter().fold(Versions::default(), |all, &versions| all.with(versions))
    }

    /// Whether it names a version of a row above that of the copy that was read, if any: then there is a newer one.
    pub(crate) fn names_a_newer(self, entity: Entity, read: Option<&Row>) -> bool {
        !self.rows[entity].after(read.map_or(0, |row| row.server_version)).is_empty()
    }
}
