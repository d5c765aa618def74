//! The result of an import.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::Value;
use shared::domain::Collection;

use super::fault::Fault;
use crate::client::CallError;

/// The result of an import.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The project.
    pub project: String,
    /// Whether nothing was written because of `--dry-run`.
    pub dry_run: bool,
    /// The number of rows that were created, or would be, by collection.
    pub made: BTreeMap<&'static str, usize>,
    /// The number of rows that were changed, or would be, by collection.
    pub changed: BTreeMap<&'static str, usize>,
    /// The number of rows that already existed with the same content, by collection.
    pub unchanged: BTreeMap<&'static str, usize>,
    /// Rows of the files that are not read.
    pub skipped: Vec<Skipped>,
    /// The faults. If there are any, nothing was written, except when only the server found them: then rows before the fault, in the
    /// order of the import, have been written. That is the order of the files, except that changed dependencies come before new ones,
    /// and one that another one's change makes possible directly behind that one.
    pub faults: Vec<Fault>,
    /// Warnings about a plan that is allowed but causes trouble. It is imported nevertheless.
    pub warnings: Vec<Fault>,
    /// Values of the file that this product has no place for.
    pub left_out: Vec<Fault>,
    /// The columns of existing rows that differ, with both values.
    pub changes: Vec<Change>,
    /// Whether a file is not CSV or XML at all.
    pub unreadable: bool,
    /// The first and the last line of the rows that were sent last, which may have been written, if the import stopped then.
    pub in_doubt: Option<(String, String)>,
    /// The last line of the files up to which all rows were written.
    pub written_up_to: Option<String>,
    /// The failure that stopped the import.
    #[serde(serialize_with = "as_text")]
    pub stopped: Option<CallError>,
}

/// Rows of a collection that are not read, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The collection.
    pub collection: &'static str,
    /// The number of rows.
    pub rows: usize,
    /// The reason.
    pub reason: &'static str,
}

/// A column of an existing row with another value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// File and line.
    pub at: String,
    /// The row's collection.
    pub collection: &'static str,
    /// The row's id.
    pub id: String,
    /// The column.
    pub column: String,
    /// The value in the project.
    pub before: Value,
    /// The value in the file.
    pub after: Value,
}

fn as_text<S: Serializer>(error: &Option<CallError>, serializer: S) -> Result<S::Ok, S::Error> {
    error.as_ref().map(ToString::to_string).serialize(serializer)
}

impl Report {
    /// The exit status of the command: 0, or 1 if the files have faults, or 2 if they cannot be read or the import stopped.
    pub fn exit_code(&self) -> u8 {
        if self.unreadable || self.stopped.is_some() { 2 } else { u8::from(!self.faults.is_empty()) }
    }

    /// Whether any row was written, or would be.
    pub fn writes(&self) -> bool {
        !self.made.is_empty() || !self.changed.is_empty()
    }

    pub(super) fn add(&mut self, collection: Collection, created: bool) {
        let rows = if created { &mut self.made } else { &mut self.changed };
        *rows.entry(collection.name()).or_default() += 1;
    }
}
