//! The audit of a table: does it hold what the commits promise? Reads only, strongly, any endpoint.
//!
//! - [`run()`] reads project by project and judges each once it stands still (`read.rs`)
//! - [`judge()`] is the judgement: a pure function over what was read. Its parts: `rows.rs` (each item by itself),
//!   `versions.rs` (who holds which version), `counter.rs`, `references.rs`, `index.rs`
//! - [`Report`] is what comes out, as JSON and in a few lines

mod archive;
mod check;
mod counter;
mod index;
mod judge;
mod read;
mod references;
mod report;
mod rows;
mod versions;
mod world;

#[cfg(test)]
pub(crate) mod testing;

pub use check::{Check, Violation};
pub use judge::judge;
pub use read::{Patience, run};
pub use report::{Report, Verdict};
pub use world::{Judgement, Reading};
