//! Exports a project plan to CSV files for a spreadsheet, and imports them.
//!
//! - `format.rs`: which file has which columns, and what a cell says
//! - `file.rs` reads a file into lines that know where they are from; `check.rs` checks all of them, with each other and
//!   with what the project has, before anything is written
//! - [`import()`] writes what is missing, over REST in batches; [`export()`] writes the files
//! - [`Contents`] is what a project has, as a device would get it

mod check;
mod contents;
mod export;
mod file;
mod format;
mod import;
#[cfg(test)]
mod tests;

pub use contents::{Contents, read};
pub use export::{export, to_json};
pub use file::Fault;
pub use import::{Import, Report, import};

use crate::client::CallError;

/// Why an import or an export could not be done.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A file or directory cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
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
