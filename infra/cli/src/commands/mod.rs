//! The commands of `trueppm` that `trueppm-ops` does not have, one module each.

pub(crate) mod api;
pub(crate) mod completions;
pub(crate) mod describe;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod pages;
pub(crate) mod pull;
pub(crate) mod serve;
pub(crate) mod text;
pub(crate) mod token;
pub(crate) mod watch;

use clap::Args;
use ops::command::Failure;
use stack::token::{LOCAL_SECRET, Signer};
use trueppm::demo::OWNER;

/// The secret that signs tokens.
#[derive(Args)]
pub(crate) struct Signing {
    /// Secret that signs tokens (HS256), at least 32 bytes. The default is public: use it for local tests only
    #[arg(long, env = "JWT_SECRET", hide_env_values = true, hide_default_value = true, default_value = LOCAL_SECRET)]
    pub(crate) jwt_secret: String,
}

impl Signing {
    /// A signer that follows `JWT_ISSUER`, `JWT_AUDIENCE` and `JWT_MAX_LIFETIME`.
    pub(crate) fn signer(&self) -> Signer {
        Signer::as_variables_say(&self.jwt_secret, |name| std::env::var(name).ok())
    }

    /// The token that was given, or a new one if a user was named or no token was given.
    pub(crate) fn token_for(&self, user: Option<&str>, given: Option<&str>) -> Result<String, Failure> {
        match (user, given) {
            (None, Some(token)) => Ok(token.to_owned()),
            (user, _) => Ok(self.signer().sign(user.unwrap_or(OWNER))?),
        }
    }
}
