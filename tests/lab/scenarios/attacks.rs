//! Strangers who want the gateway down: each in his own way, and each time a bystander is served as if nothing were.
//!
//! They come from phone4, which is a whole crowd of networks here, at rates that leave the two cores of a small machine to be attacked:
//! what is shown is that the gateway's limits hold, not how fast the kernel drops packets.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::bystander::{Bound, LEFT};
use crate::lab::Lab;
use crate::many::{connect_from, connect_narrowly, gateway, one_of_many};
use crate::roles::DUAL;
use crate::topology::Node::Phone4;
use crate::topology::VPS4;
use crate::wire::{aaaa_question, client_hello};

/// The defaults of `gateway.limits.half-open` and `per-network`, and the quarter of it that may be half-open.
const HALF_OPEN: usize = 4_096;
const PER_NETWORK: usize = 1_024;
const HALF_OPEN_OF_ONE: usize = PER_NETWORK / 4;
/// What one half-open connection may cost, in bytes.
const HALF_OPEN_COST: usize = 4 << 10;
/// What a gateway at work has beside that: the bystander's connections, buffers of its threads.
const AT_WORK: Bound = Bound { memory: 6 << 10, descriptors: 100, left: LEFT };

/// Calls `work` with each number, so many a second.
fn pace(count: usize, a_second: u32, mut work: impl FnMut(usize)) {
    let began = Instant::now();
    for number in 0..count {
        let due = began + Duration::from_secs(1) * u32::try_from(number).expect("few") / a_second;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        work(number);
    }
}

