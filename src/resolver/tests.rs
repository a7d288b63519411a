//! Servers on loopback: honest ones, silent ones, and one that is answered for by somebody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fourward_core::name::DnsName;
use fourward_core::reply::Data;
use fourward_core::wire::{Rcode, Type};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

/// Far more than loopback takes, so that only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(20);

fn name(text: &str) -> DnsName {
    text.parse().expect("a name")
}

fn question() -> Question {
    Question { name: name("owncloud.example.org"), kind: Type::A, recursion: true }
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// `query` answered with these flags and an A record.
fn answered(query: &[u8], flags: u16) -> Vec<u8> {
    let mut message = query[..query.len() - 11].to_vec();
    message[2..4].copy_from_slice(&(0x8000 | flags).to_be_bytes());
    message[7] = 1;
    message[11] = 0;
    message.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x0b");
    message
}

/// A UDP socket on loopback, and where it is.
async fn udp() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

/// A port that is free for UDP and TCP, taken for both.
async fn both() -> (UdpSocket, TcpListener, SocketAddr) {
    loop {
        let (socket, address) = udp().await;
        if let Ok(listener) = TcpListener::bind(address).await {
            return (socket, listener, address);
        }
    }
}

/// Answers every datagram with what `say` makes of it.
fn serve(socket: UdpSocket, say: impl Fn(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut query = [0; 512];
        for count in 0.. {
            let (length, client) = socket.recv_from(&mut query).await.expect("a query");
            for message in say(count, &query[..length]) {
                socket.send_to(&message, client).await.expect("sent");
            }
        }
    })
}

/// Answers every connection's question.
fn serve_tcp(listener: TcpListener, flags: u16) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut query = vec![0; stream.read_u16().await.expect("a length").into()];
            stream.read_exact(&mut query).await.expect("a query");
            let answer = answered(&query, flags);
            stream.write_u16(u16::try_from(answer.len()).expect("short")).await.expect("sent");
            stream.write_all(&answer).await.expect("sent");
        }
    })
}

#[tokio::test]
async fn an_answer_has_its_flags_sections_and_times() {
    let (socket, server) = udp().await;
    serve(socket, |_, query| vec![answered(query, 0x0480)]);
    let reply = ask(server, &question(), Over::Either, soon()).await.expect("an answer");
    assert!(reply.authoritative && reply.recursion_available && !reply.truncated);
    assert_eq!((reply.rcode, reply.answer[0].ttl), (Rcode::NOERROR, 60));
    assert_eq!(reply.answer[0].data, Data::A([192, 0, 2, 11].into()));
}

#[tokio::test]
async fn an_answer_with_another_id_or_question_is_not_taken() {
    let (socket, server) = udp().await;
    serve(socket, |_, query| {
        let good = answered(query, 0x0400);
        let (mut id, mut asked, mut bare) = (good.clone(), good.clone(), good[..12].to_vec());
        id[1] ^= 1;
        asked[14] = b'x';
        bare[4..8].fill(0);
        vec![id, asked, bare, query.to_vec(), vec![0], good]
    });
    let reply = ask(server, &question(), Over::Udp, soon()).await.expect("an answer");
    assert!(reply.authoritative && reply.answer.len() == 1);
}

#[tokio::test]
async fn an_answer_from_elsewhere_is_not_taken() {
    let (socket, server) = udp().await;
    let (elsewhere, _) = udp().await;
    tokio::spawn(async move {
        let mut query = [0; 512];
        let (length, client) = socket.recv_from(&mut query).await.expect("a query");
        elsewhere.send_to(&answered(&query[..length], 0), client).await.expect("sent");
        // Later than the other one by a round trip through the same kernel.
        let (length, client) = socket.recv_from(&mut query).await.expect("asked again");
        socket.send_to(&answered(&query[..length], 0x0400), client).await.expect("sent");
    });
    let reply = ask(server, &question(), Over::Udp, soon()).await.expect("an answer");
    assert!(reply.authoritative, "the other one's answer was taken");
}

#[tokio::test]
async fn each_question_has_another_port_and_id() {
    let (socket, server) = udp().await;
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut query = [0; 512];
        loop {
            let (length, client) = socket.recv_from(&mut query).await.expect("a query");
            told.send((client.port(), [query[0], query[1]])).expect("heard");
            socket.send_to(&answered(&query[..length], 0), client).await.expect("sent");
        }
    });
    let mut seen = Vec::new();
    for _ in 0..8 {
        ask(server, &question(), Over::Udp, soon()).await.expect("an answer");
        seen.push(heard.recv().await.expect("a query"));
    }
    let (ports, ids): (std::collections::HashSet<_>, std::collections::HashSet<_>) = seen.into_iter().unzip();
    assert!(ports.len() > 4 && ids.len() > 4, "{ports:?} {ids:?}");
}

