//! The send queue: bytes from SND.UNA on, acknowledged or not yet sent. Applications append copies, or lend slices that are
//! not copied; frames borrow counted slices, chosen by offset when they are built. Sequence numbers are not known here.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use smallvec::SmallVec;

use crate::base::buffer::{Buffer, LARGE, SMALL, Slice};
use crate::base::pool::{Boxes, Pool, Pooled, Recycled};

/// Shorter slices are copied when they are lent: many of them would make long lists of parts.
const LENT_LEAST: usize = 4_096;
/// Lent slices may keep this many times more memory alive than a full queue has bytes.
const LENT_SHARE: usize = 4;
/// Chunks that an empty queue keeps memory for.
const KEPT: usize = 256;

/// Bytes queued behind SND.UNA, in the chunks they were copied into.
#[derive(Debug, Default)]
pub struct SendQueue {
    /// Absent while the queue is empty: a connection at rest keeps one word of it.
    queued: Pooled<Queued>,
    /// Stream position of the first byte queued (never reset, so that chunks need not be renumbered).
    start: u64,
}

#[derive(Debug, Default)]
struct Queued {
    chunks: VecDeque<Chunk>,
    /// Bytes queued.
    len: usize,
    /// Bytes of buffer in the chunks.
    memory: usize,
}

impl Recycled for Queued {
    fn pool() -> &'static Boxes<Self> {
        static POOL: Boxes<Queued> = Pool::of_boxes();
        &POOL
    }

    fn fresh() -> Self {
        Queued::default()
    }

    fn recycle(&mut self) {
        self.chunks.clear();
        self.chunks.shrink_to(KEPT);
        (self.len, self.memory) = (0, 0);
    }
}

#[derive(Debug)]
struct Chunk {
    /// Stream position of the first byte.
    start: u64,
    bytes: Bytes,
}

impl Queued {
    /// Appends a chunk to a queue that begins at `start`.
    fn push(&mut self, start: u64, bytes: Bytes) {
        let chunk = Chunk { start: start + self.len as u64, bytes };
        self.memory += chunk.memory();
        self.chunks.push_back(chunk);
    }
}

/// Where a chunk's bytes are.
#[derive(Debug)]
enum Bytes {
    /// Copied, and more may be appended.
    Copied(Buffer),
    Lent(Slice),
}

impl Chunk {
    fn end(&self) -> u64 {
        let len = match &self.bytes {
            Bytes::Copied(buffer) => buffer.written().len(),
            Bytes::Lent(slice) => slice.len(),
        };
        self.start + len as u64
    }

    fn memory(&self) -> usize {
        match &self.bytes {
            Bytes::Copied(buffer) => buffer.capacity(),
            Bytes::Lent(slice) => slice.capacity(),
        }
    }

    fn slice(&self, range: Range<usize>) -> Slice {
        match &self.bytes {
            Bytes::Copied(buffer) => buffer.slice(range),
            Bytes::Lent(slice) => slice.slice(range),
        }
    }

    fn append(&mut self, bytes: &[u8]) -> usize {
        match &mut self.bytes {
            Bytes::Copied(buffer) => buffer.append(bytes),
            Bytes::Lent(_) => 0,
        }
    }

    fn is_writable(&mut self) -> bool {
        match &mut self.bytes {
            Bytes::Copied(buffer) => buffer.is_writable(),
            Bytes::Lent(_) => false,
        }
    }
}

impl SendQueue {
    /// Bytes in the queue, sent or not.
    pub fn len(&self) -> usize {
        self.queued.as_ref().map_or(0, |queued| queued.len)
    }

