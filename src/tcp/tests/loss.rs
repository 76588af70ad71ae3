//! Loss recovery with SACK: what is lost is found by time, sent again once, and forgiven where nothing was lost (RFC 2018, RFC 8985, RFC 9937, RFC 5682,
//! RFC 4015). The scoreboard's own tests are in `sent_tests.rs`.

use super::*;
use crate::tcp::statistics::RecoveryState;

/// A connection with SACK whose round trip of 100 ms is known; `change` adjusts the settings.
pub(super) fn sacking(change: impl FnOnce(&mut TcpConfig)) -> Bench {
    let mut config = TcpConfig { sack: true, ..plain() };
    change(&mut config);
    let timestamps = config.timestamps;
    let mut b = Bench::listening(config);
    let syn = seg(SYN, 0, 0).mss(MSS as u16).sack_permitted();
    b.gets(if timestamps { syn.ts(1, 0) } else { syn });
    let syn_ack = b.sends(SYN_ACK, 0, 1);
    b.now += ms(100);
    let ack = seg(ACK, 1, 1);
    b.gets(match syn_ack.options.timestamps {
        Some(ts) => ack.ts(2, ts.val),
        None => ack,
    });
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    b
}

/// `count` full segments leave at once.
pub(super) fn flight(b: &mut Bench, count: u32) {
    b.write(&bytes(count as usize * MSS)).unwrap();
    (0..count).for_each(|i| drop(b.sends_data(flags(i + 1 == count), 1 + i * 1_000, 1, MSS)));
    b.silent();
}

/// What timers send next.
pub(super) fn wait(b: &mut Bench) -> Seg {
    loop {
        b.until_timer();
        if let Some(sent) = b.next() {
            return sent;
        }
    }
}

fn flags(last: bool) -> Flags {
    if last { ACK.with(PSH) } else { ACK }
}

/// An ACK with SACK blocks, in relative numbers.
pub(super) fn sack(b: &Bench, ack: u32, blocks: &[(u32, u32)]) -> Seg {
    let mut s = seg(ACK, 1, ack);
    s.options.sack = blocks.iter().map(|&(left, right)| (b.iss + left, b.iss + right)).collect();
    s
}

/// RFC 8985 §6.2: three segments reported behind a hole mean a loss at once while nothing was ever reordered; only the hole goes again.
#[test]
fn a_hole_behind_three_reported_segments_is_sent_again() {
    let mut b = sacking(|_| ());
    flight(&mut b, 10);
    b.now += ms(100);
    let report = sack(&b, 1, &[(1_001, 4_001)]);
    b.gets(report);
    b.sends_data(ACK, 1, 1, MSS);
    b.silent();
    assert_eq!(b.statistics().recovery, RecoveryState::Recovery);
    b.now += ms(100);
    b.gets(seg(ACK, 1, 10_001));
    b.silent();
    assert_eq!((b.counters.tcp_retransmits, b.counters.tcp_timeouts), (1, 0));
}

/// A short segment that is lost needs only as much of the window as it has.
#[test]
fn a_short_segment_needs_no_room_for_a_full_one() {
    let mut b = sacking(|config| (config.nagle, config.initial_window) = (false, 2));
    for i in 0..20 {
        b.write(&bytes(90)).unwrap();
        b.sends_data(ACK.with(PSH), 1 + 90 * i, 1, 90);
    }
    b.now += ms(100);
    // The window comes down to two segments while more than one is still under way.
    let report = sack(&b, 1, &[(181, 541)]);
    b.gets(report);
    b.sends_data(ACK, 1, 1, 90);
    b.sends_data(ACK, 91, 1, 90);
}

/// RFC 8985 §6.2 steps 4 and 5: with fewer reports the segment has a quarter of the shortest round trip to turn up.
#[test]
fn an_overtaken_segment_has_a_quarter_of_a_round_trip() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 4);
    b.now += ms(100);
    let report = sack(&b, 1, &[(1_001, 2_001)]);
    b.gets(report);
    b.quiet_for(ms(24));
    b.after(ms(1));
    b.sends_data(ACK, 1, 1, MSS);
}

/// RFC 8985 §6.2 step 4: a path that was seen to reorder is given that time even behind many reports.
#[test]
fn a_path_that_reorders_is_given_time() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 10);
    b.now += ms(100);
    let late = sack(&b, 1, &[(1_001, 2_001)]);
    b.gets(late);
    b.gets(seg(ACK, 1, 2_001));
    assert_eq!(b.statistics().reordering_seen, 1);
    let report = sack(&b, 2_001, &[(3_001, 8_001)]);
    b.gets(report);
    b.quiet_for(ms(24));
    b.after(ms(1));
    b.sends_data(ACK, 2_001, 1, MSS);
}

