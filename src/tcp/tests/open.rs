//! The active open: its retries, the simultaneous open (RFC 9293 §3.5, MUST-10, MUST-11), the split handshake.

use super::*;

/// SYN out and the peer's SYN in: SYN-RECEIVED from an active open, with the SYN-ACK under way.
fn crossed() -> Bench {
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    b.gets(seg(SYN, 0, 0).mss(1000));
    b.sends(SYN_ACK, 0, 1);
    b.silent();
    assert_eq!(b.state(), State::SynReceived);
    b
}

/// Policy 17: a retried SYN is the same segment, its options in the same order; only the clock in its timestamp moves.
#[test]
fn a_retried_syn_keeps_its_options() {
    let mut b = Bench::opening(TcpConfig::default());
    let first = b.sends(SYN, 0, 0);
    b.after(ms(1_000));
    let mut again = b.sends(SYN, 0, 0);
    let (then, now) = (first.options.timestamps.unwrap(), again.options.timestamps.unwrap());
    assert_eq!((now.val.wrapping_sub(then.val), now.ecr), (1_000, 0));
    again.options.timestamps = first.options.timestamps;
    assert_eq!(again, first);
    assert!(first.options.sack_permitted && first.options.window_scale.is_some());
}

/// Linux's linear start of SYN retries (policy 17, `linux` profile): four more at 1 s, beside the others, which double.
#[test]
fn the_first_syn_retries_may_be_linear() {
    let mut b = Bench::opening(TcpConfig { syn_linear_retries: 4, syn_retries: 2, ..plain() });
    b.sends(SYN, 0, 0);
    for wait in [1, 1, 1, 1, 1, 2] {
        b.after(ms(wait * 1_000));
        b.sends(SYN, 0, 0);
        b.silent();
    }
    b.after(ms(4_000));
    b.silent();
    assert_eq!(b.tcp.take_error(b.id()), Some(SocketError::TimedOut));
}

/// The linear start is the active side's: SYN-ACKs double from the first on.
#[test]
fn syn_ack_retries_are_never_linear() {
    let mut b = Bench::listening(TcpConfig { syn_linear_retries: 4, ..plain() });
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    for wait in [1, 2, 4] {
        b.after(ms(wait * 1_000));
        b.sends(SYN_ACK, 0, 1);
    }
}

/// MUST-21, MUST-22, MUST-23: R1 and R2 serve a SYN; R2 is a setting, and by default lasts longer than three minutes.
#[test]
fn r1_and_r2_serve_a_syn() {
    let mut b = Bench::opening(plain());
    let start = b.now;
    b.sends(SYN, 0, 0);
    for i in 0..3 {
        assert_eq!(b.tcp.soft_error(b.id()), None, "{i}");
        b.until_timer();
        b.sends(SYN, 0, 0);
    }
    assert_eq!(b.tcp.soft_error(b.id()), Some(SocketError::TimedOut));
    while b.tcp.poll_timeout().is_some() {
        b.until_timer();
        b.next();
    }
    assert_eq!((b.state(), b.now.since(start)), (State::Closed, ms(255_000)));
    let mut b = Bench::opening(plain());
    b.set_options(|options| options.syn_retries = 1);
    b.sends(SYN, 0, 0);
    b.after(ms(1_000));
    b.sends(SYN, 0, 0);
    b.after(ms(2_000));
    b.silent();
    assert_eq!(b.tcp.take_error(b.id()), Some(SocketError::TimedOut));
}

/// RFC 6298 §5.7 (policy 7): after a SYN that had to be sent again the first timeout is 3 s, on either side.
#[test]
fn a_retried_handshake_begins_with_a_timeout_of_three_seconds() {
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    b.after(ms(1_000));
    b.sends(SYN, 0, 0);
    b.gets(seg(SYN_ACK, 0, 1).mss(1000));
    b.sends(ACK, 1, 1);
    b.write(b"x").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    b.after(ms(3_000));
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    let mut b = Bench::listening(plain());
    b.gets(seg(SYN, 0, 0).mss(1000));
    b.sends(SYN_ACK, 0, 1);
    b.after(ms(1_000));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    b.write(b"x").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    b.after(ms(3_000));
    b.sends_data(ACK.with(PSH), 1, 1, 1);
}

