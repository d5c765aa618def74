//! A device's report beside the table: what differs, why, and what to do. Reads only, strongly, any endpoint.
//!
//! - [`DeviceReport`] is what `sync.report()` of the client package makes, and nobody vouches for it
//! - [`run()`] reads each of its projects from the table
//! - [`diagnose()`] is the comparison: a pure function over the report and what was read. Its parts: `mark.rs`,
//!   `standing.rs` (may the user still have the project), `rows.rs`, `sums.rs` (checksums), `schema.rs`, `edits.rs`,
//!   `request.rs`, `phone.rs` (clock, what keeps it from syncing)
//! - [`Diagnosis`] is what comes out, as JSON and in lines for people

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
