//! Waiting for a partition that is throttled.

use std::time::Duration;

use shared::domain::Error;
use tokio::time::{Instant, sleep};

/// The longest pause before a strong reading that was throttled goes on, at first and in the end.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// Asks again for what is throttled, after ever longer pauses; `Overloaded` at the deadline.
pub(crate) async fn unthrottled<T, F>(deadline: Instant, ask: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    unthrottled_unless(deadline, ask, || Ok(())).await
}

/// … unless something else stops it before it asks again.
pub(crate) async fn unthrottled_unless<T, F, E: From<Error>>(
    deadline: Instant,
    ask: impl Fn() -> F,
    before_asking_again: impl Fn() -> Result<(), E>,
) -> Result<T, E>
where
    F: Future<Output = Result<T, Error>>,
{
    let (mut pause, longest) = PAUSES;
    loop {
        match ask().await {
            Err(Error::Overloaded) if Instant::now() + pause < deadline => {
                sleep(pause.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
                pause = (pause * 2).min(longest);
                before_asking_again()?;
            }
            other => return Ok(other?),
        }
    }
}
