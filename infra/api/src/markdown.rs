//! Makes tables for the pages in infra/docs.

use std::error::Error as AnyError;
use std::fmt::Write;

use serde_json::Value;
use shared::domain::{Collection, Error, Role};

use super::columns::{self, Column, Kind};
use super::problems;
use super::rows::writer;

/// The table of the fields of each collection: type, default and description.
pub fn columns() -> Result<String, Error> {
    let mut table =
        "| collection | field | type | default | what it is |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for collection in Collection::ALL {
        let defaults = columns::defaults(collection)?;
        for column in columns::columns(collection) {
            let default = match defaults.get(column.name) {
                Some(default) => format!("`{default}`"),
                None if columns::required(collection).contains(&column.name) => "required".to_owned(),
                None => "today (UTC)".to_owned(),
            };
            let (name, kind, about) = (column.name, kind(&column), column.about);
            let _ = writeln!(table, "| {} | `{name}` | {kind} | {default} | {about} |", collection.name());
        }
    }
    Ok(table)
}

/// The type of a column, in words.
fn kind(column: &Column) -> String {
    let kind = match column.kind {
        Kind::Text { min: 0, max } => format!("text, at most {max} characters"),
        Kind::Text { min, max } => format!("text, {min} to {max} characters"),
        Kind::Id => "id".to_owned(),
        Kind::User => "user id".to_owned(),
        Kind::Date => "date, YYYY-MM-DD".to_owned(),
        Kind::OutlinePath => "outline path".to_owned(),
        Kind::Integer { min, max } => format!("integer, {min} to {max}"),
        Kind::Hours => "number above 0, at most 24".to_owned(),
        Kind::Boolean => "true or false".to_owned(),
        Kind::OneOf(values) => values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", "),
        Kind::Role => "role".to_owned(),
        Kind::TimeZone => "time zone".to_owned(),
        Kind::Exceptions => "array of `{start, end, description}`; in a pull its JSON text".to_owned(),
    };
    if column.nullable { format!("{kind}, or null") } else { kind }
}

/// The table of what each role may do, with the lowest role first.
pub fn roles() -> String {
    let actions = [
        ("read, sync, leave the project", Role::Viewer),
        ("create, change and delete tasks", writer(Collection::Tasks)),
        ("create, change and delete dependencies", writer(Collection::Dependencies)),
        (
            "create, change and delete calendars, change the project, manage memberships below one's own role",
            writer(Collection::Calendars),
        ),
        ("delete the project, manage every role", Role::Owner),
    ];
    let rows = actions.map(|(action, role)| format!("| {action} | {role:?} |\n"));
    format!("| action | lowest role |\n| --- | --- |\n{}", rows.concat())
}

/// The table of every status and code of a problem, with its title and the detail of an example.
pub fn problems() -> Result<String, Box<dyn AnyError + Send + Sync>> {
    let mut rows = Vec::new();
    for problem in problems::all()? {
        let text = |name: &str| problem.body.get(name).and_then(Value::as_str).unwrap_or_default().replace('|', "\\|");
        rows.push((problem.status, problem.code.clone(), text("title"), text("detail")));
    }
    rows.sort();
    rows.dedup_by(|one, other| (one.0, &one.1) == (other.0, &other.1));
    let mut table = "| status | `code` | title | detail of an example |\n| --- | --- | --- | --- |\n".to_owned();
    for (status, code, title, detail) in rows {
        let _ = writeln!(table, "| {status} | `{code}` | {title} | {detail} |");
    }
    Ok(table)
}
