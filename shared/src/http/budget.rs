//! The rate limit per caller, in capacity units of the table, in one instance of a function.
//!
//! Each caller has units that refill at a steady rate, up to a limit. A request is served if any units are left, whatever it will
//! cost. Its cost is subtracted when it is answered. So a caller can overdraw by one request. Until the debt is paid, their
//! requests get 429 `rate_limited` before anything is read for them.
//!
//! Instances do not share budgets, so a caller served by `n` instances has `n` budgets. The gateway's throttling and the table
//! limit all callers together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::{Extension, Router};

use crate::domain::UserId;
use crate::meter::Cost;

/// The cost of a write unit in read units. With on-demand capacity it costs five times as much.
const WRITE_UNIT: f64 = 5.0;
/// The maximum number of callers whose budgets are kept. Beyond that, those with the most units left are forgotten and start full
/// again.
const MAX_CALLERS: usize = 10_000;

/// The error that a variable is not a valid number.
#[derive(Debug, thiserror::Error)]
#[error("{0} must be a number of table units, 0 or more")]
pub struct BudgetError(&'static str);

/// The budgets of the callers of one instance.
#[derive(Debug, Clone)]
pub struct CallerBudgets(Arc<Budgets>);

#[derive(Debug)]
struct Budgets {
    units_per_second: f64,
    max_units: f64,
    callers: Mutex<HashMap<UserId, Budget>>,
}

#[derive(Debug, Clone, Copy)]
struct Budget {
    units: f64,
    at: Instant,
}

impl CallerBudgets {
    /// The budgets of the variables `CALLER_UNITS_PER_SECOND` and `CALLER_UNITS_BURST`. None if one of them is 0 or not set.
    pub fn from_env() -> Result<Option<Self>, BudgetError> {
        let number = |name| match std::env::var(name) {
            Ok(text) if !text.is_empty() => {
                text.parse().ok().filter(|units: &f64| *units >= 0.0 && units.is_finite()).ok_or(BudgetError(name))
            }
            _ => Ok(0.0),
        };
        let (rate, burst) = (number("CALLER_UNITS_PER_SECOND")?, number("CALLER_UNITS_BURST")?);
        Ok((rate > 0.0 && burst > 0.0).then(|| Self::new(rate, burst)))
    }

    /// Budgets of at most `max_units` that refill by `units_per_second`. Both must be above 0. A unit is a read unit of the table.
    pub fn new(units_per_second: f64, max_units: f64) -> Self {
        Self(Arc::new(Budgets { units_per_second, max_units, callers: Mutex::default() }))
    }

    /// The router with a budget for each caller, if there are budgets.
    pub fn around(budgets: Option<Self>, router: Router) -> Router {
        match budgets {
            Some(budgets) => router.layer(Extension(budgets)),
            None => router,
        }
    }

    /// Admits the caller, or returns how long they must wait.
    pub fn admit(&self, caller: &UserId) -> Result<(), Duration> {
        let now = Instant::now();
        let callers = self.callers();
        let left = callers.get(caller).map_or(self.0.max_units, |budget| self.0.refilled(budget, now));
        if left > 0.0 {
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - left) / self.0.units_per_second))
    }

    /// Subtracts the cost of a request from its caller's budget.
    pub fn charge(&self, caller: &UserId, cost: &Cost) {
        // A cancelled transaction reports no units, so each call is charged at least one unit.
        let units = (cost.read_units + cost.write_units * WRITE_UNIT).max(f64::from(cost.calls));
        if units == 0.0 {
            return;
        }
        let now = Instant::now();
        let mut callers = self.callers();
        let left = callers.get(caller).map_or(self.0.max_units, |budget| self.0.refilled(budget, now));
        if callers.len() >= MAX_CALLERS && !callers.contains_key(caller) {
            self.0.forget_the_fullest(&mut callers, now);
        }
        callers.insert(caller.clone(), Budget { units: left - units, at: now });
    }

    fn callers(&self) -> MutexGuard<'_, HashMap<UserId, Budget>> {
        self.0.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Budgets {
    fn refilled(&self, budget: &Budget, now: Instant) -> f64 {
        let refill = now.saturating_duration_since(budget.at).as_secs_f64() * self.units_per_second;
        (budget.units + refill).min(self.max_units)
    }

    /// Makes room for other callers: forgets the half of the callers that have the most units left.
    fn forget_the_fullest(&self, callers: &mut HashMap<UserId, Budget>, now: Instant) {
        let mut left: Vec<f64> = callers.values().map(|budget| self.refilled(budget, now)).collect();
        left.sort_unstable_by(f64::total_cmp);
        let median = left.get(left.len() / 2).copied().unwrap_or_default();
        callers.retain(|_, budget| self.refilled(budget, now) < median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: usize) -> UserId {
        format!("u{number}").parse().expect("a user")
    }

    fn cost(read_units: f64, write_units: f64) -> Cost {
        Cost { read_units, write_units, ..Cost::default() }
    }

    #[test]
    fn a_caller_is_served_until_the_budget_is_spent_and_others_go_on() {
        let budgets = CallerBudgets::new(1e-6, 100.0);
        budgets.charge(&user(1), &cost(49.0, 10.0));
        assert_eq!(budgets.admit(&user(1)), Ok(()), "one unit is left");
        budgets.charge(&user(1), &cost(2.0, 0.0));
        let wait = budgets.admit(&user(1)).expect_err("nothing is left");
        // The caller must wait until a debt of one unit is paid and one more unit has come, at a millionth of a unit per second.
        assert!((1_900_000..2_000_001).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(budgets.admit(&user(2)), Ok(()));
    }

    #[test]
    fn a_budget_refills_up_to_its_limit_and_a_debt_is_paid_first() {
        let budgets = Budgets { units_per_second: 10.0, max_units: 100.0, callers: Mutex::default() };
        let at = Instant::now();
        let after = |units, seconds| budgets.refilled(&Budget { units, at }, at + Duration::from_secs(seconds));
        assert_eq!((after(-50.0, 4), after(-50.0, 6), after(-50.0, 600)), (-10.0, 10.0, 100.0));
    }

    #[test]
    fn budgets_of_many_callers_take_bounded_memory_and_those_in_debt_are_kept() {
        let budgets = CallerBudgets::new(1e-6, 100.0);
        budgets.charge(&user(0), &cost(200.0, 0.0));
        for number in 1..MAX_CALLERS * 2 {
            budgets.charge(&user(number), &cost(1.0 + (number % 7) as f64, 0.0));
        }
        assert!(budgets.callers().len() <= MAX_CALLERS);
        assert!(budgets.admit(&user(0)).is_err());
    }
}
