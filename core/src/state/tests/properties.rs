//! What `apply` keeps to, whatever the changes and their order.

use std::net::Ipv4Addr;

use ipnet::Ipv6Net;
use proptest::prelude::*;

use super::*;
use crate::change::{Entry, Rewrite};
use crate::dnssec::{self, Algorithm, Phase, Spot, ZoneKey};
use crate::host::{ALIAS_LIMIT, Reported, Updated, Via};
use crate::order::OrderKey;
use crate::wire::Type;

pub(crate) const ZONES: [&str; 3] = ["dyn.example.org", "home.test", "example.org"];

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

fn challenge() -> impl Strategy<Value = BTreeSet<String>> {
    prop::collection::btree_set("[a-z]{0,3}", 0..3)
}

/// What a requester takes to be there: most know of nothing.
fn believed() -> impl Strategy<Value = BTreeSet<String>> {
    prop_oneof![3 => Just(BTreeSet::new()), 1 => challenge()]
}

/// Addresses that are good, the gateway's, and local.
fn address() -> impl Strategy<Value = Ipv6Addr> {
    let texts = ["2001:db8:1::1", "2001:db8:1::2", "2001:db8:a::11", "fe80::1"];
    prop::sample::select(texts.to_vec()).prop_map(|text| text.parse().expect("v6"))
}

/// What a router may say of its IPv4 address.
fn address4() -> impl Strategy<Value = Ipv4Addr> {
    prop::sample::select(vec!["203.0.113.9", "192.168.178.1", "127.0.0.1"]).prop_map(|text| text.parse().expect("v4"))
}

fn edit_text() -> impl Strategy<Value = String> {
    let alias = prop::sample::select(vec!["x.org", "y.org", "z.home.test", "gw.example.net", "www.example.org", "-"]);
    let sign = prop::sample::select(vec!["=", "+=", "-="]);
    prop_oneof![
        4 => (sign, alias).prop_map(|(sign, alias)| format!("alias{sign}{alias}")),
        1 => (0..=ALIAS_LIMIT + 1).prop_map(|count| (0..count).map(|n| format!("n{n}.org,")).fold("alias=".into(), |all, one| all + one.as_str())),
        1 => (0_u32..90_000).prop_map(|ttl| format!("ttl={ttl}")),
        1 => address().prop_map(|address| format!("address={address}")),
        2 => prop::sample::select(vec!["address=", "ttl=", "address-from=link", "address-from=update", "address-from=static", "carrier=direct", "colour=red", "via=gateway", "via=auto", "wildcard=on", "redirect=on", "alpn=h2", "record=TXT x", "record=", "record=_x MX 0 .", "caa=issue a.org", "upstream=x.org", "upstream=y.org", "upstream=a.home.test", "upstream="])
            .prop_map(str::to_owned),
        3 => (prop::sample::select(vec!["follows=a", "follows=b", "follows=@", "follows="]), prop::sample::select(vec!["::2", "::11", "::1:0:0:0:2/56", "::a:0:0:0:0:11/32", ""]))
            .prop_map(|(follows, suffix)| if follows == "follows=" { follows.into() } else { format!("{follows} suffix={suffix}") }),
    ]
}

fn any_edits() -> impl Strategy<Value = Vec<Edit>> {
    // Two that go together are one text.
    let edit = edit_text().prop_map(|text| match text.split_once(" suffix=") {
        Some((follows, suffix)) => vec![follows.parse().expect("edit"), format!("suffix={suffix}").parse().expect("edit")],
        None => vec![text.parse().expect("edit")],
    });
    prop::collection::vec(edit, 0..4).prop_map(|edits| edits.concat())
}

