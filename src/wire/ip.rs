//! The IP header as a value, version 4 (RFC 791) and version 6 (RFC 8200) alike: bytes to values, values to bytes.
//!
//! What is judged here is form only: version, lengths, header checksum. Options, extension headers and addresses are judged by
//! `ip::input`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use etherparse::{
    IpFragOffset, IpNumber, Ipv4Header, Ipv4HeaderSlice, Ipv6FlowLabel, Ipv6FragmentHeader, Ipv6Header,
    Ipv6HeaderSlice,
};
use smallvec::SmallVec;

use super::checksum::Sum;
use crate::base::counters::DropReason;

/// The largest IP packet, super-segments included: IPv4's total length is 16 bits wide.
pub const MAX_PACKET: usize = 65_535;
/// Bytes of IPv6's fragment header.
pub const FRAGMENT_HEADER: usize = 8;

/// What upper layers know of an IP packet and say of one to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpHeader {
    /// Source address.
    pub src: IpAddr,
    /// Destination address, of the same version.
    pub dst: IpAddr,
    /// The upper layer: one of [`protocol`], or a number this stack does not know.
    pub protocol: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// DSCP (upper six bits) and ECN (lower two).
    pub traffic_class: u8,
}

/// An encoded IP header: IPv6 with a fragment header is the longest.
pub type HeaderBytes = SmallVec<[u8; 48]>;

impl IpHeader {
    /// The header's bytes in front of `len` bytes of payload. A whole datagram is atomic: IPv4 carries DF and identification 0
    /// (RFC 6864 §4.1; hostile case P13).
    pub fn encode(&self, len: usize, fragment: Option<Fragment>) -> HeaderBytes {
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                HeaderBytes::from_slice(&self.encode_v4(src, dst, len, fragment))
            }
            // Should the versions ever differ, the IPv4 address goes in its mapped form.
            (src, dst) => self.encode_v6(octets16(src), octets16(dst), len, fragment),
        }
    }

    fn encode_v4(&self, src: Ipv4Addr, dst: Ipv4Addr, len: usize, fragment: Option<Fragment>) -> [u8; 20] {
        let part = fragment.unwrap_or_default();
        let dont_fragment = if fragment.is_none() { 0x4000 } else { 0 };
        let more = if part.more { 0x2000 } else { 0 };
        let mut bytes = [0; 20];
        (bytes[0], bytes[1]) = (0x45, self.traffic_class);
        bytes[2..4].copy_from_slice(&((20 + len) as u16).to_be_bytes());
        bytes[4..6].copy_from_slice(&(part.id as u16).to_be_bytes());
        bytes[6..8].copy_from_slice(&(dont_fragment | more | (part.offset / 8)).to_be_bytes());
        (bytes[8], bytes[9]) = (self.hop_limit, self.protocol);
        bytes[12..16].copy_from_slice(&src.octets());
        bytes[16..20].copy_from_slice(&dst.octets());
        let sum = Sum::new().add(&bytes).checksum();
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// The payload length counts the fragment header, which is an extension header (RFC 8200 §3).
    fn encode_v6(
        &self,
        source: [u8; 16],
        destination: [u8; 16],
        len: usize,
        fragment: Option<Fragment>,
    ) -> HeaderBytes {
        let (next_header, extension) = match fragment {
            Some(_) => (protocol::FRAGMENT, FRAGMENT_HEADER),
            None => (self.protocol, 0),
        };
        let ip = Ipv6Header {
            traffic_class: self.traffic_class,
            flow_label: Ipv6FlowLabel::ZERO,
            payload_length: (len + extension) as u16,
            next_header: IpNumber(next_header),
            hop_limit: self.hop_limit,
            source,
            destination,
        };
        let mut bytes = HeaderBytes::from_slice(&ip.to_bytes());
        if let Some(part) = fragment {
            let offset = IpFragOffset::try_new(part.offset / 8).unwrap_or_default();
            let header = Ipv6FragmentHeader::new(IpNumber(self.protocol), offset, part.more, part.id);
            bytes.extend_from_slice(&header.to_bytes());
        }
        bytes
    }
}

