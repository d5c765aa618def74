//! The command `trueppm`: parses the command line and runs the module of the command.

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::{completions, describe, export, import, pages, pull, serve, token, watch};
use ops::command::exit_code;
use ops::commands::{backfill, diagnose, erase, restore, verify};

/// Run TruePPM sync locally, and administer projects and tables
#[derive(Parser)]
#[command(version, subcommand_required = true, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print output as JSON
    #[arg(long, global = true)]
    json: bool,
}

const AFTER_HELP: &str = "\
Exit status: 0 success, 1 problems found, 2 failed.
Problems are faults in a table, its rows or a plan's files. For a failure, standard error says why and what to do.

Results go to standard output, everything else to standard error. Colours appear only on a terminal, and never if NO_COLOR is set.
`trueppm help COMMAND` shows examples. In the workspace, use `cargo run -q -p trueppm --` or target/debug/trueppm for `trueppm`.";

#[derive(Subcommand)]
enum Command {
    Serve(serve::Options),
    Demo(serve::Demo),
    Token(token::Options),
    Import(import::Options),
    Export(export::Options),
    Pull(pull::Options),
    Watch(watch::Options),
    Verify(verify::Options),
    Diagnose(diagnose::Options),
    Restore(restore::Options),
    Backfill(backfill::Options),
    Erase(erase::Options),
    #[command(name = "openapi")]
    OpenApi(describe::OpenApi),
    #[command(name = "typescript")]
    TypeScript(describe::TypeScript),
    Pages(pages::Options),
    Completions(completions::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command, json } = Cli::parse();
    let ended = match command {
        Command::Serve(options) => serve::run(options, json).await,
        Command::Demo(demo) => serve::run_demo(demo, json).await,
        Command::Token(options) => token::run(&options, json),
        Command::Import(options) => import::run(options, json).await,
        Command::Export(options) => export::run(options, json).await,
        Command::Pull(options) => pull::run(options, json).await,
        Command::Watch(options) => watch::run(options, json).await,
        Command::Verify(options) => verify::run(options, json).await,
        Command::Diagnose(options) => diagnose::run(options, json).await,
        Command::Restore(options) => restore::run(options, json).await,
        Command::Backfill(options) => backfill::run(options, json).await,
        Command::Erase(options) => erase::run(options, json).await,
        Command::OpenApi(_) => describe::openapi(),
        Command::TypeScript(_) => describe::typescript(),
        Command::Pages(options) => pages::run::<Cli>(&options, json),
        Command::Completions(options) => completions::run::<Cli>(&options),
    };
    exit_code(ended)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_makes_sense_and_each_command_has_examples() {
        let command = Cli::command();
        command.clone().debug_assert();
        for command in command.get_subcommands() {
            let name = command.get_name();
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.contains(&format!("\n  trueppm {name}")), "{name} has no example");
        }
    }
}
