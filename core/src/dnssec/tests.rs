use super::*;
use aws_lc_rs::digest::{SHA256, digest};

pub(crate) fn key(algorithm: Algorithm, phase: Phase, public: &[u8]) -> ZoneKey {
    let none = Digest([0; 32]);
    ZoneKey { algorithm, phase, since: Timestamp::UNIX_EPOCH, public: public.into(), private: Box::from(*b"hush"), digest: none }
}

fn of(algorithm: Algorithm, public: &str) -> ZoneKey {
    key(algorithm, Phase::Active, &STANDARD.decode(public).expect("base64"))
}

#[test]
fn the_tag_of_a_key_is_that_of_rfc_4034() {
    // RFC 4034 §5.4.
    let public = "AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZDRD99WYwYqUSdjMmmAphXdvxegXd/M5+X7OrzKBaMbCVdFLUUh6DhweJBjEVv5f2wwjM9XzcnOf+EPbtG9DMBmADjFDc2w/rljwvFw==";
    let public = STANDARD.decode(public).expect("base64");
    assert_eq!(key_tag([1, 0, 3, 5].iter().chain(&public)), 60_485);
}

#[test]
fn keys_have_the_tags_and_digests_of_their_rfcs() {
    // RFC 6605 §6.1, RFC 8080 §6.1.
    #[rustfmt::skip]
    let table = [
        (Algorithm::EcdsaP256Sha256, "GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
            "example.net", 55_648, "b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17"),
        (Algorithm::Ed25519, "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
            "example.com", 3_613, "3aa5ab37efce57f737fc1627013fee07bdf241bd10f3b1964ab55c78e79a304b"),
    ];
    for (algorithm, public, zone, tag, ds) in table {
        let key = of(algorithm, public);
        let found = digest(&SHA256, &key.ds_input(&zone.parse().expect("a name")));
        let found: [u8; 32] = found.as_ref().try_into().expect("32 bytes");
        assert_eq!((key.tag(), Digest(found).to_string().as_str()), (tag, ds));
        assert_eq!(key.ds_head()[2..], [algorithm.number(), 2]);
        assert_eq!(u16::from_be_bytes([key.ds_head()[0], key.ds_head()[1]]), tag);
    }
}

#[test]
fn a_zone_has_one_active_key_and_none_twice() {
    let (p256, ed) = (Algorithm::EcdsaP256Sha256, Algorithm::Ed25519);
    let one = |phase| key(p256, phase, &[1; 64]);
    let other = |phase, byte| key(ed, phase, &[byte; 32]);
    let table = [
        (vec![], Err(BadKeys::Active)),
        (vec![one(Phase::Published)], Err(BadKeys::Active)),
        (vec![one(Phase::Active), other(Phase::Active, 2)], Err(BadKeys::Active)),
        (vec![one(Phase::Active), one(Phase::Retired)], Err(BadKeys::SameTag)),
        (vec![key(ed, Phase::Active, &[1; 64])], Err(BadKeys::Length)),
        ((0..5).map(|at| other(if at == 0 { Phase::Active } else { Phase::Retired }, at)).collect(), Err(BadKeys::TooMany)),
        (vec![other(Phase::Retired, 3), one(Phase::Active), other(Phase::Published, 2)], Ok(())),
    ];
    for (keys, expected) in table {
        assert_eq!(ZoneKeys::new(keys.clone()).map(drop), expected, "{keys:?}");
    }
    let keys = ZoneKeys::new(vec![other(Phase::Retired, 3), one(Phase::Active), other(Phase::Published, 2)]).expect("good keys");
    assert_eq!(keys.active().map(|key| key.algorithm), Some(p256));
    assert!(keys.for_parent().map(|key| key.phase).eq([Phase::Active, Phase::Published]));
}

#[test]
fn the_private_part_is_not_shown() {
    let shown = format!("{:?}", key(Algorithm::Ed25519, Phase::Active, &[1; 32]));
    assert!(!shown.contains("hush") && !shown.contains("104") && shown.contains("secret"), "{shown}");
}
