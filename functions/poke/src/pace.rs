//! The times of an instance's latest pokes and sweep, which limit how often it does either.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shared::domain::ProjectId;
use tokio::time::{Instant, sleep_until};

/// The minimum time between two pokes of a project.
const MIN_GAP: Duration = Duration::from_secs(1);
/// The minimum time between two sweeps that come with a batch.
const SWEEP_GAP: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// The projects of the last second. For all others a poke may go out at once.
    poked: Mutex<HashMap<ProjectId, Instant>>,
    swept: Mutex<Option<Instant>>,
}

impl Pace {
    /// The time from which on a project's watchers may be told again.
    pub(crate) fn due(&self, project: &ProjectId) -> Option<Instant> {
        let poked = self.poked.lock().unwrap_or_else(PoisonError::into_inner);
        poked.get(project).map(|at| *at + MIN_GAP)
    }

    /// Waits until a project's watchers may be told, and notes that they are.
    pub(crate) async fn turn_of(&self, project: &ProjectId) {
        if let Some(due) = self.due(project) {
            sleep_until(due).await;
        }
        let now = Instant::now();
        let mut poked = self.poked.lock().unwrap_or_else(PoisonError::into_inner);
        poked.retain(|_, at| *at + MIN_GAP > now);
        poked.insert(project.clone(), now);
    }

    /// Returns whether it is time for a sweep, and notes it if so.
    pub(crate) fn is_time_to_sweep(&self) -> bool {
        let now = Instant::now();
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        let due = swept.is_none_or(|at| at + SWEEP_GAP <= now);
        if due {
            *swept = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_project_is_poked_once_a_second_and_others_need_not_wait() {
        let pace = Pace::default();
        let (p, q) = ("p".parse().expect("a project"), "q".parse().expect("a project"));
        let start = Instant::now();
        let mut turns = Vec::new();
        for project in [&p, &q, &p, &p] {
            pace.turn_of(project).await;
            turns.push(start.elapsed().as_millis());
        }
        assert!(matches!(turns[..], [0, 0, 1_000..1_010, 2_000..2_020]), "{turns:?}");
        tokio::time::advance(Duration::from_secs(5)).await;
        pace.turn_of(&q).await;
        assert_eq!(pace.poked.lock().expect("the pace").len(), 1, "quiet projects are forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn sweeps_come_half_a_minute_apart() {
        let pace = Pace::default();
        assert!(pace.is_time_to_sweep() && !pace.is_time_to_sweep());
        tokio::time::advance(SWEEP_GAP).await;
        assert!(pace.is_time_to_sweep() && !pace.is_time_to_sweep());
    }
}