/// Which part of a datagram a fragment carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Fragment {
    /// The datagram's identification; 16 bits in IPv4.
    pub id: u32,
    /// Where the fragment's payload begins in the datagram's, in bytes; a multiple of eight.
    pub offset: u16,
    /// More fragments follow.
    pub more: bool,
}

impl Fragment {
    /// Reads IPv6's fragment header; the next header comes with it.
    pub fn parse_v6(bytes: &[u8]) -> Option<(Fragment, u8)> {
        let &[next, _, high, low, a, b, c, d, ..] = bytes else { return None };
        let word = u16::from_be_bytes([high, low]);
        let fragment =
            Fragment { id: u32::from_be_bytes([a, b, c, d]), offset: word & !7, more: word & 1 == 1 };
        Some((fragment, next))
    }

    /// True if the "fragment" is the whole datagram (RFC 6946).
    pub const fn is_atomic(&self) -> bool {
        self.offset == 0 && !self.more
    }
}

/// An IP packet taken apart. Padding behind the packet's own length lies outside of `payload`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpPacket {
    /// The header; in IPv6 `protocol` is the first next header, which may be an extension.
    pub header: IpHeader,
    /// Where IPv4's options lie; empty in IPv6.
    pub options: Range<usize>,
    /// What follows the fixed header and IPv4's options.
    pub payload: Range<usize>,
    /// IPv4's fragment fields, if the packet is a fragment; IPv6 has them in an extension header.
    pub fragment: Option<Fragment>,
}

impl IpPacket {
    /// Takes a packet apart and checks version, lengths and IPv4's header checksum (hostile case P1).
    pub fn parse(bytes: &[u8]) -> Result<IpPacket, DropReason> {
        match bytes.first().map(|byte| byte >> 4) {
            Some(4) => IpPacket::parse_v4(bytes),
            Some(6) => IpPacket::parse_v6(bytes),
            _ => Err(DropReason::IpMalformed),
        }
    }

    fn parse_v4(bytes: &[u8]) -> Result<IpPacket, DropReason> {
        let ip = Ipv4HeaderSlice::from_slice(bytes).map_err(|_| DropReason::IpMalformed)?;
        let (header_len, total_len) = (ip.slice().len(), usize::from(ip.total_len()));
        if total_len < header_len || total_len > bytes.len() {
            return Err(DropReason::IpLength);
        }
        // RFC 1122 §3.2.1.2: a wrong checksum means silence.
        if !Sum::new().add(ip.slice()).is_valid() {
            return Err(DropReason::IpChecksum);
        }
        let fragment = Fragment {
            id: u32::from(ip.identification()),
            offset: ip.fragments_offset().value() * 8,
            more: ip.more_fragments(),
        };
        Ok(IpPacket {
            header: v4_header(&ip),
            options: Ipv4Header::MIN_LEN..header_len,
            payload: header_len..total_len,
            fragment: (!fragment.is_atomic()).then_some(fragment),
        })
    }

    fn parse_v6(bytes: &[u8]) -> Result<IpPacket, DropReason> {
        let ip = Ipv6HeaderSlice::from_slice(bytes).map_err(|_| DropReason::IpMalformed)?;
        let end = Ipv6Header::LEN + usize::from(ip.payload_length());
        if end > bytes.len() {
            return Err(DropReason::IpLength);
        }
        let header = v6_header(&ip);
        Ok(IpPacket { header, options: 0..0, payload: Ipv6Header::LEN..end, fragment: None })
    }

