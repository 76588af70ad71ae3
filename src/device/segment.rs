//! What a device with offload does, in software: a super-segment or super-datagram split into wire packets, a checksum completed.
//!
//! Links that carry wire packets (the pipe to an end without offload, the simulator, captures) draw on this. The split packets look
//! as if the sender had made them one by one. No IP fragmentation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smallvec::{SmallVec, smallvec};

use crate::base::buffer::Buffer;
use crate::wire::checksum::Sum;
use crate::wire::ip::protocol;
use crate::wire::packet::{Offload, Packet};
use crate::wire::tcp::{CHECKSUM_OFFSET, Flags};
use crate::wire::udp;

/// The wire packets that `packet` stands for, in order, complete with checksums. One without offload is handed through. An
/// offload that contradicts its packet is taken off and the bytes left as they are: the receiver's checks judge them.
pub fn to_wire(packet: Packet) -> SmallVec<[Packet; 1]> {
    let wire = match packet.offload {
        Offload::None => return smallvec![packet],
        Offload::Checksum { start, offset } => {
            complete(packet.bytes(), start.into(), offset.into()).map(|packet| smallvec![packet])
        }
        Offload::Tcp { mss, start } => split_tcp(packet.bytes(), mss.into(), start.into()),
        Offload::Udp { size, start } => split_udp(packet.bytes(), size.into(), start.into()),
    };
    wire.unwrap_or_else(|| smallvec![Packet { offload: Offload::None, ..packet }])
}

/// The packet with its transport checksum taken; the field held the sum of the pseudo-header.
fn complete(bytes: &[u8], start: usize, offset: usize) -> Option<Packet> {
    let field = start + offset..start + offset + 2;
    bytes.get(field.clone())?;
    let sum = nonzero(Sum::new().add(bytes.get(start..)?).checksum());
    let mut buffer = Buffer::for_len(bytes.len());
    buffer.append(&bytes[..field.start]);
    buffer.append(&sum.to_be_bytes());
    buffer.append(&bytes[field.end..]);
    Some(Packet { buffer, offload: Offload::None })
}

/// RFC 768: zero would mean that there is no checksum. The other protocols' receivers take both as the same.
fn nonzero(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

fn split_tcp(bytes: &[u8], mss: usize, start: usize) -> Option<SmallVec<[Packet; 1]>> {
    let tcp_len = 4 * usize::from(bytes.get(start + 12)? >> 4);
    if tcp_len < 20 {
        return None;
    }
    split(bytes, mss, start, tcp_len, |headers, part| {
        patch_tcp(&mut headers[start..], part);
        let sum = transport_sum(headers, start, protocol::TCP, part.body);
        put(headers, start + CHECKSUM_OFFSET, sum);
    })
}

fn split_udp(bytes: &[u8], size: usize, start: usize) -> Option<SmallVec<[Packet; 1]>> {
    split(bytes, size, start, udp::HEADER, |headers, part| {
        put(headers, start + udp::LENGTH_OFFSET, (udp::HEADER + part.body.len()) as u16);
        put(headers, start + udp::CHECKSUM_OFFSET, 0);
        let sum = transport_sum(headers, start, protocol::UDP, part.body);
        put(headers, start + udp::CHECKSUM_OFFSET, nonzero(sum));
    })
}

/// One of the parts that a payload is split into.
struct Part<'a> {
    /// Where it begins in the payload.
    from: usize,
    last: bool,
    body: &'a [u8],
}