    /// Bytes acknowledged since the queue began.
    pub fn acknowledged(&self) -> u64 {
        self.start
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> usize {
        self.queued.as_ref().map_or(0, |queued| queued.memory)
    }

    /// Appends as much of `bytes` as keeps the queue within `limit` bytes; returns how much that was.
    pub fn append(&mut self, bytes: &[IoSlice<'_>], limit: usize) -> usize {
        let mut room = limit.saturating_sub(self.len());
        let before = self.len();
        let mut ahead = bytes.iter().map(|slice| slice.len()).sum::<usize>().min(room);
        for slice in bytes {
            let mut rest = &slice[..slice.len().min(room)];
            room -= rest.len();
            while !rest.is_empty() {
                let taken = self.push(rest, ahead);
                ahead -= taken;
                rest = &rest[taken..];
            }
        }
        self.len() - before
    }

    /// Appends `slice` whole, without a copy, unless the queue is full; false if it is. Short slices of large buffers fill it too.
    pub fn append_slice(&mut self, slice: &Slice, limit: usize) -> bool {
        if slice.is_empty() || self.len() >= limit || self.memory() / LENT_SHARE >= limit.max(LARGE) {
            return slice.is_empty();
        }
        if slice.len() < LENT_LEAST {
            let room = self.len() + slice.len();
            self.append(&[IoSlice::new(slice)], room);
            return true;
        }
        let queued = self.queued.get_or_fresh();
        queued.push(self.start, Bytes::Lent(slice.clone()));
        queued.len += slice.len();
        true
    }

    /// Appends to the last buffer what it can take, at least one byte; a new one is sized by what is still to come.
    fn push(&mut self, bytes: &[u8], ahead: usize) -> usize {
        // A short message, or the little that scarce memory allows, does not take a large buffer.
        let busy = self.len() + ahead > 2 * SMALL;
        let queued = self.queued.get_or_fresh();
        if !queued.chunks.back_mut().is_some_and(Chunk::is_writable) {
            queued.push(self.start, Bytes::Copied(if busy { Buffer::large() } else { Buffer::small() }));
        }
        let last = queued.chunks.len() - 1;
        let taken = queued.chunks[last].append(bytes);
        queued.len += taken;
        taken
    }

    /// The bytes at `offset` from the start, `len` of them (less where the queue ends), as slices in order.
    pub fn slices(&self, offset: usize, len: usize) -> SmallVec<[Slice; 4]> {
        let mut slices = SmallVec::new();
        let Some(queued) = self.queued.as_ref() else { return slices };
        let mut from = self.start + offset as u64;
        let to = (from + len as u64).min(self.start + queued.len as u64);
        let first = queued.chunks.partition_point(|chunk| chunk.end() <= from);
        for chunk in queued.chunks.range(first..) {
            if from >= to {
                break;
            }
            let end = chunk.end().min(to);
            slices.push(chunk.slice((from - chunk.start) as usize..(end - chunk.start) as usize));
            from = end;
        }
        slices
    }

    /// Forgets the first `len` bytes: they are acknowledged.
    pub fn acknowledge(&mut self, len: usize) {
        let Some(queued) = self.queued.as_mut() else { return };
        let len = len.min(queued.len);
        queued.len -= len;
        self.start += len as u64;
        while let Some(chunk) = queued.chunks.pop_front_if(|chunk| chunk.end() <= self.start) {
            queued.memory -= chunk.memory();
        }
        self.queued.clear_if(|queued| queued.chunks.is_empty());
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.queued.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn append(queue: &mut SendQueue, bytes: &[u8], limit: usize) -> usize {
        queue.append(&[IoSlice::new(bytes)], limit)
    }

    #[test]
    fn appending_stops_at_the_limit_across_vectored_writes() {
        let mut queue = SendQueue::default();
        assert_eq!(queue.append(&[IoSlice::new(b"abc"), IoSlice::new(b"defgh")], 5), 5);
        assert_eq!(append(&mut queue, b"x", 5), 0);
        queue.acknowledge(2);
        assert_eq!(append(&mut queue, b"xyz", 5), 2);
        let bytes: Vec<u8> = queue.slices(0, 99).iter().flat_map(|slice| slice.to_vec()).collect();
        assert_eq!(bytes, b"cdexy");
    }

    #[test]
    fn an_acknowledged_queue_holds_no_memory() {
        let mut queue = SendQueue::default();
        append(&mut queue, &[7; 200_000], 1 << 20);
        assert!(queue.memory() >= 200_000);
        queue.acknowledge(200_000);
        assert_eq!((queue.len(), queue.memory(), queue.queued.is_none()), (0, 0, true));
    }

    /// Policy 30: memory follows what is queued: small buffers for little, a large one for what is still to come of much.
    #[test]
    fn buffers_are_as_large_as_what_is_to_come() {
        let memory = |writes: &[usize]| {
            let mut queue = SendQueue::default();
            writes.iter().for_each(|&len| assert_eq!(append(&mut queue, &vec![7; len], 1 << 20), len));
            queue.memory()
        };
        assert_eq!([memory(&[1]), memory(&[SMALL]), memory(&[3_000])], [SMALL, SMALL, 2 * SMALL]);
        assert_eq!([memory(&[2 * SMALL]), memory(&[2 * SMALL + 1])], [2 * SMALL, LARGE]);
        assert_eq!(memory(&[1_000, 10_000]), SMALL + LARGE, "what a small buffer leaves takes a large one");
    }

    #[test]
    fn a_lent_slice_is_queued_whole_and_not_copied() {
        let mut queue = SendQueue::default();
        let bytes: Vec<u8> = (0..5_000).map(|i| i as u8).collect();
        let lent: Slice = Buffer::copy_of(&bytes).into();
        append(&mut queue, b"ab", 5);
        assert!(queue.append_slice(&lent, 5), "there is room for a part of it");
        assert!(!queue.append_slice(&lent, 5), "there is none");
        assert_eq!((append(&mut queue, b"xy", 9_999), queue.len()), (2, 5_004));
        let slices = queue.slices(1, 5_002);
        assert_eq!(slices[1].as_ptr(), lent.as_ptr());
        let got: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        assert_eq!(got, [b"b", &bytes[..], b"x"].concat());
        queue.acknowledge(5_002);
        assert_eq!(queue.len(), 2);
    }

    /// Long lists of parts would exceed what one system call takes.
    #[test]
    fn a_short_slice_is_copied_behind_the_others() {
        let mut queue = SendQueue::default();
        let short: Slice = Buffer::copy_of(&[7; 100]).into();
        for _ in 0..10 {
            assert!(queue.append_slice(&short, SMALL));
        }
        assert_eq!((queue.slices(0, 1_000).len(), queue.memory()), (1, SMALL));
    }

    #[test]
    fn slices_of_large_buffers_fill_the_queue() {
        let mut queue = SendQueue::default();
        let mut large = Buffer::large();
        large.append(&[7; LENT_LEAST]);
        let slice: Slice = large.into();
        let taken = (0..100).take_while(|_| queue.append_slice(&slice, LARGE)).count();
        assert_eq!(taken, LENT_SHARE);
    }

    proptest! {
        /// Against a plain byte vector; slices that are alive meanwhile must keep their bytes.
        #[test]
        fn the_queue_agrees_with_a_byte_vector(ops in prop::collection::vec((0usize..9000, any::<bool>(), 0usize..6000, 0usize..6000), 1..30)) {
            let (mut queue, mut model, mut lent) = (SendQueue::default(), VecDeque::new(), Vec::new());
            let mut next = 0u8;
            for (write, lend, offset, ack) in ops {
                let bytes: Vec<u8> = (0..write).map(|_| { next = next.wrapping_add(1); next }).collect();
                let taken = if lend {
                    let memory = queue.memory();
                    let taken = queue.append_slice(&Buffer::copy_of(&bytes).into(), 20_000);
                    prop_assert!(taken || model.len() >= 20_000 || memory / LENT_SHARE >= LARGE);
                    if taken { write } else { 0 }
                } else {
                    let taken = append(&mut queue, &bytes, 20_000);
                    prop_assert_eq!(taken, write.min(20_000usize.saturating_sub(model.len())));
                    taken
                };
                model.extend(&bytes[..taken]);
                let slices = queue.slices(offset, 3000);
                let expected: Vec<u8> = model.iter().skip(offset).take(3000).copied().collect();
                lent.push((slices, expected));
                queue.acknowledge(ack.min(model.len()));
                model.drain(..ack.min(model.len()));
                prop_assert_eq!(queue.len(), model.len());
                let held = queue.queued.as_ref().into_iter().flat_map(|queued| &queued.chunks);
                prop_assert_eq!(queue.memory(), held.map(Chunk::memory).sum::<usize>());
            }
            for (slices, expected) in lent {
                let got: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
                prop_assert_eq!(got, expected);
            }
        }
    }
}
