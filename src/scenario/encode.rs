//! From what a script writes to bytes: payload, TCP options, IP header with its notes.

use super::record::Ends;
use super::script::{EcnNote, IpNotes, TcpOptionSpec};
use super::view::FAST_OPEN_MAGIC;
use crate::wire::ip::IpHeader;

/// TTL of what the remote side sends, unless a note says otherwise.
const HOP_LIMIT: u8 = 64;

/// The byte at an offset of a stream: the same for writes, packets in and the checks of reads and packets out.
pub(super) fn pattern(offset: u64) -> u8 {
    (offset.wrapping_mul(31).wrapping_add(7) & 0xff) as u8
}

/// `len` bytes of a stream from `offset` on.
pub(super) fn payload(offset: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| pattern(offset.wrapping_add(i))).collect()
}

/// Options in their order; the parser has seen to whole words.
pub(super) fn options(list: &[TcpOptionSpec]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(40);
    for option in list {
        match option {
            TcpOptionSpec::Mss(mss) => with_length(&mut bytes, 2, &mss.to_be_bytes()),
            TcpOptionSpec::WindowScale(shift) => with_length(&mut bytes, 3, &[*shift]),
            TcpOptionSpec::SackPermitted => with_length(&mut bytes, 4, &[]),
            TcpOptionSpec::Nop => bytes.push(1),
            TcpOptionSpec::Eol => bytes.push(0),
            TcpOptionSpec::Timestamps { val, ecr } => {
                with_length(&mut bytes, 8, &[val.to_be_bytes(), ecr.to_be_bytes()].concat());
            }
            TcpOptionSpec::Sack(edges) => {
                let edges: Vec<u8> = edges
                    .iter()
                    .flat_map(|(left, right)| [left.to_be_bytes(), right.to_be_bytes()].concat())
                    .collect();
                with_length(&mut bytes, 5, &edges);
            }
            TcpOptionSpec::FastOpen(cookie) => with_length(&mut bytes, 34, cookie),
            TcpOptionSpec::FastOpenExperimental(cookie) => {
                with_length(&mut bytes, 254, &[&FAST_OPEN_MAGIC[..], cookie].concat());
            }
            TcpOptionSpec::Md5(digest) => with_length(&mut bytes, 19, digest),
        }
    }
    bytes
}

fn with_length(bytes: &mut Vec<u8>, kind: u8, body: &[u8]) {
    bytes.extend([kind, (body.len() + 2) as u8]);
    bytes.extend_from_slice(body);
}

/// The number in the ECN field.
pub(super) const fn ecn_bits(note: EcnNote) -> u8 {
    match note {
        EcnNote::NotEct => 0,
        EcnNote::Ect1 => 1,
        EcnNote::Ect0 | EcnNote::Ect01 => 2,
        EcnNote::Ce => 3,
    }
}

/// A packet from the remote side: IP header and `upper`.
pub(super) fn inbound(ends: Ends, protocol: u8, notes: &IpNotes, upper: &[u8]) -> Vec<u8> {
    let tos = notes.tos.unwrap_or(0);
    let header = IpHeader {
        src: ends.remote,
        dst: ends.local,
        protocol,
        hop_limit: notes.ttl.unwrap_or(HOP_LIMIT),
        traffic_class: notes.ecn.map_or(tos, |ecn| (tos & 0xfc) | ecn_bits(ecn)),
    };
    let mut bytes = header.encode(upper.len(), None).to_vec();
    if let (Some(label), true) = (notes.flow_label, ends.remote.is_ipv6()) {
        let [_, high, middle, low] = label.to_be_bytes();
        bytes[1] = (bytes[1] & 0xf0) | (high & 0x0f);
        bytes[2] = middle;
        bytes[3] = low;
    }
    bytes.extend_from_slice(upper);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::view::View;

    #[test]
    fn notes_reach_the_ip_header_of_both_versions() {
        let notes =
            IpNotes { ecn: Some(EcnNote::Ce), tos: Some(0x28), ttl: Some(7), flow_label: Some(0xabcde) };
        for (local, remote) in [("192.168.0.1", "192.0.2.1"), ("fd3d::1", "2001:db8::1")] {
            let ends = Ends {
                local: local.parse().unwrap(),
                remote: remote.parse().unwrap(),
                bind_port: 8080,
                connect_port: 8080,
            };
            let bytes = inbound(ends, 17, &notes, &[0; 8]);
            let view = View::new(&bytes).unwrap();
            assert_eq!((view.traffic_class(), view.hop_limit()), (0x2b, 7));
            assert_eq!(view.flow_label(), ends.local.is_ipv6().then_some(0xabcde));
            assert_eq!((view.src(), view.dst(), view.total_len()), (ends.remote, ends.local, bytes.len()));
            assert!(view.header_checksum_is_right());
        }
    }
}
