//! Repairs that were a mistake, and those that were none: F-RTO (RFC 5682) and duplicates reported (RFC 3708). More of it is in `loss.rs`.

use super::loss::{flight, sack, sacking, wait};
use super::*;
use crate::tcp::statistics::RecoveryState;

/// RFC 5682 is a setting: without it what arrives after a timeout proves nothing.
#[test]
fn without_f_rto_a_timeout_is_taken_at_its_word() {
    let mut b = sacking(|config| (config.tail_loss_probe, config.frto) = (false, false));
    flight(&mut b, 10);
    b.until_timer();
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 4_001));
    assert_eq!((b.statistics().recovery, b.counters.tcp_undos), (RecoveryState::Loss, 0));
}

/// RFC 5682 §2.1 step 2a: where there is nothing new to send the test is over with the first acknowledgement.
#[test]
fn without_new_data_the_second_acknowledgement_proves_nothing() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 4);
    b.until_timer();
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 1_001));
    b.gets(seg(ACK, 1, 2_001));
    assert_eq!((b.statistics().recovery, b.counters.tcp_undos), (RecoveryState::Loss, 0));
}

/// RFC 5682 §2.1 step 3b: without SACK the second acknowledgement, of what was sent only once, shows that the timeout came too early.
#[test]
fn without_sack_two_acknowledgements_show_a_spurious_timeout() {
    let mut b = sacking(|config| config.sack = false);
    b.write(&bytes(20 * MSS)).unwrap();
    while b.next().is_some() {}
    b.until_timer();
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 1_001));
    b.sends_data(ACK, 10_001, 1, MSS);
    b.sends_data(ACK, 11_001, 1, MSS);
    b.silent();
    b.gets(seg(ACK, 1, 2_001));
    assert_eq!((b.statistics().recovery, b.counters.tcp_undos), (RecoveryState::Open, 1));
}

/// RFC 5682 §2.1 step 2a: without SACK a duplicate that comes before the copy's acknowledgement ends the test: what was sent only once
/// proves nothing any more.
#[test]
fn without_sack_a_duplicate_first_ends_the_test_of_a_timeout() {
    let mut b = sacking(|config| config.sack = false);
    b.write(&bytes(20 * MSS)).unwrap();
    while b.next().is_some() {}
    b.until_timer();
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 1));
    b.silent();
    b.gets(seg(ACK, 1, 1_001));
    b.sends_data(ACK, 1_001, 1, MSS);
    b.gets(seg(ACK, 1, 4_001));
    assert_eq!((b.statistics().recovery, b.counters.tcp_undos), (RecoveryState::Loss, 0));
}

/// RFC 5682 §3.1 step 2: with SACK duplicates change nothing before SND.UNA moves.
#[test]
fn with_sack_a_duplicate_first_does_not_end_the_test_of_a_timeout() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 10);
    b.until_timer();
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 1));
    b.silent();
    b.gets(seg(ACK, 1, 4_001));
    assert_eq!((b.statistics().recovery, b.counters.tcp_undos), (RecoveryState::Open, 1));
}

/// RFC 5682 §2.1, §3.1: the peer's text, which repeats the acknowledgement, is no duplicate of it (RFC 5681 §2) and ends no test: neither
/// before the copy's acknowledgement nor behind the new data.
#[test]
fn text_of_the_peer_does_not_end_the_test_of_a_timeout() {
    for sack in [false, true] {
        let mut b = sacking(|config| (config.tail_loss_probe, config.sack) = (false, sack));
        b.write(&bytes(20 * MSS)).unwrap();
        while b.next().is_some() {}
        b.until_timer();
        b.sends_data(ACK, 1, 1, MSS);
        b.gets(seg(ACK, 1, 1).data(b"a"));
        b.gets(seg(ACK, 2, 1_001));
        b.sends_data(ACK, 10_001, 2, MSS);
        b.sends_data(ACK, 11_001, 2, MSS);
        b.gets(seg(ACK, 2, 1_001).data(b"b"));
        b.gets(seg(ACK, 3, 2_001));
        assert_eq!((b.statistics().recovery, b.counters.tcp_undos), (RecoveryState::Open, 1), "SACK: {sack}");
    }
}

/// RFC 5682 §2.1 step 3a: a duplicate behind the new data, without SACK and with one that reports nothing, shows that the timeout was
/// right.
#[test]
fn a_duplicate_behind_new_data_ends_the_test_of_a_timeout() {
    for sack in [false, true] {
        let mut b = sacking(|config| (config.tail_loss_probe, config.sack) = (false, sack));
        b.write(&bytes(20 * MSS)).unwrap();
        while b.next().is_some() {}
        b.until_timer();
        b.sends_data(ACK, 1, 1, MSS);
        b.gets(seg(ACK, 1, 1_001));
        b.sends_data(ACK, 10_001, 1, MSS);
        b.sends_data(ACK, 11_001, 1, MSS);
        b.gets(seg(ACK, 1, 1_001));
        b.gets(seg(ACK, 1, 4_001));
        assert_eq!((b.statistics().recovery, b.counters.tcp_undos), (RecoveryState::Loss, 0), "SACK: {sack}");
    }
}