#[tokio::test]
async fn who_guesses_ids_drives_us_to_tcp() {
    let (socket, listener, server) = both().await;
    serve(socket, |_, query| {
        let good = answered(query, 0);
        let guess = |n: u8| [&[good[0], good[1] ^ n][..], &good[2..]].concat();
        (1..=100).map(guess).chain([good.clone()]).collect()
    });
    serve_tcp(listener, 0x0400);
    assert!(ask(server, &question(), Over::Either, soon()).await.expect("an answer").authoritative, "UDP was taken");
    let error = ask(server, &question(), Over::Udp, soon()).await.expect_err("guesses");
    assert!(matches!(error, AskError::Nonsense { source: ReplyError::Foreign, .. }), "{error}");
}

#[tokio::test]
async fn what_is_truncated_is_asked_by_tcp() {
    let (socket, listener, server) = both().await;
    serve(socket, |_, query| vec![answered(query, 0x0200)]);
    serve_tcp(listener, 0x0400);
    let truncated = |reply: Reply| (reply.truncated, reply.authoritative);
    assert_eq!(truncated(ask(server, &question(), Over::Either, soon()).await.expect("an answer")), (false, true));
    assert_eq!(truncated(ask(server, &question(), Over::Udp, soon()).await.expect("an answer")), (true, false));
    assert_eq!(truncated(ask(server, &question(), Over::Tcp, soon()).await.expect("an answer")), (false, true));
}

#[tokio::test]
async fn a_lost_datagram_is_sent_once_more() {
    let (socket, server) = udp().await;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    serve(socket, move |at, query| {
        counted.fetch_add(1, Ordering::Relaxed);
        if at == 0 { Vec::new() } else { vec![answered(query, 0)] }
    });
    ask(server, &question(), Over::Udp, soon()).await.expect("an answer");
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn silence_ends_at_the_deadline_by_either_way() {
    let (_socket, listener, server) = both().await;
    for over in [Over::Udp, Over::Tcp, Over::Either] {
        let began = Instant::now();
        let error = ask(server, &question(), over, began + Duration::from_millis(300)).await.expect_err("silence");
        assert!(matches!(error, AskError::Silent { .. }), "{error}");
        assert!(error.to_string().contains(&server.to_string()), "{error}");
        assert!((Duration::from_millis(290)..PATIENCE).contains(&began.elapsed()), "{:?}", began.elapsed());
    }
    drop(listener);
}

#[tokio::test]
async fn where_nobody_listens_is_known_at_once() {
    let (socket, listener, server) = both().await;
    drop((socket, listener));
    for over in [Over::Udp, Over::Tcp] {
        let error = ask(server, &question(), over, soon()).await.expect_err("nobody");
        assert!(matches!(error, AskError::Closed { .. }), "{error}");
    }
}

#[tokio::test]
async fn nonsense_is_called_so() {
    let (socket, listener, server) = both().await;
    serve(socket, |_, query| vec![answered(query, 0)[..30].to_vec()]);
    drop(listener);
    let error = ask(server, &question(), Over::Udp, soon()).await.expect_err("nonsense");
    assert!(matches!(error, AskError::Nonsense { source: ReplyError::Broken, .. }), "{error}");
}

#[tokio::test]
async fn resolvers_are_asked_in_turn() {
    let (silent, silent_at) = udp().await;
    let (unable, unable_at) = udp().await;
    let (good, good_at) = udp().await;
    serve(unable, |_, query| vec![answered(query, 0x0002)]);
    serve(good, |_, query| {
        assert_eq!(query[2..4], [1, 0], "recursion is asked for");
        vec![answered(query, 0x0080)]
    });
    let asked = |servers: &[SocketAddr], deadline| {
        let resolvers = Resolvers::given(servers.to_vec());
        async move { resolvers.ask(&question().name, Type::A, deadline).await }
    };
    let reply = asked(&[unable_at, good_at], soon()).await.expect("an answer");
    assert!(reply.recursion_available);
    let reply = asked(&[silent_at, good_at], Instant::now() + Duration::from_secs(4)).await.expect("an answer");
    assert!(reply.recursion_available, "a silent one takes half of the time at most");
    assert_eq!(asked(&[unable_at], soon()).await.expect("an answer").rcode, Rcode::SERVFAIL);
    let error = asked(&[silent_at, silent_at], Instant::now() + Duration::from_millis(300)).await.expect_err("silence").to_string();
    assert_eq!(error.matches(&silent_at.to_string()).count(), 2, "{error}");
    drop(silent);
}
