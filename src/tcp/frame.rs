//! From header and payload to a frame: checksum or offload, whatever the device can do (RFC 9293 §3.1, MUST-2).

use smallvec::SmallVec;

use crate::base::buffer::Slice;
use crate::device::Capabilities;
use crate::ip::output;
use crate::wire::checksum::Sum;
use crate::wire::ip::{IpHeader, protocol};
use crate::wire::packet::{Frame, Offload};
use crate::wire::tcp::{CHECKSUM_OFFSET, TcpHeader};

use super::options::SocketOptions;
use super::segment::FourTuple;

/// A frame of one segment, or of a super-segment where the payload exceeds `mss` (the device can then segment). DSCP and hop
/// limit are the socket's (MUST-48, MUST-49), the ECN field is `ecn`, and DF is set where path MTUs are discovered (RFC 1191 §3).
pub fn build(
    tuple: &FourTuple,
    header: &TcpHeader,
    payload: SmallVec<[Slice; 4]>,
    mss: u16,
    options: &SocketOptions,
    ecn: u8,
    capabilities: Capabilities,
) -> Frame {
    let ip = IpHeader {
        src: tuple.local.addr,
        dst: tuple.remote.addr,
        protocol: protocol::TCP,
        hop_limit: options.hop_limit,
        traffic_class: options.traffic_class | ecn,
    };
    let mut bytes = header.to_bytes();
    let payload_len: usize = payload.iter().map(|slice| slice.len()).sum();
    let pseudo = Sum::pseudo_header(ip.src, ip.dst, protocol::TCP, bytes.len() + payload_len);
    let start = output::header_len(ip.dst) as u16;
    let (offload, checksum) = if payload_len > usize::from(mss) {
        (Offload::Tcp { mss, start }, pseudo.folded())
    } else if capabilities.checksum {
        (Offload::Checksum { start, offset: CHECKSUM_OFFSET as u16 }, pseudo.folded())
    } else {
        let sum = payload.iter().fold(pseudo.add(&bytes), |sum, slice| sum.add(slice));
        (Offload::None, sum.checksum())
    };
    bytes[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&checksum.to_be_bytes());
    let mut frame = output::frame(&ip, &bytes, payload, offload);
    if !options.path_mtu_discovery {
        output::allow_fragments(&mut frame);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::buffer::Buffer;
    use crate::wire::ip::Endpoint;

    /// A payload of exactly one segment is no super-segment: there is nothing for the device to cut.
    #[test]
    fn only_what_exceeds_the_mss_is_a_super_segment() {
        let end = |addr: [u8; 4]| Endpoint { addr: addr.into(), port: 80 };
        let tuple = FourTuple { local: end([10, 0, 0, 1]), remote: end([10, 0, 0, 2]) };
        let offload = |len: usize| {
            let mut payload = SmallVec::new();
            payload.push(Buffer::copy_of(&vec![7; len]).into());
            let capabilities = Capabilities::offload(1_500);
            let (header, options) = (TcpHeader::default(), SocketOptions::default());
            build(&tuple, &header, payload, 1_000, &options, 0, capabilities).offload
        };
        assert!(matches!(offload(1_000), Offload::Checksum { .. }));
        assert!(matches!(offload(1_001), Offload::Tcp { mss: 1_000, .. }));
    }
}
