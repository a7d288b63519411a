//! After any changes, and whatever was to be signed with them, every record of the zone has its signature, the names are a chain, and
//! nothing else is left: seen by a plain model that looks at all of the zone.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::state::tests::properties::{any_changes, zone_keys};

/// When it all happens.
const NOW: u32 = 1_800_000_000;

fn name(text: &str) -> DnsName {
    text.parse().expect("a name")
}

pub(crate) fn params() -> ZoneParams {
    ZoneParams {
        zones: vec![name("dyn.example.org"), name("home.test")],
        nameservers: vec![name("gw.dyn.example.org"), name("ns.example.net")],
        own_name: name("gw.dyn.example.org"),
        ipv4: vec![Ipv4Addr::new(192, 0, 2, 11)],
        ipv6: vec!["2001:db8:a::11".parse().expect("v6")],
        ttl: 60,
        dnssec: true,
    }
}

/// Stands for a signature: other bytes, another one.
fn seal(key: &ZoneKey, message: &[u8]) -> [u8; SIGNATURE] {
    let mut hasher = SipHasher24::new();
    hasher.write(&key.public);
    hasher.write(message);
    let hash = hasher.finish().to_be_bytes();
    std::array::from_fn(|at| hash[at % 8])
}

/// Signs what `unit` needs. How many signatures that were.
fn sign(state: &mut State, params: &ZoneParams, unit: &Unit, now: u32) -> (usize, Vec<Key>) {
    let Some(zone) = params.zones.iter().find(|zone| *zone == unit.zone()) else { return Default::default() };
    let snapshot = state.clone();
    let Some(view) = ZoneView::new(zone, &snapshot, params) else { return Default::default() };
    let Some(plan) = plan(&view, unit, now) else { return Default::default() };
    let change = plan.sign(|key, message| Ok::<_, ()>(seal(key, message))).expect("sealed");
    // Of a host that went nothing is left to sign.
    let touched = state.apply(&change, &crate::state::tests::policy()).unwrap_or_default();
    (plan.count(), touched)
}

/// Carries `change` out with all that is to be signed then. What all that touched.
pub(crate) fn commit(state: &mut State, params: &ZoneParams, change: &Change) -> Vec<Key> {
    let before = state.clone();
    let Ok(mut touched) = state.apply(change, &crate::state::tests::policy()) else { return Vec::new() };
    let scope = scope(&before, state, params, &touched.iter().cloned().collect());
    for unit in &scope.units {
        touched.extend(sign(state, params, unit, NOW).1);
    }
    for zone in &scope.whole {
        let mut last = None;
        while let Some(unit) = state.units_after(zone, last.as_ref(), 2).first().cloned() {
            touched.extend(sign(state, params, &unit, NOW).1);
            last = Some(unit);
        }
    }
    touched
}

/// A record of the zone as the model sees it: whose, which, and what was signed.
type Sealed = BTreeMap<(String, u16, u16), [u8; SIGNATURE]>;

/// What must be there.
fn expected(view: &ZoneView<'_>, zone: &DnsName) -> Sealed {
    let mut sealed = Sealed::new();
    let Some(keys) = view.keys() else { return sealed };
    let names: Vec<_> = view.chain().names().collect();
    let mut scratch = Vec::new();
    for (at, left) in names.iter().enumerate() {
        let node = view.node(left.as_str()).expect("it exists");
        let next = names.get(at + 1).or(names.first()).expect("the zone itself");
        let kinds = node.sets().map(|set| set.data.kind()).chain([Type::RRSIG, Type::NSEC]);
        let nsec = crate::zone::Nsec { next: *next, types: kinds.fold(crate::wire::TypeSet::default(), crate::wire::TypeSet::with) };
        let nsec = Rrset { ttl: 60, data: Data::Nsec(&nsec) };
        for set in node.sets().chain([nsec]) {
            let owner = Owner { left: left.as_str(), zone };
            let records = owner.canonical(&set, &mut scratch).expect("it fits");
            let algorithm = keys.active().expect("one is").algorithm;
            let signs = |key: &&ZoneKey| key.phase == Phase::Active || set.data.kind() == Type::DNSKEY || key.algorithm != algorithm;
            for key in keys.iter().filter(signs) {
                let entry = owner.entry(Spot::Main, &set, key, &records, NOW);
                let message = owner.message(&entry, &records, &mut scratch).expect("it fits");
                sealed.insert((left.as_str().to_owned(), set.data.kind().0, key.tag()), seal(key, &message));
            }
        }
    }
    sealed
}

/// What is there.
fn found(state: &State, view: &ZoneView<'_>, zone: &DnsName) -> Sealed {
    let mut sealed = Sealed::new();
    for unit in state.units_after(zone, None, usize::MAX) {
        let names = view.records_of(&unit);
        for entry in state.signatures(&unit).into_iter().flat_map(|signatures| signatures.iter()) {
            let of_spot = |left: &crate::order::Left| view.node(left.as_str()).and_then(|node| node.place).map(|place| place.spot);
            let (left, _) = names.iter().find(|(left, _)| of_spot(left) == Some(entry.spot)).expect("a name that is there");
            let twice = sealed.insert((left.as_str().to_owned(), entry.kind.0, entry.key_tag), *entry.signature);
            assert_eq!(twice, None, "{left:?} {entry:?}");
        }
    }
    sealed
}

fn add(label: &str) -> Change {
    let join = JoinSecret { secret: Digest([1; 32]), expires: Timestamp::UNIX_EPOCH, spent_by: None };
    let host = HostName::new(label, name("dyn.example.org")).expect("a host");
    Change::Add { host, edits: Vec::new(), join, update: Digest([2; 32]), reuse: false }
}

