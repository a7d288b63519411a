//! A record that a host's owner sets: TXT, SRV and MX, written as in a master file (RFC 1035 §5.1).
//!
//! `[NAME] [IN] TYPE DATA`, the name relative to the host's, absent or `@` for the host's own. A name in the data is relative too unless it
//! ends with a dot. Who may have which name is for the state to say, which knows the host; which bytes go on the wire is `answer`'s.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::token::{Token, quoted, tokens};
use crate::name::DnsName;

/// The longest string of a TXT record (RFC 1035 §3.3); a longer one is written as several, which is what readers make of them anyway.
const STRING_LIMIT: usize = 255;

/// The most that a record may take: more than any key or policy, and a tenth of what TCP carries.
const DATA_LIMIT: usize = 4096;

/// Where ACME looks for the proof of a name.
const CHALLENGE: &str = "_acme-challenge";

/// Said of a number where a name or a type belongs.
const NO_TTL: &str = "leave the TTL out: it is the host's (ttl=…)";

/// A record of a host's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostRecord {
    /// What stands in front of the host's name; nothing for the host's own.
    pub owner: Option<DnsName>,
    /// What it says.
    pub data: RecordData,
}

/// The types that a host's record may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Text.
    Txt,
    /// Where a service is.
    Srv,
    /// Who takes mail.
    Mx,
}

/// What a host's record says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordData {
    /// Strings, each behind its length, as on the wire (RFC 1035 §3.3.14).
    Txt(Box<[u8]>),
    /// Where a service is (RFC 2782).
    Srv {
        /// Lower ones come first.
        priority: u16,
        /// How often it is chosen among equals.
        weight: u16,
        /// The port.
        port: u16,
        /// The machine.
        target: Target,
    },
    /// Who takes mail (RFC 1035 §3.3.9).
    Mx {
        /// Lower ones come first.
        preference: u16,
        /// The machine.
        exchange: Target,
    },
}

/// A name in a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The root: there is no such service (RFC 2782), and no mail (RFC 7505).
    Nowhere,
    /// The host itself, or this below it.
    Host(Option<DnsName>),
    /// A whole name.
    Name(DnsName),
}

impl HostRecord {
    /// Bytes that it takes, its name included.
    pub fn size(&self) -> usize {
        self.owner.as_ref().map_or(0, |owner| owner.as_str().len()).saturating_add(self.data.size())
    }
}

impl RecordData {
    /// Its type.
    pub fn kind(&self) -> RecordKind {
        match self {
            Self::Txt(_) => RecordKind::Txt,
            Self::Srv { .. } => RecordKind::Srv,
            Self::Mx { .. } => RecordKind::Mx,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Txt(strings) => strings.len(),
            Self::Srv { target: name, .. } | Self::Mx { exchange: name, .. } => match name {
                Target::Nowhere | Target::Host(None) => 8,
                Target::Host(Some(name)) | Target::Name(name) => name.as_str().len().saturating_add(8),
            },
        }
    }
}

/// The types that may be set, and what to do instead for those that people try.
fn type_of(word: &str) -> Option<Result<RecordKind, &'static str>> {
    Some(match word.to_ascii_uppercase().as_str() {
        "TXT" => Ok(RecordKind::Txt),
        "SRV" => Ok(RecordKind::Srv),
        "MX" => Ok(RecordKind::Mx),
        "A" => Err("the A of a host is the gateway's, which carries IPv4 home; for another machine, add a host"),
        "AAAA" => {
            Err("the AAAA of a host is where it lives: set it by address-from, or add another machine as a host of its own (follows=…)")
        }
        "CNAME" => {
            Err("a name with a CNAME can have nothing else, and a host has its addresses; at another domain, a CNAME to the host is right")
        }
        "NS" | "DS" => Err("a name server for a part of the zone would take it out of this server's hands; add a host instead"),
        "SOA" | "DNSKEY" | "RRSIG" | "NSEC" | "NSEC3" | "CDS" | "CDNSKEY" => Err("the zone's own records are made here"),
        "CAA" => Err("write caa=…, like caa=\"issue letsencrypt.org\""),
        "HTTPS" | "SVCB" => Err("write alpn=…, like alpn=h2,http/1.1"),
        "SPF" => Err("nobody asks for SPF any more (RFC 7208 §3.1): write it as TXT"),
        "PTR" | "DNAME" | "NAPTR" | "SSHFP" | "TLSA" | "HINFO" | "LOC" | "URI" => Err("only TXT, SRV and MX can be set"),
        _ => return None,
    })
}

