//! `trueppm restore`

use crate::restore;
use clap::Args;
use shared::storage::Table;

use crate::command::{Ended, PROJECTS, Rate, SomeProjects, TableOptions, of_table, print, progress};

/// Repair a table restored from a DynamoDB backup
///
/// Completes or removes half commits, and writes every row above the marks that devices hold. Run it while nothing else uses the
/// table. Safe to interrupt and to run again.
#[derive(Args)]
#[command(mut_arg("table_name", crate::command::named))]
#[command(after_help = "\
Exit status: 0 restored, 1 some projects were left as they are, 2 failed.

Examples:
  trueppm restore --table-name NEW --lost-table OLD
  trueppm restore --table-name NEW --rate 1000 --json     OLD is gone: every device starts over")]
pub struct Options {
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    projects: SomeProjects,
    #[command(flatten)]
    rate: Rate,
    /// Name of the lost table, if it can still be read. Rows that only it has become tombstones, and plain pulls are enough.
    /// Without it, every device must start over.
    #[arg(long, value_name = "NAME")]
    lost_table: Option<String>,
    /// How much to raise the counters. Raise them more only if the lost table had been restored itself and cannot be read: no
    /// device may hold a mark above them.
    #[arg(long, value_name = "VERSIONS", default_value_t = restore::RAISE,
        value_parser = clap::value_parser!(u64).range(restore::RAISE..))]
    raise: u64,
}

/// Runs the command.
pub async fn run(options: Options, json: bool) -> Ended {
    let name = &options.table.table_name;
    let client = options.table.client().await;
    let table = Table::new(client.clone(), name);
    let lost = options.lost_table.map(|name| Table::new(client, name));
    let (project, rate) = (options.projects.project, options.rate.rate);
    let work = restore::Options { project, lost, rate, raise: options.raise };
    let report = restore::run(&table, &work, &progress(PROJECTS)).await;
    let failed = format!("the table {name} is not restored yet; run this again");
    let report = report.map_err(|error| of_table(&failed, error.as_ref()))?;
    print(&report, json)?;
    Ok(report.exit_code())
}
