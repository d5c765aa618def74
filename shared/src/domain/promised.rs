//! The answer that a request is promised before its last commit is made.

/// The answer to a keyed request, which its last commit is to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromisedAnswer {
    /// The id of its idempotency record.
    pub record_id: String,
    /// SHA-256 of the request's contents.
    pub fingerprint: Vec<u8>,
    /// The answer, as text that only the module `idempotency` makes and reads.
    pub answer: String,
}
