//! The name server as its clients see it: real sockets, and the resolvers' own tools (Debian: dnsutils, knot-dnsutils).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail by a panic")]

#[path = "dns/certificates.rs"]
mod certificates;
#[path = "dns/conformance.rs"]
mod conformance;
#[path = "dns/defence.rs"]
mod defence;
#[path = "lab/faketime.rs"]
mod faketime;
#[path = "dns/overheard.rs"]
mod overheard;
#[path = "dns/records.rs"]
mod records;
#[path = "dns/updates.rs"]
mod updates;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use fourward::config::{Dns, Public};
use fourward::dns::{self, Counters, DnsError};
use fourward::listener::BindError;
use fourward_core::answer::Transport;
use fourward_core::change::Change;
use fourward_core::host::{Digest, JoinSecret};
use fourward_core::name::{DnsName, HostName};
use fourward_core::policy::Policy;
use fourward_core::state::State;
use jiff::Timestamp;
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

const ZONE: &str = "dyn.example.org";
const OTHER: &str = "home.test";
const HOME: &str = "2001:db8:1::11";

/// Longer than any test takes, shorter than anybody's patience.
const PATIENCE: Duration = Duration::from_secs(5);

fn name(text: &str) -> DnsName {
    text.parse().expect("a name")
}

fn host(label: &str) -> HostName {
    HostName::new(label, name(ZONE)).expect("a host")
}

fn settings(listen: &[&str]) -> Dns {
    let listen = listen.iter().map(|address| address.parse().expect("an address")).collect();
    Dns {
        zones: vec![name(ZONE), name(OTHER)],
        listen,
        ttl: 60,
        nameservers: vec![name("gw.dyn.example.org")],
        rate_limit: 0,
        keys: Vec::new(),
        secondaries: Vec::new(),
        dnssec: None,
    }
}

fn public() -> Public {
    let (ipv4, ipv6) = (vec![Ipv4Addr::new(192, 0, 2, 11)], vec!["2001:db8:a::11".parse().expect("v6")]);
    Public { ipv4, ipv6, name: name("gw.dyn.example.org") }
}

/// A name server that runs for as long as this lives.
struct Server {
    addresses: Vec<SocketAddr>,
    states: watch::Sender<Arc<State>>,
    running: JoinHandle<Result<(), DnsError>>,
    counters: Counters,
    _stop: DropGuard,
}

impl Server {
    fn start(listen: &[&str]) -> Self {
        Self::with(listen, 0)
    }

    fn with(listen: &[&str], rate_limit: u32) -> Self {
        let dns = Dns { rate_limit, ..settings(listen) };
        let sockets = dns::bind(&dns, []).expect("free ports");
        let counters = sockets.counters();
        let addresses = sockets.addresses().to_vec();
        let (states, watched) = watch::channel(Arc::new(State::default()));
        let cancel = CancellationToken::new();
        let running = tokio::spawn(dns::run(sockets, dns::settings(&dns, &public()), watched, [7; 32], cancel.clone()));
        let server = Self { addresses, states, running, counters, _stop: cancel.drop_guard() };
        server.apply(&Change::Serve { zone: name(ZONE), apex: Digest([0; 32]), at: Timestamp::from_second(1_000).expect("a time") });
        let join = JoinSecret { secret: Digest([1; 32]), expires: Timestamp::UNIX_EPOCH, spent_by: None };
        for label in ["cloud", "away"] {
            server.apply(&Change::Add { host: host(label), edits: Vec::new(), join, update: Digest([2; 32]), reuse: false });
        }
        server.move_to(HOME);
        server
    }

    fn on_loopback() -> Self {
        Self::start(&["127.0.0.1:0", "[::1]:0"])
    }

    fn apply(&self, change: &Change) {
        self.states.send_modify(|state| drop(Arc::make_mut(state).apply(change, &Policy::default()).expect("a good change")));
    }

    fn move_to(&self, address: &str) {
        let address = address.parse().expect("v6");
        self.apply(&Change::Move { host: host("cloud"), address, at: Timestamp::UNIX_EPOCH });
    }

    fn set(&self, label: &str, edits: &[&str]) {
        let edits = edits.iter().map(|edit| edit.parse().expect("an edit")).collect();
        self.apply(&Change::Set { host: host(label), edits });
    }

