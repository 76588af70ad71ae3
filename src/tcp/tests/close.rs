//! Endings by FIN (RFC 9293 §3.6): from either side, half, at once, and in the background after the socket is gone.

use super::*;

/// RFC 9293 §3.6, figure 12, as the side that closes first (MUST-13).
#[test]
fn closing_first_goes_through_fin_wait_to_time_wait() {
    let mut b = Bench::established(plain());
    b.shutdown();
    assert_eq!(b.state(), State::FinWait1);
    b.sends(FIN_ACK, 1, 1);
    b.gets(seg(ACK, 1, 2));
    assert_eq!(b.state(), State::FinWait2);
    b.gets(seg(FIN_ACK, 1, 2));
    b.sends(ACK, 2, 2);
    assert_eq!(b.state(), State::TimeWait);
    assert_eq!(b.read(), Ok(vec![]));
    b.after(ms(60_000));
    b.silent();
    assert_eq!((b.state(), b.tcp.poll_timeout()), (State::Closed, None));
}

/// RFC 9293 §3.6, figure 12, as the side that closes second.
#[test]
fn closing_second_goes_through_close_wait_and_last_ack() {
    let mut b = Bench::established(plain());
    b.gets(seg(FIN_ACK, 1, 1));
    b.sends(ACK, 1, 2);
    assert_eq!((b.state(), b.read()), (State::CloseWait, Ok(vec![])));
    b.write(b"bye").unwrap();
    b.sends_data(ACK.with(PSH), 1, 2, 3);
    b.shutdown();
    b.sends(FIN_ACK, 4, 2);
    assert_eq!(b.state(), State::LastAck);
    b.gets(seg(ACK, 2, 5));
    assert_eq!((b.state(), b.tcp.poll_timeout()), (State::Closed, None));
}

/// RFC 9293 §3.6, figure 13.
#[test]
fn simultaneous_close_goes_through_closing() {
    let mut b = Bench::established(plain());
    b.shutdown();
    b.sends(FIN_ACK, 1, 1);
    b.gets(seg(FIN_ACK, 1, 1));
    b.sends(ACK, 2, 2);
    assert_eq!(b.state(), State::Closing);
    b.gets(seg(ACK, 2, 2));
    assert_eq!(b.state(), State::TimeWait);
}

/// RFC 9293 §3.10.7.4: FIN and the acknowledgement of ours in one segment lead from FIN-WAIT-1 to TIME-WAIT.
#[test]
fn fin_with_the_acknowledgement_of_ours_ends_at_once() {
    let mut b = Bench::established(plain());
    b.shutdown();
    b.sends(FIN_ACK, 1, 1);
    b.gets(seg(FIN_ACK, 1, 2));
    b.sends(ACK, 2, 2);
    assert_eq!(b.state(), State::TimeWait);
}

/// FIN follows the pending data (users ask A5), on the last segment if it fits.
#[test]
fn fin_follows_the_pending_data() {
    let mut b = Bench::established_with(plain(), 1_500);
    b.write(&bytes(2_000)).unwrap();
    b.shutdown();
    assert_eq!(b.write(b"late"), Err(SocketError::BrokenPipe));
    b.sends_data(ACK, 1, 1, MSS);
    b.silent();
    b.gets(seg(ACK, 1, 1_001).window(1_500));
    b.sends_data(FIN_ACK.with(PSH), 1_001, 1, MSS);
    b.silent();
}

/// RFC 9293 §3.8.6: the FIN takes a sequence number, so it waits for a window that has room for it.
#[test]
fn fin_waits_for_the_window() {
    let mut b = Bench::established_with(plain(), 500);
    b.write(&bytes(500)).unwrap();
    b.shutdown();
    b.sends_data(ACK.with(PSH), 1, 1, 500);
    b.gets(seg(ACK, 1, 501).window(0));
    b.silent();
    b.gets(seg(ACK, 1, 501).window(1));
    b.sends(FIN_ACK, 501, 1);
}

/// RFC 9293 §3.7.4: Nagle holds nothing back that a FIN follows.
#[test]
fn closing_sends_what_nagle_held_back() {
    let mut b = Bench::established(plain());
    b.write(b"a").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    b.write(b"b").unwrap();
    b.silent();
    b.shutdown();
    b.sends_data(FIN_ACK.with(PSH), 2, 1, 1);
}

/// Half-close: after our FIN the peer's data is still received and acknowledged.
#[test]
fn a_half_closed_connection_still_receives() {
    let mut b = Bench::established(plain());
    b.shutdown();
    b.sends(FIN_ACK, 1, 1);
    b.gets(seg(ACK, 1, 2).data(b"more"));
    assert_eq!(b.read(), Ok(b"more".to_vec()));
    b.gets(seg(FIN_ACK, 5, 2));
    b.sends(ACK, 2, 6);
}

