//! Makes versions for the unit tests of this crate.

use shared::domain::{Mark, ServerVersion};

pub(crate) fn version(number: u64) -> ServerVersion {
    ServerVersion::try_from(number).expect("a version")
}

pub(crate) fn mark(number: u64) -> Mark {
    Mark::try_from(number).expect("a mark")
}
