//! The fast path of a pull: rows are copied from DynamoDB's answer to the gateway's without being parsed.
//!
//! **What.** DynamoDB sends a row's JSON escaped, inside a JSON string. The gateway wants the body of a response escaped, inside a
//! JSON string. So the text of a row can be copied as it is:
//!
//! - `rows.rs` finds where the text of each row begins and ends in the body of a query's answer
//! - `query.rs` lets the SDK send the query, but reads the answer itself, without the SDK's map of attribute values
//! - `escaped.rs` is the text of a row, a part of the body that is never copied before it is written
//! - `response.rs` writes a function's response in pieces, without reading it again
//!
//! **Why.** A full pull of 10,000 rows takes 25 ms of CPU instead of 84 ms. `cargo bench -p tests --bench pull` measures it.
//!
//! **How to do without it.** Read pages with the SDK's own types (`layout::feed_row` makes a [`FeedRow`](super::FeedRow) of an item,
//! and the tests compare both), make [`Escaped`] a `String` of JSON, and let the sync function return its body as text through
//! `lambda_http::run`. Nothing outside of this folder changes but the types' names.

mod escaped;
mod query;
mod response;
mod rows;

pub use escaped::{Escaped, NotEscaped, escape_into, escaped_len};
pub(super) use query::{is_throttle, send, send_once_if_throttled};
pub use response::serialize_pieces;