fn any_host() -> impl Strategy<Value = Host> {
    let join = (secret(), prop::option::of(any_digest())).prop_map(|(join, spent_by)| JoinSecret { spent_by, ..join });
    let credentials = (join, prop::option::of(any_digest()), any_digest(), prop::option::of(any_digest()));
    let credentials = credentials.prop_map(|(join, agent, update, proof)| Credentials { join, agent, update, proof });
    let proven = (address(), time()).prop_map(|(address, since)| Proven { address, since });
    let updated = (address(), time()).prop_map(|(address, since)| Updated { address, since });
    let router = (prop::option::of(address4()), prop::option::of(address()), time()).prop_map(|(v4, v6, at)| Reported { v4, v6, at });
    let found = (prop::option::of(proven), prop::option::of(address()), prop::option::of(updated), prop::option::of(router), challenge());
    (credentials, found).prop_map(|(credentials, (proven, before, updated, router, challenge))| Host {
        settings: Settings::default(),
        credentials,
        proven,
        before,
        updated,
        barred: None,
        router,
        challenge,
    })
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let host = (host_name(), any_edits(), any_host()).prop_map(|(name, edits, host)| Entry::Host { name, edits, host: Box::new(host) });
    prop_oneof![4 => host, 1 => (host_name(), time()).prop_map(|(name, removed)| Entry::Tombstone { name, removed })]
}

fn word<A: Clone + std::fmt::Debug>(address: impl Strategy<Value = A>) -> impl Strategy<Value = Word<A>> {
    prop_oneof![1 => Just(Word::Keep), 3 => address.prop_map(Word::Set), 1 => Just(Word::Clear)]
}

/// Keys of which nobody has the private part.
pub(crate) fn zone_keys() -> impl Strategy<Value = ZoneKeys> {
    let phases = prop::sample::subsequence(vec![Phase::Active, Phase::Published, Phase::Retired], 1..=3);
    (phases, 0_u8..3).prop_filter_map("one is active", |(phases, number)| {
        let key = |(at, phase)| {
            let algorithm = if number == at { Algorithm::EcdsaP256Sha256 } else { Algorithm::Ed25519 };
            let public = vec![number.wrapping_mul(3).wrapping_add(at); algorithm.public_size()].into();
            let private = Box::from([7, 7, at]);
            ZoneKey { algorithm, phase, since: super::at(0), public, private, digest: digest(at) }
        };
        ZoneKeys::new((0..).zip(phases).map(key).collect()).ok()
    })
}

fn signatures() -> impl Strategy<Value = Signatures> {
    let spots = vec![Spot::Main, Spot::Twin, Spot::Below("_x")];
    prop::collection::vec((prop::sample::select(spots), any::<[u8; 8]>()), 0..3).prop_map(|entries| {
        Signatures::new(entries.into_iter().map(|(spot, hash)| {
            let (kind, key_tag) = (Type::A, 3);
            dnssec::Entry { spot, kind, algorithm: 15, labels: 4, ttl: 60, inception: 0, expiration: 1, key_tag, hash, signature: &[9; 64] }
        }))
    })
}

/// How often each kind of change is tried. A kind that is not in the table does not compile.
macro_rules! kinds_of_change {
    ($($kind:pat, $weight:literal => $strategy:expr;)*) => {
        const _: fn(&Change) = |change| match change { $($kind => {})* };

        pub(crate) fn any_change() -> impl Strategy<Value = Change> {
            prop_oneof![$($weight => $strategy.prop_map(|change| {
                assert!(matches!(change, $kind), "{change:?} is of another kind");
                change
            })),*]
        }
    };
}

