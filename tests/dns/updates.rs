//! Updates by DNS itself: nsupdate and knsupdate (Debian: dnsutils, knot-dnsutils, faketime), good and bad keys, clocks, and packets sent again.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

use fourward::config::Key;
use fourward::dns::{Keys, Updates};
use fourward::store::Store;
use fourward_core::tsig::Algorithm;
use fourward_core::update::{Grant, Writable};
use tempfile::TempDir;

use super::*;

pub(super) const SECRET: &str = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=";
pub(super) const CLOUD: &str = "cloud.dyn.example.org";
pub(super) const PROOF: &str = "_acme-challenge.cloud.dyn.example.org";

/// The keys of every test: name, algorithm, host, and what it may write.
const KEYS: [(&str, Algorithm, &str, &[Writable]); 7] = [
    ("all", Algorithm::HmacSha256, "cloud", &Writable::ALL),
    ("all384", Algorithm::HmacSha384, "cloud", &Writable::ALL),
    ("all512.dyn.example.org", Algorithm::HmacSha512, "cloud", &Writable::ALL),
    ("address", Algorithm::HmacSha256, "cloud", &[Writable::Aaaa]),
    ("proof", Algorithm::HmacSha256, "cloud", &[Writable::Challenge]),
    ("apex", Algorithm::HmacSha256, "@", &Writable::ALL),
    ("link", Algorithm::HmacSha256, "link", &[Writable::A, Writable::Aaaa]),
];

/// A name server with a store behind it.
pub(super) struct Updating {
    pub(super) address: SocketAddr,
    pub(super) store: Store,
    counters: Counters,
    _folder: TempDir,
    _stop: DropGuard,
}

impl Updating {
    pub(super) async fn start() -> Self {
        Self::on("127.0.0.1").await
    }

    async fn on(ip: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), Policy::default()).expect("a store");
        let join = JoinSecret { secret: Digest([1; 32]), expires: Timestamp::UNIX_EPOCH, spent_by: None };
        let add = |label: &str, edits: &[&str]| {
            let edits = edits.iter().map(|edit| edit.parse().expect("an edit")).collect();
            Change::Add { host: host(label), edits, join, update: Digest([2; 32]), reuse: false }
        };
        let serve = Change::Serve { zone: name(ZONE), apex: Digest([0; 32]), at: Timestamp::UNIX_EPOCH };
        for change in [serve, add("cloud", &["address-from=update"]), add("link", &[]), add("@", &["address-from=update"])] {
            store.commit(change).await.expect("a good change");
        }
        let secret_file = folder.path().join("key");
        fs::write(&secret_file, SECRET).expect("written");
        fs::set_permissions(&secret_file, Permissions::from_mode(0o600)).expect("set");
        let keys = KEYS.map(|(key, algorithm, label, types)| {
            let grant = Grant { host: host(label), types: types.iter().copied().collect() };
            Key { name: name(key), algorithm, secret_file: secret_file.clone(), grant: Some(grant) }
        });
        let (dns, sockets) = bound(ip);
        let (address, counters) = (sockets.addresses()[0], sockets.counters());
        let keys = Arc::new(Keys::read(&keys).expect("good keys"));
        let updates = Updates::new(&keys, store.clone(), Arc::default());
        let settings = dns::Settings { updates, keys, ..dns::settings(&dns, &public()) };
        let cancel = CancellationToken::new();
        tokio::spawn(dns::run(sockets, settings, store.watch(), [7; 32], cancel.clone()));
        Self { address, store, counters, _folder: folder, _stop: cancel.drop_guard() }
    }

    /// The values of `kind` at `name`, as the server tells the world.
    pub(super) fn values(&self, name: &str, kind: &str) -> Vec<String> {
        let (ip, port) = (self.address.ip().to_string(), self.address.port().to_string());
        let output = Command::new("dig").args(["+short", "+norec", "+tcp", "-p", &port, &format!("@{ip}"), name, kind]).output();
        let output = String::from_utf8(output.expect("dig is in dnsutils").stdout).expect("text");
        let mut lines: Vec<String> = output.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    pub(super) fn serial(&self) -> u32 {
        self.store.snapshot().zone(&name(ZONE)).expect("a zone").serial.0
    }

    /// `before` is how the tool is started, `lines` what it is told; what it says.
    fn told(&self, before: &[&str], tool: Tool, key: &str, lines: &str) -> String {
        tell(before, tool, Some(&secret_of(key, SECRET)), self.address, lines)
    }

    /// By a client whose clock is so far off. Not by nsupdate, which waits for ever where its timers are faked, too.
    pub(super) fn told_at(&self, clock: &str, key: &str, address: &str) -> String {
        let lines = format!("del {CLOUD}. AAAA\nadd {CLOUD}. 60 AAAA {address}");
        let [library, clock, cache, monotonic] = faketime::by(&format!("FAKETIME={clock}"));
        self.told(&["env", &library, &clock, &cache, &monotonic], Tool::KnsUpdate, key, &lines)
    }

    /// By nsupdate, which says nothing where all went well.
    #[track_caller]
    pub(super) fn good(&self, key: &str, lines: &str) {
        assert_eq!(self.told(&[], Tool::NsUpdate, key, lines), "", "{key}: {lines}");
    }
}

