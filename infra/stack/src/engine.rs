//! The embedded engine: DynamoDB's API over SQLite, behind its own HTTP endpoint, so that the real SDK talks to it.

use std::env;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use dynoxide::Database;
use http_body_util::Full;
use shared::outbound;
use uuid::Uuid;

use crate::loopback::only_from_this_machine;

/// The maximum size of a request to DynamoDB.
const MAX_REQUEST: usize = 16 << 20;

/// Starts the engine and returns its address. Only this process may use the address, because the engine answers every page that
/// finds it. See [`share`] for other programs. The engine runs until the process ends.
///
/// With a directory, the data is stored there. Otherwise it is in memory.
pub fn start(data: Option<&Path>) -> io::Result<String> {
    let database = match data {
        Some(directory) => {
            std::fs::create_dir_all(directory)?;
            open(&directory.join("table.sqlite"))?
        }
        None => in_memory()?,
    };
    let listener = hidden()?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    // The engine's handlers block on SQLite, so they get threads of their own.
    in_a_thread("engine", listener, |listener| dynoxide::server::serve_on(listener, database))?;
    Ok(endpoint)
}

/// The engine's records of a stream: an index to find the last one, which each write needs, and the end of old ones. Without them
/// each write reads all records of the writes before it. DynamoDB keeps a record for a day, and the local stack reads it at once.
const STREAM_RECORDS: &str = "
    CREATE INDEX IF NOT EXISTS _stream_records_in_order
        ON _stream_records (table_name, CAST(sequence_number AS INTEGER));
    CREATE TRIGGER IF NOT EXISTS _stream_records_end AFTER INSERT ON _stream_records
        BEGIN DELETE FROM _stream_records WHERE id <= NEW.id - 10000; END;";

/// The database in this file, which is made if it does not exist.
fn open(file: &Path) -> io::Result<Database> {
    let database = Database::new(&file.to_string_lossy()).map_err(io::Error::other)?;
    rusqlite::Connection::open(file)
        .and_then(|connection| connection.execute_batch(STREAM_RECORDS))
        .map_err(io::Error::other)?;
    Ok(database)
}

/// A database in memory. Only a file lets us add to the engine's schema, so it starts as a copy of one.
fn in_memory() -> io::Result<Database> {
    let directory = env::temp_dir().join(format!("trueppm-{}", Uuid::new_v4()));
    std::fs::create_dir(&directory)?;
    let file = directory.join("empty.sqlite");
    let database = open(&file).and_then(|_| {
        let database = Database::memory().map_err(io::Error::other)?;
        database.restore_from(&file.to_string_lossy()).map_err(io::Error::other)?;
        Ok(database)
    });
    std::fs::remove_dir_all(&directory)?;
    database
}

/// Opens the engine to programs and pages of this machine, at a port of 127.0.0.1 (0 takes any free port). Returns the address.
pub fn share(endpoint: &str, port: u16) -> io::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let address = format!("http://{}", listener.local_addr()?);
    let engine = Engine { client: outbound::client(), endpoint: endpoint.to_owned() };
    let router = only_from_this_machine(Router::new().fallback(pass_on).with_state(engine));
    in_a_thread("shared engine", listener, |listener| async {
        // The listener ends with the process.
        let _ = axum::serve(listener, router).await;
    })?;
    Ok(address)
}

/// A listener at a random one of the 16 million loopback addresses. A page that guesses would have to try each address with each
/// port. Some systems have only one loopback address.
fn hidden() -> io::Result<TcpListener> {
    let [a, b, c, ..] = Uuid::new_v4().into_bytes();
    TcpListener::bind((Ipv4Addr::new(127, a, b, c), 0)).or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
}

fn in_a_thread<F, S>(name: &str, listener: TcpListener, serve: S) -> io::Result<()>
where
    S: FnOnce(tokio::net::TcpListener) -> F + Send + 'static,
    F: Future<Output = ()>,
{
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        runtime.block_on(async {
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                serve(listener).await;
            }
        });
    })?;
    Ok(())
}

#[derive(Clone)]
struct Engine {
    client: outbound::Client,
    endpoint: String,
}

async fn pass_on(State(engine): State<Engine>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let (Ok(uri), Ok(body)) = (format!("{}{path}", engine.endpoint).parse::<Uri>(), to_bytes(body, MAX_REQUEST).await)
    else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    parts.uri = uri;
    for hop in [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING] {
        parts.headers.remove(hop);
    }
    match engine.client.request(Request::from_parts(parts, Full::new(body))).await {
        Ok(response) => response.map(Body::new),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_record_of_a_stream_is_found_by_an_index_and_old_records_end() {
        let directory = env::temp_dir().join(format!("trueppm-{}", Uuid::new_v4()));
        std::fs::create_dir(&directory).expect("a directory");
        let file = directory.join("table.sqlite");
        let _engine = open(&file).expect("a database");
        let mut connection = rusqlite::Connection::open(&file).expect("a connection");
        let insert = "INSERT INTO _stream_records (table_name, event_name, keys_json, sequence_number, shard_id, created_at) \
                      VALUES ('t', 'INSERT', '{}', ?1, 's', 0)";
        let writing = connection.transaction().expect("a transaction");
        for number in 1..=10_005 {
            writing.execute(insert, [number.to_string()]).expect("a record");
        }
        writing.commit().expect("a commit");
        let kept = connection.query_row(
            "SELECT COUNT(*), MIN(CAST(sequence_number AS INTEGER)) FROM _stream_records",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
        );
        assert_eq!(kept.expect("a count"), (10_000, 6));
        // This is how the engine asks for it.
        let last = "SELECT MAX(CAST(sequence_number AS INTEGER)) FROM _stream_records WHERE table_name = 't'";
        let mut last = connection.prepare(last).expect("a query");
        assert_eq!(last.query_row([], |row| row.get::<_, i64>(0)).expect("a record"), 10_005);
        let steps = last.get_status(rusqlite::StatementStatus::VmStep);
        assert!(steps < 100, "it took {steps} steps");
        std::fs::remove_dir_all(&directory).expect("to remove the directory");
    }
}
