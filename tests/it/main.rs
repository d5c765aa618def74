//! What the whole does, seen from outside: over HTTP, and in the table.

mod access;
mod calendars;
mod creation;
mod dependencies;
mod lists;
mod memberships;
mod paging;
mod preconditions;
mod projects;
mod pull;
mod removal;
mod tasks;
