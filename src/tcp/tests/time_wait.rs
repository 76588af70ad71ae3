//! TIME-WAIT (RFC 9293 §3.6.1, RFC 1337, RFC 6191).

use super::*;

fn in_time_wait(config: TcpConfig) -> Bench {
    let mut b = Bench::established(config);
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
    assert_eq!(b.state(), State::TimeWait);
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

/// A peer that closes and reopens for ever costs one record, not a queue of stale ones.
#[test]
fn reopening_for_ever_does_not_grow_the_queue() {
    let mut b = Bench::listening(plain());
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
