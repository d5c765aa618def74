//! Field-by-field merge of a patch that is based on an older version of its row.

use serde_json::Value;

use super::fields::canonical;
use super::{Base, Columns, Error, FieldConflict, Resource, Row, json};

/// The fields that were changed after their base and that the patch does not set, in the collection's order. The patch
/// applies on top of them. Fields that this code does not know come last. No patch can set them.
///
/// Fails with `Conflict` if a field that the patch sets was changed to another value after its base. Fails with `Stale`
/// if the base names a version that the row has not reached yet. If it is not known when a field was changed, the field
/// counts as changed by the row's last write.
///
/// A base up to `restored_through` ([`Counter::restored_through`](super::Counter::restored_through)) is from before a
/// restore, which may have taken the value back. So the field counts as changed after such a base.
pub fn concurrent_changes<R: Resource>(
    row: &Row,
    columns: &Columns,
    base: &Base,
    restored_through: u64,
    patch: &Columns,
    rest_json: impl FnOnce() -> String,
) -> Result<Vec<String>, Error> {
    let changed = changed_since(row, base, restored_through, rest_json)?;
    let (mut elsewhere, mut conflicts) = (Vec::new(), Vec::new());
    for field in changed {
        let Some(client) = patch.get(field) else {
            elsewhere.push(field.to_owned());
            continue;
        };
        let server = columns.get(field).unwrap_or(&Value::Null);
        if !is_same::<R>(columns, field, client, server) {
            conflicts.push(FieldConflict { field: field.to_owned(), server: server.clone(), client: client.clone() });
        }
    }
    if conflicts.is_empty() { Ok(elsewhere) } else { Err(Error::Conflict { version: row.version, fields: conflicts }) }
}

/// Refuses to delete a row if the user has not seen every value of it. `Conflict` has the fields that were changed after their
/// base, including those that this code does not know. Other errors are those of [`concurrent_changes`].
pub fn expect_seen(
    row: &Row,
    columns: &Columns,
    base: &Base,
    restored_through: u64,
    rest_json: impl FnOnce() -> String,
) -> Result<(), Error> {
    let value = |field: &str| match row.unknown.json(field) {
        Some(text) => json::value(text.as_bytes()).unwrap_or_default(),
        None => columns.get(field).cloned().unwrap_or_default(),
    };
    let changed = changed_since(row, base, restored_through, rest_json)?.into_iter();
    let conflict = |field: &str| FieldConflict { field: field.to_owned(), server: value(field), client: Value::Null };
    let fields: Vec<_> = changed.map(conflict).collect();
    if fields.is_empty() { Ok(()) } else { Err(Error::Conflict { version: row.version, fields }) }
}

/// The fields that were changed after their base.
fn changed_since<'a>(
    row: &'a Row,
    base: &Base,
    restored_through: u64,
    rest_json: impl FnOnce() -> String,
) -> Result<Vec<&'a str>, Error> {
    if base.highest() > row.version.get() {
        return Err(Error::Stale { version: row.version, row: rest_json() });
    }
    let fields = row.key.collection.columns().iter().copied().chain(row.unknown.names()).enumerate();
    let is_newer = |(index, field): &(usize, &str)| {
        let seen = Some(base.of(field)).filter(|version| *version > restored_through).unwrap_or(0);
        row.column_versions.version_of(*index).unwrap_or(row.version.get()) > seen
    };
    Ok(fields.filter(is_newer).map(|(_, field)| field).collect())
}

