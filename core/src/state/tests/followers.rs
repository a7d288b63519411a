//! Followers: one move, one commit, and no way to leave one without a leader.

use super::*;
use crate::change::Entry;
use crate::policy::AddressPolicy;

fn set(label: &str, texts: &[&str]) -> Change {
    Change::Set { host: host(label), edits: edits(texts) }
}

fn following() -> State {
    let mut state = with_cloud();
    for change in [
        home("2001:db8:1::11"),
        add("nas", &["follows=cloud", "suffix=::22"]),
        add("cam", &["suffix=::1:0:0:0:33/56", "follows=Cloud.dyn.example.org"]),
    ] {
        state.apply(&change, &policy()).expect("applied");
    }
    state
}

fn homes(state: &State) -> [Option<String>; 3] {
    ["cloud", "nas", "cam"].map(|label| state.home(&host(label)).map(|home| home.to_string()))
}

#[test]
fn a_move_takes_all_followers_along_in_one_version() {
    let mut state = following();
    let before = serial(&state);
    assert_eq!(homes(&state), ["2001:db8:1::11", "2001:db8:1::22", "2001:db8:1:1::33"].map(|home| Some(home.into())));
    let touched = state.apply(&home("2001:db8:2::11"), &policy()).expect("moved");
    assert_eq!(touched, [Key::Host(host("cloud")), Key::Host(host("cam")), Key::Host(host("nas")), Key::Zone(zone())]);
    assert_eq!(homes(&state), ["2001:db8:2::11", "2001:db8:2::22", "2001:db8:2:1::33"].map(|home| Some(home.into())));
    assert_eq!(serial(&state), before + 1);
    let touched = state.apply(&home("2001:db8:2::12"), &policy()).expect("moved");
    assert_eq!(touched, [Key::Host(host("cloud")), Key::Zone(zone())], "in the same network they stay");
    let withdraw = Change::Withdraw { host: host("cloud"), address: "2001:db8:2::12".parse().expect("v6") };
    assert_eq!(state.apply(&withdraw, &policy()).expect("withdrawn").len(), 4);
    assert_eq!((homes(&state), serial(&state)), ([None, None, None], before + 3));
}

#[test]
fn a_follower_that_would_be_at_the_gateways_hides_and_holds_nobody_up() {
    let own = vec!["2001:db8:a::11".parse().expect("v6")];
    let addresses = AddressPolicy::new(own, vec!["2001:db8:a::11/64".parse().expect("net")]);
    let policy = Policy { addresses, ..policy() };
    let mut state = following();
    let far = add("far", &["follows=cloud", "suffix=::33/48"]);
    state.apply(&far, &policy).expect("added");
    let before = serial(&state);
    // Beside the gateway's network: a suffix that reaches over is in it.
    let touched = state.apply(&home("2001:db8:a:100::5"), &policy).expect("the leader moves");
    assert_eq!(touched.iter().filter(|key| matches!(key, Key::Host(_))).count(), 4, "{touched:?}");
    assert_eq!((state.home(&host("far")), state.whereabouts(&host("far")), serial(&state)), (None, None, before + 1));
    assert_eq!(homes(&state)[1].as_deref(), Some("2001:db8:a:100::22"));
    let mut restored = State::default();
    let kept = state.hosts().map(|(name, _)| Key::Host(name.clone())).filter_map(|key| state.record(&key));
    kept.for_each(|record| restored.restore(record));
    assert_eq!(restored.home(&host("far")), None, "nor after a restart");
    // Its owner may set all else of it, and cannot put another there.
    state.apply(&set("far", &["ttl=60"]), &policy).expect("set");
    for change in [add("near", &["follows=cloud", "suffix=::44/48"]), set("nas", &["suffix=::44/48"])] {
        let refusal = state.clone().apply(&change, &policy).expect_err("it would be there").to_string();
        assert!(refusal.contains("beside cloud: 2001:db8:a::44 is in 2001:db8:a::/64, the gateway's own network"), "{refusal}");
    }
    state.apply(&home("2001:db8:2::11"), &policy).expect("moved");
    assert_eq!(state.home(&host("far")), "2001:db8:2::33".parse().ok());
    // And the gateway's very address.
    state.apply(&set("far", &["suffix=::11"]), &policy).expect("set");
    let fixed = set("cloud", &["address-from=static", "address=2001:db8:a::12"]);
    let touched = state.apply(&fixed, &super::policy()).expect("a policy that forbids the one address alone");
    assert!(touched.contains(&Key::Host(host("far"))) && state.home(&host("far")).is_none(), "{touched:?}");
}

