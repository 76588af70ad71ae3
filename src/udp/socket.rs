//! One UDP socket: its addresses and its receive queue, bounded by count and by the memory under the datagrams.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use super::{MAX_DATAGRAMS, MAX_QUEUE};
use crate::base::buffer::Slice;
use crate::base::socket::{Readiness, SocketError};
use crate::ip::Ip;

#[derive(Debug)]
pub(super) struct Queued {
    pub(super) payload: Slice,
    pub(super) from: SocketAddr,
    pub(super) to: IpAddr,
}

#[derive(Debug)]
pub(super) struct Socket {
    pub(super) local: SocketAddr,
    pub(super) peer: Option<SocketAddr>,
    /// The address to send from, once connected.
    pub(super) source: Option<IpAddr>,
    pub(super) queue: VecDeque<Queued>,
    /// Bytes of chunks in `queue`.
    pub(super) memory: usize,
    pub(super) error: Option<SocketError>,
    /// The socket waits for room in the device's queue.
    pub(super) blocked: bool,
    /// The socket waits in the list of ready ones already.
    pub(super) announced: bool,
}

impl Socket {
    pub(super) fn new(local: SocketAddr) -> Self {
        Socket {
            local,
            peer: None,
            source: None,
            queue: VecDeque::new(),
            memory: 0,
            error: None,
            blocked: false,
            announced: false,
        }
    }

    /// True unless the socket is connected to somebody else.
    pub(super) fn hears(&self, from: SocketAddr) -> bool {
        self.peer.is_none_or(|peer| peer == from)
    }

    /// Queues a datagram; false when there is no room.
    pub(super) fn push(&mut self, datagram: Queued) -> bool {
        let memory = datagram.payload.capacity();
        let has_room = self.queue.len() < MAX_DATAGRAMS && self.memory + memory <= MAX_QUEUE;
        if has_room {
            self.memory += memory;
            self.queue.push_back(datagram);
        }
        has_room
    }

    pub(super) fn pop(&mut self) -> Option<Queued> {
        let datagram = self.queue.pop_front()?;
        self.memory -= datagram.payload.capacity();
        Some(datagram)
    }

    /// Drops what waits from others than the peer; returns the bytes of chunks that are free now.
    pub(super) fn retain_peer(&mut self) -> usize {
        let (before, peer) = (self.memory, self.peer);
        self.queue.retain(|datagram| peer.is_none_or(|peer| peer == datagram.from));
        self.memory = self.queue.iter().map(|datagram| datagram.payload.capacity()).sum();
        before - self.memory
    }

    /// The address to send from: the one asked for, the one bound to, or the one that suits the destination.
    pub(super) fn source_for(
        &self,
        to: SocketAddr,
        asked: Option<IpAddr>,
        ip: &Ip,
    ) -> Result<IpAddr, SocketError> {
        let bound = self.local.ip();
        let fixed = asked.map(|addr| addr.to_canonical()).or((!bound.is_unspecified()).then_some(bound));
        match fixed {
            // A socket of 0.0.0.0 is an IPv4 socket.
            None if bound.is_ipv4() && to.is_ipv6() => Err(SocketError::NetworkUnreachable),
            None => ip.addresses().source_for(to.ip()).ok_or(SocketError::NetworkUnreachable),
            Some(addr) if addr.is_ipv4() != to.is_ipv4() => Err(SocketError::NetworkUnreachable),
            Some(addr) if !ip.addresses().is_local(addr) => Err(SocketError::AddrNotAvailable),
            Some(addr) => Ok(addr),
        }
    }

    pub(super) fn readiness(&self) -> Readiness {
        let mut readiness = Readiness::NONE;
        if !self.blocked {
            readiness |= Readiness::OUT;
        }
        if !self.queue.is_empty() {
            readiness |= Readiness::IN;
        }
        if self.error.is_some() {
            readiness |= Readiness::IN | Readiness::OUT | Readiness::ERR;
        }
        readiness
    }
}
