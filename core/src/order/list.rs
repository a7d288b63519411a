//! Keys side by side in one piece of memory: looked through by halves without a step to anywhere else.

/// Byte strings in the order in which they were put. Never more than [`u16::MAX`] bytes together: the tree above splits it long before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    bytes: Vec<u8>,
    ends: Vec<u16>,
}

impl List {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, at: usize) -> Option<&[u8]> {
        self.bytes.get(self.start(at)..usize::from(*self.ends.get(at)?))
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| usize::from(*end))
    }

    /// How many stand at the front for which `before` holds; behind them it holds for none.
    pub(super) fn partition_point(&self, before: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle).is_some_and(&before) {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        low
    }

    /// Puts `key` at `at`, which is not behind the end.
    pub(super) fn insert(&mut self, at: usize, key: &[u8]) {
        let start = self.start(at);
        self.bytes.splice(start..start, key.iter().copied());
        self.ends.insert(at, start as u16);
        self.ends.iter_mut().skip(at).for_each(|end| *end = end.saturating_add(key.len() as u16));
    }

    pub(super) fn remove(&mut self, at: usize) {
        let start = self.start(at);
        let Some(end) = self.ends.get(at).map(|end| usize::from(*end)) else { return };
        self.bytes.drain(start..end);
        self.ends.remove(at);
        let gone = end.saturating_sub(start) as u16;
        self.ends.iter_mut().skip(at).for_each(|end| *end = end.saturating_sub(gone));
    }

    /// Gives away those from `at` on.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let start = self.start(at);
        let mut ends = self.ends.split_off(at);
        ends.iter_mut().for_each(|end| *end = end.saturating_sub(start as u16));
        let bytes = self.bytes.split_off(start);
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
        Self { bytes, ends }
    }

    /// Puts all of `other` behind the end.
    pub(super) fn append(&mut self, other: &Self) {
        let before = self.bytes.len() as u16;
        self.bytes.extend_from_slice(&other.bytes);
        self.ends.extend(other.ends.iter().map(|end| end.saturating_add(before)));
    }
}
