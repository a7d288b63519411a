//! What a host's owner set holds for each connection, and for those that are there already.

use std::net::Ipv4Addr;

use fourward::gateway::Protocol;
use fourward_core::link::Service;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::rig::{HERE, Rig, ZONE, answer, assert_alive, assert_reset, hello, host, take, until, within};

const ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];
const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

fn still() -> Vec<u8> {
    hello(&format!("still.{ZONE}"))
}

fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

async fn page(rig: &Rig, request: &str) -> String {
    String::from_utf8(answer(rig.client(Protocol::Http, request.as_bytes()).await).await).expect("text")
}

/// A client with another address of loopback.
async fn client_from(rig: &Rig, from: Ipv4Addr, first: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("socket");
    socket.bind((from, 0).into()).expect("loopback");
    let mut stream = within(socket.connect(rig.address(Protocol::Tls, false))).await.expect("gateway");
    stream.write_all(first).await.expect("sent");
    stream
}

#[tokio::test]
async fn whom_the_owner_does_not_admit_is_told_so_before_anything_is_dialled() {
    let rig = Rig::start().await;
    rig.set(&host("still"), &["deny=127.0.0.1"]).await;
    assert_eq!(answer(rig.client(Protocol::Tls, &still()).await).await, ACCESS_DENIED);
    let told = page(&rig, &get("/", "still.dyn.example.org")).await;
    assert!(told.starts_with("HTTP/1.1 403 ") && told.contains("host show still"), "{told}");
    assert_eq!((rig.traffic.counts().denied, rig.traffic.counts().away), (2, 0));

    let hello = still();
    let mut client = client_from(&rig, Ipv4Addr::new(127, 0, 0, 2), &hello).await;
    let mut home = rig.accept().await;
    assert_eq!(take(&mut home, hello.len()).await, hello, "the first that the home sees is the client that is admitted");
    assert_alive(&mut client, &mut home).await;
    rig.set(&host("still"), &["deny=", "allow=192.0.2.0/24,127.0.0.0/31"]).await;
    assert_eq!(answer(client_from(&rig, Ipv4Addr::new(127, 0, 0, 2), &hello).await).await, ACCESS_DENIED);
    let (mut client, mut home) = rig.relayed("still").await;
    assert_alive(&mut client, &mut home).await;
}

#[tokio::test]
async fn relays_of_whom_the_owner_admits_no_longer_end_and_others_live() {
    let rig = Rig::start().await;
    let (mut one, mut its_home) = rig.relayed("still").await;
    let hello = still();
    let mut other = client_from(&rig, Ipv4Addr::new(127, 0, 0, 2), &hello).await;
    let mut others_home = rig.accept().await;
    assert_eq!(take(&mut others_home, hello.len()).await, hello);
    rig.set(&host("still"), &["deny=127.0.0.2"]).await;
    assert_reset(&mut other).await;
    assert_reset(&mut others_home).await;
    assert_alive(&mut one, &mut its_home).await;
}

#[tokio::test]
async fn no_more_connections_than_the_owner_permits() {
    let rig = Rig::start().await;
    let before = rig.relayed("still").await;
    rig.set(&host("still"), &["max-connections=2"]).await;
    let (mut client, mut home) = rig.relayed("still").await;
    assert_eq!(answer(rig.client(Protocol::Tls, &still()).await).await, INTERNAL_ERROR, "those of before are counted");
    let told = page(&rig, &get("/", "still.dyn.example.org")).await;
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("\r\nRetry-After: ") && told.contains("max-connections"), "{told}");
    assert_eq!(rig.traffic.counts().full, 2);
    assert_alive(&mut client, &mut home).await;
    let link = rig.link_at(&host("cloud"), HERE);
    drop((rig.relayed("cloud").await, link));
    drop(before);
    until("one has gone", || rig.traffic.counts().open == 1).await;
    let (mut client, mut home) = rig.relayed("still").await;
    assert_alive(&mut client, &mut home).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_at_once_are_counted_exactly() {
    let rig = Rig::start().await;
    rig.set(&host("still"), &["max-connections=7"]).await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(rig.client(Protocol::Tls, &still()).await);
    }
    until("93 were refused", || rig.traffic.counts().full == 93).await;
    let mut homes = Vec::new();
    for _ in 0..7 {
        homes.push(rig.accept().await);
    }
    assert_eq!(rig.traffic.counts().full, 93);
    drop((clients, homes));
    until("all have gone", || rig.traffic.counts().open == 0).await;
    let (mut client, mut home) = rig.relayed("still").await;
    assert_alive(&mut client, &mut home).await;
}

