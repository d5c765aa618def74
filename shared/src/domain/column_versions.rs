//! Column versions: the version that last changed each column of a row.

use super::version_history::{read_varint, write_varint};
use super::{Columns, CorruptHistory, ServerVersion};

/// Column versions: for each column of a collection, in the collection's order, the version that last changed it.
///
/// On the table: for each column the distance from the row's current version, as a LEB128 varint. That is one or two bytes per
/// column. A column that was added to the collection later counts as last changed by the oldest version listed. Columns that this
/// code does not know come after those that it knows: see [`UnknownColumns`](super::UnknownColumns).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnVersions(Vec<u64>);

impl ColumnVersions {
    /// The column versions after a write at `version` that replaced `old` with `new`. Without `old`, all columns are new. Columns
    /// that this code does not know keep their versions: a write does not change them, and a new row has none.
    pub fn after(&self, columns: &[&str], old: Option<&Columns>, new: &Columns, version: ServerVersion) -> Self {
        let oldest = self.0.iter().min().copied();
        let known =
            columns.iter().enumerate().map(|(index, column)| match (old, self.0.get(index).copied().or(oldest)) {
                (Some(old), Some(changed)) if old.get(*column) == new.get(*column) => changed,
                _ => version.get(),
            });
        let unknown = self.0.iter().skip(columns.len()).filter(|_| old.is_some());
        Self(known.chain(unknown.copied()).collect())
    }

    /// The version that last changed the column with this index in the collection's order, if it is known.
    pub fn version_of(&self, index: usize) -> Option<u64> {
        self.0.get(index).copied()
    }

    /// The bytes for the table, for a row whose current version is `current`.
    pub fn encode(&self, current: ServerVersion) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len());
        for version in &self.0 {
            write_varint(&mut bytes, current.get() - version);
        }
        bytes
    }

    /// Decodes the bytes of [`ColumnVersions::encode`]. Other bytes are an error.
    pub fn decode(mut bytes: &[u8], current: ServerVersion) -> Result<Self, CorruptHistory> {
        let mut versions = Vec::new();
        while !bytes.is_empty() {
            let distance = read_varint(&mut bytes)?;
            versions.push(current.get().checked_sub(distance).filter(|v| *v > 0).ok_or(CorruptHistory)?);
        }
        Ok(Self(versions))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: &[&str] = &["a", "b"];

    fn columns(value: serde_json::Value) -> Columns {
        value.as_object().expect("an object").clone()
    }

    fn version(number: u64) -> ServerVersion {
        ServerVersion::try_from(number).expect("a version")
    }

    #[test]
    fn only_the_columns_that_a_write_changes_take_its_version() {
        let first = columns(json!({"a": 1, "b": null}));
        let second = columns(json!({"a": 2, "b": null}));
        let changed = ColumnVersions::default().after(COLUMNS, None, &first, version(3));
        let changed = changed.after(COLUMNS, Some(&first), &second, version(9));
        assert_eq!((changed.version_of(0), changed.version_of(1)), (Some(9), Some(3)));
        assert_eq!(ColumnVersions::decode(&changed.encode(version(9)), version(9)), Ok(changed));
    }

    #[test]
    fn a_column_added_later_counts_as_old_as_the_oldest() {
        let row = columns(json!({"a": 1}));
        let changed = ColumnVersions::default().after(&["a"], None, &row, version(3));
        let wider = columns(json!({"a": 2, "b": null}));
        let narrow_with_null = columns(json!({"a": 1, "b": null}));
        let changed = changed.after(COLUMNS, Some(&narrow_with_null), &wider, version(8));
        assert_eq!((changed.version_of(0), changed.version_of(1)), (Some(8), Some(3)));
    }

    #[test]
    fn versions_of_unknown_columns_stay_unless_the_row_is_new() {
        let (first, second) = (columns(json!({"a": 1, "b": 2, "c": 3})), columns(json!({"a": 9, "b": 2, "c": 3})));
        let by_newer = ColumnVersions::default().after(&["a", "b", "c"], None, &first, version(3));
        let by_older = by_newer.after(COLUMNS, Some(&first), &second, version(8));
        assert_eq!(by_older, ColumnVersions(vec![8, 3, 3]));
        assert_eq!(by_older.after(COLUMNS, None, &second, version(9)), ColumnVersions(vec![9, 9]));
    }

    #[test]
    fn a_version_before_the_first_one_is_corrupt() {
        assert_eq!(ColumnVersions::decode(&[2], version(3)), Ok(ColumnVersions(vec![1])));
        assert_eq!(ColumnVersions::decode(&[3], version(3)), Err(CorruptHistory));
        assert_eq!(ColumnVersions::decode(&[4], version(3)), Err(CorruptHistory));
    }
}
