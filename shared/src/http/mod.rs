//! HTTP for the functions `rest` and `sync`: extractors that fail with a [`Problem`], and the one mapping from errors to
//! responses.

mod answer;
mod budget;
mod extract;
mod gateway;
mod idempotency;
mod log;
mod observe;
mod problem;
mod route;
mod seen;

pub use budget::{BudgetError, CallerBudgets};
pub use extract::{Caller, Json, Params, Path};
pub use gateway::{MappingKey, request_of, run};
pub use idempotency::Idempotency;
pub use log::{RequestLog, log_to_stdout, pseudonym};
pub use observe::observed;
pub use problem::Problem;
pub use route::{both_slashes, finish};
pub use seen::LoggedOutcome;
