pub(crate) mod model;

use jiff::Timestamp;

use super::*;
use crate::change::{Change, Said};
use crate::host::{Digest, JoinSecret};
use crate::name::HostName;
use crate::policy::Policy;
use crate::wire::Type;

fn name(text: &str) -> DnsName {
    text.parse().expect("a name")
}

pub(crate) fn params() -> ZoneParams {
    ZoneParams {
        zones: vec![name("dyn.example.org")],
        nameservers: vec![name("gw.dyn.example.org"), name("ns.example.net")],
        own_name: name("gw.dyn.example.org"),
        ipv4: vec![Ipv4Addr::new(192, 0, 2, 11)],
        ipv6: vec!["2001:db8:a::11".parse().expect("v6")],
        ttl: 60,
        dnssec: true,
    }
}

fn host(label: &str) -> HostName {
    HostName::parse(label, &params().zones).expect("a host")
}

fn home() -> Ipv6Addr {
    "2001:db8:1::11".parse().expect("v6")
}

pub(crate) fn state(changes: &[Change]) -> State {
    let mut state = State::default();
    let serve = Change::Serve { zone: name("dyn.example.org"), apex: Digest([0; 32]), at: Timestamp::UNIX_EPOCH };
    for change in std::iter::once(&serve).chain(changes) {
        state.apply(change, &Policy::default()).expect("a good change");
    }
    state
}

fn add(label: &str) -> Change {
    let join = JoinSecret { secret: Digest([1; 32]), expires: Timestamp::UNIX_EPOCH, spent_by: None };
    Change::Add { host: host(label), edits: Vec::new(), join, update: Digest([2; 32]), reuse: false }
}

fn at(label: &str, address: Ipv6Addr) -> Change {
    Change::Move { host: host(label), address, at: Timestamp::UNIX_EPOCH }
}

/// The types at `left`, or `None` if there is no such name.
fn types(state: &State, params: &ZoneParams, left: &str) -> Option<Vec<u16>> {
    let node = ZoneView::new(&params.zones[0], state, params).expect("served").node(left)?;
    Some(KINDS.into_iter().filter(|kind| node.rrset(*kind).is_some()).map(|kind| kind.0).collect())
}

/// All that a name may have.
const KINDS: [Type; 9] = [Type::SOA, Type::NS, Type::A, Type::AAAA, Type::TXT, Type::MX, Type::SRV, Type::CAA, Type::HTTPS];

const SOA: u16 = Type::SOA.0;
const NS: u16 = Type::NS.0;
const A: u16 = Type::A.0;
const AAAA: u16 = Type::AAAA.0;
const TXT: u16 = Type::TXT.0;
const MX: u16 = Type::MX.0;
const SRV: u16 = Type::SRV.0;
const CAA: u16 = Type::CAA.0;
const HTTPS: u16 = Type::HTTPS.0;

#[test]
fn a_home_that_is_there_has_both_names() {
    let (state, params) = (state(&[add("cloud"), at("cloud", home())]), params());
    assert_eq!(types(&state, &params, "cloud"), Some(vec![A, AAAA]));
    assert_eq!(types(&state, &params, "cloud-ip6only"), Some(vec![AAAA]));
    for absent in ["x", "x-ip6only", "x.cloud", "cloud-router", "_acme-challenge.cloud", "_acme-challenge", "ip6only"] {
        assert_eq!(types(&state, &params, absent), None, "{absent}");
    }
}

#[test]
fn a_home_that_is_away_keeps_its_names() {
    let (state, params) = (state(&[add("cloud")]), params());
    assert_eq!(types(&state, &params, "cloud"), Some(vec![A]));
    assert_eq!(types(&state, &params, "cloud-ip6only"), Some(vec![]));
}

#[test]
fn a_twin_never_shows_the_gateway() {
    let params = params();
    let state = state(&[add("cloud"), at("cloud", params.ipv6[0])]);
    assert_eq!(types(&state, &params, "cloud-ip6only"), Some(vec![]));
}

#[test]
fn the_apex_may_be_a_host() {
    let params = params();
    assert_eq!(types(&state(&[]), &params, ""), Some(vec![SOA, NS]));
    let state = state(&[add("@"), at("@", home())]);
    assert_eq!(types(&state, &params, ""), Some(vec![SOA, NS, A, AAAA]));
    assert_eq!(types(&state, &params, "ip6only"), Some(vec![AAAA]));
}

