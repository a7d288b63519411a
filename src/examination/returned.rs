//! Whether a home sends what it gets back to the gateway: a loop that no name shows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fourward_core::name::DnsName;
use tokio::time::timeout;

use crate::probe::{self, Returns, tls};

/// For a probe to come back, or to be answered.
const PATIENCE: Duration = Duration::from_secs(2);

/// More than one client opens at once: a browser takes six.
const SEVERAL: u32 = 8;

/// Whether TLS to `at`, where the home called `host` has its service, ends at this gateway again.
pub(super) async fn by_tls(at: SocketAddr, host: &DnsName, returns: &Arc<Returns>) -> bool {
    let (bytes, requests) =
        tokio::join!(bytes(at, host, returns), requests(host, returns, async |request| tls::answers(at, host, &request).await));
    bytes || requests
}

/// Whether HTTP to `at` does.
pub(super) async fn by_http(at: SocketAddr, host: &DnsName, returns: &Arc<Returns>) -> bool {
    requests(host, returns, async |request| probe::answers(at, &request).await).await
}

/// Whoever passes bytes on passes on the name, which is nobody's.
async fn bytes(at: SocketAddr, host: &DnsName, returns: &Arc<Returns>) -> bool {
    let Ok(watch) = returns.watch(host) else { return false };
    let Ok(name) = host.child(watch.token()) else { return false };
    // Whatever is answered: if it came back, that was before.
    let _ = timeout(PATIENCE, tls::visit(at, &name)).await;
    watch.came_back()
}

/// Whoever passes requests on passes on the path, or comes again and again while nobody answers.
async fn requests(host: &DnsName, returns: &Arc<Returns>, ask: impl AsyncFnOnce(String) -> bool) -> bool {
    let Ok(watch) = returns.watch(host) else { return false };
    let request = format!("GET /.well-known/fourward/{} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", watch.token());
    let answered = timeout(PATIENCE, ask(request)).await.unwrap_or(false);
    watch.came_back() || (!answered && watch.most_of_one() >= SEVERAL)
}
