//! The body of a sync response, and how much of it fits.

use shared::domain::{Checksums, Collection, RowKey};
use shared::storage::FeedRow;

/// The most bytes Lambda takes for a response, the body escaped as a JSON string inside it.
pub const MAX_RESPONSE: usize = 6_291_556;
/// For the response around the rows: status, headers, the names of the collections.
const ENVELOPE: usize = 16 * 1024;

/// What one response may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    rows: usize,
    bytes: usize,
}

impl Budget {
    /// What fits, and at most `limit` rows.
    pub(crate) fn rows(limit: usize) -> Self {
        Self { rows: limit, bytes: MAX_RESPONSE - ENVELOPE }
    }

    /// Takes a row's share; false when it does not fit any more.
    pub(crate) fn take(&mut self, row: &FeedRow) -> bool {
        let bytes = match &row.json {
            Some(json) => escaped_len(json),
            // The id in quotes, which are escaped.
            None => row.key.id.as_str().len() + 4,
        };
        // And a comma.
        match (self.rows.checked_sub(1), self.bytes.checked_sub(bytes + 1)) {
            (Some(rows), Some(bytes)) => {
                *self = Self { rows, bytes };
                true
            }
            _ => false,
        }
    }
}

/// The length of a JSON text as a JSON string in the function's response. JSON has no control characters to escape.
fn escaped_len(json: &str) -> usize {
    json.len() + json.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count()
}

/// What a pull answers.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Live rows and tombstones, each id once in its collection.
    pub(crate) rows: Vec<FeedRow>,
    /// Ids to delete beside.
    pub(crate) deleted: Vec<RowKey>,
    /// The version up to which this is complete.
    pub(crate) mark: u64,
    /// The answer was cut to fit.
    pub(crate) has_more: bool,
    /// What the device holds after it, when that is exactly the state at the mark.
    pub(crate) checksums: Option<Checksums>,
}

impl Answer {
    /// Nothing but a mark.
    pub(crate) fn empty(mark: u64) -> Self {
        Self { rows: vec![], deleted: vec![], mark, has_more: false, checksums: None }
    }

    /// `{changes, timestamp}`: the rows' JSON is copied as it came from the table.
    pub(crate) fn into_json(self) -> String {
        let size: usize = self.rows.iter().map(|row| row.json.as_ref().map_or(70, String::len) + 1).sum();
        let mut json = String::with_capacity(size + self.deleted.len() * 70 + 512);
        json.push_str(r#"{"changes":{"#);
        for (index, collection) in Collection::ALL.into_iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            json.push('"');
            json.push_str(collection.name());
            json.push_str(r#"":{"created":[],"updated":["#);
            let rows = self.rows.iter().filter(|row| row.key.collection == collection);
            join(&mut json, rows.clone().filter_map(|row| row.json.as_deref()), "");
            json.push_str(r#"],"deleted":["#);
            let dead = rows.filter(|row| row.json.is_none()).map(|row| &row.key);
            let dead = dead.chain(self.deleted.iter().filter(|key| key.collection == collection));
            join(&mut json, dead.map(|key| key.id.as_str()), "\"");
            json.push_str("]}");
        }
        json.push_str(r#"},"timestamp":"#);
        json.push_str(&self.mark.to_string());
        if self.has_more {
            json.push_str(r#","has_more":true"#);
        }
        if let Some(checksums) = self.checksums {
            let of = |collection: Collection| format!(r#""{}":{:?}"#, collection.name(), checksums.get(collection));
            json.push_str(&format!(r#","checksum":{{{}}}"#, Collection::ALL.map(of).join(",")));
        }
        json.push('}');
        json
    }
}

fn join<'a>(json: &mut String, parts: impl Iterator<Item = &'a str>, quote: &str) {
    for (index, part) in parts.enumerate() {
        if index > 0 {
            json.push(',');
        }
        json.push_str(quote);
        json.push_str(part);
        json.push_str(quote);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_row_takes_as_much_as_it_does_escaped_in_the_functions_response() {
        let text = json!({"name": "a \"b\" \\ ä \u{7f} \n"}).to_string();
        assert_eq!(escaped_len(&text) + 2, serde_json::to_string(&text).expect("JSON").len());
    }

    #[test]
    fn all_five_collections_are_there_with_three_arrays_each_and_nothing_else() {
        let body: Value = serde_json::from_str(&Answer::empty(3).into_json()).expect("JSON");
        let arrays = json!({"created": [], "updated": [], "deleted": []});
        let changes = json!({"projects": arrays, "tasks": arrays, "dependencies": arrays, "calendars": arrays,
            "memberships": arrays});
        assert_eq!(body, json!({"changes": changes, "timestamp": 3}));
    }

    #[test]
    fn checksums_are_three_numbers_for_each_collection_beside_the_timestamp() {
        let mut checksums = Checksums::default();
        checksums.set(Collection::Tasks, [2, u32::MAX, 7]);
        let answer = Answer { checksums: Some(checksums), ..Answer::empty(3) };
        let body: Value = serde_json::from_str(&answer.into_json()).expect("JSON");
        let expected = json!({"projects": [0, 0, 0], "tasks": [2, 4_294_967_295_u32, 7], "dependencies": [0, 0, 0],
            "calendars": [0, 0, 0], "memberships": [0, 0, 0]});
        assert_eq!(body["checksum"], expected);
    }
}
