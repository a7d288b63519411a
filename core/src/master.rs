//! A zone as a master file (RFC 1035 §5): a record a line, every name whole, so that it can be read anywhere and compared with anything.
//!
//! It is written page by page from a snapshot. What stands in a record is read from its bytes, so that there is one place that says what they are.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use crate::dnssec::{Hex, SIGNATURE};
use crate::order::{Left, OrderKey};
use crate::rdata;
use crate::reader::Reader;
use crate::transfer::{of_name, record_at, start};
use crate::wire::{Suffix, Type, record};
use crate::zone::ZoneView;

/// The parameter of an HTTPS record that says the protocols (RFC 9460 §14.3.2).
const ALPN: u16 = 1;

/// Lines, and the name that the next ones begin with, as it stands left of the zone; `None` at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The lines, without their ends: name, TTL, class, type and data, a tab between two.
    pub lines: Vec<String>,
    /// To be asked for next.
    pub next: Option<String>,
}

/// The lines from the name with `from` left of the zone, about as many as `lines` and `bytes` say: all of a name, and one at least.
pub fn page(view: &ZoneView<'_>, from: &str, lines: usize, bytes: usize) -> Page {
    let (chain, zone) = (view.chain(), Suffix { name: view.name, at: None });
    let (mut page, mut size, mut scratch) = (Page { lines: Vec::new(), next: None }, 0_usize, Vec::new());
    let mut line = |left: &Left, kind: (Type, u32), fill: &rdata::Fill<'_>| {
        // What no message can hold is nowhere to be had.
        if let Ok(record) = rdata::written(&mut scratch, &|writer| record_at(writer, left, kind, zone, fill)) {
            let text = text(&owner(left, view), &record).unwrap_or_default();
            size = size.saturating_add(text.len());
            page.lines.push(text);
        }
        (size < bytes && page.lines.len() < lines, Ok(()))
    };
    let mut left = Left::below("", from);
    if from.is_empty() {
        let _ = start(view, zone, &mut |left, kind, fill| line(left, kind, fill).1);
    }
    loop {
        let mut more = true;
        if let Some(node) = view.node(left.as_str()) {
            let _ = of_name(view, &chain, &left, &node, zone, &mut |left, kind, fill| {
                let (room, done) = line(left, kind, fill);
                more = room;
                done
            });
        }
        left = chain.after(OrderKey::of(left.as_str()).as_bytes());
        if left == Left::default() {
            return page;
        }
        if !more {
            page.next = Some(left.as_str().to_owned());
            return page;
        }
    }
}

fn owner(left: &Left, view: &ZoneView<'_>) -> String {
    let dot = if left.as_str().is_empty() { "" } else { "." };
    format!("{}{dot}{}.", left.as_str(), view.name)
}

/// The line of `record`, whose name is `owner`.
fn text(owner: &str, record_bytes: &[u8]) -> Option<String> {
    let record = record(&mut Reader(record_bytes))?;
    let data = data(record.kind, &mut Reader(record.data)).unwrap_or_else(|| generic(record.data));
    Some(format!("{owner}\t{}\tIN\t{}\t{data}", record.ttl, word(record.kind)))
}

/// As every server understands it, also of a type that it does not know (RFC 3597 §5).
fn generic(data: &[u8]) -> String {
    format!("\\# {} {}", data.len(), Hex(data))
}