/// RFC 8985 §6.2 step 2: RACK.rtt is also that of what comes late, though something younger was delivered before.
#[test]
fn a_late_arrival_gives_what_is_missing_as_much_time() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 2);
    b.after(ms(20));
    b.write(&bytes(MSS)).unwrap();
    b.sends_data(ACK.with(PSH), 2_001, 1, MSS);
    b.after(ms(100));
    let report = sack(&b, 1, &[(2_001, 3_001)]);
    b.gets(report);
    b.after(ms(4));
    let late = sack(&b, 1_001, &[(2_001, 3_001)]);
    b.gets(late);
    b.quiet_for(ms(24));
    b.after(ms(1));
    b.sends_data(ACK, 1_001, 1, MSS);
}

/// RFC 6675 §4 where RACK is off: three segments reported above a hole, not two.
#[test]
fn without_rack_segments_are_counted() {
    let mut b = sacking(|config| (config.rack, config.tail_loss_probe) = (false, false));
    flight(&mut b, 6);
    b.now += ms(100);
    let two = sack(&b, 1, &[(1_001, 3_001)]);
    b.gets(two);
    b.quiet_for(ms(30));
    let three = sack(&b, 1, &[(1_001, 4_001)]);
    b.gets(three);
    b.sends_data(ACK, 1, 1, MSS);
    b.silent();
}

/// Policy 10: blocks on an acknowledgement older than SND.UNA still count.
#[test]
fn blocks_on_an_old_acknowledgement_count() {
    let mut b = sacking(|_| ());
    flight(&mut b, 10);
    b.now += ms(100);
    b.gets(seg(ACK, 1, 2_001));
    let old = sack(&b, 1_001, &[(3_001, 6_001)]);
    b.gets(old);
    b.sends_data(ACK, 2_001, 1, MSS);
    b.silent();
}

/// RFC 8985 §7: the loss of the last segment is found by a probe after two round trips, and repaired by it; the window comes down once.
#[test]
fn a_lost_tail_is_repaired_by_the_probe() {
    let mut b = sacking(|_| ());
    flight(&mut b, 4);
    b.now += ms(100);
    b.gets(seg(ACK, 1, 3_001));
    // One segment is left: its acknowledgement may be delayed, and the timeout comes before twice the round trip and that.
    let probe = wait(&mut b);
    assert_eq!((probe.seq, probe.payload.len()), (3_001, MSS));
    assert_eq!((b.counters.tcp_tail_probes, b.counters.tcp_timeouts), (1, 0));
    b.gets(seg(ACK, 1, 4_001));
    b.write(&bytes(MSS)).unwrap();
    b.sends_data(ACK.with(PSH), 4_001, 1, MSS);
    assert_eq!(b.statistics().slow_start_threshold, u32::MAX);
    b.gets(seg(ACK, 1, 5_001));
    assert!(b.statistics().slow_start_threshold < 10, "the probe repaired a loss");
}

/// RFC 8985 §7.2: two round trips and 2 ms, with several segments under way; new data is the better probe (§7.3).
#[test]
fn the_probe_prefers_new_data_and_comes_after_two_round_trips() {
    let mut b = sacking(|_| ());
    b.write(&bytes(11 * MSS)).unwrap();
    (0..10).for_each(|_| drop(b.next().unwrap()));
    b.silent();
    b.quiet_for(ms(201));
    b.after(ms(1));
    b.sends_data(ACK.with(PSH), 10_001, 1, MSS);
    b.silent();
    assert_eq!(b.counters.tcp_retransmits, 0);
}

/// RFC 8985 §7.2: one probe at a time. Where it is not answered either, the retransmission timeout comes next, though there is more
/// new data.
#[test]
fn an_unanswered_probe_is_followed_by_the_timeout() {
    let mut b = sacking(|_| ());
    b.write(&bytes(13 * MSS)).unwrap();
    (0..10).for_each(|_| drop(b.next().unwrap()));
    assert_eq!(wait(&mut b).seq, 10_001);
    assert_eq!(wait(&mut b).seq, 1);
    assert_eq!((b.counters.tcp_tail_probes, b.counters.tcp_timeouts), (1, 1));
}

