//! Garbage on every port: an error in the port's own protocol or a silent close, and the good client never notices.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::clients::Good;
use crate::clock::wait_for;
use crate::hello;
use crate::machines::{DUAL, Machines, Role, VPS4};

/// A good client waits no longer, whatever goes on.
const SERVED: Duration = Duration::from_secs(3);
/// The longest that a port waits for the rest of something is 5 s.
const CLOSED: Duration = Duration::from_secs(10);

/// Random bytes, the same in every run (xorshift).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_be_bytes()[0]).collect()
    }
}

/// Runs `noise` with a good client beside it, and looks whether all is as before.
fn meanwhile(noise: impl FnOnce(&Machines, &Role)) {
    let machines = Machines::new();
    let server = machines.server();
    let _home = machines.home_of(&server);
    Good::start(&machines).stop(SERVED);
    let idle = || server.ask(&["status"])["gateway"]["connections"] == 0;
    wait_for("the gateway is idle", SERVED, idle);
    let descriptors = server.daemon.descriptors();

    let good = Good::start(&machines);
    noise(&machines, &server);
    good.stop(SERVED);

    wait_for("every descriptor is given back", CLOSED, || server.daemon.descriptors() == descriptors);
    assert_eq!(server.ask(&["host", "show", "cloud"])["link"], "up", "the link did not break");
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn garbage_over_udp_disturbs_nobody() {
    meanwhile(|machines, _| {
        let bound = || {
            let socket = machines.home.thread(|| UdpSocket::bind("0.0.0.0:0")).join().expect("a thread").expect("a socket");
            socket.set_nonblocking(true).expect("a socket that does not block");
            socket
        };
        let socket = bound();
        let mut noise = Noise(0x4711);
        for round in 0..2_000 {
            let length = usize::try_from(noise.next() % 1_400).expect("a length");
            let mut bytes = noise.bytes(length);
            if let (Some(first), true) = (bytes.first_mut(), round % 2 == 0) {
                *first |= 0xc0; // a long header of QUIC's: more of it is looked at
            }
            if let (Some(version), true) = (bytes.get_mut(1..5), round % 4 == 0) {
                version.copy_from_slice(&[0, 0, 0, 1]);
            }
            let _ = socket.send_to(&bytes, (VPS4, 443));
            if let (Some(counts), true) = (bytes.get_mut(2..12), round % 2 == 0) {
                counts.copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]); // a question, of garbage
            }
            let _ = socket.send_to(&bytes, (VPS4, 53));
        }
        let question = [&[0, 1, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\x03www\0\0\x01\0\x01"].concat();
        let socket = bound(); // answers to what came before are not for this one
        socket.send_to(&question, (VPS4, 53)).expect("a response to nobody");
        socket.send_to(b"", (VPS4, 53)).expect("nothing");
        socket.send_to(&[0xff; 11], (VPS4, 53)).expect("less than a header");
        socket.send_to(&[0xff; 1_200], (VPS4, 443)).expect("no version of QUIC's");
        let until = Instant::now() + Duration::from_millis(500);
        crate::clock::throughout(until, || assert!(socket.recv(&mut [0; 2048]).is_err(), "these are answered by silence"));
    });
}

#[test]
fn garbage_over_tcp_is_closed_and_disturbs_nobody() {
    meanwhile(|machines, _| {
        let mut noise = Noise(0x4712);
        let mut open = Vec::new();
        for port in [53, 80, 443].repeat(20) {
            let mut stream = machines.connect(port);
            let length = usize::try_from(noise.next() % 3_000).expect("a length");
            let _ = stream.write_all(&noise.bytes(length.max(1)));
            open.push((port, Instant::now(), stream));
        }
        // What begins well: a length without its message, a record without its hello, a line without its end.
        for (port, begins) in [(53, &b"\x01\x00"[..]), (443, b"\x16\x03\x01\x40\x00\x01"), (80, b"GET / HTTP/1.1\r\nHost: x"), (80, b"\0")]
        {
            let mut stream = machines.connect(port);
            stream.write_all(begins).expect("a beginning");
            open.push((port, Instant::now(), stream));
        }
        for (port, began, mut stream) in open {
            stream.set_read_timeout(Some(CLOSED)).expect("a timeout");
            let mut heard = Vec::new();
            let ended = stream.read_to_end(&mut heard);
            let aborted = ended.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset);
            assert!((ended.is_ok() || aborted) && began.elapsed() < CLOSED, "port {port} stays open: {ended:?}");
        }
    });
}

