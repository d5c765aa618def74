//! The operators' commands, one module each: options and output. `trueppm` has them too.

pub mod backfill;
pub mod diagnose;
pub mod erase;
pub mod restore;
pub mod verify;
pub mod watch;
