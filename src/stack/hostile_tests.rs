//! Hostile and broken packets as the whole stack meets them: rows P1 to P13 and T9 of the list of hostile cases, where more than
//! one layer has a say. What one layer decides alone is tested beside it.

use std::io::IoSlice;
use std::net::SocketAddr;

use super::tests::{at, drain, stack, too_big};
use super::*;
use crate::base::counters::DropReason;
use crate::base::socket::SocketError;
use crate::base::time::Duration;
use crate::ip::testing::*;
use crate::tcp::state::State;
use crate::wire::icmp::Message;
use crate::wire::ip::{Fragment, IpHeader, IpPacket};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Options, TcpHeader, Timestamps};

const PORT: u16 = 80;

/// A stack that listens on TCP port 80 and has a socket on UDP port 7.
fn serving() -> Stack {
    let mut stack = stack(&["10.77.0.2", "10.78.0.2", "fd77::2"], 1);
    stack.tcp_listen(at("[::]:80"), 8).unwrap();
    stack.udp_bind(at("[::]:7")).unwrap();
    stack
}

fn take(stack: &mut Stack, bytes: &[u8]) {
    stack.receive(Packet::from_slice(bytes), Instant::ZERO);
}

fn replies(stack: &mut Stack) -> Vec<Vec<u8>> {
    drain(stack, Instant::ZERO).iter().map(|packet| packet.bytes().to_vec()).collect()
}