/// Lets go of connections without a word, so that nothing of them waits here.
fn reset(streams: Vec<TcpStream>) {
    for stream in streams {
        let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
}

fn half_hellos(lab: &Lab, networks: usize) -> JoinHandle<()> {
    lab.ns(Phone4).thread(move || {
        let hello = client_hello(DUAL);
        let mut held = Vec::new();
        pace(10_000, 2_500, |number| {
            let mut stream = connect_from(one_of_many(number % networks), gateway(443)).expect("the kernel takes it");
            // Who had to give way already does not hear it.
            let _ = stream.write_all(&hello[..hello.len() / 2]);
            held.push(stream);
        });
        // The last of them have all of the time that there is for a hello.
        held.drain(..5_000).for_each(drop);
        reset(held);
    })
}

#[test]
fn ten_thousand_half_hellos_from_many_networks() {
    let lab = Lab::new();
    lab.let_phone4_be_many();
    let (vps, _home) = lab.start_figure();
    let memory = (HALF_OPEN * HALF_OPEN_COST / 1024) as u64 + AT_WORK.memory;
    let bound = Bound { memory, descriptors: HALF_OPEN + AT_WORK.descriptors, ..AT_WORK };
    lab.bear(&vps, "10,000 half hellos from 10,000 networks", bound, || half_hellos(&lab, 10_000));
    let of_one = Bound { descriptors: HALF_OPEN_OF_ONE + AT_WORK.descriptors, ..AT_WORK };
    lab.bear(&vps, "10,000 half hellos from one network", of_one, || half_hellos(&lab, 1));
}

#[test]
fn slow_writers_and_slow_readers() {
    let lab = Lab::new();
    lab.let_phone4_be_many();
    let (vps, _home) = lab.start_figure();
    std::fs::write(lab.dir().join("web/site/big"), vec![7; 32 << 20]).expect("a big page");
    // A byte a second: half a ClientHello, half a head, and the body of an upload.
    let writers = 600;
    let bound = Bound { descriptors: writers + 100 + AT_WORK.descriptors, ..AT_WORK };
    lab.bear(&vps, "600 slow writers", bound, || {
        lab.ns(Phone4).thread(move || {
            let tls = client_hello(DUAL);
            let head = format!("GET / HTTP/1.1\r\nHost: {DUAL}\r\nX-Slow: {}", "y".repeat(100)).into_bytes();
            let body = format!("PUT /dav/slow HTTP/1.1\r\nHost: {DUAL}\r\nContent-Length: 1000\r\n\r\n").into_bytes();
            let mut slow = Vec::new();
            pace(writers, 600, |number| {
                let (port, said) = match number % 30 {
                    // Few: each holds one of the home's own workers.
                    0 => (80, &body[..]),
                    1..15 => (80, &head[..]),
                    _ => (443, &tls[..tls.len() / 2]),
                };
                let mut stream = connect_from(one_of_many(number), gateway(port)).expect("the kernel takes it");
                stream.write_all(said).expect("said");
                slow.push(stream);
            });
            for _ in 0..4 {
                pace(slow.len(), 600, |number| drop(slow[number].write(b"y")));
            }
            reset(slow);
        })
    });
    // Every other one lets a window stand open for megabytes: so many a second fill a line of 1 Gbit/s.
    let (readers, a_second) = (40, 10);
    // Their bytes wait in the kernel, in pipes of which there are no more than so many.
    let bound = Bound { descriptors: readers * 4 + AT_WORK.descriptors, ..AT_WORK };
    lab.bear(&vps, "40 slow readers of 32 MiB", bound, || {
        lab.ns(Phone4).thread(move || {
            let request = format!("GET /big HTTP/1.1\r\nHost: {DUAL}\r\n\r\n").into_bytes();
            let mut slow = Vec::new();
            pace(readers, a_second, |number| {
                let connect = if number % 2 == 0 { connect_narrowly } else { connect_from };
                let mut stream = connect(one_of_many(number), gateway(80)).expect("the kernel takes it");
                stream.write_all(&request).expect("asked");
                slow.push(stream);
            });
            for _ in 0..3 {
                pace(slow.len(), 40, |number| assert_ne!(slow[number].read(&mut [0]).expect("a byte"), 0));
            }
            reset(slow);
        })
    });
}

#[test]
fn connections_that_are_reset_at_once_and_forged_beginnings() {
    let lab = Lab::new();
    lab.let_phone4_be_many();
    let (vps, _home) = lab.start_figure();
    lab.bear(&vps, "6,000 connections reset at once", Bound { descriptors: 600, ..AT_WORK }, || {
        lab.ns(Phone4).thread(|| {
            pace(6_000, 1_500, |number| {
                reset(vec![connect_from(one_of_many(number), gateway(if number % 2 == 0 { 443 } else { 80 })).expect("taken")]);
            });
        })
    });
    // Nobody ever completes them: that is between the kernels, and costs the gateway nothing.
    lab.bear(&vps, "10,000 SYN from made-up senders", AT_WORK, || {
        let flood = |port| lab.hping(&["--syn", "--destport", port, "--interval", "u400", "--count", "5000"]);
        both(flood("443"), flood("80"))
    });
}

#[test]
fn forged_datagrams() {
    let lab = Lab::new();
    lab.let_phone4_be_many();
    let (vps, _home) = lab.start_figure();
    lab.bear(&vps, "10,000 forged datagrams on UDP 443", AT_WORK, || {
        let crafted = lab.ns(Phone4).thread(|| {
            pace(5_000, 2_000, |number| send_from(number, gateway(443), &quic_garbage(number)));
        });
        both(crafted, lab.hping(&["--udp", "--destport", "443", "--data", "600", "--interval", "u400", "--count", "5000"]))
    });
    lab.bear(&vps, "10,000 forged datagrams on UDP 53", AT_WORK, || {
        let crafted = lab.ns(Phone4).thread(|| {
            let listening = UdpSocket::bind((one_of_many(9), 0)).expect("a socket");
            listening.connect(gateway(53)).expect("an address");
            listening.set_nonblocking(true).expect("an option");
            pace(5_000, 2_000, |number| {
                let mut message = aaaa_question(7, DUAL);
                match number % 4 {
                    // A response: whoever answers one can be made to talk to himself.
                    0 => {
                        message[2] |= 0x80;
                        listening.send(&message).expect("sent");
                    }
                    1 => send_from(number, gateway(53), &message[..message.len() - 5]),
                    2 => send_from(number, gateway(53), &noise(number, 40)),
                    _ => send_from(number, gateway(53), &message),
                }
            });
            let silence = listening.recv(&mut [0; 512]).expect_err("a response was answered");
            assert_eq!(silence.kind(), ErrorKind::WouldBlock);
        });
        both(crafted, lab.hping(&["--udp", "--destport", "53", "--data", "40", "--interval", "u400", "--count", "5000"]))
    });
}

fn both(one: JoinHandle<()>, other: JoinHandle<()>) -> JoinHandle<()> {
    thread::spawn(|| {
        one.join().expect("one attack");
        other.join().expect("the other");
    })
}

fn send_from(number: usize, target: SocketAddr, datagram: &[u8]) {
    let socket = UdpSocket::bind((one_of_many(number), 0)).expect("a socket");
    // An ICMP error to the one before is not this one's.
    let _ = socket.send_to(datagram, target);
}

/// Bytes without a pattern.
fn noise(seed: usize, length: usize) -> Vec<u8> {
    let mut state = seed as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let byte = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(byte).collect()
}

/// An Initial with a body that nothing decrypts, a long header of no version, a short header with somebody's connection ID, or noise.
fn quic_garbage(number: usize) -> Vec<u8> {
    let mut datagram = noise(number, 1_200);
    let begin: &[u8] = match number % 4 {
        0 => &[0xc3, 0, 0, 0, 1, 8],
        1 => &[0xc3, 0x1a, 0x2a, 0x3a, 0x4a, 8],
        2 => &[0x40],
        _ => &[],
    };
    datagram[..begin.len()].copy_from_slice(begin);
    datagram
}

impl Lab {
    /// Packets from made-up senders.
    fn hping(&self, options: &[&str]) -> JoinHandle<()> {
        let mut command = self.ns(Phone4).command("hping3");
        command.args(["--quiet", "--rand-source"]).args(options).arg(VPS4);
        thread::spawn(move || {
            let output = command.output().expect("Debian's package hping3");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("5000 packets tramitted") || said.contains("5000 packets transmitted"), "{said}");
        })
    }
}
