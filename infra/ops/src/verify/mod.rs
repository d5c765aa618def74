//! Checks a table for consistency violations. Read-only, with strong reads, on any endpoint.
//!
//! - [`run()`] reads project by project, and judges each when it has stopped changing (`read.rs`)
//! - [`judge()`] is a pure function over the project that was read. Its parts: `rows.rs` (each item by itself), `versions.rs`
//!   (which row has which version), `counter.rs`, `references.rs`, `index.rs`
//! - [`Report`] is the result, as JSON and in a few lines

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
