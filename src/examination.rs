//! What the server finds out of a host for an examination: its state, its link, and whether its home can be reached.
//!
//! The link answers with it when an agent asks, and control when the owner does. Who examines decides in core what follows.

mod returned;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use fourward_core::facts::{BURST, Connect, Dial, FromSource, HomeFacts, HostFacts, LinkStatus, SERVICES, short};
use fourward_core::host::Host;
use fourward_core::link::{Protocol, Service};
use fourward_core::name::HostName;
use futures_util::future::join_all;

use crate::leases::{Examined, Leases, Presence};
use crate::probe;
use crate::store::Store;

/// Shorter than the second after which the kernel sends a SYN anew: each connect is one packet, and can be counted.
const PATIENCE: Duration = Duration::from_millis(900);

/// One SYN that was lost on the way is sent anew after a second.
const SOURCE_PATIENCE: Duration = Duration::from_millis(2_500);

/// How long an agent may take: a quiet second, a burst, and the way. With two connects to a home that is silent it is less than a command waits.
const AGENT_PATIENCE: Duration = Duration::from_secs(5);

/// What the server knows of `name`, without a packet sent.
pub fn host_facts(store: &Store, leases: &Leases, name: &HostName) -> Option<HostFacts> {
    let state = store.snapshot();
    let host = state.host(name)?;
    // Of a follower, its leader knows where it is.
    let (voucher, by) = state.voucher_of(name, host);
    let by_link = by.by_link();
    let lease = leases.lease(&voucher).filter(|_| by_link);
    let home = state.home(name);
    Some(HostFacts {
        dual: name.dual(),
        twin: name.twin(),
        leader: (voucher != *name).then(|| voucher.dual()),
        // Who does not know of upstreams yet must not take it for a link's.
        address_from: Some(by.settings.address_from).filter(|_| by.settings.upstream.is_none()),
        upstream: by.settings.upstream.clone(),
        unresolved: leases.resolved.trouble(&voucher).map(|trouble| short(&trouble)),
        address: home,
        since: by.proven.filter(|_| by_link).map(|proven| proven.since).or(by.updated.map(|updated| updated.since)),
        before: by.before.and_then(|before| state.home_beside(name, before)),
        via: Some(host.settings.via),
        link: Some(link_status(leases, &voucher, by)),
        lease: lease.map(|lease| lease.until.saturating_duration_since(Instant::now()).as_secs()),
        forbidden: home.and_then(|home| store.policy().addresses.check(home).err()).map(|why| short(&why.to_string())),
        tls: host.settings.home_port.tls.unwrap_or(443),
        http: host.settings.home_port.http.unwrap_or(80),
        dials: Vec::new(),
        from_source: None,
    })
}

/// How the link of `name` is.
pub fn link_status(leases: &Leases, name: &HostName, host: &Host) -> LinkStatus {
    match leases.presence(name) {
        None if host.credentials.agent.is_none() => LinkStatus::NotJoined,
        None => LinkStatus::Down,
        Some(presence) if presence.in_conflict(Instant::now()) => LinkStatus::Conflict,
        Some(presence) if *presence.silent.borrow() => LinkStatus::Silent,
        Some(_) => LinkStatus::Up,
    }
}

/// Connects to the home that `facts` tell of, as often as makes a burst to its port for TLS and once to that for HTTP, and notes what came of it,
/// and whether it came back here. Only to an address that may be dialled, and to what its agent offers (`presence`, if it is linked).
pub async fn dial(mut facts: HostFacts, leases: &Leases, presence: Option<&Presence>) -> HostFacts {
    let Some(address) = facts.address.filter(|_| facts.forbidden.is_none()) else { return facts };
    let offered = |port| presence.is_none_or(|presence| presence.services.contains(&Service { protocol: Protocol::Tcp, port }));
    let to = |port| SocketAddr::from((address, port));
    let mut dials = Vec::new();
    if offered(facts.tls) {
        let outcome = Some(probe::burst(to(facts.tls), BURST, PATIENCE).await);
        dials.push(Dial { port: facts.tls, outcome, returned: false });
    }
    if facts.http != facts.tls && offered(facts.http) {
        let outcome = Some(probe::connect(to(facts.http), PATIENCE).await);
        dials.push(Dial { port: facts.http, outcome, returned: false });
    }
    let followed = dials.into_iter().map(async |dial| Dial { returned: returns(dial, &facts, to(dial.port), leases).await, ..dial });
    facts.dials = join_all(followed).await;
    facts
}

/// Connects once more to a port that was open, as if for a client at `client`, where the gateway sends from a prefix.
pub async fn dial_from_source(mut facts: HostFacts, store: &Store, client: IpAddr) -> HostFacts {
    let prefix = store.policy().addresses.source();
    let open = facts.dials.iter().find(|dial| dial.outcome == Some(Connect::Open)).map(|dial| dial.port);
    let source = prefix.and_then(|prefix| Some((prefix, prefix.of(client)?)));
    if let (Some((prefix, source)), Some(address), Some(port)) = (source, facts.address, open) {
        let outcome = probe::connect_from(source, (address, port).into(), SOURCE_PATIENCE).await;
        facts.from_source = Some(FromSource { prefix, port, outcome: Some(outcome) });
    }
    facts
}

async fn returns(dial: Dial, facts: &HostFacts, at: SocketAddr, leases: &Leases) -> bool {
    match dial.outcome {
        Some(Connect::Open) if dial.port == facts.tls => returned::by_tls(at, &facts.dual, &leases.returns).await,
        Some(Connect::Open) => returned::by_http(at, &facts.dual, &leases.returns).await,
        _ => false,
    }
}

/// Asks the agent of `presence` what it knows of itself; `None` where it is too old, or does not answer.
pub async fn ask(presence: &Presence) -> Option<Examined> {
    // One that is silent would only be waited for.
    if !presence.examines() || *presence.silent.borrow() {
        return None;
    }
    let since = Instant::now();
    let mut examined = presence.examined.subscribe();
    presence.examine.notify_one();
    let fresh = examined.wait_for(|examined| examined.as_ref().is_some_and(|examined| examined.at >= since));
    let fresh = tokio::time::timeout(AGENT_PATIENCE, fresh).await.ok()?.ok()?;
    fresh.clone()
}

/// What an agent says, as far as it is taken.
pub fn taken(home: HomeFacts) -> HomeFacts {
    let mut services = home.services;
    services.truncate(SERVICES);
    HomeFacts { version: short(&home.version), trouble: home.trouble.as_deref().map(short), services, ..home }
}
