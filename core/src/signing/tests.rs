pub(crate) mod model;

use std::net::Ipv4Addr;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::*;
use crate::dnssec::{Algorithm, Phase};
use crate::host::{Digest, JoinSecret};
use crate::policy::Policy;
use crate::zone::Data;

/// A key of which only the public part matters.
pub(crate) fn public_key(algorithm: Algorithm, phase: Phase, public: &[u8]) -> ZoneKey {
    let (since, digest) = (Timestamp::UNIX_EPOCH, Digest([0; 32]));
    ZoneKey { algorithm, phase, since, public: public.into(), private: Box::default(), digest }
}

fn bytes(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).expect("base64")
}

/// Checks an RFC's signature over records of ours.
fn check(owner: Owner<'_>, set: &Rrset<'_>, key: &ZoneKey, [inception, expiration]: [u32; 2], signature: &str) {
    let mut scratch = Vec::new();
    let records = owner.canonical(set, &mut scratch).expect("it fits");
    let entry = Entry { inception, expiration, ..owner.entry(Spot::Main, set, key, &records, 0) };
    let message = owner.message(&entry, &records, &mut scratch).expect("it fits");
    let (algorithm, public): (&dyn VerificationAlgorithm, _) = match key.algorithm {
        Algorithm::EcdsaP256Sha256 => (&ECDSA_P256_SHA256_FIXED, [&[4], &*key.public].concat()),
        Algorithm::Ed25519 => (&ED25519, key.public.to_vec()),
    };
    UnparsedPublicKey::new(algorithm, public).verify(&message, &bytes(signature)).expect("it is what was signed");
}

#[test]
fn the_signature_of_rfc_6605_is_over_our_bytes() {
    let public = bytes("GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==");
    let key = public_key(Algorithm::EcdsaP256Sha256, Phase::Active, &public);
    let set = Rrset { ttl: 3600, data: Data::A(&[Ipv4Addr::new(192, 0, 2, 1)]) };
    let zone = "example.net".parse().expect("a name");
    // 2010-08-12 10:04:39 to 2010-09-09 10:04:39.
    let times = [1_281_607_479, 1_284_026_679];
    let signature = "qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoLBLlUzGGus7ZwmwWep666VCw==";
    check(Owner { left: "www", zone: &zone }, &set, &key, times, signature);
}

#[test]
fn the_signature_of_rfc_8080_is_over_our_bytes() {
    let key = public_key(Algorithm::Ed25519, Phase::Active, &bytes("l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4="));
    let zone: DnsName = "example.com".parse().expect("a name");
    let host = HostName::new("@", zone.clone()).expect("a host");
    let join = JoinSecret { secret: Digest([1; 32]), expires: Timestamp::UNIX_EPOCH, spent_by: None };
    let edits = ["record=MX 10 mail", "ttl=3600"].map(|edit| edit.parse().expect("an edit")).into();
    let mut state = State::default();
    for change in [
        Change::Serve { zone: zone.clone(), apex: Digest([0; 32]), at: Timestamp::UNIX_EPOCH },
        Change::Add { host, edits, join, update: Digest([2; 32]), reuse: false },
    ] {
        state.apply(&change, &Policy::default()).expect("a good change");
    }
    let own_name = "gw.example.net".parse().expect("a name");
    let params = ZoneParams { zones: vec![zone.clone()], nameservers: vec![], own_name, ipv4: vec![], ipv6: vec![], ttl: 60, dnssec: true };
    let node = ZoneView::new(&zone, &state, &params).expect("served").node("").expect("the apex");
    let set = node.rrset(Type::MX).expect("an MX");
    let signature = "oL9krJun7xfBOIWcGHi7mag5/hdZrKWw15jPGrHpjQeRAvTdszaPD+QLs3fx8A4M3e23mRZ9VrbpMngwcrqNAg==";
    check(Owner { left: "", zone: &zone }, &set, &key, [1_438_207_200, 1_440_021_600], signature);
}

#[test]
fn records_are_signed_in_order_and_none_twice() {
    let zone = "z.org".parse().expect("a name");
    let owner = Owner { left: "*.x", zone: &zone };
    let addresses = [[192, 0, 2, 9], [10, 0, 0, 1], [192, 0, 2, 9]].map(Ipv4Addr::from);
    let set = Rrset { ttl: 7, data: Data::A(&addresses) };
    let mut scratch = Vec::new();
    let records = owner.canonical(&set, &mut scratch).expect("it fits");
    let head = b"\x01*\x01x\x01z\x03org\0\0\x01\0\x01\0\0\0\x07\0\x04";
    assert_eq!(records, [&head[..], &[10, 0, 0, 1], head, &[192, 0, 2, 9]].concat());
    let key = public_key(Algorithm::Ed25519, Phase::Active, &[1; 32]);
    let entry = owner.entry(Spot::Wildcard, &set, &key, &records, 100_000);
    assert_eq!((entry.labels, entry.inception, entry.expiration), (3, 100_000 - EARLIER, 100_000 + LIFE));
    let long = |length: usize| std::collections::BTreeSet::from(["x".repeat(length)]);
    // A length stands in front of each 255 bytes.
    for (length, fits) in [(60_000, true), (65_279, true), (65_280, false), (100_000, false)] {
        let values = long(length);
        let records = owner.canonical(&Rrset { ttl: 7, data: Data::Txt(&values) }, &mut scratch);
        assert_eq!(records.is_ok(), fits, "{length}: what fits no record is not signed");
    }
}
