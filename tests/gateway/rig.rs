//! A gateway on loopback, homes on `[::1]`, links played by hand, clients made of plain sockets.
#![allow(dead_code, reason = "two test programs use it, each in part")]

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fourward::config::{self, HomePorts, Public, Timeouts};
use fourward::gateway::{self, Gateway, GatewayError, Own, OwnConnection, Protocol, Traffic};
use fourward::leases::{Leases, Presence};
use fourward::quic::own::{OwnSocket, part};
use fourward::resolver::Resolvers;
use fourward::store::Store;
use fourward_core::change::{Change, Identity};
use fourward_core::host::{Digest, JoinSecret};
use fourward_core::lease::Echo;
use fourward_core::link::Service;
use fourward_core::name::{DnsName, HostName};
use fourward_core::policy::{AddressPolicy, Policy};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const ZONE: &str = "dyn.example.org";
pub(crate) const OWN: &str = "gw.dyn.example.org";
pub(crate) const HERE: Ipv6Addr = Ipv6Addr::LOCALHOST;

/// An address that may be a home's, and that nobody holds here.
pub(crate) const ELSEWHERE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xdead, 0, 0, 0, 0, 0x11);

/// Far more than anything here takes, so that only a hang meets it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a test waits for comes long before this.
const NEVER: Duration = Duration::from_secs(600);

pub(crate) struct Rig {
    pub(crate) store: Store,
    pub(crate) leases: Arc<Leases>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) own: mpsc::Receiver<OwnConnection>,
    pub(crate) cancel: CancellationToken,
    pub(crate) running: JoinHandle<Result<(), GatewayError>>,
    /// The home of every host.
    pub(crate) home: TcpListener,
    addresses: Vec<(Protocol, SocketAddr)>,
    /// Where QUIC comes in, and what of it is for ourselves.
    pub(crate) quic: SocketAddr,
    pub(crate) own_quic: Arc<OwnSocket>,
    _state: tempfile::TempDir,
}

pub(crate) fn config() -> config::Gateway {
    let timeouts = Timeouts { hello: NEVER, dial: Duration::from_secs(5), idle: NEVER, half_closed: NEVER, drain: NEVER };
    let (home_ports, resolver) = (HomePorts { tls: 0, http: 0 }, Vec::new());
    config::Gateway {
        tls: 0,
        http: 0,
        connections: 1_000,
        half_open: 1_000,
        per_network: 1_000,
        timeouts,
        resolver,
        source_prefix: None,
        home_ports,
    }
}

pub(crate) fn name(text: &str) -> DnsName {
    text.parse().expect("name")
}

pub(crate) fn host(label: &str) -> HostName {
    HostName::new(label, name(ZONE)).expect("host")
}

pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

