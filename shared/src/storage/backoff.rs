//! Waiting between attempts.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::domain::Error;

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

    /// Waits a little. Returns false if no time is left for another attempt. That is also so if the process was frozen during the
    /// wait.
    pub(super) async fn wait(&mut self) -> bool {
        let pause = self.ceiling.mul_f64(fastrand::f64());
        self.ceiling = (self.ceiling * 2).min(LONGEST);
        if Instant::now() + pause >= self.deadline {
            return false;
        }
        sleep(pause).await;
        Instant::now() < self.deadline
    }
}

/// Whose turn it is when many commit to one project.
///
/// If several transactions meet on one counter, the first one always wins. A request that was refused and tries again at once is
/// next. A few requests that do so keep the project at its full speed. Each further one costs one refused transaction per commit.
/// So the few should be those that have waited longest since they were first refused.
///
/// Each commit leaves on the counter how long its request had waited. A refused request sees that, and goes on when it has waited
/// nearly as long itself. It need not know how many others there are. If more go on than are served, they wait longer, and those
/// that come after them wait longer, too.
#[derive(Debug)]
pub(super) struct Contention {
    first_refused: Option<Instant>,
    deadline: Instant,
    refusals: u32,
    ceiling: Duration,
}

/// A request goes on when it has waited this much less than the request that committed last. It is the time of a few round trips,
/// and the request is likely to be refused once in each.
const HEAD_START: Duration = Duration::from_millis(40);
/// The head start is at least this share, 1/8, of the time that the other request waited. So the waiting ends soon after its cause
/// is gone.
const HEAD_START_SHARE: u32 = 8;
/// After this many refusals in a row a request waits for the others, because more try than are needed for full speed.
const REFUSALS: u32 = 7;
const FIRST_STEP: Duration = Duration::from_millis(50);
const LONGEST_STEP: Duration = Duration::from_secs(1);

impl Contention {
    pub(super) fn until(deadline: Instant) -> Self {
        Self { first_refused: None, deadline, refusals: 0, ceiling: FIRST_STEP }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How long ago the request was first refused.
    pub(super) fn waited(&self) -> Duration {
        self.first_refused.map_or(Duration::ZERO, |first| first.elapsed())
    }

    /// Returns true if it is this request's turn, when the latest commit's request had waited for `served`. Otherwise waits until it
    /// is, and returns false. Fails with `Busy` if that is too late.
    pub(super) async fn has_its_turn(&mut self, served: Duration) -> Result<bool, Error> {
        let due = served.saturating_sub(HEAD_START.max(served / HEAD_START_SHARE));
        let early = due.saturating_sub(self.waited());
        if early.is_zero() {
            return Ok(true);
        }
        self.refusals = 0;
        self.pause(early).await.map(|()| false)
    }

    /// Notes a refusal. `served` is how long the request that committed had waited, if that is known. Returns whether to try again
    /// at once. If it returns false, the wait is over.
    pub(super) async fn tries_at_once(&mut self, served: Option<Duration>) -> Result<bool, Error> {
        self.refusals += 1;
        self.first_refused.get_or_insert_with(Instant::now);
        if !self.has_its_turn(served.unwrap_or_default()).await? {
            return Ok(false);
        }
        if self.refusals > REFUSALS {
            self.refusals = 0;
            // The pause is shorter if less time is left.
            let ceiling = self.ceiling.min(self.deadline.saturating_duration_since(Instant::now()) / 4);
            self.ceiling = (self.ceiling * 2).min(LONGEST_STEP);
            return self.pause(ceiling.mul_f64(fastrand::f64())).await.map(|()| false);
        }
        self.pause(Duration::ZERO).await.map(|()| true)
    }

    /// Waits for a moment: what was read was torn.
    pub(super) async fn wait(&mut self) -> Result<(), Error> {
        self.pause(FIRST.mul_f64(fastrand::f64())).await
    }

    async fn pause(&self, pause: Duration) -> Result<(), Error> {
        if Instant::now() + pause >= self.deadline {
            return Err(Error::Busy);
        }
        if !pause.is_zero() {
            sleep(pause).await;
            // The process may have been stopped meanwhile.
            if Instant::now() >= self.deadline {
                return Err(Error::Busy);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// A pause during which the process is stopped for a minute.
    async fn stopped<T>(pause: impl Future<Output = T>) -> T {
        tokio::join!(pause, advance(Duration::from_secs(60))).0
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_was_stopped_past_the_deadline_does_not_go_on() {
        fastrand::seed(1);
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut backoff = Backoff { deadline, ceiling: LONGEST };
        assert!(!stopped(backoff.wait()).await);
        let contention = Contention::until(Instant::now() + Duration::from_secs(5));
        assert!(matches!(stopped(contention.pause(Duration::from_millis(5))).await, Err(Error::Busy)));
    }
}
