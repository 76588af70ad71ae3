//! ICMP as the other end sees it: what is answered, what is quoted, and above all what is met with silence.

use super::ping::PingEvent;
use super::*;
use crate::base::socket::SocketError;
use crate::base::time::Duration;
use crate::device::Capabilities;
use crate::ip::input::Input;
use crate::ip::testing::*;
use crate::wire::ip::{Endpoint, IpPacket};
use crate::wire::packet::Packet;
use crate::wire::seq::SeqNum;
use std::net::IpAddr;

struct Host {
    ip: Ip,
    icmp: Icmp,
    counters: Counters,
    now: Instant,
}

impl Host {
    fn new() -> Self {
        let icmp = Icmp::new(&mut Rng::from_u64(1));
        let (ip, counters) = (layer(Capabilities::plain(1_500)), Counters::default());
        Host { ip, icmp, counters, now: Instant::ZERO }
    }

    /// Takes IP packets in, as the stack would.
    fn receive<'a>(&mut self, packets: impl IntoIterator<Item = &'a Vec<u8>>) -> Option<(u8, IcmpError)> {
        let mut told = None;
        for bytes in packets {
            match self.ip.receive(Packet::from_slice(bytes), &mut self.counters, self.now) {
                Input::Datagram(datagram) => {
                    let heard = self.icmp.receive(datagram, &mut self.ip, &mut self.counters, self.now);
                    told = told.or(heard);
                }
                Input::Refused(about, kind) => {
                    self.icmp.send_error(&about, kind, &mut self.ip, &mut self.counters, self.now);
                }
                Input::Nothing => {}
            }
        }
        told
    }

    /// Complains about a packet that IP let through.
    fn complain(&mut self, bytes: &[u8], kind: ErrorKind) {
        let datagram = receive(&mut self.ip, bytes, &mut self.counters).unwrap();
        self.icmp.send_error(&datagram, kind, &mut self.ip, &mut self.counters, self.now);
    }

    fn sent(&mut self) -> Vec<Datagram> {
        transmitted(&mut self.ip)
    }
}

fn icmp_header(v6: bool) -> IpHeader {
    header(v6, if v6 { protocol::ICMPV6 } else { protocol::ICMP })
}

fn request(header: &IpHeader, data: &[u8]) -> Vec<u8> {
    icmp(header, &Message::EchoRequest { id: 7, seq: 9 }, data)
}

/// RFC 1122 §3.2.2.6, RFC 4443 §4.2; hostile case P11: the data comes back whole, at any size, in fragments where needed.
#[test]
fn an_echo_request_of_any_size_is_answered_with_its_data() {
    for v6 in [false, true] {
        for len in [0, 1, 56, 1_472, 2_048, 2_049, 9_001, 60_000, 65_507] {
            let mut host = Host::new();
            let data: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let header = icmp_header(v6);
            host.receive(&fragments(&header, 5, &request(&header, &data), 1_440));
            let replies = host.sent();
            assert_eq!(replies.len(), 1, "{len} bytes, IPv6: {v6}");
            let reply = &replies[0];
            assert_eq!((reply.header.src, reply.header.dst), (header.dst, header.src));
            assert!(checksum_is_valid(reply));
            let message = Message::parse(header.dst, reply.payload());
            assert_eq!(message, Some(Message::EchoReply { id: 7, seq: 9 }));
            assert!(reply.payload()[HEADER..] == data, "the data comes back");
            assert_eq!(host.counters.drops().collect::<Vec<_>>(), []);
        }
    }
}

/// Hostile case P11 (smurf): RFC 1122 §3.2.2.6, RFC 4443 §4.2 would allow an answer; it would be an amplifier.
#[test]
fn an_echo_request_to_a_group_meets_silence() {
    for (v6, dst) in
        [(false, "10.77.0.255"), (false, "255.255.255.255"), (false, "224.0.0.1"), (true, "ff02::1")]
    {
        let mut host = Host::new();
        let header = IpHeader { dst: addr(dst), ..icmp_header(v6) };
        host.receive([&packet(&header, &request(&header, b"smurf"))]);
        assert!(host.sent().is_empty(), "{dst}");
        assert_eq!(host.counters.dropped(DropReason::IcmpIgnored), 1);
    }
}

