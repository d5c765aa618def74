//! Reads the configuration of token verification from environment variables.

use std::fmt;
use std::sync::Arc;

use super::issuer::Issuer;
use super::keys::{Key, public_keys};
use super::secret::weakness;
use super::token::Terms;

/// The minimum length of a secret. HS256 is only as strong as its secret, and RFC 7518 requires at least the size of the hash.
const MIN_SECRET: usize = 32;

/// A fault of the configuration, in one line.
#[derive(PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// None of the sources of keys is set.
    #[error("no keys to verify tokens with: set JWT_SECRET (HS256), JWT_JWKS or JWT_JWKS_URL (RS256, ES256, EdDSA)")]
    NoKeys,
    /// More than one source of keys is set.
    #[error("set only one of JWT_SECRET, JWT_JWKS and JWT_JWKS_URL")]
    Contradiction,
    /// A previous secret is set without a current one.
    #[error("JWT_SECRET_PREVIOUS requires JWT_SECRET: set both or neither")]
    NothingToRotate,
    /// The secret of this variable is shorter than a hash.
    #[error("{0} is shorter than 32 bytes; generate one with `openssl rand -hex 32`")]
    ShortSecret(&'static str),
    /// The secret of this variable can be guessed, for this reason.
    #[error("{0} can be guessed: {1}. Generate one with `openssl rand -hex 32`")]
    WeakSecret(&'static str, &'static str),
    /// The JWKS has no usable key.
    #[error("JWT_JWKS cannot be used: {0}")]
    BadJwks(String),
    /// The URL is not one that keys can be fetched from.
    #[error("JWT_JWKS_URL cannot be used: {0}")]
    BadJwksUrl(String),
    /// A required claim is not configured. With public keys, an issuer also signs tokens for other applications.
    #[error(
        "set {variable}, or add {claim} to JWT_UNCHECKED: an issuer signs tokens for other applications with the same public \
         keys"
    )]
    Unchecked {
        /// The variable to set.
        variable: &'static str,
        /// The claim that it checks.
        claim: &'static str,
    },
    /// `JWT_UNCHECKED` has an unknown claim, or one that is checked.
    #[error("JWT_UNCHECKED must be iss, aud or iss,aud, without a claim for which JWT_ISSUER or JWT_AUDIENCE is set")]
    BadUnchecked,
    /// `JWT_MAX_LIFETIME` is not a number of seconds.
    #[error("JWT_MAX_LIFETIME must be a number of seconds, or 0 for no limit")]
    BadLifetime,
}

/// Prints the sentence, because Rust prints the error that `main` returns with `Debug`.
impl fmt::Debug for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The source of the keys.
pub(super) enum Source {
    /// Secrets or keys from the configuration.
    Fixed(Arc<[Key]>),
    Issuer(Box<Issuer>),
}

/// The keys that the variables name. An empty variable counts as not set. Keys of a URL are not fetched yet.
pub(super) fn source(set: &impl Fn(&str) -> Option<String>) -> Result<Source, ConfigError> {
    match (set("JWT_SECRET"), set("JWT_JWKS"), set("JWT_JWKS_URL")) {
        (Some(_), None, None) => {
            let secrets = secrets(set).map(|(name, secret)| match secret.len() {
                ..MIN_SECRET => Err(ConfigError::ShortSecret(name)),
                _ => Ok(Key::secret(secret.as_bytes())),
            });
            Ok(Source::Fixed(secrets.collect::<Result<_, _>>()?))
        }
        (None, ..) if set("JWT_SECRET_PREVIOUS").is_some() => Err(ConfigError::NothingToRotate),
        (None, Some(jwks), None) => {
            let keys = public_keys(jwks.as_bytes()).map_err(ConfigError::BadJwks)?;
            if keys.is_empty() {
                return Err(ConfigError::BadJwks(
                    "it has no signature key for RS256 (at least 2,048 bits), ES256 or EdDSA".to_owned(),
                ));
            }
            Ok(Source::Fixed(keys.into()))
        }
        (None, None, Some(url)) => Ok(Source::Issuer(Box::new(Issuer::at(&url).map_err(ConfigError::BadJwksUrl)?))),
        (None, None, None) => Err(ConfigError::NoKeys),
        _ => Err(ConfigError::Contradiction),
    }
}

/// Refuses secrets that can be guessed, unless a variable allows them.
pub(super) fn expect_strong_secrets(set: &impl Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
    if set("JWT_SECRET_MAY_BE_KNOWN").as_deref() == Some("yes") {
        return Ok(());
    }
    let weak = secrets(set).find_map(|(name, secret)| weakness(&secret).map(|why| ConfigError::WeakSecret(name, why)));
    weak.map_or(Ok(()), Err)
}

/// The secret, and during a rotation the previous one, with the names of their variables.
fn secrets(set: &impl Fn(&str) -> Option<String>) -> impl Iterator<Item = (&'static str, String)> {
    ["JWT_SECRET", "JWT_SECRET_PREVIOUS"].into_iter().filter_map(|name| Some((name, set(name)?)))
}

/// The requirements for claims, from variables.
pub(super) fn terms(set: &impl Fn(&str) -> Option<String>) -> Result<Terms, ConfigError> {
    let (issuer, audience) = (set("JWT_ISSUER"), set("JWT_AUDIENCE"));
    let unchecked = set("JWT_UNCHECKED").unwrap_or_default();
    let waived: Vec<&str> = unchecked.split(',').map(str::trim).filter(|claim| !claim.is_empty()).collect();
    let public_keys = set("JWT_JWKS").is_some() || set("JWT_JWKS_URL").is_some();
    if waived.iter().any(|claim| !["iss", "aud"].contains(claim)) {
        return Err(ConfigError::BadUnchecked);
    }
    for (claim, variable, value) in [("iss", "JWT_ISSUER", &issuer), ("aud", "JWT_AUDIENCE", &audience)] {
        match (value, waived.contains(&claim)) {
            (Some(_), true) => return Err(ConfigError::BadUnchecked),
            (None, false) if public_keys => return Err(ConfigError::Unchecked { variable, claim }),
            _ => {}
        }
    }
    let max_lifetime = set("JWT_MAX_LIFETIME").map(|seconds| seconds.parse::<u32>()).transpose();
    let max_lifetime = max_lifetime.map_err(|_| ConfigError::BadLifetime)?.map(u64::from).filter(|max| *max > 0);
    Ok(Terms { issuer, audience, max_lifetime })
}
