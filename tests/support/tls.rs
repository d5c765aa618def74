//! A server on this machine that speaks TLS, which nobody vouches for.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// For `localhost`; made with `openssl req -x509`, and signed by itself.
pub const CERTIFICATE: &[u8] = include_bytes!("../../shared/testdata/tls/localhost.cert.der");
const KEY: &[u8] = include_bytes!("../../shared/testdata/tls/localhost.key.der");

/// Speaks TLS 1.2 and 1.3 with that certificate.
pub fn acceptor() -> TlsAcceptor {
    let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![CERTIFICATE.into()], PrivateKeyDer::Pkcs8(KEY.into()))
        .expect("a key for the certificate");
    TlsAcceptor::from(Arc::new(server))
}
