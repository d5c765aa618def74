//! Options and errors of the commands that call the product over HTTP.

use clap::Args;
use ops::command::Failure;
use trueppm::client::{CallError, Client};

use super::Signing;

/// The server to call, and the user to call it as.
#[derive(Args)]
pub(crate) struct Api {
    /// Server to call, without `/api/v1/…`
    #[arg(long, env = "BASE_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Token to call with. The default is a token for --user, signed with --jwt-secret
    #[arg(long, env = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// User to call as: sign a token with --jwt-secret and ignore --token [default: olga]
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    #[command(flatten)]
    signing: Signing,
}

impl Api {
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let token = self.signing.token_for(self.user.as_deref(), self.token.as_deref())?;
        Client::new(&self.url, &token).map_err(of_call)
    }
}

/// The failure of a call, with the next step.
pub(crate) fn of_call(error: CallError) -> Failure {
    let next = match (&error, error.code()) {
        (CallError::Unreachable { url, .. }, _)
            if url.starts_with("http://127.0.0.1") || url.starts_with("http://localhost") =>
        {
            "Start the server with `trueppm serve` or `trueppm demo`, or pass another address with --url."
        }
        (CallError::Refused { problem, .. }, _) if problem.is_null() => {
            "Check --url: something other than this product answered."
        }
        (CallError::Unreachable { .. } | CallError::NoAddress { .. } | CallError::Strange { .. }, _) => {
            "Check --url. For a deployment, use the output BaseUrl of the stack."
        }
        (_, Some("token_invalid" | "token_expired" | "token_missing")) => {
            "Pass a valid token with --token. To sign one with --user, set JWT_SECRET to the deployment's secret."
        }
        (_, Some("not_a_member" | "membership_revoked")) => {
            "Check the project id, and call as a member of the project with --user or --token."
        }
        (_, Some("since_ahead_of_server" | "resync_required")) => "Start a full sync: leave out --since.",
        (CallError::Refused { status, .. }, _) if status.is_server_error() => "Retry later.",
        _ => return Failure::new(error.to_string()),
    };
    Failure::new(error.to_string()).next(next)
}
