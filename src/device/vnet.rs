//! The virtio-net header (virtio 1.2 §5.1.6) that a TUN device with `IFF_VNET_HDR` puts before every packet, as a value.
//!
//! Reading turns it into an [`Offload`], checked against the packet: what contradicts it is no packet (hostile case P14).
//! Writing states a frame's `Offload`. Ten bytes in the machine's byte order. UDP fragmentation and hints are not spoken.

use crate::wire::packet::{Frame, Offload};
use crate::wire::{ip::protocol, tcp, udp};

/// Bytes of the header, without the count of merged buffers.
pub const LEN: usize = 10;

const NEEDS_CSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
/// UDP of either IP version (VIRTIO_NET_HDR_GSO_UDP_L4): datagrams, not fragments of one.
const GSO_UDP_L4: u8 = 5;
/// Set beside a TCP type when the first segment alone carries CWR.
const GSO_ECN: u8 = 0x80;

/// `struct virtio_net_hdr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct VnetHeader {
    flags: u8,
    gso_type: u8,
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

impl VnetHeader {
    /// The header that lies in `bytes`. Nothing is checked before [`VnetHeader::offload`].
    pub fn parse(bytes: &[u8; LEN]) -> Self {
        let word = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        VnetHeader {
            flags: bytes[0],
            gso_type: bytes[1],
            hdr_len: word(2),
            gso_size: word(4),
            csum_start: word(6),
            csum_offset: word(8),
        }
    }

    /// The header's bytes.
    pub fn to_bytes(self) -> [u8; LEN] {
        let [l0, l1] = self.hdr_len.to_ne_bytes();
        let [g0, g1] = self.gso_size.to_ne_bytes();
        let [s0, s1] = self.csum_start.to_ne_bytes();
        let [o0, o1] = self.csum_offset.to_ne_bytes();
        [self.flags, self.gso_type, l0, l1, g0, g1, s0, s1, o0, o1]
    }

    /// What this header says of `packet`; `None` if the two contradict each other.
    pub fn offload(self, packet: &[u8]) -> Option<Offload> {
        // `hdr_len` is a hint and may count payload, but not bytes that are not there.
        if usize::from(self.hdr_len) > packet.len() {
            return None;
        }
        let checksum = (self.flags & NEEDS_CSUM != 0).then_some((self.csum_start, self.csum_offset));
        match (self.gso_type & !GSO_ECN, checksum) {
            (GSO_NONE, None) => Some(Offload::None),
            (GSO_NONE, Some((start, offset))) => {
                let field = usize::from(start) + usize::from(offset);
                let fits = is_transport_start(packet, start) && field + 2 <= packet.len();
                fits.then_some(Offload::Checksum { start, offset })
            }
            // A super-segment always comes with its checksum undone.
            (kind @ (GSO_TCPV4 | GSO_TCPV6), Some((start, offset))) => {
                let fits = tcp_type(packet) == kind
                    && self.gso_size > 0
                    && usize::from(offset) == tcp::CHECKSUM_OFFSET
                    && is_transport_start(packet, start)
                    && tcp_header_end(packet, start).is_some_and(|end| end <= packet.len())
                    && (kind == GSO_TCPV6 || packet.get(9) == Some(&protocol::TCP));
                fits.then_some(Offload::Tcp { mss: self.gso_size, start })
            }
            (GSO_UDP_L4, Some((start, offset))) => {
                let fits = self.gso_size > 0
                    && usize::from(offset) == udp::CHECKSUM_OFFSET
                    && is_transport_start(packet, start)
                    && usize::from(start) + udp::HEADER <= packet.len()
                    && (tcp_type(packet) == GSO_TCPV6 || packet.get(9) == Some(&protocol::UDP));
                fits.then_some(Offload::Udp { size: self.gso_size, start })
            }
            _ => None,
        }
    }

