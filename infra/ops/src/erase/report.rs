//! What comes out of an erasure: JSON for programs, a few lines for people.

use std::fmt;

use serde::Serialize;
use shared::domain::ProjectId;

/// So many items are named in the lines for people.
const SHOWN: usize = 10;

/// What a run did, or in a dry run would do. It does not say whom it was about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The table's name.
    pub table: String,
    /// Nothing was written.
    pub dry_run: bool,
    /// Projects whose rows were read.
    pub projects: u64,
    /// Memberships removed, each by a commit.
    pub removed_memberships: u64,
    /// Tasks that have no assignee any more, by commits.
    pub unassigned_tasks: u64,
    /// Tombstones whose content was erased, wholly or in part.
    pub erased_tombstones: u64,
    /// Rows and counters that do not name their author any more.
    pub forgotten_authors: u64,
    /// Kept answers of idempotent requests that do not name the user any more.
    pub erased_answers: u64,
    /// Counts of projects that the user created on a day.
    pub removed_counts: u64,
    /// Tombstones that were left because they do not say when they were written.
    pub undated_tombstones: u64,
    /// What else was left as it is.
    pub left: Vec<Left>,
}

/// An item that was left as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Of which project.
    pub project: String,
    /// Which row or record, or the counter.
    pub entity: String,
    /// Why.
    pub detail: String,
}

impl Report {
    /// The exit code of the command: 0, or 1 if something was left as it is.
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.left.is_empty() || self.undated_tombstones > 0)
    }

    /// How many things were written, or would be.
    pub fn changes(&self) -> u64 {
        self.removed_memberships
            + self.unassigned_tasks
            + self.erased_tombstones
            + self.forgotten_authors
            + self.erased_answers
            + self.removed_counts
    }

    pub(super) fn leave(&mut self, project: &ProjectId, entity: &str, detail: impl Into<String>) {
        self.left.push(Left { project: project.to_string(), entity: entity.to_owned(), detail: detail.into() });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table        {}", self.table)?;
        writeln!(f, "projects     {}", self.projects)?;
        writeln!(f, "memberships  {} removed", self.removed_memberships)?;
        writeln!(f, "tasks        {} unassigned", self.unassigned_tasks)?;
        writeln!(f, "tombstones   {} erased", self.erased_tombstones)?;
        writeln!(f, "authors      {} forgotten", self.forgotten_authors)?;
        writeln!(f, "answers      {} erased", self.erased_answers)?;
        writeln!(f, "counts       {} removed", self.removed_counts)?;
        if self.undated_tombstones > 0 {
            writeln!(f, "UNDATED      {} tombstones were left; --undated erases them, too", self.undated_tombstones)?;
        }
        for left in self.left.iter().take(SHOWN) {
            writeln!(f, "LEFT         {} {}: {}", left.project, left.entity, left.detail)?;
        }
        if self.left.len() > SHOWN {
            writeln!(f, "             … and {} more", self.left.len() - SHOWN)?;
        }
        match (self.exit_code(), self.dry_run) {
            (0, false) => write!(f, "erased: nothing is left"),
            (_, false) => write!(f, "some items were LEFT AS THEY ARE"),
            (_, true) => write!(f, "dry run: nothing was written"),
        }
    }
}
