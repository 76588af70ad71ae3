//! The UDP header as a value (RFC 768). Whether a checksum of zero is allowed depends on the IP version: `udp` judges that.

use etherparse::UdpHeaderSlice;

/// Bytes of a UDP header.
pub const HEADER: usize = 8;
/// Where the length lies in the header.
pub const LENGTH_OFFSET: usize = 4;
/// Where the checksum lies in the header.
pub const CHECKSUM_OFFSET: usize = 6;

/// A UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpHeader {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Bytes of header and payload.
    pub length: u16,
    /// The checksum as it stands in the header; zero means none.
    pub checksum: u16,
}

impl UdpHeader {
    /// Reads the header in front of `bytes`. A length below the header's or beyond `bytes` is no header; one below the IP
    /// payload's is (what follows is padding).
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let udp = UdpHeaderSlice::from_slice(bytes).ok()?;
        let length = usize::from(udp.length());
        (HEADER..=bytes.len()).contains(&length).then(|| UdpHeader {
            src_port: udp.source_port(),
            dst_port: udp.destination_port(),
            length: udp.length(),
            checksum: udp.checksum(),
        })
    }

    /// The header's bytes.
    pub fn to_bytes(self) -> [u8; HEADER] {
        etherparse::UdpHeader {
            source_port: self.src_port,
            destination_port: self.dst_port,
            length: self.length,
            checksum: self.checksum,
        }
        .to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_parses_back(src_port: u16, dst_port: u16, payload in 0u16..50, padding in 0usize..9, checksum: u16) {
            let header = UdpHeader { src_port, dst_port, length: 8 + payload, checksum };
            let mut bytes = header.to_bytes().to_vec();
            bytes.resize(8 + usize::from(payload) + padding, 0);
            prop_assert_eq!(UdpHeader::parse(&bytes), Some(header));
        }

        /// Hostile case P1: any bytes, no panic, and never a length that is not there.
        #[test]
        fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(header) = UdpHeader::parse(&bytes) {
                prop_assert!(bytes.get(8..usize::from(header.length)).is_some());
            }
        }
    }
}
