//! One read buffer per thread, so that a connection that waits holds none.
//!
//! A hundred thousand idle echo connections cost their sockets and small futures; the buffer is borrowed only inside one
//! poll, never across an await.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// Size of the buffer: one super-segment of the largest size fits.
pub(crate) const SCRATCH: usize = 64 * 1024;

/// Reads served to one connection in one poll before others get their turn.
pub(crate) const BURST: usize = 32;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// Reads once from `stream` into the thread's buffer and gives `then` the bytes read; none at end of file.
pub(crate) fn poll_read<S, T>(
    stream: &mut S,
    cx: &mut Context<'_>,
    then: impl FnOnce(&mut S, &mut Context<'_>, &[u8]) -> T,
) -> Poll<io::Result<T>>
where
    S: AsyncRead + Unpin,
{
    BUFFER.with_borrow_mut(|buffer| {
        let mut read = ReadBuf::new(buffer);
        std::task::ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
        Poll::Ready(Ok(then(stream, cx, read.filled())))
    })
}
