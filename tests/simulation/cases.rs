//! Cases that deserve a name: what is lost, full, crossed or wrapped around at the one moment that matters.

use std::io::IoSlice;
use std::net::{Shutdown, SocketAddr};

use tidegate::base::counters::DropReason;
use tidegate::base::rng::Rng;
use tidegate::base::socket::SocketError;
use tidegate::base::time::{Duration, Instant};
use tidegate::device::Capabilities;
use tidegate::sim::LinkConfig;
use tidegate::tcp::TcpId;
use tidegate::tcp::config::{SynCookies, TcpConfig};
use tidegate::tcp::state::State;
use tidegate::wire::tcp::{Flags, TcpHeader};

use crate::pair::{PORT, Pair, Plan, converse, expect_nothing_left};

const MINUTE: Duration = Duration::from_secs(60);

fn pair(tcp: TcpConfig) -> Pair {
    Pair::new(1, false, [tcp.clone(), tcp], [Capabilities::plain(1500); 2], LinkConfig::default())
}

/// Writes so much in calls of a few kilobytes, reads as it comes.
fn writes(writes: usize) -> Plan {
    Plan { writes, chunk: 4_000, waits_for_eof: false, drops: false, pauses: 0.0 }
}

fn tcp(packet: &[u8]) -> (TcpHeader, usize) {
    let start = if packet[0] >> 4 == 4 { 20 } else { 40 };
    let (header, len) = TcpHeader::parse(&packet[start..]).unwrap();
    (header, packet.len() - start - len)
}

/// Lets a filter lose the first packet that `chosen` names, from the host at `from`.
fn lose_first(pair: &mut Pair, from: usize, mut chosen: impl FnMut(&TcpHeader, usize) -> bool + 'static) {
    let mut done = false;
    pair.network.set_filter(pair.hosts[from], pair.hosts[1 - from], move |packet, _| {
        let (header, len) = tcp(packet);
        let hit = !done && chosen(&header, len);
        done |= hit;
        !hit
    });
}

fn state(pair: &mut Pair, host: usize, id: TcpId) -> State {
    pair.network.stack(pair.hosts[host]).tcp().info(id).unwrap().state
}

fn exchange(pair: &mut Pair, plans: [Plan; 2]) {
    let mut apps = pair.open(plans, &mut Rng::from_u64(1));
    converse(&mut pair.network, &mut apps, 10 * MINUTE);
    let now = pair.network.now();
    pair.network.stack(pair.hosts[1]).tcp_close_listener(apps[1].listener.unwrap(), now);
    expect_nothing_left(&mut pair.network, &pair.hosts, 10 * MINUTE);
}

/// RFC 9293 §3.8.1, §3.10.7: whichever segment of handshake or close is lost, it is sent again.
#[test]
fn any_one_lost_segment_of_handshake_and_close_is_repaired() {
    let syn = |header: &TcpHeader, _| header.flags.has(Flags::SYN);
    let ack = |header: &TcpHeader, len| header.flags == Flags::ACK && len == 0;
    let fin = |header: &TcpHeader, _| header.flags.has(Flags::FIN);
    for from in [0, 1] {
        for chosen in [syn as fn(&TcpHeader, usize) -> bool, ack, fin] {
            let mut pair = pair(TcpConfig::default());
            lose_first(&mut pair, from, chosen);
            exchange(&mut pair, [writes(10_000), writes(3_000)]);
            assert_eq!(pair.network.link_counters(pair.hosts[from], pair.hosts[1 - from]).filtered, 1);
        }
    }
}

/// Opens a connection from both sides at once, over fixed ports.
fn open_both(pair: &mut Pair) -> [TcpId; 2] {
    let now = pair.network.now();
    let ends = [SocketAddr::new(pair.addrs[0], 1000), SocketAddr::new(pair.addrs[1], 2000)];
    [0, 1].map(|i| {
        let stack = pair.network.stack(pair.hosts[i]);
        stack.tcp_connect(Some(ends[i]), ends[1 - i], now).unwrap()
    })
}

fn finish_both(pair: &mut Pair, ids: [TcpId; 2]) {
    for i in [0, 1] {
        let now = pair.network.now();
        pair.network.stack(pair.hosts[i]).tcp().shutdown(ids[i], Shutdown::Write, now).unwrap();
    }
    let open = |network: &mut tidegate::sim::Network, host, id| {
        let now = network.now();
        network.stack(host).tcp().recv(id, &mut [0; 9], now) == Err(SocketError::WouldBlock)
    };
    let hosts = pair.hosts;
    let ended =
        pair.network.run_while(10 * MINUTE, |network| (0..2).any(|i| open(network, hosts[i], ids[i])));
    assert!(ended);
    for i in [0, 1] {
        let now = pair.network.now();
        pair.network.stack(pair.hosts[i]).tcp_close(ids[i], now);
    }
    expect_nothing_left(&mut pair.network, &pair.hosts, 10 * MINUTE);
}

