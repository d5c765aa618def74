//! A mutation that is to happen once, however often it is sent.

use sha2::{Digest, Sha256};

use crate::domain::{Answer, Columns, IdempotencyKey, ProjectId, ServerVersion, UserId, keyed_project_id};

/// A request with an idempotency key: whose it is, and a hash of what it says.
///
/// The same caller's key with another hash is another request. The record of its answer lies in its project's partition, so
/// a key belongs to a caller and a project.
#[derive(Debug, Clone)]
pub struct KeyedRequest {
    caller: UserId,
    key: IdempotencyKey,
    fingerprint: [u8; 32],
}

impl KeyedRequest {
    /// A request: `head` is what it says besides its body, method, path and headers say, always in the same order.
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

    /// Who sent it.
    pub fn caller(&self) -> &UserId {
        &self.caller
    }

    /// SHA-256 of what it says.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// SHA-256 of caller and key, in hexadecimal digits: where its record lies.
    pub fn record_id(&self) -> String {
        // No key contains a blank, so two pairs never meet.
        let hash = Sha256::digest(format!("{} {}", self.key, self.caller));
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The id of the project that it creates when it names none, see [`keyed_project_id`].
    pub fn project_id(&self) -> ProjectId {
        keyed_project_id(&self.caller, &self.key)
    }
}

/// What a mutation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// What to tell the caller.
    pub answer: Answer,
    /// The version that the mutation committed; if there was nothing to write, the project's when that was found.
    pub version: ServerVersion,
    /// The request was answered before, and this is that answer.
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