/// RFC 8985 §7.4.2: a D-SACK for the probe says that nothing was lost: no reduction.
#[test]
fn a_needless_probe_reduces_nothing() {
    let mut b = sacking(|_| ());
    flight(&mut b, 4);
    b.until_timer();
    b.sends_data(ACK.with(PSH), 3_001, 1, MSS);
    b.gets(seg(ACK, 1, 4_001));
    let needless = sack(&b, 4_001, &[(3_001, 4_001)]);
    b.gets(needless);
    b.write(&bytes(MSS)).unwrap();
    b.sends_data(ACK.with(PSH), 4_001, 1, MSS);
    b.gets(seg(ACK, 1, 5_001));
    assert_eq!(b.statistics().slow_start_threshold, u32::MAX);
}

/// RFC 5682 §2.1 and §3.1: after a timeout one segment goes again; when what was sent only once is acknowledged, the timeout was
/// spurious: window, threshold and timeout are as before.
#[test]
fn a_spurious_timeout_is_undone() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 10);
    let before = b.statistics();
    b.until_timer();
    b.sends_data(ACK, 1, 1, MSS);
    b.silent();
    assert_eq!(b.statistics().congestion_window, 1);
    b.gets(seg(ACK, 1, 4_001));
    let after = b.statistics();
    assert_eq!((after.recovery, after.lost, after.backoff), (RecoveryState::Open, 0, 0));
    assert!(after.congestion_window >= before.congestion_window);
    assert_eq!((after.slow_start_threshold, b.counters.tcp_undos), (u32::MAX, 1));
    b.silent();
}

/// RFC 5682 §2.1 step 3a: new data reported behind the hole shows that the timeout was right; the rest goes again.
#[test]
fn a_genuine_timeout_goes_on() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 4);
    b.write(&bytes(10 * MSS)).unwrap();
    while b.next().is_some() {}
    b.until_timer();
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 1_001));
    // Step 2b: new data instead of what counts as lost.
    b.sends_data(ACK, 10_001, 1, MSS);
    b.sends_data(ACK, 11_001, 1, MSS);
    b.silent();
    let report = sack(&b, 1_001, &[(10_001, 11_001)]);
    b.gets(report);
    b.sends_data(ACK, 1_001, 1, MSS);
    assert_eq!((b.statistics().recovery, b.counters.tcp_undos), (RecoveryState::Loss, 0));
}

/// RFC 5682 §2.1 step 2: new data that Nagle holds back cannot tell anything: the rest goes again.
#[test]
fn new_data_that_may_not_leave_does_not_hold_the_repair_up() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    b.write(&bytes(3 * MSS + 10)).unwrap();
    while b.next().is_some() {}
    b.write(&bytes(20)).unwrap();
    b.silent();
    assert_eq!(wait(&mut b).seq, 1);
    b.gets(seg(ACK, 1, 1_001));
    b.sends_data(ACK, 1_001, 1, MSS);
    // That was the end of the test: an original proves nothing any more.
    b.gets(seg(ACK, 1, 3_001));
    assert_eq!(b.counters.tcp_undos, 0);
}

/// RFC 3522, RFC 4015: the peer echoes the original's timestamp: the repair was a mistake.
#[test]
fn an_echo_of_the_original_undoes_the_repair() {
    let mut b = sacking(|config| config.timestamps = true);
    // Twelve bytes of each segment are the option.
    let len = MSS as u32 - 12;
    b.write(&bytes(10 * len as usize)).unwrap();
    let mut sent = (0..10).map(|_| b.next().unwrap()).collect::<Vec<_>>();
    let original = sent.remove(0).options.timestamps.unwrap().val;
    b.now += ms(100);
    let report = sack(&b, 1, &[(1 + len, 1 + 4 * len)]).ts(3, original);
    b.gets(report);
    assert_eq!(b.next().unwrap().seq, 1);
    b.now += ms(1);
    b.gets(seg(ACK, 1, 1 + 4 * len).ts(4, original));
    let after = b.statistics();
    assert_eq!((after.recovery, after.slow_start_threshold), (RecoveryState::Open, u32::MAX));
    assert_eq!(b.counters.tcp_undos, 1);
}

/// RFC 3708: every copy is reported as a duplicate: the repair was a mistake.
#[test]
fn duplicates_of_all_copies_undo_the_repair() {
    let mut b = sacking(|_| ());
    flight(&mut b, 10);
    b.now += ms(100);
    let report = sack(&b, 1, &[(1_001, 4_001)]);
    b.gets(report);
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 4_001));
    let duplicate = sack(&b, 4_001, &[(1, 1_001)]);
    b.gets(duplicate);
    assert_eq!((b.statistics().recovery, b.counters.tcp_undos), (RecoveryState::Open, 1));
}

