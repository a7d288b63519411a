//! What is a name, and what a host's.

use proptest::prelude::*;

use super::*;

fn name(text: &str) -> DnsName {
    text.parse().expect("a good name")
}

#[test]
fn a_name_is_lower_case_and_has_no_final_dot() {
    assert_eq!(name("Cloud.Dyn.Example.ORG.").as_str(), "cloud.dyn.example.org");
}

#[test]
fn what_is_no_name_is_refused() {
    for text in ["", ".", "a..b", "-a.b", "a-.b", "a b.c", "ü.org", "192.0.2.1", "2001:db8::1", "a\0b.c"] {
        assert!(text.parse::<DnsName>().is_err(), "{text:?}");
    }
    assert!(format!("{}.org", "a".repeat(64)).parse::<DnsName>().is_err());
    assert!(vec!["abcdefg"; 40].join(".").parse::<DnsName>().is_err());
}

#[test]
fn within_wants_a_whole_label() {
    assert_eq!(name("a.b.org").within(&name("b.org")), Some("a"));
    assert_eq!(name("b.org").within(&name("b.org")), Some(""));
    assert_eq!(name("ab.org").within(&name("b.org")), None);
}

#[test]
fn a_host_is_named_by_label_or_whole_name() {
    let zones = [name("dyn.example.org"), name("other.org")];
    let host = HostName::parse("cloud", &zones).expect("host");
    assert_eq!(host.dual().as_str(), "cloud.dyn.example.org");
    assert_eq!(host.twin().as_str(), "cloud-ip6only.dyn.example.org");
    assert_eq!(HostName::parse("Cloud.dyn.example.org.", &zones), Ok(host));
    assert_eq!(HostName::parse("nas.other.org", &zones).expect("host").zone(), &zones[1]);
    assert_eq!(HostName::parse("@", &zones).expect("host").twin().as_str(), "ip6only.dyn.example.org");
}

#[test]
fn a_key_sorts_as_its_host_does() {
    let zones = [name("a.org"), name("b.org")];
    let hosts = ["@", "b", "ba", "c"].map(|label| zones.each_ref().map(|zone| HostName::new(label, zone.clone()).expect("host")));
    for (one, other) in hosts.iter().flatten().flat_map(|one| hosts.iter().flatten().map(move |other| (one, other))) {
        let key: &dyn HostKey = &(one.zone(), one.label());
        assert_eq!(key.cmp(other.borrow()), one.cmp(other), "{one} {other}");
    }
}

#[test]
fn reserved_and_long_hosts_are_refused() {
    let zones = [name("dyn.example.org")];
    for text in ["gw", "ip6only", "x-ip6only", "x-router", "_acme-challenge", "a.b", "a.b.dyn.example.org", &"a".repeat(56)] {
        assert!(HostName::parse(text, &zones).is_err(), "{text}");
    }
    assert!(HostName::parse(&"a".repeat(55), &zones).is_ok());
}

#[test]
fn roles_follow_the_form_of_the_name() {
    let zone = name("dyn.example.org");
    let cloud = HostName::parse("cloud", std::slice::from_ref(&zone)).expect("host");
    let role = |text: &str| role_in(&name(text), &zone);
    assert_eq!(role("dyn.example.org"), Some(Role::Apex));
    assert_eq!(role("cloud.dyn.example.org"), Some(Role::Dual(cloud.clone())));
    assert_eq!(role("cloud-ip6only.dyn.example.org"), Some(Role::Twin(cloud.clone())));
    assert_eq!(role("cloud-router.dyn.example.org"), Some(Role::Router(cloud.clone())));
    assert_eq!(role(cloud.router().as_str()), Some(Role::Router(cloud.clone())));
    let apex = HostName::new(APEX, zone.clone()).expect("host");
    assert_eq!(role(apex.router().as_str()), Some(Role::Router(apex)));
    assert_eq!(role("cloud-router-router.dyn.example.org"), Some(Role::Other));
    assert_eq!(role("_acme-challenge.cloud.dyn.example.org"), Some(Role::Challenge(cloud)));
    assert_eq!(role("a.cloud.dyn.example.org"), Some(Role::Other));
    assert_eq!(role("gw.dyn.example.org"), Some(Role::Other));
    assert_eq!(role("example.org"), None);
}

/// Texts that are names, nearly, or not at all.
fn any_text() -> impl Strategy<Value = String> {
    let label = "[A-Za-z0-9_-]{1,10}";
    prop_oneof![
        4 => prop::collection::vec(label, 1..6).prop_map(|labels| labels.join(".")),
        2 => prop::collection::vec("[a-z0-9]{1,63}", 1..6).prop_map(|labels| labels.join(".")),
        1 => prop::collection::vec(any::<u8>(), 4).prop_map(|b| format!("{}.{}.{}.{}", b[0], b[1], b[2], b[3])),
        1 => "[a-z.]{0,30}",
        1 => any::<String>(),
    ]
}

