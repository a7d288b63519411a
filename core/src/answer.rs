//! What to say to a message: the name server's whole behaviour, as a function.
//!
//! Bytes in, bytes out, nothing allocated on the way. Of a signed zone whoever asks for it gets signatures, and proofs of what is not there; those
//! are in `proof`. AXFR and IXFR are refused, NOTIFY and UPDATE not implemented: of those who may, `transfer` and `update` speak. The sockets are the
//! root package's.

mod proof;

use std::net::IpAddr;

use crate::cookie::{ClientCookie, Secrets, ServerCookie};
use crate::name::DnsName;
use crate::rdata;
use crate::reader::Reader;
use crate::state::State;
use crate::wire::{CLASS_IN, ExtendedError, Full, HEADER, Name, Opt, Query, Question, Rcode, Suffix, TRUNCATED, Type, Writer};
use crate::zone::{self, Data, Node, Rrset, ZoneParams, ZoneView};

/// What fits a packet everywhere, so that no answer is ever fragmented: IPv6's least MTU, 1280, less the headers.
pub const UDP_LIMIT: usize = 1232;

/// What a client without EDNS takes (RFC 1035 §4.2.1), and the least that one with it can ask for (RFC 6891 §6.2.3).
pub(crate) const PLAIN_LIMIT: usize = 512;

/// What the length in front of a message on TCP can say (RFC 1035 §4.2.2).
pub const TCP_LIMIT: usize = 65_535;

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// On a connection.
    Tcp,
}

/// Who asks, as far as an answer depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// How the message came.
    pub transport: Transport,
    /// Where from.
    pub address: IpAddr,
    /// Now, in seconds since 1970.
    pub now: u32,
    /// What cookies are made with; without it there are none.
    pub secrets: Option<&'a Secrets>,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its bytes.
    pub length: usize,
    /// Whether the client showed by a cookie of ours that it is where it seems to be.
    pub known: bool,
    /// What it is about.
    pub kind: Kind,
    /// How it went.
    pub rcode: Rcode,
    /// Whether the question is signed (TSIG), which this is not.
    pub signed: bool,
    /// Where in the message the name begins that `kind` is about; 0 for none.
    of: usize,
    flags: u16,
    /// Where its question ends, and how long its OPT record is, which stands last.
    question: usize,
    opt: usize,
}

/// What an answer is about: one account each for those who are told too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The one name that was asked for.
    OfName,
    /// All names that one wildcard has, of which there is no end.
    OfWildcard,
    /// All names of a zone that are not there.
    Absent,
    /// No name.
    Fault,
}

impl Answer {
    /// Whether it is whole by TCP only.
    pub fn is_truncated(&self) -> bool {
        self.flags & TRUNCATED != 0
    }

    /// The name that it is about, on the wire, without its root.
    pub(crate) fn name(self, message: &[u8]) -> &[u8] {
        let name = message.get(self.of..).filter(|_| self.of > 0).unwrap_or_default();
        let mut rest = Reader(name);
        while let Some(length @ 1..=63) = rest.u8() {
            if rest.take(length.into()).is_none() {
                break;
            }
        }
        name.get(..name.len().saturating_sub(rest.0.len()).saturating_sub(1)).unwrap_or_default()
    }

    /// This answer, or one in its place, with a signature behind it: so long is it then, and that is its code. It is never cut: what is left would not
    /// be what was signed.
    #[must_use]
    pub fn with_signature(self, length: usize, rcode: Rcode) -> Self {
        Self { length, rcode, question: 0, opt: 0, ..self }
    }

    /// Makes `message`, of this answer, one that says only to come again by TCP. Returns its new length; 0 where it cannot be.
    pub fn cut(self, message: &mut [u8]) -> usize {
        if self.question == 0 {
            return 0;
        }
        let (opt, question) = (self.length.saturating_sub(self.opt), self.question);
        let Some(length) = question.checked_add(self.opt).filter(|length| *length <= self.length && self.length <= message.len()) else {
            return 0;
        };
        message.copy_within(opt..self.length, question);
        let mut writer = Writer::new(message, length);
        writer.patch(2, self.flags | TRUNCATED);
        [0, 0, u16::from(self.opt > 0)].into_iter().zip((6..).step_by(2)).for_each(|(count, place)| writer.patch(place, count));
        length
    }
}

