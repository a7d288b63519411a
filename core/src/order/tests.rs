use std::cmp::Ordering;
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// RFC 4034 §6.1, word for word: label by label from the right, each as a string of lower-case bytes, a missing one before any other.
fn canonical(one: &[Vec<u8>], other: &[Vec<u8>]) -> Ordering {
    for at in 0.. {
        let label = |name: &[Vec<u8>]| name.len().checked_sub(at + 1).map(|place| name[place].to_ascii_lowercase());
        match (label(one), label(other)) {
            (None, None) => return Ordering::Equal,
            (one, other) if one != other => return one.cmp(&other),
            _ => {}
        }
    }
    Ordering::Equal
}

fn key(labels: &[Vec<u8>]) -> OrderKey {
    OrderKey::of_labels(labels.iter().rev().map(Vec::as_slice))
}

#[test]
fn the_example_of_rfc_4034_is_in_order() {
    let names: [&[&[u8]]; 9] = [
        &[b"example"],
        &[b"a", b"example"],
        &[b"yljkjljk", b"a", b"example"],
        &[b"Z", b"a", b"example"],
        &[b"zABC", b"a", b"EXAMPLE"],
        &[b"z", b"example"],
        &[b"\x01", b"z", b"example"],
        &[b"*", b"z", b"example"],
        &[b"\xc8", b"z", b"example"],
    ];
    let keys: Vec<_> = names.map(|labels| key(&labels.iter().map(|label| label.to_vec()).collect::<Vec<_>>())).into();
    assert!(keys.is_sorted_by(|one, other| one.as_bytes() < other.as_bytes()), "{keys:?}");
}

#[test]
fn a_key_is_its_name_again() {
    for left in ["", "*", "cloud", "*.cloud", "_xmpp._tcp.cloud", "_acme-challenge.cloud", "a.b.c.d"] {
        assert_eq!(Left::of(OrderKey::of(left).as_bytes()).as_str(), left);
    }
    assert_eq!(Left::below("*", "").as_str(), "*");
    assert_eq!(Left::below("*", "a.b").as_str(), "*.a.b");
    assert_eq!(Left::below(&"x".repeat(60), &"y".repeat(250)).as_str(), "x".repeat(60), "too much is cut off");
}

/// Few bytes, so that names are often nearly the same: above all those that keys have a use for.
fn any_label() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![8 => prop::sample::select(vec![0, 1, 2, b'a', b'A']), 1 => any::<u8>()], 1..4)
}

fn any_name() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(any_label(), 0..4)
}

/// Like the standard set, whatever is done to it; and a snapshot stays what it was.
fn compare(order: &Order, model: &BTreeSet<Vec<u8>>, probes: &[Vec<u8>]) {
    assert_eq!(order.len(), model.len());
    assert!(order.iter().eq(model.iter().map(Vec::as_slice)));
    for probe in probes {
        assert_eq!(order.contains(probe), model.contains(probe));
        assert_eq!(order.at_or_before(probe), model.range(..=probe.clone()).next_back().map(Vec::as_slice));
        assert_eq!(order.before(probe), model.range(..probe.clone()).next_back().map(Vec::as_slice));
        let after = (std::ops::Bound::Excluded(probe.clone()), std::ops::Bound::Unbounded);
        assert_eq!(order.after(probe), model.range(after).next().map(Vec::as_slice));
    }
}

/// No leaf is too long, each first key is the first one, and all leaves are equally deep. Returns how deep.
fn check(node: &Node, is_root: bool) -> usize {
    assert!(node.list().len() <= MOST);
    match node {
        Node::Leaf(keys) => {
            assert!(is_root || keys.len() > 0);
            0
        }
        Node::Branch(firsts, children) => {
            assert_eq!(firsts.len(), children.len());
            assert!(!children.is_empty());
            let depths: BTreeSet<_> = children.iter().map(|child| check(child, false)).collect();
            (0..children.len()).for_each(|at| assert_eq!(firsts.get(at), children[at].first()));
            assert_eq!(depths.len(), 1);
            1 + depths.first().expect("a child")
        }
    }
}

#[test]
fn many_come_and_go() {
    let (mut order, mut model) = (Order::default(), BTreeSet::new());
    let name = |at: u64| format!("h{}", at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40).into_bytes();
    for at in 0..60_000 {
        assert_eq!(order.insert(&name(at)), model.insert(name(at)));
    }
    assert!(check(&order.root, true) >= 2, "it has branches below branches");
    let whole = (order.clone(), model.clone());
    let probes: Vec<_> = (0..2_000).map(|at| name(at * 31)).chain([b"".to_vec(), b"h1x".to_vec(), b"zz".to_vec()]).collect();
    compare(&order, &model, &probes);
    for at in (0..60_000).filter(|at| at % 64 != 0) {
        assert_eq!(order.remove(&name(at)), model.remove(&name(at)));
    }
    check(&order.root, true);
    compare(&order, &model, &probes);
    compare(&whole.0, &whole.1, &probes);
    for at in 0..60_000 {
        order.remove(&name(at));
    }
    assert!(order.is_empty() && order.iter().next().is_none() && check(&order.root, true) == 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_order_of_keys_is_the_canonical_one(one in any_name(), other in any_name()) {
        prop_assert_eq!(key(&one).as_bytes().cmp(key(&other).as_bytes()), canonical(&one, &other));
    }
}

proptest! {
    #[test]
    fn it_is_a_set_of_which_snapshots_are_kept(changes in prop::collection::vec((0_u16..500, any::<bool>()), 0..1_500)) {
        let name = |at: u16| OrderKey::of(&format!("x{}.h{}", at % 7, at / 7)).as_bytes().to_vec();
        let (mut order, mut model) = (Order::default(), BTreeSet::new());
        let mut kept = Vec::new();
        for (at, (number, comes)) in changes.into_iter().enumerate() {
            if comes {
                prop_assert_eq!(order.insert(&name(number)), model.insert(name(number)));
            } else {
                prop_assert_eq!(order.remove(&name(number)), model.remove(&name(number)));
            }
            if at % 300 == 0 {
                kept.push((order.clone(), model.clone()));
            }
        }
        kept.push((order, model));
        let probes: Vec<_> = (0..500).map(name).collect();
        for (order, model) in kept {
            check(&order.root, true);
            compare(&order, &model, &probes);
        }
    }
}
