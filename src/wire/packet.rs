//! A [`Packet`] comes in from a device, a [`Frame`] goes out to one; both are IP packets, and both may be super-segments of up
//! to 64 KiB with their [`Offload`], which mirrors the virtio-net header.

use smallvec::SmallVec;

use crate::base::buffer::{Buffer, Slice};

/// Room for the headers of a frame: IPv6 (40) and TCP with all options (60), or IPv4 with ICMP, and some to spare.
pub const MAX_HEADERS: usize = 128;

/// What is left for the device to do, or what the sender's device left undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Offload {
    /// One wire packet, complete.
    #[default]
    None,
    /// One wire packet whose transport checksum field holds the folded pseudo-header sum only. The sum is to be taken from
    /// byte `start` of the IP packet to its end and stored at `start + offset`.
    Checksum {
        /// Where the transport header begins, in bytes from the IP header.
        start: u16,
        /// Where the checksum field lies, in bytes from `start`.
        offset: u16,
    },
    /// A TCP super-segment that stands for wire packets of `mss` payload bytes each; checksum as above.
    Tcp {
        /// Payload bytes of every segment but the last.
        mss: u16,
        /// Where the TCP header begins, in bytes from the IP header.
        start: u16,
    },
    /// A UDP super-datagram that stands for datagrams of `size` payload bytes each; length and checksum fields are those of one
    /// datagram with all the payload, the checksum as above.
    Udp {
        /// Payload bytes of every datagram but the last, which may be shorter.
        size: u16,
        /// Where the UDP header begins, in bytes from the IP header.
        start: u16,
    },
}

impl Offload {
    /// True for what stands for several wire packets.
    pub fn is_super(self) -> bool {
        matches!(self, Offload::Tcp { .. } | Offload::Udp { .. })
    }

    /// Wire packets that `payload` bytes make behind the transport header.
    pub fn packets(self, payload: usize) -> usize {
        match self {
            Offload::None | Offload::Checksum { .. } => 1,
            Offload::Tcp { mss: size, .. } | Offload::Udp { size, .. } => {
                payload.div_ceil(usize::from(size).max(1)).max(1)
            }
        }
    }
}

/// An IP packet read from a device. It owns a pooled buffer, whose written part is the packet.
#[derive(Debug)]
pub struct Packet {
    /// The bytes, from the IP header on.
    pub buffer: Buffer,
    /// What the sender's side left undone: such checksums count as verified.
    pub offload: Offload,
}

impl Packet {
    /// A complete wire packet, copied from `bytes`.
    pub fn from_slice(bytes: &[u8]) -> Self {
        Packet { buffer: Buffer::copy_of(bytes), offload: Offload::None }
    }

    /// The bytes, from the IP header on.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.written()
    }
}

impl AsRef<[u8]> for Packet {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

/// An IP packet for a device: headers inline, payload as counted slices of the send buffer, so that it outlives the lock.
#[derive(Clone)]
pub struct Frame {
    headers: [u8; MAX_HEADERS],
    headers_len: u8,
    /// The payload, in order.
    pub payload: SmallVec<[Slice; 4]>,
    /// What is left for the device to do.
    pub offload: Offload,
}

impl Frame {
    /// A frame without a byte.
    pub fn new(offload: Offload) -> Self {
        Frame::with_payload(SmallVec::new(), offload)
    }

    /// A frame without headers.
    pub fn with_payload(payload: SmallVec<[Slice; 4]>, offload: Offload) -> Self {
        Frame { headers: [0; MAX_HEADERS], headers_len: 0, payload, offload }
    }

    /// Appends header bytes; what does not fit into [`MAX_HEADERS`] is a bug and cut off.
    pub fn push_header(&mut self, bytes: &[u8]) {
        let start = usize::from(self.headers_len);
        let len = bytes.len().min(MAX_HEADERS - start);
        debug_assert_eq!(len, bytes.len(), "headers exceed the frame");
        self.headers[start..start + len].copy_from_slice(&bytes[..len]);
        self.headers_len += len as u8;
    }

    /// The header bytes, from the IP header on.
    pub fn headers(&self) -> &[u8] {
        &self.headers[..usize::from(self.headers_len)]
    }

    /// The header bytes, to patch.
    pub fn headers_mut(&mut self) -> &mut [u8] {
        &mut self.headers[..usize::from(self.headers_len)]
    }

    /// Payload bytes behind the headers.
    pub fn payload_len(&self) -> usize {
        self.payload.iter().map(|slice| slice.len()).sum()
    }

    /// Bytes of the whole packet.
    pub fn len(&self) -> usize {
        self.headers().len() + self.payload_len()
    }

    /// True without a byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The frame's bytes in one piece, for tests, captures and links that carry bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        bytes.extend_from_slice(self.headers());
        self.payload.iter().for_each(|slice| bytes.extend_from_slice(slice));
        bytes
    }

    /// The frame as the other end of an in-memory link sees it, offload and all.
    pub fn to_packet(&self) -> Packet {
        let mut buffer = Buffer::for_len(self.len());
        buffer.append(self.headers());
        self.payload.iter().for_each(|slice| {
            buffer.append(slice);
        });
        Packet { buffer, offload: self.offload }
    }
}

impl From<Packet> for Frame {
    /// The same bytes without a copy, headers and all as payload: for devices that pass packets on. A super-segment must be split
    /// before, since its headers are looked for in their place.
    fn from(packet: Packet) -> Self {
        let mut frame = Frame::new(packet.offload);
        frame.payload.push(packet.buffer.into());
        frame
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({} + {} bytes, {:?})", self.headers().len(), self.payload_len(), self.offload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_back_as_headers_then_slices() {
        let mut frame = Frame::new(Offload::Tcp { mss: 3, start: 2 });
        frame.push_header(b"he");
        frame.push_header(b"ad");
        let body = Buffer::copy_of(b"0123456789");
        frame.payload.push(body.slice(0..4));
        frame.payload.push(body.slice(6..10));
        assert_eq!((frame.headers(), frame.payload_len(), frame.len()), (&b"head"[..], 8, 12));
        assert_eq!(frame.to_vec(), b"head01236789");
        let packet = frame.to_packet();
        assert_eq!((packet.bytes(), packet.offload), (&b"head01236789"[..], frame.offload));
    }
}
