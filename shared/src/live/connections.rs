//! The sending of messages to open connections.

use std::future::Future;

use crate::domain::ConnectionId;

/// The result of sending a message, or of a request to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The connection was open a moment ago. Whether the client got the message is not known.
    Sent,
    /// The connection no longer exists.
    Gone,
    /// It is not known whether the connection is open.
    Failed,
}

/// The open connections of all clients.
pub trait Connections: Send + Sync {
    /// Sends a text.
    fn send(&self, to: &ConnectionId, text: &str) -> impl Future<Output = Delivery> + Send;

    /// Closes a connection.
    fn close(&self, connection: &ConnectionId) -> impl Future<Output = Delivery> + Send;
}
