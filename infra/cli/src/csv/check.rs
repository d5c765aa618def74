//! Checks a plan's files before anything is written: each row against the domain's rules, and all rows against each other and
//! against the project.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use shared::domain::{
    Calendar, Collection, Columns, Dependency, Error, Project, RowId, RowKey, Task, find_cycle, merge, parse,
};

use super::contents::Contents;
use super::file::{Fault, Line, by_id};

/// The work of an import.
#[derive(Debug, Default)]
pub(super) struct Work<'a> {
    /// The rows to create, in the order in which they can be created.
    pub(super) missing: Vec<&'a Line>,
    /// The number of rows that already exist with the same content.
    pub(super) there: usize,
    /// Assignees who are not members.
    pub(super) strangers: BTreeSet<String>,
}

/// The work to import these lines. `member` is a member in addition to those in `contents`.
pub(super) fn work<'a>(
    lines: &'a [Line],
    contents: &Contents,
    member: Option<&str>,
    faults: &mut Vec<Fault>,
) -> Work<'a> {
    let ids = by_id(lines, faults);
    let mut work = Work::default();
    let members: Vec<&str> =
        contents.of(Collection::Memberships).filter_map(|(_, row)| row.get("user")?.as_str()).chain(member).collect();
    for line in lines.iter().filter(|line| line.sound) {
        match standing(line, contents) {
            Err(found) => faults.extend(found),
            Ok(true) => work.there += 1,
            Ok(false) => {
                if let Some(user) = text(line, "assignee").filter(|user| !members.contains(user)) {
                    work.strangers.insert(user.to_owned());
                }
                faults.extend(dangling(line, &ids, contents));
                work.missing.push(line);
            }
        }
    }
    faults.extend(edges(&work.missing, contents));
    work
}

/// Whether the row already exists with the same content. A new row must obey the rules of its collection.
fn standing(line: &Line, contents: &Contents) -> Result<bool, Vec<Fault>> {
    let key = RowKey::new(line.collection, line.id.clone());
    if contents.dead.contains(&key) {
        let message =
            format!("{} was deleted in this project, and a deleted id cannot be used again; use another id", line.id);
        return Err(vec![line.fault(Some("id"), message)]);
    }
    let Some(there) = contents.rows.get(&key) else {
        resource(line.collection, &line.fields).map_err(|error| in_columns(line, error))?;
        return Ok(false);
    };
    let now = resource(line.collection, there).unwrap_or_default();
    let asked = resource(line.collection, &merge(there, &line.fields)).map_err(|error| in_columns(line, error))?;
    let differs = |column: &&&str| {
        // A project is given its calendar last.
        now[**column] != asked[**column]
            && !(line.collection == Collection::Projects && **column == "calendar" && now[**column].is_null())
    };
    match line.collection.columns().iter().find(differs) {
        None => Ok(true),
        Some(column) => {
            let message = format!(
                "{} already exists in the project, with {} here; an import never changes rows: remove the line, or use \
                 another id",
                line.id, now[*column]
            );
            Err(vec![line.fault(Some(column), message)])
        }
    }
}

/// The whole row with its defaults, or the rules that it breaks.
fn resource(collection: Collection, fields: &Columns) -> Result<Value, Error> {
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
    json.map_err(|error| Error::Corrupt(error.to_string()))
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
        let Some(id) = text(line, column).and_then(|id| id.parse::<RowId>().ok()) else { continue };
        let there =
            ids.contains_key(&(collection, &id)) || contents.rows.contains_key(&RowKey::new(collection, id.clone()));
        if !there {
            let message = format!("{what} {id} does not exist in {}.csv or in the project", collection.name());
            faults.push(line.fault(Some(column), message));
        }
    }
    faults
}

/// Faults of dependencies that duplicate another one or create a cycle.
fn edges(missing: &[&Line], contents: &Contents) -> Vec<Fault> {
    let new = missing.iter().filter(|line| line.collection == Collection::Dependencies);
    let new = new.filter_map(|line| Some((parse::<Dependency>(&line.fields).ok()?, *line)));
    let new: Vec<(Dependency, &Line)> = new.collect();
    let old = contents.of(Collection::Dependencies).filter_map(|(id, row)| Some((parse::<Dependency>(row).ok()?, id)));
    let old: Vec<(Dependency, &RowId)> = old.collect();
    let mut faults = Vec::new();
    let ties = |edge: &Dependency| (edge.predecessor.clone(), edge.successor.clone(), format!("{:?}", edge.dep_type));
    let mut seen: HashMap<_, String> =
        old.iter().map(|(edge, id)| (ties(edge), format!("{id} in the project"))).collect();
    for (edge, line) in &new {
        let here = format!("line {}", line.number);
        if let Some(first) = seen.insert(ties(edge), here) {
            let message = format!("links the same tasks with the same type as {first}");
            faults.push(line.fault(Some("successor"), message));
        }
    }
    let ends = new.iter().map(|(edge, _)| edge).chain(old.iter().map(|(edge, _)| edge));
    let Some(tasks) = find_cycle(ends.map(|edge| (&edge.predecessor, &edge.successor)).collect()) else {
        return faults;
    };
    // The project has no cycle of its own, so at least one line is on it.
    let on_it = |edge: &Dependency| {
        let at = tasks.iter().position(|task| *task == edge.predecessor);
        at.is_some_and(|at| tasks[(at + 1) % tasks.len()] == edge.successor)
    };
    if let Some((_, line)) = new.iter().rfind(|(edge, _)| on_it(edge)) {
        let way: Vec<&str> = tasks.iter().chain(tasks.first()).map(RowId::as_str).collect();
        faults.push(line.fault(Some("successor"), format!("creates a cycle: {}", way.join(" → "))));
    }
    faults
}

pub(super) fn text<'a>(line: &'a Line, column: &str) -> Option<&'a str> {
    line.fields.get(column)?.as_str()
}
