//! What a secondary is told of changes: by a puppet in its place, which answers as it is told to.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fourward_core::name::DnsName;
use fourward_core::tsig::Signature;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::primary::{Primary, secondary};
use super::{KEY, PATIENCE, SECRET, until};

/// A message that a secondary received.
struct Told {
    message: Vec<u8>,
    from: SocketAddr,
    /// The version that it names.
    serial: u32,
}

struct Puppet(UdpSocket);

impl Puppet {
    async fn start() -> Self {
        Self(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port"))
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("bound")
    }

    /// The next message.
    async fn told(&self) -> Told {
        let mut message = vec![0; 2048];
        let (length, from) = timeout(PATIENCE, self.0.recv_from(&mut message)).await.expect("told in time").expect("received");
        message.truncate(length);
        assert_eq!(message[2..8], [0x24, 0, 0, 1, 0, 1], "NOTIFY, from who has the zone, one question, one record");
        let soa = message.windows(11).position(|window| window == b"\x0ahostmaster").expect("a start of authority");
        // The mailbox ends with the zone's name.
        let at = soa + 11 + 1 + 3 + 1 + 7 + 1 + 3 + 1;
        let serial = u32::from_be_bytes(message[at..at + 4].try_into().expect("four bytes"));
        Told { message, from, serial }
    }

    async fn answer(&self, told: &Told) {
        self.0.send_to(&answered(&told.message), told.from).await.expect("sent");
    }
}

/// The answer to `message`, without its signature.
fn answered(message: &[u8]) -> Vec<u8> {
    [&message[..2], &[0xA4, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_version_is_told_until_it_is_heard() {
    let puppet = Puppet::start().await;
    let primary = Primary::start(vec![secondary(puppet.address(), None)]).await;
    let first = puppet.told().await;
    primary.churn(0, 30).await;
    let began = Instant::now();
    // Not an answer: another message's, another one's, a question.
    let mut other = answered(&first.message);
    other[1] ^= 1;
    puppet.0.send_to(&other, first.from).await.expect("sent");
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    stranger.send_to(&answered(&first.message), first.from).await.expect("sent");
    puppet.0.send_to(&first.message, first.from).await.expect("sent");
    let second = puppet.told().await;
    assert!(began.elapsed() > Duration::from_millis(300), "one at a time");
    assert_eq!(second.serial, primary.serial().0, "the newest, and none of the thirty between");
    until("the silence is counted", || primary.meter().secondaries().next().expect("one").unanswered() >= 1).await;
    puppet.answer(&second).await;
    until("it is heard", || primary.meter().secondaries().next().expect("one").answered() == 1).await;
    let quiet = timeout(Duration::from_millis(1_500), puppet.told()).await;
    assert!(quiet.is_err(), "what was heard is not said again");
    primary.moved("cloud", 1_000).await;
    let third = puppet.told().await;
    assert_eq!(third.serial, primary.serial().0);
    puppet.answer(&third).await;
    until("it is heard", || primary.meter().secondaries().next().expect("one").answered() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_key_is_told_with_it_and_heard_with_it_only() {
    let puppet = Puppet::start().await;
    let primary = Primary::start(vec![secondary(puppet.address(), Some(KEY))]).await;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(SECRET).expect("base64"));
    let mac = |covered: &[u8]| hmac::sign(&key, covered).as_ref().to_vec();
    let now = || u64::try_from(jiff::Timestamp::now().as_second()).expect("after 1970");
    let meter = || primary.meter().secondaries().next().expect("one");

    let first = puppet.told().await;
    let signature = Signature::of(&first.message).expect("sound").expect("signed");
    let is_of = |name: &DnsName, _, covered: &[u8], given: &[u8]| Some(name.as_str() == KEY && mac(covered) == given);
    assert_eq!(signature.verify(&first.message, now(), is_of), Ok(()));
    puppet.answer(&first).await;
    let second = puppet.told().await;
    assert_eq!((meter().answered(), meter().unanswered()), (0, 1), "an answer without a signature is none");
    let signature = Signature::of(&second.message).expect("sound").expect("signed");
    let mut answer = answered(&second.message);
    signature.answer(&mut answer, now(), None, mac);
    puppet.0.send_to(&answer, second.from).await.expect("sent");
    until("it is heard", || meter().answered() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_none_and_is_tried_again() {
    let puppet = Puppet::start().await;
    let primary = Primary::start(vec![secondary(puppet.address(), None)]).await;
    let first = puppet.told().await;
    let mut refused = answered(&first.message);
    refused[3] = 5;
    puppet.0.send_to(&refused, first.from).await.expect("sent");
    let second = puppet.told().await;
    assert_eq!(primary.meter().secondaries().next().expect("one").answered(), 0);
    puppet.answer(&second).await;
    until("it is heard", || primary.meter().secondaries().next().expect("one").answered() == 1).await;
}