#[test]
fn the_own_name_may_be_anywhere_in_the_zone() {
    let at = |own: &str| ZoneParams { own_name: name(own), ..params() };
    let state = state(&[]);
    assert_eq!(types(&state, &at("gw.dyn.example.org"), "gw"), Some(vec![A, AAAA]));
    assert_eq!(types(&state, &at("dyn.example.org"), ""), Some(vec![SOA, NS, A, AAAA]));
    assert_eq!(types(&state, &at("gw.example.org"), "gw"), None);
}

#[test]
fn what_is_between_the_zone_and_the_own_name_exists() {
    let params = ZoneParams { own_name: name("gw.a.bb.dyn.example.org"), ..params() };
    let state = state(&[]);
    assert_eq!(types(&state, &params, "a.bb"), Some(vec![]));
    assert_eq!(types(&state, &params, "bb"), Some(vec![]));
    assert_eq!(types(&state, &params, "b"), None);
    assert_eq!(types(&state, &params, "x.a.bb"), None);
}

#[test]
fn a_challenge_is_there_as_long_as_it_has_values() {
    let all = |values: &[&str]| values.iter().map(|v| (*v).into()).collect();
    let set =
        |label: &str, before: &[&str], values: &[&str]| Change::Challenge { host: host(label), before: all(before), values: all(values) };
    let params = params();
    let with = state(&[add("cloud"), add("@"), set("cloud", &[], &["one", "two"])]);
    assert_eq!(types(&with, &params, "_acme-challenge.cloud"), Some(vec![TXT]));
    let view = ZoneView::new(&params.zones[0], &with, &params).expect("served");
    let ttl = view.node("_acme-challenge.cloud").and_then(|node| Some(node.rrset(Type::TXT)?.ttl));
    assert_eq!(ttl, Some(1), "an authority that remembers it would miss the next order's");
    assert_eq!(types(&with, &params, "_acme-challenge"), None);
    let without = state(&[add("cloud"), set("cloud", &[], &["one"]), set("cloud", &["one"], &[])]);
    assert_eq!(types(&without, &params, "_acme-challenge.cloud"), None);
}

#[test]
fn a_host_may_have_its_own_ttl() {
    let params = params();
    let edit = |text: &str| text.to_owned().try_into().expect("an edit");
    let state = state(&[add("cloud"), Change::Set { host: host("cloud"), edits: vec![edit("ttl=5")] }, add("nas")]);
    let view = ZoneView::new(&params.zones[0], &state, &params).expect("served");
    let ttl = |left: &str| view.node(left).expect("it exists").rrset(Type::A).expect("an A").ttl;
    assert_eq!((ttl("cloud"), ttl("nas"), view.negative().ttl), (5, 60, 60));
}

#[test]
fn whatever_shows_in_the_zone_is_in_its_digest() {
    let zone = &params().zones[0];
    let elsewhere = ZoneParams { own_name: name("gw.example.org"), ..params() };
    let others = [
        ZoneParams { nameservers: vec![name("ns.example.net")], ..params() },
        ZoneParams { own_name: name("x.dyn.example.org"), ..params() },
        elsewhere.clone(),
        ZoneParams { ipv4: Vec::new(), ..params() },
        ZoneParams { ipv6: Vec::new(), ..params() },
        ZoneParams { ttl: 61, ..params() },
        ZoneParams { dnssec: false, ..params() },
    ];
    for other in &others {
        assert_ne!(other.digest_input(zone), params().digest_input(zone), "{other:?}");
    }
    let elsewhere_too = ZoneParams { own_name: name("www.example.org"), zones: Vec::new(), ..params() };
    assert_eq!(elsewhere.digest_input(zone), elsewhere_too.digest_input(zone), "what does not show is not in it");
}

#[test]
fn a_routers_name_has_what_it_reported_and_is_not_there_before() {
    let report =
        |v4: Option<Ipv4Addr>, v6| Change::Update { host: host("cloud"), said: Said::addresses(v4, v6), at: Timestamp::UNIX_EPOCH };
    let v4 = Ipv4Addr::new(100, 64, 0, 7);
    let known = state(&[add("cloud")]);
    assert_eq!(types(&known, &params(), "cloud-router"), None);
    let known = state(&[add("cloud"), report(Some(v4), None)]);
    assert_eq!(types(&known, &params(), "cloud-router"), Some(vec![A]));
    let known = state(&[add("cloud"), at("cloud", home()), report(Some(v4), None), report(None, "2001:db8:9::1".parse().ok())]);
    assert_eq!(types(&known, &params(), "cloud-router"), Some(vec![A, AAAA]));
    let params = params();
    let view = ZoneView::new(&params.zones[0], &known, &params).expect("served");
    let router = view.node("cloud-router").expect("node");
    assert_eq!(router.rrset(Type::A).expect("A").data, Data::A(&[v4]));
    assert_eq!(router.rrset(Type::AAAA).expect("AAAA").data, Data::Aaaa(&["2001:db8:9::1".parse().expect("v6")]));
    let dual = view.node("cloud").expect("node");
    assert_eq!(dual.rrset(Type::A).expect("A").data, Data::A(&params.ipv4), "the A is the gateway's");
    assert_eq!(dual.rrset(Type::AAAA).expect("AAAA").data, Data::Aaaa(&[home()]));
}

