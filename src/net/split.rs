//! The halves of a [`TcpStream`]: borrowed ones for one task, owned ones for two.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, Interest, ReadBuf};

use super::connection::Connection;
use super::head::Head;
use super::stream::TcpStream;

/// The reading half that [`TcpStream::split`] lends.
#[derive(Debug)]
pub struct ReadHalf<'a> {
    connection: &'a Connection,
    head: &'a mut Head,
}

/// The writing half that [`TcpStream::split`] lends.
#[derive(Debug)]
pub struct WriteHalf<'a> {
    connection: &'a Connection,
}

/// The reading half that [`TcpStream::into_split`] gives.
#[derive(Debug)]
pub struct OwnedReadHalf {
    connection: Arc<Connection>,
    head: Head,
}

/// The writing half that [`TcpStream::into_split`] gives. Dropped, it shuts down the write side: FIN follows the pending data.
#[derive(Debug)]
pub struct OwnedWriteHalf {
    /// `None` once the half was reunited or forgotten.
    connection: Option<Arc<Connection>>,
}

/// Two halves that do not belong together, given back.
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not from the same stream")
    }
}

impl Error for ReuniteError {}

impl<'a> ReadHalf<'a> {
    pub(super) fn new(connection: &'a Connection, head: &'a mut Head) -> Self {
        ReadHalf { connection, head }
    }
}

impl<'a> WriteHalf<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        WriteHalf { connection }
    }
}

impl OwnedReadHalf {
    pub(super) fn new(connection: Arc<Connection>, head: Head) -> Self {
        OwnedReadHalf { connection, head }
    }

    /// Puts the halves together again.
    ///
    /// # Errors
    /// Gives both back if they are not from the same stream.
    pub fn reunite(self, mut other: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        if other.connection.take_if(|connection| Arc::ptr_eq(connection, &self.connection)).is_none() {
            return Err(ReuniteError(self, other));
        }
        // The other half's hold on it was the only other one.
        let OwnedReadHalf { connection, head } = self;
        match Arc::try_unwrap(connection) {
            Ok(connection) => Ok(TcpStream::from_parts(connection, head)),
            Err(connection) => Err(ReuniteError(OwnedReadHalf { connection, head }, other)),
        }
    }

    /// Waits for received bytes and copies them without taking them out of the stream.
    pub async fn peek(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        poll_fn(|cx| self.connection.poll_peek(&self.head, cx, &mut buf)).await
    }

    /// Waits until reading would not block.
    pub async fn readable(&self) -> io::Result<()> {
        if self.head.bytes().is_empty() {
            poll_fn(|cx| self.connection.poll_ready(cx, Interest::READABLE)).await?;
        }
        Ok(())
    }

    /// Reads without waiting; [`io::ErrorKind::WouldBlock`] when nothing has arrived.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.connection.try_read(&self.head, buf)
    }

    /// The peer's address.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.connection.peer_addr()
    }

    /// This side's address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.connection.local_addr()
    }
}

impl OwnedWriteHalf {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        OwnedWriteHalf { connection: Some(connection) }
    }

    /// Puts the halves together again; errors as [`OwnedReadHalf::reunite`].
    pub fn reunite(self, other: OwnedReadHalf) -> Result<TcpStream, ReuniteError> {
        other.reunite(self)
    }

    /// Drops the half without shutting down the write side.
    pub fn forget(mut self) {
        self.connection = None;
    }

    /// Waits until writing would not block.
    pub async fn writable(&self) -> io::Result<()> {
        let connection = self.connection()?;
        poll_fn(|cx| connection.poll_ready(cx, Interest::WRITABLE)).await.map(drop)
    }

    /// Writes without waiting; [`io::ErrorKind::WouldBlock`] when the send buffer is full.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.connection()?.try_write(&[IoSlice::new(buf)])
    }

    /// The peer's address.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.connection()?.peer_addr()
    }

    /// This side's address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.connection()?.local_addr()
    }

    fn connection(&self) -> io::Result<&Connection> {
        self.connection.as_deref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            // There is nobody to tell: a connection that is gone needs no shutdown.
            let _ = connection.shutdown_write();
        }
    }
}

impl AsyncRead for ReadHalf<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.connection.poll_read(this.head, cx, buf)
    }
}

impl AsyncBufRead for ReadHalf<'_> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.connection.poll_fill(this.head, cx))?;
        Poll::Ready(Ok(this.head.bytes()))
    }

    fn consume(self: Pin<&mut Self>, len: usize) {
        self.get_mut().head.consume(len);
    }
}

impl AsyncRead for OwnedReadHalf {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.connection.poll_read(&mut this.head, cx, buf)
    }
}

impl AsyncBufRead for OwnedReadHalf {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.connection.poll_fill(&mut this.head, cx))?;
        Poll::Ready(Ok(this.head.bytes()))
    }

    fn consume(self: Pin<&mut Self>, len: usize) {
        self.get_mut().head.consume(len);
    }
}

impl AsyncWrite for WriteHalf<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.connection.poll_write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.connection.poll_write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.connection.shutdown_write())
    }
}

impl AsyncWrite for OwnedWriteHalf {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.connection()?.poll_write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.connection()?.poll_write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.connection()?.shutdown_write())
    }
}
