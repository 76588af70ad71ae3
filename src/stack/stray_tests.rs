//! Several stacks behind the same addresses, whose packets come on any queue: worse than a host ever does it.

use std::io::IoSlice;
use std::net::SocketAddr;

use super::strays::MAX_STRAYS;
use super::tests::{at, drain, stack};
use super::*;
use crate::base::counters::DropReason;
use crate::base::socket::SocketError;
use crate::base::time::Duration;
use crate::icmp::ping::PingEvent;
use crate::tcp::{ListenerId, TcpId};
use crate::wire::packet::Packet;

const SHARDS: usize = 3;
const ADDRS: [&str; 2] = ["10.77.0.2", "fd77::2"];

/// A peer, and shards with the same addresses.
struct Net {
    peer: Stack,
    shards: Vec<Stack>,
    now: Instant,
    rng: Rng,
}

impl Net {
    fn new() -> Self {
        let shard = |part| {
            let mut shard = stack(&ADDRS, 10 + part as u8);
            shard.set_share(Share::new(part, SHARDS as u16));
            shard
        };
        let (peer, shards) = (stack(&["10.77.0.1", "fd77::1"], 1), (0..SHARDS as u16).map(shard).collect());
        Net { peer, shards, now: Instant::ZERO, rng: Rng::from_u64(7) }
    }

    /// Carries packets until all are silent.
    fn settle(&mut self) {
        loop {
            let there = drain(&mut self.peer, self.now);
            let back: Vec<Packet> = self.shards.iter_mut().flat_map(|shard| drain(shard, self.now)).collect();
            if there.is_empty() && back.is_empty() {
                return;
            }
            there.into_iter().for_each(|packet| self.arrive(packet));
            back.into_iter().for_each(|packet| self.peer.receive(packet, self.now));
            self.now += Duration::from_millis(50);
            self.shards.iter_mut().for_each(|shard| shard.handle_timeout(self.now));
            self.peer.handle_timeout(self.now);
        }
    }

    /// A packet comes on any queue, a fragment on that of its addresses' hash.
    fn arrive(&mut self, packet: Packet) {
        let bytes = packet.bytes();
        let fragment = bytes[0] >> 4 == 4 && (bytes[6] & 0x3f, bytes[7]) != (0, 0);
        let queue = if fragment { 0 } else { self.rng.below(SHARDS as u64) as usize };
        self.shards[queue].receive(packet, self.now);
        while let Some(stray) = self.shards[queue].poll_stray() {
            let mut others = (0..SHARDS).filter(|&other| other != queue);
            if let Some(stray) =
                others.try_fold(stray, |stray, other| self.shards[other].adopt(stray, self.now))
            {
                self.shards[queue].refuse(stray, self.now);
            }
        }
    }

    /// What all shards together counted under this name.
    fn counted(&self, count: impl Fn(&Counters) -> u64) -> u64 {
        self.shards.iter().map(|shard| count(shard.counters())).sum()
    }

    /// Sends `bytes` over a connection of the peer and of a shard, and reads them.
    fn transfer(&mut self, from: TcpId, (shard, to): (usize, TcpId), bytes: &[u8]) {
        let (mut sent, mut received) = (0, Vec::new());
        while received.len() < bytes.len() {
            assert!(self.now < Instant::ZERO + Duration::from_secs(600), "{} bytes came", received.len());
            if let Ok(count) = self.peer.tcp().send(from, &[IoSlice::new(&bytes[sent..])], self.now) {
                sent += count;
            }
            self.settle();
            let mut block = [0; 10_000];
            while let Ok(count @ 1..) = self.shards[shard].tcp().recv(to, &mut block, self.now) {
                received.extend_from_slice(&block[..count]);
            }
        }
        assert!(received == bytes);
    }
}

/// The connection that a shard accepted.
fn accepted(net: &mut Net, listeners: &[ListenerId]) -> (usize, TcpId) {
    let accept = |(number, &listener): (usize, &ListenerId)| {
        net.shards[number].tcp().accept(listener).ok().map(|(id, _)| (number, id))
    };
    listeners.iter().enumerate().find_map(accept).expect("a connection")
}

/// RFC 9293 §3.10.7: a segment belongs to its connection, whatever queue it comes on.
#[test]
fn a_connection_survives_segments_on_any_queue() {
    let mut net = Net::new();
    let listeners: Vec<_> =
        net.shards.iter_mut().map(|shard| shard.tcp_listen(at("[::]:7"), 8).unwrap()).collect();
    let bytes: Vec<u8> = (0..100_000u32).map(|i| (i / 7) as u8).collect();
    let mut taken = [0; SHARDS];
    for addr in ADDRS.into_iter().cycle().take(12) {
        let to = SocketAddr::new(addr.parse().unwrap(), 7);
        let from = net.peer.tcp_connect(None, to, net.now).unwrap();
        net.settle();
        let end = accepted(&mut net, &listeners);
        taken[end.0] += 1;
        net.transfer(from, end, &bytes);
        net.peer.tcp_close(from, net.now);
        net.shards[end.0].tcp_close(end.1, net.now);
        net.settle();
    }
    assert!(taken.iter().all(|&count| count > 0), "{taken:?}");
    assert!(net.counted(|counters| counters.strays_adopted) > 100);
    assert_eq!(net.counted(|counters| counters.tcp_rst_out), 0);
    assert_eq!(net.counted(|counters| counters.drops().count() as u64), 0);
}