impl FromStr for HostRecord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let tokens = tokens(text)?;
        let mut rest = tokens.as_slice();
        let is_type = |token: Option<&Token>| token.and_then(Token::word).and_then(type_of);
        // A name may be called like a type; a text may say one.
        let is_class = |token: Option<&Token>| token.and_then(Token::word).is_some_and(|word| word.eq_ignore_ascii_case("IN"));
        let has_name = match (is_type(rest.first()), is_type(rest.get(1))) {
            // What is called like the class says it twice.
            (None, second) => !(is_class(rest.first()) && second.is_some()),
            (Some(kind), second) => kind != Ok(RecordKind::Txt) && second.is_some(),
        };
        let owner = match rest {
            [first, after @ ..] if has_name => {
                rest = after;
                owner_of(first)?
            }
            _ => None,
        };
        if let [first, after @ ..] = rest
            && is_class(Some(first))
        {
            rest = after;
        }
        let [kind, data @ ..] = rest else { return Err(expected()) };
        if kind.word().is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(NO_TTL.into());
        }
        let kind = is_type(Some(kind)).ok_or_else(expected)??;
        let data = match (kind, data) {
            (RecordKind::Txt, strings @ [_, ..]) => RecordData::Txt(txt(strings)?),
            (RecordKind::Srv, [priority, weight, port, name]) => {
                let target = target(name)?;
                RecordData::Srv { priority: number(priority)?, weight: number(weight)?, port: number(port)?, target }
            }
            (RecordKind::Mx, [preference, name]) => RecordData::Mx { preference: number(preference)?, exchange: target(name)? },
            (RecordKind::Srv, _) => return Err("expected SRV PRIORITY WEIGHT PORT TARGET, like SRV 0 5 5222 @ (the host itself)".into()),
            (RecordKind::Mx, _) => return Err("expected MX PREFERENCE NAME, like MX 10 mail.example.org.".into()),
            _ => return Err("expected TXT and a text in quotes, like TXT \"v=spf1 -all\"".into()),
        };
        Ok(Self { owner, data })
    }
}

fn expected() -> String {
    "expected [NAME] TYPE DATA with the type TXT, SRV or MX, like TXT \"v=spf1 -all\" or _xmpp-client._tcp SRV 0 5 5222 @".into()
}

fn owner_of(token: &Token) -> Result<Option<DnsName>, String> {
    let Some(word) = token.word() else { return Err(expected()) };
    if word == "@" {
        return Ok(None);
    }
    if word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NO_TTL.into());
    }
    if word.ends_with('.') {
        return Err(format!("\"{word}\": names stand below the host: leave the host's own name and the last dot out, or write @ for it"));
    }
    let owner: DnsName = word.parse().map_err(|error| format!("{error}"))?;
    if owner.labels().any(|label| label == CHALLENGE) {
        return Err(format!(
            "{CHALLENGE} proves names to authorities, and comes and goes: an ACME client sets it with the host's own credential, never record="
        ));
    }
    Ok(Some(owner))
}

/// A name in the data. A relative one of several parts is mostly a whole one without its dot, and would silently lead astray.
fn target(token: &Token) -> Result<Target, String> {
    let Some(word) = token.word() else { return Err("a name stands without quotes".into()) };
    let name = |text: &str| text.parse::<DnsName>().map_err(|error| format!("{error}"));
    match (word, word.strip_suffix('.')) {
        ("@", _) => Ok(Target::Host(None)),
        (".", _) => Ok(Target::Nowhere),
        (_, Some(whole)) => Ok(Target::Name(name(whole)?)),
        (_, None) if word.contains('.') => {
            Err(format!("\"{word}\" would stand below the host: end a whole name with a dot ({word}.), and write @ for the host itself"))
        }
        (_, None) => Ok(Target::Host(Some(name(word)?))),
    }
}

