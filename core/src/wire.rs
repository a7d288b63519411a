//! DNS messages on the wire: a query taken apart, an answer put together.
//!
//! Hand-written, because an authoritative server needs little of the format and must not allocate for it. Only what RFC 1035 §4,
//! RFC 6891 and the answers of one zone ask for: a question is never compressed, and an answer points into its question and
//! nowhere else. Reading is here, writing in [`Writer`]'s file. What is true of which name is `zone`'s, what to say is `answer`'s.

mod canonical;
mod types;
mod writer;

use crate::cookie::ClientCookie;
use crate::name::DnsName;
use crate::reader::Reader;

pub use canonical::Canonical;
pub(crate) use canonical::follow;
pub use types::TypeSet;
pub use writer::{Full, Opt, Suffix, Writer};

/// Every message begins with so much (RFC 1035 §4.1.1); what is shorter has not even an ID to answer to.
pub const HEADER: usize = 12;

/// A name on the wire with its root (RFC 1035 §2.3.4).
pub const NAME_LIMIT: usize = 255;

/// The most labels that fit such a name, the root aside.
pub const LABELS_LIMIT: usize = 127;

/// What an OPT record without options takes.
pub const OPT_SIZE: usize = 11;

/// The header's flag of a response, which is never answered: two servers would talk for ever.
pub(crate) const RESPONSE: u16 = 0x8000;

/// The header's flag of an answer that is whole by TCP only.
pub(crate) const TRUNCATED: u16 = 0x0200;

/// The header's flag by which a client asks for recursion.
pub(crate) const RECURSION_DESIRED: u16 = 0x0100;

/// The option that carries cookies (RFC 7873 §4).
const COOKIE: u16 = 10;

/// The option that says more than a code (RFC 8914 §2).
const EXTENDED_ERROR: u16 = 15;

/// The DO bit of an OPT record's flags (RFC 3225).
const DNSSEC_OK: u32 = 0x8000;

/// A record type, also one that is asked for only (RFC 6895 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type(pub u16);

#[allow(missing_docs, reason = "the registry's own names")]
impl Type {
    pub const A: Self = Self(1);
    pub const NS: Self = Self(2);
    pub const CNAME: Self = Self(5);
    pub const SOA: Self = Self(6);
    pub const PTR: Self = Self(12);
    pub const MX: Self = Self(15);
    pub const TXT: Self = Self(16);
    pub const AAAA: Self = Self(28);
    pub const SRV: Self = Self(33);
    pub const OPT: Self = Self(41);
    pub const DS: Self = Self(43);
    pub const RRSIG: Self = Self(46);
    pub const NSEC: Self = Self(47);
    pub const DNSKEY: Self = Self(48);
    pub const CDS: Self = Self(59);
    pub const CDNSKEY: Self = Self(60);
    pub const HTTPS: Self = Self(65);
    pub const NXNAME: Self = Self(128);
    pub const TKEY: Self = Self(249);
    pub const TSIG: Self = Self(250);
    pub const IXFR: Self = Self(251);
    pub const AXFR: Self = Self(252);
    pub const MAILB: Self = Self(253);
    pub const MAILA: Self = Self(254);
    pub const ANY: Self = Self(255);
    pub const CAA: Self = Self(257);
}

/// The Internet's class, the only one that is served.
pub const CLASS_IN: u16 = 1;

/// The class of what is not there, in an update (RFC 2136 §2.4).
pub const CLASS_NONE: u16 = 254;

/// The class of what is there, whatever it says, in an update; and of a TSIG record.
pub const CLASS_ANY: u16 = 255;

/// The operation that changes a zone (RFC 2136 §1.3).
pub const OPCODE_UPDATE: u16 = 5;

/// How a query went (RFC 6895 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rcode(pub u16);

#[allow(missing_docs, reason = "the registry's own names")]
impl Rcode {
    pub const NOERROR: Self = Self(0);
    pub const FORMERR: Self = Self(1);
    pub const SERVFAIL: Self = Self(2);
    pub const NXDOMAIN: Self = Self(3);
    pub const NOTIMP: Self = Self(4);
    pub const REFUSED: Self = Self(5);
    pub const YXDOMAIN: Self = Self(6);
    pub const YXRRSET: Self = Self(7);
    pub const NXRRSET: Self = Self(8);
    pub const NOTAUTH: Self = Self(9);
    pub const NOTZONE: Self = Self(10);
    pub const BADVERS: Self = Self(16);
}

/// Why, where a code alone leaves it open (RFC 8914 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedError(pub u16);

#[allow(missing_docs, reason = "the registry's own names")]
impl ExtendedError {
    pub const NOT_READY: Self = Self(14);
    pub const PROHIBITED: Self = Self(18);
    pub const NOT_AUTHORITATIVE: Self = Self(20);
    pub const NOT_SUPPORTED: Self = Self(21);
}

