//! Compares a device's report with the table: what differs, why, and what to do. Read-only, with strong reads, on any endpoint.
//!
//! - [`DeviceReport`] is the result of `sync.report()` of the client package, which may have been changed by anybody
//! - [`run()`] reads each of its projects from the table
//! - [`diagnose()`] is the comparison, a pure function over the report and the project that was read. Its parts: `mark.rs`,
//!   `standing.rs` (whether the user may still have the project), `rows.rs`, `sums.rs` (checksums), `schema.rs`, `edits.rs`,
//!   `request.rs`, `phone.rs` (the clock, and problems that stop syncing)
//! - [`Diagnosis`] is the result, as JSON and in lines for people

mod device;
mod edits;
mod finding;
mod judge;
mod mark;
mod outcome;
mod phone;
mod read;
mod request;
mod rows;
mod schema;
mod standing;
mod state;
mod sums;

#[cfg(test)]
mod testing;

pub use device::{DeviceReport, MAX_BYTES, ReportError};
pub use finding::{Difference, Finding, Level, NamedRow};
pub use judge::diagnose;
pub use outcome::{Diagnosis, ProjectDiagnosis, Verdict};
pub use read::run;
pub use state::TableState;
pub use sums::Compared;
