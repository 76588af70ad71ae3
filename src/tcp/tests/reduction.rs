//! How far the window comes down, and what may be sent meanwhile (RFC 9937, RFC 5681 §3.1).

use super::loss::{flight, sack, sacking};
use super::*;
use crate::tcp::config::Ecn;
use crate::tcp::statistics::RecoveryState;

/// All that may be sent now, in segments.
fn burst(b: &mut Bench) -> usize {
    std::iter::from_fn(|| b.next()).count()
}

/// A connection with ECN.
fn capable(sack: bool) -> Bench {
    let mut b = Bench::listening(TcpConfig { sack, tail_loss_probe: false, ecn: Ecn::Accept, ..plain() });
    b.gets(seg(SYN.with(Flags::ECE).with(Flags::CWR), 0, 0).mss(MSS as u16).sack_permitted());
    b.sends(SYN_ACK.with(Flags::ECE), 0, 1);
    b.now += ms(100);
    b.gets(seg(ACK, 1, 1));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    b
}

/// What begins a reduction.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Begins {
    Report,
    Timer,
    Mark,
}

/// RFC 9937 §6: RecoverFS is what was under way and not reported when the reduction began, whether a report, the reordering timer or a
/// mark began it: with a window of ten to be halved, three segments leave for five that arrive.
#[test]
fn the_proportion_counts_from_what_no_report_had_named() {
    for begins in [Begins::Report, Begins::Timer, Begins::Mark] {
        let mut b = capable(true);
        b.write(&bytes(100 * MSS)).unwrap();
        assert_eq!(burst(&mut b), 10);
        b.now += ms(100);
        for end in [2_001, 3_001] {
            let report = sack(&b, 1, &[(1_001, end)]);
            b.gets(report);
            assert_eq!(burst(&mut b), 1, "limited transmit (RFC 3042)");
        }
        let mut left = 0;
        if begins == Begins::Timer {
            b.after(ms(25));
            left += burst(&mut b);
            assert_eq!((b.statistics().recovery, left), (RecoveryState::Recovery, 1));
        }
        if begins == Begins::Mark {
            let mut marked = sack(&b, 1, &[(1_001, 3_001)]);
            marked.flags = ACK.with(Flags::ECE);
            b.gets(marked);
            assert_eq!((b.statistics().recovery, burst(&mut b)), (RecoveryState::Reduced, 0));
        }
        for i in 0..5 {
            let report = sack(&b, 1, &[(1_001, 4_001 + i * 1_000)]);
            b.gets(report);
            left += burst(&mut b);
        }
        assert_eq!(
            (left, b.counters.tcp_retransmits, b.statistics().slow_start_threshold),
            (3, 1, 5),
            "{begins:?}"
        );
    }
}

/// RFC 9937 §6: below the threshold as much leaves as arrives, and a segment more where SND.UNA moves and nothing new is found lost.
#[test]
fn only_safe_progress_sends_more_than_arrived() {
    // Of the three copies the first arrives, or the first and the third: then the second is lost again.
    for (arrived, leave) in [(&[(7_001, 10_001)][..], 2), (&[(2_001, 3_001), (7_001, 10_001)], 2)] {
        let mut b = sacking(|config| config.tail_loss_probe = false);
        b.write(&bytes(100 * MSS)).unwrap();
        assert_eq!(burst(&mut b), 10);
        b.now += ms(100);
        let report = sack(&b, 1, &[(7_001, 10_001)]);
        b.gets(report);
        assert_eq!(burst(&mut b), 3);
        b.now += ms(100);
        let report = sack(&b, 1_001, arrived);
        b.gets(report);
        assert_eq!(burst(&mut b), leave, "{arrived:?}");
    }
}

/// RFC 9937 is for the repair only: afterwards the window grows as the algorithm says.
#[test]
fn after_the_repair_the_window_grows_again() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    b.write(&bytes(100 * MSS)).unwrap();
    burst(&mut b);
    b.now += ms(100);
    let report = sack(&b, 1, &[(1_001, 4_001)]);
    b.gets(report);
    burst(&mut b);
    for window in [5, 6] {
        b.now += ms(100);
        b.gets(seg(ACK, 1, b.next_seq()));
        assert_eq!(b.statistics().congestion_window, window);
        assert_eq!(burst(&mut b), window as usize);
    }
}

