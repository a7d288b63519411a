//! Every record comes back; what is damaged is named and not quoted.

use proptest::prelude::*;

use super::*;
use crate::dnssec::{Algorithm, Entry, Phase, Signatures, Spot, ZoneKey, ZoneKeys};
use crate::host::{AddressFrom, Alpn, Carrier, Via};
use crate::proxy_protocol::ProxyProtocol;
use crate::wire::Type;
use ipnet::IpNet;

const CLOUD: &str = "dyn.example.org/cloud";

const RECORDS: [&str; 4] = ["TXT \"a \\\"\\001\"", "_x._tcp SRV 0 5 5222 @", "MX 10 mail.example.org.", "a.b MX 0 ."];

fn digest(byte: u8) -> String {
    Digest([byte; 32]).to_string()
}

/// Settings that came later.
fn arbitrary_names() -> impl Strategy<Value = host::Settings> {
    let record = prop::sample::subsequence(RECORDS.to_vec(), 0..=RECORDS.len());
    let caa = prop::sample::subsequence(vec!["issue letsencrypt.org; validationmethods=dns-01", "128 issuewild ;"], 0..=2);
    let alpn = prop::sample::subsequence(Alpn::ALL.to_vec(), 0..=3);
    let follows = prop::option::of((prop::sample::select(vec!["cloud", "@"]), prop::sample::select(vec!["::22", "::1:0:0:0:22/56"])));
    let forward = prop::sample::subsequence(vec!["tcp/2222:22", "udp/51820", "tcp/8000-8010:9000-9010"], 0..=3);
    let proxy_protocol = prop::sample::select(ProxyProtocol::ALL.to_vec());
    (record, caa, alpn, follows, forward, proxy_protocol).prop_map(|(record, caa, alpn, follows, forward, proxy_protocol)| host::Settings {
        forward: forward.iter().map(|text| text.parse().expect("a forward")).collect(),
        proxy_protocol,
        record: record.iter().map(|text| text.parse().expect("a record")).collect(),
        caa: caa.iter().map(|text| text.parse().expect("a property")).collect(),
        alpn: alpn.into_iter().collect(),
        upstream: follows.and_then(|(leader, _)| format!("{leader}.example.net").parse().ok()),
        follows: follows.map(|(leader, _)| leader.into()),
        suffix: follows.map(|(_, suffix)| suffix.parse().expect("a suffix")),
        ..host::Settings::default()
    })
}

fn arbitrary_host() -> impl Strategy<Value = host::Host> {
    let digest = || any::<[u8; 32]>().prop_map(Digest);
    let time = || (0i64..4_000_000_000_000).prop_map(|ms| Timestamp::from_millisecond(ms).expect("time"));
    let address = || any::<u128>().prop_map(Ipv6Addr::from);
    let names = prop::collection::btree_set("[a-z][a-z0-9]{0,9}\\.org".prop_map(|text| text.parse().expect("name")), 0..4);
    let authority = prop::sample::select(vec![AddressFrom::Link, AddressFrom::Static, AddressFrom::Update]);
    let settings = (names, authority, prop::option::of(address()), any::<bool>(), prop::option::of(1u32..86_400));
    let networks = || {
        prop::collection::btree_set(
            (any::<u32>(), 0_u8..=32).prop_map(|(v4, length)| IpNet::new(Ipv4Addr::from(v4).into(), length).expect("net")),
            0..3,
        )
    };
    let via = prop::sample::select(vec![Via::Auto, Via::Home, Via::Gateway]);
    let gateway = (via, any::<(Option<u16>, Option<u16>)>(), any::<(bool, bool)>(), networks(), networks(), any::<Option<u32>>());
    let dns = arbitrary_names();
    let credentials = (digest(), time(), prop::option::of(digest()), prop::option::of(digest()), digest(), prop::option::of(digest()));
    let proven = prop::option::of((address(), time()));
    let updated = prop::option::of((address(), time()));
    let router = prop::option::of((prop::option::of(any::<u32>().prop_map(Ipv4Addr::from)), prop::option::of(address()), time()));
    let challenge = prop::collection::btree_set(any::<String>(), 0..4);
    let before = (prop::option::of(address()), prop::option::of(address()));
    (settings, gateway, dns, credentials, proven, before, updated, router, challenge).prop_map(
        |(settings, gateway, dns, credentials, proven, (before, barred), updated, router, challenge)| {
            let (alias, address_from, address, auto, ttl) = settings;
            let (secret, expires, spent_by, agent, update, proof) = credentials;
            let carrier = if auto { Carrier::Auto } else { Carrier::Direct };
            let (via, (tls, http), (wildcard, redirect), allow, deny, max_connections) = gateway;
            let home_port = host::HomePort { tls, http };
            host::Host {
                settings: host::Settings {
                    alias,
                    address_from,
                    address,
                    carrier,
                    ttl,
                    via,
                    home_port,
                    wildcard,
                    redirect,
                    allow,
                    deny,
                    max_connections,
                    ..dns
                },
                credentials: host::Credentials { join: host::JoinSecret { secret, expires, spent_by }, agent, update, proof },
                proven: proven.map(|(address, since)| host::Proven { address, since }),
                before,
                barred,
                updated: updated.map(|(address, since)| host::Updated { address, since }),
                router: router.map(|(v4, v6, at)| host::Reported { v4, v6, at }),
                challenge,
            }
        },
    )
}

