//! What tokens are checked with, as the variables of the environment say.

use std::fmt;
use std::sync::Arc;

use super::issuer::Issuer;
use super::keys::{Key, public_keys};
use super::secret::weakness;
use super::token::Terms;

/// HS256 is as strong as its secret; RFC 7518 asks for at least the hash's size.
const MIN_SECRET: usize = 32;

/// What is wrong with the configuration, in one line.
#[derive(PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// None of the sources of keys is set.
    #[error("no keys to check tokens with: set JWT_SECRET (HS256), JWT_JWKS or JWT_JWKS_URL (RS256, ES256, EdDSA)")]
    NoKeys,
    /// More than one source of keys is set.
    #[error("set one of JWT_SECRET, JWT_JWKS and JWT_JWKS_URL, not several")]
    Contradiction,
    /// There is no secret that the previous one could have been replaced by.
    #[error("JWT_SECRET_PREVIOUS is for a rotation of JWT_SECRET: set that too, or neither")]
    NothingToRotate,
    /// The secret of this variable is shorter than a hash.
    #[error("{0} is shorter than 32 bytes")]
    ShortSecret(&'static str),
    /// The secret of this variable can be guessed, for this reason.
    #[error("{0} can be guessed: {1}. Take 32 random bytes, as `openssl rand -hex 32` prints them")]
    WeakSecret(&'static str, &'static str),
    /// The JWKS holds nothing that verifies.
    #[error("JWT_JWKS is not usable: {0}")]
    BadJwks(String),
    /// Keys cannot be fetched from there.
    #[error("JWT_JWKS_URL is not usable: {0}")]
    BadJwksUrl(String),
    /// Whoever has such keys signs tokens for others as well.
    #[error(
        "public keys are not enough, since an issuer signs tokens for others as well: set {variable}, or name {claim} in \
         JWT_UNCHECKED"
    )]
    Unchecked {
        /// What has to be set.
        variable: &'static str,
        /// The claim that is checked with it.
        claim: &'static str,
    },
    /// It names no claims, or one that is checked.
    #[error("JWT_UNCHECKED must be iss, aud or iss,aud, and name no claim for which JWT_ISSUER or JWT_AUDIENCE is set")]
    BadUnchecked,
    /// It is no number of seconds.
    #[error("JWT_MAX_LIFETIME must be a number of seconds, or 0 for no limit")]
    BadLifetime,
}

/// The sentence: what `main` returns is printed this way.
impl fmt::Debug for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Where keys come from.
pub(super) enum Source {
    /// Secrets, or keys that the configuration holds.
    Fixed(Arc<[Key]>),
    Issuer(Box<Issuer>),
}

/// The keys that variables name; an empty variable counts as not set. Keys of a URL are not fetched yet.
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
                    "it holds no signature key for RS256 (from 2,048 bits on), ES256 or EdDSA".to_owned(),
                ));
            }
            Ok(Source::Fixed(keys.into()))
        }
        (None, None, Some(url)) => Ok(Source::Issuer(Box::new(Issuer::at(&url).map_err(ConfigError::BadJwksUrl)?))),
        (None, None, None) => Err(ConfigError::NoKeys),
        _ => Err(ConfigError::Contradiction),
    }
}

/// Refuses secrets that anybody could guess, unless a variable says that they protect nothing.
pub(super) fn expect_strong_secrets(set: &impl Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
    if set("JWT_SECRET_MAY_BE_KNOWN").as_deref() == Some("yes") {
        return Ok(());
    }
    let weak = secrets(set).find_map(|(name, secret)| weakness(&secret).map(|why| ConfigError::WeakSecret(name, why)));
    weak.map_or(Ok(()), Err)
}

/// The secret, and during a rotation the one before it, with the names of their variables.
fn secrets(set: &impl Fn(&str) -> Option<String>) -> impl Iterator<Item = (&'static str, String)> {
    ["JWT_SECRET", "JWT_SECRET_PREVIOUS"].into_iter().filter_map(|name| Some((name, set(name)?)))
}

/// What tokens must say, as variables have it.
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