    /// The header that goes before `frame`.
    pub fn of(frame: &Frame) -> Self {
        match frame.offload {
            Offload::None => VnetHeader::default(),
            Offload::Checksum { start, offset } => VnetHeader::checksum(start, offset),
            Offload::Tcp { mss, start } => {
                let plain = VnetHeader::checksum(start, tcp::CHECKSUM_OFFSET as u16);
                let headers = frame.headers();
                let Some(end) = tcp_header_end(headers, start) else { return plain };
                // What fits into one segment must not be announced as a super-segment.
                if frame.len() <= end + usize::from(mss) {
                    return plain;
                }
                let flags =
                    headers.get(usize::from(start) + 13).copied().map_or(tcp::Flags::NONE, tcp::Flags);
                let ecn = if flags.has(tcp::Flags::CWR) { GSO_ECN } else { 0 };
                VnetHeader { gso_type: tcp_type(headers) | ecn, hdr_len: end as u16, gso_size: mss, ..plain }
            }
            Offload::Udp { size, start } => {
                let plain = VnetHeader::checksum(start, udp::CHECKSUM_OFFSET as u16);
                let end = start.saturating_add(udp::HEADER as u16);
                if frame.len() <= usize::from(end) + usize::from(size) {
                    return plain;
                }
                VnetHeader { gso_type: GSO_UDP_L4, hdr_len: end, gso_size: size, ..plain }
            }
        }
    }

    fn checksum(start: u16, offset: u16) -> Self {
        VnetHeader { flags: NEEDS_CSUM, csum_start: start, csum_offset: offset, ..VnetHeader::default() }
    }
}

/// True if the transport header can begin at `start`. It is where the IPv4 header ends; IPv6 may have extensions between.
fn is_transport_start(packet: &[u8], start: u16) -> bool {
    let start = usize::from(start);
    match packet.first().map(|first| (first >> 4, first & 15)) {
        Some((4, words)) => words >= 5 && start == 4 * usize::from(words),
        Some((6, _)) => start >= 40,
        _ => false,
    }
}

/// Where the TCP header at `start` ends, by its own length field, which lies within the packet and is not below 20.
fn tcp_header_end(packet: &[u8], start: u16) -> Option<usize> {
    let words = packet.get(usize::from(start) + 12)? >> 4;
    (words >= 5).then_some(usize::from(start) + 4 * usize::from(words))
}

