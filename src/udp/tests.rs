//! UDP as its users see it: binding, sending, receiving, and what the other end gets.

use super::*;
use crate::device::Capabilities;
use crate::ip::input::Input;
use crate::ip::testing::*;
use crate::wire::ip::Endpoint;
use crate::wire::packet::{Frame, Packet};
use crate::wire::seq::SeqNum;
use proptest::prelude::{any, prop, prop_assert_eq, proptest};

mod segmented;

struct Host {
    ip: Ip,
    udp: Udp,
    counters: Counters,
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The remote host's socket.
fn peer(v6: bool) -> SocketAddr {
    SocketAddr::new(ends(v6).0, 5_000)
}

impl Host {
    fn new(capabilities: Capabilities) -> Self {
        let udp = Udp::new(&mut Rng::from_u64(1));
        Host { ip: layer(capabilities), udp, counters: Counters::default() }
    }

    fn plain() -> Self {
        Host::new(Capabilities::plain(1_500))
    }

    fn bind(&mut self, local: &str) -> Result<UdpId, SocketError> {
        self.udp.bind(at(local), &self.ip)
    }

    /// A datagram arrives from `from` for the stack's port `port`; true if a socket is there for it.
    fn arrive(&mut self, from: SocketAddr, port: u16, payload: &[u8]) -> bool {
        let header = IpHeader { src: from.ip(), ..header(from.is_ipv6(), protocol::UDP) };
        self.arrive_raw(&packet(&header, &udp(&header, from.port(), port, payload)))
    }

    fn arrive_raw(&mut self, bytes: &[u8]) -> bool {
        self.arrive_packet(Packet::from_slice(bytes))
    }

    fn arrive_packet(&mut self, packet: Packet) -> bool {
        match self.ip.receive(packet, &mut self.counters, Instant::ZERO) {
            Input::Datagram(datagram) => self.udp.receive(datagram, &mut self.counters).is_none(),
            _ => panic!("IP dropped it"),
        }
    }

    fn send_segmented(
        &mut self,
        id: UdpId,
        payload: &[u8],
        size: usize,
        to: SocketAddr,
    ) -> Result<usize, SocketError> {
        let transmit = Transmit { payload, size, from: None, to };
        self.udp.send_segmented(id, &transmit, &mut self.ip, &mut self.counters)
    }

    fn send_to(&mut self, id: UdpId, payload: &[u8], to: SocketAddr) -> Result<usize, SocketError> {
        self.udp.send_to(id, payload, to, &mut self.ip, &mut self.counters)
    }

    /// The bytes of the next datagram in the queue.
    fn next(&mut self, id: UdpId) -> Result<Vec<u8>, SocketError> {
        self.udp.recv_slice(id).map(|(payload, _)| payload.to_vec())
    }

    /// What leaves, as the other end's IP delivers it.
    fn transmitted(&mut self) -> Vec<Datagram> {
        self.udp.flush(&mut self.ip, &mut self.counters);
        transmitted(&mut self.ip)
    }

    fn frames(&mut self) -> Vec<Frame> {
        self.udp.flush(&mut self.ip, &mut self.counters);
        std::iter::from_fn(|| self.ip.poll_transmit()).collect()
    }