/// RFC 9293 §3.5, figure 7 (MUST-10): two SYNs that cross make one connection, and only a few segments of it; then both close
/// at once (figure 13).
#[test]
fn a_simultaneous_open_and_a_simultaneous_close_make_one_connection() {
    let mut pair = pair(TcpConfig::default());
    let ids = open_both(&mut pair);
    pair.network.run_until(pair.network.now() + Duration::from_millis(500));
    for i in [0, 1] {
        assert_eq!(state(&mut pair, i, ids[i]), State::Established);
        let sent = pair.network.link_counters(pair.hosts[i], pair.hosts[1 - i]).packets;
        assert!(sent <= 3, "{sent} segments for a handshake");
    }
    finish_both(&mut pair, ids);
}

/// The same under loss, many times: it never stalls.
#[test]
fn a_simultaneous_open_survives_loss() {
    for seed in 0..100 {
        let link = LinkConfig { loss: 0.3, duplicate: 0.1, reorder: 0.2, ..LinkConfig::default() };
        let tcp = TcpConfig {
            syn_retries: 20,
            syn_ack_retries: 20,
            retries: 60,
            orphan_retries: 60,
            ..TcpConfig::default()
        };
        let mut pair =
            Pair::new(seed, seed % 2 == 1, [tcp.clone(), tcp], [Capabilities::plain(1500); 2], link);
        let ids = open_both(&mut pair);
        let hosts = pair.hosts;
        let opened = pair.network.run_while(10 * MINUTE, |network| {
            (0..2).any(|i| network.stack(hosts[i]).tcp().info(ids[i]).unwrap().state != State::Established)
        });
        assert!(opened, "seed {seed}: {:?} {:?}", state(&mut pair, 0, ids[0]), state(&mut pair, 1, ids[1]));
        finish_both(&mut pair, ids);
    }
}

/// RFC 9293 §3.10.4: closing while the SYNs have crossed but not been acknowledged sends the FIN once they are.
#[test]
fn a_close_in_syn_received_follows_the_handshake() {
    let mut pair = pair(TcpConfig::default());
    crate::show::if_asked(&mut pair.network);
    let ids = open_both(&mut pair);
    let hosts = pair.hosts;
    let received = pair.network.run_while(MINUTE, |network| {
        (0..2).all(|i| network.stack(hosts[i]).tcp().info(ids[i]).unwrap().state != State::SynReceived)
    });
    assert!(received);
    finish_both(&mut pair, ids);
}

/// RFC 9293 §3.8.6.1: a reader that pauses closes the window; the update that opens it may be lost, and the probe repairs that.
#[test]
fn a_lost_window_update_is_repaired_by_a_probe() {
    let mut pair = pair(TcpConfig { receive_buffer: 20_000, ..TcpConfig::default() });
    let mut closed = false;
    lose_first(&mut pair, 1, move |header, _| {
        let update = closed && header.window > 0;
        closed |= header.window == 0;
        update
    });
    let mut apps = pair.open([writes(50_000), writes(0)], &mut Rng::from_u64(1));
    let [a, b] = &mut apps;
    let until = pair.network.now() + Duration::from_secs(20);
    let (client, server) = (pair.hosts[0], pair.hosts[1]);
    // The server accepts and reads nothing for 20 s.
    let accepted = pair.network.run_while(MINUTE, |network| {
        a.act(network);
        b.id =
            b.id.or_else(|| network.stack(server).tcp().accept(b.listener.unwrap()).ok().map(|(id, _)| id));
        network.now() < until && network.next_event().is_some_and(|at| at < until)
    });
    assert!(accepted);
    let waiting = pair.network.stack(server).tcp().info(b.id.unwrap()).unwrap().receive_queue;
    assert!((8_000..=10_000).contains(&waiting), "{waiting} bytes fill the window");
    converse(&mut pair.network, &mut apps, 10 * MINUTE);
    let counters = pair.network.link_counters(server, client);
    assert_eq!(counters.filtered, 1, "the update was lost");
    let now = pair.network.now();
    pair.network.stack(server).tcp_close_listener(apps[1].listener.unwrap(), now);
    expect_nothing_left(&mut pair.network, &pair.hosts, 10 * MINUTE);
}

