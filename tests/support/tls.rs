//! A TLS server on this machine, with a certificate that no authority signed.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// The self-signed certificate for `localhost`, which `openssl req -x509` made.
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
