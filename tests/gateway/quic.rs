//! QUIC through the gateway, between a client and a home that are quinn's, and between sockets that say what no library would.

use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::udp::RecvMeta;
use quinn::{AsyncUdpSocket, ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::rig::{ELSEWHERE, HERE, OWN, Rig, ZONE, host, until, within};
use fourward::gateway::Protocol;

/// What comes at all on loopback comes long before this.
const SOON: Duration = Duration::from_millis(300);

const HOST: &str = "still.dyn.example.org";

/// A server at home that sends back what it gets, for one byte 3,000,000 of them, and a client that trusts it.
struct Pair {
    server: Endpoint,
    client: ClientConfig,
}

fn pair(protocol: &[u8]) -> Pair {
    let names = vec![HOST.to_owned(), OWN.to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .expect("a server");
    tls.alpn_protocols = vec![protocol.to_vec()];
    let server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).expect("a server")));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![protocol.to_vec()];
    let client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("a client")));
    let server = Endpoint::server(server, (HERE, 0).into()).expect("a home");
    Pair { server, client }
}

impl Pair {
    /// A gateway before it.
    async fn rig(&self) -> Rig {
        let rig = Rig::start().await;
        let port = self.server.local_addr().expect("bound").port();
        rig.set(&host("still"), &[&format!("home-port=tls={port}")]).await;
        tokio::spawn(serve(self.server.clone()));
        rig
    }

    fn endpoint(&self) -> Endpoint {
        let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a client");
        endpoint.set_default_client_config(self.client.clone());
        endpoint
    }
}

async fn serve(endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let connection = incoming.await.expect("a connection");
            while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                tokio::spawn(async move {
                    let got = receive.read_to_end(4_000_000).await.expect("all of it");
                    let back = if got.len() == 1 { vec![got[0]; 3_000_000] } else { got };
                    send.write_all(&back).await.expect("sent back");
                    send.finish().expect("open");
                });
            }
        });
    }
}

async fn connect(endpoint: &Endpoint, rig: &Rig, name: &str) -> Connection {
    within(endpoint.connect(rig.quic, name).expect("a name")).await.expect("connected")
}

async fn assert_echoes(connection: &Connection, length: usize) {
    let (mut send, mut receive): (SendStream, RecvStream) = within(connection.open_bi()).await.expect("a stream");
    let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
    let sent = bytes.clone();
    tokio::spawn(async move {
        send.write_all(&sent).await.expect("sent");
        send.finish().expect("open");
    });
    assert!(within(receive.read_to_end(length)).await.expect("sent back") == bytes);
}

/// The datagrams that a client sends first, and again.
async fn first_flight(pair: &Pair, name: &str) -> Vec<Vec<u8>> {
    let there = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
    let endpoint = pair.endpoint();
    let connecting = endpoint.connect(there.local_addr().expect("bound"), name).expect("a name");
    let mut datagrams = Vec::new();
    for _ in 0..2 {
        let mut bytes = vec![0; 2_000];
        let (count, _) = within(there.recv_from(&mut bytes)).await.expect("a datagram");
        bytes.truncate(count);
        datagrams.push(bytes);
    }
    drop(connecting);
    datagrams
}

async fn raw() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket")
}

async fn assert_silent(socket: &UdpSocket, why: &str) {
    let mut bytes = [0; 64];
    assert!(timeout(SOON, socket.recv_from(&mut bytes)).await.is_err(), "{why}: {bytes:?}");
}

#[tokio::test]
async fn a_connection_is_led_home_by_its_name() {
    let pair = pair(b"h3");
    let rig = pair.rig().await;
    let endpoint = pair.endpoint();
    let connection = connect(&endpoint, &rig, HOST).await;
    assert_echoes(&connection, 3_000_000).await;
    let another = connect(&endpoint, &rig, HOST).await;
    assert_echoes(&another, 10_000).await;
    assert_echoes(&connection, 10_000).await;
    assert_eq!(rig.traffic.counts().flows, 2, "two connections of one socket");
}

/// A NAT between a client and the gateway, whose outer address is another one each time that it is `forgotten`.
struct Nat {
    inner: SocketAddr,
    forgotten: mpsc::Sender<()>,
}

async fn nat(gateway: SocketAddr) -> Nat {
    let inside = raw().await;
    let (forgotten, mut forget) = mpsc::channel(1);
    let inner = inside.local_addr().expect("bound");
    tokio::spawn(async move {
        let (mut outside, mut client) = (raw().await, inner);
        let (mut up, mut down) = (vec![0; 2_000], vec![0; 2_000]);
        loop {
            tokio::select! {
                got = inside.recv_from(&mut up) => {
                    let (count, from) = got.expect("a datagram");
                    client = from;
                    outside.send_to(&up[..count], gateway).await.expect("sent");
                }
                got = outside.recv_from(&mut down) => {
                    let (count, _) = got.expect("a datagram");
                    inside.send_to(&down[..count], client).await.expect("sent");
                }
                word = forget.recv() => match word {
                    Some(()) => outside = raw().await,
                    None => return,
                },
            }
        }
    });
    Nat { inner, forgotten }
}

