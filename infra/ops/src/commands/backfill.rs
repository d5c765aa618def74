//! `trueppm backfill`

use clap::Args;
use shared::domain::Collection;
use shared::storage::Table;

use crate::backfill;
use crate::command::{Ended, PROJECTS, WriteOptions, print, progress};

/// Add missing columns to rows that older code wrote
///
/// Writes each such row again at a new version, with the default of every missing column. Devices get the row with their next
/// pull. Safe to run under live traffic, and safe to interrupt and run again: complete rows are not changed.
#[derive(Args)]
#[command(after_help = "\
Exit status: 0 success, 1 problems found (some rows were not changed), 2 failed.

Examples:
  trueppm backfill --table-name T
  trueppm backfill --table-name T --project house --collection tasks --rate 50")]
pub struct Options {
    #[command(flatten)]
    at: WriteOptions,
    /// Fill one collection only. The default is all five
    #[arg(long, value_name = "NAME")]
    collection: Option<Collection>,
}

/// Runs the command.
pub async fn run(options: Options, json: bool) -> Ended {
    let name = &options.at.table.table_name;
    let table = Table::new(options.at.table.client().await, name);
    let (project, rate) = (options.at.projects.project, options.at.rate.rate);
    let work = backfill::Options { project, collection: options.collection, rate };
    let report = backfill::run(&table, &work, &progress(PROJECTS)).await;
    let failed = format!("the backfill of table {name} stopped; run it again");
    let report = report.map_err(|error| options.at.table.failure(&failed, &error))?;
    print(&report, json)?;
    Ok(report.exit_code())
}
