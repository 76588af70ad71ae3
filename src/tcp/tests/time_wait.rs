//! TIME-WAIT (RFC 9293 §3.6.1, RFC 1337, RFC 6191).

use super::*;
use crate::tcp::time_wait::TimeWait;

fn in_time_wait(config: TcpConfig) -> Bench {
    closed_first(Bench::established(config))
}

fn closed_first(mut b: Bench) -> Bench {
    b.close();
    b.sends(FIN_ACK, 1, 1);
    b.gets(seg(FIN_ACK, 1, 2));
    b.sends(ACK, 2, 2);
    b.silent();
    assert_eq!(b.state(), State::TimeWait);
    b
}

/// RFC 1337 (hostile case M6): TIME-WAIT is not assassinated by a RST, and old data draws an ACK.
#[test]
fn a_reset_does_not_end_time_wait() {
    let mut b = in_time_wait(plain());
    b.gets(seg(RST, 2, 0));
    b.gets(seg(RST, 1, 0));
    b.silent();
    assert_eq!((b.state(), b.dropped(DropReason::TcpRst)), (State::TimeWait, 2));
    // An ACK that says nothing new is no RST, and needs no answer.
    b.gets(seg(ACK, 2, 2));
    b.silent();
    assert_eq!(b.dropped(DropReason::TcpRst), 2);
    b.gets(seg(ACK, 1, 2).data(b"old"));
    b.sends(ACK, 2, 2);
}

/// RFC 9293 §3.10.7.4: the peer's FIN come again is acknowledged, and 2·MSL begins anew.
#[test]
fn a_repeated_fin_restarts_time_wait() {
    let mut b = in_time_wait(plain());
    b.quiet_for(ms(30_000));
    b.gets(seg(FIN_ACK, 1, 2));
    b.sends(ACK, 2, 2);
    b.after(ms(59_999));
    assert_eq!(b.state(), State::TimeWait);
    b.after(ms(1));
    assert_eq!((b.state(), b.tcp.poll_timeout()), (State::Closed, None));
}

/// RFC 9293 §3.6.1, MAY-2: a SYN with a newer number opens a new connection; an older one draws an ACK.
#[test]
fn a_newer_syn_reopens() {
    let mut b = in_time_wait(plain());
    b.gets(seg(SYN, 0, 0));
    b.sends(ACK, 2, 2);
    let old = b.iss;
    b.quiet_for(ms(100));
    b.gets(seg(SYN, 100, 0).mss(1000));
    b.sends(SYN_ACK, 0, 101);
    assert!(b.iss.after(old + 2), "RFC 6528: the clock moved on");
    assert_eq!(b.state(), State::SynReceived);
}

/// A peer that closes and reopens for ever costs one record, not a queue of stale ones; another's record beside it expires in time.
#[test]
fn reopening_for_ever_does_not_grow_the_queue() {
    let mut b = in_time_wait(plain());
    b.tuple.remote.port = 5001;
    for i in 0..500 {
        b.gets(seg(SYN, i * 10, 0).mss(1000));
        b.sends(SYN_ACK, 0, i * 10 + 1);
        b.gets(seg(ACK, i * 10 + 1, 1));
        b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
        b.close();
        b.next().expect("FIN");
        b.gets(seg(FIN_ACK, i * 10 + 1, 2));
        b.next().expect("ACK");
        assert_eq!(b.state(), State::TimeWait);
        b.quiet_for(ms(1));
    }
    assert!(b.tcp.time_wait.queued() <= 100, "{}", b.tcp.time_wait.queued());
    b.tuple.remote.port = 5000;
    b.after(ms(59_499));
    assert_eq!(b.state(), State::TimeWait);
    b.after(ms(1));
    assert_eq!(b.state(), State::Closed);
    b.after(ms(60_000));
    assert_eq!((b.tcp.owners.len(), b.tcp.poll_timeout()), (0, None));
}

