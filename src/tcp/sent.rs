//! What is under way: one record per transmission, super-segments included, from SND.UNA to SND.NXT in order. Loss detection
//! marks records lost; output sends lost ones again, splitting a record where less than all of it may go.

use std::collections::VecDeque;

use crate::base::time::Instant;
use crate::wire::seq::SeqNum;

/// One transmission: a range of sequence numbers that left in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The first sequence number.
    pub start: SeqNum,
    /// The one behind the last.
    pub end: SeqNum,
    /// When it was sent the last time.
    pub sent_at: Instant,
    /// It was sent more than once: no round trip can be measured on it (Karn's rule).
    pub retransmitted: bool,
    /// It counts as lost and waits to be sent again.
    pub lost: bool,
    /// Sequence numbers of the largest segment in it: the MSS it was cut to, or all of it.
    pub segment: u16,
}

/// Segments under way, by what is known of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flight {
    /// All of them.
    pub all: u32,
    /// Those that count as lost.
    pub lost: u32,
    /// Those that were sent again since.
    pub retransmitted: u32,
}

impl Record {
    /// How many segments it is; a FIN at `fin` rides on the last.
    fn segments(&self, fin: Option<SeqNum>) -> u32 {
        segments(self.start, self.end, self.segment.into(), fin)
    }

    fn len(&self) -> u32 {
        self.end.since(self.start)
    }
}

/// What an acknowledgement took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acked {
    /// Sequence numbers newly acknowledged.
    pub len: u32,
    /// Segments newly acknowledged.
    pub segments: u32,
    /// When the youngest record among them that was sent once was sent.
    pub sent_at: Option<Instant>,
    /// When the first record among them that was sent more than once was sent the last time.
    pub retransmitted_at: Option<Instant>,
    /// The largest segment of that youngest record.
    pub segment: u16,
}

/// The records in order of sequence numbers, without gaps.
#[derive(Debug, Default)]
pub struct SentQueue {
    records: VecDeque<Record>,
    lost: u32,
}

impl SentQueue {
    /// Notes a new transmission at the end, in segments of `mss`.
    pub fn push(&mut self, start: SeqNum, end: SeqNum, mss: u32, now: Instant) {
        let segment = largest(end.since(start), mss);
        self.records.push_back(Record {
            start,
            end,
            sent_at: now,
            retransmitted: false,
            lost: false,
            segment,
        });
    }

    /// The record that `seq` is in.
    pub fn find(&self, seq: SeqNum) -> Option<&Record> {
        let index = self.records.partition_point(|record| record.end.at_or_before(seq));
        self.records.get(index).filter(|record| record.start.at_or_before(seq))
    }

    /// True if nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Sequence numbers that count as lost and are not sent again yet.
    pub fn lost(&self) -> u32 {
        self.lost
    }

    /// Counts what is under way in segments.
    pub fn count(&self, fin: Option<SeqNum>) -> Flight {
        let mut flight = Flight::default();
        for record in &self.records {
            let segments = record.segments(fin);
            flight.all += segments;
            flight.lost += if record.lost { segments } else { 0 };
            flight.retransmitted += if record.retransmitted && !record.lost { segments } else { 0 };
        }
        flight
    }

    /// Takes away everything before `una`; a FIN at `fin` rides on the last segment.
    pub fn acknowledge(&mut self, una: SeqNum, fin: Option<SeqNum>) -> Acked {
        let mut acked = Acked::default();
        while let Some(record) = self.records.front_mut() {
            if !record.start.before(una) {
                break;
            }
            let end = if record.end.at_or_before(una) { record.end } else { una };
            let len = end.since(record.start);
            acked.len += len;
            acked.segments += segments(record.start, end, record.segment.into(), fin);
            if record.lost {
                self.lost -= len;
            }
            if record.retransmitted {
                acked.retransmitted_at.get_or_insert(record.sent_at);
            } else {
                acked.sent_at = Some(record.sent_at);
                acked.segment = record.segment;
            }
            record.start = end;
            if record.len() > 0 {
                break;
            }
            self.records.pop_front();
        }
        if self.records.is_empty() {
            self.records = VecDeque::new();
        }
        acked
    }

    /// Marks the first `len` sequence numbers lost, unless they are already or were sent again: then only a timeout tells.
    pub fn mark_first_lost(&mut self, len: u32) {
        self.split(0, len);
        if let Some(record) = self.records.front_mut()
            && !record.lost
            && !record.retransmitted
        {
            record.lost = true;
            self.lost += record.len();
        }
    }

    /// Marks everything lost: what a retransmission timeout means (RFC 6298 §5.4, RFC 5681 §3.1).
    pub fn mark_all_lost(&mut self) {
        self.lost = 0;
        for record in &mut self.records {
            record.lost = true;
            self.lost += record.len();
        }
    }

    /// Marks lost what left in segments larger than `mss`; true if there was any. What is contiguous becomes one range, which is
    /// cut anew without remainders in between (SHLD-28).
    pub fn mark_larger(&mut self, mss: u16) -> bool {
        let mut any = false;
        for record in self.records.iter_mut().filter(|record| record.segment > mss) {
            any = true;
            if !record.lost {
                record.lost = true;
                self.lost += record.len();
            }
        }
        if any {
            self.merge_lost(mss);
        }
        any
    }