#[test]
fn the_challenge_of_our_own_name_stands_below_it_alone() {
    let values: BTreeSet<String> = ["token".to_owned()].into();
    let with = state(&[Change::OwnChallenge { name: name("gw.dyn.example.org"), values: values.clone() }]);
    assert_eq!(types(&with, &params(), "_acme-challenge.gw"), Some(vec![Type::TXT.0]));
    for left in ["_acme-challengegw", "_acme-challenge", "_acme-challenge.cloud", "x._acme-challenge.gw"] {
        assert_eq!(types(&with, &params(), left), None, "{left}");
    }
    let apex = ZoneParams { own_name: name("dyn.example.org"), ..params() };
    let with = state(&[Change::OwnChallenge { name: name("dyn.example.org"), values }]);
    assert_eq!(types(&with, &apex, "_acme-challenge"), Some(vec![Type::TXT.0]));
    assert_eq!(types(&state(&[]), &params(), "_acme-challenge.gw"), None);
}

/// A host with these settings.
pub(crate) fn with(label: &str, edits: &[&str]) -> Change {
    let edits = edits.iter().map(|edit| edit.parse().expect("an edit")).collect();
    match add(label) {
        Change::Add { host, join, update, reuse, .. } => Change::Add { host, edits, join, update, reuse },
        other => other,
    }
}

/// The types that are answered for `left`, or `None` if there is no such name.
fn answered(state: &State, params: &ZoneParams, left: &str) -> Option<Vec<u16>> {
    let node = ZoneView::new(&params.zones[0], state, params).expect("served").find(left)?;
    Some(KINDS.into_iter().filter(|kind| node.rrset(*kind).is_some()).map(|kind| kind.0).collect())
}

#[test]
fn a_wildcard_stands_for_every_name_below_that_does_not_exist() {
    let params = ZoneParams { own_name: name("deep.a.cloud.dyn.example.org"), ..params() };
    let challenge = Change::Challenge { host: host("cloud"), before: BTreeSet::new(), values: ["token".to_owned()].into() };
    let state = state(&[with("cloud", &["wildcard=on"]), at("cloud", home()), challenge, add("nas"), at("nas", home())]);
    for left in ["*.cloud", "www.cloud", "a.b.cloud", "x._acme.cloud", "?.cloud", "ip6only.cloud", "*x.cloud", "x.*y.cloud"] {
        assert_eq!(answered(&state, &params, left), Some(vec![A, AAAA]), "{left}");
    }
    assert_eq!(answered(&state, &params, "_acme-challenge.cloud"), Some(vec![TXT]), "it exists");
    assert_eq!(answered(&state, &params, "a.cloud"), Some(vec![]), "an empty non-terminal");
    assert_eq!(answered(&state, &params, "deep.a.cloud"), Some(vec![A, AAAA]));
    for absent in [
        "x._acme-challenge.cloud",
        "x.a.cloud",
        "x.deep.a.cloud",
        "x.*.cloud",
        "*.*.cloud",
        "x.cloud-ip6only",
        "x.nas",
        "*.nas",
        "*",
        "x",
        "xcloud",
    ] {
        assert_eq!(answered(&state, &params, absent), None, "{absent}");
    }
}

#[test]
fn an_apex_wildcard_stands_for_what_no_host_has() {
    let params = params();
    let state = state(&[with("@", &["wildcard=on"]), at("@", home()), add("nas"), at("nas", home())]);
    // As a secondary answers that knows only the records: a reserved form that nobody has is a name like any other.
    for left in ["*", "www", "a.b", "who-ip6only", "_x", "a._acme-challenge"] {
        assert_eq!(answered(&state, &params, left), Some(vec![A, AAAA]), "{left}");
    }
    assert_eq!(answered(&state, &params, ""), Some(vec![SOA, NS, A, AAAA]));
    assert_eq!(answered(&state, &params, "nas-ip6only"), Some(vec![AAAA]));
    for absent in ["x.nas", "x.gw", "x.ip6only", "x.nas-ip6only"] {
        assert_eq!(answered(&state, &params, absent), None, "{absent}");
    }
}

