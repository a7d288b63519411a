//! dyndns2 and its dialects on our own name: routers and update clients say where they are.
//!
//! Over HTTPS; over plain HTTP only where the configuration permits it, and then with the password in its header alone. A wrong password costs
//! the sender's network, never the host; too many changes cost the host and the network that they come from (`pace`). An answer follows
//! the commit: what is acknowledged is on disk. Nothing of a request is logged but its sender, the host and the addresses: the rest may hold
//! secrets. What a request means and what is answered is `fourward_core::dyndns`'s word.

mod failures;
mod mending;
mod txt;
mod wish;

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use fourward_core::change::{Change, Refused, Said, Word};
use fourward_core::dyndns::{self, Credentials, Dialect, Line, Update};
use fourward_core::host::{AddressFrom, Host};
use fourward_core::name::{APEX, DnsName, HostName};
use fourward_core::state::State;
use http_body_util::Full;
use hyper::body::{Body, Bytes};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use tracing::{debug, info, warn};

use crate::config::Server;
use crate::crypto;
use crate::gateway::Protocol;
use crate::listener::network_of;
use crate::pace::Pace;
use crate::store::{CommitError, Store};
use crate::tally::Tally;

use failures::Failures;
pub(super) use mending::Mending;
use txt::Lately;
use wish::{Wish, dialect_of};

/// So often a value is joined anew because the host changed in that moment.
const TRIES: u32 = 8;

/// Seconds after which a network that gave wrong passwords may try again, at the latest.
const BARRED: u64 = 60;

/// Answers update clients.
pub struct Updates {
    store: Store,
    zones: Vec<DnsName>,
    /// The A of every host, which no home changes.
    ipv4: Vec<Ipv4Addr>,
    /// Whether plain HTTP will do.
    plain: bool,
    failures: Mutex<Failures>,
    pace: Arc<Pace>,
    /// Held through a commit, so that no value is lost to one that comes at the same time.
    lately: tokio::sync::Mutex<Lately>,
    outcomes: Arc<Outcomes>,
}

/// How updates ended, by the first words of their answers.
pub type Outcomes = Tally<{ Line::WORDS.len() }>;

/// What a request is answered.
struct Answer {
    status: StatusCode,
    dialect: Dialect,
    lines: Vec<Line>,
}

/// Who asks, and for what.
struct Asked<'a> {
    right: Right,
    dialect: Dialect,
    update: &'a Update,
    peer: IpAddr,
}

/// What a host's credential may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    /// The update password: say where the host is, if that counts; then also prove its name.
    Update,
    /// The key of its account: prove its name, and nothing else.
    Proof,
}

impl Updates {
    /// Updates of the hosts in `store`, as `server` is configured, no more often than `pace` lets them.
    pub fn new(server: &Server, store: Store, pace: Arc<Pace>) -> Self {
        Self {
            store,
            zones: server.zones().to_vec(),
            ipv4: server.public.ipv4.clone(),
            plain: server.control.http_updates,
            failures: Mutex::default(),
            pace,
            lately: tokio::sync::Mutex::default(),
            outcomes: Arc::new(Tally::new(&Line::WORDS)),
        }
    }

    /// How updates ended so far.
    pub fn outcomes(&self) -> Arc<Outcomes> {
        Arc::clone(&self.outcomes)
    }

    /// Carries out `request`, which `peer` sent, if it may.
    pub(super) async fn answer<B>(&self, protocol: Protocol, peer: SocketAddr, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let answer = self.carried_out(protocol, peer.ip(), request).await.unwrap_or_else(|refusal| refusal);
        answer.lines.iter().for_each(|line| self.outcomes.note(line.word()));
        answer.response()
    }