    fn icmp_error(&mut self, id: UdpId, remote: SocketAddr, kind: ErrorKind) {
        let local = Endpoint::from(self.udp.local_addr(id).unwrap());
        let error = IcmpError { kind, local, remote: remote.into(), seq: SeqNum(0) };
        self.udp.icmp_error(error, &mut self.ip, &mut self.counters, Instant::ZERO);
    }
}

proptest! {
    /// RFC 768: what is sent arrives, whatever the size, the version and the device.
    #[test]
    fn what_is_sent_arrives(v6: bool, offload: bool, len in prop::sample::select(vec![0usize, 1, 100, 1_472, 1_473, 9_000, 65_507]), fill: u8) {
        let device = if offload { Capabilities::offload(1_500) } else { Capabilities::plain(1_500) };
        let mut host = Host::new(device);
        let id = host.bind("[::]:7").unwrap();
        let payload = vec![fill; len];
        prop_assert_eq!(host.send_to(id, &payload, peer(v6)), Ok(len));
        let sent = host.transmitted();
        prop_assert_eq!(sent.len(), 1);
        let header = check(&sent[0]).unwrap();
        prop_assert_eq!((header.src_port, header.dst_port), (7, 5_000));
        prop_assert_eq!(&sent[0].payload()[HEADER..], &payload[..]);
    }

    /// Hostile case P1: any bytes, no panic, and nothing delivered that the checksum does not cover.
    #[test]
    fn any_bytes_do_no_harm(v6: bool, bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut host = Host::plain();
        host.bind("[::]:0").unwrap();
        host.arrive_raw(&packet(&header(v6, protocol::UDP), &bytes));
        prop_assert_eq!(host.counters.udp_in, 0);
    }
}

/// RFC 768, RFC 8200 §8.1; hostile case P6: zero means "not summed" in IPv4 and is wrong in IPv6.
#[test]
fn a_checksum_of_zero_is_for_ipv4_only() {
    for (v6, delivered) in [(false, 1), (true, 0)] {
        let mut host = Host::plain();
        host.bind("[::]:7").unwrap();
        let header = header(v6, protocol::UDP);
        let mut datagram = udp(&header, 5_000, 7, b"unsummed");
        datagram[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].fill(0);
        host.arrive_raw(&packet(&header, &datagram));
        assert_eq!(host.counters.udp_in, delivered);
        assert_eq!(host.counters.dropped(DropReason::UdpMalformed), 1 - delivered);
    }
}

/// RFC 768: a sum that comes out as zero is sent as all ones.
#[test]
fn a_checksum_of_zero_is_never_sent() {
    let mut host = Host::plain();
    let id = host.bind("10.77.0.2:7").unwrap();
    for word in 0..=u16::MAX {
        host.send_to(id, &word.to_be_bytes(), peer(false)).unwrap();
        let frame = host.frames().remove(0);
        let field = &frame.headers()[20 + CHECKSUM_OFFSET..][..2];
        assert_ne!(field, [0, 0], "payload {word:04x}");
    }
}

/// Hostile case P1: a length beyond the packet or below the header, a wrong checksum; P6: port 0.
#[test]
fn a_malformed_datagram_is_dropped_and_not_answered() {
    let header = header(false, protocol::UDP);
    let damage: [fn(&mut Vec<u8>); 4] = [|b| b[5] += 1, |b| b[5] = 7, |b| b[9] ^= 1, |b| b.truncate(7)];
    for (i, damage) in damage.iter().enumerate() {
        let mut host = Host::plain();
        host.bind("[::]:7").unwrap();
        let mut datagram = udp(&header, 5_000, 7, b"data");
        damage(&mut datagram);
        assert!(host.arrive_raw(&packet(&header, &datagram)), "not given back: nothing is answered");
        assert_eq!(host.counters.dropped(DropReason::UdpMalformed), 1, "damage {i}");
    }
    let mut host = Host::plain();
    for (src_port, dst_port) in [(0, 7), (5_000, 0)] {
        assert!(host.arrive_raw(&packet(&header, &udp(&header, src_port, dst_port, b"data"))));
    }
    assert_eq!(host.counters.dropped(DropReason::UdpMalformed), 2, "port 0");
}

/// RFC 1122 §4.1.3.1: a datagram for a port where nobody listens is given back, for ICMP to tell.
#[test]
fn a_closed_port_gives_the_datagram_back() {
    let mut host = Host::plain();
    assert!(!host.arrive(peer(false), 9, b"anyone?"));
    assert_eq!(host.counters.dropped(DropReason::UdpNoSocket), 1);
    let id = host.bind("10.77.0.2:9").unwrap();
    assert!(host.arrive(peer(false), 9, b"anyone?"));
    host.udp.close(id);
    assert!(!host.arrive(peer(false), 9, b"anyone?"), "closed again");
    assert_eq!(host.next(id), Err(SocketError::NoSocket));
    assert!(host.bind("10.77.0.2:9").is_ok(), "the port is free again");
}

#[test]
fn an_unspecified_address_hears_its_versions_and_a_specific_one_itself() {
    let mut host = Host::plain();
    let both = host.bind("[::]:1").unwrap();
    let v4 = host.bind("0.0.0.0:2").unwrap();
    let other = host.bind("10.78.0.2:3").unwrap();
    assert!(host.arrive(peer(false), 1, b"a") && host.arrive(peer(true), 1, b"b"));
    assert!(host.arrive(peer(false), 2, b"c") && !host.arrive(peer(true), 2, b"d"));
    assert!(!host.arrive(peer(false), 3, b"e"), "sent to 10.77.0.2");
    assert_eq!((host.next(both), host.next(both)), (Ok(b"a".to_vec()), Ok(b"b".to_vec())));
    assert_eq!((host.next(v4), host.next(v4)), (Ok(b"c".to_vec()), Err(SocketError::WouldBlock)));
    assert_eq!(host.next(other), Err(SocketError::WouldBlock));
}

#[test]
fn no_two_sockets_take_the_same_datagram() {
    let mut host = Host::plain();
    host.bind("10.77.0.2:7").unwrap();
    for taken in ["10.77.0.2:7", "0.0.0.0:7", "[::]:7"] {
        assert_eq!(host.bind(taken), Err(SocketError::AddrInUse), "{taken}");
    }
    for free in ["10.78.0.2:7", "[fd77::2]:7", "10.77.0.2:8"] {
        assert!(host.bind(free).is_ok(), "{free}");
    }
    assert_eq!(host.bind("10.77.0.9:7"), Err(SocketError::AddrNotAvailable), "not ours");
}

/// RFC 6056 §3.3.1: random, of the dynamic range, and free; when none is left the call fails (hostile case T8).
#[test]
fn chosen_ports_are_random_and_run_out_with_an_error() {
    let mut host = Host::plain();
    let mut ports = Vec::new();
    for _ in 0..16_384 {
        let id = host.bind("10.77.0.2:0").unwrap();
        ports.push(host.udp.local_addr(id).unwrap().port());
    }
    assert!(ports.iter().all(|&port| port >= 49_152));
    assert!(ports[..100].windows(2).filter(|w| w[0].abs_diff(w[1]) < 10).count() < 5, "no pattern");
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 16_384);
    assert_eq!(host.bind("10.77.0.2:0"), Err(SocketError::AddrNotAvailable));
    assert!(host.bind("10.78.0.2:0").is_ok(), "another address has its own");
}