/// A query, as far as it could be read.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// To be repeated in the answer.
    pub id: u16,
    flags: u16,
    /// The question, if there is exactly one and it is whole.
    pub question: Option<Question<'a>>,
    /// The OPT record, if there is one and it is whole.
    pub edns: Option<Edns<'a>>,
    /// Whether it has a TSIG record: whoever sent it wants a signed answer, or none.
    pub signed: bool,
    /// Whether the whole message is as a query should be; if not, the answer is FORMERR.
    pub sound: bool,
    /// Whether it has an OPT record and nothing else.
    bare: bool,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// As it came, so that the answer repeats every bit and the case of every letter.
    pub wire: &'a [u8],
    /// The name.
    pub name: Name<'a>,
    /// The type.
    pub kind: Type,
    /// The class.
    pub class: u16,
}

/// What an OPT record says (RFC 6891 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns<'a> {
    /// The largest UDP message that the client takes.
    pub size: u16,
    /// 0, or something that does not exist yet.
    pub version: u8,
    /// Whether the client wants DNSSEC records.
    pub dnssec_ok: bool,
    /// The client's cookie, and the server's that it has, if any (RFC 7873 §4).
    pub cookie: Option<(&'a ClientCookie, &'a [u8])>,
}

/// A whole name on the wire, not compressed, root included. Its labels may hold any byte.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Query<'a> {
    /// Takes `message` apart. `None` where silence is the answer: no whole header, a response, or what is some other
    /// protocol's: an answer to that could go round for ever (CVE-2024-2169).
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(message);
        let (id, flags) = (reader.u16()?, reader.u16()?);
        let counts = Counts { questions: reader.u16()?, answers: reader.u16()?, authority: reader.u16()?, additional: reader.u16()? };
        if flags & RESPONSE != 0 || !counts.are_of_dns(reader.0.len()) {
            return None;
        }
        let mut query = Self { id, flags, question: None, edns: None, signed: false, sound: false, bare: false };
        query.sound = query.body(&mut reader, counts).is_some();
        Some(query)
    }

    /// What shall be done (RFC 6895 §2.2); 0 is a query.
    pub fn opcode(&self) -> u16 {
        (self.flags >> 11) & 0xF
    }

    /// The flags of an answer: opcode and RD are the query's. RA never, since there is no recursion here; AD and CD
    /// are between resolvers, and an authoritative answer leaves them clear (RFC 4035 §3.1.6).
    pub fn answer_flags(&self, authoritative: bool, truncated: bool, rcode: Rcode) -> u16 {
        let kept = self.flags & (0x7800 | RECURSION_DESIRED);
        let truncated = if truncated { TRUNCATED } else { 0 };
        RESPONSE | kept | u16::from(authoritative) << 10 | truncated | (rcode.0 & 0xF)
    }

    /// Whether it asks for nothing but a cookie (RFC 7873 §5.4).
    pub fn is_for_a_cookie(&self) -> bool {
        self.bare && self.edns.is_some_and(|edns| edns.cookie.is_some())
    }

    /// Reads what follows the header, keeping what it finds. `None` if it is not as a query should be.
    fn body(&mut self, reader: &mut Reader<'a>, counts: Counts) -> Option<()> {
        for _ in 0..counts.questions {
            let question = question(reader)?;
            self.question = (counts.questions == 1).then_some(question);
        }
        for _ in 0..u32::from(counts.answers).saturating_add(counts.authority.into()) {
            record(reader)?;
        }
        let mut options = 0_u32;
        for _ in 0..counts.additional {
            let record = record(reader)?;
            if record.kind == Type::OPT {
                self.edns = Some(record.edns()?);
                options = options.saturating_add(1);
            } else if record.kind == Type::TSIG {
                self.signed = true;
            }
        }
        let none = counts.questions == 0 && counts.answers == 0 && counts.authority == 0;
        self.bare = none && counts.additional == 1 && options == 1 && reader.0.is_empty();
        let kind = self.question?.kind;
        // IXFR tells in the authority section which version the client has (RFC 1995 §3); nothing else has records there.
        // Bytes after the last record are counted nowhere and mean nothing; whoever sends them is not understood.
        let records = counts.answers == 0 && (counts.authority == 0 || kind == Type::IXFR);
        (records && options <= 1 && reader.0.is_empty()).then_some(())
    }
}

#[derive(Clone, Copy)]
struct Counts {
    questions: u16,
    answers: u16,
    authority: u16,
    additional: u16,
}

