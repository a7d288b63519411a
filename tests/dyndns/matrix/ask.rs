//! Asks by every way in, and tells in a word what was answered.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::rule::{Carrier, FORGED, Principal, Right, Speech, Way};
use crate::machines::{VPS4, ZONE};
use crate::raw::{PATIENCE, Raw, Reply, reply};
use crate::rig::{OWN, Rig, base64};
use crate::signed;

/// Requests from one address. More wrong passwords from there would be too many.
const OF_ONE: u32 = 9;

/// The home's machine has all addresses of this /16.
const SOURCES: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 0);

/// Who asks from the home's machine.
pub(super) struct Client {
    raw: Raw,
    sources: u32,
    kept: Option<(u32, StreamOwned<ClientConnection, TcpStream>)>,
}

/// What is to be written.
pub(super) struct Wish<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
    /// As a master file has it, and DNS.
    pub(super) data: &'a str,
    pub(super) wire: &'a [u8],
}

impl Client {
    pub(super) fn new(rig: &Rig) -> Self {
        rig.machines.home.ip(&format!("route add local {SOURCES}/16 dev lo"));
        rig.machines.vps.ip(&format!("route add {SOURCES}/16 via 192.0.2.4"));
        Self { raw: Raw::new(rig), sources: 0, kept: None }
    }

    /// The server begins anew: connections are gone.
    pub(super) fn forget(&mut self) {
        self.kept = None;
    }

    /// What `who`, by this secret, is answered.
    pub(super) fn ask(&mut self, rig: &Rig, who: &Principal, secret: &str, way: Way, wish: &Wish<'_>) -> String {
        let Way(carrier, speech) = way;
        match carrier {
            Carrier::Tls => word(&self.over_tls(rig, &request(who, secret, speech, wish))),
            Carrier::Closed | Carrier::Open => {
                let mut stream = self.tcp(rig, 80);
                stream.write_all(request(who, secret, speech, wish).as_bytes()).expect("sent");
                word(&reply(&mut stream))
            }
            Carrier::Tcp => {
                let message = message(who, secret, speech, wish);
                let mut stream = self.tcp(rig, 53);
                stream.write_all(&[&signed::length(&message), &message[..]].concat()).expect("sent");
                let mut length = [0; 2];
                stream.read_exact(&mut length).expect("an answer");
                let mut answer = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut answer).expect("an answer");
                code(&answer)
            }
            Carrier::Udp => {
                let source = self.source();
                let bound = rig.machines.home.thread(move || UdpSocket::bind((source, 0))).join();
                let socket = bound.expect("a thread").expect("an address of the home");
                socket.set_read_timeout(Some(PATIENCE)).expect("patience");
                socket.send_to(&message(who, secret, speech, wish), (VPS4, 53)).expect("sent");
                let mut answer = [0; 1232];
                let length = socket.recv(&mut answer).expect("an answer");
                code(&answer[..length])
            }
        }
    }

    fn over_tls(&mut self, rig: &Rig, request: &str) -> Reply {
        let (asked, mut stream) = match self.kept.take() {
            Some(kept) => kept,
            None => {
                let stream = self.tcp(rig, 443);
                (0, self.raw.over(stream))
            }
        };
        stream.write_all(request.as_bytes()).expect("sent");
        let reply = reply(&mut stream);
        self.kept = (asked + 1 < OF_ONE).then_some((asked + 1, stream));
        reply
    }

    /// A connection from an address that nobody came from before.
    fn tcp(&mut self, rig: &Rig, port: u16) -> TcpStream {
        let (from, to) = (SocketAddr::from((self.source(), 0)), SocketAddr::new(VPS4.parse().expect("an address"), port));
        let connected = rig.machines.home.thread(move || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&from.into())?;
            socket.connect(&to.into()).map(|()| TcpStream::from(socket))
        });
        let stream = connected.join().expect("a thread").expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("patience");
        stream.set_nodelay(true).expect("no delay");
        stream
    }

    fn source(&mut self) -> Ipv4Addr {
        self.sources += 1;
        assert!(self.sources < 0xFFFF, "all addresses of {SOURCES}/16 were used");
        Ipv4Addr::from(u32::from(SOURCES) + self.sources)
    }
}

