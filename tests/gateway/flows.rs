//! Ports of the gateway's that lead to a home, over UDP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fourward::config;
use fourward::leases::{Leases, Presence};
use fourward_core::change::Change;
use fourward_core::link::Service;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::forwards::{free_ports, gateway};
use crate::rig::{self, HERE, Rig, echo, host, until, within};

/// What comes at all on loopback comes long before this.
const SOON: Duration = Duration::from_millis(300);

async fn socket(here: IpAddr) -> UdpSocket {
    UdpSocket::bind((here, 0)).await.expect("a socket")
}

async fn home() -> (UdpSocket, u16) {
    let home = socket(HERE.into()).await;
    let port = home.local_addr().expect("bound").port();
    (home, port)
}

async fn client() -> UdpSocket {
    socket(Ipv4Addr::LOCALHOST.into()).await
}

async fn get(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = vec![0; 65_536];
    let (count, from) = within(socket.recv_from(&mut bytes)).await.expect("a datagram");
    bytes.truncate(count);
    (bytes, from)
}

async fn assert_silent(socket: &UdpSocket, why: &str) {
    let mut bytes = [0; 64];
    assert!(timeout(SOON, socket.recv_from(&mut bytes)).await.is_err(), "{why}: {bytes:?}");
}

/// Sends until the first comes through: a port listens a moment after it was set.
async fn knock(client: &UdpSocket, port: u16, home: &UdpSocket) -> SocketAddr {
    for _ in 0..1_000 {
        client.send_to(b"hello", gateway(port)).await.expect("sent");
        if let Ok(got) = timeout(Duration::from_millis(20), get(home)).await {
            assert_eq!(got.0, b"hello");
            return got.1;
        }
    }
    panic!("nothing comes through");
}

/// Both ways, and the client shows that it hears.
async fn assert_flows(client: &UdpSocket, port: u16, home: &UdpSocket) -> SocketAddr {
    let from = knock(client, port, home).await;
    home.send_to(b"world", from).await.expect("sent");
    assert_eq!(get(client).await, (b"world".to_vec(), gateway(port)), "from the very port that was asked");
    client.send_to(b"again", gateway(port)).await.expect("sent");
    // What was knocked before may still come.
    while get(home).await.0 != b"again" {}
    from
}

/// A gateway with a forward of `still`'s to a home.
async fn forwarding() -> (Rig, u16, UdpSocket) {
    let rig = Rig::start().await;
    let (port, (home, inside)) = (free_ports(1), home().await);
    rig.set(&host("still"), &[&format!("forward=udp/{port}:{inside}")]).await;
    (rig, port, home)
}

#[tokio::test]
async fn each_client_has_a_flow_of_its_own_and_its_answers() {
    let (rig, port, home) = forwarding().await;
    let mut clients = Vec::new();
    for number in 0..20_u8 {
        let client = socket(Ipv4Addr::new(127, 0, 1, number).into()).await;
        let from = assert_flows(&client, port, &home).await;
        clients.push((client, from, number));
    }
    for (_, from, number) in &clients {
        home.send_to(&[*number; 9], *from).await.expect("sent");
    }
    for (client, _, number) in &clients {
        assert_eq!(get(client).await.0, [*number; 9]);
    }
    until("all are counted", || rig.traffic.counts().flows == 20).await;
}

#[tokio::test]
async fn a_flow_carries_whatever_sizes_in_their_order() {
    let (rig, port, home) = forwarding().await;
    let client = client().await;
    let from = assert_flows(&client, port, &home).await;
    let sizes = [1_200, 1_200, 1_200, 700, 1_200, 0, 1, 1_200, 9_000, 9_000, 60_000, 1_200, 1_200];
    let datagram = |at: usize| vec![at as u8; sizes[at]];
    for at in 0..sizes.len() {
        client.send_to(&datagram(at), gateway(port)).await.expect("sent");
    }
    for at in 0..sizes.len() {
        assert_eq!(get(&home).await.0, datagram(at), "{at}");
    }
    for at in 0..sizes.len() {
        home.send_to(&datagram(at), from).await.expect("sent");
    }
    for at in 0..sizes.len() {
        assert_eq!(get(&client).await.0, datagram(at), "{at}");
    }
    assert_eq!(rig.traffic.counts().lost, 0);
}

#[tokio::test]
async fn forwards_are_added_and_removed_while_others_flow() {
    let (rig, port, home) = forwarding().await;
    let one = client().await;
    let from = assert_flows(&one, port, &home).await;
    let (other_port, (other_home, inside)) = (free_ports(1), self::home().await);
    rig.set(&host("still"), &[&format!("forward+=udp/{other_port}:{inside}")]).await;
    let two = client().await;
    assert_flows(&two, other_port, &other_home).await;
    rig.set(&host("still"), &[&format!("forward-=udp/{other_port}")]).await;
    until("its flow is gone", || rig.traffic.counts().flows == 1).await;
    one.send_to(b"still", gateway(port)).await.expect("sent");
    assert_eq!(get(&home).await, (b"still".to_vec(), from), "the other flow is the same");
}

