//! The Lambda function `sync`: configuration and clients once, then pulls.

use std::sync::Arc;

use lambda_http::{Error, tracing};
use shared::auth::Verifier;
use shared::storage::Table;
use sync::{App, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let verifier = Arc::new(Verifier::from_env().await?);
    let table = Table::from_env()?;
    table.connect().await;
    run(App::new(table, verifier)).await
}
