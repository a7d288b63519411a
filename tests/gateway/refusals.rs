//! What is not carried is refused at once, in the client's own protocol, and disturbs nobody.

use std::time::{Duration, Instant};

use fourward::gateway::Protocol;
use tokio::io::AsyncWriteExt;

use crate::rig::{OWN, Rig, ZONE, answer, assert_alive, config, hello, hello_with, take, until, within};

const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// "At once": no timeout of anybody's is near.
const AT_ONCE: Duration = Duration::from_secs(3);

async fn http(rig: &Rig, request: &str) -> String {
    let began = Instant::now();
    let answer = answer(rig.client(Protocol::Http, request.as_bytes()).await).await;
    assert!(began.elapsed() < AT_ONCE, "{:?} for {request:?}", began.elapsed());
    String::from_utf8(answer).expect("text")
}

async fn tls(rig: &Rig, hello: &[u8]) -> Vec<u8> {
    let began = Instant::now();
    let answer = answer(rig.client(Protocol::Tls, hello).await).await;
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    answer
}

#[tokio::test]
async fn an_unknown_name_is_unrecognized() {
    let rig = Rig::start().await;
    for name in ["nobody.dyn.example.org", "example.com", "cloud-ip6only.dyn.example.org", "still-ip6only.dyn.example.org", ZONE] {
        assert_eq!(tls(&rig, &hello(name)).await, UNRECOGNIZED_NAME, "{name}");
        let page = http(&rig, &format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n")).await;
        assert!(page.starts_with("HTTP/1.1 404 ") && page.contains(name), "{page}");
    }
    assert_eq!(rig.traffic.counts().unknown, 10);
}

#[tokio::test]
async fn a_home_that_is_away_is_said_to_be_at_once() {
    let rig = Rig::start().await;
    // No address, an address without a link, and a fixed address where nobody listens.
    let _silent = rig.link(&crate::rig::host("nas")).silent.send_replace(true);
    for label in ["gone", "cloud", "nas"] {
        assert_eq!(tls(&rig, &hello(&format!("{label}.{ZONE}"))).await, INTERNAL_ERROR, "{label}");
        let page = http(&rig, &format!("GET / HTTP/1.1\r\nHost: {label}.{ZONE}\r\n\r\n")).await;
        assert!(page.starts_with("HTTP/1.1 503 ") && page.contains("\r\nRetry-After: "), "{page}");
    }
    assert_eq!(rig.traffic.counts().away, 6);
    let Rig { home, .. } = &rig;
    assert!(home.local_addr().is_ok());
}

#[tokio::test]
async fn a_service_that_does_not_run_is_away_too() {
    let mut rig = Rig::start().await;
    // The port stays taken by nobody: the listener that had it is closed.
    rig.home = tokio::net::TcpListener::bind((crate::rig::HERE, 0)).await.expect("another port");
    let _link = rig.link_at(&crate::rig::host("cloud"), crate::rig::HERE);
    for label in ["still", "cloud"] {
        assert_eq!(tls(&rig, &hello(&format!("{label}.{ZONE}"))).await, INTERNAL_ERROR, "{label}");
    }
}

#[tokio::test]
async fn names_that_are_none_are_refused_and_others_served() {
    let rig = Rig::start().await;
    let long = [b"a".repeat(296), b".org".to_vec()].concat();
    for name in [&b"still\0.dyn.example.org"[..], b"127.0.0.1", b"::1", b"", &long, b"\xff"] {
        assert_eq!(tls(&rig, &hello_with(name)).await, UNRECOGNIZED_NAME, "{name:?}");
    }
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: still.dyn.example.org\r\nHost: b.org\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "400"),
        ("CONNECT still.dyn.example.org:80 HTTP/1.1\r\nHost: still.dyn.example.org\r\n\r\n", "400"),
    ] {
        assert!(http(&rig, request).await.starts_with(&format!("HTTP/1.1 {status} ")), "{request}");
    }
    let (mut client, mut home) = rig.relayed("still").await;
    assert_alive(&mut client, &mut home).await;
}

#[tokio::test]
async fn an_answer_survives_an_upload_that_nobody_reads() {
    let rig = Rig::start().await;
    let mut request = b"PUT / HTTP/1.1\r\nHost: nobody.example.org\r\nContent-Length: 100000\r\n\r\n".to_vec();
    request.extend([0; 100_000]);
    let page = answer(rig.client(Protocol::Http, &request).await).await;
    assert!(page.starts_with(b"HTTP/1.1 404 "), "{page:?}");
}