#[tokio::test]
async fn until_a_client_shows_that_it_hears_it_gets_three_times_what_it_sent() {
    let (rig, port, home) = forwarding().await;
    let client = client().await;
    let from = knock(&client, port, &home).await;
    // As many as were knocked with.
    let sent = 5 * (1 + std::iter::from_fn(|| home.try_recv(&mut [0; 64]).ok()).count());
    for _ in 0..100 {
        home.send_to(b"x", from).await.expect("sent");
    }
    let mut got = 0;
    while timeout(SOON, get(&client)).await.is_ok() {
        got += 1;
    }
    assert_eq!(got, 3 * sent);
    assert_eq!(rig.traffic.counts().withheld as usize, 100 - got);
    client.send_to(b"I hear", gateway(port)).await.expect("sent");
    assert_eq!(get(&home).await.0, b"I hear");
    home.send_to(&[7; 5_000], from).await.expect("sent");
    assert_eq!(get(&client).await.0.len(), 5_000);
}

#[tokio::test]
async fn a_home_that_nobody_serves_costs_no_flow_and_neither_does_its_refusal() {
    let (rig, port, home) = forwarding().await;
    let client = client().await;
    let from = assert_flows(&client, port, &home).await;
    let address = home.local_addr().expect("bound");
    drop(home);
    for _ in 0..10 {
        client.send_to(b"anybody?", gateway(port)).await.expect("sent");
    }
    let home = UdpSocket::bind(address).await.expect("back");
    for _ in 0..100 {
        client.send_to(b"there?", gateway(port)).await.expect("sent");
        if let Ok((said, sender)) = timeout(Duration::from_millis(50), get(&home)).await {
            assert!(sender == from && (said == b"there?" || said == b"anybody?"), "another flow: {sender}, {said:?}");
            assert_eq!(rig.traffic.counts().flows, 1);
            return;
        }
    }
    panic!("the home is not found again");
}

#[tokio::test]
async fn whom_the_owner_denies_gets_no_flow_and_loses_the_one_it_has() {
    let (rig, port, home) = forwarding().await;
    let (one, other) = (client().await, socket(Ipv4Addr::new(127, 0, 0, 2).into()).await);
    let from = assert_flows(&one, port, &home).await;
    let others = assert_flows(&other, port, &home).await;
    rig.set(&host("still"), &["deny=127.0.0.1"]).await;
    until("its flow is gone", || rig.traffic.counts().flows == 1).await;
    one.send_to(b"let me in", gateway(port)).await.expect("sent");
    home.send_to(b"come in", from).await.expect("sent");
    other.send_to(b"I am", gateway(port)).await.expect("sent");
    assert_eq!(get(&home).await, (b"I am".to_vec(), others));
    assert_silent(&one, "it is denied").await;
    assert!(rig.traffic.counts().denied > 0);
}

async fn answers(link: Arc<Presence>) {
    loop {
        link.ask.notified().await;
        echo(&link, HERE);
    }
}

#[tokio::test]
async fn what_comes_first_waits_for_the_link_and_no_more_than_a_little_of_it() {
    let rig = Rig::start().await;
    let (port, (home, inside)) = (free_ports(1), home().await);
    rig.set(&host("cloud"), &[&format!("forward=udp/{port}:{inside}")]).await;
    let offered: Service = format!("udp/{inside}").parse().expect("service");
    let link = rig.link_offering(&host("cloud"), vec![offered]);
    let client = client().await;
    let mut knocks = 0;
    while timeout(Duration::from_millis(5), link.ask.notified()).await.is_err() {
        client.send_to(&[0], gateway(port)).await.expect("sent");
        knocks += 1;
        assert!(knocks < 1_000, "the link is never asked");
    }
    for number in 1..=40 {
        client.send_to(&[number], gateway(port)).await.expect("sent");
    }
    until("what is too much is dropped", || rig.traffic.counts().lost >= 40 - 16).await;
    assert_silent(&home, "nobody has said that it is the home").await;
    echo(&link, HERE);
    let mut first = Vec::new();
    while first.len() < 16 {
        first.extend(get(&home).await.0);
    }
    let order: Vec<u8> = first.iter().copied().skip_while(|number| *number == 0).collect();
    assert_eq!(order, (1..).take(order.len()).collect::<Vec<u8>>(), "in their order");
    assert_silent(&home, "no more than sixteen").await;
}