/// RFC 5681 §3.1: who had to say SYN, or SYN-ACK, more than twice begins with a window of one segment.
#[test]
fn two_lost_syns_leave_a_window_of_one_segment() {
    for (lost, window) in [(1, 10), (2, 1)] {
        let mut b = Bench::opening(plain());
        b.sends(SYN, 0, 0);
        for i in 0..lost {
            b.after(ms(1_000 << i));
            b.sends(SYN, 0, 0);
        }
        b.gets(seg(SYN_ACK, 0, 1).mss(1000));
        b.sends(ACK, 1, 1);
        assert_eq!(b.statistics().congestion_window, window);
        let mut b = Bench::listening(plain());
        b.gets(seg(SYN, 0, 0).mss(1000));
        b.sends(SYN_ACK, 0, 1);
        for i in 0..lost {
            b.after(ms(1_000 << i));
            b.sends(SYN_ACK, 0, 1);
        }
        b.gets(seg(ACK, 1, 1));
        b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
        assert_eq!(b.statistics().congestion_window, window);
    }
}

/// MUST-10: the peer's plain ACK completes a simultaneous open as well as its SYN-ACK, and brings data.
#[test]
fn a_simultaneous_open_ends_with_an_ack() {
    let mut b = crossed();
    b.gets(seg(ACK.with(PSH), 1, 1).data(b"hi"));
    assert_eq!((b.state(), b.read()), (State::Established, Ok(b"hi".to_vec())));
    let mut b = crossed();
    b.gets(seg(FIN_ACK, 1, 1));
    assert_eq!((b.state(), b.read()), (State::CloseWait, Ok(vec![])));
}

/// RFC 9293 §3.10.7.4, policy 26: a RST in SYN-RECEIVED from an active open refuses it; it does not go back to LISTEN (MUST-11).
#[test]
fn a_reset_refuses_a_simultaneous_open() {
    let mut b = crossed();
    b.gets(seg(RST, 5, 0));
    b.sends(ACK, 1, 1);
    assert_eq!(b.state(), State::SynReceived);
    b.gets(seg(RST, 1, 0));
    assert_eq!((b.state(), b.read()), (State::Closed, Err(SocketError::ConnectionRefused)));
    assert_eq!(b.tcp.poll_timeout(), None);
}

/// RFC 9293 §3.10.7.4: an impossible acknowledgement is reset and changes nothing; the peer's SYN again draws the SYN-ACK again.
#[test]
fn a_simultaneous_open_survives_what_does_not_fit() {
    let mut b = crossed();
    b.gets(seg(ACK, 1, 9));
    b.sends(RST, 9, 0);
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(SYN, 77, 0));
    b.sends(ACK, 1, 1);
    b.gets(seg(ACK, 60_000, 1));
    b.sends(ACK, 1, 1);
    b.gets(seg(PSH, 1, 0).data(b"no ACK"));
    b.silent();
    assert_eq!(b.state(), State::SynReceived);
    b.gets(seg(SYN_ACK, 0, 1));
    assert_eq!((b.state(), b.read()), (State::Established, Err(SocketError::WouldBlock)));
}

/// MUST-11, MUST-23: it is an active open all the same: with its retries, and an error at the end.
#[test]
fn an_unanswered_simultaneous_open_times_out() {
    let mut b = crossed();
    let mut sent = 0;
    while b.tcp.poll_timeout().is_some() {
        b.until_timer();
        sent += u32::from(b.next().is_some());
    }
    assert_eq!((sent, b.tcp.take_error(b.id())), (7, Some(SocketError::TimedOut)));
}

/// Hostile case M10 (split handshake): a server that answers a SYN with an ACK and then a SYN of its own gets a simultaneous open.
/// It cannot be told from one, and MUST-10 asks for that; the client knows whom it called either way.
#[test]
fn a_split_handshake_is_a_simultaneous_open() {
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    b.gets(seg(ACK, 0, 1));
    b.silent();
    b.gets(seg(SYN, 0, 0).mss(1000));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1));
    assert_eq!(b.state(), State::Established);
}

/// RFC 9293 §3.10.7.3 (hostile case M10): a SYN-ACK for one less or one more than our SYN is reset; a RST with a wrong
/// acknowledgement, and segments without SYN, are nothing.
#[test]
fn only_the_right_answer_counts_in_syn_sent() {
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    for ack in [0, 2] {
        b.gets(seg(SYN_ACK, 0, ack));
        b.sends(RST, ack, 0);
        b.gets(seg(RST_ACK, 0, ack));
    }
    for flags in [Flags::NONE, FIN, FIN_ACK, PSH, ACK, RST] {
        b.gets(seg(flags, 0, 1));
    }
    b.silent();
    assert_eq!(b.state(), State::SynSent);
    b.gets(seg(SYN_ACK, 0, 1));
    b.sends(ACK, 1, 1);
}