#[tokio::test]
async fn a_client_behind_another_address_is_followed() {
    let pair = pair(b"h3");
    let rig = pair.rig().await;
    let (endpoint, nat) = (pair.endpoint(), nat(rig.quic).await);
    let connection = within(endpoint.connect(nat.inner, HOST).expect("a name")).await.expect("connected");
    assert_echoes(&connection, 100_000).await;
    for flows in 2..5 {
        nat.forgotten.send(()).await.expect("a NAT");
        // Far more than three times what such a client sends: it has to have shown that it is there.
        let (mut send, mut receive) = within(connection.open_bi()).await.expect("a stream");
        send.write_all(&[7]).await.expect("sent");
        send.finish().expect("open");
        assert!(within(receive.read_to_end(3_000_000)).await.expect("sent") == vec![7; 3_000_000]);
        assert_eq!(rig.traffic.counts().flows, flows);
    }
}

#[tokio::test]
async fn who_asks_for_nobody_hears_nothing() {
    let pair = pair(b"h3");
    let rig = pair.rig().await;
    let client = raw().await;
    for name in ["nobody.dyn.example.org", "still-ip6only.dyn.example.org", "elsewhere.org"] {
        for datagram in first_flight(&pair, name).await {
            client.send_to(&datagram, rig.quic).await.expect("sent");
        }
    }
    until("all are refused", || rig.traffic.counts().unknown >= 3).await;
    let known = first_flight(&pair, HOST).await;
    let damaged = |datagram: &Vec<u8>| [&datagram[..datagram.len() - 1], &[datagram[datagram.len() - 1] ^ 1]].concat();
    for datagram in known.iter().map(damaged) {
        client.send_to(&datagram, rig.quic).await.expect("sent");
    }
    let other_version = [&known[0][..1], &[0x1a, 0x2a, 0x3a, 0x4a], &known[0][5..]].concat();
    for datagram in [&other_version[..], b"", b"\x40whatever it is", &[0xff; 1_200]] {
        client.send_to(datagram, rig.quic).await.expect("sent");
    }
    assert_silent(&client, "nobody answers").await;
    assert_eq!(rig.traffic.counts().flows, 0);
}

#[tokio::test]
async fn a_client_that_was_not_heard_gets_three_times_what_it_sent() {
    let pair = pair(b"h3");
    let (rig, home) = (Rig::start().await, UdpSocket::bind((HERE, 0)).await.expect("a home"));
    let port = home.local_addr().expect("bound").port();
    rig.set(&host("still"), &[&format!("home-port=tls={port}")]).await;
    let client = raw().await;
    let (mut sent, mut bytes) = (0, vec![0; 2_000]);
    let mut from: Option<SocketAddr> = None;
    // Its hello again and again is no sign that it hears anything.
    for datagram in first_flight(&pair, HOST).await.iter().cycle().take(6) {
        client.send_to(datagram, rig.quic).await.expect("sent");
        sent += datagram.len();
        if let Ok(got) = timeout(SOON, home.recv_from(&mut bytes)).await {
            from = Some(got.expect("a datagram").1);
            for _ in 0..40 {
                home.send_to(&[0x40; 1_200], from.expect("known")).await.expect("sent");
            }
        }
    }
    let from = from.expect("the home hears it");
    let mut heard = 0;
    while let Ok(got) = timeout(SOON, client.recv_from(&mut bytes)).await {
        heard += got.expect("a datagram").0;
    }
    assert!(heard <= 3 * sent && heard + 1_200 > 3 * sent - 6 * 1_200, "{heard} for {sent}");
    assert!(rig.traffic.counts().withheld > 100);
    // It shows what the home calls itself.
    home.send_to(b"\xe0\0\0\0\x01\x06client\x08thishome\x04data", from).await.expect("sent");
    client.send_to(b"\x40thishome and more", rig.quic).await.expect("sent");
    assert_silent(&client, "not even that fits").await;
    assert_eq!(rig.traffic.counts().flows, 1);
}

#[tokio::test]
async fn an_owners_rules_hold_and_what_changes_them_ends_flows() {
    let pair = pair(b"h3");
    let rig = pair.rig().await;
    let endpoint = pair.endpoint();
    let connection = connect(&endpoint, &rig, HOST).await;
    assert_echoes(&connection, 1_000).await;
    rig.set(&host("still"), &["deny=127.0.0.0/8"]).await;
    until("the flow ends", || rig.traffic.counts().flows == 0).await;
    let refused = endpoint.connect(rig.quic, HOST).expect("a name");
    assert!(timeout(SOON, refused).await.is_err());
    rig.set(&host("still"), &["deny="]).await;
    let again = connect(&endpoint, &rig, HOST).await;
    assert_echoes(&again, 1_000).await;
}

