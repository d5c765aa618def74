//! Repairs a table that was restored from a DynamoDB backup: re-establishes the invariants of commits, and invalidates marks that
//! devices got after the backup. Nothing else may use the table meanwhile.
//!
//! A backup may cut a commit in two, and devices have marks that the restored table has not handed out yet. Each project is
//! repaired in this order:
//!
//! 1. The counter is set to the highest version of a row, and its checksums to those of the live rows. Versions that no row has
//!    become `skipped`, and `last` is emptied, because the missing rows of a cut commit never come. A project whose creation was
//!    cut is removed. Superseded versions that nothing names are archived (see `unnamed.rs`) after they were told from skipped ones.
//! 2. Idempotency records of versions that the table does not have are removed: their changes are lost.
//! 3. The counter is raised by 2^32. No version below that is handed out again.
//! 4. The half commit is finished (`finish.rs`). Members who lost access after the backup lose it again, and a project without an
//!    owner gets one (`access.rs`).
//! 5. Every row is written again above the range. So the next pull of every device brings every row, whatever its mark.
//! 6. Rows that only the lost table has become tombstones. Without that table, older marks are refused (`resync_required`), and
//!    the devices replace their data.
//!
//! A project that cannot be repaired is reported and not changed, and the next one begins.
//!
//! [`run()`] does the work. A pure function over the contents of the table decides the next step (`plan.rs`), so an interrupted run
//! can be continued by the next one. Rows are written by ordinary commits.

mod access;
mod finish;
mod plan;
mod report;
mod run;
#[cfg(test)]
mod tests;

pub use report::Report;
pub use run::{Options, RAISE, run};