/// Echo replies are the measure of a link: `ping -f` is not slowed down.
#[test]
fn echo_replies_are_not_rate_limited() {
    let mut host = Host::new();
    let header = icmp_header(false);
    let ping = packet(&header, &request(&header, b"flood"));
    host.receive(std::iter::repeat_n(&ping, 1_000));
    assert_eq!(host.sent().len(), 1_000);
}

/// RFC 792, RFC 4443 §2.3; hostile case P1: cut at every byte, and any flipped bit is found by the checksum.
#[test]
fn a_damaged_message_is_dropped() {
    for v6 in [false, true] {
        let header = icmp_header(v6);
        let whole = request(&header, b"12345678");
        for len in 0..whole.len() {
            let mut host = Host::new();
            host.receive([&packet(&header, &whole[..len])]);
            assert_eq!(host.counters.dropped(DropReason::IcmpMalformed), 1, "cut to {len}");
        }
        for at in 0..whole.len() {
            let (mut host, mut damaged) = (Host::new(), whole.clone());
            damaged[at] ^= 4;
            host.receive([&packet(&header, &damaged)]);
            assert_eq!(host.counters.dropped(DropReason::IcmpMalformed), 1, "byte {at} damaged");
            assert!(host.sent().is_empty());
        }
    }
}

/// Hostile case P11; RFC 6633 (source quench), RFC 1122 §3.2.2.2 (redirects), §3.2.2.8 (timestamps); on a TUN device there is no
/// neighbour to discover.
#[test]
fn messages_this_stack_does_not_speak_are_ignored_and_counted() {
    for (v6, kinds) in
        [(false, &[4u8, 5, 9, 10, 13, 17][..]), (true, &[130, 131, 133, 134, 135, 136, 137, 143])]
    {
        for &kind in kinds {
            let mut host = Host::new();
            let header = icmp_header(v6);
            let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
            message.extend_from_slice(&[0; 40]);
            fill_icmp_checksum(&header, &mut message);
            assert_eq!(host.receive([&packet(&header, &message)]), None);
            assert!(host.sent().is_empty(), "type {kind}");
            assert_eq!(host.counters.dropped(DropReason::IcmpIgnored), 1, "type {kind}");
        }
    }
}

/// RFC 1812 §4.3.2.3 and RFC 4443 §2.4 c: as much of the packet as makes 576 and 1,280 bytes.
#[test]
fn an_error_quotes_as_much_as_its_version_allows() {
    for (v6, limit) in [(false, 576), (true, 1_280)] {
        for len in [0, 20, 1_400] {
            let mut host = Host::new();
            let header = header(v6, protocol::UDP);
            let about = packet(&header, &udp(&header, 5_000, 9, &vec![1; len]));
            host.complain(&about, ErrorKind::PortUnreachable);
            let errors = host.sent();
            let error = &errors[0];
            let whole = error.packet.bytes().len();
            assert!(whole <= limit && (whole == limit || len < 1_400), "{whole} bytes");
            assert!(checksum_is_valid(error));
            let kind = Message::parse(header.dst, error.payload());
            assert_eq!(kind, Some(Message::Error(ErrorKind::PortUnreachable)));
            let quote = &error.payload()[HEADER..];
            assert!(about.starts_with(quote) && quote.len() >= about.len().min(500));
        }
    }
}

/// A reassembled datagram is quoted with a header that fits it.
#[test]
fn an_error_about_a_reassembled_datagram_quotes_it_as_a_whole() {
    let mut host = Host::new();
    let header = header(false, protocol::UDP);
    let parts = fragments(&header, 3, &udp(&header, 5_000, 9, &[1; 3_000]), 1_480);
    let datagrams: Vec<_> =
        parts.iter().filter_map(|part| receive(&mut host.ip, part, &mut host.counters)).collect();
    host.icmp.send_error(
        &datagrams[0],
        ErrorKind::PortUnreachable,
        &mut host.ip,
        &mut host.counters,
        host.now,
    );
    let errors = host.sent();
    let quoted = Quoted::parse(&errors[0].payload()[HEADER..]).unwrap();
    assert_eq!(quoted.transport_error(ErrorKind::PortUnreachable).unwrap().remote.port, 9);
    assert_eq!(errors[0].packet.bytes().len(), 576);
}

