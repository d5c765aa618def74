//! An answer that is kept, to be given again when the same request comes again.

use std::collections::BTreeMap;

use super::RowKey;

/// A success, as it is sent and as it is kept to be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers that belong to it, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// JSON, or nothing.
    pub body: String,
    /// The row that the body shows and the ETag names, if it is one.
    pub row: Option<RowKey>,
}

/// What a keyed request will be answered once the last of its commits is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromisedAnswer {
    /// The id of the record that it is kept in.
    pub record_id: String,
    /// SHA-256 of what it says.
    pub fingerprint: Vec<u8>,
    /// The answer.
    pub answer: Answer,
}
