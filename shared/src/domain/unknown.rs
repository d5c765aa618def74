//! Columns that this code does not know.
//!
//! During a canary and after a rollback, two versions of the code use one table. The newer one writes columns that the older one
//! does not know. The older one shows these columns, and keeps them unchanged when it writes the row.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The columns of a row that this code does not know, each with its JSON, in the order of the table.
///
/// New columns are always added at the end of a collection, and a row is written with all columns that its writer knows. So the
/// index of a column among these is its index after the known ones. [`ColumnVersions`](super::ColumnVersions) has its version at that index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnknownColumns(Vec<(String, String)>);

impl UnknownColumns {
    /// The columns of a row's JSON whose names are not known.
    pub fn of(json: &str, is_known: impl Fn(&str) -> bool) -> Result<Self, serde_json::Error> {
        serde_json::Deserializer::from_str(json).deserialize_map(Unknown(is_known))
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The JSON of the one with this name.
    pub fn json(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, json)| json.as_str())
    }

    /// Their approximate size in the row's JSON, in bytes.
    pub fn len(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len() + 4).sum()
    }

    /// Whether this code knows all columns of the row.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends them to the text of a JSON object that has at least one member and is not closed yet.
    pub(super) fn write_to(&self, object: &mut String) {
        for (name, value) in &self.0 {
            object.push(',');
            object.push_str(&serde_json::Value::from(name.as_str()).to_string());
            object.push(':');
            object.push_str(value);
        }
    }
}

struct Unknown<F>(F);

impl<'de, F: Fn(&str) -> bool> Visitor<'de> for Unknown<F> {
    type Value = UnknownColumns;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UnknownColumns, A::Error> {
        let mut unknown = UnknownColumns::default();
        while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
            if !(self.0)(&name) {
                unknown.0.push((name, value.get().to_owned()));
            }
        }
        Ok(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: &str) -> String {
        let unknown = UnknownColumns::of(json, |name| name == "id").expect("columns");
        let mut text = r#"{"id":1"#.to_owned();
        unknown.write_to(&mut text);
        text + "}"
    }

    #[test]
    fn unknown_columns_are_kept_verbatim_and_in_order() {
        for json in [
            r#"{"id":1,"z":"red","a":"[{\"b\":1,\"a\":2}]","m":null}"#,
            r#"{"id":1,"price":1.50,"big":123456789012345678901234567890,"e":1E400,"text":"\u00e4\/ \"x\""}"#,
            r#"{"id":1,"nested":{"b": [1, 2],"a":{}},"q\"":false}"#,
            r#"{"id":1}"#,
        ] {
            assert_eq!(written(json), json);
        }
        assert_eq!(written(r#"{"z":1,"id":1}"#), r#"{"id":1,"z":1}"#);
    }
}