/// RFC 2018 §8: a timeout whose first segment was reported before: the receiver reneged, everything goes again.
#[test]
fn a_reneging_peer_gets_everything_again() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 3);
    b.now += ms(100);
    let report = sack(&b, 1, &[(1_001, 3_001)]);
    b.gets(report);
    b.after(ms(25));
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 1_001));
    b.until_timer();
    b.sends_data(ACK, 1_001, 1, MSS);
    assert_eq!(b.statistics().sacked, 0);
}

/// RFC 2018 §8: the first number that SND.UNA stops at was reported before: the peer has half a round trip to say that again.
#[test]
fn a_report_that_seems_taken_back_is_doubted_for_half_a_round_trip() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 3);
    b.now += ms(100);
    let report = sack(&b, 1, &[(1_001, 3_001)]);
    b.gets(report);
    b.after(ms(25));
    b.sends_data(ACK, 1, 1, MSS);
    b.now += ms(100);
    b.gets(seg(ACK, 1, 1_001));
    b.quiet_for(ms(49));
    b.after(ms(1));
    b.sends_data(ACK, 1_001, 1, MSS);
}

/// RFC 3708 §3: the last copy is reported as a duplicate when nothing is under way any more, and the repair is over.
#[test]
fn a_late_duplicate_undoes_a_repair_that_is_over() {
    let mut b = sacking(|_| ());
    flight(&mut b, 10);
    b.now += ms(100);
    let report = sack(&b, 1, &[(1_001, 4_001)]);
    b.gets(report);
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 10_001));
    assert!(b.statistics().congestion_window < 10);
    let duplicate = sack(&b, 10_001, &[(1, 1_001)]);
    b.gets(duplicate);
    let after = b.statistics();
    assert_eq!((after.congestion_window, after.slow_start_threshold, after.duplicates), (10, u32::MAX, 1));
}

/// Hostile case M2: a duplicate of more than a window ever held is none, however often it is told: nothing is counted or undone.
#[test]
fn a_duplicate_of_more_than_a_window_is_none() {
    let mut b = sacking(|_| ());
    flight(&mut b, 10);
    b.now += ms(100);
    let report = sack(&b, 1, &[(1_001, 4_001)]);
    b.gets(report);
    b.sends_data(ACK, 1, 1, MSS);
    for _ in 0..100 {
        let half_of_the_space = sack(&b, 1, &[(1_u32.wrapping_sub(0x7fff_0000), 1)]);
        b.gets(half_of_the_space);
    }
    assert_eq!((b.statistics().duplicates, b.counters.tcp_undos), (0, 0));
    assert_eq!(b.statistics().recovery, RecoveryState::Recovery);
}

/// RFC 8985 §6.2 step 4: copies that only the path made say nothing about what this side sends again.
#[test]
fn duplicates_of_the_path_widen_no_reordering_window() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 4);
    b.now += ms(100);
    let duplicate = sack(&b, 2_001, &[(1, 1_001)]);
    b.gets(duplicate);
    assert_eq!(b.statistics().duplicates, 1);
    let report = sack(&b, 2_001, &[(3_001, 4_001)]);
    b.gets(report);
    b.quiet_for(ms(24));
    b.after(ms(1));
    b.sends_data(ACK, 2_001, 1, MSS);
}

/// RFC 8985 §6.3: when nothing of this flight has arrived yet, a usual round trip is what a segment gets before a timeout of another
/// counts it as lost. Without SACK nothing would find it lost later.
#[test]
fn a_timeout_spares_what_left_within_a_round_trip() {
    for (sack, lost) in [(true, 1), (false, 2)] {
        let mut b = sacking(|config| (config.tail_loss_probe, config.sack) = (false, sack));
        b.write(&bytes(MSS)).unwrap();
        b.sends_data(ACK.with(PSH), 1, 1, MSS);
        b.after(ms(250));
        b.write(&bytes(MSS)).unwrap();
        b.sends_data(ACK.with(PSH), 1_001, 1, MSS);
        b.until_timer();
        assert_eq!((b.statistics().lost, b.statistics().unacknowledged), (lost, 2));
    }
}

