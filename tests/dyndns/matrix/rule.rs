//! Who there is, which ways lead in, what there is to write; and the one rule of who may write what, as docs/updates.md has it.

use std::collections::BTreeSet;

use crate::machines::ZONE;

use Carrier::{Closed, Open, Tcp, Tls, Udp};
use Part::{Alias, Below, Challenge, Other, Outside, Own, Router, Twin};
use Right::{Account, Forged, Key, Nothing, Password, Wrong};
use Speech::{AcmeDns, Basic, Bearer, DeSec, Delete, Dns, DnsDelete, DynV6, Form, Query, Token};

/// Somebody who asks.
pub(super) struct Principal {
    /// Also that of the key by which it signs, where there is one.
    pub(super) name: &'static str,
    /// As whom: the label of a host.
    pub(super) host: &'static str,
    pub(super) right: Right,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Right {
    /// It says no secret at all.
    Nothing,
    /// What it says is nobody's secret, or is no longer.
    Wrong,
    Password,
    Account,
    /// These types.
    Key(&'static [&'static str]),
    /// It signs in the name of a key that it has not.
    Forged,
}

const fn who(name: &'static str, host: &'static str, right: Right) -> Principal {
    Principal { name, host, right }
}

pub(super) const ALL: &[&str] = &["A", "AAAA", "TXT", "MX", "SRV", "_acme-challenge"];

pub(super) const PRINCIPALS: &[Principal] = &[
    who("nobody", "cloud", Nothing),
    who("a-guess", "cloud", Wrong),
    who("cloud-former-password", "cloud", Wrong),
    who("cloud-former-account", "cloud", Wrong),
    who("cloud-password", "cloud", Password),
    who("nas-password", "nas", Password),
    who("link-password", "link", Password),
    who("apex-password", "@", Password),
    who("cloud-account", "cloud", Account),
    who("link-account", "link", Account),
    who("cloud-all", "cloud", Key(ALL)),
    who("cloud-aaaa", "cloud", Key(&["AAAA"])),
    who("cloud-proof", "cloud", Key(&["_acme-challenge"])),
    who("nas-all", "nas", Key(ALL)),
    who("link-all", "link", Key(ALL)),
    who("apex-all", "@", Key(ALL)),
    who("unknown-key", "cloud", Wrong),
    who(FORGED, "cloud", Forged),
];

/// The one that signs as `cloud-all` by another secret.
pub(super) const FORGED: &str = "forged-cloud-all";

/// What carries a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Carrier {
    Tls,
    /// Plain HTTP, where it is not permitted, and where it is.
    Closed,
    Open,
    Udp,
    Tcp,
}

/// In whose words it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Speech {
    Basic,
    Bearer,
    Token,
    Query,
    Form,
    DeSec,
    DynV6,
    /// nsupdate.info's.
    Delete,
    AcmeDns,
    Dns,
    /// It takes away what there is of a type.
    DnsDelete,
}

/// A way in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way(pub(super) Carrier, pub(super) Speech);

/// What takes away comes after what sets.
pub(super) const WAYS: &[Way] = &[
    Way(Tls, Basic),
    Way(Tls, Bearer),
    Way(Tls, Token),
    Way(Tls, Query),
    Way(Tls, Form),
    Way(Tls, DeSec),
    Way(Tls, DynV6),
    Way(Tls, AcmeDns),
    Way(Tls, Delete),
    Way(Closed, Basic),
    Way(Closed, Query),
    Way(Closed, AcmeDns),
    Way(Udp, Dns),
    Way(Tcp, Dns),
    Way(Udp, DnsDelete),
    Way(Open, Basic),
    Way(Open, Query),
    Way(Open, AcmeDns),
];

impl Way {
    pub(super) fn carries(self, kind: &str) -> bool {
        match self.1 {
            Basic | Bearer | Token | Query | Form | DeSec | DynV6 => ["A", "AAAA", "TXT"].contains(&kind),
            Delete => ["A", "AAAA"].contains(&kind),
            AcmeDns => kind == "TXT",
            Dns | DnsDelete => true,
        }
    }

    pub(super) fn is_dns(self) -> bool {
        matches!(self.1, Dns | DnsDelete)
    }

    fn takes_away(self) -> bool {
        matches!(self.1, Delete | DnsDelete)
    }
}

pub(super) const KINDS: [&str; 7] = ["A", "AAAA", "TXT", "MX", "SRV", "CNAME", "NS"];

/// A name, and what it is of which host.
pub(super) struct Name {
    pub(super) text: &'static str,
    pub(super) host: &'static str,
    part: Part,
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Own,
    Twin,
    Router,
    Challenge,
    /// It begins with an underscore.
    Below,
    Alias,
    /// No host's, but of the zone.
    Other,
    Outside,
}

const fn name(text: &'static str, host: &'static str, part: Part) -> Name {
    Name { text, host, part }
}

pub(super) const NAMES: &[Name] = &[
    name("cloud.dyn.example.org", "cloud", Own),
    name("cloud-ip6only.dyn.example.org", "cloud", Twin),
    name("cloud-router.dyn.example.org", "cloud", Router),
    name("_acme-challenge.cloud.dyn.example.org", "cloud", Challenge),
    name("_dmarc.cloud.dyn.example.org", "cloud", Below),
    name("owncloud.example.org", "cloud", Alias),
    name("_acme-challenge.owncloud.example.org", "", Outside),
    name("nas.dyn.example.org", "nas", Own),
    name("_acme-challenge.nas.dyn.example.org", "nas", Challenge),
    name("link.dyn.example.org", "link", Own),
    name("_acme-challenge.link.dyn.example.org", "link", Challenge),
    name("dyn.example.org", "@", Own),
    name("_acme-challenge.dyn.example.org", "@", Challenge),
    name("gw.dyn.example.org", "", Other),
    name("_acme-challenge.gw.dyn.example.org", "", Other),
    name("absent.dyn.example.org", "", Other),
    name("www.example.net", "", Outside),
];

