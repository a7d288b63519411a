//! What records say, in bytes: for an answer, and for a signature.
//!
//! A name may end in a pointer to the zone's where a suffix with a place is given, and is whole otherwise; ours are lower-case always, so that
//! they are then in canonical form (RFC 4034 §6.2). Which records there are is `zone`'s to say.

use std::collections::BTreeSet;

use crate::dnssec::{Entry, ZoneKey};
use crate::host::{Alpn, Caa, RecordData, Target};
use crate::name::{APEX, DnsName, HostName};
use crate::wire::{CLASS_IN, Full, Suffix, Type, Writer};
use crate::zone::{Data, Nsec, Soa};

/// The longest string in a TXT record (RFC 1035 §3.3); a longer value is several of them.
const STRING_LIMIT: usize = 255;

/// Of the only HTTPS record that a host has: 0 would make it an alias (RFC 9460 §2.4.1).
const SERVICE_PRIORITY: u16 = 1;

/// The parameter of an HTTPS record that says the protocols (RFC 9460 §14.3.2).
const PARAMETER_ALPN: u16 = 1;

/// What the longest record takes…
const RECORD_LIMIT: usize = 65_535;

/// …and most of them do.
const RECORD_USUAL: usize = 512;

/// Writes the data of one record.
pub(crate) type Fill<'a> = dyn Fn(&mut Writer<'_>) -> Result<(), Full> + 'a;

/// What `fill` writes, by way of `scratch`, which grows as it must.
///
/// # Errors
/// No message can hold it.
pub(crate) fn written(scratch: &mut Vec<u8>, fill: &Fill<'_>) -> Result<Vec<u8>, Full> {
    loop {
        let limit = scratch.len();
        let mut writer = Writer::new(scratch, limit);
        if fill(&mut writer).is_ok() {
            let length = writer.len();
            return scratch.get(..length).map(<[u8]>::to_vec).ok_or(Full);
        }
        if limit >= RECORD_LIMIT {
            return Err(Full);
        }
        scratch.resize(limit.saturating_mul(8).clamp(RECORD_USUAL, RECORD_LIMIT), 0);
    }
}

/// Writes a record, whose name `name` writes.
///
/// # Errors
/// It does not fit.
pub(crate) fn record(writer: &mut Writer<'_>, name: &Fill<'_>, (kind, ttl): (Type, u32), fill: &Fill<'_>) -> Result<(), Full> {
    name(writer)?;
    [kind.0, CLASS_IN].into_iter().try_for_each(|number| writer.u16(number))?;
    writer.u32(ttl)?;
    let length_at = writer.len();
    writer.u16(0)?;
    let start = writer.len();
    fill(writer)?;
    writer.patch(length_at, u16::try_from(writer.len().saturating_sub(start)).map_err(|_| Full)?);
    Ok(())
}

