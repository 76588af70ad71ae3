//! Blind attacks (RFC 5961) and the limits on what they can provoke (hostile cases T1 to T5).

use super::*;

/// Two connections of one stack; the second is the current one.
fn two() -> (Bench, (FourTuple, SeqNum)) {
    let b = Bench::established(plain());
    let mut b = b;
    let first = (b.tuple, b.iss);
    b.tuple.remote.port = 5001;
    (b.handshake(60_000), first)
}

/// RFC 5961 §3.2 (hostile case T1): each place a RST can stand. The right edge itself belongs to the window for empty segments,
/// as on Linux.
#[test]
fn a_reset_counts_at_the_exact_number_only() {
    for (seq, sent, state) in [
        (0, None, State::Established),
        (1, None, State::Closed),
        (2, Some(ACK), State::Established),
        (10_000, Some(ACK), State::Established),
        (10_001, Some(ACK), State::Established),
        (10_002, None, State::Established),
        (1 << 31, None, State::Established),
    ] {
        let mut b = Bench::established(plain());
        b.gets(seg(RST, seq, 0));
        assert_eq!((b.next().map(|out| out.flags), b.state()), (sent, state), "RST at {seq}");
    }
}

/// RFC 5961 §3.2 (hostile case T1): with data behind a gap the exact number is RCV.NXT all the same, not the end of what is held.
#[test]
fn a_reset_behind_a_gap_draws_a_challenge() {
    let mut b = Bench::established(plain());
    b.gets(seg(ACK, 101, 1).data(b"ahead"));
    b.sends(ACK, 1, 1);
    b.gets(seg(RST, 106, 0));
    b.sends(ACK, 1, 1);
    assert_eq!(b.state(), State::Established);
    b.gets(seg(RST, 1, 0));
    assert_eq!(b.state(), State::Closed);
}

/// SHLD-2, RFC 5961 §3.2: a RST may carry data, which is not delivered, and ACK, whose number does not matter.
#[test]
fn a_reset_may_carry_data_and_any_acknowledgement() {
    for s in [seg(RST, 1, 0).data(b"because"), seg(RST_ACK, 1, 77_777), seg(RST_ACK.with(FIN), 1, 1)] {
        let mut b = Bench::established(plain());
        b.gets(s);
        assert_eq!((b.state(), b.read()), (State::Closed, Err(SocketError::ConnectionReset)));
    }
}

/// RFC 5961 §4.2 (hostile case T2): a SYN with any number, exact or far away, with ACK or data, draws a challenge ACK; the numbers
/// in it are ours, so that a peer which restarted answers with the RST that counts.
#[test]
fn a_syn_anywhere_draws_a_challenge() {
    for s in [
        seg(SYN, 0, 0),
        seg(SYN, 1, 0),
        seg(SYN, 5_000, 0),
        seg(SYN, 1 << 30, 0),
        seg(SYN_ACK, 0, 1),
        seg(SYN, 1, 0).data(b"x"),
    ] {
        let mut b = Bench::established(plain());
        let what = format!("{s:?}");
        b.gets(s);
        assert_eq!(b.next().map(|out| (out.flags, out.seq, out.ack)), Some((ACK, 1, 1)), "{what}");
        assert_eq!((b.state(), b.counters.tcp_challenge_acks), (State::Established, 1), "{what}");
    }
}

/// RFC 5961 §5.2, MAY-12 (hostile case T3): acknowledgements from SND.UNA - MAX.SND.WND to SND.NXT count, one beyond on either side
/// does not, and its data is not delivered.
#[test]
fn the_range_of_acknowledgements_is_checked() {
    for (ack, taken) in
        [(1, true), (2, false), (1u32.wrapping_sub(60_000), true), (1u32.wrapping_sub(60_001), false)]
    {
        let mut b = Bench::established(plain());
        b.gets(seg(ACK, 1, ack).data(b"data"));
        assert_eq!(b.read().is_ok(), taken, "ack {ack}");
        assert_eq!(b.counters.tcp_corrections, u64::from(!taken));
    }
}

/// Hostile case T3: the range follows the largest window ever offered, not the current one.
#[test]
fn the_range_follows_the_largest_window() {
    let mut b = Bench::established_with(plain(), 5_000);
    b.gets(seg(ACK, 1, 1).window(100));
    b.gets(seg(ACK, 1, 1u32.wrapping_sub(5_000)).data(b"old"));
    assert!(b.read().is_ok());
    b.gets(seg(ACK, 4, 1u32.wrapping_sub(5_001)).data(b"too old"));
    assert_eq!(b.read(), Err(SocketError::WouldBlock));
}

