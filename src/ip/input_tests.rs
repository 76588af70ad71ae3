//! The input steps of IP against hostile cases P1, P2, P6, P10 and P14: what passes, what is dropped and under which reason, and
//! what may be answered.

use proptest::prelude::{any, prop, prop_assert, proptest};

use super::*;
use crate::base::rng::Rng;
use crate::device::Capabilities;
use crate::ip::testing::*;
use crate::wire::checksum::Sum;

/// What became of a packet.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Passed(Vec<u8>),
    Dropped(DropReason),
    Answered(DropReason, ErrorKind),
}

fn fate_of(packet: Packet) -> Fate {
    let (mut ip, mut counters) = (layer(Capabilities::plain(1_500)), Counters::default());
    let input = ip.receive(packet, &mut counters, Instant::ZERO);
    let reason = counters.drops().next().map(|(reason, _)| reason);
    match (input, reason) {
        (Input::Datagram(datagram), None) => Fate::Passed(datagram.payload().to_vec()),
        (Input::Refused(_, kind), Some(reason)) => Fate::Answered(reason, kind),
        (Input::Nothing, Some(reason)) => Fate::Dropped(reason),
        other => panic!("a packet passes or is counted: {other:?}"),
    }
}

fn fate(bytes: &[u8]) -> Fate {
    fate_of(Packet::from_slice(bytes))
}

fn problem_at(code: u8, pointer: u32) -> Fate {
    Fate::Answered(DropReason::IpExtension, ErrorKind::ParameterProblem { code, pointer })
}

/// An IPv4 packet with options and eight bytes of UDP.
fn with_options(options: &[u8]) -> Vec<u8> {
    let mut bytes = packet(&header(false, protocol::UDP), &[1; 8]);
    let padded = options.len().next_multiple_of(4);
    bytes.splice(20..20, options.iter().copied().chain(std::iter::repeat_n(0, padded - options.len())));
    bytes[0] = 0x40 | (5 + padded / 4) as u8;
    bytes[3] += padded as u8;
    bytes[10..12].fill(0);
    let checksum = Sum::new().add(&bytes[..20 + padded]).checksum();
    bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// An IPv6 packet whose chain of extension headers is given as (number, body from the third byte on); UDP follows.
fn with_extensions(chain: &[(u8, &[u8])]) -> Vec<u8> {
    let numbers: Vec<u8> = chain.iter().map(|&(number, _)| number).chain([protocol::UDP]).collect();
    let mut payload = Vec::new();
    for (i, (_, body)) in chain.iter().enumerate() {
        assert_eq!((body.len() + 2) % 8, 0);
        payload.extend([numbers[i + 1], ((body.len() + 2) / 8 - 1) as u8]);
        payload.extend_from_slice(body);
    }
    payload.extend_from_slice(&[1; 8]);
    packet(&header(true, numbers[0]), &payload)
}

const PAD: (u8, &[u8]) = (protocol::DESTINATION_OPTIONS, &[1, 4, 0, 0, 0, 0]);

proptest! {
    /// Hostile case P1: any bytes, no panic; a packet passes or is counted under one reason.
    #[test]
    fn any_bytes_do_no_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..120), v6: bool, honest: bool) {
        if let Some(first) = bytes.first_mut() {
            *first = if v6 { 0x60 } else { 0x45 };
        }
        if honest {
            // Addresses and checksum right, so that the later steps are reached.
            let honest = header(v6, bytes.get(6).copied().unwrap_or(17));
            bytes = packet(&honest, &bytes);
        }
        let (mut ip, mut counters) = (layer(Capabilities::plain(1_500)), Counters::default());
        let input = ip.receive(Packet::from_slice(&bytes), &mut counters, Instant::ZERO);
        let held = ip.poll_timeout().is_some();
        prop_assert!(counters.drops().count() == usize::from(!matches!(input, Input::Datagram(_)) && !held));
    }

    /// Hostile case P10: whatever the chain of extension headers, the walk ends.
    #[test]
    fn any_extension_chain_ends(bytes in prop::collection::vec(prop::sample::select(vec![0u8, 1, 4, 43, 44, 59, 60, 17, 255]), 0..300)) {
        let (mut ip, mut counters) = (layer(Capabilities::plain(1_500)), Counters::default());
        for first in [protocol::HOP_BY_HOP, protocol::ROUTING, protocol::FRAGMENT, protocol::DESTINATION_OPTIONS] {
            ip.receive(Packet::from_slice(&packet(&header(true, first), &bytes)), &mut counters, Instant::ZERO);
        }
    }
}

