//! The socket calls of TCP: non-blocking, with the results POSIX gives. After each the connection is settled, and what it has
//! to send waits for `poll_transmit`.

use std::io::IoSlice;
use std::net::{IpAddr, Shutdown, SocketAddr};

use crate::base::buffer::Slice;
use crate::base::counters::Counters;
use crate::base::socket::{Readiness, SocketError};
use crate::base::time::Instant;
use crate::wire::ip::Endpoint;

use super::close::Closing;
use super::info::ConnectionInfo;
use super::listener::Listener;
use super::options::SocketOptions;
use super::segment::FourTuple;
use super::state::State;
use super::tcb::{Env, Tcb};
use super::{ListenerId, Owner, Tcp, TcpId, env};

impl Tcp {
    /// Starts to listen on `local`; an unspecified address listens on every address of the stack, `[::]` for both IP versions.
    /// At most `backlog` established connections wait for accept.
    pub fn listen(&mut self, local: SocketAddr, backlog: usize) -> Result<ListenerId, SocketError> {
        let options = (*self.defaults).clone();
        self.listen_with(local, backlog, &options)
    }

    /// [`Tcp::listen`] with options of its own, which its connections inherit.
    pub fn listen_with(
        &mut self,
        local: SocketAddr,
        backlog: usize,
        options: &SocketOptions,
    ) -> Result<ListenerId, SocketError> {
        let options = self.share(options.clone())?;
        let local = Endpoint::from(local);
        if local.port == 0 {
            return Err(SocketError::Invalid);
        }
        if self.listening.contains_key(&local) {
            return Err(SocketError::AddrInUse);
        }
        let handle = self.listeners.insert(Listener::new(local, backlog, options));
        self.listening.insert(local, handle.index);
        Ok(ListenerId(handle))
    }

    /// Takes the oldest established connection of a listener. `WouldBlock` when none waits.
    pub fn accept(&mut self, listener: ListenerId) -> Result<(TcpId, SocketAddr), SocketError> {
        let queue = &mut self.listeners.get_mut(listener.0).ok_or(SocketError::NoSocket)?.accept_queue;
        while let Some(index) = queue.pop_front() {
            if let (Some(handle), Some(tcb)) =
                (self.connections.handle(index), self.connections.at_mut(index))
            {
                tcb.listener = None;
                return Ok((TcpId(handle), tcb.tuple.remote.into()));
            }
        }
        Err(SocketError::WouldBlock)
    }

    /// The address a listener is bound to.
    pub fn listener_addr(&self, listener: ListenerId) -> Result<SocketAddr, SocketError> {
        self.listeners.get(listener.0).map(|listener| listener.local.into()).ok_or(SocketError::NoSocket)
    }

    /// Stops listening: half-open entries are forgotten, connections nobody accepted are reset.
    pub fn close_listener(&mut self, listener: ListenerId, counters: &mut Counters, now: Instant) {
        let Some(closed) = self.listeners.get(listener.0) else { return };
        self.listening.remove(&closed.local);
        let place = listener.0.index;
        let entries: Vec<u32> = self
            .half_open
            .iter()
            .filter(|(_, entry)| entry.listener == place)
            .map(|(index, _)| index)
            .collect();
        entries.into_iter().for_each(|index| self.remove_half_open(index));
        let waiting = self.listeners.remove(place).map(|closed| closed.accept_queue).unwrap_or_default();
        for index in waiting {
            if let Some(tcb) = self.connections.at_mut(index) {
                tcb.orphan = true;
            }
            self.abort_connection(index, SocketError::ConnectionAborted, counters, now);
            self.settle(index, now);
        }
    }

    /// Opens a connection actively: the SYN goes out with the next `poll_transmit`; writable (or an error) tells the outcome.
    /// `source` is the stack's address to use; with port 0 the port is chosen (RFC 6056).
    pub fn connect(
        &mut self,
        source: (IpAddr, u16),
        remote: SocketAddr,
        counters: &mut Counters,
        now: Instant,
    ) -> Result<TcpId, SocketError> {
        let options = (*self.defaults).clone();
        self.connect_with(source, remote, &options, counters, now)
    }

