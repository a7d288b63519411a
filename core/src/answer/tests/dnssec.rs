//! Whatever is asked of a signed zone, the answer proves what is so to somebody who has the key and nothing else.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use proptest::prelude::*;

use super::validator::{Anchor, Proven};
use super::*;
use crate::dnssec::{Algorithm, Phase, ZoneKey, ZoneKeys};
use crate::signing::plan;
use crate::zone::tests::model::{asked, changes, wishes};
use crate::zone::tests::params;

const NOW: u32 = 1_800_000_000;

/// Who signs.
enum Signer {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
    }

    fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key"))
    }

    fn key(&self, phase: Phase) -> ZoneKey {
        let (algorithm, public) = match self {
            Self::P256(pair) => (Algorithm::EcdsaP256Sha256, &pair.public_key().as_ref()[1..]),
            Self::Ed25519(pair) => (Algorithm::Ed25519, pair.public_key().as_ref()),
        };
        let (since, digest) = (Timestamp::UNIX_EPOCH, Digest([9; 32]));
        ZoneKey { algorithm, phase, since, public: public.into(), private: Box::default(), digest }
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = match self {
            Self::P256(pair) => pair.sign(&SystemRandom::new(), message).expect("signed").as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        };
        signature.try_into().expect("64 bytes")
    }

    fn anchor(&self, zone: &DnsName) -> Anchor {
        let key = self.key(Phase::Active);
        let zone = zone.labels().map(|label| label.as_bytes().to_vec()).collect();
        Anchor { zone, algorithm: key.algorithm.number(), tag: key.tag(), public: key.public.into(), now: NOW }
    }

    /// Signs all of the first zone with this key alone.
    fn sign_all(&self, state: &mut State, params: &ZoneParams) {
        sign_with(&[(self, Phase::Active)], state, params);
    }
}

/// Signs all of the first zone.
fn sign_with(signers: &[(&Signer, Phase)], state: &mut State, params: &ZoneParams) {
    let zone = &params.zones[0];
    let keys = signers.iter().map(|(signer, phase)| signer.key(*phase)).collect();
    let keys = Some(ZoneKeys::new(keys).expect("keys"));
    state.apply(&Change::ZoneKeys { zone: zone.clone(), keys }, &Policy::default()).expect("a signed zone");
    for unit in state.units_after(zone, None, usize::MAX) {
        let snapshot = state.clone();
        let view = ZoneView::new(zone, &snapshot, params).expect("served");
        let Some(plan) = plan(&view, &unit, NOW) else { continue };
        let whose = |key: &ZoneKey| signers.iter().find(|(signer, phase)| signer.key(*phase) == *key).expect("one of them").0;
        let change = plan.sign(|key, message| Ok::<_, ()>(whose(key).sign(message))).expect("signed");
        state.apply(&change, &Policy::default()).expect("kept");
    }
}

/// A question that wants signatures, about a name with these labels left of the zone.
fn asking(left: &[&[u8]], kind: u16) -> Message {
    let labels: Vec<&[u8]> = left.iter().copied().chain([&b"dyn"[..], b"Example", b"org"]).collect();
    Message::asking(&labels, Type(kind)).record(3, &opt(1232, 0, 0x8000))
}

fn reply_to(message: &Message, state: &State, params: &ZoneParams) -> Vec<u8> {
    let mut out = vec![0; TCP_LIMIT];
    let length = answer(&message.bytes(), &asker(Transport::Tcp), state, params, &mut out).expect("an answer").length;
    out.truncate(length);
    out
}

/// What is so, as the zone has it.
fn so(view: &ZoneView<'_>, left: &str, kind: u16) -> Proven {
    match view.find(left) {
        None => Proven::NoSuchName,
        Some(node) if kind == 47 && node.place.is_some() || node.rrset(Type(kind)).is_some() => Proven::There,
        Some(_) => Proven::NoSuchType,
    }
}

