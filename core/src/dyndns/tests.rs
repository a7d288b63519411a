//! What clients are known to send, and what that means.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::change::Change;
use crate::host::{Digest, JoinSecret};
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
    for target in ["/nic/update", "/nic/update?hostname=a", "/v3/update?x", "/v2/update", "/api/update", "/update?"] {
        assert!(is_update(target), "{target}");
    }
    for target in ["/", "/nic/update/", "/nic/updates", "/?/nic/update", "nic/update", "/NIC/update"] {
        assert!(!is_update(target), "{target}");
    }
}

#[test]
fn each_family_is_kept_detected_or_set_as_clients_mean_it() {
    use Family::{Auto, Keep, Set};
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
        // FRITZ!Box, with and without one of the families.
        ("hostname=h.a&myip=100.64.0.7&myipv6=2001:db8:1::11", Set(V4), set6()),
        ("hostname=h.a&myip=&myipv6=2001:db8:1::11", Auto, set6()),
        ("hostname=h.a&myip=100.64.0.7&myipv6=", Set(V4), Keep),
        ("hostname=h.a&myip=&myipv6=", Auto, Auto),
        ("hostname=h.a&ipv6=", Keep, Keep),
        ("hostname=h.a&myipv6=", Keep, Keep),
        // deSEC, dynv6, Dynu.
        ("hostname=h.a&myipv4=100.64.0.7&myipv6=preserve", Set(V4), Keep),
        ("hostname=h.a&ipv6=[2001:db8:1::11]", Keep, set6()),
        ("hostname=h.a&ip6=auto", Keep, Auto),
        ("hostname=h.a&myip=100.64.0.7&myipv6=no", Set(V4), Keep),
        // One family's own parameter counts before the other's.
        ("myipv6=2001:db8:1::11&myip=2001:db8:2::22&hostname=h.a", Keep, set6()),
        ("hostname=h.a&myip=2001:db8:1::11,2001:db8:2::22", Keep, set6()),
    ];
    for (query, v4, v6) in table {
        let update = Update::parse(&format!("/nic/update?{query}")).expect(query);
        assert_eq!((update.v4, update.v6, update.offline), (v4, v6, false), "{query}");
        assert_eq!(update.hosts, ["h.a"], "{query}");
    }
}

#[test]
fn the_connection_speaks_for_its_own_family_only() {
    let update = |query: &str| Update::parse(&format!("/nic/update?hostname=h.a&{query}")).expect(query);
    assert_eq!(update("myip=").addresses(V4.into()), (Some(V4), None));
    assert_eq!(update("myip=").addresses(V4.to_ipv6_mapped().into()), (Some(V4), None));
    assert_eq!(update("myip=").addresses(v6().into()), (None, Some(v6())));
    let other = "2001:db8:2::22".parse().expect("v6");
    assert_eq!(update("myip=&myipv6=2001:db8:1::11").addresses(other), (None, Some(v6())), "what is said beats where it comes from");
    assert_eq!(update("myipv6=").addresses(other), (None, None));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let refused = |query: &str| Update::parse(&format!("/nic/update?{query}")).expect_err(query);
    for query in ["", "myip=192.0.2.1", "hostname=", "hostname=,,"] {
        assert_eq!(refused(query), Malformed::NoHost, "{query}");
    }
    for query in
        ["myip=x", "myip=192.0.2.1,x", "myip=2001:db8::/64", "myipv6=192.0.2.1", "myipv4=2001:db8::1", "ipv6=-", "myip=%3Cipaddr%3E"]
    {
        let error = refused(&format!("hostname=h.a&{query}"));
        assert!(matches!(error, Malformed::Address { .. }), "{query}");
        assert!(Line::from(error).to_string().starts_with("dnserr "), "{query}");
    }
    let hosts = |count: usize| format!("hostname={}", vec!["h.a"; count].join(","));
    assert_eq!(refused(&hosts(21)), Malformed::Hosts);
    assert_eq!(Update::parse(&format!("/nic/update?{}", hosts(20))).expect("twenty").hosts.len(), 20);
    assert_eq!(refused(&format!("hostname=h.a&{}", "x&".repeat(40))), Malformed::Long);
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
    let answer = |text: &str| stranger(&state(), &zones(), &cloud, text).map(|line| line.to_string());
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
    let bearer = Credentials::parse("bearer  hush ").expect("bearer");
    assert_eq!((bearer.user, bearer.password.as_str()), (None, "hush"));
    assert!(!format!("{basic:?}").contains("hush"));
    for text in ["", "Basic", "Basic !", "Digest x", "Basic Y2xvdWQ=", &format!("Bearer {}", "x".repeat(CREDENTIALS_LIMIT))] {
        assert_eq!(Credentials::parse(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn no_request_makes_it_panic(target in any::<String>(), values in prop::collection::vec("[0-9a-f:.,%\\[\\]-]{0,20}", 5)) {
        let _ = Update::parse(&target);
        let query = ["hostname", "myip", "myipv6", "ipv4", "offline"].iter().zip(&values).map(|(key, value)| format!("{key}={value}"));
        if let Ok(update) = Update::parse(&format!("/nic/update?{}", query.collect::<Vec<_>>().join("&"))) {
            let (_, v6) = update.addresses(V4.into());
            prop_assert!(v6.is_none() || matches!(update.v6, Family::Set(_)), "an IPv4 connection says nothing of IPv6");
            for host in &update.hosts {
                prop_assert!(!host.is_empty() && !host.contains(','));
            }
        }
        let _ = Credentials::parse(&target);
        let _ = is_update(&target);
    }

    #[test]
    fn what_is_encoded_comes_back(text in "[ -~]{0,40}") {
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        prop_assert_eq!(decoded(&encoded), text);
    }
}