/// Polls until `held`.
pub(crate) async fn until(what: &str, mut held: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !held() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A store with the zone, and its hosts: `cloud` and `nas` by link, at home in [`HERE`]; `still` fixed there; `gone` nowhere.
async fn store(state: &Path) -> Store {
    let policy = Policy { addresses: AddressPolicy::on_loopback(), own_names: vec![name(OWN)], own_ports: vec![] };
    let store = Store::open(state, policy).expect("store");
    let at = Timestamp::UNIX_EPOCH;
    let join = JoinSecret { secret: Digest([1; 32]), expires: at, spent_by: None };
    let mut changes = vec![Change::Serve { zone: name(ZONE), apex: Digest([0; 32]), at }];
    for (label, settings) in
        [("cloud", &["alias=owncloud.example.org"][..]), ("nas", &[]), ("still", &["address-from=static", "address=::1"]), ("gone", &[])]
    {
        let edits = settings.iter().map(|edit| edit.parse().expect("edit")).collect();
        changes.push(Change::Add { host: host(label), edits, join, update: Digest([2; 32]), reuse: false });
    }
    for label in ["cloud", "nas"] {
        changes.push(Change::Move { host: host(label), address: HERE, at });
    }
    for change in changes {
        store.commit(change).await.expect("committed");
    }
    store
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(config(), Leases::new(Instant::now().checked_sub(Duration::from_secs(60)).expect("a minute ago"))).await
    }

    pub(crate) async fn with(config: config::Gateway, leases: Leases) -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let store = store(directory.path()).await;
        Self::on(config, leases, store, directory, Ipv4Addr::LOCALHOST).await
    }

    /// One whose public IPv4 address is another machine's, so that it listens on all.
    pub(crate) async fn on_the_wildcard() -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let store = store(directory.path()).await;
        Self::on(config(), Leases::new(Instant::now()), store, directory, Ipv4Addr::new(192, 0, 2, 11)).await
    }

    /// Another gateway on the store of this one, which ends.
    pub(crate) async fn restarted(self) -> Self {
        self.cancel.cancel();
        within(self.running).await.expect("no panic").expect("ended");
        Self::on(config(), Leases::new(Instant::now()), self.store, self._state, Ipv4Addr::LOCALHOST).await
    }

    async fn on(mut config: config::Gateway, leases: Leases, store: Store, directory: tempfile::TempDir, public: Ipv4Addr) -> Self {
        let home = TcpListener::bind((HERE, 0)).await.expect("home");
        let port = home.local_addr().expect("bound").port();
        config.home_ports = HomePorts { tls: port, http: port };
        let public = Public { ipv4: vec![public], ipv6: vec![HERE], name: name(OWN) };
        let sockets = gateway::bind(&config, &public).expect("sockets");
        let addresses = sockets.local_addrs().expect("addresses");
        let (leases, traffic, cancel) = (Arc::new(leases), Arc::<Traffic>::default(), CancellationToken::new());
        let (sender, own) = mpsc::channel(1);
        let resolvers = Resolvers::given(config.resolver.clone());
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let quic = socket.local_addr().expect("bound");
        let identity = Identity { link_key: vec![], reset_key: [7; 32], certificate_key: vec![] };
        let (doorway, own_quic) = part(socket, &identity).expect("parted");
        let own_side = Own {
            names: vec![name(OWN)],
            ipv4: vec![Ipv4Addr::LOCALHOST],
            connections: sender,
            quic: vec![doorway],
            descriptors_beside: 0,
        };
        let gateway = Gateway::new(config, own_side, store.clone(), Arc::clone(&leases), Arc::clone(&traffic), resolvers)
            .run(sockets, cancel.clone());
        Self { store, leases, traffic, own, cancel, running: tokio::spawn(gateway), home, addresses, quic, own_quic, _state: directory }
    }

    pub(crate) fn address(&self, protocol: Protocol, v6: bool) -> SocketAddr {
        let found = self.addresses.iter().find(|(p, address)| *p == protocol && address.is_ipv6() == v6);
        found.expect("listener").1
    }

    pub(crate) async fn client(&self, protocol: Protocol, first: &[u8]) -> TcpStream {
        let mut stream = within(TcpStream::connect(self.address(protocol, false))).await.expect("gateway");
        stream.write_all(first).await.expect("sent");
        stream
    }

    /// A client of its own network that has said nothing yet.
    pub(crate) async fn client_from(&self, network: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("socket");
        socket.bind((Ipv4Addr::new(127, 0, 1, network), 0).into()).expect("one of many");
        within(socket.connect(self.address(Protocol::Tls, false))).await.expect("gateway")
    }

    pub(crate) async fn client_v6(&self, protocol: Protocol, first: &[u8]) -> TcpStream {
        let mut stream = within(TcpStream::connect(self.address(protocol, true))).await.expect("gateway");
        stream.write_all(first).await.expect("sent");
        stream
    }

    /// A client of `host` and the home's end of its connection, the hello taken out of it.
    pub(crate) async fn relayed(&self, host: &str) -> (TcpStream, TcpStream) {
        let hello = hello(&format!("{host}.{ZONE}"));
        let client = self.client(Protocol::Tls, &hello).await;
        let mut home = self.accept().await;
        assert_eq!(take(&mut home, hello.len()).await, hello);
        (client, home)
    }

    pub(crate) async fn accept(&self) -> TcpStream {
        within(self.home.accept()).await.expect("home").0
    }

    /// The link of `host`, up and saying nothing.
    pub(crate) fn link(&self, host: &HostName) -> Arc<Presence> {
        self.link_offering(host, Service::defaults())
    }

    /// The same, of an agent that lets `services` be opened.
    pub(crate) fn link_offering(&self, host: &HostName, services: Vec<Service>) -> Arc<Presence> {
        self.leases.arrive(host, 1, Digest([0; 32]), services, IpAddr::V6(HERE), Timestamp::UNIX_EPOCH)
    }

    /// The link of `host`, which claims `address` whenever it is asked.
    pub(crate) fn link_at(&self, host: &HostName, address: Ipv6Addr) -> Arc<Presence> {
        let presence = self.link(host);
        let link = Arc::clone(&presence);
        tokio::spawn(async move {
            loop {
                link.ask.notified().await;
                echo(&link, address);
            }
        });
        presence
    }

    /// Changes the settings of `host`.
    pub(crate) async fn set(&self, host: &HostName, settings: &[&str]) {
        let edits = settings.iter().map(|edit| edit.parse().expect("edit")).collect();
        self.store.commit(Change::Set { host: host.clone(), edits }).await.expect("set");
    }

    pub(crate) async fn moves(&self, host: &HostName, address: Ipv6Addr) {
        self.store.commit(Change::Move { host: host.clone(), address, at: Timestamp::UNIX_EPOCH }).await.expect("moved");
    }
}

