//! HTTPS to an ACME server: a connection for each request, bounded in time and size, and nothing kept in between.
//!
//! An order is a dozen requests every two months; what a pool of connections and HTTP/2 would save is not worth their memory.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::crypto;

/// For one request with its answer; Let's Encrypt takes seconds when it is busy.
const REQUEST: Duration = Duration::from_secs(30);

/// For a connection to one address of the server.
const CONNECT: Duration = Duration::from_secs(5);

/// No answer of an ACME server comes near: a chain has a few KiB.
const BODY_LIMIT: usize = 256 << 10;

/// What authorities ask clients to say of themselves (RFC 8555 §6.1).
const AGENT: &str = concat!("fourward/", env!("CARGO_PKG_VERSION"));

/// The client of one try.
#[derive(Clone)]
pub(super) struct Https {
    tls: TlsConnector,
    asked: Arc<Mutex<Option<SignedDuration>>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0} is no https URL with a host")]
    Url(Uri),
    #[error("{host} is not found: {source}")]
    Lookup { host: String, source: io::Error },
    #[error("{host} has no address")]
    NoAddress { host: String },
    #[error("no connection to {host}: {source}")]
    Connect { host: String, source: io::Error },
    #[error("no TLS with {host}: {source}")]
    Tls { host: String, source: io::Error },
    #[error("no answer within {} s", REQUEST.as_secs())]
    TooSlow,
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("the answer cannot be read, or is too long: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

impl Https {
    /// A client that trusts `roots`.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(super) fn new(roots: RootCertStore) -> Result<Self, rustls::Error> {
        let config = ClientConfig::builder_with_provider(crypto::tls_provider()).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), asked: Arc::default() })
    }

    /// How long the server last asked to wait before anything else.
    pub(super) fn asked(&self) -> Option<SignedDuration> {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Failure> {
        let uri = request.uri().clone();
        let (Some("https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(Failure::Url(uri)) };
        // An IPv6 address stands in brackets there, and nowhere else.
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let stream = connect(&host, authority.port_u16().unwrap_or(443)).await?;
        let tls = |source| Failure::Tls { host: host.clone(), source };
        let name = ServerName::try_from(host.clone()).map_err(|error| tls(io::Error::other(error)))?;
        let stream = self.tls.connect(name, stream).await.map_err(tls)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let _driver = AbortOnDropHandle::new(tokio::spawn(connection));
        let (head, body) = sender.send_request(outgoing(request, &uri)).await?.into_parts();
        if head.status.is_client_error() || head.status.is_server_error() {
            let asked = head.headers.get(RETRY_AFTER).and_then(|value| wait(value.to_str().ok()?, Timestamp::now()));
            *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = asked;
        }
        let body = Limited::new(body, BODY_LIMIT).collect().await.map_err(Failure::Body)?.to_bytes();
        Ok(BytesResponse::from(Response::from_parts(head, Full::new(body))))
    }
}

impl HttpClient for Https {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let answer = timeout(REQUEST, client.exchange(request)).await;
            answer.unwrap_or(Err(Failure::TooSlow)).map_err(|failure| Error::Other(Box::new(failure)))
        })
    }
}

/// The request as HTTP/1.1 writes it: the path alone, and the host beside it.
fn outgoing(mut request: Request<BodyWrapper<Bytes>>, uri: &Uri) -> Request<BodyWrapper<Bytes>> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().unwrap_or_default();
    if let Some(host) = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()) {
        request.headers_mut().insert(HOST, host);
    }
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
    request
}

/// The first address that takes a connection.
async fn connect(host: &str, port: u16) -> Result<TcpStream, Failure> {
    let found = lookup_host((host, port)).await.map_err(|source| Failure::Lookup { host: host.into(), source })?;
    let mut last = Failure::NoAddress { host: host.into() };
    for address in found {
        match timeout(CONNECT, TcpStream::connect(address)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => return Ok(stream),
            Err(source) => last = Failure::Connect { host: address.to_string(), source },
        }
    }
    Err(last)
}

/// What `Retry-After` asks (RFC 9110 §10.2.3): seconds, or a date.
fn wait(value: &str, now: Timestamp) -> Option<SignedDuration> {
    if let Ok(seconds) = value.trim().parse::<u32>() {
        return Some(SignedDuration::from_secs(seconds.into()));
    }
    let date = jiff::fmt::rfc2822::parse(value.trim()).ok()?;
    Some(date.timestamp().duration_since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        let now: Timestamp = "1999-12-31T23:58:59Z".parse().expect("a time");
        assert_eq!(wait("120", now), Some(SignedDuration::from_secs(120)));
        assert_eq!(wait("Fri, 31 Dec 1999 23:59:59 GMT", now), Some(SignedDuration::from_secs(60)));
        for nothing in ["", "soon", "-1", "99999999999999999999"] {
            assert_eq!(wait(nothing, now), None, "{nothing}");
        }
    }

    #[tokio::test]
    async fn nothing_goes_out_in_the_clear() {
        let client = Https::new(RootCertStore::empty()).expect("client");
        for uri in ["http://127.0.0.1:1/", "/path"] {
            let request = Request::builder().uri(uri).body(BodyWrapper::default()).expect("request");
            let error = client.request(request).await.err().expect("refused").to_string();
            assert!(error.contains("no https URL"), "{error}");
        }
    }
}
