//! What `apply` does, refuses and leaves alone.

use super::*;
use crate::change::{Said, Word};
use crate::host::{Digest, JoinSecret};
use crate::policy::Forbidden;

fn zone() -> DnsName {
    "dyn.example.org".parse().expect("zone")
}

fn host(label: &str) -> HostName {
    HostName::new(label, zone()).expect("host")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("time")
}

fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

pub(crate) fn policy() -> Policy {
    let addresses = crate::policy::AddressPolicy::new(vec!["2001:db8:a::11".parse().expect("v6")], vec![]);
    let own_names = vec!["gw.dyn.example.org".parse().expect("name"), "gw.example.net".parse().expect("name")];
    Policy { addresses, own_names, own_ports: Vec::new() }
}

fn join(byte: u8) -> JoinSecret {
    JoinSecret { secret: digest(byte), expires: at(86_400), spent_by: None }
}

fn edits(texts: &[&str]) -> Vec<Edit> {
    texts.iter().map(|text| text.parse().expect(text)).collect()
}

fn add(label: &str, texts: &[&str]) -> Change {
    Change::Add { host: host(label), edits: edits(texts), join: join(1), update: digest(2), reuse: false }
}

fn started() -> State {
    let mut state = State::default();
    state.apply(&Change::Serve { zone: zone(), apex: digest(0), at: at(1000) }, &policy()).expect("served");
    state
}

fn with_cloud() -> State {
    let mut state = started();
    state.apply(&add("cloud", &["alias=owncloud.example.org"]), &policy()).expect("added");
    state
}

fn serial(state: &State) -> u32 {
    state.zone(&zone()).expect("zone").serial.0
}

fn home(text: &str) -> Change {
    Change::Move { host: host("cloud"), address: text.parse().expect("v6"), at: at(5) }
}

#[track_caller]
fn refused(state: &State, change: &Change) -> Refused {
    let mut tried = state.clone();
    let refusal = tried.apply(change, &policy()).expect_err("should be refused");
    assert_eq!(&tried, state, "a refused change leaves the state as it was");
    refusal
}

#[test]
fn a_move_is_one_change_with_one_new_serial() {
    let mut state = with_cloud();
    let before = serial(&state);
    let touched = state.apply(&home("2001:db8:1::11"), &policy()).expect("moved");
    assert_eq!(touched, [Key::Host(host("cloud")), Key::Zone(zone())]);
    assert_eq!(serial(&state), before + 1);
    assert_eq!(state.apply(&home("2001:db8:1::11"), &policy()), Ok(vec![]), "a renewal touches nothing");
    assert_eq!(serial(&state), before + 1);
}

#[test]
fn what_the_world_cannot_see_keeps_the_serial() {
    let mut state = with_cloud();
    let before = serial(&state);
    let token = Change::Token { host: host("cloud"), join: join(7), update: digest(8) };
    let account = Change::ProofKey { host: host("cloud"), key: digest(9) };
    for change in [account, token] {
        assert_eq!(state.apply(&change, &policy()), Ok(vec![Key::Host(host("cloud"))]));
        assert_eq!(serial(&state), before);
    }
    let credentials = &state.host(&host("cloud")).expect("host").credentials;
    assert_eq!((credentials.update, credentials.proof), (digest(8), Some(digest(9))), "each by its own command");
}

#[test]
fn a_withdrawal_of_an_old_address_leaves_the_new_one() {
    let mut state = with_cloud();
    state.apply(&home("2001:db8:1::11"), &policy()).expect("moved");
    state.apply(&home("2001:db8:2::11"), &policy()).expect("moved");
    let late = Change::Withdraw { host: host("cloud"), address: "2001:db8:1::11".parse().expect("v6") };
    assert_eq!(state.apply(&late, &policy()), Ok(vec![]));
    let now = Change::Withdraw { host: host("cloud"), address: "2001:db8:2::11".parse().expect("v6") };
    assert_eq!(state.apply(&now, &policy()).expect("withdrawn").len(), 2);
    assert_eq!(state.host(&host("cloud")).expect("host").home(), None);
}

