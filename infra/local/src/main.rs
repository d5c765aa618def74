//! The local stack's command.

use std::error::Error;
use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use local::token::LOCAL_SECRET;
use local::verify::{self, Patience};
use local::{backfill, demo, engine, restore, serve, table, token};
use serde::Serialize;
use shared::auth::Verifier;
use shared::domain::{Collection, ProjectId};
use shared::storage::Table;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// Runs TruePPM sync on this machine: an embedded table, both functions, one address.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
    /// What tokens are signed with (HS256), at least 32 bytes; without it a secret that everyone knows.
    #[arg(long, env = "JWT_SECRET", global = true, hide_env_values = true, hide_default_value = true,
        default_value = LOCAL_SECRET)]
    jwt_secret: String,
}

#[derive(Subcommand)]
enum Command {
    /// Prints a token for a user, good for 30 days.
    Token {
        /// The user's id, which becomes the token's `sub`.
        #[arg(long)]
        user: String,
    },
    /// Audits a table: does it hold what commits promise? Reads only. JSON to the standard output, a summary to the
    /// standard error; exit code 0 sound, 1 violated, 2 could not be (wholly) judged.
    Verify(Verify),
    /// Makes a table that DynamoDB restored from a backup fit for use: finishes what the backup cut in two, and writes every
    /// row above the marks that devices hold. Only while nothing else uses the table; stopped anywhere, it goes on when
    /// started again. JSON to the standard output, a summary to the standard error; exit code 0 restored, 1 some projects
    /// were left as they are, 2 could not go on.
    Restore(Restore),
    /// Fills in columns that the resources have and rows written before do not: each such row is written again at a new
    /// version, with the resource's own default, and goes to every device with its next pull. Under traffic, and again: what
    /// has all columns is left alone. JSON to the standard output, a summary to the standard error; exit code 0 nothing
    /// lacks, 1 some rows were left as they are, 2 could not go on.
    Backfill(Backfill),
}

#[derive(Args)]
struct Backfill {
    /// The table's name.
    #[arg(long)]
    table_name: String,
    /// This project only; without it all that are on the table.
    #[arg(long, value_name = "ID")]
    project: Option<ProjectId>,
    /// This collection only; without it all five.
    #[arg(long, value_name = "NAME")]
    collection: Option<Collection>,
    /// The DynamoDB at this address; without it the one that the AWS environment names (region, credentials).
    #[arg(long, value_name = "URL")]
    dynamodb_url: Option<String>,
    /// Rows a second. What a project's partition takes (1,000 write units a second) is shared with its traffic.
    #[arg(long, value_name = "ROWS", default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
}

#[derive(Args)]
struct Restore {
    /// The restored table's name.
    #[arg(long)]
    table_name: String,
    /// The table that was lost, if it can still be read: rows that only it has become tombstones, and plain pulls suffice.
    /// Without it every device has to start over.
    #[arg(long, value_name = "NAME")]
    lost_table: Option<String>,
    /// This project only; without it all that are on the tables.
    #[arg(long, value_name = "ID")]
    project: Option<ProjectId>,
    /// The DynamoDB at this address; without it the one that the AWS environment names (region, credentials).
    #[arg(long, value_name = "URL")]
    dynamodb_url: Option<String>,
    /// Rows a second. A row of 1 KB takes about two write units in the table and two in an index, and one project is one
    /// partition of each, which takes 1,000 a second.
    #[arg(long, value_name = "ROWS", default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// By how much counters are raised. More only when the lost table itself had been restored and cannot be read: so
    /// much more that no device holds a mark above it.
    #[arg(long, value_name = "VERSIONS", default_value_t = restore::RAISE,
        value_parser = clap::value_parser!(u64).range(restore::RAISE..))]
    raise: u64,
}

#[derive(Args)]
struct Verify {
    /// The table's name.
    #[arg(long, env = "TABLE_NAME", default_value = "trueppm")]
    table_name: String,
    /// This project only; without it all that are on the table.
    #[arg(long, value_name = "ID")]
    project: Option<ProjectId>,
    /// The DynamoDB at this address; without it the one that the AWS environment names (region, credentials).
    #[arg(long, value_name = "URL")]
    dynamodb_url: Option<String>,
}

