//! Names as signatures and comparisons want them: whole and in lower case, wherever the pieces stood in a message.

use super::{NAME_LIMIT, Name};
use crate::name::DnsName;
use crate::reader::Reader;

/// As many as a name has labels at most: each may be somewhere else.
const JUMP_LIMIT: usize = 127;

/// A name on the wire in its canonical form (RFC 4034 §6.2): not compressed, in lower case, root included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Canonical(Box<[u8]>);

/// Reads the name at the beginning of `rest`, which is the end of `message`, wherever it points, and gives each label to `each`. `None` where it
/// breaks off, is too long, or points forwards.
pub(crate) fn follow<'a>(message: &'a [u8], rest: &mut Reader<'a>, mut each: impl FnMut(&'a [u8])) -> Option<()> {
    let (mut here, mut jumps, mut length) = (*rest, 0_usize, 1_usize);
    // Each jump leads before the place where the bytes that it ends began: the sum of all is finite.
    let mut begin = message.len().checked_sub(here.0.len())?;
    loop {
        match here.u8()? {
            0 => break,
            count @ 1..=63 => {
                length = length.checked_add(usize::from(count))?.checked_add(1)?;
                (length <= NAME_LIMIT).then_some(())?;
                each(here.take(count.into())?);
            }
            high @ 192.. => {
                let to = usize::from(u16::from_be_bytes([high & 0x3F, here.u8()?]));
                jumps = jumps.checked_add(1)?;
                if jumps == 1 {
                    *rest = here;
                }
                (to < begin && jumps <= JUMP_LIMIT).then_some(())?;
                (begin, here) = (to, Reader(message.get(to..)?));
            }
            _ => return None,
        }
    }
    if jumps == 0 {
        *rest = here;
    }
    Some(())
}

impl Canonical {
    /// The name at the beginning of `rest`, which is the end of `message`, wherever it points.
    pub(crate) fn read<'a>(message: &'a [u8], rest: &mut Reader<'a>) -> Option<Self> {
        let mut bytes = Vec::new();
        follow(message, rest, |label| push(&mut bytes, label))?;
        bytes.push(0);
        Some(Self(bytes.into()))
    }

    /// The name at the beginning of `rest`, which must not be compressed.
    pub(crate) fn whole(rest: &mut Reader<'_>) -> Option<Self> {
        super::name(rest).map(|name| Self(name.0.to_ascii_lowercase().into()))
    }

    /// `name` as it goes on the wire.
    pub fn of(name: &DnsName) -> Self {
        Self::of_labels(name.labels())
    }

    /// The name with these labels, as it goes on the wire.
    pub(crate) fn of_labels<'a>(labels: impl IntoIterator<Item = &'a str>) -> Self {
        let mut bytes = Vec::new();
        labels.into_iter().for_each(|label| push(&mut bytes, label.as_bytes()));
        bytes.push(0);
        Self(bytes.into())
    }

    /// Its bytes, root included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// It, to look at.
    pub fn name(&self) -> Name<'_> {
        Name(&self.0)
    }

    /// The same as text; `None` for the root, and where that has bytes which no name of ours has.
    pub fn text(&self) -> Option<DnsName> {
        let mut buffer = [0; NAME_LIMIT];
        self.name().text(usize::MAX, &mut buffer)?.parse().ok()
    }
}

/// A label has at most 63 bytes, wherever it comes from.
fn push(bytes: &mut Vec<u8>, label: &[u8]) {
    bytes.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
    bytes.extend(label.iter().map(u8::to_ascii_lowercase));
}