/// Hostile case P1: cut at every byte, one reason each; padding is cut off.
#[test]
fn a_cut_packet_is_dropped_and_padding_is_ignored() {
    for v6 in [false, true] {
        let header = header(v6, protocol::UDP);
        let whole = packet(&header, &udp(&header, 1, 2, b"data"));
        for len in 0..whole.len() {
            assert!(matches!(fate(&whole[..len]), Fate::Dropped(_)), "cut to {len}");
        }
        let padded = [&whole[..], &[0xee; 26]].concat();
        assert_eq!(fate(&padded), Fate::Passed(udp(&header, 1, 2, b"data")));
    }
}

/// Hostile case P14: version nibbles, and a packet-information prefix that should not be there.
#[test]
fn what_is_not_ip_is_dropped() {
    for version in [0u8, 5, 15] {
        let mut bytes = packet(&header(false, protocol::UDP), &[1; 8]);
        bytes[0] = version << 4 | 5;
        assert_eq!(fate(&bytes), Fate::Dropped(DropReason::IpMalformed));
        let prefixed = [&[0, 0, 8, 0][..], &bytes].concat();
        assert_eq!(fate(&prefixed), Fate::Dropped(DropReason::IpMalformed));
    }
}

/// Hostile case P6; RFC 1122 §3.2.1.3, RFC 9293 MUST-63: dropped, and never answered, though nobody knows the protocol.
#[test]
fn martians_are_dropped_in_silence() {
    let v4 =
        ["0.0.0.0", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "10.77.0.255", "10.77.0.2"];
    let v6 = ["::", "::1", "ff02::1", "::ffff:10.0.0.1", "fd77::2"];
    for (v6, src) in v4.iter().map(|src| (false, src)).chain(v6.iter().map(|src| (true, src))) {
        for protocol in [protocol::UDP, 200] {
            let header = IpHeader { src: addr(src), ..header(v6, protocol) };
            assert_eq!(fate(&packet(&header, &[1; 20])), Fate::Dropped(DropReason::IpMartian), "{src}");
        }
    }
}

/// Hostile case P5 (LAND): what comes from one of the stack's own addresses is a loop or a lie, whatever the ports.
#[test]
fn a_packet_from_an_own_address_is_dropped() {
    for (v6, src) in [(false, "10.77.0.2"), (false, "10.78.0.2"), (true, "fd77::2")] {
        let header = IpHeader { src: addr(src), ..header(v6, protocol::TCP) };
        assert_eq!(fate(&packet(&header, &[1; 20])), Fate::Dropped(DropReason::IpMartian), "{src}");
    }
}

/// Hostile case P6, RFC 9293 MUST-57; UDP may be sent to groups.
#[test]
fn a_group_is_for_datagrams_only() {
    for (v6, dst) in
        [(false, "10.77.0.255"), (false, "255.255.255.255"), (false, "224.0.0.1"), (true, "ff02::1")]
    {
        let to = |protocol| packet(&IpHeader { dst: addr(dst), ..header(v6, protocol) }, &[1; 20]);
        assert_eq!(fate(&to(protocol::UDP)), Fate::Passed(vec![1; 20]));
        assert_eq!(fate(&to(protocol::TCP)), Fate::Dropped(DropReason::IpMartian), "{dst}");
    }
    for (v6, dst) in [(false, "10.77.0.9"), (false, "224.0.0.251"), (true, "fd77::9"), (true, "ff02::2")] {
        let header = IpHeader { dst: addr(dst), ..header(v6, 200) };
        assert_eq!(fate(&packet(&header, &[1; 20])), Fate::Dropped(DropReason::IpNotForUs), "{dst}");
    }
}

/// Hostile case P6: TTL 0 cannot arrive.
#[test]
fn a_hop_limit_of_zero_is_dropped_and_one_is_not() {
    for v6 in [false, true] {
        let with = |hop_limit| packet(&IpHeader { hop_limit, ..header(v6, protocol::UDP) }, &[1; 8]);
        assert_eq!(fate(&with(0)), Fate::Dropped(DropReason::IpTtl));
        assert_eq!(fate(&with(1)), Fate::Passed(vec![1; 8]), "RFC 1122 §3.2.1.7: for a host that is enough");
    }
}

