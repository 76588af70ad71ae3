//! Timestamps (RFC 7323): PAWS, TS.Recent, what our own segments carry.

use super::*;

fn config() -> TcpConfig {
    TcpConfig { timestamps: true, ..plain() }
}

/// Established with timestamps: the peer's clock stands at `peer`, TS.Recent with it.
fn stamped(peer: u32) -> (Bench, u32) {
    let mut b = Bench::listening(config());
    b.gets(seg(SYN, 0, 0).mss(1000).ts(peer, 0));
    let ecr = b.sends(SYN_ACK, 0, 1).options.timestamps.unwrap().val;
    b.gets(seg(ACK, 1, 1).ts(peer, ecr));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    (b, ecr)
}

fn echo(s: Seg) -> u32 {
    s.options.timestamps.expect("timestamps").ecr
}

/// RFC 7323 §4.3 (hostile case T12): TS.Recent moves with a segment at or before Last.ACK.sent only. One that is behind a gap, in
/// the window or not, leaves it alone.
#[test]
fn ts_recent_moves_at_the_left_edge_only() {
    let (mut b, ecr) = stamped(1_000);
    b.gets(seg(ACK, 2, 1).ts(1_000 + (1 << 30), ecr).data(b"ahead"));
    assert_eq!(echo(b.sends(ACK, 1, 1)), 1_000);
    b.gets(seg(ACK, 1, 1).ts(1_001, ecr).data(b"x"));
    assert_eq!(echo(b.sends(ACK, 1, 7)), 1_001);
    assert_eq!(b.read(), Ok(b"xahead".to_vec()));
}

/// RFC 7323 §4.3 (b): of several segments before an acknowledgement the first one's timestamp is echoed, so that delayed ACKs are in
/// the peer's measurement.
#[test]
fn the_first_of_several_segments_is_echoed() {
    let (mut b, ecr) = stamped(1_000);
    b.gets(seg(ACK, 1, 1).ts(1_001, ecr).data(&bytes(1_000)));
    b.gets(seg(ACK, 1_001, 1).ts(1_009, ecr).data(&bytes(1_000)));
    assert_eq!(echo(b.sends(ACK, 1, 2_001)), 1_001);
}

/// RFC 5961 §5, policy 20 (hostile case T12): a segment whose acknowledgement is impossible does not move TS.Recent: blind, it would
/// shut the peer out by a timestamp of the far future.
#[test]
fn a_blind_segment_does_not_poison_ts_recent() {
    let (mut b, ecr) = stamped(1_000);
    b.gets(seg(ACK, 1, 50).ts(1_000 + (1 << 30), ecr).data(b"evil"));
    assert_eq!(echo(b.sends(ACK, 1, 1)), 1_000);
    b.gets(seg(PSH, 1, 0).ts(1_000 + (1 << 30), ecr).data(b"evil"));
    b.gets(seg(SYN, 0, 0).ts(1_000 + (1 << 30), 0));
    assert_eq!(echo(b.sends(ACK, 1, 1)), 1_000);
    b.gets(seg(ACK, 1, 1).ts(1_001, ecr).data(b"honest"));
    assert_eq!(b.read(), Ok(b"honest".to_vec()));
}

/// RFC 7323 §5.3 (R1): what is older than TS.Recent is acknowledged and dropped, with data without limit, empty with one; equal is
/// not older.
#[test]
fn older_segments_are_acknowledged_and_dropped() {
    let (mut b, ecr) = stamped(1_000);
    for _ in 0..3 {
        b.gets(seg(ACK, 1, 1).ts(999, ecr).data(b"old"));
        b.sends(ACK, 1, 1);
    }
    b.gets(seg(ACK, 1, 1).ts(999, ecr));
    b.sends(ACK, 1, 1);
    b.gets(seg(ACK, 1, 1).ts(999, ecr));
    b.silent();
    assert_eq!((b.dropped(DropReason::TcpPaws), b.read()), (5, Err(SocketError::WouldBlock)));
    b.gets(seg(ACK, 1, 1).ts(1_000, ecr).data(b"equal"));
    assert_eq!(b.read(), Ok(b"equal".to_vec()));
}

/// RFC 7323 §5.2: a RST is not held to PAWS; RFC 5961 alone decides.
#[test]
fn a_reset_is_not_held_to_paws() {
    let (mut b, ecr) = stamped(1_000);
    b.gets(seg(RST, 1, 0).ts(1, ecr));
    assert_eq!(b.state(), State::Closed);
}

