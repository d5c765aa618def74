//! The Lambda function `rest`: configuration and clients once, then requests.

use std::sync::Arc;

use lambda_http::Error;
use rest::{App, router};
use shared::auth::Verifier;
use shared::http::{RequestLog, log_to_stdout, run};
use shared::storage::Table;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    log_to_stdout();
    let verifier = Arc::new(Verifier::from_env().await?);
    let table = Table::from_env()?;
    table.connect().await;
    run(router(App { table, verifier }).layer(RequestLog::of_function("rest"))).await
}
