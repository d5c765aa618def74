//! `trueppm import`

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use clap::Args;
use ops::command::{Ended, Failure, print, progress};
use ops::text::one_line;
use serde::Serialize;
use serde_json::Value;
use shared::domain::{Collection, ProjectId};
use trueppm::plan::{self, Fault, Import, PlanError, Report};

use super::api::{Api, of_call};
use super::text::table;

/// The maximum number of faults, warnings and changes of each kind in the output for people.
const SHOWN: usize = 20;
/// The maximum number of characters of a value that is shown as it changes.
const WIDEST: usize = 60;

/// Import a plan into a project: CSV files, or an XML file of MS Project
///
/// Checks everything first: the files, each row against the others and the project, and your role. Then writes the missing rows in
/// atomic batches, and with --update those that differ. Safe to interrupt and run again.
#[derive(Args)]
#[command(after_help = FILES)]
pub(crate) struct Options {
    /// Directory with projects.csv, calendars.csv, tasks.csv and dependencies.csv, each of which is optional; or an .xml file
    path: PathBuf,
    /// Id of the project to import into. The default is the project in projects.csv, or the XML file's name
    #[arg(long, value_name = "ID")]
    project: Option<ProjectId>,
    /// Change rows that differ from the files. Fields that somebody changed at the same time are conflicts. Without this option a row
    /// that differs is a fault
    #[arg(long)]
    update: bool,
    /// Add assignees who are not members yet to the project, with the role Member
    #[arg(long)]
    add_members: bool,
    /// CSV file with the columns resource and user: which resource of an XML file is which user
    #[arg(long, value_name = "FILE")]
    map_users: Option<PathBuf>,
    /// Do the same, show what would be changed, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print all of the report, and not only the first 20 lines of each kind
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    api: Api,
}

const FILES: &str = "\
Each CSV file has a header with the field names of the REST API, in any order. Columns that are left out get the API's defaults:
  projects.csv      id, name, description, start_date, calendar; one row. Needed only to create the project
  calendars.csv     id, name, working_days (bits, Monday 1 to Sunday 64), hours_per_day, timezone, exceptions (JSON)
  tasks.csv         id, name, wbs_path, duration, percent_complete, notes, planned_start, status, is_milestone, assignee,
                    optimistic_duration, most_likely_duration, pessimistic_duration
  dependencies.csv  id, predecessor, successor, dep_type (FS, SS, FF, SF), lag; the id is optional, and is then derived from the tasks and the type
An empty cell is null, or the default if the field cannot be null. Use UTF-8 and commas, and quote texts with commas or line breaks (RFC 4180).
Values that begin with = + - or @ are imported as plain text. A spreadsheet may treat them as formulas.

An XML file (MSPDI, at most 100 MB) is what MS Project, ProjectLibre and GanttProject save as “XML”. It brings tasks, links, calendars and,
with --map-users, assignees. What has no place here is listed.

Exit status: 0 success, 1 problems found in the plan, 2 failed: a file is not CSV or XML, or the server did not finish. A dry run ends with
the same status. It cannot know quotas of the server, ids that other projects have, and what others change afterwards.

Examples:
  trueppm import infra/cli/examples/house
  trueppm import infra/cli/examples/house --dry-run
  trueppm import infra/cli/examples/boathouse.xml --map-users infra/cli/examples/users.csv --add-members
  trueppm import plan --project bridge --update --dry-run     shows what --update would change
  trueppm import plan --project bridge --url https://… --token …";

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip)]
    most: usize,
}

