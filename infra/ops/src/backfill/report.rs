//! The report of a backfill: JSON for programs, a few lines for people.

use std::fmt;

use serde::Serialize;
use shared::domain::ProjectId;

use crate::operator::Left;

/// The maximum number of rows that the lines for people name.
const SHOWN: usize = 10;

/// The report of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The table's name.
    pub table: String,
    /// Projects whose rows were read.
    pub projects: u64,
    /// Deleted projects, which were not read.
    pub deleted_projects: u64,
    /// Rows read, tombstones included.
    pub rows: u64,
    /// Rows written again with their missing columns. Writes whose response was lost are not counted.
    pub filled_rows: u64,
    /// Superseded versions that no version history named and that are archived now.
    pub archived_versions: u64,
    /// Rows put into the index of live dependencies, or taken out of it.
    pub listed_edges: u64,
    /// Rows that were not changed.
    pub left: Vec<Left>,
    /// Projects that failed.
    pub failed: Vec<Failed>,
}

/// A project that could not be read or written completely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// The project.
    pub project: String,
    /// The reason.
    pub detail: String,
}

impl Report {
    /// The exit status of the command: 0, or 1 if a row was not changed or a project failed.
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.left.is_empty() || !self.failed.is_empty())
    }

    pub(super) fn leave(&mut self, project: &ProjectId, entity: &str, detail: String) {
        self.left.push(Left::new(project, entity, detail));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table     {}", self.table)?;
        writeln!(f, "projects  {} read, {} deleted ones skipped", self.projects, self.deleted_projects)?;
        writeln!(f, "rows      {} read, {} filled in", self.rows, self.filled_rows)?;
        writeln!(f, "versions  {} superseded versions archived", self.archived_versions)?;
        writeln!(f, "edges     {} put into their index or taken out of it", self.listed_edges)?;
        for left in self.left.iter().take(SHOWN) {
            writeln!(f, "LEFT      {} {}: {}", left.project, left.entity, left.detail)?;
        }
        if self.left.len() > SHOWN {
            writeln!(f, "          … and {} more", self.left.len() - SHOWN)?;
        }
        for failed in self.failed.iter().take(SHOWN) {
            writeln!(f, "FAILED    {}: {}", failed.project, failed.detail)?;
        }
        if self.failed.len() > SHOWN {
            writeln!(f, "          … and {} more", self.failed.len() - SHOWN)?;
        }
        if !self.failed.is_empty() {
            writeln!(f, "{} projects FAILED. Repair them, then run this again", self.failed.len())?;
        }
        match self.left.len() {
            0 => write!(f, "filled in: every live row that was read has all columns"),
            left => write!(f, "{left} rows were NOT CHANGED"),
        }
    }
}
