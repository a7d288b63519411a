//! What clients are known to send, and what that means.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;
use jiff::Timestamp;
use proptest::prelude::*;

use super::query::decoded;
use super::*;
use crate::change::Refused;
use crate::change::{Change, Said, Word};
use crate::host::{Digest, JoinSecret};
use crate::policy::AddressPolicy;
use crate::policy::Policy;

const V4: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 7);

fn v6() -> Ipv6Addr {
    "2001:db8:1::11".parse().expect("v6")
}

fn set6() -> Family<Ipv6Addr> {
    Family::Set(v6())
}

fn name(text: &str) -> DnsName {
    text.parse().expect("name")
}

fn zones() -> [DnsName; 2] {
    [name("dyn.example.org"), name("b.org")]
}

fn state() -> State {
    let mut state = State::default();
    let join = JoinSecret { secret: Digest([1; 32]), expires: Timestamp::UNIX_EPOCH, spent_by: None };
    let mut apply = |change| state.apply(&change, &Policy::default()).expect("applied");
    for zone in zones() {
        apply(Change::Serve { zone, apex: Digest([0; 32]), at: Timestamp::UNIX_EPOCH });
    }
    for (host, edits) in [("cloud", vec!["alias=owncloud.example.org".parse().expect("edit")]), ("nas", vec![]), ("b.org", vec![])] {
        let host = HostName::parse(host, &zones()).expect("host");
        apply(Change::Add { host, edits, join, update: Digest([2; 32]), reuse: false });
    }
    state
}

#[test]
fn the_paths_of_all_clients_are_known_and_no_others() {
    for target in [
        "/nic/update",
        "/nic/update?hostname=a",
        "/v3/update?x",
        "/v2/update",
        "/api/update",
        "/update?",
        "/update.php?key=x",
        "/nic/delete?myip=::",
        "/?hostname=a",
        "/?username=a&myipv6=b",
    ] {
        assert!(is_update(target), "{target}");
    }
    for target in ["/", "/?", "/?x=y", "/?/nic/update", "/x?hostname=a", "/nic/update/", "/nic/updates", "nic/update", "/NIC/update"] {
        assert!(!is_update(target), "{target}");
    }
}

#[test]
fn each_family_is_kept_detected_or_set_as_clients_mean_it() {
    use Family::{Auto, Clear, Keep, Set};
    let table = [
        // What ddclient, inadyn, OPNsense, pfSense and OpenWrt send.
        ("system=dyndns&hostname=h.a&myip=100.64.0.7", Set(V4), Keep),
        ("hostname=h.a&myip=100.64.0.7,2001:db8:1::11", Set(V4), set6()),
        ("hostname=h.a&myip=2001:db8:1::11&wildcard=ON&mx=m.a&backmx=NO", Keep, set6()),
        ("hostname=h.a&myip=2001%3Adb8%3A1%3A%3A11", Keep, set6()),
        // Nothing said, or an empty myip (Hikvision): where it comes from.
        ("hostname=h.a", Auto, Auto),
        ("hostname=h.a&myip=&offline=NO", Auto, Auto),
        ("hostname=h.a&myip=auto", Auto, Auto),
        // FRITZ!Box, with and without one of the families, and with placeholders that it left in place.
        ("hostname=h.a&myip=100.64.0.7&myipv6=2001:db8:1::11", Set(V4), set6()),
        ("hostname=h.a&myip=&myipv6=2001:db8:1::11", Auto, set6()),
        ("hostname=h.a&myip=100.64.0.7&myipv6=", Set(V4), Keep),
        ("hostname=h.a&myip=&myipv6=", Auto, Auto),
        ("hostname=h.a&myip=%3Cipaddr%3E&myipv6=2001:db8:1::11", Keep, set6()),
        ("hostname=h.a&myip=<ipaddr>&myipv6=<ip6addr>", Keep, Keep),
        ("hostname=h.a&myip=<ipaddr>,<ip6addr>", Keep, Keep),
        ("hostname=h.a&myip=<ipaddr>,2001:db8:1::11", Keep, set6()),
        ("hostname=h.a&myip=%20100.64.0.7%20", Set(V4), Keep),
        ("hostname=h.a&myip=100.64.0.7%20https://gw.a/nic/update?hostname=h.a&myip=2001:db8:1::11", Set(V4), set6()),
        ("hostname=h.a&ipv6=", Keep, Keep),
        ("hostname=h.a&myipv6=", Keep, Keep),
        // deSEC, dynv6, ipv64, freedyn, Dynu.
        ("hostname=h.a&myipv4=100.64.0.7&myipv6=preserve", Set(V4), Keep),
        ("hostname=h.a&myip=preserve&myipv6=2001:db8:1::11", Keep, set6()),
        ("hostname=h.a&ipv6=[2001:db8:1::11]", Keep, set6()),
        ("hostname=h.a&ipv6=2001:db8:1::11/64", Keep, set6()),
        ("hostname=h.a&ip6=auto", Keep, Auto),
        ("hostname=h.a&ipv4=-&ipv6=auto", Clear, Auto),
        ("hostname=h.a&ipv6=-", Keep, Clear),
        ("domain=h.a&ip=100.64.0.7&ip6=2001:db8:1::11", Set(V4), set6()),
        ("Zone=h.a&ipv4=100.64.0.7", Set(V4), Keep),
        ("host=h.a&myip=100.64.0.7&myip2=2001:db8:1::11", Set(V4), set6()),
        ("hostname=h.a&myip=100.64.0.7&myipv6=no", Set(V4), Keep),
        ("hostname=h.a&myip=no&myipv6=2001:db8:1::11", Keep, set6()),
        // One family's own parameter counts before the other's, and the first before those that follow.
        ("myipv6=2001:db8:1::11&myip=2001:db8:2::22&hostname=h.a", Keep, set6()),
        ("hostname=h.a&myip=2001:db8:1::11,2001:db8:2::22", Keep, set6()),
        ("hostname=YES&host_id=h.a&myip=100.64.0.7", Set(V4), Keep),
    ];
    for (query, v4, v6) in table {
        let update = Update::parse(&format!("/nic/update?{query}")).expect(query);
        assert_eq!((update.claim, update.offline), (Claim { v4, v6, prefix: None }, false), "{query}");
        assert_eq!(update.hosts, ["h.a"], "{query}");
    }
}

