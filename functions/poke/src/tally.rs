//! What became of an event, in numbers.

use shared::domain::Error;
use shared::live::Metric;

/// What became of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records of the stream.
    pub records: usize,
    /// Those that could not be read.
    pub unreadable: usize,
    /// Projects that moved.
    pub projects: usize,
    /// Pokes that were sent.
    pub pokes: usize,
    /// Connections that were dead.
    pub gone: usize,
    /// Connections that could not be reached.
    pub failed: usize,
    /// Connections that there was no time for.
    pub unsent: usize,
    /// Watches that had expired.
    pub expired: usize,
    /// Connections of removed members that were closed.
    pub closed: usize,
    /// Connections that watched nothing and were closed.
    pub swept: usize,
    /// Projects whose watchers could not be read.
    pub failed_reads: usize,
    /// Removals of watches, and sweeps, that failed.
    pub failed_cleanups: usize,
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
    }

    pub(crate) fn failed_to_read(&mut self, error: &Error) {
        self.failed_reads += 1;
        tracing::warn!(error = %shared::storage::reasons(error), "the watchers of a project could not be read");
    }

    pub(crate) fn failed_to_clean(&mut self, error: &Error) {
        self.failed_cleanups += 1;
        tracing::warn!(error = %shared::storage::reasons(error), "dead watches are left for the next poke");
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
            ("ServerError", self.failed_reads + self.failed_cleanups),
        ];
        counts.into_iter().map(|(name, count)| (name, "Count", count as f64)).collect()
    }
}