    /// Takes apart a packet that an ICMP error quotes: cut off, its length and checksum no longer right.
    pub fn parse_quoted(bytes: &[u8]) -> Option<IpPacket> {
        if let Ok(ip) = Ipv4HeaderSlice::from_slice(bytes) {
            let start = ip.slice().len();
            let offset = ip.fragments_offset().value() * 8;
            let fragment = Fragment { id: u32::from(ip.identification()), offset, more: ip.more_fragments() };
            return Some(IpPacket {
                header: v4_header(&ip),
                options: Ipv4Header::MIN_LEN..start,
                payload: start..bytes.len(),
                fragment: (!fragment.is_atomic()).then_some(fragment),
            });
        }
        let ip = Ipv6HeaderSlice::from_slice(bytes).ok()?;
        let (mut header, mut start, mut fragment) = (v6_header(&ip), Ipv6Header::LEN, None);
        // This stack puts no extension header but the fragment header in front of an upper layer.
        if header.protocol == protocol::FRAGMENT {
            let (part, next) = Fragment::parse_v6(bytes.get(start..)?)?;
            (header.protocol, fragment) = (next, Some(part));
            start += FRAGMENT_HEADER;
        }
        Some(IpPacket { header, options: 0..0, payload: start..bytes.len(), fragment })
    }
}

fn v4_header(ip: &Ipv4HeaderSlice<'_>) -> IpHeader {
    IpHeader {
        src: IpAddr::V4(ip.source_addr()),
        dst: IpAddr::V4(ip.destination_addr()),
        protocol: ip.protocol().0,
        hop_limit: ip.ttl(),
        traffic_class: ip.dcp().value() << 2 | ip.ecn().value(),
    }
}

fn v6_header(ip: &Ipv6HeaderSlice<'_>) -> IpHeader {
    IpHeader {
        src: IpAddr::V6(ip.source_addr()),
        dst: IpAddr::V6(ip.destination_addr()),
        protocol: ip.next_header().0,
        hop_limit: ip.hop_limit(),
        traffic_class: ip.traffic_class(),
    }
}

/// Protocol numbers.
pub mod protocol {
    /// IPv6 hop-by-hop options (RFC 8200 §4.3).
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP (RFC 792).
    pub const ICMP: u8 = 1;
    /// TCP (RFC 9293).
    pub const TCP: u8 = 6;
    /// UDP (RFC 768).
    pub const UDP: u8 = 17;
    /// IPv6 routing header (RFC 8200 §4.4).
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header (RFC 8200 §4.5).
    pub const FRAGMENT: u8 = 44;
    /// ICMPv6 (RFC 4443).
    pub const ICMPV6: u8 = 58;
    /// IPv6: nothing follows (RFC 8200 §4.7).
    pub const NO_NEXT_HEADER: u8 = 59;
    /// IPv6 destination options (RFC 8200 §4.6).
    pub const DESTINATION_OPTIONS: u8 = 60;
}

/// The ECN field: the lower two bits of the traffic class (RFC 3168 §5).
pub mod ecn {
    /// Not ECN-capable.
    pub const NOT_ECT: u8 = 0;
    /// ECN-capable, as TCP sends it.
    pub const ECT0: u8 = 2;
    /// Congestion experienced: a router's mark.
    pub const CE: u8 = 3;
    /// The bits of the field.
    pub const MASK: u8 = 3;
}

/// An address and a port: one end of a flow. Smaller than `SocketAddr`, since tables hold millions of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The address.
    pub addr: IpAddr,
    /// The port.
    pub port: u16,
}

impl Endpoint {
    /// The endpoint `addr:port`.
    pub const fn new(addr: IpAddr, port: u16) -> Self {
        Endpoint { addr, port }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        Endpoint { addr: addr.ip().to_canonical(), port: addr.port() }
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(endpoint: Endpoint) -> Self {
        SocketAddr::new(endpoint.addr, endpoint.port)
    }
}

/// The 16 bytes of an IPv6 address; an IPv4 address in its mapped form.
pub fn octets16(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().octets(),
        IpAddr::V6(addr) => addr.octets(),
    }
}

