//! Measures the cost of a request. The code that calls the table counts.
//!
//! A count belongs to the task that serves the request. Calls outside such a task, for example of an operator's command or on a
//! function's start, are not counted. Calls of tasks that a request spawns are not counted either: join futures, do not spawn.

use std::cell::RefCell;
use std::time::{Duration, Instant};

tokio::task_local! {
    static METER: RefCell<Meter>;
}

/// The cost of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Requests to the table, including retries.
    pub calls: u32,
    /// The time during which at least one of them was in progress, including pauses before retries.
    pub time: Duration,
    /// Read units, as the table reports them. Failed requests report none.
    pub read_units: f64,
    /// Write units, as the table reports them. A cancelled transaction reports nothing, though it is charged.
    pub write_units: f64,
    /// Whether the request fell back to strong reads of all rows of a project, because the index did not prove it complete.
    pub strong_fallback: bool,
}

#[derive(Debug, Default)]
struct Meter {
    cost: Cost,
    /// Operations in progress, and the time since which there is at least one.
    under_way: u32,
    since: Option<Instant>,
}

impl Meter {
    fn cost(&self) -> Cost {
        // A call that was given up on the way never reports its end.
        let open = self.since.map(|since| since.elapsed()).unwrap_or_default();
        Cost { time: self.cost.time + open, ..self.cost }
    }
}

/// Runs a request and returns its cost.
pub async fn measured<T>(request: impl Future<Output = T>) -> (T, Cost) {
    let measured = async {
        let answer = request.await;
        (answer, METER.with(|meter| meter.borrow().cost()))
    };
    METER.scope(RefCell::default(), measured).await
}

/// Records that the request falls back to strong reads.
pub fn strong_fallback() {
    note(|meter| meter.cost.strong_fallback = true);
}

/// Records the start of an operation on the table. [`sent`] counts its attempts.
pub(crate) fn began() {
    note(|meter| {
        meter.under_way += 1;
        meter.since.get_or_insert_with(Instant::now);
    });
}

/// Records one attempt of an operation.
pub(crate) fn sent() {
    note(|meter| meter.cost.calls += 1);
}

/// Records the end of an operation, successful or not, and the units that it consumed.
pub(crate) fn ended(read_units: f64, write_units: f64) {
    note(|meter| {
        meter.cost.read_units += read_units;
        meter.cost.write_units += write_units;
        meter.under_way = meter.under_way.saturating_sub(1);
        if meter.under_way == 0 {
            meter.cost.time += meter.since.take().map(|since| since.elapsed()).unwrap_or_default();
        }
    });
}

fn note(change: impl FnOnce(&mut Meter)) {
    // Outside of a request there is nobody to tell.
    let _ = METER.try_with(|meter| change(&mut meter.borrow_mut()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn parallel_operations_count_their_time_once() {
        let pause = Duration::from_millis(20);
        let operation = async || {
            began();
            sent();
            tokio::time::sleep(pause).await;
            ended(1.5, 2.0);
        };
        let ((), cost) = measured(async {
            tokio::join!(operation(), operation(), operation());
        })
        .await;
        assert_eq!((cost.calls, cost.read_units, cost.write_units), (3, 4.5, 6.0));
        assert!((pause..pause * 3).contains(&cost.time), "{cost:?}");
    }

    #[tokio::test]
    async fn one_request_does_not_pay_for_another_and_outside_of_one_nobody_does() {
        let request = async |calls: u32| {
            for _ in 0..calls {
                sent();
                tokio::task::yield_now().await;
            }
        };
        sent();
        let (one, two) = tokio::join!(measured(request(1)), measured(request(2)));
        assert_eq!((one.1.calls, two.1.calls), (1, 2));
    }

    #[tokio::test]
    async fn an_operation_that_is_given_up_takes_time_up_to_the_end() {
        let ((), cost) = measured(async {
            began();
            tokio::time::sleep(Duration::from_millis(5)).await;
        })
        .await;
        assert!(cost.time >= Duration::from_millis(5), "{cost:?}");
    }
}