#[test]
fn a_connected_socket_hears_its_peer_alone() {
    let mut host = Host::plain();
    let id = host.bind("[::]:7").unwrap();
    let stranger = at("10.77.0.1:5001");
    host.arrive(stranger, 7, b"before");
    host.arrive(peer(false), 7, b"peer");
    assert_eq!(host.udp.send(id, b"x", &mut host.ip, &mut host.counters), Err(SocketError::NotConnected));
    host.udp.connect(id, peer(false), &host.ip).unwrap();
    assert!(!host.arrive(stranger, 7, b"after"));
    assert_eq!(host.next(id), Ok(b"peer".to_vec()));
    assert_eq!(host.next(id), Err(SocketError::WouldBlock));
    assert_eq!(host.udp.send(id, b"x", &mut host.ip, &mut host.counters), Ok(1));
    assert_eq!(host.transmitted()[0].header.dst, peer(false).ip());
    assert_eq!(host.udp.peer_addr(id), Ok(peer(false)));
    assert_eq!(host.udp.local_addr(id), Ok(at("10.77.0.2:7")), "the source is chosen now");
}

/// RFC 1122 §4.1.3.3: "connection refused" for the connected socket whose datagram it was; read once.
#[test]
fn a_connected_socket_hears_of_icmp_errors() {
    let mut host = Host::plain();
    let id = host.bind("10.77.0.2:7").unwrap();
    host.icmp_error(id, peer(false), ErrorKind::PortUnreachable);
    assert_eq!(host.udp.take_error(id), None, "not connected: nothing is told");
    host.udp.connect(id, peer(false), &host.ip).unwrap();
    host.icmp_error(id, at("10.77.0.1:5001"), ErrorKind::PortUnreachable);
    host.icmp_error(id, peer(false), ErrorKind::HopLimitExceeded);
    assert_eq!(host.udp.take_error(id), None, "another's datagram; what passes by itself");
    host.icmp_error(id, peer(false), ErrorKind::PortUnreachable);
    let ready = Readiness::IN | Readiness::OUT | Readiness::ERR;
    assert_eq!(host.udp.poll_event(), Some((id, ready)));
    assert_eq!(host.next(id), Err(SocketError::ConnectionRefused));
    assert_eq!(host.next(id), Err(SocketError::WouldBlock));
    host.icmp_error(id, peer(false), ErrorKind::HostUnreachable);
    assert_eq!(host.send_to(id, b"x", peer(false)), Err(SocketError::HostUnreachable));
}

/// Hostile case T9: a connected socket believes what is said about its own peer alone.
#[test]
fn a_connected_socket_believes_what_its_own_datagrams_drew() {
    let mut host = Host::plain();
    let id = host.bind("10.77.0.2:7").unwrap();
    host.udp.connect(id, peer(false), &host.ip).unwrap();
    let kind = ErrorKind::PacketTooBig { mtu: 1_000 };
    host.icmp_error(id, at("10.77.0.1:5001"), kind);
    assert!(host.ip.output().fits(peer(false).ip(), 1_400));
    host.icmp_error(id, peer(false), kind);
    assert!(!host.ip.output().fits(peer(false).ip(), 1_400));
}

