//! Field-by-field merge of a patch that is based on an older version of its row.

use serde_json::Value;

use super::{Columns, Error, FieldConflict, Row, ServerVersion};

/// The fields that were changed after `base` and that the patch does not set, in the collection's order. The patch can be applied
/// and keeps their current values. Fields that this code does not know come last; no patch can set them.
///
/// `Conflict` if the patch sets a field that was changed to another value after `base`. `Stale` if the row has not reached `base`
/// yet. A field counts as changed by the row's last write if its column version is not known.
///
/// A base up to `restored_through` ([`Counter::restored_through`](super::Counter::restored_through)) is from before a restore. The
/// restore may have undone changes to the row, so every field counts as changed after such a base.
pub fn concurrent_changes(
    row: &Row,
    columns: &Columns,
    base: ServerVersion,
    restored_through: u64,
    patch: &Columns,
    rest_json: impl FnOnce() -> String,
) -> Result<Vec<String>, Error> {
    if base > row.version {
        return Err(Error::Stale { version: row.version, row: rest_json() });
    }
    let seen = if base.get() <= restored_through { 0 } else { base.get() };
    let (mut elsewhere, mut conflicts) = (Vec::new(), Vec::new());
    let known = row.key.collection.columns();
    let is_newer = |index| row.changed.version_of(index).unwrap_or(row.version.get()) > seen;
    for (_, field) in known.iter().enumerate().filter(|(index, _)| is_newer(*index)) {
        let server = columns.get(*field).unwrap_or(&Value::Null);
        match patch.get(*field) {
            None => elsewhere.push((*field).to_owned()),
            Some(client) if same(client, server) => {}
            Some(client) => {
                conflicts.push(FieldConflict { field, server: server.clone(), client: client.clone() });
            }
        }
    }
    let unknown = row.unknown.names().enumerate().filter(|(place, _)| is_newer(known.len() + place));
    elsewhere.extend(unknown.map(|(_, field)| field.to_owned()));
    if conflicts.is_empty() { Ok(elsewhere) } else { Err(Error::Conflict { version: row.version, fields: conflicts }) }
}

/// Whether two values are equal; 8 equals 8.0. Nested values are compared as they are written: the worst case is a needless
/// conflict.
fn same(one: &Value, other: &Value) -> bool {
    one == other || one.as_f64().is_some_and(|number| other.as_f64() == Some(number))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Changed, UnknownColumns, Write};
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
        concurrent_changes(row, row.columns(), version(base), through, &columns(patch), || "{}".to_owned())
    }

    fn conflicts(result: Result<Vec<String>, Error>) -> Vec<&'static str> {
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
        // Of user, role, colour and size.
        let changed = Changed::decode(&[4, 0, 2, 0], version(7)).expect("versions");
        let row = Row { unknown, changed, ..row() };
        assert_eq!(on(&row, 3, json!({"user": "bob"})).expect("no conflict"), ["role", "colour", "size"]);
        assert_eq!(on(&row, 5, json!({})).expect("no conflict"), ["role", "size"]);
        assert!(on(&row, 7, json!({})).expect("no conflict").is_empty());
        let unsaid = Row { changed: Changed::decode(&[4, 4], version(7)).expect("versions"), ..row };
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
        let unknown = Row { changed: Changed::default(), ..row() };
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
}
