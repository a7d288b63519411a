//! Puts datagrams of one flow together, so that they go through the kernel in one piece.

use std::io::IoSlice;

use crate::mmsg::segments::{Ends, MESSAGE_LIMIT, Message, Run, SEGMENTS};

/// As few messages as have the datagrams of `runs` in their order, to `to`.
pub(super) fn gather<'a>(runs: impl Iterator<Item = Run<'a>>, to: Option<Ends>) -> Vec<Message<'a>> {
    let mut messages: Vec<Growing<'a>> = Vec::new();
    for run in runs {
        let segment = if run.segment == 0 { run.bytes.len() } else { run.segment };
        let count = run.bytes.len().div_ceil(segment.max(1)).max(1);
        let piece = Piece { bytes: run.bytes, segment, count };
        if !messages.last_mut().is_some_and(|last| last.takes(&piece)) {
            messages.push(Growing { pieces: vec![IoSlice::new(run.bytes)], segment, count, bytes: run.bytes.len() });
        }
    }
    let message = |Growing { pieces, segment, count, .. }| Message { pieces, segment: if count > 1 { segment } else { 0 }, to };
    messages.into_iter().map(message).collect()
}

struct Piece<'a> {
    bytes: &'a [u8],
    segment: usize,
    count: usize,
}

struct Growing<'a> {
    pieces: Vec<IoSlice<'a>>,
    segment: usize,
    count: usize,
    bytes: usize,
}

impl<'a> Growing<'a> {
    /// Takes `piece` as its next datagrams, if the kernel would cut them out of the whole as they are.
    fn takes(&mut self, piece: &Piece<'a>) -> bool {
        let whole = self.bytes > 0 && self.bytes == self.segment.saturating_mul(self.count);
        let alike = piece.segment == self.segment || piece.count == 1 && piece.segment < self.segment;
        let fits = self.count.saturating_add(piece.count) <= SEGMENTS && self.bytes.saturating_add(piece.bytes.len()) <= MESSAGE_LIMIT;
        if !(whole && alike && fits) || piece.bytes.is_empty() {
            return false;
        }
        self.pieces.push(IoSlice::new(piece.bytes));
        self.count = self.count.saturating_add(piece.count);
        self.bytes = self.bytes.saturating_add(piece.bytes.len());
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(bytes: &[u8], segment: usize) -> Run<'_> {
        Run { bytes, segment, ends: None }
    }

    /// What the kernel makes of a message.
    fn cut(message: &Message<'_>) -> Vec<Vec<u8>> {
        let whole: Vec<u8> = message.pieces.iter().flat_map(|piece| piece.to_vec()).collect();
        let size = if message.segment == 0 { whole.len().max(1) } else { message.segment };
        if whole.is_empty() { vec![whole] } else { whole.chunks(size).map(<[u8]>::to_vec).collect() }
    }

    #[test]
    fn datagrams_of_one_size_go_together_with_a_shorter_last() {
        let (long, short) = ([1; 1_200], [2; 700]);
        let messages = gather([run(&long, 0), run(&long, 0), run(&short, 0), run(&long, 0)].into_iter(), None);
        assert_eq!(messages.iter().map(|message| (message.pieces.len(), message.segment)).collect::<Vec<_>>(), [(3, 1_200), (1, 0)]);
        let many = vec![run(&long, 0); 100];
        let messages = gather(many.into_iter(), None);
        assert_eq!(messages.iter().map(|message| message.pieces.len()).collect::<Vec<_>>(), [54, 46], "as many as one may be long");
        let tiny = vec![run(&long[..10], 0); 100];
        assert_eq!(gather(tiny.into_iter(), None).first().map(|message| message.pieces.len()), Some(SEGMENTS));
    }

    proptest! {
        #[test]
        fn what_is_put_together_is_cut_into_what_it_was(sizes in prop::collection::vec((0_usize..1_500, 1_usize..50, 0_usize..1_500), 0..64)) {
            let memory: Vec<(Vec<u8>, usize)> = sizes
                .into_iter()
                .map(|(segment, count, last)| {
                    let length = if segment == 0 { 0 } else { (segment * count + last.min(segment)).min(60_000) };
                    (vec![length as u8; length], if length > segment { segment } else { 0 })
                })
                .collect();
            let runs = || memory.iter().map(|(bytes, segment)| run(bytes, *segment));
            let before: Vec<Vec<u8>> = runs().flat_map(|run| run.datagrams().map(<[u8]>::to_vec)).collect();
            let messages = gather(runs(), None);
            let after: Vec<Vec<u8>> = messages.iter().flat_map(cut).collect();
            prop_assert_eq!(before, after);
            for message in &messages {
                let bytes: usize = message.pieces.iter().map(|piece| piece.len()).sum();
                prop_assert!(bytes <= MESSAGE_LIMIT && (message.segment == 0 || bytes.div_ceil(message.segment) <= SEGMENTS));
            }
        }
    }
}
