//! The commands, a module each, and what they have in common: options, results, failures.

pub(crate) mod api;
pub(crate) mod backfill;
pub(crate) mod completions;
pub(crate) mod describe;
pub(crate) mod erase;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod pull;
pub(crate) mod restore;
pub(crate) mod serve;
pub(crate) mod text;
pub(crate) mod token;
pub(crate) mod verify;
pub(crate) mod watch;

use std::error::Error;
use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anstream::eprintln;
use anstyle::{AnsiColor, Style};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use local::reasons;
use local::table;
use local::token::{LOCAL_SECRET, Signer};
use serde::Serialize;
use shared::domain::ProjectId;
use shared::storage::Table;

/// How a command ended: 0, or 1 when something is wrong with what it looked at; or why it could not be done, which is 2.
pub(crate) type Ended = Result<u8, Failure>;

/// Why a command could not be done, and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    next: Option<String>,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), next: None }
    }

    /// … and what to do next.
    pub(crate) fn next(self, next: impl Into<String>) -> Self {
        Self { next: Some(next.into()), ..self }
    }

    /// … and after that.
    pub(crate) fn next_also(self, also: &str) -> Self {
        let next = self.next.iter().map(String::as_str).chain([also]).collect::<Vec<_>>().join(" ");
        self.next(next)
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(reasons(error.into().as_ref()))
    }
}

/// The exit code; a failure is told on the standard error.
pub(crate) fn exit_code(ended: Ended) -> ExitCode {
    let failure = match ended {
        Ok(code) => return ExitCode::from(code),
        Err(failure) => failure,
    };
    let red = colour(AnsiColor::Red);
    eprintln!("{red}error:{red:#} {}", failure.what);
    if let Some(next) = failure.next {
        eprintln!("  {next}");
    }
    ExitCode::from(2)
}

/// Of headings and signs; gone where the output is no terminal.
pub(crate) fn colour(colour: AnsiColor) -> Style {
    colour.on_default().bold()
}

/// Which table.
#[derive(Args)]
pub(crate) struct TableOptions {
    /// The table's name.
    #[arg(long, env = "TABLE_NAME", default_value = "trueppm")]
    pub(crate) table_name: String,
    /// The DynamoDB at this address; without it the one that the AWS environment names (region, credentials).
    #[arg(long, value_name = "URL")]
    pub(crate) dynamodb_url: Option<String>,
}

impl TableOptions {
    pub(crate) async fn client(&self) -> aws_sdk_dynamodb::Client {
        match &self.dynamodb_url {
            Some(url) => table::client(url).await,
            None => aws_sdk_dynamodb::Client::new(&Table::sdk_config().load().await),
        }
    }
}

/// Which projects of a table.
#[derive(Args)]
pub(crate) struct SomeProjects {
    /// This project only; without it all that are on the table.
    #[arg(long, value_name = "ID")]
    pub(crate) project: Option<ProjectId>,
}

/// How fast an operator's command writes.
#[derive(Args)]
pub(crate) struct Rate {
    /// Rows a second. A row of 1 KB takes about two write units in the table and two in an index, and one project is one
    /// partition of each, which takes 1,000 a second and shares them with its traffic.
    #[arg(long, value_name = "ROWS", default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: u32,
}

/// What tokens are signed with.
#[derive(Args)]
pub(crate) struct Signing {
    /// What tokens are signed with (HS256), at least 32 bytes; without it a secret that everyone knows.
    #[arg(long, env = "JWT_SECRET", hide_env_values = true, hide_default_value = true, default_value = LOCAL_SECRET)]
    pub(crate) jwt_secret: String,
}

impl Signing {
    /// Signs as `JWT_ISSUER`, `JWT_AUDIENCE` and `JWT_MAX_LIFETIME` ask for.
    pub(crate) fn signer(&self) -> Signer {
        Signer::as_variables_say(&self.jwt_secret, |name| std::env::var(name).ok())
    }
}

/// Prints what came out, for people or as JSON.
pub(crate) fn print(result: &(impl Serialize + Display), json: bool) -> Result<(), Failure> {
    if json { put(serde_json::to_string_pretty(result)?) } else { put(result) }
}

/// A line to the standard output. When nobody reads on (`| head`), that is the end.
pub(crate) fn put(text: impl Display) -> Result<(), Failure> {
    let mut output = anstream::stdout().lock();
    match writeln!(output, "{text}").and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        written => Ok(written?),
    }
}

/// What an operator's command on a table shows of how far it is.
pub(crate) const PROJECTS: &str = "{spinner} [{bar:30}] {pos}/{len} projects, {msg}";

/// Shows how far a command is, on the standard error, and only if that is a terminal.
pub(crate) fn progress(template: &str) -> ProgressBar {
    let progress = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template(template) {
        progress.set_style(style);
    }
    progress
}

/// What to do when there is no such table, or not what is looked for on it.
pub(crate) const WHICH_TABLE: &str = "Name the table with --table-name, and where it is with --dynamodb-url (`local serve` \
                                      says so in its first line) or by the AWS environment.";

/// The failure of an operator's command on a table.
pub(crate) fn of_table(failed: &str, error: &dyn Error) -> Failure {
    Failure::new(format!("{failed}: {}", reasons(error))).next(WHICH_TABLE)
}

/// Of a command that changes a whole table: it must be named on the command line, or one that is meant for another
/// purpose would be taken.
fn named(table_name: clap::Arg) -> clap::Arg {
    table_name.required(true).env(None).default_value(None)
}
