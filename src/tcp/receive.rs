//! The receive queue: in-order bytes that the application has not read, as ranges of the buffers they came in. Small payloads
//! are packed together (copy-break), so that tiny segments cannot pin a large buffer each.

use std::collections::VecDeque;

use crate::base::buffer::{Buffer, SMALL, Slice};
use crate::base::pool::{Boxes, Pool, Pooled, Recycled};

/// Chunks that an empty queue keeps memory for.
const KEPT: usize = 256;

/// Received bytes in order; one word while there are none.
#[derive(Debug, Default)]
pub struct ReceiveQueue(Pooled<Queued>);

#[derive(Debug, Default)]
struct Queued {
    chunks: VecDeque<Chunk>,
    len: u32,
    charged: u32,
    held: u32,
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
        let mut chunks = std::mem::take(&mut self.chunks);
        chunks.clear();
        chunks.shrink_to(KEPT);
        *self = Queued { chunks, ..Queued::default() };
    }
}

#[derive(Debug)]
enum Chunk {
    /// A buffer of our own that small payloads are copied into; the first `read` bytes are gone.
    Packed { buffer: Buffer, read: usize },
    /// A payload in the buffer it came in.
    Whole(Slice),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Chunk::Packed { buffer, read } => &buffer.written()[*read..],
            Chunk::Whole(slice) => slice,
        }
    }

    /// What it counts against the window. Packed bytes share their buffer: its free end is not lost, so only what is written
    /// counts; a whole payload keeps all of its buffer from others.
    fn charge(&self) -> usize {
        match self {
            Chunk::Packed { buffer, .. } => buffer.written().len(),
            Chunk::Whole(slice) => slice.capacity(),
        }
    }

    /// What it keeps from others.
    fn held(&self) -> usize {
        match self {
            Chunk::Packed { buffer, .. } => buffer.capacity(),
            Chunk::Whole(slice) => slice.capacity(),
        }
    }
}

impl ReceiveQueue {
    /// Bytes that wait to be read.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |queued| queued.len as usize)
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes of buffer that count against the window.
    pub fn memory(&self) -> usize {
        self.0.as_ref().map_or(0, |queued| queued.charged as usize)
    }

    /// Bytes of buffer that it keeps from others, free ends included.
    pub fn held(&self) -> usize {
        self.0.as_ref().map_or(0, |queued| queued.held as usize)
    }

    /// Appends a payload: kept as it is if it fills half of its buffer, else copied behind its predecessors.
    pub fn push(&mut self, payload: Slice) {
        if !payload.is_empty() {
            self.0.get_or_fresh().push(payload);
        }
    }

    /// Copies bytes from the front and leaves them; returns how many.
    pub fn peek(&self, into: &mut [u8]) -> usize {
        let (most, mut copied) = (into.len(), 0);
        self.look(most, |part| {
            into[copied..copied + part.len()].copy_from_slice(part);
            copied += part.len();
        })
    }

    /// Shows `part` at most `most` bytes from the front, range by range, and takes them away; returns how many.
    pub fn read(&mut self, most: usize, part: impl FnMut(&[u8])) -> usize {
        let read = self.look(most, part);
        if let Some(queued) = self.0.as_mut() {
            queued.consume(read);
        }
        self.release_if_empty();
        read
    }

    fn look(&self, most: usize, mut part: impl FnMut(&[u8])) -> usize {
        let mut left = most;
        for chunk in self.0.as_ref().into_iter().flat_map(|queued| &queued.chunks) {
            let bytes = chunk.bytes();
            let len = bytes.len().min(left);
            part(&bytes[..len]);
            left -= len;
            if left == 0 {
                break;
            }
        }
        most - left
    }

    /// Takes the first range away without a copy, at most `most` bytes of it; empty if nothing waits.
    pub fn take(&mut self, most: usize) -> Option<Slice> {
        let slice = self.0.as_mut()?.take(most);
        self.release_if_empty();
        slice
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// An idle connection keeps no buffer, not even the queue's own.
    fn release_if_empty(&mut self) {
        self.0.clear_if(|queued| queued.chunks.is_empty());
    }
}

impl Queued {
    fn push(&mut self, payload: Slice) {
        self.len += payload.len() as u32;
        if payload.len() * 2 >= payload.capacity() {
            return self.push_chunk(Chunk::Whole(payload));
        }
        let mut rest = &payload[..];
        while !rest.is_empty() {
            let taken = self.tail(rest.len()).append(rest);
            self.charged += taken as u32;
            rest = &rest[taken..];
        }
    }

    fn push_chunk(&mut self, chunk: Chunk) {
        self.charged += chunk.charge() as u32;
        self.held += chunk.held() as u32;
        self.chunks.push_back(chunk);
    }

    fn pop_chunk(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front()?;
        self.charged -= chunk.charge() as u32;
        self.held -= chunk.held() as u32;
        Some(chunk)
    }

    /// A packing buffer that can take at least one byte.
    fn tail(&mut self, ahead: usize) -> &mut Buffer {
        let writable = match self.chunks.back_mut() {
            Some(Chunk::Packed { buffer, .. }) => buffer.is_writable(),
            _ => false,
        };
        if !writable {
            // A large buffer only behind a small one that is full: single bytes between large payloads take little each.
            let long = self.len as usize > 4 * SMALL;
            let busy = long && matches!(self.chunks.back(), Some(Chunk::Packed { .. }));
            let buffer = if busy { Buffer::large() } else { Buffer::for_len(ahead) };
            self.push_chunk(Chunk::Packed { buffer, read: 0 });
        }
        match self.chunks.back_mut() {
            Some(Chunk::Packed { buffer, .. }) => buffer,
            _ => unreachable!("a packing buffer was just put at the end"),
        }
    }

