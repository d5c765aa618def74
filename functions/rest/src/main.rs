//! The Lambda function `rest`: configuration and clients once, then requests.

use std::sync::Arc;

use lambda_http::Error;
use rest::{App, router};
use shared::auth::Verifier;
use shared::http::{CallerBudgets, RequestLog, log_to_stdout, run};
use shared::lambda::run_as_task;
use shared::storage::Table;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    log_to_stdout();
    let verifier = Arc::new(Verifier::from_env().await?);
    let table = Table::from_env()?;
    let budgets = CallerBudgets::from_env()?;
    table.connect().await;
    let router = router(App { table, verifier }).layer(RequestLog::of_function("rest"));
    run_as_task(run(CallerBudgets::around(budgets, router))).await
}
