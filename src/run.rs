//! `run`: every role that the configuration has a table for, wired and supervised.
//!
//! Sockets are bound before anything starts, so that a port that is taken ends the program with a sentence and not half a server. The
//! one place, with `lib.rs`, that knows all roles.

mod certificate;

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fourward_core::api::{Reply, Request};
use fourward_core::change::{Change, Identity};
use fourward_core::dnssec::Phase;
use fourward_core::policy::{AddressPolicy, Policy};
use fourward_core::source::SourcePrefix;
use fourward_core::zone::ZoneParams;
use ipnet::Ipv6Net;
use jiff::Timestamp;
use quinn::AsyncUdpSocket;
use rcgen::KeyPair;
use sd_notify::NotifyState;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::agent::{Agent, Condition};
use crate::certificate::{CertificateError, FilesError};
use crate::cli::RunArgs;
use crate::config::{self, AGENT_KEY, Config, ConfigError, Server};
use crate::control::metrics::{self, Sources};
use crate::control::{Control, ControlSocket, OwnPage, PageError, SocketError, Updates};
use crate::crypto::{self, KeyError};
use crate::gateway::{Gateway, Own, OwnConnection, Traffic};
use crate::leases::Leases;
use crate::link::Links;
use crate::listener::{self, BindError};
use crate::pace::Pace;
use crate::quic::own::{Doorway, part};
use crate::resolver::Resolvers;
use crate::signer::{self, NewKeyError, Signer};
use crate::store::{CommitError, Finish, Store, StoreError};
use crate::supervisor::{Roles, SupervisorError};
use crate::{control, dns, gateway, netlink};
use certificate::OwnCertificate;

/// Visitors of our own name that wait for the page.
const OWN_QUEUE: usize = 16;

/// A step of signing takes no longer at a start.
const START_STEP: Duration = Duration::from_secs(60);

/// How often the addresses of this machine are read for the address policy.
const POLICY_INTERVAL: Duration = Duration::from_secs(60);