#[test]
fn via_gateway_leads_ipv6_there_and_the_twin_home() {
    let params = params();
    let known =
        state(&[with("cloud", &["via=gateway", "wildcard=on"]), at("cloud", home()), with("nas", &["via=home"]), at("nas", home())]);
    let view = ZoneView::new(&params.zones[0], &known, &params).expect("served");
    let aaaa = |left: &str| match view.find(left)?.rrset(Type::AAAA)?.data {
        Data::Aaaa(addresses) => Some(addresses.to_vec()),
        _ => None,
    };
    for gateways in ["cloud", "www.cloud"] {
        assert_eq!(aaaa(gateways), Some(params.ipv6.clone()), "{gateways}");
    }
    for homes in ["cloud-ip6only", "nas", "nas-ip6only"] {
        assert_eq!(aaaa(homes), Some(vec![home()]), "{homes}");
    }
    let away = state(&[with("cloud", &["via=gateway"])]);
    assert_eq!(types(&away, &params, "cloud"), Some(vec![A, AAAA]), "the gateway answers for it");
    assert_eq!(types(&away, &params, "cloud-ip6only"), Some(vec![]));
}

#[test]
fn a_hosts_own_records_stand_where_they_say_and_every_name_on_the_way_exists() {
    let params = params();
    let mine = ["record=TXT x", "record+=MX 10 @", "record+=_xmpp._tcp SRV 0 5 5222 @", "record+=deep.er TXT x", "record+=er MX 1 @"];
    let state = state(&[with("cloud", &mine), at("cloud", home()), add("xcloud")]);
    for (left, expected) in [
        ("cloud", Some(vec![A, AAAA, TXT, MX])),
        ("_xmpp._tcp.cloud", Some(vec![SRV])),
        ("_tcp.cloud", Some(vec![])),
        ("er.cloud", Some(vec![MX])),
        ("deep.er.cloud", Some(vec![TXT])),
        ("x.cloud", None),
        ("ep.er.cloud", None),
        ("r.cloud", None),
        ("x._tcp.cloud", None),
        ("_tcp.xcloud", None),
        ("_tcp", None),
        ("_xmpp._tcp", None),
        ("cloud-ip6only", Some(vec![AAAA])),
        ("_tcp.cloud-ip6only", None),
    ] {
        assert_eq!(answered(&state, &params, left), expected, "{left}");
    }
}

#[test]
fn records_end_a_wildcards_reach() {
    let params = params();
    let mine = ["wildcard=on", "alpn=h2", "caa=issue ca.org", "record=TXT x", "record+=_xmpp._tcp SRV 0 5 5222 @", "record+=mail TXT x"];
    let state = state(&[with("cloud", &mine), at("cloud", home())]);
    assert_eq!(answered(&state, &params, "cloud"), Some(vec![A, AAAA, TXT, CAA, HTTPS]));
    for left in ["*.cloud", "www.cloud", "a.b.cloud", "_udp.cloud"] {
        assert_eq!(answered(&state, &params, left), Some(vec![A, AAAA, HTTPS]), "{left}: how to get there, and nothing else");
    }
    assert_eq!(answered(&state, &params, "mail.cloud"), Some(vec![TXT]));
    assert_eq!(answered(&state, &params, "_tcp.cloud"), Some(vec![]));
    for absent in ["x.mail.cloud", "x._tcp.cloud", "x._xmpp._tcp.cloud", "*._tcp.cloud"] {
        assert_eq!(answered(&state, &params, absent), None, "{absent}");
    }
}

