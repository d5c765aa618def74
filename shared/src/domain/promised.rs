//! The stored response of an idempotent request, which is sent again if the request is repeated.

use std::collections::BTreeMap;

use super::RowKey;

/// A successful response, as it is sent and stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body: JSON, or empty.
    pub body: String,
    /// The row in the body and in the ETag, if there is one.
    pub row: Option<RowKey>,
}

/// The response to a keyed request once its last commit is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromisedAnswer {
    /// The id of its idempotency record.
    pub record_id: String,
    /// SHA-256 of the request's contents.
    pub fingerprint: Vec<u8>,
    /// The response.
    pub answer: Answer,
}