fn number(token: &Token) -> Result<u16, String> {
    let word = token.word().unwrap_or_default();
    word.parse().map_err(|_| format!("\"{word}\" is no number from 0 to 65535"))
}

fn txt(tokens: &[Token]) -> Result<Box<[u8]>, String> {
    let mut wire = Vec::new();
    for token in tokens {
        let whole: &[u8] = &token.bytes;
        let empty = whole.is_empty().then_some(whole);
        for string in whole.chunks(STRING_LIMIT).chain(empty) {
            wire.push(u8::try_from(string.len()).map_err(|_| expected())?);
            wire.extend_from_slice(string);
        }
    }
    if wire.len() > DATA_LIMIT {
        return Err(format!("that text takes {} bytes; {DATA_LIMIT} is the most", wire.len()));
    }
    Ok(wire.into())
}

impl fmt::Display for HostRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(owner) = &self.owner {
            // One that is called like the class would be read as it.
            let class = if owner.as_str() == "in" { "IN " } else { "" };
            write!(f, "{owner} {class}")?;
        }
        match &self.data {
            RecordData::Txt(wire) => {
                f.write_str("TXT")?;
                strings(wire).try_for_each(|string| write!(f, " {}", quoted(string)))
            }
            RecordData::Srv { priority, weight, port, target } => write!(f, "SRV {priority} {weight} {port} {target}"),
            RecordData::Mx { preference, exchange } => write!(f, "MX {preference} {exchange}"),
        }
    }
}

/// The strings of a TXT record.
fn strings(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = crate::reader::Reader(wire);
    std::iter::from_fn(move || rest.u8().and_then(|length| rest.take(length.into())))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => f.write_str("."),
            Self::Host(None) => f.write_str("@"),
            Self::Host(Some(below)) => write!(f, "{below}"),
            Self::Name(name) => write!(f, "{name}."),
        }
    }
}

