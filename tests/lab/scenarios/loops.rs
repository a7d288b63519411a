//! Whatever leads the gateway to itself is refused: no second hop, and its descriptors come back.

use std::time::{Duration, Instant};

use crate::clock::{throughout, wait_for};
use crate::lab::Lab;
use crate::probe::{Reply, Speech};
use crate::roles::{DUAL, Role, said};
use crate::topology::Node::{Dns, Phone4, Vps};
use crate::topology::{VPS4, VPS6};

/// How often each trap is tried: enough that a leak of one descriptor a time stands out.
const TRIES: usize = 25;
/// For an agent to report an address and have it refused.
const WHILE: Duration = Duration::from_secs(4);
/// For closed connections to be gone from the gateway.
const SETTLED: Duration = Duration::from_secs(10);
/// No trap may hold its client.
const AT_ONCE: Duration = Duration::from_secs(6);

#[test]
fn a_host_told_to_publish_the_gateways_own_address_is_refused() {
    let lab = Lab::new();
    let (vps, _home) = lab.start_figure();
    // A neighbour of the gateway is refused with it: its network is not a home.
    for address in [VPS6, "2001:db8:a::99", "::1", "fe80::1", "::ffff:192.0.2.11"] {
        let output = vps.tell(&["host", "add", "trap", "address-from=static", &format!("address={address}")]);
        assert!(!output.status.success(), "{address} was taken: {}", said(&output));
    }
    let listed = said(&vps.tell(&["host", "list", "--json"]));
    assert!(!listed.contains("trap"), "a refused host leaves nothing behind: {listed}");
}

/// The address was a home's when it was set; the gateway got it later.
#[test]
fn an_address_that_becomes_the_gateways_own_is_not_dialled_any_more() {
    let lab = Lab::new();
    let (vps, _home) = lab.start_figure();
    const TRAP: &str = "2001:db8:7ab::1";
    vps.add_host("trap", &["address-from=static", &format!("address={TRAP}")]);
    lab.ns(Vps).ip(&format!("addr add {TRAP}/128 dev lo nodad"));
    wait_for("the gateway knows its new address", SETTLED, || {
        std::fs::read_to_string(lab.log("fourward-vps")).is_ok_and(|log| log.contains("the address policy follows"))
    });
    let base = base_of(&lab, &vps);
    try_trap(&lab, "trap.dyn.example.org", &[Reply::Gateway]);
    assert_unharmed(&lab, &vps, base);
}

#[test]
fn an_agent_on_the_gateway_itself_gets_no_address_published() {
    let lab = Lab::new();
    let (vps, _home) = lab.start_figure();
    let join = vps.add_host("trap", &[]);
    let mut agent = lab.join_home("trap", Vps, &join);
    let base = base_of(&lab, &vps);
    throughout(Instant::now() + WHILE, || {
        let answer = lab.dig(Dns, Some(VPS4), "trap.dyn.example.org", "AAAA");
        assert!(answer.of("AAAA").is_empty(), "{answer:?}");
    });
    try_trap(&lab, "trap.dyn.example.org", &[Reply::Gateway]);
    agent.daemon.kill();
    assert_unharmed(&lab, &vps, base);
}

#[test]
fn an_alias_of_the_gateways_own_name_is_refused() {
    let lab = Lab::new();
    let (vps, _home) = lab.start_figure();
    let output = vps.tell(&["host", "set", "cloud", "alias+=gw.dyn.example.org"]);
    assert!(!output.status.success(), "the gateway's name became a host's alias: {}", said(&output));
    let base = base_of(&lab, &vps);
    // A CNAME that leads to the gateway's name may get the gateway's own page, and no other.
    try_trap(&lab, "gwalias.example.org", &[Reply::Gateway, Reply::Handshake]);
    try_trap(&lab, "gw.dyn.example.org", &[Reply::Gateway, Reply::Handshake]);
    assert_unharmed(&lab, &vps, base);
}

#[test]
fn a_circle_of_cnames_leads_nowhere() {
    let lab = Lab::new();
    let (vps, _home) = lab.start_figure();
    let base = base_of(&lab, &vps);
    assert!(lab.fetch(Phone4, "https://loop-a.example.org/", &[]).is_err(), "no resolver follows it");
    // A client that dials the gateway nevertheless is turned away.
    try_trap(&lab, "loop-a.example.org", &[Reply::Gateway]);
    assert_unharmed(&lab, &vps, base);
}

fn base_of(lab: &Lab, vps: &Role) -> usize {
    for speech in [Speech::Http, Speech::Tls] {
        lab.attempt(speech, DUAL);
    }
    let mut base = vps.daemon.descriptors();
    // The lowest of some looks: the first connections may not be closed yet.
    throughout(Instant::now() + Duration::from_secs(1), || base = base.min(vps.daemon.descriptors()));
    base
}

fn try_trap(lab: &Lab, name: &'static str, allowed: &[Reply]) {
    for _ in 0..TRIES {
        for speech in [Speech::Http, Speech::Tls] {
            let attempt = lab.attempt(speech, name);
            assert!(allowed.contains(&attempt.reply), "{name} by {speech:?}: {:?}", attempt.reply);
            assert!(attempt.answered - attempt.began < AT_ONCE, "{name} by {speech:?} took {:?}", attempt.answered - attempt.began);
        }
    }
}

/// The gateway dialled nobody it must not, has its descriptors back, and still serves the home.
fn assert_unharmed(lab: &Lab, vps: &Role, base: usize) {
    assert_eq!(lab.ns(Vps).counter("dialled_itself"), 0, "the gateway never connects to itself");
    wait_for("the gateway's descriptors are back to base", SETTLED, || vps.daemon.descriptors() <= base);
    assert_eq!(lab.attempt(Speech::Http, DUAL).reply, Reply::Home(lab.home()));
}