/// RFC 9293 §3.4.2: an idle stack wakes up when 2·MSL is over. Settings changed since the open count: how long that is, and whether a
/// RST ends it (RFC 1337).
#[test]
fn changed_settings_count_for_time_wait() {
    let mut b = Bench::established(plain());
    b.tcp.set_config(TcpConfig { rfc1337: false, time_wait: ms(10_000), max_time_wait: 1, ..plain() });
    assert_eq!(b.tcp.config().time_wait, ms(10_000));
    let mut b = closed_first(b);
    assert_eq!(b.tcp.poll_timeout(), Some(b.now + ms(10_000)));
    b.gets(seg(RST, 2, 0));
    b.silent();
    assert_eq!((b.state(), b.counters.tcp_rst_in), (State::Closed, 1));
    assert_eq!(in_time_wait(plain()).tcp.poll_timeout(), Some(Instant::from_millis(61_100)));
}

/// What looks from outside sees where both ends stand, in TIME-WAIT as before; a control block there is only before.
#[test]
fn a_pair_of_ends_tells_where_it_stands() {
    let b = Bench::established(plain());
    let ends = (b.tuple.local, b.tuple.remote);
    assert_eq!(b.tcp.id_of(ends.0, ends.1), Some(b.id()));
    assert_eq!(b.tcp.id_of(ends.1, ends.0), None);
    let b = closed_first(b);
    assert_eq!(b.tcp.id_of(ends.0, ends.1), None);
    let standing = b.tcp.standing(ends.0, ends.1, b.now);
    assert_eq!((standing.state, standing.snd_nxt, standing.rcv_nxt), (State::TimeWait, b.iss + 2, b.irs + 2));
}

/// RFC 6191 §2: with timestamps the newer timestamp decides, whatever the number.
#[test]
fn a_newer_timestamp_reopens() {
    let mut b = Bench::listening(TcpConfig { timestamps: true, ..plain() });
    b.gets(seg(SYN, 0, 0).ts(1_000, 0));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1).ts(1_000, 0));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    b.close();
    b.sends(FIN_ACK, 1, 1);
    b.gets(seg(FIN_ACK, 1, 2).ts(1_001, 0));
    b.sends(ACK, 2, 2);
    b.gets(seg(SYN, 50, 0).ts(1_000, 0));
    b.sends(ACK, 2, 2);
    b.gets(seg(SYN, 0, 0).ts(1_002, 0));
    b.sends(SYN_ACK, 0, 1);
}

/// Hostile case M6: the table is bounded, the oldest record goes first.
#[test]
fn the_oldest_record_is_evicted() {
    let mut b = in_time_wait(TcpConfig { max_time_wait: 1, ..plain() });
    let first = b.tuple;
    b.tuple.remote.port = 5001;
    let mut b = b.handshake(1_000);
    b.close();
    b.sends(FIN_ACK, 1, 1);
    b.gets(seg(FIN_ACK, 1, 2));
    b.sends(ACK, 2, 2);
    assert_eq!(b.state(), State::TimeWait);
    b.tuple = first;
    assert_eq!(b.state(), State::Closed);
    b.gets(seg(FIN_ACK, 1, 2));
    assert_eq!(b.next().map(|sent| sent.flags), Some(RST), "a stranger now");
}

/// RFC 9293 §3.10.7.4 (MAY-2): the reopened connection's numbers lie beyond those of the old one, however fast that was.
#[test]
fn a_reopened_connection_begins_behind_the_old_ones_numbers() {
    let mut b = Bench::established(plain());
    let mut una = 1;
    for _ in 0..200 {
        b.write(&bytes(5_000)).unwrap();
        (0..5).for_each(|_| drop(b.next().expect("data")));
        una += 5_000;
        b.gets(seg(ACK, 1, una));
    }
    b.close();
    b.sends(FIN_ACK, una, 1);
    b.gets(seg(FIN_ACK, 1, una + 1));
    b.sends(ACK, una + 1, 2);
    let end = b.iss + una + 1;
    b.gets(seg(SYN, 100, 0).mss(1000));
    b.next().expect("SYN-ACK");
    assert!(b.iss.after(end), "{:?} after {end:?}", b.iss);
}

