//! What the commands that call the product over HTTP have in common.

use clap::Args;
use ops::command::Failure;
use trueppm::client::{CallError, Client};
use trueppm::demo::OWNER;

use super::Signing;

/// Which deployment is called, as whom.
#[derive(Args)]
pub(crate) struct Api {
    /// Address of the service, without `/api/v1/…`.
    #[arg(long, env = "BASE_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Token to call with. Without it, one for --user is signed.
    #[arg(long, env = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// User to call as, instead of --token. The token is signed here; the local stack accepts it [default: olga]
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    #[command(flatten)]
    signing: Signing,
}

impl Api {
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let token = match (&self.user, &self.token) {
            (None, Some(token)) => token.clone(),
            (user, _) => self.signing.signer().sign(user.as_deref().unwrap_or(OWNER))?,
        };
        Client::new(&self.url, &token).map_err(of_call)
    }
}

/// The failure of a call, with what to do.
pub(crate) fn of_call(error: CallError) -> Failure {
    let next = match (&error, error.code()) {
        (CallError::Unreachable { url, .. }, _)
            if url.starts_with("http://127.0.0.1") || url.starts_with("http://localhost") =>
        {
            "Start it with `trueppm serve` or `trueppm demo`, or name another address with --url."
        }
        (CallError::Refused { problem, .. }, _) if problem.is_null() => {
            "Is this the product's address? Name it with --url."
        }
        (CallError::Unreachable { .. } | CallError::NoAddress { .. } | CallError::Strange { .. }, _) => {
            "Name its address with --url, such as the output BaseUrl of the stack."
        }
        (_, Some("token_invalid" | "token_expired" | "token_missing")) => {
            "Name a token with --token; one that is signed here (--user) needs the deployment's JWT_SECRET."
        }
        (_, Some("not_a_member" | "membership_revoked")) => {
            "Is the project's id right? Only its members see it: call as one, with --user or --token."
        }
        (_, Some("since_ahead_of_server" | "resync_required")) => "Pull from the beginning, without --since.",
        (CallError::Refused { status, .. }, _) if status.is_server_error() => "Run the same again in a while.",
        _ => return Failure::new(error.to_string()),
    };
    Failure::new(error.to_string()).next(next)
}