/// Sockets on a port below those that the kernel gives out. nsupdate shares its own with whoever does so too (SO_REUSEPORT), this server's among them: then it
/// talks to itself until it gives up.
fn bound(ip: &str) -> (Dns, dns::Sockets) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let port = 10_000 + (std::process::id() as u16 % 50 * 400 + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let dns = settings(&[&format!("{ip}:{port}")]);
        match dns::bind(&dns, []) {
            Ok(sockets) => return (dns, sockets),
            Err(DnsError::Bind(BindError::Taken { .. })) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Tool {
    NsUpdate,
    NsUpdateByTcp,
    KnsUpdate,
    KnsUpdateByTcp,
}

impl Tool {
    const ALL: [Self; 4] = [Self::NsUpdate, Self::NsUpdateByTcp, Self::KnsUpdate, Self::KnsUpdateByTcp];

    fn command(self) -> &'static [&'static str] {
        match self {
            Self::NsUpdate => &["nsupdate", "-t", "10"],
            Self::NsUpdateByTcp => &["nsupdate", "-t", "10", "-v"],
            Self::KnsUpdate => &["knsupdate", "-t", "10"],
            Self::KnsUpdateByTcp => &["knsupdate", "-t", "10", "-v"],
        }
    }
}

/// As both tools take a key.
fn secret_of(key: &str, secret: &str) -> String {
    let algorithm = KEYS.iter().find(|(name, ..)| *name == key).map_or("hmac-sha256", |(_, algorithm, ..)| algorithm.word());
    format!("{algorithm}:{key}:{secret}")
}

/// Starts `tool` with `lines` as its input.
fn start(before: &[&str], tool: Tool, key: Option<&str>, to: SocketAddr, lines: &str) -> std::process::Child {
    let words = [before, tool.command()].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(key) = key {
        command.args(["-y", key]);
    }
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{words:?}: {error}"));
    let script = format!("server {} {}\nzone {ZONE}.\n{lines}\nsend\n", to.ip(), to.port());
    child.stdin.take().expect("an input").write_all(script.as_bytes()).expect("told");
    child
}

fn tell(before: &[&str], tool: Tool, key: Option<&str>, to: SocketAddr, lines: &str) -> String {
    let Output { stdout, stderr, .. } = start(before, tool, key, to, lines).wait_with_output().expect("an end");
    format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)).trim().to_owned()
}

/// The messages that nsupdate sends for each of `lines`, made at the same time.
fn packets(key: &str, lines: impl IntoIterator<Item = String>) -> Vec<Vec<u8>> {
    let begun = lines.into_iter().map(|lines| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let to = socket.local_addr().expect("bound");
        (socket, start(&[], Tool::NsUpdate, Some(&secret_of(key, SECRET)), to, &lines))
    });
    let sent = begun.collect::<Vec<_>>().into_iter().map(|(socket, mut child)| {
        let mut packet = vec![0; 4096];
        let length = socket.recv(&mut packet).expect("an update");
        child.kill().expect("ended");
        child.wait().expect("ended");
        packet.truncate(length);
        packet
    });
    sent.collect()
}

pub(super) fn packet(key: &str, lines: &str) -> Vec<u8> {
    packets(key, [lines.to_owned()]).remove(0)
}