/// A window is a promise of memory: whatever a sender sends in whatever pieces, what waits unread stays within the buffer.
#[test]
fn unread_data_stays_within_the_receive_buffer() {
    for receive_buffer in [3_000, 100_000, 6 << 20] {
        let config = TcpConfig { receive_buffer, nagle: false, quick_acks: 255, ..TcpConfig::default() };
        let link = LinkConfig { delay: Duration::from_micros(100), ..LinkConfig::default() };
        let mut pair = Pair::new(1, false, [config.clone(), config], [Capabilities::plain(1500); 2], link);
        let mut apps =
            pair.open([Plan { chunk: 1_111, ..writes(20_000_000) }, writes(0)], &mut Rng::from_u64(1));
        let (server, listener) = (pair.hosts[1], apps[1].listener.unwrap());
        let mut id = None;
        pair.network.run_while(MINUTE, |network| {
            apps[0].act(network);
            id = id.or_else(|| network.stack(server).tcp().accept(listener).ok().map(|(id, _)| id));
            let waiting = id.map_or(0, |id| network.stack(server).tcp().info(id).unwrap().receive_queue);
            assert!(waiting <= receive_buffer, "{waiting} bytes wait in a buffer of {receive_buffer}");
            true
        });
    }
}

/// RFC 9293 §3.10.7.2 and the accept queue's rules: with a full queue SYNs are dropped and completing ACKs ignored; the peers try
/// again, and all are served once there is room.
#[test]
fn a_full_accept_queue_and_a_full_syn_queue_delay_but_lose_nobody() {
    for (backlog, syn_queue) in [(1, 4_096), (64, 1), (1, 1)] {
        // Cookies would let the handshakes pass the full SYN queue.
        let syn_cookies = SynCookies::Off;
        let mut pair = pair(TcpConfig { syn_queue, syn_cookies, ..TcpConfig::default() });
        let server = SocketAddr::new(pair.addrs[1], PORT);
        crate::show::if_asked(&mut pair.network);
        let listener = pair.network.stack(pair.hosts[1]).tcp_listen(server, backlog).unwrap();
        let now = pair.network.now();
        let client = pair.hosts[0];
        let ids: Vec<_> =
            (0..4).map(|_| pair.network.stack(client).tcp_connect(None, server, now).unwrap()).collect();
        pair.network.run_until(now + Duration::from_secs(2));
        let mut accepted = Vec::new();
        let host = pair.hosts[1];
        let served = pair.network.run_while(10 * MINUTE, |network| {
            accepted.extend(network.stack(host).tcp().accept(listener).ok());
            accepted.len() < ids.len()
        });
        assert!(served, "{} of {} accepted", accepted.len(), ids.len());
        let now = pair.network.now();
        ids.iter().for_each(|&id| pair.network.stack(client).tcp_close(id, now));
        accepted.iter().for_each(|&(id, _)| pair.network.stack(host).tcp_close(id, now));
        pair.network.stack(host).tcp_close_listener(listener, now);
        expect_nothing_left(&mut pair.network, &pair.hosts, 10 * MINUTE);
    }
}

/// RFC 9293 §3.7.1: each side's MTU bounds what it is sent, whatever the other's is.
#[test]
fn mtus_may_differ() {
    for (a, b) in [(9000, 1500), (1280, 9000), (576, 1500), (65_535, 65_535)] {
        let link = LinkConfig { mtu: a.min(b), ..LinkConfig::default() };
        for capabilities in [Capabilities::plain, Capabilities::offload] {
            let config = TcpConfig::default();
            let mut pair = Pair::new(
                1,
                false,
                [config.clone(), config],
                [capabilities(a), capabilities(b)],
                link.clone(),
            );
            exchange(&mut pair, [writes(200_000), writes(200_000)]);
            assert_eq!(pair.network.link_counters(pair.hosts[0], pair.hosts[1]).too_big, 0);
        }
    }
}

/// What the two SYNs of a connection say that is opened at `at`: sequence numbers and timestamps.
fn first_numbers(at: Instant) -> [(u32, u32); 2] {
    let mut pair = pair(TcpConfig::default());
    pair.network.keep_trace();
    pair.network.run_until(at);
    pair.open([writes(0), writes(0)], &mut Rng::from_u64(1));
    pair.network.run_until(at + Duration::from_millis(15));
    let syns = pair.network.trace().iter().map(|traced| tcp(&traced.bytes).0).collect::<Vec<_>>();
    [0, 1].map(|i| (syns[i].seq.0, syns[i].options.timestamps.unwrap().val))
}

