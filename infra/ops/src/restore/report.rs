//! The report of a restore: JSON for programs, a few lines for people.

use std::fmt;

use serde::Serialize;
use shared::domain::{Collection, ProjectId, Row};

use super::finish::Fix;

/// The maximum number of projects of each kind that the lines for people name.
const SHOWN: usize = 10;

/// The report of a run. Work of an earlier run is not counted again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The table's name.
    pub table: String,
    /// The lost table's name, if it was read.
    pub lost_table: Option<String>,
    /// Projects that this run finished.
    pub restored_projects: u64,
    /// Projects that an earlier run had finished.
    pub restored_before: u64,
    /// Rows written again above the range, tombstones included.
    pub rewritten_rows: u64,
    /// Tombstones for rows that only the lost table has.
    pub buried_rows: u64,
    /// Superseded versions that no version history named and that are archived now.
    pub archived_versions: u64,
    /// Idempotency records removed, because the table lacks rows of their responses.
    pub dropped_requests: u64,
    /// Idempotency records that are still valid.
    pub kept_requests: u64,
    /// Memberships that differ from the backup.
    pub memberships: Vec<MembershipChange>,
    /// Without the lost table: who has access to each project, according to the backup. Members who were removed or got a lower
    /// role after the backup are among them.
    pub have_access: Vec<Members>,
    /// Projects of which the backup has half a commit, and how they were repaired.
    pub torn: Vec<Torn>,
    /// Projects that were not repaired, because they have faults that a restore cannot cause.
    pub damaged: Vec<Damaged>,
}

/// Half a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Torn {
    /// The project.
    pub project: String,
    /// The number of versions that no row had.
    pub skipped_versions: u64,
    /// The rows written to finish the half commit.
    pub finished_rows: Vec<String>,
    /// Whether the project's creation was cut, so that its items were removed.
    pub removed: bool,
}

/// A membership that differs from the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MembershipChange {
    /// The project.
    pub project: String,
    /// The user.
    pub user: String,
    /// The user's role now; none if the membership ended after the backup and stays ended.
    pub role: Option<i64>,
}

/// The members of a project, according to the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Members {
    /// The project.
    pub project: String,
    /// The live memberships: user and role.
    pub members: Vec<Member>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// The user.
    pub user: String,
    /// The role.
    pub role: i64,
}

/// A project that cannot be repaired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damaged {
    /// The project.
    pub project: String,
    /// The faults in words.
    pub detail: String,
}

impl Report {
    /// The exit status of the command: 0, or 1 if a project was not repaired.
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.damaged.is_empty())
    }

    /// Adds the repairs in a project.
    pub(super) fn fixed(&mut self, project: &ProjectId, fixes: &[Fix]) {
        for fix in fixes {
            match fix.membership() {
                None => self.torn(project).finished_rows.push(fix.key(project).to_string()),
                Some((membership, live)) => self.memberships.push(MembershipChange {
                    project: project.to_string(),
                    user: membership.user.to_string(),
                    role: live.then_some(membership.role.into()),
                }),
            }
        }
    }

    /// Adds the members of a project.
    pub(super) fn have_access<'a>(&mut self, project: &ProjectId, rows: impl Iterator<Item = &'a Row>) {
        let memberships = rows.filter(|row| row.key.collection == Collection::Memberships);
        let member = |columns: &shared::domain::Columns| {
            Some(Member { user: columns.get("user")?.as_str()?.to_owned(), role: columns.get("role")?.as_i64()? })
        };
        let members: Vec<Member> = memberships.filter_map(Row::live).filter_map(member).collect();
        if !members.is_empty() {
            self.have_access.push(Members { project: project.to_string(), members });
        }
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
                writeln!(f, "lost      {lost}: {} rows that only it has became tombstones", self.buried_rows)?
            }
            None => writeln!(f, "lost      not read: every device needs a full sync (resync_required)")?,
        }
        writeln!(
            f,
            "projects  {} restored, {} restored by an earlier run",
            self.restored_projects, self.restored_before
        )?;
        writeln!(f, "rows      {} written again", self.rewritten_rows)?;
        if self.archived_versions > 0 {
            writeln!(f, "versions  {} superseded versions archived", self.archived_versions)?;
        }
        writeln!(f, "requests  {} idempotency records removed, {} kept", self.dropped_requests, self.kept_requests)?;
        let (members, projects) =
            (self.have_access.iter().map(|of| of.members.len()).sum::<usize>(), self.have_access.len());
        if members > 0 {
            writeln!(
                f,
                "access    {members} memberships of {projects} projects are as in the backup: members who were"
            )?;
            writeln!(f, "          removed or got a lower role after the backup have access again. --json lists them")?;
        }
        for change in self.memberships.iter().take(SHOWN) {
            let MembershipChange { project, user, role } = change;
            match role {
                Some(role) => {
                    writeln!(f, "access    {project}: {user} has the role {role}, which differs from the backup")?
                }
                None => writeln!(f, "access    {project}: {user} was removed after the backup and stays removed")?,
            }
        }
        for torn in self.torn.iter().take(SHOWN) {
            let (project, skipped, finished) = (&torn.project, torn.skipped_versions, torn.finished_rows.len());
            if torn.removed {
                writeln!(f, "torn      {project}: the backup has half of its creation; it was removed")?;
            } else {
                writeln!(f, "torn      {project}: {skipped} versions skipped, {finished} rows finished")?;
            }
        }
        for damaged in self.damaged.iter().take(SHOWN) {
            writeln!(f, "DAMAGED   {}: {}", damaged.project, damaged.detail)?;
        }
        let left_out = |all: usize| all.saturating_sub(SHOWN);
        let more = left_out(self.torn.len()) + left_out(self.damaged.len()) + left_out(self.memberships.len());
        if more > 0 {
            writeln!(f, "          … and {more} more")?;
        }
        match self.damaged.len() {
            0 => write!(f, "restored. Check the table with `trueppm verify` before you send traffic to it"),
            left => {
                write!(f, "{left} projects are NOT RESTORED. Send no traffic to them. Repair them, then run this again")
            }
        }
    }
}