/// Hosts of each kind, of which one is away.
fn zone() -> State {
    let edits = |edits: &[&str]| -> Vec<_> { edits.iter().map(|edit| edit.parse().expect("an edit")).collect() };
    let host = |label: &str| HostName::parse(label, &params().zones).expect("a host");
    let join = JoinSecret { secret: Digest([1; 32]), expires: Timestamp::UNIX_EPOCH, spent_by: None };
    let add = |label: &str, set: &[&str]| Change::Add { host: host(label), edits: edits(set), join, update: Digest([2; 32]), reuse: false };
    let moved = |label| Change::Move { host: host(label), address: "2001:db8:1::11".parse().expect("v6"), at: Timestamp::UNIX_EPOCH };
    let all = ["alpn=h3,h2", "caa=issue ca.org", "record=TXT x", "record+=MX 1 mail", "record+=_x._tcp SRV 0 5 5222 @", "ttl=30"];
    let values = BTreeSet::from(["token".to_owned()]);
    crate::zone::tests::state(&[
        add("cloud", &["wildcard=on", "alpn=h2"]),
        moved("cloud"),
        add("away", &all),
        add("@", &["record=_dmarc TXT x"]),
        Change::Challenge { host: host("cloud"), before: BTreeSet::new(), values: values.clone() },
        Change::OwnChallenge { name: params().own_name, values },
    ])
}

#[test]
fn every_kind_of_answer_is_proven_with_either_algorithm() {
    use Proven::{NoSuchName, NoSuchType, There};
    #[rustfmt::skip]
    let table: &[(&str, &[&[u8]], u16, Proven)] = &[
        ("the keys", &[], 48, There), ("CDS", &[], 59, There), ("CDNSKEY", &[], 60, There), ("SOA", &[], 6, There), ("NS", &[], 2, There),
        ("an apex host's A", &[], 1, There), ("DS is the parent's", &[], 43, NoSuchType), ("the apex's NSEC", &[], 47, There),
        ("A", &[b"cloud"], 1, There), ("AAAA", &[b"CLOUD"], 28, There), ("HTTPS", &[b"away"], 65, There), ("CAA", &[b"away"], 257, There),
        ("MX", &[b"away"], 15, There), ("SRV", &[b"_x", b"_tcp", b"away"], 33, There), ("TXT", &[b"_acme-challenge", b"cloud"], 16, There),
        ("our own", &[b"gw"], 1, There), ("our own challenge", &[b"_acme-challenge", b"gw"], 16, There),
        ("no such type", &[b"cloud"], 16, NoSuchType), ("a twin's A", &[b"cloud-ip6only"], 1, NoSuchType),
        ("who is away", &[b"away-ip6only"], 28, NoSuchType), ("on the way", &[b"_tcp", b"away"], 33, NoSuchType),
        ("the NSEC of what is only on the way", &[b"_tcp", b"away"], 47, NoSuchType),
        ("a wildcard's", &[b"www", b"cloud"], 28, There), ("deep below it", &[b"a", b"b", b"cloud"], 1, There),
        ("the wildcard itself", &[b"*", b"cloud"], 1, There), ("no such type of a wildcard", &[b"www", b"cloud"], 16, NoSuchType),
        ("a wildcard's NSEC", &[b"www", b"cloud"], 47, There),
        ("no such name", &[b"absent"], 1, NoSuchName), ("before all others", &[b"!"], 1, NoSuchName), ("behind all others", &[b"\xff\xff"], 1, NoSuchName),
        ("below a name", &[b"x", b"away"], 1, NoSuchName), ("below what is on the way", &[b"x", b"_tcp", b"away"], 33, NoSuchName),
        ("below a wildcard", &[b"x", b"*", b"cloud"], 1, NoSuchName), ("with a zero", &[b"a\0way"], 1, NoSuchName),
        ("with a zero in the place of a dot", &[b"away\0_tcp"], 1, NoSuchName), ("with a dot", &[b"_tcp.away"], 1, NoSuchName),
    ];
    for signer in [Signer::p256(), Signer::ed25519()] {
        let (mut state, params) = (zone(), params());
        signer.sign_all(&mut state, &params);
        let anchor = signer.anchor(&params.zones[0]);
        for (what, left, kind, expected) in table {
            let reply = reply_to(&asking(left, *kind), &state, &params);
            assert_eq!(anchor.validate(&reply), Ok(*expected), "{what}: {:?}", Reply::read(&reply).records);
        }
        let any = reply_to(&asking(&[b"cloud"], 255), &state, &params);
        assert_eq!((anchor.validate(&any), Reply::read(&any).of(1).len()), (Ok(There), 2), "ANY is one set and its signature");
        let ns = Reply::read(&reply_to(&asking(&[], 2), &state, &params));
        let gw = "gw.dyn.Example.org.";
        assert_eq!(ns.of(3), [(gw, 1), (gw, 46), (gw, 28), (gw, 46)], "addresses of name servers are signed too");
    }
}

