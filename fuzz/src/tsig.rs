//! A signed message: what its MAC covers depends on each of its bytes, and an answer to it is signed in a way that can be read.

use fourward_core::tsig::{Fault, Signature, secret_in};
use fourward_core::wire::HEADER;

const NOW: u64 = 1_700_000_000;

/// A stand-in for a MAC, as long as an HMAC of SHA-256.
fn mac(covered: &[u8]) -> Vec<u8> {
    let mut mac = vec![0_u8; 32];
    for (at, byte) in covered.iter().enumerate() {
        mac[at % 32] = mac[at % 32].rotate_left(3) ^ byte.wrapping_add(at as u8);
    }
    mac
}

pub fn check(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(secret_in(text).is_none_or(|secret| !secret.is_empty()));
    }
    let Ok(Some(signature)) = Signature::of(bytes) else { return };
    assert!(bytes.len() > HEADER && bytes[10..12] != [0, 0], "a record that is not counted");
    let mut covered = Vec::new();
    let verified = signature.verify(bytes, NOW, |_, _, of, _| {
        covered = of.to_vec();
        Some(true)
    });
    assert!(!matches!(verified, Err(Fault::BadSig)), "the MAC was good");
    if verified != Err(Fault::BadKey) {
        let refused = signature.verify(bytes, NOW, |_, _, _, _| Some(false));
        assert!(matches!(refused, Err(Fault::BadSig | Fault::Form)), "the MAC was bad: {refused:?}");
        // What comes before the record is covered, but for the ID, for which the original one stands.
        let before = covered.len().min(bytes.len());
        let same = covered[2..before].iter().zip(&bytes[2..]).take_while(|(one, other)| one == other).count();
        assert!(same >= 8 && covered.len() >= HEADER, "{same} bytes of the message are covered");
    }
    for fault in [None, Some(Fault::BadKey), Some(Fault::BadSig), Some(Fault::BadTime), Some(Fault::BadTrunc)] {
        let mut answer = [&bytes[..2], &[0xA8, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
        signature.answer(&mut answer, NOW, fault, mac);
        assert!(answer.len() <= HEADER + signature.answer_size(), "{} bytes are more than was said", answer.len() - HEADER);
        let own = Signature::of(&answer).expect("sound").expect("signed");
        assert_eq!(own.mac().is_empty(), fault.is_some_and(|fault| !fault.is_signed()), "{fault:?}");
        assert_eq!(own.key(), signature.key());
        let mut next = answer[..HEADER].to_vec();
        next[10..12].copy_from_slice(&[0, 0]);
        let next = own.following(&mut next, NOW, mac);
        assert_eq!(next.mac().len(), 32);
    }
}
