//! The author and time of a row's last write, as an operator is shown them.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use shared::domain::{Author, Row};

/// The last write of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Written {
    /// The time, in RFC 3339.
    pub at: String,
    /// The user who wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The user's pseudonym in the log of a stage, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// The operator's command that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
}

impl Written {
    /// The author and time in a row. None if older code wrote it without them.
    pub fn of(row: &Row) -> Option<Self> {
        let last = row.last_write.as_ref()?;
        let (by, operator) = match &last.author {
            Some(Author::User(user)) => (Some(user.to_string()), None),
            Some(Author::Operator(command)) => (None, Some(command.clone())),
            None => (None, None),
        };
        let at = Timestamp::from_second(last.at).map_or_else(|_| last.at.to_string(), |at| at.to_string());
        Some(Self { at, by, caller: None, operator })
    }

    /// The author, for people.
    pub fn who(&self) -> String {
        match (&self.by, &self.caller, &self.operator) {
            (Some(by), Some(caller), _) => format!("{by} ({caller})"),
            (Some(by), None, _) => by.clone(),
            (None, _, Some(command)) => format!("the command {command}"),
            (None, _, None) => "an erased user".to_owned(),
        }
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.who(), self.at)
    }
}
