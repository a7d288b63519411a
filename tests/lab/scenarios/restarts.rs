//! Gateway and agent each survive the other's end, polite or not, and the home is served again by itself.

use std::fs;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::clock::{figure, throughout, wait_for, wait_for_some};
use crate::lab::Lab;
use crate::probe::{Reply, Speech};
use crate::renumber::Manner;
use crate::roles::{ALIAS, DUAL, TWIN};
use crate::topology::Node::{Dns, Phone4, Phone6, Router};
use crate::topology::VPS4;
use crate::web::PAGE;

/// From a role's new start to the home being served: its start, a handshake, a proof.
const AGAIN: Duration = Duration::from_secs(10);
/// Where it is the gateway that was away for a moment, and its agents are to notice at once.
const BACK: Duration = Duration::from_secs(2);
/// Where an agent found its gateway away for a while and has backed off.
const PATIENTLY: Duration = Duration::from_secs(15);
/// What a lease may last after its agent's death: all of it, or all but the time since its last renewal; and what is granted to notice.
const LEASE: RangeInclusive<Duration> = Duration::from_secs(30 - 5 - 1)..=Duration::from_secs(30 + 4);
/// A client's answer: in the moment of the death the overdue echo is waited for, later nothing is.
const AT_FIRST: Duration = Duration::from_secs(2);
const AT_ONCE: Duration = Duration::from_secs(1);
/// For an absence that was announced to be known.
const KNOWN: Duration = Duration::from_secs(2);

fn is_served(lab: &Lab) -> bool {
    lab.attempt(Speech::Http, DUAL).reply == Reply::Home(lab.home())
}

fn wait_until_served(lab: &Lab, after: &str, limit: Duration) {
    let took = wait_for(&format!("the home is served again after {after}"), limit, || is_served(lab));
    figure(&format!("served again after {after}"), format_args!("{took:.1?}"));
    assert_eq!(lab.fetch(Phone4, &format!("https://{ALIAS}/"), &[]).expect("the page").body, PAGE);
}

#[test]
fn the_home_is_served_again_after_the_gateway_restarts() {
    let lab = Lab::new();
    let (mut vps, _home) = lab.start_figure();
    for polite in [true, false] {
        if polite {
            vps.restart()
        } else {
            vps.kill_and_start()
        }
        // One lease long DNS keeps what was true when the gateway ended.
        let first = wait_for_some("DNS answers again", BACK, || {
            let answer = lab.dig(Dns, Some(VPS4), TWIN, "AAAA");
            (!answer.status.is_empty()).then_some(answer)
        });
        assert_eq!(first.of("AAAA"), [lab.home().to_string().as_str()], "polite: {polite}");
        wait_until_served(&lab, if polite { "the gateway's restart" } else { "the gateway's death" }, BACK);
    }
}

#[test]
fn the_home_is_served_again_after_its_agent_restarts() {
    let lab = Lab::new();
    let (_vps, mut home) = lab.start_figure();
    home.restart();
    wait_until_served(&lab, "the agent's restart", AGAIN);
    home.kill_and_start();
    wait_until_served(&lab, "the agent's death", AGAIN);
}

#[test]
fn a_home_that_moved_while_the_gateway_was_away_is_found() {
    let lab = Lab::new();
    let (mut vps, _home) = lab.start_figure();
    vps.daemon.kill();
    let moved = lab.renumber(Manner::Removed);
    vps.daemon.start_again();
    wait_until_served(&lab, "a move without a gateway", PATIENTLY);
    lab.wait_until_published(TWIN, moved.new);
}

#[test]
fn an_agent_that_starts_before_its_gateway_finds_it() {
    let lab = Lab::new();
    let (mut vps, mut home) = lab.start_figure();
    home.daemon.terminate();
    vps.daemon.terminate();
    home.daemon.start_again();
    let refused = wait_for_some("phone4 finds nobody", KNOWN, || match lab.attempt(Speech::Http, DUAL).reply {
        Reply::Nobody(kind) => Some(kind),
        _ => None,
    });
    assert_eq!(refused, std::io::ErrorKind::ConnectionRefused);
    assert!(home.daemon.ended().is_none(), "an agent without a gateway waits");
    vps.daemon.start_again();
    wait_until_served(&lab, "a start in the wrong order", PATIENTLY);
}

