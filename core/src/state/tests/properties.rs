//! What `apply` keeps to, whatever the changes and their order.

use ipnet::Ipv6Net;
use proptest::prelude::*;

use super::*;
use crate::change::Entry;
use crate::host::{ALIAS_LIMIT, Via};

const ZONES: [&str; 3] = ["dyn.example.org", "home.test", "example.org"];

fn zone_name() -> impl Strategy<Value = DnsName> {
    prop::sample::select(ZONES.to_vec()).prop_map(|zone| zone.parse().expect("zone"))
}

fn host_name() -> impl Strategy<Value = HostName> {
    let label = prop::sample::select(vec!["a", "b", "c", "@", "www"]);
    (label, zone_name()).prop_map(|(label, zone)| HostName::new(label, zone).expect("host"))
}

fn own_name() -> impl Strategy<Value = DnsName> {
    prop::sample::select(vec!["gw.dyn.example.org", "gw.example.net"]).prop_map(|name| name.parse().expect("name"))
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0_i64..100_000).prop_map(at)
}

fn any_digest() -> impl Strategy<Value = Digest> {
    (0_u8..4).prop_map(digest)
}

fn secret() -> impl Strategy<Value = JoinSecret> {
    (any_digest(), time()).prop_map(|(secret, expires)| JoinSecret { secret, expires, spent_by: None })
}

/// Addresses that are good, the gateway's, and local.
fn address() -> impl Strategy<Value = Ipv6Addr> {
    let texts = ["2001:db8:1::1", "2001:db8:1::2", "2001:db8:a::11", "fe80::1"];
    prop::sample::select(texts.to_vec()).prop_map(|text| text.parse().expect("v6"))
}

fn edit_text() -> impl Strategy<Value = String> {
    let alias = prop::sample::select(vec!["x.org", "y.org", "z.home.test", "gw.example.net", "www.example.org", "-"]);
    let sign = prop::sample::select(vec!["=", "+=", "-="]);
    prop_oneof![
        4 => (sign, alias).prop_map(|(sign, alias)| format!("alias{sign}{alias}")),
        1 => (0..=ALIAS_LIMIT + 1).prop_map(|count| (0..count).map(|n| format!("n{n}.org,")).fold("alias=".into(), |all, one| all + one.as_str())),
        1 => (0_u32..90_000).prop_map(|ttl| format!("ttl={ttl}")),
        1 => address().prop_map(|address| format!("address={address}")),
        2 => prop::sample::select(vec!["address=", "ttl=", "address-from=link", "address-from=static", "carrier=direct", "colour=red", "via=gateway", "via=auto", "wildcard=on", "redirect=on"])
            .prop_map(str::to_owned),
    ]
}

fn any_edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec(edit_text().prop_map(|text| text.parse().expect("edit")), 0..4)
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let host = (host_name(), any_edits(), secret(), any_digest(), prop::option::of(any_digest()), prop::option::of((address(), time())));
    let host = host.prop_map(|(name, edits, join, update, agent, proven)| {
        let credentials = Credentials { join, agent, update };
        let proven = proven.map(|(address, since)| Proven { address, since });
        let settings = Settings::default();
        let host = Host { settings, credentials, proven, before: None, updated: None, router: None, challenge: BTreeSet::new() };
        Entry::Host { name, edits, host: Box::new(host) }
    });
    prop_oneof![4 => host, 1 => (host_name(), time()).prop_map(|(name, removed)| Entry::Tombstone { name, removed })]
}

fn word<A: Clone + std::fmt::Debug>(address: impl Strategy<Value = A>) -> impl Strategy<Value = Word<A>> {
    prop_oneof![1 => Just(Word::Keep), 3 => address.prop_map(Word::Set), 1 => Just(Word::Clear)]
}

