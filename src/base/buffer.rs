//! The one byte buffer: a chunk from a process-wide pool, owned while it is filled, shared by counted slices afterwards.
//!
//! A device reads into a [`Buffer`]; the receive queue keeps ranges of it. The send queue appends to a `Buffer` and lends
//! [`Slice`]s of it to frames; the bytes under a slice never change, because a buffer that is shared cannot be written.
//! The pool is an allocator, not state: it holds nothing but free chunks, at most [`POOL_BYTES`] of them per size.

use std::ops::{Deref, Range};
use std::sync::Arc;

use super::pool::Pool;

/// A chunk that holds the largest IP packet: a super-segment of 64 KiB.
pub const LARGE: usize = 65_536;
/// A chunk for small messages, so that a short line left unread does not pin 64 KiB.
pub const SMALL: usize = 2_048;
/// Free bytes that the pool keeps of each size; more go back to the allocator.
const POOL_BYTES: usize = 16 << 20;

static POOLS: [Chunks; 2] = [Chunks::new(SMALL), Chunks::new(LARGE)];

type Chunk = Arc<Box<[u8]>>;

struct Chunks {
    size: usize,
    pool: Pool<Chunk>,
}

impl Chunks {
    const fn new(size: usize) -> Self {
        Chunks { size, pool: Pool::new(POOL_BYTES / size) }
    }

    fn take(&self) -> Chunk {
        self.pool.take().unwrap_or_else(|| Arc::new(vec![0; self.size].into_boxed_slice()))
    }

    fn give_back(&self, mut chunk: Chunk) {
        // Of several holders only the last gives the chunk back; if two let go at once it is freed instead.
        if Arc::get_mut(&mut chunk).is_some() {
            self.pool.give_back(chunk);
        }
    }
}

fn pool_of(chunk: &Chunk) -> &'static Chunks {
    if chunk.len() == SMALL { &POOLS[0] } else { &POOLS[1] }
}

/// A chunk from the pool with its written part. Writable while no [`Slice`] of it is alive.
pub struct Buffer {
    /// `None` only while being dropped.
    chunk: Option<Chunk>,
    written: usize,
}

impl Buffer {
    /// An empty buffer of [`LARGE`] bytes.
    pub fn large() -> Self {
        Buffer { chunk: Some(POOLS[1].take()), written: 0 }
    }

    /// An empty buffer of [`SMALL`] bytes.
    pub fn small() -> Self {
        Buffer { chunk: Some(POOLS[0].take()), written: 0 }
    }

    /// The smallest buffer that holds `len` bytes; a large one when none does.
    pub fn for_len(len: usize) -> Self {
        if len <= SMALL { Buffer::small() } else { Buffer::large() }
    }

    /// A buffer with a copy of as much of `bytes` as a large chunk holds.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut buffer = Buffer::for_len(bytes.len());
        buffer.append(bytes);
        buffer
    }

    /// Bytes of memory this buffer takes, written or not.
    pub fn capacity(&self) -> usize {
        self.chunk().len()
    }

    /// The written bytes.
    pub fn written(&self) -> &[u8] {
        &self.chunk()[..self.written]
    }

    /// Appends as much of `bytes` as fits and returns how much that was: nothing while a slice is alive.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let written = self.written;
        let Some(chunk) = self.chunk.as_mut().and_then(Arc::get_mut) else { return 0 };
        let len = bytes.len().min(chunk.len() - written);
        chunk[written..written + len].copy_from_slice(&bytes[..len]);
        self.written += len;
        len
    }

    /// True if `append` would take at least one byte: there is room, and no slice is alive.
    pub fn is_writable(&mut self) -> bool {
        let written = self.written;
        self.chunk.as_mut().and_then(Arc::get_mut).is_some_and(|chunk| written < chunk.len())
    }

    /// Lets `fill` write into the whole chunk and takes what it returns as the written length.
    pub fn fill<E>(&mut self, fill: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<usize, E> {
        if self.chunk.as_mut().is_none_or(|chunk| Arc::get_mut(chunk).is_none()) {
            *self = Buffer::large();
        }
        let Some(chunk) = self.chunk.as_mut().and_then(Arc::get_mut) else { return Ok(0) };
        let len = fill(chunk)?;
        self.written = len.min(chunk.len());
        Ok(self.written)
    }

    /// A counted slice of the written part; cut to it where `range` goes beyond.
    pub fn slice(&self, range: Range<usize>) -> Slice {
        let end = range.end.min(self.written);
        Slice { chunk: Some(self.chunk().clone()), start: range.start.min(end) as u32, end: end as u32 }
    }

    fn chunk(&self) -> &Chunk {
        self.chunk.as_ref().expect("a chunk is there until drop")
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(chunk) = self.chunk.take() {
            pool_of(&chunk).give_back(chunk);
        }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} of {})", self.written, self.capacity())
    }
}

