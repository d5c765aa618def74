//! The entry point: takes batches of the stream, and the schedule's calls to sweep, from Lambda.

use std::sync::Arc;

use lambda_http::lambda_runtime::{self, LambdaEvent};
use lambda_http::{Error, service_fn};
use serde::Serialize;
use serde_json::Value;
use shared::live::Connections;

use crate::Poke;

/// Handles events until the instance ends.
pub async fn run<C: Connections + 'static>(poke: Poke<C>) -> Result<(), Error> {
    let poke = Arc::new(poke);
    lambda_runtime::run(service_fn(move |event| handle(Arc::clone(&poke), event))).await
}

async fn handle<C: Connections>(poke: Arc<Poke<C>>, event: LambdaEvent<Value>) -> Result<Response, Error> {
    let again = poke.handle(&event.payload).await;
    Ok(Response { batch_item_failures: again.into_iter().map(|item_identifier| Failure { item_identifier }).collect() })
}

/// The records that Lambda is to hand over again: the first of these and all that follow it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    batch_item_failures: Vec<Failure>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    item_identifier: String,
}