#[derive(Args)]
struct Serve {
    /// Where to listen on 127.0.0.1; 0 takes any free port.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Where the engine listens, for the AWS CLI or a GUI; 0 takes any free port.
    #[arg(long, default_value_t = 0, conflicts_with = "dynamodb_url")]
    dynamodb_port: u16,
    /// Use the DynamoDB at this address instead of the embedded engine; the table is made there if it is missing.
    #[arg(long, value_name = "URL")]
    dynamodb_url: Option<String>,
    /// Keep the data in this directory; without it they are gone at the end.
    #[arg(long, value_name = "DIR", conflicts_with = "dynamodb_url")]
    data: Option<PathBuf>,
    /// The table's name.
    #[arg(long, env = "TABLE_NAME", default_value = "trueppm")]
    table_name: String,
    /// Make a small demo project.
    #[arg(long)]
    demo: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Token { user }) => {
            token::sign(&cli.jwt_secret, &user).map(|t| println!("{t}")).map_err(Into::into)
        }
        Some(Command::Verify(options)) => return verify(options).await,
        Some(Command::Restore(options)) => return restore(options).await,
        Some(Command::Backfill(options)) => return backfill(options).await,
        None => run(cli.serve, &cli.jwt_secret).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("local: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Serve, secret: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
    let secret_variable = |name: &str| (name == "JWT_SECRET").then(|| secret.to_owned());
    let verifier = Arc::new(Verifier::configured(secret_variable)?);

    let address = format!("127.0.0.1:{}", options.port);
    let listener = TcpListener::bind(&address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}. Choose another port with --port."))?;
    let (endpoint, kept) = match options.dynamodb_url {
        Some(url) => (url, "there".to_owned()),
        None => {
            let endpoint = engine::start(options.dynamodb_port, options.data.as_deref())
                .map_err(|error| format!("cannot start the engine: {error}"))?;
            let kept = options.data.map_or_else(|| "in memory".to_owned(), |data| format!("in {}", data.display()));
            (endpoint, kept)
        }
    };
    let journal = Arc::<demo::Journal>::default();
    let client = match options.demo {
        true => journal.client(&table::config(&endpoint).await),
        false => table::client(&endpoint).await,
    };
    table::create(&client, &options.table_name).await?;
    let token = token::sign(secret, demo::OWNER)?;
    let router = if options.demo {
        let demo = Arc::new(demo::Demo::new(client, &options.table_name, journal, verifier, secret));
        let router = demo::router(&demo);
        demo::seed(&router, &token).await?;
        router
    } else {
        serve::router(Table::new(client, &options.table_name), verifier)
    };

    let base = format!("http://{}", listener.local_addr()?);
    println!("table     {} at {endpoint}, kept {kept}", options.table_name);
    println!("token     {token}");
    println!("          for the user {}; `local token --user ID` makes others", demo::OWNER);
    let example = if options.demo { "projects/demo/sync/?since=0" } else { "projects/" };
    if options.demo {
        println!("see       {base}/ in a browser: two devices and a server");
    }
    println!("try       curl -H 'Authorization: Bearer {token}' '{base}/api/v1/{example}'");
    println!("listening on {base}");
    axum::serve(listener, router).with_graceful_shutdown(stop()).await?;
    Ok(())
}

/// Audits a table and prints what came out.
async fn verify(options: Verify) -> ExitCode {
    let client = client(options.dynamodb_url.as_deref()).await;
    let table = Table::new(client, &options.table_name);
    let audited = verify::run(&table, options.project, Patience::default(), &progress()).await;
    let failed = format!("the table {} could not be audited", options.table_name);
    print(audited.map_err(|error| reasons(&error)), |report| report.verdict.exit_code(), &failed)
}

/// Restores a table and prints what came out.
async fn restore(options: Restore) -> ExitCode {
    let client = client(options.dynamodb_url.as_deref()).await;
    let table = Table::new(client.clone(), &options.table_name);
    let Restore { project, rate, raise, .. } = options;
    let lost = options.lost_table.map(|name| Table::new(client, name));
    let restored = restore::run(&table, &restore::Options { project, lost, rate, raise }, &progress()).await;
    let failed = format!("the table {} is not restored yet; run this again", options.table_name);
    print(restored.map_err(|error| reasons(error.as_ref())), restore::Report::exit_code, &failed)
}

/// Fills in columns that rows lack and prints what came out.
async fn backfill(options: Backfill) -> ExitCode {
    let client = client(options.dynamodb_url.as_deref()).await;
    let table = Table::new(client, &options.table_name);
    let Backfill { project, collection, rate, .. } = options;
    let filled = backfill::run(&table, &backfill::Options { project, collection, rate }, &progress()).await;
    let failed = format!("the table {} may have rows that lack columns; run this again", options.table_name);
    print(filled.map_err(|error| reasons(&error)), backfill::Report::exit_code, &failed)
}

/// The end of an operator's command: the report and its exit code, or what failed and why.
fn print<R: Serialize + Display>(result: Result<R, String>, exit_code: impl Fn(&R) -> u8, failed: &str) -> ExitCode {
    let printed = result.and_then(|report| {
        let json = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        println!("{json}");
        eprintln!("{report}");
        Ok(exit_code(&report))
    });
    match printed {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("local: {failed}: {error}");
            ExitCode::from(2)
        }
    }
}

/// For an operator's command: the DynamoDB at this address, or the one that the environment names.
async fn client(url: Option<&str>) -> aws_sdk_dynamodb::Client {
    match url {
        Some(url) => table::client(url).await,
        None => aws_sdk_dynamodb::Client::new(&Table::sdk_config().load().await),
    }
}

/// To the standard error, and only if that is a terminal.
fn progress() -> ProgressBar {
    let progress = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} [{bar:30}] {pos}/{len} projects, {msg}") {
        progress.set_style(style);
    }
    progress
}

/// An error with all that lies behind it, without the SDK's dump in parentheses.
fn reasons(error: &dyn Error) -> String {
    let behind = error.source().map(|source| format!(": {}", reasons(source)));
    let text = error.to_string();
    format!("{}{}", text.split(" (").next().unwrap_or_default(), behind.unwrap_or_default())
}

async fn stop() {
    // Without a handler the signal would end the process all the same.
    let _ = tokio::signal::ctrl_c().await;
}
