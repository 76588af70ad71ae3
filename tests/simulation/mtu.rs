//! Paths that carry less than the hosts' links do: routers that say so, and routers that do not (hostile cases T9 and M12).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;

use tidegate::base::rng::Rng;
use tidegate::base::time::{Duration, Instant};
use tidegate::device::Capabilities;
use tidegate::sim::{LinkConfig, Node};
use tidegate::tcp::config::TcpConfig;
use tidegate::wire::checksum::Sum;
use tidegate::wire::icmp::{ErrorKind, Message};
use tidegate::wire::ip::{IpHeader, IpPacket, protocol};
use tidegate::wire::packet::{Frame, Offload, Packet};

use crate::pair::{Pair, Plan, converse, expect_nothing_left};

const MINUTE: Duration = Duration::from_secs(60);

/// A router that has nothing to do but to send the messages which a link's filter leaves with it.
struct Router(Rc<RefCell<VecDeque<Vec<u8>>>>);

impl Node for Router {
    fn receive(&mut self, _: Packet, _: Instant) {}

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }

    fn poll_transmit(&mut self, _: Instant) -> Option<Frame> {
        let mut frame = Frame::new(Offload::None);
        frame.push_header(&self.0.borrow_mut().pop_front()?);
        Some(frame)
    }
}

/// "Packet too big", about `packet`, which it quotes by its first 60 bytes.
fn too_big(packet: &[u8], mtu: u32) -> Vec<u8> {
    let about = IpPacket::parse(packet).unwrap().header;
    let (src, protocol): (IpAddr, _) = match about.src {
        IpAddr::V4(_) => (IpAddr::from([10, 77, 0, 9]), protocol::ICMP),
        IpAddr::V6(_) => (IpAddr::from([0xfd77, 0, 0, 0, 0, 0, 0, 9]), protocol::ICMPV6),
    };
    let header = IpHeader { src, dst: about.src, protocol, hop_limit: 64, traffic_class: 0 };
    let message = Message::Error(ErrorKind::PacketTooBig { mtu }).encode(src);
    let mut icmp = [&message[..], &packet[..60]].concat();
    let sum =
        if src.is_ipv4() { Sum::new() } else { Sum::pseudo_header(src, about.src, protocol, icmp.len()) };
    let checksum = sum.add(&icmp).checksum();
    icmp[2..4].copy_from_slice(&checksum.to_be_bytes());
    [&header.encode(icmp.len(), None)[..], &icmp].concat()
}

/// Two hosts with links of 1,500 bytes on a path of `mtu`, each direction of which a router guards; it speaks unless `silent`.
fn path(v6: bool, offload: bool, mtu: usize, silent: bool) -> Pair {
    let capabilities = if offload { Capabilities::offload(1_500) } else { Capabilities::plain(1_500) };
    let tcp = TcpConfig::default();
    let mut pair = Pair::new(1, v6, [tcp.clone(), tcp], [capabilities; 2], LinkConfig::default());
    for from in [0, 1] {
        let messages = Rc::new(RefCell::new(VecDeque::new()));
        let router = pair.network.add_node(Router(messages.clone()), &[]);
        pair.network.connect_one_way(router, pair.hosts[from], LinkConfig::default());
        pair.network.set_filter(pair.hosts[from], pair.hosts[1 - from], move |packet, _| {
            if packet.len() > mtu && !silent {
                messages.borrow_mut().push_back(too_big(packet, mtu as u32));
            }
            packet.len() <= mtu
        });
    }
    pair
}

/// Both write so many bytes; returns the first host's timeouts and how many of its packets were too big.
fn exchange(pair: &mut Pair, writes: usize) -> (u64, u64) {
    let plan = Plan { writes, chunk: 40_000, waits_for_eof: false, drops: false, pauses: 0.0 };
    let mut apps = pair.open([plan.clone(), plan], &mut Rng::from_u64(1));
    converse(&mut pair.network, &mut apps, 10 * MINUTE);
    let now = pair.network.now();
    pair.network.stack(pair.hosts[1]).tcp_close_listener(apps[1].listener.unwrap(), now);
    expect_nothing_left(&mut pair.network, &pair.hosts, 10 * MINUTE);
    let timeouts = pair.network.stack(pair.hosts[0]).counters().tcp_timeouts;
    (timeouts, pair.network.link_counters(pair.hosts[0], pair.hosts[1]).filtered)
}

/// RFC 1191, RFC 8201; policy 22: where routers tell their MTU a transfer loses a flight and no timeout, and the next
/// connection loses nothing.
#[test]
fn a_path_that_tells_its_mtu_costs_no_timeout() {
    for (v6, offload) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut pair = path(v6, offload, 1_300, false);
        let (timeouts, too_big) = exchange(&mut pair, 1_000_000);
        assert_eq!(timeouts, 0, "v6 {v6}, offload {offload}");
        assert!((1..=20).contains(&too_big), "{too_big} packets were too big");
        assert_eq!(exchange(&mut pair, 100_000), (0, too_big), "the second connection knows");
    }
}

/// A path below the floor of 552 bytes: without DF the routers' links carry what they fragment; here they carry it whole.
#[test]
fn a_path_below_the_floor_gets_segments_without_df() {
    let mut pair = path(false, true, 300, false);
    let messages = Rc::new(RefCell::new(VecDeque::new()));
    let router = pair.network.add_node(Router(messages.clone()), &[]);
    pair.network.connect_one_way(router, pair.hosts[0], LinkConfig::default());
    for (from, to) in [(0, 1), (1, 0)] {
        let messages = messages.clone();
        pair.network.set_filter(pair.hosts[from], pair.hosts[to], move |packet, _| {
            let passes = packet.len() <= 300 || packet[6] & 0x40 == 0;
            if !passes && from == 0 {
                messages.borrow_mut().push_back(too_big(packet, 300));
            }
            passes || from == 1
        });
    }
    let (timeouts, too_big) = exchange(&mut pair, 200_000);
    assert!(timeouts == 0 && too_big <= 10, "{timeouts} timeouts, {too_big} packets were too big");
}

/// Hostile case M12, RFC 4821 §7.7, RFC 2923 §2.1: packets above a size vanish in silence, and all bytes arrive all the same.
#[test]
fn a_silent_black_hole_is_passed() {
    for (v6, offload, mtu) in
        [(false, false, 1_200), (false, true, 1_000), (true, false, 1_300), (true, true, 1_280)]
    {
        let mut pair = path(v6, offload, mtu, true);
        let (timeouts, too_big) = exchange(&mut pair, 300_000);
        assert!((4..=20).contains(&timeouts) && too_big <= 100, "{timeouts} timeouts, {too_big} too big");
    }
}
