//! The local stack's command.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use local::token::LOCAL_SECRET;
use local::verify::{self, Patience};
use local::{demo, engine, serve, table, token};
use shared::auth::Verifier;
use shared::domain::ProjectId;
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
    let client = table::client(&endpoint).await;
    table::create(&client, &options.table_name).await?;
    let router = serve::router(Table::new(client, &options.table_name), verifier);
    let token = token::sign(secret, demo::OWNER)?;
    if options.demo {
        demo::seed(&router, &token).await?;
    }

    let base = format!("http://{}", listener.local_addr()?);
    println!("table     {} at {endpoint}, kept {kept}", options.table_name);
    println!("token     {token}");
    println!("          for the user {}; `local token --user ID` makes others", demo::OWNER);
    let example = if options.demo { "projects/demo/sync/?since=0" } else { "projects/" };
    println!("try       curl -H 'Authorization: Bearer {token}' '{base}/api/v1/{example}'");
    println!("listening on {base}");
    axum::serve(listener, router).with_graceful_shutdown(stop()).await?;
    Ok(())
}

/// Audits a table and prints what came out.
async fn verify(options: Verify) -> ExitCode {
    let client = match &options.dynamodb_url {
        Some(url) => table::client(url).await,
        None => aws_sdk_dynamodb::Client::new(&Table::sdk_config().load().await),
    };
    let table = Table::new(client, &options.table_name);
    // To the standard error, and only if that is a terminal.
    let progress = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} [{bar:30}] {pos}/{len} projects, {msg}") {
        progress.set_style(style);
    }
    let audited = verify::run(&table, options.project, Patience::default(), &progress).await;
    let result = audited.map_err(|error| reasons(&error)).and_then(|report| {
        let json = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        println!("{json}");
        eprintln!("{report}");
        Ok(report.verdict.exit_code())
    });
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("local: the table {} could not be audited: {error}", options.table_name);
            ExitCode::from(2)
        }
    }
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
