//! What can be wrong with TLS: certificates, other servers in between, no TLS at all.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::home::inside;
use crate::authority::{DAYS90, DIRECTORY};
use crate::clock::wait_for;
use crate::daemon::Daemon;
use crate::lab::Lab;
use crate::netns::Ns;
use crate::roles::{DUAL, OWN, PUBLISHED, TWIN};
use crate::topology::Node::{Laptop, Phone4, Phone6, Router, Server};
use crate::web;

/// Year, month and day.
type Day = (i32, u8, u8);

const LONG_AGO: Day = (2020, 1, 1);
const NEVER: Day = (2090, 1, 1);

/// So many days from now.
fn in_days(days: i64) -> Day {
    let then = (Timestamp::now() + SignedDuration::from_hours(days * 24)).to_zoned(TimeZone::UTC);
    (then.year().into(), then.month().unsigned_abs(), then.day().unsigned_abs())
}

/// A certificate and its key, as PEM.
fn certificate(name: &str, (from, until): (Day, Day)) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let day = |(year, month, day)| date_time_ymd(year, month, day);
    (params.not_before, params.not_after) = (day(from), day(until));
    (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

fn serve_with(lab: &mut Lab, name: &str, span: (Day, Day)) {
    let (pem, key) = certificate(name, span);
    let web = lab.dir().join("web");
    fs::write(web.join("server.pem"), pem).expect("written");
    fs::write(web.join("server.key"), key).expect("written");
    lab.web().kill();
    lab.web().start_again();
    wait_for("Apache is back", PUBLISHED, || lab.ns(Server).run("curl", &["-sSk", "https://127.0.0.1/"]).status.success());
}

/// Another TLS server at home, with a certificate of its own.
fn other_server(lab: &Lab, port: u16, options: &[&str]) -> Daemon {
    let (pem, key) = certificate(DUAL, (LONG_AGO, NEVER));
    let files = [lab.dir().join("other.pem"), lab.dir().join("other.key")];
    fs::write(&files[0], pem).expect("written");
    fs::write(&files[1], key).expect("written");
    let [pem, key] = files.map(|file| file.display().to_string());
    let port = port.to_string();
    let arguments = ["s_server", "-6", "-accept", &port, "-quiet", "-www", "-cert", &pem, "-key", &key];
    let mut other = Daemon::start(lab.ns(Server), lab.log("other"), "openssl", &[&arguments, options].concat());
    let url = format!("https://[::1]:{port}/");
    other.ready("the other server", PUBLISHED, || lab.ns(Server).run("curl", &["-sSk", &url]).status.success());
    other
}

#[test]
fn a_wrong_certificate_is_named() {
    let mut lab = Lab::beside_others();
    let (vps, home) = lab.start_figure();
    let both = |lab: &Lab, remedy: &str| {
        inside(&vps, &home, "certificate", remedy);
        lab.check(Phone6, DUAL).names_only("certificate", remedy);
        lab.check(Phone4, DUAL).names_only("certificate", remedy);
    };
    serve_with(&mut lab, DUAL, (LONG_AGO, in_days(-1)));
    both(&lab, "renew");
    serve_with(&mut lab, DUAL, (LONG_AGO, in_days(13)));
    both(&lab, "renew");
    serve_with(&mut lab, DUAL, (NEVER, (2091, 1, 1)));
    both(&lab, "clock");
    serve_with(&mut lab, "other.example.org", (LONG_AGO, NEVER));
    both(&lab, DUAL);
    serve_with(&mut lab, DUAL, (LONG_AGO, in_days(16)));
    vps.check(DUAL).is_healthy("server", &["path4", "path6"]);
}

/// A listener that speaks another protocol; it ends with its namespace's test.
fn speak_ssh(ns: &Ns) {
    let (ready, is_ready) = std::sync::mpsc::channel();
    ns.thread(move || {
        let listener = TcpListener::bind("[::]:443").expect("a listener");
        ready.send(()).expect("told");
        for mut stream in listener.incoming().flatten() {
            if stream.write_all(b"SSH-2.0-OpenSSH_10.0\r\n").is_err() {
                continue;
            }
        }
    });
    is_ready.recv().expect("it listens");
}

#[test]
fn what_speaks_no_tls_or_none_that_fits_is_named() {
    let mut lab = Lab::beside_others();
    let (vps, home) = lab.start_figure();
    let named = |lab: &Lab| {
        inside(&vps, &home, "path6", "set up TLS");
        lab.check(Phone6, DUAL).names_only("path6", "set up TLS");
        lab.check(Phone4, DUAL).names_only("path4", "set up TLS");
    };
    lab.web().kill();
    // Only what nobody should speak any more.
    let old = other_server(&lab, 443, &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"]);
    named(&lab);
    drop(old);
    speak_ssh(lab.ns(Server));
    named(&lab);
}

#[test]
fn two_servers_behind_one_name_are_named() {
    let lab = Lab::beside_others();
    let (vps, _home) = lab.start_figure();
    // Somebody's proxy answers IPv6 clients, but not the gateway.
    let _other = other_server(&lab, 9443, &[]);
    lab.ns(Server).nft("table ip6 other {\n chain prerouting {\n type nat hook prerouting priority dstnat;\n ip6 saddr 192::/128 accept\n ip6 saddr 2001:db8:a::11 accept\n tcp dport 443 redirect to :9443\n }\n}");
    lab.ns(Router).nft("add rule inet home forward tcp dport 9443 accept");
    lab.check(Laptop, DUAL).names_only("same-server", "both ways");
    vps.check(DUAL).is_healthy("server", &["same-server"]);
}

/// `home-port` leads the gateway to another service than the one that IPv6 clients find.
#[test]
fn a_gateway_that_is_led_to_another_service_is_named() {
    let lab = Lab::beside_others();
    let (vps, mut home) = lab.start_figure();
    let _other = other_server(&lab, 9443, &[]);
    lab.ns(Router).nft("add rule inet home forward tcp dport 9443 accept");
    let config = lab.dir().join("home/fourward.toml");
    let text = fs::read_to_string(&config).expect("the home's configuration");
    let services = "[agent]\nservices = [\"tcp/443\", \"tcp/80\", \"tcp/9443\"]\n";
    let kept = text.lines().filter(|line| !line.trim_start_matches("# ").starts_with("services"));
    let offering: String = kept.map(|line| if line == "[agent]" { services.to_owned() } else { format!("{line}\n") }).collect();
    fs::write(&config, offering).expect("written");
    home.restart();
    lab.wait_until_published(TWIN, lab.home());
    assert!(vps.tell(&["host", "set", "cloud", "home-port=tls=9443"]).status.success());
    lab.check_until("same-server", || home.check(DUAL));
    inside(&vps, &home, "same-server", "both ways");
    // Only who has both families can compare.
    lab.check(Laptop, DUAL).names_only("same-server", "both ways");
}

/// The certificate of the gateway's own name, which routers meet.
#[test]
fn a_certificate_of_our_own_name_that_nobody_renews_is_named() {
    let lab = Lab::beside_others();
    let (pem, key) = (lab.dir().join("own.pem"), lab.dir().join("own.key"));
    let write = |name: &str, until: Day| {
        let (certificate, secret) = certificate(name, (LONG_AGO, until));
        fs::write(&key, secret).expect("written");
        fs::write(&pem, certificate).expect("written");
    };
    write(OWN, in_days(60));
    let files = format!("certificate = \"{}\"\nkey = \"{}\"\n", pem.display(), key.display());
    let mut vps = lab.start_vps_with(&["--no-acme"], |text| with_control(&text, &files));
    let home = lab.start_home(&vps.add_host("cloud", &[]));
    lab.check(Phone6, DUAL).notes("own-certificate");
    vps.check(DUAL).is_healthy("server", &["own-certificate"]);
    for (name, until, remedy) in [(OWN, in_days(13), "renew"), (OWN, in_days(-1), ""), ("other.example.org", in_days(60), "")] {
        write(name, until);
        vps.restart();
        lab.check_until("own-certificate", || home.check(DUAL)).names_only("own-certificate", "");
        vps.check(DUAL).names_only("own-certificate", remedy);
        for client in [Phone4, Phone6] {
            lab.check(client, DUAL).names_only("own-certificate", "the server");
        }
    }
}

/// The configuration with these lines in its table `[control]`.
fn with_control(text: &str, lines: &str) -> String {
    text.lines().map(|line| if line.starts_with("[control]") { format!("{line}\n{lines}") } else { format!("{line}\n") }).collect()
}

/// For an order to be tried and refused.
const ORDERED: Duration = Duration::from_secs(30);

/// An order that the authority refuses leaves the self-signed one.
#[test]
fn an_order_that_fails_is_named() {
    let lab = Lab::beside_others();
    let _authority = lab.start_authority(DAYS90, &[OWN]);
    let root = web::authority(lab.dir()).display().to_string();
    let options = ["--email", "me@example.org", "--acme-directory", DIRECTORY, "--acme-root", &root];
    let vps = lab.start_vps_with(&options, |text| text);
    let _home = lab.start_home(&vps.add_host("cloud", &[]));
    // A router that sends updates refuses a certificate that nobody signed; a home with an agent needs none.
    vps.add_host("box", &["address-from=update"]);
    wait_for("the order was refused", ORDERED, || vps.check("box.dyn.example.org").faults().contains(&"own-certificate"));
    vps.check(DUAL).notes("own-certificate");
}
