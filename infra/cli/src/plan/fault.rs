//! What is wrong with a plan's files, and where.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use shared::domain::Collection;

/// A fault, a warning or a value without a place, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file's name.
    pub file: String,
    /// The line on which the row begins, from 1. None if the whole file is meant.
    pub line: Option<u64>,
    /// The column, if the fault is in one.
    pub column: Option<String>,
    /// What is wrong.
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

/// Everything that was found while the files were read and checked.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// With any of these, nothing is written.
    pub(super) faults: Vec<Fault>,
    /// Plans that hurt, which are imported nevertheless.
    pub(super) warnings: Vec<Fault>,
    /// Values of a file that have no place here.
    pub(super) left_out: Vec<Fault>,
    /// The number of rows that are not read, by collection and reason.
    pub(super) skipped: BTreeMap<(&'static str, &'static str), usize>,
    /// A file is not CSV or XML at all.
    pub(super) unreadable: bool,
}

impl Findings {
    pub(super) fn fault(&mut self, file: &str, line: Option<u64>, column: Option<&str>, message: impl Into<String>) {
        let column = column.map(str::to_owned);
        self.faults.push(Fault { file: file.to_owned(), line, column, message: message.into() });
    }

    /// A fault after which nothing more of the file can be read.
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
