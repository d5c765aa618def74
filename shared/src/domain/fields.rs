//! From a request's JSON to columns that obey their resource's rules.

use std::collections::HashSet;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Columns, Error, FieldError, Resource};

/// Collects field errors, so that one response names them all.
#[derive(Debug, Default)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// Adds an error about a field.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError { field: field.into(), message: message.into() });
    }

    /// Requires a text of `min` to `max` characters without NUL. If `min` is not 0, the text must not be blank.
    pub fn text(&mut self, field: &str, text: &str, min: usize, max: usize) {
        let length = text.chars().count();
        if length > max {
            self.add(field, format!("must have at most {max} characters, but has {length}"));
        } else if length < min || (min > 0 && text.trim().is_empty()) {
            self.add(field, "must not be empty");
        }
        if text.contains('\0') {
            self.add(field, "must not contain NUL characters");
        }
    }

    /// Requires a number in a range.
    pub fn range(&mut self, field: &str, number: i64, min: i64, max: i64) {
        if !(min..=max).contains(&number) {
            self.add(field, format!("must be an integer from {min} to {max}"));
        }
    }

    /// Requires an existing date as YYYY-MM-DD.
    pub fn date(&mut self, field: &str, text: &str) {
        // The library also reads other forms of ISO 8601; a device compares dates as text, so there is one form.
        let valid = text.parse::<jiff::civil::Date>().is_ok_and(|date| date.year() > 0 && date.to_string() == text);
        if !valid {
            self.add(field, "must be a date as YYYY-MM-DD");
        }
    }

    /// `Ok` if no error was added, or all errors that were.
    pub fn finish(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}

/// Reads a resource from its columns and checks it: known fields, their types, and the resource's own rules.
///
/// One error names all unknown and missing fields. If there are none, it names the first field of a wrong type. If
/// there is none, it names all fields that break a rule. No message is empty.
pub fn parse<R: Resource>(columns: &Columns) -> Result<R, Error> {
    parse_but::<R>(columns, |_| false)
}

/// [`parse`], except that excused fields may break rules.
fn parse_but<R: Resource>(columns: &Columns, is_excused: impl Fn(&str) -> bool) -> Result<R, Error> {
    let mut errors = FieldErrors::default();
    for name in columns.keys().filter(|name| !R::COLUMNS.contains(&name.as_str())) {
        errors.add(name, unknown_field(name));
    }
    for name in R::REQUIRED.iter().filter(|name| !columns.contains_key(**name)) {
        errors.add(*name, "is required");
    }
    errors.finish()?;
    let resource: R = read(columns.clone())?;
    let mut errors = FieldErrors::default();
    resource.check(&mut errors);
    errors.0.retain(|error| !is_excused(column_of(&error.field)));
    errors.finish()?;
    Ok(resource)
}

/// A row of the table as the rules see it. It may have values that this code would refuse: a newer version of the code may
/// have written them, such as a status that this version does not know.
#[derive(Debug)]
pub struct Understood<R> {
    /// The row. A value that cannot be read is replaced by its default, or by [`Resource::stand_in`].
    pub resource: R,
    /// The columns with values that this code would refuse, as the table has them.
    pub refused: Columns,
}

/// Reads a resource from a row of the table. `Invalid` only if a required field can be neither read nor replaced.
pub fn understand<R: Resource>(columns: &Columns) -> Result<Understood<R>, Error> {
    let mut errors = FieldErrors::default();
    for name in R::REQUIRED.iter().filter(|name| !columns.contains_key(**name)) {
        errors.add(*name, "is required");
    }
    errors.finish()?;
    let mut refused = Columns::new();
    let mut readable = columns.clone();
    let resource: R = loop {
        let errors = match read(readable.clone()) {
            Ok(resource) => break resource,
            Err(Error::Invalid(errors)) => errors,
            Err(error) => return Err(error),
        };
        let column = errors.first().map(|error| column_of(&error.field).to_owned()).unwrap_or_default();
        let value = readable.remove(&column).filter(|_| !refused.contains_key(&column));
        let Some(value) = value else { return Err(Error::Invalid(errors)) };
        if let Some(stand_in) = R::stand_in(&column, &value) {
            readable.insert(column.clone(), stand_in);
        }
        refused.insert(column, value);
    };
    let mut errors = FieldErrors::default();
    resource.check(&mut errors);
    for error in errors.0 {
        let column = column_of(&error.field);
        if let Some(value) = columns.get(column) {
            refused.insert(column.to_owned(), value.clone());
        }
    }
    Ok(Understood { resource, refused })
}

/// A row of the table before and after a patch.
#[derive(Debug)]
pub struct Patched<R> {
    /// The row before the patch.
    pub before: R,
    /// The row after the patch.
    pub after: R,
    /// Values that this code would refuse and that the patch does not set. They stay as the table has them, whatever
    /// `after` has in their place.
    pub kept: Columns,
    /// Whether the patch gives any field another value.
    pub changes: bool,
}

