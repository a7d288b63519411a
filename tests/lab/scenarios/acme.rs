//! The certificate of the gateway's own name: ordered, kept, renewed, or the owner's own; and what is shown where none is to be had.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::authority::{DAYS90, DIRECTORY, DIRECTORY_WITH_RENEWAL, certify};
use crate::clock::{throughout, wait_for, wait_for_some};
use crate::lab::Lab;
use crate::roles::{DUAL, OWN, Role, said};
use crate::topology::Node::{Dns, Phone4, Phone6, Server, Vps};
use crate::topology::VPS4;
use crate::web;

/// An order takes seconds; the machine may be busy, and pebble refuses some nonces.
pub(super) const ORDERED: Duration = Duration::from_secs(60);

/// A restarted gateway answers in well under a second.
const STARTED: Duration = Duration::from_secs(10);

/// Files are looked at every ten seconds.
const NOTICED: Duration = Duration::from_secs(40);

impl Lab {
    pub(super) fn start_vps_ordering(&self, more: &[&str]) -> Role {
        self.start_vps_ordering_at(DIRECTORY, more)
    }

    fn start_vps_ordering_at(&self, directory: &str, more: &[&str]) -> Role {
        let root = web::authority(self.dir()).display().to_string();
        let acme = ["--email", "me@example.org", "--acme-directory", directory, "--acme-root", &root];
        self.start_vps_with(&[&acme, more].concat(), |written| written)
    }

    /// Closes the way from the resolver, and so from the authority, to our name server.
    fn close_port_53(&self) {
        self.ns(Vps).nft(
            "table inet closed {\nchain input {\ntype filter hook input priority filter
             ip saddr 192.0.2.48/28 meta l4proto { tcp, udp } th dport 53 drop
             ip6 saddr 2001:db8:53::/64 meta l4proto { tcp, udp } th dport 53 drop\n}\n}\n",
        );
    }

    /// The certificate that clients of `name` meet: its serial number.
    fn serial_of(&self, name: &str) -> String {
        let command =
            format!("openssl s_client -connect {name}:443 -servername {name} </dev/null 2>/dev/null | openssl x509 -noout -serial");
        let output = self.ns(Phone4).run("sh", &["-c", &command]);
        let serial = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(serial.starts_with("serial="), "{}", said(&output));
        serial
    }

    /// Whether clients of `name` take its certificate by this authority.
    fn trusts(&self, authority: &Path, name: &str) -> bool {
        let authority = authority.display().to_string();
        let page = |node| self.fetch(node, &format!("https://{name}/"), &["--cacert", &authority]);
        [Phone4, Phone6].into_iter().all(|node| page(node).is_ok_and(|page| page.code == 200))
    }
}

impl Role {
    fn certificate(&self) -> Value {
        let output = self.tell(&["status", "--json"]);
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        status["certificate"].clone()
    }

    pub(super) fn wait_for_certificate(&self, source: &str, limit: Duration) {
        wait_for(&format!("the certificate is {source}: {}", self.certificate()), limit, || self.certificate()["source"] == source);
    }

    /// Why there is no newer certificate, once that is known.
    fn wait_for_error(&self, limit: Duration) -> String {
        wait_for_some("an error", limit, || self.certificate()["last_error"].as_str().map(str::to_owned))
    }

    /// Until the next try, in seconds. It is known a moment after the certificate.
    fn next_try(&self) -> i64 {
        let next = wait_for_some("the time of the next try", STARTED, || self.certificate()["next"].as_str().map(str::to_owned));
        let next: jiff::Timestamp = next.parse().expect("a time");
        next.duration_since(jiff::Timestamp::now()).as_secs()
    }
}

