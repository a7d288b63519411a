//! Who asks how gets what: every way to ask for a zone, with every key, from every address, by both transports; and the tools of resolvers' makers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fourward_core::name::DnsName;
use fourward_core::tsig::{Algorithm, Signature};
use fourward_core::wire::Type;
use socket2::{Domain, Socket, Type as Kind};

use super::primary::{OTHER_KEY, Primary, name, records, said, secondary};
use super::{KEY, SECRET, ZONE, until};

/// The address of the secondary without a key; nobody listens there.
const LISTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const UNLISTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// As good as [`SECRET`], and not it.
const WRONG: &str = "d3JvbmcgIHdyb25nICB3cm9uZyAgd3JvbmcgIHdyb25nICA=";

const REFUSED: u8 = 5;
const NOTAUTH: u8 = 9;

/// RFC 8914 §4.19.
const PROHIBITED: u16 = 18;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Tcp,
    Udp,
}

async fn primary() -> Primary {
    let nobody = SocketAddr::from(([127, 0, 0, 9], 9));
    Primary::start(vec![secondary((LISTED, 9).into(), None), secondary(nobody, Some(KEY))]).await
}

/// A question for `zone`, with EDNS; of an IXFR, since `serial`.
fn question(zone: &str, kind: Type, serial: Option<u32>) -> Vec<u8> {
    let mut message = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, u8::from(serial.is_some()), 0, 1];
    zone.split('.').for_each(|label| message.extend([&[label.len() as u8], label.as_bytes()].concat()));
    message.extend([&[0][..], &kind.0.to_be_bytes(), &[0, 1]].concat());
    if let Some(serial) = serial {
        message.extend([0xC0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0]);
        message.extend(serial.to_be_bytes());
        message.extend([0; 16]);
    }
    message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    message
}

fn mac(secret: &str, covered: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(secret).expect("base64"));
    hmac::sign(&key, covered).as_ref().to_vec()
}

fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).expect("after 1970")
}

/// The first message of the answer to `message`, sent from `from`; `None` where there is none.
fn ask(by: By, from: Ipv4Addr, to: SocketAddr, message: &[u8]) -> Option<Vec<u8>> {
    let patience = Some(Duration::from_secs(5));
    match by {
        By::Udp => {
            let socket = UdpSocket::bind((from, 0)).expect("bound");
            socket.set_read_timeout(patience).expect("set");
            socket.send_to(message, to).expect("sent");
            let mut answer = vec![0; 65_535];
            let length = socket.recv(&mut answer).ok()?;
            answer.truncate(length);
            Some(answer)
        }
        By::Tcp => {
            let socket = Socket::new(Domain::IPV4, Kind::STREAM, None).expect("a socket");
            socket.bind(&SocketAddr::from((from, 0)).into()).expect("bound");
            socket.connect(&to.into()).expect("connected");
            let mut stream = TcpStream::from(socket);
            stream.set_read_timeout(patience).expect("set");
            stream.write_all(&[&(message.len() as u16).to_be_bytes()[..], message].concat()).expect("sent");
            let mut length = [0; 2];
            stream.read_exact(&mut length).ok()?;
            let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut answer).ok()?;
            Some(answer)
        }
    }
}

