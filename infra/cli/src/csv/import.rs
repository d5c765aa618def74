//! Imports a plan's files into a project over REST.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use axum::http::Method;
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::{Value, json};
use shared::domain::{Collection, ProjectId, Role};
use shared::storage::MAX_ROWS;

use super::PlanError;
use super::check::{Work, in_column, text, work};
use super::contents::{self, Contents};
use super::file::{Fault, Line, read};
use super::format::{FILES, file_name};
use crate::client::{CallError, Client};

/// The approximate size of a batch in bytes. The server accepts 2 MB, and writes at most 4 MB.
const BYTES: usize = 1_500_000;
/// The maximum number of faults in the output for people.
const SHOWN: usize = 20;

/// The options of an import.
#[derive(Debug, Clone)]
pub struct Import {
    /// The directory with the files. At least one must exist.
    pub directory: PathBuf,
    /// The project to import into. The default is the project in projects.csv.
    pub project: Option<ProjectId>,
    /// Add assignees who are not members yet as Members.
    pub add_members: bool,
    /// Check the files and write nothing.
    pub dry_run: bool,
}

/// The result of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The project.
    pub project: String,
    /// Whether nothing was written because of `--dry-run`.
    pub dry_run: bool,
    /// The number of rows that were created, or would be, by collection.
    pub made: BTreeMap<&'static str, usize>,
    /// The number of rows that already existed.
    pub there: usize,
    /// The faults in the files. If there are any, nothing was written, except when only the server found them: then rows
    /// before the fault, in the order of the import, may have been created.
    pub faults: Vec<Fault>,
}

impl Report {
    /// The exit status of the command: 0, or 1 if the files have faults.
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.faults.is_empty())
    }

    fn add(&mut self, collection: Collection) {
        *self.made.entry(collection.name()).or_default() += 1;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in self.faults.iter().take(SHOWN) {
            writeln!(f, "{fault}")?;
        }
        if self.faults.len() > SHOWN {
            writeln!(f, "… and {} more", self.faults.len() - SHOWN)?;
        }
        let made: Vec<String> = self.made.iter().map(|(name, rows)| format!("{rows} {name}")).collect();
        let made = if made.is_empty() { "nothing".to_owned() } else { made.join(", ") };
        let (project, there) = (&self.project, self.there);
        let faults = match self.faults.len() {
            1 => "1 problem".to_owned(),
            faults => format!("{faults} problems"),
        };
        match (self.faults.len(), self.dry_run) {
            (0, false) => write!(f, "project {project}: created {made}; {there} rows already existed"),
            (0, true) => write!(f, "project {project}: would create {made}; {there} rows already exist"),
            _ if self.made.is_empty() => write!(f, "project {project}: {faults}, NOTHING WAS WRITTEN"),
            _ => write!(
                f,
                "project {project}: {faults}; created {made} before that. Correct the files and run the import again; it continues"
            ),
        }
    }
}

