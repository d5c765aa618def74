//! What cannot be read of one project, in an answer about many.

use crate::domain::Error;

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
