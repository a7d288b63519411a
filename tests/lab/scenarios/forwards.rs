//! Ports of the gateway's that lead to the home: a server that speaks first, and datagrams that go on through a renumbering.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::clock::{figure, wait_for};
use crate::lab::Lab;
use crate::many::{gateway, one_of_many};
use crate::renumber::Manner;
use crate::roles::{Role, said};
use crate::topology::Node::{Phone4, Router, Server};

/// What an SSH server says before it has heard anything.
const BANNER: &[u8] = b"SSH-2.0-home\r\n";

const ECHO: u16 = 51_820;

/// Where nobody is at home.
const SILENT: u16 = 51_821;

/// Forged senders, as fast as they go.
const FORGED: usize = 60_000;

/// A flow that is not answered ends, and the machine is busy.
const FORGOTTEN: Duration = Duration::from_secs(45);

/// An answer takes less, and a player sends anew before.
const OFTEN: Duration = Duration::from_millis(20);

/// What comes at all comes within this.
const AT_LAST: Duration = Duration::from_millis(500);

/// For a setting to be in force.
const SET: Duration = Duration::from_secs(5);

/// Who sent datagrams to the home, as it saw them.
type Senders = Arc<Mutex<Vec<SocketAddr>>>;

/// The figure, its home offering what is forwarded.
fn start(lab: &Lab) -> (Role, Role) {
    let rules = "meta l4proto { tcp, udp } th dport { 22, 7000-7003, 51820, 51821 } accept";
    lab.ns(Router).nft(&format!("add rule inet home forward ip6 daddr & ::ffff:ffff:ffff:ffff == ::11 {rules}"));
    let (vps, mut home) = lab.start_figure();
    let config = lab.dir().join("home/fourward.toml");
    let text = fs::read_to_string(&config).expect("the home's configuration");
    let services = "services = [\"tcp/443\", \"tcp/80\", \"tcp/22\", \"tcp/7000-7003\", \"udp/51820-51821\"]\n";
    let lines = text.lines().filter(|line| !line.trim_start_matches("# ").starts_with("services"));
    let offering: String = lines.map(|line| if line == "[agent]" { format!("{line}\n{services}") } else { format!("{line}\n") }).collect();
    fs::write(&config, offering).expect("write the home's configuration");
    home.restart();
    lab.wait_until_published(crate::roles::TWIN, lab.home());
    (vps, home)
}

fn set(vps: &Role, settings: &[&str]) -> String {
    let output = vps.tell(&[&["host", "set", "cloud"], settings].concat());
    assert!(output.status.success(), "host set cloud {settings:?}: {}", said(&output));
    said(&output)
}

/// At home, who answers every datagram with itself; says whom it saw.
fn echo(lab: &Lab) -> Senders {
    let seen = Senders::default();
    let shared = Arc::clone(&seen);
    let socket = lab.ns(Server).thread(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, ECHO)).expect("a socket")).join().expect("a thread");
    thread::spawn(move || {
        let mut bytes = [0; 65_536];
        while let Ok((count, from)) = socket.recv_from(&mut bytes) {
            shared.lock().expect("no panic").push(from);
            // Nobody is there while the home has no address.
            let _ = socket.send_to(&bytes[..count], from);
        }
    });
    seen
}

/// At home, who speaks first, at these ports; each says its port behind the banner.
fn speak_first(lab: &Lab, ports: &[u16]) {
    for port in ports.iter().copied() {
        let listener = lab.ns(Server).thread(move || TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).expect("a listener"));
        let listener = listener.join().expect("a thread");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let _ = stream.write_all(&[BANNER, &port.to_be_bytes()].concat());
            }
        });
    }
}

