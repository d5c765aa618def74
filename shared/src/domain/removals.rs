//! The removals of a member, which tell a pull whether a device was told to forget the project.

use super::{Mark, ServerVersion};

/// The versions at which a membership was removed, oldest first: the latest [`Removals::MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removals(Vec<ServerVersion>);

impl Removals {
    /// How many removals are remembered exactly.
    pub const MAX: usize = 16;

    /// Adds a removal, which is newer than all others. Drops the oldest ones if there are too many.
    pub fn push(&mut self, version: ServerVersion) {
        self.0.push(version);
        self.0.drain(..self.0.len().saturating_sub(Self::MAX));
    }

    /// Whether a device of this member with this mark may have been told to forget everything.
    ///
    /// If the list is full, older removals may have been dropped. Then any mark up to the oldest kept one may be a
    /// removal. A false positive costs a full pull. A false negative costs rows.
    pub fn may_include(&self, mark: Mark) -> bool {
        let first_exact = self.0.len().checked_sub(Self::MAX);
        first_exact.is_some_and(|first| mark <= self.0[first].into())
            || self.0.iter().any(|version| mark == (*version).into())
    }

    /// The removals that are remembered, oldest first.
    pub fn versions(&self) -> &[ServerVersion] {
        &self.0
    }
}

impl FromIterator<ServerVersion> for Removals {
    /// Older code may have kept more than [`Removals::MAX`]. They all stay until the next removal.
    fn from_iter<I: IntoIterator<Item = ServerVersion>>(versions: I) -> Self {
        Self(versions.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u64) -> ServerVersion {
        ServerVersion::try_from(number).expect("a version")
    }

    fn included(removals: &Removals, marks: impl Iterator<Item = u64>) -> Vec<u64> {
        let is_included = |mark: &u64| removals.may_include(Mark::try_from(*mark).expect("a mark"));
        marks.filter(is_included).collect()
    }

    #[test]
    fn the_latest_removals_are_known_exactly_and_every_older_mark_is_taken_for_one() {
        let (mut removals, mut all) = (Removals::default(), Vec::new());
        for round in 1..=40 {
            removals.push(version(round * 10));
            all.push(round * 10);
            let kept = all.len().min(Removals::MAX);
            let exact = &all[all.len() - kept..];
            assert!(removals.versions().iter().map(|version| version.get()).eq(exact.iter().copied()));
            assert_eq!(included(&removals, all.iter().copied()), all, "none is forgotten");
            let between = exact[0] + 1..=round * 10 + 5;
            assert_eq!(included(&removals, between), exact[1..], "between the exact ones no mark is taken for one");
            assert_eq!(!included(&removals, exact[0] - 1..exact[0]).is_empty(), kept == Removals::MAX);
        }
    }

    #[test]
    fn a_longer_list_by_older_code_is_read_exactly_until_the_next_removal() {
        let mut removals: Removals = (1..=20).map(|round| version(round * 4)).collect();
        let before = included(&removals, 1..=80);
        assert_eq!(before, (1..=20).chain((6..=20).map(|round| round * 4)).collect::<Vec<_>>());
        removals.push(version(100));
        assert_eq!(removals.versions().len(), Removals::MAX);
        assert_eq!(included(&removals, before.iter().copied()), before);
    }
}
