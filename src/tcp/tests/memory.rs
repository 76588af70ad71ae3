//! The memory budget of a stack (policy 30; hostile cases M1, M4): what many connections may hold together, and that each goes on all
//! the same.

use super::*;

/// One connection of many to the same listener.
#[derive(Clone, Copy)]
struct Peer {
    port: u16,
    iss: SeqNum,
    id: TcpId,
}

/// A limit on memory, and buffers larger than that.
fn scarce(memory_limit: usize) -> TcpConfig {
    let receive_buffer = 1 << 20;
    TcpConfig { memory_limit, receive_buffer, receive_buffer_initial: receive_buffer, ..plain() }
}

fn connect(b: &mut Bench, port: u16) -> Peer {
    b.tuple.remote.port = port;
    b.gets(seg(SYN, 0, 0).mss(MSS as u16));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1));
    b.silent();
    let id = b.tcp.accept(b.listener.unwrap()).unwrap().0;
    Peer { port, iss: b.iss, id }
}

/// The bench speaks for this peer from now on.
fn be(b: &mut Bench, peer: Peer) {
    (b.tuple.remote.port, b.iss, b.id) = (peer.port, peer.iss, Some(peer.id));
}

fn sum(b: &Bench) -> usize {
    b.tcp.connections.iter().map(|(_, tcb)| tcb.memory()).sum()
}

fn window(b: &Bench) -> u32 {
    b.tcp.info(b.id()).unwrap().receive_window
}

/// Policy 30: from three quarters of the limit on windows shrink towards four segments; SHLD-14: no right edge moves back meanwhile.
/// The window opens again when memory is free.
#[test]
fn windows_shrink_under_pressure_and_open_again() {
    let mut b = Bench::listening(scarce(400_000));
    let [hog, other] = [1, 2].map(|port| connect(&mut b, port));
    be(&mut b, hog);
    let mut seq = 1;
    while b.tcp.memory_in_use() < 300_000 {
        b.gets(seg(ACK, seq, 1).data(&bytes(60_000)));
        seq += 60_000;
        while b.next().is_some() {}
    }
    be(&mut b, other);
    let (mut next, mut edge) = (1, 1 + window(&b));
    for _ in 0..100 {
        b.gets(seg(ACK, next, 1).data(&bytes(1_000)));
        next += 1_000;
        b.read().unwrap();
        while b.next().is_some() {}
        assert!(next + window(&b) >= edge, "the edge moved back");
        edge = next + window(&b);
    }
    assert!((2_000..=4_000).contains(&window(&b)), "{}", window(&b));
    be(&mut b, hog);
    while b.read().is_ok() {}
    be(&mut b, other);
    b.gets(seg(ACK, next, 1).data(&bytes(1_000)));
    b.read().unwrap();
    b.jump(ms(40));
    while b.next().is_some() {}
    assert!(window(&b) > 50_000, "{}", window(&b));
    assert_eq!((b.counters.tcp_memory_pressure, b.dropped(DropReason::TcpMemory)), (1, 0));
}

/// Policy 30: at the limit data is dropped and counted, in order or not; each connection still has its smallest buffer, and takes what
/// was dropped when it comes again after a read.
#[test]
fn at_the_limit_data_is_dropped_beyond_the_smallest_buffer() {
    let mut b = Bench::listening(scarce(131_072));
    let [hog, other] = [1, 2].map(|port| connect(&mut b, port));
    be(&mut b, hog);
    for seq in [1, 60_001] {
        b.gets(seg(ACK, seq, 1).data(&bytes(60_000)));
        while b.next().is_some() {}
    }
    assert_eq!(b.tcp.memory_in_use(), 131_072);
    b.gets(seg(ACK, 120_001, 1).data(&bytes(1_000)));
    b.sends(ACK, 1, 120_001);
    b.gets(seg(ACK, 121_001, 1).data(&bytes(1_000)));
    b.sends(ACK, 1, 120_001);
    assert_eq!(b.dropped(DropReason::TcpMemory), 2);
    be(&mut b, other);
    b.gets(seg(ACK, 1, 1).data(&bytes(20_000)));
    b.sends(ACK, 1, 2_049);
    assert_eq!(b.read().map(|read| read.len()), Ok(2_048), "a small buffer");
    let mut seq = 2_049;
    for _ in 0..10 {
        b.gets(seg(ACK, seq, 1).data(&bytes(1_000)));
        seq = b.next().map_or(seq, |sent| sent.ack);
    }
    let read = b.read().unwrap().len();
    assert!((4_000..=8_000).contains(&read), "{read}: eight segments and no more");
    be(&mut b, hog);
    b.read().unwrap();
    b.gets(seg(ACK, 120_001, 1).data(&bytes(2_000)));
    assert_eq!(sum(&b), b.tcp.memory_in_use());
    assert_eq!(b.read().map(|read| read.len()), Ok(22_000));
}

