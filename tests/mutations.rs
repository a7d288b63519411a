//! A million packets over the wire that were good once and are not any more, against the real binary with a signed zone: at most one reply to
//! each, none to a reply, none larger than its sender can take, and afterwards the server is as it was.
//!
//! What is sent comes from the fuzz targets' corpora, damaged in ways that a seed decides. Needs root and Debian's iproute2.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "machines/mod.rs"]
mod machines;
use machines::{clock, netns};

use std::collections::HashMap;
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use machines::{Machines, VPS4, ZONE};

const PACKETS: usize = 1_000_000;

/// As many clients at once, each of which knows what it sent.
const CLIENTS: usize = 2;
const SOCKETS: usize = 16;

/// Whoever gets no answer to a good question in that time gets none.
const PATIENCE: Duration = Duration::from_secs(20);

/// What fits without EDNS (RFC 1035 §4.2.1), and what we ever send (DNS flag day 2020).
const PLAIN: usize = 512;
const LARGEST: usize = 1_232;

/// splitmix64: the same packets each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(limit.max(1)).expect("small")).expect("small")
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let corpora = ["dns_message", "dns_reply"].map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name));
    let files = corpora.iter().flat_map(|folder| fs::read_dir(folder).expect("a corpus")).map(|entry| entry.expect("an entry").path());
    let seeds: Vec<Vec<u8>> = files.map(|path| fs::read(path).expect("an input")).collect();
    assert!(seeds.len() > 40, "{}", seeds.len());
    seeds
}

/// A packet that was good once.
fn damaged(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut packet = seeds[dice.below(seeds.len())].clone();
    for _ in 0..=dice.below(3) {
        let at = dice.below(packet.len());
        match dice.below(7) {
            0..=2 if !packet.is_empty() => packet[at] ^= 1 << dice.below(8),
            3 if !packet.is_empty() => packet[at] = u8::try_from(dice.below(256)).expect("a byte"),
            4 => packet.truncate(at),
            5 => packet.insert(at, u8::try_from(dice.below(256)).expect("a byte")),
            _ => {
                let other = &seeds[dice.below(seeds.len())];
                packet.truncate(at);
                packet.extend(&other[dice.below(other.len())..]);
            }
        }
    }
    packet.truncate(4_096);
    packet
}

/// A question that is good, by which the client knows that all before it was answered.
fn question(id: u16) -> Vec<u8> {
    let labels = ZONE.split('.').flat_map(|label| std::iter::once(u8::try_from(label.len()).expect("short")).chain(label.bytes()));
    let head = id.to_be_bytes().into_iter().chain([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    head.chain(labels).chain([0, 0, 6, 0, 1]).collect()
}

/// One client of the server: what it sent by a socket, and how often each was answered.
struct Client {
    socket: UdpSocket,
    /// By ID: the packet, and the replies to it.
    sent: HashMap<u16, (Vec<u8>, usize)>,
    turn: u16,
}

impl Client {
    fn new() -> Self {
        let socket = UdpSocket::bind("192.0.2.4:0").expect("a socket");
        socket.connect((VPS4, 53)).expect("connected");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { socket, sent: HashMap::new(), turn: 0 }
    }

    /// Bad packets have the highest bit of their ID set, good ones have not.
    fn send(&mut self, mut packet: Vec<u8>) {
        self.turn = (self.turn + 1) & 0x7FFF;
        let id = self.turn | 0x8000;
        packet.iter_mut().zip(id.to_be_bytes()).for_each(|(byte, id)| *byte = id);
        self.socket.send(&packet).expect("sent");
        self.sent.insert(id, (packet, 0));
        self.socket.send(&question(self.turn)).expect("sent");
    }

    /// Hears all until the good question is answered. How many replies came to bad packets.
    fn hear(&mut self) -> usize {
        let (mut buffer, mut heard) = ([0; 65_535], 0);
        loop {
            let length = self
                .socket
                .recv(&mut buffer)
                .unwrap_or_else(|error| panic!("no answer after {:?}: {error}", self.sent.get(&(self.turn | 0x8000))));
            let id = u16::from_be_bytes([buffer[0], buffer[1]]);
            if id & 0x8000 == 0 {
                assert_eq!(id, self.turn, "good questions are answered in their order");
                assert_eq!(buffer[3] & 0xF, 0, "a good question is answered well");
                return heard;
            }
            heard += 1;
            let (packet, replies) = self.sent.get_mut(&id).expect("it was sent");
            *replies += 1;
            assert_eq!(*replies, 1, "one reply at most: {packet:?}");
            assert!(packet.len() >= 12 && packet[2] & 0x80 == 0, "a reply to a reply: {packet:?}");
            let plain = packet[10..12] == [0, 0];
            assert!(length <= if plain { PLAIN } else { LARGEST }, "{length} bytes: {packet:?}");
        }
    }
}

#[test]
fn of_a_million_damaged_packets_none_does_harm() {
    let machines = Machines::new();
    let config = machines.init();
    let text = fs::read_to_string(&config).expect("a config");
    fs::write(&config, text.replace("[dns]\n", "[dns]\nrate-limit = 0\n")).expect("written");
    let mut server = machines.server_by(&config);
    server.tell(&["host", "add", "cloud", "address-from=static", "address=2001:db8:1::11", "wildcard=on"]).succeeds();
    let memory = |server: &machines::Role| {
        let status = fs::read_to_string(format!("/proc/{}/status", server.daemon.pid())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("KiB")
    };
    let run = |packets: usize, seed: u64| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                machines.home.thread(move || {
                    let (seeds, mut dice) = (seeds(), Dice(seed + client as u64));
                    let mut clients: Vec<Client> = (0..SOCKETS).map(|_| Client::new()).collect();
                    let mut heard = 0;
                    for _ in 0..packets / CLIENTS / SOCKETS {
                        clients.iter_mut().for_each(|client| client.send(damaged(&seeds, &mut dice)));
                        heard += clients.iter_mut().map(Client::hear).sum::<usize>();
                    }
                    heard
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("a client")).sum::<usize>()
    };
    run(PACKETS / 20, 1);
    let before = memory(&server);
    let heard = run(PACKETS, 2);
    let after = memory(&server);
    eprintln!("figure: {heard} replies to {PACKETS} damaged packets; {before} KiB before, {after} KiB after");
    assert!(heard > PACKETS / 20, "most are passed over, many are refused with a reason: {heard}");
    assert!(after <= before + 2_048, "{before} KiB before, {after} KiB after");
    assert!(server.daemon.ended().is_none(), "it runs");
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