/// One shard alone listens: every connection is its, and no other shard refuses it.
#[test]
fn a_service_may_listen_in_one_shard() {
    let mut net = Net::new();
    let listener = net.shards[1].tcp_listen(at("[::]:7"), 8).unwrap();
    for _ in 0..6 {
        let from = net.peer.tcp_connect(None, at("10.77.0.2:7"), net.now).unwrap();
        net.settle();
        let (id, _) = net.shards[1].tcp().accept(listener).unwrap();
        net.transfer(from, (1, id), b"hello");
    }
    assert_eq!(net.counted(|counters| counters.tcp_rst_out), 0);
}

/// RFC 9293 §3.4: two shards never choose the same port towards the same peer.
#[test]
fn shards_open_connections_from_ports_of_their_own() {
    let mut net = Net::new();
    let listener = net.peer.tcp_listen(at("10.77.0.1:80"), 1_000).unwrap();
    let mut ports = std::collections::BTreeSet::new();
    for round in 0..100 {
        for shard in 0..SHARDS {
            let id = net.shards[shard].tcp_connect(None, at("10.77.0.1:80"), net.now).unwrap();
            net.settle();
            let (end, _) = net.peer.tcp().accept(listener).unwrap();
            ports.insert(net.shards[shard].tcp().local_addr(id).unwrap().port());
            net.transfer(end, (shard, id), format!("round {round}").as_bytes());
        }
    }
    assert_eq!(ports.len(), 100 * SHARDS);
    let mut chosen = |shard: usize| {
        let id = net.shards[shard].udp_bind(at("10.77.0.2:0")).unwrap();
        net.shards[shard].udp().local_addr(id).unwrap().port()
    };
    let ports: std::collections::BTreeSet<_> = (0..SHARDS).cycle().take(1_500).map(&mut chosen).collect();
    assert_eq!(ports.len(), 1_500);
}

/// RFC 768, RFC 792: datagrams, whole and in fragments, echo replies and errors find the one socket they are for.
#[test]
fn datagrams_replies_and_errors_find_their_shard() {
    let mut net = Net::new();
    let server = net.shards[2].udp_bind(at("[::]:7")).unwrap();
    let sender = net.peer.udp_bind(at("[::]:0")).unwrap();
    for len in [5, 9_000].repeat(6) {
        net.peer.udp_send_to(sender, &vec![3; len], at("10.77.0.2:7")).unwrap();
        net.settle();
        assert_eq!(net.shards[2].udp().recv_from(server, &mut [0; 10_000]).unwrap().len, len);
    }
    for shard in (0..SHARDS).cycle().take(12) {
        let id = net.shards[shard].ping_open("10.77.0.1".parse().unwrap()).unwrap();
        net.shards[shard].ping_send(id, 1, b"?").unwrap();
        net.settle();
        assert!(matches!(net.shards[shard].pings().recv(id), Ok(PingEvent::Reply { .. })));
        let socket = net.shards[shard].udp_bind(at("10.77.0.2:0")).unwrap();
        net.shards[shard].udp_connect(socket, at("10.77.0.1:9")).unwrap();
        net.shards[shard].udp_send(socket, b"nobody hears").unwrap();
        net.settle();
        let refused = net.shards[shard].udp().recv_from(socket, &mut [0; 10]);
        assert_eq!(refused.err(), Some(SocketError::ConnectionRefused));
    }
}

/// RFC 9293 §3.10.7.1, RFC 1122 §4.1.3.1: what is nobody's is answered, and answered once.
#[test]
fn what_is_no_shards_is_refused_once() {
    let mut net = Net::new();
    let id = net.peer.tcp_connect(None, at("10.77.0.2:80"), net.now).unwrap();
    let socket = net.peer.udp_bind(at("10.77.0.1:0")).unwrap();
    net.peer.udp_connect(socket, at("10.77.0.2:9")).unwrap();
    net.peer.udp_send(socket, b"?").unwrap();
    net.settle();
    assert_eq!(net.peer.tcp().recv(id, &mut [0], net.now), Err(SocketError::ConnectionRefused));
    assert_eq!(net.peer.udp().recv_from(socket, &mut [0]).err(), Some(SocketError::ConnectionRefused));
    assert_eq!(
        (net.counted(|counters| counters.tcp_rst_out), net.counted(|counters| counters.icmp_out)),
        (1, 1)
    );
}

/// Strays that nobody fetches are bounded, and what is beyond is counted.
#[test]
fn strays_are_bounded() {
    let mut net = Net::new();
    let sender = net.peer.udp_bind(at("10.77.0.1:0")).unwrap();
    for _ in 0..MAX_STRAYS + 10 {
        net.peer.udp_send_to(sender, b"?", at("10.77.0.2:9")).unwrap();
        for packet in drain(&mut net.peer, net.now) {
            net.shards[0].receive(packet, net.now);
        }
    }
    assert_eq!(net.shards[0].counters().dropped(DropReason::StrayLimit), 10);
    assert_eq!(std::iter::from_fn(|| net.shards[0].poll_stray()).count(), MAX_STRAYS);
    // A stack that is alone has none.
    let mut alone = stack(&ADDRS, 1);
    net.peer.udp_send_to(sender, b"?", at("10.77.0.2:9")).unwrap();
    drain(&mut net.peer, net.now).into_iter().for_each(|packet| alone.receive(packet, net.now));
    assert!(alone.poll_stray().is_none());
}