    fn challenge(&self, values: impl IntoIterator<Item = String>) {
        let before = self.states.borrow().host(&host("cloud")).expect("there").challenge.clone();
        self.apply(&Change::Challenge { host: host("cloud"), before, values: values.into_iter().collect() });
    }

    /// What `tool` prints about a question to this server.
    fn tool(&self, tool: &str, arguments: &str) -> String {
        let at = self.addresses[0];
        let output = Command::new(tool)
            .args([format!("@{}", at.ip()), format!("-p{}", at.port())])
            .args(arguments.split_whitespace())
            .output()
            .unwrap_or_else(|error| panic!("{tool}: {error}; it is in dnsutils or knot-dnsutils"));
        String::from_utf8(output.stdout).expect("text")
    }

    /// dig, asking once and without recursion.
    fn dig(&self, arguments: &str) -> String {
        self.tool("dig", &format!("+norec +tries=1 +time=5 +nocookie {arguments}"))
    }

    /// Only the data of the answer's records, sorted.
    fn short(&self, arguments: &str) -> Vec<String> {
        let mut lines: Vec<String> = self.dig(&format!("+short {arguments}")).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Answers that were held back or cut.
    fn limited(&self) -> u64 {
        self.counters.sums(Transport::Udp).limited
    }

    fn udp(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a client");
        socket.connect(self.addresses[0]).expect("loopback");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket
    }

    fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addresses[0]).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }
}

/// The AAAA of cloud, asked for with `id`.
fn question(id: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend(b"\0\0\0\x01\0\0\0\0\0\0\x05cloud\x03dyn\x07example\x03org\0\0\x1c\0\x01");
    message
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).expect("short").to_be_bytes(), message].concat()
}

fn read_framed(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("a length");
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message).expect("a message");
    message
}

