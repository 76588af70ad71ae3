//! The socket calls that open and end: non-blocking, with the results POSIX gives. After each the connection is settled, and what
//! it has to send waits for `poll_transmit`. Bytes are moved in `transfer`, options set in `options`.

use std::net::{IpAddr, Shutdown, SocketAddr};

use crate::base::counters::Counters;
use crate::base::socket::SocketError;
use crate::base::time::Instant;
use crate::wire::ip::Endpoint;

use super::close::Closing;
use super::info::ConnectionInfo;
use super::listener::Listener;
use super::options::SocketOptions;
use super::segment::FourTuple;
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
            if let (Some(handle), Some(tcb)) = (self.connections.handle(index), self.connections.at(index)) {
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
        if port == 0 {
            self.opens = self.opens.wrapping_add(1);
        }
        let free = |port: u16| {
            let local = Endpoint::new(addr, port);
            let tuple = FourTuple { local, remote };
            (local != remote && self.owner(&tuple).is_none()).then_some(tuple)
        };
        let tuple = if port != 0 {
            free(port).ok_or(SocketError::AddrInUse)?
        } else {
            self.secrets
                .ports(addr, remote, self.opens)
                .filter(|&port| self.share.has(port))
                .find_map(free)
                .ok_or(SocketError::AddrNotAvailable)?
        };
        let (iss, ts_offset) = (self.secrets.isn(&tuple, now), self.secrets.timestamp_offset(&tuple));
        let tcb = Tcb::open(tuple, iss, ts_offset, options, &mut env!(self, counters, now));
        let handle = self.connections.insert(tcb);
        self.owners.insert(&tuple, Owner::Connection(handle.index));
        self.settle(handle.index, now);
        Ok(TcpId(handle))
    }

    /// Closes one or both directions; FIN follows the pending data. `NotConnected` when there is no connection.
    pub fn shutdown(&mut self, id: TcpId, how: Shutdown, now: Instant) -> Result<(), SocketError> {
        let result = self.connections.get_mut(id.0).ok_or(SocketError::NoSocket)?.shutdown(how);
        self.settle(id.0.index, now);
        result
    }

    /// Gives the socket up: the handle is gone, the connection closes gracefully in the background; with a RST if data is unread
    /// (SHLD-3) or the `linger` option is zero.
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

    /// Closes as `SO_LINGER` asks: with a time to linger, `WouldBlock` while the peer has not acknowledged everything; the socket
    /// becomes ready for `HUP` when it has or the time is over, for another try. Any other result means that the handle is gone.
    ///
    /// # Errors
    /// `TimedOut` when the time is over, and the connection goes on in the background, as on Linux; what else ended the connection
    /// before everything was acknowledged.
    pub fn poll_close(
        &mut self,
        id: TcpId,
        counters: &mut Counters,
        now: Instant,
    ) -> Result<(), SocketError> {
        let tcb = self.connections.get_mut(id.0).ok_or(SocketError::NoSocket)?;
        let result = tcb.linger(now);
        if result == Err(SocketError::WouldBlock) {
            self.settle(id.0.index, now);
        } else {
            self.close(id, counters, now);
        }
        result
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
        self.connections.get(id.0).map(ConnectionInfo::of).ok_or(SocketError::NoSocket)
    }
}
