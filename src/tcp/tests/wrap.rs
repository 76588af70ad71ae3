//! Sequence numbers around the circle (hostile case M11): every comparison must be made on it.

use super::*;

/// How far before 2³² and 2³¹ the numbers begin.
const EDGES: [u32; 2] = [u32::MAX - 9, (1 << 31) - 10];

/// A listener at a time when the stack's ISN for the peer is `iss`; the peer's is `irs`.
fn at(iss: u32, irs: u32) -> Bench {
    let mut b = Bench::listening(plain());
    // RFC 6528 §3: the number moves by one in 4 µs.
    let ahead = SeqNum(iss).since(b.tcp.secrets.isn(&b.tuple, b.now));
    b.now += Duration::from_micros(u64::from(ahead) * 4);
    assert_eq!(b.tcp.secrets.isn(&b.tuple, b.now), SeqNum(iss));
    b.irs = SeqNum(irs);
    b.handshake(60_000)
}

/// Hostile case M11, RFC 9293 §3.4: data both ways across the edge, acknowledged in part, delivered whole, then closed.
#[test]
fn a_transfer_crosses_the_edge() {
    for (iss, irs) in [(EDGES[0], EDGES[1]), (EDGES[1], EDGES[0])] {
        let mut b = at(iss, irs);
        b.write(&bytes(3_000)).unwrap();
        for i in 0..3 {
            b.sends(if i == 2 { ACK.with(PSH) } else { ACK }, 1 + i * 1_000, 1);
        }
        b.gets(seg(ACK, 1, 1_001));
        b.gets(seg(ACK, 1, 3_001).data(&bytes(1_000)));
        b.gets(seg(ACK, 1_001, 3_001).data(&bytes(1_000)));
        b.sends(ACK, 3_001, 2_001);
        assert_eq!(b.read(), Ok([bytes(1_000), bytes(1_000)].concat()));
        b.close();
        b.sends(FIN_ACK, 3_001, 2_001);
        b.gets(seg(FIN_ACK, 2_001, 3_002));
        b.sends(ACK, 3_002, 2_002);
        assert_eq!(b.state(), State::TimeWait);
    }
}

/// Hostile case M11: a gap over the edge is held, reported and filled.
#[test]
fn a_gap_crosses_the_edge() {
    for irs in EDGES {
        let mut b = at(7, irs);
        b.gets(seg(ACK, 21, 1).data(b"behind"));
        b.sends(ACK, 1, 1);
        b.gets(seg(ACK, 6, 1).data(&bytes(15)));
        b.sends(ACK, 1, 1);
        b.gets(seg(ACK, 1, 1).data(b"front"));
        b.sends(ACK, 1, 27);
        assert_eq!(b.read().map(|read| read.len()), Ok(26));
    }
}

/// Hostile case M11: retransmission and fast retransmission across the edge.
#[test]
fn a_loss_crosses_the_edge() {
    for iss in EDGES {
        let mut b = at(iss, 7);
        b.write(&bytes(5_000)).unwrap();
        (0..5).for_each(|_| drop(b.next().expect("data")));
        (0..3).for_each(|_| b.gets(seg(ACK, 1, 1)));
        b.sends_data(ACK, 1, 1, MSS);
        b.gets(seg(ACK, 1, 5_001));
        b.silent();
        assert_eq!(b.tcp.info(b.id()).unwrap().send_queue, 0);
    }
}

/// Hostile case M11, RFC 5961: what is old and what is in the window is told apart across the edge.
#[test]
fn blind_segments_do_not_profit_from_the_edge() {
    for (iss, irs) in [(EDGES[0], EDGES[0]), (EDGES[1], EDGES[1])] {
        let mut b = at(iss, irs);
        b.gets(seg(RST, 0, 0));
        b.silent();
        b.gets(seg(RST, 100, 0));
        b.sends(ACK, 1, 1);
        b.gets(seg(ACK, 1, 100).data(b"future"));
        b.sends(ACK, 1, 1);
        b.gets(seg(ACK, 1, 1u32.wrapping_sub(61_000)).data(b"past"));
        b.silent();
        assert_eq!((b.read(), b.dropped(DropReason::TcpBadAck)), (Err(SocketError::WouldBlock), 2));
        b.gets(seg(RST, 1, 0));
        assert_eq!(b.state(), State::Closed);
    }
}

/// Hostile case M11, RFC 9293 §3.10.7.4: windows are updated in order of SND.WL1 and SND.WL2 across the edge.
#[test]
fn window_updates_keep_their_order_across_the_edge() {
    for edge in EDGES {
        let mut b = at(edge, edge);
        b.gets(seg(ACK, 1, 1).data(&bytes(100)).window(5_000));
        b.gets(seg(ACK, 101, 1).window(7_000));
        b.gets(seg(ACK, 1, 1).window(100));
        assert_eq!(b.tcp.info(b.id()).unwrap().send_window, 7_000);
    }
}

/// Hostile case M11: a host that slept for 25 days goes on where it was: nothing is due twice, and what was under way is sent again.
#[test]
fn a_sleep_of_twenty_five_days_does_no_harm() {
    let mut b = at(EDGES[0], EDGES[1]);
    b.write(&bytes(2_000)).unwrap();
    (0..2).for_each(|_| drop(b.next().expect("data")));
    b.jump(ms(25 * 24 * 3_600_000));
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 2_001).data(b"hello"));
    assert_eq!(b.read(), Ok(b"hello".to_vec()));
    assert_eq!(b.tcp.info(b.id()).unwrap().send_queue, 0);
}
