//! A validator by RFC 4035 §5, of other code than ours: it believes nothing that is not signed, and finds out by the proofs alone what is.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};

/// Labels in lower case, from the left.
pub(super) type Name = Vec<Vec<u8>>;

/// What an answer proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proven {
    There,
    NoSuchType,
    NoSuchName,
}

/// Whom it trusts.
pub(super) struct Anchor {
    pub(super) zone: Name,
    pub(super) algorithm: u8,
    pub(super) tag: u16,
    pub(super) public: Vec<u8>,
    pub(super) now: u32,
}

#[derive(Clone, Debug)]
struct Record {
    section: usize,
    owner: Name,
    kind: u16,
    ttl: u32,
    /// With whole names, in lower case.
    data: Vec<u8>,
}

/// Records that were signed.
#[derive(Clone, Debug)]
struct Set {
    owner: Name,
    kind: u16,
    data: Vec<Vec<u8>>,
    /// How many labels the name has that was signed, where it is a wildcard's.
    expanded: Option<usize>,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn name_at(message: &[u8], mut at: usize) -> (Name, usize) {
    let (mut name, mut end) = (Name::new(), None);
    loop {
        match message[at] {
            0 => return (name, end.unwrap_or(at + 1)),
            192.. => {
                end = end.or(Some(at + 2));
                at = usize::from(u16_at(message, at) & 0x3FFF);
            }
            length => {
                name.push(message[at + 1..=at + usize::from(length)].to_ascii_lowercase());
                at += 1 + usize::from(length);
            }
        }
    }
}

fn wire(name: &Name) -> Vec<u8> {
    let labels = name.iter().map(|label| [&[u8::try_from(label.len()).expect("short")], &label[..]].concat());
    labels.chain([vec![0]]).collect::<Vec<_>>().concat()
}

/// The data of a record, its names whole: as many as `numbers` bytes stand before.
fn whole(message: &[u8], kind: u16, start: usize, end: usize) -> Vec<u8> {
    let (numbers, names) = match kind {
        2 => (0, 1),
        6 => (0, 2),
        15 => (2, 1),
        _ => return message[start..end].to_vec(),
    };
    let (mut data, mut at) = (message[start..start + numbers].to_vec(), start + numbers);
    for _ in 0..names {
        let (name, next) = name_at(message, at);
        data.extend(wire(&name));
        at = next;
    }
    [&data, &message[at..end]].concat()
}

fn read(message: &[u8]) -> Vec<Record> {
    let (_, question) = name_at(message, 12);
    let (mut at, mut records) = (question + 4, Vec::new());
    for section in 1..4 {
        for _ in 0..u16_at(message, 4 + 2 * section) {
            let (owner, end) = name_at(message, at);
            let (start, length) = (end + 10, usize::from(u16_at(message, end + 8)));
            let kind = u16_at(message, end);
            records.push(Record { section, owner, kind, ttl: u32_at(message, end + 4), data: whole(message, kind, start, start + length) });
            at = start + length;
        }
    }
    records.retain(|record| record.kind != 41);
    records
}

impl Anchor {
    /// What `reply` proves of its question. An error is what a resolver would call bogus.
    pub(super) fn validate(&self, reply: &[u8]) -> Result<Proven, String> {
        let (asked, end) = name_at(reply, 12);
        let kind = u16_at(reply, end);
        let sets = self.sets(&read(reply))?;
        let nsecs: Vec<&Set> = sets.iter().filter(|set| set.kind == 47 && set.expanded.is_none()).collect();
        let (rcode, answers) = (u16_at(reply, 2) & 0xF, u16_at(reply, 6));
        if answers > 0 {
            let set =
                sets.iter().find(|set| set.owner == asked && (set.kind == kind || kind == 255)).ok_or("no such records in the answer")?;
            return match set.expanded {
                None => Ok(Proven::There),
                Some(labels) => {
                    let cover = covering(&nsecs, &asked).ok_or("nothing says that the wildcard may stand in")?;
                    let encloser = encloser(cover, &asked);
                    if encloser.len() == labels { Ok(Proven::There) } else { Err("the wildcard is not the closest one".into()) }
                }
            };
        }
        if !sets.iter().any(|set| set.kind == 6 && set.owner == self.zone) {
            return Err("no start of authority".into());
        }
        let has_not = |set: &&Set| ![kind, 5].iter().any(|kind| types(set).contains(kind));
        if let Some(own) = nsecs.iter().find(|set| set.owner == asked) {
            return if rcode == 0 && has_not(own) { Ok(Proven::NoSuchType) } else { Err(format!("it is there: {own:?}")) };
        }
        let cover = covering(&nsecs, &asked).ok_or("nothing covers the name")?;
        if below(&next(cover), &asked) {
            return if rcode == 0 { Ok(Proven::NoSuchType) } else { Err("an empty name is there".into()) };
        }
        let wildcard: Name = [vec![b"*".to_vec()], encloser(cover, &asked)].concat();
        if let Some(own) = nsecs.iter().find(|set| set.owner == wildcard) {
            return if rcode == 0 && has_not(own) { Ok(Proven::NoSuchType) } else { Err(format!("a wildcard is there: {own:?}")) };
        }
        covering(&nsecs, &wildcard).ok_or("nothing covers the wildcard")?;
        if rcode == 3 { Ok(Proven::NoSuchName) } else { Err("there is no such name, and it is not said".into()) }
    }