/// RFC 1122 §3.2.2, RFC 4443 §2.4 e; hostile case P11.
#[test]
fn no_error_answers_an_error_or_a_group() {
    for v6 in [false, true] {
        let mut host = Host::new();
        let header = icmp_header(v6);
        for kind in [ErrorKind::PortUnreachable, ErrorKind::HopLimitExceeded] {
            let quote = packet(&IpHeader { src: header.dst, dst: header.src, ..header }, &[0; 8]);
            let error = icmp(&header, &Message::Error(kind), &quote);
            host.complain(&packet(&header, &error), ErrorKind::ReassemblyTimeout);
        }
        let group =
            IpHeader { dst: addr(if v6 { "ff02::1" } else { "10.77.0.255" }), protocol: 17, ..header };
        host.complain(&packet(&group, &udp(&group, 1, 2, b"")), ErrorKind::PortUnreachable);
        assert!(host.sent().is_empty());
        // An echo request is no error: this one may be complained about.
        host.complain(&packet(&header, &request(&header, b"")), ErrorKind::ReassemblyTimeout);
        assert_eq!(host.sent().len(), 1);
    }
}

/// Hostile case P12; RFC 1812 §4.3.2.8, RFC 4443 §2.4 f.
#[test]
fn errors_are_rate_limited_and_the_rest_is_counted() {
    let mut host = Host::new();
    let header = header(false, protocol::UDP);
    let about = packet(&header, &udp(&header, 5_000, 9, b""));
    (0..1_000).for_each(|_| host.complain(&about, ErrorKind::PortUnreachable));
    let sent = host.sent().len();
    assert!((6..=10).contains(&sent), "{sent} errors");
    assert_eq!(host.counters.dropped(DropReason::IcmpRateLimited), 1_000 - sent as u64);
    host.now += Duration::from_secs(1);
    host.complain(&about, ErrorKind::PortUnreachable);
    assert_eq!(host.sent().len(), 1);
}

/// RFC 1122 §3.2.2.1, RFC 9293 MUST-54: errors are passed to the transport that the quoted packet came from.
#[test]
fn an_error_about_a_transport_is_handed_up_with_flow_and_sequence_number() {
    for v6 in [false, true] {
        let (mut host, header) = (Host::new(), icmp_header(v6));
        let ours = IpHeader { src: header.dst, dst: header.src, protocol: protocol::TCP, ..header };
        let quote = packet(&ours, &[0, 80, 4, 1, 0, 0, 1, 0, 9, 9, 9, 9]);
        let message = icmp(&header, &Message::Error(ErrorKind::HostUnreachable), &quote);
        let (protocol, error) = host.receive([&packet(&header, &message)]).unwrap();
        assert_eq!(protocol, protocol::TCP);
        assert_eq!(error.local, Endpoint::new(header.dst, 80));
        assert_eq!(error.remote, Endpoint::new(header.src, 1_025));
        assert_eq!((error.seq, error.kind), (SeqNum(256), ErrorKind::HostUnreachable));

        let forged = packet(&IpHeader { src: addr("10.9.9.9"), dst: addr("10.77.0.1"), ..ours }, &[0; 8]);
        let message = icmp(&header, &Message::Error(ErrorKind::HostUnreachable), &forged);
        assert_eq!(host.receive([&packet(&header, &message)]), None, "not our packet");
        assert_eq!(host.counters.dropped(DropReason::IcmpIgnored), 1);
    }
}

fn ping(v6: bool) -> (Host, PingId, IpAddr) {
    let (mut host, (peer, _)) = (Host::new(), ends(v6));
    let id = host.icmp.pings().open(peer, &host.ip).unwrap();
    (host, id, peer)
}

