//! The report of an erasure: JSON for programs, a few lines for people.

use std::fmt;

use serde::Serialize;
use shared::domain::ProjectId;

use crate::operator::Left;

/// The maximum number of items that the lines for people name.
const SHOWN: usize = 10;

/// The report of a run, or of a dry run. It does not name the user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The table's name.
    pub table: String,
    /// Whether nothing was written because of `--dry-run`.
    pub dry_run: bool,
    /// Projects whose rows were read.
    pub projects: u64,
    /// Memberships removed by commits, one each.
    pub removed_memberships: u64,
    /// Tasks that commits unassigned.
    pub unassigned_tasks: u64,
    /// Tombstones whose content was erased, in full or in part.
    pub erased_tombstones: u64,
    /// Rows and counters that no longer name their author.
    pub forgotten_authors: u64,
    /// Stored responses of idempotency records that no longer name the user.
    pub erased_answers: u64,
    /// Daily counts of projects that the user created.
    pub removed_counts: u64,
    /// Tombstones that were not erased because they have no date.
    pub undated_tombstones: u64,
    /// Other items that were not erased.
    pub left: Vec<Left>,
}

impl Report {
    /// The exit status of the command: 0, or 1 if an item was not erased.
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.left.is_empty() || self.undated_tombstones > 0)
    }

    /// The number of changes that were made, or would be.
    pub fn changes(&self) -> u64 {
        self.removed_memberships
            + self.unassigned_tasks
            + self.erased_tombstones
            + self.forgotten_authors
            + self.erased_answers
            + self.removed_counts
    }

    pub(super) fn leave(&mut self, project: &ProjectId, entity: &str, detail: impl Into<String>) {
        self.left.push(Left::new(project, entity, detail));
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
            writeln!(
                f,
                "UNDATED      {} tombstones without a date were not erased; use --undated to erase them too",
                self.undated_tombstones
            )?;
        }
        for left in self.left.iter().take(SHOWN) {
            writeln!(f, "LEFT         {} {}: {}", left.project, left.entity, left.detail)?;
        }
        if self.left.len() > SHOWN {
            writeln!(f, "             … and {} more", self.left.len() - SHOWN)?;
        }
        match (self.exit_code(), self.dry_run) {
            (0, false) => write!(f, "erased: nothing is left to erase"),
            (_, false) => write!(f, "some items were NOT ERASED"),
            (_, true) => write!(f, "dry run: nothing was written"),
        }
    }
}
