//! What runs at home in the demo: a small web service, HTTPS and HTTP, that tells each visitor where he seems to come from.
//!
//! Its answer is one line of JSON, by which a client sees its own path, and at `PHOTO` a mebibyte behind it, by which
//! the counters of the home's line see it too. The certificate is signed by an authority that lives as long as the demo.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::namespace::Place;

/// The path of the long answer.
pub(super) const PHOTO: &str = "/photo";

/// How many bytes follow the line at `PHOTO`: far more than all else that crosses the home's line in that time.
pub(super) const PHOTO_LENGTH: usize = 1024 * 1024;

/// The head of the demo's own clients has a few dozen bytes.
const HEAD_LIMIT: u64 = 4 * 1024;

/// A client that says nothing is not one of ours.
const PATIENCE: Duration = Duration::from_secs(5);

/// Out of descriptors: do not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The line that a visitor gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Greeting {
    /// Where he seems to come from.
    pub(super) peer: SocketAddr,
    /// Where he arrived.
    pub(super) home: SocketAddr,
}

/// The service; it ends when dropped.
#[derive(Debug)]
pub(super) struct HomeService {
    /// The port of HTTPS.
    pub(super) tls: u16,
    /// The port of HTTP.
    pub(super) http: u16,
    listeners: JoinSet<()>,
}

/// Keys and certificate of the service, and the authority that clients trust.
#[derive(Debug)]
pub(super) struct Identity {
    roots: RootCertStore,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Why there is no service.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A port is not to be had.
    #[error("the home service on port {port}: {source}")]
    Listen {
        /// Which.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// No certificate could be made.
    #[error("the home service's certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The certificate is of no use to TLS.
    #[error("the home service's certificate: {0}")]
    Tls(#[from] rustls::Error),
}

impl Identity {
    /// Makes an authority and its certificate for `name`.
    ///
    /// # Errors
    /// The name is none, or there is no randomness.
    pub(super) fn new(name: &str) -> Result<Self, ServiceError> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.distinguished_name.push(DnType::CommonName, "the demo's authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let authority_key = KeyPair::generate()?;
        let root = authority.self_signed(&authority_key)?;
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &Issuer::new(authority, authority_key))?;
        let mut roots = RootCertStore::empty();
        roots.add(root.into())?;
        Ok(Self { roots, chain: vec![leaf.into()], key: PrivateKeyDer::Pkcs8(key.serialize_der().into()) })
    }

    /// What clients trust.
    pub(super) fn roots(&self) -> RootCertStore {
        self.roots.clone()
    }

    fn server(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
        Ok(Arc::new(builder.with_single_cert(self.chain.clone(), self.key.clone_key())?))
    }
}

impl HomeService {
    /// Opens the service at `place` on `address`; port 0 is any free one.
    ///
    /// # Errors
    /// A port is taken, or the identity is of no use.
    pub(super) fn start(place: &Place, address: IpAddr, tls: u16, http: u16, identity: &Identity) -> Result<Self, ServiceError> {
        let acceptor = TlsAcceptor::from(identity.server()?);
        let (tls_listener, tls) = listen(place, address, tls)?;
        let (http_listener, http) = listen(place, address, http)?;
        let mut listeners = JoinSet::new();
        listeners.spawn(serve(tls_listener, Some(acceptor)));
        listeners.spawn(serve(http_listener, None));
        Ok(Self { tls, http, listeners })
    }
}

impl Drop for HomeService {
    fn drop(&mut self) {
        self.listeners.abort_all();
    }
}

fn listen(place: &Place, address: IpAddr, port: u16) -> Result<(TcpListener, u16), ServiceError> {
    let opened = place.visit(|| {
        let listener = std::net::TcpListener::bind((address, port))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok((TcpListener::from_std(listener)?, port))
    });
    opened.map_err(|source| ServiceError::Listen { port, source })
}

async fn serve(listener: TcpListener, acceptor: Option<TlsAcceptor>) {
    let mut visits = JoinSet::new();
    loop {
        while visits.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, peer)) => {
                visits.spawn(timeout(PATIENCE, visit(stream, peer, acceptor.clone())));
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn visit(stream: TcpStream, peer: SocketAddr, acceptor: Option<TlsAcceptor>) -> io::Result<()> {
    let greeting = Greeting { peer, home: stream.local_addr()? };
    match acceptor {
        Some(acceptor) => answer(acceptor.accept(stream).await?, &greeting).await,
        None => answer(stream, &greeting).await,
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, greeting: &Greeting) -> io::Result<()> {
    let head = head(&mut stream).await?;
    let mut body = serde_json::to_vec(greeting)?;
    body.push(b'\n');
    if head.starts_with(format!("GET {PHOTO} ").as_bytes()) {
        body.resize(body.len().saturating_add(PHOTO_LENGTH), b'.');
    }
    let length = body.len();
    let status = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(status.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut bounded = stream.take(HEAD_LIMIT);
    while !head.ends_with(b"\r\n\r\n") {
        if bounded.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}