#[test]
fn a_name_is_added_once_and_a_removed_one_only_on_purpose() {
    let mut state = with_cloud();
    assert_eq!(refused(&state, &add("cloud", &[])), Refused::Exists(host("cloud")));
    state.apply(&Change::Remove { host: host("cloud"), at: at(9) }, &policy()).expect("removed");
    assert_eq!(state.alias(&"owncloud.example.org".parse().expect("name")), None);
    assert!(matches!(refused(&state, &add("cloud", &[])), Refused::Tombstone { .. }));
    let again = Change::Add { host: host("cloud"), edits: vec![], join: join(1), update: digest(2), reuse: true };
    state.apply(&again, &policy()).expect("added again");
    assert_eq!(state.record(&Key::Tombstone(host("cloud"))), None);
}

#[test]
fn a_join_string_is_good_once_and_not_for_long() {
    let state = with_cloud();
    let register = |secret, key, second| Change::Register { host: host("cloud"), secret: digest(secret), key: digest(key), at: at(second) };
    assert_eq!(refused(&state, &register(9, 4, 5)), Refused::WrongSecret(host("cloud")));
    assert!(matches!(refused(&state, &register(1, 4, 86_400)), Refused::ExpiredSecret { .. }));
    let mut joined = state.clone();
    joined.apply(&register(1, 4, 5), &policy()).expect("joined");
    assert_eq!(joined.agent(&digest(4)), Some(&host("cloud")));
    assert_eq!(joined.apply(&register(1, 4, 99_999), &policy()), Ok(vec![]), "its answer may have been lost");
    assert_eq!(refused(&joined, &register(1, 5, 6)), Refused::SpentSecret(host("cloud")));
}

#[test]
fn a_key_speaks_for_one_host_and_a_new_one_ends_it() {
    let mut state = with_cloud();
    state.apply(&add("nas", &[]), &policy()).expect("added");
    let register = |label: &str, secret, key| Change::Register { host: host(label), secret: digest(secret), key: digest(key), at: at(5) };
    state.apply(&register("cloud", 1, 4), &policy()).expect("joined");
    assert_eq!(refused(&state, &register("nas", 1, 4)), Refused::KeyTaken(host("cloud")));
    state.apply(&Change::Token { host: host("cloud"), join: join(7), update: digest(8) }, &policy()).expect("token");
    state.apply(&register("cloud", 7, 6), &policy()).expect("joined again");
    assert_eq!(state.agent(&digest(4)), None);
}

#[test]
fn no_hosts_credential_proves_the_apex() {
    let mut state = with_cloud();
    state.apply(&add("@", &["address-from=update"]), &policy()).expect("added");
    let prove = |label: &str| Change::Challenge { host: host(label), before: BTreeSet::new(), values: ["proof".to_owned()].into() };
    assert_eq!(refused(&state, &prove("@")), Refused::ApexChallenge(zone()));
    assert_eq!(
        refused(&state, &Change::ProofKey { host: host("@"), key: digest(9) }),
        Refused::ApexChallenge(zone()),
        "nor has it an account"
    );
    assert_eq!(state.apply(&prove("cloud"), &policy()).expect("proven").len(), 2);
    assert_eq!(refused(&state, &prove("cloud")), Refused::Overtaken(host("cloud")), "it has a value by now, which would be lost");
    let own = Change::OwnChallenge { name: zone(), values: ["proof".to_owned()].into() };
    assert_eq!(state.apply(&own, &policy()).expect("proven").len(), 2, "the server itself does, for a name of its own");
}

#[test]
fn loops_are_refused_where_they_would_be_made() {
    let state = with_cloud();
    let set = |texts: &[&str]| Change::Set { host: host("cloud"), edits: edits(texts) };
    let own = refused(&state, &set(&["address-from=static", "address=2001:db8:a::11"]));
    assert!(matches!(own, Refused::Address(Forbidden::Own(_))), "{own}");
    assert!(matches!(refused(&state, &home("2001:db8:a::11")), Refused::Address(_)));
    assert!(matches!(refused(&state, &set(&["alias=gw.example.net"])), Refused::AliasOwn(_)));
    assert!(matches!(refused(&state, &set(&["alias=gw.dyn.example.org"])), Refused::AliasOwn(_)));
    assert!(matches!(refused(&state, &set(&["alias=other.dyn.example.org"])), Refused::AliasInZone { .. }));
}

#[test]
fn an_alias_leads_to_one_host() {
    let state = with_cloud();
    assert!(matches!(refused(&state, &add("nas", &["alias=owncloud.example.org"])), Refused::AliasTaken { .. }));
    assert_eq!(state.alias(&"owncloud.example.org".parse().expect("name")), Some(&host("cloud")));
}