#[test]
fn a_certificate_is_ordered_by_dns_and_kept_over_restarts() {
    let lab = Lab::beside_others();
    let authority = lab.start_authority(DAYS90, &[]);
    let mut vps = lab.start_vps_ordering(&[]);
    vps.wait_for_certificate("acme", ORDERED);
    let (issuer, serial) = (lab.issuer(), lab.serial_of(OWN));
    assert!(lab.trusts(&issuer, OWN) && !lab.trusts(&web::authority(lab.dir()), OWN));
    assert!(lab.dig(Dns, Some(VPS4), &format!("_acme-challenge.{OWN}"), "TXT").records.is_empty(), "the proof is taken back");
    assert!(vps.next_try() > 50 * 86_400, "renewed after two thirds: {}", vps.certificate());

    let added = said(&vps.tell(&["host", "add", "cloud", "address-from=update"]));
    assert!(added.contains("root certificate of the authority"), "{added}");
    let password = added.split("Password     ").nth(1).and_then(|rest| rest.lines().next()).expect("a password").trim();
    let url = format!("https://{OWN}/nic/update?hostname={DUAL}&myip={}", lab.home());
    let options = ["--user", &format!("cloud:{password}"), "--cacert", &issuer.display().to_string()];
    let page = lab.fetch(Server, &url, &options).expect("an update over TLS that is verified");
    assert!(page.body.starts_with("good"), "{page:?}");

    vps.kill_and_start();
    wait_for("the gateway is back", STARTED, || lab.trusts(&issuer, OWN));
    vps.restart();
    wait_for("the gateway is back again", STARTED, || lab.trusts(&issuer, OWN));
    assert_eq!(vps.certificate()["source"], "acme");
    assert_eq!(lab.serial_of(OWN), serial);
    assert_eq!((authority.count("Issued certificate"), authority.count("accounts in memory")), (1, 1), "ordered once");
    let log = fs::read_to_string(lab.log("fourward-vps")).expect("a log");
    assert!(log.contains("the certificate of our own name") && log.contains("source=acme"), "{log}");
}

#[test]
fn a_short_lived_certificate_is_renewed_without_a_restart() {
    let lab = Lab::beside_others();
    let mut authority = lab.start_authority(45, &[]);
    let vps = lab.start_vps_ordering(&[]);
    vps.wait_for_certificate("acme", ORDERED);
    let (issuer, first) = (lab.issuer(), lab.serial_of(OWN));
    wait_for("a new certificate is shown", ORDERED, || lab.serial_of(OWN) != first);
    assert!(lab.trusts(&issuer, OWN));
    assert!(authority.count("Issued certificate") >= 2);
    assert_eq!(authority.count("accounts in memory"), 1, "the account is used again");
    assert_eq!(vps.certificate()["last_error"], Value::Null);

    // An authority that has forgotten everybody: pebble keeps nothing.
    authority.daemon.kill();
    authority.daemon.start_again();
    wait_for("one of the new root is shown", ORDERED * 2, || lab.try_issuer().is_some_and(|issuer| lab.trusts(&issuer, OWN)));
    assert_eq!(authority.count("accounts in memory"), 2, "a new account");
}

#[test]
fn the_authority_s_wish_to_renew_is_followed() {
    let lab = Lab::beside_others();
    let authority = lab.start_authority(180, &[]);
    let _information = lab.start_renewal_information();
    let vps = lab.start_vps_ordering_at(DIRECTORY_WITH_RENEWAL, &[]);
    vps.wait_for_certificate("acme", ORDERED);
    // Two thirds of three minutes; at the authority's wish it is one.
    assert!(vps.next_try() > 70, "{}", vps.certificate());
    wait_for("the authority's wish is known", ORDERED, || vps.next_try() < 60);
    let first = lab.serial_of(OWN);
    wait_for("a new certificate is shown", ORDERED * 2, || lab.serial_of(OWN) != first);
    assert_eq!((authority.count("Issued certificate"), &vps.certificate()["last_error"]), (2, &Value::Null));
    let asked = fs::read_to_string(lab.log("renewal-information")).expect("a log");
    assert!(asked.lines().any(|line| line.starts_with("GET /renewal/") && line.ends_with(" 200")), "{asked}");
}

#[test]
fn a_name_outside_the_zone_is_proven_on_port_80() {
    let lab = Lab::beside_others();
    let authority = lab.start_authority(DAYS90, &[]);
    let name = "gw.example.org";
    let vps = lab.start_vps_ordering(&["--name", name]);
    vps.wait_for_certificate("acme", ORDERED);
    assert!(lab.trusts(&lab.issuer(), name));
    assert_eq!(authority.count("Issued certificate"), 1);
    let asked = |target: &str| lab.fetch(Phone4, &format!("http://{name}{target}"), &[]).expect("an answer").code;
    assert_eq!(asked("/.well-known/acme-challenge/unknown"), 404, "only what an order put there");
    assert_eq!(asked("/"), 308, "the rest is redirected as ever");
}