#[test]
fn a_server_name_that_is_none_gets_an_alert_at_once() {
    meanwhile(|machines, _| {
        let long = [DUAL.as_bytes(), &b".x".repeat(150)].concat();
        let whole_label = [b'a'; 300];
        let names: [&[u8]; 11] = [
            b"cloud.dyn.example.org\0.evil.example",
            b"\0",
            b"",
            b"192.0.2.11",
            b"2001:db8:a::11",
            b"[2001:db8:a::11]",
            &long,
            &whole_label,
            b"\xff\xfe.example.org",
            b"cloud.dyn..example.org",
            b"nobody.dyn.example.org",
        ];
        let hellos = names.iter().map(|name| hello::asking_for(name));
        let twice = hello::with_names(&[DUAL.as_bytes(), b"nas.dyn.example.org"]);
        for hello in hellos.chain([twice]) {
            let mut stream = machines.connect(443);
            stream.set_read_timeout(Some(CLOSED)).expect("a timeout");
            let began = Instant::now();
            stream.write_all(&hello).expect("a hello");
            let mut alert = [0; 7];
            stream.read_exact(&mut alert).unwrap_or_else(|error| panic!("{error}: {}", hello.escape_ascii()));
            // Fatal, unrecognized_name (RFC 6066 §3).
            assert_eq!((alert, stream.read(&mut [0; 1]).expect("a close")), ([21, 3, 3, 0, 2, 2, 112], 0), "{}", hello.escape_ascii());
            assert!(began.elapsed() < SERVED, "at once: {:?}", began.elapsed());
        }
    });
}

#[test]
fn a_host_line_that_is_none_gets_a_page_that_says_why() {
    meanwhile(|machines, _| {
        let long = "x.".repeat(150);
        let hosts: [(&str, &str, &str); 7] = [
            ("Host: 192.0.2.11", "400", "is an address, not a name"),
            ("Host: [2001:db8:a::11]", "400", "no name"),
            ("Host: cloud .dyn.example.org", "400", ""),
            (&format!("Host: {long}org"), "400", "303 characters long"),
            ("Accept: */*", "400", "no Host line"),
            ("Host: cloud.dyn.example.org\r\nHost: nas.dyn.example.org", "400", "more than one Host line"),
            ("Host: nobody.dyn.example.org", "404", "There is no nobody.dyn.example.org here"),
        ];
        for (line, status, why) in hosts {
            let mut stream = machines.connect(80);
            stream.set_read_timeout(Some(CLOSED)).expect("a timeout");
            stream.write_all(format!("GET / HTTP/1.1\r\n{line}\r\n\r\n").as_bytes()).expect("a request");
            let mut page = String::new();
            stream.read_to_string(&mut page).expect("a page");
            assert!(page.starts_with(&format!("HTTP/1.1 {status} ")) && page.contains(why), "{line}: {page}");
        }
    });
}

#[test]
fn garbage_on_the_control_socket_is_refused_and_commands_go_on() {
    meanwhile(|machines, server| {
        let socket = machines.path("vps-state/control.sock");
        let connect = || UnixStream::connect(&socket).expect("the control socket");
        let huge = "x".repeat(5 << 20);
        for line in ["\n", "garbage\n", "{}\n", "{\"do\":\"dance\"}\n", "{\"do\":\"host-add\",\"host\":7}\n", "[[[[\n", &huge] {
            let mut stream = connect();
            stream.set_read_timeout(Some(CLOSED)).expect("a timeout");
            // What is too long is cut off before it is all said.
            let _ = stream.write_all(line.as_bytes());
            let mut answer = String::new();
            BufReader::new(&stream).read_line(&mut answer).expect("an answer");
            assert!(answer.contains("not a request of this version"), "{answer}");
        }
        let mut binary = connect();
        binary.write_all(b"\xff\xfe\n").expect("written");
        assert_eq!(binary.read(&mut [0; 1]).expect("a close"), 0, "not even text: closed");
        let half = connect();
        (&half).write_all(b"{\"do\":").expect("written");
        half.shutdown(Shutdown::Write).expect("half a request");
        drop(connect());
        assert_eq!(server.ask(&["host", "list"]).as_array().expect("a list").len(), 1);
    });
}
