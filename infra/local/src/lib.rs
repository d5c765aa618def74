//! The local stack: an embedded DynamoDB-compatible engine and both functions in one process, so that a machine with
//! nothing but Rust and its C compiler runs the product. The tests stand on it as well.

pub mod api;
pub mod backfill;
pub mod client;
pub mod demo;
pub mod engine;
pub mod erase;
pub mod history;
pub mod loopback;
mod operator;
pub mod plan;
mod reasons;
pub mod restore;
pub mod serve;
pub mod table;
pub mod token;
mod unnamed;
pub mod verify;
pub mod watch;
pub mod written;

pub use reasons::reasons;