/// RFC 8985 §7.2: two small segments are two, and their acknowledgement is not delayed.
#[test]
fn small_segments_count_as_segments_for_the_probe() {
    let mut b = sacking(|config| config.nagle = false);
    for i in 0..2 {
        b.write(&bytes(10)).unwrap();
        b.sends_data(ACK.with(PSH), 1 + 10 * i, 1, 10);
    }
    b.quiet_for(ms(201));
    b.after(ms(1));
    b.sends_data(ACK.with(PSH), 11, 1, 10);
}

/// RFC 5682 §2.1 step 2: without SACK the acknowledgement of the copy covers what waited behind the hole; that proves nothing.
#[test]
fn without_sack_the_copys_acknowledgement_proves_no_spurious_timeout() {
    let mut b = sacking(|config| config.sack = false);
    flight(&mut b, 10);
    b.until_timer();
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 5_001));
    assert_eq!((b.statistics().recovery, b.counters.tcp_undos), (RecoveryState::Loss, 0));
}

/// A socket may change its algorithm while it is open: window and threshold stay.
#[test]
fn another_algorithm_goes_on_where_the_last_one_was() {
    use crate::tcp::congestion::CongestionControl;
    let mut b = sacking(|config| config.congestion = CongestionControl::Cubic);
    flight(&mut b, 10);
    b.now += ms(100);
    let report = sack(&b, 1, &[(1_001, 10_001)]);
    b.gets(report);
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 10_001));
    let windows = |b: &Bench| (b.statistics().congestion_window, b.statistics().slow_start_threshold);
    assert_eq!(windows(&b), (7, 7));
    for choice in [CongestionControl::NewReno, CongestionControl::Cubic] {
        b.set_options(|options| options.congestion = choice);
        assert_eq!((windows(&b), b.statistics().algorithm), ((7, 7), choice));
    }
    b.set_options(|options| options.congestion = CongestionControl::NewReno);
    b.write(&bytes(7 * MSS)).unwrap();
    while b.next().is_some() {}
    let report = sack(&b, 10_001, &[(11_001, 17_001)]);
    b.gets(report);
    assert_eq!(b.statistics().slow_start_threshold, 3, "halved (RFC 5681), not seven tenths");
}

/// RFC 9937 §6: the window comes down in proportion, and is ssthresh at the end.
#[test]
fn the_window_ends_at_the_threshold() {
    let mut b = sacking(|_| ());
    flight(&mut b, 10);
    b.write(&bytes(100 * MSS)).unwrap();
    b.now += ms(100);
    for i in 0..9 {
        let report = sack(&b, 1, &[(1_001, 2_001 + i * 1_000)]);
        b.gets(report);
        while b.next().is_some() {}
    }
    let threshold = b.statistics().slow_start_threshold;
    b.now += ms(100);
    b.gets(seg(ACK, 1, b.next_seq()));
    assert_eq!((b.statistics().recovery, b.statistics().congestion_window), (RecoveryState::Open, threshold));
}

/// RFC 7661, RFC 9438 §5.8 (policy 5): a window that is not used does not grow.
#[test]
fn an_unused_window_does_not_grow() {
    let mut b = sacking(|_| ());
    for i in 0..20 {
        b.write(&bytes(MSS)).unwrap();
        b.sends_data(ACK.with(PSH), 1 + i * 1_000, 1, MSS);
        b.now += ms(100);
        b.gets(seg(ACK, 1, 1_001 + i * 1_000));
    }
    assert_eq!(b.statistics().congestion_window, 10);
}

/// RFC 5681 §4.1, as a setting: a sender that was idle for an RTO begins with the initial window again.
#[test]
fn an_idle_sender_may_begin_anew() {
    for (setting, least, most) in [(true, 10, 10), (false, 20, u32::MAX)] {
        let mut b = sacking(|config| config.slow_start_after_idle = setting);
        for round in 0..2 {
            b.write(&bytes(60 * MSS)).unwrap();
            while b.next().is_some() {}
            b.now += ms(100);
            b.gets(seg(ACK, 1, b.next_seq()));
            assert!(round < 2);
        }
        while b.next().is_some() {}
        b.gets(seg(ACK, 1, b.next_seq()));
        while b.next().is_some() {}
        b.gets(seg(ACK, 1, b.next_seq()));
        b.jump(Duration::from_secs(10));
        b.write(&bytes(1)).unwrap();
        b.next().unwrap();
        let window = b.statistics().congestion_window;
        assert!((least..=most).contains(&window), "{window} with the setting {setting}");
    }
}
