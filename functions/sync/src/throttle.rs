//! Waits for a throttled partition.

use std::time::Duration;

use shared::domain::Error;
use tokio::time::{Instant, sleep};

/// The longest pause before the first retry of a throttled strong read.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause before any retry.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Repeats a read while it is throttled, with longer and longer pauses. Fails with `Overloaded` at the deadline.
pub(crate) async fn unthrottled<T, F>(deadline: Instant, ask: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    unthrottled_unless(deadline, ask, || Ok(())).await
}

/// Repeats a read while it is throttled, unless `before_asking_again` fails, which ends it.
pub(crate) async fn unthrottled_unless<T, F, E: From<Error>>(
    deadline: Instant,
    ask: impl Fn() -> F,
    before_asking_again: impl Fn() -> Result<(), E>,
) -> Result<T, E>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut pause = FIRST_PAUSE;
    loop {
        match ask().await {
            Err(Error::Overloaded) if Instant::now() + pause < deadline => {
                sleep(pause.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
                pause = (pause * 2).min(MAX_PAUSE);
                before_asking_again()?;
            }
            other => return Ok(other?),
        }
    }
}
