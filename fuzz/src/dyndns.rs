//! An update as routers and clients send it: a line with path and query, and perhaps another with the value of `Authorization`.
//!
//! What is read can be written and read again; a family that nobody mentions stays as it is, whoever asks from where; and an answer
//! is one short line, since clients read its first word and operators have it in their logs.

use std::fmt::{Display, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fourward_core::dyndns::{Credentials, Family, Line, Update, is_update};

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
    let _ = is_update(target);
    match Update::parse(target) {
        Ok(update) => agrees(target, &update),
        Err(malformed) => one_line(&Line::from(malformed)),
    }
}

fn agrees(target: &str, update: &Update) {
    assert!((1..=NAMES).contains(&update.hosts.len()), "{} names", update.hosts.len());
    assert!(update.hosts.iter().all(|name| !name.is_empty() && !name.contains(',')), "{:?}", update.hosts);
    let again = written(update);
    match Update::parse(&again) {
        Ok(again) => assert_eq!(&again, update),
        Err(refused) => assert!(again.len() > LONGEST, "{refused} of what we write ourselves: {again}"),
    }

    let (v4, v6): (IpAddr, IpAddr) = (Ipv4Addr::new(192, 0, 2, 4).into(), Ipv6Addr::LOCALHOST.into());
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let keys: Vec<&str> = query.split('&').map(|one| one.split_once('=').map_or(one, |(key, _)| key)).collect();
    let mentions = |family: &[&str]| family.iter().any(|key| keys.contains(key));
    if !mentions(&["myip", "ip"]) {
        let (four, six) = (mentions(&["myipv4", "ipv4", "ip4"]), mentions(&["myipv6", "ipv6", "ip6"]));
        assert!(four || !six || (update.v4 == Family::Keep && update.addresses(v4).0.is_none()), "IPv4 was not mentioned");
        assert!(six || !four || (update.v6 == Family::Keep && update.addresses(v6).1.is_none()), "IPv6 was not mentioned");
    }
    // Where a request comes from says nothing of the other family.
    assert!(matches!(update.v6, Family::Set(_)) || update.addresses(v4).1.is_none());
    assert!(matches!(update.v4, Family::Set(_)) || update.addresses(v6).0.is_none());
    let (four, six) = update.addresses(v4);
    one_line(&Line::Good(four.into_iter().map(IpAddr::V4).chain(six.map(IpAddr::V6)).collect()));
}

/// A request that says what `update` says.
fn written(update: &Update) -> String {
    let names: Vec<String> = update.hosts.iter().map(|name| encoded(name)).collect();
    let offline = if update.offline { "YES" } else { "NO" };
    format!("/nic/update?offline={offline}&hostname={}&myipv4={}&myipv6={}", names.join(","), said(&update.v4), said(&update.v6))
}

fn said<A: Display>(family: &Family<A>) -> String {
    match family {
        Family::Keep => "preserve".into(),
        Family::Auto => "auto".into(),
        Family::Set(address) => address.to_string(),
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
