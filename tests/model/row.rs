//! The rows, and the versions that they held.

use std::fmt::{Debug, Formatter};
use std::ops::{Index, IndexMut};

use crate::scenario::{Mutant, Scenario};

/// A project's version. 0 means none: it is the `since` of a first pull, and the version of a row that does not exist.
pub(crate) type Version = u8;

/// A set of versions.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Versions(u16);

impl Versions {
    pub(crate) fn of(version: Version) -> Self {
        Self(1 << version)
    }

    /// All versions from 1 on.
    pub(crate) fn all() -> Self {
        Self(!1)
    }

    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn has(self, version: Version) -> bool {
        self.0 & (1 << version) != 0
    }

    /// The number of them above `version`.
    pub(crate) fn above(self, version: Version) -> u32 {
        (self.0 >> version >> 1).count_ones()
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The versions up to `version`.
    pub(crate) fn up_to(self, version: Version) -> Self {
        self.without(self.after(version))
    }

    /// The versions above `version`.
    pub(crate) fn after(self, version: Version) -> Self {
        Self(self.0 >> version >> 1 << version << 1)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Version> {
        (0..16).filter(move |&version| self.has(version))
    }

    /// Every set that has these versions and any of those in `more`.
    pub(crate) fn and_any_of(self, more: Self) -> Vec<Self> {
        more.without(self).iter().fold(vec![self], |mut sets, version| {
            sets.extend(sets.clone().into_iter().map(|set| set.with(Self::of(version))));
            sets
        })
    }

    /// The newest `capacity` of them.
    fn newest(self, capacity: u32) -> Self {
        let mut kept = self;
        while kept.0.count_ones() > capacity {
            kept.0 &= kept.0 - 1;
        }
        kept
    }
}

impl Debug for Versions {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The fate of versions for which a history has no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Overflow {
    /// Nothing names them any more.
    Forgotten,
    /// They are in the archive before the row without them is written.
    Archived,
}

/// The rows of the project.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Entity {
    Task,
    /// A dependency that names the task.
    Edge,
    /// The membership of the device's user.
    Membership,
}

impl Entity {
    pub(crate) const ALL: [Self; 3] = [Self::Task, Self::Edge, Self::Membership];
}

/// A value for each row.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct PerRow<T>([T; Entity::ALL.len()]);

impl<T> PerRow<T> {
    pub(crate) fn from_fn(of: impl FnMut(Entity) -> T) -> Self {
        Self(Entity::ALL.map(of))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

impl<T: Debug> Debug for PerRow<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> Index<Entity> for PerRow<T> {
    type Output = T;

    fn index(&self, entity: Entity) -> &T {
        &self.0[entity as usize]
    }
}

impl<T> IndexMut<Entity> for PerRow<T> {
    fn index_mut(&mut self, entity: Entity) -> &mut T {
        &mut self.0[entity as usize]
    }
}

/// A row as one commit wrote it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Row {
    pub(crate) server_version: Version,
    superseded: Versions,
    /// Versions below this may have been dropped from `superseded`.
    pub(crate) silent_below: Version,
    /// Every version from here on that `superseded` does not name is in the archive. It is none for a row of which nothing was
    /// archived, or that older code has written since.
    pub(crate) archived_from: Option<Version>,
    pub(crate) writes: u8,
    pub(crate) is_deleted: bool,
    /// The versions at which the membership was removed.
    pub(crate) removed_at: Versions,
}

impl Row {
    pub(crate) fn new(server_version: Version) -> Self {
        Self {
            server_version,
            superseded: Versions::default(),
            silent_below: 0,
            archived_from: None,
            writes: 1,
            is_deleted: false,
            removed_at: Versions::default(),
        }
    }

    /// The row after another write by code that treats dropped versions like this.
    pub(crate) fn next(
        scenario: &Scenario,
        overflow: Overflow,
        before: Option<&Self>,
        server_version: Version,
        is_deleted: bool,
    ) -> Self {
        let mut row = Self { is_deleted, ..Self::new(server_version) };
        if is_deleted {
            row.removed_at = Versions::of(server_version);
        }
        let Some(before) = before else { return row };
        let held = if scenario.is(Mutant::SupersededNotCarriedOn) {
            Versions::of(before.server_version)
        } else {
            before.held()
        };
        let is_full = held.0.count_ones() > scenario.list_capacity;
        row.superseded = match overflow {
            // The oldest half is dropped at once, so that drops are rare.
            Overflow::Archived if is_full => held.newest(scenario.list_capacity.div_ceil(2)),
            _ => held.newest(scenario.list_capacity),
        };
        let dropped = held.without(row.superseded);
        row.silent_below = dropped.iter().last().map_or(before.silent_below, |dropped| dropped + 1);
        if overflow == Overflow::Archived {
            let cut_before = if scenario.is(Mutant::CutByOldCodeTakenForArchived) { 0 } else { before.silent_below };
            row.archived_from = before.archived_from.or((!dropped.is_empty()).then_some(cut_before));
        }
        row.writes += before.writes;
        row.removed_at = row.removed_at.with(before.removed_at);
        row
    }

    /// The versions in the history of `self` that the history of the next write does not have. The next history always has room
    /// for the row's own version.
    pub(crate) fn dropped_by(&self, next: &Self) -> Versions {
        self.superseded.without(next.superseded)
    }

    /// The versions before its own.
    pub(crate) fn superseded(&self) -> Versions {
        self.superseded
    }

    /// The versions that this copy is known to have held.
    pub(crate) fn held(&self) -> Versions {
        self.superseded.with(Versions::of(self.server_version))
    }

    /// Whether the history may lack a version above `version`.
    pub(crate) fn is_silent_above(&self, version: Version) -> bool {
        self.silent_below > version + 1
    }
}