kinds_of_change! {
    Change::Serve { .. }, 2 => (zone_name(), any_digest(), time()).prop_map(|(zone, apex, at)| Change::Serve { zone, apex, at });
    Change::Retire { .. }, 1 => zone_name().prop_map(|zone| Change::Retire { zone });
    Change::Add { .. }, 6 => (host_name(), any_edits(), secret(), any_digest(), any::<bool>())
        .prop_map(|(host, edits, join, update, reuse)| Change::Add { host, edits, join, update, reuse });
    Change::Set { .. }, 6 => (host_name(), any_edits()).prop_map(|(host, edits)| Change::Set { host, edits });
    Change::Import { .. }, 6 => (prop::collection::vec(any_entry(), 0..4), any::<bool>(), any::<bool>())
        .prop_map(|(entries, replace, reuse)| Change::Import { entries, replace, reuse });
    Change::Remove { .. }, 2 => (host_name(), time()).prop_map(|(host, at)| Change::Remove { host, at });
    Change::Token { .. }, 2 => (host_name(), secret(), any_digest()).prop_map(|(host, join, update)| Change::Token { host, join, update });
    Change::ProofKey { .. }, 1 => (host_name(), any_digest()).prop_map(|(host, key)| Change::ProofKey { host, key });
    Change::Register { .. }, 4 => (host_name(), any_digest(), any_digest(), time())
        .prop_map(|(host, secret, key, at)| Change::Register { host, secret, key, at });
    Change::Move { .. }, 4 => (host_name(), address(), time()).prop_map(|(host, address, at)| Change::Move { host, address, at });
    Change::Resolved { .. }, 4 => (host_name(), prop::sample::select(vec!["x.org", "y.org"]), prop::option::of(address()), time())
        .prop_map(|(host, upstream, address, at)| Change::Resolved { host, upstream: upstream.parse().expect("name"), address, at });
    Change::Withdraw { .. }, 2 => (host_name(), address()).prop_map(|(host, address)| Change::Withdraw { host, address });
    Change::Update { .. }, 6 => (host_name(), word(address4()), word(address()), prop::option::of((address(), 16_u8..=64)), time())
        .prop_map(|(host, v4, v6, prefix, at)| {
            let prefix = prefix.and_then(|(address, length)| Ipv6Net::new(address, length).ok());
            Change::Update { host, said: Said { v4, v6, prefix }, at }
        });
    // By chance it is never of the host as it is: what it does then has tests of its own.
    Change::Rewrite(_), 1 => (host_name(), any_host(), any_edits(), time()).prop_map(|(host, seen, edits, at)| {
        let said = Said::default();
        Change::Rewrite(Rewrite { host, seen: seen.into(), serial: None, said, challenge: BTreeSet::new(), edits, at })
    });
    Change::Challenge { .. }, 2 => (host_name(), believed(), challenge())
        .prop_map(|(host, before, values)| Change::Challenge { host, before, values });
    Change::OwnChallenge { .. }, 2 => (own_name(), challenge()).prop_map(|(name, values)| Change::OwnChallenge { name, values });
    Change::Account { .. }, 1 => ("[ab]", 0_u8..3)
        .prop_map(|(directory, byte)| Change::Account { directory, account: Account(vec![byte]) });
    Change::Certificate { .. }, 1 => (own_name(), 0_u8..3, time()).prop_map(|(name, byte, at)| {
        let certificate = Certificate { chain: vec![vec![byte]], key: vec![byte], directory: "a".into(), at };
        Change::Certificate { name, certificate }
    });
    Change::ZoneKeys { .. }, 2 => (zone_name(), prop::option::of(zone_keys())).prop_map(|(zone, keys)| Change::ZoneKeys { zone, keys });
    Change::Refresh { .. }, 1 => zone_name().prop_map(|zone| Change::Refresh { zone });
    Change::Sign { .. }, 4 => (host_name(), any::<bool>(), signatures()).prop_map(|(host, of_zone, signatures)| {
        let unit = if of_zone { Unit::Zone(host.zone().clone()) } else { Unit::Host(host) };
        Change::Sign { unit, signatures: Arc::new(signatures) }
    });
    Change::Identify(_), 1 => Just(Change::Identify(Identity { link_key: vec![1], reset_key: [2; 32], certificate_key: vec![3] }));
}

pub(crate) fn any_changes() -> impl Strategy<Value = Vec<Change>> {
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
    let zone_keys = state.zone_keys.keys().map(|name| Key::ZoneKeys(name.clone()));
    let units = state.hosts().map(|(name, _)| Unit::Host(name.clone())).chain(state.zone_signatures.keys().cloned().map(Unit::Zone));
    let signed = units.filter(|unit| state.signatures(unit).is_some()).map(Key::Signatures);
    let identity = state.identity().map(|_| Key::Identity);
    zones.chain(hosts).chain(tombstones).chain(own).chain(identity).chain(zone_keys).chain(signed).collect()
}

/// The state of these records, a host's before its signatures, as a store has them.
fn restored(records: impl Iterator<Item = (Key, Record)>) -> State {
    let mut records: Vec<_> = records.collect();
    records.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut state = State::default();
    records.into_iter().for_each(|(_, record)| state.restore(record));
    state
}

/// Whose each alias is, and each agent's key.
type Indexes = (Vec<(DnsName, HostName)>, Vec<(Digest, HostName)>, Vec<(HostName, HostName)>);