#[tokio::test]
async fn other_protocols_are_closed_without_a_word() {
    let rig = Rig::start().await;
    for (protocol, bytes) in [
        (Protocol::Tls, &b"GET / HTTP/1.1\r\nHost: still.dyn.example.org\r\n\r\n"[..]),
        (Protocol::Tls, b"SSH-2.0-OpenSSH\r\n"),
        (Protocol::Tls, b"\0\0\0\0"),
        (Protocol::Http, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        (Protocol::Http, b"EHLO example.org\r\n"),
    ] {
        assert_eq!(answer(rig.client(protocol, bytes).await).await, b"", "{bytes:?}");
    }
    assert_eq!(rig.traffic.counts().foreign, 5);
}

#[tokio::test]
async fn half_hellos_end_at_the_deadline_and_hold_nobody_up() {
    let mut config = config();
    config.timeouts.hello = Duration::from_secs(2);
    let rig = Rig::with(config, fourward::leases::Leases::new(Instant::now())).await;
    let hello = hello(&format!("still.{ZONE}"));
    let began = Instant::now();
    let mut slow = tokio::task::JoinSet::new();
    for count in 0..200_usize {
        let mut client = rig.client(Protocol::Tls, &hello[..count]).await;
        let hello = hello.clone();
        slow.spawn(async move {
            let (mut from, mut to) = client.split();
            let drip = async {
                for byte in hello.iter().skip(count).take(200) {
                    to.write_all(&[*byte]).await?;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Ok::<_, std::io::Error>(())
            };
            let mut got = [0; 1];
            tokio::select! {
                read = tokio::io::AsyncReadExt::read(&mut from, &mut got) => assert!(matches!(read, Ok(0) | Err(_)), "{read:?}"),
                broken = drip => assert!(broken.is_err(), "dripped for seconds"),
            }
        });
    }
    until("all were taken", || rig.traffic.counts().total == 200).await;
    let (mut client, mut home) = rig.relayed("still").await;
    assert_alive(&mut client, &mut home).await;
    while let Some(ended) = within(slow.join_next()).await {
        ended.expect("closed without a word");
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(rig.traffic.counts().silent, 200);
    assert_alive(&mut client, &mut home).await;
}

#[tokio::test]
async fn own_names_are_handed_over_with_what_was_read() {
    let mut rig = Rig::start().await;
    let hello = hello(OWN);
    for v6 in [false, true] {
        let mut client = if v6 { rig.client_v6(Protocol::Tls, &hello).await } else { rig.client(Protocol::Tls, &hello).await };
        let mut own = within(rig.own.recv()).await.expect("handed over");
        assert_eq!((own.read, own.peer), (hello.clone(), client.local_addr().expect("address")));
        own.stream.write_all(b"hello yourself").await.expect("sent");
        assert_eq!(take(&mut client, 14).await, b"hello yourself");
    }
    let _first = rig.client(Protocol::Tls, &hello).await;
    until("the queue is full", || rig.own.len() == 1).await;
    assert_eq!(tls(&rig, &hello).await, b"", "closed, not kept waiting");
    assert_eq!(rig.traffic.counts().busy, 1);
}

#[tokio::test]
async fn an_authority_s_question_to_our_own_name_is_handed_over_and_is_no_home_s() {
    let mut rig = Rig::start().await;
    let question = format!("GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: {OWN}\r\n\r\n");
    for v6 in [false, true] {
        let bytes = question.as_bytes();
        let _client = if v6 { rig.client_v6(Protocol::Http, bytes).await } else { rig.client(Protocol::Http, bytes).await };
        let own = within(rig.own.recv()).await.expect("handed over");
        assert_eq!((own.protocol, own.read), (Protocol::Http, question.clone().into_bytes()));
    }
}

#[tokio::test]
async fn own_names_redirect_to_https() {
    let rig = Rig::start().await;
    let page = http(&rig, &format!("GET /hosts?x=y HTTP/1.1\r\nHost: {OWN}\r\n\r\n")).await;
    assert!(page.starts_with("HTTP/1.1 308 "), "{page}");
    assert!(page.contains(&format!("\r\nLocation: https://{OWN}")) && page.contains("/hosts?x=y\r\n"), "{page}");
}

#[tokio::test]
async fn over_ipv6_the_gateway_carries_nobody() {
    let rig = Rig::start().await;
    let alert = answer(rig.client_v6(Protocol::Tls, &hello(&format!("still.{ZONE}"))).await).await;
    assert_eq!(alert, INTERNAL_ERROR);
    let page = answer(rig.client_v6(Protocol::Http, b"GET / HTTP/1.1\r\nHost: still.dyn.example.org\r\n\r\n").await).await;
    assert!(page.starts_with(b"HTTP/1.1 421 "));
    let page = answer(rig.client_v6(Protocol::Http, format!("GET / HTTP/1.1\r\nHost: {OWN}\r\n\r\n").as_bytes()).await).await;
    assert!(page.starts_with(b"HTTP/1.1 308 "));
}