/// A question is asked so often.
const TRIES: u32 = 5;

pub(super) fn sent(to: SocketAddr, packet: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a client");
    socket.set_read_timeout(Some(PATIENCE / TRIES)).expect("a timeout");
    let mut answer = vec![0; 4096];
    // As clients do: behind a burst a datagram may find no room.
    let heard = (0..TRIES).find_map(|_| {
        socket.send_to(packet, to).expect("sent");
        socket.recv_from(&mut answer).ok()
    });
    let (length, from) = heard.expect("an answer");
    assert_eq!(from, to, "from the address that was asked");
    answer.truncate(length);
    answer
}

pub(super) fn add(address: &str) -> String {
    format!("update delete {CLOUD}. AAAA\nupdate add {CLOUD}. 60 AAAA {address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tool_updates_with_every_algorithm() {
    let server = Updating::start().await;
    for (number, (key, tool)) in
        ["all", "all384", "all512.dyn.example.org"].iter().flat_map(|key| Tool::ALL.map(|tool| (key, tool))).enumerate()
    {
        let address = format!("2001:db8:7::{:x}", number + 1);
        let (before, value) = (server.serial(), format!("value-{number}"));
        let lines = match tool {
            Tool::NsUpdate | Tool::NsUpdateByTcp => format!("{}\nupdate add {PROOF}. 60 TXT {value}", add(&address)),
            Tool::KnsUpdate | Tool::KnsUpdateByTcp => {
                format!("del {CLOUD}. AAAA\nadd {CLOUD}. 60 AAAA {address}\nadd {PROOF}. 60 TXT {value}")
            }
        };
        assert_eq!(server.told(&[], tool, key, &lines), "", "{tool:?} with {key}");
        assert_eq!(server.values(CLOUD, "AAAA"), [address], "{tool:?} with {key}");
        assert_eq!(server.serial(), before + 1, "one version");
    }
    let mut values: Vec<String> = (0..12).map(|number| format!("\"value-{number}\"")).collect();
    values.sort();
    assert_eq!(server.values(PROOF, "TXT"), values, "several values at once");
    server.good("proof", &format!("update delete {PROOF}. TXT \"value-3\"\nupdate delete {PROOF}. TXT \"value-4\""));
    assert_eq!(server.values(PROOF, "TXT").len(), 10);
    server.good("proof", &format!("update delete {PROOF}. TXT"));
    assert_eq!(server.values(PROOF, "TXT"), [""; 0]);
    server.good("link", "update add link.dyn.example.org. 60 AAAA 2001:db8:9::9\nupdate add link.dyn.example.org. 60 A 198.51.100.7");
    assert_eq!(server.values("link.dyn.example.org", "AAAA"), [""; 0], "its agent is the authority");
    assert_eq!(server.values("link-router.dyn.example.org", "AAAA"), ["2001:db8:9::9"]);
    assert_eq!(server.values("link.dyn.example.org", "A"), ["192.0.2.11"], "the gateway's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_key_changes_nothing_and_is_told_which_way_it_is_bad() {
    let server = Updating::start().await;
    let before = server.store.snapshot();
    let other = "b3RoZXIgc2VjcmV0IG90aGVyIHNlY3JldCBvdGhlciA=";
    for tool in Tool::ALL {
        let lines = if tool.command()[0] == "nsupdate" { add("2001:db8::1") } else { format!("add {CLOUD}. 60 AAAA 2001:db8::1") };
        let told = |key: Option<&str>| tell(&[], tool, key, server.address, &lines).to_uppercase();
        holds(&told(Some(&secret_of("all", other))), &["BADSIG"]);
        holds(&told(Some(&secret_of("nobody", SECRET))), &["BADKEY"]);
        holds(&told(Some(&format!("hmac-sha512:all:{SECRET}"))), &["BADKEY"]);
        holds(&told(None), &["REFUSED"]);
    }
    assert_eq!(server.store.snapshot(), before);
    let good = packet("all", &add("2001:db8::1"));
    // The ID may be a forwarder's.
    for at in 2..good.len() {
        let mut other = good.clone();
        other[at] ^= 0x04;
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a client");
        socket.send_to(&other, server.address).expect("sent");
    }
    assert_eq!(sent(server.address, &packet("nobody", &add("2001:db8::1")))[3] & 0xF, 9, "all before it was looked at");
    assert_eq!(server.store.snapshot(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn prerequisites_hold_or_nothing_is_done() {
    let server = Updating::start().await;
    server.good("all", &add("2001:db8::1"));
    for (prerequisite, expected) in [
        (format!("prereq nxdomain {CLOUD}."), "YXDOMAIN"),
        ("prereq yxdomain nobody.dyn.example.org.".into(), "NXDOMAIN"),
        (format!("prereq nxrrset {CLOUD}. AAAA"), "YXRRSET"),
        (format!("prereq yxrrset {CLOUD}. MX"), "NXRRSET"),
        (format!("prereq yxrrset {CLOUD}. AAAA 2001:db8::2"), "NXRRSET"),
        ("prereq yxdomain example.net.".into(), "NOTZONE"),
        (format!("prereq yxdomain {CLOUD}.\nprereq nxdomain {CLOUD}."), "YXDOMAIN"),
    ] {
        let said = server.told(&[], Tool::NsUpdate, "all", &format!("{prerequisite}\n{}", add("2001:db8::9")));
        holds(&said, &[expected]);
    }
    assert_eq!(server.values(CLOUD, "AAAA"), ["2001:db8::1"]);
    let all = format!(
        "prereq yxdomain {CLOUD}.\nprereq nxdomain nobody.dyn.example.org.\nprereq nxrrset {CLOUD}. MX\nprereq yxrrset {CLOUD}. A\n\
         prereq yxrrset {CLOUD}. AAAA 2001:db8::1\nprereq yxrrset {ZONE}. NS gw.{ZONE}."
    );
    server.good("all", &format!("{all}\n{}", add("2001:db8::2")));
    assert_eq!(server.values(CLOUD, "AAAA"), ["2001:db8::2"]);
    holds(
        &server.told(&[], Tool::NsUpdate, "all", &format!("{}\nupdate add {CLOUD}. 60 CNAME example.net.", add("2001:db8::9"))),
        &["REFUSED"],
    );
    assert_eq!(server.values(CLOUD, "AAAA"), ["2001:db8::2"], "all or nothing");
}

/// What of all names and types a key is not refused: key, name and type each.
fn taken(server: &Updating, tool: Tool, verb: &str, key: &str) -> Vec<String> {
    let names = ["", "cloud", "link", "cloud-ip6only", "_acme-challenge", "_acme-challenge.cloud", "_dmarc.cloud", "_dmarc", "gw", "new"];
    let kinds = ["A 192.0.2.1", "AAAA 2001:db8::1", "TXT x", "MX 1 a.org.", "SRV 0 0 1 a.org.", "NS a.org."];
    let mut taken = Vec::new();
    for (left, data) in names.iter().flat_map(|left| kinds.map(|data| (left, data))) {
        let owner = format!("{left}.{ZONE}");
        let owner = owner.trim_start_matches('.');
        match server.told(&[], tool, key, &format!("check-names no\nupdate {verb} {owner}. 60 {data}")).as_str() {
            "" => taken.push(format!("{key} {left} {}", data.split_once(' ').expect("a type").0)),
            said => assert_eq!(said, "update failed: REFUSED", "{key} {owner} {data}"),
        }
    }
    taken
}

/// Each key, name, type and transport.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_writes_its_own_records_whatever_way_it_comes() {
    let server = Updating::start().await;
    let mut may = Vec::new();
    for (tool, verb) in [(Tool::NsUpdate, "add"), (Tool::NsUpdateByTcp, "add"), (Tool::NsUpdate, "delete")] {
        // All keys beside each other: these are a thousand runs of nsupdate.
        std::thread::scope(|scope| {
            let of_key = |key| {
                scope.spawn({
                    let server = &server;
                    move || taken(server, tool, verb, key)
                })
            };
            let all = ["all", "address", "proof", "apex", "link"].map(of_key);
            may.extend(all.into_iter().flat_map(|one| one.join().expect("no panic")));
        });
    }
    let of_cloud = [
        "cloud A",
        "cloud AAAA",
        "cloud TXT",
        "cloud MX",
        "cloud SRV",
        "_acme-challenge.cloud TXT",
        "_dmarc.cloud TXT",
        "_dmarc.cloud MX",
        "_dmarc.cloud SRV",
    ];
    let mut expected: Vec<String> = of_cloud.iter().map(|what| format!("all {what}")).collect();
    expected.extend(["address cloud AAAA", "proof _acme-challenge.cloud TXT"].map(str::to_owned));
    // Never the proof for the whole zone.
    let of_apex = ["A", "AAAA", "TXT", "MX", "SRV"].map(|kind| format!("apex  {kind}"));
    expected.extend(of_apex.into_iter().chain(["TXT", "MX", "SRV"].map(|kind| format!("apex _dmarc {kind}"))));
    expected.extend(["link link A", "link link AAAA"].map(str::to_owned));
    assert_eq!(may, [expected.clone(), expected.clone(), expected].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_at_the_same_time_lose_nothing() {
    let server = Updating::start().await;
    let packets = packets("proof", (0..16).map(|number| format!("update add {PROOF}. 60 TXT value-{number}")));
    // Of those that were made in different seconds the older ones would be refused.
    let newest = packets.iter().map(|packet| signed_at(packet)).max().expect("some");
    let together: Vec<&Vec<u8>> = packets.iter().filter(|packet| signed_at(packet) == newest).collect();
    println!("{} of {} were made in the same second", together.len(), packets.len());
    let sockets: Vec<UdpSocket> = together.iter().map(|_| UdpSocket::bind("127.0.0.1:0").expect("a client")).collect();
    for (socket, packet) in sockets.iter().zip(&together) {
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.send_to(packet, server.address).expect("sent");
    }
    let mut answer = [0; 512];
    for socket in &sockets {
        socket.recv(&mut answer).expect("an answer");
        assert_eq!(answer[3] & 0xF, 0);
    }
    assert_eq!(server.values(PROOF, "TXT").len(), together.len());
    assert_eq!(server.counters.sums(Transport::Udp).answers[0], u64::try_from(together.len()).expect("few"), "counted as what they are");
}

/// When `packet`, of key `proof` with HMAC-SHA256, was signed: behind the name of the algorithm.
fn signed_at(packet: &[u8]) -> u64 {
    let name = b"\x0bhmac-sha256\0";
    let at = packet.windows(name.len()).rposition(|part| part == name).expect("a signature") + name.len();
    packet[at..at + 6].iter().fold(0, |time, byte| time << 8 | u64::from(*byte))
}

#[tokio::test(flavor = "multi_thread")]
async fn nsupdate_finds_the_zone_by_itself() {
    let server = Updating::start().await;
    let (ip, port) = (server.address.ip(), server.address.port());
    let script = format!("server {ip} {port}\n{}\nsend\n", add("2001:db8::1"));
    let mut child = Command::new("nsupdate").args(["-y", &secret_of("all", SECRET)]).stdin(Stdio::piped()).spawn().expect("nsupdate");
    child.stdin.take().expect("an input").write_all(script.as_bytes()).expect("told");
    assert!(child.wait().expect("an end").success());
    assert_eq!(server.values(CLOUD, "AAAA"), ["2001:db8::1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_an_update_comes_from_the_address_that_was_asked() {
    let server = Updating::on("0.0.0.0").await;
    for (number, ip) in ["127.0.0.1", "127.0.0.2", "127.4.5.6"].into_iter().enumerate() {
        let to = SocketAddr::new(ip.parse().expect("an address"), server.address.port());
        let answer = sent(to, &packet("all", &add(&format!("2001:db8:5::{number}"))));
        assert_eq!(answer[3] & 0xF, 0);
    }
}

/// What dig says of a question that is signed with this.
fn asked(server: &Updating, more: &[&str], key: &str, name: &str, kind: &str) -> String {
    let (ip, port) = (server.address.ip().to_string(), server.address.port().to_string());
    let output = Command::new("dig").args(["+norec", "-p", &port, &format!("@{ip}"), "-y", key, name, kind]).args(more).output();
    let Output { stdout, stderr, .. } = output.expect("dig is in dnsutils");
    format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_question_is_answered_signed() {
    let server = Updating::start().await;
    for number in 0..12 {
        server.good("proof", &format!("update add {PROOF}. 60 TXT value-{number}-of-a-proof-that-is-as-long-as-proofs-are"));
    }
    for more in ["+notcp", "+tcp", "+noedns", "+bufsize=512"] {
        for key in ["all", "all384", "all512.dyn.example.org", "link"] {
            // dig verifies, and says where it cannot.
            let said = asked(&server, &[more], &secret_of(key, SECRET), ZONE, "SOA");
            holds(&said, &["status: NOERROR", "TSIG\thmac-sha", "NOERROR 0"]);
            assert!(!said.contains("verify"), "{more} {key}: {said}");
            let said = asked(&server, &[more], &secret_of(key, SECRET), "nobody.dyn.example.org", "A");
            holds(&said, &["status: NXDOMAIN", "SOA", "NOERROR 0"]);
            let said = asked(&server, &[more], &secret_of(key, SECRET), PROOF, "TXT");
            assert!(!said.contains("verify"), "{more} {key}: {said}");
            assert_eq!(said.matches("as-long-as").count(), 12, "what does not fit beside the signature comes by TCP: {said}");
        }
        let cut = asked(&server, &[more, "+ignore"], &secret_of("all", SECRET), PROOF, "TXT");
        assert_eq!(cut.contains("qr aa tc"), more != "+tcp" && more != "+notcp", "{more}: {cut}");
        for (key, error) in [
            (secret_of("all", "b3RoZXIgc2VjcmV0IG90aGVyIHNlY3JldCBvdGhlciA="), "BADSIG"),
            (secret_of("nobody", SECRET), "BADKEY"),
            (format!("hmac-sha512:all:{SECRET}"), "BADKEY"),
        ] {
            let said = asked(&server, &[more], &key, CLOUD, "A");
            holds(&said, &["status: NOTAUTH", error]);
            assert!(!said.contains("192.0.2.11\n"), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_changes_all_the_time_is_refused_and_no_other() {
    let server = Updating::start().await;
    let lines = |number: usize| add(&format!("2001:db8:7::{number:x}"));
    let is_refused = |key: &str, number: usize| {
        let said = server.told(&[], Tool::NsUpdate, key, &lines(number));
        assert!(["", "update failed: REFUSED"].contains(&said.as_str()), "{said}");
        !said.is_empty()
    };
    // A slow machine has more time for them, and is given one more each two seconds.
    let until_refused = |key: &str, first: usize| (first..100).find(|number| is_refused(key, *number)).expect("an end");
    let began = Instant::now();
    let refused = until_refused("all", 1);
    assert!((31..=32 + began.elapsed().as_secs() as usize / 2).contains(&refused), "{} changes passed", refused - 1);
    let refused = until_refused("address", refused);
    assert!(refused <= 32 + began.elapsed().as_secs() as usize / 2, "{refused}: whichever key of that host");
    assert_eq!(server.values(CLOUD, "AAAA"), [format!("2001:db8:7::{:x}", refused - 1)]);
    server.good("all", &lines(refused - 1));
    server.good("link", "update add link.dyn.example.org. 60 AAAA 2001:db8:9::9");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_what_an_update_client_says() {
    let server = Updating::start().await;
    let join = JoinSecret { secret: Digest([1; 32]), expires: Timestamp::UNIX_EPOCH, spent_by: None };
    let edits = ["follows=cloud", "suffix=::22"].map(|edit| edit.parse().expect("an edit")).into();
    server.store.commit(Change::Add { host: host("nas"), edits, join, update: Digest([2; 32]), reuse: false }).await.expect("a follower");
    server.good("address", &add("2001:db8:1::11"));
    let serial = server.serial();
    server.good("address", &add("2001:db8:2::11"));
    assert_eq!(server.values("nas.dyn.example.org", "AAAA"), ["2001:db8:2::22"], "who follows moves, too");
    assert_eq!(server.serial(), serial + 1, "in one version");
    for nowhere in ["fe80::1", "fd00::1", "::1", "ff02::1", "2002:c000:20b::1", "64:ff9b::1"] {
        assert_eq!(server.told(&[], Tool::NsUpdate, "address", &add(nowhere)), "update failed: REFUSED", "{nowhere}");
    }
    assert_eq!(server.values(CLOUD, "AAAA"), ["2001:db8:2::11"]);
}