#[tokio::test]
async fn an_echo_of_before_the_flow_proves_nothing_and_one_from_elsewhere_neither() {
    let rig = Rig::start().await;
    let (port, (home, inside)) = (free_ports(1), home().await);
    rig.set(&host("cloud"), &[&format!("forward=udp/{port}:{inside}")]).await;
    let link = rig.link_offering(&host("cloud"), vec![format!("udp/{inside}").parse().expect("service")]);
    let client = client().await;
    echo(&link, HERE);
    let mut knocks = 0;
    while timeout(Duration::from_millis(5), link.ask.notified()).await.is_err() {
        client.send_to(b"first", gateway(port)).await.expect("sent");
        knocks += 1;
        assert!(knocks < 1_000, "the link is never asked");
    }
    assert_silent(&home, "the echo is older than the flow").await;
    echo(&link, rig::ELSEWHERE);
    assert_silent(&home, "it is elsewhere").await;
    tokio::spawn(answers(Arc::clone(&link)));
    let from = assert_flows(&client, port, &home).await;
    rig.store.commit(Change::Withdraw { host: host("cloud"), address: HERE }).await.expect("withdrawn");
    // The change is told a moment later.
    until("nothing comes through", || {
        let _ = client.try_send_to(b"x", gateway(port));
        rig.traffic.counts().lost > 20
    })
    .await;
    while home.try_recv(&mut [0; 64]).is_ok() {}
    client.send_to(b"gone?", gateway(port)).await.expect("sent");
    assert_silent(&home, "nobody vouches for it").await;
    home.send_to(b"psst", from).await.expect("sent");
    assert_silent(&client, "nor for what it says").await;
    rig.moves(&host("cloud"), HERE).await;
    for _ in 0..100 {
        client.send_to(b"back", gateway(port)).await.expect("sent");
        if let Ok(got) = timeout(Duration::from_millis(50), get(&home)).await {
            assert_eq!(got, (b"back".to_vec(), from), "its home sees the sender that it knows");
            return;
        }
    }
    panic!("the flow does not go on");
}

#[tokio::test]
async fn forged_senders_give_way_and_who_is_there_stays() {
    let config = config::Gateway { connections: 64, half_open: 64, per_network: 64, ..rig::config() };
    let rig = Rig::with(config, Leases::new(std::time::Instant::now())).await;
    let (port, (home, inside)) = (free_ports(1), home().await);
    rig.set(&host("still"), &[&format!("forward=udp/{port}:{inside}")]).await;
    let client = client().await;
    let from = assert_flows(&client, port, &home).await;
    let open = || std::fs::read_dir("/proc/self/fd").expect("descriptors").count();
    let before = open();
    for number in 0..2_000_u16 {
        let [high, low] = number.to_be_bytes();
        let forged = std::net::UdpSocket::bind((Ipv4Addr::new(127, 9, high, low), 0)).expect("a socket");
        forged.send_to(b"forged", gateway(port)).expect("sent");
        if number % 50 == 0 {
            client.send_to(&[high, low], gateway(port)).await.expect("sent");
            while get(&home).await != (vec![high, low], from) {}
        }
        while home.try_recv(&mut [0; 64]).is_ok() {}
    }
    let counts = rig.traffic.counts();
    assert!(counts.flows <= 16, "{} flows", counts.flows);
    assert!(open() <= before + 16, "{} descriptors, {before} before", open());
    rig.set(&host("still"), &["forward="]).await;
    until("all are gone", || rig.traffic.counts().flows == 0).await;
}

#[tokio::test]
async fn an_answer_comes_from_the_address_that_was_asked_also_on_the_wildcard() {
    let rig = Rig::on_the_wildcard().await;
    let (port, (home, inside)) = (free_ports(1), home().await);
    rig.set(&host("still"), &[&format!("forward=udp/{port}:{inside}")]).await;
    assert_flows(&client().await, port, &home).await;
    let client = socket(Ipv4Addr::LOCALHOST.into()).await;
    for asked in [Ipv4Addr::new(127, 0, 0, 7), Ipv4Addr::new(127, 0, 0, 8)] {
        client.send_to(b"who?", (asked, port)).await.expect("sent");
        let from = loop {
            let (said, from) = get(&home).await;
            if said == b"who?" {
                break from;
            }
        };
        home.send_to(b"I", from).await.expect("sent");
        assert_eq!(get(&client).await, (b"I".to_vec(), (asked, port).into()));
    }
}

#[tokio::test]
async fn no_more_flows_than_the_owner_permits() {
    let (rig, port, home) = forwarding().await;
    rig.set(&host("still"), &["max-connections=2"]).await;
    let (one, two, three) = (client().await, client().await, client().await);
    assert_flows(&one, port, &home).await;
    assert_flows(&two, port, &home).await;
    three.send_to(b"me too", gateway(port)).await.expect("sent");
    until("it is refused", || rig.traffic.counts().full == 1).await;
    assert_eq!(rig.traffic.counts().flows, 2);
}
