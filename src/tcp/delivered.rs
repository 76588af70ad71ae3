//! What one acknowledgement delivered: gathered over its cumulative part and its SACK blocks, read by round-trip measurement, RACK
//! (RFC 8985 §6.2), undo (RFC 5682, RFC 4015), congestion control and path MTU.

use crate::base::time::{Duration, Instant};
use crate::wire::seq::SeqNum;

use super::rate::Departure;
use super::record::Record;

/// What an acknowledgement took away or reported as arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Sequence numbers newly delivered, by acknowledgement or by SACK.
    pub bytes: u32,
    /// Segments newly acknowledged or reported.
    pub segments: u32,
    /// When the youngest record acknowledged now that was sent once was sent.
    pub sent_at: Option<Instant>,
    /// The same of records that only SACK reports.
    pub sacked_at: Option<Instant>,
    /// When the first record acknowledged now that was sent more than once was sent the last time.
    pub retransmitted_at: Option<Instant>,
    /// The largest segment of the youngest record acknowledged.
    pub segment: u16,
    /// The record sent last among all of them, as far as it cannot be mistaken for its original.
    pub newest: Option<Newest>,
    /// The highest end of what was sent once and delivered now.
    pub original: Option<SeqNum>,
    /// Something sent before what SACK had reported was delivered late, so many sequence numbers behind it: the path reorders (RFC
    /// 8985 §6.2 step 3). Zero if not.
    pub reordered: u32,
    /// The first SACK block told of a duplicate (RFC 2883).
    pub duplicate: Option<(SeqNum, SeqNum)>,
    /// SACK blocks reported something new.
    pub sacked: bool,
    /// It is a duplicate acknowledgement (RFC 5681 §2).
    pub repeated: bool,
}

/// The youngest transmission among what was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newest {
    /// When it was sent.
    pub sent_at: Instant,
    /// Behind its last sequence number.
    pub end: SeqNum,
    /// How far delivery was then.
    pub departure: Departure,
}

/// What decides whether a retransmission, or its late original, was delivered.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Now.
    pub now: Instant,
    /// The shortest round trip known.
    pub min_rtt: Option<Duration>,
    /// The time that the timestamp echoed by the peer stands for, in milliseconds that wrap.
    pub echoed: Option<u32>,
}

impl Arrival {
    /// RFC 8985 §6.2 step 2: an acknowledgement that comes sooner than any round trip took, or echoes an earlier timestamp, means
    /// the original. Of what SACK reports behind a hole the echo says nothing: it stays that of the last segment in order (RFC 7323
    /// §4.3).
    fn may_be_of_original(&self, record: &Record, acknowledged: bool) -> bool {
        let sent = record.sent_at.as_millis() as u32;
        let older = acknowledged && self.echoed.is_some_and(|echoed| (echoed.wrapping_sub(sent) as i32) < 0);
        let early = self.min_rtt.is_some_and(|min| self.now.since(record.sent_at) < min);
        record.retransmitted && (older || early)
    }
}

/// RFC 8985 §6.2, RACK_sent_after: of two transmissions, each the time it was sent and its end, the second was sent after the first.
pub fn sent_after(first: (Instant, SeqNum), second: (Instant, SeqNum)) -> bool {
    first.0 < second.0 || (first.0 == second.0 && first.1.before(second.1))
}

impl Delivered {
    /// `len` sequence numbers of `record` have arrived; `acknowledged` unless only SACK says so.
    pub fn note(&mut self, record: &Record, end: SeqNum, acknowledged: bool, arrival: &Arrival) {
        self.bytes += end.since(record.start);
        if !record.retransmitted {
            let at = if acknowledged { &mut self.sent_at } else { &mut self.sacked_at };
            if at.is_none_or(|at| at <= record.sent_at) {
                *at = Some(record.sent_at);
                self.segment = if acknowledged { record.segment } else { self.segment };
            }
            self.original = Some(self.original.map_or(end, |known| known.latest(end)));
        } else if acknowledged {
            self.retransmitted_at.get_or_insert(record.sent_at);
        }
        if arrival.may_be_of_original(record, acknowledged) {
            return;
        }
        let is_newer = |newest: Newest| sent_after((newest.sent_at, newest.end), (record.sent_at, end));
        if self.newest.is_none_or(is_newer) {
            self.newest = Some(Newest { sent_at: record.sent_at, end, departure: record.departure });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::sent::SentQueue;

    const T: fn(u64) -> Instant = Instant::from_millis;

    /// A transmission of numbers up to `end` at `at`.
    fn sent(at: u64, end: u32) -> Record {
        let mut queue = SentQueue::new();
        queue.push(SeqNum(0), SeqNum(end), 1_000, Departure::default(), T(at));
        *queue.last().unwrap()
    }

    /// RFC 8985 §6.2 step 2: of what one acknowledgement delivers RACK's segment is the one that was sent last, and of those that were
    /// sent at the same time the one that ends last, in whatever order they are noted.
    #[test]
    fn the_newest_is_what_was_sent_last_and_ends_last() {
        let arrival = Arrival { now: T(100), min_rtt: None, echoed: None };
        for (older, newer) in
            [(sent(1, 10), sent(2, 5)), (sent(2, 5), sent(2, 10)), (sent(1, 5), sent(2, 10))]
        {
            for order in [[older, newer], [newer, older]] {
                let mut delivered = Delivered::default();
                order.iter().for_each(|record| delivered.note(record, record.end, true, &arrival));
                let newest = delivered.newest.map(|newest| (newest.sent_at, newest.end));
                assert_eq!(newest, Some((newer.sent_at, newer.end)), "{order:?}");
            }
        }
        assert!(!sent_after((T(1), SeqNum(5)), (T(1), SeqNum(5))));
    }

    /// RFC 8985 §6.2 step 2: an echo from before the retransmission, or an answer within less than any round trip, is that of the
    /// original; an echo of the same millisecond and an answer after just a round trip are the retransmission's.
    #[test]
    fn an_early_answer_and_an_old_echo_are_of_the_original() {
        let mut again = sent(50, 10);
        again.retransmitted = true;
        let of_original = |record: &Record, echoed, now| {
            let min_rtt = Some(Duration::from_millis(20));
            Arrival { now: T(now), min_rtt, echoed }.may_be_of_original(record, true)
        };
        assert!(of_original(&again, Some(49), 90) && !of_original(&again, Some(50), 90));
        assert!(of_original(&again, None, 69) && !of_original(&again, None, 70));
        assert!(!of_original(&sent(50, 10), Some(49), 69), "there is nothing but the original");
    }
}
