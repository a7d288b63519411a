//! Hosts that somebody else's DNS says the address of.

use super::*;
use crate::change::Said;

fn resolved(upstream: &str, address: Option<&str>) -> Change {
    let address = address.map(|address| address.parse().expect("v6"));
    Change::Resolved { host: host("nas"), upstream: upstream.parse().expect("name"), address, at: at(9) }
}

fn with_upstream() -> State {
    let mut state = started();
    state.apply(&add("nas", &["upstream=home.example.net"]), &policy()).expect("added");
    state
}

fn whereabouts(state: &State) -> Option<String> {
    let found = state.whereabouts(&host("nas"))?;
    assert_eq!(found.proof, None, "nobody proves it");
    Some(found.address.to_string())
}

#[test]
fn what_dns_says_is_the_address_and_shows_once() {
    let mut state = with_upstream();
    let before = serial(&state);
    assert_eq!(whereabouts(&state), None);
    let touched = state.apply(&resolved("home.example.net", Some("2001:db8:1::11")), &policy());
    assert_eq!(touched, Ok(vec![Key::Host(host("nas")), Key::Zone(zone())]));
    assert_eq!(state.apply(&resolved("home.example.net", Some("2001:db8:1::11")), &policy()), Ok(vec![]), "said again");
    assert_eq!((serial(&state), whereabouts(&state).as_deref()), (before + 1, Some("2001:db8:1::11")));
    assert!(state.host(&host("nas")).is_some_and(|host| !host.by_link()));
    state.apply(&resolved("home.example.net", None), &policy()).expect("gone");
    assert_eq!((whereabouts(&state), serial(&state)), (None, before + 2));
}

#[test]
fn an_answer_about_another_name_and_one_that_is_no_home_change_nothing() {
    let mut state = with_upstream();
    let before = state.clone();
    assert_eq!(state.apply(&resolved("old.example.net", Some("2001:db8:1::11")), &policy()), Ok(vec![]));
    assert!(matches!(refused(&state, &resolved("home.example.net", Some("fd00::1"))), Refused::Address(_)));
    assert!(matches!(refused(&state, &resolved("home.example.net", Some("2001:db8:a::11"))), Refused::Address(_)));
    let other = Change::Resolved { host: host("cloud"), upstream: "home.example.net".parse().expect("name"), address: None, at: at(9) };
    assert!(matches!(refused(&state, &other), Refused::UnknownHost(_)));
    assert!(state == before);
}

#[test]
fn another_authority_ends_what_dns_said_and_is_ended_by_it() {
    let mut state = with_upstream();
    state.apply(&resolved("home.example.net", Some("2001:db8:1::11")), &policy()).expect("there");
    let set = |texts: &[&str]| Change::Set { host: host("nas"), edits: edits(texts) };
    state.apply(&set(&["ttl=30"]), &policy()).expect("set");
    assert!(whereabouts(&state).is_some(), "another setting leaves it");
    state.apply(&set(&["upstream=other.example.net"]), &policy()).expect("set");
    assert_eq!(whereabouts(&state), None, "nobody has asked for that one yet");
    state.apply(&resolved("other.example.net", Some("2001:db8:1::11")), &policy()).expect("there");
    state.apply(&set(&["upstream="]), &policy()).expect("set");
    assert_eq!(whereabouts(&state), None);
    state.apply(&set(&["address-from=update"]), &policy()).expect("set");
    let said = Said::addresses(None, "2001:db8:2::22".parse().ok());
    state.apply(&Change::Update { host: host("nas"), said, at: at(5) }, &policy()).expect("updated");
    state.apply(&set(&["address-from=link", "upstream=home.example.net"]), &policy()).expect("set");
    assert_eq!(whereabouts(&state), None, "an update is not what DNS says");
    state.apply(&Change::Update { host: host("nas"), said, at: at(6) }, &policy()).expect("a hint");
    assert_eq!(whereabouts(&state), None);
    let moved = Change::Move { host: host("nas"), address: "2001:db8:2::22".parse().expect("v6"), at: at(7) };
    assert!(matches!(refused(&state, &moved), Refused::NotByLink(_)));
}

#[test]
fn an_upstream_is_somebody_elses_name_and_the_only_authority() {
    let state = with_upstream();
    let set = |texts: &[&str]| refused(&state, &Change::Set { host: host("nas"), edits: edits(texts) });
    for here in ["upstream=x.dyn.example.org", "upstream=dyn.example.org", "upstream=cloud.dyn.example.org"] {
        assert!(matches!(set(&[here]), Refused::UpstreamHere { .. }), "{here}");
    }
    for other in [&["address-from=update"][..], &["address-from=static", "address=2001:db8:1::1"], &["follows=cloud", "suffix=::22"]] {
        assert!(matches!(set(other), Refused::UpstreamElsewhere(_)), "{other:?}");
    }
}
