//! `trueppm verify`

use clap::Args;
use shared::storage::Table;

use crate::command::{Ended, PROJECTS, SomeProjects, TableOptions, print, progress};
use crate::verify::{self, Patience};

/// Check a table for consistency violations
///
/// Read-only, with strong reads. Safe to run under live traffic.
#[derive(Args)]
#[command(after_help = "\
Exit status: 0 success, 1 problems found, 2 failed (or not everything could be checked).

Examples:
  trueppm verify --dynamodb-url http://127.0.0.1:8000     the table of `trueppm serve --dynamodb-port 8000`
  trueppm verify --table-name T --project house --json    a table in your AWS account")]
pub struct Options {
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    projects: SomeProjects,
}

/// Runs the command.
pub async fn run(options: Options, json: bool) -> Ended {
    let name = &options.table.table_name;
    let table = Table::new(options.table.client().await, name);
    let report = verify::run(&table, options.projects.project, Patience::default(), &progress(PROJECTS)).await;
    let report = report.map_err(|error| options.table.failure(&format!("cannot check table {name}"), &error))?;
    print(&report, json)?;
    Ok(report.verdict.exit_code())
}