/// Whether the server ended the connection, which may show as a reset.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 16]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[track_caller]
fn holds(text: &str, wanted: &[&str]) {
    for one in wanted {
        assert!(text.contains(one), "{one:?} is missing in:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figure_is_what_every_tool_is_told() {
    let server = Server::on_loopback();
    for transport in ["+notcp", "+tcp"] {
        let short = |what: &str| server.short(&format!("{transport} {what}"));
        assert_eq!(short("cloud.dyn.example.org A"), ["192.0.2.11"]);
        assert_eq!(short("cloud.dyn.example.org AAAA"), [HOME]);
        assert_eq!(short("cloud-ip6only.dyn.example.org AAAA"), [HOME]);
        assert_eq!(short("gw.dyn.example.org A"), ["192.0.2.11"]);
        assert_eq!(short("gw.dyn.example.org AAAA"), ["2001:db8:a::11"]);
        assert_eq!(short("dyn.example.org NS"), ["gw.dyn.example.org."]);
        // Served once, two hosts added, one of them moved.
        assert_eq!(short("dyn.example.org SOA"), ["gw.dyn.example.org. hostmaster.dyn.example.org. 1003 14400 3600 604800 60"]);
    }
    let kdig = server.tool("kdig", "+norec cloud.dyn.example.org AAAA");
    holds(&kdig, &["status: NOERROR", "Flags: qr aa;", HOME]);
    let delv = server.tool("delv", "-i +short cloud.dyn.example.org AAAA");
    assert_eq!(delv.trim(), HOME);
    let port = server.addresses[0].port().to_string();
    let output = Command::new("host").args(["-p", &port, "cloud.dyn.example.org", "127.0.0.1"]).output().expect("host is in dnsutils");
    let output = String::from_utf8(output.stdout).expect("text");
    holds(&output, &["has address 192.0.2.11", &format!("has IPv6 address {HOME}")]);
    assert!(!output.contains("rror") && !output.contains("not found"), "its question for MX is no error: {output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv6_is_served_like_ipv4() {
    let server = Server::on_loopback();
    let client = UdpSocket::bind("[::1]:0").expect("a client");
    client.connect(server.addresses[1]).expect("loopback");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client.send(&question(7)).expect("sent");
    let mut reply = [0; 512];
    let length = client.recv(&mut reply).expect("an answer");
    assert_eq!(reply[..2], [0, 7]);
    let address: std::net::Ipv6Addr = HOME.parse().expect("v6");
    assert_eq!(reply[..length].last_chunk::<16>(), Some(&address.octets()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_type_is_not_no_such_name() {
    let server = Server::on_loopback();
    let soa = "dyn.example.org.\t60\tIN\tSOA";
    for nodata in
        ["cloud-ip6only.dyn.example.org A", "away-ip6only.dyn.example.org AAAA", "away.dyn.example.org AAAA", "cloud.dyn.example.org MX"]
    {
        holds(&server.dig(nodata), &["status: NOERROR", "flags: qr aa;", "ANSWER: 0, AUTHORITY: 1", soa]);
    }
    for absent in
        ["x.dyn.example.org A", "x-ip6only.dyn.example.org A", "x.cloud.dyn.example.org A", "_acme-challenge.cloud.dyn.example.org TXT"]
    {
        holds(&server.dig(absent), &["status: NXDOMAIN", "flags: qr aa;", "ANSWER: 0, AUTHORITY: 1", soa]);
    }
    holds(&server.dig(r"x\.cloud.dyn.example.org A"), &["status: NXDOMAIN"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_is_refused_and_what_is_not_done_is_said() {
    let server = Server::on_loopback();
    let empty = "ANSWER: 0, AUTHORITY: 0";
    for transport in ["+notcp", "+tcp"] {
        let dig = |what: &str| server.dig(&format!("{transport} {what}"));
        holds(&dig("www.example.org A"), &["status: REFUSED", "flags: qr;", empty]);
        holds(&dig(". NS"), &["status: REFUSED", empty]);
        holds(&dig("version.bind CH TXT"), &["status: REFUSED", empty]);
        holds(&dig("+opcode=notify dyn.example.org SOA"), &["opcode: NOTIFY, status: NOTIMP", empty]);
        holds(&dig("+opcode=update dyn.example.org SOA"), &["opcode: UPDATE, status: NOTIMP", empty]);
        holds(&dig("+edns=1 +noednsneg dyn.example.org SOA"), &["status: BADVERS", "EDNS: version: 0, flags:; udp: 1232", empty]);
        holds(&dig("+header-only"), &["status: FORMERR", "QUERY: 0"]);
    }
    holds(&server.dig("dyn.example.org AXFR"), &["Transfer failed"]);
    holds(&server.dig("+tcp dyn.example.org IXFR=1"), &["Transfer failed"]);
    let (client, mut ixfr, mut reply) = (server.udp(), question(9), [0; 512]);
    let kind = ixfr.len() - 4;
    ixfr[kind..kind + 2].copy_from_slice(&251_u16.to_be_bytes());
    client.send(&ixfr).expect("sent");
    client.recv(&mut reply).expect("an answer");
    assert_eq!(reply[3] & 0xF, 5, "refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn edns_case_recursion_and_any_are_as_the_rfcs_want() {
    let server = Server::on_loopback();
    holds(&server.dig("+dnssec cloud.dyn.example.org A"), &["EDNS: version: 0, flags: do; udp: 1232"]);
    assert!(!server.dig("+noedns cloud.dyn.example.org A").contains("EDNS"));
    holds(&server.dig("+ednsopt=65001:beef cloud.dyn.example.org A"), &["status: NOERROR"]);
    holds(&server.dig("+rec +adflag +cdflag cloud.dyn.example.org A"), &["flags: qr aa rd;"]);
    holds(&server.dig("cLoUd.DYN.example.oRg A"), &[";cLoUd.DYN.example.oRg.", "\ncLoUd.DYN.example.oRg."]);
    for transport in ["+notcp", "+tcp"] {
        holds(&server.dig(&format!("{transport} cloud.dyn.example.org ANY")), &["ANSWER: 1,", "\tA\t192.0.2.11"]);
        holds(&server.dig(&format!("{transport} dyn.example.org ANY")), &["ANSWER: 1,", "\tSOA\t"]);
    }
    let ns = server.dig("dyn.example.org NS");
    holds(&ns, &["gw.dyn.example.org.\t60\tIN\tA\t192.0.2.11", "gw.dyn.example.org.\t60\tIN\tAAAA\t2001:db8:a::11"]);
    let malformed = server.dig("+qr cloud.dyn.example.org AAAA");
    assert!(!malformed.contains("WARNING") && !malformed.contains("malformed"), "{malformed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_a_datagram_comes_by_tcp() {
    let server = Server::on_loopback();
    server.challenge((0..30).map(|at| format!("{at:043}")));
    let txt = "_acme-challenge.cloud.dyn.example.org TXT";
    for size in ["+noedns", "+bufsize=512", "+bufsize=4096"] {
        let truncated = server.dig(&format!("+ignore {size} {txt}"));
        holds(&truncated, &["flags: qr aa tc;", "ANSWER: 0, AUTHORITY: 0"]);
        assert_eq!(server.short(&format!("{size} {txt}")).len(), 30, "dig asks again by TCP");
    }
    server.challenge((0..8).map(|at| format!("{at:043}")));
    holds(&server.dig(&format!("+ignore +bufsize=1232 {txt}")), &["flags: qr aa;", "ANSWER: 8,"]);
    server.challenge([]);
    holds(&server.dig(txt), &["status: NXDOMAIN"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_seen_by_the_very_next_question() {
    let server = Server::on_loopback();
    let (client, mut reply) = (server.udp(), [0; 512]);
    for at in 0..100_u8 {
        let address = format!("2001:db8:2::{at:x}");
        server.move_to(&address);
        client.send(&question(at.into())).expect("sent");
        let length = client.recv(&mut reply).expect("an answer");
        let address: std::net::Ipv6Addr = address.parse().expect("v6");
        assert_eq!(reply[..length].last_chunk::<16>(), Some(&address.octets()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_comes_from_the_address_that_was_asked() {
    let server = Server::start(&["0.0.0.0:0"]);
    let port = server.addresses[0].port();
    for address in ["127.0.0.1", "127.0.0.2", "127.4.5.6"] {
        let client = UdpSocket::bind("127.0.0.1:0").expect("a client");
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let asked: SocketAddr = format!("{address}:{port}").parse().expect("an address");
        client.send_to(&question(1), asked).expect("sent");
        let (_, from) = client.recv_from(&mut [0; 512]).expect("an answer");
        assert_eq!(from, asked);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_wildcards_share_one_port() {
    let v4 = Server::start(&["0.0.0.0:0"]);
    let v6 = format!("[::]:{}", v4.addresses[0].port());
    assert!(dns::bind(&settings(&[&v6]), []).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_that_the_kernel_joins_are_answered_one_by_one() {
    let server = Server::on_loopback();
    // TCP is served last: from then on every datagram finds the socket set up.
    assert_eq!(server.short("+tcp cloud.dyn.example.org AAAA"), [HOME]);
    let client = server.udp();
    let state = UdpSocketState::new(UdpSockRef::from(&client)).expect("a socket");
    client.set_nonblocking(false).expect("a blocking socket");
    let questions: Vec<u8> = (0..10).flat_map(question).collect();
    let transmit =
        Transmit { destination: server.addresses[0], ecn: None, contents: &questions, segment_size: Some(question(0).len()), src_ip: None };
    state.try_send(UdpSockRef::from(&client), &transmit).expect("sent");
    let mut ids = BTreeSet::new();
    let mut reply = [0; 65_535];
    while ids.len() < 10 {
        let length = client.recv(&mut reply).expect("an answer");
        // An AAAA record takes 28 bytes. Answers of one size may be joined on the way back as well.
        let each = question(0).len() + 28;
        assert_eq!(length % each, 0, "{length}");
        ids.extend(reply[..length].chunks(each).map(|one| one[1]));
    }
    assert_eq!(ids, (0..10).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_questions_on_one_connection_are_answered_in_order() {
    let server = Server::on_loopback();
    let mut stream = server.tcp();
    let all: Vec<u8> = (0..100).flat_map(|id| framed(&question(id))).collect();
    stream.write_all(&all).expect("sent");
    for id in 0..100_u16 {
        assert_eq!(read_framed(&mut stream)[..2], id.to_be_bytes());
    }
    let keepopen = server.tool("kdig", "+norec +tcp +keepopen cloud.dyn.example.org AAAA cloud.dyn.example.org A");
    holds(&keepopen, &[HOME, "192.0.2.11"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_may_come_byte_by_byte() {
    let server = Server::on_loopback();
    let mut stream = server.tcp();
    stream.set_nodelay(true).expect("no delay");
    for byte in framed(&question(5)) {
        stream.write_all(&[byte]).expect("sent");
    }
    assert_eq!(read_framed(&mut stream)[..2], [0, 5]);
    stream.shutdown(std::net::Shutdown::Write).expect("half closed");
    assert!(is_closed(&mut stream), "who is done is let go");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_harms_nobody() {
    let server = Server::on_loopback();
    let client = server.udp();
    let mut noise = 1_u32;
    let mut random = || {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        noise.to_be_bytes()[0]
    };
    for length in (0..1_200).step_by(7) {
        let bytes: Vec<u8> = (0..length).map(|_| random()).collect();
        client.send(&bytes).expect("sent");
    }
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\0\0", b"\0\x05hello", b"\xff\xff", b"\x16\x03\x01\x02\0\x01\0"] {
        let mut stream = server.tcp();
        stream.write_all(garbage).expect("sent");
        stream.shutdown(std::net::Shutdown::Write).expect("half closed");
        assert!(is_closed(&mut stream), "{garbage:?}");
    }
    assert_eq!(server.short("cloud.dyn.example.org AAAA"), [HOME]);
    assert!(!server.running.is_finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_cannot_hold_all_connections_nor_stop_udp() {
    let server = Server::on_loopback();
    let mut held: Vec<TcpStream> = (0..200).map(|_| server.tcp()).collect();
    assert!(is_closed(&mut held[0]), "the oldest gave way");
    let last = held.last_mut().expect("many");
    last.write_all(&framed(&question(2))).expect("sent");
    assert_eq!(read_framed(last)[..2], [0, 2], "a newcomer has its chance");
    assert_eq!(server.short("cloud.dyn.example.org AAAA"), [HOME]);
    let mut elsewhere = socket_from(Ipv4Addr::new(127, 0, 0, 9), server.addresses[0]);
    elsewhere.write_all(&framed(&question(3))).expect("sent");
    assert_eq!(read_framed(&mut elsewhere)[..2], [0, 3], "others are served");
    drop(held);
}

/// However busy they keep their connections: eight networks could else have all of them, for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_few_networks_cannot_keep_all_connections_from_the_others() {
    let server = Server::on_loopback();
    let from = |network: u8| socket_from(Ipv4Addr::new(127, 0, 1, network), server.addresses[0]);
    let ask = |stream: &mut TcpStream, id: u16| stream.write_all(&framed(&question(id))).map(|()| is_served(stream, id));
    let mut held: Vec<TcpStream> = (0..512_u16).map(|at| from((at % 8) as u8)).collect();
    held.iter_mut().enumerate().for_each(|(at, stream)| assert!(ask(stream, at as u16).is_ok_and(|served| served)));
    for newcomer in 100..120 {
        assert!(ask(&mut from(newcomer), 1).is_ok_and(|served| served), "newcomer {newcomer}");
    }
    let left = held.iter_mut().filter_map(|stream| ask(stream, 9).ok()).filter(|served| *served).count();
    assert!((480..512).contains(&left), "{left} of 512 are left");
}

/// Whether the answer to `id` comes.
fn is_served(stream: &mut TcpStream, id: u16) -> bool {
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).is_ok() && answer[2..] == id.to_be_bytes() && {
        let mut rest = vec![0; usize::from(u16::from_be_bytes([answer[0], answer[1]])) - 2];
        stream.read_exact(&mut rest).is_ok()
    }
}

fn socket_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(from.into(), 0).into()).expect("loopback");
    socket.connect(&to.into()).expect("connected");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_an_error_that_says_by_whom() {
    let server = Server::on_loopback();
    let taken = dns::bind(&settings(&[&server.addresses[0].to_string()]), []).expect_err("taken");
    let DnsError::Bind(BindError::Taken { holder: Some(holder), .. }) = &taken else { panic!("{taken:?}") };
    assert_eq!(holder.pid, Some(std::process::id()));
    holds(&taken.to_string(), &["dns.listen", &server.addresses[0].to_string(), &holder.program, &std::process::id().to_string()]);

    // UDP alone, as systemd-resolved without its TCP half would have it.
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let at = udp.local_addr().expect("bound").to_string();
    let taken = dns::bind(&settings(&[&at]), []).expect_err("taken");
    holds(&taken.to_string(), &["UDP", &at, &std::process::id().to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_told_and_frees_its_ports() {
    let Server { addresses, running, _stop, .. } = Server::on_loopback();
    drop(_stop);
    tokio::time::timeout(PATIENCE, running).await.expect("in time").expect("no panic").expect("no error");
    let listen: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let listen: Vec<&str> = listen.iter().map(String::as_str).collect();
    assert!(dns::bind(&settings(&listen), []).is_ok());
}