/// Policy 30: at the limit a writer gets its smallest buffer and then waits; the acknowledgement of what it wrote lets it go on.
#[test]
fn at_the_limit_writers_wait_beyond_their_smallest_buffer() {
    let mut b = Bench::listening(scarce(65_536));
    let [hog, other] = [1, 2].map(|port| connect(&mut b, port));
    be(&mut b, hog);
    b.gets(seg(ACK, 1, 1).data(&bytes(60_000)));
    while b.next().is_some() {}
    be(&mut b, other);
    assert_eq!(b.write(&bytes(10_000)), Ok(4_096));
    assert!(!b.readiness().has(Readiness::OUT));
    assert_eq!(b.write(b"x"), Err(SocketError::WouldBlock));
    while b.next().is_some() {}
    b.told();
    b.gets(seg(ACK, 1, 4_097));
    assert!(b.told().has(Readiness::OUT) && b.readiness().has(Readiness::OUT));
    assert_eq!(b.write(&bytes(10_000)), Ok(4_096));
}

/// Hostile case M1: peers that leave gaps open and then say nothing lose what waits behind them as soon as memory is scarce, while
/// anybody else is served.
#[test]
fn silent_peers_with_gaps_make_room() {
    let mut b = Bench::listening(scarce(1 << 20));
    let silent: Vec<_> = (1..=20).map(|port| connect(&mut b, port)).collect();
    let honest = connect(&mut b, 99);
    for &peer in &silent {
        be(&mut b, peer);
        b.gets(seg(ACK, 2, 1).data(&bytes(40_000)));
        while b.next().is_some() {}
    }
    assert_eq!(b.counters.tcp_memory_pressure, 1);
    be(&mut b, honest);
    for i in 0..20 {
        b.gets(seg(ACK, 1 + i * 1_000, 1).data(&bytes(1_000)));
        b.read().unwrap();
        while b.next().is_some() {}
    }
    assert!(b.tcp.memory_in_use() < 3 << 18, "{}", b.tcp.memory_in_use());
    assert!(b.dropped(DropReason::TcpMemory) > 0 && window(&b) > 50_000);
    assert_eq!(sum(&b), b.tcp.memory_in_use());
}

/// The account agrees with the queues whatever happens, and is empty when the connections are gone.
#[test]
fn the_account_agrees_with_the_queues() {
    let mut rng = Rng::from_u64(5);
    let mut b = Bench::listening(scarce(300_000));
    let peers: Vec<_> = (1..=6).map(|port| connect(&mut b, port)).collect();
    for _ in 0..3_000 {
        be(&mut b, peers[rng.below(6) as usize]);
        let len = 1 + rng.below(60_000) as usize;
        let tcb = b.tcp.connections.get(b.id().0).unwrap();
        let (nxt, una, snd) = (tcb.rcv.nxt.since(b.irs), tcb.snd.una.since(b.iss), tcb.snd.nxt.since(b.iss));
        match rng.below(6) {
            0 => b.gets(seg(ACK, nxt, una).data(&bytes(len))),
            1 => b.gets(seg(ACK, nxt + rng.below(90_000) as u32, una).data(&bytes(len))),
            2 => drop(b.read()),
            3 => drop(b.write(&bytes(len))),
            4 => b.gets(seg(ACK, nxt, snd)),
            _ => b.jump(ms(rng.below(50))),
        }
        while b.next().is_some() {}
        assert_eq!(sum(&b), b.tcp.memory_in_use());
        // What is beyond the limit are smallest buffers, and one payload that was taken with the last of the room.
        assert!(b.tcp.memory_in_use() <= 300_000 + 6 * (8_192 + 4_096 + 65_536), "{}", b.tcp.memory_in_use());
    }
    for peer in peers {
        be(&mut b, peer);
        b.tcp.abort(peer.id, &mut b.counters, b.now);
    }
    while b.next().is_some() {}
    assert_eq!((b.tcp.connections().count(), b.tcp.memory_in_use()), (0, 0));
}

/// Policy 30: the last of the room is used, and not exceeded: text counts by its bytes if it will be copied, by the chunk that it keeps if
/// it fills half of that.
#[test]
fn the_last_of_the_room_is_used_and_not_exceeded() {
    for (len, taken) in [(1_000, true), (1_023, true), (1_024, false), (1_100, false)] {
        let mut b = Bench::listening(scarce(1 << 20));
        let peer = connect(&mut b, 1);
        be(&mut b, peer);
        b.gets(seg(ACK, 1, 1).data(&bytes(60_000)));
        // Short text opens a buffer that more of it is copied into.
        b.gets(seg(ACK, 60_001, 1).data(&bytes(10)));
        while b.next().is_some() {}
        b.tcp.config.memory_limit = b.tcp.memory_in_use() + 1_500;
        b.gets(seg(ACK, 60_011, 1).data(&bytes(len)));
        let refused = b.dropped(DropReason::TcpMemory);
        assert!(refused == u64::from(!taken) && b.tcp.memory_in_use() <= b.tcp.config.memory_limit, "{len}");
        let read = b.read().unwrap().len();
        assert_eq!(read, if taken { 60_010 + len } else { 60_010 });
    }
}
