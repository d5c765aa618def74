//! `trueppm import`

use std::path::PathBuf;

use clap::Args;
use ops::command::{Ended, Failure, print, progress};
use shared::domain::ProjectId;
use trueppm::client::CallError;
use trueppm::csv::{self, Import, PlanError};

use super::api::{Api, of_call};

/// Import CSV files into a project
///
/// Checks all files first, against each other and against the project. Then creates the missing rows in atomic batches. Never
/// changes existing rows. Safe to interrupt and run again.
#[derive(Args)]
#[command(after_help = FILES)]
pub(crate) struct Options {
    /// Directory with projects.csv, calendars.csv, tasks.csv and dependencies.csv. Each file is optional
    directory: PathBuf,
    /// Id of the project to import into. The default is the project in projects.csv
    #[arg(long, value_name = "ID")]
    project: Option<ProjectId>,
    /// Add assignees who are not members yet to the project, with the role Member
    #[arg(long)]
    add_members: bool,
    /// Check the files and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    api: Api,
}

const FILES: &str = "\
Each file has a header with the field names of the REST API, in any order. Columns that are left out get the API's defaults:
  projects.csv      id, name, description, start_date, calendar; one row. Needed only to create the project
  calendars.csv     id, name, working_days (bits, Monday 1 to Sunday 64), hours_per_day, timezone, exceptions (JSON)
  tasks.csv         id, name, wbs_path, duration, percent_complete, notes, planned_start, status, is_milestone, assignee,
                    optimistic_duration, most_likely_duration, pessimistic_duration
  dependencies.csv  id, predecessor, successor, dep_type (FS, SS, FF, SF), lag; the id is optional, and is then derived from the tasks and the type
An empty cell is null, or the default if the field cannot be null. Use UTF-8 and commas, and quote texts with commas or line breaks.
Values that begin with = + - or @ are imported as plain text. A spreadsheet may treat them as formulas.

Exit status: 0 success, 1 problems found in the files, 2 failed.

Examples:
  trueppm import infra/cli/examples/house
  trueppm import infra/cli/examples/house --dry-run
  trueppm import plan --project bridge --url https://… --token …";

pub(crate) async fn run(options: Options, json: bool) -> Ended {
    let client = options.api.client()?;
    let Options { directory, project, add_members, dry_run, .. } = options;
    let import = Import { directory, project, add_members, dry_run };
    let report =
        csv::import(&client, &import, &progress("[{bar:40}] {pos}/{len} rows, {eta} left")).await.map_err(|error| {
            match &error {
                PlanError::Call(CallError::Unreachable { .. }) => {
                    of_plan(error).next_also("Then run the import again. It continues where it stopped.")
                }
                _ => of_plan(error),
            }
        })?;
    print(&report, json)?;
    Ok(report.exit_code())
}

/// The failure of an import or an export.
pub(crate) fn of_plan(error: PlanError) -> Failure {
    match error {
        PlanError::Call(error) => of_call(error),
        other => Failure::new(other.to_string()),
    }
}