/// What of a host is at its own name, at its twin, and where its router is.
fn names_of(host: &str) -> [String; 3] {
    match host {
        "@" => ["", "ip6only.", "ip6only-router."].map(|left| format!("{left}{ZONE}")),
        _ => ["", "-ip6only", "-router"].map(|right| format!("{host}{right}.{ZONE}")),
    }
}

/// Whether what is said of where the host is counts.
fn counts(host: &str) -> bool {
    host != "link"
}

/// What is answered, in the words of the way, to whoever may.
fn done(way: Way) -> &'static str {
    match way.1 {
        Dns | DnsDelete => "NOERROR",
        AcmeDns => "200 txt",
        Delete => "200 deleted",
        DynV6 => "200 addresses updated",
        Basic | Bearer | Token | Query | Form | DeSec => "200 good",
    }
}

/// Whether `who` may write the `kind` at `name` by `way`.
pub(super) fn may(who: &Principal, way: Way, name: &Name, kind: &str) -> bool {
    answer(who, way, name, kind) == done(way)
}

/// The rule: what `who` is answered.
pub(super) fn answer(who: &Principal, way: Way, name: &Name, kind: &str) -> &'static str {
    if way.is_dns() { by_dns(who, way, name, kind) } else { by_http(who, way, name, kind) }
}

fn by_dns(who: &Principal, way: Way, name: &Name, kind: &str) -> &'static str {
    let types = match who.right {
        Nothing => return "REFUSED",
        Forged => return "BADSIG",
        Wrong | Password | Account => return "BADKEY",
        Key(types) => types,
    };
    let right = match (name.part, kind) {
        (Own, "A" | "AAAA" | "TXT" | "MX" | "SRV") | (Below, "TXT" | "MX" | "SRV") => kind,
        // Nobody's at the zone itself: it would prove every host.
        (Challenge, "TXT") if name.host != "@" => "_acme-challenge",
        (Outside | Alias, _) => return "NOTZONE",
        _ => return "REFUSED",
    };
    if who.host == name.host && types.contains(&right) { done(way) } else { "REFUSED" }
}

fn by_http(who: &Principal, way: Way, name: &Name, kind: &str) -> &'static str {
    let txt = kind == "TXT";
    let strict = matches!(way.1, DeSec | DynV6);
    let (refused, unknown) = match way.1 {
        AcmeDns => ("401 forbidden", "401 forbidden"),
        _ => ("401 badauth", if strict { "404 nohost" } else { "200 nohost" }),
    };
    match way {
        Way(Closed, AcmeDns) => return "403 forbidden",
        Way(Closed, _) => return "403 badagent",
        Way(Open, Query) if who.right != Nothing => return "403 badagent",
        _ => {}
    }
    let meant = match name.part {
        Own | Twin | Router | Alias if !txt || way.1 == AcmeDns => name.host,
        Challenge if txt && name.host != "@" => name.host,
        _ => "",
    };
    // Where no user is said, it is the name that says whose the password should be.
    let says_user = !matches!(way.1, Bearer | Token | Form | DynV6);
    let known = matches!(who.right, Password | Account) && (says_user || meant == who.host);
    if !known {
        return refused;
    }
    if meant != who.host {
        return unknown;
    }
    let right = if txt { who.host != "@" && (counts(who.host) || who.right == Account) } else { who.right == Password };
    match (right, way.1) {
        (true, _) => done(way),
        (false, AcmeDns) => "401 forbidden",
        (false, _) if strict => "400 dnserr",
        (false, _) => "200 dnserr",
    }
}

/// What the zone has, a record in each line.
pub(super) type Zone = BTreeSet<String>;

/// Values at the challenge of a host at once that came by HTTP.
const PROOFS: usize = 8;

/// Writes what is permitted into the model of the zone. `proofs` has what is at the challenge of the host, the oldest first.
pub(super) fn write(zone: &mut Zone, proofs: &mut Vec<String>, way: Way, name: &Name, kind: &str, data: &str) {
    let [own, twin, router] = names_of(name.host);
    let ttl = |owner: &str| if owner.starts_with("_acme-challenge.") { 1 } else { 60 };
    let line = |owner: &str| format!("{owner}. {} IN {kind} {data}", ttl(owner));
    let proof = format!("_acme-challenge.{own}");
    let (owners, alone) = match (kind, way.1) {
        // The gateway's.
        ("A", Dns | DnsDelete) => (vec![], true),
        ("A", _) => (vec![router], true),
        ("AAAA", _) if counts(name.host) => (vec![own, twin, router], true),
        ("AAAA", _) => (vec![router], true),
        ("TXT", Dns | DnsDelete) if name.part != Challenge => (vec![name.text.to_owned()], false),
        ("TXT", _) => (vec![proof], false),
        _ => (vec![name.text.to_owned()], false),
    };
    for owner in owners {
        if alone || way.takes_away() {
            zone.retain(|line| !line.starts_with(&format!("{owner}. {} IN {kind} ", ttl(&owner))));
        }
        if !way.takes_away() {
            zone.insert(line(&owner));
        }
        if owner.starts_with("_acme-challenge.") {
            proofs.push(line(&owner));
            if way.1 != Dns && proofs.len() > PROOFS {
                zone.remove(&proofs.remove(0));
            }
        }
    }
}
