//! Retransmission by timeout and by duplicate acknowledgements (RFC 6298, RFC 5681, RFC 6582).

use super::*;

/// RFC 6298 §5 (MUST-18, MUST-19): the oldest segment goes again after the timeout, the next one after twice as long, in slow start.
#[test]
fn a_timeout_sends_the_oldest_segment_again_and_backs_off() {
    let mut b = Bench::established(plain());
    b.write(&bytes(3_000)).unwrap();
    (0..3).for_each(|i| drop(b.sends_data(if i == 2 { ACK.with(PSH) } else { ACK }, 1 + i * 1_000, 1, MSS)));
    b.after(ms(300));
    b.sends_data(ACK, 1, 1, MSS);
    b.silent();
    b.after(ms(600));
    b.sends_data(ACK, 1, 1, MSS);
    b.silent();
    b.gets(seg(ACK, 1, 1_001));
    b.sends_data(ACK, 1_001, 1, MSS);
    b.sends_data(ACK.with(PSH), 2_001, 1, MSS);
    b.silent();
}

/// MUST-20, MUST-21, SHLD-11: after R2 retransmissions the connection is given up and the application told.
#[test]
fn a_silent_peer_is_given_up_after_r2() {
    let mut b = Bench::established(TcpConfig { retries: 3, ..plain() });
    b.write(b"hello?").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 6);
    for _ in 0..3 {
        b.until_timer();
        b.sends_data(ACK.with(PSH), 1, 1, 6);
    }
    b.until_timer();
    b.silent();
    assert_eq!((b.read(), b.state()), (Err(SocketError::TimedOut), State::Closed));
}

/// RFC 9293 §3.8.3: R2 counts retransmissions of the same data; progress begins the count anew.
#[test]
fn progress_begins_the_count_of_retransmissions_anew() {
    let mut b = Bench::established(TcpConfig { retries: 1, ..plain() });
    for i in 0..3 {
        b.write(b"x").unwrap();
        b.sends_data(ACK.with(PSH), 1 + i, 1, 1);
        b.until_timer();
        b.sends_data(ACK.with(PSH), 1 + i, 1, 1);
        b.gets(seg(ACK, 1, 2 + i));
    }
    assert_eq!(b.state(), State::Established);
}

/// RFC 5681 §3.2: three duplicate acknowledgements send the hole again at once, and only the hole.
#[test]
fn three_duplicates_are_a_loss() {
    let mut b = Bench::established(plain());
    b.write(&bytes(6_000)).unwrap();
    (0..6).for_each(|_| drop(b.next()));
    for _ in 0..2 {
        b.gets(seg(ACK, 1, 1));
        b.silent();
    }
    b.gets(seg(ACK, 1, 1));
    b.sends_data(ACK, 1, 1, MSS);
    b.silent();
    b.gets(seg(ACK, 1, 6_001));
    b.silent();
    assert_eq!((b.counters.tcp_retransmits, b.tcp.poll_timeout()), (1, None));
}

/// What is under way takes memory of its own, and an idle connection does not hold it.
#[test]
fn an_idle_connection_holds_nothing_of_its_flight() {
    let mut b = Bench::established(plain());
    let held = |b: &Bench| b.tcp.connections.get(b.id().0).unwrap().flight.is_held();
    assert!(!held(&b));
    b.write(&bytes(1_000)).unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 1_000);
    assert!(held(&b));
    b.gets(seg(ACK, 1, 1_001));
    assert!(!held(&b));
}

/// RFC 6582 §3.2: a partial acknowledgement sends the next hole, without another reduction.
#[test]
fn a_partial_acknowledgement_sends_the_next_hole() {
    let mut b = Bench::established(plain());
    b.write(&bytes(8_000)).unwrap();
    (0..8).for_each(|_| drop(b.next()));
    (0..3).for_each(|_| b.gets(seg(ACK, 1, 1)));
    b.sends_data(ACK, 1, 1, MSS);
    assert_eq!(b.statistics().slow_start_threshold, 4);
    b.gets(seg(ACK, 1, 3_001));
    b.sends_data(ACK, 3_001, 1, MSS);
    assert_eq!(b.statistics().slow_start_threshold, 4);
    b.gets(seg(ACK, 1, 8_001));
    b.silent();
    assert_eq!(b.statistics().congestion_window, 4, "RFC 9937: ssthresh at the end");
}

/// RFC 3042: the first two duplicates let new data out (limited transmit).
#[test]
fn the_first_duplicates_let_new_data_out() {
    let mut b = Bench::established(plain());
    b.write(&bytes(20_000)).unwrap();
    (0..10).for_each(|i| drop(b.sends_data(ACK, 1 + i * 1_000, 1, MSS)));
    b.silent();
    b.gets(seg(ACK, 1, 1));
    b.sends_data(ACK, 10_001, 1, MSS);
    b.silent();
}

