//! Imports a plan's files into a project over REST.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use serde_json::Value;
use shared::domain::{Collection, Membership, ProjectId, Role, parse};

use super::PlanError;
use super::check::{Work, Write, work};
use super::contents::{self, Contents};
use super::fault::{Fault, Findings};
use super::file::read;
use super::format::{FILES, file_name};
use super::hurts::warnings;
use super::line::{Line, by_ties};
use super::mspdi;
use super::names::unknown_files;
use super::report::{Change, Report, Skipped};
use super::users::Users;
use super::write::Writer;
use crate::client::{CallError, Client};

/// The options of an import.
#[derive(Debug, Clone)]
pub struct Import {
    /// The directory with the CSV files, at least one of which must exist, or an XML file of MS Project.
    pub path: PathBuf,
    /// The project to import into. The default is the project in projects.csv, or the name of the XML file.
    pub project: Option<ProjectId>,
    /// Change rows that differ.
    pub update: bool,
    /// Add assignees who are not members yet as Members.
    pub add_members: bool,
    /// The CSV file that maps the resources of an XML file to users.
    pub map_users: Option<PathBuf>,
    /// Whether the import does everything except write.
    pub dry_run: bool,
}

/// Checks all files, then writes the missing rows: the project, calendars, tasks and dependencies, in atomic batches.
///
/// Rows are identified by id. So an import that was interrupted continues when it is run again, and a repeated import writes nothing. A
/// dry run does the same and writes nothing.
pub async fn import(client: &Client, import: &Import, progress: &ProgressBar) -> Result<Report, PlanError> {
    let mut findings = Findings::default();
    let xml = is_xml(&import.path);
    let lines = match xml {
        true => {
            let users = import.map_users.as_deref().map(|file| Users::read(file, &mut findings)).transpose()?;
            mspdi::read(&import.path, &users.unwrap_or_default(), &mut findings)?
        }
        false if import.map_users.is_some() => {
            let asked = "--map-users is for an XML file; CSV files name the user in the column assignee";
            return Err(PlanError::Asked(asked.to_owned()));
        }
        false => lines(&import.path, &mut findings)?,
    };
    let mut report = Report { dry_run: import.dry_run, ..Report::default() };
    let of_projects: Vec<&Line> = lines.iter().filter(|line| line.collection == Collection::Projects).collect();
    if let [_, second, ..] = of_projects[..] {
        findings.faults.push(second.fault(None, "is a second project; projects.csv must have only one"));
    }
    let named = of_projects.first().and_then(|line| line.id.as_str().parse().ok());
    let Some(project) = import.project.clone().or(named) else {
        if !findings.faults.is_empty() {
            return Ok(with(report, findings));
        }
        let asked = "no project given: pass its id with --project, or add projects.csv";
        return Err(PlanError::Asked(asked.to_owned()));
    };
    report.project = project.to_string();
    if findings.unreadable {
        return Ok(with(report, findings));
    }
    let (contents, new) = match contents::read(client, &project).await {
        Ok(contents) => (contents, false),
        Err(error) if error.code() == Some("not_a_member") => (Contents::default(), true),
        Err(error) => return Err(error.into()),
    };
    if new && !lines.iter().any(|line| line.collection == Collection::Projects) {
        if !findings.faults.is_empty() {
            return Ok(with(report, findings));
        }
        let asked = format!(
            "project {project} does not exist, or you are not a member; to create it, add projects.csv with the columns id and name"
        );
        return Err(PlanError::Asked(asked));
    }
    let edges = by_ties(&contents, &lines);
    let lines: Vec<Line> =
        lines.into_iter().map(|line| in_project(line, &project).found_in(&contents, &edges)).collect();
    let lines = if xml { mspdi::calendars_by_name(lines, &contents) } else { lines };
    let user = client.user();
    let work = work(&lines, &contents, user.as_deref().filter(|_| new), import.update, &mut findings.faults);
    if !import.add_members {
        findings.faults.extend(strangers(&work));
    }
    if let Some(user) = user.filter(|_| !new) {
        findings.faults.extend(role_too_low(&lines, &work, &contents, &user));
    }
    if findings.faults.is_empty() {
        findings.warnings.extend(warnings(&lines, &work.steps, &contents));
    }
    report.changes = changes(&work);
    report.unchanged.clone_from(&work.unchanged);
    let mut report = with(report, findings);
    if !report.faults.is_empty() {
        return Ok(report);
    }
    if import.dry_run {
        for step in &work.steps {
            report.add(step.line.collection, step.write == Write::Create);
        }
        work.strangers.iter().for_each(|_| report.add(Collection::Memberships, true));
        return Ok(report);
    }
    let mut writer = Writer { client, project: &project, report, progress, written: HashSet::new() };
    writer.write(&work).await;
    Ok(writer.report)
}

