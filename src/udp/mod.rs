//! UDP (RFC 768, RFC 1122 §4.1, RFC 8200 §8.1): sockets, checksums, bounded queues. Datagrams above the MTU leave in fragments, many
//! small ones to one peer as one super-datagram where the device can segment; those that come as one are told apart on reading.
//!
//! A socket bound to `::` serves both IP versions; addresses of IPv4 peers are always given as IPv4. A connected socket hears its
//! peer alone, and ICMP errors reach connected sockets only: an unconnected one could not tell which datagram they are about.

mod burst;
mod ports;
mod socket;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use crate::base::buffer::{Buffer, Slice};
use crate::base::counters::{Counters, DropReason};
use crate::base::rng::Rng;
use crate::base::share::Share;
use crate::base::socket::{Handle, Readiness, SocketError};
use crate::base::table::Table;
use crate::base::time::Instant;
use crate::ip::output::{HOP_LIMIT, MAX_PACKET, SendError, max_payload};
use crate::ip::{Datagram, Ip};
use crate::wire::checksum::Sum;
use crate::wire::icmp::{ErrorKind, IcmpError};
use crate::wire::ip::{Endpoint, IpHeader, header_len, protocol};
use crate::wire::packet::Offload;
use crate::wire::udp::{CHECKSUM_OFFSET, HEADER, UdpHeader};
use burst::Burst;
use ports::Ports;
use socket::{Queued, Socket};

/// Names a UDP socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UdpId(pub Handle);

/// UDP sockets of one stack.
pub const MAX_SOCKETS: usize = 65_536;
/// Memory of a socket's receive queue, in bytes of chunks.
pub const MAX_QUEUE: usize = 4 << 20;
/// Datagrams in a socket's receive queue.
pub const MAX_DATAGRAMS: usize = 1_024;
/// Memory of all receive queues together.
pub const MAX_MEMORY: usize = 64 << 20;
/// Datagrams in one super-datagram, and in one call of [`Udp::send_segmented`]. Linux has the same bound.
pub const MAX_SEGMENTS: usize = 128;
/// Payload bytes of one call of [`Udp::send_segmented`] in either IP version: a super-datagram has 65,535 bytes with its headers.
pub const MAX_SEGMENTED: usize = MAX_PACKET - 40 - HEADER;

/// Datagrams to be sent to one peer in one call.
#[derive(Clone, Copy, Debug)]
pub struct Transmit<'a> {
    /// The datagrams' bytes, one after the other; nothing is one empty datagram.
    pub payload: &'a [u8],
    /// Bytes of each datagram but the last, which is what is left.
    pub size: usize,
    /// An own address of the caller's choice to send from, or the one that suits the destination.
    pub from: Option<IpAddr>,
    /// Who they are for.
    pub to: SocketAddr,
}

/// What a received datagram, or several of one sender, told besides the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes copied; the rest of a longer datagram is lost.
    pub len: usize,
    /// Of several datagrams (see [`Udp::recv_segmented`]) the bytes of each but the last, which may be shorter; else `len`.
    pub stride: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// The address it was sent to: the one to answer from where the stack has several.
    pub to: IpAddr,
}

/// UDP of one stack.
#[derive(Debug)]
pub struct Udp {
    sockets: Table<Socket>,
    ports: Ports,
    /// Sockets that became ready, each once.
    ready: VecDeque<UdpId>,
    /// Sockets that found the device's queue full, each once.
    blocked: Vec<UdpId>,
    /// Bytes of chunks in all receive queues.
    memory: usize,
    /// Datagrams that leave together, with what may follow.
    burst: Option<Burst>,
}

impl Udp {
    /// UDP without a socket.
    pub fn new(rng: &mut Rng) -> Self {
        let (ready, blocked) = (VecDeque::new(), Vec::new());
        Udp { sockets: Table::default(), ports: Ports::new(rng), ready, blocked, memory: 0, burst: None }
    }

    /// Ports that nobody named are chosen from `share`.
    pub fn set_share(&mut self, share: Share) {
        self.ports.share = share;
    }

    /// True for a datagram to one of this stack's sockets, and for what is no datagram, which any stack can drop.
    pub fn knows(&self, datagram: &Datagram) -> bool {
        UdpHeader::parse(datagram.payload()).is_none_or(|header| {
            let (ip, port) = (&datagram.header, header.src_port);
            self.knows_ends(Endpoint::new(ip.dst, header.dst_port), Endpoint::new(ip.src, port))
        })
    }

