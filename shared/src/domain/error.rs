//! Errors, with one variant for each case that a caller treats differently.

use serde_json::Value;

use super::{Role, RowId, RowKey, ServerVersion};

/// An invalid field of a request.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    /// The field, or a path into it: `exceptions[0].end`.
    pub field: String,
    /// What the field must be.
    pub message: String,
}

/// A field that another request changed in the meantime.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldConflict {
    /// The field.
    pub field: String,
    /// Its current value.
    pub server: Value,
    /// The value in the request. Null if the request deletes the row.
    pub client: Value,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The project does not exist, or the caller never was a member. Callers cannot tell the two cases apart.
    #[error("not a member of the project")]
    NotAMember,
    /// The caller was a member and was removed.
    #[error("the membership was revoked")]
    MembershipRevoked,
    /// The caller is a member, but their role does not allow this.
    #[error("needs at least the role {needed:?}")]
    RoleTooLow {
        /// The lowest role that is allowed.
        needed: Role,
    },
    /// The caller is a member of a project that was deleted.
    #[error("the project is deleted")]
    ProjectDeleted,
    /// The row does not exist or is deleted.
    #[error("{0} does not exist")]
    NotFound(RowKey),
    /// Another row has this id.
    #[error("{0} already exists with other content")]
    IdTaken(RowKey),
    /// A deleted row had this id.
    #[error("{0} was deleted")]
    IdDeleted(RowKey),
    /// The request has invalid fields.
    #[error("{} invalid field(s)", .0.len())]
    Invalid(Vec<FieldError>),
    /// A batch would write more than fits into one commit.
    #[error("the batch exceeds {max} {what} per commit")]
    BatchTooLarge {
        /// What is limited: rows, bytes or operations.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// An operation of a batch is refused, and so the whole batch is.
    #[error("operation {index} of the batch: {error}")]
    Operation {
        /// The operation's index, from 0.
        index: usize,
        /// Why it is refused.
        error: Box<Error>,
    },
    /// The dependency would create a cycle through these tasks.
    #[error("the dependency creates a cycle")]
    DependencyCycle {
        /// The tasks of the cycle, in the order of the edges.
        tasks: Vec<RowId>,
    },
    /// A live dependency has the same tasks and type.
    #[error("the dependency already exists")]
    DuplicateDependency {
        /// The existing dependency.
        id: RowId,
    },
    /// The project uses the calendar.
    #[error("the calendar is in use")]
    CalendarInUse,
    /// The last owner can neither leave nor be demoted.
    #[error("a project needs an owner")]
    LastOwner,
    /// A project would hold more than the deployment or DynamoDB allows, or a user would create more.
    #[error("at most {max} {what} are allowed")]
    QuotaExceeded {
        /// What is limited: a collection's name, or `gigabytes`.
        what: &'static str,
        /// The limit.
        max: u32,
    },
    /// The row changed since the caller read it.
    #[error("the row is at version {version}")]
    Stale {
        /// The row's current version.
        version: ServerVersion,
        /// The row as REST shows it.
        row: String,
    },
    /// The patch sets fields that others have set to another value since the base version.
    #[error("{} field(s) have conflicting changes", fields.len())]
    Conflict {
        /// The row's current version.
        version: ServerVersion,
        /// The conflicting fields, at least one, in the collection's order.
        fields: Vec<FieldConflict>,
    },
    /// The caller used this idempotency key for another request.
    #[error("the idempotency key belongs to another request")]
    KeyReused,
    /// The device's mark is ahead of the counter: a backup was restored, or the stage or project is another one.
    #[error("the mark is ahead of the server's version {current}")]
    SinceAheadOfServer {
        /// The counter, from a second read.
        current: ServerVersion,
    },
    /// The table was restored from a backup. The device may have rows that the restored table never had.
    #[error("marks up to {through} are from before the restore")]
    ResyncRequired {
        /// The highest mark that is refused.
        through: ServerVersion,
    },
    /// `min_version` is a version that the project has not reached. It belongs to another server or project.
    #[error("min_version is ahead of the server's version {current}")]
    MinVersionAheadOfServer {
        /// The counter, read several times for a short while.
        current: ServerVersion,
    },
    /// Other commits won until the deadline. Nothing was written.
    #[error("the project is too busy")]
    Busy,
    /// At the deadline it is unknown whether the write took effect. Repeating the same request finds out.
    #[error("the outcome of the write is not known")]
    OutcomeUnknown,
    /// At the deadline the pull was not proven complete.
    #[error("the response was not proven complete")]
    NotProven,
    /// The pull needs strong reads, and too many are in progress.
    #[error("too many strong reads in progress")]
    Overloaded,
    /// The table does not exist, cannot be reached, or refuses the request.
    #[error("the table is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The table holds something that this code never writes.
    #[error("the table is corrupt: {0}")]
    Corrupt(String),
    /// This code did something that it never does, whatever the table holds and the caller sends.
    #[error("a bug: {0}")]
    Bug(&'static str),
}

impl Error {
    /// Whether the error is about this one change only, and not about the caller, the project or the server. Then
    /// another change of the same request may still be made.
    pub fn refuses_the_change(&self) -> bool {
        match self {
            Self::RoleTooLow { .. }
            | Self::NotFound(_)
            | Self::IdTaken(_)
            | Self::IdDeleted(_)
            | Self::Invalid(_)
            | Self::BatchTooLarge { .. }
            | Self::DependencyCycle { .. }
            | Self::DuplicateDependency { .. }
            | Self::CalendarInUse
            | Self::LastOwner
            | Self::QuotaExceeded { .. }
            | Self::Stale { .. }
            | Self::Conflict { .. } => true,
            Self::Operation { error, .. } => error.refuses_the_change(),
            Self::NotAMember
            | Self::MembershipRevoked
            | Self::ProjectDeleted
            | Self::KeyReused
            | Self::SinceAheadOfServer { .. }
            | Self::ResyncRequired { .. }
            | Self::MinVersionAheadOfServer { .. }
            | Self::Busy
            | Self::OutcomeUnknown
            | Self::NotProven
            | Self::Overloaded
            | Self::Unavailable(_)
            | Self::Corrupt(_)
            | Self::Bug(_) => false,
        }
    }
}
