//! The calls of a connection, shared by [`TcpStream`](super::TcpStream) and its halves; the last of them closes it.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{Interest, ReadBuf, Ready};

use super::head::Head;
use crate::base::buffer::Slice;
use crate::base::socket::{Readiness, SocketError};
use crate::base::time::Instant;
use crate::driver::shared::Shared;
use crate::driver::wakers::{Direction, READ, Socket, WRITE};
use crate::stack::Stack;
use crate::tcp::options::SocketOptions;
use crate::tcp::{SendFlags, Statistics, Tcp, TcpId};

/// A connection of a stack. Dropped, it closes gracefully in the background.
#[derive(Debug)]
pub(super) struct Connection {
    shared: Arc<Shared>,
    id: TcpId,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, id: TcpId) -> Self {
        Connection { shared, id }
    }

    /// Waits for the outcome of an active open.
    pub(super) fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_look(cx, Direction::Write, |tcp, id| {
            if !tcp.readiness(id).any(WRITE) {
                return Err(SocketError::WouldBlock);
            }
            tcp.take_error(id).map_or(Ok(()), Err)
        })
    }

    /// Reads what an earlier [`Connection::poll_fill`] left in `head`, or else from the stack.
    pub(super) fn poll_read(
        &self,
        head: &mut Head,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let held = head.bytes();
        if !held.is_empty() {
            let len = held.len().min(buf.remaining());
            buf.put_slice(&held[..len]);
            head.consume(len);
            return Poll::Ready(Ok(()));
        }
        let most = buf.remaining();
        let read = self.poll(cx, Direction::Read, |tcp, id, now| {
            tcp.recv_parts(id, most, now, |part| buf.put_slice(part))
        });
        read.map_ok(drop)
    }

    /// Makes `head` hold bytes, unless the stream is at its end: the first received range is moved out, not copied.
    pub(super) fn poll_fill(&self, head: &mut Head, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if head.bytes().is_empty() {
            let filled = self.poll(cx, Direction::Read, |tcp, id, now| tcp.recv_slice(id, now));
            head.fill(std::task::ready!(filled)?);
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_peek(
        &self,
        head: &Head,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let into = buf.initialize_unfilled();
        let held = head.bytes();
        let peeked = if held.is_empty() {
            std::task::ready!(self.poll_look(cx, Direction::Read, |tcp, id| tcp.peek(id, into)))?
        } else {
            let len = held.len().min(into.len());
            into[..len].copy_from_slice(&held[..len]);
            len
        };
        buf.advance(peeked);
        Poll::Ready(Ok(peeked))
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, bufs, SendFlags::default())
    }

    pub(super) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        flags: SendFlags,
    ) -> Poll<io::Result<usize>> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        self.poll(cx, Direction::Write, |tcp, id, now| tcp.send_with(id, bufs, flags, now))
    }

    pub(super) fn poll_write_slice(&self, cx: &mut Context<'_>, slice: &Slice) -> Poll<io::Result<()>> {
        self.poll(cx, Direction::Write, |tcp, id, now| tcp.send_slice(id, slice, now))
    }

    /// Ready when the close that the `linger` option asks for is over.
    pub(super) fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let close = |stack: &mut Stack, now| stack.tcp_poll_close(self.id, now);
        // Unlike other calls that would block this one has something to send: the runner must hear of it.
        let done = self.shared.call(|stack, now| match close(stack, now) {
            Err(SocketError::WouldBlock) => Ok(false),
            result => result.map(|()| true),
        })?;
        if done {
            return Poll::Ready(Ok(()));
        }
        self.shared.poll_call(cx, (Socket::Tcp(self.id), Direction::Write), close)
    }

    pub(super) fn try_read(&self, head: &Head, buf: &mut [u8]) -> io::Result<usize> {
        match head.take(buf) {
            0 if buf.is_empty() => Ok(0),
            0 => self.call(|tcp, id, now| tcp.recv(id, buf, now)),
            held => Ok(held),
        }
    }

    pub(super) fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Ok(0);
        }
        self.call(|tcp, id, now| tcp.send(id, bufs, now))
    }

    /// Ready once the connection is ready for any part of `interest`.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>, interest: Interest) -> Poll<io::Result<Ready>> {
        let mut waiting = Poll::Pending;
        for (asked, direction) in
            [(interest.is_readable(), Direction::Read), (interest.is_writable(), Direction::Write)]
        {
            if asked && waiting.is_pending() {
                waiting = self.poll_look(cx, direction, |tcp, id| ready_for(tcp.readiness(id), interest));
            }
        }
        waiting
    }

    /// FIN follows the pending data. A connection that is gone already needs no shutdown, as with tokio's streams.
    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        match self.call(|tcp, id, now| tcp.shutdown(id, Shutdown::Write, now)) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }

    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.shared.look(|stack, _| Ok(stack.tcp().take_error(self.id).map(io::Error::from)))
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.look(|tcp, id| tcp.local_addr(id))
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.look(|tcp, id| tcp.peer_addr(id))
    }

    pub(super) fn nodelay(&self) -> io::Result<bool> {
        self.options().map(|options| options.nodelay)
    }

    pub(super) fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.set_option(|options| options.nodelay = nodelay)
    }

    pub(super) fn options(&self) -> io::Result<SocketOptions> {
        self.look(|tcp, id| tcp.options(id))
    }

    pub(super) fn urgent_left(&self) -> io::Result<u32> {
        self.look(|tcp, id| tcp.urgent_left(id))
    }

    pub(super) fn at_mark(&self) -> io::Result<bool> {
        self.look(|tcp, id| tcp.at_mark(id))
    }

    pub(super) fn statistics(&self) -> io::Result<Statistics> {
        self.shared.look(|stack, now| stack.tcp().statistics(self.id, now))
    }

    pub(super) fn set_option(&self, change: impl FnOnce(&mut SocketOptions)) -> io::Result<()> {
        self.call(|tcp, id, now| {
            let mut options = tcp.options(id)?;
            change(&mut options);
            tcp.set_options(id, options, now)
        })
    }

    fn call<R>(
        &self,
        call: impl FnOnce(&mut Tcp, TcpId, Instant) -> Result<R, SocketError>,
    ) -> io::Result<R> {
        self.shared.call(|stack, now| call(stack.tcp(), self.id, now))
    }

    fn look<R>(&self, look: impl FnOnce(&mut Tcp, TcpId) -> Result<R, SocketError>) -> io::Result<R> {
        self.shared.look(|stack, _| look(stack.tcp(), self.id))
    }

    fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        call: impl FnOnce(&mut Tcp, TcpId, Instant) -> Result<R, SocketError>,
    ) -> Poll<io::Result<R>> {
        let call = |stack: &mut Stack, now| call(stack.tcp(), self.id, now);
        self.shared.poll_call(cx, (Socket::Tcp(self.id), direction), call)
    }

    fn poll_look<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        look: impl FnOnce(&mut Tcp, TcpId) -> Result<R, SocketError>,
    ) -> Poll<io::Result<R>> {
        let look = |stack: &mut Stack, _| look(stack.tcp(), self.id);
        self.shared.poll_look(cx, (Socket::Tcp(self.id), direction), look)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.give_up(Socket::Tcp(self.id), |stack, now| stack.tcp_close(self.id, now));
    }
}

