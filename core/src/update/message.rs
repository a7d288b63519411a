//! An update taken apart: its zone, what it requires and what it wants, with every name whole.
//!
//! What a record says is looked at only where its class says that it says something: prerequisites and deletions have none.

use crate::reader::Reader;
use crate::wire::{CLASS_IN, CLASS_NONE, Canonical, HEADER, Query, Type, record};

/// An update.
pub(super) struct Message {
    pub(super) zone: Canonical,
    pub(super) class: u16,
    pub(super) prerequisites: Vec<Record>,
    pub(super) updates: Vec<Record>,
}

/// A record of it.
pub(super) struct Record {
    pub(super) owner: Canonical,
    pub(super) kind: Type,
    pub(super) class: u16,
    pub(super) ttl: u32,
    /// What it says, with names in canonical form.
    pub(super) data: Vec<u8>,
}

impl Message {
    /// Takes `message` apart; `None` where it is no update.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        let query = Query::parse(message)?;
        let mut rest = Reader(message);
        rest.u32()?;
        let [zones, prerequisites, updates, additional] = [rest.u16()?, rest.u16()?, rest.u16()?, rest.u16()?];
        (zones == 1).then_some(())?;
        let zone = Canonical::read(message, &mut rest)?;
        let (kind, class) = (Type(rest.u16()?), rest.u16()?);
        (kind == Type::SOA).then_some(())?;
        let prerequisites = section(message, &mut rest, prerequisites)?;
        let updates = section(message, &mut rest, updates)?;
        let mut options = 0_u32;
        for _ in 0..additional {
            options = options.saturating_add(u32::from(record(&mut rest)?.kind == Type::OPT));
        }
        let options = options == 0 || options == 1 && query.edns.is_some();
        (options && rest.0.is_empty()).then_some(Self { zone, class, prerequisites, updates })
    }
}

fn section<'a>(message: &'a [u8], rest: &mut Reader<'a>, count: u16) -> Option<Vec<Record>> {
    (0..count).map(|_| Record::read(message, rest)).collect()
}

impl Record {
    fn read<'a>(message: &'a [u8], rest: &mut Reader<'a>) -> Option<Self> {
        let owner = Canonical::read(message, rest)?;
        let (kind, class, ttl, length) = (Type(rest.u16()?), rest.u16()?, rest.u32()?, rest.u16()?);
        let mut after = *rest;
        let plain = after.take(length.into())?;
        let says = class == CLASS_IN || class == CLASS_NONE && !plain.is_empty();
        let data = if says { canonical(message, *rest, kind, plain)? } else { plain.to_vec() };
        *rest = after;
        Some(Self { owner, kind, class, ttl, data })
    }
}

/// What the record at `rest` says, with its names whole and in lower case (RFC 4034 §6.2); `None` where it cannot say that.
fn canonical<'a>(message: &'a [u8], mut rest: Reader<'a>, kind: Type, plain: &[u8]) -> Option<Vec<u8>> {
    let end = rest.0.len().checked_sub(plain.len())?;
    let (before, names, behind) = match kind {
        Type::NS | Type::CNAME | Type::PTR => (0, 1, 0),
        Type::MX => (2, 1, 0),
        Type::SRV => (6, 1, 0),
        Type::SOA => (0, 2, 20),
        Type::A => return (plain.len() == 4).then(|| plain.to_vec()),
        Type::AAAA => return (plain.len() == 16).then(|| plain.to_vec()),
        Type::TXT => return are_strings(plain).then(|| plain.to_vec()),
        _ => return Some(plain.to_vec()),
    };
    let mut data = rest.take(before)?.to_vec();
    for _ in 0..names {
        data.extend(Canonical::read(message, &mut rest)?.as_bytes());
    }
    data.extend(rest.take(behind)?);
    (rest.0.len() == end).then_some(data)
}

fn are_strings(data: &[u8]) -> bool {
    let mut rest = Reader(data);
    while !rest.0.is_empty() {
        if rest.vec8().is_none() {
            return false;
        }
    }
    !data.is_empty()
}

/// What the records of type `kind` in the answer section of `message`, which is ours, say.
pub(super) fn answers(message: &[u8], kind: Type) -> Vec<Vec<u8>> {
    let read = || {
        let mut rest = Reader(message);
        rest.take(6)?;
        let answers = rest.u16()?;
        rest.take(HEADER - 8)?;
        Canonical::read(message, &mut rest)?;
        rest.u32()?;
        section(message, &mut rest, answers)
    };
    read().unwrap_or_default().into_iter().filter(|record| record.kind == kind).map(|record| record.data).collect()
}
