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

impl LastWrite {
    /// The most that it takes on the table, in bytes: a user's id may have 255 characters of four bytes each.
    pub const MAX_SIZE: usize = Self::BESIDE_AUTHOR + 255 * 4;

    /// The names of the attributes, and when.
    const BESIDE_AUTHOR: usize = 48;

    /// What it takes on the table at most, in bytes.
    pub fn size(&self) -> usize {
        let author = match &self.author {
            Some(Author::User(user)) => user.as_str(),
            Some(Author::Operator(command)) => command,
            None => "",
        };
        Self::BESIDE_AUTHOR + author.len()
    }
}
