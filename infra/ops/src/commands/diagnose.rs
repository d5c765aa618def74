//! `trueppm diagnose`

use std::path::PathBuf;

use clap::Args;
use shared::domain::{ProjectId, UserId};
use shared::storage::Table;

use crate::command::{Ended, Failure, PROJECTS, TableOptions, print, progress};
use crate::diagnose::{self, DeviceReport};

/// Compare a device's report with a table, and say what differs and why
///
/// The report is the JSON of `sync.report()` of the client package. With `report({ rows: true })`, each row that differs is named.
/// Read-only, with strong reads. A project of 10,000 rows takes some 860 read units, and three times that if it differs.
#[derive(Args)]
#[command(after_help = "\
Exit status: 0 nothing differs, 1 something differs, 2 failed (or not everything could be compared).

Examples:
  trueppm diagnose report.json --dynamodb-url http://127.0.0.1:8000     the table of `trueppm serve --dynamodb-port 8000`
  trueppm diagnose report.json --table-name T --user mia --json         a table in your AWS account")]
pub struct Options {
    /// File with the report, at most 50 MB
    #[arg(value_name = "FILE")]
    report: PathBuf,
    #[command(flatten)]
    table: TableOptions,
    /// Id of one project. The default is all projects of the report
    #[arg(long, value_name = "ID")]
    project: Option<ProjectId>,
    /// Id of the device's user, to look up the membership and an unfinished request
    #[arg(long, value_name = "ID")]
    user: Option<UserId>,
}

/// Runs the command.
pub async fn run(options: Options, json: bool) -> Ended {
    let file = options.report.display();
    let report = DeviceReport::read(&options.report).map_err(|error| {
        Failure::new(format!("{file}: {error}")).next("Save the JSON of `sync.report()` to a file.")
    })?;
    let only = options.project.as_ref();
    if let Some(only) = only.filter(|only| !report.projects.iter().any(|device| device.project == only.as_str())) {
        return Err(Failure::new(format!("{file}: the report has no project {only}")));
    }
    let name = &options.table.table_name;
    let table = Table::new(options.table.client().await, name);
    let diagnosis = diagnose::run(&table, &report, only, options.user.as_ref(), &progress(PROJECTS)).await;
    let diagnosis = diagnosis.map_err(|error| options.table.failure(&format!("cannot read table {name}"), &error))?;
    print(&diagnosis, json)?;
    Ok(diagnosis.verdict.exit_code())
}