/// Whether the field has this value already. Values are compared as the resource reads them: 8 hours are 8.0, and what
/// is left out inside a field has its default.
fn is_same<R: Resource>(columns: &Columns, field: &str, client: &Value, server: &Value) -> bool {
    client == server
        || client.as_f64().is_some_and(|number| server.as_f64() == Some(number))
        || canonical::<R>(columns, field, client).is_some_and(|client| client == *server)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{ColumnVersions, Membership, ServerVersion, UnknownColumns, Write};
    use super::*;

    fn columns(value: Value) -> Columns {
        value.as_object().expect("an object").clone()
    }

    fn version(number: u64) -> ServerVersion {
        ServerVersion::try_from(number).expect("a version")
    }

    /// Created at 3, another role at 7; the user as it was.
    fn row() -> Row {
        let write = |row: Option<&Row>, role: i64, at| {
            let put = Write::Put(columns(json!({"user": "ann", "role": role})));
            Row::written(row, "memberships#m".parse().expect("a key"), put, version(at))
        };
        write(Some(&write(None, 1, 3)), 100, 7)
    }

    fn on(row: &Row, base: u64, patch: Value) -> Result<Vec<String>, Error> {
        restored(row, 0, base, patch)
    }

    fn restored(row: &Row, through: u64, base: u64, patch: Value) -> Result<Vec<String>, Error> {
        concurrent_changes::<Membership>(row, row.columns(), &Base::new(base), through, &columns(patch), || {
            "{}".to_owned()
        })
    }

    fn conflicts<T: std::fmt::Debug>(result: Result<T, Error>) -> Vec<String> {
        match result {
            Err(Error::Conflict { version: at, fields }) => {
                assert_eq!(at, version(7));
                fields.into_iter().map(|conflict| conflict.field).collect()
            }
            other => panic!("no conflict: {other:?}"),
        }
    }

    #[test]
    fn on_the_latest_version_nothing_is_concurrent() {
        assert!(on(&row(), 7, json!({"role": 200, "user": "bob"})).expect("no conflict").is_empty());
    }

    #[test]
    fn a_field_that_was_changed_since_conflicts_unless_it_has_the_value_already() {
        for base in [3, 6] {
            assert_eq!(conflicts(on(&row(), base, json!({"role": 200}))), ["role"]);
            assert!(on(&row(), base, json!({"role": 100})).expect("no conflict").is_empty());
            assert!(on(&row(), base, json!({"role": 100.0})).expect("no conflict").is_empty());
        }
    }

    #[test]
    fn a_field_that_was_not_changed_since_is_free_and_the_others_are_named() {
        assert_eq!(on(&row(), 3, json!({"user": "bob"})).expect("no conflict"), ["role"]);
        assert_eq!(on(&row(), 3, json!({})).expect("no conflict"), ["role"]);
    }

    #[test]
    fn a_column_of_a_newer_version_is_named_when_it_was_changed_since() {
        let unknown = UnknownColumns::of(r#"{"colour":"red","size":2}"#, |_| false).expect("columns");
        // The columns are user, role, colour and size.
        let column_versions = ColumnVersions::decode(&[4, 0, 2, 0], version(7)).expect("versions");
        let row = Row { unknown, column_versions, ..row() };
        assert_eq!(on(&row, 3, json!({"user": "bob"})).expect("no conflict"), ["role", "colour", "size"]);
        assert_eq!(on(&row, 5, json!({})).expect("no conflict"), ["role", "size"]);
        assert!(on(&row, 7, json!({})).expect("no conflict").is_empty());
        let unsaid = Row { column_versions: ColumnVersions::decode(&[4, 4], version(7)).expect("versions"), ..row };
        assert_eq!(
            on(&unsaid, 6, json!({})).expect("no conflict"),
            ["colour", "size"],
            "by the last write, if unknown"
        );
    }

    #[test]
    fn before_the_row_was_there_every_field_counts_as_changed() {
        assert_eq!(conflicts(on(&row(), 2, json!({"user": "bob", "role": 1}))), ["user", "role"]);
        assert_eq!(on(&row(), 2, json!({"user": "ann"})).expect("no conflict"), ["role"]);
    }

    #[test]
    fn a_field_of_which_nothing_is_known_counts_as_changed_by_the_last_write() {
        let unknown = Row { column_versions: ColumnVersions::default(), ..row() };
        assert_eq!(conflicts(on(&unknown, 6, json!({"user": "bob"}))), ["user"]);
        assert!(on(&unknown, 7, json!({"user": "bob"})).expect("no conflict").is_empty());
    }

    #[test]
    fn a_base_from_before_a_restore_counts_as_before_every_field_and_one_from_after_it_does_not() {
        for base in [1, 3, 5] {
            let changed = restored(&row(), 5, base, json!({"user": "bob", "role": 200}));
            assert_eq!(conflicts(changed), ["user", "role"]);
            assert_eq!(restored(&row(), 5, base, json!({"role": 100})).expect("no conflict"), ["user"]);
        }
        assert_eq!(restored(&row(), 5, 6, json!({"user": "bob"})).expect("no conflict"), ["role"]);
        assert!(restored(&row(), 5, 7, json!({"role": 200})).expect("no conflict").is_empty());
    }

    #[test]
    fn a_base_that_the_row_has_not_reached_is_refused_with_the_row() {
        assert!(matches!(on(&row(), 8, json!({"role": 1})), Err(Error::Stale { version: at, .. }) if at == version(7)));
    }

    #[test]
    fn each_field_has_a_base_of_its_own_and_0_is_before_all_of_them() {
        let base = |version, role: u64| Base { version, fields: [("role".to_owned(), role)].into() };
        let on = |base: Base, patch| {
            concurrent_changes::<Membership>(&row(), row().columns(), &base, 0, &columns(patch), || "{}".to_owned())
        };
        assert!(on(base(0, 7), json!({"role": 200})).is_ok(), "seen as it is");
        assert_eq!(conflicts(on(base(7, 0), json!({"role": 200}))), ["role"]);
        assert_eq!(conflicts(on(base(0, 7), json!({"role": 200, "user": "bob"}))), ["user"]);
        assert_eq!(on(base(0, 7), json!({"role": 200})).expect("no conflict"), ["user"]);
        assert!(matches!(on(base(3, 8), json!({"user": "bob"})), Err(Error::Stale { .. })));
    }

    #[test]
    fn a_row_is_deleted_only_by_a_user_who_has_seen_all_of_it() {
        let seen = |row: &Row, base: Base, through| expect_seen(row, row.columns(), &base, through, || "{}".to_owned());
        assert!(seen(&row(), Base::new(7), 0).is_ok());
        assert_eq!(conflicts(seen(&row(), Base::new(6), 0)), ["role"]);
        assert_eq!(conflicts(seen(&row(), Base::new(0), 0)), ["user", "role"]);
        assert!(seen(&row(), Base { version: 3, fields: [("role".to_owned(), 7)].into() }, 0).is_ok());
        assert_eq!(conflicts(seen(&row(), Base::new(7), 7)), ["user", "role"], "from before a restore");
        assert!(matches!(seen(&row(), Base::new(8), 0), Err(Error::Stale { .. })));
        let unknown = UnknownColumns::of(r#"{"colour":"red"}"#, |_| false).expect("columns");
        let row = Row {
            unknown,
            column_versions: ColumnVersions::decode(&[4, 4, 0], version(7)).expect("versions"),
            ..row()
        };
        let Err(Error::Conflict { fields, .. }) = seen(&row, Base::new(3), 0) else { panic!("not seen") };
        assert_eq!(fields, [FieldConflict { field: "colour".to_owned(), server: json!("red"), client: Value::Null }]);
        assert!(seen(&row, Base { version: 3, fields: [("colour".to_owned(), 7)].into() }, 0).is_ok(), "insisted on");
    }

    #[test]
    fn nested_values_are_compared_as_they_are_read() {
        use super::super::Calendar;
        let put = |exceptions: Value| {
            Write::Put(columns(json!({"name": "Site", "hours_per_day": 8.0, "exceptions": exceptions})))
        };
        let key = || "calendars#c".parse().expect("a key");
        let old = Row::written(None, key(), put(json!([])), version(3));
        let full = json!([{"start": "2026-01-01", "end": "2026-01-01", "description": ""}]);
        let row = Row::written(Some(&old), key(), put(full), version(7));
        let on = |patch| {
            concurrent_changes::<Calendar>(&row, row.columns(), &Base::new(3), 0, &columns(patch), || "{}".to_owned())
        };
        assert!(on(json!({"exceptions": [{"start": "2026-01-01", "end": "2026-01-01"}]})).is_ok());
        assert_eq!(
            conflicts(on(json!({"exceptions": [{"start": "2026-01-01", "end": "2026-01-02"}]}))),
            ["exceptions"]
        );
        assert_eq!(conflicts(on(json!({"exceptions": "none"}))), ["exceptions"]);
    }
}