fn syn() -> TcpHeader {
    let options = Options {
        mss: Some(1_460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some(Timestamps { val: 1, ecr: 0 }),
        ..Options::default()
    };
    let flags = Flags::SYN;
    TcpHeader {
        src_port: 5_000,
        dst_port: PORT,
        seq: SeqNum(99),
        flags,
        window: 9_000,
        options,
        ..TcpHeader::default()
    }
}

/// One valid packet of every kind that the stack has an answer or a use for.
fn valid_packets(v6: bool) -> Vec<Vec<u8>> {
    let with = |number: u8| header(v6, number);
    let icmp_header = with(if v6 { protocol::ICMPV6 } else { protocol::ICMP });
    let tcp_header = with(protocol::TCP);
    let echo = icmp(&icmp_header, &Message::EchoRequest { id: 1, seq: 2 }, b"data");
    let ours = IpHeader { src: icmp_header.dst, dst: icmp_header.src, ..with(protocol::UDP) };
    let quote = packet(&ours, &udp(&ours, 7, 9, b"data"));
    let error = icmp(&icmp_header, &Message::Error(ErrorKind::PortUnreachable), &quote);
    let datagram = udp(&with(protocol::UDP), 9, 7, b"data");
    let mut packets = vec![
        packet(&icmp_header, &echo),
        packet(&icmp_header, &error),
        packet(&with(protocol::UDP), &datagram),
        packet(&with(protocol::UDP), &udp(&with(protocol::UDP), 9, 8, b"to a closed port")),
        packet(&tcp_header, &tcp(&tcp_header, &syn(), b"")),
        packet(&tcp_header, &tcp(&tcp_header, &TcpHeader { dst_port: 81, ..syn() }, b"closed")),
        packet(&with(200), b"no such protocol"),
    ];
    packets.extend(fragments(&with(protocol::UDP), 1, &datagram, 8));
    if v6 {
        let chain = [&[60, 0, 1, 4, 0, 0, 0, 0][..], &[17, 0, 1, 4, 0, 0, 0, 0], &datagram].concat();
        packets.push(packet(&with(protocol::HOP_BY_HOP), &chain));
    }
    packets
}

/// `bytes` cut to `len`, with a length field that fits: cut by a liar and not by an accident.
fn cut_and_sealed(bytes: &[u8], len: usize) -> Vec<u8> {
    let mut cut = bytes[..len].to_vec();
    if cut[0] >> 4 == 4 {
        cut[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        cut[10..12].fill(0);
        let sum = crate::wire::checksum::Sum::new().add(&cut[..20]).checksum();
        cut[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        cut[4..6].copy_from_slice(&(len as u16 - 40).to_be_bytes());
    }
    cut
}

/// Hostile case P1: every kind of valid packet, cut at every byte. As a wire would cut it it is dropped in silence and counted once;
/// with lengths that were made to fit, its checksum or header tells, and at most an ICMP error answers: no RST, no SYN-ACK, no echo,
/// nothing for a socket. With padding it means the same as without.
#[test]
fn every_kind_of_packet_may_be_cut_anywhere() {
    for bytes in [false, true].into_iter().flat_map(valid_packets) {
        let header = if bytes[0] >> 4 == 4 { 20 } else { 40 };
        for len in 0..bytes.len() {
            let mut stack = serving();
            take(&mut stack, &bytes[..len]);
            let drops: u64 = stack.counters().drops().map(|(_, count)| count).sum();
            assert_eq!((drops, replies(&mut stack).len()), (1, 0), "{bytes:02x?} cut to {len}");
        }
        for len in header..bytes.len() {
            let mut stack = serving();
            take(&mut stack, &cut_and_sealed(&bytes, len));
            let errors = stack.counters().icmp_out;
            let sent = replies(&mut stack).len() as u64;
            let (udp, tcp) = (stack.counters().udp_in, stack.counters().tcp_out);
            assert_eq!((sent, udp, tcp), (errors, 0, 0), "{bytes:02x?} cut to {len}");
        }
        let (mut plain, mut padded) = (serving(), serving());
        take(&mut plain, &bytes);
        take(&mut padded, &[&bytes[..], &[0xee; 30]].concat());
        assert_eq!(replies(&mut plain), replies(&mut padded));
    }
}

/// Hostile case P1: length fields that lie, in both versions; and none of them makes the stack take memory.
#[test]
fn length_fields_that_lie_are_dropped() {
    for (v6, at) in [(false, 2), (true, 4)] {
        let bytes = &valid_packets(v6)[0];
        for lie in [u16::MAX, bytes.len() as u16 + 1] {
            let (mut stack, mut lying) = (serving(), bytes.clone());
            lying[at..at + 2].copy_from_slice(&lie.to_be_bytes());
            take(&mut stack, &lying);
            assert_eq!(stack.counters().dropped(DropReason::IpLength), 1);
        }
    }
}

/// `bytes`, an IPv4 packet, with options.
fn with_options(bytes: &[u8], options: &[u8]) -> Vec<u8> {
    let mut bytes = [&bytes[..20], options, &bytes[20..]].concat();
    bytes[0] = 0x45 + (options.len() / 4) as u8;
    let total = bytes.len() as u16;
    bytes[2..4].copy_from_slice(&total.to_be_bytes());
    bytes[10..12].fill(0);
    let sum = crate::wire::checksum::Sum::new().add(&bytes[..20 + options.len()]).checksum();
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// MUST-50, hostile case P2: IPv4 options that nobody knows, record route and timestamps with pointers beyond their end, forty bytes
/// of them: ignored, and never copied into what answers. Source routes are dropped in silence (RFC 7126 §4.3): MUST-51 to MUST-53
/// and SHLD-24 ask for them only of those who offer them.
#[test]
fn ip_options_are_ignored_and_never_copied_into_replies() {
    let fill = |head: &[u8], len: usize| [head, &vec![0; len - head.len()]].concat();
    let ignored =
        [fill(&[0x9e, 8], 8), fill(&[7, 39, 200], 40), fill(&[68, 40, 250, 1], 40), fill(&[148, 4], 4)];
    let source_routes = [fill(&[131, 7, 4, 10, 77, 0, 9], 8), fill(&[137, 7, 8, 10, 77, 0, 9], 8)];
    for bytes in valid_packets(false) {
        let mut plain = serving();
        take(&mut plain, &bytes);
        let expected = replies(&mut plain);
        for options in &ignored {
            let mut stack = serving();
            take(&mut stack, &with_options(&bytes, options));
            let answered = replies(&mut stack);
            assert_eq!(answered.len(), expected.len(), "{options:?}");
            assert!(answered.iter().all(|reply| reply[0] == 0x45), "options in a reply to {options:?}");
        }
        for options in &source_routes {
            let mut stack = serving();
            take(&mut stack, &with_options(&bytes, options));
            assert_eq!(replies(&mut stack).len(), 0);
            assert_eq!(stack.counters().dropped(DropReason::IpOptions), 1);
        }
    }
}

/// A SYN with these option bytes, padded by what ends the list, and this data offset.
fn syn_with(options: &[u8], words: Option<u8>) -> Vec<u8> {
    let ip = header(false, protocol::TCP);
    let mut bytes = TcpHeader { options: Options::default(), ..syn() }.to_bytes().to_vec();
    bytes.extend_from_slice(options);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes[12] = words.unwrap_or((bytes.len() / 4) as u8) << 4;
    fill_tcp_checksum(&ip, &mut bytes);
    packet(&ip, &bytes)
}

/// Hostile case P3, MUST-7: options whose lengths lead nowhere are ignored, the segment is not: the SYN is answered, and what was
/// malformed counts as absent. The list ends after forty bytes, since each step takes one at least.
#[test]
fn broken_tcp_options_are_ignored() {
    let broken: [&[u8]; 10] = [
        &[2, 0, 5, 180],
        &[2, 1, 5, 180],
        &[2, 3, 5],
        &[3, 40, 7],
        &[254, 0],
        &[5, 3, 1],
        &[8, 9, 0, 0, 0, 1, 0, 0, 0],
        &[0, 3, 3, 7, 4, 2],
        &[1; 40],
        &[253; 40],
    ];
    for options in broken {
        let mut stack = serving();
        take(&mut stack, &syn_with(options, None));
        let sent = replies(&mut stack);
        let (answer, _) = TcpHeader::parse(&sent[0][20..]).unwrap();
        assert_eq!(answer.flags, Flags::SYN.with(Flags::ACK), "{options:?}");
        assert_eq!(answer.options, Options { mss: Some(1_460), ..Options::default() }, "{options:?}");
    }
}

/// Hostile case P3: a header length below five words or beyond the segment: dropped, counted, no state.
#[test]
fn a_tcp_header_that_lies_about_its_length_is_dropped() {
    for words in [0, 4, 6, 15] {
        let mut stack = serving();
        take(&mut stack, &syn_with(&[], Some(words)));
        assert_eq!((replies(&mut stack).len(), stack.tcp().connections().count()), (0, 0));
        assert_eq!(stack.counters().dropped(DropReason::TcpMalformed), 1, "{words} words");
    }
}

/// Hostile case P5 (LAND): a SYN from the stack's own address, on the same port or another: silence, and no state.
#[test]
fn a_land_segment_meets_silence() {
    for (v6, src) in [(false, "10.77.0.2"), (false, "10.78.0.2"), (true, "fd77::2")] {
        for src_port in [PORT, 5_000] {
            let mut stack = serving();
            let ip = IpHeader { src: addr(src), ..header(v6, protocol::TCP) };
            take(&mut stack, &packet(&ip, &tcp(&ip, &TcpHeader { src_port, ..syn() }, b"")));
            assert_eq!((replies(&mut stack).len(), stack.tcp().connections().count()), (0, 0), "{src}");
        }
    }
}

/// Hostile case P6, MUST-57, MUST-63: flawless SYNs from addresses that nobody has, to groups, from or to port 0, or with a wrong
/// checksum: neither SYN-ACK nor RST nor ICMP, and no state.
#[test]
fn a_syn_that_cannot_be_is_not_answered() {
    let sources =
        ["0.0.0.0", "127.0.0.1", "224.0.0.1", "10.77.0.255", "255.255.255.255", "::", "::1", "ff02::1"];
    let groups = ["10.77.0.255", "255.255.255.255", "224.0.0.1", "ff02::1", "ff02::1:ff00:2"];
    let from = sources.map(|src| IpHeader { src: addr(src), ..header(src.contains(':'), protocol::TCP) });
    let to = groups.map(|dst| IpHeader { dst: addr(dst), ..header(dst.contains(':'), protocol::TCP) });
    for ip in from.into_iter().chain(to) {
        for dst_port in [PORT, 81] {
            let mut stack = serving();
            take(&mut stack, &packet(&ip, &tcp(&ip, &TcpHeader { dst_port, ..syn() }, b"")));
            assert_eq!((replies(&mut stack).len(), stack.tcp().connections().count()), (0, 0), "{ip:?}");
            assert_eq!(stack.counters().dropped(DropReason::IpMartian), 1);
        }
    }
    for v6 in [false, true] {
        let ip = header(v6, protocol::TCP);
        let ports = [TcpHeader { src_port: 0, ..syn() }, TcpHeader { dst_port: 0, ..syn() }];
        let mut bytes = ports.map(|header| tcp(&ip, &header, b"")).to_vec();
        bytes.push(tcp(&ip, &syn(), b""));
        bytes[2][17] ^= 1;
        for segment in bytes {
            let mut stack = serving();
            take(&mut stack, &packet(&ip, &segment));
            assert_eq!((replies(&mut stack).len(), stack.tcp().connections().count()), (0, 0));
        }
    }
}

/// Hostile case P10: a flood of packets that would draw parameter problems (unknown header, routing header of type 0, unknown option)
/// draws a few per sender; that of another sender is answered all the same.
#[test]
fn parameter_problems_are_rate_limited() {
    let dst = header(true, protocol::ROUTING);
    let routed = packet(&dst, &[17, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
    let unknown = packet(&header(true, 200), &[1; 20]);
    let option =
        packet(&header(true, protocol::DESTINATION_OPTIONS), &[17, 0, 0x9e, 4, 0, 0, 0, 0, 1, 1, 1, 1]);
    let mut stack = serving();
    for _ in 0..1_000 {
        [&routed, &unknown, &option].into_iter().for_each(|bytes| take(&mut stack, bytes));
    }
    let sent = replies(&mut stack).len();
    assert!((6..=10).contains(&sent), "{sent} errors");
    assert_eq!(stack.counters().dropped(DropReason::IcmpRateLimited), 3_000 - sent as u64);
    let mut others = 0;
    for i in 0..10u8 {
        let src = addr(&format!("fd78:{i}::1"));
        take(&mut stack, &packet(&IpHeader { src, ..header(true, 200) }, &[1; 20]));
        others += replies(&mut stack).len();
    }
    assert!(others >= 8, "{others} of 10 others were answered");
}

/// Hostile case P12 (SAD-DNS): a thousand datagrams with the victim's address to closed ports leave the attacker's own budget
/// alone, so that its probe tells nothing about which of those ports were open.
#[test]
fn a_probe_does_not_tell_what_spoofed_datagrams_drew() {
    let probe = |open: bool| {
        let mut stack = serving();
        let victim = header(false, protocol::UDP);
        for _ in 0..1_000 {
            take(&mut stack, &packet(&victim, &udp(&victim, 9, if open { 7 } else { 8 }, b"spoofed")));
        }
        replies(&mut stack);
        let attacker = IpHeader { src: addr("10.77.0.66"), ..victim };
        take(&mut stack, &packet(&attacker, &udp(&attacker, 9, 8, b"probe")));
        replies(&mut stack).len()
    };
    assert_eq!((probe(true), probe(false)), (1, 1));
}

/// Hostile case P13 (idle scan), RFC 6864 §4.1: a hundred answers of every kind carry identification 0 and DF.
#[test]
fn answers_carry_no_identification() {
    let mut stack = serving();
    let mut seen = 0;
    for i in 0..100 {
        let ip = IpHeader { src: addr(&format!("10.77.0.{}", 100 + i)), ..header(false, protocol::TCP) };
        let (echo, number) = (Message::EchoRequest { id: 1, seq: i }, protocol::ICMP);
        let icmp_header = IpHeader { protocol: number, ..ip };
        take(&mut stack, &packet(&icmp_header, &icmp(&icmp_header, &echo, b"data")));
        take(&mut stack, &packet(&ip, &tcp(&ip, &syn(), b"")));
        take(&mut stack, &packet(&ip, &tcp(&ip, &TcpHeader { dst_port: 81, ..syn() }, b"")));
        let udp_header = IpHeader { protocol: protocol::UDP, ..ip };
        take(&mut stack, &packet(&udp_header, &udp(&udp_header, 9, 8, b"closed")));
        for reply in replies(&mut stack) {
            assert_eq!(reply[4..8], [0, 0, 0x40, 0]);
            seen += 1;
        }
    }
    assert!(seen >= 390, "{seen} answers");
}

/// A connection of the stack with data under way: its segment, for errors to quote.
fn sending(v6: bool) -> (Stack, crate::tcp::TcpId, Vec<u8>) {
    let mut stack = serving();
    let ip = header(v6, protocol::TCP);
    take(&mut stack, &packet(&ip, &tcp(&ip, &syn(), b"")));
    let ip_len = if v6 { 40 } else { 20 };
    let (answer, _) = TcpHeader::parse(&replies(&mut stack)[0][ip_len..]).unwrap();
    let options = Options {
        timestamps: answer.options.timestamps.map(|ts| Timestamps { val: 2, ecr: ts.val }),
        ..Options::default()
    };
    let (seq, ack, flags) = (SeqNum(100), answer.seq + 1, Flags::ACK);
    let header = TcpHeader { seq, ack, flags, options, ..syn() };
    take(&mut stack, &packet(&ip, &tcp(&ip, &header, b"")));
    let listener = std::iter::from_fn(|| stack.poll_event()).find_map(|event| match event {
        Event::Acceptable(id) => Some(id),
        _ => None,
    });
    let (id, _) = stack.tcp().accept(listener.unwrap()).unwrap();
    stack.tcp().send(id, &[IoSlice::new(&[7; 1_000])], Instant::ZERO).unwrap();
    let sent = replies(&mut stack).remove(0);
    (stack, id, sent)
}

/// MUST-55 (RFC 6633), hostile case P11: source quench and redirects about a live connection are dropped in silence; it neither slows
/// down nor ends.
#[test]
fn source_quench_changes_nothing() {
    for (v6, kind) in [(false, 4), (false, 5), (true, 137)] {
        let (mut stack, id, sent) = sending(v6);
        let before = stack.tcp().info(id).unwrap();
        let ip = header(v6, if v6 { protocol::ICMPV6 } else { protocol::ICMP });
        let mut message = [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &sent[..60]].concat();
        fill_icmp_checksum(&ip, &mut message);
        take(&mut stack, &packet(&ip, &message));
        assert_eq!((replies(&mut stack).len(), stack.tcp().info(id).unwrap()), (0, before));
        assert_eq!(stack.counters().dropped(DropReason::IcmpIgnored), 1);
    }
}

/// Hostile case T9, MUST-54, MUST-56, in both versions and from the wire up: an error about a live connection reaches it and does
/// not end it; one that is too big for the path cuts it to the path's size.
#[test]
fn errors_reach_their_connection_and_do_not_end_it() {
    for v6 in [false, true] {
        let (mut stack, id, sent) = sending(v6);
        let ip = header(v6, if v6 { protocol::ICMPV6 } else { protocol::ICMP });
        for kind in [ErrorKind::NetUnreachable, ErrorKind::PortUnreachable, ErrorKind::HopLimitExceeded] {
            take(&mut stack, &packet(&ip, &icmp(&ip, &Message::Error(kind), &sent)));
        }
        assert_eq!(stack.tcp().info(id).unwrap().state, State::Established);
        assert_eq!(stack.tcp().soft_error(id), Some(SocketError::HostUnreachable));
        assert_eq!(stack.counters().dropped(DropReason::IcmpIgnored), 0);
        // The segment was smaller than what this says: a lie.
        stack.receive(too_big(&sent, 1_300), Instant::ZERO);
        assert_eq!(stack.counters().dropped(DropReason::IcmpIgnored), 1);
        stack.tcp().send(id, &[IoSlice::new(&[7; 3_000])], Instant::ZERO).unwrap();
        let full = replies(&mut stack).remove(0);
        assert_eq!(full.len(), 1_500);
        stack.receive(too_big(&full, 1_300), Instant::ZERO);
        assert!(replies(&mut stack).iter().all(|packet| packet.len() <= 1_300));
    }
}

/// MUST-44, MUST-45, SHLD-6: the SYN's source is what the network layer says suits the destination, and every later segment has the
/// same, though the stack has another address of the same version.
#[test]
fn every_segment_of_a_connection_has_the_same_source() {
    let mut stack = serving();
    for (peer, own) in
        [("10.77.0.1:80", "10.77.0.2"), ("10.78.0.1:80", "10.78.0.2"), ("[fd77::1]:80", "fd77::2")]
    {
        let peer: SocketAddr = at(peer);
        let id = stack.tcp_connect(None, peer, Instant::ZERO).unwrap();
        let syn = replies(&mut stack).remove(0);
        let parsed = IpPacket::parse(&syn).unwrap();
        let (theirs, _) = TcpHeader::parse(&syn[parsed.payload]).unwrap();
        let ip = IpHeader { src: peer.ip(), dst: addr(own), ..header(peer.is_ipv6(), protocol::TCP) };
        let answer = TcpHeader {
            src_port: PORT,
            dst_port: theirs.src_port,
            ack: theirs.seq + 1,
            flags: Flags::SYN.with(Flags::ACK),
            ..self::syn()
        };
        take(&mut stack, &packet(&ip, &tcp(&ip, &answer, b"")));
        stack.tcp().send(id, &[IoSlice::new(b"data")], Instant::ZERO).unwrap();
        let mut sent = replies(&mut stack);
        sent.push(syn);
        stack.tcp_abort(id, Instant::ZERO);
        sent.extend(replies(&mut stack));
        assert!(sent.len() >= 3);
        assert!(sent.iter().all(|packet| IpPacket::parse(packet).unwrap().header.src == addr(own)));
    }
}

/// Hostile case P9: while a million first fragments pass, nothing of the stack grows, and a datagram in fragments from another
/// sender comes through as long as no flood of 64 falls between its parts.
#[test]
fn honest_fragments_pass_between_a_flood() {
    let mut stack = serving();
    let honest = header(false, protocol::UDP);
    let parts = fragments(&honest, 7, &udp(&honest, 9, 7, &[1; 2_000]), 1_400);
    for round in 0..1_000u32 {
        if round % 100 == 0 {
            parts.iter().for_each(|part| take(&mut stack, part));
        }
        for i in 0..60 {
            let id = round * 60 + i;
            let flood = IpHeader { src: addr(&format!("10.77.1.{}", 1 + id % 250)), ..honest };
            let part = Fragment { id, offset: 0, more: true };
            take(&mut stack, &[&flood.encode(8, Some(part))[..], &[0; 8]].concat());
        }
    }
    assert_eq!((stack.counters().reassembled, stack.counters().udp_in), (10, 10));
    assert!(stack.counters().dropped(DropReason::FragmentLimit) > 59_000);
    stack.handle_timeout(Instant::ZERO + Duration::from_secs(61));
    drain(&mut stack, Instant::ZERO + Duration::from_secs(61));
    assert_eq!(stack.poll_timeout(), None);
}

/// RFC 9293 §3.1 (MUST-2, MUST-3): a segment is dropped in silence when one bit of it or of its addresses was turned, and the answer
/// to the whole one carries the right sum.
#[test]
fn a_segment_with_a_wrong_checksum_is_dropped_and_sums_are_sent() {
    for v6 in [false, true] {
        let ip = header(v6, protocol::TCP);
        let whole = packet(&ip, &tcp(&ip, &syn(), b""));
        let start = if v6 { 40 } else { 20 };
        let mut stack = serving();
        for at in (start..whole.len()).filter(|at| !(start + 2..start + 4).contains(at)) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            take(&mut stack, &damaged);
        }
        assert!(replies(&mut stack).is_empty());
        assert_eq!(stack.tcp().connections().count(), 0);
        take(&mut stack, &whole);
        let sent = replies(&mut stack);
        let [answer] = sent.as_slice() else { panic!("{} answers", sent.len()) };
        let parsed = crate::wire::ip::IpPacket::parse(answer).unwrap();
        let segment = &answer[parsed.payload.clone()];
        let (src, dst) = (parsed.header.src, parsed.header.dst);
        let sum = crate::wire::checksum::Sum::pseudo_header(src, dst, protocol::TCP, segment.len());
        assert!(sum.add(segment).is_valid());
    }
}
