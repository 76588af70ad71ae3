//! The stack as its owner sees it: packets in, packets and events out, each protocol by one exchange.

use std::io::IoSlice;
use std::net::SocketAddr;

use proptest::prelude::{Strategy, any, prop, proptest};

use super::*;
use crate::base::counters::DropReason;
use crate::base::socket::SocketError;
use crate::base::time::Duration;
use crate::icmp::ping::PingEvent;
use crate::ip::testing::*;
use crate::wire::icmp::Message;
use crate::wire::ip::{Fragment, IpHeader, IpPacket};

pub(super) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn stack(addrs: &[&str], seed: u8) -> Stack {
    let addrs = addrs.iter().map(|text| (addr(text), if text.contains(':') { 64 } else { 24 })).collect();
    let config = StackConfig { addrs, tcp: TcpConfig::default() };
    Stack::new(config, Capabilities::plain(1_500), [seed; 32]).unwrap()
}

/// Two stacks with a wire between them.
struct Pair {
    a: Stack,
    b: Stack,
    now: Instant,
}

impl Pair {
    fn new() -> Self {
        let (a, b) = (stack(&["10.77.0.1", "fd77::1"], 1), stack(&["10.77.0.2", "fd77::2"], 2));
        Pair { a, b, now: Instant::ZERO }
    }

    /// Carries packets until both are silent.
    fn settle(&mut self) {
        loop {
            let (from_a, from_b) = (drain(&mut self.a, self.now), drain(&mut self.b, self.now));
            if from_a.is_empty() && from_b.is_empty() {
                return;
            }
            from_a.into_iter().for_each(|packet| self.b.receive(packet, self.now));
            from_b.into_iter().for_each(|packet| self.a.receive(packet, self.now));
            self.now += Duration::from_millis(1);
        }
    }
}

pub(super) fn drain(stack: &mut Stack, now: Instant) -> Vec<Packet> {
    std::iter::from_fn(|| stack.poll_transmit(now)).map(|frame| frame.to_packet()).collect()
}

#[test]
fn one_stack_pings_another() {
    for (v6, len) in [(false, 56), (true, 56), (false, 60_000), (true, 60_000)] {
        let mut pair = Pair::new();
        let id = pair.a.ping_open(ends(v6).1).unwrap();
        pair.a.ping_send(id, 3, &vec![9; len]).unwrap();
        pair.settle();
        assert_eq!(pair.a.poll_event(), Some(Event::Ping(id)));
        match pair.a.pings().recv(id) {
            Ok(PingEvent::Reply { seq: 3, data, .. }) => assert_eq!(&*data, &vec![9; len]),
            other => panic!("{other:?}"),
        }
        assert_eq!(pair.a.counters().drops().count() + pair.b.counters().drops().count(), 0);
        assert_eq!(pair.b.counters().ip_in, pair.a.counters().ip_out);
    }
}

#[test]
fn a_udp_datagram_is_echoed() {
    for (v6, len) in [(false, 5), (true, 9_000)] {
        let mut pair = Pair::new();
        let server = pair.b.udp_bind(at("[::]:7")).unwrap();
        let client = pair.a.udp_bind(at("[::]:0")).unwrap();
        pair.a.udp_connect(client, SocketAddr::new(ends(v6).1, 7)).unwrap();
        pair.a.udp_send(client, &vec![5; len]).unwrap();
        pair.settle();
        assert!(matches!(pair.b.poll_event(), Some(Event::Udp(id, _)) if id == server));
        let mut buffer = vec![0; 10_000];
        let request = pair.b.udp().recv_from(server, &mut buffer).unwrap();
        pair.b.udp_send_from(server, &buffer[..request.len], request.to, request.from).unwrap();
        pair.settle();
        let reply = pair.a.udp().recv_from(client, &mut buffer).unwrap();
        assert_eq!((reply.len, reply.from), (len, SocketAddr::new(ends(v6).1, 7)));
    }
}