#[test]
fn receiving_tells_both_addresses_and_cuts_to_the_buffer() {
    let mut host = Host::plain();
    let id = host.bind("[::]:7").unwrap();
    host.arrive(peer(true), 7, b"a long one");
    host.arrive(peer(true), 7, b"");
    let mut buffer = [0; 6];
    let expected = Received { len: 6, stride: 6, from: peer(true), to: ends(true).1 };
    assert_eq!(host.udp.peek_from(id, &mut buffer), Ok(expected));
    assert_eq!(host.udp.recv_from(id, &mut buffer), Ok(expected));
    assert_eq!(&buffer, b"a long");
    let empty = Received { len: 0, stride: 0, ..expected };
    assert_eq!(host.udp.recv_from(id, &mut buffer), Ok(empty), "an empty datagram is one");
    assert_eq!(host.udp.recv_from(id, &mut buffer), Err(SocketError::WouldBlock));
}

/// The sender's address suits the destination, or is the one that the caller (a server that answers) names.
#[test]
fn the_source_address_suits_the_destination() {
    let mut host = Host::plain();
    let id = host.bind("[::]:7").unwrap();
    let cases = [("10.77.0.1:1", None, "10.77.0.2"), ("10.77.0.1:1", Some("10.78.0.2"), "10.78.0.2")];
    for (to, from, expected) in cases {
        let from = from.map(addr);
        host.udp.send_from(id, b"", from, at(to), &mut host.ip, &mut host.counters).unwrap();
        assert_eq!(host.transmitted()[0].header.src, addr(expected));
    }
    let mapped = at("[::ffff:10.77.0.1]:1");
    host.send_to(id, b"", mapped).unwrap();
    assert_eq!(host.transmitted()[0].header.dst, addr("10.77.0.1"), "a mapped address is IPv4");
    let mut refused = |from: &str, to| {
        host.udp.send_from(id, b"", Some(addr(from)), at(to), &mut host.ip, &mut host.counters).unwrap_err()
    };
    assert_eq!(refused("10.77.0.9", "10.77.0.1:1"), SocketError::AddrNotAvailable);
    assert_eq!(refused("fd77::2", "10.77.0.1:1"), SocketError::NetworkUnreachable);
    assert_eq!(refused("10.77.0.2", "10.77.0.1:0"), SocketError::Invalid);
    let v4 = host.bind("0.0.0.0:8").unwrap();
    assert_eq!(host.send_to(v4, b"", peer(true)), Err(SocketError::NetworkUnreachable));
}

#[test]
fn what_no_datagram_can_carry_is_refused() {
    for (v6, longest) in [(false, 65_507), (true, 65_527)] {
        let mut host = Host::plain();
        let id = host.bind("[::]:7").unwrap();
        let bytes = vec![0; longest + 1];
        assert_eq!(host.send_to(id, &bytes, peer(v6)), Err(SocketError::MessageTooLong));
        assert_eq!(host.send_to(id, &bytes[1..], peer(v6)), Ok(longest));
    }
}

/// The device completes the checksum of whole datagrams where it can; what is fragmented is summed here.
#[test]
fn checksums_are_left_to_the_device_where_it_sees_the_whole_datagram() {
    for (v6, start) in [(false, 20), (true, 40)] {
        let mut host = Host::new(Capabilities::offload(1_500));
        let id = host.bind("[::]:7").unwrap();
        host.send_to(id, b"short", peer(v6)).unwrap();
        let frame = host.frames().remove(0);
        assert_eq!(frame.offload, Offload::Checksum { start, offset: 6 });
        let (src, dst) = (ends(v6).1, ends(v6).0);
        let folded = Sum::pseudo_header(src, dst, protocol::UDP, 13).folded().to_be_bytes();
        assert_eq!(frame.headers()[usize::from(start) + 6..][..2], folded);
        host.send_to(id, &[0; 2_000], peer(v6)).unwrap();
        assert!(host.frames().iter().all(|frame| frame.offload == Offload::None));
    }
}

/// What the device vouches for is not summed again: its field holds the pseudo-header's sum only (tun: any packet may come so).
#[test]
fn a_datagram_with_an_unfinished_checksum_counts_as_verified() {
    let mut host = Host::plain();
    let id = host.bind("[::]:7").unwrap();
    let header = header(false, protocol::UDP);
    let mut datagram = udp(&header, 5_000, 7, b"local");
    datagram[6..8].copy_from_slice(&[0x12, 0x34]);
    let mut packet = Packet::from_slice(&packet(&header, &datagram));
    packet.offload = Offload::Checksum { start: 20, offset: 6 };
    let payload = 20..packet.bytes().len();
    host.udp.receive(Datagram { header, packet, payload }, &mut host.counters);
    assert_eq!(host.next(id), Ok(b"local".to_vec()));
}