/// The TCP type of the packet's IP version.
fn tcp_type(packet: &[u8]) -> u8 {
    match packet.first().map(|first| first >> 4) {
        Some(4) => GSO_TCPV4,
        Some(6) => GSO_TCPV6,
        _ => GSO_NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::buffer::Buffer;
    use proptest::prelude::*;

    /// A TCP frame: IP header of `ip` bytes (20: version 4, else 6), TCP header of `tcp` bytes, `payload` bytes.
    fn tcp_frame(ip: usize, tcp: usize, payload: usize, offload: Offload) -> Frame {
        let mut frame = Frame::new(offload);
        let mut headers = vec![0; ip + tcp];
        headers[0] = if ip == 20 { 0x45 } else { 0x60 };
        headers[if ip == 20 { 9 } else { 6 }] = protocol::TCP;
        if let Some(offset) = headers.get_mut(ip + 12) {
            *offset = ((tcp / 4) << 4) as u8;
        }
        frame.push_header(&headers);
        frame.payload.push(Buffer::copy_of(&vec![7; payload]).into());
        frame
    }

    /// A UDP frame of 8 + `payload` bytes behind an IP header of `ip` bytes.
    fn udp_frame(ip: usize, payload: usize, offload: Offload) -> Frame {
        let mut frame = tcp_frame(ip, 8, payload, offload);
        frame.headers_mut()[if ip == 20 { 9 } else { 6 }] = protocol::UDP;
        frame
    }

    fn super_segment() -> (VnetHeader, Vec<u8>) {
        let frame = tcp_frame(20, 32, 5_000, Offload::Tcp { mss: 1_448, start: 20 });
        (VnetHeader::of(&frame), frame.to_vec())
    }

    #[test]
    fn a_super_segment_is_written_as_the_kernel_wants_it() {
        let (header, bytes) = super_segment();
        let wanted = VnetHeader {
            flags: NEEDS_CSUM,
            gso_type: GSO_TCPV4,
            hdr_len: 52,
            gso_size: 1_448,
            csum_start: 20,
            csum_offset: 16,
        };
        assert_eq!(header, wanted);
        assert_eq!(header.offload(&bytes), Some(Offload::Tcp { mss: 1_448, start: 20 }));
        let v6 = tcp_frame(40, 20, 5_000, Offload::Tcp { mss: 1_440, start: 40 });
        assert_eq!((VnetHeader::of(&v6).gso_type, VnetHeader::of(&v6).hdr_len), (GSO_TCPV6, 60));
    }

    #[test]
    fn what_fits_into_one_segment_is_no_super_segment() {
        for (payload, gso) in [(0, GSO_NONE), (1_448, GSO_NONE), (1_449, GSO_TCPV4)] {
            let header = VnetHeader::of(&tcp_frame(20, 32, payload, Offload::Tcp { mss: 1_448, start: 20 }));
            assert_eq!((header.gso_type, header.flags), (gso, NEEDS_CSUM), "{payload} bytes");
        }
    }

    /// A super-datagram, of either IP version; what fits into one datagram is none.
    #[test]
    fn a_super_datagram_is_written_as_the_kernel_wants_it() {
        for (ip, payload) in [(20, 1_401), (40, 5_000), (20, 1_400), (40, 0)] {
            let start = ip as u16;
            let frame = udp_frame(ip, payload, Offload::Udp { size: 1_400, start });
            let (gso_type, hdr_len, gso_size) =
                if payload > 1_400 { (GSO_UDP_L4, start + 8, 1_400) } else { (GSO_NONE, 0, 0) };
            let wanted = VnetHeader {
                flags: NEEDS_CSUM,
                gso_type,
                hdr_len,
                gso_size,
                csum_start: start,
                csum_offset: 6,
            };
            assert_eq!(VnetHeader::of(&frame), wanted);
            let single = Offload::Checksum { start, offset: 6 };
            let read = if payload > 1_400 { frame.offload } else { single };
            assert_eq!(wanted.offload(&frame.to_vec()), Some(read));
        }
    }

    /// Hostile case P14 for UDP.
    #[test]
    fn a_header_that_contradicts_its_super_datagram_is_refused() {
        let frame = udp_frame(20, 5_000, Offload::Udp { size: 1_400, start: 20 });
        let (good, bytes) = (VnetHeader::of(&frame), frame.to_vec());
        for lie in [
            VnetHeader { gso_size: 0, ..good },
            VnetHeader { csum_start: 24, ..good },
            VnetHeader { csum_offset: 16, ..good },
            VnetHeader { flags: 0, ..good },
            VnetHeader { gso_type: GSO_TCPV4, ..good },
        ] {
            assert_eq!(lie.offload(&bytes), None, "{lie:?}");
        }
        let cut = VnetHeader { hdr_len: 0, ..good };
        assert_eq!((cut.offload(&bytes[..27]), cut.offload(&bytes[..28])), (None, Some(frame.offload)));
        let mut tcp = bytes;
        tcp[9] = protocol::TCP;
        assert_eq!(good.offload(&tcp), None);
    }

    #[test]
    fn cwr_is_announced() {
        let mut frame = tcp_frame(20, 20, 5_000, Offload::Tcp { mss: 1_460, start: 20 });
        frame.headers_mut()[33] = tcp::Flags::CWR.0;
        assert_eq!(VnetHeader::of(&frame).gso_type, GSO_TCPV4 | GSO_ECN);
        assert_eq!(VnetHeader::of(&frame).offload(&frame.to_vec()), Some(frame.offload));
    }

    /// Hostile case P14: each single lie is found.
    #[test]
    fn a_header_that_contradicts_its_packet_is_refused() {
        let (good, bytes) = super_segment();
        let lies = [
            VnetHeader { gso_size: 0, ..good },
            VnetHeader { hdr_len: bytes.len() as u16 + 1, ..good },
            VnetHeader { csum_start: bytes.len() as u16 + 1, ..good },
            VnetHeader { csum_start: 24, ..good },
            VnetHeader { csum_offset: 6, ..good },
            VnetHeader { flags: 0, ..good },
            VnetHeader { gso_type: GSO_TCPV6, ..good },
            VnetHeader { gso_type: 3, ..good },
            VnetHeader { gso_type: 5, ..good },
            VnetHeader { gso_type: GSO_NONE, csum_offset: 65_535, ..good },
        ];
        for lie in lies {
            assert_eq!(lie.offload(&bytes), None, "{lie:?}");
        }
        for nibble in [0x05, 0x55, 0xf5, 0x41] {
            let mut bytes = bytes.clone();
            bytes[0] = nibble;
            assert_eq!(good.offload(&bytes), None, "first byte {nibble:#x}");
        }
        for (at, value) in [(9, protocol::UDP), (32, 0x40), (32, 0xf0)] {
            let mut bytes = bytes[..54].to_vec();
            bytes[at] = value;
            assert_eq!(VnetHeader { hdr_len: 0, ..good }.offload(&bytes), None, "byte {at}");
        }
    }

    proptest! {
        /// Whatever is read, an accepted offload lies inside its packet.
        #[test]
        fn an_accepted_offload_lies_inside_the_packet(
            header in any::<[u8; LEN]>(),
            (flags, gso, start) in (0u8..2, prop::sample::select(vec![0u8, 1, 3, 4, 5, 0x81]), 0u16..64),
            (tame, offset) in (any::<bool>(), prop::sample::select(vec![6u16, 16])),
            mut packet in prop::collection::vec(any::<u8>(), 0..200),
            first in prop::sample::select(vec![0x45u8, 0x46, 0x60, 0x00, 0xff]),
        ) {
            let mut header = VnetHeader::parse(&header);
            if tame {
                header = VnetHeader { flags, gso_type: gso, hdr_len: 0, csum_start: start, csum_offset: offset, ..header };
            }
            if let Some(byte) = packet.first_mut() {
                *byte = first;
            }
            match header.offload(&packet) {
                Some(Offload::Checksum { start, offset }) => {
                    prop_assert!(start >= 20 && usize::from(start) + usize::from(offset) + 2 <= packet.len());
                }
                Some(Offload::Tcp { mss, start }) => {
                    let end = tcp_header_end(&packet, start);
                    prop_assert!(mss > 0 && start >= 20 && end.is_some_and(|end| end <= packet.len()));
                }
                Some(Offload::Udp { size, start }) => {
                    prop_assert!(size > 0 && start >= 20 && usize::from(start) + 8 <= packet.len());
                }
                Some(Offload::None) | None => {}
            }
        }

        /// Written and read again, a frame's offload is the same, but for a super-segment of one segment.
        #[test]
        fn what_is_written_reads_back(
            v6 in any::<bool>(),
            options in 0usize..11,
            payload in 0usize..65_000,
            mss in 1u16..,
            kind in 0..3,
        ) {
            let ip = if v6 { 40 } else { 20 };
            let start = ip as u16;
            let offload = match kind {
                0 => Offload::None,
                1 => Offload::Checksum { start, offset: 16 },
                _ => Offload::Tcp { mss, start },
            };
            let frame = tcp_frame(ip, 20 + 4 * options, payload, offload);
            let read = VnetHeader::parse(&VnetHeader::of(&frame).to_bytes()).offload(&frame.to_vec());
            let one_segment = kind == 2 && payload <= usize::from(mss);
            let wanted = if one_segment { Offload::Checksum { start, offset: 16 } } else { offload };
            prop_assert_eq!(read, Some(wanted));
        }
    }
}
