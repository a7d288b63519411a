use proptest::prelude::*;

use super::*;
use crate::change::{Change, Refused, Said};
use crate::policy::{AddressPolicy, Policy};

fn zone() -> DnsName {
    "dyn.example.org".parse().expect("a zone")
}

fn host(label: &str) -> HostName {
    HostName::new(label, zone()).expect("a host")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn policy() -> Policy {
    let own = vec!["2001:db8:a::11".parse().expect("v6")];
    Policy {
        addresses: AddressPolicy::new(own, Vec::new()),
        own_names: vec!["own.dyn.example.org".parse().expect("name")],
        own_ports: Vec::new(),
    }
}

fn empty() -> State {
    let mut state = State::default();
    state.apply(&Change::Serve { zone: zone(), apex: Digest([0; 32]), at: at(1_000) }, &policy()).expect("served");
    state
}

/// One host of each kind, and a name that was removed.
fn full() -> State {
    let mut state = empty();
    let mut apply = |change| drop(state.apply(&change, &policy()).expect("a good change"));
    let join = |byte| JoinSecret { secret: Digest([byte; 32]), expires: at(9_000), spent_by: None };
    let mut add = |label: &str, byte, edits: &[&str]| {
        let edits = edits.iter().map(|edit| edit.parse().expect("an edit")).collect();
        apply(Change::Add { host: host(label), edits, join: join(byte), update: Digest([byte + 1; 32]), reuse: false });
    };
    add("cloud", 1, &["alias=owncloud.example.org,b.example.net", "via=gateway", "home-port=tls=8443", "deny=192.0.2.0/24"]);
    add("nas", 3, &["address-from=static", "address=2001:db8:9::1", "ttl=5"]);
    add("cam", 5, &["address-from=update"]);
    add("@", 7, &["wildcard=on"]);
    let named = [
        "record=_dmarc TXT \"v=DMARC1; rua=mailto:a@x.org,mailto:b@x.org\"",
        "record+=MX 10 @",
        "caa=issue ca.org; validationmethods=a,b",
        "caa+=issuewild ;",
    ];
    add("box", 11, &[&named[..], &["alpn=h2,http/1.1", "follows=cloud", "suffix=::1:0:0:0:22/56"]].concat());
    add("old", 9, &[]);
    let v6 = |text: &str| text.parse().expect("v6");
    apply(Change::Register { host: host("cloud"), secret: Digest([1; 32]), key: Digest([99; 32]), at: at(2_000) });
    apply(Change::ProofKey { host: host("cloud"), key: Digest([98; 32]) });
    apply(Change::Move { host: host("cloud"), address: v6("2001:db8:1::11"), at: at(2_001) });
    apply(Change::Move { host: host("cloud"), address: v6("2001:db8:2::11"), at: at(2_002) });
    let v4 = "192.0.2.77".parse().ok();
    apply(Change::Update { host: host("cam"), said: Said::addresses(v4, Some(v6("2001:db8:7::1"))), at: at(2_003) });
    apply(Change::Remove { host: host("old"), at: at(2_004) });
    state
}

/// All lines of `state`, fetched in pages of `most`.
fn lines(state: &State, most: usize) -> Vec<String> {
    let (mut all, mut next) = (Vec::new(), None);
    loop {
        let Page { lines, next: then } = page(state, next.as_ref(), most, 1 << 20).expect("a page");
        assert!(lines.len() <= most);
        all.extend(lines);
        next = then;
        if next.is_none() {
            return all;
        }
    }
}

fn import(state: &mut State, lines: &[String], replace: bool, reuse: bool) -> Result<bool, Refused> {
    let entries = lines.iter().map(|line| parse(line).expect("a line")).collect();
    state.apply(&Change::Import { entries, replace, reuse }, &policy()).map(|touched| !touched.is_empty())
}

fn line(fields: &str) -> String {
    format!(r#"{{"zone":"dyn.example.org",{fields}}}"#)
}

#[test]
fn what_is_exported_and_imported_elsewhere_is_the_same() {
    let (there, mut here) = (full(), empty());
    let exported = lines(&there, 2);
    assert_eq!(exported.len(), 6);
    let serial = |state: &State| state.zone(&zone()).expect("served").serial;
    let before = serial(&here);
    assert_eq!(import(&mut here, &exported, false, false), Ok(true));
    assert_eq!(serial(&here), before.next(), "one version for all of it");
    assert_eq!(lines(&here, 1_000), exported);
    for (name, host) in there.hosts() {
        assert_eq!(here.host(name), Some(host), "{name}");
    }
    assert_eq!(here.agent(&Digest([99; 32])), Some(&host("cloud")));
    let unchanged = here.clone();
    assert_eq!(import(&mut here, &exported, true, false), Ok(false), "once more changes nothing");
    assert_eq!(here, unchanged);
}

#[test]
fn pages_are_as_long_as_both_limits_let_them_be() {
    let state = full();
    let all = lines(&state, 1_000);
    for most in 1..=all.len() + 1 {
        assert_eq!(lines(&state, most), all, "{most} a page");
    }
    let by_bytes = page(&state, None, 1_000, 1).expect("a page");
    assert_eq!((by_bytes.lines.len(), by_bytes.next), (1, Some(Cursor::Host(host("@")))), "one at least");
    assert_eq!(page(&empty(), None, 1, 1).expect("a page"), Page { lines: Vec::new(), next: None });
}

#[test]
fn a_line_needs_no_more_than_a_name() {
    let mut state = empty();
    assert_eq!(import(&mut state, &[line(r#""host":"n1""#)], false, false), Ok(true));
    let known = state.host(&host("n1")).expect("there");
    assert_eq!((known.home(), known.credentials.agent), (None, None));
    assert_eq!(lines(&state, 9), [line(r#""host":"n1""#)]);
    let register = Change::Register { host: host("n1"), secret: NOBODYS, key: Digest([1; 32]), at: at(0) };
    assert!(matches!(state.apply(&register, &policy()), Err(Refused::ExpiredSecret { .. })), "nobody can join until there is a token");
}

#[test]
fn lines_that_make_no_sense_say_why() {
    let form = |text: &str, part: &str| {
        let error = parse(text).expect_err(text);
        assert!(matches!(error, LineError::Form(_)) && error.to_string().contains(part), "{text}: {error}");
    };
    form("", "EOF");
    form("nonsense", "expected");
    form("[]", "expected");
    form(r#"{"host":"n1"}"#, "missing field `zone`");
    form(r#"{"zone":"dyn.example.org"}"#, "missing field `host`");
    form(&line(r#""host":"n1","colour":"red""#), "unknown field `colour`");
    form(&line(r#""host":"n1","removed":"n1","at":"2026-01-01T00:00:00Z""#), "unknown field `host`");
    form(&line(r#""host":"n1","update":"secret""#), "64 hexadecimal digits");
    form(&line(r#""host":"n1","agent":7"#), "column");
    form(&line(r#""removed":"n1""#), "missing field `at`");
    form(&line(r#""host":"n1","join":{"secret":"00"}"#), "64 hexadecimal digits");
    assert!(matches!(parse(&line(r#""host":"a.b""#)), Err(LineError::Name(_))));
    assert!(matches!(parse(&line(r#""host":"gw""#)), Err(LineError::Name(_))));
    assert!(matches!(parse(&line(r#""host":"n1","settings":["alias"]"#)), Err(LineError::Edit(_))));
    assert_eq!(parse(&" ".repeat(LINE_LIMIT + 1)), Err(LineError::Long));
    let secret = parse(&line(r#""host":"n1","update":"hunter2""#)).expect_err("no digest").to_string();
    assert!(!secret.contains("hunter2"), "{secret}");
}

#[test]
fn a_page_is_all_or_nothing_and_judged_like_single_hosts() {
    let state = full();
    let address = r#"{"address":"2001:db8:a::11","since":"2026-01-01T00:00:00Z"}"#;
    let key = Digest([99; 32]);
    let refusals: &[(String, &str)] = &[
        (line(r#""host":"cloud""#), "--replace"),
        (line(r#""host":"old""#), "--reuse"),
        (line(r#""host":"own""#), "own name"),
        (line(r#""host":"n1","settings":["alias=owncloud.example.org"]"#), "already leads to"),
        (line(r#""host":"n1","settings":["alias=x.dyn.example.org"]"#), "is served here"),
        (line(r#""host":"n1","settings":["colour=red"]"#), "no such setting"),
        (line(r#""host":"n1","settings":["ttl=0"]"#), "ttl=0"),
        (line(r#""host":"n1","settings":["address-from=static"]"#), "go together"),
        (line(r#""host":"n1","settings":["address-from=static","address=fe80::1"]"#), "link-local"),
        (line(&format!(r#""host":"n1","proven":{address}"#)), "gateway's own address"),
        (line(&format!(r#""host":"n1","settings":["address-from=update"],"updated":{address}"#)), "gateway's own address"),
        (line(r#""host":"n1","router":{"v4":"127.0.0.1","at":"2026-01-01T00:00:00Z"}"#), "no address"),
        (line(&format!(r#""host":"n1","agent":"{key}""#)), "already speaks for"),
        (line(r#""removed":"cloud","at":"2026-01-01T00:00:00Z""#), "an import never does"),
        (r#"{"zone":"other.test","host":"n1"}"#.into(), "not served here"),
    ];
    for (bad, part) in refusals {
        let mut same = state.clone();
        let refused = import(&mut same, &[line(r#""host":"n0""#), bad.clone()], false, false).expect_err(bad);
        assert!(matches!(&refused, Refused::Entry { at: 1, .. }) && refused.to_string().contains(part), "{bad}: {refused}");
        assert_eq!(same, state, "{bad}");
    }
    let twice = [line(r#""host":"n1""#), line(r#""host":"n1""#)];
    assert!(matches!(import(&mut full(), &twice, false, false), Err(Refused::Entry { at: 1, .. })));
    let mut reused = full();
    assert_eq!(import(&mut reused, &[line(r#""host":"old""#)], false, true), Ok(true));
    assert!(reused.tombstones_after(None).next().is_none());
}

#[test]
fn a_host_that_is_there_keeps_where_its_home_is() {
    let backup = lines(&full(), 1_000);
    let mut state = full();
    let newer = "2001:db8:3::11".parse().expect("v6");
    let mut apply = |change| drop(state.apply(&change, &policy()).expect("a good change"));
    apply(Change::Move { host: host("cloud"), address: newer, at: at(3_000) });
    apply(Change::Set { host: host("cloud"), edits: vec!["ttl=7".parse().expect("an edit")] });
    assert_eq!(import(&mut state, &backup, true, false), Ok(true));
    let cloud = state.host(&host("cloud")).expect("there");
    assert_eq!((cloud.home(), cloud.settings.ttl), (Some(newer), None));
    // Another agent's key: what the one before it proved is its own.
    let key = Digest([98; 32]).to_string();
    let other: Vec<String> = backup.iter().map(|line| line.replace(&Digest([99; 32]).to_string(), &key)).collect();
    assert_eq!(import(&mut state, &other, true, false), Ok(true));
    assert_eq!(state.host(&host("cloud")).expect("there").home(), "2001:db8:2::11".parse().ok());
}

#[test]
fn a_tombstone_protects_the_name_and_stays_the_latest() {
    let mut state = empty();
    let removed = |time: &str| line(&format!(r#""removed":"n1","at":"{time}""#));
    assert_eq!(import(&mut state, &[removed("2026-01-02T00:00:00Z")], false, false), Ok(true));
    assert_eq!(import(&mut state, &[removed("2026-01-01T00:00:00Z")], false, false), Ok(false));
    let join = JoinSecret { secret: Digest([1; 32]), expires: at(9_000), spent_by: None };
    let add = Change::Add { host: host("n1"), edits: Vec::new(), join, update: Digest([2; 32]), reuse: false };
    assert!(matches!(state.apply(&add, &policy()), Err(Refused::Tombstone { .. })));
}

#[test]
fn followers_are_imported_in_any_order() {
    let cloud = line(r#""host":"cloud","proven":{"address":"2001:db8:1::11","since":"2026-01-01T00:00:00Z"}"#);
    let follower = |label: &str, end: &str| line(&format!(r#""host":"{label}","settings":["follows=cloud","suffix={end}"]"#));
    let mut state = empty();
    let serial = |state: &State| state.zone(&zone()).expect("served").serial;
    for (one, homes, touched) in [(follower("box", "::22"), 0, 2), (cloud, 2, 3), (follower("cam", "::33"), 3, 2)] {
        let before = serial(&state);
        let change = Change::Import { entries: vec![parse(&one).expect("a line")], replace: false, reuse: false };
        assert_eq!(state.apply(&change, &policy()).expect("imported").len(), touched, "{one}");
        assert_eq!(serial(&state), before.next(), "one version");
        assert_eq!(["box", "cloud", "cam"].into_iter().filter_map(|label| state.home(&host(label))).count(), homes);
    }
    assert_eq!(state.home(&host("box")), "2001:db8:1::22".parse().ok());
    let chain = line(r#""host":"new","settings":["follows=box","suffix=::1"]"#);
    let refused = import(&mut state, &[chain], false, false).expect_err("a chain").to_string();
    assert!(refused.contains("follows cloud itself"), "{refused}");
    let chain =
        [line(r#""host":"a","settings":["follows=b","suffix=::1"]"#), line(r#""host":"b","settings":["follows=cloud","suffix=::1"]"#)];
    let refused = import(&mut state, &chain, false, false).expect_err("a chain, the other way round").to_string();
    assert!(refused.contains("followed by a.dyn.example.org"), "{refused}");
}

proptest! {
    #[test]
    fn no_line_makes_it_panic(line in "\\PC{0,200}") {
        let _ = parse(&line);
    }

    #[test]
    fn a_line_with_an_edit_is_refused_or_comes_back(at in any::<prop::sample::Index>(), byte in 0x20_u8..0x7f, cut in any::<bool>()) {
        for good in lines(&full(), 1_000) {
            let mut bytes = good.into_bytes();
            let place = at.index(bytes.len());
            bytes[place] = byte;
            if cut {
                bytes.truncate(place);
            }
            let mut state = empty();
            let Ok(entry) = parse(std::str::from_utf8(&bytes).expect("ASCII")) else { continue };
            if state.apply(&Change::Import { entries: vec![entry], replace: false, reuse: false }, &policy()).is_ok() {
                let once = lines(&state, 9);
                let mut again = empty();
                import(&mut again, &once, false, false).expect("what was exported is imported");
                prop_assert_eq!(lines(&again, 9), once);
                prop_assert_eq!(again, state);
            }
        }
    }
}

#[test]
fn a_join_string_that_was_spent_since_the_export_stays_spent() {
    let mut state = full();
    let exported = lines(&state, 1_000);
    let register = |key: u8| Change::Register { host: host("nas"), secret: Digest([3; 32]), key: Digest([key; 32]), at: at(2_010) };
    state.apply(&register(50), &policy()).expect("joined");
    let joined = state.clone();
    assert_eq!(import(&mut state, &exported, true, false), Ok(false), "the file knows nothing newer");
    assert_eq!(state, joined);
    assert!(matches!(state.apply(&register(51), &policy()), Err(Refused::SpentSecret(_))));
    assert_eq!(state.agent(&Digest([50; 32])), Some(&host("nas")));
}
