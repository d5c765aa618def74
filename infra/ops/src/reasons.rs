//! Error messages for people.

use std::error::Error;

/// The message of an error and of all its causes.
pub fn reasons(error: &dyn Error) -> String {
    let behind = error.source().map(|source| format!(": {}", reasons(source)));
    format!("{error}{}", behind.unwrap_or_default())
}
