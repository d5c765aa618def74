//! Code that the functions `live` and `poke` share: the messages over a WebSocket, and how a server sends one.
//!
//! A poke tells a watcher that a project moved, and to which version. It carries no data, and it may be lost, repeated or early.
//! That does no harm, because the pull that follows proves for itself that it is complete.

mod connections;
mod gateway;
mod log;
mod message;

pub use connections::{Connections, Delivery};
pub use gateway::{ConfigError, Gateway};
pub use log::{LiveLog, Metric};
pub use message::{ClientMessage, MAX_MESSAGE, MAX_PROJECTS, ProjectVersion, Refusal, ServerMessage};
