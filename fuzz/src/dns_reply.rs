//! A reply to a question of ours: read without harm, followed to an end, and what was understood is read again as it was.

use fourward_core::name::DnsName;
use fourward_core::reply::{Data, Question, Record, Reply, ReplyError};
use fourward_core::wire::{CLASS_IN, Type};

const LINKS: usize = 8;

pub fn check(message: &[u8]) {
    let Some(reply) = Reply::parse(message) else { return };
    assert_eq!(message[..2], reply.id.to_be_bytes(), "another ID");
    assert!(message[2] & 0x80 != 0, "a question");
    if let Some((name, kind)) = &reply.question {
        let question = Question { name: name.clone(), kind: *kind, recursion: true };
        assert_eq!(question.reply(reply.id, message).as_ref(), Ok(&reply));
        assert_eq!(question.reply(!reply.id, message), Err(ReplyError::Foreign));
        if let Some(chain) = reply.chain(name, LINKS) {
            assert!(chain.links <= LINKS && (chain.links > 0 || chain.end == *name));
        }
    }
    let again = written(&reply);
    if !reply.truncated && again.len() <= fourward_core::reply::REPLY_LIMIT {
        assert_eq!(Reply::parse(&again), Some(reply));
    }
}

/// `reply` without compression; an absent name is the root.
fn written(reply: &Reply) -> Vec<u8> {
    let flags = 0x8000 | u16::from(reply.authoritative) << 10 | u16::from(reply.recursion_available) << 7;
    let sections = [&reply.answer, &reply.authority, &reply.additional];
    let counts = sections.map(|section| u16::try_from(section.len()).expect("few"));
    let head = [reply.id, flags | reply.rcode.0 & 0xF, reply.question.is_some().into(), counts[0], counts[1], counts[2] + 1];
    let mut out: Vec<u8> = head.iter().flat_map(|word| word.to_be_bytes()).collect();
    if let Some((asked, kind)) = &reply.question {
        name(&mut out, Some(asked));
        out.extend([kind.0, CLASS_IN].iter().flat_map(|word| word.to_be_bytes()));
    }
    sections.iter().for_each(|section| section.iter().for_each(|one| record(&mut out, one)));
    let [_, extended] = (reply.rcode.0 >> 4).to_be_bytes();
    out.extend([0, 0, 41, 4, 208, extended, 0, 0, 0, 0, 0]);
    out
}

fn name(out: &mut Vec<u8>, name: Option<&DnsName>) {
    for label in name.iter().flat_map(|name| name.labels()) {
        out.push(u8::try_from(label.len()).expect("a label"));
        out.extend(label.as_bytes());
    }
    out.push(0);
}

fn record(out: &mut Vec<u8>, record: &Record) {
    name(out, record.owner.as_ref());
    out.extend([record.kind.0, record.class].iter().flat_map(|word| word.to_be_bytes()));
    out.extend(record.ttl.to_be_bytes());
    let mut data = Vec::new();
    match &record.data {
        Data::A(address) => data.extend(address.octets()),
        Data::Aaaa(address) => data.extend(address.octets()),
        Data::Cname(target) | Data::Ns(target) => name(&mut data, Some(target)),
        Data::Soa(soa) => {
            name(&mut data, soa.primary.as_ref());
            data.push(0);
            data.extend(soa.serial.to_be_bytes());
            data.extend([0; 12]);
            data.extend(soa.minimum.to_be_bytes());
        }
        Data::Dnskey(key) => data.extend(key),
        Data::Ds(ds) => {
            data.extend(ds.tag.to_be_bytes());
            data.extend([ds.algorithm, ds.digest_type]);
            data.extend(&ds.digest);
        }
        Data::Txt(strings) => strings.iter().for_each(|string| {
            data.push(u8::try_from(string.len()).expect("a string"));
            data.extend(string);
        }),
        Data::Other if record.class == CLASS_IN && matches!(record.kind, Type::CNAME | Type::NS) => data.push(0),
        Data::Other => {}
    }
    out.extend(u16::try_from(data.len()).expect("it was read from as much").to_be_bytes());
    out.extend(data);
}
