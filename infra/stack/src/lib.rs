//! The local stack: an embedded DynamoDB-compatible engine and the functions in one process, so that a machine with nothing but
//! Rust and its C compiler runs the product. The tests use it as well.

pub mod engine;
pub mod live;
pub mod loopback;
pub mod serve;
pub mod table;
pub mod token;
