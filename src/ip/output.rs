//! The output side of IP: headers in front of transport segments, and the bounded queue of frames that wait for the device.

use etherparse::{IpDscp, IpEcn, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header};
use smallvec::SmallVec;
use std::net::IpAddr;

use crate::base::buffer::Slice;
use crate::wire::ip::{IpHeader, octets16};
use crate::wire::packet::{Frame, Offload};

/// The largest IP packet, super-segments included: IPv4's total length is 16 bits wide.
pub const MAX_PACKET: usize = 65_535;

/// Bytes of an IP header without options or extension headers.
pub const fn header_len(addr: IpAddr) -> usize {
    if addr.is_ipv4() { Ipv4Header::MIN_LEN } else { Ipv6Header::LEN }
}

/// A frame that is one IP packet, never to be fragmented: IPv4 carries DF and identification 0 (RFC 6864 §4.1, atomic
/// datagrams; hostile case P13). The transport header's checksum is the caller's business.
pub fn frame(header: &IpHeader, transport: &[u8], payload: SmallVec<[Slice; 4]>, offload: Offload) -> Frame {
    let mut frame = Frame::new(offload);
    let len = transport.len() + payload.iter().map(|slice| slice.len()).sum::<usize>();
    debug_assert!(len + header_len(header.dst) <= MAX_PACKET);
    match (header.src, header.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let mut ip = Ipv4Header {
                total_len: (Ipv4Header::MIN_LEN + len) as u16,
                dont_fragment: true,
                time_to_live: header.hop_limit,
                protocol: IpNumber(header.protocol),
                source: src.octets(),
                destination: dst.octets(),
                dscp: IpDscp::try_new(header.traffic_class >> 2).unwrap_or_default(),
                ecn: IpEcn::try_new(header.traffic_class & 3).unwrap_or_default(),
                ..Ipv4Header::default()
            };
            ip.header_checksum = ip.calc_header_checksum();
            frame.push_header(&ip.to_bytes());
        }
        (src, dst) => {
            let ip = Ipv6Header {
                traffic_class: header.traffic_class,
                flow_label: Ipv6FlowLabel::ZERO,
                payload_length: len as u16,
                next_header: IpNumber(header.protocol),
                hop_limit: header.hop_limit,
                source: octets16(src),
                destination: octets16(dst),
            };
            frame.push_header(&ip.to_bytes());
        }
    }
    frame.push_header(transport);
    frame.payload = payload;
    frame
}
