use std::net::Ipv6Addr;

use super::*;
use crate::answer::PLAIN_LIMIT;
use crate::change::{Refused, Serial};
use crate::host::{Digest, JoinSecret};
use crate::policy::Policy;

const ZONE: &str = "dyn.example.org";

const NONE: u16 = CLASS_NONE;
const ANY: u16 = CLASS_ANY;
const IN: u16 = CLASS_IN;

fn name(text: &str) -> DnsName {
    text.parse().expect("a name")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn params() -> ZoneParams {
    ZoneParams {
        zones: vec![name("home.test"), name(ZONE)],
        nameservers: vec![name("gw.dyn.example.org")],
        own_name: name("gw.dyn.example.org"),
        ipv4: vec!["192.0.2.11".parse().expect("v4")],
        ipv6: vec!["2001:db8:a::11".parse().expect("v6")],
        dnssec: true,
        ttl: 60,
    }
}

fn host(text: &str) -> HostName {
    HostName::parse(text, &[name(ZONE)]).expect("a host")
}

/// `cloud`, where updates are the authority; `link`, where its agent is; and the zone's own.
fn state() -> State {
    let mut state = State::default();
    let mut apply = |change| drop(state.apply(&change, &Policy::default()).expect("a good change"));
    for zone in params().zones {
        apply(Change::Serve { zone, apex: Digest([0; 32]), at: at(1000) });
    }
    let join = JoinSecret { secret: Digest([1; 32]), expires: at(0), spent_by: None };
    let records = ["record=TXT \"v=spf1 -all\"", "record+=MX 10 mail", "record+=_x._tcp SRV 0 5 5222 @"];
    for (label, edits) in [("cloud", &["address-from=update"][..]), ("link", &records), ("@", &["wildcard=on"])] {
        let edits = edits.iter().map(|edit| edit.parse().expect("an edit")).collect();
        apply(Change::Add { host: host(label), edits, join, update: Digest([2; 32]), reuse: false });
    }
    apply(Change::Move { host: host("link"), address: "2001:db8:1::11".parse().expect("v6"), at: at(1) });
    state
}

/// A record: name, class, type, TTL, data.
type Line<'a> = (&'a str, u16, Type, u32, &'a [u8]);

fn wire(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).expect("short"));
        wire.extend(label.as_bytes());
    }
    [wire, vec![0]].concat()
}

