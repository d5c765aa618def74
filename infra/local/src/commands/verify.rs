//! `local verify`

use clap::Args;
use local::verify::{self, Patience};
use shared::storage::Table;

use super::{Ended, PROJECTS, SomeProjects, TableOptions, of_table, print, progress};

/// Audits a table: does it hold what commits promise?
///
/// Reads only, strongly, under traffic or not.
#[derive(Args)]
#[command(after_help = "\
Exit codes: 0 sound, 1 violated, 2 could not be (wholly) judged.

Examples:
  local verify --dynamodb-url http://127.0.0.1:8000     the table of `local serve --dynamodb-port 8000`
  local verify --table-name T --project house --json    a table of the AWS environment's account")]
pub(crate) struct Options {
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    projects: SomeProjects,
}

pub(crate) async fn run(options: Options, json: bool) -> Ended {
    let name = &options.table.table_name;
    let table = Table::new(options.table.client().await, name);
    let report = verify::run(&table, options.projects.project, Patience::default(), &progress(PROJECTS)).await;
    let report = report.map_err(|error| of_table(&format!("the table {name} could not be audited"), &error))?;
    print(&report, json)?;
    Ok(report.verdict.exit_code())
}
