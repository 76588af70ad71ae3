//! The range of received bytes that a buffered read has moved out of the stack. No slice can be lent out of the stack's
//! lock, so the stream holds the head range itself; unbuffered reads take from it first, whoever makes them.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::buffer::Slice;

/// A range and how much of it was read. Reading needs no `&mut`, since tokio's `try_read` has none to give.
#[derive(Debug, Default)]
pub(super) struct Head {
    range: Option<Slice>,
    taken: AtomicUsize,
}

impl Head {
    /// The bytes not read yet.
    pub(super) fn bytes(&self) -> &[u8] {
        self.rest(self.taken.load(Ordering::Acquire))
    }

    /// Replaces a head that was read to its end.
    pub(super) fn fill(&mut self, range: Slice) {
        *self = Head { range: (!range.is_empty()).then_some(range), taken: AtomicUsize::new(0) };
    }

    /// Copies as many bytes as fit and counts them as read. Of two readers at once each gets bytes of its own.
    pub(super) fn take(&self, into: &mut [u8]) -> usize {
        let mut taken = self.taken.load(Ordering::Acquire);
        loop {
            let rest = self.rest(taken);
            let len = rest.len().min(into.len());
            if len == 0 {
                return 0;
            }
            into[..len].copy_from_slice(&rest[..len]);
            match self.taken.compare_exchange(taken, taken + len, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return len,
                Err(now) => taken = now,
            }
        }
    }

    /// Counts bytes as read; the range is let go with its last byte.
    pub(super) fn consume(&mut self, len: usize) {
        let taken = self.taken.get_mut();
        *taken = taken.saturating_add(len);
        if self.bytes().is_empty() {
            *self = Head::default();
        }
    }

    /// Takes out all that is not read yet.
    pub(super) fn take_all(&mut self) -> Slice {
        let Head { range, taken } = std::mem::take(self);
        range.map(|range| range.slice(taken.into_inner()..range.len())).unwrap_or_default()
    }

    fn rest(&self, taken: usize) -> &[u8] {
        self.range.as_deref().and_then(|range| range.get(taken..)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::buffer::Buffer;

    #[test]
    fn a_head_is_read_in_order_whoever_reads() {
        let mut head = Head::default();
        assert!(head.bytes().is_empty());
        head.fill(Buffer::copy_of(b"0123456789").into());
        let mut three = [0; 3];
        assert_eq!((head.take(&mut three), &three), (3, b"012"));
        head.consume(4);
        assert_eq!(head.bytes(), b"789");
        let mut rest = [0; 9];
        assert_eq!((head.take(&mut rest), &rest[..3]), (3, &b"789"[..]));
        assert_eq!(head.take(&mut rest), 0);
    }

    #[test]
    fn what_is_left_of_a_head_can_be_taken_out() {
        let mut head = Head::default();
        assert!(head.take_all().is_empty());
        head.fill(Buffer::copy_of(b"0123").into());
        head.consume(1);
        assert_eq!(&head.take_all()[..], b"123");
        assert!(head.bytes().is_empty());
    }

    #[test]
    fn a_head_read_to_its_end_lets_its_range_go() {
        let mut head = Head::default();
        head.fill(Buffer::copy_of(b"ab").into());
        head.consume(usize::MAX);
        assert!(head.range.is_none() && head.bytes().is_empty());
    }
}