    /// Both sides are answers: the second is one that needed no look at what is asked.
    async fn carried_out<B>(&self, protocol: Protocol, peer: IpAddr, request: Request<B>) -> Result<Answer, Answer>
    where
        B: Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let dialect = dialect_of(&request);
        let refused = |dialect, status, line| Answer { status, dialect, lines: vec![line] };
        if protocol == Protocol::Http && !self.plain {
            debug!(%peer, "an update over plain HTTP was refused");
            return Err(refused(dialect, StatusCode::FORBIDDEN, Line::BadAgent(in_the_clear())));
        }
        if ![Method::GET, Method::POST, Method::PUT].contains(request.method()) {
            let line = Line::BadAgent("updates are asked for by GET, POST or PUT".into());
            return Err(refused(dialect, StatusCode::METHOD_NOT_ALLOWED, line));
        }
        let wish = Wish::read(request, dialect).await.map_err(|malformed| refused(dialect, StatusCode::OK, malformed.into()))?;
        let Wish { dialect, header, line, update } = wish;
        let refused = |status, line| refused(dialect, status, line);
        // Whoever shows none is no guesser: many clients ask first whether any are wanted.
        let credentials = header.clone().or(line).ok_or_else(|| refused(StatusCode::UNAUTHORIZED, Line::BadAuth))?;
        if protocol == Protocol::Http && header.is_none() {
            return Err(refused(StatusCode::FORBIDDEN, Line::BadAgent(in_the_address())));
        }
        let state = self.store.snapshot();
        let host = self.meant(&state, &credentials, update.as_ref().ok());
        // A token alone does not say whose it is.
        if host.is_none() && credentials.user.is_none() && update.as_ref().map_or(true, |update| update.hosts.is_empty()) {
            let line = update.map_or_else(Line::from, |_| Line::NotFqdn);
            return Err(refused(status_of(dialect, &line), line));
        }
        let (host, right) = self.admitted(&state, host, &credentials, peer).map_err(|(status, line)| refused(status, line))?;
        match update {
            Ok(update) => Ok(self.done(&state, &host, &Asked { right, dialect, update: &update, peer }).await),
            Err(malformed) => {
                self.measured(&host, peer).map_err(|line| refused(status_of(dialect, &line), line))?;
                // Not what is wrong: whoever mixed the parameters up may have put the password there.
                info!(%host, %peer, "an update was refused: its parameters are none that we understand; the client was told which");
                let line = Line::from(malformed);
                Err(refused(status_of(dialect, &line), line))
            }
        }
    }

    /// The host whose credentials these should be: the user, or where that is none, the first that the update names.
    fn meant(&self, state: &State, credentials: &Credentials, update: Option<&Update>) -> Option<HostName> {
        let user = credentials.user.as_ref().and_then(|user| dyndns::host_of(state, &self.zones, user));
        user.or_else(|| {
            let update = update?;
            dyndns::named(state, &self.zones, update, update.hosts.first()?)
        })
    }

    /// The host, if the password is its own, and what it may. An unknown user and a wrong password are answered alike.
    fn admitted(
        &self,
        state: &State,
        host: Option<HostName>,
        credentials: &Credentials,
        peer: IpAddr,
    ) -> Result<(HostName, Right), (StatusCode, Line)> {
        let (network, now) = (network_of(peer), Instant::now());
        // Held while the password is compared, so that guesses in parallel are counted too.
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.bar(network, now) {
            return Err((StatusCode::TOO_MANY_REQUESTS, Line::Abuse));
        }
        let digest = crypto::sha256(credentials.password.as_bytes());
        let right = host.as_ref().and_then(|host| state.host(host)).and_then(|host| match &host.credentials {
            known if known.update == digest => Some(Right::Update),
            known if known.proof == Some(digest) => Some(Right::Proof),
            _ => None,
        });
        host.zip(right).ok_or_else(|| {
            failures.note(network, now);
            info!(%peer, "an update with an unknown user or a wrong password");
            (StatusCode::UNAUTHORIZED, Line::BadAuth)
        })
    }

    /// A line for each host name, in order.
    async fn done(&self, state: &State, host: &HostName, asked: &Asked<'_>) -> Answer {
        let Asked { right, dialect, update, peer } = *asked;
        let stranger = |name: &String| dyndns::stranger(state, &self.zones, host, update, name);
        let strangers: Vec<Option<Line>> = update.hosts.iter().map(stranger).collect();
        // All or nothing there.
        if let (Dialect::DeSec | Dialect::AcmeDns, Some(line)) = (dialect, strangers.iter().flatten().next()) {
            return Answer { status: status_of(dialect, line), dialect, lines: vec![line.clone()] };
        }
        let own = update.hosts.iter().zip(&strangers).filter(|(_, stranger)| stranger.is_none()).map(|(name, _)| name);
        let mut said: Vec<Said> = own.map(|name| update.said(Some(name), peer)).collect();
        if update.hosts.is_empty() {
            said.push(update.said(None, peer));
        }
        said.dedup();
        let own = match said.as_slice() {
            [] => Line::NoHost,
            _ if right == Right::Proof && update.txt.is_none() => {
                Line::Refused("this key writes the TXT record alone: where the host is, its update password says".into())
            }
            _ if update.offline => Line::NotOffline,
            [said] => match &update.txt {
                Some(values) => self.prove(state, host, values, asked).await,
                None => self.commit(host, *said, asked).await,
            },
            _ => Line::Refused("these names are one host, and it cannot be at two addresses".into()),
        };
        let status = status_of(dialect, &own);
        let lines = match strangers.is_empty() {
            true => vec![own],
            false => strangers.into_iter().map(|stranger| stranger.unwrap_or_else(|| own.clone())).collect(),
        };
        Answer { status, dialect, lines }
    }

    async fn commit(&self, host: &HostName, said: Said, asked: &Asked<'_>) -> Line {
        let change = Change::Update { host: host.clone(), said, at: Timestamp::now() };
        match self.carry(host, change, asked.peer).await {
            Ok((state, news)) => {
                if news {
                    let Said { v4, v6, prefix } = said;
                    info!(%host, peer = %asked.peer, ?v4, ?v6, ?prefix, "updated");
                }
                let published = state.host(host).map(|host| self.published(host, said, asked.dialect)).unwrap_or_default();
                match asked.dialect {
                    Dialect::Delete => Line::Deleted(types(said)),
                    _ if news => Line::Good(published),
                    _ => Line::NoChange(published),
                }
            }
            Err(line) => line,
        }
    }

    /// Gives the host's TXT record these values, if its password may.
    async fn prove(&self, state: &State, host: &HostName, values: &[String], asked: &Asked<'_>) -> Line {
        let peer = asked.peer;
        if host.label() == APEX {
            // Also where no name is said, and the user's own host is meant.
            info!(%host, %peer, "a TXT record was refused: it would prove every host of the zone");
            return Line::Refused("a TXT record at the zone's own name would prove every host in it: no host's password sets it".into());
        }
        let authority = state.host(host).is_some_and(|host| host.settings.address_from == AddressFrom::Update);
        if asked.right == Right::Update && !authority {
            // Whoever has such a record gets certificates for the host: more than a hint may do.
            info!(%host, %peer, "a TXT record was refused: updates are no authority on this host");
            return Line::Refused(no_authority());
        }
        match self.join(host, values, peer).await {
            Ok((_, news)) => {
                if news {
                    info!(%host, %peer, "its TXT record changed");
                }
                match (asked.dialect, values) {
                    (Dialect::AcmeDns, [value]) => Line::Proof { value: value.clone(), news },
                    _ if news => Line::Good(Vec::new()),
                    _ => Line::NoChange(Vec::new()),
                }
            }
            Err(line) => line,
        }
    }

    /// Joins `values` to those of the host's challenge.
    async fn join(&self, host: &HostName, values: &[String], peer: IpAddr) -> Result<(Arc<State>, bool), Line> {
        let mut lately = self.lately.lock().await;
        let (now, mut tries) = (Instant::now(), TRIES);
        loop {
            // Not as it was when the password was compared: another may have been before us.
            let Some(seen) = self.store.snapshot().host(host).cloned() else { return Err(Line::from(&Refused::UnknownHost(host.clone()))) };
            let challenge = lately.with(host, &seen.challenge, values, now);
            let change = Change::Challenge { host: host.clone(), before: seen.challenge.clone(), values: challenge };
            let carried = self.carry(host, change, peer).await;
            if carried.is_ok() {
                lately.remember(host, &seen.challenge, values, now);
            }
            // Or in that very moment, by DNS: the values of both are to stand.
            let overtaken = carried.is_err() && self.store.snapshot().host(host).is_some_and(|host| host.challenge != seen.challenge);
            if !overtaken || tries == 0 {
                return carried;
            }
            tries = tries.saturating_sub(1);
        }
    }

    /// Commits `change`, where it is one: the state then, and whether anything is new in it.
    async fn carry(&self, host: &HostName, change: Change, peer: IpAddr) -> Result<(Arc<State>, bool), Line> {
        let refused = |reason: &Refused| {
            warn!(%host, %peer, %reason, "an update was refused");
            Line::from(reason)
        };
        let state = self.store.snapshot();
        // What changes nothing costs no place in the measure either.
        let judged = self.store.tried(&state, &change);
        if judged.as_ref().is_ok_and(Vec::is_empty) {
            return Ok((state, false));
        }
        self.measured(host, peer)?;
        judged.map_err(|reason| refused(&reason))?;
        match self.store.commit(change).await {
            Ok(state) => Ok((state, true)),
            Err(CommitError::Refused(reason)) => Err(refused(&reason)),
            Err(error) => {
                warn!(%host, %peer, %error, "an update could not be kept");
                Err(Line::Fault)
            }
        }
    }

    /// Counts what `host` asks for from `peer`, and is no repetition.
    fn measured(&self, host: &HostName, peer: IpAddr) -> Result<(), Line> {
        let admitted = self.pace.admit(host, Some(network_of(peer)), Instant::now());
        admitted.map_err(|wait| {
            // Not louder: it is said as often as it is asked. The metrics count it.
            debug!(%host, %peer, ?wait, "an update was refused: too many changes in a short time");
            Line::TooOften { wait: wait.as_secs().saturating_add(1) }
        })
    }

    /// What is published in each family that was reported: the gateway's A, and the home address, or the hint under the router's name.
    /// deSEC's clients look for what they said.
    fn published(&self, host: &Host, said: Said, dialect: Dialect) -> Vec<IpAddr> {
        let of6 = said.v6 != Word::Keep || said.prefix.is_some();
        let ours = self.ipv4.first().copied().map(IpAddr::V4).filter(|_| said.v4 != Word::Keep || !of6);
        let ours = said.v4.set().map(IpAddr::V4).filter(|_| dialect == Dialect::DeSec).or(ours);
        let theirs = match host.settings.address_from {
            AddressFrom::Update => host.home(),
            AddressFrom::Link | AddressFrom::Static => host.router.and_then(|router| router.v6),
        };
        ours.into_iter().chain(theirs.filter(|_| of6).map(IpAddr::V6)).collect()
    }
}