/// The bits of `poll(2)` in tokio's words, as far as they were asked for; `WouldBlock` without any.
fn ready_for(bits: Readiness, interest: Interest) -> Result<Ready, SocketError> {
    let mut ready = Ready::EMPTY;
    if interest.is_readable() && bits.any(READ) {
        ready |= Ready::READABLE;
    }
    if interest.is_readable() && bits.any(Readiness::RDHUP | Readiness::HUP) {
        ready |= Ready::READ_CLOSED;
    }
    if interest.is_writable() && bits.any(WRITE) {
        ready |= Ready::WRITABLE;
    }
    if interest.is_writable() && bits.any(Readiness::HUP | Readiness::ERR) {
        ready |= Ready::WRITE_CLOSED;
    }
    if ready.is_empty() { Err(SocketError::WouldBlock) } else { Ok(ready) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_told_only_as_far_as_asked() {
        let bits = Readiness::IN | Readiness::OUT;
        assert_eq!(ready_for(bits, Interest::READABLE), Ok(Ready::READABLE));
        assert_eq!(ready_for(bits, Interest::WRITABLE), Ok(Ready::WRITABLE));
        let both = Interest::READABLE | Interest::WRITABLE;
        assert_eq!(ready_for(bits, both), Ok(Ready::READABLE | Ready::WRITABLE));
        assert_eq!(ready_for(Readiness::OUT, Interest::READABLE), Err(SocketError::WouldBlock));
        assert_eq!(ready_for(Readiness::RDHUP, Interest::READABLE), Ok(Ready::READABLE | Ready::READ_CLOSED));
        assert_eq!(ready_for(Readiness::ERR, Interest::WRITABLE), Ok(Ready::WRITABLE | Ready::WRITE_CLOSED));
    }
}