/// Checks all files, then creates the missing rows: the project, calendars, tasks and dependencies, in atomic batches.
///
/// Rows are identified by id. So an import that was interrupted continues when it is run again, and a repeated import creates
/// nothing.
pub async fn import(client: &Client, import: &Import, progress: &ProgressBar) -> Result<Report, PlanError> {
    let mut report = Report { dry_run: import.dry_run, ..Report::default() };
    let lines = lines(&import.directory, &mut report.faults)?;
    let of_projects: Vec<&Line> = lines.iter().filter(|line| line.collection == Collection::Projects).collect();
    if let [_, second, ..] = of_projects[..] {
        report.faults.push(second.fault(None, "is a second project; projects.csv must have only one"));
    }
    let named = of_projects.first().and_then(|line| line.id.as_str().parse().ok());
    let Some(project) = import.project.clone().or(named) else {
        if !report.faults.is_empty() {
            return Ok(report);
        }
        let asked = "no project given: pass its id with --project, or add projects.csv";
        return Err(PlanError::Asked(asked.to_owned()));
    };
    report.project = project.to_string();
    let lines: Vec<Line> = lines.into_iter().map(|line| in_project(line, &project)).collect();

    let user = client.user();
    let (contents, new) = match contents::read(client, &project).await {
        Ok(contents) => (contents, false),
        Err(error) if error.code() == Some("not_a_member") => (Contents::default(), true),
        Err(error) => return Err(error.into()),
    };
    if new && of_projects_in(&lines).is_none() {
        if !report.faults.is_empty() {
            return Ok(report);
        }
        let asked = format!(
            "project {project} does not exist, or you are not a member; to create it, add projects.csv with the columns id and name"
        );
        return Err(PlanError::Asked(asked));
    }
    let member = user.as_deref().filter(|_| new);
    let todo = work(&lines, &contents, member, &mut report.faults);
    if !import.add_members {
        report.faults.extend(strangers(&todo));
    }
    report.there = todo.there;
    if !report.faults.is_empty() {
        return Ok(report);
    }
    if import.dry_run {
        todo.missing.iter().for_each(|line| report.add(line.collection));
        return Ok(report);
    }
    let calendar = of_projects_in(&lines).and_then(|line| text(line, "calendar")).map(str::to_owned);
    let calendar = calendar.filter(|id| project_calendar(&contents) != Some(id.as_str()));
    let mut writer = Writer { client, project: &project, report, progress };
    writer.write(&todo, calendar.as_deref(), &lines).await?;
    progress.finish_and_clear();
    Ok(writer.report)
}

/// The lines of all files, in the order in which their rows can be created.
fn lines(directory: &Path, faults: &mut Vec<Fault>) -> Result<Vec<Line>, PlanError> {
    let (mut found, mut files) = (Vec::new(), 0);
    // An error if the directory does not exist.
    std::fs::read_dir(directory).map_err(PlanError::file(directory))?;
    for collection in FILES {
        let path = directory.join(file_name(collection));
        match std::fs::read(&path) {
            Ok(bytes) => {
                found.extend(read(collection, &bytes, faults));
                files += 1;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(PlanError::file(&path)(error)),
        }
    }
    if files == 0 {
        let names = FILES.map(file_name).join(", ");
        return Err(PlanError::Asked(format!("{} has none of the files {names}", directory.display())));
    }
    Ok(found)
}

/// Gives the project's row the id of the project that is imported into.
fn in_project(line: Line, project: &ProjectId) -> Line {
    if line.collection == Collection::Projects { Line { id: project.row_id(), ..line } } else { line }
}

fn of_projects_in(lines: &[Line]) -> Option<&Line> {
    lines.iter().find(|line| line.collection == Collection::Projects)
}

fn project_calendar(contents: &Contents) -> Option<&str> {
    contents.of(Collection::Projects).find_map(|(_, row)| row.get("calendar")?.as_str())
}

fn strangers(todo: &Work<'_>) -> Vec<Fault> {
    let of_stranger = |line: &&&Line| text(line, "assignee").is_some_and(|user| todo.strangers.contains(user));
    let fault = |line: &&Line| {
        let message = "is not a member of the project; use --add-members to add them";
        line.fault(Some("assignee"), format!("{} {message}", text(line, "assignee").unwrap_or_default()))
    };
    todo.missing.iter().filter(of_stranger).map(fault).collect()
}

struct Writer<'a> {
    client: &'a Client,
    project: &'a ProjectId,
    report: Report,
    progress: &'a ProgressBar,
}