#[test]
fn a_ping_socket_hears_the_reply_with_hop_limit_and_data() {
    for v6 in [false, true] {
        let (mut host, id, peer) = ping(v6);
        host.icmp.pings.send(id, 42, b"ding", &mut host.ip, &mut host.counters).unwrap();
        let request = host.sent().remove(0);
        assert!(checksum_is_valid(&request));
        let Some(Message::EchoRequest { id: ident, seq: 42 }) = Message::parse(peer, request.payload())
        else {
            panic!("an echo request: {request:?}");
        };
        assert!(matches!(host.icmp.pings().recv(id), Err(SocketError::WouldBlock)));
        let header = IpHeader { hop_limit: 61, ..icmp_header(v6) };
        let reply = icmp(&header, &Message::EchoReply { id: ident, seq: 42 }, b"dong");
        host.receive([&packet(&header, &reply), &packet(&header, &reply)]);
        assert_eq!(host.icmp.pings().poll_event(), Some(id));
        assert_eq!(host.icmp.pings().poll_event(), None, "announced once");
        match host.icmp.pings().recv(id) {
            Ok(PingEvent::Reply { from, hop_limit: 61, seq: 42, data }) => {
                assert_eq!((from, &*data), (peer, &b"dong"[..]));
            }
            other => panic!("{other:?}"),
        }
        host.receive([&packet(&header, &reply)]);
        assert_eq!(host.icmp.pings().poll_event(), Some(id), "and anew");
    }
}

/// What others send under a socket's identifier is not for it, and its queue is bounded.
#[test]
fn a_ping_socket_hears_its_peer_only_and_not_without_end() {
    let (mut host, id, peer) = ping(false);
    host.icmp.pings.send(id, 1, b"", &mut host.ip, &mut host.counters).unwrap();
    let request = host.sent().remove(0);
    let Some(Message::EchoRequest { id: ident, .. }) = Message::parse(peer, request.payload()) else {
        panic!("an echo request");
    };
    let reply = Message::EchoReply { id: ident, seq: 1 };
    let other = IpHeader { src: addr("10.77.0.9"), ..icmp_header(false) };
    host.receive([&packet(&other, &icmp(&other, &reply, b""))]);
    assert_eq!(host.icmp.pings().poll_event(), None);
    let header = icmp_header(false);
    let bytes = packet(&header, &icmp(&header, &reply, b""));
    host.receive(std::iter::repeat_n(&bytes, 100));
    let held = std::iter::from_fn(|| host.icmp.pings().recv(id).ok()).count();
    assert_eq!(held, ping::MAX_REPLIES);
    assert_eq!(host.counters.dropped(DropReason::IcmpIgnored), 1 + 100 - held as u64);
    host.icmp.pings().close(id);
    host.receive([&bytes]);
    assert!(matches!(host.icmp.pings().recv(id), Err(SocketError::NoSocket)));
}

#[test]
fn a_ping_socket_hears_of_errors_about_its_requests() {
    for v6 in [false, true] {
        let (mut host, id, peer) = ping(v6);
        host.icmp.pings.send(id, 1, &[0; 3_000], &mut host.ip, &mut host.counters).unwrap();
        let first = std::iter::from_fn(|| host.ip.poll_transmit()).next().unwrap().to_vec();
        assert!(IpPacket::parse_quoted(&first).unwrap().fragment.is_some(), "quoted is the first fragment");
        let router = IpHeader { src: addr(if v6 { "fd77::9" } else { "10.77.0.9" }), ..icmp_header(v6) };
        let message = icmp(&router, &Message::Error(ErrorKind::NetUnreachable), &first[..100]);
        host.receive([&packet(&router, &message)]);
        assert_eq!(host.icmp.pings().poll_event(), Some(id));
        match host.icmp.pings().recv(id) {
            Ok(PingEvent::Error { to, kind: ErrorKind::NetUnreachable }) => assert_eq!(to, peer),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_cannot_be_pinged_is_refused() {
    let addrs = [(addr("10.77.0.2"), 24)];
    let ip = Ip::new(&addrs, Capabilities::plain(1_500), &mut Rng::from_u64(1)).unwrap();
    let mut icmp = Icmp::new(&mut Rng::from_u64(1));
    assert_eq!(icmp.pings().open(addr("fd77::1"), &ip), Err(SocketError::NetworkUnreachable));
    let (mut host, id, _) = ping(false);
    let mut send = |len| host.icmp.pings.send(id, 1, &vec![0; len], &mut host.ip, &mut host.counters);
    assert_eq!(send(65_508), Err(SocketError::MessageTooLong));
    assert_eq!(send(65_507), Ok(()));
}
