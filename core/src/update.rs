//! Updates in DNS's own words (RFC 2136): whether what one requires is so, what it may write, and the change that it comes to.
//!
//! Who sent it was found out before (`tsig`). A key writes records of one host, of the kinds that it was given; what it writes is what the host's
//! other ways of being changed would: an AAAA is where an update client says that the home is, an A is the gateway's and stays. All of a
//! message is one change, or none of it. Judged on a snapshot: the change says which, and is refused where something came between.

mod draft;
mod message;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::answer::{Asker, TCP_LIMIT, Transport, UDP_LIMIT, answer, limit};
use crate::change::Change;
use crate::cookie::{ClientCookie, ServerCookie};
use crate::name::{DnsName, HostName};
use crate::state::State;
use crate::wire::{
    CLASS_ANY, CLASS_IN, CLASS_NONE, Canonical, ExtendedError, Full, HEADER, NAME_LIMIT, OPCODE_UPDATE, Opt, Query, RESPONSE, Rcode, Type,
    Writer,
};
use crate::zone::{ZoneParams, ZoneView};
use draft::Draft;
use message::{Message, Record};

/// What a key may write of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writable {
    /// The A, which nobody changes: taken, and without effect.
    A,
    /// Where the home is.
    Aaaa,
    /// The TXT at `_acme-challenge`: whoever writes it gets certificates for the host.
    Challenge,
    /// Its own TXT.
    Txt,
    /// Its own SRV.
    Srv,
    /// Its own MX.
    Mx,
}

impl Writable {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::A, Self::Aaaa, Self::Challenge, Self::Txt, Self::Srv, Self::Mx];

    /// What it is called.
    pub fn word(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Challenge => "_acme-challenge",
            Self::Txt => "TXT",
            Self::Srv => "SRV",
            Self::Mx => "MX",
        }
    }
}

/// What a key may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The host that it speaks for.
    pub host: HostName,
    /// What it may write of it.
    pub types: BTreeSet<Writable>,
}

/// Why an update is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct No {
    /// The code.
    pub rcode: Rcode,
    /// More than the code says.
    pub error: Option<ExtendedError>,
}

impl No {
    /// It may not.
    pub const PROHIBITED: Self = Self { rcode: Rcode::REFUSED, error: Some(ExtendedError::PROHIBITED) };
}

impl From<Rcode> for No {
    fn from(rcode: Rcode) -> Self {
        Self { rcode, error: None }
    }
}

/// Whether `message` is an update, or should be.
pub fn is_update(message: &[u8]) -> bool {
    let flags = message.get(2..4).and_then(|flags| flags.try_into().ok()).map_or(0, u16::from_be_bytes);
    message.len() >= HEADER && flags & RESPONSE == 0 && (flags >> 11) & 0xF == OPCODE_UPDATE
}

/// The change that `message` comes to, sent by whoever has `grant`, on `state`: `None` where nothing is to be done.
///
/// # Errors
/// The answer that says why not.
pub fn judge(message: &[u8], grant: &Grant, state: &State, params: &ZoneParams, at: Timestamp) -> Result<Option<Change>, No> {
    let update = Message::parse(message).ok_or(Rcode::FORMERR)?;
    let served = params.zones.iter().find(|zone| Canonical::of(zone) == update.zone);
    // The server for that zone is another one (RFC 2136 §3.1.2).
    let Some(name) = served.filter(|_| update.class == CLASS_IN) else { return Err(Rcode::NOTAUTH.into()) };
    let not_ready = No { rcode: Rcode::SERVFAIL, error: Some(ExtendedError::NOT_READY) };
    let zone = Zone { name, view: ZoneView::new(name, state, params).ok_or(not_ready)?, state, params };
    zone.require(&update.prerequisites)?;
    if update.updates.is_empty() {
        return Ok(None);
    }
    zone.scan(&update.updates)?;
    let host = state.host(&grant.host).filter(|_| grant.host.zone() == name).ok_or(No::PROHIBITED)?;
    let mut draft = Draft::new(grant, host);
    update.updates.iter().try_for_each(|record| draft.take(record))?;
    // What it depends on beside the host shows in the zone's version.
    let serial = (!update.prerequisites.is_empty()).then(|| state.zone(name).map(|zone| zone.serial)).flatten();
    Ok(Some(draft.change(serial, at)))
}

/// The zone that an update is for.
struct Zone<'a> {
    name: &'a DnsName,
    view: ZoneView<'a>,
    state: &'a State,
    params: &'a ZoneParams,
}