/// Applies a patch to a row of the table. `Invalid` if the patch sets an invalid value, or makes a valid field invalid.
pub fn patched<R: Resource>(columns: &Columns, patch: &Columns) -> Result<Patched<R>, Error> {
    let Understood { resource: before, refused } = understand::<R>(columns)?;
    let as_read = columns_of(&before)?;
    let mut kept = refused.clone();
    kept.retain(|column, _| !patch.contains_key(column));
    let mut merged = merge(columns, patch);
    let replaced: HashSet<&String> = kept.keys().collect();
    for (column, value) in as_read.iter().filter(|(column, _)| replaced.contains(column)) {
        merged.insert(column.clone(), value.clone());
    }
    let after = parse_but::<R>(&merged, |column| kept.contains_key(column))?;
    let changes = merge(&as_read, &refused) != merge(&columns_of(&after)?, &kept);
    Ok(Patched { before, after, kept, changes })
}

/// The value that is stored if a row with these columns gets this value for a field. None if the value is invalid.
pub(super) fn canonical<R: Resource>(columns: &Columns, field: &str, value: &Value) -> Option<Value> {
    let mut patched = columns.clone();
    patched.insert(field.to_owned(), value.clone());
    let Understood { resource, refused } = understand::<R>(&patched).ok()?;
    if refused.contains_key(field) { None } else { columns_of(&resource).ok()?.remove(field) }
}

/// The columns that are stored for a resource.
pub(super) fn columns_of<R: Resource>(resource: &R) -> Result<Columns, Error> {
    match serde_json::to_value(resource) {
        Ok(Value::Object(columns)) => Ok(columns),
        _ => Err(Error::Bug("a row that is no JSON object")),
    }
}

/// The column that an error's field names or is a path into.
fn column_of(field: &str) -> &str {
    field.split(['.', '[']).next().unwrap_or(field)
}

/// Reads a value from a JSON object. The error names the first field that is missing, unknown or of a wrong type.
pub fn read<T: DeserializeOwned>(object: Columns) -> Result<T, Error> {
    serde_path_to_error::deserialize(Value::Object(object)).map_err(|error| {
        let (path, message) = (error.path().to_string(), error.inner().to_string());
        Error::Invalid(vec![match missing_field(&message) {
            // The path of the object itself is ".".
            Some(name) if path == "." => FieldError { field: name.to_owned(), message: "is required".to_owned() },
            Some(name) => FieldError { field: format!("{path}.{name}"), message: "is required".to_owned() },
            None => FieldError { field: path, message: plain(&message) },
        }])
    })
}

/// The columns after a patch: each field of `patch` replaces the one in `current`.
///
/// This is a JSON merge patch (RFC 7396) with two differences: it is one level deep, and null is stored as null. So a
/// column that cannot be null says so.
pub fn merge(current: &Columns, patch: &Columns) -> Columns {
    let mut merged = current.clone();
    merged.extend(patch.iter().map(|(name, value)| (name.clone(), value.clone())));
    merged
}

fn unknown_field(name: &str) -> &'static str {
    match name {
        "id" | "server_version" | "project" => "is read-only",
        _ => "is not a field of this resource",
    }
}

/// The field that serde's message says is missing.
fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

