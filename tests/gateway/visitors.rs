//! Visitors of the server's own name: nobody is kept out by those who come and say nothing.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use fourward::certificate::{Shown, self_signed};
use fourward::config::Config;
use fourward::control::{OwnPage, Updates};
use fourward::gateway::Protocol;
use fourward_core::api::CertificateSource;
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

use super::rig::{OWN, Rig, answer, hello, name, take, within};

/// Of all, and of one network.
const ROOM: usize = 64;
const ROOM_OF_ONE: usize = 16;

const CONFIG: &str = r#"
[public]
ipv4 = ["192.0.2.11"]
ipv6 = ["2001:db8:a::11"]
[dns]
zones = ["dyn.example.org"]
[gateway]
"#;

/// A gateway with the page behind it.
async fn page() -> Rig {
    let mut rig = Rig::start().await;
    let server = Config::parse(CONFIG, Path::new("test.toml")).expect("good").server.expect("a server");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key").serialize_der();
    let certificate = self_signed(&name(OWN), &key).expect("a certificate");
    let shown = Shown::new(name(OWN), CertificateSource::SelfSigned, certificate);
    let page = OwnPage::new(shown, Updates::new(&server, rig.store.clone(), Arc::default()), Arc::default()).expect("a page");
    let own = std::mem::replace(&mut rig.own, mpsc::channel(1).1);
    tokio::spawn(page.run(own, rig.cancel.clone()));
    rig
}

/// A connection from another address of this machine.
async fn from(rig: &Rig, last: u8, protocol: Protocol, first: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).expect("bound");
    let mut stream = within(socket.connect(rig.address(protocol, false))).await.expect("gateway");
    stream.write_all(first).await.expect("sent");
    stream
}

/// One who is greeted and says nothing more.
async fn silent(rig: &Rig, last: u8) -> TcpStream {
    let mut stream = from(rig, last, Protocol::Tls, &hello(OWN)).await;
    assert_eq!(take(&mut stream, 1).await, [22], "greeted");
    stream
}

/// Whether the connection is there; what was sent on it is taken.
async fn is_there(stream: &mut TcpStream) -> bool {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).now_or_never().is_none()
}

#[tokio::test]
async fn one_network_cannot_hold_all_places_of_the_page() {
    let rig = page().await;
    let other = &mut silent(&rig, 2).await;
    let mut crowd = Vec::new();
    for _ in 0..ROOM + ROOM_OF_ONE {
        crowd.push(silent(&rig, 1).await);
    }
    for gone in crowd.drain(..ROOM) {
        answer(gone).await;
    }
    for stays in &mut crowd {
        assert!(is_there(stays).await);
    }
    assert!(is_there(other).await, "its own give way, and nobody else's");
}

#[tokio::test]
async fn many_networks_neither_keep_a_newcomer_out_nor_plain_http() {
    let rig = page().await;
    let mut crowd = Vec::new();
    for last in 1..=5 {
        for _ in 0..ROOM_OF_ONE {
            crowd.push(silent(&rig, last).await);
        }
    }
    let rest = crowd.split_off(ROOM_OF_ONE);
    for gone in crowd {
        answer(gone).await;
    }
    let asked = format!("GET /nic/update HTTP/1.1\r\nHost: {OWN}\r\n\r\n");
    let told = answer(from(&rig, 1, Protocol::Http, asked.as_bytes()).await).await;
    assert!(told.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&told));
    for mut stays in rest {
        assert!(is_there(&mut stays).await, "plain HTTP has places of its own");
    }
}
