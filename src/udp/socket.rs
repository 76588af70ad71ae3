//! One UDP socket: its addresses and its receive queue, bounded by count and by the memory under the datagrams. A super-datagram
//! stays whole in the queue; the datagrams that it stands for are read out of it one by one, or several at once.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use super::{MAX_DATAGRAMS, MAX_QUEUE, Received};
use crate::base::buffer::Slice;
use crate::base::socket::{Readiness, SocketError};
use crate::ip::Ip;

/// A datagram that waits to be read, or a super-datagram.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) payload: Slice,
    /// Bytes of each datagram but the last.
    pub(super) size: u32,
    /// Where the next datagram begins, in bytes, and how many there still are; an empty one is one.
    pub(super) next: u32,
    pub(super) left: u32,
    pub(super) from: SocketAddr,
    pub(super) to: IpAddr,
}

impl Queued {
    /// Where the next datagram lies in the payload.
    pub(super) fn range(&self) -> Range<usize> {
        let start = self.next as usize;
        start..self.payload.len().min(start + self.size as usize)
    }

    /// Copies the next datagram, cut to `into`.
    pub(super) fn copy_to(&self, into: &mut [u8]) -> Received {
        let bytes = &self.payload[self.range()];
        let len = bytes.len().min(into.len());
        into[..len].copy_from_slice(&bytes[..len]);
        Received { len, stride: len, from: self.from, to: self.to }
    }

    /// True if what is left here can be read together with datagrams of `first`, in strides of their size.
    pub(super) fn follows(&self, first: &Received) -> bool {
        let rest = self.payload.len() - self.next as usize;
        rest > 0
            && (self.size as usize == first.stride || rest < first.stride)
            && self.from == first.from
            && self.to == first.to
    }

    /// Copies as many whole datagrams as `into` holds; returns their bytes and their number.
    pub(super) fn copy_whole(&self, into: &mut [u8]) -> (usize, u32) {
        let rest = &self.payload[self.next as usize..];
        if rest.len() <= into.len() {
            into[..rest.len()].copy_from_slice(rest);
            return (rest.len(), self.left);
        }
        let count = into.len() / self.size as usize;
        let len = count * self.size as usize;
        into[..len].copy_from_slice(&rest[..len]);
        (len, count as u32)
    }
}

#[derive(Debug)]
pub(super) struct Socket {
    pub(super) local: SocketAddr,
    pub(super) peer: Option<SocketAddr>,
    /// The address to send from, once connected.
    pub(super) source: Option<IpAddr>,
    pub(super) queue: VecDeque<Queued>,
    /// Datagrams in `queue`.
    waiting: usize,
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
            waiting: 0,
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
        let (memory, count) = (datagram.payload.capacity(), datagram.left as usize);
        let has_room = self.waiting + count <= MAX_DATAGRAMS && self.memory + memory <= MAX_QUEUE;
        if has_room {
            self.memory += memory;
            self.waiting += count;
            self.queue.push_back(datagram);
        }
        has_room
    }

    /// The next datagram, unless there is an error to be told first.
    pub(super) fn next_datagram(&mut self) -> Result<&Queued, SocketError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        self.queue.front().ok_or(SocketError::WouldBlock)
    }

    /// Takes the next `count` datagrams out, all of one entry; returns the bytes of chunks that are free now.
    pub(super) fn advance(&mut self, count: u32) -> usize {
        let Some(front) = self.queue.front_mut() else { return 0 };
        self.waiting -= count as usize;
        front.left -= count;
        front.next += count * front.size;
        if front.left > 0 {
            return 0;
        }
        let memory = self.queue.pop_front().map_or(0, |read| read.payload.capacity());
        self.memory -= memory;
        memory
    }

    /// Drops what waits from others than the peer; returns the bytes of chunks that are free now.
    pub(super) fn retain_peer(&mut self) -> usize {
        let (before, peer) = (self.memory, self.peer);
        self.queue.retain(|datagram| peer.is_none_or(|peer| peer == datagram.from));
        self.memory = self.queue.iter().map(|datagram| datagram.payload.capacity()).sum();
        self.waiting = self.queue.iter().map(|datagram| datagram.left as usize).sum();
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