/// Hostile case M8: a thousand duplicates cause one retransmission, and no more new data than has left the network.
#[test]
fn spoofed_duplicates_gain_little() {
    let mut b = Bench::established(plain());
    b.write(&bytes(100_000)).unwrap();
    (0..10).for_each(|_| drop(b.next()));
    (0..1_000).for_each(|_| b.gets(seg(ACK, 1, 1)));
    let mut sent = 0;
    while b.next().is_some() {
        sent += 1;
    }
    assert!(sent <= 10, "{sent} segments");
    assert_eq!(b.counters.tcp_retransmits, 1);
}

/// RFC 6298 §3 (Karn): the back-off stays until a segment that was sent once is acknowledged.
#[test]
fn the_back_off_stays_until_a_fresh_measurement() {
    let mut b = Bench::established(plain());
    b.write(b"a").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    b.after(ms(300));
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    b.gets(seg(ACK, 1, 2));
    b.write(b"b").unwrap();
    b.sends_data(ACK.with(PSH), 2, 1, 1);
    b.after(ms(600));
    b.sends_data(ACK.with(PSH), 2, 1, 1);
}

/// RFC 7323 §4.1: the acknowledgement of a duplicate echoes the original's timestamp, since the original arrived. Measured on
/// that, the timeout itself would become the round trip, and grow with every lost acknowledgement.
#[test]
fn an_echo_older_than_the_retransmission_is_no_round_trip() {
    let mut b = Bench::listening(TcpConfig { timestamps: true, ..plain() });
    let val = |s: Seg| s.options.timestamps.unwrap().val;
    b.gets(seg(SYN, 0, 0).mss(MSS as u16).ts(1, 0));
    let syn_ack = val(b.sends(SYN_ACK, 0, 1));
    b.now += ms(100);
    b.gets(seg(ACK, 1, 1).ts(2, syn_ack).window(60_000));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    b.write(b"a").unwrap();
    let original = val(b.sends_data(ACK.with(PSH), 1, 1, 1));
    b.after(ms(300));
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    b.gets(seg(ACK, 1, 2).ts(3, original).window(60_000));
    b.write(b"b").unwrap();
    b.sends_data(ACK.with(PSH), 2, 1, 1);
    // RFC 4015: the timeout was spurious, so its back-off is undone.
    b.after(ms(300));
    let again = val(b.sends_data(ACK.with(PSH), 2, 1, 1));
    assert_eq!(b.tcp.info(b.id()).unwrap().srtt, Some(ms(100)), "nothing was measured");
    b.now += ms(100);
    b.gets(seg(ACK, 1, 3).ts(4, again).window(60_000));
    assert_eq!(b.tcp.info(b.id()).unwrap().srtt, Some(ms(100)), "measured on the retransmission");
    b.write(b"c").unwrap();
    b.sends_data(ACK.with(PSH), 3, 1, 1);
    b.after(ms(300));
    b.sends_data(ACK.with(PSH), 3, 1, 1);
}

/// RFC 6298 §3 (Karn): an acknowledgement of a filled hole covers segments that were sent once, long ago. They say nothing.
#[test]
fn a_filled_hole_is_no_round_trip() {
    let mut b = Bench::established(plain());
    b.write(&bytes(2 * MSS)).unwrap();
    b.sends_data(ACK, 1, 1, MSS);
    b.sends_data(ACK.with(PSH), 1001, 1, MSS);
    b.after(ms(300));
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 2001));
    assert_eq!(b.tcp.info(b.id()).unwrap().srtt, Some(ms(100)));
}

/// RFC 9293 §3.10.7.4: an acknowledgement of what was never sent is answered (policy 24) and grows nothing (hostile case M7).
#[test]
fn an_acknowledgement_from_the_future_is_answered() {
    let mut b = Bench::established(plain());
    b.write(&bytes(500)).unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 500);
    b.gets(seg(ACK, 1, 502));
    b.sends(ACK, 501, 1);
    assert_eq!(
        (b.tcp.info(b.id()).unwrap().congestion_window, b.dropped(DropReason::TcpBadAck)),
        (10_000, 1)
    );
}

/// Hostile case M11: after 2 GiB without a loss three duplicates are still a loss. RECOVER (RFC 6582 §3.2) must not stay behind by
/// half of the sequence space.
#[test]
fn duplicates_are_a_loss_after_gigabytes_without_one() {
    let capabilities =
        Capabilities { tcp_segmentation: true, checksum: true, ..Capabilities::plain(MSS + 40) };
    let mut b = Bench::on(TcpConfig { window_scaling: true, ..plain() }, capabilities).listen(10);
    b.gets(seg(SYN, 0, 0).mss(MSS as u16).scale(14));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    let (chunk, mut sent) = (vec![7; 1 << 20], 0u64);
    while sent <= 2 << 30 {
        sent += b.write(&chunk).unwrap() as u64;
        while b.next().is_some() {}
        while b.tcp.info(b.id()).unwrap().send_queue > 0 {
            let nxt = b.tcp.connections.at(0).unwrap().snd.nxt;
            let una = nxt.since(b.iss);
            b.gets(seg(ACK, 1, una));
            while b.next().is_some() {}
        }
    }
    let una = b.tcp.connections.at(0).unwrap().snd.una.since(b.iss);
    b.write(&bytes(6_000)).unwrap();
    while b.next().is_some() {}
    (0..3).for_each(|_| b.gets(seg(ACK, 1, una)));
    b.sends_data(ACK, una, 1, MSS);
}

