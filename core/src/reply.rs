//! DNS from the asking side: a question put together, and what a server answers to it taken apart.
//!
//! `wire` reads what strangers ask of us; here is what we ask of others. A reply comes from a machine that nobody vouches for: it
//! is bounded in bytes, records and jumps, and each pointer leads strictly backwards. Names that are no host names are kept as
//! absent, since nobody here can mean them; they spoil no reply. No DNSSEC: nothing that is learned here is trusted with more
//! than a connection.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::dnssec::Ds;
use crate::name::DnsName;
use crate::reader::Reader;
use crate::wire::{CLASS_IN, RECURSION_DESIRED, RESPONSE, Rcode, Type, follow};

/// What a datagram can be, and what TCP's length can say (RFC 1035 §4.2.2).
pub const REPLY_LIMIT: usize = 65_535;

/// The datagram that passes everywhere unfragmented (DNS flag day 2020).
pub const UDP_SIZE: u16 = 1_232;

/// Far more than any set of records that we ask for.
const RECORD_LIMIT: usize = 1_024;

/// RFC 2181 §8: a TTL with the highest bit set is 0.
const LONGEST_TTL: u32 = 0x7FFF_FFFF;

/// A question of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name.
    pub name: DnsName,
    /// The type.
    pub kind: Type,
    /// Whether the server shall ask others for us (RD): yes of a resolver, no of whoever is to know by itself.
    pub recursion: bool,
}

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The ID of the query that it answers.
    pub id: u16,
    /// What it repeats of the question; nothing where it did not understand it.
    pub question: Option<(DnsName, Type)>,
    /// Whether it speaks for the zone itself (AA).
    pub authoritative: bool,
    /// Whether there was more than fits (TC); of the sections, what was whole is there.
    pub truncated: bool,
    /// Whether it asks others for its clients (RA).
    pub recursion_available: bool,
    /// How it went, with the upper bits of the OPT record.
    pub rcode: Rcode,
    /// The answer.
    pub answer: Vec<Record>,
    /// Who knows more, or since when there is nothing (SOA).
    pub authority: Vec<Record>,
    /// What else may be of use: addresses of name servers. The OPT record is not in it.
    pub additional: Vec<Record>,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose; `None` where that is no host name (the root among them).
    pub owner: Option<DnsName>,
    /// The type.
    pub kind: Type,
    /// The class.
    pub class: u16,
    /// For how many seconds it may be kept.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// The name that it is another name of.
    Cname(DnsName),
    /// A name server.
    Ns(DnsName),
    /// The start of a zone.
    Soa(Soa),
    /// Strings.
    Txt(Vec<Vec<u8>>),
    /// What a zone says of a key of one below it.
    Ds(Ds),
    /// A key of the zone, as it stands there (RFC 4034 §2.1).
    Dnskey(Vec<u8>),
    /// Any other type or class, or a name that is no host name.
    Other,
}

/// The start of a zone, without its mailbox and the times of its secondaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Soa {
    /// The primary name server, where that is a host name.
    pub primary: Option<DnsName>,
    /// The version.
    pub serial: u32,
    /// For how many seconds it may be kept that there is nothing (RFC 2308 §4).
    pub minimum: u32,
}

/// Where a chain of CNAMEs leads, as far as a reply tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its last name.
    pub end: DnsName,
    /// How many CNAMEs lead there.
    pub links: usize,
    /// For how many seconds all of them may be kept; the longest there is where there are none.
    pub ttl: u32,
}

/// Why bytes are not taken for a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// The ID or the question is another's, or it is no response at all.
    #[error("it answers another question")]
    Foreign,
    /// It breaks off, points forwards, or has more than it may.
    #[error("it is no DNS message")]
    Broken,
}

impl Question {
    /// The message that asks, called `id`, with an OPT record for [`UDP_SIZE`].
    pub fn message(&self, id: u16) -> Vec<u8> {
        let flags = if self.recursion { RECURSION_DESIRED } else { 0 };
        let mut message = Vec::with_capacity(300);
        for word in [id, flags, 1, 0, 0, 1] {
            message.extend(word.to_be_bytes());
        }
        for label in self.name.labels() {
            // A name's labels have at most 63 bytes.
            message.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
            message.extend(label.as_bytes());
        }
        message.push(0);
        for word in [self.kind.0, CLASS_IN] {
            message.extend(word.to_be_bytes());
        }
        message.push(0);
        for word in [Type::OPT.0, UDP_SIZE, 0, 0, 0] {
            message.extend(word.to_be_bytes());
        }
        message
    }

