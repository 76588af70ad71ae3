//! A hostile peer after a handshake (hostile cases M1, M2, M7, M8, M9): what it sends is bounded in memory and work, and gains it
//! nothing.

use super::*;
use crate::base::buffer::SMALL;

const SACK: &[(u32, u32)] = &[(500, 100), (0, 0), (5_000, 9_000), (1, 100), (1 << 31, 1)];

fn with_sack(b: &Bench, mut s: Seg, blocks: &[(u32, u32)]) -> Seg {
    s.options.sack = blocks.iter().map(|&(left, right)| (b.iss + left, b.iss + right)).collect();
    s
}

/// Hostile case M1 (CVE-2018-5390): single bytes at every second place, in order, in reverse and at random, cost a bounded number of
/// ranges and bytes, however large the window; what is dropped is counted, and the stream is whole when the holes are filled.
#[test]
fn scattered_bytes_are_bounded_in_ranges_and_memory() {
    const COUNT: u32 = 5_000;
    let mut rng = Rng::from_u64(3);
    let orders: [Vec<u32>; 3] = [
        (0..COUNT).collect(),
        (0..COUNT).rev().collect(),
        (0..COUNT).map(|_| rng.below(u64::from(COUNT)) as u32).collect(),
    ];
    for order in orders {
        let mut b = Bench::established(TcpConfig { receive_buffer: 1 << 20, ..plain() });
        for i in order {
            b.gets(seg(ACK, 2 + 2 * i, 1).data(b"x"));
            b.next();
        }
        let (_, tcb) = b.tcp.connections.iter().next().unwrap();
        let queue = tcb.reassembly.as_ref().unwrap();
        assert!(queue.blocks(None, usize::MAX).count() <= (1 << 20) / SMALL);
        assert!(queue.memory() <= 1 << 20, "{}", queue.memory());
        assert!(b.dropped(DropReason::TcpReassemblyFull) > 1_000);
        let end = 2 * COUNT + 1;
        for start in (1..end).step_by(1_000) {
            b.gets(seg(ACK, start, 1).data(&bytes(1_000.min((end - start) as usize))));
        }
        assert_eq!(b.read().map(|read| read.len()), Ok(2 * COUNT as usize));
        let (_, tcb) = b.tcp.connections.iter().next().unwrap();
        assert!(tcb.reassembly.is_none(), "nothing is left behind");
    }
}

/// Hostile case M1: memory is charged with its overhead: bytes that wait behind a gap close the window they are not counted in.
#[test]
fn scattered_bytes_are_charged_to_the_window() {
    let mut b = Bench::established(TcpConfig { receive_buffer: 60_000, ..plain() });
    let before = b.tcp.info(b.id()).unwrap().receive_window;
    for i in 0..100 {
        b.gets(seg(ACK, 2 + 2 * i, 1).data(b"x"));
    }
    let (_, tcb) = b.tcp.connections.iter().next().unwrap();
    assert!(
        tcb.free_window(&b.tcp.config, b.tcp.memory.budget(1 << 30)) < before - 100,
        "more than the bytes alone"
    );
}

/// Hostile case M2 (CVE-2019-11477, CVE-2019-5599): blocks that are empty, reversed, below SND.UNA, above SND.NXT or half of the
/// space long change nothing that a plain ACK would not.
#[test]
fn invalid_sack_blocks_are_ignored() {
    let run = |blocks: &[(u32, u32)]| {
        let mut b = Bench::listening(TcpConfig { sack: true, tail_loss_probe: false, ..plain() });
        b.gets(seg(SYN, 0, 0).mss(1000).sack_permitted());
        b.sends(SYN_ACK, 0, 1);
        b.gets(seg(ACK, 1, 1));
        b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
        b.write(&bytes(4_000)).unwrap();
        (0..4).for_each(|_| drop(b.next().expect("data")));
        b.gets(seg(ACK, 1, 1_001));
        let ack = with_sack(&b, seg(ACK, 1, 1_001), blocks);
        b.gets(ack);
        b.silent();
        b.jump(ms(2_000));
        b.sends_data(ACK, 1_001, 1, MSS);
        let info = b.tcp.info(b.id()).unwrap();
        (info.congestion_window, info.send_queue, b.state())
    };
    let plain = run(&[]);
    for &block in SACK {
        assert_eq!(run(&[block]), plain, "{block:?}");
    }
    assert_eq!(run(&SACK[..4]), plain);
}

/// Hostile case M2: SACK blocks on a connection that did not agree on them, on a SYN and beside data do no harm.
#[test]
fn sack_blocks_where_none_belong_do_no_harm() {
    let mut b = Bench::listening(plain());
    let syn = with_sack(&b, seg(SYN, 0, 0), SACK);
    b.gets(syn);
    b.sends(SYN_ACK, 0, 1);
    let ack = with_sack(&b, seg(ACK, 1, 1).data(b"x"), SACK);
    b.gets(ack);
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    assert_eq!(b.read(), Ok(b"x".to_vec()));
}

