//! An answer is written into a buffer of the caller's, from the front, and never beyond what the client takes.
//!
//! Whatever does not fit is an error that leaves the bytes before it as they are, so that the caller can go back to a place
//! where the message was whole. Only pointers to names that stand in the question are written.

use super::{DNSSEC_OK, Rcode, Type};
use crate::name::DnsName;

/// The buffer's end, or the size that the client takes, is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Writes a message into a buffer that is given, up to a limit.
#[derive(Debug)]
pub struct Writer<'b> {
    out: &'b mut [u8],
    at: usize,
    limit: usize,
}

/// Where a name that many names end in was written.
#[derive(Clone, Copy, Debug)]
pub struct Suffix<'a> {
    /// The name.
    pub name: &'a DnsName,
    /// Its place in the message.
    pub at: u16,
}

impl<'b> Writer<'b> {
    /// Writes at most `limit` bytes into `out`.
    pub fn new(out: &'b mut [u8], limit: usize) -> Self {
        let limit = limit.min(out.len());
        Self { out, at: 0, limit }
    }

    /// How many bytes there are so far.
    pub fn len(&self) -> usize {
        self.at
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.at == 0
    }

    /// Takes back everything after the first `length` bytes.
    pub fn rewind(&mut self, length: usize) {
        self.at = self.at.min(length);
    }

    /// Keeps the last `bytes` below the limit for [`Writer::release`].
    ///
    /// # Errors
    /// So many are not there.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), Full> {
        self.limit = self.limit.checked_sub(bytes).filter(|limit| *limit >= self.at).ok_or(Full)?;
        Ok(())
    }

    /// Gives back what was reserved.
    pub fn release(&mut self, bytes: usize) {
        self.limit = self.limit.saturating_add(bytes).min(self.out.len());
    }

    /// Writes `bytes`, all or none.
    ///
    /// # Errors
    /// They do not fit.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.at.checked_add(bytes.len()).filter(|end| *end <= self.limit).ok_or(Full)?;
        self.out.get_mut(self.at..end).ok_or(Full)?.copy_from_slice(bytes);
        self.at = end;
        Ok(())
    }

    /// Writes a number of 16 bits.
    ///
    /// # Errors
    /// It does not fit.
    pub fn u16(&mut self, value: u16) -> Result<(), Full> {
        self.bytes(&value.to_be_bytes())
    }

    /// Writes a number of 32 bits.
    ///
    /// # Errors
    /// It does not fit.
    pub fn u32(&mut self, value: u32) -> Result<(), Full> {
        self.bytes(&value.to_be_bytes())
    }

    /// Writes `bytes` behind their length, as labels and strings are; at most 255 of them.
    ///
    /// # Errors
    /// They do not fit.
    pub fn counted(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.bytes(&[u8::try_from(bytes.len()).map_err(|_| Full)?])?;
        self.bytes(bytes)
    }

    /// Writes a pointer to the name at `place` (RFC 1035 §4.1.4).
    ///
    /// # Errors
    /// It does not fit.
    pub fn pointer(&mut self, place: u16) -> Result<(), Full> {
        self.u16(0xC000 | place)
    }

    /// Writes `name`, its end as a pointer where it ends in `suffix`.
    ///
    /// # Errors
    /// It does not fit.
    pub fn name(&mut self, name: &DnsName, suffix: Suffix<'_>) -> Result<(), Full> {
        let (left, below) = match name.within(suffix.name) {
            Some(left) => (left, true),
            None => (name.as_str(), false),
        };
        self.labels(left)?;
        if below { self.pointer(suffix.at) } else { self.bytes(&[0]) }
    }

    /// Writes the labels of `name`, without the root.
    ///
    /// # Errors
    /// They do not fit.
    pub fn labels(&mut self, name: &str) -> Result<(), Full> {
        name.split('.').filter(|label| !label.is_empty()).try_for_each(|label| self.counted(label.as_bytes()))
    }

    /// Writes a number of 16 bits over what stands at `place`.
    pub fn patch(&mut self, place: usize, value: u16) {
        let end = place.saturating_add(2);
        if let Some(there) = self.out.get_mut(place..end) {
            there.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// Writes an OPT record of ours: `size` is what this server takes, `rcode` gives its upper bits.
    ///
    /// # Errors
    /// It does not fit.
    pub fn opt(&mut self, size: u16, rcode: Rcode, dnssec_ok: bool) -> Result<(), Full> {
        let flags = if dnssec_ok { DNSSEC_OK } else { 0 };
        self.bytes(&[0])?;
        self.u16(Type::OPT.0)?;
        self.u16(size)?;
        self.u32(u32::from(rcode.0 >> 4) << 24 | flags)?;
        self.u16(0)
    }
}