fn zone_key(seed: u8, phase: Phase, (private, digest, since): (Vec<u8>, [u8; 32], i64)) -> ZoneKey {
    let algorithm = if seed.is_multiple_of(2) { Algorithm::EcdsaP256Sha256 } else { Algorithm::Ed25519 };
    let since = Timestamp::from_second(since).expect("time");
    let public = (0..algorithm.public_size()).map(|at| seed.wrapping_add(at as u8)).collect();
    ZoneKey { algorithm, phase, since, public, private: private.into(), digest: Digest(digest) }
}

/// Keys and signatures.
fn arbitrary_signed() -> impl Strategy<Value = (Key, Record)> {
    let zone = || "[a-z]{1,20}\\.org".prop_map(|name| name.parse::<DnsName>().expect("name"));
    let rest = || (prop::collection::vec(any::<u8>(), 0..100), any::<[u8; 32]>(), 0i64..4_000_000_000);
    let keys = (zone(), any::<u8>(), rest(), rest(), rest()).prop_map(|(zone, seed, one, two, three)| {
        let phases =
            [(seed, Phase::Retired, one), (seed.wrapping_add(1), Phase::Active, two), (seed.wrapping_add(20), Phase::Published, three)];
        let keys = ZoneKeys::new(phases.map(|(seed, phase, rest)| zone_key(seed, phase, rest)).into()).expect("one is active");
        (Key::ZoneKeys(zone.clone()), Record::ZoneKeys(zone, Arc::new(keys)))
    });
    let spots =
        vec![Spot::Main, Spot::Twin, Spot::Router, Spot::Challenge, Spot::Wildcard, Spot::Own, Spot::OwnChallenge, Spot::Below("_x._tcp")];
    let entry = (prop::sample::select(spots), any::<(u16, u8, u8, u32, u32)>(), any::<(u32, u16, [u8; 8])>(), any::<[u8; 32]>());
    let unit = prop_oneof![zone().prop_map(Unit::Zone), Just(Unit::Host(parse_host_key(CLOUD).expect("a host")))];
    let signatures = (unit, prop::collection::vec(entry, 0..5)).prop_map(|(unit, entries)| {
        let whole: Vec<[u8; 64]> = entries.iter().map(|(.., half)| std::array::from_fn(|at| half[at / 2])).collect();
        let entries = entries.iter().zip(&whole).map(|((spot, numbers, more, _), signature)| {
            let (kind, algorithm, labels, ttl, inception) = *numbers;
            let (expiration, key_tag, hash) = *more;
            Entry { spot: *spot, kind: Type(kind), algorithm, labels, ttl, inception, expiration, key_tag, hash, signature }
        });
        let signatures = Signatures::new(entries.clone());
        assert!(signatures.iter().eq(entries), "they are kept as they are");
        (Key::Signatures(unit.clone()), Record::Signatures(unit, Arc::new(signatures)))
    });
    prop_oneof![keys, signatures]
}

