//! The format of the files: one file for each collection, named after it, with the fields of REST as columns.
//!
//! An empty cell is null if the field can be null, and otherwise the field's default. Texts are read unchanged, even if a
//! spreadsheet would treat them as formulas. Numbers, `true` and `false` can have blanks around them. `exceptions` is JSON.

use serde_json::{Number, Value};
use shared::domain::{Collection, json};

/// The files of a plan, in the order in which their rows can be created.
pub(super) const FILES: [Collection; 4] =
    [Collection::Projects, Collection::Calendars, Collection::Tasks, Collection::Dependencies];

pub(super) fn file_name(collection: Collection) -> String {
    format!("{}.csv", collection.name())
}

/// The columns of a file.
pub(super) fn columns(collection: Collection) -> impl Iterator<Item = &'static str> {
    std::iter::once("id").chain(collection.columns().iter().copied())
}

/// The cell for a value that no spreadsheet takes for a formula. A text that looks like a formula begins with an apostrophe.
///
/// Numbers stay as they are. The signs are those that OWASP names.
pub(super) fn cell_for_spreadsheet(value: &Value) -> String {
    let cell = cell(value);
    let formula = value.is_string() && cell.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']);
    if formula { format!("'{cell}") } else { cell }
}

enum Kind {
    Text,
    Integer,
    Number,
    Flag,
    Json,
}

fn kind(column: &str) -> Kind {
    match column {
        "duration"
        | "percent_complete"
        | "optimistic_duration"
        | "most_likely_duration"
        | "pessimistic_duration"
        | "lag"
        | "working_days" => Kind::Integer,
        "hours_per_day" => Kind::Number,
        "is_milestone" => Kind::Flag,
        "exceptions" => Kind::Json,
        _ => Kind::Text,
    }
}

/// The value of an empty cell. `None` leaves the field out.
fn empty(column: &str) -> Option<Value> {
    match column {
        "wbs_path"
        | "planned_start"
        | "assignee"
        | "calendar"
        | "optimistic_duration"
        | "most_likely_duration"
        | "pessimistic_duration" => Some(Value::Null),
        "description" | "notes" => Some(Value::from("")),
        _ => None,
    }
}

/// The value of a cell, or what the cell must be.
pub(super) fn value(column: &str, cell: &str) -> Result<Option<Value>, String> {
    if cell.is_empty() {
        return Ok(empty(column));
    }
    let must_be = |what: &str| format!("must be {what}; it is {cell:?}");
    let value = match kind(column) {
        Kind::Text => Value::from(cell),
        // 5.0 is an integer, as it is in JSON.
        Kind::Integer => {
            let cell = cell.trim();
            let whole = || cell.parse().ok().and_then(json::integer);
            Value::from(cell.parse::<i64>().ok().or_else(whole).ok_or_else(|| must_be("an integer"))?)
        }
        Kind::Number => {
            let number = cell.trim().parse().ok().and_then(Number::from_f64);
            Value::from(number.ok_or_else(|| must_be("a number with a decimal point"))?)
        }
        // Spreadsheets write them like this.
        Kind::Flag => match cell.trim().to_ascii_lowercase().as_str() {
            "true" => Value::from(true),
            "false" => Value::from(false),
            _ => return Err(must_be("true or false")),
        },
        Kind::Json => json::value(cell.as_bytes()).map_err(|error| format!("must be JSON: {error}"))?,
    };
    Ok(Some(value))
}

/// The cell for a value.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::domain::{Calendar, Dependency, Project, Resource, Task, parse};

    use super::*;

    /// A row with every column, as the resource itself would write it.
    fn survives<R: Resource>(fields: Value) {
        let row: R = parse(fields.as_object().expect("an object")).expect("a row");
        let row = serde_json::to_value(row).expect("JSON");
        for column in R::COLLECTION.columns() {
            let text = cell(&row[column]);
            assert_eq!(value(column, &text), Ok(Some(row[column].clone())), "{column}: {text:?}");
        }
    }

    #[test]
    fn each_column_survives_its_cell_with_a_value_and_with_its_default() {
        survives::<Project>(json!({"name": "House", "start_date": "2026-03-02", "calendar": "site"}));
        survives::<Project>(json!({"name": "House", "start_date": "2026-03-02"}));
        survives::<Task>(json!({"name": "=1+1", "wbs_path": "1.2", "notes": " a\r\nb\"c,; ", "assignee": "mia",
            "planned_start": "2026-03-02", "optimistic_duration": 1, "most_likely_duration": 2, "pessimistic_duration": 3}));
        survives::<Task>(json!({"name": "true", "duration": 0, "is_milestone": true}));
        survives::<Dependency>(json!({"predecessor": "a", "successor": "b", "dep_type": "SF", "lag": -3}));
        survives::<Calendar>(json!({"name": "Site", "hours_per_day": 7.25, "exceptions":
            [{"start": "2026-03-02", "end": "2026-03-02", "description": "\"quoted\", and more"}]}));
        survives::<Calendar>(json!({"name": "Site"}));
    }

    #[test]
    fn a_cell_that_says_something_else_is_told_what_it_must_be() {
        assert_eq!(value("duration", "5 days").expect_err("no number"), "must be an integer; it is \"5 days\"");
        for cell in [" 5 ", "5.0", "0.5e1"] {
            assert_eq!(value("duration", cell), Ok(Some(json!(5))), "{cell}");
        }
        for cell in ["5.5", "1e300", "inf", "NaN"] {
            assert!(value("duration", cell).is_err(), "{cell}");
        }
        assert_eq!(value("is_milestone", "TRUE"), Ok(Some(json!(true))));
        assert!(value("is_milestone", "yes").is_err());
        assert!(value("hours_per_day", "7,5").is_err());
        assert!(value("exceptions", "Christmas").is_err());
        assert_eq!(value("duration", ""), Ok(None));
    }
}