/// A sender that finds the device behind hears when it has caught up.
#[test]
fn a_blocked_udp_sender_becomes_writable_as_frames_leave() {
    let mut stack = stack(&["10.77.0.2"], 1);
    let id = stack.udp_bind(at("10.77.0.2:7")).unwrap();
    while stack.udp_send_to(id, &[0; 60_000], at("10.77.0.1:7")).is_ok() {}
    assert_eq!(stack.poll_event(), None);
    drain(&mut stack, Instant::ZERO);
    assert_eq!(stack.poll_event(), Some(Event::Udp(id, Readiness::OUT)));
}

/// RFC 1122 §4.1.3.1 and §4.1.3.3 together: a closed port answers, and the sender's socket hears of it.
#[test]
fn a_closed_udp_port_refuses_the_connected_sender() {
    for v6 in [false, true] {
        let mut pair = Pair::new();
        let client = pair.a.udp_bind(at("[::]:0")).unwrap();
        pair.a.udp_connect(client, SocketAddr::new(ends(v6).1, 9)).unwrap();
        pair.a.udp_send(client, &[5; 3_000]).unwrap();
        pair.settle();
        assert_eq!(pair.a.udp().take_error(client), Some(SocketError::ConnectionRefused));
        assert_eq!(pair.b.counters().dropped(DropReason::UdpNoSocket), 1);
    }
}

/// A message from a router that `quoted` is too big.
pub(super) fn too_big(quoted: &[u8], mtu: u32) -> Packet {
    let about = IpPacket::parse_quoted(quoted).unwrap().header;
    let (router, number) = match about.src.is_ipv4() {
        true => (addr("10.77.0.9"), protocol::ICMP),
        false => (addr("fd77::9"), protocol::ICMPV6),
    };
    let header = IpHeader { src: router, dst: about.src, protocol: number, hop_limit: 64, traffic_class: 0 };
    let message = icmp(&header, &Message::Error(ErrorKind::PacketTooBig { mtu }), &quoted[..60]);
    Packet::from_slice(&packet(&header, &message))
}

/// RFC 1191 §6.5, RFC 8201 §5.2; hostile case T9: what is told about a socket's datagram cuts later ones, what is told about a
/// stranger's does not.
#[test]
fn a_too_big_datagram_is_fragmented_the_next_time() {
    for v6 in [false, true] {
        let mut stack = stack(&["10.77.0.2", "fd77::2"], 1);
        let (id, to) = (stack.udp_bind(at("[::]:7")).unwrap(), SocketAddr::new(ends(v6).0, 9));
        let send = |stack: &mut Stack| {
            stack.udp_send_to(id, &[5; 1_400], to).unwrap();
            drain(stack, Instant::ZERO)
        };
        let sent = send(&mut stack);
        let ip_len = if v6 { 40 } else { 20 };
        let mut forged = sent[0].bytes().to_vec();
        forged[ip_len + 1] = 8;
        stack.receive(too_big(&forged, 1_300), Instant::ZERO);
        assert_eq!((send(&mut stack).len(), stack.counters().dropped(DropReason::IcmpIgnored)), (1, 1));
        stack.receive(too_big(sent[0].bytes(), 1_300), Instant::ZERO);
        assert_eq!((send(&mut stack).len(), stack.counters().fragments_out), (2, 2));
        assert_eq!(stack.udp().take_error(id), None, "it passes by itself");
        drain(&mut stack, Instant::from_millis(600_000));
        assert_eq!(send(&mut stack).len(), 1, "ten minutes later");
    }
}

/// The same for echo requests, whose socket is told besides.
#[test]
fn a_too_big_echo_request_is_fragmented_the_next_time() {
    for v6 in [false, true] {
        let mut stack = stack(&["10.77.0.2", "fd77::2"], 1);
        let id = stack.ping_open(ends(v6).0).unwrap();
        stack.ping_send(id, 1, &[5; 1_400]).unwrap();
        let sent = drain(&mut stack, Instant::ZERO);
        stack.receive(too_big(sent[0].bytes(), 1_300), Instant::ZERO);
        let told = ErrorKind::PacketTooBig { mtu: 1_300 };
        assert!(matches!(stack.pings().recv(id), Ok(PingEvent::Error { kind, .. }) if kind == told));
        stack.ping_send(id, 2, &[5; 1_400]).unwrap();
        assert_eq!(drain(&mut stack, Instant::ZERO).len(), 2);
    }
}