#[test]
fn a_prefix_is_one_by_whatever_name_it_comes() {
    let net: Ipv6Net = "2001:db8:1:2200::/56".parse().expect("prefix");
    for query in [
        "ip6lanprefix=2001:db8:1:2200::/56",
        "ipv6prefix=2001%3Adb8%3A1%3A2200%3A%3A%2F56",
        "praefix=2001:db8:1:2200::/56",
        "myipv6=2001:db8:1:2200::/56",
        "ipv6=2001:db8:1:2200::/56&ip6lanprefix=<ip6lanprefix>",
        "myip=2001:db8:1:2200::/56",
        "ip6lanprefix=2001:db8:1:22ff::1/56",
    ] {
        let update = Update::parse(&format!("/nic/update?hostname=h.a&{query}")).expect(query);
        assert_eq!(update.claim, Claim { prefix: Some(net), ..Claim::default() }, "{query}");
    }
    let whole = Update::parse("/nic/update?myipv6=<ip6addr>&ip6lanprefix=2001:db8:1:2200::/56::22").expect("run together");
    assert_eq!(whole.claim, Claim { prefix: "2001:db8:1:2200::22/56".parse().ok(), ..Claim::default() });
    let both =
        Update::parse("/nic/update?myip=100.64.0.7&myipv6=2001:db8:1::11&ip6lanprefix=2001:db8:1:2200::/56&dualstack=1").expect("all");
    assert_eq!((both.claim, both.hosts.len()), (Claim { v4: Family::Set(V4), v6: set6(), prefix: Some(net) }, 0));
}

#[test]
fn each_host_may_be_somewhere_else() {
    let update =
        Update::parse("/update?hostname=h.a,i.a&myipv4=100.64.0.7&myipv6=2001:db8:1::/64&myipv6:I.a=2001:db8:1::22&myipv6:j.a=preserve")
            .expect("read");
    assert_eq!(update.hosts, ["h.a", "i.a", "j.a"]);
    let said = |name: &str| update.said(Some(name), V4.into());
    let prefix = "2001:db8:1::/64".parse().ok();
    let v4 = Word::Set(V4);
    assert_eq!(said("h.a"), Said { v4, v6: Word::Keep, prefix });
    assert_eq!(said("I.a"), Said { v4, v6: Word::Set("2001:db8:1::22".parse().expect("v6")), prefix: None });
    assert_eq!(update.said(None, V4.into()), said("h.a"));
}

