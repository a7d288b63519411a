//! The records of a zone one by one: those of a name, and those that were kept as they are.

use crate::order::Left;
use crate::rdata::{self, Fill};
use crate::reader::Reader;
use crate::wire::{Full, NAME_LIMIT, Suffix, Type, Writer, record};
use crate::zone::{Chain, Node, ZoneView};

/// Three names, and seven numbers at most that are four bytes long.
const SOA_LIMIT: usize = 3 * NAME_LIMIT + 7 * 4;

/// Takes one record: what stands left of the zone in its name, its type and TTL, and what it says.
pub(crate) type One<'a> = dyn FnMut(&Left, (Type, u32), &Fill<'_>) -> Result<(), Full> + 'a;

/// Gives `one` the records of a name, each set followed by its signatures; but for the start of authority, which stands first and last
/// in a transfer: of that the signatures alone.
///
/// # Errors
/// What `one` says.
pub(crate) fn of_name(
    view: &ZoneView<'_>,
    chain: &Chain<'_, '_>,
    left: &Left,
    node: &Node<'_>,
    zone: Suffix<'_>,
    one: &mut One<'_>,
) -> Result<(), Full> {
    let Some(place) = node.place else { return Ok(()) };
    let nsec = view.keys().map(|_| chain.nsec(left.as_str(), node));
    let proof = nsec.as_ref().map(|nsec| view.nsec_set(nsec));
    for set in node.sets().chain(proof) {
        if set.data.kind() != Type::SOA {
            rdata::each(&set.data, zone, &mut |fill| one(left, (set.data.kind(), set.ttl), fill))?;
        }
        for entry in view.signatures(place).into_iter().flat_map(|kept| kept.of(place.spot, set.data.kind())) {
            one(left, (Type::RRSIG, set.ttl), &|writer| {
                rdata::signature_head(writer, &entry, view.name)?;
                writer.bytes(entry.signature)
            })?;
        }
    }
    Ok(())
}

/// Gives `one` the zone's start of authority.
pub(crate) fn start(view: &ZoneView<'_>, zone: Suffix<'_>, one: &mut One<'_>) -> Result<(), Full> {
    let apex = view.node("");
    let Some(soa) = apex.as_ref().and_then(|node| node.rrset(Type::SOA)) else { return Ok(()) };
    rdata::each(&soa.data, zone, &mut |fill| one(&Left::default(), (Type::SOA, soa.ttl), fill))
}

/// Writes a record at the name with `left` in front of the zone.
pub(crate) fn record_at(writer: &mut Writer<'_>, left: &Left, kind: (Type, u32), zone: Suffix<'_>, fill: &Fill<'_>) -> Result<(), Full> {
    rdata::record(writer, &|writer| writer.left_of(left.as_str(), zone), kind, fill)
}

/// The zone's start of authority as a record, its names whole.
pub fn soa(view: &ZoneView<'_>) -> Vec<u8> {
    let (mut out, mut length) = (vec![0; SOA_LIMIT], 0);
    let zone = Suffix { name: view.name, at: None };
    let written = start(view, zone, &mut |left, kind, fill| {
        let mut writer = Writer::new(&mut out, SOA_LIMIT);
        record_at(&mut writer, left, kind, zone, fill)?;
        length = writer.len();
        Ok(())
    });
    debug_assert!(written.is_ok());
    out.truncate(length);
    out
}

/// Records with whole names, one after another, that wait for their message.
#[derive(Debug, Default)]
pub struct Pending {
    bytes: Vec<u8>,
    done: usize,
}

impl Pending {
    /// More of them; the last may be cut, as long as its rest follows.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.done.min(self.bytes.len()));
        self.done = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.rest().len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.done..).unwrap_or_default()
    }

    /// Passes over the next record.
    pub fn skip(&mut self) {
        self.done = self.done.saturating_add(self.next().map_or(self.len(), |(_, record)| record.len()));
    }

    /// The next record: the length of its name, and all of it.
    fn next(&self) -> Option<(usize, &[u8])> {
        let rest = self.rest();
        let mut reader = Reader(rest);
        let fields = 10_usize.checked_add(record(&mut reader)?.data.len())?;
        let record = rest.get(..rest.len().checked_sub(reader.0.len())?)?;
        Some((record.len().checked_sub(fields)?, record))
    }

    /// Writes those that fit, in the zone with this name, as it is on the wire, which stands at `at`. How many those were.
    pub fn fill(&mut self, writer: &mut Writer<'_>, zone: &[u8], at: u16) -> u16 {
        let mut count = 0_u16;
        while let (Some((name, record)), Some(next)) = (self.next(), count.checked_add(1)) {
            let (before, length) = (writer.len(), record.len());
            let (name, fields) = record.split_at_checked(name).unwrap_or_default();
            // No label of ours has a byte that could be taken for a length, so the end of a name that looks like the zone's is the zone's.
            let written = match name.strip_suffix(zone) {
                Some(left) => writer.bytes(left).and_then(|()| writer.pointer(at)),
                None => writer.bytes(name),
            };
            if written.and_then(|()| writer.bytes(fields)).is_err() {
                writer.rewind(before);
                break;
            }
            (self.done, count) = (self.done.saturating_add(length), next);
        }
        count
    }
}
