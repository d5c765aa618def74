//! `trueppm backfill`

use crate::backfill;
use clap::Args;
use shared::domain::Collection;
use shared::storage::Table;

use crate::command::{Ended, PROJECTS, Rate, SomeProjects, TableOptions, of_table, print, progress};

/// Fill in columns that older rows lack
///
/// Each such row is written again at a new version, with the column's default. Devices get it with their next pull. Safe under live
/// traffic. Safe to interrupt and to run again.
#[derive(Args)]
#[command(mut_arg("table_name", crate::command::named))]
#[command(after_help = "\
Exit status: 0 no column is missing, 1 some rows were left as they are, 2 failed.

Examples:
  trueppm backfill --table-name T
  trueppm backfill --table-name T --project house --collection tasks --rate 50")]
pub struct Options {
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    projects: SomeProjects,
    #[command(flatten)]
    rate: Rate,
    /// Name of one collection. Without it, all five.
    #[arg(long, value_name = "NAME")]
    collection: Option<Collection>,
}

/// Runs the command.
pub async fn run(options: Options, json: bool) -> Ended {
    let name = &options.table.table_name;
    let table = Table::new(options.table.client().await, name);
    let (project, rate) = (options.projects.project, options.rate.rate);
    let work = backfill::Options { project, collection: options.collection, rate };
    let report = backfill::run(&table, &work, &progress(PROJECTS)).await;
    let failed = format!("the table {name} may have rows that lack columns; run this again");
    let report = report.map_err(|error| of_table(&failed, &error))?;
    print(&report, json)?;
    Ok(report.exit_code())
}