    /// True if one of this stack's sockets has this end and hears of that one.
    pub fn knows_ends(&self, local: Endpoint, remote: Endpoint) -> bool {
        let socket = self.ports.find(local.addr, local.port).and_then(|id| self.sockets.get(id.0));
        socket.is_some_and(|socket| socket.hears(remote.into()))
    }

    /// Takes a datagram in. It is given back when nobody listens, for ICMP to say so.
    pub fn receive(&mut self, datagram: Datagram, counters: &mut Counters) -> Option<Datagram> {
        let Some(header) = check(&datagram) else {
            counters.drop(DropReason::UdpMalformed);
            return None;
        };
        let (local, remote) = (datagram.header.dst, datagram.header.src);
        let from = SocketAddr::new(remote, header.src_port);
        let id = self.ports.find(local, header.dst_port);
        let found = id.and_then(|id| Some((id, self.sockets.get_mut(id.0)?)));
        let Some((id, socket)) = found.filter(|(_, socket)| socket.hears(from)) else {
            counters.drop(DropReason::UdpNoSocket);
            return Some(datagram);
        };
        let payload = datagram.slice(HEADER..usize::from(header.length));
        let (memory, len) = (payload.capacity(), usize::from(header.length) - HEADER);
        let left = datagram.packet.offload.packets(len) as u32;
        let size = match datagram.packet.offload {
            Offload::Udp { size, .. } if left > 1 => size.into(),
            _ => len as u32,
        };
        let queued = Queued { payload, size, next: 0, left, from, to: local };
        if self.memory + memory > MAX_MEMORY || !socket.push(queued) {
            counters.drop(DropReason::UdpQueueFull);
            return None;
        }
        self.memory += memory;
        counters.udp_in += 1;
        counters.udp_in_datagrams += u64::from(left);
        if !std::mem::replace(&mut socket.announced, true) {
            self.ready.push_back(id);
        }
        None
    }

    /// Hears of an ICMP error about a datagram of ours (RFC 1122 §4.1.3.3). Only a connected socket is told, and of what passes
    /// by itself (time exceeded, packet too big, parameter problem) not even that one.
    pub fn icmp_error(&mut self, error: IcmpError, ip: &mut Ip, counters: &mut Counters, now: Instant) {
        if let ErrorKind::PacketTooBig { mtu } = error.kind {
            return self.packet_too_big(&error, mtu, ip, counters, now);
        }
        let Some(pending) = socket_error(error.kind) else {
            counters.drop(DropReason::IcmpIgnored);
            return;
        };
        let id = self.ports.find(error.local.addr, error.local.port);
        let found = id.and_then(|id| Some((id, self.sockets.get_mut(id.0)?)));
        match found.filter(|(_, socket)| socket.peer == Some(error.remote.into())) {
            Some((id, socket)) => {
                socket.error = Some(pending);
                self.announce(id);
            }
            None => counters.drop(DropReason::IcmpIgnored),
        }
    }

    /// What is sent on that path later goes in smaller fragments (RFC 8201 §5.2). Nobody resends a datagram but the application.
    fn packet_too_big(
        &mut self,
        error: &IcmpError,
        mtu: u32,
        ip: &mut Ip,
        counters: &mut Counters,
        now: Instant,
    ) {
        let id = self.ports.find(error.local.addr, error.local.port);
        let socket = id.and_then(|id| self.sockets.get(id.0));
        let is_ours = socket.is_some_and(|socket| socket.hears(error.remote.into()));
        if !(is_ours && ip.paths().lower_for_datagrams(error.remote.addr, mtu, now)) {
            counters.drop(DropReason::IcmpIgnored);
        }
    }

    /// Opens a socket on `local`: an own address or an unspecified one, port 0 for a random free port (RFC 6056 §3.3.1).
    /// `AddrNotAvailable` for somebody else's address, `AddrInUse` when another socket would receive the same datagrams.
    pub fn bind(&mut self, local: SocketAddr, ip: &Ip) -> Result<UdpId, SocketError> {
        let addr = local.ip().to_canonical();
        if !addr.is_unspecified() && !ip.addresses().is_local(addr) {
            return Err(SocketError::AddrNotAvailable);
        }
        if self.sockets.len() >= MAX_SOCKETS {
            return Err(SocketError::NoBuffers);
        }
        let port = self.ports.choose(addr, local.port())?;
        let id = UdpId(self.sockets.insert(Socket::new(SocketAddr::new(addr, port))));
        self.ports.insert(addr, port, id);
        Ok(id)
    }