/// RFC 1122 §3.2.2.1, RFC 8200 §4: each version's way to say so, with the place of the number.
#[test]
fn an_unknown_protocol_may_be_answered() {
    let reason = DropReason::IpProtocol;
    assert_eq!(
        fate(&packet(&header(false, 200), &[1; 8])),
        Fate::Answered(reason, ErrorKind::ProtocolUnreachable)
    );
    let told = |pointer| Fate::Answered(reason, ErrorKind::ParameterProblem { code: 1, pointer });
    assert_eq!(fate(&packet(&header(true, 200), &[1; 8])), told(6));
    let mut behind = with_extensions(&[PAD]);
    behind[40] = 200;
    assert_eq!(fate(&behind), told(40), "the number stands in the extension header before");
    assert_eq!(fate(&packet(&header(true, protocol::ICMP), &[1; 8])), told(6), "ICMP is IPv4's");
    assert_eq!(fate(&packet(&header(true, protocol::NO_NEXT_HEADER), &[1; 8])), Fate::Dropped(reason));
}

/// Hostile case P2: lengths that do not add up, source routes, a list that fills all forty bytes.
#[test]
fn ipv4_options_are_walked_and_never_obeyed() {
    let full: Vec<u8> = [&[68, 36, 5, 0][..], &[0; 32], &[1, 1, 1, 0]].concat();
    for harmless in
        [&[1, 1, 1, 1][..], &[7, 7, 4, 0, 0, 0, 0], &[148, 4, 0, 0], &[7, 3, 200], &[0, 9, 9, 9], &full]
    {
        assert_eq!(fate(&with_options(harmless)), Fate::Passed(vec![1; 8]), "{harmless:?}");
    }
    for refused in [
        &[7, 0, 4, 0][..],
        &[7, 1, 4, 0],
        &[7, 5, 4, 0],
        &[1, 1, 1, 7],
        &[131, 7, 4, 10, 0, 0, 1],
        &[137, 7, 4, 10, 0, 0, 1],
        &[131, 3, 4, 131, 3, 4, 0],
    ] {
        assert_eq!(fate(&with_options(refused)), Fate::Dropped(DropReason::IpOptions), "{refused:?}");
    }
}

/// Hostile case P10; RFC 8200 §4: known headers are skipped, up to eight of them.
#[test]
fn ipv6_extension_headers_are_skipped_up_to_a_bound() {
    let hop_by_hop = (protocol::HOP_BY_HOP, &[5, 2, 0, 0, 1, 0][..]);
    let routed = (protocol::ROUTING, &[2, 0, 0, 0, 0, 0][..]);
    let passed = Fate::Passed(vec![1; 8]);
    assert_eq!(fate(&with_extensions(&[hop_by_hop, PAD, routed, PAD])), passed);
    assert_eq!(fate(&with_extensions(&[PAD; 8])), passed);
    assert_eq!(fate(&with_extensions(&[PAD; 9])), Fate::Dropped(DropReason::IpExtension));
    assert_eq!(fate(&with_extensions(&[PAD; 100])), Fate::Dropped(DropReason::IpExtension));
}

/// Hostile case P10: hop-by-hop options not first (RFC 8200 §4.1), a hundred of them, routing headers (RFC 5095, RFC 8200 §4.4).
#[test]
fn refused_extension_headers_are_pointed_at() {
    let hop_by_hop = (protocol::HOP_BY_HOP, PAD.1);
    assert_eq!(fate(&with_extensions(&[PAD, hop_by_hop])), problem_at(1, 40));
    assert_eq!(fate(&with_extensions(&[hop_by_hop; 100])), problem_at(1, 40));
    let type_0 = (protocol::ROUTING, &[0, 0, 0, 0, 0, 0][..]);
    assert_eq!(fate(&with_extensions(&[type_0])), problem_at(0, 42), "RFC 5095");
    let to_forward = (protocol::ROUTING, &[4, 1, 0, 0, 0, 0][..]);
    assert_eq!(fate(&with_extensions(&[PAD, to_forward])), problem_at(0, 50));
}