#[test]
fn an_import_hides_a_follower_whose_leader_comes_after_it() {
    let mut state = started();
    let entry = |label: &str, texts: &[&str], proven: Option<&str>| {
        let mut there = Host::clone(with_cloud().host(&host("cloud")).expect("there"));
        there.settings = Settings::default();
        there.proven = proven.map(|address| Proven { address: address.parse().expect("v6"), since: at(5) });
        Entry::Host { name: host(label), edits: edits(texts), host: Box::new(there) }
    };
    let import = |entries| Change::Import { entries, replace: true, reuse: false };
    let follower = entry("nas", &["follows=cloud", "suffix=::11"], None);
    state.apply(&import(vec![follower.clone()]), &policy()).expect("imported");
    let leader = entry("cloud", &[], Some("2001:db8:a::12"));
    let touched = state.apply(&import(vec![leader.clone()]), &policy()).expect("imported");
    assert!(touched.contains(&Key::Host(host("nas"))) && state.home(&host("nas")).is_none(), "{touched:?}");
    assert_eq!(state.apply(&import(vec![follower, leader]), &policy()), Ok(vec![]), "the same again is no news");
}

#[test]
fn a_leader_may_be_found_by_updates_or_by_its_owner() {
    let mut state = following();
    state.apply(&set("cloud", &["address-from=update"]), &policy()).expect("set");
    assert_eq!(homes(&state), [None, None, None]);
    let touched = state.apply(&update(None, Some("2001:db8:3::1"), 9), &policy()).expect("updated");
    assert!(touched.contains(&Key::Host(host("nas"))));
    assert_eq!(homes(&state)[1].as_deref(), Some("2001:db8:3::22"));
    assert_eq!(state.whereabouts(&host("nas")).expect("there").proof, None);
    state.apply(&set("cloud", &["address-from=static", "address=2001:db8:4::1"]), &policy()).expect("set");
    assert_eq!(homes(&state)[2].as_deref(), Some("2001:db8:4:1::33"));
}

#[test]
fn what_the_world_sees_of_a_host_is_a_new_version_and_nothing_else_is() {
    let mut state = following();
    for (label, texts, shows) in [
        ("nas", &["suffix=::23"][..], true),
        ("nas", &["follows=cloud", "suffix=::23"], false),
        ("nas", &["max-connections=5"], false),
        ("nas", &["record=TXT x"], true),
        ("nas", &["record=TXT \"x\""], false),
        ("nas", &["caa=issue ca.org"], true),
        ("nas", &["alpn=h2"], true),
        ("nas", &["record=", "caa=", "alpn="], true),
        ("nas", &["follows=", "suffix="], true),
        ("cloud", &["suffix=", "follows="], false),
    ] {
        let before = serial(&state);
        state.apply(&set(label, texts), &policy()).expect("set");
        assert_eq!(serial(&state), before + u32::from(shows), "{texts:?}");
    }
}

#[test]
fn the_leaders_link_vouches_for_a_follower() {
    let state = following();
    let leader = Proof { host: host("cloud"), address: "2001:db8:1::11".parse().expect("v6") };
    let nas = state.whereabouts(&host("nas")).expect("there");
    assert_eq!(nas, Whereabouts { address: "2001:db8:1::22".parse().expect("v6"), proof: Some(leader.clone()) });
    assert_eq!(state.whereabouts(&host("cloud")).expect("there").proof, Some(leader));
    let moved = state.whereabouts_after(&host("nas"), &nas, "2001:db8:5::11".parse().expect("v6")).expect("there");
    assert_eq!(
        (moved.address, moved.proof.map(|proof| proof.address)),
        ("2001:db8:5::22".parse().expect("v6"), "2001:db8:5::11".parse().ok())
    );
}

#[test]
fn what_would_be_no_follower_is_refused() {
    let state = following();
    for (texts, expected) in [
        (&["follows=cloud"][..], "give both or neither"),
        (&["suffix=::1"], "give both or neither"),
        (&["follows=box", "suffix=::1"], "cannot follow itself"),
        (&["follows=nas", "suffix=::1"], "follows cloud itself"),
        (&["follows=nobody", "suffix=::1"], "there is no such host"),
        (&["follows=cloud.home.test", "suffix=::1"], "there is no such host"),
        (&["follows=gw", "suffix=::1"], "there is no such host"),
        (&["follows=cloud", "suffix=::1", "address-from=update"], "leave address and address-from out"),
        (&["follows=cloud", "suffix=::1", "address-from=static", "address=2001:db8:1::1"], "leave address and address-from out"),
        (&["follows=cloud", "suffix=::"], "router"),
    ] {
        let refusal = refused(&state, &add("box", texts)).to_string();
        assert!(refusal.contains(expected), "{texts:?}: {refusal}");
    }
    let refusal = refused(&state, &set("cloud", &["follows=nas", "suffix=::1"])).to_string();
    assert!(refusal.contains("follows cloud itself"), "{refusal}");
    let mut more = state.clone();
    more.apply(&add("other", &[]), &policy()).expect("added");
    let refusal = refused(&more, &set("cloud", &["follows=other", "suffix=::1"])).to_string();
    assert!(refusal.contains("followed by cam.dyn.example.org, nas.dyn.example.org"), "{refusal}");
}