    /// Fixes the peer: `send` goes there, and nobody else is heard any more. What waits from others is dropped.
    /// `NetworkUnreachable` when the stack has no address of the peer's version.
    pub fn connect(&mut self, id: UdpId, peer: SocketAddr, ip: &Ip) -> Result<(), SocketError> {
        let peer = canonical(peer);
        let socket = self.sockets.get_mut(id.0).ok_or(SocketError::NoSocket)?;
        socket.source = Some(socket.source_for(peer, None, ip)?);
        socket.peer = Some(peer);
        self.memory -= socket.retain_peer();
        Ok(())
    }

    /// Sends to the connected peer. `NotConnected` without one; see [`send_to`](Udp::send_to) for the rest.
    pub fn send(
        &mut self,
        id: UdpId,
        payload: &[u8],
        ip: &mut Ip,
        counters: &mut Counters,
    ) -> Result<usize, SocketError> {
        let socket = self.sockets.get(id.0).ok_or(SocketError::NoSocket)?;
        let peer = socket.peer.ok_or(SocketError::NotConnected)?;
        self.send_from(id, payload, None, peer, ip, counters)
    }

    /// Sends a datagram to `to`, in fragments where it exceeds the MTU. Errors: the pending one, `MessageTooLong` beyond 65,507
    /// bytes (65,527 in IPv6), `NetworkUnreachable` without an address of that version, `WouldBlock` when the device is behind
    /// (writable tells when to try again), `Invalid` for port 0.
    pub fn send_to(
        &mut self,
        id: UdpId,
        payload: &[u8],
        to: SocketAddr,
        ip: &mut Ip,
        counters: &mut Counters,
    ) -> Result<usize, SocketError> {
        self.send_from(id, payload, None, to, ip, counters)
    }

    /// Like [`send_to`](Udp::send_to), from an own address of the caller's choice: `Received::to` of what is answered.
    pub fn send_from(
        &mut self,
        id: UdpId,
        payload: &[u8],
        from: Option<IpAddr>,
        to: SocketAddr,
        ip: &mut Ip,
        counters: &mut Counters,
    ) -> Result<usize, SocketError> {
        self.submit(id, &Transmit { payload, size: payload.len(), from, to }, ip, counters)
    }

    /// Sends several datagrams in one call: all of them or none. Where the device can segment they leave as one frame. Returns the
    /// bytes sent. Errors: those of [`send_to`](Udp::send_to), `Invalid` for a `size` of zero and for more than [`MAX_SEGMENTS`]
    /// datagrams, `MessageTooLong` when all together exceed what one packet may carry: at least [`MAX_SEGMENTED`] bytes.
    pub fn send_segmented(
        &mut self,
        id: UdpId,
        transmit: &Transmit<'_>,
        ip: &mut Ip,
        counters: &mut Counters,
    ) -> Result<usize, SocketError> {
        let len = transmit.payload.len();
        if transmit.size == 0 || len.div_ceil(transmit.size) > MAX_SEGMENTS {
            return Err(SocketError::Invalid);
        }
        self.submit(id, &Transmit { size: transmit.size.min(len), ..*transmit }, ip, counters)
    }

    fn submit(
        &mut self,
        id: UdpId,
        &Transmit { payload, size, from, to }: &Transmit<'_>,
        ip: &mut Ip,
        counters: &mut Counters,
    ) -> Result<usize, SocketError> {
        let to = canonical(to);
        let socket = self.sockets.get_mut(id.0).ok_or(SocketError::NoSocket)?;
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        if to.port() == 0 {
            return Err(SocketError::Invalid);
        }
        let src = SocketAddr::new(socket.source_for(to, from, ip)?, socket.local.port());
        let count = payload.len().div_ceil(size.max(1)).max(1);
        let longest = if count > 1 { MAX_PACKET - header_len(to.ip()) } else { max_payload(to.ip()) };
        if HEADER + payload.len() > longest {
            return Err(SocketError::MessageTooLong);
        }
        let waiting = self.burst.as_ref().map_or(0, Burst::len);
        if !ip.output().has_room_for_many(to.ip(), HEADER + size, count, waiting) {
            if !std::mem::replace(&mut socket.blocked, true) {
                self.blocked.push(id);
            }
            return Err(SocketError::WouldBlock);
        }
        self.dispatch(src, to, payload, size, ip, counters);
        Ok(payload.len())
    }

