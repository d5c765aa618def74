//! Who wrote a row last, and when: for an audit, never for a device.

use super::UserId;

/// Who commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// The caller of a request.
    User(UserId),
    /// A command that an operator runs, by its name.
    Operator(String),
}

/// The last write of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastWrite {
    /// By whom; none once that was erased, or when nobody knows.
    pub author: Option<Author>,
    /// When the commit was decided, in seconds since 1970, by the clock of whoever decided it.
    pub at: i64,
}