    /// [`Tcp::connect`] with options of its own.
    pub fn connect_with(
        &mut self,
        source: (IpAddr, u16),
        remote: SocketAddr,
        options: &SocketOptions,
        counters: &mut Counters,
        now: Instant,
    ) -> Result<TcpId, SocketError> {
        let options = self.share(options.clone())?;
        let remote = Endpoint::from(remote);
        let (addr, port) = source;
        // MUST-46; a connection to oneself would be a simultaneous open with oneself.
        if remote.port == 0 || remote.addr.is_unspecified() || remote.addr.is_multicast() {
            return Err(SocketError::Invalid);
        }
        if self.connections.len() >= self.config.max_connections {
            return Err(SocketError::NoBuffers);
        }
        let free = |port: u16| {
            let local = Endpoint::new(addr, port);
            let tuple = FourTuple { local, remote };
            (local != remote && !self.owners.contains_key(&tuple)).then_some(tuple)
        };
        let tuple = if port != 0 {
            free(port).ok_or(SocketError::AddrInUse)?
        } else {
            self.opens = self.opens.wrapping_add(1);
            self.secrets
                .ports(addr, remote, self.opens)
                .find_map(free)
                .ok_or(SocketError::AddrNotAvailable)?
        };
        let (iss, ts_offset) = (self.secrets.isn(&tuple, now), self.secrets.timestamp_offset(&tuple));
        let tcb = Tcb::open(tuple, iss, ts_offset, options, &mut env!(self, counters, now));
        let handle = self.connections.insert(Box::new(tcb));
        self.owners.insert(tuple, Owner::Connection(handle.index));
        self.settle(handle.index, now);
        Ok(TcpId(handle))
    }