/// Writes the answer to `message` into `out`. `None`: say nothing. `out` should have [`UDP_LIMIT`] or [`TCP_LIMIT`] bytes; what does not
/// fit a shorter one is treated as what does not fit the transport.
pub fn answer(message: &[u8], asker: &Asker<'_>, state: &State, params: &ZoneParams, out: &mut [u8]) -> Option<Answer> {
    let query = Query::parse(message)?;
    let limit = limit(&query, asker.transport);
    let verdict = judge(&query, state, params);
    let cookies = query.edns.and_then(|edns| edns.cookie).zip(asker.secrets);
    let known = cookies.is_some_and(|((client, server), secrets)| secrets.know(server, client, asker.address, asker.now));
    let cookie = cookies.map(|((client, _), secrets)| (client, secrets.make(client, asker.address, asker.now)));
    let (kind, of) = match &verdict {
        Verdict::Fault(..) => (Kind::Fault, 0),
        Verdict::Negative(Rcode::NXDOMAIN, place) => (Kind::Absent, place.of),
        Verdict::Positive(_, _, place) | Verdict::Negative(_, place) if place.is_exact() => (Kind::OfName, place.of),
        Verdict::Positive(_, _, place) | Verdict::Negative(_, place) => (Kind::OfWildcard, place.of),
    };
    let written = write(&query, &verdict, cookie, Writer::new(out, limit)).ok()?;
    Some(Answer { known, kind, of, ..written })
}

/// The most that is said to `query`.
pub fn limit(query: &Query<'_>, transport: Transport) -> usize {
    match (transport, query.edns) {
        (Transport::Tcp, _) => TCP_LIMIT,
        (Transport::Udp, None) => PLAIN_LIMIT,
        (Transport::Udp, Some(edns)) => usize::from(edns.size).clamp(PLAIN_LIMIT, UDP_LIMIT),
    }
}

/// What is to be said.
enum Verdict<'a> {
    /// Nothing about any name, and why.
    Fault(Rcode, Option<ExtendedError>),
    /// There is no such name, or nothing of that type.
    Negative(Rcode, Place<'a>),
    /// The records.
    Positive(Node<'a>, Type, Place<'a>),
}

/// The zone, and where its name stands in the message.
struct Place<'a> {
    zone: ZoneView<'a>,
    at: u16,
    /// Where the name begins that has what is said: the question's own, or the one whose wildcard it is.
    of: usize,
    /// The name that was asked for, and how many of its labels stand left of the zone.
    name: Name<'a>,
    labels: usize,
    /// Whether signatures are wanted, and there are some.
    signed: bool,
}

impl Place<'_> {
    /// Whether the name is there itself, and not by a wildcard.
    fn is_exact(&self) -> bool {
        self.of == HEADER
    }
}

fn judge<'a>(query: &Query<'a>, state: &'a State, params: &'a ZoneParams) -> Verdict<'a> {
    if query.opcode() != 0 {
        return Verdict::Fault(Rcode::NOTIMP, Some(ExtendedError::NOT_SUPPORTED));
    }
    // Before all that could be otherwise in that version (RFC 6891 §6.1.3).
    if query.edns.is_some_and(|edns| edns.version > 0) {
        return Verdict::Fault(Rcode::BADVERS, None);
    }
    if query.is_for_a_cookie() {
        return Verdict::Fault(Rcode::NOERROR, None);
    }
    let Some(question) = query.question.filter(|_| query.sound) else { return Verdict::Fault(Rcode::FORMERR, None) };
    if let Some((fault, why)) = fault_of(&question) {
        return Verdict::Fault(fault, why);
    }
    let mut left_of_zones = params.zones.iter().filter_map(|zone| Some((zone, question.name.left_of(zone)?)));
    let Some((zone, (labels, bytes))) = left_of_zones.next() else {
        return Verdict::Fault(Rcode::REFUSED, Some(ExtendedError::NOT_AUTHORITATIVE));
    };
    let (Some(zone), Ok(at)) = (ZoneView::new(zone, state, params), u16::try_from(bytes.saturating_add(HEADER))) else {
        return Verdict::Fault(Rcode::SERVFAIL, Some(ExtendedError::NOT_READY));
    };
    let mut buffer = [0; _];
    let left = question.name.text(labels, &mut buffer);
    let itself = left.and_then(|left| zone.node(left));
    let signed = query.edns.is_some_and(|edns| edns.dnssec_ok) && zone.keys().is_some();
    let place = |of| Place { zone, at, of, name: question.name, labels, signed };
    let Some((node, of)) = itself.map(|node| (node, HEADER)).or_else(|| by_wildcard(&zone, left?)) else {
        return Verdict::Negative(Rcode::NXDOMAIN, place(at.into()));
    };
    let there = node.rrset(question.kind).is_some() || proof::is_there(&node, question.kind, &zone);
    if there { Verdict::Positive(node, question.kind, place(of)) } else { Verdict::Negative(Rcode::NOERROR, place(of)) }
}

