//! Idempotent mutations: a repeated request is applied once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::{Columns, Error, IdempotencyKey, ProjectId, RowKey, ServerVersion, UserId, keyed_project_id};

/// A successful REST answer, as it is sent and stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body: JSON, or empty.
    pub body: String,
    /// The row in the body and in the ETag, if there is one.
    #[serde(skip)]
    pub row: Option<RowKey>,
}

impl RestAnswer {
    /// The answer as text, without `row`. Equal answers are equal texts.
    pub(crate) fn to_text(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|_| Error::Bug("an answer that is no JSON"))
    }

    /// The answer from a text that [`RestAnswer::to_text`] made.
    pub(crate) fn of_text(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|_| Error::Bug("a text that is no answer"))
    }
}

/// A request with an idempotency key: its caller, and a hash of its contents.
///
/// If the same caller sends the key with another hash, it is another request. The idempotency record is in the project's
/// partition, so a key belongs to a caller and a project.
#[derive(Debug, Clone)]
pub struct KeyedRequest {
    caller: UserId,
    key: IdempotencyKey,
    fingerprint: [u8; 32],
}

impl KeyedRequest {
    /// A keyed request. `head` has the method, path and headers, always in the same order.
    pub fn new(caller: UserId, key: IdempotencyKey, head: &[Vec<u8>], body: &Columns) -> Self {
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        head.iter().for_each(|part| add(part));
        for (name, value) in body {
            add(name.as_bytes());
            add(value.to_string().as_bytes());
        }
        Self { caller, key, fingerprint: hash.finalize().into() }
    }

    /// The caller.
    pub fn caller(&self) -> &UserId {
        &self.caller
    }

    /// SHA-256 of the request's contents.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// SHA-256 of caller and key in hexadecimal digits: the id of its idempotency record.
    pub fn record_id(&self) -> String {
        // No key contains a blank, so no two pairs make the same text.
        let hash = Sha256::digest(format!("{} {}", self.key, self.caller));
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The id of the project that it creates if the body has none. See [`keyed_project_id`].
    pub fn project_id(&self) -> ProjectId {
        keyed_project_id(&self.caller, &self.key)
    }
}

/// The result of a mutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The response to the caller.
    pub answer: RestAnswer,
    /// The version that the mutation committed. If nothing had to be written, the project's version at that time.
    pub version: ServerVersion,
    /// Whether this is the stored response of an earlier request.
    pub replayed: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(caller: &str, key: &str, head: &[&str], body: serde_json::Value) -> KeyedRequest {
        let head: Vec<Vec<u8>> = head.iter().map(|part| part.as_bytes().to_vec()).collect();
        let (caller, key) = (caller.parse().expect("a user"), key.parse().expect("a key"));
        KeyedRequest::new(caller, key, &head, body.as_object().expect("an object"))
    }

    #[test]
    fn a_record_belongs_to_caller_and_key_whatever_the_request_says() {
        let id = |caller, key, path| request(caller, key, &[path], json!({})).record_id();
        assert_eq!(id("ann", "k", "/a"), id("ann", "k", "/b"));
        assert_ne!(id("ann", "k", "/a"), id("bob", "k", "/a"));
        assert_ne!(id("ann", "k", "/a"), id("ann", "l", "/a"));
        assert_eq!(id("ann", "k", "/a").len(), 64);
    }

    #[test]
    fn requests_that_say_something_else_have_another_fingerprint() {
        let print = |head: &[&str], body| *request("ann", "k", head, body).fingerprint();
        let first = print(&["PATCH", "/a"], json!({"name": "x", "lag": 1}));
        assert_eq!(first, print(&["PATCH", "/a"], json!({"lag": 1, "name": "x"})), "the order of fields says nothing");
        for (head, body) in [
            (["POST", "/a"], json!({"name": "x", "lag": 1})),
            (["PATCH", "/b"], json!({"name": "x", "lag": 1})),
            (["PATCH", "/a"], json!({"name": "x"})),
            (["PATCH", "/a"], json!({"name": "x", "lag": "1"})),
            (["PATCH/", "a"], json!({"name": "x", "lag": 1})),
        ] {
            assert_ne!(first, print(&head, body.clone()), "{head:?} {body}");
        }
    }
}