    /// Adds to the burst, begins one, or sends what no burst can hold, in the order of the calls.
    fn dispatch(
        &mut self,
        src: SocketAddr,
        dst: SocketAddr,
        payload: &[u8],
        size: usize,
        ip: &mut Ip,
        counters: &mut Counters,
    ) {
        // An empty datagram cannot be told in a row of others.
        if size > 0
            && let Some(burst) = &mut self.burst
            && burst.extend(src, dst, payload, size)
        {
            return;
        }
        self.flush(ip, counters);
        if size > 0 && ip.capabilities().udp_segmentation && ip.output().fits(dst.ip(), HEADER + size) {
            self.burst = Some(Burst::new(src, dst, payload, size));
            return;
        }
        // `chunks` gives nothing where there is nothing, which is a datagram too.
        let empty = payload.is_empty().then_some(payload);
        for datagram in payload.chunks(size.max(1)).chain(empty) {
            // There is room for all, as the caller saw.
            let _ = emit(src, dst, Slice::from(Buffer::copy_of(datagram)), size, ip, counters);
        }
    }

    /// Hands to IP what waits for more to leave with. To be called before IP is asked for frames.
    pub fn flush(&mut self, ip: &mut Ip, counters: &mut Counters) {
        if let Some(burst) = self.burst.take() {
            burst.send(ip, counters);
        }
    }

    /// Takes a datagram out of the queue. Errors: the pending one, `WouldBlock` when none waits.
    pub fn recv_from(&mut self, id: UdpId, into: &mut [u8]) -> Result<Received, SocketError> {
        let socket = self.sockets.get_mut(id.0).ok_or(SocketError::NoSocket)?;
        let received = socket.next_datagram()?.copy_to(into);
        self.memory -= socket.advance(1);
        Ok(received)
    }

    /// Takes several datagrams out of the queue: those of one sender that follow each other there, equal in size but for the last,
    /// which may be shorter, as many as `into` holds. `Received::stride` tells where each begins. Errors: those of
    /// [`recv_from`](Udp::recv_from).
    pub fn recv_segmented(&mut self, id: UdpId, into: &mut [u8]) -> Result<Received, SocketError> {
        let first = self.recv_from(id, into)?;
        let mut received = first;
        let Some(socket) = self.sockets.get_mut(id.0) else { return Ok(first) };
        // Behind a shorter one, or an empty one, nothing could be told apart.
        while first.stride > 0
            && received.len.is_multiple_of(first.stride)
            && let Some(next) = socket.queue.front().filter(|next| next.follows(&first))
        {
            let (len, count) = next.copy_whole(&mut into[received.len..]);
            if count == 0 {
                break;
            }
            received.len += len;
            self.memory -= socket.advance(count);
        }
        Ok(received)
    }

    /// Takes a datagram out of the queue without a copy.
    pub fn recv_slice(&mut self, id: UdpId) -> Result<(Slice, Received), SocketError> {
        let socket = self.sockets.get_mut(id.0).ok_or(SocketError::NoSocket)?;
        let next = socket.next_datagram()?;
        let (range, from, to) = (next.range(), next.from, next.to);
        let payload = next.payload.slice(range);
        self.memory -= socket.advance(1);
        let len = payload.len();
        Ok((payload, Received { len, stride: len, from, to }))
    }

    /// Reads the next datagram and leaves it in the queue. Errors: the pending one, `WouldBlock` when none waits.
    pub fn peek_from(&mut self, id: UdpId, into: &mut [u8]) -> Result<Received, SocketError> {
        let socket = self.sockets.get_mut(id.0).ok_or(SocketError::NoSocket)?;
        Ok(socket.next_datagram()?.copy_to(into))
    }

    /// Closes the socket; what waits in it is dropped and its port free at once.
    pub fn close(&mut self, id: UdpId) {
        if let Some(socket) = self.sockets.get(id.0) {
            self.memory -= socket.memory;
            self.ports.remove(socket.local.ip(), socket.local.port(), id);
            self.sockets.remove(id.0.index);
        }
    }

    /// What the socket is ready for now.
    pub fn readiness(&self, id: UdpId) -> Readiness {
        self.sockets.get(id.0).map_or(Readiness::ERR | Readiness::HUP, Socket::readiness)
    }

    /// `SO_ERROR`: the pending error, read and cleared.
    pub fn take_error(&mut self, id: UdpId) -> Option<SocketError> {
        self.sockets.get_mut(id.0)?.error.take()
    }

    /// The address that the socket is bound to; once connected, the one it sends from.
    pub fn local_addr(&self, id: UdpId) -> Result<SocketAddr, SocketError> {
        let socket = self.sockets.get(id.0).ok_or(SocketError::NoSocket)?;
        Ok(SocketAddr::new(socket.source.unwrap_or(socket.local.ip()), socket.local.port()))
    }

