//! Whatever owners set, a name is answered as by a server that knows only the records (RFC 1034 §4.3.2, RFC 4592 §3.3.1).

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::order::OrderKey;

/// Every name that has records or must exist, by what stands in front of the zone, and its types.
type Names = BTreeMap<String, BTreeSet<u16>>;

#[derive(Clone, Debug)]
pub(crate) struct Wish {
    label: &'static str,
    away: bool,
    wildcard: bool,
    caa: bool,
    alpn: bool,
    /// Owner and type.
    records: Vec<(&'static str, &'static str)>,
}

fn wish(label: &'static str) -> impl Strategy<Value = Wish> {
    let owners =
        if label == "@" { vec!["@", "_t", "x._t", "y.x._t", "_d"] } else { vec!["@", "x", "y.x", "_t", "x._t", "a", "b.a", "gw", "zx"] };
    let record = (prop::sample::select(owners), prop::sample::select(vec!["TXT t", "MX 1 @", "SRV 0 0 1 @"]));
    let records = prop::collection::vec(record, 0..4);
    any::<[bool; 4]>()
        .prop_flat_map(move |flags| (Just(flags), records.clone()))
        .prop_map(move |([away, wildcard, caa, alpn], records)| Wish { label, away, wildcard, caa, alpn, records })
}

pub(crate) fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    (prop::option::of(wish("@")), prop::option::of(wish("a")), prop::option::of(wish("b")))
        .prop_map(|(apex, a, b)| [apex, a, b].into_iter().flatten().collect())
}

pub(crate) fn changes(wish: &Wish) -> Vec<Change> {
    let mut edits: Vec<String> = wish.records.iter().map(|(owner, data)| format!("record+={owner} {data}")).collect();
    edits.extend(
        [(wish.wildcard, "wildcard=on"), (wish.caa, "caa=issue ca.org"), (wish.alpn, "alpn=h2")]
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, edit)| (*edit).to_owned()),
    );
    let added = with(wish.label, &edits.iter().map(String::as_str).collect::<Vec<_>>());
    if wish.away { vec![added] } else { vec![added, at(wish.label, home())] }
}

/// The records that a wish comes to.
fn records(wish: &Wish, names: &mut Names) {
    let below = |name: &str| match (name, wish.label) {
        ("@", "@") => String::new(),
        ("@", label) => label.to_owned(),
        (name, "@") => name.to_owned(),
        (name, label) => format!("{name}.{label}"),
    };
    let mut put = |name: String, kinds: &[u16]| names.entry(name).or_default().extend(kinds);
    let aaaa: &[u16] = if wish.away { &[] } else { &[AAAA] };
    put(if wish.label == "@" { "ip6only".into() } else { format!("{}-ip6only", wish.label) }, aaaa);
    for everyones in [Some(below("@")), wish.wildcard.then(|| below("*"))].into_iter().flatten() {
        put(everyones.clone(), &[A]);
        put(everyones.clone(), aaaa);
        put(everyones, if wish.alpn { &[HTTPS] } else { &[] });
    }
    put(below("@"), if wish.caa { &[CAA] } else { &[] });
    for (owner, data) in &wish.records {
        put(below(owner), &[[("TXT", TXT), ("MX", MX), ("SRV", SRV)].iter().find(|(word, _)| data.starts_with(word)).expect("a type").1]);
    }
}

fn exists<'n>(names: &'n Names, name: &str) -> Option<BTreeSet<u16>> {
    let on_the_way = |known: &'n String| name.is_empty() || known.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    names.get(name).cloned().or_else(|| names.keys().any(on_the_way).then(BTreeSet::new))
}

fn expected(names: &Names, name: &str) -> Option<BTreeSet<u16>> {
    exists(names, name).or_else(|| {
        let mut above = name;
        loop {
            above = above.split_once('.').map_or("", |(_, above)| above);
            if exists(names, above).is_some() {
                let wildcard = if above.is_empty() { "*".to_owned() } else { format!("*.{above}") };
                return names.get(&wildcard).cloned();
            }
        }
    })
}

pub(crate) fn asked() -> impl Strategy<Value = String> {
    let labels = vec!["a", "b", "x", "y", "_t", "_d", "*", "gw", "a-ip6only", "ip6only", "zz"];
    prop::collection::vec(prop::sample::select(labels), 0..5).prop_map(|labels| labels.join("."))
}

/// Every name of at most three labels that a test may have.
fn all_names() -> Vec<String> {
    let labels = ["a", "b", "x", "y", "_t", "_d", "*", "gw", "a-ip6only", "b-ip6only", "ip6only", "zx", "_acme-challenge"];
    let mut names = vec![String::new()];
    for from in 0..3 {
        let shorter: Vec<_> = names.iter().filter(|name| name.split_terminator('.').count() == from).cloned().collect();
        names.extend(shorter.iter().flat_map(|below| labels.map(|label| format!("{label}.{below}").trim_end_matches('.').to_owned())));
    }
    names
}