#[test]
fn while_one_key_follows_another_either_is_trusted() {
    let (old, new) = (Signer::p256(), Signer::ed25519());
    let (mut state, params) = (zone(), params());
    let [of_old, of_new] = [&old, &new].map(|signer| signer.anchor(&params.zones[0]));
    let steps = [(vec![(&old, Phase::Active), (&new, Phase::Published)], 2), (vec![(&old, Phase::Retired), (&new, Phase::Active)], 1)];
    for (signers, for_parent) in steps {
        sign_with(&signers, &mut state, &params);
        let keys = reply_to(&asking(&[], 48), &state, &params);
        assert_eq!(
            [of_old.validate(&keys), of_new.validate(&keys)],
            [Ok(Proven::There), Ok(Proven::There)],
            "whoever trusts one key trusts the set"
        );
        for (left, kind, expected) in [(&b"cloud"[..], 28, Proven::There), (b"absent", 1, Proven::NoSuchName)] {
            let reply = reply_to(&asking(&[left], kind), &state, &params);
            assert_eq!(of_old.validate(&reply), Ok(expected), "all of the zone has a signature of each algorithm");
            assert_eq!(of_new.validate(&reply), Ok(expected));
        }
        for kind in [59, 60] {
            let reply = reply_to(&asking(&[], kind), &state, &params);
            assert_eq!([of_old.validate(&reply), of_new.validate(&reply)], [Ok(Proven::There), Ok(Proven::There)]);
            assert_eq!(
                Reply::read(&reply).of(1).iter().filter(|(_, found)| *found == kind).count(),
                for_parent,
                "what the parent should trust"
            );
        }
    }
}

#[test]
fn signatures_come_to_who_asks_for_them_and_where_they_are() {
    let (mut state, params) = (zone(), params());
    let is_signed = |reply: &[u8]| Reply::read(reply).records.iter().any(|record| matches!(record.kind, 46 | 47));
    let plain = Message::asking(CLOUD, Type::A).edns(1232);
    let with = Message::asking(CLOUD, Type::A).record(3, &opt(1232, 0, 0x8000));
    assert!(!is_signed(&reply_to(&with, &state, &params)), "the zone is not signed");
    for kind in [46, 47, 48] {
        assert_eq!(Reply::read(&reply_to(&asking(&[], kind), &state, &params)).of(1), [], "{kind} of a zone that is not signed");
    }
    Signer::ed25519().sign_all(&mut state, &params);
    assert!(is_signed(&reply_to(&with, &state, &params)));
    assert!(!is_signed(&reply_to(&plain, &state, &params)), "nobody asked for them");
    assert!(!is_signed(&reply_to(&Message::asking(ABSENT, Type::A), &state, &params)));
    let cloud = "cloud.dyn.example.org.";
    for (kind, expected) in [(Type::NSEC, [(cloud, 47)]), (Type::RRSIG, [(cloud, 46)])] {
        assert_eq!(Reply::read(&reply_to(&Message::asking(CLOUD, kind), &state, &params)).of(1), expected);
    }
    // Nothing of it fits 512 bytes, and half of a proof is none.
    let short = Message::asking(ABSENT, Type::A).record(3, &opt(512, 0, 0x8000));
    let mut out = [0; UDP_LIMIT];
    let length = answer(&short.bytes(), &asker(Transport::Udp), &state, &params, &mut out).expect("an answer").length;
    assert!(Reply::read(&out[..length]).truncated());
    let absent = Message::asking(ABSENT, Type::A).record(3, &opt(1232, 0, 0x8000));
    let length = answer(&absent.bytes(), &asker(Transport::Udp), &state, &params, &mut out).expect("an answer").length;
    assert!(!Reply::read(&out[..length]).truncated() && length < 700, "{length}");
}

