//! Keys, and what the zone above says of them.

use super::*;
use crate::dnssec::Ds;

/// The zone above has the DS of these keys, and these are shown.
pub(super) fn dnssec(above: &[u16], keys: &[u16]) -> Dnssec {
    let ds = |tag: &u16| Ds { tag: *tag, algorithm: 13, digest_type: 2, digest: vec![1; 32] };
    Dnssec { above: above.iter().map(ds).collect(), keys: keys.iter().map(|tag| (*tag, 13)).collect() }
}

fn with(above: &'static [u16], keys: &'static [u16]) -> impl Fn(&mut Seen) {
    move |seen| seen.names.dnssec = Some(dnssec(above, keys))
}

#[test]
fn what_the_zone_above_vouches_for_must_be_there() {
    for view in ALL {
        for (above, keys) in [(&[7][..], &[][..]), (&[7], &[8]), (&[7, 9], &[8])] {
            // A resolver that verifies finds nothing then, and that follows from it.
            let broken = |seen: &mut Seen| {
                with(above, keys)(seen);
                resolved(seen).rcode = Rcode::SERVFAIL;
            };
            assert_eq!(faults(view, broken), [Id::Dnssec], "{view:?} {above:?} {keys:?}");
        }
        // One of two is enough, as while a key follows another; and a zone may be unsigned, or signed for nobody.
        for (above, keys) in [(&[7, 8][..], &[8][..]), (&[8], &[7, 8]), (&[], &[]), (&[], &[8])] {
            assert_eq!(faults(view, with(above, keys)), [], "{view:?} {above:?} {keys:?}");
        }
        assert_eq!(faults(view, |seen| seen.names.dnssec = None), []);
    }
    assert!(told(View::Server, Id::Dnssec, with(&[], &[8])).contains("fourward zone ds dyn.example.org"));
    assert!(told(View::Home, Id::Dnssec, with(&[7], &[])).contains("take the DS out"));
}