#[test]
fn the_connection_speaks_for_its_own_family_only() {
    let said = |query: &str, peer: IpAddr| Update::parse(&format!("/nic/update?hostname=h.a&{query}")).expect(query).said(None, peer);
    assert_eq!(said("myip=", V4.into()), Said::addresses(Some(V4), None));
    assert_eq!(said("myip=", V4.to_ipv6_mapped().into()), Said::addresses(Some(V4), None));
    assert_eq!(said("myip=", v6().into()), Said::addresses(None, Some(v6())));
    let other = "2001:db8:2::22".parse().expect("v6");
    assert_eq!(said("myip=&myipv6=2001:db8:1::11", other), Said::addresses(None, Some(v6())), "what is said beats where it comes from");
    assert_eq!(said("myipv6=", other), Said::default());
    let deleted = |query: &str, peer: IpAddr| Update::parse(&format!("/nic/delete?{query}")).expect(query).said(None, peer);
    assert_eq!(deleted("myip=::", V4.into()), Said { v6: Word::Clear, ..Said::default() });
    assert_eq!(deleted("", V4.into()), Said { v4: Word::Clear, ..Said::default() });
}

#[test]
fn each_dialect_is_known_by_its_call() {
    let table = [
        ("/nic/update?hostname=h.a&myip=", Dialect::DynDns),
        ("/update?hostname=h.a&myipv4=", Dialect::DynDns),
        ("/update?username=h.a&password=x&myipv4=", Dialect::DeSec),
        ("/?hostname=h.a&myipv4=", Dialect::DeSec),
        ("/api/update?zone=h.a&token=x&ipv4=auto", Dialect::DynV6),
        ("/api/update?hostname=h.a&ipv6=-", Dialect::DynV6),
        ("/api/update?hostname=h.a&myip=", Dialect::DynDns),
        ("/nic/delete", Dialect::Delete),
    ];
    for (target, dialect) in table {
        assert_eq!(Query::read(target).expect(target).dialect(), dialect, "{target}");
    }
}

