//! The Internet checksum (RFC 1071) and the pseudo-headers of TCP, UDP and ICMPv6 (RFC 9293 §3.1, RFC 768, RFC 8200 §8.1).

use std::net::IpAddr;

use etherparse::checksum::Sum16BitWords;

use super::ip::octets16;

/// A running one's-complement sum. Parts of odd length may be added anywhere: the sum keeps count of the byte's place.
#[derive(Clone, Default)]
pub struct Sum {
    words: Sum16BitWords,
    odd: bool,
}

impl Sum {
    /// An empty sum.
    pub fn new() -> Self {
        Sum { words: Sum16BitWords::new(), odd: false }
    }

    /// The pseudo-header of a transport packet with `len` bytes of header and payload.
    pub fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: usize) -> Self {
        let mut words = Sum16BitWords::new();
        let mut words = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => words.add_4bytes(src.octets()).add_4bytes(dst.octets()),
            (src, dst) => words.add_16bytes(octets16(src)).add_16bytes(octets16(dst)),
        };
        // 32-bit length and protocol add up the same whatever the version's layout: both are big-endian words.
        Sum { words: words.add_4bytes((len as u32).to_be_bytes()).add_2bytes([0, protocol]), odd: false }
    }

    /// Adds `bytes` to the sum.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "a sum takes any bytes, an operator would want one type"
    )]
    pub fn add(mut self, bytes: &[u8]) -> Self {
        let mut rest = bytes;
        if self.odd
            && let Some((&first, tail)) = bytes.split_first()
        {
            self.words = self.words.add_2bytes([0, first]);
            self.odd = false;
            rest = tail;
        }
        self.words = self.words.add_slice(rest);
        self.odd ^= rest.len() % 2 == 1;
        self
    }

    /// The checksum: the complement of the folded sum.
    pub fn checksum(self) -> u16 {
        self.words.ones_complement().to_be()
    }

    /// The folded sum itself, as a checksum field holds it when the device is to complete it (`Offload::Checksum`).
    pub fn folded(self) -> u16 {
        !self.checksum()
    }

    /// True if data that contains its own checksum adds up.
    pub fn is_valid(self) -> bool {
        self.checksum() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071 §3: the worked example.
    #[test]
    fn the_example_of_rfc_1071_adds_up() {
        let sum = Sum::new().add(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.clone().folded(), 0xddf2);
        assert_eq!(sum.checksum(), !0xddf2);
    }

    proptest! {
        /// Gathered payloads are summed slice by slice: the cuts must not matter, at odd places neither.
        #[test]
        fn cuts_do_not_change_the_sum(bytes in prop::collection::vec(any::<u8>(), 0..100), cuts in prop::collection::vec(0usize..100, 0..5)) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).fold(Sum::new(), |sum, w| sum.add(&bytes[w[0]..w[1]]));
            prop_assert_eq!(pieces.checksum(), Sum::new().add(&bytes).checksum());
        }
    }
}
