//! The faults in a plan's files, with their places.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use shared::domain::Collection;

/// A fault, a warning, or a value that this product has no place for, with its location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file's name.
    pub file: String,
    /// The line on which the row begins, from 1. None if the whole file is meant.
    pub line: Option<u64>,
    /// The column, if the fault is in one.
    pub column: Option<String>,
    /// The fault in words.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if let Some(column) = &self.column {
            write!(f, " column {column}:")?;
        }
        write!(f, " {}", self.message)
    }
}

/// The faults, warnings and unread values that were found while the files were read and checked.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The faults. If there are any, nothing is written.
    pub(super) faults: Vec<Fault>,
    /// Warnings about a plan that is allowed but causes trouble. It is imported nevertheless.
    pub(super) warnings: Vec<Fault>,
    /// Values of a file that this product has no place for.
    pub(super) left_out: Vec<Fault>,
    /// The number of rows that are not read, by collection and reason.
    pub(super) skipped: BTreeMap<(&'static str, &'static str), usize>,
    /// Whether a file is not CSV or XML at all.
    pub(super) unreadable: bool,
}

impl Findings {
    pub(super) fn fault(&mut self, file: &str, line: Option<u64>, column: Option<&str>, message: impl Into<String>) {
        let column = column.map(str::to_owned);
        self.faults.push(Fault { file: file.to_owned(), line, column, message: message.into() });
    }

    /// Adds a fault after which nothing more of the file can be read.
    pub(super) fn unreadable(
        &mut self,
        file: &str,
        line: Option<u64>,
        column: Option<&str>,
        message: impl Into<String>,
    ) {
        self.fault(file, line, column, message);
        self.unreadable = true;
    }

    pub(super) fn skip(&mut self, collection: Collection, reason: &'static str) {
        *self.skipped.entry((collection.name(), reason)).or_default() += 1;
    }
}