fn no_authority() -> String {
    "this password only tells where a router is: a TXT record needs an account (`fourward host token NAME --acme-dns` on the server), or a \
     host with address-from=update"
        .into()
}

fn in_the_clear() -> String {
    "updates over plain HTTP show the password to everyone on the way and are refused: write https:// in place of http://, or, for a router \
     that cannot, set http-updates = true under [control] on the server; `fourward host token` there makes a new password"
        .into()
}

fn in_the_address() -> String {
    "over plain HTTP a password in the address line is not taken: give it as user name and password (HTTP Basic), or write https:// in \
     place of http://; `fourward host token` on the server makes a new one"
        .into()
}

/// What a client of acme-dns is answered that has no account.
pub(super) fn no_registration() -> Response<Full<Bytes>> {
    let line = Line::BadAgent(
        "accounts are made by the operator alone: `fourward host token NAME --acme-dns` on the server makes one, and prints the settings \
         that your client wants, its file of accounts included"
            .into(),
    );
    Answer { status: StatusCode::FORBIDDEN, dialect: Dialect::AcmeDns, lines: vec![line] }.response()
}

/// The types of the records that are taken away.
fn types(said: Said) -> Vec<&'static str> {
    let (v4, v6) = (said.v4 == Word::Clear, said.v6 == Word::Clear);
    [("A", v4), ("AAAA", v6)].into_iter().filter(|(_, gone)| *gone).map(|(kind, _)| kind).collect()
}

