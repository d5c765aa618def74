//! What can go wrong, one variant for each case that a caller treats differently.

use serde_json::Value;

use super::{Role, RowId, RowKey, ServerVersion};

/// One field of a request and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    /// The field, or a path into it: `exceptions[0].end`.
    pub field: String,
    /// What it must be.
    pub message: String,
}

/// A field that someone else has changed meanwhile.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldConflict {
    /// The field.
    pub field: String,
    /// The value that it has now.
    pub server: Value,
    /// The value that the request would give it; null where it deletes the row.
    pub client: Value,
}

/// Why a request got no ordinary answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The project does not exist, or the caller never was a member: the two look the same.
    #[error("not a member of the project")]
    NotAMember,
    /// The caller was a member and was removed.
    #[error("the membership was revoked")]
    MembershipRevoked,
    /// The caller is a member, but may not do this.
    #[error("needs at least the role {needed:?}")]
    RoleTooLow {
        /// What it takes.
        needed: Role,
    },
    /// The caller is a member of a project that was deleted.
    #[error("the project is deleted")]
    ProjectDeleted,
    /// No such live row.
    #[error("{0} is not there")]
    NotFound(RowKey),
    /// Another row has this id.
    #[error("{0} is taken")]
    IdTaken(RowKey),
    /// A deleted row had this id.
    #[error("{0} was deleted")]
    IdDeleted(RowKey),
    /// Fields that break a rule.
    #[error("{} field(s) break a rule", .0.len())]
    Invalid(Vec<FieldError>),
    /// A batch would write more than fits into one commit.
    #[error("the batch has more {what} than the {max} that fit")]
    BatchTooLarge {
        /// Of what.
        what: &'static str,
        /// How much of it fits.
        max: usize,
    },
    /// An operation of a batch is refused, and the whole batch with it.
    #[error("operation {index} of the batch: {error}")]
    Operation {
        /// Which one, the first being 0.
        index: usize,
        /// Why.
        error: Box<Error>,
    },
    /// The dependency would close a cycle through these tasks.
    #[error("the dependency closes a cycle")]
    DependencyCycle {
        /// The tasks on it, in the order of the edges.
        tasks: Vec<RowId>,
    },
    /// A live dependency with the same ends and type.
    #[error("the dependency is there already")]
    DuplicateDependency {
        /// The one that is there.
        id: RowId,
    },
    /// The project uses the calendar.
    #[error("the calendar is in use")]
    CalendarInUse,
    /// The last owner can neither leave nor be demoted.
    #[error("the last owner")]
    LastOwner,
    /// A project would hold, or a user would create, more than the deployment allows.
    #[error("more {what} than the {max} that are allowed")]
    QuotaExceeded {
        /// Of what: a collection's name.
        what: &'static str,
        /// How many are allowed.
        max: u32,
    },
    /// The row changed since the caller read it.
    #[error("the row is at version {version}")]
    Stale {
        /// Where it is now.
        version: ServerVersion,
        /// The row as REST shows it.
        row: String,
    },
    /// Fields were changed to other values since the version that the caller's change was made on.
    #[error("{} field(s) were changed meanwhile", fields.len())]
    Conflict {
        /// Where the row is now.
        version: ServerVersion,
        /// The fields, at least one, in the collection's order.
        fields: Vec<FieldConflict>,
    },
    /// The caller used this idempotency key for another request.
    #[error("the idempotency key belongs to another request")]
    KeyReused,
    /// The device's mark is ahead of the counter: a restored backup, the wrong stage or project.
    #[error("the mark is ahead of the server's {current}")]
    SinceAheadOfServer {
        /// The counter, read once more.
        current: ServerVersion,
    },
    /// The table was restored from a backup: what the device holds may never have been, as the server sees it.
    #[error("marks up to {through} are from before the restore")]
    ResyncRequired {
        /// The last version that is refused.
        through: ServerVersion,
    },
    /// The caller asks for a version that was not given out: one of another server or project.
    #[error("min_version is ahead of the server's {current}")]
    MinVersionAheadOfServer {
        /// The counter, read for a moment.
        current: ServerVersion,
    },
    /// Others were faster until the deadline; nothing was written.
    #[error("the project is too busy")]
    Busy,
    /// A write's fate is not known at the deadline: the same request again finds out.
    #[error("the outcome of the write is not known")]
    OutcomeUnknown,
    /// A pull could not be proven complete until the deadline.
    #[error("could not prove that nothing is missing")]
    NotProven,
    /// So much is read strongly already that a pull which would need that, too, has to come again.
    #[error("too many strong readings")]
    Overloaded,
    /// The table is missing, unreachable or refuses.
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
    /// Does it say that this one change cannot be made, and nothing of the caller, the project or the server? Then another
    /// change by the same request may be made all the same.
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
