//! `trueppm watch`: the command of `trueppm-ops`, and pokes.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use clap::Args;
use futures_util::{SinkExt, StreamExt};
use ops::command::{Ended, Failure, put};
use ops::commands::watch;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::Signing;

/// The path of the WebSockets of `trueppm serve`.
const LOCAL: &str = "ws://127.0.0.1:8080/live";
/// How long a server may take to open a WebSocket.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause between two pings. The gateway closes a WebSocket that has no message for 10 minutes.
const PING: Duration = Duration::from_secs(5 * 60);

/// A stream of bytes in both directions.
trait Line: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

type Socket = WebSocketStream<Box<dyn Line>>;

#[derive(Args)]
#[group(skip)]
pub(crate) struct Options {
    #[command(flatten)]
    live: Live,
    // This is the last flattened struct, so that the help text is its own.
    #[command(flatten)]
    table: watch::Options,
}

#[derive(Args)]
struct Live {
    /// Print the pokes of this WebSocket instead, each as JSON: the output LiveUrl of a stack, or what `trueppm serve` prints
    #[arg(
        long = "live", value_name = "URL", num_args = 0..=1, default_missing_value = LOCAL,
        conflicts_with_all = ["since", "stage"]
    )]
    url: Option<String>,
    /// With --live: token to watch with. The default is a token for --user, signed with --jwt-secret
    #[arg(long, env = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// With --live: user to watch as: sign a token with --jwt-secret and ignore --token [default: olga]
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    #[command(flatten)]
    signing: Signing,
}

pub(crate) async fn run(options: Options, json: bool) -> Ended {
    let Options { table, live } = options;
    match &live.url {
        None => watch::run(table, json).await,
        Some(url) => tokio::select! {
            failed = follow(url, &live, table.project().as_str()) => failed,
            _ = tokio::signal::ctrl_c() => Ok(0),
        },
    }
}

async fn follow(url: &str, live: &Live, project: &str) -> Ended {
    let token = live.signing.token_for(live.user.as_deref(), live.token.as_deref())?;
    let failed = |why: String| {
        Failure::new(format!("cannot open {url}: {why}"))
            .next("Start the server with `trueppm serve`, or check --live.")
    };
    let opened = timeout(PATIENCE, open(url)).await.unwrap_or_else(|_| Err("no answer within 10 s".into()));
    let mut socket = opened.map_err(|error| failed(error.to_string()))?;
    let watch = json!({"action": "watch", "token": token, "projects": [project]});
    socket.send(Message::text(watch.to_string())).await?;
    let mut pings = interval(PING);
    loop {
        tokio::select! {
            _ = pings.tick() => socket.send(Message::text(r#"{"action":"ping"}"#)).await?,
            said = socket.next() => match said {
                Some(Ok(Message::Text(text))) => shown(&serde_json::from_str(text.as_str())?, project)?,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(_)) | None => {
                    return Err(Failure::new("the server closed the WebSocket").next("Run the command again."));
                }
                Some(Err(error)) => return Err(error.into()),
            },
        }
    }
}

/// Prints a server's message, unless the message ends the command.
fn shown(said: &Value, project: &str) -> Result<(), Failure> {
    if said["pong"] == true {
        return Ok(());
    }
    if said["refused"].as_array().is_some_and(|refused| !refused.is_empty()) {
        return Err(Failure::new(format!("there is no project {project}, or the user is no member of it"))
            .next("Check --project, and watch as a member with --user or --token."));
    }
    if let Some(code) = said["code"].as_str() {
        let detail = said["detail"].as_str().unwrap_or_default();
        return Err(Failure::new(format!("{code}: {detail}")).next("Pass a valid token with --token, or retry later."));
    }
    put(said)
}

async fn open(url: &str) -> Result<Socket, Box<dyn std::error::Error + Send + Sync>> {
    let uri: Uri = url.parse()?;
    let host = uri.host().ok_or("the URL names no server")?;
    let is_encrypted = match uri.scheme_str() {
        Some("ws") => false,
        Some("wss") => true,
        _ => return Err("the URL must begin with ws:// or wss://".into()),
    };
    let port = uri.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
    let plain = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let line: Box<dyn Line> = if is_encrypted {
        let name = ServerName::try_from(host.to_owned())?;
        Box::new(TlsConnector::from(Arc::new(tls()?)).connect(name, plain).await?)
    } else {
        Box::new(plain)
    };
    Ok(client_async(url, line).await?.0)
}

/// The TLS configuration, which trusts the certificates that the system trusts.
fn tls() -> Result<ClientConfig, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    Ok(config.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth())
}