fn arbitrary_record() -> impl Strategy<Value = (Key, Record)> {
    let name =
        || "([a-f][a-z0-9]{0,20}|@)".prop_map(|label| HostName::new(&label, "dyn.example.org".parse().expect("zone")).expect("host"));
    let zone = ("[a-z]{1,20}\\.org", any::<u32>(), any::<[u8; 32]>()).prop_map(|(name, serial, apex)| {
        let name: DnsName = name.parse().expect("name");
        (Key::Zone(name.clone()), Record::Zone(name, change::Zone { serial: Serial(serial), apex: Digest(apex) }))
    });
    let host = (name(), arbitrary_host()).prop_map(|(name, host)| (Key::Host(name.clone()), Record::Host(name, Arc::new(host))));
    let tombstone = (name(), 0i64..4_000_000_000)
        .prop_map(|(name, at)| (Key::Tombstone(name.clone()), Record::Tombstone(name, Timestamp::from_second(at).expect("time"))));
    let bytes = || prop::collection::vec(any::<u8>(), 0..100);
    let identity = (bytes(), any::<[u8; 32]>(), bytes()).prop_map(|(link_key, reset_key, certificate_key)| {
        (Key::Identity, Record::Identity(Arc::new(change::Identity { link_key, reset_key, certificate_key })))
    });
    let own = || "[a-z]{1,20}\\.org".prop_map(|name| name.parse::<DnsName>().expect("name"));
    let challenge = (own(), prop::collection::btree_set(any::<String>(), 0..4))
        .prop_map(|(name, values)| (Key::Challenge(name.clone()), Record::Challenge(name, Arc::new(values))));
    let account = (any::<String>(), bytes())
        .prop_map(|(url, account)| (Key::Account(url.clone()), Record::Account(url, Arc::new(change::Account(account)))));
    let chain = prop::collection::vec(bytes(), 0..3);
    let certificate = (own(), chain, bytes(), any::<String>(), 0i64..4_000_000_000).prop_map(|(name, chain, key, directory, at)| {
        let at = Timestamp::from_second(at).expect("time");
        let certificate = change::Certificate { chain, key, directory, at };
        (Key::Certificate(name.clone()), Record::Certificate(name, Arc::new(certificate)))
    });
    prop_oneof![zone, host, tombstone, identity, challenge, account, certificate, arbitrary_signed()]
}

proptest! {
    #[test]
    fn every_record_comes_back_as_it_was((key, record) in arbitrary_record()) {
        let (table, text) = place(&key);
        let value = encode(&record).expect("encoded");
        prop_assert_eq!(decode(table, &text, &value), Ok(record));
    }

    #[test]
    fn no_bytes_make_it_panic(key in any::<String>(), value in prop::collection::vec(any::<u8>(), 0..200)) {
        for table in Table::ALL {
            let _ = decode(table, &key, &value);
            let _ = decode(table, &key, &[V1, &value].concat());
        }
    }
}

