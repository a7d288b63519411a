//! The DNS that fourward does not run: the registrar's name server and everybody's resolver.
//!
//! nsd serves the root and `example.org`, where the delegation, the user's CNAME and two traps stand;
//! unbound walks down from that root and knows no shortcut. Both stay in the foreground.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::clock::wait_for;
use crate::daemon::Daemon;
use crate::netns::Ns;
use crate::topology::{REGISTRAR4, REGISTRAR6, RESOLVER4, RESOLVER6, VPS4, VPS6};

/// Both start in well under a second; the machine may be busy.
const START: Duration = Duration::from_secs(10);

/// The resolver's place in what [`start`] returns.
pub(crate) const RESOLVER: usize = 1;

/// Starts both and waits until the resolver finds a name through the registrar.
pub(crate) fn start(ns: &Ns, dir: &Path) -> [Daemon; 2] {
    let home = dir.join("dns");
    fs::create_dir(&home).expect("make the folder of the name servers");
    let write = |name: &str, text: String| {
        let path = home.join(name);
        fs::write(&path, text).expect("write a name server's file");
        path.display().to_string()
    };
    write("root.zone", root_zone());
    write("example.org.zone", registrar_zone());
    let nsd = write("nsd.conf", nsd_config(&home));
    let hints = write("hints", format!(". 3600 NS a.root.\na.root. 3600 A {REGISTRAR4}\na.root. 3600 AAAA {REGISTRAR6}\n"));
    let unbound = write("unbound.conf", unbound_config(&hints));

    let mut registrar = Daemon::start(ns, dir.join("logs/nsd"), "nsd", &["-d", "-c", &nsd]);
    registrar.ready("nsd", START, || asks(ns, REGISTRAR4, "owncloud.example.org", "CNAME"));
    let mut resolver = Daemon::start(ns, dir.join("logs/unbound"), "unbound", &["-d", "-p", "-c", &unbound]);
    resolver.ready("unbound", START, || asks(ns, RESOLVER4, "owncloud.example.org", "CNAME"));
    [registrar, resolver]
}

/// Rewrites a file of the name servers. The registrar's zone gets a new serial, by which it is known to be served.
pub(crate) fn edit(dir: &Path, file: &str, edit: impl Fn(String) -> String) {
    let path = dir.join("dns").join(file);
    let before = fs::read_to_string(&path).expect("a name server's file");
    let after = edit(before.clone());
    assert_ne!(before, after, "{file} was not changed");
    let serial = serial_of(&after);
    fs::write(&path, after.replacen(&format!("nobody {serial} "), &format!("nobody {} ", serial + 1), 1)).expect("write it again");
}

fn serial_of(zone: &str) -> u32 {
    let number = zone.split("nobody ").nth(1).and_then(|rest| rest.split(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Waits until the registrar serves what its file says.
pub(crate) fn wait_until_served(ns: &Ns, dir: &Path) {
    let serial = serial_of(&fs::read_to_string(dir.join("dns/example.org.zone")).expect("the registrar's zone")).to_string();
    wait_for("the registrar serves its new zone", START, || {
        let output = ns.run("dig", &[&format!("@{REGISTRAR4}"), "+short", "+tries=1", "+time=1", "example.org", "SOA"]);
        String::from_utf8_lossy(&output.stdout).split(' ').nth(2) == Some(&serial)
    });
}

/// Waits until the resolver answers again.
pub(crate) fn wait_until_resolving(ns: &Ns) {
    wait_for("the resolver answers", START, || {
        let output = ns.run("dig", &[&format!("@{RESOLVER4}"), "+short", "+tries=1", "+time=1", "example.org", "NS"]);
        output.status.success() && output.stdout.starts_with(b"ns.")
    });
}

fn asks(ns: &Ns, server: &str, name: &str, kind: &str) -> bool {
    let output = ns.run("dig", &[&format!("@{server}"), "+short", "+tries=1", "+time=1", name, kind]);
    output.status.success() && output.stdout.starts_with(b"cloud.")
}

fn root_zone() -> String {
    format!(
        "$TTL 3600\n\
         . SOA a.root. nobody.root. 1 3600 600 86400 60\n\
         . NS a.root.\n\
         a.root. A {REGISTRAR4}\n\
         a.root. AAAA {REGISTRAR6}\n\
         example.org. NS ns.example.org.\n\
         ns.example.org. A {REGISTRAR4}\n\
         ns.example.org. AAAA {REGISTRAR6}\n"
    )
}

fn registrar_zone() -> String {
    format!(
        "$ORIGIN example.org.\n$TTL 3600\n\
         @ SOA ns nobody 1 3600 600 86400 60\n\
         @ NS ns\n\
         ns A {REGISTRAR4}\n\
         ns AAAA {REGISTRAR6}\n\
         dyn NS gw.dyn\n\
         gw.dyn A {VPS4}\n\
         gw.dyn AAAA {VPS6}\n\
         gw A {VPS4}\n\
         gw AAAA {VPS6}\n\
         acme A {RESOLVER4}\n\
         owncloud CNAME cloud.dyn\n\
         gwalias CNAME gw.dyn\n\
         twinalias CNAME cloud-ip6only.dyn\n\
         loop-a CNAME loop-b\n\
         loop-b CNAME loop-a\n"
    )
}

fn nsd_config(home: &Path) -> String {
    let home = home.display();
    format!(
        "server:
    ip-address: {REGISTRAR4}
    ip-address: {REGISTRAR6}
    server-count: 1
    username: \"\"
    chroot: \"\"
    database: \"\"
    pidfile: \"\"
    xfrdfile: \"\"
    zonesdir: \"{home}\"
    xfrdir: \"{home}\"
    zonelistfile: \"{home}/zone.list\"
    rrl-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: \".\"
    zonefile: \"root.zone\"
zone:
    name: \"example.org\"
    zonefile: \"example.org.zone\"
"
    )
}

/// `infra-host-ttl` is short, because the gateway's name server is not there yet when a lab begins
/// and some tests restart it: a resolver that gave up on it would hide what we measure.
fn unbound_config(hints: &str) -> String {
    format!(
        "server:
    interface: {RESOLVER4}
    interface: {RESOLVER6}
    access-control: 0.0.0.0/0 allow
    access-control: ::/0 allow
    module-config: \"iterator\"
    root-hints: \"{hints}\"
    username: \"\"
    chroot: \"\"
    pidfile: \"\"
    logfile: \"\"
    use-syslog: no
    do-daemonize: no
    num-threads: 1
    prefetch: no
    serve-expired: no
    infra-host-ttl: 1
    infra-keep-probing: yes
remote-control:
    control-enable: no
"
    )
}