/// Small datagrams end at the count, large ones at the memory that they pin; both bounds are counted.
#[test]
fn a_receive_queue_is_bounded_in_count_and_memory() {
    for (len, bound) in [(5, MAX_DATAGRAMS), (5_000, MAX_QUEUE / 65_536)] {
        let mut host = Host::plain();
        let id = host.bind("[::]:7").unwrap();
        (0..2_000).for_each(|_| assert!(host.arrive(peer(false), 7, &vec![1; len])));
        assert_eq!(host.counters.udp_in, bound as u64);
        assert_eq!(host.counters.dropped(DropReason::UdpQueueFull), 2_000 - bound as u64);
        assert!(host.next(id).is_ok() && host.arrive(peer(false), 7, b"again"));
        assert_eq!(host.counters.udp_in, bound as u64 + 1);
        while host.next(id).is_ok() {}
        assert_eq!(host.udp.memory, 0, "the count is right");
        host.arrive(peer(false), 7, b"left");
        host.udp.close(id);
        assert_eq!(host.udp.memory, 0);
    }
}

/// All queues together are bounded, too.
#[test]
fn the_memory_of_all_sockets_is_bounded() {
    let mut host = Host::plain();
    let sockets: Vec<_> = (1..=17).map(|port| host.bind(&format!("[::]:{port}")).unwrap()).collect();
    for port in 1..=17 {
        (0..64).for_each(|_| assert!(host.arrive(peer(false), port, &[1; 5_000])));
    }
    assert_eq!((host.udp.memory, host.counters.dropped(DropReason::UdpQueueFull)), (MAX_MEMORY, 64));
    host.udp.connect(sockets[0], at("10.77.0.9:1"), &host.ip).unwrap();
    assert_eq!(host.udp.memory, MAX_MEMORY - MAX_QUEUE, "what others sent is gone");
}

/// A few bytes do not pin the 64 KiB that a device reads into.
#[test]
fn small_datagrams_are_copied_out_of_large_chunks() {
    let mut host = Host::plain();
    let id = host.bind("[::]:7").unwrap();
    let header = header(false, protocol::UDP);
    let mut buffer = Buffer::large();
    buffer.append(&packet(&header, &udp(&header, 5_000, 7, b"tiny")));
    let payload = 20..buffer.written().len();
    let packet = Packet { buffer, offload: Offload::None };
    host.udp.receive(Datagram { header, packet, payload }, &mut host.counters);
    assert_eq!(host.udp.recv_slice(id).unwrap().0.capacity(), 2_048);
}

#[test]
fn a_sender_that_finds_the_device_behind_is_told_when_to_go_on() {
    let mut host = Host::plain();
    let id = host.bind("[::]:7").unwrap();
    let sent = std::iter::from_fn(|| host.send_to(id, &[0; 60_000], peer(false)).ok()).count();
    assert!((40..70).contains(&sent), "{sent} datagrams queued");
    assert_eq!(host.send_to(id, &[0; 60_000], peer(false)), Err(SocketError::WouldBlock));
    assert_eq!(host.udp.readiness(id), Readiness::NONE);
    assert_eq!(host.udp.poll_event(), None);
    host.frames();
    host.udp.output_relaxed();
    assert_eq!(host.udp.poll_event(), Some((id, Readiness::OUT)));
    assert_eq!(host.send_to(id, &[0; 60_000], peer(false)), Ok(60_000));
}

#[test]
fn readiness_is_announced_once_until_it_was_taken() {
    let mut host = Host::plain();
    let id = host.bind("[::]:7").unwrap();
    (0..3).for_each(|_| assert!(host.arrive(peer(false), 7, b"x")));
    assert_eq!(host.udp.poll_event(), Some((id, Readiness::IN | Readiness::OUT)));
    assert_eq!(host.udp.poll_event(), None);
    host.arrive(peer(false), 7, b"x");
    assert_eq!(host.udp.poll_event(), Some((id, Readiness::IN | Readiness::OUT)), "and anew");
    host.arrive(peer(false), 7, b"x");
    host.udp.close(id);
    assert_eq!(host.udp.poll_event(), None, "a closed socket has nothing to tell");
    assert_eq!(host.udp.readiness(id), Readiness::ERR | Readiness::HUP);
}
