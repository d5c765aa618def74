//! An error for people.

use std::error::Error;

/// An error with all that lies behind it, without the SDK's dump in parentheses.
pub fn reasons(error: &dyn Error) -> String {
    let behind = error.source().map(|source| format!(": {}", reasons(source)));
    let text = error.to_string();
    format!("{}{}", text.split(" (").next().unwrap_or_default(), behind.unwrap_or_default())
}