impl Zone<'_> {
    /// Whether all is so that must be (RFC 2136 §3.2).
    fn require(&self, prerequisites: &[Record]) -> Result<(), No> {
        let mut wanted: BTreeMap<(&Canonical, u16), BTreeSet<&[u8]>> = BTreeMap::new();
        for record in prerequisites {
            if record.ttl != 0 {
                return Err(Rcode::FORMERR.into());
            }
            let left = self.left_of(record)?;
            let node = self.view.node(&left);
            let there = node.is_some_and(|node| node.rrset(record.kind).is_some());
            match (record.class, record.kind) {
                (CLASS_ANY | CLASS_NONE, _) if !record.data.is_empty() => return Err(Rcode::FORMERR.into()),
                (CLASS_ANY, Type::ANY) if !there => return Err(Rcode::NXDOMAIN.into()),
                (CLASS_NONE, Type::ANY) if there => return Err(Rcode::YXDOMAIN.into()),
                (CLASS_ANY, _) if !there => return Err(Rcode::NXRRSET.into()),
                (CLASS_NONE, _) if there => return Err(Rcode::YXRRSET.into()),
                (CLASS_ANY | CLASS_NONE, _) => {}
                (CLASS_IN, Type::ANY) => return Err(Rcode::FORMERR.into()),
                (CLASS_IN, _) if !there => return Err(Rcode::NXRRSET.into()),
                (CLASS_IN, kind) => _ = wanted.entry((&record.owner, kind.0)).or_default().insert(&record.data),
                _ => return Err(Rcode::FORMERR.into()),
            }
        }
        let mut room = Vec::new();
        for ((owner, kind), said) in wanted {
            let there = self.served(owner, Type(kind), &mut room);
            if there.iter().map(Vec::as_slice).collect::<BTreeSet<_>>() != said {
                return Err(Rcode::NXRRSET.into());
            }
        }
        Ok(())
    }

    /// What is answered, in `room`, to whoever asks for this: the data of the records, in canonical form.
    fn served(&self, owner: &Canonical, kind: Type, room: &mut Vec<u8>) -> Vec<Vec<u8>> {
        let mut query = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(owner.as_bytes());
        query.extend(kind.0.to_be_bytes());
        query.extend(CLASS_IN.to_be_bytes());
        let asker = Asker { transport: Transport::Tcp, address: [127, 0, 0, 1].into(), now: 0, secrets: None };
        room.resize(TCP_LIMIT, 0);
        let length = answer(&query, &asker, self.state, self.params, room).map_or(0, |answer| answer.length);
        message::answers(room.get(..length).unwrap_or_default(), kind)
    }

    /// Whether the updates are such (RFC 2136 §3.4.1), before any of them is looked at for what it says.
    fn scan(&self, updates: &[Record]) -> Result<(), No> {
        for record in updates {
            self.left_of(record)?;
            let meta = matches!(record.kind, Type::AXFR | Type::MAILA | Type::MAILB);
            let bare = record.ttl == 0 && record.data.is_empty();
            let good = match record.class {
                CLASS_IN => !meta && record.kind != Type::ANY,
                CLASS_ANY => !meta && bare,
                CLASS_NONE => !meta && record.kind != Type::ANY && record.ttl == 0,
                _ => false,
            };
            if !good {
                return Err(Rcode::FORMERR.into());
            }
        }
        Ok(())
    }

    /// What stands left of the zone in a record's name.
    fn left_of(&self, record: &Record) -> Result<String, No> {
        let name = record.owner.name();
        let (labels, _) = name.left_of(self.name).ok_or(Rcode::NOTZONE)?;
        let mut buffer = [0; NAME_LIMIT];
        name.text(labels, &mut buffer).map(str::to_owned).ok_or_else(|| Rcode::NOTZONE.into())
    }
}

/// The answer to an update.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// How it went; `None` is well.
    pub no: Option<No>,
    /// The client's cookie, and ours.
    pub cookie: Option<(&'a ClientCookie, ServerCookie)>,
    /// How the update came.
    pub transport: Transport,
    /// What will be added.
    pub signature: usize,
}

impl Reply<'_> {
    /// The message that says it in answer to `query`.
    pub fn message(&self, query: &Query<'_>) -> Vec<u8> {
        let room = limit(query, self.transport).saturating_sub(self.signature);
        let mut out = vec![0; room];
        // The zone section may be left out (RFC 2136 §3.8), and an OPT record is the last thing that is.
        let wholes = [(true, true), (false, true), (false, false)];
        let length = wholes.into_iter().find_map(|parts| self.written(query, parts, Writer::new(&mut out, room)).ok());
        out.truncate(length.unwrap_or(0));
        out
    }

    fn written(&self, query: &Query<'_>, (zone, edns): (bool, bool), mut writer: Writer<'_>) -> Result<usize, Full> {
        let No { rcode, error } = self.no.unwrap_or(Rcode::NOERROR.into());
        let question = query.question.filter(|_| zone);
        let edns = query.edns.filter(|_| edns);
        let header = [query.id, query.answer_flags(false, false, rcode), question.is_some().into(), 0, 0, edns.is_some().into()];
        header.into_iter().try_for_each(|word| writer.u16(word))?;
        if let Some(question) = question {
            writer.bytes(question.wire)?;
        }
        if let Some(edns) = edns {
            let (size, dnssec_ok, cookie) = (UDP_LIMIT as u16, edns.dnssec_ok, self.cookie);
            writer.opt(&Opt { size, rcode, dnssec_ok, cookie, error })?;
        }
        Ok(writer.len())
    }
}

#[cfg(test)]
mod tests;
