//! JSON Web Tokens: their parts (RFC 7515), and the checks of their claims (RFC 7519).
//!
//! The parts are read here and not by the library. The library does not know the `alg` `Ed25519` (RFC 9864). It also reads
//! unknown members of the header, and a stranger's token can overflow the stack that way, see [`json`].

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use jsonwebtoken::crypto::verify;
use serde_json::Value;

use super::keys::Key;
use super::{TokenError, Verified, algorithm};
use crate::domain::{Columns, json};

/// The maximum length of a token, in bytes. The gateway lets 10 KB of headers in.
const MAX_TOKEN: usize = 8 * 1024;
/// Allowed clock skew of `exp`, `nbf` and `iat`, in seconds.
const LEEWAY: f64 = 60.0;
/// The allowed types (`typ`) of an access token. A token of another type has another purpose (RFC 8725, 3.11).
const TYPES: [&str; 3] = ["JWT", "at+jwt", "application/at+jwt"];

/// A token with three parts and a valid header. Nothing is verified yet.
pub(super) struct Token<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    /// Header and claims as they were signed.
    message: &'a str,
    claims: &'a str,
    signature: &'a str,
}

impl<'a> Token<'a> {
    /// Parses a token.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MAX_TOKEN {
            return None;
        }
        let (message, signature) = text.rsplit_once('.')?;
        let (header, claims) = message.split_once('.').filter(|(_, claims)| !claims.contains('.'))?;
        let header = part(header)?;
        // `crit` names extensions that must be understood (RFC 7515, 4.1.11). This code understands none.
        if header.contains_key("crit") || !has_known_type(&header) {
            return None;
        }
        let key_id = match header.get("kid") {
            Some(id) => Some(id.as_str()?.to_owned()),
            None => None,
        };
        Some(Self { algorithm: algorithm::named(header.get("alg")?.as_str()?)?, key_id, message, claims, signature })
    }

    /// Whether this key signed the token.
    pub(super) fn is_signed_with(&self, key: &Key) -> bool {
        key.algorithm == self.algorithm
            && key.may_be(self.key_id.as_deref())
            && verify(self.signature, self.message.as_bytes(), &key.key, key.algorithm).unwrap_or(false)
    }

    /// The claims. Verify the signature before you use them.
    pub(super) fn claims(&self) -> Option<Columns> {
        part(self.claims)
    }
}

fn part(text: &str) -> Option<Columns> {
    json::object(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?
}

fn has_known_type(header: &Columns) -> bool {
    let known = |name: &str| TYPES.iter().any(|known| known.eq_ignore_ascii_case(name));
    header.get("typ").is_none_or(|name| name.as_str().is_some_and(known))
}

/// Requirements for claims other than `sub`.
#[derive(Default)]
pub(super) struct Terms {
    /// The required `iss`. `None` does not check it.
    pub(super) issuer: Option<String>,
    /// The required value of `aud`, or one of its values. `None` does not check it.
    pub(super) audience: Option<String>,
    /// The maximum number of seconds from `iat` to `exp`. If set, `iat` is required.
    pub(super) max_lifetime: Option<u64>,
}

impl Terms {
    /// The user of a token with these claims, at this time in seconds since 1970.
    pub(super) fn verified(&self, claims: &Columns, now: f64) -> Result<Verified, TokenError> {
        let user = text(claims, "sub").and_then(|sub| sub.parse().ok()).ok_or(TokenError::Invalid)?;
        let expires = claims.get("exp").and_then(Value::as_f64).ok_or(TokenError::Invalid)?;
        if expires < now - LEEWAY {
            return Err(TokenError::Expired);
        }
        let has_begun = |begins: &Value| begins.as_f64().is_some_and(|begins| begins <= now + LEEWAY);
        if claims.get("nbf").is_none_or(has_begun)
            && self.issuer.as_deref().is_none_or(|issuer| text(claims, "iss") == Some(issuer))
            && self.audience.as_deref().is_none_or(|audience| is_for(claims, audience))
            && self.lives_short_enough(claims, expires, now)
        {
            Ok(Verified { user, until: (expires + LEEWAY) as i64 })
        } else {
            Err(TokenError::Invalid)
        }
    }

    fn lives_short_enough(&self, claims: &Columns, expires: f64, now: f64) -> bool {
        let Some(max) = self.max_lifetime else { return true };
        // With an `iat` in the future, any lifetime would look short.
        let issued = claims.get("iat").and_then(Value::as_f64).filter(|issued| *issued <= now + LEEWAY);
        issued.is_some_and(|issued| expires - issued <= max as f64)
    }
}

fn text<'a>(claims: &'a Columns, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str()
}

fn is_for(claims: &Columns, audience: &str) -> bool {
    match claims.get("aud") {
        Some(Value::Array(several)) => several.iter().any(|one| one == audience),
        one => one.is_some_and(|one| one == audience),
    }
}
