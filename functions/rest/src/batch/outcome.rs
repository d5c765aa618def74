//! The outcome of an operation, as the answer shows it.

use serde_json::Value;
use shared::domain::RowId;
use shared::storage::Committed;

use super::operation::{Decided, Operation};

/// One element of `results`.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
pub(crate) enum Outcome<'a> {
    Accepted {
        /// The status that a single request would get.
        status: u16,
        id: &'a RowId,
        /// The row's version after the batch, or null if the batch both created and deleted the row.
        server_version: Option<u64>,
        /// The fields that others changed since the operation's base, and that the operation does not name.
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        merged_fields: &'a [String],
    },
    Refused {
        status: u16,
        /// None if the operation does not say which row it means.
        id: Option<&'a RowId>,
        /// The problem that a single request would get.
        problem: &'a Value,
    },
    NotAttempted {
        /// The status 0 says that there is no answer.
        status: u16,
        id: Option<&'a RowId>,
        code: &'static str,
    },
}

impl<'a> Outcome<'a> {
    /// The outcome of an operation that this commit makes, or that was made before.
    pub(crate) fn accepted<T>(operation: &'a Operation, decided: &'a Decided, committed: &Committed<'_, T>) -> Self {
        Self::Accepted {
            status: decided.status.as_u16(),
            id: &operation.key.id,
            server_version: committed.row(&operation.key).ok().map(|row| row.version.get()),
            merged_fields: &decided.merged,
        }
    }
}
