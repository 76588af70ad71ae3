//! A TCP connection with the face of `tokio::net::TcpStream`.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::ToSocketAddrs;

use super::connection::Connection;
use super::head::Head;
use super::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use super::{Net, no_address, resolve};
use crate::base::buffer::Slice;
use crate::tcp::options::SocketOptions;

/// A TCP connection between this stack and a peer.
///
/// Names, traits and behaviour are those of `tokio::net::TcpStream`. Shutting down the write side returns at once and FIN
/// follows the pending data; dropping the stream closes the connection gracefully in the background (with RST if received
/// data was not read). Unlike tokio's it implements [`AsyncBufRead`]: buffered reads take received ranges without a copy.
///
/// ```no_run
/// # async fn example(net: tidegate::net::Net) -> std::io::Result<()> {
/// use tidegate::net::TcpStream;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// let mut stream = TcpStream::connect(&net, "10.77.0.1:80").await?;
/// stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
/// let mut answer = Vec::new();
/// stream.read_to_end(&mut answer).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TcpStream {
    connection: Connection,
    head: Head,
}

impl TcpStream {
    /// Opens a connection from the stack to `addr`. Names are resolved by the system's resolver; each address is tried in
    /// turn.
    ///
    /// # Errors
    /// The error of the last address tried: refused, timed out, unreachable, no free port, or a stack that was shut down.
    pub async fn connect(net: &Net, addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        let mut result = Err(no_address());
        for addr in resolve(addr).await? {
            result = TcpStream::connect_addr(net, addr).await;
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Opens a connection to one address.
    async fn connect_addr(net: &Net, addr: SocketAddr) -> io::Result<TcpStream> {
        let options = net.shared().look(|stack, _| Ok(stack.tcp().default_options().clone()))?;
        TcpStream::connect_with(net, None, addr, &options).await
    }

    /// Opens a connection from `local` with options of its own.
    pub(super) async fn connect_with(
        net: &Net,
        local: Option<SocketAddr>,
        addr: SocketAddr,
        options: &SocketOptions,
    ) -> io::Result<TcpStream> {
        let id = net.shared().call(|stack, now| stack.tcp_connect_with(local, addr, options, now))?;
        let stream = TcpStream::new(Connection::new(net.shared().clone(), id));
        poll_fn(|cx| stream.connection.poll_connected(cx)).await?;
        Ok(stream)
    }

    pub(super) fn new(connection: Connection) -> Self {
        TcpStream { connection, head: Head::default() }
    }

    pub(super) fn from_parts(connection: Connection, head: Head) -> Self {
        TcpStream { connection, head }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// This side's address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.connection.local_addr()
    }

    /// The peer's address.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.connection.peer_addr()
    }

    /// True if Nagle's algorithm is off.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.connection.nodelay()
    }

    /// Switches Nagle's algorithm off (`true`) or on (RFC 9293 §3.7.4).
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.connection.set_nodelay(nodelay)
    }

    /// The pending error, read and cleared (`SO_ERROR`).
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.connection.take_error()
    }

    /// Waits for received bytes and copies them without taking them out of the stream.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        poll_fn(|cx| self.poll_peek(cx, &mut buf)).await
    }

    /// Like [`TcpStream::peek`], as a poll function.
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        self.connection.poll_peek(&self.head, cx, buf)
    }

    /// Waits until the stream is ready for any part of `interest`.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        poll_fn(|cx| self.poll_ready(cx, interest)).await
    }

    /// Waits until reading would not block.
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Interest::READABLE).await.map(drop)
    }

    /// Waits until writing would not block.
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Interest::WRITABLE).await.map(drop)
    }

    /// Like [`TcpStream::readable`], as a poll function.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ready(cx, Interest::READABLE).map_ok(drop)
    }

    /// Like [`TcpStream::writable`], as a poll function.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ready(cx, Interest::WRITABLE).map_ok(drop)
    }

    fn poll_ready(&self, cx: &mut Context<'_>, interest: Interest) -> Poll<io::Result<Ready>> {
        if interest.is_readable() && !self.head.bytes().is_empty() {
            return Poll::Ready(Ok(Ready::READABLE));
        }
        self.connection.poll_ready(cx, interest)
    }

    /// Reads without waiting.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when nothing has arrived; what ended the connection.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.connection.try_read(&self.head, buf)
    }

    /// Writes without waiting.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the send buffer is full; what ended the connection.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.connection.try_write(&[IoSlice::new(buf)])
    }

    /// Writes several buffers without waiting; errors as [`TcpStream::try_write`].
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.connection.try_write(bufs)
    }

    /// Waits for received bytes and takes them out of the stream without a copy; an empty slice at the end of the stream.
    ///
    /// A slice keeps the buffer alive that its bytes were received in, of up to 64 KiB.
    ///
    /// ```
    /// # use tidegate::net::TcpStream;
    /// /// Forwards one direction of a connection; no byte of it is copied in this process.
    /// async fn forward(from: &mut TcpStream, to: &mut TcpStream) -> std::io::Result<()> {
    ///     loop {
    ///         let slice = from.read_slice().await?;
    ///         if slice.is_empty() {
    ///             return Ok(());
    ///         }
    ///         to.write_slice(&slice).await?;
    ///     }
    /// }
    /// ```
    pub async fn read_slice(&mut self) -> io::Result<Slice> {
        poll_fn(|cx| self.poll_read_slice(cx)).await
    }

    /// Like [`TcpStream::read_slice`], as a poll function.
    pub fn poll_read_slice(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Slice>> {
        std::task::ready!(self.connection.poll_fill(&mut self.head, cx))?;
        Poll::Ready(Ok(self.head.take_all()))
    }

    /// Queues a slice for sending without a copy, whole, once the send buffer has room. A short one is copied
    /// all the same, which is cheaper. The slice counts as all of its buffer there.
    ///
    /// # Errors
    /// What ended the connection.
    pub async fn write_slice(&mut self, slice: &Slice) -> io::Result<()> {
        poll_fn(|cx| self.poll_write_slice(cx, slice)).await
    }

    /// Like [`TcpStream::write_slice`], as a poll function.
    pub fn poll_write_slice(&mut self, cx: &mut Context<'_>, slice: &Slice) -> Poll<io::Result<()>> {
        self.connection.poll_write_slice(cx, slice)
    }

    /// Splits the stream into borrowed halves.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf::new(&self.connection, &mut self.head), WriteHalf::new(&self.connection))
    }

    /// Splits the stream into halves that can go to different tasks. Dropping the write half shuts down that side.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let connection = Arc::new(self.connection);
        (OwnedReadHalf::new(connection.clone(), self.head), OwnedWriteHalf::new(connection))
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.connection.poll_read(&mut this.head, cx, buf)
    }
}

impl AsyncBufRead for TcpStream {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        std::task::ready!(this.connection.poll_fill(&mut this.head, cx))?;
        Poll::Ready(Ok(this.head.bytes()))
    }

    fn consume(self: Pin<&mut Self>, len: usize) {
        self.get_mut().head.consume(len);
    }
}

impl AsyncWrite for TcpStream {
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

    /// The stack sends what it holds by itself: there is nothing to flush.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.connection.shutdown_write())
    }
}
