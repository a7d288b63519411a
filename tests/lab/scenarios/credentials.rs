//! Strangers and doubles at the door with passwords, join strings and keys: what is single stays single, and who is right is served.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fourward::agent::{RegisterError, Registered, register};
use fourward::crypto;
use fourward_core::join::JoinString;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::bystander::{Bound, LEFT};
use crate::clock::{figure, throughout, wait_for};
use crate::lab::Lab;
use crate::many::{connect_from, gateway, one_of_many};
use crate::netns::feed;
use crate::roles::{DUAL, OWN, TWIN, ZONE, said};
use crate::topology::Node::{Dns, Laptop, Phone4, Phone6, Vps};
use crate::topology::{RESOLVER4, VPS4};

/// Who join at once, from each of four networks, and how many of them are at the door at the same time: more than a network may have there.
const JOINS: usize = 250;
const AT_THE_DOOR: usize = 100;
/// What they may cost, in KiB and descriptors: they come over one UDP socket, and each at the door has a handshake under way there.
/// The first crowd leaves tables of the QUIC library at the size that it needed; the second finds them so.
const JOINING: [Bound; 2] =
    [Bound { memory: 32 << 10, descriptors: 100, left: 6 << 10 }, Bound { memory: 32 << 10, descriptors: 100, left: LEFT }];
/// What a double may cost: next to nothing, beside the bystander's connections.
const DOUBLED: Bound = Bound { memory: 6 << 10, descriptors: 100, left: LEFT };
/// Long against everything here.
const SOON: Duration = Duration::from_secs(20);
/// For an agent to be turned away some times.
const WHILE: Duration = Duration::from_secs(6);

/// A client of the gateway's own name.
#[derive(Clone)]
struct Updater(Arc<ClientConfig>);

impl Updater {
    fn new(lab: &Lab) -> Self {
        let shown =
            lab.ns(Vps).run("sh", &["-c", &format!("openssl s_client -connect {VPS4}:443 -servername {OWN} -showcerts </dev/null")]);
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&shown.stdout) {
            roots.add(certificate.expect("a certificate")).expect("a certificate");
        }
        Self(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
    }

    /// The status of an update with these credentials, in base64.
    fn update(&self, from: std::net::Ipv4Addr, credentials: &str) -> Option<u16> {
        let mut stream = connect_from(from, gateway(443)).ok()?;
        let mut connection = ClientConnection::new(Arc::clone(&self.0), ServerName::try_from(OWN).ok()?).ok()?;
        let mut tls = Stream::new(&mut connection, &mut stream);
        let target = format!("/nic/update?hostname=router.{ZONE}&myip=2001:db8:100::77");
        let request = format!("GET {target} HTTP/1.1\r\nHost: {OWN}\r\nAuthorization: Basic {credentials}\r\nConnection: close\r\n\r\n");
        tls.write_all(request.as_bytes()).ok()?;
        let mut answer = [0; 512];
        let length = tls.read(&mut answer).ok()?;
        String::from_utf8_lossy(&answer[..length]).split(' ').nth(1)?.parse().ok()
    }
}

fn base64(text: &str) -> String {
    let output = feed(Command::new("base64").arg("-w0").stdout(Stdio::piped()), text);
    String::from_utf8(output.stdout).expect("ASCII")
}

#[test]
fn wrong_passwords_from_everywhere_keep_no_router_out() {
    let lab = Lab::new();
    lab.let_phone4_be_many();
    let (vps, _home) = lab.start_figure();
    let added = vps.tell(&["host", "add", "router", "address-from=update", "--json"]);
    let added: Value = serde_json::from_slice(&added.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&added)));
    let right = base64(&format!("router:{}", added["update"]["password"].as_str().expect("a password")));
    let (wrong, updater) = (base64("router:wrong"), Updater::new(&lab));
    // A TLS handshake each: what costs is asked of the gateway at a rate that leaves it the rest of its time.
    let bound = Bound { memory: 8 << 10, descriptors: 150, left: LEFT };
    lab.bear(&vps, "600 wrong passwords from 300 networks", bound, || {
        let (updater, wrong) = (updater.clone(), wrong.clone());
        lab.ns(Phone4).thread(move || {
            let began = Instant::now();
            for number in 0..600 {
                let due = began + Duration::from_millis(8) * number;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let status = updater.update(one_of_many(number as usize % 300), &wrong);
                assert!(matches!(status, Some(401 | 429)), "{number}: {status:?}");
            }
        })
    });
    let owner = {
        let (updater, right) = (updater.clone(), right);
        move || updater.update(RESOLVER4.parse().expect("an address"), &right)
    };
    assert_eq!(lab.ns(Dns).thread(owner.clone()).join().expect("an update"), Some(200), "the host is not locked out");
    let barred = lab.ns(Phone4).thread(move || (0..30).map(|_| updater.update(one_of_many(9_000), &wrong)).collect::<Vec<_>>());
    let barred = barred.join().expect("tries");
    assert_eq!(barred.iter().filter(|status| **status == Some(429)).count(), 20, "{barred:?}");
    assert_eq!(lab.ns(Dns).thread(owner).join().expect("an update"), Some(200), "nor by one that is barred");
}

