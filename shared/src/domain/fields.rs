//! From a request's JSON to columns that obey their resource's rules.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Columns, Error, FieldError, Resource};

/// Collects what is wrong, so that one answer names it all.
#[derive(Debug, Default)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// Adds a message to a field.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError { field: field.into(), message: message.into() });
    }

    /// Requires a text of `min` to `max` characters without NUL; with a `min`, not all of them blank.
    pub fn text(&mut self, field: &str, text: &str, min: usize, max: usize) {
        let length = text.chars().count();
        if length > max {
            self.add(field, format!("must be at most {max} characters, is {length}"));
        } else if length < min || (min > 0 && text.trim().is_empty()) {
            self.add(field, "must not be empty");
        }
        if text.contains('\0') {
            self.add(field, "must not contain the character NUL");
        }
    }

    /// Requires a number in a range.
    pub fn range(&mut self, field: &str, number: i64, min: i64, max: i64) {
        if !(min..=max).contains(&number) {
            self.add(field, format!("must be an integer from {min} to {max}"));
        }
    }

    /// Requires a day of the calendar, as YYYY-MM-DD.
    pub fn date(&mut self, field: &str, text: &str) {
        // The library also reads other forms of ISO 8601; a device compares dates as text, so there is one form.
        let valid = text.parse::<jiff::civil::Date>().is_ok_and(|date| date.year() > 0 && date.to_string() == text);
        if !valid {
            self.add(field, "must be a date of the calendar as YYYY-MM-DD");
        }
    }

    /// Fine when nothing was added.
    pub fn finish(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}

/// The resource out of its columns: every field known and of the right type, every rule of its own obeyed.
///
/// All unknown and missing fields are named in one error, or else the first of a wrong type, or else all that break a
/// rule. An empty message is never given.
pub fn parse<R: Resource>(columns: &Columns) -> Result<R, Error> {
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
    errors.finish()?;
    Ok(resource)
}

/// A value of a certain form out of a JSON object; the error names the first place where it has another one.
pub fn read<T: DeserializeOwned>(object: Columns) -> Result<T, Error> {
    serde_path_to_error::deserialize(Value::Object(object)).map_err(|error| {
        Error::Invalid(vec![FieldError { field: error.path().to_string(), message: plain(&error.inner().to_string()) }])
    })
}

/// The columns after a JSON merge patch (RFC 7396): each field of `patch` replaces the one in `current`.
///
/// A null is kept as null, so that a column that cannot be null says so.
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

/// serde's message without the value that was sent and with plain words for the types.
fn plain(message: &str) -> String {
    let Some((found, expected)) = message.rsplit_once("expected ") else {
        return message.replace("missing field", "lacks");
    };
    match expected {
        members if found.starts_with("unknown field") => format!("is not known here: {members} is"),
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

    use super::super::{Calendar, Dependency, Task};
    use super::*;

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
        assert!(field.starts_with("exceptions[0]") && message.starts_with("is not known here: "), "{field} {message}");
        assert_eq!(edge("predecessor", json!(5)), "must be a string");
    }
}
