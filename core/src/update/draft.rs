//! A host as an update leaves it: record by record, in order, each one permitted or the whole of it refused.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::sync::Arc;

use jiff::Timestamp;

use super::message::Record;
use super::{Grant, No, Writable};
use crate::change::{Change, Rewrite, Said, Serial, Word};
use crate::host::{AddressFrom, Edit, Host, HostRecord, RecordData, RecordKind, Target};
use crate::name::{APEX, DnsName};
use crate::rdata::host_record;
use crate::reader::Reader;
use crate::wire::{CLASS_ANY, CLASS_IN, Canonical, Type, Writer};

/// Where ACME looks for the proof of a name.
const CHALLENGE: &str = "_acme-challenge";

/// Where authorities look for proofs that a name is its owner's (RFC 8555 §8.4; draft-ietf-acme-dns-persist): nobody's own records are there.
const PROOFS: [&str; 2] = [CHALLENGE, "_validation-persist"];

/// Several orders at once, each with a wildcard.
const CHALLENGES: usize = 16;

/// More than a host's record can be.
const DATA_ROOM: usize = 8192;

/// A host, and what is written of it.
pub(super) struct Draft<'a> {
    grant: &'a Grant,
    dual: DnsName,
    seen: &'a Arc<Host>,
    address: Address,
    challenge: BTreeSet<String>,
    /// With what each says on the wire.
    records: Vec<(HostRecord, Vec<u8>)>,
}

/// Where an update client says that the home is.
struct Address {
    now: Option<Ipv6Addr>,
    /// By this update: a second one beside it has no place.
    added: bool,
    written: bool,
}

/// A name whose records are the host's.
enum Place {
    Host,
    Challenge,
    Below(DnsName),
}

impl<'a> Draft<'a> {
    /// `host`, which is the grant's, as it is.
    pub(super) fn new(grant: &'a Grant, host: &'a Arc<Host>) -> Self {
        let now = match host.settings.address_from {
            AddressFrom::Update => host.updated.map(|updated| updated.address),
            // What is written there is a hint.
            AddressFrom::Link | AddressFrom::Static => host.router.and_then(|router| router.v6),
        };
        let address = Address { now, added: false, written: false };
        let mut draft =
            Self { grant, dual: grant.host.dual(), seen: host, address, challenge: host.challenge.clone(), records: Vec::new() };
        draft.records = host.settings.record.iter().map(|record| (record.clone(), draft.wire(&record.data))).collect();
        draft
    }

    /// Carries out one record of the update.
    pub(super) fn take(&mut self, record: &Record) -> Result<(), No> {
        let place = self.place(&record.owner).ok_or(No::PROHIBITED)?;
        let kinds: Vec<Writable> = place.kinds(record.kind).iter().copied().filter(|kind| self.grant.types.contains(kind)).collect();
        if kinds.is_empty() {
            return Err(No::PROHIBITED);
        }
        kinds.into_iter().try_for_each(|kind| self.write(kind, &place, record))
    }

    fn write(&mut self, kind: Writable, place: &Place, record: &Record) -> Result<(), No> {
        let owner = match place {
            Place::Below(owner) => Some(owner),
            Place::Host | Place::Challenge => None,
        };
        match kind {
            Writable::A => Ok(()),
            Writable::Aaaa => self.address.write(record),
            Writable::Challenge => self.write_challenge(record),
            Writable::Txt => self.write_record(owner, RecordKind::Txt, record),
            Writable::Srv => self.write_record(owner, RecordKind::Srv, record),
            Writable::Mx => self.write_record(owner, RecordKind::Mx, record),
        }
    }

    fn write_challenge(&mut self, record: &Record) -> Result<(), No> {
        let value = string(&record.data);
        match record.class {
            CLASS_ANY => self.challenge.clear(),
            CLASS_IN => {
                self.challenge.insert(value.ok_or(No::PROHIBITED)?.into());
            }
            _ => _ = value.is_some_and(|value| self.challenge.remove(value)),
        }
        if self.challenge.len() > CHALLENGES { Err(No::PROHIBITED) } else { Ok(()) }
    }

    fn write_record(&mut self, owner: Option<&DnsName>, kind: RecordKind, record: &Record) -> Result<(), No> {
        let same = |(one, wire): &(HostRecord, Vec<u8>)| one.owner.as_ref() == owner && one.data.kind() == kind && *wire == record.data;
        match record.class {
            CLASS_ANY => self.records.retain(|(one, _)| one.owner.as_ref() != owner || one.data.kind() != kind),
            CLASS_IN if self.records.iter().any(same) => {}
            CLASS_IN => {
                let data = data(kind, &record.data).ok_or(No::PROHIBITED)?;
                let new = HostRecord { owner: owner.cloned(), data };
                // It is kept as it is written: what would be read as something else is not written.
                if new.to_string().parse().as_ref() != Ok(&new) {
                    return Err(No::PROHIBITED);
                }
                self.records.push((new, record.data.clone()));
            }
            _ => self.records.retain(|one| !same(one)),
        }
        Ok(())
    }

