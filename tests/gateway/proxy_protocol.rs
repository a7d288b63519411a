//! A home that wants to know hears whose connection it is, before the first byte and in one segment with it; nobody else hears anything.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use fourward::gateway::Protocol;
use fourward_core::proxy_protocol::{Ends, Header, read};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::homes::{Home, Make};
use crate::rig::{ELSEWHERE, HERE, Rig, ZONE, answer, assert_alive, echo, hello, host, long_hello, rest, take, within};

const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// Not the gateway's own address, so that nobody mixes them up.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);

fn still() -> Vec<u8> {
    hello(&format!("still.{ZONE}"))
}

async fn client(rig: &Rig, first: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((CLIENT, 0).into()).expect("loopback");
    let mut stream = within(socket.connect(rig.address(Protocol::Tls, false))).await.expect("the gateway");
    stream.write_all(first).await.expect("sent");
    stream
}

/// What the home hears before `first`.
async fn before(home: &mut TcpStream, first: &[u8], length: usize) -> Header {
    let heard = take(home, length + first.len()).await;
    let header = read(&heard).expect("a header");
    assert_eq!((header.length, &heard[header.length..]), (length, first));
    header
}

fn ends(client: &TcpStream) -> Option<Ends> {
    Ends::new(client.local_addr().expect("bound"), client.peer_addr().expect("connected"))
}

#[tokio::test]
async fn the_header_names_the_client_and_where_it_came_to() {
    let rig = Rig::start().await;
    let hello = still();
    for (version, length) in [("v1", 0), ("v2", 28)] {
        rig.set(&host("still"), &[&format!("proxy-protocol={version}")]).await;
        let mut client = client(&rig, &hello).await;
        let mut home = rig.accept().await;
        let (from, to) = (client.local_addr().expect("bound").port(), rig.address(Protocol::Tls, false).port());
        let length = if length > 0 { length } else { format!("PROXY TCP4 127.0.0.5 127.0.0.1 {from} {to}\r\n").len() };
        assert_eq!(before(&mut home, &hello, length).await.ends, ends(&client), "{version}");
        assert_alive(&mut client, &mut home).await;
    }
    rig.set(&host("still"), &["proxy-protocol=none"]).await;
    let (mut client, mut home) = rig.relayed("still").await;
    assert_alive(&mut client, &mut home).await;
}

#[tokio::test]
async fn a_client_of_ipv6_that_comes_over_the_gateway_has_its_own() {
    let rig = Rig::start().await;
    rig.set(&host("still"), &["proxy-protocol=v2", "via=gateway"]).await;
    let hello = still();
    let client = rig.client_v6(Protocol::Tls, &hello).await;
    let mut home = rig.accept().await;
    assert_eq!(before(&mut home, &hello, 52).await.ends, ends(&client));
}

#[tokio::test]
async fn a_beginning_that_had_to_be_read_comes_behind_the_header() {
    let rig = Rig::start().await;
    rig.set(&host("still"), &["proxy-protocol=v2"]).await;
    let hello = long_hello(&format!("still.{ZONE}"), 100);
    let mut client = client(&rig, &hello).await;
    let mut home = rig.accept().await;
    assert_eq!(before(&mut home, &hello, 28).await.ends, ends(&client));
    assert_alive(&mut client, &mut home).await;
}

#[tokio::test]
async fn header_and_hello_are_one_segment() {
    let rig = Rig::start().await;
    rig.set(&host("still"), &["proxy-protocol=v2"]).await;
    let hello = still();
    let _client = client(&rig, &hello).await;
    let mut home = rig.accept().await;
    before(&mut home, &hello, 28).await;
    let SocketAddr::V6(peer) = home.peer_addr().expect("connected") else { panic!("over IPv6") };
    let filter = format!("dport = :{}", peer.port());
    let output = Command::new("ss").args(["-tinHO", &filter]).output().expect("ss, of iproute2");
    let said = String::from_utf8(output.stdout).expect("text");
    let port = format!(":{} ", home.local_addr().expect("bound").port());
    let line = said.lines().find(|line| line.contains(&port)).unwrap_or_else(|| panic!("{said}"));
    assert!(line.contains(" data_segs_in:1 "), "{line}");
}

#[tokio::test]
async fn who_inherits_the_address_does_not_hear_whose_it_was() {
    let rig = Rig::start().await;
    rig.set(&host("cloud"), &["proxy-protocol=v1"]).await;
    let link = rig.link(&host("cloud"));
    let client = rig.client(Protocol::Tls, &hello(&format!("cloud.{ZONE}"))).await;
    let mut heir = rig.accept().await;
    within(link.ask.notified()).await;
    echo(&link, ELSEWHERE);
    assert_eq!(rest(&mut heir).await.unwrap_or_default(), b"");
    rig.set(&host("cloud"), &["address-from=update"]).await;
    assert_eq!(answer(client).await, INTERNAL_ERROR);
}

/// Asks `rig` for the page of `still` as [`CLIENT`]; whose connection that is for the home: address and port, and where it came to.
fn fetched(rig: &Rig, make: Make) -> (String, Option<String>) {
    let (scheme, protocol, usual) = if make == Make::Nginx { ("https", Protocol::Tls, 443) } else { ("http", Protocol::Http, 80) };
    let gateway = rig.address(protocol, false);
    let output = Command::new("curl")
        .args(["-sS", "-k", "-i", "-m", "20", "--interface", &CLIENT.to_string(), "-w", "\nfrom %{local_port}\n"])
        .args(["--connect-to", &format!("still.{ZONE}:{usual}:{gateway}"), &format!("{scheme}://still.{ZONE}/who")])
        .output()
        .expect("curl");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let line = |name: &str| {
        let mut lines = said.lines().filter_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)));
        lines.next().map(|(_, value)| value.trim().to_owned())
    };
    let port = said.lines().find_map(|line| line.strip_prefix("from ")).unwrap_or_default();
    let client = line("X-Client").unwrap_or_else(|| panic!("{make:?}: {said}"));
    // Apache's own words have the port that it sees.
    assert_eq!(client.split(' ').next(), Some(&*CLIENT.to_string()), "{make:?}: {said}");
    (format!("{CLIENT} {port}"), line("X-Reached"))
}

/// A home of this make says and logs who its clients are, by both versions.
async fn knows_its_clients(make: Make) {
    let rig = Rig::start().await;
    let home = Home::start(make);
    let port = home.port;
    for version in ["v1", "v2"] {
        rig.set(&host("still"), &[&format!("home-port=tls={port},http={port}"), &format!("proxy-protocol={version}")]).await;
        let (client, reached) = fetched(&rig, make);
        assert_eq!(reached.unwrap_or_else(|| "127.0.0.1".into()), "127.0.0.1", "{make:?} {version}");
        home.logs(&client);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn apache_knows_its_clients() {
    knows_its_clients(Make::Apache).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_knows_its_clients() {
    knows_its_clients(Make::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_knows_its_clients() {
    knows_its_clients(Make::HaProxy).await;
}

/// Why a home needs a second port for the gateway: whoever comes straight to the one that expects the header is sent away.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_straight_to_such_a_port_is_sent_away() {
    for make in [Make::Apache, Make::HaProxy] {
        let home = Home::start(make);
        let mut stream = TcpStream::connect((HERE, home.port)).await.expect("the home");
        stream.write_all(b"GET /who HTTP/1.1\r\nHost: still.dyn.example.org\r\n\r\n").await.expect("sent");
        let said = String::from_utf8(answer(stream).await).expect("text");
        assert!(!said.contains("X-Client"), "{make:?}: {said}");
    }
}