/// RFC 8200 §4.2; hostile case P10: an unknown option says itself what to do about it; its length may lie.
#[test]
fn unknown_extension_options_are_skipped_dropped_or_answered() {
    let with = |options: &[u8]| fate(&with_extensions(&[(protocol::DESTINATION_OPTIONS, options)]));
    assert_eq!(with(&[0x1e, 4, 9, 9, 9, 9]), Fate::Passed(vec![1; 8]));
    assert_eq!(with(&[0, 0, 0, 0, 0x1e, 0]), Fate::Passed(vec![1; 8]));
    assert_eq!(with(&[0x5e, 4, 9, 9, 9, 9]), Fate::Dropped(DropReason::IpExtension));
    assert_eq!(with(&[0, 0x9e, 3, 9, 9, 9]), problem_at(2, 43));
    assert_eq!(with(&[0xc2, 4, 0, 1, 0, 0]), problem_at(2, 42), "a jumbogram is none of ours");
    assert_eq!(with(&[0x1e, 5, 9, 9, 9, 9]), Fate::Dropped(DropReason::IpExtension), "beyond the header");
    assert_eq!(with(&[0, 0, 0, 0, 0, 0x1e]), Fate::Dropped(DropReason::IpExtension), "no length");
    let mut short = with_extensions(&[PAD]);
    short[41] = 9;
    assert_eq!(fate(&short), Fate::Dropped(DropReason::IpExtension), "beyond the packet");
    let jumbo = packet(&header(true, protocol::HOP_BY_HOP), &[]);
    assert_eq!(fate(&jumbo), Fate::Dropped(DropReason::IpExtension), "payload length zero");
}

/// RFC 6946; hostile case P10: atomic fragments are whole datagrams, whatever is held under their identification; a second
/// fragment header is refused.
#[test]
fn an_atomic_fragment_is_a_whole_datagram() {
    let (mut ip, mut counters) = (layer(Capabilities::plain(1_500)), Counters::default());
    let header = header(true, protocol::UDP);
    let datagram = udp(&header, 1, 2, &[5; 100]);
    let parts = fragments(&header, 77, &datagram, 56);
    assert!(receive(&mut ip, &parts[0], &mut counters).is_none());
    let atomic = &fragments(&header, 77, &datagram, 2_000)[0];
    assert_eq!(receive(&mut ip, atomic, &mut counters).unwrap().payload(), datagram);
    assert!(receive(&mut ip, &parts[1], &mut counters).is_some(), "the other one was left alone");
    let nested = [
        &IpHeader { protocol: protocol::FRAGMENT, ..header }.encode(16, Some(Fragment::default()))[..],
        &[17, 0, 0, 0, 0, 0, 0, 0],
        &[1; 8],
    ];
    assert_eq!(fate(&nested.concat()), Fate::Dropped(DropReason::IpExtension));
}

/// RFC 7112 §5, RFC 8200 §4.5; hostile case P10.
#[test]
fn the_first_fragment_holds_all_headers() {
    let cut =
        &fragments(&header(true, protocol::DESTINATION_OPTIONS), 1, &[60, 1, 1, 0, 0, 0, 0, 0, 1, 1], 8)[0];
    assert!(matches!(fate(cut), Fate::Dropped(DropReason::IpExtension)));
    let chain = [&[17, 0, 1, 4, 0, 0, 0, 0][..], &[1; 8]].concat();
    let bare = &fragments(&header(true, protocol::DESTINATION_OPTIONS), 1, &chain, 8)[0];
    assert_eq!(fate(bare), problem_at(3, 0), "the upper layer's header is missing");
    let odd = &mut fragments(&header(true, protocol::UDP), 1, &[1; 40], 16)[0];
    odd.truncate(odd.len() - 3);
    odd[5] -= 3;
    let kind = ErrorKind::ParameterProblem { code: 0, pointer: 4 };
    assert_eq!(fate(odd), Fate::Answered(DropReason::FragmentInvalid, kind), "not a multiple of eight");
}

/// RFC 1122 §3.2.2; hostile case P11: about a fragment that is not the first nothing is said.
#[test]
fn later_fragments_are_never_answered() {
    let late = &fragments(&header(true, protocol::UDP), 1, &[1; 4_000], 1_400)[1];
    let mut odd = late.clone();
    odd.truncate(odd.len() - 3);
    let len = (odd.len() - 40) as u16;
    odd[4..6].copy_from_slice(&len.to_be_bytes());
    assert_eq!(fate(&odd), Fate::Dropped(DropReason::FragmentInvalid));
    let unknown = &fragments(&header(false, 200), 1, &[1; 100], 48)[1];
    assert_eq!(fate(unknown), Fate::Dropped(DropReason::IpProtocol));
}

