//! The words of the business and its rules. No I/O, no AWS, no HTTP.

mod access;
mod archive;
mod author;
mod checksum;
mod column_versions;
mod conflict;
mod counter;
mod draft;
mod error;
mod fields;
mod graph;
mod id;
pub mod json;
mod model;
mod precondition;
mod promised;
mod quota;
mod removals;
mod row;
mod unknown;
mod version;
mod version_history;

pub use access::{Actor, Role, authorize};
pub use archive::ArchivedVersions;
pub use author::{Author, LastWrite};
pub use checksum::Checksums;
pub use column_versions::ColumnVersions;
pub use conflict::{concurrent_changes, expect_seen};
pub use counter::{Counter, PullCounter, UnfinishedDeletion};
pub use draft::{Draft, PlannedWrite, RowState, Step};
pub use error::{Error, FieldConflict, FieldError};
pub use fields::{FieldErrors, Patched, Understood, merge, parse, patched, read, understand};
pub use graph::{Graph, cycle_through, find_cycle};
pub use id::{ConnectionId, IdempotencyKey, InvalidId, ProjectId, RowId, UserId, keyed_project_id, membership_id};
pub use model::{
    Calendar, CalendarException, Dependency, DependencyType, Membership, Project, Resource, Task, TaskStatus,
};
pub use precondition::{Base, Precondition};
pub use promised::PromisedAnswer;
pub use quota::{InvalidQuota, Quotas};
pub use removals::Removals;
pub use row::{Collection, CollectionName, Columns, Row, RowKey, State, UnknownCollection, Write};
pub use unknown::UnknownColumns;
pub use version::{InvalidVersion, Mark, ServerVersion, VersionSpan, WipePlace};
pub use version_history::{CorruptHistory, VersionHistory};
