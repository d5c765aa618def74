//! Hands the stream to `poke`, as Lambda does: one batch after the other, and a failed one again, a few times.

use std::sync::Arc;
use std::time::Duration;

use poke::{MAX_UNWATCHED, Poke};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::sockets::Sockets;
use super::stream::Stream;

/// How often the stream is read while someone listens.
const READ_PAUSE: Duration = Duration::from_millis(20);
/// And while nobody does, so as not to begin with what is long past.
const IDLE_PAUSE: Duration = Duration::from_millis(500);
/// How long nothing is read after a failure.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);
/// As often as template.yaml has Lambda repeat a batch.
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
