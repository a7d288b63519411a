//! Ports of the gateway's that lead to a home, over TCP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdListener, UdpSocket as StdSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use fourward_core::link::Service;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::rig::{HERE, Rig, assert_alive, assert_reset, echo, host, rest, take, until, within};

/// Below those that the kernel gives out, so that no test's socket is in the way; each test program begins somewhere else.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// So many ports in a row that are free here.
pub(crate) fn free_ports(count: u16) -> u16 {
    loop {
        let step = NEXT.fetch_add(count, Ordering::Relaxed);
        let first = 10_000 + (std::process::id() as u16 % 50 * 400 + step) % 20_000;
        let free = |port: u16| {
            [IpAddr::V4(Ipv4Addr::LOCALHOST), HERE.into()]
                .iter()
                .all(|here| StdListener::bind((*here, port)).is_ok() && StdSocket::bind((*here, port)).is_ok())
        };
        if (first..first + count).all(free) {
            return first;
        }
    }
}

pub(crate) fn gateway(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A client of a port that listens, or will in a moment.
async fn client(address: SocketAddr) -> TcpStream {
    let mut last = None;
    for _ in 0..2_000 {
        match TcpStream::connect(address).await {
            Ok(stream) => return stream,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    panic!("{address}: {last:?}")
}

/// Returns once nobody listens there.
async fn closed(address: SocketAddr) {
    for _ in 0..2_000 {
        if TcpStream::connect(address).await.is_err() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    panic!("{address} still listens")
}

fn port_of(home: &TcpListener) -> u16 {
    home.local_addr().expect("bound").port()
}

#[tokio::test]
async fn who_speaks_first_at_home_is_heard_by_a_client_that_says_nothing() {
    let rig = Rig::start().await;
    let (port, home) = (free_ports(1), port_of(&rig.home));
    rig.set(&host("still"), &[&format!("forward=tcp/{port}:{home}")]).await;
    let mut client = client(gateway(port)).await;
    let mut home = rig.accept().await;
    home.write_all(b"SSH-2.0-home\r\n").await.expect("sent");
    assert_eq!(take(&mut client, 14).await, b"SSH-2.0-home\r\n");
    assert_alive(&mut client, &mut home).await;
    client.shutdown().await.expect("half-closed");
    assert_eq!(rest(&mut home).await.expect("an end"), b"");
    home.write_all(b"last words").await.expect("sent");
    drop(home);
    assert_eq!(rest(&mut client).await.expect("an end"), b"last words");
}

/// The setting is for the web server; whoever is at another port would take it for the client's first words.
#[tokio::test]
async fn a_forward_begins_with_no_header_of_the_proxy_protocol() {
    let rig = Rig::start().await;
    let (port, home) = (free_ports(1), port_of(&rig.home));
    rig.set(&host("still"), &[&format!("forward=tcp/{port}:{home}"), "proxy-protocol=v2"]).await;
    let mut client = client(gateway(port)).await;
    let mut home = rig.accept().await;
    assert_alive(&mut client, &mut home).await;
}

#[tokio::test]
async fn a_port_leads_elsewhere_at_once() {
    let rig = Rig::start().await;
    let (port, other) = (free_ports(1), TcpListener::bind((HERE, 0)).await.expect("another service"));
    let (first, second) = (port_of(&rig.home), port_of(&other));
    for turn in 0..20 {
        rig.set(&host("still"), &[&format!("forward=tcp/{port}:{},udp/{port}:{}", if turn % 2 == 0 { first } else { second }, 1 + turn)])
            .await;
        let mut client = client(gateway(port)).await;
        let at_home = if turn % 2 == 0 { &rig.home } else { &other };
        let mut home = within(at_home.accept()).await.expect("dialled").0;
        assert_alive(&mut client, &mut home).await;
        assert_eq!(rig.traffic.deaf(&host("still")), [""; 0], "turn {turn}");
    }
}

#[tokio::test]
async fn each_port_of_a_range_leads_to_its_own() {
    let rig = Rig::start().await;
    let (outside, inside) = (free_ports(4), free_ports(4));
    let mut homes = Vec::new();
    for port in inside..inside + 4 {
        homes.push(TcpListener::bind((HERE, port)).await.expect("home"));
    }
    rig.set(&host("still"), &[&format!("forward=tcp/{outside}-{}:{inside}-{}", outside + 3, inside + 3)]).await;
    for (at, home) in (0..4).zip(&homes) {
        let mut client = client(gateway(outside + at)).await;
        let mut home = within(home.accept()).await.expect("dialled").0;
        assert_alive(&mut client, &mut home).await;
    }
}

#[tokio::test]
async fn forwards_come_and_go_and_others_never_notice() {
    let rig = Rig::start().await;
    let (first, home) = (free_ports(2), port_of(&rig.home));
    let second = first + 1;
    rig.set(&host("still"), &[&format!("forward=tcp/{first}:{home}")]).await;
    let (mut one, mut ones_home) = (client(gateway(first)).await, rig.accept().await);
    let (mut named, mut nameds_home) = rig.relayed("still").await;
    rig.set(&host("still"), &[&format!("forward+=tcp/{second}:{home}")]).await;
    let (mut two, mut twos_home) = (client(gateway(second)).await, rig.accept().await);
    assert_alive(&mut one, &mut ones_home).await;
    rig.set(&host("still"), &[&format!("forward-=tcp/{first}")]).await;
    assert_reset(&mut one).await;
    assert_reset(&mut ones_home).await;
    closed(gateway(first)).await;
    assert_alive(&mut two, &mut twos_home).await;
    assert_alive(&mut named, &mut nameds_home).await;
    rig.set(&host("still"), &["forward="]).await;
    assert_reset(&mut two).await;
    closed(gateway(second)).await;
    assert_alive(&mut named, &mut nameds_home).await;
}

#[tokio::test]
async fn a_port_that_somebody_has_is_shown_and_taken_once_it_is_free() {
    let rig = Rig::start().await;
    let (port, home) = (free_ports(2), port_of(&rig.home));
    let taken = StdListener::bind(gateway(port)).expect("a free port");
    rig.set(&host("still"), &[&format!("forward=tcp/{port}-{}:{home}-{}", port + 1, home + 1)]).await;
    until("it is shown", || !rig.traffic.deaf(&host("still")).is_empty()).await;
    let reasons = rig.traffic.deaf(&host("still"));
    assert!(reasons.len() == 1 && reasons[0].contains("is taken by") && reasons[0].contains(&port.to_string()), "{reasons:?}");
    drop(taken);
    until("it is taken", || rig.traffic.deaf(&host("still")).is_empty()).await;
    let (mut client, mut home) = (client(gateway(port)).await, rig.accept().await);
    assert_alive(&mut client, &mut home).await;
}

#[tokio::test]
async fn the_owners_rules_hold_and_whom_they_refuse_is_reset() {
    let rig = Rig::start().await;
    let (port, home) = (free_ports(1), port_of(&rig.home));
    rig.set(&host("still"), &[&format!("forward=tcp/{port}:{home}"), "max-connections=1"]).await;
    let (mut one, mut ones_home) = (client(gateway(port)).await, rig.accept().await);
    assert_reset(&mut client(gateway(port)).await).await;
    assert_eq!(rig.traffic.counts().full, 1);
    assert_alive(&mut one, &mut ones_home).await;
    rig.set(&host("still"), &["deny=127.0.0.1"]).await;
    assert_reset(&mut one).await;
    assert_reset(&mut client(gateway(port)).await).await;
    assert_eq!(rig.traffic.counts().denied, 1);
}

#[tokio::test]
async fn no_byte_goes_home_before_its_link_has_answered_for_a_port_that_it_offers() {
    let rig = Rig::start().await;
    let (port, home) = (free_ports(1), port_of(&rig.home));
    rig.set(&host("cloud"), &[&format!("forward=tcp/{port}:{home}")]).await;
    let _link = rig.link_at(&host("cloud"), HERE);
    assert_reset(&mut client(gateway(port)).await).await;
    assert_eq!(rig.traffic.counts().away, 1, "it offers tcp/443 and others, not this one");
    let offered: Service = format!("tcp/{home}").parse().expect("service");
    let link = rig.link_offering(&host("cloud"), vec![offered]);
    let mut client = client(gateway(port)).await;
    client.write_all(b"secret").await.expect("sent");
    let mut home = rig.accept().await;
    within(link.ask.notified()).await;
    assert_eq!(home.try_read(&mut [0; 8]).expect_err("not yet").kind(), std::io::ErrorKind::WouldBlock);
    echo(&link, HERE);
    assert_eq!(take(&mut home, 6).await, b"secret");
}

#[tokio::test]
async fn ipv6_clients_are_carried_where_the_aaaa_is_the_gateways() {
    let rig = Rig::start().await;
    let (port, home) = (free_ports(1), port_of(&rig.home));
    rig.set(&host("still"), &[&format!("forward=tcp/{port}:{home}")]).await;
    drop((client(gateway(port)).await, rig.accept().await));
    let v6 = SocketAddr::new(HERE.into(), port);
    assert!(TcpStream::connect(v6).await.is_err(), "they go home by themselves");
    rig.set(&host("still"), &["via=gateway"]).await;
    let (mut client, mut home) = (client(v6).await, rig.accept().await);
    assert_alive(&mut client, &mut home).await;
    rig.set(&host("still"), &["via=auto"]).await;
    closed(v6).await;
}

#[tokio::test]
async fn relays_of_forwards_drain_while_nobody_new_is_let_in() {
    let rig = Rig::start().await;
    let (port, home) = (free_ports(1), port_of(&rig.home));
    rig.set(&host("still"), &[&format!("forward=tcp/{port}:{home}")]).await;
    let (mut one, mut ones_home) = (client(gateway(port)).await, rig.accept().await);
    rig.cancel.cancel();
    closed(gateway(port)).await;
    assert_alive(&mut one, &mut ones_home).await;
    drop((one, ones_home));
    within(rig.running).await.expect("no panic").expect("drained");
}

#[tokio::test]
async fn forwards_of_before_the_start_listen() {
    let rig = Rig::start().await;
    let (port, home) = (free_ports(1), TcpListener::bind((HERE, 0)).await.expect("home"));
    rig.set(&host("still"), &[&format!("forward=tcp/{port}:{}", port_of(&home))]).await;
    let _rig = rig.restarted().await;
    let (mut client, mut home) = (client(gateway(port)).await, within(home.accept()).await.expect("dialled").0);
    assert_alive(&mut client, &mut home).await;
}
