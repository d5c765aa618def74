//! The HTTPS client: HTTP/1.1, TLS by ring, connections kept open.
//!
//! It trusts Mozilla's certificate authorities, which are compiled in, because loading those of the system takes time. It also
//! speaks plain HTTP, for emulators. It has no timeouts: callers must set one for the whole request, including the connection.

use std::io;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::builderstates::WantsSchemes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// The size of a connection's read buffer. Without it, the buffer of each parallel connection grows to 400 kB.
const MAX_READ_BUFFER: usize = 64 * 1024;

/// A client. It is cheap to clone, and clones share connections.
pub type Client = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A function's client.
pub fn client() -> Client {
    over(HttpsConnectorBuilder::new().with_webpki_roots())
}

/// A client that trusts the system's certificate authorities, for tools on machines with additional ones.
pub fn client_of_the_system() -> io::Result<Client> {
    Ok(over(HttpsConnectorBuilder::new().with_native_roots()?))
}

fn over(tls: HttpsConnectorBuilder<WantsSchemes>) -> Client {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let connector = tls.https_or_http().enable_http1().wrap_connector(tcp);
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .http1_max_buf_size(MAX_READ_BUFFER)
        .build(connector)
}