fn any_change() -> impl Strategy<Value = Change> {
    let identity = Identity { link_key: vec![1], reset_key: [2; 32], certificate_key: vec![3] };
    prop_oneof![
        2 => (zone_name(), any_digest(), time()).prop_map(|(zone, apex, at)| Change::Serve { zone, apex, at }),
        1 => zone_name().prop_map(|zone| Change::Retire { zone }),
        6 => (host_name(), any_edits(), secret(), any_digest(), any::<bool>())
            .prop_map(|(host, edits, join, update, reuse)| Change::Add { host, edits, join, update, reuse }),
        6 => (host_name(), any_edits()).prop_map(|(host, edits)| Change::Set { host, edits }),
        6 => (prop::collection::vec(any_entry(), 0..4), any::<bool>(), any::<bool>())
            .prop_map(|(entries, replace, reuse)| Change::Import { entries, replace, reuse }),
        2 => (host_name(), time()).prop_map(|(host, at)| Change::Remove { host, at }),
        2 => (host_name(), secret(), any_digest()).prop_map(|(host, join, update)| Change::Token { host, join, update }),
        4 => (host_name(), any_digest(), any_digest(), time())
            .prop_map(|(host, secret, key, at)| Change::Register { host, secret, key, at }),
        4 => (host_name(), address(), time()).prop_map(|(host, address, at)| Change::Move { host, address, at }),
        2 => (host_name(), address()).prop_map(|(host, address)| Change::Withdraw { host, address }),
        4 => (host_name(), word(any::<Ipv4Addr>()), word(address()), prop::option::of((address(), 16_u8..=64)), time()).prop_map(|(host, v4, v6, prefix, at)| {
            let prefix = prefix.and_then(|(address, length)| Ipv6Net::new(address, length).ok());
            Change::Update { host, said: Said { v4, v6, prefix }, at }
        }),
        2 => (host_name(), prop::collection::btree_set("[a-z]{0,3}", 0..3))
            .prop_map(|(host, values)| Change::Challenge { host, values }),
        2 => (own_name(), prop::collection::btree_set("[a-z]{0,3}", 0..3)).prop_map(|(name, values)| Change::OwnChallenge { name, values }),
        1 => ("[ab]", 0_u8..3).prop_map(|(directory, byte)| Change::Account { directory, account: Account(vec![byte]) }),
        1 => (own_name(), 0_u8..3, time()).prop_map(|(name, byte, at)| {
            let certificate = Certificate { chain: vec![vec![byte]], key: vec![byte], directory: "a".into(), at };
            Change::Certificate { name, certificate }
        }),
        1 => Just(Change::Identify(identity)),
    ]
}

fn any_changes() -> impl Strategy<Value = Vec<Change>> {
    let serve = ZONES[..2].iter().map(|zone| Change::Serve { zone: zone.parse().expect("zone"), apex: digest(0), at: at(1_000) });
    let serve: Vec<Change> = serve.collect();
    prop::collection::vec(any_change(), 0..60).prop_map(move |changes| [serve.clone(), changes].concat())
}

/// Every key that has a record.
fn keys(state: &State) -> Vec<Key> {
    let zones = state.zones().map(|(name, _)| Key::Zone(name.clone()));
    let hosts = state.hosts().map(|(name, _)| Key::Host(name.clone()));
    let tombstones = state.tombstones.keys().map(|name| Key::Tombstone(name.clone()));
    let challenges = state.challenges.keys().map(|name| Key::Challenge(name.clone()));
    let accounts = state.accounts.keys().map(|url| Key::Account(url.clone()));
    let certificates = state.certificates.keys().map(|name| Key::Certificate(name.clone()));
    let own = challenges.chain(accounts).chain(certificates);
    zones.chain(hosts).chain(tombstones).chain(own).chain(state.identity().map(|_| Key::Identity)).collect()
}

/// Whose each alias is, and each agent's key.
type Indexes = (Vec<(DnsName, HostName)>, Vec<(Digest, HostName)>);

