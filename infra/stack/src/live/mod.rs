//! Live updates at `/live`: WebSockets on the server's own port, in place of the gateway's, and the engine's stream in place of
//! Lambda's event source. Between the two is the code of the functions `live` and `poke`.
//!
//! - `sockets.rs` keeps the open connections
//! - `route.rs` opens a connection, hands its messages to `live`, and ends it
//! - `stream.rs` reads the table's stream
//! - `pump.rs` hands the stream to `poke`

mod pump;
mod route;
mod sockets;
mod stream;

use std::error::Error;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use axum::Router;
use live::Live;
use poke::Poke;
use shared::auth::Verifier;
use shared::storage::Table;

pub use route::PATH;
use sockets::Sockets;
use stream::Stream;

/// The route [`PATH`], which is served as long as the process runs.
///
/// Fails if the table has no stream, or none that can be read with made-up credentials.
pub async fn router(
    client: &Client,
    endpoint: &str,
    table: &Table,
    verifier: Arc<Verifier>,
) -> Result<Router, Box<dyn Error + Send + Sync>> {
    let stream = Stream::from_now(client, endpoint, table.name()).await?;
    let sockets = Arc::<Sockets>::default();
    let poke = Poke::new(table.clone(), Arc::clone(&sockets));
    tokio::spawn(pump::run(stream, poke, Arc::clone(&sockets)));
    Ok(route::router(Live::new(table.clone(), verifier), sockets))
}