    /// Queues bytes to send, as many as the send buffer takes.
    pub fn send(&mut self, id: TcpId, bytes: &[IoSlice<'_>], now: Instant) -> Result<usize, SocketError> {
        let tcb = self.connections.get_mut(id.0).ok_or(SocketError::NoSocket)?;
        let limit = tcb.send_limit(&self.config);
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
        let taken = tcb.send_queue.append(bytes, limit);
        if taken == 0 && bytes.iter().any(|slice| !slice.is_empty()) {
            tcb.wants_room = true;
            return Err(SocketError::WouldBlock);
        }
        // Who finds the queue full by looking (`readiness`) is told of room as well as who finds it by trying.
        tcb.wants_room |= tcb.send_queue.len() >= limit;
        self.settle(id.0.index, now);
        Ok(taken)
    }

    /// Reads received bytes; zero at the end of the stream.
    pub fn recv(&mut self, id: TcpId, into: &mut [u8], now: Instant) -> Result<usize, SocketError> {
        self.receive_with(id, now, |tcb| tcb.receive_queue.read(into))
    }

    /// Takes the first received range without a copy; empty at the end of the stream.
    pub fn recv_slice(&mut self, id: TcpId, now: Instant) -> Result<Slice, SocketError> {
        self.receive_with(id, now, |tcb| tcb.receive_queue.take().unwrap_or_default())
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
        let mut unused = Counters::default();
        tcb.after_read(&Env {
            config: &self.config,
            capabilities: self.capabilities,
            counters: &mut unused,
            now,
        });
        self.settle(id.0.index, now);
        Ok(value)
    }

    /// Reads received bytes and leaves them in the queue.
    pub fn peek(&mut self, id: TcpId, into: &mut [u8]) -> Result<usize, SocketError> {
        let tcb = self.connections.get_mut(id.0).ok_or(SocketError::NoSocket)?;
        if tcb.receive_queue.is_empty() {
            tcb.end_of_stream().map(|()| 0)
        } else {
            Ok(tcb.receive_queue.peek(into))
        }
    }

    /// Closes one or both directions; FIN follows the pending data. `NotConnected` when there is no connection.
    pub fn shutdown(&mut self, id: TcpId, how: Shutdown, now: Instant) -> Result<(), SocketError> {
        let result = self.connections.get_mut(id.0).ok_or(SocketError::NoSocket)?.shutdown(how);
        self.settle(id.0.index, now);
        result
    }

    /// Gives the socket up: the handle is gone, the connection closes gracefully in the background (RST if data is unread).
    pub fn close(&mut self, id: TcpId, counters: &mut Counters, now: Instant) {
        let Some(tcb) = self.connections.get_mut(id.0) else { return };
        let closing = tcb.close(&env!(self, counters, now));
        let many = self.orphans >= self.config.max_orphans;
        if closing == Closing::Reset || (closing == Closing::Graceful && many) {
            counters.tcp_orphans_refused += u64::from(closing == Closing::Graceful);
            self.abort_connection(id.0.index, SocketError::ConnectionAborted, counters, now);
        } else if closing == Closing::Graceful {
            tcb.counted = true;
            self.orphans += 1;
        }
        self.settle(id.0.index, now);
        self.connections.retire(id.0);
    }

    /// Resets the connection and gives the socket up.
    pub fn abort(&mut self, id: TcpId, counters: &mut Counters, now: Instant) {
        let Some(tcb) = self.connections.get_mut(id.0) else { return };
        tcb.orphan = true;
        self.abort_connection(id.0.index, SocketError::ConnectionAborted, counters, now);
        self.settle(id.0.index, now);
        self.connections.retire(id.0);
    }

    /// Resets every connection. Their sockets stay, with the error.
    pub fn abort_all(&mut self, counters: &mut Counters, now: Instant) {
        let all: Vec<u32> = self.connections.iter().map(|(index, _)| index).collect();
        for index in all {
            self.abort_connection(index, SocketError::ConnectionAborted, counters, now);
            self.settle(index, now);
        }
    }

    /// What the socket is ready for now.
    pub fn readiness(&self, id: TcpId) -> Readiness {
        self.connections
            .get(id.0)
            .map_or(Readiness::HUP | Readiness::ERR, |tcb| tcb.readiness(tcb.send_limit(&self.config)))
    }

    /// `SO_ERROR`: the pending error, read and cleared.
    pub fn take_error(&mut self, id: TcpId) -> Option<SocketError> {
        self.connections.get_mut(id.0)?.error.take()
    }

    /// This side's address.
    pub fn local_addr(&self, id: TcpId) -> Result<SocketAddr, SocketError> {
        self.connections.get(id.0).map(|tcb| tcb.tuple.local.into()).ok_or(SocketError::NoSocket)
    }

    /// The peer's address.
    pub fn peer_addr(&self, id: TcpId) -> Result<SocketAddr, SocketError> {
        self.connections.get(id.0).map(|tcb| tcb.tuple.remote.into()).ok_or(SocketError::NoSocket)
    }

    /// A snapshot of the connection.
    pub fn info(&self, id: TcpId) -> Result<ConnectionInfo, SocketError> {
        self.connections.get(id.0).map(|tcb| ConnectionInfo::of(tcb)).ok_or(SocketError::NoSocket)
    }
}

impl Tcb {
    /// What reading from an empty queue gives: the pending error, the end of the stream, or "not yet".
    fn end_of_stream(&mut self) -> Result<(), SocketError> {
        match self.error.take() {
            Some(error) => Err(error),
            None if self.is_at_end() => Ok(()),
            None => Err(SocketError::WouldBlock),
        }
    }

    fn is_at_end(&self) -> bool {
        self.read_closed || !(self.state.receives_data() || self.state == State::SynSent)
    }

    fn readiness(&self, send_buffer: usize) -> Readiness {
        let mut ready = Readiness::NONE;
        if !self.receive_queue.is_empty() || self.is_at_end() || self.error.is_some() {
            ready |= Readiness::IN;
        }
        let opening = matches!(self.state, State::SynSent | State::SynReceived);
        if !opening && (!self.state.sends_data() || self.send_queue.len() < send_buffer) {
            ready |= Readiness::OUT;
        }
        if self.is_at_end() {
            ready |= Readiness::RDHUP;
        }
        if self.is_at_end() && !self.state.sends_data() {
            ready |= Readiness::HUP;
        }
        if self.error.is_some() {
            ready |= Readiness::ERR;
        }
        ready
    }
}