/// A signed zone with these hosts.
fn signed(labels: &[&str]) -> State {
    let mut state = State::default();
    let zone = name("dyn.example.org");
    let keys = ZoneKeys::new(vec![public_key(Algorithm::Ed25519, Phase::Active, &[1; 32])]).expect("a key");
    let serve = Change::Serve { zone: zone.clone(), apex: Digest([0; 32]), at: Timestamp::UNIX_EPOCH };
    let adds = labels.iter().map(|label| add(label));
    for change in [serve, Change::ZoneKeys { zone, keys: Some(keys) }].into_iter().chain(adds) {
        commit(&mut state, &params(), &change);
    }
    state
}

#[test]
fn a_change_makes_no_more_signatures_than_it_must() {
    let mut state = signed(&["a", "b", "c"]);
    let host = |label: &str| HostName::new(label, name("dyn.example.org")).expect("a host");
    let moved = |to: &str| Change::Move { host: host("b"), address: to.parse().expect("v6"), at: Timestamp::UNIX_EPOCH };
    let mut made = |change: &Change| {
        let before = state.clone();
        let touched = state.apply(change, &Policy::default()).expect("a good change").into_iter().collect();
        let scope = scope(&before, &state, &params(), &touched);
        assert!(scope.whole.is_empty());
        scope.units.iter().map(|unit| sign(&mut state, &params(), unit, NOW).0).sum::<usize>()
    };
    assert_eq!(made(&moved("2001:db8:1::1")), 5, "AAAA and NSEC at both names, and the SOA");
    assert_eq!(made(&moved("2001:db8:2::1")), 3, "AAAA at both names, and the SOA");
    assert_eq!(made(&add("bb")), 5, "A and both NSEC, that of the name before them, and the SOA");
    assert_eq!(made(&Change::Remove { host: host("bb"), at: Timestamp::UNIX_EPOCH }), 2, "that of the name before them, and the SOA");
    assert_eq!(made(&Change::Refresh { zone: name("dyn.example.org") }), 1, "the SOA");
}

#[test]
fn signatures_are_made_anew_in_time_and_not_all_at_once() {
    let labels: Vec<_> = (0..200).map(|at| format!("h{at}")).collect();
    let state = signed(&labels.iter().map(String::as_str).collect::<Vec<_>>());
    let (zone, params) = (name("dyn.example.org"), params());
    let view = ZoneView::new(&zone, &state, &params).expect("served");
    let units = state.units_after(&zone, None, usize::MAX);
    assert_eq!(units.len(), 201);
    let due = |now: u32| units.iter().filter(|unit| plan(&view, unit, now).is_some()).count();
    let (earliest, latest) = (LIFE - LEAST - SPREAD, LIFE - LEAST);
    assert_eq!([due(NOW), due(NOW + earliest - 1), due(NOW + latest)], [0, 0, 201]);
    let half = due(NOW + earliest + SPREAD / 2);
    assert!((60..140).contains(&half), "{half} of 201 after half of the time");
    let page = |last: Option<&Unit>| state.units_after(&zone, last, 7);
    let mut walked = page(None);
    while let Some(last) = walked.last().cloned() {
        let more = page(Some(&last));
        if more.is_empty() {
            break;
        }
        walked.extend(more);
    }
    assert_eq!(walked, units, "page by page");
}

#[test]
fn another_key_signs_all_and_none_leaves_nothing() {
    let mut state = signed(&["a", "@"]);
    let zone = name("dyn.example.org");
    let of = |phase, byte| public_key(Algorithm::Ed25519, phase, &[byte; 32]);
    let steps = [
        Some(vec![of(Phase::Active, 1), of(Phase::Published, 2)]),
        Some(vec![of(Phase::Retired, 1), of(Phase::Active, 2)]),
        Some(vec![of(Phase::Active, 2)]),
        None,
    ];
    for (step, keys) in steps.into_iter().enumerate() {
        let keys = keys.map(|keys| ZoneKeys::new(keys).expect("keys"));
        commit(&mut state, &params(), &Change::ZoneKeys { zone: zone.clone(), keys });
        let params = params();
        let view = ZoneView::new(&zone, &state, &params).expect("served");
        let found = found(&state, &view, &zone);
        assert_eq!(found, expected(&view, &zone));
        let tags = |kind: Type| found.keys().filter(|(_, other, _)| *other == kind.0).map(|(.., tag)| *tag).collect::<BTreeSet<_>>().len();
        assert_eq!((tags(Type::DNSKEY), tags(Type::A)), [(2, 1), (2, 1), (1, 1), (0, 0)][step]);
    }
    assert!(state.units_after(&zone, None, 9).iter().all(|unit| state.signatures(unit).is_none()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_changes_everything_is_signed_and_nothing_else(changes in any_changes(), one in zone_keys(), other in zone_keys()) {
        let params = params();
        let mut state = State::default();
        // The zones are there from the start; signed, since that is what this is about.
        let (serve, rest) = changes.split_at(2);
        let keys = params.zones.iter().zip([one, other]).map(|(zone, keys)| Change::ZoneKeys { zone: zone.clone(), keys: Some(keys) });
        let keys: Vec<_> = keys.collect();
        for change in serve.iter().chain(&keys).chain(rest.iter().filter(|change| !matches!(change, Change::Sign { .. }))) {
            commit(&mut state, &params, change);
            for zone in &params.zones {
                let Some(view) = ZoneView::new(zone, &state, &params) else { continue };
                let (found, expected) = (found(&state, &view, zone), expected(&view, zone));
                prop_assert!(found.keys().eq(expected.keys()), "{:?}\n{:?}\n{:?}", change, found.keys(), expected.keys());
                prop_assert!(found == expected, "after {:?}", change);
            }
        }
    }
}