/// Has `one` make a record of each that `data` is.
///
/// # Errors
/// What `one` says.
pub(crate) fn each(data: &Data<'_>, zone: Suffix<'_>, one: &mut dyn FnMut(&Fill<'_>) -> Result<(), Full>) -> Result<(), Full> {
    match data {
        Data::Soa(soa) => one(&|writer| start_of_authority(writer, soa, zone)),
        Data::Ns(servers) => servers.iter().try_for_each(|server| one(&|writer| writer.name(server, zone))),
        Data::A(addresses) => addresses.iter().try_for_each(|address| one(&|writer| writer.bytes(&address.octets()))),
        Data::Aaaa(addresses) => addresses.iter().try_for_each(|address| one(&|writer| writer.bytes(&address.octets()))),
        Data::Txt(values) => values.iter().try_for_each(|value| one(&|writer| strings(writer, value))),
        Data::Records(records) => records.iter().try_for_each(|data| one(&|writer| host_record(writer, data, records.host))),
        Data::Caa(values) => values.iter().try_for_each(|caa| one(&|writer| authorities(writer, caa))),
        Data::Https(protocols) => one(&|writer| https(writer, protocols)),
        Data::Dnskey(keys) => keys.iter().try_for_each(|key| one(&|writer| public_key(writer, key))),
        Data::Cdnskey(keys) => keys.for_parent().try_for_each(|key| one(&|writer| public_key(writer, key))),
        Data::Cds(keys) => keys.for_parent().try_for_each(|key| {
            one(&|writer| {
                writer.bytes(&key.ds_head())?;
                writer.bytes(&key.digest.0)
            })
        }),
        Data::Nsec(nsec) => one(&|writer| next_secure(writer, nsec, zone)),
    }
}

/// A signature without its last part, as it is signed too. The zone's name is whole always (RFC 4034 §3.1.7).
///
/// # Errors
/// It does not fit.
pub(crate) fn signature_head(writer: &mut Writer<'_>, entry: &Entry<'_>, zone: &DnsName) -> Result<(), Full> {
    writer.u16(entry.kind.0)?;
    writer.bytes(&[entry.algorithm, entry.labels])?;
    [entry.ttl, entry.expiration, entry.inception].into_iter().try_for_each(|number| writer.u32(number))?;
    writer.u16(entry.key_tag)?;
    writer.left_of("", Suffix { name: zone, at: None })
}

fn public_key(writer: &mut Writer<'_>, key: &ZoneKey) -> Result<(), Full> {
    writer.bytes(&key.head())?;
    writer.bytes(&key.public)
}

/// The next name is whole always (RFC 4034 §4.1.1).
fn next_secure(writer: &mut Writer<'_>, nsec: &Nsec, zone: Suffix<'_>) -> Result<(), Full> {
    writer.left_of(nsec.next.as_str(), Suffix { at: None, ..zone })?;
    nsec.types.write(writer)
}

fn start_of_authority(writer: &mut Writer<'_>, soa: &Soa<'_>, zone: Suffix<'_>) -> Result<(), Full> {
    writer.name(soa.primary, zone)?;
    writer.counted(b"hostmaster")?;
    writer.left_of("", zone)?;
    [soa.serial.0, Soa::REFRESH, Soa::RETRY, Soa::EXPIRE, Soa::MINIMUM].into_iter().try_for_each(|number| writer.u32(number))
}

/// What a record of `host` says, its names whole.
pub(crate) fn host_record(writer: &mut Writer<'_>, data: &RecordData, host: &HostName) -> Result<(), Full> {
    match data {
        RecordData::Txt(strings) => writer.bytes(strings),
        RecordData::Srv { priority, weight, port, target: name } => {
            [priority, weight, port].into_iter().try_for_each(|number| writer.u16(*number))?;
            target(writer, name, host)
        }
        RecordData::Mx { preference, exchange } => {
            writer.u16(*preference)?;
            target(writer, exchange, host)
        }
    }
}

/// A name in a record, whole: in SRV it must not be compressed (RFC 2782).
fn target(writer: &mut Writer<'_>, target: &Target, host: &HostName) -> Result<(), Full> {
    match target {
        Target::Nowhere => {}
        Target::Name(name) => writer.labels(name.as_str())?,
        Target::Host(below) => {
            let label = Some(host.label()).filter(|label| *label != APEX);
            let parts = [below.as_ref().map(DnsName::as_str), label, Some(host.zone().as_str())];
            parts.into_iter().flatten().try_for_each(|part| writer.labels(part))?;
        }
    }
    writer.bytes(&[0])
}

/// RFC 8659 §4.1.
fn authorities(writer: &mut Writer<'_>, caa: &Caa) -> Result<(), Full> {
    writer.bytes(&[caa.flags()])?;
    writer.counted(caa.tag.word().as_bytes())?;
    writer.bytes(caa.value.as_bytes())
}

/// The service is at this very name, and speaks `protocols` (RFC 9460 §2.2, §7.1). No hints: an address that is said twice is once wrong.
fn https(writer: &mut Writer<'_>, protocols: &BTreeSet<Alpn>) -> Result<(), Full> {
    writer.u16(SERVICE_PRIORITY)?;
    writer.bytes(&[0])?;
    writer.u16(PARAMETER_ALPN)?;
    let length_at = writer.len();
    writer.u16(0)?;
    let start = writer.len();
    protocols.iter().try_for_each(|protocol| writer.counted(protocol.word().as_bytes()))?;
    writer.patch(length_at, u16::try_from(writer.len().saturating_sub(start)).map_err(|_| Full)?);
    Ok(())
}

fn strings(writer: &mut Writer<'_>, value: &str) -> Result<(), Full> {
    if value.is_empty() {
        return writer.counted(&[]);
    }
    value.as_bytes().chunks(STRING_LIMIT).try_for_each(|chunk| writer.counted(chunk))
}