/// A counted slice of a buffer's written bytes, cheap to clone; it outlives the buffer and the lock it was made under.
#[derive(Clone, Default)]
pub struct Slice {
    chunk: Option<Chunk>,
    start: u32,
    end: u32,
}

impl Slice {
    /// A part of this slice, in its own coordinates; cut to it where `range` goes beyond.
    pub fn slice(&self, range: Range<usize>) -> Slice {
        let end = self.end.min(self.start.saturating_add(range.end as u32));
        let start = self.start.saturating_add(range.start as u32).min(end);
        Slice { chunk: self.chunk.clone(), start, end }
    }

    /// Bytes of memory that this slice keeps alive.
    pub fn capacity(&self) -> usize {
        self.chunk.as_ref().map_or(0, |chunk| chunk.len())
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.chunk.as_ref().map_or(&[], |chunk| &chunk[self.start as usize..self.end as usize])
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        if let Some(chunk) = self.chunk.take() {
            pool_of(&chunk).give_back(chunk);
        }
    }
}

impl From<Buffer> for Slice {
    /// All of the written part; the chunk returns to the pool with the last slice.
    fn from(mut buffer: Buffer) -> Slice {
        Slice { chunk: buffer.chunk.take(), start: 0, end: buffer.written as u32 }
    }
}

impl std::fmt::Debug for Slice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slice({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_under_a_slice_never_change() {
        let mut buffer = Buffer::copy_of(b"hello");
        let slice = buffer.slice(0..5);
        assert_eq!(buffer.append(b" world"), 0, "shared: not writable");
        drop(slice.clone());
        assert_eq!(buffer.append(b" world"), 0, "still shared");
        drop(slice);
        assert_eq!(buffer.append(b" world"), 6);
        assert_eq!(buffer.written(), b"hello world");
    }

    #[test]
    fn slices_are_cut_to_what_is_written_and_outlive_the_buffer() {
        let buffer = Buffer::copy_of(b"0123456789");
        let slice = buffer.slice(2..100);
        drop(buffer);
        assert_eq!(&*slice, b"23456789");
        assert_eq!(&*slice.slice(1..3), b"34");
        assert_eq!(&*slice.slice(9..99), b"");
    }

    #[test]
    fn a_buffer_takes_no_more_than_its_capacity() {
        let mut buffer = Buffer::small();
        assert_eq!(buffer.append(&[1; SMALL + 1]), SMALL);
        assert_eq!(buffer.append(&[1]), 0);
        assert_eq!(Buffer::copy_of(&[0; SMALL + 1]).capacity(), LARGE);
        assert_eq!(Buffer::copy_of(&[0; LARGE + 1]).written().len(), LARGE);
    }

    #[test]
    fn filling_a_shared_buffer_takes_a_fresh_chunk() {
        let mut buffer = Buffer::copy_of(b"old");
        let old = buffer.slice(0..3);
        let filled = buffer.fill::<()>(|chunk| {
            chunk[..3].copy_from_slice(b"new");
            Ok(3)
        });
        assert_eq!(filled, Ok(3));
        assert_eq!((buffer.written(), &*old), (&b"new"[..], &b"old"[..]));
    }
}
