//! Makes a table that DynamoDB restored from a backup one that commits could have left behind, and one that devices with
//! marks from after the backup can pull from. To be run while nothing else uses the table.
//!
//! A restore may cut a commit in two, and devices hold marks that the restored table has not handed out yet. Project by
//! project, in this order:
//!
//! 1. The counter is set to the highest version that a row holds, its checksums to those of the live rows, versions that
//!    none holds become `skipped`, `last` is emptied: the rows of a commit that was cut never come. A project whose creation was cut is removed.
//!    Versions that were superseded and that nothing names are archived (see `unnamed.rs`), after they were told from skipped ones.
//! 2. Idempotency records that speak of a version which the table does not hold are removed: what they answer was taken back.
//! 3. The counter is raised by 2^32. No version below that is handed out again.
//! 4. What that commit left half done is finished (`finish.rs`). Who lost access after the backup loses it again, and a
//!    project without an owner gets one (`access.rs`).
//! 5. Every row is written again above the range: so whatever mark a device holds, its next pull brings every row.
//! 6. Rows that only the lost table has become tombstones; without that table, marks from before are refused
//!    (`resync_required`), and the devices replace what they hold.
//!
//! A project that cannot be restored is reported and left as it is, and the next one begins.
//!
//! [`run()`] does it; what comes next is decided by a pure function over what the table holds (`plan.rs`), so that a run
//! that was stopped anywhere is gone on with by the next. Rows are written by ordinary commits.

mod access;
mod finish;
mod plan;
mod report;
mod run;
#[cfg(test)]
mod tests;

pub use report::Report;
pub use run::{Options, RAISE, run};
