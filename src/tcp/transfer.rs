//! The socket calls that move bytes, and what a socket is ready for (`poll(2)`). Non-blocking, with the results POSIX gives.

use std::io::IoSlice;

use crate::base::buffer::Slice;
use crate::base::counters::Counters;
use crate::base::socket::{Readiness, SocketError};
use crate::base::time::Instant;

use super::options::Socket;
use super::send::SendQueue;
use super::state::State;
use super::tcb::{Env, Tcb};
use super::{Tcp, TcpId, env};

/// How bytes are sent: the flags of `send(2)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SendFlags {
    /// `MSG_MORE`: more will follow at once, so less than a full segment may wait for it; until the next call without this flag,
    /// an acknowledgement, or one retransmission timeout (policy 14).
    pub more: bool,
    /// `MSG_OOB`: the stream up to the last of these bytes is urgent (RFC 9293 §3.8.5).
    pub urgent: bool,
}

impl Tcp {
    /// Queues bytes to send, as many as the send buffer takes.
    pub fn send(&mut self, id: TcpId, bytes: &[IoSlice<'_>], now: Instant) -> Result<usize, SocketError> {
        self.send_with(id, bytes, SendFlags::default(), now)
    }

    /// [`Tcp::send`] with flags.
    pub fn send_with(
        &mut self,
        id: TcpId,
        bytes: &[IoSlice<'_>],
        flags: SendFlags,
        now: Instant,
    ) -> Result<usize, SocketError> {
        let empty = bytes.iter().all(|slice| slice.is_empty());
        self.queue_with(id, flags, empty, now, |queue, limit| queue.append(bytes, limit))
    }

    /// Queues a slice without copying it: whole, or not at all when the send buffer is full.
    pub fn send_slice(&mut self, id: TcpId, slice: &Slice, now: Instant) -> Result<(), SocketError> {
        let append =
            |queue: &mut SendQueue, limit| if queue.append_slice(slice, limit) { slice.len() } else { 0 };
        self.queue_with(id, SendFlags::default(), slice.is_empty(), now, append).map(drop)
    }

    fn queue_with(
        &mut self,
        id: TcpId,
        flags: SendFlags,
        empty: bool,
        now: Instant,
        append: impl FnOnce(&mut SendQueue, usize) -> usize,
    ) -> Result<usize, SocketError> {
        let memory = self.memory.budget(self.config.memory_limit);
        let tcb = self.connections.get_mut(id.0).ok_or(SocketError::NoSocket)?;
        let limit = tcb.send_limit(&self.config, memory);
        if let Some(error) = tcb.error.take() {
            return Err(error);
        }
        match tcb.state {
            State::SynSent | State::SynReceived => {
                tcb.wants_room = true;
                return Err(SocketError::WouldBlock);
            }
            state if !state.sends_data() => return Err(SocketError::BrokenPipe),
            _ => {}
        }
        let taken = append(&mut tcb.send_queue, limit);
        if taken == 0 && !empty {
            tcb.wants_room = true;
            return Err(SocketError::WouldBlock);
        }
        tcb.more = flags.more;
        if flags.urgent && taken > 0 {
            tcb.queue_urgent();
        }
        // Who finds the queue full by looking (`readiness`) is told of room as well as who finds it by trying.
        tcb.wants_room |= tcb.send_queue.len() >= limit;
        self.settle(id.0.index, now);
        Ok(taken)
    }

    /// Reads received bytes; zero at the end of the stream. It stops in front of the last urgent byte.
    pub fn recv(&mut self, id: TcpId, into: &mut [u8], now: Instant) -> Result<usize, SocketError> {
        let mut copied = 0;
        self.recv_parts(id, into.len(), now, |part| {
            into[copied..copied + part.len()].copy_from_slice(part);
            copied += part.len();
        })
    }

    /// [`Tcp::recv`] of `most` bytes into whatever `part` puts them in, range by range: memory that nothing was written to, say.
    pub fn recv_parts(
        &mut self,
        id: TcpId,
        most: usize,
        now: Instant,
        part: impl FnMut(&[u8]),
    ) -> Result<usize, SocketError> {
        self.receive_with(id, now, |tcb| {
            let most = most.min(tcb.readable());
            tcb.receive_queue.read(most, part)
        })
    }

    /// Takes the first received range without a copy; empty at the end of the stream.
    pub fn recv_slice(&mut self, id: TcpId, now: Instant) -> Result<Slice, SocketError> {
        self.receive_with(id, now, |tcb| tcb.receive_queue.take(tcb.readable()).unwrap_or_default())
    }

    fn receive_with<T: Default>(
        &mut self,
        id: TcpId,
        now: Instant,
        read: impl FnOnce(&mut Tcb) -> T,
    ) -> Result<T, SocketError> {
        let tcb = self.connections.get_mut(id.0).ok_or(SocketError::NoSocket)?;
        if tcb.receive_queue.is_empty() {
            return tcb.end_of_stream().map(|()| T::default());
        }
        let value = read(tcb);
        tcb.forget_urgent();
        let mut unused = Counters::default();
        tcb.after_read(&env!(self, &mut unused, now));
        self.settle(id.0.index, now);
        Ok(value)
    }

    /// `MSG_PEEK`: reads received bytes and leaves them in the queue.
    pub fn peek(&mut self, id: TcpId, into: &mut [u8]) -> Result<usize, SocketError> {
        let tcb = self.connections.get_mut(id.0).ok_or(SocketError::NoSocket)?;
        if tcb.receive_queue.is_empty() {
            return tcb.end_of_stream().map(|()| 0);
        }
        let most = into.len().min(tcb.readable());
        Ok(tcb.receive_queue.peek(&mut into[..most]))
    }

    /// What a connection or listener is ready for now, as `poll(2)` tells it.
    pub fn readiness(&self, socket: impl Into<Socket>) -> Readiness {
        let ready = match socket.into() {
            Socket::Connection(id) => {
                let memory = self.memory.budget(self.config.memory_limit);
                self.connections.get(id.0).map(|tcb| tcb.readiness(tcb.send_limit(&self.config, memory)))
            }
            Socket::Listener(id) => self.listeners.get(id.0).map(|listener| {
                if listener.accept_queue.is_empty() { Readiness::NONE } else { Readiness::IN }
            }),
        };
        ready.unwrap_or(Readiness::HUP | Readiness::ERR)
    }

    /// `SO_ERROR`: the pending error, read and cleared.
    pub fn take_error(&mut self, id: TcpId) -> Option<SocketError> {
        self.connections.get_mut(id.0)?.error.take()
    }
}

impl Tcb {
    /// What reading from an empty queue gives: the pending error, the end of the stream, or "not yet".
    fn end_of_stream(&mut self) -> Result<(), SocketError> {
        match self.error.take() {
            Some(error) => Err(error),
            None if self.no_more_to_come() => Ok(()),
            None => Err(SocketError::WouldBlock),
        }
    }

    /// The peer has closed its direction, or this side will not read it.
    fn no_more_to_come(&self) -> bool {
        self.read_closed || !(self.state.receives_data() || self.state == State::SynSent)
    }

    /// The bits of `poll(2)`. An open in progress is ready for nothing; closed directions do not block.
    fn readiness(&self, send_buffer: usize) -> Readiness {
        let opening = matches!(self.state, State::SynSent | State::SynReceived);
        let done_sending = !opening && !self.state.sends_data();
        let bits = [
            (!self.receive_queue.is_empty() || self.no_more_to_come(), Readiness::IN),
            (done_sending || (!opening && self.send_queue.len() < send_buffer), Readiness::OUT),
            (self.urgent_left() > 0, Readiness::PRI),
            (self.no_more_to_come(), Readiness::RDHUP),
            (self.no_more_to_come() && done_sending, Readiness::HUP),
            (self.error.is_some(), Readiness::ERR),
        ];
        bits.into_iter().filter(|(is, _)| *is).fold(Readiness::NONE, |ready, (_, bit)| ready | bit)
    }
}