#[tokio::test]
async fn nothing_goes_to_a_home_that_its_link_does_not_find() {
    let pair = pair(b"h3");
    let rig = pair.rig().await;
    let port = pair.server.local_addr().expect("bound").port();
    rig.set(&host("cloud"), &[&format!("home-port=tls={port}")]).await;
    let offered = vec![format!("udp/{port}").parse().expect("a service")];
    let link = rig.link_offering(&host("cloud"), offered);
    let client = raw().await;
    for datagram in first_flight(&pair, &format!("cloud.{ZONE}")).await {
        client.send_to(&datagram, rig.quic).await.expect("sent");
    }
    within(link.ask.notified()).await;
    assert_silent(&client, "it waits for the echo").await;
    crate::rig::echo(&link, ELSEWHERE);
    assert_silent(&client, "it is not there").await;
    assert_eq!(rig.traffic.counts().to_homes, 0);
    rig.link_at(&host("cloud"), HERE);
}

#[tokio::test]
async fn what_is_for_ourselves_comes_to_our_own_endpoint() {
    for (protocol, name) in [(&b"fourward/1"[..], HOST), (b"h3", OWN)] {
        let pair = pair(protocol);
        let rig = pair.rig().await;
        let client = raw().await;
        let datagrams = first_flight(&pair, name).await;
        for datagram in &datagrams {
            client.send_to(datagram, rig.quic).await.expect("sent");
        }
        for datagram in &datagrams {
            let (bytes, from) = within(own(&rig)).await;
            assert_eq!((&bytes, from), (datagram, client.local_addr().expect("bound")));
        }
        assert_eq!(rig.traffic.counts().flows, 0);
        assert_silent(&client, "the endpoint answers, nobody else").await;
    }
}

/// The links vouch for their homes until the last connection has ended.
#[tokio::test]
async fn our_own_endpoint_hears_while_connections_end() {
    let pair = pair(b"fourward/1");
    let rig = pair.rig().await;
    let _one = rig.client(Protocol::Tls, &[22]).await;
    until("it is there", || rig.traffic.counts().open == 1).await;
    rig.cancel.cancel();
    until("nobody is let in", || std::net::TcpListener::bind(rig.address(Protocol::Tls, false)).is_ok()).await;
    let stranger = raw().await;
    for datagram in first_flight(&pair, HOST).await {
        stranger.send_to(&datagram, rig.quic).await.expect("sent");
    }
    assert_eq!(within(own(&rig)).await.1, stranger.local_addr().expect("bound"));
    assert!(!rig.running.is_finished());
}

/// ngtcp2's client and server: HTTP/3, connection IDs of 18 bytes, another library of TLS.
#[tokio::test]
async fn other_peoples_clients_and_servers_meet() {
    let files = tempfile::tempdir().expect("a directory");
    let path = |name: &str| files.path().join(name).to_str().expect("UTF-8").to_owned();
    let made = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).expect("a certificate");
    std::fs::write(path("cert.pem"), made.cert.pem()).expect("written");
    std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).expect("written");
    std::fs::create_dir(path("www")).expect("a directory");
    let page: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 7) as u8).collect();
    std::fs::write(path("www/page"), &page).expect("written");
    let port = std::net::UdpSocket::bind((HERE, 0)).expect("a port").local_addr().expect("bound").port();
    let htdocs = path("www");
    let mut server = tokio::process::Command::new("/usr/sbin/gtlsserver")
        .args(["-q", "--htdocs", &htdocs, "::1", &port.to_string(), &path("key.pem"), &path("cert.pem")])
        .kill_on_drop(true)
        .spawn()
        .expect("ngtcp2-server is installed");
    let rig = Rig::start().await;
    // What gtlsclient asks for where it is given an address.
    rig.set(&host("still"), &[&format!("home-port=tls={port}"), "alias=localhost"]).await;
    until("the server listens", || std::net::UdpSocket::bind((HERE, port)).is_err()).await;
    let (into, gateway) = (path("got"), rig.quic.port().to_string());
    std::fs::create_dir(&into).expect("a directory");
    let url = format!("https://{HOST}:{gateway}/page");
    let mut client = tokio::process::Command::new("gtlsclient");
    client.args(["--exit-on-all-streams-close", "--no-quic-dump", "--no-http-dump", "--download", &into]);
    let ended = within(client.args(["127.0.0.1", &gateway, &url]).kill_on_drop(true).output()).await.expect("ngtcp2-client is installed");
    let got = std::fs::read(format!("{into}/page")).unwrap_or_default();
    assert!(got == page, "{} bytes; {:?}; {}", got.len(), rig.traffic.counts(), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(rig.traffic.counts().flows, 1);
    server.kill().await.expect("ended");
}

/// The next datagram for ourselves.
async fn own(rig: &Rig) -> (Vec<u8>, SocketAddr) {
    let mut bytes = vec![0; 2_000];
    let mut meta = [RecvMeta::default()];
    let received = |cx: &mut std::task::Context<'_>| rig.own_quic.poll_recv(cx, &mut [IoSliceMut::new(&mut bytes)], &mut meta);
    assert_eq!(std::future::poll_fn(received).await.expect("received"), 1);
    bytes.truncate(meta[0].len);
    (bytes, meta[0].addr)
}