/// Why the roles end, or do not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A port is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The name server cannot start.
    #[error(transparent)]
    Dns(#[from] dns::DnsError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store does not take what it must.
    #[error("the store refuses the start: {0}")]
    Commit(#[from] CommitError),
    /// The control socket is not to be had.
    #[error(transparent)]
    Control(#[from] SocketError),
    /// Our own page cannot be served.
    #[error(transparent)]
    Page(#[from] PageError),
    /// No randomness, or no key.
    #[error(transparent)]
    Crypto(#[from] KeyError),
    /// A zone cannot be signed.
    #[error("a zone has no key to be signed with: {0}")]
    ZoneKey(#[from] NewKeyError),
    /// The self-signed certificate cannot be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A key cannot be made.
    #[error("a certificate key cannot be made: {0}")]
    CertificateKey(#[from] rcgen::Error),
    /// The agent's key cannot be read.
    #[error("{path}: {source}; `fourward join -` makes it, and the agent's user must be able to read it")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file that the configuration names cannot be used.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// There are no descriptors for the sockets of QUIC.
    #[error("the sockets of UDP 443: {0}; raise LimitNOFILE")]
    Sockets(#[source] io::Error),
    /// A role ended.
    #[error(transparent)]
    Ended(#[from] SupervisorError),
}

/// Runs until a signal or the end of a role.
///
/// # Errors
/// Why it does not start, or which role ended.
pub(crate) async fn run(args: RunArgs) -> Result<(), RunError> {
    let mut config = Config::read(&args.config)?;
    let loopback = args.loopback_demo;
    if let (Some(ports), Some(gateway)) = (loopback, config.server.as_mut().and_then(|server| server.gateway.as_mut())) {
        gateway.home_ports = ports;
    }
    let mut roles = Roles::default();
    let beside_server = config.server.is_some();
    if let Some(server) = config.server.take() {
        start_server(&mut roles, server, &config, loopback.is_some()).await?;
    }
    if let Some(agent) = config.agent.take() {
        start_agent(&mut roles, agent, &config, Beside { server: beside_server, loopback: loopback.is_some() })?;
    }
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    roles.run().await?;
    info!("ended");
    Ok(())
}

async fn start_server(roles: &mut Roles, server: Server, config: &Config, loopback: bool) -> Result<(), RunError> {
    let keys = Arc::new(dns::Keys::read(server.dns.as_ref().map_or(&[], |dns| &dns.keys))?);
    let dns_sockets = server.dns.as_ref().map(|dns| dns::bind(dns, server.addresses())).transpose()?;
    let gateway_sockets = server.gateway.as_ref().map(|gateway| gateway::bind(gateway, &server.public)).transpose()?;
    let link_sockets = server.gateway.as_ref().map(|gateway| bind_links(&server, gateway.tls)).transpose()?;
    let metrics_sockets = metrics::bind(&server.control.metrics)?;
    let resolvers = resolvers(&server, dns_sockets.as_ref());
    let (policy, ipv6) = policy(&server, loopback).await;
    tell_of(ipv6);
    let store = Store::open(&config.state, policy)?;
    let identity = identity(&store).await?;
    let leases = Arc::new(Leases::new(Instant::now()));
    let (traffic, pace) = (Arc::new(Traffic::default()), Arc::new(Pace::default()));

    let pin = crypto::pin_of(&*crypto::raw_key(&identity.link_key)?);
    let certificate = server.gateway.as_ref().map(|_| OwnCertificate::new(&server, &store, &identity)).transpose()?;
    let shown = certificate.as_ref().map(|certificate| Arc::clone(&certificate.shown));
    let control = Control::new(server.clone(), pin, store.clone(), Arc::clone(&leases), Arc::clone(&traffic), shown);
    let counters = dns_sockets.as_ref().map(dns::Sockets::counters);
    let mut sources = Sources { control: Arc::clone(&control), dns: counters, updates: None, transfers: None, gateway: None };
    let socket = ControlSocket::bind(&config.control_socket())?;
    if let (Some(dns), Some(sockets)) = (server.dns.as_ref(), dns_sockets) {
        let (updates, transfers) =
            (dns::Updates::new(&keys, store.clone(), Arc::clone(&pace)), dns::Transfers::new(&dns.secondaries, store.clone()));
        sources.updates = updates.as_ref().map(|updates| updates.outcomes());
        sources.transfers.clone_from(&transfers);
        let settings = dns::Settings { updates, transfers, keys, ..dns::settings(dns, &server.public) };
        prepare_zones(roles, &store, dns, &settings).await?;
        roles.start("dns", dns::run(sockets, settings, store.watch(), identity.reset_key, roles.end_token()));
    }
    // Not before the zones are there: until then a command waits, and is not told that its zone is not served.
    start_control(roles, socket, control);
    if let (Some(gateway), Some(sockets), Some(link_sockets), Some(certificate)) =
        (server.gateway.clone(), gateway_sockets, link_sockets, certificate)
    {
        let ((own, visitors), updates) = (mpsc::channel(OWN_QUEUE), Updates::new(&server, store.clone(), pace));
        let outcomes = updates.outcomes();
        let page = OwnPage::new(Arc::clone(&certificate.shown), updates, Arc::clone(&certificate.tokens))?;
        start_page(roles, page, own.clone(), visitors);
        let (quic, own_sockets) = part_all(link_sockets, &identity)?;
        let links = Links::new(store.clone(), Arc::clone(&leases), roles.end_token());
        sources.gateway = Some((links.joins(), outcomes));
        roles.start("link", async move { links.run(&identity, own_sockets).await });
        let gateway = Gateway::new(gateway, own_side(&server, own, quic), store.clone(), leases, traffic, resolvers)
            .run(sockets, roles.drain_token());
        roles.start_draining("gateway", gateway);
        certificate.start(roles, &store).await?;
    }
    if !metrics_sockets.is_empty() {
        roles.start("metrics", metrics::run(metrics_sockets, sources, roles.end_token()));
    }
    if !loopback {
        roles.start("policy", keep_policy(server, ipv6, store.clone(), roles.end_token()));
    }
    roles.start("store", watch_store(store, roles.end_token()));
    Ok(())
}

/// Makes the zones what the configuration says, signed, and keeps them so; with a journal where somebody follows.
async fn prepare_zones(roles: &mut Roles, store: &Store, dns: &config::Dns, settings: &dns::Settings) -> Result<(), RunError> {
    if settings.transfers.is_some() {
        store.keep_journal(settings.params.clone());
    }
    let signer = Signer::new(settings.params.clone());
    store.finish_by(Arc::clone(&signer) as Arc<dyn Finish>);
    settle_zones(store, dns, &settings.params).await?;
    signer.sign_all(store, extend_start).await?;
    roles.start("signer", signer.keep_fresh(store.clone(), roles.end_token()));
    Ok(())
}

fn start_control(roles: &mut Roles, socket: ControlSocket, control: Arc<Control>) {
    let end = roles.end_token();
    roles.start("control", async move {
        let answer = move |request| {
            let control = Arc::clone(&control);
            async move { control.answer(request).await }
        };
        socket.run(answer, end).await;
        Ok::<_, io::Error>(())
    });
}

/// Serves our own page to `visitors`. It holds their `sender` too: the gateway ends first, and without anybody who could send the page would
/// end by itself.
fn start_page(roles: &mut Roles, page: Arc<OwnPage>, sender: mpsc::Sender<OwnConnection>, visitors: mpsc::Receiver<OwnConnection>) {
    let end = roles.end_token();
    roles.start("page", async move {
        page.run(visitors, end).await;
        drop(sender);
        Ok::<_, io::Error>(())
    });
}

/// Ends the process with the store: nothing could be acknowledged any more.
async fn watch_store(store: Store, end: CancellationToken) -> Result<(), StoreError> {
    tokio::select! {
        () = end.cancelled() => Ok(()),
        error = store.stopped() => Err(error),
    }
}

/// Makes the zones of the store those of the configuration.
async fn settle_zones(store: &Store, dns: &config::Dns, params: &ZoneParams) -> Result<(), RunError> {
    for zone in store.snapshot().zones().map(|(zone, _)| zone).filter(|zone| !dns.zones.contains(zone)) {
        warn!(%zone, "no longer in dns.zones, so no longer served; its hosts are kept");
        store.commit(Change::Retire { zone: zone.clone() }).await?;
    }
    for zone in &dns.zones {
        let apex = crypto::sha256(&params.digest_input(zone));
        let state = store.commit(Change::Serve { zone: zone.clone(), apex, at: Timestamp::now() }).await?;
        match (dns.dnssec, state.zone_keys(zone)) {
            (Some(algorithm), None) => {
                let keys = signer::with_new_key(zone, None, algorithm, Phase::Active, Timestamp::now())?;
                store.commit(Change::ZoneKeys { zone: zone.clone(), keys: Some(keys) }).await?;
                info!(%zone, "signed from now on, with a new key: `fourward zone ds {zone}` prints what the registrar is to be told");
            }
            (None, Some(_)) => warn!(%zone, "not signed (dns.dnssec = false): a DS that is still at the registrar makes it unreachable"),
            _ => {}
        }
    }
    Ok(())
}

/// Has systemd wait while a large zone is signed for the first time.
fn extend_start() {
    let _ = sd_notify::notify(&[NotifyState::ExtendTimeoutUsec(START_STEP.as_micros() as u32)]);
}

/// Descriptors that clients of the other roles may have open at once. Those of the page are the gateway's.
fn descriptors_beside_gateway(server: &Server) -> usize {
    let dns = server.dns.as_ref().map_or(0, |_| dns::GUESTS);
    dns + metrics::VISITORS * server.control.metrics.len() + control::CLIENTS
}

fn bind_links(server: &Server, port: u16) -> Result<Vec<std::net::UdpSocket>, BindError> {
    let mut sockets = Vec::new();
    for address in listener::addresses(server.addresses(), port) {
        sockets.append(&mut listener::bind_udp("gateway.tls", address, 1)?);
    }
    Ok(sockets)
}

/// What the gateway reads of the sockets of UDP 443, and what of them is the links'.
type Parted = (Vec<Doorway>, Vec<Arc<dyn AsyncUdpSocket>>);

/// Parts the sockets of UDP 443 into what the gateway reads and what is the links'.
fn part_all(sockets: Vec<std::net::UdpSocket>, identity: &Identity) -> Result<Parted, RunError> {
    let (mut doorways, mut own): Parted = (Vec::new(), Vec::new());
    for socket in sockets {
        let (doorway, ours) = part(socket, identity).map_err(RunError::Sockets)?;
        doorways.push(doorway);
        own.push(ours);
    }
    Ok((doorways, own))
}

/// Whom the gateway asks for names that are not listed: never the name server in this very process.
fn resolvers(server: &Server, own: Option<&dns::Sockets>) -> Resolvers {
    let given = server.gateway.as_ref().map_or(&[][..], |gateway| &gateway.resolver);
    if !given.is_empty() {
        return Resolvers::given(given.to_vec());
    }
    let public = server.dns.as_ref().map_or_else(Vec::new, |dns| dns.addresses(&server.public));
    let resolvers = Resolvers::system(own.map_or(&[][..], dns::Sockets::addresses).iter().copied().chain(public).collect());
    // Said now, and not when the first client comes. It may be there by then: no error.
    if let (Some(_), Err(error)) = (&server.gateway, resolvers.servers()) {
        warn!(%error, "names that are not listed cannot be looked up and count as unknown");
    }
    resolvers
}

/// The secrets of this server; made at its first start.
async fn identity(store: &Store) -> Result<Arc<Identity>, RunError> {
    if let Some(identity) = store.snapshot().identity() {
        return Ok(Arc::clone(identity));
    }
    let certificate_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?.serialize_der();
    let identity = Identity { link_key: crypto::new_link_key()?, reset_key: crypto::random()?, certificate_key };
    store.commit(Change::Identify(identity.clone())).await?;
    info!("a new identity for this server is in the store");
    Ok(Arc::new(identity))
}

/// What the gateway has of its own, beside the other roles of `server`.
fn own_side(server: &Server, connections: mpsc::Sender<OwnConnection>, quic: Vec<Doorway>) -> Own {
    let descriptors_beside = descriptors_beside_gateway(server);
    Own { names: vec![server.public.name.clone()], ipv4: server.public.ipv4.clone(), connections, quic, descriptors_beside }
}

/// What changes are judged by, and whether this machine can reach homes at all.
async fn policy(server: &Server, loopback: bool) -> (Policy, Ipv6) {
    let (own_names, own_ports) = (vec![server.public.name.clone()], server.own_ports());
    if loopback {
        return (Policy { addresses: AddressPolicy::on_loopback(), own_names, own_ports }, Ipv6::There);
    }
    match netlink::own().await {
        Ok(read) => policy_of(server, read),
        Err(error) => {
            warn!(%error, "this machine's own addresses cannot be read; only the public ones are refused as homes");
            let addresses = AddressPolicy::new(server.addresses().collect(), Vec::new()).sending_from(source(server));
            (Policy { addresses, own_names, own_ports }, Ipv6::There)
        }
    }
}

/// The same for a machine with these addresses and networks.
fn policy_of(server: &Server, (mut own, networks): (Vec<IpAddr>, Vec<Ipv6Net>)) -> (Policy, Ipv6) {
    let ipv6 = if own.iter().any(is_global_v6) { Ipv6::There } else { Ipv6::Missing };
    own.extend(server.addresses());
    let addresses = AddressPolicy::new(own, networks).sending_from(source(server));
    (Policy { addresses, own_names: vec![server.public.name.clone()], own_ports: server.own_ports() }, ipv6)
}

fn source(server: &Server) -> Option<SourcePrefix> {
    server.gateway.as_ref().and_then(|gateway| gateway.source_prefix)
}

/// Whether this machine has a global IPv6 address, or may have one for all we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ipv6 {
    There,
    Missing,
}

fn is_global_v6(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if AddressPolicy::default().check(*v6).is_ok())
}

/// Not an error: names are answered without it, and at boot the address may come a moment later.
fn tell_of(ipv6: Ipv6) {
    if ipv6 == Ipv6::Missing {
        warn!(
            "this machine has no global IPv6 address, so no home can be reached and IPv4 clients are told that it is away; \
             enable IPv6 at the provider and see that `ip -6 address` shows it"
        );
    }
}

/// Keeps the policy up to date with the addresses that this machine gets and loses.
async fn keep_policy(server: Server, ipv6: Ipv6, store: Store, end: CancellationToken) -> Result<(), io::Error> {
    let mut addresses = netlink::watch();
    let mut kept = KeptPolicy { server, store, told: ipv6, unread: false };
    loop {
        tokio::select! {
            () = end.cancelled() => return Ok(()),
            changed = addresses.changed() => changed.map_err(io::Error::other)?,
            () = tokio::time::sleep(POLICY_INTERVAL) => {}
        }
        kept.follow(netlink::own().await);
    }
}

/// The policy as it was last set, and what was said about it.
struct KeptPolicy {
    server: Server,
    store: Store,
    told: Ipv6,
    /// The addresses could not be read last time.
    unread: bool,
}

impl KeptPolicy {
    /// Follows what was `read` of this machine's addresses and networks. Where nothing was, they are as they were: a policy without them would
    /// let a home be anywhere in the gateway's own networks.
    fn follow(&mut self, read: io::Result<(Vec<IpAddr>, Vec<Ipv6Net>)>) {
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                if !self.unread {
                    warn!(%error, "this machine's own addresses cannot be read; the address policy stays as it is, and is tried again");
                }
                self.unread = true;
                return;
            }
        };
        self.unread = false;
        let (policy, ipv6) = policy_of(&self.server, read);
        if ipv6 != self.told {
            self.told = ipv6;
            tell_of(ipv6);
        }
        if *self.store.policy() != policy {
            info!("this machine's addresses changed; the address policy follows");
            self.store.set_policy(policy);
        }
    }
}

/// What an agent runs beside.
struct Beside {
    server: bool,
    loopback: bool,
}

fn start_agent(roles: &mut Roles, agent: config::Agent, config: &Config, beside: Beside) -> Result<(), RunError> {
    let path = config.state.join(AGENT_KEY);
    let key = fs::read(&path).map_err(|source| RunError::Key { path, source })?;
    let policy = if beside.loopback { AddressPolicy::on_loopback() } else { AddressPolicy::default() };
    let agent = Agent::new(agent, key, policy, netlink::watch(), roles.drain_token())?;
    // A server has the socket for itself, and its own state to examine.
    if !beside.server {
        start_home_control(roles, agent.condition(), &config.control_socket());
    }
    roles.start_draining("agent", agent.run());
    Ok(())
}

/// Where `fourward check` asks at home. A home does its work without it, too.
fn start_home_control(roles: &mut Roles, condition: Arc<Condition>, path: &Path) {
    let socket = match ControlSocket::bind_if_free(path) {
        Ok(socket) => socket,
        Err(error) => {
            warn!(%error, "`fourward check` cannot ask this agent");
            return;
        }
    };
    let answer = move |request| {
        let condition = Arc::clone(&condition);
        async move {
            match request {
                Request::Check { .. } => Reply::Checked(Box::new(condition.examine().await)),
                _ => Reply::Refused("this is a home; hosts are kept by the server: run the command there".into()),
            }
        }
    };
    let end = roles.end_token();
    roles.start("control", async move {
        socket.run(answer, end).await;
        Ok::<_, io::Error>(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_read_leaves_the_policy_as_it_was() {
        let text = "[public]\nipv4 = [\"192.0.2.11\"]\nipv6 = [\"2001:db8:a::11\"]\n[dns]\nzones = [\"dyn.example.org\"]\n[gateway]\n";
        let server = Config::parse(text, Path::new("fourward.toml")).expect("a configuration").server.expect("a server");
        let network: Ipv6Net = "2001:db8:b::/64".parse().expect("a network");
        let (neighbour, own) = ("2001:db8:b::7".parse().expect("an address"), IpAddr::V6("2001:db8:b::1".parse().expect("an address")));
        let state = tempfile::tempdir().expect("a directory");
        let (policy, told) = policy_of(&server, (vec![own], vec![network]));
        let store = Store::open(state.path(), policy).expect("a store");
        let mut kept = KeptPolicy { server, store: store.clone(), told, unread: false };
        kept.follow(Err(rustix::io::Errno::MFILE.into()));
        assert!(store.policy().addresses.check(neighbour).is_err(), "a neighbour of the gateway's is still no home");
        kept.follow(Ok((vec![own], Vec::new())));
        assert!(store.policy().addresses.check(neighbour).is_ok(), "what is read is followed");
    }
}