/// Its code, how many records it has, and what else it says of an error.
fn told(answer: &[u8]) -> (u8, u16, Option<u16>) {
    let error = answer.windows(6).find(|window| window[..4] == [0, 15, 0, 2]).map(|window| u16::from_be_bytes([window[4], window[5]]));
    (answer[3] & 0xF, u16::from_be_bytes([answer[6], answer[7]]), error)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_a_zone_who_should_not() {
    let primary = primary().await;
    primary.churn(0, 20).await;
    let since = primary.serial().0 - 5;
    let keys = [None, Some((KEY, SECRET)), Some((OTHER_KEY, SECRET)), Some((KEY, WRONG)), Some(("nobody", SECRET))];
    for (by, from, kind) in [By::Tcp, By::Udp].into_iter().flat_map(|by| {
        [LISTED, UNLISTED].into_iter().flat_map(move |from| [Type::AXFR, Type::IXFR].into_iter().map(move |kind| (by, from, kind)))
    }) {
        for key in keys {
            let mut message = question(ZONE, kind, (kind == Type::IXFR).then_some(since));
            let signed = key.map(|(key, secret)| {
                Signature::request(&name(key), Algorithm::HmacSha256, &mut message, now(), |covered| mac(secret, covered))
            });
            let answer = ask(by, from, primary.address, &message).expect("an answer");
            let told = told(&answer);
            let case = format!("{by:?} {from} {} {key:?}: {told:?}", kind.0);
            let may = key == Some((KEY, SECRET)) || from == LISTED && matches!(key, None | Some((OTHER_KEY, _)));
            let is_bad = matches!(key, Some((_, WRONG) | ("nobody", _)));
            match (by, kind) {
                _ if is_bad => assert_eq!((told.0, told.1), (NOTAUTH, 0), "{case}"),
                (By::Tcp, _) if may => assert!(told.0 == 0 && told.1 > 10, "{case}"),
                (By::Udp, Type::IXFR) if may => assert_eq!(told, (0, 1, None), "{case}: the one start of authority"),
                _ => assert_eq!(told, (REFUSED, 0, Some(PROHIBITED)), "{case}"),
            }
            let Some(signed) = signed.filter(|_| !is_bad) else { continue };
            let is_of = |_: &DnsName, _, covered: &[u8], given: &[u8]| Some(mac(SECRET, covered) == given);
            assert_eq!(signed.verify_answer(&answer, now(), is_of), Ok(()), "{case}: the answer is signed with the same key");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_good_question_is_told_so() {
    let primary = primary().await;
    let serial = primary.serial().0;
    let tcp = |message: &[u8]| told(&ask(By::Tcp, LISTED, primary.address, message).expect("an answer"));
    assert_eq!(tcp(&question("example.org", Type::AXFR, None)).0, NOTAUTH, "another zone");
    assert_eq!(tcp(&question("cloud.dyn.example.org", Type::AXFR, None)).0, NOTAUTH, "no zone");
    assert_eq!(tcp(&question(ZONE, Type::IXFR, None)).0, 1, "since when?");
    assert_eq!(tcp(&question(ZONE, Type::IXFR, Some(serial))), (0, 1, None), "nothing new");
    assert_eq!(tcp(&question(ZONE, Type::IXFR, Some(serial + 5))), (0, 1, None), "a version that is to come");
    until("they are counted", || primary.given() == [0, 0, 2]).await;
    let mut version = question(ZONE, Type::AXFR, None);
    let at = version.len() - 5;
    version[at] = 1;
    // BADVERS has its upper bits in the OPT record.
    assert_eq!(tcp(&version).0, 0);
    assert_eq!(tcp(&question("DyN.eXample.ORG", Type::AXFR, None)).0, 0);
    until("it is counted", || primary.given() == [1, 0, 2]).await;
}

/// The same with kdig.
fn kdig(server: SocketAddr, arguments: &[&str]) -> String {
    let (at, port) = (format!("@{}", server.ip()), server.port().to_string());
    let output = Command::new("kdig").args([&at, "-p", &port, "+tcp", "+retry=0"]).args(arguments).output();
    String::from_utf8_lossy(&output.expect("kdig is in knot-dnsutils").stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn dig_and_kdig_have_the_zone_and_what_is_new() {
    let primary = primary().await;
    for at in 0..300 {
        primary.add(&format!("many{at}"), &[]).await;
    }
    let before = primary.serial().0;
    primary.moved("cloud", 1).await;
    primary.moved("cloud", 2).await;
    let (ours, key) = (primary.zone(), format!("hmac-sha256:{KEY}:{SECRET}"));
    assert!(ours.len() > 300 * 5, "{} records", ours.len());

    let text = said(primary.address, &["-y", &key, ZONE, "AXFR"]);
    let messages = text.split("(messages ").nth(1).and_then(|rest| rest.split(',').next()?.parse::<u32>().ok());
    assert!(messages.is_some_and(|messages| (5..60).contains(&messages)), "many records a message: {messages:?}");
    assert!(!text.contains("verify"), "each message is signed well: {text}");
    let by_kdig = records(&kdig(primary.address, &["-y", &key, ZONE, "AXFR"]));
    let serials = |records: &[String]| records.iter().filter(|record| record.split(' ').nth(3) == Some("SOA")).count();
    assert_eq!((by_kdig.len(), serials(&by_kdig)), (ours.len() + 1, 2), "all, and the start of authority at the end once more");

    let ixfr = |tool: &str, since: u32| {
        let kind = format!("IXFR={since}");
        let arguments = ["-y", &key, ZONE, &kind];
        let records = records(&if tool == "dig" { said(primary.address, &arguments) } else { kdig(primary.address, &arguments) });
        (serials(&records), records.iter().filter(|record| record.contains(" AAAA 2001:db8:1:")).count(), records.len())
    };
    for tool in ["dig", "kdig"] {
        let (starts, addresses, all) = ixfr(tool, before);
        // Two steps: the new version, of each the old and the new one, the new version. The first came, went, and the second came; at four names.
        assert_eq!((starts, addresses), (6, 3 * 4), "{tool}");
        assert!(all < 100, "{tool}: {all} records");
        assert_eq!(ixfr(tool, before + 2), (1, 0, 1), "{tool}: nothing new");
        assert_eq!(ixfr(tool, 1).0, 2, "{tool}: the whole zone, for a version that nobody remembers");
    }
    assert_eq!(primary.meter().broken(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_question_has_a_signed_answer_whatever_it_is() {
    let primary = primary().await;
    let key = format!("hmac-sha256:{KEY}:{SECRET}");
    for transport in ["+notcp", "+tcp"] {
        for (of, kind, expected) in
            [(ZONE, "SOA", "NOERROR"), ("nothing.dyn.example.org", "A", "NXDOMAIN"), ("example.net", "A", "REFUSED")]
        {
            let text = said(primary.address, &[transport, "+dnssec", "-y", &key, of, kind]);
            assert!(text.contains(&format!("status: {expected}")) && text.contains("TSIG PSEUDOSECTION"), "{transport} {of}: {text}");
            assert!(!text.contains("WARNING") && !text.contains("verify"), "{transport} {of}: {text}");
        }
        let text = said(primary.address, &[transport, "-y", &format!("hmac-sha256:{KEY}:{WRONG}"), ZONE, "SOA"]);
        assert!(text.contains("status: NOTAUTH") && text.contains("BADSIG"), "{transport}: {text}");
    }
}