fn message(zone: &str, prerequisites: &[Line<'_>], updates: &[Line<'_>]) -> Vec<u8> {
    let count = |lines: &[Line<'_>]| u8::try_from(lines.len()).expect("few");
    let mut message = vec![0, 7, 0x28, 0, 0, 1, 0, count(prerequisites), 0, count(updates), 0, 0];
    message.extend([wire(zone), vec![0, 6, 0, 1]].concat());
    for (owner, class, kind, ttl, data) in prerequisites.iter().chain(updates) {
        message.extend(wire(owner));
        message.extend([kind.0.to_be_bytes(), class.to_be_bytes()].concat());
        message.extend(ttl.to_be_bytes());
        message.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
        message.extend(*data);
    }
    message
}

fn grant(label: &str, types: &[Writable]) -> Grant {
    Grant { host: host(label), types: types.iter().copied().collect() }
}

/// The code of the answer to an update by a key that may write all of `cloud`.
fn required(prerequisites: &[Line<'_>]) -> Rcode {
    let update = message(ZONE, prerequisites, &[]);
    judge(&update, &grant("cloud", &Writable::ALL), &state(), &params(), at(9)).map_or_else(|no| no.rcode, |_| Rcode::NOERROR)
}

/// What `lines` by a key of `label`'s make of `state`.
fn updated(state: &State, label: &str, types: &[Writable], lines: &[Line<'_>]) -> Result<State, Rcode> {
    let change = judge(&message(ZONE, &[], lines), &grant(label, types), state, &params(), at(9)).map_err(|no| no.rcode)?;
    let mut new = state.clone();
    new.apply(&change.expect("something to do"), &Policy::default()).map_err(|_| Rcode::REFUSED)?;
    Ok(new)
}

fn home(state: &State, label: &str) -> Option<String> {
    state.home(&host(label)).map(|home| home.to_string())
}

fn serial(state: &State) -> Serial {
    state.zone(&name(ZONE)).expect("a zone").serial
}

fn v6(text: &str) -> [u8; 16] {
    text.parse::<Ipv6Addr>().expect("v6").octets()
}

fn txt(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat()
}

const CLOUD: &str = "cloud.dyn.example.org";
const LINK: &str = "link.dyn.example.org";
const PROOF: &str = "_acme-challenge.cloud.dyn.example.org";

fn at_home(address: &[u8; 16]) -> Line<'_> {
    (CLOUD, IN, Type::AAAA, 60, address)
}

fn proof(value: &[u8]) -> Line<'_> {
    (PROOF, IN, Type::TXT, 60, value)
}

#[test]
fn the_five_prerequisites_are_judged_by_the_zone_as_it_is_served() {
    let (a, other, spf) = ([192, 0, 2, 11], [192, 0, 2, 12], txt("v=spf1 -all"));
    let (mail, srv) = (wire("MAIL.link.dyn.example.org"), wire(LINK));
    let (mx, srv) = ([&[0, 10][..], &mail].concat(), [&[0, 0, 0, 5, 0x14, 0x66][..], &srv].concat());
    let ns = wire("gw.dyn.example.org");
    #[rustfmt::skip]
    let table: [(Line<'_>, Rcode); 32] = [
        ((CLOUD, ANY, Type::ANY, 0, b""), Rcode::NOERROR),
        ((ZONE, ANY, Type::ANY, 0, b""), Rcode::NOERROR),
        (("x.dyn.example.org", ANY, Type::ANY, 0, b""), Rcode::NXDOMAIN),
        (("_tcp.link.dyn.example.org", ANY, Type::ANY, 0, b""), Rcode::NXDOMAIN), // it has names below it, and no records
        (("CLOUD.dyn.EXAMPLE.org", NONE, Type::ANY, 0, b""), Rcode::YXDOMAIN),
        (("x.dyn.example.org", NONE, Type::ANY, 0, b""), Rcode::NOERROR),
        (("a b.dyn.example.org", NONE, Type::ANY, 0, b""), Rcode::NOERROR),
        (("*.dyn.example.org", NONE, Type::ANY, 0, b""), Rcode::YXDOMAIN),
        ((CLOUD, ANY, Type::A, 0, b""), Rcode::NOERROR),
        ((CLOUD, ANY, Type::AAAA, 0, b""), Rcode::NXRRSET),
        ((LINK, ANY, Type::MX, 0, b""), Rcode::NOERROR),
        (("x.dyn.example.org", ANY, Type::A, 0, b""), Rcode::NXRRSET),
        ((CLOUD, NONE, Type::A, 0, b""), Rcode::YXRRSET),
        ((CLOUD, NONE, Type::AAAA, 0, b""), Rcode::NOERROR),
        ((LINK, NONE, Type::AAAA, 0, b""), Rcode::YXRRSET),
        ((CLOUD, IN, Type::A, 0, &a), Rcode::NOERROR),
        ((CLOUD, IN, Type::A, 0, &other), Rcode::NXRRSET),
        ((CLOUD, IN, Type::AAAA, 0, &v6("2001:db8::1")), Rcode::NXRRSET),
        ((LINK, IN, Type::AAAA, 0, &v6("2001:db8:1::11")), Rcode::NOERROR),
        ((LINK, IN, Type::TXT, 0, &spf), Rcode::NOERROR),
        ((LINK, IN, Type::MX, 0, &mx), Rcode::NOERROR),
        (("_x._tcp.link.dyn.example.org", IN, Type::SRV, 0, &srv), Rcode::NOERROR),
        ((ZONE, IN, Type::NS, 0, &ns), Rcode::NOERROR),
        ((CLOUD, IN, Type(1000), 0, &a), Rcode::NXRRSET),
        (("cloud.example.org", ANY, Type::A, 0, b""), Rcode::NOTZONE),
        ((CLOUD, ANY, Type::A, 1, b""), Rcode::FORMERR),
        ((CLOUD, ANY, Type::A, 0, &a), Rcode::FORMERR),
        ((CLOUD, NONE, Type::ANY, 0, b"x"), Rcode::FORMERR),
        ((CLOUD, IN, Type::ANY, 0, b""), Rcode::FORMERR),
        ((CLOUD, IN, Type::A, 0, b"123"), Rcode::FORMERR),
        ((CLOUD, IN, Type::A, 9, &a), Rcode::FORMERR),
        ((CLOUD, 3, Type::A, 0, b""), Rcode::FORMERR),
    ];
    for (line, expected) in table {
        assert_eq!(required(&[line]), expected, "{line:?}");
    }
    assert_eq!(required(&[(CLOUD, IN, Type::A, 0, &a), (CLOUD, IN, Type::A, 0, &other)]), Rcode::NXRRSET, "the whole set");
    assert_eq!(required(&[(CLOUD, IN, Type::A, 0, &a), (CLOUD, IN, Type::A, 0, &a)]), Rcode::NOERROR, "a set has no order and no doubles");
    assert_eq!(required(&[(CLOUD, ANY, Type::A, 0, b""), ("x.dyn.example.org", ANY, Type::A, 0, b"")]), Rcode::NXRRSET, "all of them");
}

#[test]
fn another_zone_and_what_is_no_update_are_told_apart() {
    let code = |message: &[u8]| {
        let judged = judge(message, &grant("cloud", &Writable::ALL), &state(), &params(), at(9));
        judged.map_or_else(|no| no.rcode, |_| Rcode::NOERROR)
    };
    let good = message(ZONE, &[], &[(CLOUD, IN, Type::AAAA, 60, &v6("2001:db8::1"))]);
    assert_eq!(code(&good), Rcode::NOERROR);
    let with = |place: usize, value: u8| {
        let mut other = good.clone();
        other[place] = value;
        other
    };
    let end_of_zone = 12 + wire(ZONE).len();
    assert_eq!(code(&message("example.org", &[], &[])), Rcode::NOTAUTH);
    assert_eq!(code(&message(CLOUD, &[], &[])), Rcode::NOTAUTH, "a name in a zone is none");
    assert_eq!(code(&with(end_of_zone + 3, 3)), Rcode::NOTAUTH, "another class");
    assert_eq!(code(&with(end_of_zone + 1, 1)), Rcode::FORMERR, "not by its SOA");
    assert_eq!(code(&with(5, 0)), Rcode::FORMERR, "no zone");
    assert_eq!(code(&with(5, 2)), Rcode::FORMERR, "two zones");
    assert_eq!(code(&[&good[..], b"x"].concat()), Rcode::FORMERR);
    assert_eq!(code(&message("home.test", &[], &[(CLOUD, ANY, Type::AAAA, 0, b"")])), Rcode::NOTZONE);
    assert_eq!(code(&message("home.test", &[], &[("cloud.home.test", ANY, Type::AAAA, 0, b"")])), Rcode::REFUSED, "another zone's host");
    for (class, kind, ttl, data) in [
        (IN, Type::ANY, 0, &b""[..]),
        (IN, Type::AXFR, 0, b""),
        (ANY, Type::AAAA, 1, b""),
        (ANY, Type::AAAA, 0, &[0; 16]),
        (ANY, Type::MAILB, 0, b""),
        (NONE, Type::ANY, 0, b""),
        (NONE, Type::AAAA, 1, &[0; 16]),
        (7, Type::AAAA, 0, b""),
        (IN, Type::AAAA, 0, b""),
        (IN, Type::TXT, 0, b""),
        (IN, Type::TXT, 0, b"\x05abc"),
        (NONE, Type::MX, 0, b"\0\x0a\xc0"),
    ] {
        // Also where what comes before it is good: nothing of it is done.
        let lines = [(CLOUD, IN, Type::AAAA, 60, &v6("2001:db8::1")[..]), (CLOUD, class, kind, ttl, data)];
        assert_eq!(code(&message(ZONE, &[], &lines)), Rcode::FORMERR, "{class} {kind:?} {ttl} {data:?}");
    }
}

#[test]
fn names_may_point_to_the_zone_and_deletions_are_empty() {
    let mut state = state();
    state = updated(&state, "cloud", &[Writable::Aaaa], &[(CLOUD, IN, Type::AAAA, 60, &v6("2001:db8::1"))]).expect("updated");
    assert_eq!(home(&state, "cloud").as_deref(), Some("2001:db8::1"));
    // As nsupdate sends it: the owner's end is a pointer, class ANY, no data.
    let mut delete = message(ZONE, &[], &[]);
    delete[9] = 1;
    delete.extend(b"\x05cloud\xc0\x0c\0\x1c\0\xff\0\0\0\0\0\0");
    let change = judge(&delete, &grant("cloud", &[Writable::Aaaa]), &state, &params(), at(9)).expect("permitted").expect("a change");
    state.apply(&change, &Policy::default()).expect("applied");
    assert_eq!(home(&state, "cloud"), None);
}

#[test]
fn an_address_is_what_an_update_client_would_say() {
    let aaaa = |text: &str| v6(text);
    let (one, two) = (aaaa("2001:db8::1"), aaaa("2001:db8::2"));
    let delete: Line<'_> = (CLOUD, ANY, Type::AAAA, 0, b"");
    let home_after = |lines: &[Line<'_>]| {
        let state = updated(&state(), "cloud", &[Writable::Aaaa], &[at_home(&one)]).expect("updated");
        updated(&state, "cloud", &[Writable::Aaaa], lines).map(|state| home(&state, "cloud"))
    };
    assert_eq!(home_after(&[delete, at_home(&two)]), Ok(Some("2001:db8::2".into())));
    assert_eq!(home_after(&[at_home(&two)]), Ok(Some("2001:db8::2".into())), "it takes the place of the old one");
    assert_eq!(home_after(&[at_home(&two), at_home(&two)]), Ok(Some("2001:db8::2".into())));
    assert_eq!(home_after(&[at_home(&two), at_home(&one)]), Err(Rcode::REFUSED), "a home is at one address");
    assert_eq!(home_after(&[at_home(&two), delete]), Ok(None));
    assert_eq!(home_after(&[(CLOUD, NONE, Type::AAAA, 0, &one)]), Ok(None));
    assert_eq!(home_after(&[(CLOUD, NONE, Type::AAAA, 0, &two)]), Ok(Some("2001:db8::1".into())), "that one is not there");
    assert_eq!(home_after(&[(CLOUD, NONE, Type::AAAA, 0, b"")]), Ok(Some("2001:db8::1".into())));
    assert_eq!(home_after(&[at_home(&aaaa("fe80::1"))]), Err(Rcode::REFUSED), "no home's");
}

#[test]
fn where_the_link_is_the_authority_an_address_is_a_hint() {
    let state = state();
    let address = v6("2001:db8:7::7");
    let new = updated(&state, "link", &[Writable::Aaaa], &[(LINK, IN, Type::AAAA, 60, &address)]).expect("taken");
    assert_eq!(home(&new, "link"), home(&state, "link"));
    let router = new.host(&host("link")).expect("a host").router.expect("a hint");
    assert_eq!(router.v6, Some(address.into()));
}

#[test]
fn an_a_is_taken_and_changes_nothing() {
    let state = state();
    for line in
        [(CLOUD, IN, Type::A, 60, &[198, 51, 100, 7][..]), (CLOUD, ANY, Type::A, 0, b""), (CLOUD, NONE, Type::A, 0, &[192, 0, 2, 11])]
    {
        assert_eq!(updated(&state, "cloud", &[Writable::A], &[line]), Ok(state.clone()));
    }
}

#[test]
fn a_challenge_has_several_values_that_come_and_go() {
    let values = |state: &State| state.host(&host("cloud")).expect("a host").challenge.iter().cloned().collect::<Vec<_>>().join(",");
    let update = |state: &State, lines: &[Line<'_>]| updated(state, "cloud", &[Writable::Challenge], lines);
    let (a, b) = (txt("a"), txt("b"));
    let mut state = update(&state(), &[proof(&a)]).expect("added");
    state = update(&state, &[proof(&b), proof(&b)]).expect("added");
    assert_eq!(values(&state), "a,b");
    assert_eq!(values(&update(&state, &[(PROOF, NONE, Type::TXT, 0, &a)]).expect("removed")), "b");
    assert_eq!(values(&update(&state, &[(PROOF, NONE, Type::TXT, 0, &txt("c"))]).expect("nothing")), "a,b");
    assert_eq!(values(&update(&state, &[(PROOF, ANY, Type::TXT, 0, b""), proof(&txt("c"))]).expect("replaced")), "c");
    assert_eq!(values(&update(&state, &[(PROOF, ANY, Type::ANY, 0, b"")]).expect("removed")), "");
    for bad in [&b"\x01a\x01b"[..], b"\x01\xff", b"\x03a b"] {
        assert_eq!(update(&state, &[proof(bad)]), Err(Rcode::REFUSED), "{bad:?}");
    }
    let many: Vec<Vec<u8>> = (0..17).map(|number| txt(&format!("{number}"))).collect();
    let lines: Vec<_> = many.iter().map(|value| (PROOF, IN, Type::TXT, 60, value.as_slice())).collect();
    assert_eq!(update(&super::tests::state(), &lines), Err(Rcode::REFUSED));
    assert_eq!(update(&super::tests::state(), &lines[1..]).map(|_| ()), Ok(()));
}

#[test]
fn own_records_come_and_go_and_keep_how_their_owner_wrote_them() {
    let records = |state: &State| {
        let host = state.host(&host("link")).expect("a host");
        host.settings.record.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let all = [Writable::Txt, Writable::Srv, Writable::Mx];
    let update = |state: &State, lines: &[Line<'_>]| updated(state, "link", &all, lines);
    let state = state();
    let before = records(&state);
    let mx = [&[0, 10][..], &wire("mail.link.dyn.example.org")].concat();
    assert_eq!(records(&update(&state, &[(LINK, IN, Type::MX, 60, &mx)]).expect("there")), before, "it is there as a relative name");
    let none = update(&state, &[(LINK, NONE, Type::MX, 0, &mx), (LINK, ANY, Type::TXT, 0, b"")]).expect("removed");
    assert_eq!(records(&none), "_x._tcp SRV 0 5 5222 @");
    let added = [("_dmarc.link.dyn.example.org", IN, Type::TXT, 60, &b"\x01x\x00"[..]), (LINK, IN, Type::MX, 60, &[0, 0, 0])];
    assert_eq!(records(&update(&none, &added).expect("added")), "MX 0 .; _dmarc TXT \"x\" \"\"; _x._tcp SRV 0 5 5222 @");
    let wiped = update(&state, &[("_x._tcp.link.dyn.example.org", ANY, Type::ANY, 0, b""), (LINK, ANY, Type::ANY, 0, b"")]);
    assert_eq!(records(&wiped.expect("removed")), "");
    // 32 is the most of a host.
    let many: Vec<Vec<u8>> = (0..40).map(|number| txt(&format!("{number}"))).collect();
    let lines: Vec<_> = many.iter().map(|value| (LINK, IN, Type::TXT, 60, value.as_slice())).collect();
    assert_eq!(update(&state, &lines), Err(Rcode::REFUSED));
    assert_eq!(
        updated(&state, "link", &[Writable::Txt], &[(LINK, ANY, Type::ANY, 0, b"")]).map(|new| records(&new)),
        Ok("MX 10 mail; _x._tcp SRV 0 5 5222 @".into()),
        "as far as the key goes"
    );
}

/// By key (its host's label where it may write everything): name and type.
#[rustfmt::skip]
const MAY: [&str; 38] = [
    "cloud: cloud 1", "cloud: cloud 28", "cloud: cloud 16", "cloud: cloud 33", "cloud: cloud 15", "cloud: _acme-challenge.cloud 16",
    "cloud: www.cloud 16", "cloud: www.cloud 33", "cloud: www.cloud 15", "cloud: _dmarc.cloud 16", "cloud: _dmarc.cloud 33", "cloud: _dmarc.cloud 15",
    "cloud: cloud.cloud 16", "cloud: cloud.cloud 33", "cloud: cloud.cloud 15",
    "@:  1", "@:  28", "@:  16", "@:  33", "@:  15", "@: _dmarc 16", "@: _dmarc 33", "@: _dmarc 15",
    "A: cloud 1", "AAAA: cloud 28", "_acme-challenge: _acme-challenge.cloud 16",
    "TXT: cloud 16", "TXT: www.cloud 16", "TXT: _dmarc.cloud 16", "TXT: cloud.cloud 16",
    "SRV: cloud 33", "SRV: www.cloud 33", "SRV: _dmarc.cloud 33", "SRV: cloud.cloud 33",
    "MX: cloud 15", "MX: www.cloud 15", "MX: _dmarc.cloud 15", "MX: cloud.cloud 15",
];

/// Every key, every name, every type: what may be is listed, all else is refused.
#[test]
fn a_key_writes_what_it_may_and_nothing_else() {
    let (state, text, mx) = (state(), txt("x"), [&[0, 1][..], &wire(LINK)].concat());
    let srv = [&[0; 6][..], &wire(LINK)].concat();
    let data = |kind: Type| match kind {
        Type::A => &[192, 0, 2, 1][..],
        Type::AAAA => &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9],
        Type::TXT => &text,
        Type::MX => &mx,
        Type::SRV => &srv,
        _ => &[],
    };
    let names = [
        "cloud",
        "link",
        "",
        "cloud-ip6only",
        "cloud-router",
        "_acme-challenge.cloud",
        "_acme-challenge.link",
        "_acme-challenge",
        "www.cloud",
        "_dmarc.cloud",
        "_dmarc",
        "gw",
        "_acme-challenge.gw",
        "new",
        "*.cloud",
        "x._acme-challenge.cloud",
        "_acme-challenge.www.cloud",
        "cloud.cloud",
        "_validation-persist.cloud",
        "_validation-persist",
    ];
    let kinds = [Type::A, Type::AAAA, Type::TXT, Type::SRV, Type::MX, Type::CAA, Type::HTTPS, Type::CNAME, Type(4711)];
    let mut may = Vec::new();
    for (label, types) in [("cloud", Writable::ALL.to_vec()), ("@", Writable::ALL.to_vec())]
        .into_iter()
        .chain(Writable::ALL.into_iter().map(|one| ("cloud", vec![one])))
    {
        for left in names {
            let owner = format!("{left}.{ZONE}");
            let owner = owner.trim_start_matches('.');
            for kind in kinds {
                let data = if kind == Type::CNAME { wire(LINK) } else { data(kind).to_vec() };
                let add = updated(&state, label, &types, &[(owner, IN, kind, 60, &data)]).is_ok();
                let delete = updated(&state, label, &types, &[(owner, ANY, kind, 0, b"")]).is_ok();
                assert_eq!(add, delete, "{label} {types:?} {owner} {kind:?}");
                if add {
                    let key = if types.len() == 1 { types[0].word() } else { label };
                    may.push(format!("{key}: {left} {}", kind.0));
                }
            }
        }
    }
    assert_eq!(may, MAY);
}

#[test]
fn a_record_that_would_be_read_as_another_one_is_not_written() {
    let data = [&[0, 0, 0, 5, 0, 1][..], &wire(LINK)].concat();
    let add = |owner: &str, kind, data: &[u8]| updated(&state(), "cloud", &Writable::ALL, &[(owner, IN, kind, 60, data)]);
    for left in ["txt", "srv", "mx"] {
        let owner = format!("{left}.{CLOUD}");
        let kept = |kind, data: &[u8]| match add(&owner, kind, data) {
            Ok(new) => {
                let host = new.host(&host("cloud")).expect("there").settings.record.clone();
                assert!(host.iter().all(|record| record.owner.as_ref().is_some_and(|owner| owner.as_str() == left)), "{left}: {host:?}");
            }
            Err(refused) => assert_eq!(refused, Rcode::REFUSED),
        };
        kept(Type::SRV, &data);
        kept(Type::TXT, &txt("a"));
    }
}

#[test]
fn all_of_an_update_is_one_version_or_none_of_it_happens() {
    let state = state();
    let (address, proof) = (v6("2001:db8::1"), txt("a"));
    let lines = [
        (CLOUD, IN, Type::AAAA, 60, &address[..]),
        (PROOF, IN, Type::TXT, 60, &proof),
        ("www.cloud.dyn.example.org", IN, Type::TXT, 60, &proof),
    ];
    let new = updated(&state, "cloud", &Writable::ALL, &lines).expect("updated");
    assert_eq!(serial(&new), serial(&state).next());
    assert_eq!(
        updated(&state, "cloud", &[Writable::Aaaa, Writable::Challenge], &lines),
        Err(Rcode::REFUSED),
        "the last may not be written"
    );
    let nobody = judge(&message(ZONE, &[], &lines), &grant("nobody", &Writable::ALL), &state, &params(), at(9));
    assert_eq!(nobody, Err(No::PROHIBITED), "a key whose host is not there");
}

#[test]
fn an_update_that_another_change_overtook_is_refused_and_can_be_judged_anew() {
    let mut state = state();
    let judged = |state: &State, prerequisites: &[Line<'_>], value: &str| {
        let update = message(ZONE, prerequisites, &[(PROOF, IN, Type::TXT, 60, &txt(value))]);
        judge(&update, &grant("cloud", &[Writable::Challenge]), state, &params(), at(9)).expect("permitted").expect("a change")
    };
    let (one, two) = (judged(&state, &[], "a"), judged(&state, &[], "b"));
    let guarded = judged(&state, &[(LINK, ANY, Type::AAAA, 0, b"")], "c");
    state.apply(&one, &Policy::default()).expect("the first");
    assert_eq!(state.apply(&two, &Policy::default()), Err(Refused::Overtaken(host("cloud"))), "else the first value were lost");
    assert_eq!(state.apply(&guarded, &Policy::default()), Err(Refused::Overtaken(host("cloud"))));
    state.apply(&judged(&state, &[], "b"), &Policy::default()).expect("anew");
    assert_eq!(state.host(&host("cloud")).expect("a host").challenge.len(), 2);
    // Another host's change matters where something is required, and only there.
    let (free, guarded) = (judged(&state, &[], "d"), judged(&state, &[(LINK, ANY, Type::AAAA, 0, b"")], "d"));
    let away = Change::Withdraw { host: host("link"), address: "2001:db8:1::11".parse().expect("v6") };
    state.apply(&away, &Policy::default()).expect("away");
    assert_eq!(state.clone().apply(&guarded, &Policy::default()), Err(Refused::Overtaken(host("cloud"))));
    state.apply(&free, &Policy::default()).expect("not its affair");
}

#[test]
fn a_reply_fits_what_the_client_takes() {
    let long = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(58));
    for (zone, edns, signature) in [(ZONE, false, 0), (ZONE, true, 150), (&long, false, 400), (&long, true, 400), (&long, true, 490)] {
        let mut update = message(zone, &[], &[]);
        if edns {
            update.extend(b"\0\0\x29\x02\x00\0\0\0\0\0\0");
            update[11] = 1;
        }
        let query = Query::parse(&update).expect("a message");
        let reply = Reply { no: Some(No::PROHIBITED), cookie: None, transport: Transport::Udp, signature }.message(&query);
        assert!(reply.len() >= HEADER && reply.len() + signature <= PLAIN_LIMIT, "{}", reply.len());
        assert_eq!(reply[..4], [0, 7, 0xA8, 5]);
        assert_eq!(reply[5], u8::from(signature < 400), "the zone, where it fits");
    }
}