    /// What `message` says to this question, asked as `id`.
    ///
    /// # Errors
    /// It answers something else, or is no message.
    pub fn reply(&self, id: u16, message: &[u8]) -> Result<Reply, ReplyError> {
        // Before the rest is looked at: a stranger's datagram shall cost no more than this.
        let [high, low, flags, ..] = *message else { return Err(ReplyError::Foreign) };
        if u16::from_be_bytes([high, low]) != id || u16::from(flags) << 8 & RESPONSE == 0 {
            return Err(ReplyError::Foreign);
        }
        let reply = Reply::parse(message).ok_or(ReplyError::Broken)?;
        match &reply.question {
            Some((name, kind)) if *name == self.name && *kind == self.kind => Ok(reply),
            // Whoever does not understand a query need not repeat it (RFC 6895 §2.1 wants it, old servers differ).
            None if !matches!(reply.rcode, Rcode::NOERROR | Rcode::NXDOMAIN) => Ok(reply),
            _ => Err(ReplyError::Foreign),
        }
    }
}

impl Reply {
    /// Takes `message` apart, whatever it answers. `None` where it is no response of at most [`REPLY_LIMIT`] bytes.
    pub fn parse(message: &[u8]) -> Option<Self> {
        (message.len() <= REPLY_LIMIT).then_some(())?;
        let mut parser = Parser { message, rest: Reader(message), records: 0, extended: 0 };
        let (id, flags) = (parser.rest.u16()?, parser.rest.u16()?);
        let [questions, answers, authorities, additionals] =
            [parser.rest.u16()?, parser.rest.u16()?, parser.rest.u16()?, parser.rest.u16()?];
        (flags & RESPONSE != 0 && questions <= 1).then_some(())?;
        let question = if questions == 1 { parser.question()? } else { None };
        // An unreadable question is another one than any of ours; only none at all may be an error's.
        (questions == 0 || question.is_some()).then_some(())?;
        let truncated = flags & 0x0200 != 0;
        let mut section = |count| parser.section(count, truncated);
        let (answer, authority, additional) = (section(answers)?, section(authorities)?, section(additionals)?);
        Some(Self {
            id,
            question,
            authoritative: flags & 0x0400 != 0,
            truncated,
            recursion_available: flags & 0x0080 != 0,
            rcode: Rcode(parser.extended << 4 | flags & 0xF),
            answer,
            authority,
            additional,
        })
    }

    /// Follows the answer's CNAMEs from `name`, at most `links` of them. `None` where they are more, or lead in a circle.
    pub fn chain(&self, name: &DnsName, links: usize) -> Option<Chain> {
        let mut chain = Chain { end: name.clone(), links: 0, ttl: LONGEST_TTL };
        let next = |of: &DnsName| {
            self.answer.iter().find_map(|record| match &record.data {
                Data::Cname(target) if record.owner.as_ref() == Some(of) => Some((target, record.ttl)),
                _ => None,
            })
        };
        while let Some((target, ttl)) = next(&chain.end) {
            if chain.links == links {
                return None;
            }
            chain = Chain { end: target.clone(), links: chain.links.saturating_add(1), ttl: chain.ttl.min(ttl) };
        }
        Some(chain)
    }

    /// For how many seconds it may be kept that there is nothing: the SOA record's TTL or minimum, whichever is shorter
    /// (RFC 2308 §5). `None` where the server does not say.
    pub fn negative_ttl(&self) -> Option<u32> {
        self.authority.iter().find_map(|record| match &record.data {
            Data::Soa(soa) => Some(soa.minimum.min(record.ttl)),
            _ => None,
        })
    }
}

/// A message half read.
struct Parser<'a> {
    message: &'a [u8],
    rest: Reader<'a>,
    records: usize,
    /// The upper bits of the rcode.
    extended: u16,
}

