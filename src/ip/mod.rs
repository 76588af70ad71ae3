//! The network layer: what arrives is checked and put together ([`input`], [`reassembly`]), what leaves gets its header and is
//! cut to the path's MTU ([`output`], [`path_mtu`]). It knows no upper layer but by number.

pub mod addresses;
pub mod input;
pub mod output;
pub mod path_mtu;
pub mod reassembly;
#[cfg(test)]
pub(crate) mod testing;

use std::net::IpAddr;
use std::ops::Range;

use smallvec::SmallVec;

use crate::base::buffer::{Buffer, SMALL, Slice};
use crate::base::counters::Counters;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::device::Capabilities;
use crate::wire::ip::IpHeader;
use crate::wire::packet::{Frame, Packet};
use addresses::{Addresses, ConfigError};
use output::Output;
use path_mtu::PathMtus;
use reassembly::Reassembly;

/// A whole datagram addressed to this stack: checked, reassembled if it came in fragments.
#[derive(Debug)]
pub struct Datagram {
    /// The header, parsed; its protocol is the upper layer's.
    pub header: IpHeader,
    /// The packet as it came, from the IP header on; of a reassembled datagram the payload alone.
    pub packet: Packet,
    /// Where in the packet's bytes the upper layer's header and payload lie.
    pub payload: Range<usize>,
}

impl Datagram {
    /// The upper layer's header and payload.
    pub fn payload(&self) -> &[u8] {
        self.packet.bytes().get(self.payload.clone()).unwrap_or_default()
    }

    /// A part of the payload as a counted slice; empty where `range` goes beyond it. Small ones are copied out of large chunks,
    /// so that a few bytes do not pin the 64 KiB that a device reads into (copy-break).
    pub fn slice(&self, range: Range<usize>) -> Slice {
        let bytes = self.payload().get(range.clone()).unwrap_or_default();
        if bytes.len() <= SMALL && self.packet.buffer.capacity() > SMALL {
            return Slice::from(Buffer::copy_of(bytes));
        }
        let start = self.payload.start + range.start;
        self.packet.buffer.slice(start..start + bytes.len())
    }

    /// The packet's first bytes as an ICMP error quotes them, `limit` at most. A reassembled datagram is quoted as if it had
    /// come in one piece.
    pub fn quote(&self, limit: usize) -> Slice {
        let mut quote = Buffer::small();
        if self.payload.start == 0 {
            quote.append(&self.header.encode(self.payload.len(), None));
        }
        let bytes = self.packet.bytes();
        let room = limit.saturating_sub(quote.written().len());
        quote.append(bytes.get(..self.payload.end.min(room)).unwrap_or_default());
        Slice::from(quote)
    }
}

/// The network layer of one stack.
#[derive(Debug)]
pub struct Ip {
    addresses: Addresses,
    reassembly: Reassembly,
    output: Output,
    capabilities: Capabilities,
}

impl Ip {
    /// The layer with its own addresses and their prefix lengths, above a device of these capabilities.
    pub fn new(
        addrs: &[(IpAddr, u8)],
        capabilities: Capabilities,
        rng: &mut Rng,
    ) -> Result<Self, ConfigError> {
        Ok(Ip {
            addresses: Addresses::new(addrs, capabilities.mtu)?,
            reassembly: Reassembly::new(rng),
            output: Output::new(capabilities.mtu, rng),
            capabilities,
        })
    }

    /// The stack's own addresses.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The queue towards the device.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// What paths carry.
    pub fn paths(&mut self) -> &mut PathMtus {
        self.output.paths()
    }

    /// What the device below can do.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// When reassembly wants its next call of [`expire`](Ip::expire).
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.reassembly.poll_timeout()
    }

    /// Drops the datagrams whose fragments did not all come in time. Returned are the first fragments that an ICMP "time
    /// exceeded" may be sent about.
    pub fn expire(&mut self, counters: &mut Counters, now: Instant) -> SmallVec<[Datagram; 2]> {
        std::iter::from_fn(|| self.reassembly.expire(counters, now)).flatten().collect()
    }

    /// The next frame that waits for the device.
    pub fn poll_transmit(&mut self) -> Option<Frame> {
        self.output.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ip::protocol;
    use crate::wire::packet::Offload;

    fn datagram(buffer: Buffer) -> Datagram {
        let payload = 0..buffer.written().len();
        let header = IpHeader {
            src: [10, 0, 0, 1].into(),
            dst: [10, 0, 0, 2].into(),
            protocol: protocol::UDP,
            hop_limit: 64,
            traffic_class: 0,
        };
        Datagram { header, packet: Packet { buffer, offload: Offload::None }, payload }
    }

    /// Copy-break: only a few bytes of a large chunk are copied.
    #[test]
    fn small_parts_of_large_chunks_are_copied_and_others_shared() {
        let filled = |mut buffer: Buffer, len: usize| {
            buffer.append(&vec![7; len]);
            datagram(buffer)
        };
        let is_shared =
            |datagram: &Datagram, len: usize| datagram.slice(0..len).as_ptr() == datagram.payload().as_ptr();
        let large = filled(Buffer::large(), 10_000);
        assert!(is_shared(&large, 10_000) && !is_shared(&large, 100));
        let small = filled(Buffer::small(), 1_000);
        assert!(is_shared(&small, 100), "a small chunk is worth no copy");
    }
}