/// RFC 6298 §3 (Karn): an acknowledgement that covers a retransmission says nothing about the segments behind it either: they
/// waited for the hole.
#[test]
fn an_acknowledgement_of_a_repaired_hole_is_no_measurement() {
    let mut b = Bench::established(plain());
    b.write(&bytes(3_000)).unwrap();
    (0..3).for_each(|_| drop(b.next()));
    b.after(ms(300));
    b.sends_data(ACK, 1, 1, MSS);
    let before = b.tcp.info(b.id()).unwrap().srtt;
    b.gets(seg(ACK, 1, 3_001));
    assert_eq!(b.tcp.info(b.id()).unwrap().srtt, before);
}

/// Hostile case M8 (ACK division in recovery): a partial acknowledgement that ends within the segment just sent again does not
/// send that again.
#[test]
fn acknowledgements_of_single_bytes_in_recovery_send_nothing_again() {
    let mut b = Bench::established(plain());
    b.write(&bytes(8_000)).unwrap();
    (0..8).for_each(|_| drop(b.next()));
    (0..3).for_each(|_| b.gets(seg(ACK, 1, 1)));
    b.sends_data(ACK, 1, 1, MSS);
    for i in 2..100 {
        b.gets(seg(ACK, 1, i));
        b.silent();
    }
    b.gets(seg(ACK, 1, 1_001));
    b.sends_data(ACK, 1_001, 1, MSS);
}

/// RFC 5681 §2: what repeats an older number, carries text, or moves the window is no duplicate acknowledgement.
#[test]
fn only_plain_repetitions_are_duplicates() {
    let old = [seg(ACK, 1, 1), seg(ACK, 1, 1), seg(ACK, 1, 1)];
    let text = [1, 2, 3].map(|at| seg(ACK, at, 1_001).data(b"x"));
    let window = [50_000, 40_000, 30_000].map(|window| seg(ACK, 1, 1_001).window(window));
    let plain = [seg(ACK, 1, 1_001), seg(ACK, 1, 1_001), seg(ACK, 1, 1_001)];
    for (segments, retransmits) in [(old, 0), (text, 0), (window, 0), (plain, 1)] {
        let mut b = Bench::established(super::plain());
        b.write(&bytes(6_000)).unwrap();
        while b.next().is_some() {}
        b.gets(seg(ACK, 1, 1_001));
        for segment in segments.clone() {
            b.gets(segment);
            while b.next().is_some() {}
        }
        assert_eq!(b.counters.tcp_retransmits, retransmits, "{segments:?}");
    }
}

/// RFC 6582 §3.2 step 1 and §4.1: duplicates of the number that ended the last repair are its own late copies, not a new loss.
#[test]
fn duplicates_at_recover_are_no_loss() {
    let mut b = Bench::established(plain());
    b.write(&bytes(6_000)).unwrap();
    while b.next().is_some() {}
    (0..3).for_each(|_| b.gets(seg(ACK, 1, 1)));
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 6_001));
    b.write(&bytes(3_000)).unwrap();
    while b.next().is_some() {}
    (0..3).for_each(|_| b.gets(seg(ACK, 1, 6_001)));
    b.silent();
    assert_eq!(b.counters.tcp_retransmits, 1);
}

/// RFC 6582 §3.2: what duplicates have counted as arrived is not counted again when it is acknowledged, but for the copy in front of it.
#[test]
fn a_partial_acknowledgement_leaves_what_duplicates_told_of_the_rest() {
    let mut b = Bench::established(plain());
    let in_flight = |b: &Bench| b.tcp.connections.get(b.id().0).unwrap().in_flight();
    b.write(&bytes(10_000)).unwrap();
    while b.next().is_some() {}
    // The first and the fifth segment are lost.
    (0..8).for_each(|_| b.gets(seg(ACK, 1, 1)));
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 4_001));
    assert_eq!(in_flight(&b), 0);
    b.sends_data(ACK, 4_001, 1, MSS);
    assert_eq!(in_flight(&b), 1_000);
}

/// RFC 9937 without SACK: each duplicate counts as one segment delivered, so the window comes down in proportion.
#[test]
fn without_sack_sending_goes_on_in_proportion_to_the_duplicates() {
    let mut b = Bench::established(plain());
    b.write(&bytes(30_000)).unwrap();
    let mut left = Vec::new();
    for duplicate in 0..9 {
        if duplicate > 0 {
            b.gets(seg(ACK, 1, 1));
        }
        left.push(std::iter::from_fn(|| b.next()).count());
    }
    // Ten, two by limited transmit, the copy, and of the five that follow five twelfths.
    assert_eq!(left, [10, 1, 1, 1, 0, 1, 0, 1, 0]);
}