/// What phone4 hears at a port of the gateway's, saying nothing itself.
fn hear(lab: &Lab, port: u16) -> Option<Vec<u8>> {
    let listen = move || {
        let mut stream = TcpStream::connect_timeout(&gateway(port), Duration::from_secs(2)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        let mut said = vec![0; BANNER.len() + 2];
        stream.read_exact(&mut said).ok().map(|()| said)
    };
    lab.ns(Phone4).thread(listen).join().expect("a thread")
}

/// Phone4's socket; its answers come with when they came.
struct Player {
    socket: UdpSocket,
    answers: Receiver<(Vec<u8>, SocketAddr, Instant)>,
}

impl Player {
    fn start(lab: &Lab) -> Self {
        let socket = lab.ns(Phone4).thread(|| UdpSocket::bind("0.0.0.0:0").expect("a socket")).join().expect("a thread");
        let (sender, answers) = channel();
        let listening = socket.try_clone().expect("a socket");
        thread::spawn(move || {
            let mut bytes = [0; 65_536];
            while let Ok((count, from)) = listening.recv_from(&mut bytes) {
                if sender.send((bytes[..count].to_vec(), from, Instant::now())).is_err() {
                    return;
                }
            }
        });
        Self { socket, answers }
    }

    /// Asks once; how long the answer took, if it came within `patience`.
    fn ask(&self, number: u32, patience: Duration) -> Option<Duration> {
        let began = Instant::now();
        self.socket.send_to(&number.to_be_bytes(), gateway(ECHO)).expect("sent");
        while let Ok((said, from, at)) = self.answers.recv_timeout(patience) {
            assert_eq!(from, gateway(ECHO), "from where it asked");
            if said == number.to_be_bytes() {
                return Some(at - began);
            }
        }
        None
    }
}

#[test]
fn a_server_that_speaks_first_and_ranges_are_reached_and_come_and_go() {
    let lab = Lab::beside_others();
    let (vps, _home) = start(&lab);
    speak_first(&lab, &[22, 7000, 7001, 7002, 7003]);
    let told = set(&vps, &["forward=tcp/2222:22,tcp/9000-9003:7000-7003"]);
    assert!(told.contains("forward is for those who come over the gateway"), "{told}");
    let said_by = |port: u16| Some([BANNER, &port.to_be_bytes()].concat());
    wait_for("the first is forwarded", SET, || hear(&lab, 2222) == said_by(22));
    for at in 0..4 {
        assert_eq!(hear(&lab, 9000 + at), said_by(7000 + at));
    }
    set(&vps, &["forward-=tcp/9000-9003"]);
    wait_for("they are gone", SET, || hear(&lab, 9003).is_none());
    assert_eq!(hear(&lab, 2222), said_by(22));
    let moved = lab.renumber(Manner::Removed);
    wait_for("the home is reached at its new address", SET, || hear(&lab, 2222) == said_by(22));
    figure("a forward after a move", format_args!("{:.1?}", moved.at.elapsed()));
    let refused = vps.tell(&["host", "set", "cloud", "forward+=udp/53"]);
    assert!(!refused.status.success() && said(&refused).contains("this server's own"), "{}", said(&refused));
    set(&vps, &["forward+=tcp/2223:2222"]);
    let shown = said(&vps.tell(&["host", "show", "cloud"]));
    assert!(shown.contains("does not offer tcp/2222"), "{shown}");
    assert_eq!(hear(&lab, 2223), None);
}

#[test]
fn a_flow_goes_on_at_the_homes_new_address_by_the_same_sender() {
    let lab = Lab::new();
    let (vps, _home) = start(&lab);
    let seen = echo(&lab);
    set(&vps, &[&format!("forward=udp/{ECHO}")]);
    let player = Player::start(&lab);
    wait_for("the first answer", SET, || player.ask(0, AT_LAST).is_some());
    let mut number = 0;
    for manner in [Manner::Removed, Manner::Removed, Manner::Deprecated] {
        let moved = lab.renumber(manner);
        let cut = wait_for("an answer after the move", SET, || {
            number += 1;
            player.ask(number, OFTEN).is_some()
        });
        figure("a UDP flow after a move", format_args!("{cut:.1?}, {:.1?} after it", moved.at.elapsed()));
    }
    let senders = seen.lock().expect("no panic").clone();
    assert!(senders.iter().all(|sender| *sender == senders[0]), "the home saw more than one sender: {senders:?}");
}

#[test]
fn forged_senders_leave_others_alone_and_nothing_behind() {
    let lab = Lab::new();
    lab.let_phone4_be_many();
    let (vps, _home) = start(&lab);
    echo(&lab);
    set(&vps, &[&format!("forward=udp/{ECHO},udp/{SILENT}")]);
    let player = Player::start(&lab);
    wait_for("the first answer", SET, || player.ask(0, AT_LAST).is_some());
    let (memory, descriptors) = (vps.daemon.memory(), vps.daemon.descriptors());
    let flood = lab.ns(Phone4).thread(|| {
        for number in 0..FORGED {
            let socket = UdpSocket::bind((one_of_many(number), 0)).expect("a socket");
            let _ = socket.send_to(&[7; 200], gateway(SILENT));
        }
    });
    let (mut asked, mut unanswered, mut worst, mut most) = (0, 0, Duration::ZERO, (0, 0));
    while !flood.is_finished() || asked < 50 {
        asked += 1;
        match player.ask(asked, AT_LAST) {
            Some(took) => worst = worst.max(took),
            None => unanswered += 1,
        }
        most = (most.0.max(vps.daemon.memory()), most.1.max(vps.daemon.descriptors()));
        thread::sleep(Duration::from_millis(10));
    }
    flood.join().expect("the flood");
    let cost = format!("{memory} KiB, at most {}; {descriptors} descriptors, at most {}", most.0, most.1);
    figure("a UDP flow beside 60,000 forged senders", format_args!("{unanswered} of {asked} lost, worst {worst:.1?}; {cost}"));
    assert!(unanswered * 100 <= asked, "{unanswered} of {asked}");
    assert!(most.1 <= descriptors + 4_096 + 16 && most.0 <= memory + (24 << 10), "{cost}");
    let after = wait_for("all is given back", FORGOTTEN, || vps.daemon.descriptors() <= descriptors + 2);
    figure("… all given back", format_args!("after {after:.1?}; {} KiB", vps.daemon.memory()));
    assert!(player.ask(asked + 1, AT_LAST).is_some(), "the flow that was there is there");
}
