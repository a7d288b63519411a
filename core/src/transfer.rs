//! Whole zones for other name servers (AXFR, RFC 5936; IXFR, RFC 1995): who may have them, what is asked for, and the messages.
//!
//! A transfer is written message by message from a snapshot, so that it takes no more memory than one message, and nothing waits for it. What
//! changed between two versions is the journal's; its records come in here as they were kept.

mod records;

use std::net::{IpAddr, SocketAddr};

use crate::change::Serial;
use crate::cookie::{ClientCookie, ServerCookie};
use crate::name::DnsName;
use crate::order::{Left, OrderKey};
use crate::reader::Reader;
use crate::wire::{CLASS_IN, Canonical, Full, HEADER, Opt, Query, Question, RESPONSE, Rcode, Suffix, Type, Writer, question, record};
use crate::zone::{ZoneParams, ZoneView};

pub use records::{Pending, soa};
pub(crate) use records::{of_name, record_at, start};

/// What a client of ours may send by UDP.
const UDP_SIZE: u16 = crate::answer::UDP_LIMIT as u16;

/// The opcode of a query.
const OPCODE_QUERY: u16 = 0;

/// The opcode that tells of a new version (RFC 1996 §3.2).
const OPCODE_NOTIFY: u16 = 4;

/// The header's flag of who has the zone itself.
const AUTHORITATIVE: u16 = 0x0400;

/// A name server that has the zones from this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secondary {
    /// Where it is told of new versions; without a key, where it asks from.
    pub address: SocketAddr,
    /// By which it is known, from wherever it asks.
    pub key: Option<DnsName>,
}

/// Whether whoever asks from `address` may have zones; `key` is what the message is signed with. The one rule, for every way to ask.
pub fn may(secondaries: &[Secondary], address: IpAddr, key: Option<&DnsName>) -> bool {
    secondaries.iter().any(|secondary| match &secondary.key {
        Some(own) => key == Some(own),
        None => secondary.address.ip().to_canonical() == address.to_canonical(),
    })
}

/// Whether `message` asks for a transfer, well or badly.
pub fn is_transfer(message: &[u8]) -> bool {
    let Some((header, mut rest)) = message.split_at_checked(HEADER).map(|(header, rest)| (header, Reader(rest))) else { return false };
    let (opcode, questions) = (header.get(2).map(|flags| flags >> 3), header.get(4..6));
    // An opcode behind the flag of a response is none of a question's.
    opcode.map(u16::from) == Some(OPCODE_QUERY)
        && questions == Some(&[0, 1])
        && question(&mut rest).is_some_and(|question| matches!(question.kind, Type::AXFR | Type::IXFR))
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of the zone.
    Whole,
    /// What came after this version, or all of the zone.
    Since(Serial),
}

/// A question for a transfer.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The message.
    pub query: Query<'a>,
    question: Question<'a>,
    /// What is asked for.
    pub wanted: Wanted,
}

impl<'a> Request<'a> {
    /// Takes `message` apart, which asks for a transfer.
    ///
    /// # Errors
    /// What is answered instead.
    pub fn parse(message: &'a [u8]) -> Result<Self, Rcode> {
        let query = Query::parse(message).ok_or(Rcode::FORMERR)?;
        if query.edns.is_some_and(|edns| edns.version > 0) {
            return Err(Rcode::BADVERS);
        }
        let question = query.question.filter(|_| query.sound).ok_or(Rcode::FORMERR)?;
        if question.class != CLASS_IN {
            return Err(Rcode::NOTAUTH);
        }
        let wanted = match question.kind {
            Type::IXFR => Wanted::Since(version(message).ok_or(Rcode::FORMERR)?),
            _ => Wanted::Whole,
        };
        Ok(Self { query, question, wanted })
    }

    /// The zone, if it is one of these.
    pub fn zone<'p>(&self, params: &'p ZoneParams) -> Option<&'p DnsName> {
        params.zones.iter().find(|zone| self.question.name.left_of(zone) == Some((0, 0)))
    }

    /// Makes the next message of the answer in `out`, of at most `limit` bytes; `body` writes records, and says how many.
    ///
    /// # Errors
    /// Not even the question fits.
    pub fn message(
        &self,
        cookie: Option<&(ClientCookie, ServerCookie)>,
        limit: usize,
        out: &mut Vec<u8>,
        body: &mut dyn FnMut(&mut Writer<'_>, u16) -> u16,
    ) -> Result<u16, Full> {
        out.resize(limit, 0);
        let mut writer = Writer::new(out, limit);
        writer.bytes(&[0; HEADER])?;
        writer.bytes(self.question.wire)?;
        let cookie = cookie.map(|(client, server)| (client, *server));
        let opt =
            |edns: crate::wire::Edns<'_>| Opt { size: UDP_SIZE, rcode: Rcode::NOERROR, dnssec_ok: edns.dnssec_ok, cookie, error: None };
        let opt = self.query.edns.map(opt);
        let size = opt.as_ref().map_or(0, Opt::len);
        writer.reserve(size)?;
        let answers = body(&mut writer, HEADER as u16);
        writer.release(size);
        if let Some(opt) = &opt {
            writer.opt(opt)?;
        }
        let flags = self.query.answer_flags(true, false, Rcode::NOERROR);
        let header = [self.query.id, flags, 1, answers, 0, opt.is_some().into()];
        header.into_iter().zip((0..HEADER).step_by(2)).for_each(|(value, place)| writer.patch(place, value));
        let length = writer.len();
        out.truncate(length);
        Ok(answers)
    }
}