    /// The connected peer.
    pub fn peer_addr(&self, id: UdpId) -> Result<SocketAddr, SocketError> {
        self.sockets.get(id.0).ok_or(SocketError::NoSocket)?.peer.ok_or(SocketError::NotConnected)
    }

    /// Tells the sockets that found the device's queue full that there is room again.
    pub fn output_relaxed(&mut self) {
        for id in std::mem::take(&mut self.blocked) {
            if let Some(socket) = self.sockets.get_mut(id.0) {
                socket.blocked = false;
                self.announce(id);
            }
        }
    }

    /// The next socket that became ready, and for what.
    pub fn poll_event(&mut self) -> Option<(UdpId, Readiness)> {
        loop {
            let id = self.ready.pop_front()?;
            if let Some(socket) = self.sockets.get_mut(id.0) {
                socket.announced = false;
                return Some((id, socket.readiness()));
            }
        }
    }

    fn announce(&mut self, id: UdpId) {
        if let Some(socket) = self.sockets.get_mut(id.0)
            && !std::mem::replace(&mut socket.announced, true)
        {
            self.ready.push_back(id);
        }
    }
}

/// The header, if length, ports and checksum are right. Zero is "no checksum" in IPv4 and wrong in IPv6 (RFC 8200 §8.1); what
/// the device vouches for is not summed again.
fn check(datagram: &Datagram) -> Option<UdpHeader> {
    let payload = datagram.payload();
    let header = UdpHeader::parse(payload)?;
    // Hostile case P6: nothing can be answered to port 0.
    if header.src_port == 0 || header.dst_port == 0 {
        return None;
    }
    let (src, dst) = (datagram.header.src, datagram.header.dst);
    let covered = payload.get(..usize::from(header.length))?;
    let is_valid = match (datagram.packet.offload, header.checksum) {
        (Offload::Checksum { .. } | Offload::Tcp { .. } | Offload::Udp { .. }, _) => true,
        (Offload::None, 0) => dst.is_ipv4(),
        (Offload::None, _) => {
            Sum::pseudo_header(src, dst, protocol::UDP, covered.len()).add(covered).is_valid()
        }
    };
    is_valid.then_some(header)
}

/// Puts the header in front of a datagram, or of a super-datagram where `payload` exceeds `size`, and hands it to IP. The device
/// completes the checksum where it can; fragments are summed here, since no device sees the whole.
fn emit(
    src: SocketAddr,
    dst: SocketAddr,
    payload: Slice,
    size: usize,
    ip: &mut Ip,
    counters: &mut Counters,
) -> Result<(), SendError> {
    counters.udp_out += 1;
    let len = HEADER + payload.len();
    // IPv4's longest datagrams fill the field; a longer one was refused before.
    let header = UdpHeader { src_port: src.port(), dst_port: dst.port(), length: len as u16, checksum: 0 };
    let sum = Sum::pseudo_header(src.ip(), dst.ip(), protocol::UDP, len);
    let start = header_len(dst.ip()) as u16;
    let (checksum, offload) = if payload.len() > size {
        (sum.folded(), Offload::Udp { size: size as u16, start })
    } else if ip.capabilities().checksum && ip.output().fits(dst.ip(), len) {
        (sum.folded(), Offload::Checksum { start, offset: CHECKSUM_OFFSET as u16 })
    } else {
        let checksum = sum.add(&header.to_bytes()).add(&payload).checksum();
        // RFC 768: a sum of zero goes out as its other form, because zero means none.
        (if checksum == 0 { 0xffff } else { checksum }, Offload::None)
    };
    let ip_header = IpHeader {
        src: src.ip(),
        dst: dst.ip(),
        protocol: protocol::UDP,
        hop_limit: HOP_LIMIT,
        traffic_class: 0,
    };
    counters.udp_out_datagrams += offload.packets(payload.len()) as u64;
    let header = UdpHeader { checksum, ..header };
    ip.output().send(&ip_header, &header.to_bytes(), payload, offload, counters)
}

/// What a connected socket is told of an ICMP error.
fn socket_error(kind: ErrorKind) -> Option<SocketError> {
    match kind {
        ErrorKind::PortUnreachable | ErrorKind::ProtocolUnreachable => Some(SocketError::ConnectionRefused),
        ErrorKind::NetUnreachable => Some(SocketError::NetworkUnreachable),
        ErrorKind::HostUnreachable | ErrorKind::Prohibited => Some(SocketError::HostUnreachable),
        ErrorKind::PacketTooBig { .. }
        | ErrorKind::HopLimitExceeded
        | ErrorKind::ReassemblyTimeout
        | ErrorKind::ParameterProblem { .. } => None,
    }
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

#[cfg(test)]
mod tests;
