//! RST, in and out, and the blind attacks of RFC 5961.

use super::*;

/// RFC 5961 §3.2: the exact number resets; both directions are told.
#[test]
fn an_exact_reset_ends_the_connection() {
    let mut b = Bench::established(plain());
    b.gets(seg(RST, 1, 0));
    b.silent();
    assert_eq!(b.state(), State::Closed);
    assert_eq!((b.read(), b.read()), (Err(SocketError::ConnectionReset), Ok(vec![])));
    assert_eq!(b.write(b"x"), Err(SocketError::BrokenPipe));
}

/// RFC 9293 §3.10.7.4, second step: the queues of segments are flushed, text behind a gap with them; what was received in order and
/// acknowledged can still be read, before the error (as on Linux).
#[test]
fn what_came_before_a_reset_can_be_read() {
    let mut b = Bench::established(plain());
    b.gets(seg(ACK, 1, 1).data(b"abc"));
    b.gets(seg(ACK, 10, 1).data(b"ahead"));
    b.sends(ACK, 1, 4);
    b.gets(seg(RST, 4, 0));
    assert_eq!((b.read(), b.read()), (Ok(b"abc".to_vec()), Err(SocketError::ConnectionReset)));
    assert_eq!(b.read(), Ok(vec![]));
}

/// RFC 5961 §3.2 (hostile case T1): in the window but not exact draws a challenge ACK, outside of it nothing.
#[test]
fn a_guessed_reset_draws_a_challenge() {
    let mut b = Bench::established(plain());
    b.gets(seg(RST, 2, 0));
    b.sends(ACK, 1, 1);
    b.gets(seg(RST, 50_000, 0));
    b.silent();
    assert_eq!((b.state(), b.dropped(DropReason::TcpRst)), (State::Established, 1));
}

/// Hostile case T1: a RST is compared with RCV.NXT, not with what was acknowledged last.
#[test]
fn a_reset_is_exact_while_an_acknowledgement_is_withheld() {
    let mut b = Bench::established(plain());
    b.gets(seg(ACK, 1, 1).data(b"abc"));
    b.silent();
    b.gets(seg(RST, 4, 0));
    assert_eq!(b.state(), State::Closed);
}

/// RFC 5961 §4.2 (hostile case T2): a SYN in a synchronized state draws a challenge ACK; a rebooted peer's RST then ends it.
#[test]
fn a_syn_in_an_established_connection_draws_a_challenge() {
    let mut b = Bench::established(plain());
    b.gets(seg(SYN, 500, 0));
    b.sends(ACK, 1, 1);
    assert_eq!(b.state(), State::Established);
    b.gets(seg(RST, 1, 0));
    assert_eq!(b.state(), State::Closed);
}

/// RFC 5961 §7: at most one challenge per 500 ms and connection.
#[test]
fn challenges_are_limited_per_connection() {
    let mut b = Bench::established(plain());
    b.gets(seg(RST, 2, 0));
    b.sends(ACK, 1, 1);
    (0..10).for_each(|_| b.gets(seg(RST, 2, 0)));
    b.silent();
    assert_eq!(b.counters.tcp_challenge_acks_limited, 10);
    b.quiet_for(ms(500));
    b.gets(seg(RST, 2, 0));
    b.sends(ACK, 1, 1);
}

/// RFC 5961 §5.2 (hostile case T3): data with an acknowledgement from the future or the far past is not delivered.
#[test]
fn blind_data_is_not_delivered() {
    let mut b = Bench::established(plain());
    b.gets(seg(ACK, 1, 2).data(b"evil"));
    b.sends(ACK, 1, 1);
    b.quiet_for(ms(500));
    b.gets(seg(ACK, 1, 1u32.wrapping_sub(60_001)).data(b"evil"));
    b.sends(ACK, 1, 1);
    assert_eq!((b.read(), b.dropped(DropReason::TcpBadAck)), (Err(SocketError::WouldBlock), 2));
}

/// RFC 9293 §3.10.7.4: a segment without ACK is dropped.
#[test]
fn a_segment_without_ack_is_dropped() {
    let mut b = Bench::established(plain());
    b.gets(seg(PSH, 1, 0).data(b"x"));
    b.silent();
    assert_eq!((b.dropped(DropReason::TcpFlags), b.state()), (1, State::Established));
}

/// An abort by the application: RST with ACK at SND.NXT (policy 18), and pending data is dropped.
#[test]
fn an_abort_resets_the_peer() {
    let mut b = Bench::established(plain());
    b.write(&bytes(2_000)).unwrap();
    b.sends_data(ACK, 1, 1, MSS);
    let id = b.id();
    b.tcp.abort(id, &mut b.counters, b.now);
    b.sends(RST_ACK, 1_001, 1);
    b.silent();
    assert_eq!((b.tcp.connections().count(), b.tcp.poll_timeout()), (0, None));
}

/// RFC 9293 §3.10.7.4: in SYN-RECEIVED from a listener a RST leads back to LISTEN, and the next SYN is welcome.
#[test]
fn a_reset_in_syn_received_forgets_the_entry() {
    let mut b = Bench::listening(plain());
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(RST, 1, 0));
    b.silent();
    assert_eq!((b.tcp.connections().count(), b.tcp.poll_timeout()), (0, None));
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
}