/// Whether a path is that of an XML file.
pub fn is_xml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("xml"))
}

fn with(report: Report, findings: Findings) -> Report {
    let Findings { faults, warnings, left_out, skipped, unreadable } = findings;
    let skipped =
        skipped.into_iter().map(|((collection, reason), rows)| Skipped { collection, rows, reason }).collect();
    Report { faults, warnings, left_out, skipped, unreadable, ..report }
}

/// The lines of all files, in the order in which their rows can be created.
fn lines(directory: &Path, findings: &mut Findings) -> Result<Vec<Line>, PlanError> {
    if directory.is_file() {
        let asked = format!("{} is neither a directory with CSV files nor an .xml file", directory.display());
        return Err(PlanError::Asked(format!("{asked}; pass the directory, or save the plan as XML")));
    }
    let (mut found, mut files) = (Vec::new(), 0);
    unknown_files(directory, findings)?;
    for collection in FILES {
        let path = directory.join(file_name(collection));
        match std::fs::read(&path) {
            Ok(bytes) => {
                found.extend(read(collection, &bytes, findings));
                files += 1;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(PlanError::file(&path)(error)),
        }
    }
    if files == 0 && findings.faults.is_empty() {
        let names = FILES.map(file_name).join(", ");
        return Err(PlanError::Asked(format!("{} has none of the files {names}", directory.display())));
    }
    Ok(found)
}

/// Gives the project's row the id of the project that is imported into.
fn in_project(line: Line, project: &ProjectId) -> Line {
    if line.collection == Collection::Projects { Line { id: project.row_id(), ..line } } else { line }
}

fn strangers(work: &Work<'_>) -> Vec<Fault> {
    let lines = work.steps.iter().map(|step| step.line);
    let of_stranger = |line: &&Line| line.text("assignee").is_some_and(|user| work.strangers.contains(user));
    let fault = |line: &Line| {
        let message = "is not a member of the project; use --add-members to add them";
        line.fault(Some("assignee"), format!("{} {message}", line.text("assignee").unwrap_or_default()))
    };
    lines.filter(of_stranger).map(fault).collect()
}

/// A fault for each collection that the caller's role is too low to write, at the first row.
fn role_too_low(lines: &[Line], work: &Work<'_>, contents: &Contents, user: &str) -> Vec<Fault> {
    let memberships = contents.of(Collection::Memberships).filter_map(|(_, row)| parse::<Membership>(row).ok());
    let Some(role) = memberships.filter(|membership| membership.user.as_str() == user).map(|it| it.role).next() else {
        return vec![];
    };
    let number = |role: Role| format!("{role:?} ({})", i64::from(role));
    let message = |what: &str, needed: Role| {
        format!(
            "writing {what} needs the role {}, but {user} is {}; ask an admin of the project",
            number(needed),
            number(role)
        )
    };
    let mut first: HashMap<Collection, &Line> = HashMap::new();
    let mut faults = Vec::new();
    for step in &work.steps {
        let needed = api::writer(step.line.collection);
        if role < needed && first.insert(step.line.collection, step.line).is_none() {
            faults.push(step.line.fault(None, message(step.line.collection.name(), needed)));
        }
    }
    let needed = api::writer(Collection::Memberships);
    if role < needed && !work.strangers.is_empty() {
        let added = Fault {
            file: "--add-members".to_owned(),
            line: None,
            column: None,
            message: message("memberships", needed),
        };
        faults.push(added);
    }
    let project = lines.iter().find(|line| line.collection == Collection::Projects);
    if let Some(line) =
        project.filter(|_| role < needed && work.calendar.is_some() && !first.contains_key(&Collection::Projects))
    {
        faults.push(line.fault(Some("calendar"), message("the project's calendar", needed)));
    }
    faults
}

fn changes(work: &Work<'_>) -> Vec<Change> {
    let of_step = |step: &super::check::Step<'_>| -> Vec<Change> {
        let Write::Change { before, after, .. } = &step.write else { return vec![] };
        let change = |(column, after): (&String, &Value)| Change {
            at: format!("{}:{}", step.line.file, step.line.number),
            collection: step.line.collection.name(),
            id: step.line.id.to_string(),
            column: column.clone(),
            before: before.get(column).cloned().unwrap_or_default(),
            after: after.clone(),
        };
        after.iter().map(change).collect()
    };
    work.steps.iter().flat_map(of_step).collect()
}

impl PlanError {
    /// Whether the server was not reached.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Call(CallError::Unreachable { .. }))
    }
}