    fn merge_lost(&mut self, mss: u16) {
        let mut merged: VecDeque<Record> = VecDeque::new();
        for record in self.records.drain(..) {
            match merged.back_mut().filter(|last| last.lost && last.segment > mss) {
                Some(last) if record.lost => {
                    last.end = record.end;
                    last.segment = last.segment.max(record.segment);
                    last.retransmitted |= record.retransmitted;
                    last.sent_at = last.sent_at.max(record.sent_at);
                }
                _ => merged.push_back(record),
            }
        }
        self.records = merged;
    }

    /// Where the first lost range begins.
    pub fn first_lost(&self) -> Option<SeqNum> {
        self.records.iter().find(|record| record.lost).map(|record| record.start)
    }

    /// Takes the first lost range, at most `max` sequence numbers of it, notes that it is sent again now in segments of `mss`,
    /// and returns it.
    pub fn retransmit(&mut self, max: u32, mss: u32, now: Instant) -> Option<(SeqNum, SeqNum)> {
        if self.lost == 0 {
            return None;
        }
        let index = self.records.iter().position(|record| record.lost)?;
        self.split(index, max);
        let record = &mut self.records[index];
        record.lost = false;
        record.retransmitted = true;
        record.sent_at = now;
        record.segment = largest(record.len(), mss);
        self.lost -= record.len();
        Some((record.start, record.end))
    }

    /// Cuts the record at `index` in two, the first of `len` sequence numbers, if it is longer than that.
    fn split(&mut self, index: usize, len: u32) {
        let Some(record) = self.records.get_mut(index) else { return };
        if record.len() <= len {
            return;
        }
        let mut tail = *record;
        record.end = record.start + len;
        tail.start = record.end;
        self.records.insert(index + 1, tail);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = SentQueue::default();
    }
}

fn largest(len: u32, mss: u32) -> u16 {
    len.min(mss).min(u32::from(u16::MAX)) as u16
}

/// Segments from `start` to `end`; a FIN at `fin` rides on the last of them.
pub fn segments(start: SeqNum, end: SeqNum, mss: u32, fin: Option<SeqNum>) -> u32 {
    let last = fin.filter(|&fin| end == fin + 1).unwrap_or(end);
    last.since(start).div_ceil(mss.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: fn(u64) -> Instant = Instant::from_millis;

    fn queue(lens: &[u32]) -> SentQueue {
        let mut queue = SentQueue::default();
        let mut seq = SeqNum(u32::MAX - 5);
        for (i, &len) in lens.iter().enumerate() {
            queue.push(seq, seq + len, 1_000, T(i as u64));
            seq += len;
        }
        queue
    }

    const START: SeqNum = SeqNum(u32::MAX - 5);

    #[test]
    fn acknowledging_cuts_records_and_reports_the_youngest_sent_once() {
        let mut queue = queue(&[10, 10, 10]);
        assert_eq!(
            queue.acknowledge(START + 15, None),
            Acked { len: 15, sent_at: Some(T(1)), retransmitted_at: None, segment: 10, segments: 2 }
        );
        assert_eq!(queue.acknowledge(START + 15, None), Acked::default());
        assert_eq!(
            queue.acknowledge(START + 30, None),
            Acked { len: 15, sent_at: Some(T(2)), retransmitted_at: None, segment: 10, segments: 2 }
        );
        assert!(queue.is_empty());
    }

    /// RFC 6298 §3 (Karn's rule, MUST-18): a retransmitted range yields no send time.
    #[test]
    fn a_retransmitted_range_gives_no_round_trip_sample() {
        let mut queue = queue(&[10, 10]);
        queue.mark_first_lost(10);
        assert_eq!(queue.retransmit(100, 1_000, T(9)), Some((START, START + 10)));
        assert_eq!(
            queue.acknowledge(START + 10, None),
            Acked { len: 10, sent_at: None, retransmitted_at: Some(T(9)), segment: 0, segments: 1 }
        );
        assert_eq!(
            queue.acknowledge(START + 20, None),
            Acked { len: 10, sent_at: Some(T(1)), retransmitted_at: None, segment: 10, segments: 1 }
        );
    }

    /// SHLD-28: segments that were too big are cut anew as one text; what fits stays as it is.
    #[test]
    fn what_was_too_big_is_cut_anew_as_one_range() {
        let mut queue = queue(&[5, 10, 10, 5]);
        assert!(queue.mark_larger(8));
        assert_eq!(queue.lost(), 20);
        for (from, to) in [(5, 13), (13, 21), (21, 25)] {
            assert_eq!(queue.retransmit(8, 8, T(5)), Some((START + from, START + to)));
        }
        assert_eq!(queue.retransmit(8, 8, T(5)), None);
        assert!(!queue.mark_larger(8));
        assert_eq!(queue.acknowledge(START + 30, None).len, 30);
    }

    #[test]
    fn lost_ranges_are_sent_again_in_order_and_in_pieces() {
        let mut queue = queue(&[10, 10]);
        queue.mark_all_lost();
        assert_eq!(queue.lost(), 20);
        assert_eq!(queue.retransmit(6, 1_000, T(5)), Some((START, START + 6)));
        assert_eq!(queue.lost(), 14);
        assert_eq!(queue.retransmit(6, 1_000, T(5)), Some((START + 6, START + 10)));
        assert_eq!(queue.acknowledge(START + 12, None).len, 12);
        assert_eq!(queue.lost(), 8);
        assert_eq!(queue.retransmit(100, 1_000, T(5)), Some((START + 12, START + 20)));
        assert_eq!(queue.retransmit(100, 1_000, T(5)), None);
    }
}
