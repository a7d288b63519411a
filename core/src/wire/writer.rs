//! An answer is written into a buffer of the caller's, from the front, and never beyond what the client takes.
//!
//! Whatever does not fit is an error that leaves the bytes before it as they are, so that the caller can go back to a place
//! where the message was whole. Only pointers to names that stand in the question are written.

use super::{COOKIE, DNSSEC_OK, EXTENDED_ERROR, ExtendedError, OPT_SIZE, Rcode, Type};
use crate::cookie::{ClientCookie, ServerCookie};
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

/// What stands before an option's data.
const OPTION: usize = 4;

/// Both cookies.
const COOKIES: usize = size_of::<ClientCookie>() + size_of::<ServerCookie>();

/// What an OPT record of ours says.
#[allow(clippy::len_without_is_empty, reason = "it never is")]
#[derive(Clone, Copy, Debug)]
pub struct Opt<'a> {
    /// The largest UDP message that this server takes.
    pub size: u16,
    /// Of which it has the upper bits.
    pub rcode: Rcode,
    /// As the client sent it (RFC 3225 §3).
    pub dnssec_ok: bool,
    /// The client's cookie, and ours.
    pub cookie: Option<(&'a ClientCookie, ServerCookie)>,
    /// More than the code says.
    pub error: Option<ExtendedError>,
}

/// A name that many names end in.
#[derive(Clone, Copy, Debug)]
pub struct Suffix<'a> {
    /// The name.
    pub name: &'a DnsName,
    /// Its place in the message; none where names are written whole.
    pub at: Option<u16>,
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
        match name.within(suffix.name) {
            Some(left) => self.left_of(left, suffix),
            None => {
                self.labels(name.as_str())?;
                self.bytes(&[0])
            }
        }
    }

    /// Writes the name with `left` in front of `suffix`.
    ///
    /// # Errors
    /// It does not fit.
    pub fn left_of(&mut self, left: &str, suffix: Suffix<'_>) -> Result<(), Full> {
        self.labels(left)?;
        if let Some(at) = suffix.at {
            return self.pointer(at);
        }
        self.labels(suffix.name.as_str())?;
        self.bytes(&[0])
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

    /// Writes an OPT record of ours.
    ///
    /// # Errors
    /// It does not fit.
    pub fn opt(&mut self, opt: &Opt<'_>) -> Result<(), Full> {
        let flags = if opt.dnssec_ok { DNSSEC_OK } else { 0 };
        self.bytes(&[0])?;
        self.u16(Type::OPT.0)?;
        self.u16(opt.size)?;
        self.u32(u32::from(opt.rcode.0 >> 4) << 24 | flags)?;
        let options = u16::try_from(opt.len().saturating_sub(OPT_SIZE)).map_err(|_| Full)?;
        self.u16(options)?;
        if let Some((client, server)) = &opt.cookie {
            self.u16(COOKIE)?;
            self.u16(COOKIES as u16)?;
            self.bytes(*client)?;
            self.bytes(server)?;
        }
        let Some(error) = opt.error else { return Ok(()) };
        [EXTENDED_ERROR, 2, error.0].into_iter().try_for_each(|number| self.u16(number))
    }
}

impl Opt<'_> {
    /// Bytes that it takes.
    pub fn len(&self) -> usize {
        let cookie = if self.cookie.is_some() { OPTION + COOKIES } else { 0 };
        let error = if self.error.is_some() { OPTION + 2 } else { 0 };
        OPT_SIZE + cookie + error
    }
}
