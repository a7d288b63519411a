//! The name server: sockets on one side, `core::answer` on the other.
//!
//! The sockets are bound before anything starts, so that a taken port is known before a store is opened. Every question is
//! answered from the newest snapshot of the state; there is no cache that could be behind it. What is said is decided
//! in core; here is how messages come and go.

mod cookies;
mod counters;
mod handed;
mod keys;
mod meter;
mod notify;
mod signed;
mod tcp;
mod transfer;
mod udp;
mod updates;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZero;
use std::sync::Arc;

use fourward_core::answer::{Answer, Asker, Transport, limit};
use fourward_core::state::State;
use fourward_core::transfer::is_transfer;
use fourward_core::wire::{Query, Rcode};
use fourward_core::zone::ZoneParams;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::{Dns, Public};
use crate::crowd::Crowd;
use crate::listener::{self, BindError};
use cookies::Jar;
use counters::Counter;
pub use counters::{Counters, RCODES, Sums};
use handed::Desk;
pub use keys::Keys;
pub use meter::{Meter as TransferMeter, Told};
use notify::Teller;
use signed::Checked;
pub(crate) use tcp::GUESTS;
pub use transfer::Transfers;
pub use updates::{Outcomes, Updates};

/// The setting that says where the name server listens.
const KEY: &str = "dns.listen";

/// Where names are asked for.
const PORT: u16 = 53;

/// How often a free port is looked for that is free for TCP and for UDP; only tests ask for one.
const FREE_PORT_TRIES: usize = 16;

/// Sockets that are bound, and not served yet.
#[derive(Debug)]
pub struct Sockets {
    addresses: Vec<SocketAddr>,
    udp: Vec<std::net::UdpSocket>,
    tcp: Vec<std::net::TcpListener>,
    counters: Counters,
}

/// Why the name server does not run.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// A socket is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The runtime does not take a socket.
    #[error("dns: a socket cannot be served: {0}; check the limit of open files (ulimit -n)")]
    Socket(#[from] io::Error),
    /// A task ended that should run for ever.
    #[error("dns: the name server stopped by itself, which is a defect; the log has more")]
    Stopped,
}

/// What the questions are answered from.
#[derive(Clone)]
struct Source {
    params: Arc<ZoneParams>,
    states: watch::Receiver<Arc<State>>,
    jar: Jar,
    /// Where updates go; without keys there are none.
    desk: Option<Desk>,
    /// Who signs questions; without keys and secondaries nobody does.
    keys: Option<Arc<Keys>>,
    /// Who gives zones away; without secondaries nobody does.
    transfers: Option<Arc<Transfers>>,
}

/// What the configuration says of how questions are answered.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it gives to the zones.
    pub params: ZoneParams,
    /// Answers of a kind that a network may have a second by UDP; 0 is without end.
    pub rate_limit: u32,
    /// Who carries out updates; nobody where there are no keys.
    pub updates: Option<Arc<Updates>>,
    /// Who gives zones away; nobody where there are no secondaries.
    pub transfers: Option<Arc<Transfers>>,
    /// What messages are signed with.
    pub keys: Arc<Keys>,
    /// The addresses that secondaries know this server by.
    pub public: Vec<IpAddr>,
}

/// What the configuration says; what is the store's, and keys, are added where they are.
pub fn settings(dns: &Dns, public: &Public) -> Settings {
    let (v4, v6) = (public.ipv4.iter().copied().map(IpAddr::V4), public.ipv6.iter().copied().map(IpAddr::V6));
    let (params, rate_limit, public) = (params(dns, public), dns.rate_limit, v4.chain(v6).collect());
    Settings { params, rate_limit, updates: None, transfers: None, keys: Arc::default(), public }
}