/// Splits what lies behind the transport header into parts of `size` bytes; `finish` patches the transport header of each.
fn split(
    bytes: &[u8],
    size: usize,
    start: usize,
    transport_len: usize,
    finish: impl Fn(&mut [u8], &Part<'_>),
) -> Option<SmallVec<[Packet; 1]>> {
    let (headers, payload) = bytes.split_at_checked(start + transport_len)?;
    // Room for the fields that are patched, whatever the header says.
    if size == 0 || start < if headers[0] >> 4 == 4 { 20 } else { 40 } {
        return None;
    }
    let count = payload.len().div_ceil(size).max(1);
    let packet = |index: usize| {
        let from = index * size;
        let body = &payload[from..payload.len().min(from + size)];
        let mut headers = SmallVec::<[u8; 128]>::from_slice(headers);
        patch_ip(&mut headers[..start], index, transport_len + body.len());
        finish(&mut headers, &Part { from, last: index + 1 == count, body });
        let mut buffer = Buffer::for_len(headers.len() + body.len());
        buffer.append(&headers);
        buffer.append(body);
        Packet { buffer, offload: Offload::None }
    };
    Some((0..count).map(packet).collect())
}

/// Lengths, and in IPv4 the identification and the header's own checksum.
fn patch_ip(ip: &mut [u8], index: usize, transport_len: usize) {
    if ip[0] >> 4 == 6 {
        put(ip, 4, (ip.len() - 40 + transport_len) as u16);
        return;
    }
    put(ip, 2, (ip.len() + transport_len) as u16);
    // RFC 6864 §4.1: an atomic datagram's identification means nothing; others are numbered on.
    let dont_fragment = ip[6] & 0x40 != 0;
    if !dont_fragment {
        let id = u16::from_be_bytes([ip[4], ip[5]]).wrapping_add(index as u16);
        put(ip, 4, id);
    }
    put(ip, 10, 0);
    let sum = Sum::new().add(ip).checksum();
    put(ip, 10, sum);
}

/// Sequence number and flags; the checksum field is emptied.
fn patch_tcp(tcp: &mut [u8], part: &Part<'_>) {
    let seq = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]).wrapping_add(part.from as u32);
    tcp[4..8].copy_from_slice(&seq.to_be_bytes());
    let mut flags = Flags(tcp[13]);
    // RFC 3168 §6.1.2: CWR once, on the first new data. FIN and PSH belong to the last byte.
    if part.from > 0 {
        flags = flags.without(Flags::CWR);
    }
    if !part.last {
        flags = flags.without(Flags::FIN.with(Flags::PSH));
    }
    tcp[13] = flags.0;
    put(tcp, CHECKSUM_OFFSET, 0);
}

/// The checksum of the transport packet that begins at `start`, whose checksum field is empty. The IP header's minimum length is checked.
fn transport_sum(headers: &[u8], start: usize, protocol: u8, body: &[u8]) -> u16 {
    let len = headers.len() - start + body.len();
    pseudo_header(headers, protocol, len).add(&headers[start..]).add(body).checksum()
}

fn pseudo_header(ip: &[u8], protocol: u8, len: usize) -> Sum {
    let (src, dst) = if ip[0] >> 4 == 4 {
        let addr = |at: usize| IpAddr::V4(Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]));
        (addr(12), addr(16))
    } else {
        let addr = |at: usize| {
            let mut octets = [0; 16];
            octets.copy_from_slice(&ip[at..at + 16]);
            IpAddr::V6(Ipv6Addr::from(octets))
        };
        (addr(8), addr(24))
    };
    Sum::pseudo_header(src, dst, protocol, len)
}

