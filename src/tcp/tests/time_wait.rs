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
}