/// RFC 792, RFC 4443 §3.3: a datagram that stays incomplete is told of after sixty seconds, and no timer is left.
#[test]
fn an_incomplete_datagram_is_told_of_in_time() {
    for v6 in [false, true] {
        let mut stack = stack(&["10.77.0.2", "fd77::2"], 1);
        let header = header(v6, protocol::UDP);
        let first = fragments(&header, 1, &udp(&header, 1, 2, &[1; 2_000]), 1_400).remove(0);
        stack.receive(Packet::from_slice(&first), Instant::ZERO);
        let deadline = stack.poll_timeout().unwrap();
        stack.handle_timeout(deadline - Duration::from_nanos(1));
        assert!(stack.poll_transmit(deadline).is_none());
        stack.handle_timeout(deadline);
        let error = stack.poll_transmit(deadline).unwrap().to_vec();
        let parsed = IpPacket::parse(&error).unwrap();
        let message = Message::parse(header.src, &error[parsed.payload]);
        assert_eq!(message, Some(Message::Error(ErrorKind::ReassemblyTimeout)));
        assert_eq!((stack.poll_timeout(), stack.poll_transmit(deadline).is_none()), (None, true));
    }
}

/// RFC 1122 §3.2.2.1: protocol unreachable.
#[test]
fn an_unknown_protocol_is_answered() {
    for v6 in [false, true] {
        let mut stack = stack(&["10.77.0.2", "fd77::2"], 1);
        let header = header(v6, 200);
        stack.receive(Packet::from_slice(&packet(&header, &[1; 20])), Instant::ZERO);
        assert_eq!(drain(&mut stack, Instant::ZERO).len(), 1);
        assert_eq!((stack.counters().icmp_out, stack.counters().dropped(DropReason::IpProtocol)), (1, 1));
    }
}

/// RFC 9293 MUST-44: without an address of its own an open takes the one that suits the destination.
#[test]
fn a_tcp_connection_goes_to_the_address_that_suits() {
    for v6 in [false, true] {
        let mut pair = Pair::new();
        let listener = pair.b.tcp_listen(at("[::]:80"), 8).unwrap();
        let client = pair.a.tcp_connect(None, SocketAddr::new(ends(v6).1, 80), pair.now).unwrap();
        pair.settle();
        assert!(std::iter::from_fn(|| pair.b.poll_event()).any(|event| event == Event::Acceptable(listener)));
        let (server, from) = pair.b.tcp().accept(listener).unwrap();
        assert_eq!(from.ip(), ends(v6).0);
        pair.a.tcp().send(client, &[IoSlice::new(b"hello")], pair.now).unwrap();
        pair.settle();
        let mut buffer = [0; 16];
        assert_eq!(pair.b.tcp().recv(server, &mut buffer, pair.now), Ok(5));
        pair.a.tcp_abort(client, pair.now);
        pair.settle();
        assert_eq!(pair.b.tcp().recv(server, &mut buffer, pair.now), Err(SocketError::ConnectionReset));
    }
}

/// RFC 9293 MUST-46: no open to a group, nor from an address of somebody else.
#[test]
fn tcp_calls_with_addresses_that_cannot_be_are_refused() {
    let mut stack = stack(&["10.77.0.2"], 1);
    assert_eq!(stack.tcp_listen(at("10.77.0.9:80"), 8).unwrap_err(), SocketError::AddrNotAvailable);
    let mut connect = |local: Option<&str>, remote| {
        stack.tcp_connect(local.map(at), at(remote), Instant::ZERO).unwrap_err()
    };
    assert_eq!(connect(None, "[fd77::1]:80"), SocketError::NetworkUnreachable);
    assert_eq!(connect(None, "10.77.0.1:0"), SocketError::Invalid);
    assert_eq!(connect(None, "224.0.0.1:80"), SocketError::Invalid);
    assert_eq!(connect(None, "10.77.0.255:80"), SocketError::Invalid);
    assert_eq!(connect(Some("10.77.0.9:0"), "10.77.0.1:80"), SocketError::AddrNotAvailable);
    assert_eq!(connect(Some("10.77.0.2:0"), "[fd77::1]:80"), SocketError::NetworkUnreachable);
}