impl Parser<'_> {
    /// The question; `Some(None)` where nobody here can have asked it.
    fn question(&mut self) -> Option<Option<(DnsName, Type)>> {
        let name = self.name()?;
        let (kind, class) = (Type(self.rest.u16()?), self.rest.u16()?);
        Some(name.filter(|_| class == CLASS_IN).map(|name| (name, kind)))
    }

    /// `count` records. Where the message is `truncated`, as many as are whole.
    fn section(&mut self, count: u16, truncated: bool) -> Option<Vec<Record>> {
        let mut records = Vec::new();
        for _ in 0..count {
            self.records = self.records.saturating_add(1);
            (self.records <= RECORD_LIMIT).then_some(())?;
            match self.record() {
                // Its fields mean something else; its TTL is none.
                Some(Record { kind: Type::OPT, ttl, .. }) => self.extended = u16::from(ttl.to_be_bytes().first().copied()?),
                Some(record) => records.push(record),
                None if truncated => {
                    self.rest = Reader(&[]);
                    break;
                }
                None => return None,
            }
        }
        Some(records)
    }

    fn record(&mut self) -> Option<Record> {
        let owner = self.name()?;
        let (kind, class, ttl, length) = (Type(self.rest.u16()?), self.rest.u16()?, self.rest.u32()?, self.rest.u16()?);
        let mut after = self.rest;
        after.take(length.into())?;
        let data = if class == CLASS_IN { self.data(kind, length.into(), after.0.len())? } else { Data::Other };
        self.rest = after;
        let ttl = if kind != Type::OPT && ttl > LONGEST_TTL { 0 } else { ttl };
        Some(Record { owner, kind, class, ttl, data })
    }

    /// What stands in the next `length` bytes, after which `after` remain. Names may point before them, never end beyond them.
    fn data(&mut self, kind: Type, length: usize, after: usize) -> Option<Data> {
        let named = |name: Option<DnsName>, data: fn(DnsName) -> Data| name.map_or(Data::Other, data);
        let data = match kind {
            Type::A => Data::A(<[u8; 4]>::try_from(self.rest.take(length)?).ok()?.into()),
            Type::AAAA => Data::Aaaa(<[u8; 16]>::try_from(self.rest.take(length)?).ok()?.into()),
            Type::CNAME => named(self.name()?, Data::Cname),
            Type::NS => named(self.name()?, Data::Ns),
            Type::SOA => Data::Soa(self.soa()?),
            Type::DS => Data::Ds(Ds {
                tag: self.rest.u16()?,
                algorithm: self.rest.u8()?,
                digest_type: self.rest.u8()?,
                digest: self.rest.take(length.checked_sub(4)?)?.to_vec(),
            }),
            Type::DNSKEY => Data::Dnskey(self.rest.take(length)?.to_vec()),
            Type::TXT => Data::Txt(strings(Reader(self.rest.take(length)?))?),
            _ => return Some(Data::Other),
        };
        (self.rest.0.len() == after).then_some(data)
    }

    fn soa(&mut self) -> Option<Soa> {
        let primary = self.name()?;
        self.name()?; // the mailbox
        let serial = self.rest.u32()?;
        self.rest.take(12)?; // refresh, retry, expire
        Some(Soa { primary, serial, minimum: self.rest.u32()? })
    }

    /// The next name, wherever it points; `Some(None)` where it is no host name.
    fn name(&mut self) -> Option<Option<DnsName>> {
        let mut text = Some(String::new());
        follow(self.message, &mut self.rest, |label| text = text.take().and_then(|text| extended(text, label)))?;
        Some(text.and_then(|text| text.parse().ok()))
    }
}

/// `text` with `label` behind it. `None` where that has a byte which must not be mistaken for another (a dot, above all).
fn extended(mut text: String, label: &[u8]) -> Option<String> {
    let plain = label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let label = std::str::from_utf8(label).ok().filter(|_| plain)?;
    if !text.is_empty() {
        text.push('.');
    }
    text.push_str(label);
    Some(text)
}

fn strings(mut rest: Reader<'_>) -> Option<Vec<Vec<u8>>> {
    let mut strings = Vec::new();
    while !rest.0.is_empty() {
        strings.push(rest.vec8()?.0.to_vec());
    }
    Some(strings)
}

#[cfg(test)]
mod tests;
