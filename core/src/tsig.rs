//! Signed messages (TSIG, RFC 8945): whose key, over which bytes, when, and what is answered to one that is not good.
//!
//! The MAC itself is the caller's, who has the secrets and compares in constant time; here is what it covers and what follows from it. A
//! message that was accepted is not accepted again: [`Replays`].

mod replays;
mod request;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::name::DnsName;
use crate::reader::Reader;
use crate::wire::{CLASS_ANY, Canonical, HEADER, Type, question, record};

pub use replays::{Replays, Seen};

/// Seconds that two clocks may differ by, at most (RFC 8945 §10).
pub const FUDGE: u16 = 300;

/// No MAC is cut shorter (RFC 8945 §5.2.2.1).
const LEAST_MAC: usize = 10;

/// Where the header counts additional records.
const ADDITIONAL: usize = 10;

/// How MACs are made. Older algorithms are not served (RFC 8945 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
}

/// The TSIG record of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    key: Canonical,
    algorithm: Canonical,
    time: u64,
    fudge: u16,
    mac: Vec<u8>,
    original_id: u16,
    error: u16,
    other: Vec<u8>,
    /// Where the record begins, and the message that is signed ends.
    at: usize,
}

/// Why a message is not taken for its key's (RFC 8945 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The MAC has a length that none can have: no error of TSIG's, but of form.
    Form,
    /// No such key, or not with this algorithm.
    BadKey,
    /// The MAC is of another message or another secret.
    BadSig,
    /// It is too old or too new, or older than one that was accepted.
    BadTime,
    /// The MAC was cut.
    BadTrunc,
}

/// What stands where a TSIG record should is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::HmacSha256, Self::HmacSha384, Self::HmacSha512];

    /// What it is called.
    pub fn word(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
        }
    }

    /// Bytes of a whole MAC.
    pub fn mac_size(self) -> usize {
        match self {
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
            Self::HmacSha512 => 64,
        }
    }

    /// The one that `name` is, on the wire.
    fn called(name: &Canonical) -> Option<Self> {
        let name = name.text()?;
        Self::ALL.into_iter().find(|algorithm| algorithm.word() == name.as_str())
    }
}

impl Fault {
    /// The error that a TSIG record says.
    fn code(self) -> u16 {
        match self {
            Self::Form => 0,
            Self::BadSig => 16,
            Self::BadKey => 17,
            Self::BadTime => 18,
            Self::BadTrunc => 22,
        }
    }

    /// Whether the key is known to be the sender's all the same, so that the answer is signed (RFC 8945 §5.3.2).
    pub fn is_signed(self) -> bool {
        matches!(self, Self::BadTime | Self::BadTrunc)
    }
}

impl Signature {
    /// The signature of `message`, if it has one.
    ///
    /// # Errors
    /// There is one that is not as it should be, or not the last record of the message; or the message is none.
    pub fn of(message: &[u8]) -> Result<Option<Self>, Malformed> {
        Self::found(message).ok_or(Malformed)
    }

    fn found(message: &[u8]) -> Option<Option<Self>> {
        let mut rest = Reader(message);
        rest.u32()?;
        let [questions, answers, authority, additional] = [rest.u16()?, rest.u16()?, rest.u16()?, rest.u16()?];
        for _ in 0..questions {
            question(&mut rest)?;
        }
        for _ in 0..u32::from(answers).saturating_add(authority.into()) {
            (record(&mut rest)?.kind != Type::TSIG).then_some(())?;
        }
        for left in (0..additional).rev() {
            let start = rest;
            if record(&mut rest)?.kind == Type::TSIG {
                (left == 0 && rest.0.is_empty()).then_some(())?;
                return Self::read(message, start).map(Some);
            }
        }
        Some(None)
    }

