//! The list of checks, and the form of a violation.

use serde::Serialize;
use shared::domain::ProjectId;

use crate::written::Written;

/// An invariant of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Every partition belongs to a project or has idempotency records.
    PartitionKnown,
    /// Every project has a readable counter.
    CounterReadable,
    /// Every archive can be read.
    ArchiveReadable,
    /// Every other item of a project is a row that can be read.
    RowReadable,
    /// A row's columns obey the rules of its collection.
    RowObeysRules,
    /// A row's attributes agree with its key and its JSON.
    AttributesAgree,
    /// A membership's id is the one derived from project and user.
    MembershipId,
    /// A row's revision count (`writes`) agrees with its version history.
    WritesAgree,
    /// The project's own row exists once, under the project's id.
    ProjectRow,
    /// No two rows have the same version.
    VersionHeldOnce,
    /// Every version belongs to a row or is archived, unless it is skipped or below the start of a cut version history.
    VersionHeld,
    /// Every archived version was superseded by the row that the archive names, and is neither skipped nor above the counter. If
    /// all superseded versions of a row are known, its revision count agrees with them.
    ArchiveAgrees,
    /// No row has a version above the counter.
    VersionOnCounter,
    /// The counter's skipped ranges are in order, and no row has a version in them.
    SkippedHeldByNone,
    /// The revision counts (`writes`) of all rows and the number of skipped versions add up to the counter.
    WritesAddUp,
    /// The write set of the latest commit (`last`) is in place, and is the latest.
    LastInPlace,
    /// The counter's checksums agree with the live rows.
    ChecksumsAgree,
    /// A deletion that the counter lists as unfinished is the deletion of a live task.
    UnfinishedTaskLive,
    /// `deleted_at` is the version of the project's tombstone.
    DeletedAtAgrees,
    /// A live dependency names two live tasks.
    EdgeNamesLiveTasks,
    /// No two live dependencies have the same tasks and type.
    EdgeOnce,
    /// The live dependencies have no cycle.
    NoCycle,
    /// A live project has a live owner.
    HasOwner,
    /// A live project's calendar is live.
    CalendarLive,
    /// A live task's assignee is or was a member.
    AssigneeWasMember,
    /// The index agrees with the table. Copies that are only behind are counted separately.
    IndexAgrees,
}

impl Check {
    /// All checks, in the order of the report.
    pub const ALL: [Self; 26] = [
        Self::PartitionKnown,
        Self::CounterReadable,
        Self::ArchiveReadable,
        Self::RowReadable,
        Self::RowObeysRules,
        Self::AttributesAgree,
        Self::MembershipId,
        Self::WritesAgree,
        Self::ProjectRow,
        Self::VersionHeldOnce,
        Self::VersionHeld,
        Self::ArchiveAgrees,
        Self::VersionOnCounter,
        Self::SkippedHeldByNone,
        Self::WritesAddUp,
        Self::LastInPlace,
        Self::ChecksumsAgree,
        Self::UnfinishedTaskLive,
        Self::DeletedAtAgrees,
        Self::EdgeNamesLiveTasks,
        Self::EdgeOnce,
        Self::NoCycle,
        Self::HasOwner,
        Self::CalendarLive,
        Self::AssigneeWasMember,
        Self::IndexAgrees,
    ];
}

/// A violation. It names items, attributes and versions, and never has the content of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Violation {
    /// The project, or the key of an unknown partition.
    pub project: String,
    /// The item, if the violation is about one.
    pub entity: Option<String>,
    /// The check that failed.
    pub check: Check,
    /// What is wrong.
    pub detail: String,
    /// The author of the item's last write, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<Written>,
}

impl Violation {
    /// A violation by the project as a whole.
    pub fn of_project(project: &ProjectId, check: Check, detail: impl Into<String>) -> Self {
        Self { project: project.to_string(), entity: None, check, detail: detail.into(), written: None }
    }
}
