//! Tests of the scoreboard.

use std::cell::Cell;

use super::*;

thread_local! {
    static STEPS: Cell<usize> = const { Cell::new(0) };
}

/// A record was looked at.
pub fn count_step() {
    STEPS.set(STEPS.get() + 1);
}

/// How many records `act` looks at, and what it returns.
fn steps<R>(act: impl FnOnce() -> R) -> (usize, R) {
    let before = STEPS.get();
    let result = act();
    (STEPS.get() - before, result)
}

const T: fn(u64) -> Instant = Instant::from_millis;
const START: SeqNum = SeqNum(u32::MAX - 5);

fn arrival(now: Instant) -> Arrival {
    Arrival { now, min_rtt: None, echoed: None }
}

/// Records of these lengths, sent one millisecond apart, from just below the wrap of the sequence numbers on.
fn queue(lens: &[u32]) -> SentQueue {
    let mut queue = SentQueue::new();
    let mut seq = START;
    for (i, &len) in lens.iter().enumerate() {
        queue.push(seq, seq + len, 1_000, Departure::default(), T(i as u64));
        seq += len;
    }
    queue
}

fn acknowledge(queue: &mut SentQueue, to: u32) -> Delivered {
    let mut delivered = Delivered::default();
    queue.acknowledge(START + to, None, &arrival(T(100)), &mut delivered);
    delivered
}

fn sack(queue: &mut SentQueue, from: u32, to: u32) -> Delivered {
    let mut delivered = Delivered::default();
    queue.sack(START + from, START + to, &arrival(T(100)), &mut delivered);
    delivered
}

fn again(queue: &mut SentQueue, max: u32, mss: u32, at: u64) -> Option<(u32, u32)> {
    let (start, end) = queue.retransmit(max, mss, Departure::default(), T(at))?;
    Some((start.since(START), end.since(START)))
}

/// The last record arrives; its time and end, as RACK keeps them.
fn delivered_last(queue: &mut SentQueue) -> (Instant, SeqNum) {
    let last = *queue.last().unwrap();
    queue.sack(last.start, last.end, &arrival(T(100)), &mut Delivered::default());
    (last.sent_at, last.end)
}

#[test]
fn acknowledging_cuts_records_and_reports_the_youngest_sent_once() {
    let mut queue = queue(&[10, 10, 10]);
    let first = acknowledge(&mut queue, 15);
    assert_eq!((first.bytes, first.segments, first.sent_at, first.segment), (15, 2, Some(T(1)), 10));
    assert_eq!(acknowledge(&mut queue, 15), Delivered::default());
    let rest = acknowledge(&mut queue, 30);
    assert_eq!((rest.bytes, rest.segments, rest.sent_at), (15, 2, Some(T(2))));
    assert!(queue.is_empty());
}

/// RFC 6298 §3 (Karn's rule, MUST-18): a retransmitted range yields no send time.
#[test]
fn a_retransmitted_range_gives_no_round_trip_sample() {
    let mut queue = queue(&[10, 10]);
    queue.mark_first_lost(10);
    assert_eq!(again(&mut queue, 100, 1_000, 9), Some((0, 10)));
    let first = acknowledge(&mut queue, 10);
    assert_eq!((first.sent_at, first.retransmitted_at), (None, Some(T(9))));
    assert_eq!(acknowledge(&mut queue, 20).sent_at, Some(T(1)));
}

/// SHLD-28: segments that were too big are cut anew as one text; what fits stays as it is.
#[test]
fn what_was_too_big_is_cut_anew_as_one_range() {
    let mut queue = queue(&[5, 10, 10, 5]);
    assert!(queue.mark_larger(8, None));
    assert_eq!(queue.lost(), 20);
    for range in [(5, 13), (13, 21), (21, 25)] {
        assert_eq!(again(&mut queue, 8, 8, 5), Some(range));
    }
    assert_eq!(again(&mut queue, 8, 8, 5), None);
    assert!(!queue.mark_larger(8, None));
    assert_eq!(acknowledge(&mut queue, 30).bytes, 30);
}

