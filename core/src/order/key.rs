//! A name as a key, and back.

use std::fmt;

/// What stands between two labels; less than any byte of a label that a key holds.
const BETWEEN: u8 = 0;

/// Stands before a byte that would be taken for [`BETWEEN`], or for itself: both are asked for only, no name of ours has them.
const ESCAPE: u8 = 1;

/// The longest name left of its zone in text: what a whole one can have (RFC 1035 §2.3.4).
const TEXT_LIMIT: usize = 253;

/// A key of a name of which each byte is escaped.
const KEY_LIMIT: usize = 2 * TEXT_LIMIT;

/// The key of a name: what stands left of the zone, its labels from the right. On the stack, for the sake of a question.
#[derive(Clone, Copy)]
pub struct OrderKey {
    bytes: [u8; KEY_LIMIT],
    length: usize,
}

/// What stands left of a zone, as text on the stack.
#[derive(Clone, Copy)]
pub struct Left {
    bytes: [u8; TEXT_LIMIT],
    length: usize,
}

/// The labels of the name with this key, from the left.
pub fn labels(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    key.rsplit(|byte| *byte == BETWEEN).filter(|label| !label.is_empty())
}

impl OrderKey {
    /// The key of the name with `left` in front of the zone, lower-case text with dots.
    pub fn of(left: &str) -> Self {
        Self::of_labels(left.rsplit('.').filter(|label| !label.is_empty()).map(str::as_bytes))
    }

    /// The key of the name with these labels, from the right, of any bytes. More than a name can have is cut off.
    pub fn of_labels<'a>(from_the_right: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut key = Self { bytes: [0; KEY_LIMIT], length: 0 };
        for label in from_the_right {
            if key.length > 0 {
                key.push(BETWEEN);
            }
            for byte in label {
                match byte.to_ascii_lowercase() {
                    low @ (BETWEEN | ESCAPE) => {
                        key.push(ESCAPE);
                        key.push(low.saturating_add(1));
                    }
                    byte => key.push(byte),
                }
            }
        }
        key
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length = self.length.saturating_add(1);
        }
    }

    /// Its bytes, whose order is the canonical order of the names.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Left {
    /// The name with this key, which has no bytes but those of our names.
    pub fn of(key: &[u8]) -> Self {
        Self::joined(labels(key))
    }

    /// `label` in front of `left`; without a dot where one of them is empty.
    pub fn below(label: &str, left: &str) -> Self {
        Self::joined([label.as_bytes(), left.as_bytes()].into_iter())
    }

    fn joined<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut left = Self::default();
        for part in parts.filter(|part| !part.is_empty()) {
            let dot = if left.length == 0 { &[][..] } else { b"." };
            let end = left.length.saturating_add(dot.len()).saturating_add(part.len());
            let Some(place) = left.bytes.get_mut(left.length..end) else { break };
            let (before, after) = place.split_at_mut(dot.len());
            before.copy_from_slice(dot);
            after.copy_from_slice(part);
            left.length = end;
        }
        left
    }

    /// The text, labels with dots between them; empty for the zone itself.
    pub fn as_str(&self) -> &str {
        self.bytes.get(..self.length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl Default for Left {
    fn default() -> Self {
        Self { bytes: [0; TEXT_LIMIT], length: 0 }
    }
}

impl PartialEq for Left {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Left {}

impl fmt::Debug for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Debug for OrderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}
