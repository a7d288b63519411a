//! Strangers at the port: they get no answer that they have no right to, and keep nobody out.

use std::net::UdpSocket;
use std::time::Duration;

use fourward::crypto;

use super::puppet::handshake;
use super::rig::{GATEWAY, Home, NEW, OLD, OTHER, Server, in_namespace, until, within};

/// Handshakes that never say a word.
const CROWD: usize = 600;

async fn crowd(server: &Server, home: &Home) -> Vec<impl Sized> {
    let mut stranger = home.clone();
    stranger.key = crypto::new_link_key().expect("key");
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(handshake(&stranger, OTHER, OTHER).await);
    }
    assert!(server.link("cloud").is_none());
    crowd
}

#[test]
fn a_silent_crowd_keeps_no_agent_out() {
    in_namespace(|| async {
        let server = Server::start().await;
        let home = server.joined("cloud").await;
        let _crowd = crowd(&server, &home).await;
        let _agent = home.start(&[OLD]);
        let took = within(Duration::from_secs(3), "linked", || server.published("cloud") == Some(OLD)).await;
        println!("figure: beside {CROWD} silent handshakes an agent is linked and proven in {took:?}");
    });
}

#[test]
fn nor_does_a_crowd_behind_the_agent_s_own_address() {
    in_namespace(|| async {
        let server = Server::start().await;
        let home = server.joined("cloud").await;
        let _crowd = crowd(&server, &home).await;
        let _agent = home.start(&[OTHER]);
        within(Duration::from_secs(3), "linked", || server.published("cloud") == Some(OTHER)).await;
    });
}

#[test]
fn the_role_ends_at_once_though_strangers_are_at_the_door() {
    in_namespace(|| async {
        let server = Server::start().await;
        let home = server.joined("cloud").await;
        let _crowd = handshake(&home, OTHER, OTHER).await;
        let begun = std::time::Instant::now();
        tokio::task::spawn_blocking(move || server.stop()).await.expect("stopped");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    });
}

#[test]
fn garbage_and_foreign_datagrams_are_not_answered() {
    in_namespace(|| async {
        let server = Server::start().await;
        let stranger = UdpSocket::bind((OTHER, 0)).expect("socket");
        stranger.connect(server.address).expect("connected");
        stranger.set_read_timeout(Some(Duration::from_millis(700))).expect("timeout");
        let long = |version: [u8; 4], length: usize| {
            let mut datagram = [&[0xc3][..], &version, &[8], &[7; 8], &[8], &[9; 8]].concat();
            datagram.resize(length, 0);
            datagram
        };
        let mut sent: Vec<Vec<u8>> = vec![vec![], vec![0x40], b"GET / HTTP/1.1\r\n\r\n".to_vec()];
        // Connection IDs that are not ours: a stateless reset would tell that somebody is here.
        sent.extend((0..200_u8).map(|n| [&[0x40 | (n & 0x3f)][..], &[n; 8], &[n; 1191]].concat()));
        sent.extend((0..200).map(|_| crypto::random::<64>().expect("random").to_vec()));
        // Versions of others, short and long; ours with a beginning that is none; an answer of a server.
        for version in [[0; 4], [0x1a, 0x2a, 0x3a, 0x4a], [0x6b, 0x33, 0x43, 0xcf], [0xff, 0, 0, 29], [0, 0, 0, 1]] {
            sent.extend([long(version, 40), long(version, 1200), long(version, 1452)]);
        }
        for datagram in &sent {
            stranger.send(datagram).expect("sent");
        }
        let mut answer = [0; 2048];
        let answered = tokio::task::spawn_blocking(move || stranger.recv(&mut answer).map(|length| answer[..length].to_vec())).await;
        assert!(answered.expect("joined").is_err(), "answered");
        // And all that hurt nobody.
        let _agent = server.joined("cloud").await.start(&[NEW]);
        until("published", || server.published("cloud") == Some(NEW)).await;
        assert_eq!(server.address.ip(), std::net::IpAddr::V6(GATEWAY));
    });
}