/// What a record of that type says; `None` where it cannot be read as such.
fn data(kind: Type, rest: &mut Reader<'_>) -> Option<String> {
    Some(match kind {
        Type::A => Ipv4Addr::from(rest.u32()?).to_string(),
        Type::AAAA => Ipv6Addr::from(*rest.take(16)?.first_chunk::<16>()?).to_string(),
        Type::NS => name(rest)?,
        Type::SOA => {
            let names = [name(rest)?, name(rest)?];
            let numbers = [rest.u32()?, rest.u32()?, rest.u32()?, rest.u32()?, rest.u32()?].map(|number| number.to_string());
            [names.join(" "), numbers.join(" ")].join(" ")
        }
        Type::MX => format!("{} {}", rest.u16()?, name(rest)?),
        Type::SRV => format!("{} {} {} {}", rest.u16()?, rest.u16()?, rest.u16()?, name(rest)?),
        Type::TXT => {
            let mut strings = Vec::new();
            while !rest.0.is_empty() {
                strings.push(quoted(rest.vec8()?.0));
            }
            strings.join(" ")
        }
        Type::CAA => format!("{} {} {}", rest.u8()?, std::str::from_utf8(rest.vec8()?.0).ok()?, quoted(rest.0)),
        Type::DNSKEY | Type::CDNSKEY => format!("{} {} {} {}", rest.u16()?, rest.u8()?, rest.u8()?, STANDARD.encode(rest.0)),
        Type::CDS => format!("{} {} {} {}", rest.u16()?, rest.u8()?, rest.u8()?, Hex(rest.0)),
        Type::NSEC => format!("{} {}", name(rest)?, types(rest)?.join(" ")),
        Type::RRSIG => signature(rest)?,
        Type::HTTPS => service(rest)?,
        _ => return None,
    })
}

/// Of the parameters of a service there is the one that is ours to write (RFC 9460 §7.1.1); its values have neither commas nor quotes.
fn service(rest: &mut Reader<'_>) -> Option<String> {
    let (priority, target) = (rest.u16()?, name(rest)?);
    let mut text = format!("{priority} {target}");
    while !rest.0.is_empty() {
        (rest.u16()? == ALPN).then_some(())?;
        let (mut all, mut values) = (rest.vec16()?, Vec::new());
        while !all.0.is_empty() {
            values.push(std::str::from_utf8(all.vec8()?.0).ok()?);
        }
        text.push_str(&format!(" alpn=\"{}\"", values.join(",")));
    }
    Some(text)
}

fn signature(rest: &mut Reader<'_>) -> Option<String> {
    let (kind, algorithm, labels, ttl) = (Type(rest.u16()?), rest.u8()?, rest.u8()?, rest.u32()?);
    let time = |seconds: u32| Timestamp::from_second(seconds.into()).ok().map(|time| time.strftime("%Y%m%d%H%M%S").to_string());
    let (expiration, inception, tag) = (time(rest.u32()?)?, time(rest.u32()?)?, rest.u16()?);
    let signer = name(rest)?;
    let signature = STANDARD.encode(rest.take(SIGNATURE)?);
    Some(format!("{} {algorithm} {labels} {ttl} {expiration} {inception} {tag} {signer} {signature}", word(kind)))
}

/// A name, which is whole, and one of ours: no byte of it needs an escape.
fn name(rest: &mut Reader<'_>) -> Option<String> {
    let mut text = String::new();
    loop {
        let label = rest.vec8()?.0;
        if label.is_empty() {
            return Some(if text.is_empty() { ".".into() } else { text });
        }
        text.push_str(std::str::from_utf8(label).ok()?);
        text.push('.');
    }
}

/// The types of a bitmap (RFC 4034 §4.1.2).
fn types(rest: &mut Reader<'_>) -> Option<Vec<String>> {
    let mut types = Vec::new();
    while !rest.0.is_empty() {
        let (window, bytes) = (u16::from(rest.u8()?), rest.vec8()?.0);
        let bits = bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0));
        let set = bits.zip(0_u16..).filter(|(is_set, _)| *is_set);
        types.extend(set.map(|(_, at)| word(Type(window << 8 | at))));
    }
    Some(types)
}

fn word(kind: Type) -> String {
    let word = match kind {
        Type::A => "A",
        Type::NS => "NS",
        Type::SOA => "SOA",
        Type::MX => "MX",
        Type::TXT => "TXT",
        Type::AAAA => "AAAA",
        Type::SRV => "SRV",
        Type::RRSIG => "RRSIG",
        Type::NSEC => "NSEC",
        Type::DNSKEY => "DNSKEY",
        Type::CDS => "CDS",
        Type::CDNSKEY => "CDNSKEY",
        Type::HTTPS => "HTTPS",
        Type::CAA => "CAA",
        Type(other) => return format!("TYPE{other}"),
    };
    word.into()
}

/// A string in quotes (RFC 1035 §5.1).
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            other => text.push_str(&format!("\\{other:03}")),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests;
