//! What the whole does, seen from outside: over HTTP, and in the table.

mod calendars;
mod dependencies;
mod projects;
mod tasks;
