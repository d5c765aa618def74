//! The Lambda function `sync`: configuration and clients once, then pulls.

use std::sync::Arc;

use lambda_http::{Error, run, tracing};
use shared::auth::Verifier;
use shared::http::RequestLog;
use shared::storage::Table;
use sync::{App, router};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let verifier = Arc::new(Verifier::from_env().await?);
    let table = Table::from_env().await?;
    run(router(App::new(table, verifier)).layer(RequestLog::of_function("sync"))).await
}