    /// All sets of records, each with a good signature.
    fn sets(&self, records: &[Record]) -> Result<Vec<Set>, String> {
        let mut sets = Vec::new();
        for first in records.iter().filter(|record| record.kind != 46) {
            let same = |record: &&Record| (record.section, &record.owner, record.kind) == (first.section, &first.owner, first.kind);
            let data: Vec<_> = records.iter().filter(same).map(|record| record.data.clone()).collect();
            let of_it = |record: &&Record| record.kind == 46 && record.section == first.section && record.owner == first.owner;
            let signature = records
                .iter()
                .filter(of_it)
                .find(|record| (u16_at(&record.data, 0), u16_at(&record.data, 16), record.ttl) == (first.kind, self.tag, first.ttl));
            let signature = signature.ok_or_else(|| format!("type {} of {:?} is not signed", first.kind, first.owner))?;
            let expanded = self.check(first, &data, &signature.data)?;
            sets.push(Set { owner: first.owner.clone(), kind: first.kind, data, expanded });
        }
        Ok(sets)
    }

    fn check(&self, first: &Record, data: &[Vec<u8>], signature: &[u8]) -> Result<Option<usize>, String> {
        let (labels, ttl) = (usize::from(signature[3]), u32_at(signature, 4));
        let (signer, end) = name_at(signature, 18);
        let named = first.owner.iter().filter(|label| *label != b"*").count();
        let is_good = signer == self.zone
            && (signature[2], u16_at(signature, 16)) == (self.algorithm, self.tag)
            && (u32_at(signature, 12)..u32_at(signature, 8)).contains(&self.now)
            && first.ttl <= ttl
            && labels <= named;
        if !is_good {
            return Err(format!("a signature does not fit: {first:?}"));
        }
        let expanded = (labels < named).then_some(labels);
        let owner = match expanded {
            Some(labels) => [vec![b"*".to_vec()], first.owner[first.owner.len() - labels..].to_vec()].concat(),
            None => first.owner.clone(),
        };
        let mut data = data.to_vec();
        data.sort();
        let mut message = signature[..end].to_vec();
        for data in data {
            message.extend(wire(&owner));
            message.extend([first.kind.to_be_bytes(), [0, 1]].concat());
            message.extend(ttl.to_be_bytes());
            message.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
            message.extend(data);
        }
        let (algorithm, public): (&dyn VerificationAlgorithm, _) = match self.algorithm {
            13 => (&ECDSA_P256_SHA256_FIXED, [&[4], &*self.public].concat()),
            _ => (&ED25519, self.public.clone()),
        };
        let verified = UnparsedPublicKey::new(algorithm, public).verify(&message, &signature[end..]);
        verified.map(|()| expanded).map_err(|_| format!("the signature is another's: {first:?}"))
    }
}

fn next(nsec: &Set) -> Name {
    name_at(&nsec.data[0], 0).0
}

fn types(nsec: &Set) -> Vec<u16> {
    let (_, mut at) = name_at(&nsec.data[0], 0);
    let (bytes, mut types) = (&nsec.data[0], Vec::new());
    while at < bytes.len() {
        let (window, length) = (u16::from(bytes[at]), usize::from(bytes[at + 1]));
        let bits = (0..length * 8).filter(|bit| bytes[at + 2 + bit / 8] & (0x80 >> (bit % 8)) != 0);
        types.extend(bits.map(|bit| window << 8 | u16::try_from(bit).expect("a bit")));
        at += 2 + length;
    }
    assert!(types.contains(&46) && types.contains(&47), "what proves is there too");
    types
}

/// The order of RFC 4034 §6.1.
fn order(one: &Name, other: &Name) -> std::cmp::Ordering {
    one.iter().rev().cmp(other.iter().rev())
}

fn below(name: &Name, above: &Name) -> bool {
    name.len() > above.len() && name.ends_with(above)
}

fn covering<'s>(nsecs: &[&'s Set], name: &Name) -> Option<&'s Set> {
    let covers = |set: &&&Set| {
        let after_owner = order(&set.owner, name).is_lt();
        let next = next(set);
        after_owner && (order(name, &next).is_lt() || order(&next, &set.owner).is_le())
    };
    nsecs.iter().find(covers).copied()
}

/// The longest name above `name` that the proof shows to exist.
fn encloser(cover: &Set, name: &Name) -> Name {
    let common = |other: &Name| name.iter().rev().zip(other.iter().rev()).take_while(|(one, other)| one == other).count();
    let labels = common(&cover.owner).max(common(&next(cover)));
    name[name.len() - labels..].to_vec()
}