/// RFC 9293 §3.4, RFC 7323 §5.4: sequence numbers and timestamps go around the circle in the middle of a transfer. Both follow the
/// clock, so the time to open is computed.
#[test]
fn sequence_numbers_and_timestamps_wrap() {
    let numbers = first_numbers(Instant::ZERO);
    let moments = numbers.iter().flat_map(|&(seq, val)| {
        // 50,000 bytes before the wrap, at 4 µs a number; 50 ms before, at 1 ms a number.
        let seq_wraps = u64::from(u32::MAX - seq - 50_000) * 4_000;
        let val_wraps = u64::from(u32::MAX - val - 50) * 1_000_000;
        [seq_wraps, val_wraps].map(Instant::from_nanos)
    });
    for at in moments {
        let mut pair = pair(TcpConfig::default());
        pair.hosts.iter().for_each(|&host| pair.network.allow_drops(host, &[]));
        pair.network.keep_trace();
        pair.network.run_until(at);
        exchange(&mut pair, [writes(400_000), writes(400_000)]);
        let fell = |a: u32, b: u32| a > u32::MAX - 1_000_000 && b < 1_000_000;
        let wrapped = pair.hosts.iter().any(|&host| {
            let sent = pair.network.trace().iter().filter(|traced| traced.from == host);
            let numbers = sent.map(|traced| tcp(&traced.bytes).0).collect::<Vec<_>>();
            numbers.windows(2).any(|w| {
                let [old, new] = [&w[0], &w[1]].map(|header| header.options.timestamps.unwrap().val);
                fell(w[0].seq.0, w[1].seq.0) || fell(old, new)
            })
        });
        assert!(wrapped, "nothing wrapped after {at:?}");
    }
}
/// RFC 7323 §2.4: windows are told in units of the scale, and rounding up is a promise. Segments smaller than the unit must not have
/// it renewed for ever: unread data and window together stay within the buffer.
#[test]
fn tiny_segments_do_not_hold_the_window_open() {
    let config = TcpConfig { receive_buffer: 6 << 20, ..TcpConfig::default() };
    let mut pair = pair(config.clone());
    let apps = pair.open([writes(0), writes(0)], &mut Rng::from_u64(1));
    let (client, server, id) = (pair.hosts[0], pair.hosts[1], apps[0].id.unwrap());
    let mut accepted = None;
    let mut most = 0;
    pair.network.run_while(Duration::from_secs(9_000), |network| {
        let now = network.now();
        if network.stack(client).tcp().info(id).unwrap().send_queue == 0 {
            let _ = network.stack(client).tcp().send(id, &[IoSlice::new(&[7; 31])], now);
        }
        let tcp = network.stack(server).tcp();
        accepted = accepted.or_else(|| tcp.accept(apps[1].listener.unwrap()).ok().map(|(id, _)| id));
        let info = accepted.map(|id| tcp.info(id).unwrap());
        most = most.max(info.map_or(0, |info| info.receive_queue + info.receive_window as usize));
        true
    });
    assert!(most <= config.receive_buffer, "{most} bytes promised");
}

/// Policy 30: with next to no memory for a whole stack everything arrives all the same, since each connection keeps its smallest buffers.
#[test]
fn without_memory_to_spare_everything_arrives() {
    for memory_limit in [0, 30_000, 200_000] {
        let mut pair = pair(TcpConfig { memory_limit, ..TcpConfig::default() });
        let scarce = [DropReason::TcpMemory, DropReason::TcpReassemblyFull];
        pair.hosts.iter().for_each(|&host| pair.network.allow_drops(host, &scarce));
        exchange(&mut pair, [writes(400_000), writes(400_000)]);
        for host in pair.hosts {
            let stack = pair.network.stack(host);
            assert_eq!(stack.tcp().memory_in_use(), 0);
            assert!(stack.counters().tcp_memory_pressure > 0);
        }
    }
}

/// Policy 30: buffers that begin small cost a transfer next to nothing, whatever the path: they are large before they are needed.
#[test]
fn small_first_buffers_cost_no_time() {
    for (delay, offload) in [(2, true), (1_000, true), (50_000, false)] {
        let took = |receive_buffer_initial, send_buffer_initial| {
            let tcp = TcpConfig { receive_buffer_initial, send_buffer_initial, ..TcpConfig::default() };
            let delay = Duration::from_micros(delay);
            let link = LinkConfig { delay, rate: Some(10_000_000_000), ..LinkConfig::default() };
            let device = if offload { Capabilities::offload(1500) } else { Capabilities::plain(1500) };
            let mut pair = Pair::new(1, false, [tcp.clone(), tcp], [device; 2], link);
            let mut apps =
                pair.open([Plan { chunk: 65_536, ..writes(8_000_000) }, writes(0)], &mut Rng::from_u64(1));
            let begin = pair.network.now();
            converse(&mut pair.network, &mut apps, 10 * MINUTE);
            pair.network.now().since(begin)
        };
        let (tuned, large) = (took(131_072, 65_536), took(6 << 20, 4 << 20));
        assert!(tuned <= large.mul_f64(1.05), "{delay} µs, offload {offload}: {tuned:?} and not {large:?}");
    }
}