    /// The record that is all of `rest`.
    fn read<'a>(message: &'a [u8], mut rest: Reader<'a>) -> Option<Self> {
        let at = message.len().checked_sub(rest.0.len())?;
        let key = Canonical::read(message, &mut rest)?;
        let (_kind, class, ttl, mut data) = (rest.u16()?, rest.u16()?, rest.u32()?, rest.vec16()?);
        (class == CLASS_ANY && ttl == 0).then_some(())?;
        let algorithm = Canonical::whole(&mut data)?;
        let (high, low) = (data.u16()?, data.u32()?);
        let time = u64::from(high) << 32 | u64::from(low);
        let (fudge, mac) = (data.u16()?, data.vec16()?.0.to_vec());
        let (original_id, error, other) = (data.u16()?, data.u16()?, data.vec16()?.0.to_vec());
        data.0.is_empty().then_some(Self { key, algorithm, time, fudge, mac, original_id, error, other, at })
    }

    /// The key that it names.
    pub fn key(&self) -> Option<DnsName> {
        self.key.text()
    }

    /// When it was made, in seconds since 1970.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// Its MAC.
    pub fn mac(&self) -> &[u8] {
        &self.mac
    }

    /// Whether `message`, of which it is, comes from who has the key, now. `is_of` is given the key's name, what its MAC covers, and the MAC,
    /// cut as it may be; it says whether that is the beginning of the right one, and `None` where there is no such key.
    ///
    /// # Errors
    /// Why it is not good. The checks are in the order of RFC 8945 §5.2.
    pub fn verify(
        &self,
        message: &[u8],
        now: u64,
        is_of: impl FnOnce(&DnsName, Algorithm, &[u8], &[u8]) -> Option<bool>,
    ) -> Result<(), Fault> {
        self.check(self.covered(message), now, is_of)
    }

    fn check(
        &self,
        covered: Vec<u8>,
        now: u64,
        is_of: impl FnOnce(&DnsName, Algorithm, &[u8], &[u8]) -> Option<bool>,
    ) -> Result<(), Fault> {
        let (Some(key), Some(algorithm)) = (self.key(), Algorithm::called(&self.algorithm)) else { return Err(Fault::BadKey) };
        let whole = algorithm.mac_size();
        let fits = (LEAST_MAC.max(whole / 2)..=whole).contains(&self.mac.len());
        // Of no use without a MAC of a length that counts; that the key is there is said all the same.
        match is_of(&key, algorithm, &covered, &self.mac) {
            None => return Err(Fault::BadKey),
            Some(_) if !fits => return Err(Fault::Form),
            Some(false) => return Err(Fault::BadSig),
            Some(true) => {}
        }
        // A client that says more would have its messages good for longer, to whoever overheard them.
        if now.abs_diff(self.time) > u64::from(self.fudge.min(FUDGE)) {
            return Err(Fault::BadTime);
        }
        if self.mac.len() < whole { Err(Fault::BadTrunc) } else { Ok(()) }
    }

    /// What the MAC of a request covers (RFC 8945 §4.3.3).
    fn covered(&self, message: &[u8]) -> Vec<u8> {
        let mut covered = message.get(..self.at).unwrap_or_default().to_vec();
        put(&mut covered, 0, self.original_id);
        count(&mut covered, |additional| additional.saturating_sub(1));
        self.variables(&mut covered);
        covered
    }

    /// What of the record itself is covered.
    fn variables(&self, covered: &mut Vec<u8>) {
        covered.extend(self.key.as_bytes());
        covered.extend(CLASS_ANY.to_be_bytes());
        covered.extend([0; 4]);
        covered.extend(self.algorithm.as_bytes());
        self.timers(covered);
        covered.extend(self.error.to_be_bytes());
        counted(covered, &self.other);
    }

    fn timers(&self, covered: &mut Vec<u8>) {
        covered.extend(self.time.to_be_bytes().iter().skip(2));
        covered.extend(self.fudge.to_be_bytes());
    }

    /// Signs `response` to the message that this is of, at `now`, and says `fault` where there is one. `make` gives the MAC of what it is
    /// given; it is not asked where the answer is not to be signed.
    /// Returns the signature of ours.
    pub fn answer(&self, response: &mut Vec<u8>, now: u64, fault: Option<Fault>, make: impl FnOnce(&[u8]) -> Vec<u8>) -> Self {
        let mut own = self.blank(response, now);
        if let Some(fault) = fault {
            own.error = fault.code();
            // The client's own time, which it trusts; ours beside it where that is what is wrong (RFC 8945 §5.2.3).
            (own.time, own.fudge) = (self.time, self.fudge);
            if fault == Fault::BadTime {
                own.other = now.to_be_bytes().iter().skip(2).copied().collect();
            }
        }
        if fault.is_none_or(Fault::is_signed) {
            let mut covered = Vec::new();
            counted(&mut covered, &self.mac);
            covered.extend(response.as_slice());
            own.variables(&mut covered);
            own.mac = make(&covered);
        }
        own.append(response);
        own
    }

    /// Signs the next message of an answer by TCP that has several, of which this is the last signature of ours (RFC 8945 §5.3.1).
    #[must_use]
    pub fn following(&self, message: &mut Vec<u8>, now: u64, make: impl FnOnce(&[u8]) -> Vec<u8>) -> Self {
        let mut own = self.blank(message, now);
        let mut covered = Vec::new();
        counted(&mut covered, &self.mac);
        covered.extend(message.as_slice());
        own.timers(&mut covered);
        own.mac = make(&covered);
        own.append(message);
        own
    }

    /// One of ours with the same key, of `message` as it is so far.
    fn blank(&self, message: &[u8], now: u64) -> Self {
        Self::unmade((self.key.clone(), self.algorithm.clone()), message, now)
    }

    /// A signature of `message` as it is so far, yet without its MAC, with this key and algorithm.
    fn unmade((key, algorithm): (Canonical, Canonical), message: &[u8], now: u64) -> Self {
        let original_id = message.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
        let (mac, other) = (Vec::new(), Vec::new());
        Self { key, algorithm, time: now, fudge: FUDGE, mac, original_id, error: 0, other, at: message.len() }
    }

    fn append(&self, message: &mut Vec<u8>) {
        let mut data = self.algorithm.as_bytes().to_vec();
        self.timers(&mut data);
        counted(&mut data, &self.mac);
        data.extend(self.original_id.to_be_bytes());
        data.extend(self.error.to_be_bytes());
        counted(&mut data, &self.other);
        message.extend(self.key.as_bytes());
        message.extend(Type::TSIG.0.to_be_bytes());
        message.extend(CLASS_ANY.to_be_bytes());
        message.extend([0; 4]);
        counted(message, &data);
        count(message, |additional| additional.saturating_add(1));
    }

    /// The most that [`Signature::answer`] adds to a message.
    pub fn answer_size(&self) -> usize {
        const FIXED: usize = 32;
        const LONGEST_MAC: usize = 64;
        self.key.as_bytes().len().saturating_add(self.algorithm.as_bytes().len()).saturating_add(FIXED + LONGEST_MAC)
    }
}

