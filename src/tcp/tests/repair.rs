//! How much leaves, and when, after a loss: the window's part in a repair (RFC 9937, RFC 6582), the timeout's (RFC 5682), the probe's
//! (RFC 8985 §7), and when the window grows again (RFC 9438 §5.8). How a loss is found is in `loss` and `retransmit`.

use super::loss::{flight, sack, sacking, wait};
use super::*;

/// RFC 9937 §6: below the target a repair sends as much as is delivered, and a segment more where the acknowledgement shows progress;
/// not all that is lost.
#[test]
fn a_repair_sends_what_was_delivered() {
    let mut b = sacking(|_| ());
    flight(&mut b, 10);
    b.now += ms(100);
    let report = sack(&b, 1, &[(7_001, 10_001)]);
    b.gets(report);
    for seq in [1, 1_001, 2_001] {
        b.sends_data(ACK, seq, 1, MSS);
    }
    b.silent();
    b.now += ms(100);
    let progress = sack(&b, 1_001, &[(7_001, 10_001)]);
    b.gets(progress);
    for seq in [3_001, 4_001] {
        b.sends_data(ACK, seq, 1, MSS);
    }
    b.silent();
}

/// RFC 6582 §3.2 step 3: the hole that a partial acknowledgement shows goes again, whether or not the window has room.
#[test]
fn the_next_hole_needs_no_room_in_the_window() {
    let mut b = Bench::established(plain());
    b.write(&bytes(10 * MSS)).unwrap();
    (0..10).for_each(|_| drop(b.next().unwrap()));
    (0..3).for_each(|_| b.gets(seg(ACK, 1, 1)));
    b.sends_data(ACK, 1, 1, MSS);
    b.silent();
    b.gets(seg(ACK, 1, 1_001));
    b.sends_data(ACK, 1_001, 1, MSS);
    b.silent();
}

/// RFC 5681 §3.1: after a timeout the window is one segment, of whatever length.
#[test]
fn one_short_segment_goes_again_after_a_timeout() {
    let mut b = sacking(|config| (config.nagle, config.tail_loss_probe) = (false, false));
    for i in 0..5 {
        b.write(&bytes(90)).unwrap();
        b.sends_data(ACK.with(PSH), 1 + 90 * i, 1, 90);
    }
    b.until_timer();
    b.sends_data(ACK, 1, 1, 90);
    b.silent();
}

/// RFC 6298 §5: a retransmission of the oldest segment restarts the timer: it has a whole timeout to arrive.
#[test]
fn a_segment_sent_again_has_a_whole_timeout() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 10);
    b.after(ms(100));
    let report = sack(&b, 1, &[(1_001, 4_001)]);
    b.gets(report);
    b.sends_data(ACK, 1, 1, MSS);
    b.quiet_for(ms(299));
    b.silent();
    b.after(ms(1));
    b.sends_data(ACK, 1, 1, MSS);
}

/// RFC 5682 §2.1 step 2: where there is one new segment only the sender waits for what that one draws.
#[test]
fn a_single_new_segment_is_waited_for_after_a_timeout() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 4);
    b.until_timer();
    b.sends_data(ACK, 1, 1, MSS);
    b.write(&bytes(MSS)).unwrap();
    b.silent();
    b.gets(seg(ACK, 1, 1_001));
    b.sends_data(ACK.with(PSH), 4_001, 1, MSS);
    b.silent();
    let report = sack(&b, 1_001, &[(4_001, 5_001)]);
    b.gets(report);
    b.sends_data(ACK, 1_001, 1, MSS);
}

/// RFC 8985 §7.3: new data is the better probe, also a short segment that Nagle holds back.
#[test]
fn the_probe_takes_what_nagle_holds_back() {
    let mut b = sacking(|_| ());
    b.write(&bytes(100)).unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 100);
    b.write(&bytes(50)).unwrap();
    b.silent();
    let probe = wait(&mut b);
    assert_eq!((probe.seq, probe.payload.len()), (101, 50));
}

/// RFC 9438 §5.8, RFC 7661: in congestion avoidance the window grows where it is used whole, and not where one more segment fits.
#[test]
fn a_window_grows_in_congestion_avoidance_only_where_it_is_used_whole() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 10);
    b.now += ms(100);
    let report = sack(&b, 1, &[(1_001, 10_001)]);
    b.gets(report);
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 10_001));
    assert_eq!((b.statistics().congestion_window, b.statistics().slow_start_threshold), (5, 5));
    for (segments, window) in [(4, 5), (5, 6)] {
        for _ in 0..10 {
            b.write(&bytes(segments * MSS)).unwrap();
            while b.next().is_some() {}
            b.now += ms(100);
            b.gets(seg(ACK, 1, b.next_seq()));
        }
        assert_eq!(b.statistics().congestion_window, window, "{segments} segments a round trip");
    }
}
