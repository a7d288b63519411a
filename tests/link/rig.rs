//! A gateway's links and homes, each on a thread and runtime of its own that can be stopped, or killed without a word.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fourward::agent::Agent;
use fourward::leases::{Leases, Presence};
use fourward::link::Links;
use fourward::store::Store;
use fourward::{config, crypto};
use fourward_core::address::{Candidate, Wish};
use fourward_core::change::{Change, Identity, Serial};
use fourward_core::host::{Digest, JoinSecret};
use fourward_core::join::{JoinString, Peer, Secret};
use fourward_core::link::Service;
use fourward_core::name::{DnsName, HostName};
use fourward_core::policy::{AddressPolicy, Policy};
use jiff::{SignedDuration, Timestamp};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// The gateway.
pub(crate) const GATEWAY: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 0x11);

/// The home, and where it is after a renumbering.
pub(crate) const OLD: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x11);
pub(crate) const NEW: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x11);

/// Somebody else.
pub(crate) const OTHER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x66, 0, 0, 0, 0, 0x66);

/// Far more than anything here takes, so that only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `test` in a network namespace of its own, where the machine has all addresses of this file.
pub(crate) fn in_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace; these tests want root");
        let mut commands = vec!["ip link set lo up".to_owned()];
        commands.extend([GATEWAY, OLD, NEW, OTHER].map(|address| format!("ip address add {address}/128 dev lo nodad")));
        let status = Command::new("sh").args(["-ec", &commands.join("\n")]).status().expect("sh");
        assert!(status.success(), "ip");
        runtime().block_on(test());
    };
    if let Err(panic) = thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime")
}

/// Waits until `condition` holds, and tells how long that took.
pub(crate) async fn until(what: &str, condition: impl FnMut() -> bool) -> Duration {
    within(PATIENCE, what, condition).await
}

/// Like [`until`], for `limit` at most.
pub(crate) async fn within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    since.elapsed()
}