fn put(bytes: &mut [u8], at: usize, word: u16) {
    bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ip::octets16;
    use crate::wire::seq::SeqNum;
    use crate::wire::tcp::{Options, TcpHeader, Timestamps};
    use etherparse::{IpNumber, IpSlice, Ipv4Header, Ipv6Header, SlicedPacket, TransportSlice};
    use proptest::prelude::*;

    fn addrs(v6: bool) -> (IpAddr, IpAddr) {
        if v6 {
            ("fd77::1".parse().unwrap(), "fd77::2".parse().unwrap())
        } else {
            ("10.77.0.1".parse().unwrap(), "10.77.0.2".parse().unwrap())
        }
    }

    fn frame(v6: bool, tcp: &TcpHeader, payload: &[u8], offload: fn(u16) -> Offload) -> Packet {
        let (src, dst) = addrs(v6);
        let mut tcp = tcp.to_bytes();
        let folded = Sum::pseudo_header(src, dst, protocol::TCP, tcp.len() + payload.len()).folded();
        put(&mut tcp, CHECKSUM_OFFSET, folded);
        let transport = [tcp.as_slice(), payload].concat();
        let offload = offload(if v6 { 40 } else { 20 });
        Packet { buffer: Buffer::copy_of(&behind_ip(v6, protocol::TCP, &transport)), offload }
    }

    fn behind_ip(v6: bool, protocol: u8, transport: &[u8]) -> Vec<u8> {
        let (len, number) = (transport.len() as u16, IpNumber(protocol));
        let ip = match addrs(v6) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let mut ip = Ipv4Header::new(len, 64, number, src.octets(), dst.octets()).unwrap();
                ip.header_checksum = ip.calc_header_checksum();
                ip.to_bytes().to_vec()
            }
            (src, dst) => Ipv6Header {
                payload_length: len,
                next_header: number,
                source: octets16(src),
                destination: octets16(dst),
                ..Ipv6Header::default()
            }
            .to_bytes()
            .to_vec(),
        };
        [&ip, transport].concat()
    }

    /// A super-datagram from port 1 to port 2.
    fn super_datagram(v6: bool, payload: &[u8], size: u16) -> Packet {
        let ((src, dst), len) = (addrs(v6), udp::HEADER + payload.len());
        let checksum = Sum::pseudo_header(src, dst, protocol::UDP, len).folded();
        let header = udp::UdpHeader { src_port: 1, dst_port: 2, length: len as u16, checksum };
        let bytes = behind_ip(v6, protocol::UDP, &[&header.to_bytes(), payload].concat());
        let start = if v6 { 40 } else { 20 };
        Packet { buffer: Buffer::copy_of(&bytes), offload: Offload::Udp { size, start } }
    }

    /// A wire packet's TCP header (of UDP none) and payload, by a parser that is not ours, with every length and checksum right.
    fn checked(packet: &Packet) -> (TcpHeader, Vec<u8>) {
        assert_eq!(packet.offload, Offload::None);
        let sliced = SlicedPacket::from_ip(packet.bytes()).unwrap();
        let ip = IpSlice::from_slice(packet.bytes()).unwrap();
        let (v4, v6) = (ip.ipv4(), ip.ipv6());
        let ip_len = v4.map_or(40, |ip| ip.header().slice().len());
        if let Some(ip) = v4 {
            assert_eq!(usize::from(ip.header().total_len()), packet.bytes().len());
            assert_eq!(ip.header().to_header().calc_header_checksum(), ip.header().header_checksum());
        }
        if let Some(ip) = v6 {
            assert_eq!(usize::from(ip.header().payload_length()) + 40, packet.bytes().len());
        }
        let (src, dst) = addrs(v6.is_some());
        let transport = &packet.bytes()[ip_len..];
        let (protocol, header, body) = match sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => {
                (protocol::TCP, TcpHeader::parse(transport).unwrap().0, tcp.payload())
            }
            Some(TransportSlice::Udp(udp)) => {
                assert_eq!((udp.source_port(), udp.destination_port()), (1, 2));
                assert_eq!(usize::from(udp.length()), transport.len());
                assert_ne!(udp.checksum(), 0);
                (protocol::UDP, TcpHeader::default(), udp.payload())
            }
            other => panic!("{other:?}"),
        };
        assert!(Sum::pseudo_header(src, dst, protocol, transport.len()).add(transport).is_valid());
        (header, body.to_vec())
    }

    fn big(flags: Flags) -> TcpHeader {
        TcpHeader { src_port: 1, dst_port: 2, seq: SeqNum(u32::MAX - 99), flags, ..TcpHeader::default() }
    }

    #[test]
    fn flags_go_where_a_peer_expects_them() {
        let all = Flags::ACK.with(Flags::CWR).with(Flags::FIN).with(Flags::PSH).with(Flags::ECE);
        let wire = to_wire(frame(false, &big(all), &[1; 250], |start| Offload::Tcp { mss: 100, start }));
        let seen: Vec<_> = wire.iter().map(|packet| checked(packet).0.flags).collect();
        let middle = Flags::ACK.with(Flags::ECE);
        let last = middle.with(Flags::FIN).with(Flags::PSH);
        assert_eq!(seen, [middle.with(Flags::CWR), middle, last]);
    }

    /// RFC 6864 §4.1 and §4.2.
    #[test]
    fn identification_counts_on_only_where_fragments_may_arise() {
        for (dont_fragment, udp, wanted) in
            [(0x40, false, [7, 7, 7]), (0, false, [7, 8, 9]), (0x40, true, [7, 7, 7]), (0, true, [7, 8, 9])]
        {
            let mut packet =
                frame(false, &big(Flags::ACK), &[1; 250], |start| Offload::Tcp { mss: 100, start });
            if udp {
                packet = super_datagram(false, &[1; 250], 100);
            }
            let mut bytes = packet.bytes().to_vec();
            bytes[6] = dont_fragment;
            put(&mut bytes, 4, 7);
            packet.buffer = Buffer::copy_of(&bytes);
            let ids: Vec<_> = to_wire(packet)
                .iter()
                .map(|packet| {
                    checked(packet);
                    u16::from_be_bytes([packet.bytes()[4], packet.bytes()[5]])
                })
                .collect();
            assert_eq!(ids, wanted);
        }
    }

    #[test]
    fn a_checksum_is_never_left_out_by_accident() {
        // 0xffff sums to a checksum of zero.
        let packet = Packet {
            buffer: Buffer::copy_of(&[0, 0, 0xff, 0xff]),
            offload: Offload::Checksum { start: 0, offset: 0 },
        };
        assert_eq!(to_wire(packet)[0].bytes(), [0xff, 0xff, 0xff, 0xff]);
    }

    proptest! {
        #[test]
        fn wire_packets_carry_the_same_bytes(
            v6 in any::<bool>(),
            payload in prop::collection::vec(any::<u8>(), 0..9_000),
            mss in 1u16..3_000,
            timestamps in any::<bool>(),
        ) {
            // Small segments of a large payload would only make the test slow.
            let mss = mss.max(payload.len() as u16 / 50 + 1);
            let timestamps = timestamps.then_some(Timestamps { val: 5, ecr: 6 });
            let tcp = TcpHeader { options: Options { timestamps, ..Options::default() }, ..big(Flags::ACK) };
            let mut whole = frame(v6, &tcp, &payload, |start| Offload::Tcp { mss: 1, start });
            let start = if v6 { 40 } else { 20 };
            whole.offload = Offload::Tcp { mss, start };
            let (mut seq, mut bytes) = (tcp.seq.0, Vec::new());
            let wire = to_wire(whole);
            prop_assert_eq!(wire.len(), payload.len().div_ceil(mss.into()).max(1));
            for packet in &wire {
                let (header, body) = checked(packet);
                prop_assert_eq!(&header, &TcpHeader { seq: SeqNum(seq), ..tcp.clone() });
                prop_assert!(body.len() <= mss.into());
                seq = seq.wrapping_add(body.len() as u32);
                bytes.extend(body);
            }
            prop_assert_eq!(bytes, payload.clone());
            // The same packet, to be summed only.
            let single = frame(v6, &tcp, &payload, |start| Offload::Checksum { start, offset: 16 });
            prop_assert_eq!(checked(&to_wire(single)[0]), (tcp, payload));
        }

        /// What arrives of a super-datagram is datagrams, in order, the last one shorter.
        #[test]
        fn a_super_datagram_is_split_into_its_datagrams(
            v6 in any::<bool>(),
            payload in prop::collection::vec(any::<u8>(), 0..9_000),
            size in 1u16..3_000,
        ) {
            let size = size.max(payload.len() as u16 / 50 + 1);
            let wire = to_wire(super_datagram(v6, &payload, size));
            let bodies: Vec<_> = wire.iter().map(|packet| checked(packet).1).collect();
            let mut wanted: Vec<_> = payload.chunks(size.into()).map(<[u8]>::to_vec).collect();
            if wanted.is_empty() {
                wanted.push(Vec::new());
            }
            prop_assert_eq!(bodies, wanted);
        }

        /// An offload from nowhere does no harm.
        #[test]
        fn nonsense_passes_unharmed(
            bytes in prop::collection::vec(any::<u8>(), 0..120),
            start in 0u16..130,
            offset in any::<u16>(),
            mss in 0u16..3,
        ) {
            let (tcp, udp) = (Offload::Tcp { mss, start }, Offload::Udp { size: mss, start });
            for offload in [Offload::Checksum { start, offset }, tcp, udp] {
                let wire = to_wire(Packet { buffer: Buffer::copy_of(&bytes), offload });
                prop_assert!(!wire.is_empty());
            }
        }
    }
}