#[test]
fn a_static_address_takes_both_settings_and_ends_the_link_s_word() {
    let mut state = with_cloud();
    state.apply(&home("2001:db8:1::11"), &policy()).expect("moved");
    let set = |texts: &[&str]| Change::Set { host: host("cloud"), edits: edits(texts) };
    assert!(matches!(refused(&state, &set(&["address-from=static"])), Refused::StaticAddress(_)));
    state.apply(&set(&["address-from=static", "address=2001:db8:9::1"]), &policy()).expect("set");
    assert!(matches!(refused(&state, &home("2001:db8:1::11")), Refused::NotByLink(_)));
    state.apply(&set(&["address-from=link", "address="]), &policy()).expect("set");
    assert_eq!(state.host(&host("cloud")).expect("host").home(), None, "the link proves anew");
}

#[test]
fn a_zone_starts_from_the_clock_and_follows_its_configuration() {
    let mut state = started();
    assert_eq!(serial(&state), 1000);
    state.apply(&Change::Serve { zone: zone(), apex: digest(0), at: at(2000) }, &policy()).expect("served");
    assert_eq!(serial(&state), 1000, "nothing changed");
    state.apply(&Change::Serve { zone: zone(), apex: digest(1), at: at(2000) }, &policy()).expect("served");
    assert_eq!(serial(&state), 1001);
}

#[test]
fn a_host_cannot_take_the_gateways_name() {
    let mut own = policy();
    own.own_names.push("edge.dyn.example.org".parse().expect("name"));
    assert!(matches!(started().apply(&add("edge", &[]), &own), Err(Refused::OwnName(_))));
}

#[test]
fn a_retired_zone_keeps_its_hosts_and_can_be_cleared() {
    let mut state = with_cloud();
    let retire = Change::Retire { zone: zone() };
    assert_eq!(state.apply(&retire, &policy()), Ok(vec![Key::Zone(zone())]));
    assert_eq!(state.apply(&retire, &policy()), Ok(vec![]));
    let set = Change::Set { host: host("cloud"), edits: edits(&["ttl=5"]) };
    assert_eq!(refused(&state, &set), Refused::UnknownZone(zone()));
    assert_eq!(refused(&state, &add("nas", &[])), Refused::UnknownZone(zone()));
    // Its agent does not know, and what it proves and loses is followed.
    let address = "2001:db8:1::11".parse().expect("v6");
    assert_eq!(state.apply(&home("2001:db8:1::11"), &policy()), Ok(vec![Key::Host(host("cloud"))]));
    assert_eq!(state.apply(&Change::Withdraw { host: host("cloud"), address }, &policy()), Ok(vec![Key::Host(host("cloud"))]));
    assert_eq!(state.host_of(&"cloud.dyn.example.org".parse().expect("name")), None);
    let mut back = state.clone();
    back.apply(&Change::Serve { zone: zone(), apex: digest(0), at: at(9_000) }, &policy()).expect("served");
    assert!(back.host(&host("cloud")).is_some() && serial(&back) == 9_000);
    state.apply(&Change::Remove { host: host("cloud"), at: at(9) }, &policy()).expect("removed");
    assert!(state.host(&host("cloud")).is_none());
}

#[test]
fn serials_wrap() {
    assert_eq!(Serial(u32::MAX).next(), Serial(0));
}

#[test]
fn records_restore_the_state() {
    let mut state = with_cloud();
    state.apply(&home("2001:db8:1::11"), &policy()).expect("moved");
    state.apply(&add("old", &[]), &policy()).expect("added");
    state.apply(&Change::Remove { host: host("old"), at: at(9) }, &policy()).expect("removed");
    let keys = [Key::Zone(zone()), Key::Host(host("cloud")), Key::Host(host("old")), Key::Tombstone(host("old")), Key::Identity];
    let mut restored = State::default();
    keys.iter().filter_map(|key| state.record(key)).for_each(|record| restored.restore(record));
    assert_eq!(restored, state);
}

fn update(v4: Option<&str>, v6: Option<&str>, second: i64) -> Change {
    let (v4, v6) = (v4.map(|text| text.parse().expect("v4")), v6.map(|text| text.parse().expect("v6")));
    Change::Update { host: host("cloud"), said: Said::addresses(v4, v6), at: at(second) }
}

fn by_update() -> State {
    let mut state = started();
    state.apply(&add("cloud", &["address-from=update"]), &policy()).expect("added");
    state
}