    fn take(&mut self, most: usize) -> Option<Slice> {
        let first = self.chunks.front()?;
        if first.bytes().len() > most {
            let head = match first {
                Chunk::Packed { buffer, read } => buffer.slice(*read..*read + most),
                Chunk::Whole(slice) => slice.slice(0..most),
            };
            self.consume(most);
            return Some(head);
        }
        let slice = match self.pop_chunk()? {
            Chunk::Packed { buffer, read } => {
                let len = buffer.written().len();
                Slice::from(buffer).slice(read..len)
            }
            Chunk::Whole(slice) => slice,
        };
        self.len -= slice.len() as u32;
        Some(slice)
    }

    fn consume(&mut self, mut count: usize) {
        self.len -= count as u32;
        while let Some(chunk) = self.chunks.front_mut() {
            let available = chunk.bytes().len();
            if count < available {
                match chunk {
                    Chunk::Packed { read, .. } => *read += count,
                    Chunk::Whole(slice) => *slice = slice.slice(count..available),
                }
                break;
            }
            count -= available;
            self.pop_chunk();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::buffer::LARGE;
    use proptest::prelude::*;

    impl ReceiveQueue {
        fn chunks(&self) -> impl Iterator<Item = &Chunk> {
            self.0.as_ref().into_iter().flat_map(|queued| &queued.chunks)
        }
    }

    fn whole(len: usize) -> Slice {
        let mut buffer = Buffer::large();
        buffer.append(&vec![7; len]);
        buffer.into()
    }

    /// A super-segment stays in the buffer it came in; a thousand single bytes share one buffer.
    #[test]
    fn large_payloads_are_kept_and_small_ones_are_packed() {
        let mut queue = ReceiveQueue::default();
        queue.push(whole(60_000));
        assert_eq!(queue.memory(), LARGE);
        let mut tiny = ReceiveQueue::default();
        (0..1000).for_each(|_| tiny.push(whole(1)));
        assert_eq!(tiny.chunks().count(), 1);
        assert_eq!((tiny.len(), tiny.memory()), (1000, 1000));
    }

    /// Large and tiny payloads in turns do not pin a large buffer for each tiny one.
    #[test]
    fn memory_held_stays_near_what_is_counted() {
        let mut queue = ReceiveQueue::default();
        for _ in 0..100 {
            queue.push(Buffer::copy_of(&[7; 1_100]).into());
            queue.push(whole(1));
        }
        let held = queue.held();
        assert_eq!(held, queue.chunks().map(Chunk::held).sum::<usize>());
        assert!(held <= 2 * queue.memory(), "{held} held, {} counted", queue.memory());
    }

    #[test]
    fn a_queue_that_was_read_holds_nothing() {
        let mut queue = ReceiveQueue::default();
        queue.push(whole(100));
        queue.push(whole(50_000));
        assert_eq!(queue.take(usize::MAX).map(|slice| slice.len()), Some(100));
        assert_eq!(queue.read(60_000, |_| ()), 50_000);
        assert_eq!((queue.len(), queue.memory(), queue.0.is_none()), (0, 0, true));
        assert!(queue.take(usize::MAX).is_none());
    }

    /// `MSG_PEEK`: what lies in several ranges is read as one, and stays.
    #[test]
    fn peeking_reads_across_ranges_and_takes_nothing() {
        let mut queue = ReceiveQueue::default();
        let bytes: Vec<u8> = (0..4_500u32).map(|i| (i * 7) as u8).collect();
        bytes.chunks(1_500).for_each(|part| queue.push(Buffer::copy_of(part).into()));
        for _ in 0..2 {
            let mut into = [0; 4_000];
            assert_eq!((queue.peek(&mut into), queue.len()), (4_000, 4_500));
            assert_eq!(into[..], bytes[..4_000]);
        }
    }

    proptest! {
        #[test]
        fn the_queue_agrees_with_a_byte_vector(ops in prop::collection::vec((0usize..70_000, 0usize..40_000, 0u8..4), 1..20)) {
            let (mut queue, mut model) = (ReceiveQueue::default(), VecDeque::new());
            for (i, (push, read, how)) in ops.into_iter().enumerate() {
                let bytes: Vec<u8> = (0..push.min(LARGE)).map(|j| (i * 31 + j * 7) as u8).collect();
                let mut buffer = if how == 0 { Buffer::for_len(bytes.len()) } else { Buffer::large() };
                buffer.append(&bytes);
                queue.push(buffer.into());
                model.extend(&bytes);
                let got = if how == 1 {
                    queue.take(read.max(1)).map(|slice| slice.to_vec()).unwrap_or_default()
                } else {
                    let mut into = vec![0; read];
                    let mut at = 0;
                    let n = queue.read(into.len(), |part| {
                        into[at..at + part.len()].copy_from_slice(part);
                        at += part.len();
                    });
                    prop_assert_eq!(n, read.min(model.len()));
                    into[..n].to_vec()
                };
                let expected: Vec<u8> = model.drain(..got.len()).collect();
                prop_assert_eq!(got, expected);
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.memory(), queue.chunks().map(Chunk::charge).sum::<usize>());
                prop_assert_eq!(queue.held(), queue.chunks().map(Chunk::held).sum::<usize>());
            }
        }
    }
}
