//! The counts of one event, for the log.

use shared::domain::Error;
use shared::live::Metric;

/// The counts of one event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Number of records of the stream.
    pub records: usize,
    /// Number of records that could not be read.
    pub unreadable: usize,
    /// Number of projects that moved.
    pub projects: usize,
    /// Number of pokes that were sent.
    pub pokes: usize,
    /// Number of connections that were dead.
    pub gone: usize,
    /// Number of connections that could not be reached.
    pub failed: usize,
    /// Number of connections that there was no time for.
    pub unsent: usize,
    /// Number of watches that had expired.
    pub expired: usize,
    /// Number of closed connections of removed members, and of users with too many of them.
    pub closed: usize,
    /// Number of connections that were closed because they watched nothing.
    pub swept: usize,
    /// Number of projects whose watchers could not be read.
    pub failed_reads: usize,
    /// Number of removals of watches, and of sweeps, that failed.
    pub failed_cleanups: usize,
    /// Number of projects from which members were removed whose connections could not be closed.
    pub failed_removals: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.pokes += other.pokes;
        self.gone += other.gone;
        self.failed += other.failed;
        self.unsent += other.unsent;
        self.expired += other.expired;
        self.closed += other.closed;
        self.failed_reads += other.failed_reads;
        self.failed_cleanups += other.failed_cleanups;
        self.failed_removals += other.failed_removals;
    }

    pub(crate) fn failed_to_read(&mut self, error: &Error) {
        self.failed_reads += 1;
        tracing::warn!(error = %shared::storage::reasons(error), "the watchers of a project could not be read");
    }

    pub(crate) fn failed_to_clean(&mut self, error: &Error) {
        self.failed_cleanups += 1;
        tracing::warn!(error = %shared::storage::reasons(error), "dead watches are left for the next poke");
    }

    /// It is no `ServerError`. That alarm rolls a deployment back, and a removal is repeated for two hours: it would keep out the
    /// version that mends it.
    pub(crate) fn failed_to_remove(&mut self, error: &Error) {
        self.failed_removals += 1;
        tracing::warn!(error = %shared::storage::reasons(error), "a removed member's connections are not closed yet");
    }

    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let counts = [
            ("Records", self.records),
            ("UnreadableRecords", self.unreadable),
            ("ProjectsMoved", self.projects),
            ("Pokes", self.pokes),
            ("PokesToDead", self.gone),
            ("PokesFailed", self.failed + self.unsent),
            ("WatchesExpired", self.expired),
            ("ConnectionsClosed", self.closed + self.swept),
            ("RemovalsFailed", self.failed_removals),
            ("ServerError", self.failed_reads + self.failed_cleanups),
        ];
        counts.into_iter().map(|(name, count)| (name, "Count", count as f64)).collect()
    }
}