#[test]
fn a_leader_stays_as_long_as_it_is_followed() {
    let mut state = following();
    let remove = |label: &str| Change::Remove { host: host(label), at: at(9) };
    let refusal = refused(&state, &remove("cloud")).to_string();
    assert!(refusal.contains("cam.dyn.example.org, nas.dyn.example.org: remove them first"), "{refusal}");
    state.apply(&remove("cam"), &policy()).expect("removed");
    state.apply(&set("nas", &["follows=", "suffix="]), &policy()).expect("set");
    assert_eq!(state.home(&host("nas")), None, "it is found by its own link, as any other");
    state.apply(&remove("cloud"), &policy()).expect("removed");
}

#[test]
fn an_agent_of_a_followers_own_does_not_say_where_it_is() {
    let mut state = following();
    let moved = Change::Move { host: host("nas"), address: "2001:db8:9::1".parse().expect("v6"), at: at(9) };
    assert_eq!(refused(&state, &moved), Refused::NotByLink(host("nas")));
    state.apply(&add("late", &[]), &policy()).expect("added");
    state.apply(&Change::Move { host: host("late"), address: "2001:db8:9::2".parse().expect("v6"), at: at(9) }, &policy()).expect("moved");
    state.apply(&set("late", &["follows=cloud", "suffix=::44"]), &policy()).expect("set");
    assert_eq!(state.home(&host("late")), "2001:db8:1::44".parse().ok());
    assert_eq!(state.host(&host("late")).expect("there").proven, None);
}

#[test]
fn many_followers_are_named_by_a_few() {
    let mut state = with_cloud();
    for index in 1..9 {
        state.apply(&add(&format!("n{index}"), &["follows=cloud", &format!("suffix=::{index}")]), &policy()).expect("added");
    }
    let refusal = refused(&state, &Change::Remove { host: host("cloud"), at: at(9) }).to_string();
    assert!(refusal.contains("n5.dyn.example.org and 3 more") && !refusal.contains("n6"), "{refusal}");
}

#[test]
fn a_record_may_not_stand_everywhere() {
    let state = with_cloud();
    for (label, text, expected) in [
        ("@", "record=www TXT x", "would be a host's"),
        ("@", "record=_a.www TXT x", "would be a host's"),
        ("box", "record=_acme-challenge TXT x", "ACME client"),
        ("box", "record=CNAME x.", "CNAME"),
    ] {
        let refusal = refused(&state, &add(label, &[text])).to_string();
        assert!(refusal.contains(expected), "{text}: {refusal}");
    }
    for pair in [
        ["record=MX 10 @", "record+=MX 10 box.dyn.example.org."],
        ["record=MX 10 Lists.box.dyn.example.org.", "record+=MX 10 lists"],
        ["record=_x._tcp SRV 0 5 1 @", "record+=_x._tcp SRV 0 5 1 box.dyn.example.org."],
    ] {
        let refusal = refused(&state, &add("box", &pair)).to_string();
        assert!(refusal.contains("says the same"), "{pair:?}: {refusal}");
    }
    for pair in [["record=MX 10 @", "record+=MX 20 @"], ["record=MX 10 @", "record+=_x MX 10 @"], ["record=MX 10 @", "record+=MX 10 a"]] {
        state.clone().apply(&add("box", &pair), &policy()).expect("different");
    }
    let long = format!("record={0}.{0}.{0}.{1} TXT x", "x".repeat(63), "x".repeat(50));
    assert!(matches!(refused(&state, &add("box", &[&long])), Refused::Record { .. }));
    let far = format!("record=MX 1 {}", "x".repeat(63));
    state.clone().apply(&add("box", &[&far]), &policy()).expect("fits");
    let mut own = policy();
    own.own_names.push("a.box.dyn.example.org".parse().expect("name"));
    assert!(matches!(state.clone().apply(&add("box", &["record=a TXT x"]), &own), Err(Refused::OwnName(_))));
}
