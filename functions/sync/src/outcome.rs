//! Which way a pull came to its answer.

use std::sync::atomic::{AtomicU64, Ordering};

/// The way to an answer, from the cheapest to the dearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PullPath {
    /// The device is up to date: the index was not read.
    Unchanged,
    /// The project is deleted, or the caller was removed: ids only.
    Wiped,
    /// The first reading of the index was proven.
    FirstRead,
    /// The index lagged and was asked again.
    AskedAgain,
    /// Rows were newer than the counter; it was read again, and the answer is a snapshot.
    CaughtUp,
    /// The project did not stand still: proven up to the mark, with newer rows beside.
    Busy,
    /// The index could not be proven; all rows were read strongly.
    Strong,
}

impl PullPath {
    /// All ways, the cheapest first.
    pub const ALL: [Self; 7] =
        [Self::Unchanged, Self::Wiped, Self::FirstRead, Self::AskedAgain, Self::CaughtUp, Self::Busy, Self::Strong];

    /// The name in headers and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Wiped => "wiped",
            Self::FirstRead => "first_read",
            Self::AskedAgain => "asked_again",
            Self::CaughtUp => "caught_up",
            Self::Busy => "busy",
            Self::Strong => "strong",
        }
    }
}

/// How often each way was taken by one instance.
#[derive(Debug, Default)]
pub struct PullPaths([AtomicU64; PullPath::ALL.len()]);

impl PullPaths {
    pub(crate) fn count(&self, path: PullPath) {
        self.0[path as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often this way was taken.
    pub fn taken(&self, path: PullPath) -> u64 {
        self.0[path as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_has_a_name_and_a_count_of_its_own() {
        let paths = PullPaths::default();
        paths.count(PullPath::CaughtUp);
        paths.count(PullPath::CaughtUp);
        let taken = PullPath::ALL.map(|path| (path.name(), paths.taken(path)));
        let expected = [
            ("unchanged", 0),
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
