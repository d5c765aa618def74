//! Sending to open connections.

use std::future::Future;

use crate::domain::ConnectionId;

/// The result of sending a message, or of a request to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The connection was open a moment ago. Whether the client got the message is not known.
    Sent,
    /// There is no such connection any more.
    Gone,
    /// Neither is known.
    Failed,
}

/// The open connections of all clients, wherever they are kept.
pub trait Connections: Send + Sync {
    /// Sends a text.
    fn send(&self, to: &ConnectionId, text: &str) -> impl Future<Output = Delivery> + Send;

    /// Closes a connection.
    fn close(&self, connection: &ConnectionId) -> impl Future<Output = Delivery> + Send;
}