#[test]
fn an_update_moves_the_home_where_it_is_the_authority_and_a_family_not_mentioned_stays() {
    let mut state = by_update();
    let before = serial(&state);
    let home = |state: &State| state.host(&host("cloud")).expect("host").home();
    assert_eq!(state.apply(&update(None, Some("2001:db8:1::11"), 5), &policy()), Ok(vec![Key::Host(host("cloud")), Key::Zone(zone())]));
    assert_eq!((home(&state), serial(&state)), ("2001:db8:1::11".parse().ok(), before + 1));
    assert_eq!(state.apply(&update(None, Some("2001:db8:1::11"), 9), &policy()), Ok(vec![]), "a repetition costs nothing");
    state.apply(&update(Some("100.64.0.7"), None, 10), &policy()).expect("updated");
    let known = state.host(&host("cloud")).expect("host");
    let router = known.router.expect("reported");
    assert_eq!((router.v4, router.v6, router.at), ("100.64.0.7".parse().ok(), "2001:db8:1::11".parse().ok(), at(10)));
    assert_eq!((home(&state), known.updated.expect("updated").since), ("2001:db8:1::11".parse().ok(), at(5)));
    assert_eq!(serial(&state), before + 2, "the router's name shows it");
}

#[test]
fn an_update_out_of_another_network_leaves_the_earlier_one_known() {
    let mut state = by_update();
    let mut apply = |change| state.apply(&change, &policy()).map(|_| state.host(&host("cloud")).expect("host").before).expect("applied");
    let first = "2001:db8:1::12".parse().ok();
    for v6 in ["2001:db8:1::11", "2001:db8:1::12"] {
        assert_eq!(apply(update(None, Some(v6), 5)), None, "the same network tells nothing");
    }
    for v6 in ["2001:db8:2::11", "2001:db8:2::11", "2001:db8:2::13"] {
        assert_eq!(apply(update(None, Some(v6), 6)), first);
    }
    let prefix = Said { prefix: "2001:db8:3::/64".parse().ok(), ..Said::default() };
    assert_eq!(apply(Change::Update { host: host("cloud"), said: prefix, at: at(7) }), "2001:db8:2::13".parse().ok());
}

#[test]
fn an_update_to_a_host_with_another_authority_is_a_hint() {
    let mut state = with_cloud();
    state.apply(&home("2001:db8:1::11"), &policy()).expect("moved");
    // Also where it could be no home: it is only what the router said.
    for v6 in ["2001:db8:2::22", "fd00::1", "2001:db8:a::11"] {
        state.apply(&update(None, Some(v6), 9), &policy()).expect("a hint");
        let known = state.host(&host("cloud")).expect("host");
        assert_eq!((known.home(), known.updated), ("2001:db8:1::11".parse().ok(), None));
        assert_eq!(known.router.expect("hint").v6, v6.parse().ok());
    }
    let set = |texts: &[&str]| Change::Set { host: host("cloud"), edits: edits(texts) };
    state.apply(&set(&["address-from=update"]), &policy()).expect("set");
    assert_eq!(state.host(&host("cloud")).expect("host").home(), None, "what was a hint does not become the address");
    state.apply(&update(None, Some("2001:db8:3::33"), 20), &policy()).expect("updated");
    state.apply(&set(&["address-from=link"]), &policy()).expect("set");
    state.apply(&set(&["address-from=update"]), &policy()).expect("set");
    assert_eq!(state.host(&host("cloud")).expect("host").home(), None, "nor what counted before");
}

#[test]
fn an_update_that_could_not_be_dialled_changes_nothing() {
    let state = by_update();
    for v6 in ["fe80::1", "fd00::1", "2001:db8:a::11", "2002:c000:20b::1", "::ffff:192.0.2.1"] {
        assert!(matches!(refused(&state, &update(Some("100.64.0.7"), Some(v6), 5)), Refused::Address(_)), "{v6}");
    }
    for (v4, v6) in
        [(Some("127.0.0.1"), None), (Some("0.0.0.0"), None), (Some("224.0.0.1"), None), (None, Some("::")), (None, Some("ff02::1"))]
    {
        assert!(matches!(refused(&with_cloud(), &update(v4, v6, 5)), Refused::NoAddress(_)), "{v4:?} {v6:?}");
    }
    let nobody = Change::Update { host: host("nobody"), said: Said::default(), at: at(5) };
    assert_eq!(refused(&state, &nobody), Refused::UnknownHost(host("nobody")));
}

