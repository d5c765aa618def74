//! What a pull reads first.

use super::feed_row::FeedRow;
use crate::domain::{ProjectId, PullCounter, Removals, Row};

/// A project's counter and the caller's membership. Both were read strongly in one call, but they are not of one moment: a
/// commit may show in one of them and not yet in the other.
#[derive(Debug, PartialEq)]
pub struct PullStart {
    /// None if there is no such project.
    pub counter: Option<PullCounter>,
    /// None if the caller was never a member.
    pub membership: Option<PullMembership>,
}

/// The caller's membership as a pull needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullMembership {
    /// The row, dead or alive.
    pub row: FeedRow,
    /// When it was removed.
    pub removals: Removals,
}

impl PullMembership {
    /// A membership that was read whole.
    pub fn of(project: &ProjectId, row: &Row) -> Self {
        Self { row: FeedRow::of(project, row), removals: row.removals.clone() }
    }

    /// Whether the caller is a member.
    pub fn is_live(&self) -> bool {
        self.row.json.is_some()
    }
}
