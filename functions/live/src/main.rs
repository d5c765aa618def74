//! The Lambda function `live`: configuration and clients once, then the gateway's events.

use std::sync::Arc;

use live::{Live, run};
use shared::auth::Verifier;
use shared::http::{CallerBudgets, log_to_stdout};
use shared::lambda::run_as_task;
use shared::live::LiveLog;
use shared::storage::Table;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    log_to_stdout();
    let verifier = Arc::new(Verifier::from_env().await?);
    let table = Table::from_env()?;
    let budgets = CallerBudgets::from_env()?;
    table.connect().await;
    let live = Live::new(table, verifier).with_budgets(budgets).with_log(LiveLog::of_function("live"));
    run_as_task(run(live)).await
}