/// RFC 7323 §5.2 (hostile case M11): the peer's clock goes around the circle, and what comes from before the wrap is still older.
#[test]
fn the_peers_clock_may_wrap() {
    let (mut b, ecr) = stamped(u32::MAX);
    b.gets(seg(ACK, 1, 1).ts(3, ecr).data(b"new"));
    assert_eq!(b.read(), Ok(b"new".to_vec()));
    b.next();
    b.gets(seg(ACK, 4, 1).ts(u32::MAX - 9, ecr).data(b"old"));
    assert_eq!((echo(b.sends(ACK, 1, 4)), b.dropped(DropReason::TcpPaws)), (3, 1));
}

/// RFC 7323 §5.5 (hostile cases T12, M11): after 24 days TS.Recent is void, a day earlier it counts.
#[test]
fn ts_recent_is_void_after_twenty_four_days() {
    const DAY: u64 = 24 * 3_600_000;
    for (days, taken) in [(23, false), (24, true), (25, true)] {
        let (mut b, ecr) = stamped(1_000);
        b.jump(ms(days * DAY));
        b.gets(seg(ACK, 1, 1).ts(900, ecr).data(b"back"));
        assert_eq!(b.read().is_ok(), taken, "{days} days");
        if taken {
            b.silent();
            b.after(ms(40));
            assert_eq!(echo(b.sends(ACK, 1, 5)), 900, "and it begins anew");
        }
    }
}

/// RFC 7323 §3.2 with policy 20: where timestamps were agreed a segment without is taken; where they were not, one with is taken,
/// and nothing is echoed.
#[test]
fn a_missing_or_surplus_timestamp_does_no_harm() {
    let (mut b, _) = stamped(1_000);
    b.gets(seg(ACK, 1, 1).data(b"bare"));
    assert_eq!(b.read(), Ok(b"bare".to_vec()));
    let mut b = Bench::established(plain());
    b.gets(seg(ACK, 1, 1).ts(5, 5).data(b"surplus"));
    assert_eq!(b.read(), Ok(b"surplus".to_vec()));
    b.silent();
    b.after(ms(40));
    assert_eq!(b.next().and_then(|sent| sent.options.timestamps), None);
}

/// RFC 7323 §3.2, policy 20: every segment after the SYN carries the current clock: data, FIN, RST, answers, retransmissions.
#[test]
fn every_segment_carries_the_current_clock() {
    let (mut b, ecr) = stamped(1_000);
    let mut last = ecr;
    let mut current = |b: &Bench, sent: Seg| {
        let val = sent.options.timestamps.expect("timestamps").val;
        assert_eq!(val.wrapping_sub(ecr), b.now.since(Instant::from_millis(1_000)).as_millis() as u32);
        assert!(val.wrapping_sub(last) as i32 > 0, "it moved on");
        last = val;
    };
    b.jump(ms(7));
    b.write(b"x").unwrap();
    let sent = b.sends(ACK.with(PSH), 1, 1);
    current(&b, sent);
    b.until_timer();
    let sent = b.sends(ACK.with(PSH), 1, 1);
    current(&b, sent);
    b.jump(ms(1));
    b.shutdown();
    let sent = b.sends(FIN_ACK, 2, 1);
    current(&b, sent);
    b.jump(ms(1));
    let id = b.id();
    b.tcp.abort(id, &mut b.counters, b.now);
    let sent = b.sends(RST_ACK, 3, 1);
    current(&b, sent);
}

/// Hostile case T7, RFC 7323 §5.4: the clock's offset differs by port alone, so neither uptime nor another connection's clock can be
/// read from it.
#[test]
fn each_four_tuple_has_its_own_clock() {
    let mut offsets = std::collections::BTreeSet::new();
    let mut b = Bench::listening(config());
    for port in 5_000..5_100 {
        b.tuple.remote.port = port;
        b.gets(seg(SYN, 0, 0).ts(1, 0));
        offsets.insert(b.sends(SYN_ACK, 0, 1).options.timestamps.unwrap().val);
    }
    let near = offsets.iter().zip(offsets.iter().skip(1)).filter(|(a, b)| *b - *a < 1_000).count();
    assert!(offsets.len() == 100 && near == 0);
}
