//! A line of `host import`. What is understood and imported is exported as a line that says the same.

use fourward_core::change::Change;
use fourward_core::export::{page, parse};
use fourward_core::host::Digest;
use fourward_core::policy::Policy;
use fourward_core::state::State;
use jiff::Timestamp;

pub fn check(bytes: &[u8]) {
    let Ok(line) = std::str::from_utf8(bytes) else { return };
    let Ok(entry) = parse(line) else { return };
    let mut empty = State::default();
    let serve = Change::Serve { zone: entry.name().zone().clone(), apex: Digest([0; 32]), at: Timestamp::UNIX_EPOCH };
    empty.apply(&serve, &Policy::default()).expect("served");
    let import = |entry| {
        let mut state = empty.clone();
        state.apply(&Change::Import { entries: vec![entry], replace: false, reuse: false }, &Policy::default()).map(|_| state)
    };
    let Ok(state) = import(entry) else { return };
    let exported = page(&state, None, 10, 1 << 20).expect("a page").lines;
    assert_eq!(exported.len(), 1, "{exported:?}");
    let again = import(parse(&exported[0]).expect("what we write ourselves")).expect("what was there");
    assert!(again == state, "{exported:?}");
}