/// Issue: a connection to oneself is refused, by number and by choice of port; MUST-46: so are addresses nobody has.
#[test]
fn an_open_to_oneself_is_refused() {
    let mut b = Bench::new(plain());
    let (now, local) = (b.now, b.tuple.local);
    let to = |b: &mut Bench, port, remote: &str| {
        b.tcp.connect((local.addr, port), remote.parse().unwrap(), &mut b.counters, now)
    };
    assert_eq!(to(&mut b, 80, "10.0.0.2:80"), Err(SocketError::AddrInUse));
    for remote in ["0.0.0.0:80", "224.0.0.1:80", "10.0.0.1:0"] {
        assert_eq!(to(&mut b, 0, remote), Err(SocketError::Invalid), "{remote}");
    }
    for _ in 0..200 {
        let id = to(&mut b, 0, "10.0.0.2:50000").unwrap();
        assert_ne!(b.tcp.local_addr(id).unwrap().port(), 50_000);
    }
}

/// Hostile case T8: when every port towards a destination is taken the open fails, and another destination still has them all.
#[test]
fn exhausted_ports_are_an_error() {
    let mut b = Bench::new(plain());
    let (now, local) = (b.now, b.tuple.local.addr);
    let mut open =
        |remote: &str| b.tcp.connect((local, 0), remote.parse().unwrap(), &mut b.counters, now).map(|_| ());
    for _ in isn::EPHEMERAL_PORTS {
        open("10.0.0.1:80").unwrap();
    }
    assert_eq!(open("10.0.0.1:80"), Err(SocketError::AddrNotAvailable));
    assert_eq!(open("10.0.0.1:81"), Ok(()));
}

/// RFC 6056 §3.3: the port of a connection that is gone is not the next one chosen towards the same destination.
#[test]
fn a_port_given_up_is_not_chosen_next() {
    let mut b = Bench::new(plain());
    let (now, local, remote) = (b.now, b.tuple.local.addr, b.tuple.remote.into());
    let mut port = || {
        let id = b.tcp.connect((local, 0), remote, &mut b.counters, now).unwrap();
        let port = b.tcp.local_addr(id).unwrap().port();
        b.tcp.abort(id, &mut b.counters, now);
        while b.next().is_some() {}
        port
    };
    assert_ne!(port(), port());
}

/// RFC 7323 §2.2: the window of a segment with SYN is not scaled, nor is that of the SYN-ACK that completes a simultaneous open.
#[test]
fn the_window_of_a_simultaneous_open_is_not_scaled() {
    let mut b = Bench::opening(TcpConfig { window_scaling: true, ..plain() });
    b.sends(SYN, 0, 0);
    b.gets(seg(SYN, 0, 0).scale(7).window(2_048));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(SYN_ACK, 0, 1).scale(7).window(1_024));
    assert_eq!((b.state(), b.tcp.info(b.id()).unwrap().send_window), (State::Established, 1_024));
}

/// RFC 6298 §2.1, §5.7: a SYN-ACK that went out twice without a timeout gives no measurement, but no longer timeout either; RFC 7323
/// §4: a SYN that did time out is measured all the same if its answer echoes its timestamp.
#[test]
fn a_repeated_handshake_is_measured_by_timestamps_alone() {
    let mut b = Bench::listening(plain());
    for _ in 0..2 {
        b.gets(seg(SYN, 0, 0).mss(1000));
        b.sends(SYN_ACK, 0, 1);
        b.now += ms(100);
    }
    b.gets(seg(ACK, 1, 1));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    b.write(b"x").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    b.after(ms(1_000));
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    let mut b = Bench::opening(TcpConfig { timestamps: true, ..plain() });
    b.sends(SYN, 0, 0);
    b.after(ms(1_000));
    let ecr = b.sends(SYN, 0, 0).options.timestamps.unwrap().val;
    b.now += ms(100);
    b.gets(seg(SYN_ACK, 0, 1).ts(7, ecr));
    assert_eq!(b.statistics().get("tcpi_rtt"), Some(100_000));
}
