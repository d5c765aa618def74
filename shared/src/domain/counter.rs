//! The counter of a project.

use super::{Checksums, Mark, PromisedAnswer, RowId, RowKey, ServerVersion, UserId, VersionSpan};

/// A project's counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// The version of the latest row write.
    pub current: ServerVersion,
    /// The rows of the latest commit, each with its version.
    pub write_set: Vec<(RowKey, ServerVersion)>,
    /// The version of the commit that deleted the project.
    pub deleted_at: Option<ServerVersion>,
    /// Ranges of versions, both ends included, that no row holds: what a restore could not bring back.
    pub skipped: Vec<(u64, u64)>,
    /// A device with a mark from 1 up to here holds rows that a restore took back, which no delta clears.
    pub resync_through: Option<ServerVersion>,
    /// The checksums of the live rows.
    pub checksums: Checksums,
    /// A deletion that takes several commits, between the first of them and the last. The next commit of the project,
    /// whoever asks for it, goes on with this one.
    pub unfinished: Option<UnfinishedDeletion>,
}

/// A task's deletion of which some commits are made and the last one is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedDeletion {
    /// The task. It is live until the last commit.
    pub task: RowId,
    /// The answer that the last commit stores for the request, if the request has a key.
    pub promised: Option<PromisedAnswer>,
    /// Who asked for it. None if older code noted it.
    pub by: Option<UserId>,
}

impl UnfinishedDeletion {
    /// Whether it is the same deletion. The author does not count, because older code drops it from the note, and an
    /// erasure may.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.task == other.task && self.promised == other.promised
    }
}

impl Counter {
    /// The counter of a project about which there is nothing else to say.
    pub fn at(current: ServerVersion) -> Self {
        let checksums = Checksums::default();
        let (write_set, skipped) = (vec![], vec![]);
        Self { current, write_set, deleted_at: None, skipped, resync_through: None, checksums, unfinished: None }
    }

    /// The version to which the latest restore raised the counter. 0 if there was no restore.
    ///
    /// A version up to here may have been handed out for content that the restore took back. Every row is above it.
    pub fn restored_through(&self) -> u64 {
        self.skipped.iter().map(|(_, last)| *last).max().unwrap_or(0)
    }
}

/// A project's counter as a pull needs it. It lacks the rows of the latest commit, so no commit can be made on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullCounter {
    /// See [`Counter::current`].
    pub current: ServerVersion,
    /// See [`Counter::deleted_at`].
    pub deleted_at: Option<ServerVersion>,
    /// See [`Counter::skipped`].
    pub skipped: Vec<(u64, u64)>,
    /// See [`Counter::resync_through`].
    pub resync_through: Option<ServerVersion>,
    /// See [`Counter::checksums`].
    pub checksums: Checksums,
}

impl PullCounter {
    /// Whether the counter is not below the mark.
    pub fn reaches(&self, mark: Mark) -> bool {
        mark <= self.current.into()
    }

    /// The skipped versions, each range as a span.
    pub fn skipped_spans(&self) -> impl Iterator<Item = VersionSpan> {
        let mark = |number: u64| Mark::try_from(number).unwrap_or(Mark::EVERYTHING);
        self.skipped
            .iter()
            .map(move |(first, last)| VersionSpan { after: mark(first.saturating_sub(1)), through: mark(*last) })
    }
}

impl From<Counter> for PullCounter {
    fn from(counter: Counter) -> Self {
        let Counter { current, deleted_at, skipped, resync_through, checksums, .. } = counter;
        Self { current, deleted_at, skipped, resync_through, checksums }
    }
}