/// The request, of HTTP.
fn request(who: &Principal, secret: &str, speech: Speech, wish: &Wish<'_>) -> String {
    let nobody = who.right == Right::Nothing;
    let (user, secret) = if nobody { ("", "") } else { (who.host, secret) };
    let Wish { name, kind, data, .. } = *wish;
    let data = data.trim_matches('"');
    let any = if kind == "TXT" { "txt" } else { "myip" };
    let (desec, dynv6) = match kind {
        "A" => ("myipv4", "ipv4"),
        "AAAA" => ("myipv6", "ipv6"),
        _ => ("txt", "txt"),
    };
    let header = |scheme: &str, secret: &str| if nobody { String::new() } else { format!("Authorization: {scheme} {secret}\r\n") };
    let (line, header, body) = match speech {
        Speech::Basic => {
            let basic = header("Basic", &base64(&format!("{user}:{secret}")));
            (format!("GET /nic/update?hostname={name}&{any}={data}"), basic, String::new())
        }
        Speech::Bearer => (format!("GET /v3/update?hostname={name}&{any}={data}"), header("Bearer", secret), String::new()),
        Speech::Token => (format!("PUT /v2/update?hostname={name}&{any}={data}"), header("Token", secret), String::new()),
        Speech::Query => {
            let line = format!("GET /update.php?hostname={name}&username={user}&password={secret}&{any}={data}");
            (line, String::new(), String::new())
        }
        Speech::Form => ("POST /nic/update".into(), String::new(), format!("hostname={name}&password={secret}&{any}={data}")),
        Speech::DeSec => {
            (format!("GET /update?username={user}&password={secret}&hostname={name}&{desec}={data}"), String::new(), String::new())
        }
        Speech::DynV6 => (format!("GET /api/update?token={secret}&zone={name}&{dynv6}={data}"), String::new(), String::new()),
        Speech::Delete => {
            let basic = header("Basic", &base64(&format!("{user}:{secret}")));
            (format!("GET /nic/delete?hostname={name}&{any}={data}"), basic, String::new())
        }
        Speech::AcmeDns => {
            let account = if nobody { String::new() } else { format!("X-Api-User: {user}\r\nX-Api-Key: {secret}\r\n") };
            let body = format!("{{\"subdomain\": \"{name}\", \"txt\": \"{data}\"}}");
            ("POST /update".into(), format!("Content-Type: application/json\r\n{account}"), body)
        }
        Speech::Dns | Speech::DnsDelete => unreachable!("no HTTP"),
    };
    format!("{line} HTTP/1.1\r\nHost: {OWN}\r\nContent-Length: {}\r\n{header}\r\n{body}", body.len())
}

/// Status and first word, or the word of acme-dns.
fn word(reply: &Reply) -> String {
    let word = match serde_json::from_str::<Value>(&reply.body) {
        Ok(body) => body["error"].as_str().unwrap_or(if body["txt"].is_string() { "txt" } else { "?" }).to_owned(),
        Err(_) if reply.body.starts_with("addresses ") => reply.body.trim_end().to_owned(),
        Err(_) => reply.body.split([' ', '\n']).next().unwrap_or_default().to_owned(),
    };
    format!("{} {word}", reply.status)
}

/// The request, of DNS.
fn message(who: &Principal, secret: &str, speech: Speech, wish: &Wish<'_>) -> Vec<u8> {
    const ANY: u16 = 255;
    let kinds = [("A", 1), ("AAAA", signed::AAAA), ("TXT", 16), ("MX", 15), ("SRV", 33), ("CNAME", 5), ("NS", 2)];
    let (_, kind) = kinds.into_iter().find(|(kind, _)| *kind == wish.kind).expect("a type");
    let record = match speech {
        Speech::DnsDelete => signed::record(wish.name, kind, ANY, 0, &[]),
        _ => signed::record(wish.name, kind, signed::IN, 7, wish.wire),
    };
    // Who has no key signs by what it has.
    let secret = STANDARD.decode(secret).unwrap_or_else(|_| secret.into());
    let key = if who.name == FORGED { "cloud-all" } else { who.name };
    signed::update(ZONE, &record, (who.right != Right::Nothing).then_some((key, secret.as_slice())))
}

/// The code of an answer, or what is wrong with the signature.
fn code(answer: &[u8]) -> String {
    let error = answer.get(answer.len().wrapping_sub(4)..).and_then(|end| end.first_chunk()).map_or(0, |error| u16::from_be_bytes(*error));
    let code = match (answer[3] & 0xF, error) {
        (0, _) => "NOERROR",
        (5, _) => "REFUSED",
        (9, 16) => "BADSIG",
        (9, 17) => "BADKEY",
        (10, _) => "NOTZONE",
        (other, error) => return format!("rcode {other}, error {error}"),
    };
    code.into()
}