#[test]
fn the_first_versions_bytes_stay_readable() {
    let (one, two) = (digest(1), digest(2));
    let least = format!(r#"v1 {{"join":{{"secret":"{one}","expires":"2026-01-02T00:00:00Z"}},"update":"{two}"}}"#);
    let Ok(Record::Host(name, host)) = decode(Table::Hosts, CLOUD, least.as_bytes()) else { panic!("no host") };
    assert_eq!((name.dual().as_str(), host.settings.clone()), ("cloud.dyn.example.org", host::Settings::default()));
    let full = format!(
        r#"v1 {{"settings":{{"alias":["owncloud.example.org"],"address-from":"static","address":"2001:db8:1::11","carrier":"direct","ttl":30}},"join":{{"secret":"{one}","expires":"2026-01-02T00:00:00Z","spent-by":"{two}"}},"agent":"{two}","update":"{two}","proven":{{"address":"2001:db8:1::12","since":"2026-01-01T00:00:00Z"}},"challenge":["x"]}}"#
    );
    let record = decode(Table::Hosts, CLOUD, full.as_bytes()).expect("host");
    assert_eq!(String::from_utf8(encode(&record).expect("encoded")), Ok(full));
}

#[test]
fn a_record_of_before_updates_opens_and_one_with_them_reads_as_written() {
    let digest = digest(1);
    let before = format!(
        r#"v1 {{"settings":{{"address-from":"link","carrier":"auto"}},"join":{{"secret":"{digest}","expires":"2026-01-02T00:00:00Z"}},"update":"{digest}","proven":{{"address":"2001:db8:1::12","since":"2026-01-01T00:00:00Z"}}}}"#
    );
    let record = decode(Table::Hosts, CLOUD, before.as_bytes()).expect("host");
    let Record::Host(_, host) = &record else { panic!("no host") };
    assert_eq!((host.updated, host.router), (None, None));
    assert_eq!(String::from_utf8(encode(&record).expect("encoded")), Ok(before), "and is written as it was");
    let with = format!(
        r#"v1 {{"settings":{{"address-from":"update","carrier":"auto"}},"join":{{"secret":"{digest}","expires":"2026-01-02T00:00:00Z"}},"update":"{digest}","updated":{{"address":"2001:db8:1::12","since":"2026-01-01T00:00:00Z"}},"router":{{"v4":"100.64.0.7","v6":"2001:db8:1::12","at":"2026-01-01T00:00:00Z"}}}}"#
    );
    let record = decode(Table::Hosts, CLOUD, with.as_bytes()).expect("host");
    let Record::Host(_, host) = &record else { panic!("no host") };
    assert_eq!(host.home(), "2001:db8:1::12".parse().ok());
    assert_eq!(String::from_utf8(encode(&record).expect("encoded")), Ok(with));
}

#[test]
fn a_record_of_before_these_settings_opens_and_one_with_them_reads_as_written() {
    let digest = digest(1);
    let of = |settings: &str| {
        format!(
            r#"v1 {{"settings":{{"address-from":"link","carrier":"auto"{settings}}},"join":{{"secret":"{digest}","expires":"2026-01-02T00:00:00Z"}},"update":"{digest}"}}"#
        )
    };
    let with = r#","record":["MX 10 mail.example.org.","_dmarc TXT \"v=DMARC1; p=none\""],"caa":["issue letsencrypt.org"],"alpn":["h3","h2","http/1.1"],"follows":"nas","suffix":"::22","upstream":"home.example.net","proxy-protocol":"v2""#;
    for settings in ["", with] {
        let record = decode(Table::Hosts, CLOUD, of(settings).as_bytes()).expect("host");
        let Record::Host(_, host) = &record else { panic!("no host") };
        assert_eq!(
            (host.settings.record.len(), host.settings.caa.len(), host.settings.alpn.len()),
            if settings.is_empty() { (0, 0, 0) } else { (2, 1, 3) }
        );
        assert_eq!(String::from_utf8(encode(&record).expect("encoded")), Ok(of(settings)));
    }
}

#[test]
fn what_is_not_understood_is_named() {
    let good = format!(r#"v1 {{"serial":7,"apex":"{}"}}"#, digest(0));
    assert!(decode(Table::Zones, "dyn.example.org", good.as_bytes()).is_ok());
    for (key, value) in [
        ("dyn.example.org", good.replace("v1", "v2")),
        ("dyn.example.org", good.replace("serial", "cereal")),
        ("dyn.example.org", good.replace("7,", "7,\"later\":1,")),
        ("Dyn.example.org", good.clone()),
        ("dyn..org", good.clone()),
    ] {
        let error = decode(Table::Zones, key, value.as_bytes()).expect_err(&value);
        assert!(error.to_string().starts_with(&format!("record {key:?} in zones: ")), "{error}");
    }
}

#[test]
fn a_damaged_secret_is_not_quoted() {
    let value = r#"v1 {"link-key":"c2VjcmV0","reset-key":5,"cid-key":"hush","certificate-key":""}"#;
    let error = decode(Table::Identity, SELF, value.as_bytes()).expect_err("damaged").to_string();
    assert!(!error.contains("hush") && !error.contains("c2VjcmV0"), "{error}");
}

#[test]
fn keys_and_signatures_are_kept_as_written_here() {
    let public = STANDARD.encode([1; 32]);
    let one = digest(1);
    let keys = format!(
        r#"v1 {{"keys":[{{"algorithm":15,"phase":"active","since":"2026-01-01T00:00:00Z","public":"{public}","private":"aHVzaA==","digest":"{one}"}}]}}"#
    );
    let record = decode(Table::ZoneKeys, "dyn.example.org", keys.as_bytes()).expect("keys");
    assert!(!format!("{record:?}").contains("104") && format!("{record:?}").contains("secret"), "{record:?}");
    assert_eq!(String::from_utf8(encode(&record).expect("encoded")), Ok(keys.clone()));
    for damaged in
        [keys.replace("15,", "8,"), keys.replace(&public, "aHVzaA=="), keys.replace("active", "retired"), keys.replace("aHVzaA", "!aHVzaA")]
    {
        let error = decode(Table::ZoneKeys, "dyn.example.org", damaged.as_bytes()).expect_err("damaged").to_string();
        assert!(!error.contains("aHVzaA"), "{error}");
    }
    let entry = [vec![0, 0, 1, 13, 3], vec![0; 22], vec![5; 64]].concat();
    for (bytes, good) in [(&entry[..], true), (&entry[..90], false), (&[], true), (&[9], false)] {
        let kept = format!(r#"v1 {{"signatures":"{}"}}"#, STANDARD.encode(bytes));
        assert_eq!(decode(Table::Signatures, CLOUD, kept.as_bytes()).is_ok(), good, "{bytes:?}");
    }
}

#[test]
fn a_host_s_signatures_are_read_behind_the_hosts() {
    let at = |table| Table::ALL.iter().position(|other| *other == table);
    assert!(at(Table::Hosts) < at(Table::Signatures));
    assert!(!Table::Signatures.is_of_the_first_version() && !Table::ZoneKeys.is_of_the_first_version(), "a store that lacks them opens");
}
