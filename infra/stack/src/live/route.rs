//! Opens WebSockets, with the gateway's limits.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use live::{Event, Live};
use shared::domain::ConnectionId;
use shared::storage::Unwatched;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::sockets::{Order, Sockets};

/// The path at which WebSockets are opened.
pub const PATH: &str = "/live";
/// The gateway's limits: 128 KB for a message, 2 hours for a connection, and 10 minutes without a message.
const MAX_MESSAGE: usize = 128 * 1024;
const MAX_TIME: Duration = Duration::from_secs(2 * 60 * 60);
const MAX_IDLE: Duration = Duration::from_secs(10 * 60);
/// How long a client may take to receive a message.
const MAX_SEND_TIME: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Server {
    live: Live,
    sockets: Arc<Sockets>,
}

/// An open connection.
struct Open {
    connection: Unwatched,
    orders: Receiver<Order>,
    _place: OwnedSemaphorePermit,
}

/// Whether a socket goes on.
enum Next {
    GoOn,
    End,
}

pub(super) fn router(live: Live, sockets: Arc<Sockets>) -> Router {
    Router::new().route(PATH, get(open)).with_state(Server { live, sockets })
}

async fn open(State(server): State<Server>, upgrade: WebSocketUpgrade) -> Response {
    let Some(place) = server.sockets.place() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let Some(connection) = new_connection() else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let answer = server.live.answer(&connection, Event::Opened).await;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if !status.is_success() {
        return status.into_response();
    }
    upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE).on_upgrade(async move |socket| {
        let orders = server.sockets.open(connection.connection.clone());
        let mut open = Open { connection, orders, _place: place };
        server.serve(socket, &mut open).await;
        server.sockets.end(&open.connection.connection);
        server.live.answer(&open.connection, Event::Ended).await;
    })
}

fn new_connection() -> Option<Unwatched> {
    let connection: ConnectionId = Uuid::new_v4().to_string().parse().ok()?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Unwatched { connection, opened_at: u64::try_from(now.as_millis()).ok()? })
}

impl Server {
    async fn serve(&self, mut socket: WebSocket, open: &mut Open) {
        let end = Instant::now() + MAX_TIME;
        loop {
            let next = tokio::select! {
                order = open.orders.recv() => obey(&mut socket, order).await,
                message = timeout(MAX_IDLE, socket.recv()) => match message {
                    Ok(Some(Ok(message))) => self.hear(&mut socket, &open.connection, message).await,
                    // The client was silent for too long, or has ended the connection, or sent a message that is too long or
                    // invalid.
                    Err(_) | Ok(None | Some(Err(_))) => Next::End,
                },
                () = sleep_until(end) => Next::End,
            };
            if matches!(next, Next::End) {
                return;
            }
        }
    }

    async fn hear(&self, socket: &mut WebSocket, connection: &Unwatched, message: Message) -> Next {
        let text = match message {
            Message::Text(text) => text.as_str().to_owned(),
            Message::Binary(_) => String::new(),
            Message::Ping(_) | Message::Pong(_) => return Next::GoOn,
            Message::Close(_) => return Next::End,
        };
        match self.live.answer(connection, Event::Said(text)).await.message {
            Some(answer) => send(socket, Message::text(answer)).await,
            None => Next::GoOn,
        }
    }
}

async fn obey(socket: &mut WebSocket, order: Option<Order>) -> Next {
    match order {
        Some(Order::Send(text)) => send(socket, Message::text(text)).await,
        Some(Order::Close) | None => {
            let frame = CloseFrame { code: close_code::NORMAL, reason: "".into() };
            send(socket, Message::Close(Some(frame))).await;
            Next::End
        }
    }
}

async fn send(socket: &mut WebSocket, message: Message) -> Next {
    match timeout(MAX_SEND_TIME, socket.send(message)).await {
        Ok(Ok(())) => Next::GoOn,
        Ok(Err(_)) | Err(_) => Next::End,
    }
}
