//! `trueppm serve` and `trueppm demo`

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use clap::Args;
use ops::command::{Ended, Failure, put};
use ops::endpoint;
use serde::Serialize;
use shared::auth::Verifier;
use shared::storage::Table;
use stack::{engine, loopback, serve, table};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;
use trueppm::{demo, reference};

use super::Signing;

/// Run the service: an embedded table and both functions, on one port
///
/// Stop it with Ctrl-C. Tokens are verified as the functions' variables say (JWT_SECRET, JWT_SECRET_PREVIOUS, JWT_ISSUER,
/// JWT_AUDIENCE, JWT_MAX_LIFETIME). JWT_JWKS and JWT_JWKS_URL are not used.
#[derive(Args)]
#[command(after_help = "\
Examples:
  trueppm serve
  trueppm serve --data ./data --dynamodb-port 8000     keep the data; open the engine to the AWS CLI and `trueppm verify`
  trueppm serve --dynamodb-url http://127.0.0.1:8001   another DynamoDB
  RUST_LOG=warn trueppm serve --port 0                 any free port, and no log line for each request")]
pub(crate) struct Options {
    /// Port to listen on, on 127.0.0.1. 0 takes any free port.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Port of the database engine, for the AWS CLI or a GUI. 0 takes any free port.
    #[arg(long, default_value_t = 0, conflicts_with = "dynamodb_url")]
    dynamodb_port: u16,
    /// Keep the data in this directory. Without it the data is lost at the end.
    #[arg(long, value_name = "DIR", conflicts_with = "dynamodb_url")]
    data: Option<PathBuf>,
    /// Name of the table. It is created if it is missing.
    #[arg(long, env = "TABLE_NAME", default_value = "trueppm")]
    table_name: String,
    /// Use the DynamoDB at this URL instead of the embedded engine.
    #[arg(long, value_name = "URL")]
    dynamodb_url: Option<String>,
    #[command(flatten)]
    signing: Signing,
}

/// Run the service with a demo project, and a page that shows it at work
///
/// The page shows two devices and the server. It signs in as anyone.
#[derive(Args)]
#[command(after_help = "\
Examples:
  trueppm demo                    then open http://127.0.0.1:8080/
  trueppm demo --port 9090 --data ./data")]
pub(crate) struct Demo {
    #[command(flatten)]
    serve: Options,
}

/// Where everything is, once it is there.
#[derive(Serialize)]
struct Ready {
    url: String,
    user: &'static str,
    token: String,
    table: String,
    dynamodb_url: String,
    #[serde(skip)]
    kept: String,
    #[serde(skip)]
    demo: bool,
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, user, token, table, dynamodb_url, kept, demo } = self;
        writeln!(f, "table     {table} at {dynamodb_url}, kept {kept}")?;
        writeln!(f, "token     {token}")?;
        writeln!(f, "          for the user {user}; `trueppm token --user ID` makes others")?;
        if *demo {
            writeln!(f, "see       {url}/ in a browser: two devices and a server")?;
        }
        writeln!(f, "read      {url}/reference/ in a browser: the API, to read and to try")?;
        let example = if *demo { "projects/demo/sync/?since=0" } else { "projects/" };
        writeln!(f, "try       curl -H 'Authorization: Bearer {token}' '{url}/api/v1/{example}'")?;
        // Others wait for this line.
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
    let address = format!("127.0.0.1:{}", options.port);
    let listener = TcpListener::bind(&address).await.map_err(|error| {
        Failure::new(format!("cannot listen on {address}: {error}")).next("Choose another port with --port.")
    })?;
    let (endpoint, dynamodb_url, kept) = match options.dynamodb_url {
        Some(url) => (url.clone(), url, "there".to_owned()),
        None => {
            let cannot = |error| Failure::new(format!("cannot start the engine: {error}"));
            let endpoint = engine::start(options.data.as_deref()).map_err(cannot)?;
            let shared = engine::share(&endpoint, options.dynamodb_port).map_err(cannot)?;
            let kept = options.data.map_or_else(|| "in memory".to_owned(), |data| format!("in {}", data.display()));
            (endpoint, shared, kept)
        }
    };
    let table = options.table_name;
    let router = router(&endpoint, &table, &options.signing, demo).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let token = options.signing.signer().sign(demo::OWNER)?;
    let ready = Ready { url, user: demo::OWNER, token, table, dynamodb_url, kept, demo };
    // On one line, so that who waits for it need not know where it ends.
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

/// The product on a table, which is made if it is missing; with the demo around it, if so said.
async fn router(dynamodb_url: &str, table: &str, signing: &Signing, demo: bool) -> Result<Router, Failure> {
    let verifier = Arc::new(Verifier::configured(|name| variable(signing, name))?);
    let journal = Arc::<demo::Journal>::default();
    let client = match demo {
        true => journal.client(&endpoint::config(dynamodb_url).await),
        false => endpoint::client(dynamodb_url).await,
    };
    table::create(&client, table).await?;
    if !demo {
        return Ok(serve::router(Table::new(client, table), verifier));
    }
    let demo = Arc::new(demo::Demo::new(client, table, journal, verifier, signing.signer()));
    let router = demo::router(&demo);
    demo::seed(&router, &signing.signer().sign(demo::OWNER)?).await?;
    Ok(router)
}

/// A variable as the functions would read it, but for keys of others: tokens are signed here.
fn variable(signing: &Signing, name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    match name {
        "JWT_SECRET" => Some(signing.jwt_secret.clone()),
        "JWT_JWKS" | "JWT_JWKS_URL" => {
            if value.is_some() {
                tracing::warn!("{name} is not used: the local stack signs tokens itself, with JWT_SECRET");
            }
            None
        }
        _ => value,
    }
}

async fn stop() {
    // Without a handler the signal would end the process all the same.
    let _ = tokio::signal::ctrl_c().await;
}
