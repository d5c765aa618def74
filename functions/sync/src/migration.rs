//! What a new version of the app lacks: the migration that WatermelonDB hands to the first pull after an update.

use std::fmt::Display;

use serde::Deserialize;
use serde_json::Value;
use shared::domain::{Collection, json};
use shared::http::{Params, Problem};

/// WatermelonDB's `migration`: what was added to the app's schema since the device's last pull.
#[derive(Deserialize)]
struct Migration {
    #[serde(default)]
    tables: Vec<String>,
    #[serde(default)]
    columns: Vec<AddedColumns>,
}

#[derive(Deserialize)]
struct AddedColumns {
    table: String,
    columns: Vec<String>,
}

impl Migration {
    fn adds_something_served(&self) -> bool {
        let is_served = |added: &AddedColumns| {
            let table: Option<Collection> = added.table.parse().ok();
            table.is_some_and(|table| added.columns.iter().any(|column| table.sends(column)))
        };
        self.tables.iter().any(|table| table.parse::<Collection>().is_ok()) || self.columns.iter().any(is_served)
    }
}

/// Does the device lack something that is in rows it holds already, and so needs all of them again?
///
/// True when the parameter `migration` names a collection or a column of one that a pull sends. Names that are not known
/// here are tables and columns of the app's own. Sent once: WatermelonDB sends it until a pull has succeeded.
pub(crate) fn needs_everything(params: &Params) -> Result<bool, Problem> {
    let Some(text) = params.get("migration")? else { return Ok(false) };
    // `null`, when there is none: apps encode what they are given. An object: a struct alone would take an array as well.
    let refuse = |error: &dyn Display| {
        Problem::parameter("migration", format!("must be WatermelonDB's migration as JSON: {error}"))
    };
    match json::value(text.as_bytes()).map_err(|error| refuse(&error))? {
        Value::Null => Ok(false),
        object @ Value::Object(_) => {
            let migration = Migration::deserialize(object).map_err(|error| refuse(&error))?;
            Ok(migration.adds_something_served())
        }
        _ => Err(refuse(&"it is no object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adds_something(json: &str) -> bool {
        serde_json::from_str::<Migration>(json).expect("a migration").adds_something_served()
    }

    #[test]
    fn a_table_or_a_column_that_is_served_takes_everything_and_other_names_do_not() {
        for served in [
            r#"{"from": 1, "tables": ["calendars"], "columns": []}"#,
            r#"{"from": 1, "tables": ["drafts", "tasks"], "columns": []}"#,
            r#"{"from": 1, "tables": [], "columns": [{"table": "tasks", "columns": ["colour", "notes"]}]}"#,
            r#"{"columns": [{"table": "projects", "columns": ["server_version"]}]}"#,
            r#"{"columns": [{"table": "tasks", "columns": ["project"]}]}"#,
        ] {
            assert!(adds_something(served), "{served}");
        }
        for unknown in [
            r#"{"from": 1, "tables": [], "columns": []}"#,
            r#"{"from": 1, "tables": ["drafts"], "columns": [{"table": "drafts", "columns": ["notes"]}]}"#,
            r#"{"columns": [{"table": "tasks", "columns": ["colour"]}, {"table": "projects", "columns": ["project"]}]}"#,
            "{}",
        ] {
            assert!(!adds_something(unknown), "{unknown}");
        }
    }
}