/// dyndns2 says all by its words; the other dialects' clients look at the status, too.
fn status_of(dialect: Dialect, line: &Line) -> StatusCode {
    match (line, dialect) {
        (Line::TooOften { .. }, _) => StatusCode::TOO_MANY_REQUESTS,
        (Line::BadPost(_), _) => StatusCode::BAD_REQUEST,
        (Line::Fault, Dialect::AcmeDns) => StatusCode::INTERNAL_SERVER_ERROR,
        (line, Dialect::AcmeDns) if !line.is_done() => StatusCode::UNAUTHORIZED,
        (Line::NoHost | Line::NotFqdn, Dialect::DeSec | Dialect::DynV6) => StatusCode::NOT_FOUND,
        (Line::Refused(_) | Line::NumHost, Dialect::DeSec | Dialect::DynV6) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

impl Answer {
    fn response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.dialect.body(&self.lines))));
        *response.status_mut() = self.status;
        let wait = self.lines.iter().find_map(|line| match line {
            Line::TooOften { wait } => Some(*wait),
            Line::Abuse => Some(BARRED),
            _ => None,
        });
        let kind = if self.dialect == Dialect::AcmeDns { "application/json" } else { "text/plain; charset=utf-8" };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = wait {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait));
        }
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"fourward\", charset=\"UTF-8\""));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, POST, PUT"));
            }
            _ => {}
        }
        response
    }
}
