//! An update as routers and clients send it: a line with path and query, and perhaps another with the value of `Authorization`.
//!
//! What is read can be written and read again; a family that nobody mentions stays as it is, whoever asks from where; and an answer
//! is one short line, since clients read its first word and operators have it in their logs. What is mended needs no mending. The whole is taken
//! for what an account of acme-dns posts, too: one name and one proof, and whatever is answered is JSON.

use std::fmt::{Display, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fourward_core::change::Word;
use fourward_core::dyndns::{Claim, Credentials, Dialect, Family, Line, Query, Update, is_update, mended};

/// As many names as the protocol has always allowed.
const NAMES: usize = 20;

/// Beyond this a request is refused; to write a name down in full takes thrice its room.
const LONGEST: usize = 8 * 1024;

/// A reason quotes at most one value of the longest request, with each character escaped.
const LONGEST_LINE: usize = LONGEST * 10;

pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (target, authorization) = text.split_once('\n').unwrap_or((&text, ""));
    credentials(authorization);
    mends(format!("GET {target} HTTP/1.0").as_bytes());
    mends(bytes);
    let _ = is_update(target);
    posted(&text);
    let Ok(query) = Query::read(target) else { return };
    if let Some(credentials) = query.credentials() {
        assert!(!credentials.password.is_empty());
        assert!(format!("{credentials:?}").ends_with(", secret)"));
    }
    match query.update() {
        Ok(update) => agrees(target, &update),
        Err(malformed) => one_line(&Line::from(malformed)),
    }
}

fn posted(body: &str) {
    let line = match Update::posted(body) {
        Ok(Update { hosts, txt: Some(txt), claim, apart, offline: false, .. }) => {
            assert!(hosts.len() == 1 && apart.is_empty() && claim == Claim::default());
            assert!(!hosts[0].is_empty() && matches!(txt.as_slice(), [proof] if proof.len() == 43 && proof.is_ascii()), "{txt:?}");
            Line::Proof { value: txt[0].clone(), news: true }
        }
        Ok(update) => panic!("{update:?} is no proof alone"),
        Err(malformed) => Line::from(malformed),
    };
    one_line(&line);
    let said = Dialect::AcmeDns.body(&[line]);
    assert!(serde_json::from_str::<serde_json::Value>(&said).is_ok_and(|said| said.is_object()), "{said}");
}

fn mends(line: &[u8]) {
    let Some(whole) = mended(line) else { return };
    assert!(mended(&whole).is_none());
    assert!(whole.iter().filter(|byte| **byte == b' ').count() == 2 && !whole.iter().any(u8::is_ascii_control));
}

fn agrees(target: &str, update: &Update) {
    assert!(update.hosts.len() <= NAMES, "{} names", update.hosts.len());
    assert!(update.hosts.iter().all(|name| !name.is_empty()), "{:?}", update.hosts);
    assert!(update.txt.is_none() || update.claim == Claim::default(), "a TXT record is all that is meant");
    if update.apart.is_empty() && update.txt.is_none() && update.dialect == Dialect::DynDns {
        let again = written(update);
        match Update::parse(&again) {
            Ok(again) => assert_eq!(&again, update),
            Err(refused) => assert!(again.len() > LONGEST, "{refused} of what we write ourselves: {again}"),
        }
    }

    let (v4, v6): (IpAddr, IpAddr) = (Ipv4Addr::new(192, 0, 2, 4).into(), Ipv6Addr::LOCALHOST.into());
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let mentions = |words: &[&str]| words.iter().any(|word| query.to_ascii_lowercase().contains(word)) || query.contains('%');
    if !mentions(&["ip", "praefix", "prefix", "txt"]) {
        assert_eq!(update.claim, Claim { v4: Family::Auto, v6: Family::Auto, prefix: None }, "nothing was said");
    }
    for name in update.hosts.iter().map(Some).chain([None]) {
        let name = name.map(String::as_str);
        let (by4, by6) = (update.said(name, v4), update.said(name, v6));
        assert!(by4.prefix.is_none_or(|prefix| (16..=64).contains(&prefix.prefix_len())));
        if update.dialect == Dialect::Delete {
            assert!(by4.v4.set().is_none() && by4.v6.set().is_none() && by4.prefix.is_none(), "taken away, and nothing else");
        }
        // Where a request comes from says nothing of the other family.
        assert!(by4.v6 == Word::Keep || by4.v6 == by6.v6);
        assert!(by6.v4 == Word::Keep || by4.v4 == by6.v4);
        let addresses = by4.v4.set().into_iter().map(IpAddr::V4).chain(by4.v6.set().map(IpAddr::V6));
        one_line(&Line::Good(addresses.collect()));
    }
}

/// A request that says what `update` says.
fn written(update: &Update) -> String {
    let names: Vec<String> = update.hosts.iter().map(|name| encoded(name)).collect();
    let Claim { v4, v6, prefix } = &update.claim;
    let offline = if update.offline { "YES" } else { "NO" };
    let prefix = prefix.map(|prefix| match prefix.trunc() {
        net if net == prefix => net.to_string(),
        // As a router and its owner run them together.
        net => format!("{net}::{}", groups(prefix.addr().to_bits() & prefix.hostmask().to_bits())),
    });
    let prefix = prefix.unwrap_or_default();
    let names = names.join(",");
    format!("/nic/update?offline={offline}&hostname={names}&myipv4={}&myipv6={}&ip6lanprefix={prefix}", said(v4), said(v6))
}

/// The seven groups at the end; the first is the network's.
fn groups(bits: u128) -> String {
    (0..7).rev().map(|at| format!("{:x}", (bits >> (at * 16)) & 0xffff)).collect::<Vec<_>>().join(":")
}

fn said<A: Display>(family: &Family<A>) -> String {
    match family {
        Family::Keep => "preserve".into(),
        Family::Auto => "auto".into(),
        Family::Set(address) => address.to_string(),
        Family::Clear => "-".into(),
    }
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "%{byte:02X}");
        text
    })
}

fn one_line(line: &Line) {
    let text = line.to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.len() <= LONGEST_LINE, "{} bytes", text.len());
}

/// What a client says of itself: the password stands where it was given, and nowhere else.
fn credentials(authorization: &str) {
    let Some(credentials) = Credentials::parse(authorization) else { return };
    let user = format!("{:?}", credentials.user);
    let shown = format!("{credentials:?}");
    assert!(shown.starts_with(&format!("Credentials({user}")) && shown.len() < user.len() + 32, "{shown}");
    if credentials.user.is_none() {
        assert!(authorization.contains(&credentials.password));
    }
}