/// SHLD-28: the last segment of a frame may have been small enough for the path, and is not sent again then; a FIN is no segment.
#[test]
fn the_short_end_of_a_frame_may_have_fit() {
    let lost = |data: u32, fin: bool| {
        let mut queue = SentQueue::new();
        let end = START + data;
        queue.push(START, end + u32::from(fin), 10, Departure::default(), T(0));
        assert!(queue.mark_larger(5, fin.then_some(end)));
        queue.lost()
    };
    assert_eq!([25, 26, 30].map(|data| lost(data, false)), [20, 26, 30]);
    assert_eq!([25, 26, 30, 6].map(|data| lost(data, true)), [20, 27, 31, 7]);
}

/// SHLD-28: what was reported stays apart, and lost segments that fit do, too.
#[test]
fn what_arrived_or_fits_is_not_cut_anew() {
    let mut queue = queue(&[3, 10, 8, 5, 10, 5]);
    sack(&mut queue, 3, 13);
    queue.mark_all_lost(None, T(9));
    queue.mark_larger(8, None);
    assert_eq!((queue.lost(), queue.sacked()), (31, 10));
    for range in [(0, 3), (13, 21), (21, 26), (26, 34), (34, 41)] {
        assert_eq!(again(&mut queue, 8, 8, 10), Some(range));
    }
}

/// RFC 6298 §3 (Karn's rule): a range that was joined from what was sent once and what was sent twice measures nothing.
#[test]
fn a_range_joined_with_a_retransmission_gives_no_round_trip_sample() {
    let mut queue = queue(&[10, 10]);
    queue.mark_all_lost(None, T(5));
    again(&mut queue, 10, 10, 6);
    queue.mark_larger(8, None);
    let joined = acknowledge(&mut queue, 20);
    assert_eq!((joined.bytes, joined.sent_at, joined.retransmitted_at), (20, None, Some(T(6))));
}

#[test]
fn lost_ranges_are_sent_again_in_order_and_in_pieces() {
    let mut queue = queue(&[10, 10]);
    queue.mark_all_lost(None, T(5));
    assert_eq!(queue.lost(), 20);
    assert_eq!(again(&mut queue, 6, 1_000, 5), Some((0, 6)));
    assert_eq!(queue.lost(), 14);
    assert_eq!(again(&mut queue, 6, 1_000, 5), Some((6, 10)));
    assert_eq!(acknowledge(&mut queue, 12).bytes, 12);
    assert_eq!(queue.lost(), 8);
    assert_eq!(again(&mut queue, 100, 1_000, 5), Some((12, 20)));
    assert_eq!(again(&mut queue, 100, 1_000, 5), None);
}

/// RFC 2018 §5: a block splits the records it begins and ends in; what was reported before counts once.
#[test]
fn sack_splits_records_and_counts_each_byte_once() {
    let mut queue = queue(&[100, 100]);
    assert_eq!(sack(&mut queue, 30, 150).bytes, 120);
    assert_eq!(sack(&mut queue, 20, 160).bytes, 20);
    assert_eq!(sack(&mut queue, 20, 160), Delivered::default());
    assert_eq!(queue.sacked(), 140);
    assert_eq!(acknowledge(&mut queue, 100).bytes, 20, "the rest was delivered before");
    assert_eq!((queue.sacked(), queue.first().unwrap().mark), (60, Mark::Sacked));
    assert_eq!(acknowledge(&mut queue, 200).bytes, 40);
    assert_eq!((queue.sacked(), queue.sacked_segments()), (0, 0));
}