/// What a wildcard has for the name with `left` in front of the zone, and where in the message the name begins that the wildcard is below.
fn by_wildcard<'a>(zone: &ZoneView<'a>, left: &str) -> Option<(Node<'a>, usize)> {
    let (node, above) = zone.by_wildcard(left)?;
    // A label takes a byte more than its text, as its dot does; the last one has no dot.
    let skipped = left.len().saturating_sub(above.len()).saturating_add(usize::from(above.is_empty()));
    Some((node, HEADER.saturating_add(skipped)))
}

/// What no name server answers, or not this one.
fn fault_of(question: &Question<'_>) -> Option<(Rcode, Option<ExtendedError>)> {
    match question.kind {
        // They stand beside a question, or in an answer, and cannot be asked for (RFC 6891 §6.1.1, RFC 8945 §4.2, RFC 9824 §3.4).
        Type::OPT | Type::TSIG | Type::NXNAME => Some((Rcode::FORMERR, None)),
        Type::TKEY | Type::MAILA | Type::MAILB => Some((Rcode::NOTIMP, Some(ExtendedError::NOT_SUPPORTED))),
        Type::AXFR | Type::IXFR => Some((Rcode::REFUSED, Some(ExtendedError::PROHIBITED))),
        _ if question.class != CLASS_IN => Some((Rcode::REFUSED, Some(ExtendedError::NOT_SUPPORTED))),
        _ => None,
    }
}

/// How many records each section of an answer has.
#[derive(Default)]
struct Counts {
    answers: u16,
    authority: u16,
    additional: u16,
}

fn write(
    query: &Query<'_>,
    verdict: &Verdict<'_>,
    cookie: Option<(&ClientCookie, ServerCookie)>,
    mut writer: Writer<'_>,
) -> Result<Answer, Full> {
    let (rcode, error, authoritative) = match verdict {
        Verdict::Fault(rcode, error) => (*rcode, *error, false),
        Verdict::Negative(rcode, _) => (*rcode, None, true),
        Verdict::Positive(..) => (Rcode::NOERROR, None, true),
    };
    let opt = query.edns.map(|edns| Opt { size: UDP_LIMIT as u16, rcode, dnssec_ok: edns.dnssec_ok, cookie, error });
    writer.bytes(&[0; HEADER])?;
    if let Some(question) = &query.question {
        writer.bytes(question.wire)?;
    }
    let end_of_question = writer.len();
    let opt_size = opt.as_ref().map_or(0, Opt::len);
    writer.reserve(opt_size)?;
    let (mut counts, truncated) = match sections(verdict, &mut writer) {
        Ok(counts) => (counts, false),
        Err(Full) => {
            writer.rewind(end_of_question);
            (Counts::default(), true)
        }
    };
    writer.release(opt_size);
    if let Some(opt) = &opt {
        writer.opt(opt)?;
        counts.additional = counts.additional.saturating_add(1);
    }
    let questions = u16::from(query.question.is_some());
    let flags = query.answer_flags(authoritative, truncated, rcode);
    let header = [query.id, flags, questions, counts.answers, counts.authority, counts.additional];
    for (value, place) in header.into_iter().zip((0..HEADER).step_by(2)) {
        writer.patch(place, value);
    }
    let opt = opt.as_ref().map_or(0, Opt::len);
    // What it is about is the caller's.
    let (length, signed) = (writer.len(), query.signed);
    Ok(Answer { length, known: false, kind: Kind::Fault, rcode, signed, of: 0, flags, question: end_of_question, opt })
}

