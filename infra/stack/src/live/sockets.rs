//! The open WebSockets of this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::domain::ConnectionId;
use shared::live::{Connections, Delivery};
use tokio::sync::mpsc::{self, Receiver, Sender, error::TrySendError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The maximum number of WebSockets that are open at once.
pub(super) const MAX_SOCKETS: usize = 1_000;
/// The maximum number of messages that wait for a client to receive them. Further messages are lost.
const MAX_WAITING: usize = 64;

/// An order to a socket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    Send(String),
    Close,
}

pub(super) struct Sockets {
    open: Mutex<HashMap<ConnectionId, Sender<Order>>>,
    opened: Notify,
    places: Arc<Semaphore>,
}

impl Default for Sockets {
    fn default() -> Self {
        let (open, opened) = Default::default();
        Self { open, opened, places: Arc::new(Semaphore::new(MAX_SOCKETS)) }
    }
}

impl Sockets {
    /// Reserves a place for one more socket, if there is one.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    pub(super) fn open(&self, connection: ConnectionId) -> Receiver<Order> {
        let (sender, orders) = mpsc::channel(MAX_WAITING);
        self.all().insert(connection, sender);
        self.opened.notify_one();
        orders
    }

    pub(super) fn end(&self, connection: &ConnectionId) {
        self.all().remove(connection);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// Waits a short time for a socket to be opened.
    pub(super) async fn wait_for_one(&self, pause: Duration) {
        let _ = timeout(pause, self.opened.notified()).await;
    }

    fn order(&self, connection: &ConnectionId, order: Order) -> Delivery {
        let sender = self.all().get(connection).cloned();
        match sender.map(|sender| sender.try_send(order)) {
            Some(Ok(())) => Delivery::Sent,
            Some(Err(TrySendError::Full(_))) => Delivery::Failed,
            Some(Err(TrySendError::Closed(_))) | None => Delivery::Gone,
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ConnectionId, Sender<Order>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections for Sockets {
    async fn send(&self, to: &ConnectionId, text: &str) -> Delivery {
        self.order(to, Order::Send(text.to_owned()))
    }

    async fn close(&self, connection: &ConnectionId) -> Delivery {
        self.order(connection, Order::Close)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_receives_nothing_costs_bounded_memory_and_a_closed_one_is_gone() {
        let (sockets, id) = (Sockets::default(), "a".parse().expect("an id"));
        assert_eq!(sockets.send(&id, "x").await, Delivery::Gone);
        let orders = sockets.open(id.clone());
        for _ in 0..MAX_WAITING {
            assert_eq!(sockets.send(&id, "x").await, Delivery::Sent);
        }
        assert_eq!(sockets.send(&id, "x").await, Delivery::Failed);
        drop(orders);
        assert_eq!(sockets.close(&id).await, Delivery::Gone);
        sockets.end(&id);
        assert!(sockets.is_empty());
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let sockets = Sockets::default();
        let mut places: Vec<_> = (0..MAX_SOCKETS).map(|_| sockets.place().expect("a place")).collect();
        assert!(sockets.place().is_none());
        places.pop();
        assert!(sockets.place().is_some());
    }
}
