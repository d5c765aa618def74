//! What comes out of a restore: JSON for programs, a few lines for people.

use std::fmt;

use serde::Serialize;
use shared::domain::{Collection, ProjectId, Row};

use super::finish::Fix;

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
    /// Versions archived that rows had superseded and that nothing named.
    pub archived_versions: u64,
    /// Idempotency records removed: the table does not hold, or not wholly, what they answer.
    pub dropped_requests: u64,
    /// Idempotency records that count still.
    pub kept_requests: u64,
    /// Memberships that are otherwise than in the backup.
    pub memberships: Vec<MembershipChange>,
    /// Without the lost table: who has access to each project by the backup. Whoever was removed or got a lower role after
    /// the backup is among them.
    pub have_access: Vec<Members>,
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

/// A membership that is otherwise than in the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MembershipChange {
    /// Of which project.
    pub project: String,
    /// Of whom.
    pub user: String,
    /// The role that they have now; none for a membership that was ended after the backup and stays ended.
    pub role: Option<i64>,
}

/// The members of a project, as the backup has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Members {
    /// Of which project.
    pub project: String,
    /// The live memberships: user and role.
    pub members: Vec<Member>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Who.
    pub user: String,
    /// As what.
    pub role: i64,
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

    /// Notes what was put right in a project.
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

    /// Notes who has access to a project.
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
                writeln!(f, "lost      {lost}: {} rows that only it has are tombstones now", self.buried_rows)?
            }
            None => writeln!(f, "lost      not read: every device has to start over (resync_required)")?,
        }
        writeln!(f, "projects  {} restored, {} had been before", self.restored_projects, self.restored_before)?;
        writeln!(f, "rows      {} written again", self.rewritten_rows)?;
        if self.archived_versions > 0 {
            writeln!(f, "versions  {} archived that nothing named any more", self.archived_versions)?;
        }
        writeln!(f, "requests  {} idempotency records removed, {} kept", self.dropped_requests, self.kept_requests)?;
        let (members, projects) =
            (self.have_access.iter().map(|of| of.members.len()).sum::<usize>(), self.have_access.len());
        if members > 0 {
            writeln!(
                f,
                "access    {members} memberships of {projects} projects are as the backup has them: whoever was"
            )?;
            writeln!(
                f,
                "          removed, or got a lower role, after the backup has access again. --json names them"
            )?;
        }
        for change in self.memberships.iter().take(SHOWN) {
            let MembershipChange { project, user, role } = change;
            match role {
                Some(role) => writeln!(f, "access    {project}: {user} has the role {role}, unlike in the backup")?,
                None => writeln!(f, "access    {project}: {user} was removed after the backup and stays so")?,
            }
        }
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
        let left_out = |all: usize| all.saturating_sub(SHOWN);
        let more = left_out(self.torn.len()) + left_out(self.damaged.len()) + left_out(self.memberships.len());
        if more > 0 {
            writeln!(f, "          … and {more} more")?;
        }
        match self.damaged.len() {
            0 => write!(f, "restored. Audit the table with `trueppm verify` before it takes traffic"),
            left => {
                write!(f, "{left} projects are NOT RESTORED. Do not open the table to them; run this again when mended")
            }
        }
    }
}
