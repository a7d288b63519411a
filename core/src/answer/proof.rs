//! What an answer of a signed zone has beside its records: signatures, and proofs that something is not there (RFC 4035 §3.1).
//!
//! A name that is away with all its records is a name still, with a record of NSEC that says so: `NODATA` is what everybody is told of a
//! twin (as RFC 9824 has it for other reasons), where RFC 4035 §2.3 would have no such name.

use super::{Owner, Place, set};
use crate::order::{Left, OrderKey};
use crate::rdata;
use crate::wire::{Full, HEADER, LABELS_LIMIT, NAME_LIMIT, Type, Writer};
use crate::zone::{self, Chain, Node, Rrset, ZoneView};

/// Whether `node` has what it is asked for, though that is nobody's record: the proofs and signatures themselves.
pub(super) fn is_there(node: &Node<'_>, kind: Type, zone: &ZoneView<'_>) -> bool {
    let is_signed = || zone.keys().is_some() && node.place.is_some();
    match kind {
        Type::NSEC => is_signed(),
        Type::RRSIG => is_signed() && node.place.and_then(|place| zone.signatures(place)).is_some(),
        _ => false,
    }
}

/// Writes them. Of signatures those of one set of records are enough, as for ANY (RFC 8482 §4.1, §7).
pub(super) fn asked_for(writer: &mut Writer<'_>, node: &Node<'_>, kind: Type, place: &Place<'_>) -> Result<u16, Full> {
    let mut buffer = [0; NAME_LIMIT];
    let Some(left) = place.name.text(place.labels, &mut buffer) else { return Err(Full) };
    let at = if place.is_exact() { Left::below("", left) } else { Left::below("*", place.zone.closest_encloser(left).unwrap_or_default()) };
    let nsec = place.zone.chain().nsec(at.as_str(), node);
    let (owner, proof) = (Owner::At(HEADER as u16), place.zone.nsec_set(&nsec));
    match kind {
        Type::RRSIG => signatures(writer, owner, &node.rrset(Type::ANY).unwrap_or(proof), node.place, place),
        _ => set(writer, owner, &proof, node.place, place),
    }
}

/// Writes the signatures of `set`, which is `whose`.
pub(super) fn signatures(
    writer: &mut Writer<'_>,
    owner: Owner<'_>,
    set: &Rrset<'_>,
    whose: Option<zone::Place<'_>>,
    place: &Place<'_>,
) -> Result<u16, Full> {
    let Some(whose) = whose else { return Ok(0) };
    let mut count = 0_u16;
    for entry in place.zone.signatures(whose).into_iter().flat_map(|kept| kept.of(whose.spot, set.data.kind())) {
        super::record(writer, owner, (Type::RRSIG, set.ttl), place, &|writer| {
            rdata::signature_head(writer, &entry, place.zone.name)?;
            writer.bytes(entry.signature)
        })?;
        count = count.saturating_add(1);
    }
    Ok(count)
}

/// Writes the proof that there is no such name, or nothing of that type.
pub(super) fn of_absence(writer: &mut Writer<'_>, place: &Place<'_>) -> Result<u16, Full> {
    if !place.signed {
        return Ok(0);
    }
    let mut buffer = [0; NAME_LIMIT];
    let (Some(left), zone) = (place.name.text(place.labels, &mut buffer), &place.zone) else { return Err(Full) };
    // At the name itself, if it has records at all; else before it: nothing is at the name, or it only leads to others.
    let chain = zone.chain();
    let first = chain.at_or_before(key(place).as_bytes());
    let count = nsec(writer, &chain, &first, place)?;
    if place.is_exact() {
        return Ok(count);
    }
    // And no wildcard that would have been there instead, or not with that type.
    let wildcard = Left::below("*", zone.closest_encloser(left).unwrap_or_default());
    let second = chain.at_or_before(OrderKey::of(wildcard.as_str()).as_bytes());
    if second == first {
        return Ok(count);
    }
    nsec(writer, &chain, &second, place).map(|more| count.saturating_add(more))
}

/// Writes the proof that a wildcard was right to stand in for the name: there is none such.
pub(super) fn of_expansion(writer: &mut Writer<'_>, place: &Place<'_>) -> Result<u16, Full> {
    if !place.signed || place.is_exact() {
        return Ok(0);
    }
    let chain = place.zone.chain();
    nsec(writer, &chain, &chain.at_or_before(key(place).as_bytes()), place)
}

/// Writes what follows the name with `left` in front of the zone.
fn nsec(writer: &mut Writer<'_>, chain: &Chain<'_, '_>, left: &Left, place: &Place<'_>) -> Result<u16, Full> {
    let Some(node) = place.zone.node(left.as_str()) else { return Ok(0) };
    let nsec = chain.nsec(left.as_str(), &node);
    set(writer, Owner::Left(left.as_str()), &place.zone.nsec_set(&nsec), node.place, place)
}

/// Where the name that was asked for would stand, with every byte that it has.
fn key(place: &Place<'_>) -> OrderKey {
    let mut labels = [&[][..]; LABELS_LIMIT];
    let asked = place.name.labels().take(place.labels);
    let count = labels.iter_mut().zip(asked).map(|(kept, label)| *kept = label).count();
    OrderKey::of_labels(labels.iter().take(count).rev().copied())
}
