//! The socket calls of TCP: non-blocking, with the results POSIX gives.

use std::io::IoSlice;
use std::net::{IpAddr, Shutdown, SocketAddr};

use crate::base::buffer::Slice;
use crate::base::socket::{Readiness, SocketError};
use crate::base::time::Instant;

use super::{ListenerId, Tcp, TcpId};

impl Tcp {
    /// Starts to listen on `local` (an unspecified address: on every address of the stack); at most `backlog` established connections wait for accept.
    pub fn listen(&mut self, _local: SocketAddr, _backlog: usize) -> Result<ListenerId, SocketError> {
        todo!()
    }

    /// Takes the oldest established connection of a listener. `WouldBlock` when none waits.
    pub fn accept(
        &mut self,
        _listener: ListenerId,
        _now: Instant,
    ) -> Result<(TcpId, SocketAddr), SocketError> {
        todo!()
    }

    /// The address a listener is bound to.
    pub fn listener_addr(&self, _listener: ListenerId) -> Result<SocketAddr, SocketError> {
        todo!()
    }

    /// Stops listening: half-open entries are forgotten, connections nobody accepted are reset.
    pub fn close_listener(&mut self, _listener: ListenerId, _now: Instant) {
        todo!()
    }

    /// Opens a connection actively: the SYN goes out with the next `poll_transmit`. Writable (or an error) tells the outcome.
    /// `source` is the stack's address to use (port 0: chosen, RFC 6056).
    pub fn connect(
        &mut self,
        _source: (IpAddr, u16),
        _remote: SocketAddr,
        _now: Instant,
    ) -> Result<TcpId, SocketError> {
        todo!()
    }

    /// Queues bytes to send, as many as the send buffer takes.
    pub fn send(&mut self, _id: TcpId, _bytes: &[IoSlice<'_>], _now: Instant) -> Result<usize, SocketError> {
        todo!()
    }

    /// Reads received bytes; zero at the end of the stream.
    pub fn recv(&mut self, _id: TcpId, _into: &mut [u8], _now: Instant) -> Result<usize, SocketError> {
        todo!()
    }

    /// Reads received bytes and leaves them in the queue.
    pub fn peek(&self, _id: TcpId, _into: &mut [u8]) -> Result<usize, SocketError> {
        todo!()
    }

    /// Takes the first received range without a copy; empty at the end of the stream.
    pub fn recv_slice(&mut self, _id: TcpId, _now: Instant) -> Result<Slice, SocketError> {
        todo!()
    }

    /// Closes one or both directions; FIN follows the pending data. `NotConnected` when there is no connection.
    pub fn shutdown(&mut self, _id: TcpId, _how: Shutdown, _now: Instant) -> Result<(), SocketError> {
        todo!()
    }

    /// Gives the socket up: the handle is gone, the connection closes gracefully in the background (RST if data is unread).
    pub fn close(&mut self, _id: TcpId, _now: Instant) {
        todo!()
    }

    /// Resets the connection and gives the socket up.
    pub fn abort(&mut self, _id: TcpId, _now: Instant) {
        todo!()
    }

    /// What the socket is ready for now.
    pub fn readiness(&self, _id: TcpId) -> Readiness {
        todo!()
    }

    /// `SO_ERROR`: the pending error, read and cleared.
    pub fn take_error(&mut self, _id: TcpId) -> Option<SocketError> {
        todo!()
    }

    /// Switches Nagle's algorithm off (`true`) or on (MUST-17).
    pub fn set_nodelay(&mut self, _id: TcpId, _nodelay: bool, _now: Instant) -> Result<(), SocketError> {
        todo!()
    }

    /// True if Nagle's algorithm is off.
    pub fn nodelay(&self, _id: TcpId) -> Result<bool, SocketError> {
        todo!()
    }

    /// This side's address.
    pub fn local_addr(&self, _id: TcpId) -> Result<SocketAddr, SocketError> {
        todo!()
    }

    /// The peer's address.
    pub fn peer_addr(&self, _id: TcpId) -> Result<SocketAddr, SocketError> {
        todo!()
    }
}
