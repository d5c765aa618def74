//! The embedded engine: DynamoDB's API over SQLite, behind its own HTTP endpoint, so that the real SDK talks to it.

use std::io;
use std::net::TcpListener;
use std::path::Path;

use dynoxide::Database;

/// Starts the engine on a port of 127.0.0.1 (0: any free one) and returns its address. It runs until the process ends.
///
/// With a directory the data are kept there, otherwise in memory.
pub fn start(port: u16, data: Option<&Path>) -> io::Result<String> {
    let database = match data {
        Some(directory) => {
            std::fs::create_dir_all(directory)?;
            Database::new(&directory.join("table.sqlite").to_string_lossy())
        }
        None => Database::memory(),
    };
    let database = database.map_err(|error| io::Error::other(error.to_string()))?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    // Its handlers block on SQLite, so they get threads of their own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
        runtime.block_on(async {
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                dynoxide::server::serve_on(listener, database).await;
            }
        });
    })?;
    Ok(endpoint)
}
