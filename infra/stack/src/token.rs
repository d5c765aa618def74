//! Signs tokens for the local stack.

use jsonwebtoken::errors::Result;
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use serde_json::json;
use shared::auth::use_ring;

/// The default secret of a stack. Everybody knows it, so it is only for 127.0.0.1.
pub const LOCAL_SECRET: &str = "local-stack-secret-that-everyone-knows";

const THIRTY_DAYS: u64 = 30 * 24 * 60 * 60;

/// A signer of tokens (HS256) that the functions accept, configured by the variables that they read.
#[derive(Clone)]
pub struct Signer {
    secret: String,
    issuer: Option<String>,
    audience: Option<String>,
    lifetime: u64,
}

impl Signer {
    /// A signer with a secret, for functions that have no other requirements for tokens.
    pub fn new(secret: &str) -> Self {
        Self { secret: secret.to_owned(), issuer: None, audience: None, lifetime: THIRTY_DAYS }
    }

    /// A signer with a secret, and with the claims that `JWT_ISSUER`, `JWT_AUDIENCE` and `JWT_MAX_LIFETIME` require.
    pub fn as_variables_say(secret: &str, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let max_lifetime = set("JWT_MAX_LIFETIME").and_then(|seconds| seconds.parse().ok()).filter(|max| *max > 0);
        Self {
            issuer: set("JWT_ISSUER"),
            audience: set("JWT_AUDIENCE"),
            lifetime: max_lifetime.map_or(THIRTY_DAYS, |max: u64| max.min(THIRTY_DAYS)),
            ..Self::new(secret)
        }
    }

    /// A token for a user. It is valid for 30 days, or for the longest time that is allowed.
    pub fn sign(&self, user: &str) -> Result<String> {
        Ok(self.sign_until(user)?.0)
    }

    /// A token for a user, and the time when it expires, in seconds since 1970.
    pub fn sign_until(&self, user: &str) -> Result<(String, u64)> {
        use_ring();
        let now = get_current_timestamp();
        let expires_at = now + self.lifetime;
        let mut claims = json!({"sub": user, "iat": now, "exp": expires_at});
        for (claim, value) in [("iss", &self.issuer), ("aud", &self.audience)] {
            if let Some(value) = value {
                claims[claim] = json!(value);
            }
        }
        Ok((encode(&Header::default(), &claims, &EncodingKey::from_secret(self.secret.as_bytes()))?, expires_at))
    }
}

/// A token for a user, signed with a secret and valid for 30 days.
pub fn sign(secret: &str, user: &str) -> Result<String> {
    Signer::new(secret).sign(user)
}

#[cfg(test)]
mod tests {
    use shared::auth::Verifier;

    use super::*;

    #[tokio::test]
    async fn the_functions_take_what_is_signed_by_their_own_variables() {
        for variables in [
            vec![],
            vec![("JWT_ISSUER", "us")],
            vec![("JWT_ISSUER", "us"), ("JWT_AUDIENCE", "app"), ("JWT_MAX_LIFETIME", "600")],
            vec![("JWT_MAX_LIFETIME", "0"), ("JWT_AUDIENCE", "app")],
        ] {
            let value = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
            let with_secret = |name: &str| value(name).or((name == "JWT_SECRET").then(|| LOCAL_SECRET.to_owned()));
            let verifier = Verifier::configured(with_secret).expect("a verifier");
            let token = Signer::as_variables_say(LOCAL_SECRET, value).sign("mia").expect("a token");
            assert!(verifier.caller(Some(&format!("Bearer {token}"))).await.is_ok(), "{variables:?}");
        }
    }

    #[test]
    fn the_secret_that_everybody_knows_protects_nothing_that_is_deployed() {
        let variables = include_str!("../../watch.env").lines().filter_map(|line| line.split_once('='));
        let variables: Vec<_> = variables.collect();
        let watched = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        assert_eq!(watched("JWT_SECRET").as_deref(), Some(LOCAL_SECRET));
        assert!(Verifier::deployed(watched).is_ok(), "watch.env says that it may be known");
        assert!(Verifier::deployed(|name| (name == "JWT_SECRET").then(|| LOCAL_SECRET.to_owned())).is_err());
    }
}
