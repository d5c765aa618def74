//! The rate limit for the messages of one connection, in one instance of the function.
//!
//! A message over the rate is refused before it is read. Instances do not share their counts: a connection whose messages reach
//! `n` instances may send `n` times as many. All connections together are limited by the gateway's throttling and by the number
//! of instances.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shared::domain::ConnectionId;
use tokio::time::Instant;

/// The number of messages that may come at once.
const MAX_BURST: f64 = 10.0;
/// The number of messages per second after that.
const PER_SECOND: f64 = 1.0;
/// The maximum number of connections that are counted. Beyond that, all counts start anew.
const MAX_COUNTED: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<HashMap<ConnectionId, Allowance>>);

#[derive(Debug, Clone, Copy)]
struct Allowance {
    left: f64,
    at: Instant,
}

impl Rates {
    /// Counts a message, or returns how long the connection must wait.
    pub(crate) fn admit(&self, connection: &ConnectionId) -> Result<(), Duration> {
        let now = Instant::now();
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() >= MAX_COUNTED && !counted.contains_key(connection) {
            counted.retain(|_, allowance| allowance.refilled(now) < MAX_BURST);
            if counted.len() >= MAX_COUNTED {
                counted.clear();
            }
        }
        let allowance = counted.entry(connection.clone()).or_insert(Allowance { left: MAX_BURST, at: now });
        let left = allowance.refilled(now);
        if left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - left) / PER_SECOND));
        }
        *allowance = Allowance { left: left - 1.0, at: now };
        Ok(())
    }
}

impl Allowance {
    fn refilled(&self, now: Instant) -> f64 {
        (self.left + now.saturating_duration_since(self.at).as_secs_f64() * PER_SECOND).min(MAX_BURST)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn id(number: usize) -> ConnectionId {
        format!("c{number}").parse().expect("an id")
    }

    #[tokio::test(start_paused = true)]
    async fn of_100_messages_a_second_10_are_read_and_later_one_a_second() {
        let rates = Rates::default();
        let mut read = [0; 3];
        for count in &mut read {
            for _ in 0..100 {
                *count += u32::from(rates.admit(&id(1)).is_ok());
                advance(Duration::from_millis(10)).await;
            }
        }
        assert!(matches!(read, [10..=11, 1, 1]), "{read:?}");
        assert!(rates.admit(&id(2)).is_ok(), "another connection goes on");
        let wait = loop {
            if let Err(wait) = rates.admit(&id(1)) {
                break wait;
            }
        };
        advance(wait + Duration::from_millis(1)).await;
        assert!(rates.admit(&id(1)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn counts_of_many_connections_take_bounded_memory() {
        let rates = Rates::default();
        for number in 0..MAX_COUNTED * 2 + 1 {
            assert!(rates.admit(&id(number)).is_ok());
            assert!(rates.0.lock().expect("counts").len() <= MAX_COUNTED);
        }
    }
}
