//! `trueppm import`

use std::path::PathBuf;

use clap::Args;
use ops::command::{Ended, Failure, print, progress};
use shared::domain::ProjectId;
use trueppm::client::CallError;
use trueppm::csv::{self, Import, PlanError};

use super::api::{Api, of_call};

/// Brings a plan's CSV files into a project
///
/// All files are checked first, with each other and with the project; only then the missing rows are made, in batches that are
/// made wholly or not at all. Nothing that is there is changed. Stopped anywhere, it goes on when run again.
#[derive(Args)]
#[command(after_help = FILES)]
pub(crate) struct Options {
    /// Where the files are: projects.csv, calendars.csv, tasks.csv, dependencies.csv; each may be missing.
    directory: PathBuf,
    /// Into the project with this id; without it the one that projects.csv names.
    #[arg(long, value_name = "ID")]
    project: Option<ProjectId>,
    /// Make Members of those who are given a task and do not belong to the project.
    #[arg(long)]
    add_members: bool,
    /// Check the files and write nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    api: Api,
}

const FILES: &str = "\
The files have a header with the names of REST's fields, in any order; columns that are left out have REST's defaults:
  projects.csv      id, name, description, start_date, calendar; one row. Only where the project is to be made
  calendars.csv     id, name, working_days (bits, Monday 1 to Sunday 64), hours_per_day, timezone, exceptions (JSON)
  tasks.csv         id, name, wbs_path, duration, percent_complete, notes, planned_start, status, is_milestone, assignee,
                    optimistic_duration, most_likely_duration, pessimistic_duration
  dependencies.csv  id, predecessor, successor, dep_type (FS, SS, FF, SF), lag; an id follows from the others if it is left out
An empty cell is null, or the default where a field cannot be null. UTF-8, commas, quotes where a text has commas or lines.
Values that begin with = + - or @ are texts like any other: a spreadsheet may take them for formulas.

Exit codes: 0 imported, 1 something is wrong with the files, 2 could not go on.

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
                    of_plan(error).next_also("Then run this again: what was made stays, and it goes on.")
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
