//! Waiting between attempts.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Exponential waiting with full jitter, up to a deadline.
#[derive(Debug)]
pub(super) struct Backoff {
    deadline: Instant,
    ceiling: Duration,
}

const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(200);

impl Backoff {
    pub(super) fn until(deadline: Instant) -> Self {
        Self { deadline, ceiling: FIRST }
    }

    /// Waits a little; false when there is no time left for another attempt.
    pub(super) async fn wait(&mut self) -> bool {
        let pause = self.ceiling.mul_f64(fastrand::f64());
        self.ceiling = (self.ceiling * 2).min(LONGEST);
        if Instant::now() + pause >= self.deadline {
            return false;
        }
        sleep(pause).await;
        true
    }
}