#[test]
fn every_value_of_a_txt_record_is_read_and_nothing_else_then() {
    let txt =
        |query: &str| Update::parse(&format!("/nic/update?hostname=_acme-challenge.h.a&{query}")).map(|update| (update.txt, update.claim));
    let values = |values: &[&str]| Ok((Some(values.iter().map(|value| (*value).to_owned()).collect()), Claim::default()));
    assert_eq!(txt("txt=abc"), values(&["abc"]));
    assert_eq!(txt("txt=a_-b&myip=100.64.0.7&txt=c"), values(&["a_-b", "c"]));
    assert_eq!(txt("txt="), values(&[]));
    let deleted = Update::parse("/nic/delete?hostname=_acme-challenge.h.a&txt=abc");
    assert_eq!(deleted, Err(Malformed::DeletedTxt), "it would stand there, and was to go");
    for bad in ["txt=%00", "txt=%0a", "txt=ü", &format!("txt={}", "x".repeat(256)), &"txt=x&".repeat(9)] {
        assert_eq!(txt(bad), Err(Malformed::Txt), "{bad}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let refused = |query: &str| Update::parse(&format!("/nic/update?{query}")).expect_err(query);
    for query in [
        "myip=x",
        "myip=192.0.2.1,x",
        "myip=-",
        "myip=2001:db8::/96",
        "myipv6=192.0.2.1",
        "myipv4=2001:db8::1",
        "ipv4=2001:db8::/64",
        "ipv6=6to4",
        "ipv6prefix=2001:db8::1",
        "ip6lanprefix=2001:db8::/6411ff:fe22:3344",
        "ip6lanprefix=2001:db8::/96",
        "myipv6=2001:db8::/6422",
    ] {
        let error = refused(&format!("hostname=h.a&{query}"));
        assert!(matches!(error, Malformed::Address { .. }), "{query}");
        assert!(Line::from(error).to_string().starts_with("dnserr "), "{query}");
    }
    assert_eq!(refused("praefix=auto"), Malformed::Guess("praefix"));
    assert_eq!(refused("ipv6prefix=-"), Malformed::NoPrefix("ipv6prefix"));
    let hosts = |count: usize| format!("hostname={}", vec!["h.a"; count].join(","));
    assert_eq!(refused(&hosts(21)), Malformed::Hosts);
    assert_eq!(Update::parse(&format!("/nic/update?{}", hosts(20))).expect("twenty").hosts.len(), 20);
    assert_eq!(refused(&format!("hostname=h.a&{}", "x&".repeat(60))), Malformed::Long);
    assert_eq!(refused(&format!("hostname=h.a&x={}", "x".repeat(TARGET_LIMIT))), Malformed::Long);
    assert!(Update::parse("/nic/update?hostname=h.a&offline=YES").expect("read").offline);
}

#[test]
fn values_are_decoded_where_they_are_encoded() {
    for (text, value) in
        [("a%2Cb", "a,b"), ("50%", "50%"), ("%zz%4", "%zz%4"), ("%41%", "A%"), ("%+1", "%+1"), ("ü", "ü"), ("%ff", "\u{fffd}")]
    {
        assert_eq!(decoded(text), value);
    }
}

#[test]
fn a_host_goes_by_all_of_its_names() {
    let state = state();
    let cloud = HostName::parse("cloud", &zones()).expect("host");
    let apex = HostName::parse("b.org", &zones()).expect("host");
    for text in [
        "cloud",
        "CLOUD",
        "cloud.dyn.example.org",
        "Cloud.dyn.example.org.",
        "cloud-ip6only.dyn.example.org",
        "cloud-router.dyn.example.org",
        "owncloud.example.org",
    ] {
        assert_eq!(host_of(&state, &zones(), text), Some(cloud.clone()), "{text}");
    }
    for text in ["b.org", "ip6only.b.org", "ip6only-router.b.org"] {
        assert_eq!(host_of(&state, &zones(), text), Some(apex.clone()), "{text}");
    }
    for text in ["", "@", "nobody", "nobody-router.dyn.example.org", "gw.dyn.example.org", "_acme-challenge.cloud.dyn.example.org", "a b"] {
        assert_eq!(host_of(&state, &zones(), text), None, "{text}");
    }
}

#[test]
fn credentials_are_good_for_their_own_host_alone() {
    let cloud = HostName::parse("cloud", &zones()).expect("host");
    let update = Update::parse("/nic/update").expect("an update");
    let answer = |text: &str| stranger(&state(), &zones(), &cloud, &update, text).map(|line| line.to_string());
    for text in ["cloud.dyn.example.org", "cloud-router.dyn.example.org", "owncloud.example.org"] {
        assert_eq!(answer(text), None, "{text}");
    }
    for text in ["nas.dyn.example.org", "nobody.dyn.example.org", "b.org"] {
        assert_eq!(answer(text).as_deref(), Some("nohost"), "{text}");
    }
    for text in ["cloud", "a..b", "192.0.2.1", "a b.org", "org."] {
        assert_eq!(answer(text).as_deref(), Some("notfqdn"), "{text}");
    }
}

#[test]
fn basic_and_bearer_are_read_and_never_shown() {
    let basic = Credentials::parse("Basic Y2xvdWQ6aHVzaDpodXNo").expect("basic");
    assert_eq!((basic.user.as_deref(), basic.password.as_str()), (Some("cloud"), "hush:hush"));
    for text in ["bearer  hush ", "Token hush", "Basic Omh1c2g="] {
        let token = Credentials::parse(text).expect(text);
        assert_eq!((token.user, token.password.as_str()), (None, "hush"), "{text}");
    }
    assert!(!format!("{basic:?}").contains("hush"));
    for text in ["", "Basic", "Basic !", "Digest x", "Basic Y2xvdWQ=", &format!("Bearer {}", "x".repeat(1024))] {
        assert_eq!(Credentials::parse(text), None, "{text}");
    }
}

#[test]
fn credentials_in_the_address_line_are_found_by_all_of_their_names() {
    let found =
        |query: &str| Query::read(&format!("/update?{query}")).expect(query).credentials().map(|found| (found.user, found.password));
    let user = |user: &str| Some((Some(user.to_owned()), "hush".to_owned()));
    assert_eq!(found("username=h.a&password=hush"), user("h.a"));
    assert_eq!(found("username=h.a&passwword=hush&hostname=h.a"), user("h.a"), "as inadyn writes it");
    assert_eq!(found("user=h.a&pass=hush"), user("h.a"));
    for query in ["token=hush", "key=hush", "hostname=h.a&password=hush", "username=<username>&password=hush"] {
        assert_eq!(found(query), Some((None, "hush".into())), "{query}");
    }
    for query in ["", "password=", "password=<pass>", "username=h.a"] {
        assert_eq!(found(query), None, "{query}");
    }
}

#[test]
fn no_refusal_says_what_clients_take_for_success() {
    let net = "2001:db8::/64".parse().expect("net");
    let host = HostName::parse("goodies", &[name("updated.example.org")]).expect("host");
    let forbidden = AddressPolicy::default().check(Ipv6Addr::LOCALHOST).expect_err("no home");
    let reasons = [
        Refused::PrefixAlone { host: host.clone(), prefix: net },
        Refused::NoAddress(V4.into()),
        Refused::Address(forbidden),
        Refused::ApexChallenge(host.zone().clone()),
        Refused::UnknownHost(host.clone()),
        Refused::NotByLink(host),
    ];
    let reasons = reasons.each_ref().map(Line::from);
    assert!(reasons[0].to_string().contains("send its whole address"), "it says why, without the name");
    let malformed = [
        Malformed::Long,
        Malformed::Hosts,
        Malformed::Guess("praefix"),
        Malformed::NoPrefix("praefix"),
        Malformed::Txt,
        Malformed::DeletedTxt,
    ];
    let places = [NoPlace::Other, NoPlace::Length, NoPlace::RunTogether].into_iter();
    let places = places.flat_map(|why| ["x", "Good", "unchanged.example.org"].map(|value| (why, value.to_owned())));
    let places = places.map(|(why, value)| Line::from(Malformed::Address { parameter: "myip", value, why }));
    let places: Vec<Line> = places.inspect(|line| assert!(line.to_string().contains("myip"), "{line}")).collect();
    let lines =
        [Line::NoHost, Line::NotFqdn, Line::BadAuth, Line::NumHost, Line::NotOffline, Line::Abuse, Line::TooOften { wait: 2 }, Line::Fault];
    let refusals = lines.into_iter().chain(reasons).chain(malformed.map(Line::from)).chain(places);
    for line in refusals {
        let text = line.to_string().to_lowercase();
        for word in ["good", "nochg", "updated", "unchanged", "deleted"] {
            assert!(!text.contains(word), "{text}");
        }
        assert!(!line.is_done() && Dialect::DynV6.body(&[line.clone(), Line::Good(vec![])]).starts_with(line.word()));
    }
    assert_eq!(Dialect::DynV6.body(&[Line::NoChange(vec![])]), "addresses unchanged\n");
    assert_eq!(Dialect::DynV6.body(&[Line::NoChange(vec![]), Line::Good(vec![])]), "addresses updated\n");
    assert_eq!(Dialect::DynDns.body(&[Line::Good(vec![]), Line::NoChange(vec![V4.into()])]), "good\nnochg 100.64.0.7\n");
}

#[test]
fn a_txt_record_is_for_the_name_below_its_own_host_and_never_for_the_zones() {
    let proven = |text: &str| proven_by(&state(), &zones(), text).map(|host| host.dual().to_string());
    assert_eq!(proven("_acme-challenge.cloud.dyn.example.org").as_deref(), Some("cloud.dyn.example.org"));
    assert_eq!(proven("_ACME-challenge.Cloud.dyn.example.org.").as_deref(), Some("cloud.dyn.example.org"));
    for text in [
        "_acme-challenge.b.org",
        "_acme-challenge.nobody.b.org",
        "cloud.dyn.example.org",
        "_acme-challenge.gw.b.org",
        "_acme-challenge",
        "",
    ] {
        assert_eq!(proven(text), None, "{text}");
    }
    let cloud = HostName::parse("cloud", &zones()).expect("host");
    let by_he = Update::parse("/nic/update?txt=x").expect("TXT");
    let by_account = Update { dialect: Dialect::AcmeDns, ..by_he.clone() };
    let answer = |update: &Update, text: &str| stranger(&state(), &zones(), &cloud, update, text);
    for update in [&by_he, &by_account] {
        assert_eq!(answer(update, "_acme-challenge.cloud.dyn.example.org"), None);
        assert_eq!(answer(update, "_acme-challenge.nas.dyn.example.org"), Some(Line::NoHost));
        assert_eq!(answer(update, "_acme-challenge.b.org"), Some(Line::NoHost));
    }
    assert_eq!(answer(&by_he, "cloud.dyn.example.org"), Some(Line::NoHost));
    assert_eq!(answer(&by_he, "cloud"), Some(Line::NotFqdn));
    for own in ["cloud", "cloud.dyn.example.org", "owncloud.example.org"] {
        assert_eq!(answer(&by_account, own), None, "{own}");
    }
    for other in ["nas", "@", "b.org", "a b", "cloud,nas"] {
        assert_eq!(answer(&by_account, other), Some(Line::NoHost), "{other}");
    }
}

#[test]
fn a_line_that_is_no_http_is_mended_and_every_other_left_alone() {
    let table = [
        ("GET /nic/update?myip=<ipaddr>&myipv6=2001:db8::1 HTTP/1.0", "GET /nic/update?myip=%3Cipaddr%3E&myipv6=2001:db8::1 HTTP/1.0"),
        ("GET /nic/update?myip= 100.64.0.7 HTTP/1.0", "GET /nic/update?myip=%20100.64.0.7 HTTP/1.0"),
        ("GET  /nic/update?hostname=h.a  HTTP/1.1", "GET /nic/update?hostname=h.a HTTP/1.1"),
        ("GET /update?password=\"a#b\" HTTP/1.1", "GET /update?password=%22a%23b%22 HTTP/1.1"),
        ("GET /update?hostname=\u{e4} HTTP/1.1", "GET /update?hostname=%C3%A4 HTTP/1.1"),
        (
            "GET /nic/update?myip=1 https://gw.a/nic/update?myip=2 HTTP/1.0",
            "GET /nic/update?myip=1%20https://gw.a/nic/update?myip=2 HTTP/1.0",
        ),
    ];
    for (line, right) in table {
        let whole = mended(line.as_bytes()).map(|line| String::from_utf8(line).expect("ASCII"));
        assert_eq!(whole.as_deref(), Some(right), "{line}");
        assert_eq!(mended(right.as_bytes()), None, "{right} needs nothing");
    }
    for line in [
        "",
        "GET",
        "GET / a HTTP/1.1",
        "HEAD /update?<x> HTTP/1.1",
        "GET /update?<x>",
        "GET /update?<\t> HTTP/1.0",
        "GET /x?<ipaddr> HTTP/1.0",
    ] {
        assert_eq!(mended(line.as_bytes()), None, "{line}");
    }
}

proptest! {
    #[test]
    fn no_request_makes_it_panic(target in any::<String>(), values in prop::collection::vec("[0-9a-f:.,/%\\[\\]<>-]{0,20}", 6)) {
        let _ = Update::parse(&target);
        let keys = ["hostname", "myip", "myipv6", "ipv4", "ip6lanprefix", "myipv6:h.a"];
        let query = keys.iter().zip(&values).map(|(key, value)| format!("{key}={value}"));
        if let Ok(update) = Update::parse(&format!("/nic/update?{}", query.collect::<Vec<_>>().join("&"))) {
            let said = update.said(None, V4.into());
            prop_assert!(said.v6 == Word::Keep || update.claim.v6 != Family::Auto, "an IPv4 connection says nothing of IPv6");
            prop_assert!(said.prefix.is_none_or(|prefix| (16..=64).contains(&prefix.prefix_len())));
            for host in &update.hosts {
                prop_assert!(!host.is_empty() && !host.contains(','));
            }
        }
        let _ = Credentials::parse(&target);
        let _ = is_update(&target);
    }

    #[test]
    fn what_is_mended_is_right(line in "(GET|POST|PUT) /(nic/update|update|x)\\?[ -~\u{80}-\u{ff}]{0,40}( HTTP/1\\.[01])?") {
        if let Some(whole) = mended(line.as_bytes()) {
            prop_assert_eq!(mended(&whole), None);
            prop_assert_eq!(whole.iter().filter(|byte| **byte == b' ').count(), 2);
            prop_assert!(whole.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' '));
        }
    }

    #[test]
    fn what_is_encoded_comes_back(text in "[ -~]{0,40}") {
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        prop_assert_eq!(decoded(&encoded), text);
    }
}
