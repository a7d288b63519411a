//! dyndns2 on our own name: routers and update clients say where they are.
//!
//! Over HTTPS; over plain HTTP only where the configuration permits it. A wrong password costs the sender's network, never the host. An
//! answer follows the commit: what is acknowledged is on disk. Nothing of a request is logged but its sender, the host and the addresses:
//! the rest may hold secrets.

mod failures;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use fourward_core::change::Change;
use fourward_core::dyndns::{self, Credentials, Line, Update};
use fourward_core::host::{AddressFrom, Host};
use fourward_core::name::{DnsName, HostName};
use fourward_core::state::State;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use tracing::{debug, info, warn};

use crate::config::Server;
use crate::crypto;
use crate::gateway::Protocol;
use crate::listener::network_of;
use crate::store::{CommitError, Store};
use crate::tally::Tally;

use failures::Failures;

/// Answers update clients.
pub struct Updates {
    store: Store,
    zones: Vec<DnsName>,
    name: DnsName,
    /// The A of every host, which no home changes.
    ipv4: Vec<Ipv4Addr>,
    /// Whether plain HTTP will do.
    plain: bool,
    failures: Mutex<Failures>,
    outcomes: Arc<Outcomes>,
}

/// How updates ended, by the first words of their answers.
pub type Outcomes = Tally<{ Line::WORDS.len() }>;

/// An answer: the HTTP status, and the lines.
type Answer = (StatusCode, Vec<Line>);

impl Updates {
    /// Updates of the hosts in `store`, as `server` is configured.
    pub fn new(server: &Server, store: Store) -> Self {
        Self {
            store,
            zones: server.zones().to_vec(),
            name: server.public.name.clone(),
            ipv4: server.public.ipv4.clone(),
            plain: server.control.http_updates,
            failures: Mutex::default(),
            outcomes: Arc::new(Tally::new(&Line::WORDS)),
        }
    }

    /// How updates ended so far.
    pub fn outcomes(&self) -> Arc<Outcomes> {
        Arc::clone(&self.outcomes)
    }