/// Hostile case M6: a SYN that opens nothing (no listener, no room, a FIN with it) does not end TIME-WAIT.
#[test]
fn a_syn_that_nobody_takes_does_not_end_time_wait() {
    let mut b = in_time_wait(plain());
    b.gets(seg(SYN.with(FIN), 100, 0));
    b.sends(ACK, 2, 2);
    let listener = b.listener.unwrap();
    b.tcp.close_listener(listener, &mut b.counters, b.now);
    b.quiet_for(ms(500));
    b.gets(seg(SYN, 100, 0));
    b.sends(ACK, 2, 2);
    assert_eq!(b.state(), State::TimeWait);
}

/// RFC 1337 (hostile case M6): a setting lets an exact RST end TIME-WAIT, in silence; a guessed one never does.
#[test]
fn a_reset_may_end_time_wait_if_so_configured() {
    let mut b = in_time_wait(TcpConfig { rfc1337: false, ..plain() });
    for seq in [1, 3, 10_000] {
        b.gets(seg(RST, seq, 0));
        assert_eq!(b.state(), State::TimeWait);
    }
    b.gets(seg(RST, 2, 0));
    b.silent();
    assert_eq!((b.state(), b.tcp.owners.len(), b.counters.tcp_rst_in), (State::Closed, 0, 1));
}

/// Hostile cases T5, M6: what TIME-WAIT answers is limited as in any state: empty segments and SYNs once in 500 ms, data never.
#[test]
fn answers_from_time_wait_are_limited() {
    let mut b = in_time_wait(plain());
    for s in [seg(ACK, 50_000, 2), seg(SYN, 0, 0)] {
        b.gets(s.clone());
        b.sends(ACK, 2, 2);
        (0..10).for_each(|_| b.gets(s.clone()));
        b.silent();
    }
    (0..3).for_each(|_| b.gets(seg(ACK, 1, 2).data(b"old")));
    (0..3).for_each(|_| b.sends(ACK, 2, 2).payload.clear());
    b.silent();
    assert_eq!((b.counters.tcp_corrections_limited, b.counters.tcp_challenge_acks_limited), (10, 10));
    b.quiet_for(ms(500));
    b.gets(seg(ACK, 50_000, 2));
    b.sends(ACK, 2, 2);
}

/// RFC 9293 §3.10.7.4 (hostile case M6): the peer's own FIN alone begins 2·MSL anew; a FIN elsewhere, with an impossible
/// acknowledgement or without ACK is answered, and the record expires in time.
#[test]
fn a_guessed_fin_does_not_prolong_time_wait() {
    let mut b = in_time_wait(plain());
    for s in [seg(FIN_ACK, 5, 2), seg(FIN_ACK, 1, 3), seg(FIN, 1, 0), seg(FIN_ACK, 60_000, 2).data(b"x")] {
        b.quiet_for(ms(10_000));
        b.gets(s);
        b.sends(ACK, 2, 2);
    }
    b.after(ms(19_999));
    assert_eq!(b.state(), State::TimeWait);
    b.after(ms(1));
    assert_eq!(b.state(), State::Closed);
}

/// In TIME-WAIT with TS.Recent 1,001.
fn stamped() -> Bench {
    let mut b = Bench::listening(TcpConfig { timestamps: true, ..plain() });
    b.gets(seg(SYN, 0, 0).ts(1_000, 0));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1).ts(1_000, 0));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    b.close();
    b.sends(FIN_ACK, 1, 1);
    b.gets(seg(FIN_ACK, 1, 2).ts(1_001, 0));
    b.sends(ACK, 2, 2);
    b
}

/// RFC 6191 §2 (SHLD-4, hostile case M6): a newer timestamp, an equal one with a newer number, or no timestamp with a newer number
/// reopens; nothing else does.
#[test]
fn which_syn_reopens_with_timestamps() {
    for (ts, seq, reopens) in [
        (Some(1_002), 0, true),
        (Some(1_002), 500, true),
        (Some(1_001), 500, true),
        (Some(1_001), 1, false),
        (Some(1_000), 500, false),
        (None, 500, true),
        (None, 1, false),
    ] {
        let mut b = stamped();
        let mut syn = seg(SYN, seq, 0);
        if let Some(val) = ts {
            syn = syn.ts(val, 0);
        }
        b.gets(syn);
        let flags = b.next().map(|sent| sent.flags);
        assert_eq!(flags, Some(if reopens { SYN_ACK } else { ACK }), "{ts:?} {seq}");
    }
}