#[test]
fn an_authority_that_is_away_disturbs_nothing_and_is_found_when_it_comes() {
    let lab = Lab::beside_others();
    let vps = lab.start_vps_ordering(&[]);
    let error = vps.wait_for_error(ORDERED);
    assert!(error.contains("is not reached") && error.contains(DIRECTORY), "{error}");
    assert_eq!(vps.certificate()["source"], "self-signed");
    let told = said(&vps.tell(&["status"]));
    assert!(told.contains("self-signed") && told.contains("is not reached"), "{told}");
    assert!(fs::read_to_string(lab.log("fourward-vps")).expect("a log").contains("is not reached"));
    assert_eq!(lab.dig(Phone4, None, OWN, "A").of("A"), [VPS4]);
    assert_eq!(lab.fetch(Phone4, &format!("https://{OWN}/"), &["--insecure"]).expect("the page").code, 200);
    let _authority = lab.start_authority(DAYS90, &[]);
    vps.wait_for_certificate("acme", Duration::from_secs(120));
    assert!(lab.trusts(&lab.issuer(), OWN));
    assert_eq!(vps.certificate()["last_error"], Value::Null);
}

#[test]
fn an_authority_that_refuses_is_not_asked_again_at_once_nor_after_a_restart() {
    let lab = Lab::beside_others();
    let authority = lab.start_authority(DAYS90, &[OWN]);
    let mut vps = lab.start_vps_ordering(&[]);
    let error = vps.wait_for_error(ORDERED);
    assert!(error.contains("the authority refuses") && error.contains("rejectedIdentifier"), "{error}");
    wait_for("the next try is minutes away", ORDERED, || (200..=400).contains(&vps.next_try()));
    let asked = || authority.count("POST /order-plz");
    let before = asked();
    vps.kill_and_start();
    wait_for("the gateway is back", STARTED, || vps.certificate()["next"].is_string());
    assert!(vps.next_try() > 150, "{}", vps.certificate());
    throughout(Instant::now() + Duration::from_secs(3), || assert_eq!(asked(), before, "asked again"));
    assert_eq!(vps.certificate()["source"], "self-signed");
}

#[test]
fn a_proof_that_the_world_does_not_find_is_explained() {
    let lab = Lab::beside_others();
    let _authority = lab.start_authority(DAYS90, &[]);
    lab.close_port_53();
    let vps = lab.start_vps_ordering(&[]);
    let error = vps.wait_for_error(Duration::from_secs(120));
    assert!(error.contains(&format!("dig +trace TXT _acme-challenge.{OWN}")) && error.contains("port 53"), "{error}");
    assert!(vps.next_try() > 100, "it counts as a refusal: {}", vps.certificate());
    let left = || lab.dig(Phone4, Some(VPS4), &format!("_acme-challenge.{OWN}"), "TXT").records;
    wait_for("the proof is taken back", STARTED, || left().is_empty());
}

#[test]
fn a_gateway_that_is_killed_in_the_middle_of_an_order_takes_its_proof_back_and_does_not_hurry() {
    let lab = Lab::beside_others();
    let _authority = lab.start_authority(DAYS90, &[]);
    lab.close_port_53();
    let mut vps = lab.start_vps_ordering(&[]);
    let proof = || lab.dig(Phone4, Some(VPS4), &format!("_acme-challenge.{OWN}"), "TXT");
    wait_for("the proof is shown", ORDERED, || !proof().records.is_empty());
    vps.kill_and_start();
    wait_for("the proof is taken back", STARTED, || proof().status == "NXDOMAIN");
    assert!(fs::read_to_string(lab.log("fourward-vps")).expect("a log").contains("an order was cut off"));
    assert!(vps.next_try() > 150, "{}", vps.certificate());
}

#[test]
fn the_owner_s_files_are_shown_and_followed() {
    let lab = Lab::beside_others();
    let folder = lab.dir().join("own");
    fs::create_dir(&folder).expect("a folder");
    let (live, authority) = (folder.join("live"), web::authority(lab.dir()));
    certify(lab.dir(), &live, OWN);
    let files = format!("certificate = \"{}\"\nkey = \"{}\"\n", live.with_extension("pem").display(), live.with_extension("key").display());
    let vps = lab.start_vps_with(&[], |written| written.replace("[control]", &format!("[control]\n{files}#")));
    assert_eq!((&vps.certificate()["source"], &vps.certificate()["next"]), (&"files".into(), &Value::Null), "nothing is ordered");
    assert!(lab.trusts(&authority, OWN));
    let first = lab.serial_of(OWN);

    fs::write(live.with_extension("pem"), "half a fi").expect("a broken file");
    let error = vps.wait_for_error(NOTICED);
    assert!(error.contains("control.certificate") && error.contains("no certificate in it"), "{error}");
    assert!(lab.trusts(&authority, OWN) && lab.serial_of(OWN) == first, "the one before stays");

    certify(lab.dir(), &live, OWN);
    wait_for("the new one is shown", NOTICED, || lab.serial_of(OWN) != first);
    assert!(lab.trusts(&authority, OWN));
    assert_eq!(vps.certificate()["last_error"], Value::Null);
}