/// Hostile case M2: single bytes, reported at every second place, make some records and not one each; whole records are marked as
/// ever, what was not marked is sent again, and all of it can be acknowledged.
#[test]
fn single_bytes_do_not_make_a_record_each() {
    const LEN: u32 = 64_000;
    let most = MAX_PARTS + 2 * 4 * 64;
    let mut queue = queue(&[LEN; 4]);
    for i in 0..LEN {
        sack(&mut queue, LEN + 2 * i, LEN + 2 * i + 1);
    }
    assert!((most..most + 3).contains(&queue.records.len()), "{}", queue.records.len());
    assert!(queue.sacked.len() < most && queue.sacked() as usize == queue.sacked.len());
    assert_eq!(sack(&mut queue, 3 * LEN - 1, 4 * LEN).bytes, LEN, "whole records only");
    queue.mark_all_lost(None, T(200));
    let lost = queue.lost();
    assert_eq!(lost + queue.sacked(), 4 * LEN);
    assert_eq!(acknowledge(&mut queue, 4 * LEN).bytes, lost);
    assert!(queue.is_empty() && queue.sacked.is_empty() && queue.lost.is_empty());
}

/// RFC 8985 §6.2 step 5: what left before something delivered, by more than the window, is lost; the next is due later.
#[test]
fn what_was_overtaken_is_lost_after_the_window() {
    let mut queue = queue(&[10, 10, 10, 10]);
    sack(&mut queue, 30, 40);
    let newest = (T(3), START + 40);
    let window = Duration::from_millis(20);
    let (lost, wait) = queue.mark_overtaken(newest, window, T(21));
    assert_eq!((lost, wait), (20, Some(Duration::from_millis(1))));
    assert_eq!(queue.mark_overtaken(newest, window, T(21)), (0, wait));
    assert_eq!(
        queue.mark_overtaken(newest, window, T(22)),
        (10, None),
        "what was marked before does not count"
    );
    assert_eq!(queue.lost(), 30);
}

/// RFC 8985 §6.2: within one super-segment the sequence numbers tell what left first.
#[test]
fn within_one_transmission_the_sequence_decides() {
    let mut queue = queue(&[100]);
    sack(&mut queue, 40, 60);
    assert_eq!(queue.mark_overtaken((T(0), START + 60), Duration::ZERO, T(5)), (40, None));
    assert_eq!(queue.find(START + 60).unwrap().mark, Mark::Outstanding);
    // Its end is judged, once something later arrives.
    assert_eq!(queue.mark_overtaken((T(1), START + 60), Duration::ZERO, T(5)), (40, None));
}

/// RFC 8985 §1 and §6: a lost retransmission is found like any other.
#[test]
fn a_lost_retransmission_is_found() {
    let mut queue = queue(&[10, 10, 10]);
    sack(&mut queue, 10, 20);
    queue.mark_overtaken((T(1), START + 20), Duration::ZERO, T(5));
    assert_eq!(again(&mut queue, 10, 10, 6), Some((0, 10)));
    queue.push(START + 30, START + 40, 10, Departure::default(), T(7));
    sack(&mut queue, 30, 40);
    assert_eq!(queue.mark_overtaken((T(7), START + 40), Duration::ZERO, T(8)), (20, None));
    assert_eq!(again(&mut queue, 10, 10, 9), Some((0, 10)));
}

/// RFC 6675 §4: IsLost by the segments reported above.
#[test]
fn three_segments_reported_above_mean_a_loss() {
    let mut queue = queue(&[10, 10, 10, 10, 10]);
    sack(&mut queue, 20, 40);
    assert_eq!(queue.mark_below_sacked(3), 0);
    sack(&mut queue, 40, 50);
    assert_eq!(queue.mark_below_sacked(3), 20);
}

/// RFC 6675 §4: each hole needs three segments reported above itself, counts once, and what was sent again is left to the timer.
#[test]
fn each_hole_needs_three_segments_above_itself() {
    let mut queue = queue(&[10; 7]);
    for at in [10, 30, 40] {
        sack(&mut queue, at, at + 10);
    }
    assert_eq!(queue.mark_below_sacked(3), 10, "the second hole has two above it");
    sack(&mut queue, 60, 70);
    assert_eq!(queue.mark_below_sacked(3), 10, "now it has three");
    assert_eq!((again(&mut queue, 10, 10, 9), queue.lost()), (Some((0, 10)), 10));
    assert_eq!((queue.mark_below_sacked(3), queue.lost()), (0, 10));
}