    /// Carries out `request`, which `peer` sent, if it may.
    pub(super) async fn answer<B>(&self, protocol: Protocol, peer: SocketAddr, request: &Request<B>) -> Response<Full<Bytes>> {
        let (status, lines) = self.carried_out(protocol, peer.ip(), request).await;
        lines.iter().for_each(|line| self.outcomes.note(line.word()));
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = remedy(status) {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }

    async fn carried_out<B>(&self, protocol: Protocol, peer: IpAddr, request: &Request<B>) -> Answer {
        if protocol == Protocol::Http && !self.plain {
            debug!(%peer, "an update over plain HTTP was refused");
            return (StatusCode::FORBIDDEN, vec![Line::BadAgent(self.in_the_clear())]);
        }
        if request.method() != Method::GET {
            return (StatusCode::METHOD_NOT_ALLOWED, vec![Line::BadAgent("updates are asked for by GET".into())]);
        }
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        let update = Update::parse(target);
        let credentials = request.headers().get(AUTHORIZATION).and_then(|value| Credentials::parse(value.to_str().ok()?));
        // Whoever shows none is no guesser: many clients ask first whether any are wanted.
        let Some(credentials) = credentials else { return (StatusCode::UNAUTHORIZED, vec![Line::BadAuth]) };
        let state = self.store.snapshot();
        let host = match (&credentials.user, &update) {
            (Some(user), _) => dyndns::host_of(&state, &self.zones, user),
            (None, Ok(update)) => update.hosts.first().and_then(|host| dyndns::host_of(&state, &self.zones, host)),
            // A token alone does not say whose it is.
            (None, Err(malformed)) => return (StatusCode::OK, vec![malformed.clone().into()]),
        };
        let host = match self.admitted(&state, host, &credentials, peer) {
            Ok(host) => host,
            Err(answer) => return answer,
        };
        match update {
            Ok(update) => (StatusCode::OK, self.lines(&state, &host, &update, peer).await),
            Err(malformed) => {
                // Not what is wrong: whoever mixed the parameters up may have put the password there.
                info!(%host, %peer, "an update was refused: its parameters are none that we understand; the client was told which");
                (StatusCode::OK, vec![malformed.into()])
            }
        }
    }

    fn in_the_clear(&self) -> String {
        format!(
            "updates over plain HTTP show the password to everyone on the way and are refused: use https://{}/nic/update, or, for a router \
             that cannot, set http-updates = true under [control] on the server; `fourward host token` there makes a new password",
            self.name
        )
    }

    /// The host, if the password is its own. An unknown user and a wrong password are answered alike.
    fn admitted(&self, state: &State, host: Option<HostName>, credentials: &Credentials, peer: IpAddr) -> Result<HostName, Answer> {
        let (network, now) = (network_of(peer), Instant::now());
        // Held while the password is compared, so that guesses in parallel are counted too.
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.bar(network, now) {
            return Err((StatusCode::TOO_MANY_REQUESTS, vec![Line::Abuse]));
        }
        let digest = crypto::sha256(credentials.password.as_bytes());
        let own = |host: &HostName| state.host(host).is_some_and(|host| host.credentials.update == digest);
        host.filter(own).ok_or_else(|| {
            failures.note(network, now);
            info!(%peer, "an update with an unknown user or a wrong password");
            (StatusCode::UNAUTHORIZED, vec![Line::BadAuth])
        })
    }

    /// A line for each host name, in order.
    async fn lines(&self, state: &State, host: &HostName, update: &Update, peer: IpAddr) -> Vec<Line> {
        let strangers: Vec<Option<Line>> = update.hosts.iter().map(|name| dyndns::stranger(state, &self.zones, host, name)).collect();
        let own = match strangers.iter().any(Option::is_none) {
            true if update.offline => Line::NotOffline,
            true => self.commit(host, update.addresses(peer), peer).await,
            false => Line::NoHost,
        };
        strangers.into_iter().map(|stranger| stranger.unwrap_or_else(|| own.clone())).collect()
    }

    async fn commit(&self, host: &HostName, (v4, v6): (Option<Ipv4Addr>, Option<Ipv6Addr>), peer: IpAddr) -> Line {
        let said = |state: &State| state.host(host).map(|host| (host.router, host.updated));
        let before = said(&self.store.snapshot());
        match self.store.commit(Change::Update { host: host.clone(), v4, v6, at: Timestamp::now() }).await {
            Ok(state) => {
                let published = state.host(host).map(|host| self.published(host, v4, v6)).unwrap_or_default();
                if said(&state) == before {
                    return Line::NoChange(published);
                }
                info!(%host, %peer, ?v4, ?v6, "updated");
                Line::Good(published)
            }
            Err(CommitError::Refused(reason)) => {
                warn!(%host, %peer, %reason, "an update was refused");
                Line::Refused(reason.to_string())
            }
            Err(error) => {
                warn!(%host, %peer, %error, "an update could not be kept");
                Line::Fault
            }
        }
    }

    /// What is published in each family that was reported: the gateway's A, and the home address, or the hint under the router's name.
    fn published(&self, host: &Host, v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>) -> Vec<IpAddr> {
        let ours = self.ipv4.first().copied().map(IpAddr::V4);
        let theirs = match host.settings.address_from {
            AddressFrom::Update => host.home(),
            AddressFrom::Link | AddressFrom::Static => host.router.and_then(|router| router.v6),
        };
        let ours = ours.filter(|_| v4.is_some() || v6.is_none());
        ours.into_iter().chain(theirs.filter(|_| v6.is_some()).map(IpAddr::V6)).collect()
    }
}

/// The header that says what to do about `status`.
fn remedy(status: StatusCode) -> Option<(HeaderName, &'static str)> {
    match status {
        StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Basic realm=\"fourward\", charset=\"UTF-8\"")),
        StatusCode::METHOD_NOT_ALLOWED => Some((ALLOW, "GET")),
        StatusCode::TOO_MANY_REQUESTS => Some((RETRY_AFTER, "60")),
        _ => None,
    }
}