#[test]
fn what_is_not_so_is_not_believed() {
    let (mut state, params) = (zone(), params());
    let signer = Signer::ed25519();
    signer.sign_all(&mut state, &params);
    let anchor = signer.anchor(&params.zones[0]);
    let reply = reply_to(&asking(&[b"absent"], 1), &state, &params);
    assert_eq!(anchor.validate(&reply), Ok(Proven::NoSuchName));
    let count: usize = [6, 8].iter().map(|at| usize::from(reply[at + 1])).sum();
    let (mut at, mut forgeries) = (name_at(&reply, 12).1 + 4, 0);
    for _ in 0..count {
        let start = name_at(&reply, at).1 + 10;
        at = start + usize::from(u16::from_be_bytes([reply[start - 2], reply[start - 1]]));
        // The last bits of a signature, of a type, of a number.
        let mut forged = reply.clone();
        forged[at - 1] ^= 1;
        assert!(anchor.validate(&forged).is_err(), "{:?}", Reply::read(&forged).records);
        forgeries += 1;
    }
    assert_eq!(forgeries, 6, "the start of authority, two proofs, and a signature of each");
    let late = Anchor { now: NOW + crate::signing::LIFE, ..signer.anchor(&params.zones[0]) };
    assert!(late.validate(&reply).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_is_asked_the_answer_proves_what_is_so(
        wishes in wishes(),
        asked in prop::collection::vec((asked(), prop::option::of(any::<[u8; 2]>())), 40),
        own in prop::sample::select(vec!["gw.", "gw.a.b.", ""]),
        kinds in prop::collection::vec(prop::sample::select(vec![1_u16, 2, 5, 6, 15, 16, 28, 33, 43, 47, 48, 65, 257]), 40),
    ) {
        let own_name = format!("{own}dyn.example.org").parse().expect("a name");
        let params = ZoneParams { own_name, ..params() };
        let mut state = crate::zone::tests::state(&wishes.iter().flat_map(changes).collect::<Vec<_>>());
        let signer = Signer::ed25519();
        signer.sign_all(&mut state, &params);
        let anchor = signer.anchor(&params.zones[0]);
        let view = ZoneView::new(&params.zones[0], &state, &params).expect("served");
        for ((left, odd), kind) in asked.iter().zip(&kinds) {
            let mut labels: Vec<&[u8]> = left.split_terminator('.').map(str::as_bytes).collect();
            // Bytes that no name has, in front of one.
            let mut text = left.clone();
            if let Some(odd) = odd.as_ref().filter(|odd| odd.iter().all(|byte| !byte.is_ascii_alphanumeric() && !b"-_*".contains(byte))) {
                labels.insert(0, odd);
                text = format!("??.{left}").trim_end_matches('.').to_owned();
            }
            let reply = reply_to(&asking(&labels, *kind), &state, &params);
            prop_assert_eq!(anchor.validate(&reply), Ok(so(&view, &text, *kind)), "{:?} {} with {:?}: {:?}", labels, kind, wishes, Reply::read(&reply).records);
        }
    }
}
