//! The entry point: takes the gateway's events from Lambda and hands each to the handler.
//!
//! An answer to a message is a *route response*: the gateway sends the body of this function's response to the client.

use lambda_http::lambda_runtime::{self, LambdaEvent};
use lambda_http::{Error, service_fn};
use serde::{Deserialize, Serialize};
use shared::domain::ConnectionId;
use shared::storage::Unwatched;

use crate::{Event, Live};

/// Answers the gateway's events until the instance ends.
pub async fn run(live: Live) -> Result<(), Error> {
    lambda_runtime::run(service_fn(move |event| answer(live.clone(), event))).await
}

async fn answer(live: Live, event: LambdaEvent<GatewayEvent>) -> Result<Response, Error> {
    let GatewayEvent { request_context, body, is_base64_encoded } = event.payload;
    let connection = Unwatched { connection: request_context.connection_id, opened_at: request_context.connected_at };
    let event = match request_context.event_type {
        EventType::Connect => Event::Opened,
        EventType::Disconnect => Event::Ended,
        // A binary frame cannot be a message, so it is refused like an invalid one.
        EventType::Message if is_base64_encoded => Event::Said(String::new()),
        EventType::Message => Event::Said(body.unwrap_or_default()),
    };
    let answer = live.answer(&connection, event).await;
    Ok(Response { status_code: answer.status, body: answer.message })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GatewayEvent {
    request_context: RequestContext,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext {
    event_type: EventType,
    connection_id: ConnectionId,
    /// Milliseconds since 1970.
    connected_at: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum EventType {
    Connect,
    Message,
    Disconnect,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}