/// Checks for `time` that `condition` goes on to hold.
pub(crate) async fn holds(time: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let since = Instant::now();
    while since.elapsed() < time {
        assert!(condition(), "no longer after {:?}: {what}", since.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A thread with a runtime; both end with it.
pub(crate) struct Process {
    cancel: CancellationToken,
    kill: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Process {
    fn start<F: Future<Output = ()>>(work: impl FnOnce(CancellationToken) -> F + Send + 'static) -> Self {
        let (cancel, (kill, killed)) = (CancellationToken::new(), oneshot::channel());
        let token = cancel.clone();
        let thread = thread::spawn(move || {
            runtime().block_on(async {
                tokio::select! {
                    () = work(token) => {}
                    _ = killed => {}
                }
            });
        });
        Self { cancel, kill: Some(kill), thread: Some(thread) }
    }

    /// Ends it as SIGTERM does.
    pub(crate) fn stop(mut self) {
        self.cancel.cancel();
        self.thread.take().expect("thread").join().expect("ended well");
    }

    /// Ends it as SIGKILL does: with no word to the other end.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.kill.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(crate) struct Server {
    pub(crate) store: Store,
    pub(crate) leases: Arc<Leases>,
    pub(crate) address: SocketAddr,
    process: Process,
    state: Arc<TempDir>,
}

pub(crate) fn zone() -> DnsName {
    "dyn.example.org".parse().expect("zone")
}

pub(crate) fn host(label: &str) -> HostName {
    HostName::new(label, zone()).expect("host")
}

fn identity() -> Identity {
    Identity { link_key: crypto::new_link_key().expect("key"), reset_key: crypto::random().expect("random"), certificate_key: vec![] }
}

impl Server {
    /// A new server with the zone and no host.
    pub(crate) async fn start() -> Self {
        let state = Arc::new(TempDir::new().expect("directory"));
        let store = open(&state);
        let serve = Change::Serve { zone: zone(), apex: Digest([0; 32]), at: Timestamp::UNIX_EPOCH };
        for change in [serve, Change::Identify(identity())] {
            store.commit(change).await.expect("committed");
        }
        Self::on(state, store, UdpSocket::bind((GATEWAY, 0)).expect("port"))
    }

    fn on(state: Arc<TempDir>, store: Store, socket: UdpSocket) -> Self {
        let (leases, address) = (Arc::new(Leases::new(Instant::now())), socket.local_addr().expect("bound"));
        let (links_store, links_leases) = (store.clone(), Arc::clone(&leases));
        let identity = Arc::clone(store.snapshot().identity().expect("identity"));
        let process = Process::start(move |cancel| async move {
            let socket = quinn::Runtime::wrap_udp_socket(&quinn::TokioRuntime, socket).expect("a socket");
            Links::new(links_store, links_leases, cancel).run(&identity, vec![socket]).await.expect("links");
        });
        Self { store, leases, address, process, state }
    }

    /// Kills it and starts it again after `away`, from its store, on the same port.
    pub(crate) async fn killed_and_restarted(self, away: Duration) -> Self {
        let Self { store, address, process, state, .. } = self;
        process.kill();
        drop(store);
        tokio::time::sleep(away).await;
        let store = open(&state);
        Self::on(state, store, UdpSocket::bind(address).expect("port"))
    }

    /// Stops it and starts it again after `away`.
    pub(crate) async fn restarted(self, away: Duration) -> Self {
        let Self { store, address, process, state, .. } = self;
        let begun = Instant::now();
        tokio::task::spawn_blocking(move || process.stop()).await.expect("stopped");
        assert!(begun.elapsed() < Duration::from_secs(5), "nobody is waited for, for {:?}", begun.elapsed());
        drop(store);
        tokio::time::sleep(away).await;
        let store = open(&state);
        Self::on(state, store, UdpSocket::bind(address).expect("port"))
    }

    /// Puts before it what takes IPv4 at `port` of loopback: to the gateway everything comes from the relay, [`OTHER`]. Returns the port.
    pub(crate) async fn also_over_ipv4(&self, port: u16) -> u16 {
        let relay = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await.expect("relay");
        let inner = tokio::net::UdpSocket::bind((OTHER, 0)).await.expect("relay");
        inner.connect(self.address).await.expect("gateway");
        let port = relay.local_addr().expect("bound").port();
        tokio::spawn(async move {
            let (mut up, mut down, mut client) = ([0; 2048], [0; 2048], None);
            loop {
                tokio::select! {
                    Ok((length, from)) = relay.recv_from(&mut up) => {
                        client = Some(from);
                        let _ = inner.send(&up[..length]).await;
                    }
                    Ok(length) = inner.recv(&mut down) => if let Some(client) = client {
                        let _ = relay.send_to(&down[..length], client).await;
                    },
                    else => {}
                }
            }
        });
        port
    }

    /// Adds a host, with a join string that ends `after` from now.
    pub(crate) async fn add(&self, label: &str, after: SignedDuration) -> JoinString {
        let secret: [u8; 32] = crypto::random().expect("random");
        let join = JoinSecret { secret: crypto::sha256(&secret), expires: Timestamp::now() + after, spent_by: None };
        let add = Change::Add { host: host(label), edits: vec![], join, update: Digest([2; 32]), reuse: false };
        self.store.commit(add).await.expect("added");
        JoinString { gateways: vec![self.peer()], host: host(label).dual(), secret: Secret::new(secret) }
    }

    /// A new join string for a host that is there.
    pub(crate) async fn token(&self, label: &str) -> JoinString {
        let secret: [u8; 32] = crypto::random().expect("random");
        let expires = Timestamp::now() + SignedDuration::from_hours(1);
        let join = JoinSecret { secret: crypto::sha256(&secret), expires, spent_by: None };
        self.store.commit(Change::Token { host: host(label), join, update: Digest([3; 32]) }).await.expect("token");
        JoinString { gateways: vec![self.peer()], host: host(label).dual(), secret: Secret::new(secret) }
    }

    /// This server as a home knows it.
    pub(crate) fn peer(&self) -> Peer {
        let key = crypto::raw_key(&self.store.snapshot().identity().expect("identity").link_key).expect("key");
        let name = zone().child("gw").expect("name");
        Peer { name, addresses: vec![self.address.ip()], pins: vec![crypto::pin_of(&key)], port: Some(self.address.port()) }
    }

    /// A home that has joined, its agent not started.
    pub(crate) async fn joined(&self, label: &str) -> Home {
        let join = self.add(label, SignedDuration::from_hours(1)).await;
        let key = crypto::new_link_key().expect("key");
        fourward::agent::register(&join, &key).await.expect("registered");
        Home { host: label.into(), peer: self.peer(), key }
    }

    /// What is published of a host.
    pub(crate) fn published(&self, label: &str) -> Option<Ipv6Addr> {
        self.store.snapshot().host(&host(label)).and_then(|host| host.home())
    }

    pub(crate) fn serial(&self) -> Serial {
        self.store.snapshot().zone(&zone()).expect("zone").serial
    }

    pub(crate) fn link(&self, label: &str) -> Option<Arc<Presence>> {
        self.leases.presence(&host(label))
    }

    /// The epoch of the newest link, if one is up.
    pub(crate) fn epoch(&self, label: &str) -> Option<u64> {
        self.link(label).map(|link| link.epoch)
    }

    pub(crate) fn stop(self) {
        self.process.stop();
    }
}

fn open(state: &TempDir) -> Store {
    // What a server refuses: its own address.
    let policy = Policy { addresses: AddressPolicy::new(vec![GATEWAY.into()], vec![]), own_names: vec![], own_ports: vec![] };
    // The last one's writer may need a moment to put the file down.
    let since = Instant::now();
    loop {
        match Store::open(state.path(), policy.clone()) {
            Ok(store) => return store,
            Err(error) => assert!(since.elapsed() < PATIENCE, "{error}"),
        }
        thread::yield_now();
    }
}

/// A home that has joined.
#[derive(Clone)]
pub(crate) struct Home {
    pub(crate) host: String,
    pub(crate) peer: Peer,
    pub(crate) key: Vec<u8>,
}

/// A running agent, and what it is told of its machine's addresses.
pub(crate) struct Running {
    pub(crate) process: Process,
    addresses: watch::Sender<Arc<[Candidate]>>,
}

impl Home {
    pub(crate) fn start(&self, addresses: &[Ipv6Addr]) -> Running {
        let (sender, receiver) = watch::channel(candidates(addresses));
        let host = host(&self.host).dual();
        let config = config::Agent { host, gateways: vec![self.peer.clone()], services: Service::defaults(), wish: Wish::default() };
        let key = self.key.clone();
        let process = Process::start(move |cancel| async move {
            Agent::new(config, key, AddressPolicy::default(), receiver, cancel).expect("agent").run().await.expect("ended well");
        });
        Running { process, addresses: sender }
    }

    /// Where this home's gateway is, seen over another of its addresses.
    pub(crate) fn over(mut self, gateway: IpAddr, port: u16) -> Self {
        self.peer.addresses = vec![gateway];
        self.peer.port = Some(port);
        self
    }
}

impl Running {
    /// What netlink would say from now on.
    pub(crate) fn has(&self, addresses: &[Ipv6Addr]) {
        self.addresses.send_replace(candidates(addresses));
    }
}

/// Addresses in the order in which they came.
fn candidates(addresses: &[Ipv6Addr]) -> Arc<[Candidate]> {
    let candidate = |(created, address): (u32, &Ipv6Addr)| Candidate {
        address: *address,
        interface: "eth0".into(),
        temporary: false,
        deprecated: false,
        tentative: false,
        preferred: u32::MAX,
        created,
    };
    (0..).zip(addresses).map(candidate).collect()
}