/// RFC 7323 §5.2 (hostile case M6): a FIN with an older timestamp is an old duplicate and does not prolong TIME-WAIT.
#[test]
fn an_old_fin_does_not_prolong_time_wait() {
    let mut b = stamped();
    b.quiet_for(ms(30_000));
    b.gets(seg(FIN_ACK, 1, 2).ts(999, 0));
    b.sends(ACK, 2, 2);
    b.after(ms(30_000));
    assert_eq!(b.state(), State::Closed);
    // One with the same timestamp is not older; the answer carries the connection's (RFC 7323 §3.2).
    let mut b = stamped();
    b.quiet_for(ms(30_000));
    b.gets(seg(FIN_ACK, 1, 2).ts(1_001, 0));
    assert_eq!(b.sends(ACK, 2, 2).options.timestamps.map(|ts| ts.ecr), Some(1_001));
    b.after(ms(59_999));
    assert_eq!(b.state(), State::TimeWait);
}

/// Hostile case M6: however many connections close, the table keeps its cap, and each eviction is counted.
#[test]
fn many_closes_keep_the_table_within_its_cap() {
    let mut b = Bench::listening(TcpConfig { max_time_wait: 10, ..plain() });
    for port in 2_000..2_100 {
        b.tuple.remote.port = port;
        b = b.handshake(1_000);
        b.close();
        b.sends(FIN_ACK, 1, 1);
        b.gets(seg(FIN_ACK, 1, 2));
        b.sends(ACK, 2, 2);
    }
    let evicted = b.counters.tcp_time_wait_evicted;
    assert_eq!((b.tcp.connections().count(), b.tcp.owners.len(), evicted), (10, 10, 90));
}

/// Opening and closing beside 100,000 TIME-WAIT records looks at as many of them as beside none: two at most for each that comes,
/// goes or is evicted for another. The search for an owner is held to the same in `owners.rs`.
#[test]
fn closes_beside_many_time_wait_records_look_at_few_of_them() {
    let one = Bench::established(plain());
    let (_, tcb) = one.tcp.connections.iter().next().expect("a connection");
    for held in [0, 100_000] {
        let mut records = TimeWait::new(&TcpConfig { max_time_wait: held + 500, ..plain() });
        for number in 0..held {
            records.insert(tcb, Instant::from_nanos(number as u64));
        }
        records.take_looked_at();
        for number in 0..1_000 {
            let now = Instant::from_millis(1_000 + number);
            let (place, _) = records.insert(tcb, now);
            assert_eq!(records.pop_expired(now), None);
            if number % 3 == 0 {
                records.remove(place);
            }
        }
        let looked_at = records.take_looked_at();
        assert!((1_000..=2 * 1_000).contains(&looked_at), "{looked_at} beside {held}");
    }
}

/// Hostile case M6: a SYN that finds the SYN queue full does not end TIME-WAIT either.
#[test]
fn a_syn_without_room_does_not_end_time_wait() {
    let mut b = in_time_wait(TcpConfig { syn_queue: 1, ..plain() });
    let old = (b.tuple, b.iss);
    b.tuple.remote.port = 6_000;
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    (b.tuple, b.iss) = old;
    b.gets(seg(SYN, 100, 0));
    b.sends(ACK, 2, 2);
    assert_eq!(b.state(), State::TimeWait);
}

/// Hostile case M6: nor does one that finds no room for another connection.
#[test]
fn a_syn_beyond_the_last_connection_does_not_end_time_wait() {
    let mut b = in_time_wait(TcpConfig { max_connections: 1, ..plain() });
    let old = (b.tuple, b.iss);
    b.tuple.remote.port = 6_000;
    let mut b = b.handshake(1_000);
    (b.tuple, b.iss) = old;
    b.gets(seg(SYN, 100, 0));
    b.sends(ACK, 2, 2);
    assert_eq!(b.state(), State::TimeWait);
}
