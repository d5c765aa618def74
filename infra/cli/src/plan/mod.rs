//! Exports a project plan to files, and imports them: CSV files for a spreadsheet, or an XML file for MS Project.
//!
//! - `format.rs` says which CSV file has which columns, and what a cell means
//! - `rfc4180.rs` checks that a text is CSV, `file.rs` reads it into lines that know where they are from (`line.rs`), `names.rs` finds
//!   files and columns that are not known
//! - `mspdi/` reads and writes the XML of MS Project, with `users.rs`, which maps resources to users
//! - `check.rs` checks all lines, with each other and with what the project has, before anything is written; `edges.rs` finds the
//!   order in which dependencies can be written; `hurts.rs` warns
//! - [`import()`] does all of that, and `write.rs` writes the missing rows over REST in batches; [`export()`] and [`to_mspdi()`]
//!   write the files
//! - [`Contents`] has the contents of a project, as a device would get them

mod check;
mod contents;
mod edges;
mod export;
mod fault;
mod file;
mod format;
mod hurts;
mod import;
mod line;
mod mspdi;
mod names;
mod report;
mod rfc4180;
#[cfg(test)]
mod tests;
mod users;
mod write;

pub use contents::{Contents, read};
pub use export::{export, to_json};
pub use fault::Fault;
pub use import::{Import, import, is_xml};
pub use mspdi::to_mspdi;
pub use report::{Change, Report, Skipped};

use crate::client::CallError;

/// The reason why an import or an export failed.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A file or directory cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The path.
        path: String,
        /// The reason.
        source: std::io::Error,
    },
    /// The options or files cannot be used.
    #[error("{0}")]
    Asked(String),
    /// A call of the server failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl PlanError {
    fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { path, source }
    }
}