/// The version that an IXFR says its sender has: of the SOA in the authority section (RFC 1995 §3).
fn version(message: &[u8]) -> Option<Serial> {
    /// What stands behind the serial: refresh, retry, expire, minimum.
    const BEHIND: usize = 16;
    let mut rest = Reader(message);
    rest.u32()?;
    let [questions, answers, authority] = [rest.u16()?, rest.u16()?, rest.u16()?];
    rest.u16()?;
    (questions == 1 && answers == 0 && authority == 1).then(|| question(&mut rest))??;
    let soa = record(&mut rest).filter(|record| record.kind == Type::SOA)?;
    let mut serial = Reader(soa.data.get(soa.data.len().checked_sub(BEHIND.checked_add(4)?)?..)?);
    serial.u32().map(Serial)
}

/// How far the transfer of a whole zone is: which of its names, and how many of that one's records are written. It goes with one snapshot.
#[derive(Debug, Default)]
pub struct Walk {
    stage: Stage,
    name: Left,
    written: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Begin,
    Names,
    Over,
}

impl Walk {
    /// Whether all is written.
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Passes over the next record, which no message can hold; nobody is answered it either.
    pub fn skip(&mut self) {
        self.written = self.written.saturating_add(1);
    }

    /// Writes the records that come next, as many as fit, in the zone whose name stands at `at`. How many those were.
    pub fn fill(&mut self, view: &ZoneView<'_>, writer: &mut Writer<'_>, at: u16) -> u16 {
        let zone = Suffix { name: view.name, at: Some(at) };
        let mut count = 0_u16;
        // What does not fit is the next message's.
        let _ = self.write(
            view,
            &mut |left, kind, fill| {
                let before = writer.len();
                let written = count.checked_add(1).ok_or(Full).and_then(|next| {
                    record_at(writer, left, kind, zone, fill)?;
                    count = next;
                    Ok(())
                });
                written.inspect_err(|Full| writer.rewind(before))
            },
            zone,
        );
        count
    }

    fn write(&mut self, view: &ZoneView<'_>, one: &mut records::One<'_>, zone: Suffix<'_>) -> Result<(), Full> {
        if self.stage == Stage::Begin {
            records::start(view, zone, one)?;
            self.stage = Stage::Names;
        }
        let chain = view.chain();
        while self.stage == Stage::Names {
            if let Some(node) = view.node(self.name.as_str()) {
                let (done, mut at) = (self.written, 0_usize);
                let written = &mut self.written;
                of_name(view, &chain, &self.name, &node, zone, &mut |left, kind, fill| {
                    at = at.saturating_add(1);
                    if at <= done {
                        return Ok(());
                    }
                    one(left, kind, fill)?;
                    *written = at;
                    Ok(())
                })?;
            }
            let next = chain.after(OrderKey::of(self.name.as_str()).as_bytes());
            if next == Left::default() {
                records::start(view, zone, one)?;
                self.stage = Stage::Over;
            }
            (self.name, self.written) = (next, 0);
        }
        Ok(())
    }
}

/// The message that tells a secondary of the version of `view` (RFC 1996 §3).
pub fn notify(id: u16, view: &ZoneView<'_>) -> Vec<u8> {
    let question = [Canonical::of(view.name).as_bytes(), &Type::SOA.0.to_be_bytes(), &CLASS_IN.to_be_bytes()].concat();
    let header = [id, OPCODE_NOTIFY << 11 | AUTHORITATIVE, 1, 1, 0, 0].map(u16::to_be_bytes);
    [header.as_flattened(), &question, &soa(view)].concat()
}

/// What `message` says to that one with this ID; `None` where it is no answer to it.
pub fn told(message: &[u8], id: u16) -> Option<Rcode> {
    let mut rest = Reader(message);
    let (other, flags) = (rest.u16()?, rest.u16()?);
    rest.take(HEADER.checked_sub(4)?)?;
    let is_answer = other == id && flags & RESPONSE != 0 && (flags >> 11) & 0xF == OPCODE_NOTIFY;
    is_answer.then_some(Rcode(flags & 0xF))
}

#[cfg(test)]
pub(crate) mod tests;