/// RFC 4034 §6.1.
fn sort_canonically(names: &mut [String]) {
    names.sort_by(|one, other| one.rsplit_terminator('.').cmp(other.rsplit_terminator('.')));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever our own name is, also one that shadows a host's.
    #[test]
    fn the_names_one_after_another_are_those_that_are_found(
        wishes in wishes(),
        own in prop::sample::select(vec!["gw.", "", "a.", "b.a.", "x._t.", "*", "ip6only."]),
        challenges in any::<[bool; 2]>(),
    ) {
        let own_name = name(&if own == "*" { "gw.example.net".to_owned() } else { format!("{own}dyn.example.org") });
        let params = ZoneParams { own_name: own_name.clone(), ..params() };
        let values = BTreeSet::from(["token".to_owned()]);
        let mut changes: Vec<_> = wishes.iter().flat_map(changes).collect();
        let has = |label: &str| wishes.iter().any(|wish| wish.label == label);
        changes.extend((challenges[0] && has("a")).then(|| Change::Challenge { host: host("a"), before: BTreeSet::new(), values: values.clone() }));
        changes.extend(challenges[1].then(|| Change::OwnChallenge { name: own_name, values: values.clone() }));
        let state = state(&changes);
        let view = ZoneView::new(&params.zones[0], &state, &params).expect("served");
        let mut expected = all_names();
        expected.retain(|left| view.node(left).is_some_and(|node| node.place.is_some()));
        sort_canonically(&mut expected);
        let listed: Vec<_> = view.chain().names().map(|left| left.as_str().to_owned()).collect();
        // Names of more labels than the model has are found too.
        let (listed, longer): (Vec<_>, Vec<_>) = listed.into_iter().partition(|left| left.split_terminator('.').count() <= 3);
        prop_assert_eq!(&listed, &expected, "{:?}", wishes);
        for left in listed.iter().chain(&longer) {
            let unit = view.unit_of(view.node(left).and_then(|node| node.place).expect("somebody's"));
            let of_unit = view.records_of(&unit);
            prop_assert_eq!(of_unit.iter().filter(|(other, _)| other.as_str() == left).count(), 1, "{} of {:?}", left, unit);
        }
        let units = state.hosts().map(|(name, _)| Unit::Host(name.clone())).chain([Unit::Zone(params.zones[0].clone())]);
        prop_assert_eq!(units.map(|unit| view.records_of(&unit).len()).sum::<usize>(), listed.len() + longer.len());
        // The neighbours of any name, there or not.
        let chain = view.chain();
        for left in all_names().into_iter().step_by(23) {
            let key = OrderKey::of(&left);
            let mut there: Vec<_> = listed.iter().chain(&longer).chain([&left]).cloned().collect();
            sort_canonically(&mut there);
            there.dedup();
            let place = there.iter().position(|other| *other == left).expect("put in");
            let before = there.get(place.wrapping_sub(1)).map_or("", String::as_str);
            let (after, before_it, at) = (chain.after(key.as_bytes()), chain.before(key.as_bytes()), chain.at_or_before(key.as_bytes()));
            prop_assert_eq!(after.as_str(), there.get(place + 1).map_or("", String::as_str), "{}", left);
            prop_assert_eq!(before_it.as_str(), before, "{}", left);
            let is_there = listed.contains(&left);
            prop_assert_eq!(at.as_str(), if is_there { &left } else { before }, "{}", left);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn names_are_answered_as_their_records_say(wishes in wishes(), asked in prop::collection::vec(asked(), 60)) {
        let params = params();
        let state = state(&wishes.iter().flat_map(changes).collect::<Vec<_>>());
        let mut names = Names::from([(String::new(), BTreeSet::from([SOA, NS])), ("gw".into(), BTreeSet::from([A, AAAA]))]);
        wishes.iter().for_each(|wish| records(wish, &mut names));
        let listed: Vec<_> = ZoneView::new(&params.zones[0], &state, &params).expect("served").chain().names().map(|left| left.as_str().to_owned()).collect();
        let mut recorded: Vec<_> = names.keys().cloned().collect();
        sort_canonically(&mut recorded);
        prop_assert_eq!(listed, recorded);
        for name in asked {
            let answered = answered(&state, &params, &name).map(|kinds| kinds.into_iter().collect());
            prop_assert_eq!(answered, expected(&names, &name), "{:?} with {:?}", name, wishes);
        }
    }
}
