//! The ECN field of an IP header (RFC 3168 §5, §23): whether a packet may be marked, and the mark.

use crate::wire::checksum::Sum;

/// The two bits of an IPv4 header's second byte, and those of IPv6 four further up.
const MASK: u8 = 0b11;
const V6_SHIFT: u32 = 4;

/// True for ECT(0), ECT(1) and CE: the sender of the packet speaks ECN.
pub(super) fn is_capable(packet: &[u8]) -> bool {
    match (packet.first().map(|first| first >> 4), packet.get(1)) {
        (Some(4), Some(byte)) => byte & MASK != 0,
        (Some(6), Some(byte)) => byte >> V6_SHIFT & MASK != 0,
        _ => false,
    }
}

/// Sets "congestion experienced"; in IPv4 the header's checksum follows.
pub(super) fn mark(packet: &mut [u8]) {
    match packet.first().map(|first| (first >> 4, usize::from(first & 15) * 4)) {
        Some((4, len)) if len >= 20 && packet.len() >= len => {
            packet[1] |= MASK;
            packet[10..12].fill(0);
            let sum = Sum::new().add(&packet[..len]).checksum();
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        Some((6, _)) if packet.len() >= 40 => packet[1] |= MASK << V6_SHIFT,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capable_packets_are_marked_with_their_checksum_right() {
        for (byte, capable) in [(0x00, false), (0x01, true), (0x02, true), (0x03, true), (0xfc, false)] {
            let mut packet = [0x45, byte, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
            assert_eq!(is_capable(&packet), capable, "{byte:#x}");
            mark(&mut packet);
            assert_eq!(packet[1], byte | 3);
            assert!(Sum::new().add(&packet).is_valid());
        }
        let mut v6 = [0; 40];
        v6[0] = 0x60;
        assert!(!is_capable(&v6));
        v6[1] = 0x20;
        assert!(is_capable(&v6));
        mark(&mut v6);
        assert_eq!(v6[1], 0x30);
    }

    #[test]
    fn what_is_no_ip_packet_stays_as_it_is() {
        for bytes in [&[][..], &[0x45], &[0x45, 2, 0], &[0x60, 0x20, 0], &[0x41; 30], &[0xff; 60]] {
            let mut marked = bytes.to_vec();
            mark(&mut marked);
            assert_eq!(marked, bytes);
        }
    }
}