/// A FIN behind a gap is remembered: it counts when the gap is filled, without being sent again.
#[test]
fn a_fin_behind_a_gap_counts_when_the_gap_is_filled() {
    let mut b = Bench::established(plain());
    b.gets(seg(FIN_ACK, 4, 1).data(b"def"));
    b.sends(ACK, 1, 1);
    b.gets(seg(ACK, 1, 1).data(b"abc"));
    b.sends(ACK, 1, 8);
    assert_eq!((b.state(), b.read(), b.read()), (State::CloseWait, Ok(b"abcdef".to_vec()), Ok(vec![])));
}

/// A broken peer: what it sends behind its FIN is not delivered, and the end of the stream is not lost.
#[test]
fn nothing_stands_behind_a_fin() {
    let mut b = Bench::established(plain());
    b.gets(seg(FIN_ACK, 4, 1).data(b"def"));
    b.sends(ACK, 1, 1);
    b.gets(seg(ACK, 6, 1).data(b"fghi"));
    b.sends(ACK, 1, 1);
    b.gets(seg(ACK, 1, 1).data(b"abc"));
    b.sends(ACK, 1, 8);
    assert_eq!((b.state(), b.read(), b.read()), (State::CloseWait, Ok(b"abcdef".to_vec()), Ok(vec![])));
    // The same later in the stream, with text right behind the FIN.
    let mut b = Bench::established(plain());
    b.gets(seg(ACK, 1, 1).data(b"0123456789"));
    b.gets(seg(ACK, 15, 1).data(b"behind"));
    b.sends(ACK, 1, 11);
    b.gets(seg(FIN_ACK, 15, 1));
    b.sends(ACK, 1, 11);
    b.gets(seg(ACK, 11, 1).data(b"last"));
    b.sends(ACK, 1, 16);
    assert_eq!(
        (b.state(), b.read(), b.read()),
        (State::CloseWait, Ok(b"0123456789last".to_vec()), Ok(vec![]))
    );
}

/// A lost FIN is sent again (RFC 9293 §3.8.1).
#[test]
fn a_lost_fin_is_retransmitted() {
    let mut b = Bench::established(plain());
    b.shutdown();
    b.sends(FIN_ACK, 1, 1);
    b.after(ms(300));
    b.sends(FIN_ACK, 1, 1);
    b.gets(seg(ACK, 1, 2));
    assert_eq!(b.state(), State::FinWait2);
}

/// Our lost ACK of the peer's FIN: the FIN comes again and is acknowledged again.
#[test]
fn a_repeated_fin_is_acknowledged_again() {
    let mut b = Bench::established(plain());
    b.gets(seg(FIN_ACK, 1, 1));
    b.sends(ACK, 1, 2);
    b.gets(seg(FIN_ACK, 1, 1));
    b.sends(ACK, 1, 2);
    assert_eq!(b.state(), State::CloseWait);
}

/// Dropping a socket closes gracefully in the background: data and FIN still go out, and nothing is left in the end.
#[test]
fn a_dropped_socket_sends_its_data_and_fin() {
    let mut b = Bench::established(plain());
    b.write(b"last words").unwrap();
    b.close();
    b.sends_data(FIN_ACK.with(PSH), 1, 1, 10);
    b.gets(seg(ACK, 1, 12));
    b.gets(seg(FIN_ACK, 1, 12));
    b.sends(ACK, 12, 2);
    b.silent();
    assert_eq!((b.state(), b.tcp.connections.len()), (State::TimeWait, 0));
}

/// SHLD-3 (RFC 9293 §3.6.1): closing with unread data resets.
#[test]
fn closing_with_unread_data_resets() {
    let mut b = Bench::established(plain());
    b.gets(seg(ACK, 1, 1).data(b"unread"));
    b.close();
    b.sends(RST_ACK, 1, 7);
    b.silent();
    assert_eq!((b.tcp.connections().count(), b.tcp.poll_timeout()), (0, None));
}

/// Policy 18: data that arrives after the socket is gone resets.
#[test]
fn data_after_close_resets() {
    let mut b = Bench::established(plain());
    b.close();
    b.sends(FIN_ACK, 1, 1);
    b.gets(seg(ACK, 1, 2).data(b"too late"));
    b.sends(RST_ACK, 2, 1);
    assert_eq!((b.tcp.connections().count(), b.dropped(DropReason::TcpAfterClose)), (0, 1));
}

/// Hostile case M5: an orphan in FIN-WAIT-2 lives for 60 s, a socket in use for ever.
#[test]
fn an_orphan_in_fin_wait_2_is_forgotten_after_a_minute() {
    let mut b = Bench::established(plain());
    b.shutdown();
    b.sends(FIN_ACK, 1, 1);
    b.gets(seg(ACK, 1, 2));
    assert_eq!(b.tcp.poll_timeout(), None);
    b.close();
    b.after(ms(59_999));
    assert_eq!(b.state(), State::FinWait2);
    b.after(ms(1));
    b.silent();
    assert_eq!((b.tcp.connections().count(), b.tcp.poll_timeout()), (0, None));
}