/// What the link does when an echo comes now.
pub(crate) fn echo(link: &Presence, address: Ipv6Addr) {
    let now = Instant::now();
    link.echo.send_replace(Some(Echo { address, sent: now, came: now }));
}

/// A ClientHello as rustls sends it.
pub(crate) fn hello(server: &str) -> Vec<u8> {
    long_hello(server, 0)
}

/// The same with so many names of protocols, each of 255 bytes: more than a socket holds by itself.
pub(crate) fn long_hello(server: &str, protocols: usize) -> Vec<u8> {
    let roots = rustls::RootCertStore::empty();
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![vec![b'p'; 255]; protocols];
    let name = rustls::pki_types::ServerName::try_from(server.to_owned()).expect("server name");
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name).expect("client");
    let mut wire = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut wire).expect("hello");
    }
    wire
}

/// A ClientHello with any bytes for a name.
pub(crate) fn hello_with(server: &[u8]) -> Vec<u8> {
    let vec16 = |bytes: &[u8]| [&u16::try_from(bytes.len()).expect("short").to_be_bytes()[..], bytes].concat();
    let sni = [&[0, 0][..], &vec16(&vec16(&[&[0][..], &vec16(server)].concat()))].concat();
    let body = [&[3, 3][..], &[7; 32], &[0], &vec16(&[0x13, 1]), &[1, 0], &vec16(&sni)].concat();
    let length = u32::try_from(body.len()).expect("short").to_be_bytes();
    let message = [&[1][..], &length[1..], &body].concat();
    [&[22, 3, 1][..], &vec16(&message)].concat()
}

pub(crate) async fn take(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    within(stream.read_exact(&mut bytes)).await.expect("bytes");
    bytes
}

/// All that comes until the end; `Err` is a reset.
pub(crate) async fn rest(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    within(stream.read_to_end(&mut bytes)).await.map(|_| bytes)
}

/// What came before the connection ended, however it ended.
pub(crate) async fn answer(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = within(stream.read_to_end(&mut bytes)).await;
    bytes
}

/// The connection still carries bytes both ways.
pub(crate) async fn assert_alive(client: &mut TcpStream, home: &mut TcpStream) {
    client.write_all(b"ping").await.expect("sent");
    assert_eq!(take(home, 4).await, b"ping");
    home.write_all(b"pong").await.expect("sent");
    assert_eq!(take(client, 4).await, b"pong");
}

/// The connection was cut, and no close says otherwise.
pub(crate) async fn assert_reset(stream: &mut TcpStream) {
    let ended = rest(stream).await;
    assert_eq!(ended.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
}
