//! The socket calls that need more than one layer: those that choose among the stack's addresses, queue datagrams, or drop what
//! is to be counted. All others are on the layers themselves, behind [`Stack::tcp`], [`Stack::udp`] and [`Stack::pings`].

use std::net::{IpAddr, SocketAddr};

use super::Stack;
use crate::base::socket::SocketError;
use crate::base::time::Instant;
use crate::icmp::PingId;
use crate::icmp::ping::Pings;
use crate::tcp::options::SocketOptions;
use crate::tcp::{ListenerId, Tcp, TcpId};
use crate::udp::{Transmit, Udp, UdpId};

impl Stack {
    /// The TCP sockets.
    pub fn tcp(&mut self) -> &mut Tcp {
        &mut self.tcp
    }

    /// The UDP sockets.
    pub fn udp(&mut self) -> &mut Udp {
        &mut self.udp
    }

    /// The sockets for echo requests.
    pub fn pings(&mut self) -> &mut Pings {
        self.icmp.pings()
    }

    /// Starts to listen, see [`Tcp::listen`]. `AddrNotAvailable` for an address that is not the stack's.
    pub fn tcp_listen(&mut self, local: SocketAddr, backlog: usize) -> Result<ListenerId, SocketError> {
        let options = self.tcp.default_options().clone();
        self.tcp_listen_with(local, backlog, &options)
    }

    /// [`Stack::tcp_listen`] with options of its own, which its connections inherit.
    pub fn tcp_listen_with(
        &mut self,
        local: SocketAddr,
        backlog: usize,
        options: &SocketOptions,
    ) -> Result<ListenerId, SocketError> {
        let addr = local.ip().to_canonical();
        if !addr.is_unspecified() && !self.ip.addresses().is_local(addr) {
            return Err(SocketError::AddrNotAvailable);
        }
        self.tcp.listen_with(local, backlog, options)
    }

    /// Opens a connection to `remote`, see [`Tcp::connect`]: from `local` if given (port 0: chosen), else from the address that
    /// suits the destination. `NetworkUnreachable` without one of that version, `AddrNotAvailable` if `local` is not the stack's,
    /// `Invalid` where `remote` cannot be a peer.
    pub fn tcp_connect(
        &mut self,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        now: Instant,
    ) -> Result<TcpId, SocketError> {
        let options = self.tcp.default_options().clone();
        self.tcp_connect_with(local, remote, &options, now)
    }

    /// [`Stack::tcp_connect`] with options of its own.
    pub fn tcp_connect_with(
        &mut self,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        options: &SocketOptions,
        now: Instant,
    ) -> Result<TcpId, SocketError> {
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let to = remote.ip();
        if remote.port() == 0 || self.ip.addresses().is_martian(to) {
            return Err(SocketError::Invalid);
        }
        let port = local.map_or(0, |local| local.port());
        let asked = local.map(|local| local.ip().to_canonical()).filter(|addr| !addr.is_unspecified());
        let source = match asked {
            Some(addr) if !self.ip.addresses().is_local(addr) => return Err(SocketError::AddrNotAvailable),
            Some(addr) if addr.is_ipv4() != to.is_ipv4() => return Err(SocketError::NetworkUnreachable),
            Some(addr) => addr,
            None => self.ip.addresses().source_for(to).ok_or(SocketError::NetworkUnreachable)?,
        };
        self.tcp.connect_with((source, port), remote, options, &mut self.counters, now)
    }

    /// Stops listening, see [`Tcp::close_listener`].
    pub fn tcp_close_listener(&mut self, listener: ListenerId, now: Instant) {
        self.tcp.close_listener(listener, &mut self.counters, now);
    }

    /// Gives a connection up, see [`Tcp::close`].
    pub fn tcp_close(&mut self, id: TcpId, now: Instant) {
        self.tcp.close(id, &mut self.counters, now);
    }

    /// Gives a connection up as its `linger` option asks, see [`Tcp::poll_close`].
    pub fn tcp_poll_close(&mut self, id: TcpId, now: Instant) -> Result<(), SocketError> {
        self.tcp.poll_close(id, &mut self.counters, now)
    }

    /// Resets a connection, see [`Tcp::abort`].
    pub fn tcp_abort(&mut self, id: TcpId, now: Instant) {
        self.tcp.abort(id, &mut self.counters, now);
    }

    /// Resets every connection, see [`Tcp::abort_all`].
    pub fn tcp_abort_all(&mut self, now: Instant) {
        self.tcp.abort_all(&mut self.counters, now);
    }

    /// Opens a UDP socket, see [`Udp::bind`].
    pub fn udp_bind(&mut self, local: SocketAddr) -> Result<UdpId, SocketError> {
        self.udp.bind(local, &self.ip)
    }

    /// Fixes the peer of a UDP socket, see [`Udp::connect`].
    pub fn udp_connect(&mut self, id: UdpId, peer: SocketAddr) -> Result<(), SocketError> {
        self.udp.connect(id, peer, &self.ip)
    }

    /// Sends a datagram to the connected peer, see [`Udp::send`].
    pub fn udp_send(&mut self, id: UdpId, payload: &[u8]) -> Result<usize, SocketError> {
        self.udp.send(id, payload, &mut self.ip, &mut self.counters)
    }

    /// Sends a datagram, see [`Udp::send_to`].
    pub fn udp_send_to(&mut self, id: UdpId, payload: &[u8], to: SocketAddr) -> Result<usize, SocketError> {
        self.udp.send_to(id, payload, to, &mut self.ip, &mut self.counters)
    }

    /// Sends a datagram from an address of the caller's choice, see [`Udp::send_from`].
    pub fn udp_send_from(
        &mut self,
        id: UdpId,
        payload: &[u8],
        from: IpAddr,
        to: SocketAddr,
    ) -> Result<usize, SocketError> {
        self.udp.send_from(id, payload, Some(from), to, &mut self.ip, &mut self.counters)
    }

    /// Sends several datagrams in one call, see [`Udp::send_segmented`].
    pub fn udp_send_segmented(
        &mut self,
        id: UdpId,
        payload: &[u8],
        size: usize,
        from: Option<IpAddr>,
        to: SocketAddr,
    ) -> Result<usize, SocketError> {
        let transmit = Transmit { payload, size, from, to };
        self.udp.send_segmented(id, &transmit, &mut self.ip, &mut self.counters)
    }

    /// Opens a socket for echo requests to `dst`, see [`Pings::open`].
    pub fn ping_open(&mut self, dst: IpAddr) -> Result<PingId, SocketError> {
        self.icmp.pings().open(dst, &self.ip)
    }

    /// Sends an echo request, see [`Pings::send`].
    pub fn ping_send(&mut self, id: PingId, seq: u16, data: &[u8]) -> Result<(), SocketError> {
        self.icmp.pings().send(id, seq, data, &mut self.ip, &mut self.counters)
    }
}