/// Hostile case M7: what is acknowledged before it can have arrived lets no more out than there was, and what was never sent, however
/// often acknowledged, grows nothing and is answered once in 500 ms.
#[test]
fn an_optimistic_receiver_gains_nothing() {
    let mut b = Bench::established(plain());
    b.write(&bytes(40_000)).unwrap();
    let mut sent = 0;
    while b.next().is_some() {
        sent += 1;
    }
    assert_eq!(sent, 10, "RFC 6928");
    let before = b.tcp.info(b.id()).unwrap().congestion_window;
    (0..1_000).for_each(|i| b.gets(seg(ACK, 1, 10_002 + i * 7)));
    b.sends(ACK, 10_001, 1);
    b.silent();
    assert_eq!(b.tcp.info(b.id()).unwrap().congestion_window, before);
    b.gets(seg(ACK, 1, 10_001));
    while b.next().is_some() {
        sent += 1;
    }
    assert_eq!(sent, 30, "slow start: twice as much, not more");
}

/// Hostile case M8 (ACK division): a segment acknowledged byte by byte grows the window by that segment in all.
#[test]
fn divided_acknowledgements_gain_nothing() {
    let grown = |step: u32| {
        let mut b = Bench::established(plain());
        b.write(&bytes(10_000)).unwrap();
        while b.next().is_some() {}
        let before = b.tcp.info(b.id()).unwrap().congestion_window;
        (1..=1_000 / step).for_each(|i| b.gets(seg(ACK, 1, 1 + i * step)));
        b.tcp.info(b.id()).unwrap().congestion_window - before
    };
    assert!(grown(1) <= 1_000 && grown(1) <= grown(1_000), "{} {}", grown(1), grown(1_000));
}

/// Hostile case M9: a window that closes and opens at random, scaled to its utmost, never lets more out than it says, and the stream
/// arrives whole.
#[test]
fn a_restless_window_is_obeyed() {
    let mut rng = Rng::from_u64(9);
    let mut b = Bench::listening(TcpConfig { window_scaling: true, ..plain() });
    b.gets(seg(SYN, 0, 0).mss(1000).scale(14));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1).window(u16::MAX));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    assert_eq!(b.tcp.info(b.id()).unwrap().send_window, 65_535 << 14);
    let data = bytes(60_000);
    b.write(&data).unwrap();
    let (mut una, mut edge, mut got) = (1u32, u32::MAX, vec![0; data.len()]);
    for _ in 0..10_000 {
        while let Some(sent) = b.next() {
            let (from, len) = (sent.seq.wrapping_sub(1) as usize, sent.payload.len());
            assert!(len == 0 || sent.seq + len as u32 <= edge || sent.seq == una, "{sent:?} beyond {edge}");
            if len > 0 {
                got[from..from + len].copy_from_slice(&sent.payload);
                una = if sent.seq <= una { una.max(sent.seq + len as u32) } else { una };
            }
        }
        if una == 60_001 {
            break;
        }
        // The edge as the peer says it: it may shrink.
        let window = if rng.chance(0.5) { 0 } else { 1 };
        edge = una + (window << 14);
        b.gets(seg(ACK, 1, una).window(window as u16));
        b.jump(ms(50));
    }
    assert_eq!((una, got == data), (60_001, true));
}

/// Hostile case M14: a hundred thousand connections opened and dropped, half of them before the handshake was over, leave no entry, no
/// timer and no event behind.
#[test]
fn a_churn_of_connections_leaves_nothing_behind() {
    let mut b = Bench::new(plain());
    for round in 0..100_000 {
        let remote = "10.0.0.1:80".parse().unwrap();
        let source = (b.tuple.local.addr, 0);
        let id = b.tcp.connect(source, remote, &mut b.counters, b.now).unwrap();
        if round % 2 == 0 {
            assert!(b.tcp.poll_transmit(&mut b.layer, &mut b.counters, b.now).is_some());
        }
        b.tcp.abort(id, &mut b.counters, b.now);
        while b.tcp.poll_transmit(&mut b.layer, &mut b.counters, b.now).is_some() {}
        assert_eq!(b.tcp.statistics(id, b.now).err(), Some(SocketError::NoSocket));
    }
    assert_eq!((b.tcp.connections().count(), b.tcp.poll_timeout()), (0, None));
    assert!(b.tcp.owners.is_empty() && b.tcp.poll_event().is_none() && b.tcp.ready.is_empty());
}
