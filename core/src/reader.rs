//! Bytes from the network, taken from the front: what is not there is `None`, and nothing is ever indexed.
//!
//! What the binary formats here (DNS, TLS) have in common. Numbers are in network order.

/// Bytes that were not read yet. Every method is `None` where they do not suffice.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// One byte.
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    /// Two bytes.
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Three bytes.
    pub(crate) fn u24(&mut self) -> Option<usize> {
        let [high, middle, low] = self.array()?;
        usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()
    }

    /// Four bytes.
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// A vector behind its length in one byte (RFC 8446 §3.4).
    pub(crate) fn vec8(&mut self) -> Option<Reader<'a>> {
        let length = self.u8()?;
        self.take(length.into()).map(Reader)
    }

    /// A vector behind its length in two bytes.
    pub(crate) fn vec16(&mut self) -> Option<Reader<'a>> {
        let length = self.u16()?;
        self.take(length.into()).map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_taken_and_what_is_not_is_none() {
        let mut reader = Reader(&[1, 0, 2, 0, 0, 3, 2, 7, 8, 0, 1, 9, 5]);
        assert_eq!((reader.u8(), reader.u16(), reader.u24()), (Some(1), Some(2), Some(3)));
        assert_eq!(reader.vec8().map(|inner| inner.0), Some(&[7, 8][..]));
        assert_eq!(reader.vec16().map(|inner| inner.0), Some(&[9][..]));
        assert_eq!((reader.u32(), reader.vec8().is_none()), (None, true));
    }
}
