//! The stream of handshake bytes that CRYPTO frames carry, in whatever order and pieces they come (RFC 9000 §19.6).

use std::ops::Range;

/// No hello that anybody sends comes near this: a post-quantum one has less than 2 KiB.
pub(super) const LIMIT: usize = 16 * 1024;

/// Pieces with nothing between them. Clients that confuse censors send a hello in a dozen.
const PIECES: usize = 64;

/// Frames that no server would take for the beginning of a handshake, or not for the same as another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// The bytes so far.
#[derive(Debug, Default)]
pub(super) struct Crypto {
    bytes: Vec<u8>,
    /// What of them has come: apart from each other, in order.
    here: Vec<Range<usize>>,
}

impl Crypto {
    /// Puts `data` where it belongs. What is there already must be the same: else we and the home might read two hellos.
    pub(super) fn add(&mut self, offset: u64, data: &[u8]) -> Result<(), Broken> {
        let from = usize::try_from(offset).map_err(|_| Broken)?;
        let to = from.checked_add(data.len()).filter(|to| *to <= LIMIT).ok_or(Broken)?;
        if data.is_empty() {
            return Ok(());
        }
        if self.bytes.len() < to {
            self.bytes.resize(to, 0);
        }
        for old in &self.here {
            let both = old.start.max(from)..old.end.min(to);
            if both.start < both.end && self.bytes.get(both.clone()) != data.get(both.start - from..both.end - from) {
                return Err(Broken);
            }
        }
        self.bytes.get_mut(from..to).ok_or(Broken)?.copy_from_slice(data);
        self.join(from..to)
    }

    /// Bytes of memory: a single one may stand far from the beginning.
    pub(super) fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// The bytes that nothing is missing before.
    pub(super) fn beginning(&self) -> &[u8] {
        let end = self.here.first().filter(|first| first.start == 0).map_or(0, |first| first.end);
        self.bytes.get(..end).unwrap_or_default()
    }

    fn join(&mut self, mut new: Range<usize>) -> Result<(), Broken> {
        self.here.retain(|old| {
            let apart = old.end < new.start || new.end < old.start;
            if !apart {
                new = new.start.min(old.start)..new.end.max(old.end);
            }
            apart
        });
        if self.here.len() == PIECES {
            return Err(Broken);
        }
        let at = self.here.partition_point(|old| old.start < new.start);
        self.here.insert(at, new);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_the_same_twice_is_broken() {
        let mut crypto = Crypto::default();
        assert_eq!(crypto.add(2, b"cdef"), Ok(()));
        assert_eq!(crypto.beginning(), b"");
        assert_eq!(crypto.add(0, b"abcd"), Ok(()));
        assert_eq!(crypto.beginning(), b"abcdef");
        assert_eq!(crypto.add(3, b"de"), Ok(()), "again");
        assert_eq!(crypto.add(5, b"xg"), Err(Broken));
        assert_eq!(crypto.beginning(), b"abcdef");
    }

    #[test]
    fn there_is_room_for_so_much_and_no_more() {
        let mut crypto = Crypto::default();
        assert_eq!(crypto.add(LIMIT as u64 - 1, b"x"), Ok(()));
        assert_eq!(crypto.add(LIMIT as u64, b"x"), Err(Broken));
        assert_eq!(crypto.add(u64::MAX, b"x"), Err(Broken));
        let mut crypto = Crypto::default();
        for piece in 0..PIECES as u64 {
            assert_eq!(crypto.add(2 * piece, b"x"), Ok(()));
        }
        assert_eq!(crypto.add(1, b"x"), Ok(()), "joins two");
        assert_eq!(crypto.add(2 * PIECES as u64, b"x"), Ok(()));
        assert_eq!(crypto.add(2 * PIECES as u64 + 2, b"x"), Err(Broken));
    }

    proptest! {
        #[test]
        fn any_pieces_in_any_order_are_the_whole(
            whole in proptest::collection::vec(any::<u8>(), 1..300),
            cuts in proptest::collection::vec((0_usize..300, 0_usize..300), 0..20),
            seed in any::<u64>(),
        ) {
            let length = whole.len();
            let mut pieces: Vec<_> = cuts.into_iter().map(|(a, b)| (a % length).min(b % length)..(a % length).max(b % length)).collect();
            // Whatever is random leaves nothing out.
            pieces.extend((0..length).step_by(37).map(|from| from..(from + 37).min(length)));
            let mut seed = seed;
            pieces.sort_by_cached_key(|_| { seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1); seed });
            let mut crypto = Crypto::default();
            let mut there = vec![false; length];
            for piece in pieces {
                prop_assert_eq!(crypto.add(piece.start as u64, &whole[piece.clone()]), Ok(()));
                there[piece].fill(true);
                let until = there.iter().position(|there| !there).unwrap_or(length);
                prop_assert_eq!(crypto.beginning(), &whole[..until]);
            }
            prop_assert_eq!(crypto.beginning(), &whole[..]);
        }
    }
}