/// Hostile case P6: TCP's own answers stay away from martians, too, because IP drops them first.
#[test]
fn a_syn_from_a_martian_is_not_answered() {
    let mut stack = stack(&["10.77.0.2"], 1);
    for src in ["0.0.0.0", "127.0.0.1", "10.77.0.255", "255.255.255.255", "10.77.0.2"] {
        let header = IpHeader { src: addr(src), ..header(false, protocol::TCP) };
        stack.receive(Packet::from_slice(&packet(&header, &[1; 20])), Instant::ZERO);
        assert!(drain(&mut stack, Instant::ZERO).is_empty(), "{src}");
    }
}

#[test]
fn a_configuration_that_cannot_be_is_refused() {
    let config = StackConfig { addrs: vec![(addr("fd77::2"), 64)], tcp: TcpConfig::default() };
    let refused = Stack::new(config, Capabilities::plain(1_000), [0; 32]).unwrap_err();
    assert_eq!(refused, ConfigError::Mtu(1_000));
}

/// A call too many does nothing, and an idle stack wants none.
#[test]
fn an_idle_stack_wants_nothing() {
    let mut stack = stack(&["10.77.0.2", "fd77::2"], 1);
    stack.handle_timeout(Instant::from_millis(1_000));
    assert_eq!((stack.poll_timeout(), stack.poll_event()), (None, None));
    assert!(stack.poll_transmit(Instant::ZERO).is_none());
}

/// Packets that get past the first checks, or nearly so: honest headers in front of anything.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let number = prop::sample::select(vec![0u8, 1, 6, 17, 43, 44, 58, 59, 60, 200]);
    let bytes = prop::collection::vec(any::<u8>(), 0..100);
    let honest = (any::<bool>(), number, bytes, any::<u8>()).prop_map(|(v6, number, mut bytes, kind)| {
        let header = header(v6, number);
        match number {
            1 | 58 if bytes.len() >= 8 => fill_icmp_checksum(&header, &mut bytes),
            17 => bytes = udp(&header, 5_000, u16::from(kind % 4), &bytes),
            _ => {}
        }
        packet(&header, &bytes)
    });
    let parts = (any::<bool>(), 0u32..3, 0u16..20, prop::collection::vec(any::<u8>(), 0..5), any::<bool>());
    let fragment = parts.prop_map(|(v6, id, eighths, eights, more)| {
        let bytes: Vec<u8> = eights.iter().flat_map(|&byte| [byte; 8]).collect();
        let part = Fragment { id, offset: eighths * 8, more };
        [&header(v6, 17).encode(bytes.len(), Some(part))[..], &bytes].concat()
    });
    prop::strategy::Union::new([honest.boxed(), fragment.boxed()])
}

proptest! {
    /// Hostile cases P1, P8 and P10 at random: transport headers cut short, fragments that overlap, chains of extension headers. No
    /// panic, and a stack that has answered comes to rest.
    #[test]
    fn any_packets_do_no_harm(packets in prop::collection::vec(packets(), 1..40)) {
        let mut stack = stack(&["10.77.0.2", "fd77::2"], 1);
        stack.udp_bind(at("[::]:1")).unwrap();
        stack.tcp_listen(at("[::]:2"), 4).unwrap();
        stack.ping_open(addr("10.77.0.1")).unwrap();
        for bytes in packets {
            stack.receive(Packet::from_slice(&bytes), Instant::ZERO);
        }
        drain(&mut stack, Instant::ZERO);
        let mut deadlines = 0;
        while let Some(deadline) = stack.poll_timeout() {
            stack.handle_timeout(deadline);
            drain(&mut stack, deadline);
            deadlines += 1;
            assert!(deadlines < 1_000, "the stack comes to rest");
        }
        while stack.poll_event().is_some() {}
    }
}