impl TryFrom<String> for HostRecord {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<HostRecord> for String {
    fn from(record: HostRecord) -> String {
        record.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> Result<String, String> {
        text.parse::<HostRecord>().map(|record| record.to_string())
    }

    #[test]
    fn a_record_is_written_as_in_a_master_file() {
        #[rustfmt::skip]
        let table = [
            (r#"TXT "v=spf1 -all""#, r#"TXT "v=spf1 -all""#),
            (r#"txt v=spf1"#, r#"TXT "v=spf1""#),
            (r#"@ IN TXT "a" b"#, r#"TXT "a" "b""#),
            (r#"TXT """#, r#"TXT """#),
            (r#"TXT "say \"hi\" \\ \065\010;""#, r#"TXT "say \"hi\" \\ A\010;""#),
            (r#"_DMARC in TXT "v=DMARC1; p=none""#, r#"_dmarc TXT "v=DMARC1; p=none""#),
            ("TXT \"ä\"", r#"TXT "\195\164""#),
            ("_xmpp-client._tcp SRV 0 5 5222 cloud.dyn.example.org.", "_xmpp-client._tcp SRV 0 5 5222 cloud.dyn.example.org."),
            ("_xmpp-client._tcp SRV 0 5 5222 @", "_xmpp-client._tcp SRV 0 5 5222 @"),
            ("_imap._tcp\tSRV  0 0 0 .", "_imap._tcp SRV 0 0 0 ."),
            ("MX 10 Mail.Example.org.", "MX 10 mail.example.org."),
            ("MX 0 .", "MX 0 ."),
            ("lists MX 10 mail", "lists MX 10 mail"),
            ("a MX 10 mail", "a MX 10 mail"),
            ("mx MX 10 mail", "mx MX 10 mail"),
            ("TXT MX", "TXT \"MX\""),
            (r#"IN TXT "x""#, r#"TXT "x""#),
            ("in MX 10 mail", "MX 10 mail"),
            (r#"in IN TXT "x""#, r#"in IN TXT "x""#),
            ("IN in mx 10 mail", "in IN MX 10 mail"),
            (r#"in.x TXT "x""#, r#"in.x TXT "x""#),
        ];
        for (text, expected) in table {
            assert_eq!(written(text).as_deref(), Ok(expected), "{text}");
            assert_eq!(written(expected).as_deref(), Ok(expected), "what is shown can be typed");
        }
    }

    #[test]
    fn a_long_text_is_several_strings() {
        let RecordData::Txt(wire) = format!("TXT \"{}\"", "x".repeat(300)).parse::<HostRecord>().expect("a record").data else {
            panic!("TXT")
        };
        assert_eq!((wire.len(), wire[0], wire[256]), (302, 255, 45));
        assert!(written(&format!("TXT \"{}\"", "x".repeat(DATA_LIMIT))).is_err());
    }

    #[test]
    fn what_cannot_be_set_is_refused_with_what_to_do_instead() {
        #[rustfmt::skip]
        let table = [
            ("", "expected [NAME] TYPE"), ("@", "expected [NAME] TYPE"), ("www", "expected [NAME] TYPE"), ("www XYZ 1", "expected [NAME] TYPE"),
            ("A 192.0.2.1", "the gateway's"), ("www A 192.0.2.1", "add a host"), ("AAAA ::1", "address-from"), ("www CNAME x.", "CNAME"),
            ("sub NS ns.", "name server"), ("CAA 0 issue \"x\"", "caa="), ("HTTPS 1 .", "alpn="), ("TLSA 3 1 1 00", "only TXT, SRV and MX"),
            ("_acme-challenge TXT x", "ACME client"), ("_Acme-Challenge.x TXT x", "ACME client"),
            ("a.b. TXT x", "last dot"), ("* TXT x", "'*'"), ("a..b TXT x", "empty"), ("\"a\" TXT x", "expected"), ("-a TXT x", "hyphen"),
            ("TXT", "in quotes"), ("TXT \"open", "quote"), ("TXT v=DMARC1; p=none", "\";\""), ("TXT (a", "\"(\""), (r"TXT a\25", "\\DDD"), (r"TXT \256", "\\DDD"), ("TXT a\\", "\\DDD"),
            ("60 TXT x", "TTL"), ("www 60 TXT x", "TTL"), ("www IN 60 TXT x", "TTL"),
            ("SRV 0 5 5222", "SRV PRIORITY"), ("SRV 0 5 70000 @", "70000"), ("SRV 0 5 5222 \"a\"", "quotes"),
            ("MX 10", "MX PREFERENCE"), ("MX x a.", "\"x\""), ("MX 10 mail.example.org", "mail.example.org."), ("MX 10 192.0.2.1.", "address"),
        ];
        for (text, reason) in table {
            let refusal = written(text).expect_err(text);
            assert!(refusal.contains(reason), "{text}: {refusal}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_understood_is_shown_as_what_it_is(text in "[ -~]{0,40}|(@ |[a-c_]{1,3} )?([Ii][Nn] ){0,2}(TXT( \"([ !#-\\[\\]-~]|\\\\\"|\\\\[0-2][0-5][0-5]){0,9}\"){1,3}|MX [0-9]{1,3} [a-c.@]{1,4})") {
            if let Ok(record) = text.parse::<HostRecord>() {
                prop_assert_eq!(record.to_string().parse(), Ok(record));
            }
        }

        #[test]
        fn any_bytes_can_be_said(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let record = HostRecord { owner: None, data: RecordData::Txt(txt(&[Token { bytes, in_quotes: true }]).expect("short")) };
            prop_assert_eq!(record.to_string().parse(), Ok(record));
        }
    }
}
