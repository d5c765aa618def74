//! The operators' command `trueppm-ops`: `verify`, `diagnose`, `restore`, `backfill`, `erase` and `watch`, without the local server.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use ops::command::exit_code;
use ops::commands::{backfill, diagnose, erase, restore, verify, watch};

/// Check and repair a table of TruePPM sync
#[derive(Parser)]
#[command(version, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Exit status: 0 success, 1 problems found, 2 failed.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print output as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    Verify(verify::Options),
    Diagnose(diagnose::Options),
    Restore(restore::Options),
    Backfill(backfill::Options),
    Erase(erase::Options),
    Watch(watch::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let parsed = Cli::from_arg_matches(&with_own_name(Cli::command()).get_matches());
    let Cli { command, json } = parsed.unwrap_or_else(|error| error.exit());
    exit_code(match command {
        Command::Verify(options) => verify::run(options, json).await,
        Command::Diagnose(options) => diagnose::run(options, json).await,
        Command::Restore(options) => restore::run(options, json).await,
        Command::Backfill(options) => backfill::run(options, json).await,
        Command::Erase(options) => erase::run(options, json).await,
        Command::Watch(options) => watch::run(options, json).await,
    })
}

/// Puts `trueppm-ops` into the examples, which name `trueppm`. Both have these commands.
fn with_own_name(command: clap::Command) -> clap::Command {
    command.mut_subcommands(|command| match command.get_after_help().map(ToString::to_string) {
        Some(examples) => command.after_help(examples.replace("\n  trueppm ", "\n  trueppm-ops ")),
        None => command,
    })
}
