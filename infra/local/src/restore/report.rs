//! What comes out of a restore: JSON for programs, a few lines for people.

use std::fmt;

use serde::Serialize;
use shared::domain::ProjectId;

/// So many projects of each kind are named in the lines for people.
const SHOWN: usize = 10;

/// What a run did. What an earlier run had done already is not counted again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The table's name.
    pub table: String,
    /// The lost table's name, if it was read.
    pub lost_table: Option<String>,
    /// Projects whose restoring this run brought to its end.
    pub restored_projects: u64,
    /// Projects that an earlier run had brought to its end.
    pub restored_before: u64,
    /// Rows written again above the range, tombstones included.
    pub rewritten_rows: u64,
    /// Tombstones for rows that only the lost table has.
    pub buried_rows: u64,
    /// Idempotency records removed.
    pub dropped_requests: u64,
    /// Projects of which the backup holds half a commit, and what was done about it.
    pub torn: Vec<Torn>,
    /// Projects that were left as they are, since more is wrong with them than a restore explains.
    pub damaged: Vec<Damaged>,
}

/// Half a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Torn {
    /// Which project.
    pub project: String,
    /// So many versions were held by no row.
    pub skipped_versions: u64,
    /// The rows written to finish what was half done.
    pub finished_rows: Vec<String>,
    /// Its creation was cut, and what there was of it was removed.
    pub removed: bool,
}

/// More than half a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damaged {
    /// Which project.
    pub project: String,
    /// What is wrong.
    pub detail: String,
}

impl Report {
    /// The exit code of the command: 0, or 1 if something was left as it is.
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.damaged.is_empty())
    }

    pub(super) fn torn(&mut self, project: &ProjectId) -> &mut Torn {
        let name = project.as_str();
        if self.torn.last().is_none_or(|torn| torn.project != name) {
            self.torn.push(Torn { project: name.to_owned(), ..Torn::default() });
        }
        let last = self.torn.len() - 1;
        &mut self.torn[last]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table     {}", self.table)?;
        match &self.lost_table {
            Some(lost) => {
                writeln!(f, "lost      {lost}: {} rows that only it has are tombstones now", self.buried_rows)?
            }
            None => writeln!(f, "lost      not read: every device has to start over (resync_required)")?,
        }
        writeln!(f, "projects  {} restored, {} had been before", self.restored_projects, self.restored_before)?;
        writeln!(f, "rows      {} written again", self.rewritten_rows)?;
        writeln!(f, "requests  {} idempotency records removed", self.dropped_requests)?;
        for torn in self.torn.iter().take(SHOWN) {
            let (project, skipped, finished) = (&torn.project, torn.skipped_versions, torn.finished_rows.len());
            if torn.removed {
                writeln!(f, "torn      {project}: its creation was cut; it was removed")?;
            } else {
                writeln!(f, "torn      {project}: {skipped} versions skipped, {finished} rows finished")?;
            }
        }
        for damaged in self.damaged.iter().take(SHOWN) {
            writeln!(f, "DAMAGED   {}: {}", damaged.project, damaged.detail)?;
        }
        let more = self.torn.len().saturating_sub(SHOWN) + self.damaged.len().saturating_sub(SHOWN);
        if more > 0 {
            writeln!(f, "          … and {more} more")?;
        }
        match self.damaged.len() {
            0 => write!(f, "restored. Audit the table with `local verify` before it takes traffic"),
            left => write!(f, "{left} projects were LEFT AS THEY ARE: more is wrong with them than a restore explains"),
        }
    }
}
