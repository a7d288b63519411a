//! A secondary that plays every entry over what it has is where one is that takes the whole zone: whatever changed, signed or not, one commit or
//! many changes in one.

use proptest::prelude::*;

use super::*;
use crate::change::Change;
use crate::signing::tests::model::{commit, params};
use crate::state::tests::properties::{any_changes, zone_keys};
use crate::transfer::tests::{Copy, parts, whole};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn who_follows_step_by_step_has_what_is_there(
        changes in any_changes(),
        sizes in prop::collection::vec(1_usize..5, 60),
        keys in prop::option::of((zone_keys(), zone_keys())),
    ) {
        let params = params();
        let (serve, rest) = changes.split_at(2);
        let mut state = State::default();
        serve.iter().for_each(|change| drop(commit(&mut state, &params, change)));
        if let Some((one, other)) = keys {
            for (zone, keys) in params.zones.iter().zip([one, other]) {
                commit(&mut state, &params, &Change::ZoneKeys { zone: zone.clone(), keys: Some(keys) });
            }
        }
        let mut copies: Vec<Option<Copy>> = params.zones.iter().map(|zone| whole(&state, &params, zone)).collect();
        let mut rest = rest.iter().filter(|change| !matches!(change, Change::Sign { .. })).peekable();
        for size in sizes {
            let before = state.clone();
            let touched: BTreeSet<Key> = rest.by_ref().take(size).flat_map(|change| commit(&mut state, &params, change)).collect();
            let steps = steps(&before, &state, &params, &touched);
            for (zone, copy) in params.zones.iter().zip(&mut copies) {
                let is = whole(&state, &params, zone);
                match (steps.iter().find(|(name, _)| name == zone), copy.as_mut()) {
                    (Some((_, Step::Entry(entry))), Some(copy)) => {
                        copy.play(&parts(&entry.records));
                        prop_assert_eq!(Some(&*copy), is.as_ref());
                    }
                    (None, _) => prop_assert_eq!(&*copy, &is, "nothing is said to have changed"),
                    _ => *copy = is,
                }
            }
            if rest.peek().is_none() {
                break;
            }
        }
    }
}
