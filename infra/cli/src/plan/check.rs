//! Checks a plan's files before anything is written: each row against the domain's rules, and all rows against each other and
//! against the project.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use shared::domain::{Calendar, Collection, Columns, Dependency, Error, Project, RowId, RowKey, Task, merge, parse};

use super::contents::Contents;
use super::edges;
use super::fault::Fault;
use super::line::{Line, by_id};

/// A row to write.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) line: &'a Line,
    /// Its place among the rows to write, in the order of the files.
    pub(super) place: usize,
    pub(super) write: Write,
    /// The whole row as it will be.
    pub(super) row: Columns,
}

/// The change to a row.
#[derive(Debug, PartialEq)]
pub(super) enum Write {
    Create,
    /// The row exists at version `base`, and these columns get other values.
    Change {
        base: u64,
        before: Columns,
        after: Columns,
    },
}

/// The work of an import.
#[derive(Debug, Default)]
pub(super) struct Work<'a> {
    /// The rows to write, in the order in which they can be written.
    pub(super) steps: Vec<Step<'a>>,
    /// The number of rows that already exist with the same content, by collection.
    pub(super) unchanged: BTreeMap<&'static str, usize>,
    /// The project's calendar, which is set when the calendar exists.
    pub(super) calendar: Option<Value>,
    /// Assignees who are not members.
    pub(super) strangers: BTreeSet<String>,
}

/// The work to import these lines. `member` is a member in addition to those in `contents`. Rows that differ are changed if `update`
/// is true, and faults otherwise.
pub(super) fn work<'a>(
    lines: &'a [Line],
    contents: &Contents,
    member: Option<&str>,
    update: bool,
    faults: &mut Vec<Fault>,
) -> Work<'a> {
    let ids = by_id(lines, faults);
    let mut work = Work::default();
    let members: Vec<&str> =
        contents.of(Collection::Memberships).filter_map(|(_, row)| row.get("user")?.as_str()).chain(member).collect();
    for line in lines.iter().filter(|line| line.sound) {
        let step = match step(line, contents, update, &mut work.calendar) {
            Err(found) => {
                faults.extend(found);
                continue;
            }
            Ok(None) => {
                *work.unchanged.entry(line.collection.name()).or_default() += 1;
                continue;
            }
            Ok(Some((write, row))) => Step { line, place: work.steps.len(), write, row },
        };
        let names_assignee = match &step.write {
            Write::Create => true,
            Write::Change { after, .. } => after.contains_key("assignee"),
        };
        if let Some(user) = line.text("assignee").filter(|user| names_assignee && !members.contains(user)) {
            work.strangers.insert(user.to_owned());
        }
        faults.extend(dangling(line, &ids, contents));
        work.steps.push(step);
    }
    faults.extend(in_order(&mut work.steps, contents));
    work
}

