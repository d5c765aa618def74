//! The operators' commands on a table: verify, diagnose, restore, backfill, erase, watch. None of them needs the embedded engine.

pub mod backfill;
pub mod command;
pub mod commands;
pub mod diagnose;
pub mod endpoint;
pub mod erase;
pub mod history;
mod operator;
pub mod restore;
pub mod text;
mod unnamed;
pub mod verify;
pub mod watch;
pub mod written;

pub use operator::{Left, batches};