/// RFC 7323 §4.3: the timestamp echoed is that of the segment at the left edge, which moves with each acknowledgement sent.
#[test]
fn the_echoed_timestamp_moves_on_with_the_data() {
    let mut b = Bench::listening(TcpConfig { timestamps: true, quick_acks: 9, ..plain() });
    b.gets(seg(SYN, 0, 0).mss(1000).ts(1_000, 0));
    let ecr = b.sends(SYN_ACK, 0, 1).options.timestamps.unwrap().val;
    b.gets(seg(ACK, 1, 1).ts(1_001, ecr));
    for i in 1..4 {
        b.gets(seg(ACK, i, 1).ts(1_001 + i, ecr).data(b"x"));
        assert_eq!(b.sends(ACK, 1, 1 + i).options.timestamps.map(|ts| ts.ecr), Some(1_001 + i));
    }
}

/// RFC 7323 §5.3 (PAWS, R1): an older timestamp is dropped and acknowledged; hostile case T12: only a segment at the left edge moves
/// TS.Recent.
#[test]
fn older_timestamps_are_dropped() {
    let mut b = Bench::listening(TcpConfig { timestamps: true, ..plain() });
    b.gets(seg(SYN, 0, 0).mss(1000).ts(1_000, 0));
    let ecr = b.sends(SYN_ACK, 0, 1).options.timestamps.unwrap().val;
    b.gets(seg(ACK, 1, 1).ts(1_001, ecr));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    b.gets(seg(ACK, 101, 1).ts(9_000, ecr).data(b"ahead"));
    assert_eq!(b.sends(ACK, 1, 1).options.timestamps.map(|ts| ts.ecr), Some(1_001));
    b.gets(seg(ACK, 1, 1).ts(999, ecr).data(b"old"));
    b.sends(ACK, 1, 1);
    assert_eq!((b.dropped(DropReason::TcpPaws), b.read()), (1, Err(SocketError::WouldBlock)));
    b.gets(seg(ACK, 1, 1).data(b"no timestamp"));
    assert_eq!(b.read(), Ok(b"no timestamp".to_vec()), "policy 20: taken all the same");
}

/// Hostile case T5: a half-open entry answers each kind of segment that does not fit once in 500 ms, too.
#[test]
fn challenges_of_a_half_open_entry_are_limited() {
    let mut b = Bench::listening(plain());
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 50_000, 1));
    b.sends(ACK, 1, 1);
    b.gets(seg(RST, 5, 0));
    b.sends(ACK, 1, 1);
    b.gets(seg(ACK, 50_000, 1));
    b.gets(seg(RST, 5, 0));
    b.silent();
    b.quiet_for(ms(500));
    b.gets(seg(RST, 5, 0));
    b.sends(ACK, 1, 1);
}

/// RFC 7323 §5.5 (hostile cases T12, M11): after 25 days of silence TS.Recent says nothing about order any more.
#[test]
fn a_timestamp_of_last_month_does_not_shut_the_peer_out() {
    let mut b = Bench::listening(TcpConfig { timestamps: true, ..plain() });
    b.gets(seg(SYN, 0, 0).mss(1000).ts(1_000, 0));
    let ecr = b.sends(SYN_ACK, 0, 1).options.timestamps.unwrap().val;
    b.gets(seg(ACK, 1, 1).ts(1_001, ecr));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    b.jump(ms(25 * 24 * 3_600_000));
    b.gets(seg(ACK, 1, 1).ts(1_001u32.wrapping_sub(5), ecr).data(b"back"));
    assert_eq!(b.read(), Ok(b"back".to_vec()));
}

/// RFC 9293 §3.10.7.4, second step: in CLOSING and LAST-ACK a RST loses nothing and is no error; in CLOSE-WAIT it is one, which a setting
/// calls a broken pipe, as Linux does.
#[test]
fn a_reset_while_closing_is_an_error_only_if_something_is_lost() {
    for (setting, error) in [(false, SocketError::ConnectionReset), (true, SocketError::BrokenPipe)] {
        let mut b = Bench::established(TcpConfig { broken_pipe_in_close_wait: setting, ..plain() });
        b.gets(seg(FIN_ACK, 1, 1));
        b.sends(ACK, 1, 2);
        b.gets(seg(RST, 2, 0));
        assert_eq!((b.state(), b.tcp.take_error(b.id())), (State::Closed, Some(error)));
    }
    for state in [State::LastAck, State::Closing] {
        let mut b = Bench::established(plain());
        if state == State::Closing {
            b.shutdown();
        }
        b.gets(seg(FIN_ACK, 1, 1));
        b.shutdown();
        while b.next().is_some() {}
        assert_eq!(b.state(), state);
        b.gets(seg(RST, 2, 0));
        assert_eq!((b.state(), b.tcp.take_error(b.id())), (State::Closed, None), "{state:?}");
    }
}

/// RFC 9293 §3.10.5: all connections can be reset at once; their peers are told, and their sockets.
#[test]
fn all_connections_can_be_reset() {
    let mut b = Bench::established(plain());
    let first = b.id();
    b.tuple.remote.port = 5001;
    let mut b = b.handshake(60_000);
    b.tcp.abort_all(&mut b.counters, b.now);
    (0..2).for_each(|_| assert_eq!(b.next().map(|sent| sent.flags), Some(RST_ACK)));
    b.silent();
    for id in [first, b.id()] {
        assert_eq!(b.tcp.take_error(id), Some(SocketError::ConnectionAborted));
    }
}
