//! The Lambda function `sync`: configuration and clients once, then pulls.

use std::sync::Arc;

use lambda_http::Error;
use shared::auth::Verifier;
use shared::http::log_to_stdout;
use shared::lambda::run_as_task;
use shared::storage::Table;
use sync::{App, KeptPages, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    log_to_stdout();
    let verifier = Arc::new(Verifier::from_env().await?);
    let table = Table::from_env()?;
    table.connect().await;
    let app = App::new(table, verifier).keeping(Arc::new(KeptPages::from_env()?));
    run_as_task(run(app)).await
}