/// serde's message without the value that was sent, and with plain words for the types.
fn plain(message: &str) -> String {
    let Some((found, expected)) = message.rsplit_once("expected ") else {
        return message.to_owned();
    };
    match expected {
        members if found.starts_with("unknown field") => format!("is not a known field; expected {members}"),
        "i64" => "must be an integer".to_owned(),
        "u64" => "must be an integer that is not negative".to_owned(),
        "f64" => "must be a number".to_owned(),
        "a boolean" => "must be true or false".to_owned(),
        "a sequence" => "must be an array".to_owned(),
        other => format!("must be {other}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Calendar, Dependency, Membership, Project, Role, Task};
    use super::*;

    fn task(changes: serde_json::Value) -> Columns {
        let task = json!({"name": "Dig", "duration": 1, "status": "REVIEW", "is_milestone": false});
        merge(task.as_object().expect("columns"), changes.as_object().expect("columns"))
    }

    fn patch(columns: &Columns, patch: serde_json::Value) -> Result<(Columns, Columns, bool), Error> {
        let row = patched::<Task>(columns, patch.as_object().expect("a patch"))?;
        Ok((merge(&columns_of(&row.after)?, &row.kept), row.kept, row.changes))
    }

    #[test]
    fn a_value_of_a_newer_version_stays_when_another_field_is_patched() {
        for newer in [
            json!({"status": "BLOCKED"}),
            json!({"status": {"of": "a newer form"}}),
            json!({"percent_complete": 150}),
            json!({"name": "n".repeat(600)}),
            json!({"is_milestone": true}),
            json!({"notes": 7, "wbs_path": "A.1", "duration": "P1D"}),
        ] {
            let columns = task(newer.clone());
            assert!(parse::<Task>(&columns).is_err(), "{newer}");
            let (stored, kept, changes) = patch(&columns, json!({"assignee": "mia"})).expect("a row");
            assert_eq!(serde_json::Value::Object(kept), newer);
            let columns = merge(&columns, json!({"assignee": "mia"}).as_object().expect("columns"));
            assert!(changes && columns.iter().all(|(column, value)| stored[column] == *value), "{stored:?}");
            assert!(!patch(&columns, json!({})).expect("a row").2);
        }
    }

    #[test]
    fn a_value_of_a_newer_version_is_replaced_by_one_that_is_right_and_by_no_other() {
        let columns = task(json!({"status": "BLOCKED", "percent_complete": 150}));
        let (stored, kept, changes) = patch(&columns, json!({"status": "NOT_STARTED"})).expect("a row");
        assert_eq!((&stored["status"], &stored["percent_complete"]), (&json!("NOT_STARTED"), &json!(150)));
        assert!(changes && !kept.contains_key("status"), "also by what stood in for it");
        for wrong in [
            json!({"status": "BLOCKED"}),
            json!({"percent_complete": 151}),
            json!({"duration": -1}),
            json!({"colour": "red"}),
        ] {
            assert!(matches!(patch(&columns, wrong.clone()), Err(Error::Invalid(_))), "{wrong}");
        }
    }

    #[test]
    fn a_role_of_a_newer_version_counts_as_the_one_below_it() {
        let role = |role: i64| {
            let columns = json!({"user": "mia", "role": role});
            understand::<Membership>(columns.as_object().expect("columns")).map(|row| row.resource.role)
        };
        assert_eq!(role(150).expect("a role"), Role::Member);
        assert_eq!(role(500).expect("a role"), Role::Owner);
        assert_eq!(role(300).expect("a role"), Role::Admin);
        assert!(matches!(role(0), Err(Error::Invalid(_))), "nothing is below");
    }

    #[test]
    fn a_date_is_a_day_of_the_calendar_in_one_form() {
        let valid = |text: &str| {
            let mut errors = FieldErrors::default();
            errors.date("d", text);
            errors.finish().is_ok()
        };
        assert!(valid("2026-02-28") && valid("2028-02-29"));
        for text in
            ["2026-02-30", "2026-2-3", "20260203", "2026-02-28T00:00:00", "", "tomorrow", "-000001-01-01", "0000-01-01"]
        {
            assert!(!valid(text), "{text}");
        }
    }

    #[test]
    fn a_patch_replaces_fields_and_keeps_the_others_and_its_nulls() {
        let columns = |value: serde_json::Value| value.as_object().expect("an object").clone();
        let current = columns(json!({"a": 1, "b": 2, "c": {"d": 3}}));
        let patch = columns(json!({"b": null, "c": {"e": 4}}));
        let merged = columns(json!({"a": 1, "b": null, "c": {"e": 4}}));
        assert_eq!(merge(&current, &patch), merged);
    }

    #[test]
    fn a_refused_field_says_in_plain_words_what_it_must_be() {
        fn refused<R: Resource + std::fmt::Debug>(all: serde_json::Value) -> (String, String) {
            match parse::<R>(all.as_object().expect("an object")) {
                Err(Error::Invalid(mut errors)) if errors.len() == 1 => {
                    let error = errors.remove(0);
                    (error.field, error.message)
                }
                other => panic!("{other:?}"),
            }
        }
        fn message<R: Resource + std::fmt::Debug>(
            valid: serde_json::Value,
            field: &str,
            value: serde_json::Value,
        ) -> String {
            let mut all = valid;
            all[field] = value;
            let (refused, message) = refused::<R>(all);
            assert_eq!(refused, field);
            message
        }
        let task = |field, value| message::<Task>(json!({"name": "Dig"}), field, value);
        let calendar = |field, value| message::<Calendar>(json!({"name": "Site"}), field, value);
        let edge = |field, value| message::<Dependency>(json!({"predecessor": "a", "successor": "b"}), field, value);
        for field in ["id", "server_version", "project"] {
            assert_eq!(task(field, json!("x")), "is read-only");
        }
        assert_eq!(task("colour", json!("x")), "is not a field of this resource");
        assert_eq!(task("name", json!(5)), "must be a string");
        assert_eq!(task("duration", json!("x")), "must be an integer");
        assert_eq!(task("is_milestone", json!(1)), "must be true or false");
        assert_eq!(calendar("hours_per_day", json!("x")), "must be a number");
        assert_eq!(calendar("exceptions", json!("x")), "must be an array");
        let unknown = json!([{"start": "2026-01-01", "end": "2026-01-01", "colour": 1}]);
        let (field, message) = refused::<Calendar>(json!({"name": "Site", "exceptions": unknown}));
        assert!(
            field.starts_with("exceptions[0]") && message.starts_with("is not a known field; expected "),
            "{field} {message}"
        );
        let incomplete = json!({"name": "Site", "exceptions": [{"start": "2026-01-01"}]});
        assert_eq!(refused::<Calendar>(incomplete), ("exceptions[0].end".to_owned(), "is required".to_owned()));
        let undated = refused::<Project>(json!({"name": "House"}));
        assert_eq!(undated, ("start_date".to_owned(), "is required".to_owned()));
        assert_eq!(edge("predecessor", json!(5)), "must be a string");
    }
}
