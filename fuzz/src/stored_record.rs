//! A record of the store: a byte for the table, a line for the key, the rest is the value. What is understood is written as it was
//! understood.

use fourward_core::change::{Key, Record};
use fourward_core::dnssec::Unit;
use fourward_core::state::State;
use fourward_core::stored::{Table, decode, encode, place};

pub fn check(bytes: &[u8]) {
    let Some((table, rest)) = bytes.split_first() else { return };
    let table = Table::ALL[usize::from(*table) % Table::ALL.len()];
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let Ok(key) = std::str::from_utf8(&rest[..end]) else { return };
    let Ok(record) = decode(table, key, rest.get(end + 1..).unwrap_or_default()) else { return };
    assert_eq!(place(&key_of(&record)), (table, key.to_owned()), "it would be written elsewhere");
    let value = encode(&record).expect("what was read can be written");
    assert_eq!(decode(table, key, &value).expect("what we write ourselves"), record);
    let mut state = State::default();
    state.restore(record.clone());
    // The signatures of a host that is not there are nobody's.
    let kept = Some(record.clone()).filter(|record| !matches!(record, Record::Signatures(Unit::Host(_), _)));
    assert_eq!(state.record(&key_of(&record)), kept);
}

fn key_of(record: &Record) -> Key {
    match record {
        Record::Zone(name, _) => Key::Zone(name.clone()),
        Record::Host(name, _) => Key::Host(name.clone()),
        Record::Tombstone(name, _) => Key::Tombstone(name.clone()),
        Record::Challenge(name, _) => Key::Challenge(name.clone()),
        Record::Account(url, _) => Key::Account(url.clone()),
        Record::Certificate(name, _) => Key::Certificate(name.clone()),
        Record::Identity(_) => Key::Identity,
        Record::ZoneKeys(name, _) => Key::ZoneKeys(name.clone()),
        Record::Signatures(unit, _) => Key::Signatures(unit.clone()),
    }
}
