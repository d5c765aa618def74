//! `trueppm restore`

use clap::Args;
use shared::storage::Table;

use crate::command::{Ended, PROJECTS, WriteOptions, print, progress};
use crate::restore;

/// Repair a table that was restored from a DynamoDB backup
///
/// Repairs commits that the backup cut in two, and writes every row again at a version above the marks of all devices. Stop all
/// other use of the table first. Safe to interrupt and run again.
#[derive(Args)]
#[command(after_help = "\
Exit status: 0 success, 1 problems found (some projects were not repaired), 2 failed.

Examples:
  trueppm restore --table-name NEW --lost-table OLD
  trueppm restore --table-name NEW --rate 1000 --json     OLD is gone: every device needs a full sync")]
pub struct Options {
    #[command(flatten)]
    at: WriteOptions,
    /// Name of the lost table, if it can still be read
    ///
    /// Rows that only the lost table has become tombstones, and devices can pull as usual. Without this option every device needs
    /// a full sync.
    #[arg(long, value_name = "NAME")]
    lost_table: Option<String>,
    /// Number of versions to raise each counter by
    ///
    /// Increase it only if the lost table had been restored itself and cannot be read. Then choose it so that no device has a
    /// mark above the new counter.
    #[arg(long, value_name = "VERSIONS", default_value_t = restore::RAISE,
        value_parser = clap::value_parser!(u64).range(restore::RAISE..))]
    raise: u64,
}

/// Runs the command.
pub async fn run(options: Options, json: bool) -> Ended {
    let name = &options.at.table.table_name;
    let client = options.at.table.client().await;
    let table = Table::new(client.clone(), name);
    let lost = options.lost_table.map(|name| Table::new(client, name));
    let (project, rate) = (options.at.projects.project, options.at.rate.rate);
    let work = restore::Options { project, lost, rate, raise: options.raise };
    let report = restore::run(&table, &work, &progress(PROJECTS)).await;
    let failed = format!("the repair of table {name} stopped; run it again");
    let report = report.map_err(|error| options.at.table.failure(&failed, error.as_ref()))?;
    print(&report, json)?;
    Ok(report.exit_code())
}
