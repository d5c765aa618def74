//! `trueppm serve` and `trueppm demo`

use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anstream::eprintln;
use anstyle::AnsiColor;
use axum::Router;
use clap::Args;
use ops::command::{Ended, Failure, colour, put};
use ops::endpoint;
use serde::Serialize;
use shared::auth::Verifier;
use shared::storage::Table;
use stack::token::LOCAL_SECRET;
use stack::{engine, live, loopback, serve, table};
use tokio::net::TcpListener;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;
use tracing_subscriber::EnvFilter;
use trueppm::{demo, reference};

use super::Signing;

/// Run the server locally: all functions and an embedded table
///
/// Press Ctrl-C to stop. Tokens are checked with the same variables as in a deployment: JWT_SECRET, JWT_SECRET_PREVIOUS,
/// JWT_ISSUER, JWT_AUDIENCE and JWT_MAX_LIFETIME. JWT_JWKS and JWT_JWKS_URL are ignored.
#[derive(Args)]
#[command(after_help = "\
Examples:
  trueppm serve
  trueppm serve --data ./data --dynamodb-port 8000     keep the data; open the table to the AWS CLI, `trueppm verify`, …
  trueppm serve --dynamodb-url http://127.0.0.1:8001   use another DynamoDB
  trueppm serve --host 0.0.0.0                         let a phone in your network call http://YOUR-IP:8080
  RUST_LOG=warn trueppm serve --port 0                 log no requests; take any free port

Phones:
  Android, by USB or emulator: run `adb reverse tcp:8080 tcp:8080`, then call http://127.0.0.1:8080.
  Android emulator, without adb: call http://10.0.2.2:8080. iOS simulator: call http://127.0.0.1:8080.
  Any phone in your network: start the server with --host 0.0.0.0, then call http://YOUR-IP:8080.")]
pub(crate) struct Options {
    /// Address to listen on. With any other than 127.0.0.1, everyone in that network can call the server
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Port to listen on. 0 takes any free port
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Port of the embedded DynamoDB on 127.0.0.1, for the AWS CLI or a GUI. 0 takes any free port
    #[arg(long, default_value_t = 0, conflicts_with = "dynamodb_url")]
    dynamodb_port: u16,
    /// Directory to keep the data in. By default the data is in memory and is lost at the end
    #[arg(long, value_name = "DIR", conflicts_with = "dynamodb_url")]
    data: Option<PathBuf>,
    /// Name of the table. It is created if it does not exist
    #[arg(long, env = "TABLE_NAME", default_value = "trueppm")]
    table_name: String,
    /// Use the DynamoDB at this URL instead of the embedded one
    #[arg(long, value_name = "URL")]
    dynamodb_url: Option<String>,
    #[command(flatten)]
    signing: Signing,
}

/// Run the server locally with a demo project and a demo page
///
/// The page shows two devices and the server in a browser. It signs in as any user of the demo, without a password.
#[derive(Args)]
#[command(after_help = "\
Examples:
  trueppm demo                    then open http://127.0.0.1:8080/
  trueppm demo --port 9090 --data ./data
  trueppm demo --host 0.0.0.0     let a phone in your network call http://YOUR-IP:8080

A phone by USB: run `adb reverse tcp:8080 tcp:8080`, then call http://127.0.0.1:8080. See also `trueppm help serve`.")]
pub(crate) struct Demo {
    #[command(flatten)]
    serve: Options,
}

/// The addresses and the token of a server that is ready.
#[derive(Serialize)]
struct Ready {
    url: String,
    user: &'static str,
    token: String,
    table: String,
    dynamodb_url: String,
    /// None if the table has no stream.
    live_url: Option<String>,
    #[serde(skip)]
    kept: String,
    #[serde(skip)]
    demo: bool,
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, user, token, table, dynamodb_url, live_url, kept, demo } = self;
        writeln!(f, "table     {table} at {dynamodb_url}, {kept}")?;
        if *demo {
            writeln!(f, "page      {url}/ shows two devices and the server")?;
        }
        writeln!(f, "API       {url}/reference/ describes every route")?;
        match live_url {
            Some(live_url) => writeln!(f, "live      {live_url} tells open WebSockets that a project moved")?,
            None => writeln!(f, "live      off: the stream of the table cannot be read")?,
        }
        writeln!(f, "user      {user}; `trueppm token --user ID` prints a token for another user")?;
        writeln!(f, "token     {token}")?;
        let example = if *demo { "projects/demo/sync/?since=0" } else { "projects/" };
        writeln!(f, "try       curl -H 'Authorization: Bearer {token}' '{url}/api/v1/{example}'")?;
        // Scripts wait for this line, so it is the last one.
        write!(f, "listening on {url}")
    }
}

pub(crate) async fn run(options: Options, json: bool) -> Ended {
    start(options, false, json).await
}

pub(crate) async fn run_demo(options: Demo, json: bool) -> Ended {
    start(options.serve, true, json).await
}