#[tokio::test]
async fn plain_http_is_redirected_but_for_the_certificate_authority() {
    let rig = Rig::start().await;
    rig.set(&host("still"), &["redirect=on", "alias=own.example.org", "wildcard=on"]).await;
    for name in ["still.dyn.example.org", "own.example.org", "www.still.dyn.example.org"] {
        let told = page(&rig, &get("/a?b=c", name)).await;
        assert!(told.starts_with("HTTP/1.1 308 ") && told.contains(&format!("\r\nLocation: https://{name}")), "{told}");
        assert!(told.contains("/a?b=c\r\n"), "{told}");
    }
    let challenge = get("/.well-known/acme-challenge/token", "own.example.org");
    let mut client = rig.client(Protocol::Http, challenge.as_bytes()).await;
    let mut home = rig.accept().await;
    assert_eq!(take(&mut home, challenge.len()).await, challenge.as_bytes());
    assert_alive(&mut client, &mut home).await;

    rig.set(&host("gone"), &["redirect=on"]).await;
    assert!(page(&rig, &get("/", "gone.dyn.example.org")).await.starts_with("HTTP/1.1 308 "), "also while the home is away");
    assert!(page(&rig, &get("/.well-known/acme-challenge/x", "gone.dyn.example.org")).await.starts_with("HTTP/1.1 503 "));
    rig.set(&host("gone"), &["deny=0.0.0.0/0"]).await;
    assert!(page(&rig, &get("/", "gone.dyn.example.org")).await.starts_with("HTTP/1.1 403 "), "denied comes first");
}

#[tokio::test]
async fn the_home_is_dialled_at_the_ports_that_it_has() {
    let rig = Rig::start().await;
    let (tls, http) = (TcpListener::bind((HERE, 0)).await.expect("home"), TcpListener::bind((HERE, 0)).await.expect("home"));
    let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
    rig.set(&host("still"), &[&format!("home-port=tls={},http={}", port(&tls), port(&http))]).await;
    let hello = still();
    let _client = rig.client(Protocol::Tls, &hello).await;
    let (mut home, _) = within(tls.accept()).await.expect("dialled");
    assert_eq!(take(&mut home, hello.len()).await, hello);
    let request = get("/", "still.dyn.example.org");
    let _client = rig.client(Protocol::Http, request.as_bytes()).await;
    let (mut home, _) = within(http.accept()).await.expect("dialled");
    assert_eq!(take(&mut home, request.len()).await, request.as_bytes());
}

#[tokio::test]
async fn the_agent_must_offer_the_port_that_is_dialled() {
    let rig = Rig::start().await;
    let other = TcpListener::bind((HERE, 0)).await.expect("home");
    let port = other.local_addr().expect("bound").port();
    rig.set(&host("cloud"), &[&format!("home-port=tls={port}")]).await;
    let hello = hello(&format!("cloud.{ZONE}"));
    let _link = rig.link_at(&host("cloud"), HERE);
    assert_eq!(answer(rig.client(Protocol::Tls, &hello).await).await, INTERNAL_ERROR, "tcp/443 is no permission for another port");
    let offered: Service = format!("tcp/{port}").parse().expect("service");
    let link = rig.link_offering(&host("cloud"), vec![offered]);
    let answering = tokio::spawn(async move {
        loop {
            link.ask.notified().await;
            crate::rig::echo(&link, HERE);
        }
    });
    let _client = rig.client(Protocol::Tls, &hello).await;
    let (mut home, _) = within(other.accept()).await.expect("dialled");
    assert_eq!(take(&mut home, hello.len()).await, hello);
    answering.abort();
}

#[tokio::test]
async fn via_gateway_carries_ipv6_clients_and_judges_them_too() {
    let rig = Rig::start().await;
    let hello = still();
    rig.set(&host("still"), &["via=gateway"]).await;
    let mut client = rig.client_v6(Protocol::Tls, &hello).await;
    let mut home = rig.accept().await;
    assert_eq!(take(&mut home, hello.len()).await, hello);
    assert_alive(&mut client, &mut home).await;
    rig.set(&host("still"), &["deny=::/0"]).await;
    assert_reset(&mut client).await;
    assert_eq!(answer(rig.client_v6(Protocol::Tls, &hello).await).await, ACCESS_DENIED);
    rig.set(&host("still"), &["via=auto", "deny="]).await;
    assert_eq!(answer(rig.client_v6(Protocol::Tls, &hello).await).await, INTERNAL_ERROR);
    assert_eq!(rig.traffic.counts().direct, 1);
}

#[tokio::test]
async fn names_below_a_wildcard_lead_home() {
    let rig = Rig::start().await;
    rig.set(&host("still"), &["wildcard=on"]).await;
    let hello = hello(&format!("a.b.still.{ZONE}"));
    let _client = rig.client(Protocol::Tls, &hello).await;
    let mut home = rig.accept().await;
    assert_eq!(take(&mut home, hello.len()).await, hello);
    assert_eq!(rig.traffic.counts().unknown, 0);
}