/// The secret in the text of a key file: base64 alone, or behind the word `secret` as `tsig-keygen` and `keymgr -t` write it.
pub fn secret_in(text: &str) -> Option<Vec<u8>> {
    let words = || text.split(|c: char| c.is_whitespace() || matches!(c, '"' | ';' | '{' | '}')).filter(|word| !word.is_empty());
    let word = match words().position(|word| matches!(word, "secret" | "secret:")) {
        Some(at) => words().nth(at.checked_add(1)?)?,
        None => words().next().filter(|_| words().count() == 1)?,
    };
    STANDARD.decode(word).ok().filter(|secret| !secret.is_empty())
}

/// `bytes` behind their length. What is longer than that can say is none of ours.
fn counted(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend(u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
    to.extend(bytes);
}

fn put(message: &mut [u8], at: usize, number: u16) {
    if let Some(place) = message.get_mut(at..at.saturating_add(2)) {
        place.copy_from_slice(&number.to_be_bytes());
    }
}

/// Changes the number of additional records in a header.
fn count(message: &mut [u8], change: impl Fn(u16) -> u16) {
    if let Some([high, low]) = message.get(ADDITIONAL..HEADER) {
        let new = change(u16::from_be_bytes([*high, *low]));
        put(message, ADDITIONAL, new);
    }
}

#[cfg(test)]
mod tests;
