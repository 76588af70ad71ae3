//! RACK (RFC 8985): how long what was overtaken is waited for. More of it is in `loss.rs`.

use super::loss::{flight, sack, sacking, wait};
use super::*;

/// RFC 8985 §6.3: what left within the last round trip measured is spared by a timeout, though the usual one is shorter.
#[test]
fn a_timeout_spares_what_left_within_the_last_round_trip() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 3);
    b.now += ms(200);
    b.gets(seg(ACK, 1, 1_001));
    // SRTT is 112 ms now, the timeout 362 ms.
    b.after(ms(212));
    b.write(&bytes(MSS)).unwrap();
    b.sends_data(ACK.with(PSH), 3_001, 1, MSS);
    b.until_timer();
    assert_eq!((b.counters.tcp_timeouts, b.statistics().lost, b.statistics().unacknowledged), (1, 2, 3));
}

/// RFC 2883 §4: the first block tells of a duplicate only if all of it lies below the acknowledgement or within the second.
#[test]
fn a_block_that_overlaps_the_next_is_no_duplicate() {
    let overlaps = [[(1_001, 3_001), (2_001, 4_001)], [(3_001, 5_001), (2_001, 4_001)]];
    let within = [(2_001, 3_001), (1_001, 4_001)];
    for (blocks, duplicates) in [(overlaps[0], 0), (overlaps[1], 0), (within, 1)] {
        let mut b = sacking(|_| ());
        flight(&mut b, 10);
        b.now += ms(100);
        let report = sack(&b, 1, &blocks);
        b.gets(report);
        assert_eq!(b.statistics().duplicates, duplicates, "{blocks:?}");
    }
}

/// RFC 2018 §2: blocks mean nothing where SACK was not agreed on.
#[test]
fn blocks_without_an_agreement_mean_nothing() {
    let mut b = sacking(|config| config.sack = false);
    flight(&mut b, 10);
    b.now += ms(100);
    let report = sack(&b, 1, &[(1_001, 4_001)]);
    b.gets(report);
    b.silent();
    assert_eq!(b.statistics().sacked, 0);
}

/// How long what one later segment has overtaken is waited for.
fn patience(b: &mut Bench, una: u32, later: (u32, u32)) -> Duration {
    let report = sack(b, una, &[later]);
    b.gets(report);
    let began = b.now;
    assert_eq!(wait(b).seq, una);
    b.now.since(began)
}

/// RFC 8985 §6.2 step 4: a duplicate of what was sent again makes the wait a quarter of the shortest round trip longer, once in a round
/// trip.
#[test]
fn a_needless_repair_makes_the_wait_longer_once_in_a_round_trip() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 10);
    b.now += ms(100);
    let report = sack(&b, 1, &[(2_001, 3_001)]);
    b.gets(report);
    b.after(ms(25));
    b.sends_data(ACK, 1, 1, MSS);
    let report = sack(&b, 1, &[(2_001, 5_001)]);
    b.gets(report);
    b.sends_data(ACK, 1_001, 1, MSS);
    b.gets(seg(ACK, 1, 5_001));
    for copy in [(1, 1_001), (1_001, 2_001)] {
        let duplicate = sack(&b, 5_001, &[copy]);
        b.gets(duplicate);
    }
    assert_eq!((b.statistics().duplicates, b.counters.tcp_undos), (2, 1));
    assert_eq!(patience(&mut b, 5_001, (6_001, 7_001)), ms(50));
    // The next round trip's, when nothing else is under way.
    b.gets(seg(ACK, 1, 10_001));
    let duplicate = sack(&b, 10_001, &[(5_001, 6_001)]);
    b.gets(duplicate);
    b.write(&bytes(4 * MSS)).unwrap();
    while b.next().is_some() {}
    b.now += ms(100);
    assert_eq!(patience(&mut b, 10_001, (11_001, 12_001)), ms(75));
}

/// RFC 8985 §7.4.2: a duplicate of the tail probe says nothing of reordering.
#[test]
fn a_needless_probe_makes_no_wait_longer() {
    let mut b = sacking(|_| ());
    flight(&mut b, 4);
    assert_eq!(wait(&mut b).seq, 3_001, "the probe");
    b.gets(seg(ACK, 1, 4_001));
    let needless = sack(&b, 4_001, &[(3_001, 4_001)]);
    b.gets(needless);
    b.write(&bytes(4 * MSS)).unwrap();
    while b.next().is_some() {}
    b.now += ms(100);
    assert_eq!(patience(&mut b, 4_001, (5_001, 6_001)), ms(25));
}

/// With timestamps: `count` segments leave, and one that the peer echoes.
fn stamped(count: usize) -> (Bench, u32) {
    let mut b = sacking(|config| (config.tail_loss_probe, config.timestamps) = (false, true));
    b.write(&bytes(count * STAMPED)).unwrap();
    let sent: Vec<Seg> = std::iter::from_fn(|| b.next()).collect();
    assert_eq!(sent.len(), count);
    b.now += ms(100);
    (b, sent[0].options.timestamps.unwrap().val)
}

/// What a segment carries beside the timestamps.
const STAMPED: usize = MSS - 12;

/// Where segment `index` of [`stamped`] begins.
fn at(index: usize) -> u32 {
    1 + (index * STAMPED) as u32
}

/// RFC 8985 §6.2 step 2, RFC 7323 §4.3: behind a hole the echo stays that of the last segment in order. It does not make originals of
/// copies that are reported: what was sent before such a copy is lost again.
#[test]
fn a_copy_that_is_reported_overtakes_those_before_it() {
    let (mut b, echo) = stamped(10);
    let report = sack(&b, 1, &[(at(4), at(10))]).ts(3, echo);
    b.gets(report);
    (0..4).for_each(|i| drop(b.sends_data(ACK, at(i), 1, STAMPED)));
    b.now += ms(100);
    let report = sack(&b, 1, &[(at(3), at(10))]).ts(3, echo);
    b.gets(report);
    b.sends_data(ACK, 1, 1, STAMPED);
}

/// The same on a path that was seen to reorder: a copy that is reported a round trip after it left is no late original, and what
/// was sent again before it is lost once it had time to be overtaken.
#[test]
fn a_copy_that_is_reported_overtakes_on_a_path_that_reorders_too() {
    let (mut b, echo) = stamped(10);
    let late = sack(&b, 1, &[(at(1), at(2))]).ts(3, echo);
    b.gets(late);
    b.gets(seg(ACK, 1, at(2)).ts(3, echo));
    assert_eq!(b.statistics().reordering_seen, 1);
    let report = sack(&b, at(2), &[(at(4), at(9))]).ts(3, echo);
    b.gets(report);
    b.after(ms(25));
    b.sends_data(ACK, at(2), 1, STAMPED);
    let report = sack(&b, at(2), &[(at(4), at(10))]).ts(3, echo);
    b.gets(report);
    b.sends_data(ACK, at(3), 1, STAMPED);
    b.now += ms(100);
    let report = sack(&b, at(2), &[(at(3), at(10))]).ts(3, echo);
    b.gets(report);
    b.silent();
    b.after(ms(25));
    b.sends_data(ACK, at(2), 1, STAMPED);
}