/// Hostile case T4 (CVE-2016-5696): what is provoked on one connection does not silence another.
#[test]
fn the_limit_is_each_connections_own() {
    let (mut b, first) = two();
    (0..100).for_each(|_| b.gets(seg(RST, 2, 0)));
    b.sends(ACK, 1, 1);
    b.silent();
    (b.tuple, b.iss) = first;
    b.gets(seg(RST, 2, 0));
    b.sends(ACK, 1, 1);
}

/// Hostile case T4: a flood of challenges does not silence the correction of a peer whose numbers do not fit, nor the reverse.
#[test]
fn one_kind_of_answer_does_not_silence_the_other() {
    let mut b = Bench::established(plain());
    (0..10).for_each(|_| b.gets(seg(RST, 2, 0)));
    b.sends(ACK, 1, 1);
    b.gets(seg(ACK, 50_000, 1));
    b.sends(ACK, 1, 1);
    (0..10).for_each(|_| b.gets(seg(ACK, 50_000, 1)));
    b.gets(seg(SYN, 7, 0));
    b.silent();
    b.quiet_for(ms(500));
    b.gets(seg(SYN, 7, 0));
    b.sends(ACK, 1, 1);
    let counters = &b.counters;
    assert_eq!((counters.tcp_challenge_acks, counters.tcp_challenge_acks_limited), (2, 10));
    assert_eq!((counters.tcp_corrections, counters.tcp_corrections_limited), (1, 10));
}

/// Policy 19: answers to data out of the window are never limited: D-SACK and lost acknowledgements are repaired by them.
#[test]
fn answers_to_data_out_of_the_window_are_never_limited() {
    let mut b = Bench::established(plain());
    b.gets(seg(ACK.with(PSH), 1, 1).data(b"x"));
    b.silent();
    for _ in 0..5 {
        b.gets(seg(ACK.with(PSH), 1, 1).data(b"x"));
        b.sends(ACK, 1, 2);
        b.gets(seg(ACK, 40_000, 1).data(b"far"));
        b.sends(ACK, 1, 2);
    }
}

/// Hostile case T5: two ends that each find the other's ACK out of the window fall silent, whoever begins.
#[test]
fn an_ack_storm_dies_down() {
    let mut b = Bench::established(plain());
    let mut answers = 0;
    for _ in 0..200 {
        b.gets(seg(ACK, 50_000, 1));
        answers += u32::from(b.next().is_some());
        b.jump(ms(10));
    }
    assert_eq!(answers, 4, "2 s, one in 500 ms");
}

/// Hostile case T5: the same for acknowledgements of what was never sent (policy 24).
#[test]
fn a_storm_of_impossible_acknowledgements_dies_down() {
    let mut b = Bench::established(plain());
    let mut answers = 0;
    for _ in 0..200 {
        b.gets(seg(ACK, 1, 99));
        answers += u32::from(b.next().is_some());
        b.jump(ms(10));
    }
    assert_eq!(answers, 4);
}

/// RFC 9293 §3.10.7.4: a FIN or data without ACK, and a segment without any flag, do nothing (hostile case M10, null scan).
#[test]
fn segments_without_ack_do_nothing() {
    let mut b = Bench::established(plain());
    for flags in [Flags::NONE, FIN, PSH, FIN.with(PSH).with(Flags::URG)] {
        b.gets(seg(flags, 1, 0).data(b"x"));
        b.silent();
    }
    assert_eq!((b.state(), b.read()), (State::Established, Err(SocketError::WouldBlock)));
}

/// Hostile case T2: a peer that restarted asks, is challenged, resets by our number, asks again and is served.
#[test]
fn a_restarted_peer_is_served_after_one_challenge() {
    let mut b = Bench::established(plain());
    b.gets(seg(SYN, 70_000, 0).mss(1000));
    let challenge = b.sends(ACK, 1, 1);
    b.gets(seg(RST, challenge.ack, 0));
    assert_eq!(b.state(), State::Closed);
    b.gets(seg(SYN, 70_000, 0).mss(1000));
    b.sends(SYN_ACK, 0, 70_001);
    b.gets(seg(ACK, 70_001, 1).data(b"again"));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    assert_eq!(b.read(), Ok(b"again".to_vec()));
}

/// Policy 26: a RST in CLOSE-WAIT is a reset to reader and writer; the end of the stream that came before it is not.
#[test]
fn a_reset_in_close_wait_is_told() {
    let mut b = Bench::established(plain());
    b.gets(seg(FIN_ACK, 1, 1));
    b.sends(ACK, 1, 2);
    assert_eq!(b.read(), Ok(vec![]));
    b.gets(seg(RST, 2, 0));
    assert_eq!(b.write(b"x"), Err(SocketError::ConnectionReset));
    assert_eq!(b.write(b"x"), Err(SocketError::BrokenPipe));
}
