//! What keeps a forged source from getting much: cookies, and a limit for those who have none; and who is told no more than once. A burst of
//! good questions is none of it.

use std::net::UdpSocket;
use std::time::Duration;

use rustix::net::sockopt;

use super::*;

const RATE_LIMIT: u32 = 8;

/// Questions sent in one go; a second's change among them can only add a few answers.
const FLOOD: u16 = 400;

/// A resolver that was cut off, and is back with all that its clients want.
const BURST: u16 = 1_000;

/// A question like [`question`], with an OPT record that brings `cookie`.
fn with_cookie(id: u16, cookie: &[u8]) -> Vec<u8> {
    let mut message = question(id);
    message[11] = 1;
    let length = u16::try_from(cookie.len()).expect("short");
    message.extend([&[0, 0, 41, 4, 208, 0, 0, 0, 0][..], &(length + 4).to_be_bytes(), &[0, 10], &length.to_be_bytes(), cookie].concat());
    message
}

/// Sends each message and returns the answers: those that are whole, and those that say to come by TCP.
fn flood(client: &UdpSocket, message: impl Fn(u16) -> Vec<u8>) -> (usize, usize) {
    client.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let (mut whole, mut cut) = (0, 0);
    let mut count = |answer: &[u8]| if answer[2] & 2 == 0 { whole += 1 } else { cut += 1 };
    let mut buffer = [0; 1232];
    for burst in 0..FLOOD / 20 {
        (0..20).for_each(|at| _ = client.send(&message(burst * 20 + at)).expect("sent"));
        while let Ok(length) = client.recv(&mut buffer) {
            assert!(buffer[2] & 2 == 0 || buffer[6..10] == [0; 4] && length < 80, "nothing stands in what was cut");
            count(&buffer[..length]);
            if buffer[..2] == (burst * 20 + 19).to_be_bytes() {
                break;
            }
        }
    }
    (whole, cut)
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_get_a_cookie_and_are_known_by_it() {
    let server = Server::on_loopback();
    let asked = server.tool("dig", "+norec +tries=1 +cookie=0102030405060708 cloud.dyn.example.org AAAA");
    holds(&asked, &["COOKIE: 0102030405060708", "(good)", HOME]);
    holds(&server.tool("kdig", "+cookie cloud.dyn.example.org AAAA"), &["COOKIE: ", HOME]);
    let bad = server.tool("dig", "+norec +tries=1 +ednsopt=10:010203 +nocookie cloud.dyn.example.org AAAA");
    holds(&bad, &["FORMERR"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_question_is_told_why() {
    let server = Server::on_loopback();
    holds(&server.dig("+edns=0 www.example.net A"), &["REFUSED", "EDE: 20"]);
    holds(&server.dig("+edns=0 +opcode=4 dyn.example.org SOA"), &["NOTIMP", "EDE: 21"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_answered_seldom_and_can_come_by_tcp_or_with_a_cookie() {
    let server = Server::with(&["127.0.0.1:0"], RATE_LIMIT);
    let (whole, cut) = flood(&server.udp(), question);
    // The test may last through a second or two more, each of which brings as many again.
    assert!((1..=10 * RATE_LIMIT as usize).contains(&whole), "{whole} whole");
    let limited = usize::from(FLOOD) - whole;
    assert!(cut.abs_diff(limited / 2) <= 1, "{whole} whole, {cut} cut");
    assert!(server.limited() >= u64::try_from(limited).expect("few"));

    let mut tcp = server.tcp();
    tcp.write_all(&framed(&question(7))).expect("sent");
    assert_eq!(read_framed(&mut tcp)[2] & 2, 0, "whole by TCP");

    let client = server.udp();
    let mut cookie = vec![9; 8];
    // Its first question may be among those that are held back: it asks again, as a client does.
    for id in 0.. {
        client.send(&with_cookie(id, &cookie)).expect("sent");
        client.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        let mut buffer = [0; 1232];
        if let Ok(length) = client.recv(&mut buffer) {
            cookie = buffer[length - 24..length].to_vec();
            break;
        }
        assert!(id < 100, "never an answer");
    }
    assert_eq!(cookie[..8], [9; 8], "what was cut has the cookie, too");
    let (whole, cut) = flood(&client, |id| with_cookie(id, &cookie));
    assert_eq!((whole, cut), (usize::from(FLOOD), 0), "a client that is known");
}

/// A service that answers whatever comes would go on for ever with one that does too (CVE-2024-2169).
#[tokio::test(flavor = "multi_thread")]
async fn no_service_that_echoes_is_answered() {
    let server = Server::on_loopback();
    let said = b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n";
    let client = server.udp();
    client.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    client.send(said).expect("sent");
    assert!(client.recv(&mut [0; 512]).is_err(), "what is no query is not answered");
    // Low ports want a privilege, which CI has.
    let chargen = UdpSocket::bind("127.0.0.1:19").expect("root may have port 19");
    chargen.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    chargen.send_to(&question(1), server.addresses[0]).expect("sent");
    assert!(chargen.recv(&mut [0; 512]).is_err(), "nor is a query from there");
    client.send(&question(2)).expect("sent");
    assert!(client.recv(&mut [0; 512]).is_ok(), "others are served");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_questions_is_answered_whole() {
    let server = Server::on_loopback();
    let client = server.udp();
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // The answers are not to be lost, where they are read late.
    sockopt::set_socket_recv_buffer_size_force(&client, 4 << 20).expect("CAP_NET_ADMIN; these tests want root");
    let asking = client.try_clone().expect("a handle");
    // In one go, much faster than they are answered.
    let burst = std::thread::spawn(move || (0..BURST).for_each(|id| _ = asking.send(&question(id)).expect("sent")));
    let mut ids = BTreeSet::new();
    while ids.len() < usize::from(BURST) {
        let mut reply = [0; 512];
        client.recv(&mut reply).unwrap_or_else(|error| panic!("{} of {BURST} answers: {error}", ids.len()));
        ids.insert([reply[0], reply[1]]);
    }
    burst.join().expect("sent");
}
