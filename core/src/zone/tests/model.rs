//! Whatever owners set, a name is answered as by a server that knows only the records (RFC 1034 §4.3.2, RFC 4592 §3.3.1).

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Every name that has records or must exist, by what stands in front of the zone, and its types.
type Names = BTreeMap<String, BTreeSet<u16>>;

#[derive(Clone, Debug)]
struct Wish {
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

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    (prop::option::of(wish("@")), prop::option::of(wish("a")), prop::option::of(wish("b")))
        .prop_map(|(apex, a, b)| [apex, a, b].into_iter().flatten().collect())
}

fn changes(wish: &Wish) -> Vec<Change> {
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

fn asked() -> impl Strategy<Value = String> {
    let labels = vec!["a", "b", "x", "y", "_t", "_d", "*", "gw", "a-ip6only", "ip6only", "zz"];
    prop::collection::vec(prop::sample::select(labels), 0..5).prop_map(|labels| labels.join("."))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn names_are_answered_as_their_records_say(wishes in wishes(), asked in prop::collection::vec(asked(), 60)) {
        let params = params();
        let state = state(&wishes.iter().flat_map(changes).collect::<Vec<_>>());
        let mut names = Names::from([(String::new(), BTreeSet::from([SOA, NS])), ("gw".into(), BTreeSet::from([A, AAAA]))]);
        wishes.iter().for_each(|wish| records(wish, &mut names));
        for name in asked {
            let answered = answered(&state, &params, &name).map(|kinds| kinds.into_iter().collect());
            prop_assert_eq!(answered, expected(&names, &name), "{:?} with {:?}", name, wishes);
        }
    }
}