/// What the configuration gives to the zones.
pub fn params(dns: &Dns, public: &Public) -> ZoneParams {
    ZoneParams {
        zones: dns.zones.clone(),
        nameservers: dns.nameservers.clone(),
        own_name: public.name.clone(),
        ipv4: public.ipv4.clone(),
        ipv6: public.ipv6.clone(),
        ttl: dns.ttl,
        dnssec: dns.dnssec.is_some(),
    }
}

/// Binds where the configuration says, else on the addresses in `public`, port 53, or on the wildcard where these are
/// not this machine's own.
///
/// # Errors
/// An address is not to be had; the error says why and what to do.
pub fn bind(dns: &Dns, public: impl IntoIterator<Item = IpAddr>) -> Result<Sockets, DnsError> {
    let addresses = if dns.listen.is_empty() { listener::addresses(public, PORT) } else { dns.listen.clone() };
    let mut sockets = Sockets { addresses: Vec::new(), udp: Vec::new(), tcp: Vec::new(), counters: Counters::default() };
    for address in addresses {
        let (tcp, udp) = bind_both(address, per_address())?;
        sockets.addresses.push(tcp.local_addr()?);
        sockets.tcp.push(tcp);
        sockets.counters.socket(Transport::Tcp);
        udp.iter().for_each(|_| sockets.counters.socket(Transport::Udp));
        sockets.udp.extend(udp);
    }
    Ok(sockets)
}

/// Answers until `cancel`. `root` is a secret of this server's, from which those of cookies are derived.
///
/// # Errors
/// The sockets cannot be served, or a task ended by itself.
pub async fn run(
    sockets: Sockets,
    settings: Settings,
    states: watch::Receiver<Arc<State>>,
    root: [u8; 32],
    cancel: CancellationToken,
) -> Result<(), DnsError> {
    let mut tasks = JoinSet::new();
    let desk = settings.updates.map(|updates| {
        let (desk, handed) = Desk::new(updates);
        tasks.spawn(handed::serve(handed));
        desk
    });
    let keys = Some(settings.keys).filter(|keys| !keys.is_empty() || settings.transfers.is_some());
    let source = Source { params: Arc::new(settings.params), states, jar: Jar::new(&root), desk, keys, transfers: settings.transfers };
    source.tellers(settings.public.into()).for_each(|teller| drop(tasks.spawn(teller.run(source.states.clone()))));
    let counted = sockets.udp.into_iter().zip(sockets.counters.of(Transport::Udp));
    let udp = counted.map(|(socket, counter)| udp::Socket::new(socket, counter)).collect::<io::Result<Vec<_>>>()?;
    let mut threads = udp::Threads::start(by_thread(udp), &source, settings.rate_limit)?;
    let guests = Crowd::new(tcp::LIMITS);
    for (listener, counter) in sockets.tcp.into_iter().zip(sockets.counters.of(Transport::Tcp)) {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tasks.spawn(tcp::serve(listener, source.clone(), counter, guests.clone(), cancel.clone()));
    }
    info!(addresses = ?sockets.addresses, "name server listens");
    let ended = tokio::select! {
        () = cancel.cancelled() => Ok(()),
        Some(_) = tasks.join_next() => Err(DnsError::Stopped),
        () = threads.ended() => Err(DnsError::Stopped),
    };
    // Not before the sockets are closed: whoever waited for the end may want the port at once.
    tasks.shutdown().await;
    let _ = tokio::task::spawn_blocking(|| drop(threads)).await;
    ended
}

impl Sockets {
    /// Where they are bound, TCP and UDP alike.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What is counted on them.
    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }
}

impl Source {
    /// The state as it is now. A copy of the pointer, so that no writer waits while an answer is made.
    fn newest(&self) -> Arc<State> {
        Arc::clone(&self.states.borrow())
    }

