//! The header `Idempotency-Key`.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, header};

use super::Problem;
use crate::domain::{Columns, IdempotencyKey, UserId};
use crate::idempotency::KeyedRequest;

/// Headers that change what a mutation means.
const MEANING: [HeaderName; 2] = [header::IF_MATCH, HeaderName::from_static("x-base-version")];
/// A header that was added later. A request without it has the same fingerprint as before there was one, so its record
/// is still found.
const LATER: HeaderName = HeaderName::from_static("x-base-fields");

/// The `Idempotency-Key` of a mutation, if it has one, and the parts of the request besides its body. An invalid key is
/// a 400.
#[derive(Debug)]
pub struct Idempotency(Option<(IdempotencyKey, Vec<Vec<u8>>)>);

impl Idempotency {
    /// The keyed request, made from the caller and the body. A DELETE has no body.
    pub fn request(self, caller: &UserId, body: &Columns) -> Option<KeyedRequest> {
        self.0.map(|(key, head)| KeyedRequest::new(caller.clone(), key, &head, body))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Idempotency {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let refuse = |message: &str| Problem::parameter("Idempotency-Key", message);
        let mut keys = parts.headers.get_all("idempotency-key").iter();
        let key = match (keys.next(), keys.next()) {
            (None, _) => return Ok(Self(None)),
            (Some(key), None) => key,
            (Some(_), Some(_)) => return Err(refuse("must be sent once")),
        };
        // A text that is not ASCII is not a valid key either.
        let key: IdempotencyKey = key.to_str().unwrap_or("").parse().map_err(|error| refuse(&format!("{error}")))?;
        let path = parts.uri.path().trim_end_matches('/');
        let mut head = vec![parts.method.as_str().as_bytes().to_vec(), path.as_bytes().to_vec()];
        for name in MEANING.into_iter().chain(parts.headers.contains_key(LATER).then_some(LATER)) {
            let values: Vec<&[u8]> = parts.headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
            head.push(values.join(&b','));
        }
        Ok(Self(Some((key, head))))
    }
}