pub(crate) async fn run(options: Options, json: bool) -> Ended {
    let client = options.api.client()?;
    let Options { path, project, update, add_members, map_users, dry_run, full, .. } = options;
    let import = Import { path, project, update, add_members, map_users, dry_run };
    let bar = progress("[{bar:40}] {pos}/{len} rows, {per_sec}, {eta} left");
    let report = plan::import(&client, &import, &bar).await.map_err(|error| match error.is_unreachable() {
        true => of_plan(error).next_also("Then run the import again. Nothing was written yet."),
        false => of_plan(error),
    })?;
    print(&Shown { report: &report, most: if full { usize::MAX } else { SHOWN } }, json)?;
    let code = report.exit_code();
    match report.stopped {
        Some(error) => Err(of_call(error)
            .next_also("Then run the same command again. It finds what was written and continues behind it.")),
        None => Ok(code),
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report;
        self.list(f, "", &report.faults, "faults")?;
        self.list(f, "warning: ", &report.warnings, "warnings")?;
        self.list(f, "left out: ", &report.left_out, "values left out")?;
        if report.faults.is_empty() {
            for change in report.changes.iter().take(self.most) {
                let (at, what, column) = (&change.at, change.collection, &change.column);
                let (before, after) = (value(&change.before), value(&change.after));
                writeln!(f, "change: {at}: {what} {}: {column}: {before} -> {after}", change.id)?;
            }
            more(f, report.changes.len(), self.most, "changes")?;
        }
        let project = &report.project;
        let faults = match report.faults.len() {
            1 => "1 problem".to_owned(),
            faults => format!("{faults} problems"),
        };
        match (&report.stopped, report.faults.len(), report.dry_run) {
            (Some(_), _, _) if !report.writes() => {
                write!(f, "project {project}: the import stopped; nothing is known to be written")
            }
            (Some(_), _, _) => write!(f, "project {project}: the import stopped"),
            (None, 0, false) => write!(f, "project {project}: imported"),
            (None, 0, true) => write!(f, "project {project}: dry run, nothing was written"),
            _ if !report.writes() => return write!(f, "project {project}: {faults}, NOTHING WAS WRITTEN"),
            _ => write!(
                f,
                "project {project}: {faults}. What is counted below was written before that. Correct the files and run the import again; it continues"
            ),
        }?;
        if let Some(line) =
            report.written_up_to.as_ref().filter(|_| report.stopped.is_some() || !report.faults.is_empty())
        {
            write!(f, "\nWritten: every row up to {line}")?;
        }
        if let Some((first, last)) = &report.in_doubt {
            write!(
                f,
                "\nNot known: whether the rows that were sent last, from {first} to {last}, were written, all of them or none"
            )?;
        }
        write!(f, "\n{}", totals(report))?;
        for skipped in &report.skipped {
            write!(f, "\nskipped: {} {}: {}", skipped.rows, skipped.collection, skipped.reason)?;
        }
        Ok(())
    }
}

impl Shown<'_> {
    fn list(&self, f: &mut fmt::Formatter<'_>, before: &str, found: &[Fault], what: &str) -> fmt::Result {
        for fault in found.iter().take(self.most) {
            writeln!(f, "{before}{}", one_line(&fault.to_string(), usize::MAX))?;
        }
        more(f, found.len(), self.most, what)
    }
}

fn more(f: &mut fmt::Formatter<'_>, found: usize, most: usize, what: &str) -> fmt::Result {
    if found > most { writeln!(f, "… and {} more {what}: use --full to see all", found - most) } else { Ok(()) }
}

fn value(value: &Value) -> String {
    one_line(&value.to_string(), WIDEST)
}

/// One row for each collection that has any.
fn totals(report: &Report) -> String {
    let skipped =
        |name: &str| report.skipped.iter().filter(|it| it.collection == name).map(|it| it.rows).sum::<usize>();
    let counted: BTreeSet<&str> = report.skipped.iter().map(|it| it.collection).collect();
    let of = |name: &str| {
        let rows = [&report.made, &report.changed, &report.unchanged].map(|rows| rows.get(name).copied());
        let any = rows.iter().any(Option::is_some) || counted.contains(name);
        let cells = rows.map(Option::unwrap_or_default).into_iter().chain([skipped(name)]);
        any.then(|| std::iter::once(name.to_owned()).chain(cells.map(|rows| rows.to_string())).collect::<Vec<_>>())
    };
    let rows: Vec<Vec<String>> = Collection::ALL.into_iter().filter_map(|collection| of(collection.name())).collect();
    let columns = match report.dry_run {
        true => ["rows", "to create", "to change", "unchanged", "skipped"],
        false => ["rows", "created", "changed", "unchanged", "skipped"],
    };
    table(&columns, &rows, usize::MAX)
}

/// The failure of an import or an export.
pub(crate) fn of_plan(error: PlanError) -> Failure {
    match error {
        PlanError::Call(error) => of_call(error),
        other => Failure::new(other.to_string()),
    }
}
