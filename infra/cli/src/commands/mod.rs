//! The commands that are no operator's, a module each.

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

use clap::Args;
use stack::token::{LOCAL_SECRET, Signer};

/// What tokens are signed with.
#[derive(Args)]
pub(crate) struct Signing {
    /// Secret that tokens are signed with (HS256), at least 32 bytes. By default one that is public.
    #[arg(long, env = "JWT_SECRET", hide_env_values = true, hide_default_value = true, default_value = LOCAL_SECRET)]
    pub(crate) jwt_secret: String,
}

impl Signing {
    /// Signs as `JWT_ISSUER`, `JWT_AUDIENCE` and `JWT_MAX_LIFETIME` ask for.
    pub(crate) fn signer(&self) -> Signer {
        Signer::as_variables_say(&self.jwt_secret, |name| std::env::var(name).ok())
    }
}
