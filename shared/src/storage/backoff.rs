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

/// What a commit does when another one was faster.
///
/// Of several transactions on one counter the first always wins, so trying at once never stops the project; but when all
/// losers try at once, nearly every write is wasted. So after a second refusal most of them step back, and the longer a
/// request is under way, the more it insists.
#[derive(Debug)]
pub(super) struct Contention {
    started: Instant,
    deadline: Instant,
    refusals: u32,
    ceiling: Duration,
}

const FIRST_STEP: Duration = Duration::from_millis(200);
const LONGEST_STEP: Duration = Duration::from_secs(1);

impl Contention {
    pub(super) fn until(deadline: Instant) -> Self {
        Self { started: Instant::now(), deadline, refusals: 0, ceiling: FIRST_STEP }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Refused: try again at once?
    pub(super) fn at_once(&mut self) -> bool {
        self.refusals += 1;
        let insistence = (0.2 + self.started.elapsed().as_secs_f64()).min(0.95);
        Instant::now() < self.deadline && (self.refusals == 1 || fastrand::f64() < insistence)
    }

    /// Lets others go first; `Busy` when there is no time left for another try.
    pub(super) async fn step_back(&mut self) -> Result<(), Error> {
        // The first time a moment will do: what was read was torn, or a lone competitor was met.
        let ceiling = if self.refusals <= 1 { FIRST } else { self.ceiling };
        if self.refusals > 1 {
            self.ceiling = (self.ceiling * 2).min(LONGEST_STEP);
        }
        let pause = ceiling.mul_f64(fastrand::f64());
        if Instant::now() + pause >= self.deadline {
            return Err(Error::Busy);
        }
        sleep(pause).await;
        Ok(())
    }
}
