//! Streams that give and take counted slices, so that what passes through is not copied.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::scratch;
use crate::base::buffer::{Buffer, Slice};
use crate::net::TcpStream;

/// A stream of counted slices.
pub trait SliceStream: AsyncRead + AsyncWrite + Unpin {
    /// Takes out what was received; an empty slice at the end of the stream.
    fn poll_read_slice(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Slice>>;

    /// Takes `slice` whole once there is room. Until then the same slice must be given again.
    fn poll_write_slice(&mut self, cx: &mut Context<'_>, slice: &Slice) -> Poll<io::Result<()>>;
}

impl SliceStream for TcpStream {
    fn poll_read_slice(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Slice>> {
        TcpStream::poll_read_slice(self, cx)
    }

    fn poll_write_slice(&mut self, cx: &mut Context<'_>, slice: &Slice) -> Poll<io::Result<()>> {
        TcpStream::poll_write_slice(self, cx, slice)
    }
}

/// Any other stream: its slices are copies.
#[derive(Debug)]
pub struct Copying<S> {
    stream: S,
    /// How much of the slice that waits is written.
    written: usize,
}

impl<S> Copying<S> {
    /// Copies to and from `stream`.
    pub fn new(stream: S) -> Self {
        Copying { stream, written: 0 }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> SliceStream for Copying<S> {
    fn poll_read_slice(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Slice>> {
        scratch::poll_read(&mut self.stream, cx, |_, _, bytes| Buffer::copy_of(bytes).into())
    }

    fn poll_write_slice(&mut self, cx: &mut Context<'_>, slice: &Slice) -> Poll<io::Result<()>> {
        while self.written < slice.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &slice[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Copying<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Copying<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
