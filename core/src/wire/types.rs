//! The types that a name has, as a record of NSEC says them (RFC 4034 §4.1.2).

use super::{Full, Type, Writer};

/// Types, of those that this server knows: the first 128 and CAA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypeSet {
    /// Type 0 is the highest bit, as on the wire.
    first: u128,
    caa: bool,
}

impl TypeSet {
    /// These, and `kind`.
    #[must_use]
    pub fn with(self, kind: Type) -> Self {
        if kind == Type::CAA {
            return Self { caa: true, ..self };
        }
        Self { first: self.first | (1_u128 << 127).checked_shr(kind.0.into()).unwrap_or(0), ..self }
    }

    /// Writes the windows that are not empty, each as short as it can be.
    ///
    /// # Errors
    /// They do not fit.
    pub fn write(self, writer: &mut Writer<'_>) -> Result<(), Full> {
        let bytes = self.first.to_be_bytes();
        let used = bytes.len().saturating_sub((self.first.trailing_zeros() / 8) as usize);
        if let Some(used) = bytes.get(..used).filter(|used| !used.is_empty()) {
            writer.bytes(&[0])?;
            writer.counted(used)?;
        }
        // Window 1 begins with type 256.
        if self.caa { writer.bytes(&[1, 1, 0x40]) } else { Ok(()) }
    }
}
