//! Reads and writes MSPDI: the XML of Microsoft Project, which ProjectLibre, GanttProject and others write, too.
//!
//! - `element.rs` reads the XML: no DTD, no entity of the file's own, at most 100 MB
//! - `days.rs` turns hours into working days; `calendar.rs`, `task.rs` and `people.rs` turn elements into lines, and `leave.rs` lists
//!   what has no place here; `read.rs` puts them together
//! - `write.rs` writes a project
//!
//! Tasks keep their UID as `task-UID`. A file that was exported here has the ids in an extended attribute.

mod calendar;
mod days;
mod element;
mod leave;
mod people;
mod read;
mod task;
#[cfg(test)]
mod tests;
mod write;

pub(super) use calendar::by_name as calendars_by_name;
pub(super) use read::read;
pub use write::to_mspdi;

/// The extended attribute with the ids of tasks: Text30 of MS Project, by this name.
const ID_FIELD: &str = "188744016";
const ID_ALIAS: &str = "TruePPM id";
