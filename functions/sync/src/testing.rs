//! Makes versions and memberships for the unit tests of this crate.

use shared::domain::{Columns, Mark, Row, RowKey, ServerVersion, Write};
use shared::storage::PullMembership;

pub(crate) fn version(number: u64) -> ServerVersion {
    ServerVersion::try_from(number).expect("a version")
}

pub(crate) fn mark(number: u64) -> Mark {
    Mark::try_from(number).expect("a mark")
}

/// A membership that was given or, where it says so, removed at these versions.
pub(crate) fn membership(writes: &[(u64, bool)]) -> PullMembership {
    let key: RowKey = "memberships#m".parse().expect("a key");
    let write = |removed| if removed { Write::Delete } else { Write::Put(Columns::new()) };
    let written = writes.iter().fold(None, |row: Option<Row>, (at, removed)| {
        Some(Row::written(row.as_ref(), key.clone(), write(*removed), version(*at)))
    });
    PullMembership::of(&"p".parse().expect("a project"), &written.expect("a write"))
}
