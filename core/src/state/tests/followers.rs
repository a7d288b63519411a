//! Followers: one move, one commit, and no way to leave one without a leader.

use super::*;

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
fn an_import_has_its_followers_in_any_order() {
    let state = following();
    let lines = crate::export::page(&state, None, 100, 1 << 20).expect("lines").lines;
    let mut entries: Vec<_> = lines.iter().map(|line| crate::export::parse(line).expect(line)).collect();
    entries.swap(1, 2);
    let mut new = started();
    for (at, entry) in entries.into_iter().enumerate() {
        let touched = new.apply(&Change::Import { entries: vec![entry], replace: false, reuse: false }, &policy()).expect("imported");
        // The last one is the leader: in one version all are there.
        assert_eq!(touched.len(), if at == 2 { 4 } else { 2 }, "{touched:?}");
        assert_eq!(homes(&new).iter().flatten().count(), if at == 2 { 3 } else { 0 });
    }
    assert_eq!(homes(&new), homes(&state));
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
    let long = format!("record={0}.{0}.{0}.{1} TXT x", "x".repeat(63), "x".repeat(50));
    assert!(matches!(refused(&state, &add("box", &[&long])), Refused::Record { .. }));
    let far = format!("record=MX 1 {}", "x".repeat(63));
    state.clone().apply(&add("box", &[&far]), &policy()).expect("fits");
    let mut own = policy();
    own.own_names.push("a.box.dyn.example.org".parse().expect("name"));
    assert!(matches!(state.clone().apply(&add("box", &["record=a TXT x"]), &own), Err(Refused::OwnName(_))));
}