    /// What `owner` is of the host's.
    fn place(&self, owner: &Canonical) -> Option<Place> {
        let name = owner.text()?;
        let left = name.within(&self.dual)?;
        let at_apex = self.grant.host.label() == APEX;
        match left {
            "" => Some(Place::Host),
            // At the zone's own name it would prove every host's.
            CHALLENGE => (!at_apex).then_some(Place::Challenge),
            _ => {
                let below: DnsName = left.parse().ok()?;
                let challenge = below.labels().any(|label| PROOFS.contains(&label));
                // Below the zone itself, what has no underscore is for hosts.
                let of_host = at_apex && below.labels().next_back().is_some_and(|label| !label.starts_with('_'));
                (!challenge && !of_host).then_some(Place::Below(below))
            }
        }
    }

    fn wire(&self, data: &RecordData) -> Vec<u8> {
        let mut out = vec![0; DATA_ROOM];
        let mut writer = Writer::new(&mut out, DATA_ROOM);
        let length = host_record(&mut writer, data, &self.grant.host).map_or(0, |()| writer.len());
        out.truncate(length);
        out
    }

    /// The change that all of it is.
    pub(super) fn change(self, serial: Option<Serial>, at: Timestamp) -> Change {
        let Self { grant, seen, address, challenge, records, .. } = self;
        let word = address.now.map_or(Word::Clear, Word::Set);
        let said = Said { v6: if address.written { word } else { Word::Keep }, ..Said::default() };
        let (old, new): (_, BTreeSet<HostRecord>) = (&seen.settings.record, records.into_iter().map(|(record, _)| record).collect());
        // Those that go come first: at no moment are there more than before or after.
        let gone = old.difference(&new).map(|record| format!("record-={record}"));
        let come = new.difference(old).map(|record| format!("record+={record}"));
        let edits = gone.chain(come).filter_map(|edit| edit.parse::<Edit>().ok()).collect();
        Change::Rewrite(Rewrite { host: grant.host.clone(), seen: Arc::clone(seen), serial, said, challenge, edits, at })
    }
}

impl Address {
    fn write(&mut self, record: &Record) -> Result<(), No> {
        let said = <[u8; 16]>::try_from(record.data.as_slice()).ok().map(Ipv6Addr::from);
        match record.class {
            CLASS_ANY => (self.now, self.added) = (None, false),
            CLASS_IN => {
                let address = said.ok_or(No::PROHIBITED)?;
                // A home is at one address: the new one takes the place of the old, and two new ones are none.
                if self.added && self.now != Some(address) {
                    return Err(No::PROHIBITED);
                }
                (self.now, self.added) = (Some(address), true);
            }
            _ if said == self.now => (self.now, self.added) = (None, false),
            _ => return Ok(()),
        }
        self.written = true;
        Ok(())
    }
}

impl Place {
    /// What can be written there of type `kind`.
    fn kinds(&self, kind: Type) -> &'static [Writable] {
        use Writable::{A, Aaaa, Challenge, Mx, Srv, Txt};
        match (self, kind) {
            (Self::Host, Type::A) => &[A],
            (Self::Host, Type::AAAA) => &[Aaaa],
            (Self::Host, Type::ANY) => &[A, Aaaa, Txt, Srv, Mx],
            (Self::Challenge, Type::TXT | Type::ANY) => &[Challenge],
            (Self::Below(_), Type::ANY) => &[Txt, Srv, Mx],
            (Self::Host | Self::Below(_), Type::TXT) => &[Txt],
            (Self::Host | Self::Below(_), Type::SRV) => &[Srv],
            (Self::Host | Self::Below(_), Type::MX) => &[Mx],
            _ => &[],
        }
    }
}

/// The one string that a TXT record says, if it is such as proofs are.
fn string(data: &[u8]) -> Option<&str> {
    let mut rest = Reader(data);
    let string = rest.vec8()?;
    let plain = rest.0.is_empty() && string.0.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(string.0).ok().filter(|_| plain)
}

/// The record of a host that says `wire`.
fn data(kind: RecordKind, wire: &[u8]) -> Option<RecordData> {
    let mut rest = Reader(wire);
    match kind {
        RecordKind::Txt => Some(RecordData::Txt(wire.into())),
        RecordKind::Srv => {
            let (priority, weight, port) = (rest.u16()?, rest.u16()?, rest.u16()?);
            Some(RecordData::Srv { priority, weight, port, target: target(&mut rest)? })
        }
        RecordKind::Mx => Some(RecordData::Mx { preference: rest.u16()?, exchange: target(&mut rest)? }),
    }
}

fn target(rest: &mut Reader<'_>) -> Option<Target> {
    let name = Canonical::whole(rest)?;
    if name.as_bytes() == [0] { Some(Target::Nowhere) } else { name.text().map(Target::Name) }
}
