//! Who wrote a row last, and when. Operators can see it, devices cannot.

use super::UserId;

/// The author of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// The caller of a request.
    User(UserId),
    /// An operator's command, by name.
    Operator(String),
}

/// The last write of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastWrite {
    /// The author. None if it was erased or is not known.
    pub author: Option<Author>,
    /// The time of the commit in seconds since 1970, by the clock of the instance that made it.
    pub at: i64,
}

impl LastWrite {
    /// The maximum size on the table in bytes: a user id can have 255 characters of four bytes each.
    pub const MAX_SIZE: usize = Self::BESIDE_AUTHOR + 255 * 4;

    /// The bytes of the attribute names and of the time.
    const BESIDE_AUTHOR: usize = 48;

    /// The size on the table in bytes, at most.
    pub fn size(&self) -> usize {
        let author = match &self.author {
            Some(Author::User(user)) => user.as_str(),
            Some(Author::Operator(command)) => command,
            None => "",
        };
        Self::BESIDE_AUTHOR + author.len()
    }
}