impl Writer<'_> {
    /// Creates all rows, or stops at the first line that the server refuses, which becomes a fault.
    async fn write(&mut self, todo: &Work<'_>, calendar: Option<&str>, lines: &[Line]) -> Result<(), PlanError> {
        self.progress.set_length(todo.missing.len() as u64);
        let (projects, rows): (Vec<&Line>, Vec<&Line>) =
            todo.missing.iter().partition(|line| line.collection == Collection::Projects);
        let of_project = of_projects_in(lines);
        for line in projects {
            let mut body = body(line);
            // It names a row that is not there yet.
            body.as_object_mut().map(|fields| fields.remove("calendar"));
            let made = self.client.send(Method::POST, "/api/v1/projects/", Some(&body)).await;
            if !self.made(made.map(drop), &[line])? {
                return Ok(());
            }
        }
        for user in &todo.strangers {
            let path = format!("/api/v1/projects/{}/memberships/", self.project);
            let member = json!({"user": user, "role": i64::from(Role::Member)});
            self.client.send(Method::POST, &path, Some(&member)).await?;
            self.report.add(Collection::Memberships);
        }
        let path = format!("/api/v1/projects/{}/batch/", self.project);
        for batch in batches(&rows) {
            let operations: Vec<Value> = batch.iter().map(|(_, operation)| operation.clone()).collect();
            let lines: Vec<&Line> = batch.iter().map(|(line, _)| *line).collect();
            let made = self.client.send(Method::POST, &path, Some(&json!({"operations": operations}))).await;
            if !self.made(made.map(drop), &lines)? {
                return Ok(());
            }
        }
        if let (Some(calendar), Some(line)) = (calendar, of_project) {
            let path = format!("/api/v1/projects/{}/", self.project);
            let made = self.client.send(Method::PATCH, &path, Some(&json!({"calendar": calendar}))).await;
            if let Err(error) = made {
                self.refused(error, &[line])?;
            }
        }
        Ok(())
    }

    /// Counts created rows. A refusal becomes a fault, and `false` ends the import.
    fn made(&mut self, sent: Result<(), CallError>, lines: &[&Line]) -> Result<bool, PlanError> {
        match sent {
            Ok(()) => {
                lines.iter().for_each(|line| self.report.add(line.collection));
                self.progress.inc(lines.len() as u64);
                Ok(true)
            }
            Err(error) => self.refused(error, lines).map(|()| false),
        }
    }

    fn refused(&mut self, error: CallError, lines: &[&Line]) -> Result<(), PlanError> {
        let CallError::Refused { status, problem, .. } = &error else { return Err(error.into()) };
        let operation = problem["operation"].as_u64().and_then(|index| lines.get(usize::try_from(index).ok()?));
        // One line alone is what the whole request was about.
        let line = operation.or(lines.first().filter(|_| lines.len() == 1));
        let Some(line) = line.filter(|_| status.is_client_error()) else { return Err(error.into()) };
        let found: Vec<Fault> = problem["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|error| {
                let field = error["field"].as_str().unwrap_or_default();
                let field = field.split_once("].body.").map_or(field, |(_, field)| field);
                in_column(line, field, error["message"].as_str().unwrap_or_default())
            })
            .collect();
        let detail = problem["detail"].as_str().unwrap_or_default();
        // Its number in the batch says nothing here.
        let detail =
            detail.strip_prefix("Operation ").and_then(|rest| rest.split_once(": ")).map_or(detail, |(_, it)| it);
        let code = problem["code"].as_str().unwrap_or_default();
        match found.is_empty() {
            true => self.report.faults.push(line.fault(None, format!("refused by the server ({code}): {detail}"))),
            false => self.report.faults.extend(found),
        }
        Ok(())
    }
}

fn body(line: &Line) -> Value {
    let mut body = line.fields.clone();
    body.insert("id".to_owned(), line.id.as_str().into());
    Value::Object(body)
}

/// The lines as operations, in batches that the server accepts.
fn batches<'a>(lines: &[&'a Line]) -> Vec<Vec<(&'a Line, Value)>> {
    let operations = lines.iter().map(|line| {
        let operation = json!({"method": "POST", "path": format!("{}/", line.collection.name()), "body": body(line)});
        (operation.to_string().len(), (*line, operation))
    });
    ops::batches(operations, MAX_ROWS, BYTES)
}