/// Destination options behind the fragment header are walked once the datagram is whole.
#[test]
fn extension_headers_behind_a_fragment_header_are_skipped() {
    let (mut ip, mut counters) = (layer(Capabilities::plain(1_500)), Counters::default());
    let udp_header = header(true, protocol::UDP);
    let datagram = udp(&udp_header, 1, 2, &[5; 100]);
    let chain = [&[17, 0, 1, 4, 0, 0, 0, 0][..], &datagram].concat();
    let parts = fragments(&header(true, protocol::DESTINATION_OPTIONS), 1, &chain, 64);
    assert!(receive(&mut ip, &parts[1], &mut counters).is_none());
    let whole = receive(&mut ip, &parts[0], &mut counters).unwrap();
    assert_eq!((whole.header, whole.payload()), (udp_header, &datagram[..]));
}

/// Hostile case P14: the virtio-net header contradicts the packet.
#[test]
fn an_offload_that_contradicts_the_packet_is_dropped() {
    for (v6, at) in [(false, 20u16), (true, 40)] {
        let with = |protocol, len, offload| {
            let mut packet = Packet::from_slice(&packet(&header(v6, protocol), &vec![1; len]));
            packet.offload = offload;
            fate_of(packet)
        };
        let tcp = |mss, start| with(protocol::TCP, 3_000, Offload::Tcp { mss, start });
        let sum = |protocol, start, offset| with(protocol, 30, Offload::Checksum { start, offset });
        assert!(matches!(tcp(1_000, at), Fate::Passed(_)));
        assert!(matches!(sum(protocol::TCP, at, 16), Fate::Passed(_)));
        assert!(matches!(sum(protocol::UDP, at, 6), Fate::Passed(_)));
        let datagrams = with(protocol::UDP, 3_000, Offload::Udp { size: 1_000, start: at });
        assert!(matches!(datagrams, Fate::Passed(_)));
        let refused = [
            tcp(0, at),
            tcp(1_000, at + 1),
            tcp(1_000, 65_535),
            sum(protocol::TCP, at, 6),
            sum(protocol::UDP, at, 16),
            sum(protocol::TCP, 0, 16),
            sum(protocol::UDP, 65_535, 65_535),
            with(protocol::UDP, 30, Offload::Tcp { mss: 10, start: at }),
            with(protocol::TCP, 30, Offload::Udp { size: 10, start: at }),
            with(protocol::UDP, 30, Offload::Udp { size: 0, start: at }),
            with(protocol::UDP, 30, Offload::Udp { size: 10, start: at + 1 }),
            with(protocol::UDP, 7, Offload::Udp { size: 10, start: at }),
            with(protocol::TCP, 19, Offload::Tcp { mss: 10, start: at }),
            with(protocol::UDP, 7, Offload::Checksum { start: at, offset: 6 }),
        ];
        for (i, fate) in refused.into_iter().enumerate() {
            assert_eq!(fate, Fate::Dropped(DropReason::OffloadInvalid), "case {i}, IPv6: {v6}");
        }
        let mut fragment = Packet::from_slice(&fragments(&header(v6, protocol::TCP), 1, &[1; 100], 56)[0]);
        fragment.offload = Offload::Checksum { start: at, offset: 16 };
        assert_eq!(fate_of(fragment), Fate::Dropped(DropReason::OffloadInvalid));
    }
}

/// A super-segment is one IP packet, whatever the MTU.
#[test]
fn a_super_segment_may_exceed_the_mtu() {
    for (v6, at) in [(false, 20usize), (true, 40)] {
        let payload = vec![1; 65_535 - at];
        let mut packet = Packet::from_slice(&packet(&header(v6, protocol::TCP), &payload));
        packet.offload = Offload::Tcp { mss: 1_460, start: at as u16 };
        assert_eq!(fate_of(packet), Fate::Passed(payload));
    }
}

/// The seed is all there is: two layers of the same seed treat the same packets alike.
#[test]
fn the_layer_is_determined_by_its_seed() {
    let sent = |seed| {
        let addrs = [(addr("10.77.0.2"), 24)];
        let mut ip = Ip::new(&addrs, Capabilities::plain(1_500), &mut Rng::from_u64(seed)).unwrap();
        let payload = crate::base::buffer::Slice::from(Buffer::copy_of(&[1; 4_000]));
        let header = IpHeader { src: addrs[0].0, dst: addr("10.77.0.1"), ..header(false, protocol::UDP) };
        ip.output().send(&header, &[0; 8], payload, Offload::None, &mut Counters::default()).unwrap();
        std::iter::from_fn(|| ip.poll_transmit()).map(|frame| frame.to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(sent(1), sent(1));
    assert_ne!(sent(1), sent(2));
}