fn sections(verdict: &Verdict<'_>, writer: &mut Writer<'_>) -> Result<Counts, Full> {
    match verdict {
        Verdict::Fault(..) => Ok(Counts::default()),
        Verdict::Negative(_, place) => {
            let start = set(writer, Owner::At(place.at), &place.zone.negative(), Some(place.zone.own_place()), place)?;
            let authority = start.saturating_add(proof::of_absence(writer, place)?);
            Ok(Counts { authority, ..Counts::default() })
        }
        Verdict::Positive(node, kind, place) => {
            let owner = Owner::At(HEADER as u16);
            let Some(found) = node.rrset(*kind) else {
                let answers = proof::asked_for(writer, node, *kind, place)?;
                return Ok(Counts { answers, authority: proof::of_expansion(writer, place)?, ..Counts::default() });
            };
            let answers = set(writer, owner, &found, node.place, place)?;
            let authority = proof::of_expansion(writer, place)?;
            let additional = glue(writer, &found, place);
            Ok(Counts { answers, authority, additional })
        }
    }
}

/// The addresses of those name servers that are in the zone itself. As many as fit: nobody needs them to trust the answer, so
/// their absence is no truncation (RFC 2181 §9).
fn glue(writer: &mut Writer<'_>, set: &Rrset<'_>, place: &Place<'_>) -> u16 {
    let Data::Ns(servers) = set.data else { return 0 };
    let mut count = 0_u16;
    for server in servers {
        let Some(node) = place.zone.node_of(server) else { continue };
        for set in [Type::A, Type::AAAA].into_iter().filter_map(|kind| node.rrset(kind)) {
            let before = writer.len();
            match self::set(writer, Owner::Named(server), &set, node.place, place) {
                Ok(written) => count = count.saturating_add(written),
                Err(Full) => writer.rewind(before),
            }
        }
    }
    count
}

/// Whose record it is.
#[derive(Clone, Copy)]
enum Owner<'a> {
    /// The name that stands there in the message.
    At(u16),
    /// A name that is yet to be written.
    Named(&'a DnsName),
    /// What stands left of the zone in it.
    Left(&'a str),
}

/// Writes the whole set, with its signatures where they are wanted. Returns how many records that were.
fn set(writer: &mut Writer<'_>, owner: Owner<'_>, set: &Rrset<'_>, whose: Option<zone::Place<'_>>, place: &Place<'_>) -> Result<u16, Full> {
    let count = records(writer, owner, set, place)?;
    if !place.signed {
        return Ok(count);
    }
    proof::signatures(writer, owner, set, whose, place).map(|more| count.saturating_add(more))
}

/// Writes the whole set and returns how many records it has.
fn records(writer: &mut Writer<'_>, owner: Owner<'_>, set: &Rrset<'_>, place: &Place<'_>) -> Result<u16, Full> {
    let mut count = 0_u16;
    let zone = Suffix { name: place.zone.name, at: Some(place.at) };
    rdata::each(&set.data, zone, &mut |fill| {
        count = count.checked_add(1).ok_or(Full)?;
        record(writer, owner, (set.data.kind(), set.ttl), place, fill)
    })?;
    Ok(count)
}

fn record(
    writer: &mut Writer<'_>,
    owner: Owner<'_>,
    (kind, ttl): (Type, u32),
    place: &Place<'_>,
    fill: &rdata::Fill<'_>,
) -> Result<(), Full> {
    let zone = Suffix { name: place.zone.name, at: Some(place.at) };
    let name = |writer: &mut Writer<'_>| match owner {
        Owner::At(at) => writer.pointer(at),
        Owner::Named(name) => writer.name(name, zone),
        Owner::Left(left) => writer.left_of(left, zone),
    };
    rdata::record(writer, &name, (kind, ttl), fill)
}

#[cfg(test)]
mod tests;