#[test]
fn a_prefix_moves_the_home_and_keeps_what_it_does_not_say() {
    let prefix = |text: &str| Said { prefix: Some(text.parse().expect("prefix")), ..Said::default() };
    let told = |said| Change::Update { host: host("cloud"), said, at: at(20) };
    let mut state = by_update();
    let home = |state: &State| state.host(&host("cloud")).expect("host").home().map(|home| home.to_string());
    assert!(matches!(refused(&state, &told(prefix("2001:db8:2::/64"))), Refused::PrefixAlone { .. }), "half an address is none");
    state.apply(&update(None, Some("2001:db8:1:22::11"), 5), &policy()).expect("updated");
    let table = [
        ("2001:db8:2:33::/64", "2001:db8:2:33::11"),
        ("2001:db8:3:4400::/56", "2001:db8:3:4433::11"),
        ("2001:db8:5::/48", "2001:db8:5:4433::11"),
        ("2001:db8:6:4430::/60", "2001:db8:6:4433::11"),
        ("2001:db8:7:4420::/59", "2001:db8:7:4433::11"),
        ("2001:db8::/29", "2001:db8:7:4433::11"),
    ];
    for (said, now) in table {
        let serial_before = serial(&state);
        state.apply(&told(prefix(said)), &policy()).expect(said);
        assert_eq!(home(&state).as_deref(), Some(now), "{said}");
        assert!(serial(&state) - serial_before <= 1, "one version of the zone");
        assert_eq!(state.apply(&told(prefix(said)), &policy()), Ok(vec![]), "{said} again");
    }
    for forbidden in ["fd00::/64", "2001:db8:a::/64", "2002:c000:20b::/64"] {
        assert!(matches!(refused(&state, &told(prefix(forbidden))), Refused::Address(_)), "{forbidden}");
    }
    // A router's own address is in the provider's network, not in the home's.
    let v6 = |text: &str| Word::Set(text.parse().expect("v6"));
    state.apply(&told(Said { v6: v6("2001:db8:ffff::1"), ..prefix("2001:db8:8::/64") }), &policy()).expect("both");
    let known = state.host(&host("cloud")).expect("host");
    assert_eq!((home(&state).as_deref(), known.router.expect("said").v6), (Some("2001:db8:8::11"), "2001:db8:ffff::1".parse().ok()));
    state.apply(&told(Said { v6: v6("2001:db8:9::77"), ..prefix("2001:db8:9::/64") }), &policy()).expect("both");
    assert_eq!(home(&state).as_deref(), Some("2001:db8:9::77"), "its own address");
    state.apply(&told(Said { v6: v6("2001:db8:ffff::1"), ..prefix("2001:db8:9::78/64") }), &policy()).expect("both");
    assert_eq!(home(&state).as_deref(), Some("2001:db8:9::78"), "the prefix, and what its owner wrote after it");
    state.apply(&told(Said { v6: v6("2001:db8:9::77"), ..prefix("2001:db8:9::/64") }), &policy()).expect("both");
    // It is taken away by word alone, and comes back with a prefix.
    state.apply(&told(Said { v6: Word::Clear, v4: Word::Clear, prefix: None }), &policy()).expect("taken away");
    let router = state.host(&host("cloud")).expect("host").router.expect("said");
    assert_eq!((home(&state), router.v4, router.v6), (None, None, None));
    state.apply(&told(prefix("2001:db8:1::/64")), &policy()).expect("back");
    assert_eq!(home(&state).as_deref(), Some("2001:db8:1::77"));
    let mut state = with_cloud();
    assert_eq!(state.apply(&told(prefix("2001:db8:1::/64")), &policy()), Ok(vec![]), "no hint, and no address");
}

#[test]
fn an_agent_that_joins_takes_the_word_from_updates() {
    let mut state = by_update();
    state.apply(&update(None, Some("2001:db8:1::11"), 5), &policy()).expect("updated");
    assert!(matches!(refused(&state, &home("2001:db8:2::22")), Refused::NotByLink(_)));
    let register = Change::Register { host: host("cloud"), secret: digest(1), key: digest(4), at: at(6) };
    state.apply(&register, &policy()).expect("joined");
    assert_eq!(state.host(&host("cloud")).expect("host").home(), None);
    state.apply(&home("2001:db8:2::22"), &policy()).expect("moved");
    assert_eq!(state.host(&host("cloud")).expect("host").home(), "2001:db8:2::22".parse().ok());
}

mod followers;
pub(crate) mod properties;
mod upstreams;

