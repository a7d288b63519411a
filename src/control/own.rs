//! What the server's own name shows over HTTPS: a plain page, and where routers send their updates.
//!
//! The gateway hands over connections whose SNI is our own name, with the bytes that it has read, and in plain HTTP updates and what an authority
//! asks before it gives a certificate. Which certificate is shown is not decided here. The page tells strangers nothing that DNS does not.

use std::convert::Infallible;
use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fourward_core::dyndns::{self, acme_dns};
use fourward_core::name::DnsName;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::server::{StartHandshake, TlsStream};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Updates;
use super::dyndns::{Mending, no_registration};
use crate::certificate::{Shown, Tokens, is_challenge};
use crate::crowd::{Crowd, Limits};
use crate::crypto;
use crate::gateway::{OwnConnection, Protocol};

/// Visitors at once, of HTTPS and of plain HTTP each: an authority that asks in the clear must get through whoever holds connections of the other.
/// Of one network there may be a quarter of them.
const VISITORS: Limits = Limits { undecided: 64, of_one: 64 };

/// For the handshake and for a request's head, each.
const PATIENCE: Duration = Duration::from_secs(10);

/// For a whole visit.
const VISIT: Duration = Duration::from_secs(60);

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// TLS cannot be set up.
    #[error("TLS of our own name cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Serves the page.
pub struct OwnPage {
    tls: Arc<ServerConfig>,
    page: Bytes,
    updates: Updates,
    tokens: Arc<Tokens>,
}

impl OwnPage {
    /// The page of the server under the certificate that is `shown`, with `updates` beside it, and the answers to an authority.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(shown: Arc<Shown>, updates: Updates, tokens: Arc<Tokens>) -> Result<Arc<Self>, PageError> {
        let page = page(shown.name()).into();
        let mut tls = ServerConfig::builder_with_provider(crypto::tls_provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(shown);
        // Old update clients speak, and ask for, HTTP/1.0.
        tls.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        Ok(Arc::new(Self { tls: Arc::new(tls), page, updates, tokens }))
    }

    /// Serves the connections that `own` brings, until cancelled.
    pub async fn run(self: Arc<Self>, mut own: mpsc::Receiver<OwnConnection>, cancel: CancellationToken) {
        let (https, http) = (Crowd::new(VISITORS), Crowd::new(VISITORS));
        loop {
            let connection = tokio::select! {
                () = cancel.cancelled() => return,
                connection = own.recv() => connection,
            };
            let Some(connection) = connection else { return };
            let crowd = if connection.protocol == Protocol::Tls { &https } else { &http };
            // Nobody is waited for: who is there longest gives way, first of the newcomer's own network, then of all.
            let Some((place, visitor)) = crowd.admit(connection.peer.ip()) else { continue };
            let page = Arc::clone(&self);
            tokio::spawn(async move {
                let (peer, bell) = (connection.peer, visitor.bell());
                tokio::select! {
                    visit = timeout(VISIT, page.visit(connection)) => {
                        if visit.is_err() {
                            debug!(%peer, "a visit took too long");
                        }
                    }
                    () = bell.rung() => debug!(%peer, "a visitor gave way to another"),
                }
                drop((place, visitor));
            });
        }
    }

    async fn visit(self: Arc<Self>, connection: OwnConnection) {
        // It counts as the gateway's until it is gone.
        let OwnConnection { stream, protocol, peer, read, held: _held } = connection;
        if protocol == Protocol::Http {
            let (rest, write) = stream.into_split();
            let stream = tokio::io::join(Cursor::new(read).chain(rest), write);
            return self.serve(stream, protocol, peer).await;
        }
        let Ok(Some(stream)) = timeout(PATIENCE, self.handshake(stream, read)).await else { return };
        self.serve(stream, protocol, peer).await;
    }

    async fn serve(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin, protocol: Protocol, peer: SocketAddr) {
        let service = service_fn(move |request: Request<Incoming>| {
            let page = Arc::clone(&self);
            async move {
                Ok::<_, Infallible>(match request.uri().path_and_query() {
                    Some(target) if dyndns::is_update(target.as_str()) => page.updates.answer(protocol, peer, request).await,
                    Some(target) if target.path() == acme_dns::REGISTER => no_registration(),
                    Some(target) if is_challenge(target.as_str()) => page.prove(target.as_str(), &request),
                    _ => page.answer(&request),
                })
            }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(16 * 1024);
        // In the clear there is nothing but updates and an authority's question: what else comes is for the gateway, on a connection of its own.
        http.keep_alive(protocol == Protocol::Tls);
        let _ = http.serve_connection(TokioIo::new(Mending::new(stream)), service).await;
    }

    /// Goes on where the gateway stopped reading: it has the whole ClientHello.
    async fn handshake(&self, stream: TcpStream, read: Vec<u8>) -> Option<TlsStream<TcpStream>> {
        let mut acceptor = Acceptor::default();
        let mut read = Cursor::new(read);
        loop {
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    let start = StartHandshake::from_parts(accepted, stream);
                    return start.into_stream(Arc::clone(&self.tls)).await.ok();
                }
                Ok(None) => {
                    if acceptor.read_tls(&mut read).ok()? == 0 {
                        return None;
                    }
                }
                Err(_) => return None,
            }
        }
    }

    /// The answer to an authority that asks for `target` (RFC 8555 §8.3).
    fn prove(&self, target: &str, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let Some(answer) = self.tokens.answer(target).filter(|_| request.method() == Method::GET) else { return self.answer(request) };
        let mut response = Response::new(Full::new(answer.into()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, body) = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/") => (StatusCode::OK, self.page.clone()),
            (&Method::GET | &Method::HEAD, acme_dns::HEALTH) => (StatusCode::OK, Bytes::new()),
            (&Method::GET | &Method::HEAD, _) => (StatusCode::NOT_FOUND, Bytes::from_static(b"There is nothing here.\n")),
            _ => (StatusCode::METHOD_NOT_ALLOWED, Bytes::from_static(b"This page is only for reading.\n")),
        };
        let kind =
            if request.uri().path() == "/" && status == StatusCode::OK { "text/html; charset=utf-8" } else { "text/plain; charset=utf-8" };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"));
        response
    }
}

fn page(name: &DnsName) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{name}</title>\n<style>body{{font:1rem/1.5 system-ui;max-width:40rem;margin:3rem auto;padding:0 1rem}}</style>\n\
         <h1>{name}</h1>\n<p>This is a fourward gateway (version {version}). It answers for the names of its homes and carries IPv4 \
         clients to them.</p>\n<p>It works. Its owner sees more with <code>fourward status</code> on the server.</p>\n</html>\n"
    )
}