/// Labels of hosts, with many of those that have a meaning of their own.
fn any_label() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[A-Za-z0-9-]{1,12}",
        1 => "[a-z]{50,64}",
        1 => "[a-z]{0,9}(-ip6only|-router)",
        1 => "_[a-z-]{0,16}",
        1 => prop::sample::select(vec!["gw", "GW", "ip6only", "Ip6Only", "@", "", "a.b", "-a", "a-", "_acme-challenge"]).prop_map(str::to_owned),
    ]
}

/// Zones, up to the longest that can be.
fn any_zone() -> impl Strategy<Value = DnsName> {
    prop_oneof!["[a-z]{1,9}\\.[a-z]{2,5}", "([a-z]{40}\\.){4}[a-z]{20,63}", "([a-z]{60}\\.){4}[a-z]{1,9}"]
        .prop_map(|text| text.parse().expect("a zone"))
}

/// All names that are a host's, by what each is for.
fn names_of(host: &HostName) -> Vec<(DnsName, Role)> {
    let dual = if host.label() == APEX { Role::Apex } else { Role::Dual(host.clone()) };
    let mut names = vec![(host.dual(), dual), (host.twin(), Role::Twin(host.clone())), (host.router(), Role::Router(host.clone()))];
    // A host in a zone of great length has no room for one, and no certificate by it.
    names.extend(host.dual().child("_acme-challenge").ok().map(|name| (name, Role::Challenge(host.clone()))));
    names
}

#[test]
fn a_host_s_names_fit_in_a_zone_of_any_length() {
    for length in 4 * 55 + 1..=NAME_LIMIT {
        let zone = name(&format!("{}.{}", vec!["z".repeat(54); 4].join("."), "z".repeat(length - 4 * 55)));
        for label in [APEX, "a", "cloud", &"a".repeat(HOST_LABEL_LIMIT)] {
            let Ok(host) = HostName::new(label, zone.clone()) else { continue };
            for (name, _) in names_of(&host) {
                assert_eq!(name.as_str().parse(), Ok(name.clone()), "{label} in a zone of {length}");
            }
        }
    }
}

/// Two labels, the second one often the first with something of ours put to it.
fn any_labels() -> impl Strategy<Value = (String, String)> {
    let ours = prop::sample::select(vec!["@-ip6only", "@-router", "ip6only-@", "_acme-challenge.@", "gw-@", "@-", "@x", "x@"]);
    let near = (any_label(), ours).prop_map(|(label, form)| (label.clone(), form.replace('@', &label)));
    prop_oneof![(any_label(), any_label()), near]
}

proptest! {
    #[test]
    fn a_name_survives_its_text(text in any_text()) {
        let Ok(name) = text.parse::<DnsName>() else { return Ok(()) };
        let shown = name.to_string();
        prop_assert_eq!(shown.parse(), Ok(name.clone()));
        prop_assert_eq!(&shown, &text.strip_suffix('.').unwrap_or(&text).to_ascii_lowercase());
        prop_assert!(shown.len() <= NAME_LIMIT && name.labels().all(|label| (1..=LABEL_LIMIT).contains(&label.len())));
        prop_assert_eq!(text.to_ascii_uppercase().parse(), Ok(name.clone()), "case does not count");
        prop_assert_eq!(name.within(&name), Some(""));
    }

    #[test]
    fn a_host_s_names_lead_back_to_it(label in any_label(), zone in any_zone()) {
        let Ok(host) = HostName::new(&label, zone.clone()) else { return Ok(()) };
        for (name, role) in names_of(&host) {
            prop_assert_eq!(name.as_str().parse(), Ok(name.clone()), "it is a name, and fits");
            prop_assert_eq!(role_in(&name, &zone), Some(role), "{}", name);
        }
        let zones = [zone.clone()];
        prop_assert_eq!(HostName::parse(host.dual().as_str(), &zones), Ok(host.clone()));
        prop_assert_eq!(HostName::parse(&label, &zones), Ok(host.clone()));
        prop_assert_eq!(HostName::parse(&label.to_ascii_uppercase(), &zones), Ok(host.clone()), "case does not count");
        for (name, _) in names_of(&host).into_iter().skip(1) {
            prop_assert!(HostName::parse(name.as_str(), &zones).is_err(), "{} is no host", name);
        }
        prop_assert_eq!(HostName::try_from(<(String, DnsName)>::from(host.clone())), Ok(host));
    }

    #[test]
    fn what_is_reserved_is_no_host_in_any_case(label in any_label(), zone in any_zone()) {
        let lower = label.to_ascii_lowercase();
        let has_a_meaning = lower == "gw" || lower == "ip6only" || lower.starts_with('_') || lower.ends_with("-ip6only") || lower.ends_with("-router");
        prop_assert!(!has_a_meaning || HostName::new(&label, zone).is_err(), "{}", label);
    }

    #[test]
    fn no_two_hosts_share_a_name((one, other) in any_labels(), zone in any_zone()) {
        let (Ok(one), Ok(other)) = (HostName::new(&one, zone.clone()), HostName::new(&other, zone)) else { return Ok(()) };
        prop_assume!(one != other);
        let names: Vec<DnsName> = [&one, &other].into_iter().flat_map(names_of).map(|(name, _)| name).collect();
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        prop_assert_eq!(distinct.len(), names.len(), "{:?}", names);
    }
}