/// What the world sees of a host.
type Seen = (
    HostName,
    Option<Ipv6Addr>,
    (Option<u32>, Via, bool),
    BTreeSet<String>,
    Option<(Option<Ipv4Addr>, Option<Ipv6Addr>)>,
    [Vec<String>; 3],
);

/// Both indexes, as they follow from the hosts.
fn derived(state: &State) -> Indexes {
    let aliases = state.hosts().flat_map(|(name, host)| host.settings.alias.iter().map(|alias| (alias.clone(), name.clone())));
    let agents = state.hosts().filter_map(|(name, host)| Some((host.credentials.agent?, name.clone())));
    let (mut aliases, mut agents): (Vec<_>, Vec<_>) = (aliases.collect(), agents.collect());
    aliases.sort();
    agents.sort();
    let follows = state
        .hosts()
        .filter_map(|(name, host)| Some((HostName::new(host.settings.following()?.0, name.zone().clone()).ok()?, name.clone())));
    let mut follows: Vec<_> = follows.collect();
    follows.sort();
    (aliases, agents, follows)
}

fn indexes(state: &State) -> Indexes {
    let pair = |(alias, host): (&DnsName, &HostName)| (alias.clone(), host.clone());
    let follows = state.followers.iter().flat_map(|(leader, followers)| followers.iter().map(|name| (leader.clone(), name.clone())));
    (state.aliases.iter().map(pair).collect(), state.agents.iter().map(|(key, host)| (*key, host.clone())).collect(), follows.collect())
}

fn seen(state: &State, zone: &DnsName) -> (Vec<Seen>, Vec<(DnsName, BTreeSet<String>)>) {
    let hosts = state.hosts().filter(|(name, _)| name.zone() == zone);
    let hosts = hosts.map(|(name, host)| {
        let Settings { ttl, via, wildcard, .. } = host.settings;
        let router = host.router.map(|router| (router.v4, router.v6)).filter(|said| *said != (None, None));
        let texts = |key: &str| host.settings.edits().iter().filter(|edit| edit.key() == key).map(ToString::to_string).collect();
        (name.clone(), state.home(name), (ttl, via, wildcard), host.challenge.clone(), router, ["record", "caa", "alpn"].map(texts))
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
            let differs = |key: &Key| before.record(key) != state.record(key);
            for key in keys(&before).into_iter().chain(keys(&state)).filter(differs) {
                prop_assert!(touched.contains(&key), "{:?} of {:?}", key, change);
            }
            // What the store writes is what it was told of: nothing else may differ.
            let kept = keys(&before).into_iter().filter(|key| !touched.contains(key)).filter_map(|key| Some((key.clone(), before.record(&key)?)));
            let new = touched.iter().filter_map(|key| Some((key.clone(), state.record(key)?)));
            let written = restored(kept.chain(new));
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
            for (name, host) in state.hosts() {
                let home = state.home(name).filter(|_| host.settings.following().is_some());
                prop_assert!(home.is_none_or(|home| policy().addresses.check(home).is_ok()), "{} is at {:?}", name, home);
            }
            let restored = restored(keys(&state).into_iter().filter_map(|key| Some((key.clone(), state.record(&key)?))));
            prop_assert_eq!(&restored, &state);
            for zone in ZONES.map(|zone| zone.parse::<DnsName>().expect("zone")) {
                let names = state.hosts().filter(|(name, _)| *name.zone() == zone).flat_map(|(name, host)| host_names(name, host));
                let keys: BTreeSet<_> = names.map(|left| OrderKey::of(&left).as_bytes().to_vec()).collect();
                prop_assert!(state.order(&zone).into_iter().flat_map(Order::iter).eq(keys.iter().map(Vec::as_slice)), "{}", zone);
            }
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
                let refreshed = matches!(&change, Change::Refresh { zone } if zone == name);
                let keys = before.zone_keys(name) != state.zone_keys(name);
                let differs = seen(&before, name) != seen(&state, name) || zone.apex != old.apex || refreshed || keys;
                let expected = if differs { old.serial.next() } else { old.serial };
                prop_assert_eq!(zone.serial, expected, "{}: {:?}", name, change);
            }
        }
    }
}