/// What left as one super-segment counts in segments, the last of them as one though it is short or a FIN alone.
#[test]
fn a_super_segment_counts_as_its_segments() {
    let fin = Some(START + 4_000);
    let mut queue = queue(&[10_500, 3_000]);
    assert_eq!(queue.census(None).all, 14);
    assert_eq!(self::queue(&[4_001]).census(fin).all, 4, "a FIN rides on the last");
    assert_eq!(sack(&mut queue, 5_000, 8_000).segments, 3);
    assert_eq!((queue.sacked_segments(), queue.mark_below_sacked(3)), (3, 5_000));
    again(&mut queue, 2_000, 1_000, 20);
    assert_eq!(sack(&mut queue, 9_000, 10_000).segments, 1);
    let census = queue.census(None);
    assert_eq!((census.sacked, census.lost, census.retransmitted), (4, 3, 2));
    assert_eq!(acknowledge(&mut queue, 13_500).segments, 5 + 1 + 1 + 3);
}

/// RFC 8985 §6.2 step 3: late originals show reordering, late retransmissions do not.
#[test]
fn a_late_original_shows_reordering() {
    let mut queue = queue(&[10, 10, 10]);
    assert_eq!(sack(&mut queue, 20, 30).reordered, 0);
    assert_eq!(sack(&mut queue, 10, 20).reordered, 20, "so far behind");
    queue.mark_first_lost(10);
    again(&mut queue, 10, 10, 5);
    assert_eq!(acknowledge(&mut queue, 30).reordered, 0);
}

/// RFC 2018 §8: a timeout with the first segment reported means that the receiver dropped it: no report counts.
#[test]
fn a_reneging_receiver_is_sent_everything_again() {
    let mut queue = queue(&[10, 10, 10]);
    sack(&mut queue, 0, 20);
    queue.mark_all_lost(None, T(9));
    assert_eq!((queue.lost(), queue.sacked()), (30, 0));
}

/// RFC 8985 §6.2 step 5: what an undo puts back under way may be found lost again.
#[test]
fn what_was_lost_by_mistake_may_be_lost_again() {
    let mut queue = queue(&[10, 10, 10]);
    let late = delivered_last(&mut queue);
    assert_eq!(queue.mark_overtaken(late, Duration::from_millis(5), T(8)).0, 20);
    queue.unmark_lost();
    assert_eq!(queue.lost(), 0);
    assert_eq!(queue.mark_overtaken(late, Duration::from_millis(5), T(9)), (20, None));
}

/// RFC 8985 §6.2 step 2, RFC 7323 §4.3: behind a hole the echoed timestamp is that of the last segment in order, so it does not tell a
/// retransmission from its original; with an acknowledgement it does.
#[test]
fn a_retransmission_reported_behind_a_hole_is_the_newest() {
    let old = Arrival { echoed: Some(0), ..arrival(T(100)) };
    let mut queue = queue(&[10, 10]);
    queue.mark_all_lost(None, T(9));
    again(&mut queue, 10, 1_000, 10);
    again(&mut queue, 10, 1_000, 11);
    let (mut reported, mut acknowledged) = (Delivered::default(), Delivered::default());
    queue.sack(START + 10, START + 20, &old, &mut reported);
    assert_eq!(reported.newest.map(|newest| newest.sent_at), Some(T(11)));
    queue.acknowledge(START + 10, None, &old, &mut acknowledged);
    assert_eq!(acknowledged.newest, None);
}

