//! Datagrams of one flow that leave as one super-datagram, where the device can segment (UDP segmentation offload).
//!
//! What is sent to one peer in a row, equal in size but for the last, is gathered here until something else is sent or the device
//! asks for frames. It costs the device one write, and one copy into one chunk; the peer gets the same datagrams either way.

use std::net::SocketAddr;

use super::{MAX_SEGMENTS, emit};
use crate::base::buffer::{Buffer, Slice};
use crate::base::counters::Counters;
use crate::ip::Ip;
use crate::ip::output::{MAX_PACKET, header_len};
use crate::wire::udp::HEADER;

/// Datagrams that wait to leave together.
#[derive(Debug)]
pub(super) struct Burst {
    src: SocketAddr,
    dst: SocketAddr,
    /// Payload bytes of every datagram but the last.
    size: usize,
    count: usize,
    payload: Buffer,
}

impl Burst {
    /// A burst of the datagrams of `size` bytes each, but for the last, that lie in `payload`.
    pub(super) fn new(src: SocketAddr, dst: SocketAddr, payload: &[u8], size: usize) -> Self {
        Burst { src, dst, size, count: payload.len().div_ceil(size), payload: Buffer::copy_of(payload) }
    }

    /// Payload bytes.
    pub(super) fn len(&self) -> usize {
        self.payload.written().len()
    }

    /// Takes more datagrams if they can go with those that wait: of the same flow and size, and none of these was shorter.
    pub(super) fn extend(&mut self, src: SocketAddr, dst: SocketAddr, payload: &[u8], size: usize) -> bool {
        let (len, added) = (self.len(), payload.len().div_ceil(size));
        let fits = len + payload.len() <= MAX_PACKET - header_len(dst.ip()) - HEADER;
        let equal = size == self.size || (added == 1 && payload.len() < self.size);
        let full = self.count * self.size == len;
        if !(fits
            && equal
            && full
            && self.count + added <= MAX_SEGMENTS
            && dst == self.dst
            && src == self.src)
        {
            return false;
        }
        if len + payload.len() > self.payload.capacity() {
            let small = std::mem::replace(&mut self.payload, Buffer::large());
            self.payload.append(small.written());
        }
        self.payload.append(payload);
        self.count += added;
        true
    }

    /// Hands the datagrams to IP: whole, if their path still carries datagrams of that size.
    pub(super) fn send(self, ip: &mut Ip, counters: &mut Counters) {
        let (src, dst) = (self.src, self.dst);
        // What finds no room is counted as dropped there.
        if ip.output().fits(dst.ip(), HEADER + self.size) {
            let _ = emit(src, dst, self.payload.into(), self.size, ip, counters);
        } else {
            for datagram in self.payload.written().chunks(self.size) {
                let _ = emit(src, dst, Slice::from(Buffer::copy_of(datagram)), self.size, ip, counters);
            }
        }
    }
}
