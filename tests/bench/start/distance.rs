//! The engine as if it were at some distance, with TLS and without.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tests::support::tls::{CERTIFICATE, acceptor};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsAcceptor;

use crate::Outcome;

/// The delay of everything that is sent, TLS's handshake included. TCP's handshake has no delay, because the kernel makes it.
pub(crate) const DELAY: Duration = Duration::from_millis(5);

/// Addresses at which an engine answers with a delay. They are open as long as the runtime that they were made on.
pub(crate) struct Distance {
    pub(crate) http: String,
    pub(crate) https: String,
    /// A file with the certificate of `https`, as PEM.
    pub(crate) authorities: PathBuf,
}

impl Distance {
    pub(crate) async fn to(engine: &str) -> Outcome<Self> {
        let engine: SocketAddr = engine.trim_start_matches("http://").parse()?;
        let acceptor = acceptor();
        let secure = listen(move |stream| terminate(acceptor.clone(), stream, engine)).await?;
        let authorities = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("localhost.pem");
        let pem = BASE64_STANDARD.encode(CERTIFICATE);
        std::fs::write(&authorities, format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n"))?;
        Ok(Self {
            http: format!("http://localhost:{}", listen(move |stream| delay(stream, engine)).await?.port()),
            https: format!("https://localhost:{}", listen(move |stream| delay(stream, secure)).await?.port()),
            authorities,
        })
    }
}

/// Listens on a new port and serves every connection to it.
async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> io::Result<SocketAddr>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Ok(address)
}

/// Speaks TLS with a client and forwards the decrypted bytes.
async fn terminate(acceptor: TlsAcceptor, stream: TcpStream, to: SocketAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut client = acceptor.accept(stream).await?;
    let mut server = connect(to).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

async fn delay(client: TcpStream, to: SocketAddr) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = connect(to).await?.into_split();
    tokio::try_join!(hand_on(from_client, to_server), hand_on(from_server, to_client)).map(drop)
}

async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Forwards each piece with the same delay, however soon the next one follows.
async fn hand_on(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let (sender, mut pieces) = mpsc::unbounded_channel();
    let take = async move {
        loop {
            let mut piece = Vec::with_capacity(64 * 1024);
            if from.read_buf(&mut piece).await? == 0 {
                return Ok(());
            }
            sender.send((Instant::now() + DELAY, piece)).map_err(io::Error::other)?;
        }
    };
    let give = async {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            to.write_all(&piece).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(take, give).map(drop)
}
