//! The device, and the answers that it gets.

use crate::pull::Source;
use crate::row::{Entity, PerRow, Row, Version};
use crate::table::Table;

/// A device with its mark and the live rows that it shows, each by its version. 0 means that the row is not there.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Device {
    pub(crate) mark: Version,
    pub(crate) rows: PerRow<Version>,
    pub(crate) answer: Answer,
    /// The version of the latest removal that the device was told of.
    pub(crate) told_removed_at: Version,
    /// Whether an answer ever moved the mark back although the device had not just been told of a removal.
    pub(crate) mark_went_back: bool,
    /// Whether it was ever told of a removal although the same pull had read a newer membership that is not newer than S.
    pub(crate) told_of_an_undone_removal: bool,
    /// Whether it was ever told, without a removal, that the membership of its own user is dead.
    pub(crate) told_of_own_tombstone: bool,
    /// Whether it was ever shown a row as it was before its user was added.
    pub(crate) shown_from_before: bool,
    /// Whether an answer with `has_more` ever had a row from beyond its mark.
    pub(crate) shown_beyond_a_page: bool,
    /// Whether an answer without `has_more` ever ended below the counter that its pull had read.
    pub(crate) told_that_was_all: bool,
}

/// The last answer to the device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Answer {
    Nothing,
    /// The answer is uncut and has no rows newer than the mark.
    Exact(How),
    /// The answer is uncut and has newer rows.
    Busy(How),
    /// `has_more`.
    Cut(How),
    Removed,
}

/// The way in which an answer was made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct How {
    pub(crate) source: Source,
    /// Whether the server went back to 0 of its own accord.
    pub(crate) resync: bool,
    /// Whether the archive was read.
    pub(crate) archive: bool,
    /// Whether it was a kept page.
    pub(crate) kept: bool,
}

impl Device {
    /// A device that holds the project's state at `mark`.
    pub(crate) fn at(table: &Table, mark: Version) -> Self {
        Self {
            mark,
            rows: PerRow::from_fn(|entity| shown(table.row_in_state(entity, mark))),
            answer: Answer::Nothing,
            told_removed_at: 0,
            mark_went_back: false,
            told_of_an_undone_removal: false,
            told_of_own_tombstone: false,
            shown_from_before: false,
            shown_beyond_a_page: false,
            told_that_was_all: false,
        }
    }

    pub(crate) fn tell<'a>(
        &mut self,
        answer: Answer,
        mark: Version,
        rows: impl IntoIterator<Item = (Entity, &'a Row)>,
    ) {
        self.mark_went_back |= mark < self.mark && self.answer != Answer::Removed;
        self.mark = mark;
        self.answer = answer;
        for (entity, row) in rows {
            self.rows[entity] = shown(Some(row));
            self.shown_beyond_a_page |= matches!(answer, Answer::Cut(_)) && row.server_version > mark;
        }
    }

    /// Applies the answer to a removed member. The device keeps nothing, and its mark is the version of the removal. A member who
    /// is added again needs everything anew, and such a mark tells the server so.
    pub(crate) fn tell_removal(&mut self, removed_at: Version) {
        self.mark = removed_at;
        self.answer = Answer::Removed;
        self.rows = PerRow::default();
        self.told_removed_at = removed_at;
    }
}

/// The version of a row that a device shows.
pub(crate) fn shown(row: Option<&Row>) -> Version {
    row.filter(|row| !row.is_deleted).map_or(0, |row| row.server_version)
}