#[test]
fn a_home_that_says_goodbye_is_answered_for_at_once() {
    let lab = Lab::new();
    let (_vps, mut home) = lab.start_figure();
    home.daemon.terminate();
    wait_for("the gateway answers for the home", KNOWN, || {
        [Speech::Http, Speech::Tls].iter().all(|speech| lab.attempt(*speech, DUAL).reply == Reply::Gateway)
    });
    wait_for("its address is withdrawn", KNOWN, || lab.dig(Dns, Some(VPS4), DUAL, "AAAA").is_no_data());
    assert_eq!(lab.dig(Dns, Some(VPS4), DUAL, "A").of("A"), [VPS4], "the gateway's stays");
    assert_eq!(lab.fetch(Phone4, &format!("http://{DUAL}/"), &[]).expect("a page of the gateway's").code, 503);
    home.daemon.start_again();
    wait_until_served(&lab, "a goodbye", AGAIN);
}

/// The home's service is still there, but nobody proves any more that it is the home's.
#[test]
fn a_killed_agents_home_is_answered_for_at_once_until_its_lease_ends_and_after() {
    let lab = Lab::beside_others();
    let (_vps, mut home) = lab.start_figure();
    home.daemon.kill();
    outlive(&lab, "an agent's death", || {
        let page = lab.fetch(Phone6, &format!("https://{DUAL}/"), &[]).expect("the page, by the home's own address");
        assert_eq!((page.body.as_str(), page.remote), (PAGE, lab.home().to_string()));
    });
    home.daemon.start_again();
    wait_until_served(&lab, "its lease's end", PATIENTLY);
}

/// Not even the home's address is there any more: a dial would hang.
#[test]
fn a_home_that_lost_its_power_is_answered_for_at_once_until_its_lease_ends_and_after() {
    let lab = Lab::beside_others();
    let (_vps, mut home) = lab.start_figure();
    lab.ns(Router).ip("link set server down");
    home.daemon.kill();
    outlive(&lab, "a power cut", || {});
    lab.ns(Router).ip("link set server up");
    home.daemon.start_again();
    wait_until_served(&lab, "power came back", PATIENTLY);
}

/// From now, the moment of an end without a goodbye, until its address is withdrawn: phone4 is answered by the gateway, each time at once,
/// and the address stays as long as its lease; `meanwhile` holds at 0, 2 and 10 s too.
fn outlive(lab: &Lab, end: &str, meanwhile: impl Fn()) {
    let began = Instant::now();
    let answered = |limit| {
        for speech in [Speech::Http, Speech::Tls] {
            let attempt = lab.attempt(speech, DUAL);
            let (after, took) = (attempt.began - began, attempt.answered - attempt.began);
            assert_eq!(attempt.reply, Reply::Gateway, "{speech:?} {after:.1?} after {end}");
            assert!(took <= limit, "{speech:?} {after:.1?} after {end}: answered in {took:?}");
            figure(&format!("phone4 after {end}"), format_args!("{speech:?} at {after:.1?}: {took:.1?}"));
        }
    };
    let published = || lab.dig(Dns, Some(VPS4), DUAL, "AAAA");
    for (after, limit) in [(0, AT_FIRST), (2, AT_ONCE), (10, AT_ONCE)] {
        throughout(began + Duration::from_secs(after), || assert_eq!(published().of("AAAA"), [lab.home().to_string().as_str()]));
        answered(limit);
        meanwhile();
    }
    wait_for("its address is withdrawn", *LEASE.end(), || published().is_no_data());
    let took = began.elapsed();
    figure(&format!("its address withdrawn after {end}"), format_args!("{took:.1?}"));
    assert!(LEASE.contains(&took), "withdrawn {took:?} after {end}");
    assert_eq!(lab.dig(Dns, Some(VPS4), DUAL, "A").of("A"), [VPS4], "the gateway answers for it");
    answered(AT_ONCE);
}

#[test]
fn a_download_ends_well_though_the_gateway_is_told_to_end() {
    let lab = Lab::new();
    let (mut vps, _home) = lab.start_figure();
    let file = lab.dir().join("eight-mebibytes");
    let contents: Vec<u8> = (0..8_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(&file, &contents).expect("a file");
    let path = file.to_str().expect("text");
    lab.fetch(Phone4, &format!("https://{DUAL}/dav/big"), &["--upload-file", path]).expect("uploaded");

    let back = lab.dir().join("back");
    let mut download = lab.ns(Phone4).command("curl");
    download.args(["-sS", "--insecure", "--limit-rate", "3M", "--max-time", "20", "-o"]).arg(&back).arg(format!("https://{DUAL}/dav/big"));
    let mut download = download.spawn().expect("curl");
    wait_for("the download flows", AGAIN, || fs::metadata(&back).is_ok_and(|file| file.len() > 0));
    let status = vps.daemon.terminate();
    assert!(status.success(), "{status}");
    // The gateway ended by itself, and did so only after its last relay.
    assert!(download.wait().expect("curl").success());
    assert!(fs::read(&back).expect("the download") == contents, "every byte arrived");
}