async fn start(options: Options, demo: bool, json: bool) -> Ended {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
    let address = SocketAddr::new(options.host, options.port);
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let next = match error.kind() {
            ErrorKind::AddrNotAvailable => "Choose an address of this machine with --host.",
            _ => "Choose another port with --port.",
        };
        Failure::new(format!("cannot listen on {address}: {error}")).next(next)
    })?;
    warn_of_others(options.host, demo, &options.signing);
    let (endpoint, dynamodb_url, kept) = match options.dynamodb_url {
        Some(url) => (url.clone(), url, "which keeps the data".to_owned()),
        None => {
            let cannot = |error| Failure::new(format!("cannot start the embedded DynamoDB: {error}"));
            let endpoint = engine::start(options.data.as_deref()).map_err(cannot)?;
            let shared = engine::share(&endpoint, options.dynamodb_port).map_err(cannot)?;
            let kept = options.data.map_or_else(
                || "in memory until the server stops".to_owned(),
                |data| format!("stored in {}", data.display()),
            );
            (endpoint, shared, kept)
        }
    };
    let table = options.table_name;
    let (router, is_live) = router(&endpoint, &table, &options.signing, demo).await?;
    let address = callable(listener.local_addr()?);
    let url = format!("http://{address}");
    let live_url = is_live.then(|| format!("ws://{address}{}", live::PATH));
    let token = options.signing.signer().sign(demo::OWNER)?;
    let ready = Ready { url, user: demo::OWNER, token, table, dynamodb_url, live_url, kept, demo };
    // JSON is on one line, so that a script that waits for it knows where it ends.
    if json {
        put(serde_json::to_string(&ready)?)?
    } else {
        put(&ready)?
    }
    axum::serve(listener, loopback::only_from_this_machine(router.merge(reference::router())))
        .with_graceful_shutdown(stop())
        .await?;
    Ok(0)
}

/// Warns on standard error that others can call a server that does not listen on a loopback address.
fn warn_of_others(host: IpAddr, demo: bool, signing: &Signing) {
    if host.is_loopback() {
        return;
    }
    let known = match (demo, signing.jwt_secret == LOCAL_SECRET) {
        (true, _) => ", and the demo gives everyone a token",
        (false, true) => ", and the secret that signs tokens is public; set JWT_SECRET to use another one",
        (false, false) => "",
    };
    let yellow = colour(AnsiColor::Yellow);
    eprintln!("{yellow}warning:{yellow:#} everyone in the network of {host} can call this server{known}");
}

/// The address at which this machine calls a listener. An unspecified address, such as 0.0.0.0, cannot be called.
fn callable(listener: SocketAddr) -> SocketAddr {
    let host = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(host, listener.port())
}

/// The product on a table, which is created if it does not exist, with the demo around it if asked for. Also returns whether
/// there are live updates.
async fn router(dynamodb_url: &str, table: &str, signing: &Signing, demo: bool) -> Result<(Router, bool), Failure> {
    let verifier = Arc::new(Verifier::configured(|name| variable(signing, name))?);
    let journal = Arc::<demo::Journal>::default();
    let plain = endpoint::client(dynamodb_url).await;
    let client = match demo {
        true => journal.client(&endpoint::config(dynamodb_url).await),
        false => plain.clone(),
    };
    table::create(&client, table).await?;
    // Live updates have a client of their own. Their writes are not commits, so the demo's journal need not see them.
    let behind = Table::new(plain.clone(), table);
    let live = match live::router(&plain, dynamodb_url, &behind, Arc::clone(&verifier)).await {
        Ok(live) => Some(live),
        Err(error) => {
            tracing::warn!(%error, "no live updates: the table's stream cannot be read");
            None
        }
    };
    let is_live = live.is_some();
    let with_live = |router: Router| (router.merge(live.unwrap_or_default()), is_live);
    if !demo {
        return Ok(with_live(serve::router(Table::new(client, table), verifier)));
    }
    let demo = Arc::new(demo::Demo::new(client, table, journal, verifier, signing.signer()));
    let router = demo::router(&demo);
    // The seed's requests would fill the terminal before the address and the token are printed.
    let token = signing.signer().sign(demo::OWNER)?;
    demo::seed(&router, &token).with_subscriber(NoSubscriber::default()).await?;
    Ok(with_live(router))
}

/// A variable as the functions would read it, except for public keys: the local server signs tokens itself.
fn variable(signing: &Signing, name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    match name {
        "JWT_SECRET" => Some(signing.jwt_secret.clone()),
        "JWT_JWKS" | "JWT_JWKS_URL" => {
            if value.is_some() {
                tracing::warn!("{name} is ignored: the local server signs tokens with JWT_SECRET");
            }
            None
        }
        _ => value,
    }
}

async fn stop() {
    // If there is no handler, the signal ends the process anyway.
    let _ = tokio::signal::ctrl_c().await;
}
