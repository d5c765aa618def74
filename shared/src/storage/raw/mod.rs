//! The fast path of a pull. It reads DynamoDB's answers without the SDK's types, and copies rows into the response without parsing
//! them.
//!
//! **What.** DynamoDB sends a row's JSON escaped, inside a JSON string. The gateway wants the body of a response escaped, inside a
//! JSON string. So the text of a row can be copied as it is:
//!
//! - `answer.rs` lets the SDK make the call, but reads the answer itself, without the SDK's map of attribute values
//! - `item.rs` has the attributes of items
//! - `query.rs` reads a page of rows, and `pull_start.rs` the counter and the membership with which a pull starts
//! - `rows.rs` finds where the text of each row begins and ends in a page
//! - `escaped.rs` is the text of a row, a part of the body that is never copied before it is written
//! - `response.rs` writes a function's response in pieces, without reading it again
//!
//! **Why.** A full pull of 10,000 rows takes 26 ms of CPU instead of 92 ms. `cargo bench -p tests --bench reference`
//! measures it.
//!
//! **How to do without it.** Read with the SDK's own types (`layout::feed_row`, `layout::row` and `layout::counter` make the same of
//! an item, and the tests compare both), make [`Escaped`] a `String` of JSON, and let the sync function return its body as text through
//! `lambda_http::run`. Nothing outside of this folder changes but the types' names.

mod answer;
mod escaped;
mod item;
mod pull_start;
mod query;
mod response;
mod rows;
#[cfg(test)]
mod testing;

pub use escaped::{Escaped, NotEscaped, escape_into, escaped_len};
pub(super) use pull_start::send as read_pull_start;
pub(super) use query::{is_throttle, send, send_once_if_throttled};
pub use response::serialize_pieces;
