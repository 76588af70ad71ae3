//! The network layer.

pub mod output;

use std::ops::Range;

use crate::wire::ip::IpHeader;
use crate::wire::packet::Packet;

/// A whole datagram addressed to this stack: checked, reassembled if it came in fragments.
#[derive(Debug)]
pub struct Datagram {
    /// The header, parsed.
    pub header: IpHeader,
    /// The packet as it came, from the IP header on; behind a reassembled datagram the first fragment's header.
    pub packet: Packet,
    /// Where in the packet's bytes the upper layer's header and payload lie.
    pub payload: Range<usize>,
}

impl Datagram {
    /// The upper layer's header and payload.
    pub fn payload(&self) -> &[u8] {
        self.packet.bytes().get(self.payload.clone()).unwrap_or_default()
    }
}