    /// Who tells each secondary of each zone.
    fn tellers(&self, public: Arc<[IpAddr]>) -> impl Iterator<Item = Teller> {
        let known = self.transfers.as_ref().zip(self.keys.as_ref()).into_iter();
        known.flat_map(move |(transfers, keys)| {
            let public = Arc::clone(&public);
            let each = (0..transfers.secondaries().len()).flat_map(|at| self.params.zones.iter().map(move |zone| (at, zone.clone())));
            each.map(move |(at, zone)| {
                let (params, public) = (Arc::clone(&self.params), Arc::clone(&public));
                Teller { transfers: Arc::clone(transfers), at, zone, params, keys: Arc::clone(keys), public }
            })
        })
    }

    fn answer(&self, state: &State, message: &[u8], asker: &Asker<'_>, counter: &Counter, out: &mut [u8]) -> Option<Answer> {
        counter.asked();
        let plain = fourward_core::answer::answer(message, asker, state, &self.params, out);
        let answer = match plain {
            Some(plain) if plain.signed || plain.rcode == Rcode::REFUSED => self.otherwise(state, message, asker, plain, out),
            _ => plain,
        };
        counter.said(answer.map(|answer| (answer.rcode, answer.is_truncated())));
        answer
    }

    /// The answer to a question that is signed, or for a transfer, in the place of `plain`, which knows of neither.
    fn otherwise(&self, state: &State, message: &[u8], asker: &Asker<'_>, plain: Answer, out: &mut [u8]) -> Option<Answer> {
        let put = |out: &mut [u8], message: &[u8], answer: Answer, rcode| {
            out.get_mut(..message.len())?.copy_from_slice(message);
            Some(answer.with_signature(message.len(), rcode))
        };
        let mut session =
            match self.keys.as_ref().filter(|_| plain.signed).map_or(Checked::Plain, |keys| signed::check(keys, message, asker)) {
                Checked::Plain => None,
                Checked::By(session) => Some(session),
                Checked::Bad(told) => return put(out, &told.message, plain, told.rcode),
            };
        let transfers = self.transfers.as_ref().filter(|_| asker.transport == Transport::Udp && is_transfer(message));
        let given = transfers.and_then(|transfers| transfers.in_a_datagram(message, asker, session.as_ref(), state, &self.params));
        let (answer, rcode, mut said) = match (given, &session) {
            (Some(given), _) => (plain, Rcode::NOERROR, given),
            (None, None) => return Some(plain),
            (None, Some(session)) => {
                let query = Query::parse(message)?;
                let mut said = vec![0; limit(&query, asker.transport).saturating_sub(session.size())];
                let answer = fourward_core::answer::answer(message, asker, state, &self.params, &mut said)?;
                said.truncate(answer.length);
                (answer, answer.rcode, said)
            }
        };
        if let Some(session) = &mut session {
            session.seal(&mut said);
        }
        put(out, &said, answer, rcode)
    }
}

/// One socket of each address for each thread: they were bound address by address, on each as many as there are threads.
fn by_thread(sockets: Vec<udp::Socket>) -> Vec<Vec<udp::Socket>> {
    let count = per_address();
    let mut threads: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
    for (at, socket) in sockets.into_iter().enumerate() {
        if let Some(thread) = threads.get_mut(at.checked_rem(count).unwrap_or(0)) {
            thread.push(socket);
        }
    }
    threads
}

/// Seconds since 1970, which fit until 2106 and are compared so that they may wrap.
fn now() -> u32 {
    signed::now() as u32
}

/// As many as there are processors.
fn per_address() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// TCP and UDP on the same port, also where `address` leaves the port open.
fn bind_both(address: SocketAddr, per_address: usize) -> Result<(std::net::TcpListener, Vec<std::net::UdpSocket>), DnsError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let tcp = listener::bind_tcp(KEY, address)?;
        match listener::bind_udp(KEY, tcp.local_addr()?, per_address) {
            Ok(udp) => return Ok((tcp, udp)),
            Err(BindError::Taken { .. }) if address.port() == 0 && tries < FREE_PORT_TRIES => {}
            Err(error) => return Err(error.into()),
        }
    }
}