impl Counts {
    /// Whether so many bytes can hold so much, or could before they were cut. The least question is a root, a type and a class; the least
    /// record has a TTL and a length too.
    fn are_of_dns(self, bytes: usize) -> bool {
        let records = [self.answers, self.authority, self.additional].map(u64::from);
        let least = u64::from(self.questions).saturating_mul(5).saturating_add(records.iter().sum::<u64>().saturating_mul(11));
        least <= bytes as u64 || self.questions <= 1 && records.iter().all(|count| *count <= 1)
    }
}

impl<'a> Name<'a> {
    /// Its labels from the left, without the root.
    pub fn labels(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = Reader(self.0);
        std::iter::from_fn(move || match rest.u8()? {
            0 => None,
            length => rest.take(length.into()),
        })
    }

    /// If this name is `zone` or below it: how many labels stand left of the zone, and how many bytes they take.
    pub fn left_of(self, zone: &DnsName) -> Option<(usize, usize)> {
        let left = self.labels().count().checked_sub(zone.labels().count())?;
        let mut ends = self.labels().skip(left).zip(zone.labels());
        let below = ends.all(|(label, of_zone)| label.eq_ignore_ascii_case(of_zone.as_bytes()));
        below.then(|| (left, self.labels().take(left).map(|label| label.len().saturating_add(1)).sum()))
    }

    /// The first `count` labels as text in lower case. A byte that no name of ours has is a `?` there, which none of them has either: a
    /// dot inside a label, above all, must never look like the dot between two.
    pub fn text(self, count: usize, buffer: &mut [u8; NAME_LIMIT]) -> Option<&str> {
        let mut length = 0;
        for (at, label) in self.labels().take(count).enumerate() {
            let dot = if at == 0 { &[][..] } else { b"." };
            for byte in dot.iter().copied().chain(label.iter().map(|byte| plain(*byte))) {
                *buffer.get_mut(length)? = byte;
                length = length.checked_add(1)?;
            }
        }
        std::str::from_utf8(buffer.get(..length)?).ok()
    }
}

/// A byte of a label as our names have it: lower-case, `*` where a wildcard is meant.
fn plain(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'*') { byte.to_ascii_lowercase() } else { b'?' }
}

/// A record, its name left out.
pub(crate) struct Record<'a> {
    pub(crate) of_root: bool,
    pub(crate) kind: Type,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
    pub(crate) data: &'a [u8],
}

impl<'a> Record<'a> {
    /// What it says as an OPT record; `None` if it is a broken one.
    fn edns(&self) -> Option<Edns<'a>> {
        let [_, version, ..] = self.ttl.to_be_bytes();
        let mut options = Reader(self.data);
        let mut cookie = None;
        while !options.0.is_empty() {
            let code = options.u16()?;
            let length = options.u16()?;
            let option = options.take(length.into())?;
            // Of several the first counts (RFC 7873 §5.2).
            // What it means in another version is not known here.
            if code == COOKIE && version == 0 && cookie.is_none() {
                cookie = Some(cookies(option)?);
            }
        }
        self.of_root.then_some(Edns { size: self.class, version, dnssec_ok: self.ttl & DNSSEC_OK != 0, cookie })
    }
}

/// The parts of a COOKIE option; `None` if it is of no length that one can have (RFC 7873 §5.2.2).
fn cookies(option: &[u8]) -> Option<(&ClientCookie, &[u8])> {
    let (client, server) = option.split_first_chunk()?;
    matches!(server.len(), 0 | 8..=32).then_some((client, server))
}

/// A name without compression: the first name of a message has nothing to point to.
fn name<'a>(reader: &mut Reader<'a>) -> Option<Name<'a>> {
    let start = *reader;
    loop {
        match reader.u8()? {
            0 => break,
            length @ 1..=63 => drop(reader.take(length.into())?),
            _ => return None,
        }
    }
    let length = start.0.len().checked_sub(reader.0.len())?;
    (length <= NAME_LIMIT).then_some(())?;
    start.0.get(..length).map(Name)
}

pub(crate) fn question<'a>(reader: &mut Reader<'a>) -> Option<Question<'a>> {
    let start = reader.0;
    let name = name(reader)?;
    let (kind, class) = (Type(reader.u16()?), reader.u16()?);
    let wire = start.get(..start.len().checked_sub(reader.0.len())?)?;
    Some(Question { wire, name, kind, class })
}

pub(crate) fn record<'a>(reader: &mut Reader<'a>) -> Option<Record<'a>> {
    let of_root = reader.0.first() == Some(&0);
    skip_name(reader)?;
    let (kind, class, ttl, length) = (Type(reader.u16()?), reader.u16()?, reader.u32()?, reader.u16()?);
    Some(Record { of_root, kind, class, ttl, data: reader.take(length.into())? })
}

fn skip_name(reader: &mut Reader<'_>) -> Option<()> {
    loop {
        match reader.u8()? {
            0 => return Some(()),
            length @ 1..=63 => drop(reader.take(length.into())?),
            192.. => return reader.u8().map(drop),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests;
