//! WatermelonDB's `migration`, which an app sends with the first pull after an update of its schema.

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

/// Whether the device needs a full sync, because its rows lack a table or column that its app now has.
///
/// True if the parameter `migration` names a collection, or a column of one, that a pull sends. Unknown names are tables and
/// columns of the app's own. WatermelonDB sends the parameter until a pull succeeds, so this happens once.
pub(crate) fn needs_everything(params: &Params) -> Result<bool, Problem> {
    let Some(text) = params.get("migration")? else { return Ok(false) };
    // Apps send `null` if there is no migration, because they encode whatever they are given. Anything else must be an object; a
    // struct alone would accept an array, too.
    let refuse = |error: &dyn Display| {
        Problem::parameter("migration", format!("must be the JSON of WatermelonDB's `migration`: {error}"))
    };
    match json::value(text.as_bytes()).map_err(|error| refuse(&error))? {
        Value::Null => Ok(false),
        object @ Value::Object(_) => {
            let migration = Migration::deserialize(object).map_err(|error| refuse(&error))?;
            Ok(migration.adds_something_served())
        }
        _ => Err(refuse(&"expected an object or null")),
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::FromRequestParts;
    use axum::http::Request;
    use proptest::prelude::*;

    use super::*;

    fn adds_something(json: &str) -> bool {
        serde_json::from_str::<Migration>(json).expect("a migration").adds_something_served()
    }

    #[test]
    fn a_served_table_or_column_needs_a_full_sync_and_other_names_do_not() {
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

    /// The result of reading the parameter from this text.
    fn needed(text: &str) -> Result<bool, Problem> {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("migration", text).finish();
        let request = Request::get(format!("/?{query}")).body(()).expect("a request");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let params = runtime.block_on(Params::from_request_parts(&mut request.into_parts().0, &()));
        needs_everything(&params.expect("any query"))
    }

    #[test]
    fn a_key_that_serde_json_gives_a_meaning_of_its_own_means_nothing_here() {
        for text in [
            r#"{"x":{"$serde_json::private::RawValue":"[[1]]"}}"#,
            r#"{"$serde_json::private::RawValue":"{\"tables\":[\"tasks\"]}"}"#,
            r#"{"tables":[],"tables":["tasks"]}"#,
            "[[],[]]",
            "[\"tasks\"]",
        ] {
            assert!(needed(text).is_err(), "{text}");
        }
        assert!(needed(r#"{"from":1.0,"tables":["tasks"],"columns":[]}"#).is_ok_and(|needed| needed));
        assert!(needed("null").is_ok_and(|needed| !needed));
    }

    proptest! {
        #[test]
        fn a_migration_is_understood_or_refused(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"tables\"", "\"columns\"", "\"table\"", "\"tasks\"", "\"name\"", "null", "1",
                "\"$serde_json::private::RawValue\"", "\"{}\"", "\"from\":1,", "\u{e4}",
            ]), 0..25),
            text in any::<String>(),
        ) {
            for text in [pieces.concat(), format!("{{\"tables\":[{}]}}", pieces.concat()), text] {
                if needed(&text).is_ok() {
                    let json: Value = serde_json::from_str(&text).expect("JSON");
                    prop_assert!(json.is_object() || json.is_null(), "{}", text);
                }
            }
        }
    }
}