#[test]
fn of_a_thousand_joins_with_one_string_one_wins() {
    let lab = Lab::new();
    let (vps, _home) = lab.start_figure();
    let rounds = Mutex::new(Vec::new());
    let attack = || {
        let mut rounds = rounds.lock().expect("the rounds");
        let name = format!("late{}", rounds.len());
        let text = vps.add_host(&name, &[]);
        let (outcomes, crowds) = lab.join_in_crowds(&text);
        rounds.push((name, text, outcomes));
        crowds
    };
    for bound in JOINING {
        lab.bear(&vps, "1,000 joins with one string", bound, attack);
    }
    for (name, text, outcomes) in rounds.into_inner().expect("the rounds") {
        let outcomes: Vec<_> = outcomes.iter().collect();
        assert_eq!(outcomes.len(), 4 * JOINS);
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let used = |outcome: &&_| matches!(outcome, Err(RegisterError::Refused(reason)) if reason.contains("used already"));
        let told = outcomes.iter().filter(used).count();
        figure(&name, format_args!("{won} won, {told} were told that it is used, {} had to give way", 4 * JOINS - won - told));
        // Who won may have had to give way before it heard so; with the same key it would be told when it asks again.
        assert!(won <= 1, "one string, one home: {won} won");
        let shown: Value = serde_json::from_slice(&vps.tell(&["host", "show", &name, "--json"]).stdout).expect("JSON");
        assert_ne!(shown["link"], "not-joined", "one has joined");
        assert!(told >= 2 * JOINS, "most are told why: {told}");
        let second = lab.try_to_join(&name, Phone4, &text);
        assert!(!second.status.success() && said(&second).contains("used already"), "{}", said(&second));
    }
}

/// What came of each.
type Outcomes = Receiver<Result<Registered, RegisterError>>;

impl Lab {
    /// [`JOINS`] agents in each of four networks, all with this string.
    fn join_in_crowds(&self, text: &str) -> (Outcomes, JoinHandle<()>) {
        let join: JoinString = text.parse().expect("a join string");
        let (outcome, outcomes) = channel();
        let crowds = [Phone4, Phone6, Dns, Laptop].map(|node| {
            let (join, outcome) = (join.clone(), outcome.clone());
            self.ns(node).thread(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(join_all(&join, &outcome));
            })
        });
        (outcomes, thread::spawn(|| crowds.into_iter().for_each(|crowd| crowd.join().expect("a crowd"))))
    }
}

async fn join_all(join: &JoinString, outcome: &Sender<Result<Registered, RegisterError>>) {
    let door = Arc::new(Semaphore::new(AT_THE_DOOR));
    let mut joins = JoinSet::new();
    for _ in 0..JOINS {
        let (join, door, outcome) = (join.clone(), Arc::clone(&door), outcome.clone());
        joins.spawn(async move {
            let key = crypto::new_link_key().expect("a key");
            let _place = door.acquire_owned().await;
            outcome.send(register(&join, &key).await).expect("the one who counts");
        });
    }
    joins.join_all().await;
}

#[test]
fn a_double_of_the_home_is_shown_and_moves_nothing() {
    let lab = Lab::new();
    let (vps, _home) = lab.start_figure();
    let published = || (lab.dig(Dns, Some(VPS4), TWIN, "AAAA"), vps.serial());
    let before = published();
    // The home's folder, copied to another machine of the house.
    let (from, to) = (lab.dir().join("home"), lab.dir().join("double"));
    assert!(Command::new("cp").arg("-a").args([&from, &to]).status().expect("cp").success());
    let config = to.join("fourward.toml");
    let text = fs::read_to_string(&config).expect("a config").replace(&from.display().to_string(), &to.display().to_string());
    fs::write(&config, text).expect("a config");
    lab.bear(&vps, "two agents with one key", DOUBLED, || {
        let mut double = lab.run_role(Laptop, "double", &config.display().to_string());
        wait_for("the conflict is shown", SOON, || said(&vps.tell(&["status"])).contains("conflict"));
        thread::spawn(move || {
            throughout(Instant::now() + WHILE, || assert!(double.daemon.ended().is_none(), "it tries again and again"));
        })
    });
    assert_eq!(published(), before, "nothing moved");
    let _double = lab.run_role(Laptop, "double", &config.display().to_string());
    throughout(Instant::now() + WHILE, || {
        assert_eq!(published(), before, "nothing moves");
        let page = lab.fetch(Phone4, &format!("https://{DUAL}/"), &[]).expect("the page");
        assert_eq!(page.code, 200);
    });
    assert!(said(&vps.tell(&["status"])).contains("conflict"));
}
