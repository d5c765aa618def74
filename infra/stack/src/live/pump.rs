//! Hands the stream to `poke` as Lambda does: one batch after the other. A failed batch is repeated a few times.

use std::sync::Arc;
use std::time::Duration;

use poke::{MAX_UNWATCHED, Poke};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::sockets::Sockets;
use super::stream::Stream;

/// The pause between two reads of the stream while a client is connected.
const READ_PAUSE: Duration = Duration::from_millis(20);
/// The pause while no client is connected. The stream is still read, so that a new client does not begin with old records.
const IDLE_PAUSE: Duration = Duration::from_millis(500);
/// The pause after a failure.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);
/// The maximum number of attempts for a batch, as in template.yaml.
const MAX_ATTEMPTS: usize = 3;

pub(super) async fn run(mut stream: Stream, poke: Poke<Sockets>, sockets: Arc<Sockets>) {
    let mut swept = Instant::now();
    loop {
        let is_idle = sockets.is_empty();
        match stream.read().await {
            Ok(events) if is_idle => drop(events),
            Ok(events) => {
                for event in &events {
                    hand_over(&poke, event).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the table's stream cannot be read");
                sleep(FAILURE_PAUSE).await;
            }
        }
        if is_idle {
            sockets.wait_for_one(IDLE_PAUSE).await;
            continue;
        }
        if swept.elapsed() >= MAX_UNWATCHED {
            swept = Instant::now();
            poke.handle(&json!({"sweep": true})).await;
        }
        sleep(READ_PAUSE).await;
    }
}

async fn hand_over(poke: &Poke<Sockets>, event: &Value) {
    for _ in 0..MAX_ATTEMPTS {
        if poke.handle(event).await.is_none() {
            return;
        }
    }
}
