//! Authentication: verifies JWTs with the configured keys.

mod algorithm;
mod config;
mod crypto;
mod document;
mod issuer;
mod keys;
mod secret;
mod token;

use std::sync::Arc;

use jsonwebtoken::get_current_timestamp;

use crate::domain::UserId;
pub use config::ConfigError;
use config::Source;
pub use crypto::use_ring;
use token::{Terms, Token};

/// Verifies bearer tokens: HS256 with a shared secret, or RS256, ES256 and EdDSA with public keys.
///
/// The key decides which algorithm is allowed, never the token. `exp` is required, and `nbf` is checked. `iss` and `aud` are
/// required and checked if they are configured. `sub` is the user id.
pub struct Verifier {
    source: Source,
    terms: Terms,
}

/// The reason why a request cannot be authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The request has no `Authorization: Bearer` header.
    #[error("no bearer token")]
    Missing,
    /// The token expired more than a minute ago.
    #[error("the token has expired")]
    Expired,
    /// The token is invalid in another way: bad signature, wrong algorithm, type, issuer or audience, or no usable `sub`.
    #[error("the token is not valid")]
    Invalid,
    /// The issuer's keys could not be fetched, so the token can be neither accepted nor rejected.
    #[error("there are no keys to verify the token with")]
    KeysUnavailable,
}

impl Verifier {
    /// The verifier that a function's environment configures. See [`deployed`](Self::deployed).
    ///
    /// Fetches the keys of a URL. If that fails, they are fetched later.
    pub async fn from_env() -> Result<Self, ConfigError> {
        let verifier = Self::deployed(|name| std::env::var(name).ok())?;
        if let Source::Issuer(issuer) = &verifier.source {
            issuer.fetch().await;
        }
        Ok(verifier)
    }

    /// [`configured`](Self::configured) for a public deployment: a secret that can be guessed is an error, unless
    /// `JWT_SECRET_MAY_BE_KNOWN` is `yes`.
    pub fn deployed(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let verifier = Self::configured(&variable)?;
        config::expect_strong_secrets(&variable)?;
        Ok(verifier)
    }

    /// The verifier that variables configure. An empty variable counts as not set. Keys of a URL are fetched with the first token.
    ///
    /// Set one source of keys: `JWT_SECRET` (and with it `JWT_SECRET_PREVIOUS`), `JWT_JWKS` or `JWT_JWKS_URL`. `JWT_ISSUER`,
    /// `JWT_AUDIENCE` and `JWT_MAX_LIFETIME` restrict tokens. With public keys the first two are required, unless
    /// `JWT_UNCHECKED` names their claim.
    pub fn configured(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        use_ring();
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        Ok(Self { source: config::source(&set)?, terms: config::terms(&set)? })
    }

    /// The caller of a request with this `Authorization` header.
    pub async fn caller(&self, authorization: Option<&str>) -> Result<UserId, TokenError> {
        let (scheme, token) = authorization.and_then(|value| value.split_once(' ')).ok_or(TokenError::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(TokenError::Missing);
        }
        Ok(self.verify(token.trim()).await?.user)
    }

    /// Verifies a token. Returns its user and how long it is valid.
    pub async fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        let token = Token::parse(token).ok_or(TokenError::Invalid)?;
        let keys = match &self.source {
            Source::Fixed(keys) => Arc::clone(keys),
            Source::Issuer(issuer) => issuer.keys(token.key_id.as_deref()).await?,
        };
        if !keys.iter().any(|key| token.is_signed_with(key)) {
            return Err(TokenError::Invalid);
        }
        let claims = token.claims().ok_or(TokenError::Invalid)?;
        self.terms.verified(&claims, get_current_timestamp() as f64)
    }
}

/// A token that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Its user.
    pub user: UserId,
    /// The time from which on the token is refused, in seconds since 1970: its `exp` plus the allowed clock skew.
    pub until: i64,
}

#[cfg(test)]
mod tests;
