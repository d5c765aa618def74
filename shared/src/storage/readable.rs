//! What cannot be read of one project, in an answer about many.

use crate::domain::{Counter, Error, Role, Row, ServerVersion, UserId, authorize};

/// What was read of one project among several, or none if it is corrupt. The answer then leaves that project out and is right
/// about the others. An alarm counts the line, and a request about that project alone says that it failed.
pub(super) fn readable<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(Error::Corrupt(what)) => {
            tracing::error!(alarm = "corrupt", what, "what cannot be read is left out of an answer about several");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The version that a project is at, if the user may see the project and its membership can be read.
pub(super) fn visible_version(
    counter: Option<&Counter>,
    membership: Option<&Row>,
    user: &UserId,
) -> Result<Option<ServerVersion>, Error> {
    match readable(authorize(counter, membership, user, Role::Viewer)) {
        Ok(allowed) => Ok(allowed.and(counter).map(|counter| counter.current)),
        Err(Error::NotAMember | Error::MembershipRevoked | Error::ProjectDeleted) => Ok(None),
        Err(error) => Err(error),
    }
}