/// Bytes of an IP header without options or extension headers.
pub const fn header_len(addr: IpAddr) -> usize {
    if addr.is_ipv4() { Ipv4Header::MIN_LEN } else { Ipv6Header::LEN }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers() -> impl Strategy<Value = IpHeader> {
        let addrs = prop_oneof![
            any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
            any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
        ];
        (addrs, any::<(u8, u8, u8)>()).prop_map(|((src, dst), (protocol, hop_limit, traffic_class))| {
            let protocol = if protocol == protocol::FRAGMENT { protocol::UDP } else { protocol };
            IpHeader { src, dst, protocol, hop_limit, traffic_class }
        })
    }

    fn packet(header: &IpHeader, len: usize, fragment: Option<Fragment>) -> Vec<u8> {
        let mut bytes = header.encode(len, fragment).to_vec();
        bytes.resize(bytes.len() + len, 0xaa);
        bytes
    }

    proptest! {
        #[test]
        fn what_is_written_parses_back(header in headers(), len in 0usize..100, padding in 0usize..30) {
            let mut bytes = packet(&header, len, None);
            bytes.resize(bytes.len() + padding, 0);
            let parsed = IpPacket::parse(&bytes).unwrap();
            prop_assert_eq!(parsed.header, header);
            prop_assert_eq!((parsed.payload.len(), parsed.fragment), (len, None), "padding is not payload");
        }

        #[test]
        fn a_fragment_parses_back(header in headers(), id: u16, eighths in 0u16..8192, more: bool) {
            let fragment = Fragment { id: u32::from(id), offset: eighths * 8, more };
            let bytes = packet(&header, 16, Some(fragment));
            let parsed = IpPacket::parse_quoted(&bytes).unwrap();
            prop_assert_eq!((parsed.header, parsed.payload.len()), (header, 16));
            let atomic_v4 = header.dst.is_ipv4() && fragment.is_atomic();
            prop_assert_eq!(parsed.fragment, (!atomic_v4).then_some(fragment));
        }

        /// Hostile case P1: cut at every byte, nothing but whole packets passes.
        #[test]
        fn a_cut_packet_does_not_parse(header in headers(), len in 0usize..100, cut in 1usize..200) {
            let bytes = packet(&header, len, None);
            prop_assert!(IpPacket::parse(&bytes[..bytes.len().saturating_sub(cut)]).is_err());
        }

        #[test]
        fn any_bytes_do_no_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..120), version in 0u8..16) {
            if let Some(first) = bytes.first_mut() { *first = version << 4 | *first & 15; }
            for packet in [IpPacket::parse(&bytes).ok(), IpPacket::parse_quoted(&bytes)].into_iter().flatten() {
                prop_assert!(packet.payload.start <= packet.payload.end && packet.payload.end <= bytes.len());
                prop_assert!(bytes.get(packet.options).is_some());
            }
        }
    }

    /// RFC 791 §3.1 and hostile case P1: length fields that contradict the packet.
    #[test]
    fn lying_lengths_are_refused() {
        let header = IpHeader {
            src: IpAddr::from([10, 0, 0, 1]),
            dst: IpAddr::from([10, 0, 0, 2]),
            protocol: protocol::UDP,
            hop_limit: 64,
            traffic_class: 0,
        };
        let refused = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = packet(&header, 12, None);
            change(&mut bytes);
            IpPacket::parse(&bytes).unwrap_err()
        };
        assert_eq!(refused(&|b| b[0] = 0x44), DropReason::IpMalformed, "IHL below 5");
        assert_eq!(refused(&|b| b[0] = 0x4f), DropReason::IpMalformed, "IHL beyond the packet");
        assert_eq!(refused(&|b| b[3] = 19), DropReason::IpLength, "total length below the header's");
        assert_eq!(refused(&|b| b[3] = 33), DropReason::IpLength, "total length beyond the packet");
        assert_eq!(refused(&|b| b[8] = 65), DropReason::IpChecksum);
        assert_eq!(refused(&|b| b[0] = 0x55), DropReason::IpMalformed, "version 5");
        assert_eq!(refused(&|b| b.clear()), DropReason::IpMalformed);
    }
}
