//! A device with offload and one without, at both ends and in both IP versions: the same bytes arrive, and every packet is good.

use std::io::IoSlice;
use std::net::SocketAddr;

use super::tests::at;
use super::*;
use crate::base::counters::DropReason;
use crate::base::socket::SocketError;
use crate::base::time::Duration;
use crate::device::segment::to_wire;
use crate::ip::testing::*;
use crate::wire::packet::Offload;

const OFFLOAD: Capabilities = Capabilities::offload(1_500);

/// Two stacks with a wire between them that carries super-segments only to an end with offload.
struct Pair {
    ends: [Stack; 2],
    capabilities: [Capabilities; 2],
    now: Instant,
    /// Everything that was sent, with its payload's length.
    sent: Vec<(Offload, usize)>,
}

impl Pair {
    fn new(a: Capabilities, b: Capabilities, timestamps: bool) -> Self {
        let end = |addrs: [&str; 2], capabilities, seed| {
            let addrs = vec![(addr(addrs[0]), 24), (addr(addrs[1]), 64)];
            let tcp = TcpConfig { timestamps, ..TcpConfig::default() };
            Stack::new(StackConfig { addrs, tcp }, capabilities, [seed; 32]).unwrap()
        };
        let ends = [end(["10.77.0.1", "fd77::1"], a, 1), end(["10.77.0.2", "fd77::2"], b, 2)];
        Pair { ends, capabilities: [a, b], now: Instant::ZERO, sent: Vec::new() }
    }

    /// Carries what waits at `from` to the other end; false if that was nothing.
    fn carry(&mut self, from: usize) -> bool {
        let mut any = false;
        while let Some(frame) = self.ends[from].poll_transmit(self.now) {
            any = true;
            self.sent.push((frame.offload, frame.payload_len()));
            assert!(frame.len() <= 65_535, "an IP packet");
            let packet = frame.to_packet();
            let whole = self.capabilities[1 - from].can_carry(packet.offload);
            let wire = if whole { [packet].into_iter().collect() } else { to_wire(packet) };
            for packet in wire {
                assert!(whole || packet.bytes().len() <= 1_500, "the MTU");
                self.ends[1 - from].receive(packet, self.now);
            }
        }
        any
    }

    /// Carries packets until both ends are silent.
    fn settle(&mut self) {
        while self.carry(0) | self.carry(1) {
            self.now += Duration::from_millis(1);
            self.ends.iter_mut().for_each(|end| end.handle_timeout(self.now));
        }
    }

    /// Sends a megabyte over TCP from the first end to the second, and checks it.
    fn transfer(&mut self, v6: bool) {
        let listener = self.ends[1].tcp_listen(at("[::]:80"), 8).unwrap();
        let client = self.ends[0].tcp_connect(None, SocketAddr::new(ends(v6).1, 80), self.now).unwrap();
        self.settle();
        let (server, _) = self.ends[1].tcp().accept(listener).unwrap();
        let bytes: Vec<u8> = (0..1_000_000u32).map(|i| (i % 251) as u8).collect();
        let (mut written, mut read, mut buffer) = (0, Vec::new(), vec![0; 1 << 20]);
        while read.len() < bytes.len() {
            let rest = &bytes[written..];
            written += self.ends[0].tcp().send(client, &[IoSlice::new(rest)], self.now).unwrap_or(0);
            self.settle();
            let len = self.ends[1].tcp().recv(server, &mut buffer, self.now).unwrap();
            read.extend_from_slice(&buffer[..len]);
        }
        assert!(read == bytes);
    }

    fn drops(&self) -> Vec<DropReason> {
        self.ends.iter().flat_map(|end| end.counters().drops()).map(|(reason, _)| reason).collect()
    }
}

/// tun facts: partial checksums and super-segments of both IP versions; whoever gets wire packets finds every checksum right.
#[test]
fn every_packet_is_good_whatever_the_devices_can() {
    let plain = Capabilities::plain(1_500);
    let no_uso = Capabilities { udp_segmentation: false, ..OFFLOAD };
    for (a, b) in [(OFFLOAD, plain), (plain, OFFLOAD), (OFFLOAD, OFFLOAD), (no_uso, plain), (plain, plain)] {
        for v6 in [false, true] {
            let mut pair = Pair::new(a, b, true);
            pair.transfer(v6);
            let sender = pair.ends[0].udp_bind(at("[::]:5")).unwrap();
            let receiver = pair.ends[1].udp_bind(at("[::]:7")).unwrap();
            let to = SocketAddr::new(ends(v6).1, 7);
            let sent: Vec<u8> = (0..60_000u32).map(|i| (i % 241) as u8).collect();
            pair.ends[0].udp_send_segmented(sender, &sent, 1_400, None, to).unwrap();
            pair.ends[0].udp_send_to(sender, &sent[..9_000], to).unwrap();
            pair.settle();
            let mut buffer = vec![0; 65_535];
            let received = pair.ends[1].udp().recv_segmented(receiver, &mut buffer).unwrap();
            assert_eq!((received.stride, &buffer[..received.len]), (1_400, &sent[..]));
            assert_eq!(pair.ends[1].udp().recv_from(receiver, &mut buffer).unwrap().len, 9_000);
            // An error about a datagram comes back, too.
            let (closed, sender) =
                (SocketAddr::new(to.ip(), 99), pair.ends[0].udp_bind(at("[::]:6")).unwrap());
            pair.ends[0].udp_connect(sender, closed).unwrap();
            pair.ends[0].udp_send_segmented(sender, &sent, 1_400, None, closed).unwrap();
            pair.settle();
            assert_eq!(pair.ends[0].udp().take_error(sender), Some(SocketError::ConnectionRefused));
            // At the closed port; a second answer finds the socket's error told.
            let expected = [DropReason::UdpNoSocket, DropReason::IcmpRateLimited, DropReason::IcmpIgnored];
            let drops = pair.drops();
            assert!(drops.iter().all(|reason| expected.contains(reason)), "{drops:?}");
        }
    }
}

/// tun facts: a super-segment is as many whole segments as fit into 65,535 bytes of IP packet, 44 or 45 of them at an MTU of 1,500.
#[test]
fn super_segments_are_as_many_whole_segments_as_an_ip_packet_holds() {
    for (v6, timestamps, mss, count) in [
        (false, false, 1_460, 44),
        (false, true, 1_448, 45),
        (true, false, 1_440, 45),
        (true, true, 1_428, 45),
    ] {
        let mut pair = Pair::new(OFFLOAD, OFFLOAD, timestamps);
        pair.transfer(v6);
        let largest = pair.sent.iter().filter(|(offload, _)| offload.is_super()).map(|&(_, len)| len).max();
        assert_eq!(largest, Some(count * mss), "IPv6: {v6}, timestamps: {timestamps}");
        let start = if v6 { 40 } else { 20 };
        assert!(pair.sent.contains(&(Offload::Tcp { mss: mss as u16, start }, count * mss)));
        assert_eq!(pair.drops(), []);
    }
}
