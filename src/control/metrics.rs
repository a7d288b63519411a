//! Metrics for Prometheus, over plain HTTP on addresses of their own.
//!
//! Nothing is served but `/metrics`, and nobody is asked who they are: who can reach the address reads the names of the hosts and how
//! busy they are, never a secret. What is told is `exposition`'s; nothing is counted here.

mod exposition;
mod process;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

pub use exposition::Sources;

use crate::listener::{self, BindError};

/// The setting that says where.
const KEY: &str = "control.metrics";

/// Scrapes at once; a server has one or two scrapers, and each takes milliseconds.
pub(crate) const VISITORS: usize = 16;

/// For a request's head.
const PATIENCE: Duration = Duration::from_secs(5);

/// For a whole scrape; Prometheus itself waits for 10 s.
const VISIT: Duration = Duration::from_secs(30);

/// The longest request.
const HEAD_LIMIT: usize = 8 * 1024;

/// What Prometheus asks for first (OpenMetrics 1.0, §"Protocol Negotiation").
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Listening sockets, not served yet.
#[derive(Debug, Default)]
pub struct Sockets(Vec<std::net::TcpListener>);

/// Takes the sockets at `addresses`, all of them or none.
///
/// # Errors
/// An address is not to be had; the error names it, the cause and the remedy.
pub fn bind(addresses: &[SocketAddr]) -> Result<Sockets, BindError> {
    Ok(Sockets(addresses.iter().map(|address| listener::bind_tcp(KEY, *address)).collect::<Result<_, _>>()?))
}

impl Sockets {
    /// Whether there is none, so that nothing needs to run.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Serves what `sources` count on `sockets` until cancelled.
///
/// # Errors
/// A socket cannot be served.
pub async fn run(sockets: Sockets, sources: Sources, cancel: CancellationToken) -> std::io::Result<()> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(sources));
    let registry = Arc::new(registry);
    let mut listeners = JoinSet::new();
    for socket in sockets.0 {
        let address = socket.local_addr()?;
        if address.ip().to_canonical().is_loopback() {
            info!(%address, "metrics are served");
        } else {
            warn!(%address, "metrics are served to everyone who can reach this address");
        }
        listeners.spawn(serve(TcpListener::from_std(socket)?, Arc::clone(&registry)));
    }
    let ended = tokio::select! {
        () = cancel.cancelled() => Ok(()),
        Some(_) = listeners.join_next() => Err(std::io::Error::other("a listener stopped, which is a defect; the log has more")),
    };
    listeners.shutdown().await;
    ended
}

/// Serves for ever. A newcomer who finds all places taken gets the oldest visitor's: who is slow, or says nothing, holds nobody up.
async fn serve(listener: TcpListener, registry: Arc<Registry>) {
    let mut visitors: VecDeque<AbortOnDropHandle<()>> = VecDeque::new();
    loop {
        let (stream, _) = listener::accept(&listener).await;
        visitors.retain(|visitor| !visitor.is_finished());
        if visitors.len() >= VISITORS {
            drop(visitors.pop_front());
        }
        let registry = Arc::clone(&registry);
        let visit = tokio::spawn(async move { drop(timeout(VISIT, visit(stream, &registry)).await) });
        // It ends with this listener, too.
        visitors.push_back(AbortOnDropHandle::new(visit));
    }
}

async fn visit(stream: TcpStream, registry: &Arc<Registry>) {
    let service = service_fn(|request: Request<Incoming>| {
        let registry = Arc::clone(registry);
        async move { Ok::<_, Infallible>(answer(&request, registry).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(HEAD_LIMIT).keep_alive(false);
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: &Request<Incoming>, registry: Arc<Registry>) -> Response<Full<Bytes>> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (_, path) if path != "/metrics" => (StatusCode::NOT_FOUND, "Only /metrics is here.\n".into()),
        (&Method::GET | &Method::HEAD, _) => text(registry).await,
        _ => (StatusCode::METHOD_NOT_ALLOWED, "Metrics are only for reading.\n".into()),
    };
    let kind = if status == StatusCode::OK { OPEN_METRICS } else { "text/plain; charset=utf-8" };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// Not on the runtime's own threads: with many hosts it takes longer than other tasks should wait.
async fn text(registry: Arc<Registry>) -> (StatusCode, String) {
    let written = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        encode(&mut text, &registry).map(|()| text)
    });
    if let Ok(Ok(text)) = written.await {
        return (StatusCode::OK, text);
    }
    error!("the metrics could not be written, which is a defect");
    (StatusCode::INTERNAL_SERVER_ERROR, "The metrics could not be written; the log has more.\n".into())
}