/// Hostile case M5: a FIN that is never acknowledged is given up after the orphan's retries.
#[test]
fn an_orphan_in_last_ack_is_given_up() {
    let mut b = Bench::established(TcpConfig { orphan_timeout: ms(3_600_000), ..plain() });
    b.gets(seg(FIN_ACK, 1, 1));
    b.sends(ACK, 1, 2);
    b.close();
    b.sends(FIN_ACK, 1, 2);
    for _ in 0..8 {
        b.until_timer();
        b.sends(FIN_ACK, 1, 2);
    }
    b.until_timer();
    b.silent();
    assert_eq!((b.tcp.connections().count(), b.tcp.poll_timeout()), (0, None));
}

/// However many connections come and go while the device takes nothing, each stands in the queue of senders at most once.
#[test]
fn the_queue_of_senders_holds_each_place_once() {
    let mut b = Bench::new(plain());
    for _ in 0..100 {
        let (now, remote) = (b.now, b.tuple.remote);
        let id = b.tcp.connect((b.tuple.local.addr, 0), remote.into(), &mut b.counters, now).unwrap();
        b.tcp.abort(id, &mut b.counters, now);
    }
    assert!(b.tcp.ready.len() <= b.tcp.connections.len(), "{} places", b.tcp.ready.len());
    b.silent();
    assert_eq!((b.tcp.ready.len(), b.tcp.connections.len(), b.tcp.poll_timeout()), (0, 0, None));
}

/// A connection dropped before its SYN was answered leaves nothing; the late SYN-ACK is reset.
#[test]
fn a_socket_dropped_while_opening_is_gone() {
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    b.close();
    b.silent();
    assert_eq!(b.tcp.connections().count(), 0);
    b.gets(seg(SYN_ACK, 0, 1));
    b.sends(RST, 1, 0);
}

/// RFC 5681 §4.2: a FIN alone behind a gap is out of order like data: the peer learns of the gap at once.
#[test]
fn a_bare_fin_behind_a_gap_is_acknowledged_at_once() {
    let mut b = Bench::established(plain());
    b.gets(seg(FIN_ACK, 4, 1));
    b.sends(ACK, 1, 1);
    b.gets(seg(ACK, 1, 1).data(b"abc"));
    b.sends(ACK, 1, 5);
    assert_eq!(b.state(), State::CloseWait);
}

/// A connection that was reset, and one that is over, are not among those that something can still be lost of, though their sockets are
/// held.
#[test]
fn a_dead_connection_is_not_open() {
    let mut b = Bench::established(plain());
    assert_eq!(b.tcp.open_connections(), 1);
    b.gets(seg(RST, 1, 0));
    assert_eq!((b.state(), b.tcp.open_connections()), (State::Closed, 0));
}

/// FIN-WAIT-2 after a close by the application has nothing left to lose; a half-close has, as long as its socket is held.
#[test]
fn a_half_closed_connection_is_open_and_an_orphan_is_not() {
    let mut b = Bench::established(plain());
    b.shutdown();
    b.sends(FIN_ACK, 1, 1);
    b.gets(seg(ACK, 1, 2));
    assert_eq!((b.state(), b.tcp.open_connections()), (State::FinWait2, 1));
    b.close();
    assert_eq!((b.state(), b.tcp.open_connections()), (State::FinWait2, 0));
}

/// Closing the socket of a connection that is over makes no orphan, so that a full number of them is no reason to refuse one.
#[test]
fn closing_what_is_over_makes_no_orphan() {
    let mut b = Bench::established(TcpConfig { max_orphans: 0, ..plain() });
    b.gets(seg(RST, 1, 0));
    b.close();
    b.silent();
    assert_eq!((b.counters.tcp_orphans_refused, b.tcp.connections().count()), (0, 0));
}

/// RFC 9293 §3.10.7.4, seventh step: text behind a FIN that was taken is ignored.
#[test]
fn text_after_the_end_of_the_stream_is_ignored() {
    let mut b = Bench::established(plain());
    b.gets(seg(FIN_ACK, 1, 1).data(b"abc"));
    b.sends(ACK, 1, 5);
    b.gets(seg(ACK, 5, 1).data(b"zombie"));
    b.silent();
    assert_eq!((b.state(), b.read(), b.read()), (State::CloseWait, Ok(b"abc".to_vec()), Ok(vec![])));
}

/// A connection stands once in the queue of senders and once in that of notices, whatever happens before somebody looks; with no
/// news, or when it is over, not at all.
#[test]
fn a_connection_waits_once_for_its_turn() {
    let mut b = Bench::established(plain());
    b.told();
    for i in 0..3 {
        b.write(b"x").unwrap();
        b.gets(seg(ACK, 1 + i, 1).data(b"y"));
    }
    assert_eq!((b.tcp.ready.len(), b.tcp.notices.len()), (1, 1));
    b.told();
    b.sends_data(ACK.with(PSH), 1, 4, 3);
    b.silent();
    b.gets(seg(ACK, 4, 1));
    b.silent();
    assert_eq!((b.tcp.ready.len(), b.tcp.notices.len()), (0, 0));
    b.gets(seg(RST, 4, 0));
    assert_eq!((b.tcp.ready.len(), b.tcp.notices.len()), (0, 1));
}