#[test]
fn an_earlier_network_is_remembered_through_a_goodbye() {
    let mut state = with_cloud();
    let mut apply = |change| state.apply(&change, &policy()).map(|_| state.host(&host("cloud")).expect("host").before).expect("applied");
    assert_eq!(apply(home("2001:db8:1::11")), None);
    let first = "2001:db8:1::11".parse().ok();
    assert_eq!(apply(home("2001:db8:1::12")), None, "the same network tells nothing");
    assert_eq!(apply(home("2001:db8:1::11")), None);
    assert_eq!(apply(home("2001:db8:2::11")), first);
    assert_eq!(apply(Change::Withdraw { host: host("cloud"), address: "2001:db8:2::11".parse().expect("v6") }), first);
    assert_eq!(apply(home("2001:db8:2::11")), first);
    assert_eq!(apply(home("2001:db8:3::11")), "2001:db8:2::11".parse().ok());
}

#[test]
fn a_challenge_of_our_own_name_shows_and_what_is_kept_for_it_does_not() {
    let mut state = started();
    let before = serial(&state);
    let own: DnsName = "gw.dyn.example.org".parse().expect("name");
    let challenge = |values: &[&str]| Change::OwnChallenge { name: own.clone(), values: values.iter().map(|&v| v.to_owned()).collect() };
    assert_eq!(state.apply(&challenge(&["x"]), &policy()), Ok(vec![Key::Challenge(own.clone()), Key::Zone(zone())]));
    assert_eq!(state.apply(&challenge(&["x"]), &policy()), Ok(vec![]));
    assert_eq!(serial(&state), before + 1);
    let account = Change::Account { directory: "https://ca.test/dir".into(), account: crate::change::Account(vec![1]) };
    assert_eq!(state.apply(&account, &policy()), Ok(vec![Key::Account("https://ca.test/dir".into())]));
    assert_eq!(state.apply(&challenge(&[]), &policy()), Ok(vec![Key::Challenge(own.clone()), Key::Zone(zone())]));
    assert_eq!((serial(&state), state.challenge(&own)), (before + 2, None));
}

#[test]
fn a_port_of_the_gateways_leads_to_one_host() {
    let mut state = started();
    let mut policy = policy();
    policy.own_ports = vec!["tcp/443".parse().expect("a service"), "udp/53".parse().expect("a service")];
    state.apply(&add("cloud", &["forward=tcp/2222:22,udp/5000-5010,tcp/8000"]), &policy).expect("added");
    let refused = |state: &mut State, texts: &[&str]| state.apply(&add("nas", texts), &policy).expect_err("refused").to_string();
    for text in
        ["forward=tcp/2222", "forward=udp/4990-5000", "forward=udp/5005:1", "forward=udp/5010-5011", "forward=udp/4000-4255,udp/5010"]
    {
        let told = refused(&mut state, &[text]);
        assert!(told.contains("already leads to cloud.dyn.example.org") || told.contains("256 is the most"), "{text}: {told}");
    }
    for (text, port) in [("forward=tcp/443:8443", "tcp/443"), ("forward=udp/50-60", "udp/53")] {
        let told = refused(&mut state, &[text]);
        assert!(told.contains(&format!("{port} is this server's own")), "{told}");
    }
    state.apply(&add("nas", &["forward=udp/2222,tcp/5000-5010,udp/5011,udp/4999"]), &policy).expect("others are free");
    let forwards = |state: &State| state.forwards().map(|(forward, host)| format!("{forward} {}", host.label())).collect::<Vec<_>>();
    let all =
        ["tcp/2222:22 cloud", "tcp/5000-5010 nas", "tcp/8000 cloud", "udp/2222 nas", "udp/4999 nas", "udp/5000-5010 cloud", "udp/5011 nas"];
    assert_eq!(forwards(&state), all);
    let set = |host: &str, text: &str| Change::Set { host: self::host(host), edits: vec![text.parse().expect("an edit")] };
    state.apply(&set("cloud", "forward-=udp/5000-5010"), &policy).expect("taken off");
    state.apply(&set("nas", "forward+=udp/5005:7"), &policy).expect("free again");
    state.apply(&set("nas", "forward-=udp/5005"), &policy).expect("taken off");
    state.apply(&set("cloud", "forward="), &policy).expect("taken off");
    assert_eq!(forwards(&state), ["tcp/5000-5010 nas", "udp/2222 nas", "udp/4999 nas", "udp/5011 nas"]);
}
