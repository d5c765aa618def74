//! The Lambda function `poke`: configuration and clients once, then batches of the table's stream.

use std::sync::Arc;

use poke::{Poke, run};
use shared::http::log_to_stdout;
use shared::lambda::run_as_task;
use shared::live::{Gateway, LiveLog};
use shared::storage::Table;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    log_to_stdout();
    let table = Table::from_env()?;
    let connections = Arc::new(Gateway::from_env()?);
    table.connect().await;
    run_as_task(run(Poke::new(table, connections).with_log(LiveLog::of_function("poke")))).await
}
