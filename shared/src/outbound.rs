//! The HTTPS client: HTTP/1.1, TLS by ring, connections kept open.
//!
//! Certificates are judged by the authorities that Mozilla trusts, which are in the program: the system's would have to be
//! read and searched first. Plain HTTP is spoken, too, with emulators. Nothing here has a limit of time: whoever asks sets one for
//! all of it, connecting included.

use std::io;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::builderstates::WantsSchemes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// What a connection reads at once. A buffer grows to 400 kB otherwise, and each of those that read side by side has one.
const AT_ONCE: usize = 64 * 1024;

/// A client, cheap to clone; the clones share their connections.
pub type Client = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A function's client.
pub fn client() -> Client {
    over(HttpsConnectorBuilder::new().with_webpki_roots())
}

/// A client that trusts whom the system trusts: for tools on machines whose owners add authorities of their own.
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
        .http1_max_buf_size(AT_ONCE)
        .build(connector)
}