/// RFC 8985 §6.3: a timeout spares what left less than a round trip ago, but not the first.
#[test]
fn a_timeout_spares_what_left_a_moment_ago() {
    let mut queue = queue(&[10, 10, 10]);
    queue.mark_all_lost(Some(Duration::from_millis(4)), T(5));
    assert_eq!(queue.lost(), 20);
    queue.unmark_lost();
    assert_eq!(queue.lost(), 0);
    queue.mark_all_lost(Some(Duration::from_millis(10)), T(5));
    assert_eq!(
        (queue.lost(), queue.first_lost().unwrap().start),
        (10, START),
        "the first is lost in any case"
    );
}

/// The last bytes of a longer transmission are what a tail probe repeats (RFC 8985 §7.3).
#[test]
fn a_probe_repeats_the_last_segment() {
    let mut queue = queue(&[100]);
    let (start, end) = queue.retransmit_last(30, Departure::default(), T(4)).unwrap();
    assert_eq!((start.since(START), end.since(START)), (70, 100));
    assert_eq!(queue.lost(), 0);
    queue.mark_all_lost(None, T(5));
    queue.retransmit_last(30, Departure::default(), T(6)).unwrap();
    assert_eq!(queue.lost(), 70, "what counted as lost is under way");
    acknowledge(&mut queue, 100);
    assert_eq!(queue.lost(), 0);
}

/// 4,000 records are under way and every second is lost: an acknowledgement that reports one more and repeats two looks at a few
/// of them only, by time and by count (hostile case M2: work per acknowledgement is bounded).
#[test]
fn what_an_acknowledgement_costs_does_not_hang_on_the_flight() {
    for by_time in [true, false] {
        let mut queue = queue(&[10; 4_000]);
        let most = (1..2_000).map(|newest| {
            let (steps, _) = steps(|| {
                for place in newest.max(3) - 2..=newest {
                    sack(&mut queue, place * 20 - 10, place * 20);
                }
                match by_time {
                    true => {
                        let newest = (T(u64::from(newest) * 2 - 1), START + newest * 20);
                        queue.mark_overtaken(newest, Duration::ZERO, T(5_000)).0
                    }
                    false => queue.mark_below_sacked(3),
                }
            });
            steps
        });
        assert_eq!(most.max(), Some(if by_time { 6 } else { 8 }), "by time: {by_time}");
        assert!(queue.lost() > 19_000);
        let (steps, sent) = steps(|| std::iter::from_fn(|| again(&mut queue, 10, 10, 6_000)).count());
        assert_eq!(steps, sent);
    }
}

/// However far it is from what was sent again to what is lost next, asking for that, as each poll does, looks at one record.
#[test]
fn the_next_loss_is_at_hand() {
    let mut queue = queue(&[10; 4_000]);
    sack(&mut queue, 10, 30_000);
    queue.mark_below_sacked(3);
    assert_eq!(again(&mut queue, 10, 10, 5_000), Some((0, 10)));
    sack(&mut queue, 30_010, 40_000);
    queue.mark_below_sacked(3);
    let (steps, first) = steps(|| queue.first_lost().map(|record| record.start.since(START)));
    assert_eq!((steps, first), (1, Some(30_000)));
}

/// RFC 5682, RFC 3708: an undo makes what was lost outstanding, and both ways to find losses begin anew.
#[test]
fn what_an_undo_puts_back_is_judged_anew() {
    let mut queue = queue(&[10; 6]);
    sack(&mut queue, 20, 30);
    sack(&mut queue, 40, 60);
    assert_eq!(queue.mark_below_sacked(3), 20);
    queue.unmark_lost();
    assert_eq!((queue.lost(), queue.first_lost()), (0, None));
    assert_eq!(queue.mark_below_sacked(3), 20);
    queue.unmark_lost();
    let newest = (T(5), START + 60);
    assert_eq!(queue.mark_overtaken(newest, Duration::ZERO, T(9)), (30, None));
    queue.unmark_lost();
    let (lost, wait) = queue.mark_overtaken(newest, Duration::from_millis(8), T(9));
    assert_eq!((lost, wait), (20, Some(Duration::from_millis(2))), "in the order of time");
}
