//! The words of the business and its rules. No I/O, no AWS, no HTTP.

mod access;
mod changed;
mod draft;
mod error;
mod fields;
mod graph;
mod id;
mod model;
mod row;
mod superseded;
mod version;

pub use access::{Actor, Role, authorize};
pub use changed::Changed;
pub use draft::{Draft, PlannedRow, Standing, Step};
pub use error::{Error, FieldError};
pub use fields::{FieldErrors, merge, parse, read};
pub use graph::{Graph, cycle_through};
pub use id::{InvalidId, ProjectId, RowId, UserId, membership_id};
pub use model::{
    Calendar, CalendarException, Dependency, DependencyType, Membership, Project, Resource, Task, TaskStatus,
};
pub use row::{Collection, Columns, Counter, Row, RowKey, State, Write};
pub use superseded::{CorruptHistory, Superseded};
pub use version::{InvalidVersion, ServerVersion, Since};
