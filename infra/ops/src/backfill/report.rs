//! What comes out of a backfill: JSON for programs, a few lines for people.

use std::fmt;

use serde::Serialize;
use shared::domain::ProjectId;

/// So many rows are named in the lines for people.
const SHOWN: usize = 10;

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The table's name.
    pub table: String,
    /// Projects whose rows were read.
    pub projects: u64,
    /// Deleted projects, which were left alone.
    pub deleted_projects: u64,
    /// Rows read, tombstones included.
    pub rows: u64,
    /// Rows written again with what they lacked. What was written under an answer that was lost is not counted.
    pub filled_rows: u64,
    /// Versions archived that rows had superseded and that nothing named.
    pub archived_versions: u64,
    /// Rows that were left as they are.
    pub left: Vec<Left>,
    /// Projects that could not be read or written to the end.
    pub failed: Vec<Failed>,
}

/// A project that could not be read or written to the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Which project.
    pub project: String,
    /// Why.
    pub detail: String,
}

/// A row for which there is no default, or that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Of which project.
    pub project: String,
    /// Which row, or the counter.
    pub entity: String,
    /// Why.
    pub detail: String,
}

impl Report {
    /// The exit code of the command: 0, or 1 if something was left as it is.
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.left.is_empty() || !self.failed.is_empty())
    }

    pub(super) fn leave(&mut self, project: &ProjectId, entity: &str, detail: String) {
        self.left.push(Left { project: project.to_string(), entity: entity.to_owned(), detail });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table     {}", self.table)?;
        writeln!(f, "projects  {}, and {} deleted ones left alone", self.projects, self.deleted_projects)?;
        writeln!(f, "rows      {} read, {} filled in", self.rows, self.filled_rows)?;
        writeln!(f, "versions  {} archived that nothing named any more", self.archived_versions)?;
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
            writeln!(f, "{} projects are NOT FILLED IN: run this again when mended", self.failed.len())?;
        }
        match self.left.len() {
            0 => write!(f, "filled in: of the live rows that were read none lacks a column"),
            left => write!(f, "{left} rows were LEFT AS THEY ARE"),
        }
    }
}