#[test]
fn the_zone_itself_may_have_records_below_an_underscore() {
    let params = ZoneParams { own_name: name("a._own.dyn.example.org"), ..params() };
    let mine =
        ["record=_dmarc TXT x", "record+=s._domainkey TXT x", "record+=MX 1 @", "caa=issue ca.org", "alpn=h2", "record+=_own MX 1 ."];
    let state = state(&[with("@", &mine), at("@", home()), add("nas")]);
    assert_eq!(types(&state, &params, ""), Some(vec![SOA, NS, A, AAAA, MX, CAA, HTTPS]));
    assert_eq!(types(&state, &params, "_dmarc"), Some(vec![TXT]));
    assert_eq!(types(&state, &params, "_domainkey"), Some(vec![]));
    assert_eq!(types(&state, &params, "s._domainkey"), Some(vec![TXT]));
    assert_eq!(types(&state, &params, "_own"), Some(vec![MX]), "also above our own name");
    assert_eq!(types(&state, &params, "a._own"), Some(vec![A, AAAA]));
    for absent in ["_dmarc.nas", "domainkey", "x._dmarc", "ip6only._dmarc"] {
        assert_eq!(types(&state, &params, absent), None, "{absent}");
    }
}

#[test]
fn a_follower_is_beside_its_leader_and_away_with_it() {
    let params = params();
    let follower = with("nas", &["follows=cloud", "suffix=::22", "alpn=h2"]);
    let subnet = with("cam", &["follows=cloud", "suffix=::1:0:0:0:33/56", "via=gateway"]);
    let here = state(&[add("cloud"), at("cloud", home()), follower.clone(), subnet]);
    let view = ZoneView::new(&params.zones[0], &here, &params).expect("served");
    let aaaa = |left: &str| match view.find(left)?.rrset(Type::AAAA)?.data {
        Data::Aaaa(addresses) => Some(addresses.to_vec()),
        _ => None,
    };
    for (left, address) in
        [("nas", "2001:db8:1::22"), ("nas-ip6only", "2001:db8:1::22"), ("cam", "2001:db8:a::11"), ("cam-ip6only", "2001:db8:1:1::33")]
    {
        assert_eq!(aaaa(left), Some(vec![address.parse().expect("v6")]), "{left}");
    }
    let withdrawn = state(&[add("cloud"), at("cloud", home()), follower, Change::Withdraw { host: host("cloud"), address: home() }]);
    assert_eq!(types(&withdrawn, &params, "nas"), Some(vec![A, HTTPS]));
    assert_eq!(types(&withdrawn, &params, "nas-ip6only"), Some(vec![]));
}

/// Two zones in one server: in each the same hosts, and nothing of the other's.
#[test]
fn zones_do_not_mix() {
    let zones = [name("dyn.example.org"), name("home.test")];
    let params = ZoneParams { zones: zones.to_vec(), ..params() };
    let mut state = State::default();
    for (zone, last) in zones.iter().zip(["11", "22"]) {
        let mut apply = |change| drop(state.apply(&change, &Policy::default()).expect("a good change"));
        apply(Change::Serve { zone: zone.clone(), apex: Digest([0; 32]), at: Timestamp::UNIX_EPOCH });
        for (label, edits) in
            [("@", &["wildcard=on", "record=_dmarc TXT x", "caa=issue ca.org", "alpn=h2"][..]), ("nas", &["follows=@", "suffix=::9"])]
        {
            let of_zone = HostName::new(label, zone.clone()).expect("a host");
            match with(label, edits) {
                Change::Add { edits, join, update, reuse, .. } => apply(Change::Add { host: of_zone, edits, join, update, reuse }),
                _ => panic!("add"),
            }
        }
        let apex = HostName::new("@", zone.clone()).expect("a host");
        apply(Change::Move { host: apex, address: format!("2001:db8:{last}::1").parse().expect("v6"), at: Timestamp::UNIX_EPOCH });
    }
    for (zone, last) in zones.iter().zip(["11", "22"]) {
        let view = ZoneView::new(zone, &state, &params).expect("served");
        let aaaa = |left: &str| match view.find(left)?.rrset(Type::AAAA)?.data {
            Data::Aaaa(addresses) => Some(addresses[0].to_string()),
            _ => None,
        };
        for (left, end) in [("", "::1"), ("ip6only", "::1"), ("www", "::1"), ("nas", "::9"), ("nas-ip6only", "::9")] {
            assert_eq!(aaaa(left), Some(format!("2001:db8:{last}{end}")), "{left} of {zone}");
        }
        let kinds = |left: &str| {
            KINDS.into_iter().filter(|kind| view.find(left).expect("there").rrset(*kind).is_some()).map(|kind| kind.0).collect::<Vec<_>>()
        };
        assert_eq!(kinds(""), [SOA, NS, A, AAAA, CAA, HTTPS], "{zone}");
        assert_eq!((kinds("_dmarc"), kinds("www")), (vec![TXT], vec![A, AAAA, HTTPS]), "{zone}");
    }
}