/// What the world sees of a host.
type Seen = (HostName, Option<Ipv6Addr>, (Option<u32>, Via, bool), BTreeSet<String>, Option<(Option<Ipv4Addr>, Option<Ipv6Addr>)>);

/// Both indexes, as they follow from the hosts.
fn derived(state: &State) -> Indexes {
    let aliases = state.hosts().flat_map(|(name, host)| host.settings.alias.iter().map(|alias| (alias.clone(), name.clone())));
    let agents = state.hosts().filter_map(|(name, host)| Some((host.credentials.agent?, name.clone())));
    let (mut aliases, mut agents): (Vec<_>, Vec<_>) = (aliases.collect(), agents.collect());
    aliases.sort();
    agents.sort();
    (aliases, agents)
}

fn indexes(state: &State) -> Indexes {
    let pair = |(alias, host): (&DnsName, &HostName)| (alias.clone(), host.clone());
    (state.aliases.iter().map(pair).collect(), state.agents.iter().map(|(key, host)| (*key, host.clone())).collect())
}

fn seen(state: &State, zone: &DnsName) -> (Vec<Seen>, Vec<(DnsName, BTreeSet<String>)>) {
    let hosts = state.hosts().filter(|(name, _)| name.zone() == zone);
    let hosts = hosts.map(|(name, host)| {
        let Settings { ttl, via, wildcard, .. } = host.settings;
        let router = host.router.map(|router| (router.v4, router.v6)).filter(|said| *said != (None, None));
        (name.clone(), host.home(), (ttl, via, wildcard), host.challenge.clone(), router)
    });
    let own = state.challenges.iter().filter(|(name, _)| name.within(zone).is_some());
    (hosts.collect(), own.map(|(name, values)| (name.clone(), BTreeSet::clone(values))).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_refused_change_leaves_the_state_equal_and_others_touch_what_they_say(changes in any_changes()) {
        let mut state = State::default();
        for change in changes {
            let before = state.clone();
            let Ok(touched) = state.apply(&change, &policy()) else {
                prop_assert_eq!(&state, &before, "{:?}", change);
                continue;
            };
            prop_assert_eq!(touched.is_empty(), state == before, "{:?}", change);
            // What the store writes is what it was told of: nothing else may differ.
            let mut written = State::default();
            keys(&before).iter().filter(|key| !touched.contains(key)).filter_map(|key| before.record(key)).for_each(|kept| written.restore(kept));
            touched.iter().filter_map(|key| state.record(key)).for_each(|new| written.restore(new));
            prop_assert_eq!(&written, &state, "{:?}", change);
            let mut again = before;
            prop_assert_eq!(again.apply(&change, &policy()), Ok(touched), "the same change gives the same");
            prop_assert_eq!(again, state.clone());
        }
    }

    #[test]
    fn indexes_agree_with_the_hosts_and_records_restore_the_state(changes in any_changes()) {
        let mut state = State::default();
        for change in changes {
            let _ = state.apply(&change, &policy());
            prop_assert_eq!(derived(&state), indexes(&state), "after {:?}", change);
            for (alias, host) in state.aliases.iter() {
                prop_assert!(!policy().own_names.contains(alias), "{} of {}", alias, host);
            }
            let mut restored = State::default();
            keys(&state).iter().filter_map(|key| state.record(key)).for_each(|record| restored.restore(record));
            prop_assert_eq!(&restored, &state);
        }
    }

    #[test]
    fn a_serial_moves_on_with_all_that_shows_and_never_back(changes in any_changes()) {
        let mut state = State::default();
        for change in changes {
            let before = state.clone();
            let _ = state.apply(&change, &policy());
            for (name, zone) in state.zones() {
                let Some(old) = before.zone(name) else { continue };
                let differs = seen(&before, name) != seen(&state, name) || zone.apex != old.apex;
                let expected = if differs { old.serial.next() } else { old.serial };
                prop_assert_eq!(zone.serial, expected, "{}: {:?}", name, change);
            }
        }
    }
}
