//! What is checked, and what is said when it does not hold.

use serde::Serialize;
use shared::domain::ProjectId;

use crate::written::Written;

/// One thing that must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Every partition is a project's or its idempotency records'.
    PartitionKnown,
    /// Every project has a counter, and it can be read.
    CounterReadable,
    /// Every archive can be read.
    ArchiveReadable,
    /// Every other item of a project is a row that can be read.
    RowReadable,
    /// A row's columns obey the rules of its collection.
    RowObeysRules,
    /// A row's attributes say the same as its key and its JSON.
    AttributesAgree,
    /// A membership's id follows from project and user.
    MembershipId,
    /// A row has been written as often as it says it held versions.
    WritesAgree,
    /// The project's own row is there, once, under the project's id.
    ProjectRow,
    /// No version is held by two rows.
    VersionHeldOnce,
    /// Every version is held or archived, unless it is skipped or below a cut that a row declares.
    VersionHeld,
    /// Every archived version was superseded by the row that is named, and is neither skipped nor above the counter; a row that was archived
    /// from its first version on was written as often as it is told of.
    ArchiveAgrees,
    /// No row holds a version above the counter.
    VersionOnCounter,
    /// The counter's skipped ranges are in order and no row holds a version in them.
    SkippedHeldByNone,
    /// All rows' `writes` and the skipped versions add up to the counter.
    WritesAddUp,
    /// The rows of the latest commit are in place, and are the latest.
    LastInPlace,
    /// The counter's checksums are those of the live rows.
    ChecksumsAgree,
    /// A deletion that the counter notes as unfinished is that of a live task.
    UnfinishedTaskLive,
    /// `deleted_at` is the version of the project's tombstone.
    DeletedAtAgrees,
    /// A live dependency names two live tasks.
    EdgeNamesLiveTasks,
    /// No two live dependencies have the same ends and type.
    EdgeOnce,
    /// The live dependencies have no cycle.
    NoCycle,
    /// A live project has a live owner.
    HasOwner,
    /// A live project's calendar is live.
    CalendarLive,
    /// A live task's assignee is or was a member.
    AssigneeWasMember,
    /// The index has each row as the table has it; copies that are merely behind are counted apart.
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

/// Something that does not hold. Names items, attributes and versions, never what a row says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Violation {
    /// The project, or the key of a partition that is none.
    pub project: String,
    /// The item, when it is about one.
    pub entity: Option<String>,
    /// What does not hold.
    pub check: Check,
    /// How it was noticed.
    pub detail: String,
    /// Who wrote the item last, when that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<Written>,
}

impl Violation {
    /// About a project as a whole.
    pub fn of_project(project: &ProjectId, check: Check, detail: impl Into<String>) -> Self {
        Self { project: project.to_string(), entity: None, check, detail: detail.into(), written: None }
    }
}