/// RFC 5682 §2.1 step 1 lets a repeated timeout stand; here copies stay marked as such, so that what was sent once proves that one
/// wrong, too (as in Linux).
#[test]
fn a_repeated_timeout_is_tested_too() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 10);
    assert_eq!((wait(&mut b).seq, wait(&mut b).seq), (1, 1));
    b.gets(seg(ACK, 1, 4_001));
    let after = b.statistics();
    assert_eq!((after.recovery, after.slow_start_threshold), (RecoveryState::Open, u32::MAX));
    assert_eq!((b.counters.tcp_timeouts, b.counters.tcp_undos), (2, 1));
}

/// RFC 5682 §2.1 step 1: a timeout amid a repair is not tested: originals behind the hole arrive in any case. RFC 5681 §3.1: nor is it
/// a second event of congestion.
#[test]
fn a_timeout_amid_a_repair_is_no_new_event_and_not_tested() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 10);
    b.now += ms(100);
    let report = sack(&b, 1, &[(1_001, 4_001)]);
    b.gets(report);
    b.sends_data(ACK, 1, 1, MSS);
    assert_eq!(wait(&mut b).seq, 1);
    let timed_out = b.statistics();
    assert_eq!((timed_out.congestion_window, timed_out.slow_start_threshold), (1, 5));
    b.gets(seg(ACK, 1, 7_001));
    assert_eq!((b.statistics().recovery, b.counters.tcp_undos), (RecoveryState::Loss, 0));
}

/// RFC 5682: the test ends with the repair. What is sent later is probed for as ever.
#[test]
fn a_test_that_was_not_decided_holds_no_later_probe_back() {
    let mut b = sacking(|_| ());
    flight(&mut b, 3);
    assert_eq!(wait(&mut b).seq, 2_001, "the probe");
    assert_eq!(wait(&mut b).seq, 1, "the timeout");
    b.gets(seg(ACK, 1, 1_001));
    b.sends_data(ACK, 1_001, 1, MSS);
    b.sends_data(ACK.with(PSH), 2_001, 1, MSS);
    // Now all that is left was sent twice: no acknowledgement of it proves anything.
    assert_eq!(wait(&mut b).seq, 1_001);
    b.write(&bytes(2 * MSS)).unwrap();
    b.silent();
    b.gets(seg(ACK, 1, 2_001));
    b.sends_data(ACK, 3_001, 1, MSS);
    b.sends_data(ACK.with(PSH), 4_001, 1, MSS);
    b.gets(seg(ACK, 1, 3_001));
    assert_eq!(b.statistics().recovery, RecoveryState::Open);
    assert_eq!(wait(&mut b).seq, 4_001, "the probe");
}

/// RFC 3708: each repair is forgiven by the duplicates of its own copies, though those of an earlier one were needed.
#[test]
fn a_repair_is_judged_by_its_own_copies() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 10);
    b.now += ms(100);
    let report = sack(&b, 1, &[(1_001, 4_001)]);
    b.gets(report);
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 10_001));
    b.write(&bytes(MSS)).unwrap();
    b.sends_data(ACK.with(PSH), 10_001, 1, MSS);
    assert_eq!(wait(&mut b).seq, 10_001);
    b.gets(seg(ACK, 1, 11_001));
    let duplicate = sack(&b, 11_001, &[(10_001, 11_001)]);
    b.gets(duplicate);
    assert_eq!(b.counters.tcp_undos, 1);
}

/// RFC 3708 speaks of what was sent again. A duplicate that the path made undoes neither a repair that sent nothing nor none at all.
#[test]
fn a_duplicate_of_the_path_undoes_nothing() {
    let mut b = sacking(|_| ());
    flight(&mut b, 4);
    b.now += ms(100);
    b.gets(seg(ACK, 1, 3_001));
    let by_the_path = sack(&b, 3_001, &[(1, 1_001)]);
    b.gets(by_the_path);
    assert_eq!(b.counters.tcp_undos, 0);
    assert_eq!(wait(&mut b).seq, 3_001, "the probe");
    b.gets(seg(ACK, 1, 4_001));
    b.write(&bytes(MSS)).unwrap();
    b.sends_data(ACK.with(PSH), 4_001, 1, MSS);
    b.gets(seg(ACK, 1, 5_001));
    let reduced = b.statistics().slow_start_threshold;
    assert!(reduced < 10, "the probe repaired a loss");
    let by_the_path = sack(&b, 5_001, &[(1_001, 2_001)]);
    b.gets(by_the_path);
    assert_eq!((b.statistics().slow_start_threshold, b.counters.tcp_undos), (reduced, 0));
}