/// RFC 5681 §3.1: the timeouts of one segment halve the threshold once; that of another segment is another event.
#[test]
fn a_timeout_halves_the_threshold_once_for_a_segment() {
    let mut b = sacking(|config| (config.tail_loss_probe, config.frto) = (false, false));
    flight(&mut b, 10);
    for _ in 0..3 {
        b.until_timer();
        b.sends_data(ACK, 1, 1, MSS);
        assert_eq!(b.statistics().slow_start_threshold, 5);
    }
    b.gets(seg(ACK, 1, 3_001));
    assert_eq!(burst(&mut b), 4);
    b.until_timer();
    assert_eq!(b.statistics().slow_start_threshold, 2);
}

/// RFC 7661, RFC 9438 §5.8: in slow start the window grows while more than half of it is used (as in Linux).
#[test]
fn a_window_grows_while_more_than_half_of_it_is_used() {
    let mut b = sacking(|_| ());
    for (segments, window) in [(5, 10), (5, 10), (6, 16)] {
        b.write(&bytes(segments * MSS)).unwrap();
        assert_eq!(burst(&mut b), segments);
        b.now += ms(100);
        b.gets(seg(ACK, 1, b.next_seq()));
        assert_eq!(b.statistics().congestion_window, window);
    }
}

/// RFC 5681 §3.2: duplicates of one acknowledgement are counted, also while the window comes down after a mark; the next one begins
/// the count anew.
#[test]
fn an_acknowledgement_begins_the_count_of_duplicates_anew() {
    let mut b = capable(false);
    b.write(&bytes(100 * MSS)).unwrap();
    burst(&mut b);
    b.now += ms(100);
    b.gets(seg(ACK.with(Flags::ECE), 1, 1_001));
    assert_eq!(b.statistics().recovery, RecoveryState::Reduced);
    for (ack, duplicates) in [(2_001, 2), (3_001, 2), (4_001, 3)] {
        b.gets(seg(ACK, 1, ack));
        burst(&mut b);
        for _ in 0..duplicates {
            b.gets(seg(ACK, 1, ack));
            burst(&mut b);
        }
        assert_eq!(b.counters.tcp_retransmits, u64::from(duplicates == 3), "{ack}");
    }
}

/// draft-ietf-ccwg-bbr §5.6.4.4: BBR has the window in its own hand during a repair and at its end; PRR does not touch it.
#[test]
fn the_window_of_bbr_is_its_own_in_a_repair() {
    let mut b = sacking(|config| {
        (config.tail_loss_probe, config.congestion) = (false, congestion::CongestionControl::Bbr);
    });
    b.write(&bytes(100 * MSS)).unwrap();
    while b.statistics().unacknowledged < 10 {
        burst(&mut b);
        b.until_timer();
    }
    b.now += ms(100);
    let reports = [sack(&b, 1, &[(1_001, 4_001)]), sack(&b, 1, &[(1_001, 5_001)]), seg(ACK, 1, 10_001)];
    for (report, window) in reports.into_iter().zip([13, 14, 20]) {
        b.gets(report);
        assert_eq!(b.statistics().congestion_window, window, "it starts slowly: what is delivered is added");
        burst(&mut b);
    }
    assert_eq!(b.counters.tcp_retransmits, 1);
}

/// draft-ietf-ccwg-bbr, "delivery rate samples": a segment sent again remembers how much was under way with it.
#[test]
fn a_copy_counts_what_was_under_way_with_it() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 10);
    b.now += ms(100);
    let report = sack(&b, 1, &[(1_001, 4_001)]);
    b.gets(report);
    b.sends_data(ACK, 1, 1, MSS);
    let flight = &b.tcp.connections.get(b.id().0).unwrap().flight;
    assert_eq!(flight.sent.first().unwrap().departure, flight.delivery.depart(7_000));
}
