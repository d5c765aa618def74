//! `trueppm token`

use std::fmt;

use clap::Args;
use serde::Serialize;

use ops::command::{Ended, print};

use super::Signing;

/// Print a token for a user
///
/// The token is valid for 30 days, or for JWT_MAX_LIFETIME seconds. Its iss and aud claims come from JWT_ISSUER and JWT_AUDIENCE.
#[derive(Args)]
#[command(after_help = "\
Examples:
  trueppm token --user mia
  curl -H \"Authorization: Bearer $(trueppm token --user mia)\" http://127.0.0.1:8080/api/v1/projects/
  JWT_SECRET=… trueppm token --user mia --json     for a deployment with this secret")]
pub(crate) struct Options {
    /// User id, which becomes the token's `sub` claim
    #[arg(long)]
    user: String,
    #[command(flatten)]
    signing: Signing,
}

#[derive(Serialize)]
struct Token {
    user: String,
    token: String,
    /// The time when the token expires, in seconds since 1970.
    expires_at: u64,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.token)
    }
}

pub(crate) fn run(options: &Options, json: bool) -> Ended {
    let (token, expires_at) = options.signing.signer().sign_until(&options.user)?;
    print(&Token { user: options.user.clone(), token, expires_at }, json)?;
    Ok(0)
}
