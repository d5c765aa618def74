//! The outcome of a pull: how the server proved its response complete.

use std::sync::atomic::{AtomicU64, Ordering};

/// The outcome of a pull, from the cheapest to the most expensive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PullOutcome {
    /// The device is up to date, so the index was not read.
    Unchanged,
    /// A page that this instance keeps was given, so the index was not read.
    Kept,
    /// The project is deleted, or the caller was removed. The response has only ids.
    Wiped,
    /// The first read of the index was proven complete.
    FirstRead,
    /// The index lagged and was read again.
    AskedAgain,
    /// Rows were newer than the counter, so the counter was read again. The response is a snapshot.
    CaughtUp,
    /// The project kept changing. The response is proven complete up to the mark, and also has newer rows.
    Busy,
    /// The index was not proven complete, so all rows were read with strong reads.
    Strong,
}

impl PullOutcome {
    /// All outcomes, with the cheapest first.
    pub const ALL: [Self; 8] = [
        Self::Unchanged,
        Self::Kept,
        Self::Wiped,
        Self::FirstRead,
        Self::AskedAgain,
        Self::CaughtUp,
        Self::Busy,
        Self::Strong,
    ];

    /// The name in headers and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Kept => "kept",
            Self::Wiped => "wiped",
            Self::FirstRead => "first_read",
            Self::AskedAgain => "asked_again",
            Self::CaughtUp => "caught_up",
            Self::Busy => "busy",
            Self::Strong => "strong",
        }
    }
}

/// Counts of outcomes in one instance.
#[derive(Debug, Default)]
pub struct PullOutcomes([AtomicU64; PullOutcome::ALL.len()]);

impl PullOutcomes {
    pub(crate) fn count(&self, outcome: PullOutcome) {
        self.0[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The number of pulls with this outcome.
    pub fn taken(&self, outcome: PullOutcome) -> u64 {
        self.0[outcome as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_a_name_and_a_count_of_its_own() {
        let outcomes = PullOutcomes::default();
        outcomes.count(PullOutcome::CaughtUp);
        outcomes.count(PullOutcome::CaughtUp);
        let taken = PullOutcome::ALL.map(|outcome| (outcome.name(), outcomes.taken(outcome)));
        let expected = [
            ("unchanged", 0),
            ("kept", 0),
            ("wiped", 0),
            ("first_read", 0),
            ("asked_again", 0),
            ("caught_up", 2),
            ("busy", 0),
            ("strong", 0),
        ];
        assert_eq!(taken, expected);
    }
}