/// Puts the dependencies into the order in which the server accepts them, or returns the faults because of which there is none.
fn in_order(steps: &mut [Step<'_>], contents: &Contents) -> Vec<Fault> {
    let edges = steps.iter().filter(|step| step.line.collection == Collection::Dependencies);
    let edges = edges.filter_map(|step| Some((parse::<Dependency>(&step.row).ok()?, step)));
    let (edges, places): (Vec<_>, Vec<_>) = edges.map(|(edge, step)| ((edge, step.line), step.place)).unzip();
    match edges::order(&edges, contents) {
        Err(faults) => faults,
        Ok(order) => {
            let turns: HashMap<usize, usize> =
                order.iter().enumerate().map(|(turn, index)| (places[*index], turn)).collect();
            // All other rows come first, as they do in the files.
            steps.sort_by_key(|step| turns.get(&step.place).map_or((0, step.place), |turn| (1, *turn)));
            vec![]
        }
    }
}

/// The change for a line and the whole row as it will be, or none if the row exists with the same content. A new row must obey the
/// rules of its collection. The calendar of a project goes to `calendar`.
fn step(
    line: &Line,
    contents: &Contents,
    update: bool,
    calendar: &mut Option<Value>,
) -> Result<Option<(Write, Columns)>, Vec<Fault>> {
    let key = line.key();
    if contents.dead.contains(&key) {
        let message =
            format!("{} was deleted in this project, and a deleted id cannot be used again; use another id", line.id);
        return Err(vec![line.fault(Some("id"), message)]);
    }
    let of_project = line.collection == Collection::Projects;
    let Some(there) = contents.rows.get(&key) else {
        let mut fields = line.initial.clone();
        fields.extend(line.fields.clone());
        let row = resource(line.collection, &fields).map_err(|error| in_columns(line, error))?;
        if of_project {
            *calendar = line.fields.get("calendar").filter(|calendar| !calendar.is_null()).cloned();
        }
        return Ok(Some((Write::Create, row)));
    };
    let now = resource(line.collection, there).unwrap_or_default();
    let fields = match line.collection {
        Collection::Tasks => Task::infer_milestone(line.fields.clone()),
        _ => line.fields.clone(),
    };
    let row = resource(line.collection, &merge(there, &fields)).map_err(|error| in_columns(line, error))?;
    let (mut before, mut after) = (Columns::new(), Columns::new());
    for column in line.collection.columns() {
        let (was, is) = (now.get(*column).unwrap_or(&Value::Null), row.get(*column).unwrap_or(&Value::Null));
        if was == is {
            continue;
        }
        // A project gets its calendar last. An import that continues an interrupted one may still have to set it.
        let goes_on = of_project && *column == "calendar" && was.is_null();
        if goes_on {
            *calendar = Some(is.clone());
        }
        if !update && !goes_on {
            let message = format!(
                "{} already exists in the project, with {was} here; use --update to change it to {is}, remove the line, or use \
                 another id",
                line.id
            );
            return Err(vec![line.fault(Some(column), message)]);
        }
        if update {
            before.insert((*column).to_owned(), was.clone());
            after.insert((*column).to_owned(), is.clone());
        }
    }
    if after.is_empty() {
        return Ok(None);
    }
    if of_project && let Some(is) = after.get("calendar") {
        *calendar = Some(is.clone());
    }
    let base = contents.versions.get(&key).copied().unwrap_or_default();
    Ok(Some((Write::Change { base, before, after }, row)))
}

/// The whole row with its defaults, or the rules that it breaks.
fn resource(collection: Collection, fields: &Columns) -> Result<Columns, Error> {
    let json = match collection {
        Collection::Projects => {
            let mut fields = fields.clone();
            // The server's default is today.
            fields.entry("start_date").or_insert_with(|| Value::from("2000-01-01"));
            serde_json::to_value(parse::<Project>(&fields)?)
        }
        Collection::Calendars => serde_json::to_value(parse::<Calendar>(fields)?),
        Collection::Tasks => serde_json::to_value(parse::<Task>(&Task::infer_milestone(fields.clone()))?),
        Collection::Dependencies => serde_json::to_value(parse::<Dependency>(fields)?),
        Collection::Memberships => Ok(Value::Object(fields.clone())),
    };
    match json {
        Ok(Value::Object(columns)) => Ok(columns),
        Ok(other) => Err(Error::Corrupt(other.to_string())),
        Err(error) => Err(Error::Corrupt(error.to_string())),
    }
}

/// The domain's error as faults in the columns of a line.
pub(super) fn in_columns(line: &Line, error: Error) -> Vec<Fault> {
    match error {
        Error::Invalid(errors) => errors.iter().map(|error| in_column(line, &error.field, &error.message)).collect(),
        other => vec![line.fault(None, other.to_string())],
    }
}

/// A fault in a column. The field can be a path into the column: `exceptions[0].end`.
pub(super) fn in_column(line: &Line, field: &str, message: &str) -> Fault {
    let column = field.split(['[', '.']).next().unwrap_or(field);
    if column == field {
        line.fault(Some(column), message)
    } else {
        line.fault(Some(column), format!("{field} {message}"))
    }
}

/// Faults in columns that name rows which neither the files nor the project have.
fn dangling(line: &Line, ids: &HashMap<(Collection, &RowId), &Line>, contents: &Contents) -> Vec<Fault> {
    let references = [
        ("predecessor", Collection::Tasks, "task"),
        ("successor", Collection::Tasks, "task"),
        ("calendar", Collection::Calendars, "calendar"),
    ];
    let mut faults = Vec::new();
    for (column, collection, what) in references {
        let Some(id) = line.text(column).and_then(|id| id.parse::<RowId>().ok()) else { continue };
        let there =
            ids.contains_key(&(collection, &id)) || contents.rows.contains_key(&RowKey::new(collection, id.clone()));
        if !there {
            // A file of another program contains all collections.
            let csv = line.file.ends_with(".csv");
            let file = if csv { format!("{}.csv", collection.name()) } else { line.file.to_string() };
            faults.push(line.fault(Some(column), format!("{what} {id} does not exist in {file} or in the project")));
        }
    }
    faults
}
