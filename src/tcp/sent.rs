//! What is under way: one record per transmission, super-segments included, from SND.UNA to SND.NXT in order; the scoreboard of
//! RFC 6675. SACK and loss detection mark records, splitting them where less than all of one is meant; output sends lost ones again.
//!
//! The work an acknowledgement makes is bounded by what it newly tells, whatever is under way: SACK blocks repeat themselves, so the
//! ranges known are kept merged, and so are those lost, so that the first is at hand; RACK looks at transmissions in the order of their
//! time, through a log that each of them passes once; and what was judged by count is not looked at again.

use std::collections::VecDeque;

use crate::base::ranges::RangeSet;
use crate::base::time::{Duration, Instant};
use crate::wire::seq::SeqNum;

use super::delivered::{Arrival, Delivered};
use super::rate::Departure;
use super::record::{Census, Mark, Record, largest};

/// Records that an empty queue keeps memory for.
const KEPT: usize = 256;

/// Records that there may be beside two for each segment.
const MAX_PARTS: usize = 1_024;

/// A transmission in the order of time. It is stale once its records were delivered, marked, or sent again.
#[derive(Clone, Copy, Debug)]
struct Logged {
    start: SeqNum,
    end: SeqNum,
    sent_at: Instant,
    number: u32,
}

/// The records in order of sequence numbers, without gaps.
#[derive(Debug)]
pub struct SentQueue {
    records: VecDeque<Record>,
    log: VecDeque<Logged>,
    /// Transmissions so far, modulo 2³².
    transmissions: u32,
    /// What SACK reported, as positions counted from `origin`.
    sacked: RangeSet,
    sacked_bytes: u32,
    sacked_segments: u32,
    /// Past the highest number that SACK reported or an acknowledgement covered (RACK.fack).
    highest: Option<SeqNum>,
    /// What counts as lost, as positions.
    lost: RangeSet,
    lost_bytes: u32,
    /// The position up to which [`SentQueue::mark_below_sacked`] has judged everything.
    judged: u64,
    /// A sequence number and its position.
    origin: (SeqNum, u64),
}

impl SentQueue {
    /// Nothing under way.
    pub const fn new() -> Self {
        SentQueue {
            records: VecDeque::new(),
            log: VecDeque::new(),
            transmissions: 0,
            sacked: RangeSet::new(),
            sacked_bytes: 0,
            sacked_segments: 0,
            highest: None,
            lost: RangeSet::new(),
            lost_bytes: 0,
            judged: 0,
            origin: (SeqNum(0), 0),
        }
    }

    /// Nothing is under way any more, and all is as new; memory for [`KEPT`] records stays.
    pub fn recycle(&mut self) {
        let SentQueue { mut records, mut log, mut sacked, mut lost, .. } =
            std::mem::replace(self, SentQueue::new());
        records.clear();
        records.shrink_to(KEPT);
        log.clear();
        log.shrink_to(KEPT);
        sacked.clear(KEPT);
        lost.clear(KEPT);
        *self = SentQueue { records, log, sacked, lost, ..SentQueue::new() };
    }

    /// Notes a new transmission at the end, in segments of `mss`.
    pub fn push(&mut self, start: SeqNum, end: SeqNum, mss: u32, departure: Departure, now: Instant) {
        if self.records.is_empty() {
            self.origin.0 = start;
        }
        let number = self.log(start, end, now);
        self.records.push_back(Record {
            start,
            end,
            sent_at: now,
            departure,
            retransmitted: false,
            mark: Mark::Outstanding,
            segment: largest(end.since(start), mss),
            number,
        });
    }

    fn log(&mut self, start: SeqNum, end: SeqNum, sent_at: Instant) -> u32 {
        self.transmissions = self.transmissions.wrapping_add(1);
        self.log.push_back(Logged { start, end, sent_at, number: self.transmissions });
        self.transmissions
    }

    /// The record that `seq` is in.
    pub fn find(&self, seq: SeqNum) -> Option<&Record> {
        self.records.get(self.index_of(seq)).filter(|record| record.start.at_or_before(seq))
    }

    /// The first record that ends behind `seq`.
    fn index_of(&self, seq: SeqNum) -> usize {
        self.records.partition_point(|record| record.end.at_or_before(seq))
    }

    /// The record at `index`. What walks over records asks here, so that tests can count the steps.
    fn at(&self, index: usize) -> Option<&Record> {
        #[cfg(test)]
        tests::count_step();
        self.records.get(index)
    }

    /// True if nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The first record: what SND.UNA is in.
    pub fn first(&self) -> Option<&Record> {
        self.records.front()
    }

    /// The last record.
    pub fn last(&self) -> Option<&Record> {
        self.records.back()
    }

    /// One transmission is under way.
    pub fn is_one_record(&self) -> bool {
        self.records.len() == 1
    }

    /// What SND.UNA is in was reported, and yet not acknowledged: the peer has dropped it (RFC 2018 §8).
    pub fn is_taken_back(&self) -> bool {
        self.records.front().is_some_and(|record| record.mark == Mark::Sacked)
    }

    /// Sequence numbers that count as lost and are not sent again yet.
    pub fn lost(&self) -> u32 {
        self.lost_bytes
    }

    /// Sequence numbers that SACK reported.
    pub fn sacked(&self) -> u32 {
        self.sacked_bytes
    }

    /// Segments that SACK reported.
    pub fn sacked_segments(&self) -> u32 {
        self.sacked_segments
    }

    /// Counts what is under way in segments.
    pub fn census(&self, fin: Option<SeqNum>) -> Census {
        let mut census = Census::default();
        for record in &self.records {
            let segments = record.segments(fin);
            census.all += segments;
            match record.mark {
                Mark::Sacked => census.sacked += segments,
                Mark::Lost => census.lost += segments,
                Mark::Outstanding if record.retransmitted => census.retransmitted += segments,
                Mark::Outstanding => {}
            }
        }
        census
    }

    /// Takes away everything before `una`; a FIN at `fin` rides on the last segment.
    pub fn acknowledge(
        &mut self,
        una: SeqNum,
        fin: Option<SeqNum>,
        arrival: &Arrival,
        delivered: &mut Delivered,
    ) {
        while let Some(&record) = self.at(0) {
            if !record.start.before(una) {
                break;
            }
            let end = if record.end.at_or_before(una) { record.end } else { una };
            let part = Record { end, ..record };
            self.forget(&part);
            if record.mark != Mark::Sacked {
                delivered.segments += part.segments(fin);
                delivered.note(&part, end, true, arrival);
                self.note_order(&part, delivered);
            }
            if end != record.end {
                self.records[0].start = end;
                break;
            }
            self.records.pop_front();
        }
        let position = self.position(una);
        self.origin = (una, position);
        self.sacked.remove_below(position);
        self.judged = self.judged.max(position);
        while self.log.front().is_some_and(|logged| logged.end.at_or_before(una)) {
            self.log.pop_front();
        }
    }

    /// Takes a record, or a part of one, out of the sums.
    fn forget(&mut self, part: &Record) {
        match part.mark {
            Mark::Sacked => {
                self.sacked_bytes -= part.len();
                // Parts of a segment count as segments, too: all of them together count for no less than the whole did.
                self.sacked_segments = self.sacked_segments.saturating_sub(part.segments(None));
            }
            Mark::Lost => {
                self.lost_bytes -= part.len();
                self.lost.remove(self.position(part.start)..self.position(part.end));
            }
            Mark::Outstanding => {}
        }
    }

    /// RFC 8985 §6.2 step 3: what was sent once, and before what has arrived already, shows that the path reorders.
    fn note_order(&mut self, part: &Record, delivered: &mut Delivered) {
        match self.highest {
            Some(highest) if part.end.before(highest) => {
                if !part.retransmitted {
                    delivered.reordered = delivered.reordered.max(highest.since(part.start));
                }
            }
            _ => self.highest = Some(part.end),
        }
    }

    /// SACK reports `start..end`, all of it under way: marks what is new.
    pub fn sack(&mut self, start: SeqNum, end: SeqNum, arrival: &Arrival, delivered: &mut Delivered) {
        let range = self.position(start)..self.position(end);
        let gaps: smallvec::SmallVec<[_; 4]> = self.sacked.gaps(range).collect();
        for gap in gaps {
            let (from, to) = self.not_too_fine(self.seq(gap.start), self.seq(gap.end));
            if !from.before(to) {
                continue;
            }
            let mut index = self.cut(from);
            self.cut(to);
            while let Some(&record) = self.at(index).filter(|record| record.start.before(to)) {
                self.forget(&record);
                self.records[index].mark = Mark::Sacked;
                self.sacked_bytes += record.len();
                self.sacked_segments += record.segments(None);
                delivered.segments += record.segments(None);
                delivered.sacked = true;
                delivered.note(&record, record.end, false, arrival);
                self.note_order(&record, delivered);
                index += 1;
            }
            self.sacked.insert(self.position(from)..self.position(to));
        }
    }

    /// The part of `from..to` that may be marked. A receiver reports what segments it got, and cuts records where they end; one that
    /// reports single bytes would make a record of each. Where there are many more records than segments, only whole ones are
    /// marked from then on: the scoreboard stays bounded (hostile case M2), and what is not marked is sent again.
    fn not_too_fine(&self, from: SeqNum, to: SeqNum) -> (SeqNum, SeqNum) {
        let (Some(first), Some(last)) = (self.records.front(), self.records.back()) else {
            return (from, to);
        };
        let segments = last.end.since(first.start) / u32::from(first.segment.max(last.segment)).max(1);
        if self.records.len() < MAX_PARTS + 2 * segments as usize {
            return (from, to);
        }
        let whole = |seq: SeqNum, up: bool| match self.find(seq) {
            Some(record) if record.start != seq => {
                if up {
                    record.end
                } else {
                    record.start
                }
            }
            _ => seq,
        };
        (whole(from, true), whole(to, false))
    }

    fn position(&self, seq: SeqNum) -> u64 {
        self.origin.1 + u64::from(seq.since(self.origin.0))
    }

    fn seq(&self, position: u64) -> SeqNum {
        self.origin.0 + (position - self.origin.1) as u32
    }

    /// Cuts the record that `seq` is inside of in two there; the index of the record that begins at `seq`.
    fn cut(&mut self, seq: SeqNum) -> usize {
        let index = self.index_of(seq);
        let Some(record) = self.records.get(index).filter(|record| record.start.before(seq)) else {
            return index;
        };
        let len = seq.since(record.start);
        self.split(index, len);
        index + 1
    }

    /// RFC 8985 §6.2 step 5: marks what was sent before `newest` (time and end) and not delivered within `window` (RACK.rtt and the
    /// reordering window). The bytes marked, and how long until the next of them is due.
    pub fn mark_overtaken(
        &mut self,
        newest: (Instant, SeqNum),
        window: Duration,
        now: Instant,
    ) -> (u32, Option<Duration>) {
        let before = self.lost_bytes;
        while let Some(&Logged { start, end, sent_at, number }) = self.log.front() {
            if sent_at > newest.0 {
                break;
            }
            let due = now.since(sent_at) >= window;
            let mut under_way = false;
            let mut index = self.index_of(start.latest(self.origin.0));
            while let Some(record) = self.at(index).filter(|record| record.start.before(end)) {
                if record.number == number && record.mark == Mark::Outstanding {
                    let overtaken = sent_at < newest.0 || record.end.before(newest.1);
                    match (overtaken, due) {
                        (true, true) => self.mark_lost(index),
                        (true, false) => {
                            return (self.lost_bytes - before, Some(window - now.since(sent_at)));
                        }
                        (false, _) => under_way = true,
                    }
                }
                index += 1;
            }
            if under_way {
                break;
            }
            self.log.pop_front();
        }
        (self.lost_bytes - before, None)
    }

    fn mark_lost(&mut self, index: usize) {
        let record = &mut self.records[index];
        debug_assert_eq!(record.mark, Mark::Outstanding);
        record.mark = Mark::Lost;
        let (start, end) = (record.start, record.end);
        self.lost_bytes += end.since(start);
        self.lost.insert(self.position(start)..self.position(end));
    }

    /// RFC 6675 §4, IsLost, in segments: what has at least `threshold` of them reported above it, sent once.
    pub fn mark_below_sacked(&mut self, threshold: u32) -> u32 {
        let before = self.lost_bytes;
        let Some(bound) = self.below_sacked(threshold) else { return 0 };
        let mut index = self.index_of(self.seq(self.judged.max(self.origin.1)));
        while let Some(record) = self.at(index).filter(|record| record.start.before(bound)) {
            if record.mark == Mark::Outstanding && !record.retransmitted {
                self.mark_lost(index);
            }
            index += 1;
        }
        self.judged = self.judged.max(self.position(bound));
        self.lost_bytes - before
    }

    /// Where the `threshold` highest of the segments reported begin.
    fn below_sacked(&self, threshold: u32) -> Option<SeqNum> {
        let mut above = 0;
        for range in self.sacked.iter().rev() {
            let first = self.index_of(self.seq(range.start));
            for index in (first..self.index_of(self.seq(range.end))).rev() {
                let record = self.at(index)?;
                above += record.segments(None);
                if above >= threshold {
                    return Some(record.start);
                }
            }
        }
        None
    }

    /// Marks the first `len` sequence numbers lost, unless they are already or were sent again: then only a timeout tells.
    pub fn mark_first_lost(&mut self, len: u32) -> u32 {
        self.split(0, len);
        match self.records.front() {
            Some(record) if record.mark == Mark::Outstanding && !record.retransmitted => {
                let len = record.len();
                self.mark_lost(0);
                len
            }
            _ => 0,
        }
    }

    /// A retransmission timeout (RFC 6298 §5.4, RFC 5681 §3.1): marks everything lost but what was reported, and, behind the first
    /// record, what was sent less than `recent` ago: it may still arrive (RFC 8985 §6.3). If the first was reported, the peer has
    /// dropped what it had (RFC 2018 §8), and no report counts.
    pub fn mark_all_lost(&mut self, recent: Option<Duration>, now: Instant) {
        if self.is_taken_back() {
            self.forget_sacked();
        }
        for index in 0..self.records.len() {
            let record = &self.records[index];
            let may_arrive = index > 0 && recent.is_some_and(|recent| now.since(record.sent_at) < recent);
            if record.mark == Mark::Outstanding && !may_arrive {
                self.mark_lost(index);
            }
        }
    }

    fn forget_sacked(&mut self) {
        let mut sacked = std::mem::replace(&mut self.sacked, RangeSet::new());
        self.put_back(&sacked);
        sacked.clear(usize::MAX);
        self.sacked = sacked;
        (self.sacked_bytes, self.sacked_segments) = (0, 0);
    }

    /// Nothing was lost after all: what counts as lost is under way.
    pub fn unmark_lost(&mut self) {
        let mut lost = std::mem::replace(&mut self.lost, RangeSet::new());
        self.put_back(&lost);
        lost.clear(usize::MAX);
        (self.lost, self.lost_bytes) = (lost, 0);
    }

    /// The records in these ranges are under way again. Their transmissions return to the log, as far as they have left it: they may be
    /// overtaken again.
    fn put_back(&mut self, ranges: &RangeSet) {
        let transmissions = self.transmissions;
        let age = |logged: &Logged| transmissions.wrapping_sub(logged.number);
        let (oldest, mut back) = (self.log.front().map(age), 0);
        for range in ranges.iter() {
            let places = self.index_of(self.seq(range.start))..self.index_of(self.seq(range.end));
            for record in self.records.range_mut(places) {
                record.mark = Mark::Outstanding;
                let Record { start, end, sent_at, number, .. } = *record;
                let logged = Logged { start, end, sent_at, number };
                if oldest.is_none_or(|oldest| age(&logged) > oldest) {
                    self.log.push_front(logged);
                    back += 1;
                }
            }
        }
        // Parts of one transmission in the order of their numbers.
        let order = |a: &Logged, b: &Logged| age(b).cmp(&age(a)).then(a.start.offset_from(b.start).cmp(&0));
        self.log.make_contiguous()[..back].sort_unstable_by(order);
        self.judged = 0;
    }

    /// Marks lost what left in segments larger than `mss`; true if there was any. What is contiguous becomes one range, which is
    /// cut anew without remainders in between (SHLD-28). A FIN at `fin` rides on the last segment.
    pub fn mark_larger(&mut self, mss: u16, fin: Option<SeqNum>) -> bool {
        let (mut any, mut index) = (false, 0);
        while let Some(record) = self.records.get(index).copied() {
            if record.segment > mss && record.mark != Mark::Sacked {
                any = true;
                if record.mark == Mark::Outstanding {
                    self.cut_small_tail(index, mss, fin);
                    self.mark_lost(index);
                }
            }
            index += 1;
        }
        if any {
            self.merge_lost(mss);
        }
        any
    }

    /// The last segment of a frame may have been small enough for the path: it gets a record of its own.
    fn cut_small_tail(&mut self, index: usize, mss: u16, fin: Option<SeqNum>) {
        let Some((before, tail)) = self.records[index].short_tail(fin) else { return };
        if tail <= u32::from(mss) {
            self.split(index, before);
            self.records[index + 1].segment = largest(tail, tail);
        }
    }

    fn merge_lost(&mut self, mss: u16) {
        let is_large = |record: &Record| record.mark == Mark::Lost && record.segment > mss;
        let mut merged: VecDeque<Record> = VecDeque::new();
        for record in self.records.drain(..) {
            match merged.back_mut().filter(|last| is_large(last)) {
                Some(last) if record.mark == Mark::Lost => {
                    last.end = record.end;
                    last.segment = last.segment.max(record.segment);
                    last.retransmitted |= record.retransmitted;
                    if record.sent_at >= last.sent_at {
                        (last.sent_at, last.number) = (record.sent_at, record.number);
                    }
                }
                _ => merged.push_back(record),
            }
        }
        self.records = merged;
    }

    /// The first lost record.
    pub fn first_lost(&self) -> Option<&Record> {
        let first = self.lost.first()?;
        self.at(self.index_of(self.seq(first.start)))
    }

    /// Takes the first lost range, at most `max` sequence numbers of it, notes that it is sent again now in segments of `mss`,
    /// and returns it.
    pub fn retransmit(
        &mut self,
        max: u32,
        mss: u32,
        departure: Departure,
        now: Instant,
    ) -> Option<(SeqNum, SeqNum)> {
        let start = self.first_lost()?.start;
        let index = self.index_of(start);
        self.split(index, max);
        let record = self.records[index];
        self.forget(&record);
        self.send_again(index, mss, departure, now);
        Some((start, record.end))
    }

    /// Takes the last `len` sequence numbers and notes that they are sent again now: a tail loss probe (RFC 8985 §7.3).
    pub fn retransmit_last(
        &mut self,
        len: u32,
        departure: Departure,
        now: Instant,
    ) -> Option<(SeqNum, SeqNum)> {
        let last = self.records.back()?;
        let index = self.cut(last.end - len.min(last.len()));
        let record = *self.records.get(index).filter(|record| record.mark != Mark::Sacked)?;
        self.forget(&record);
        self.send_again(index, record.segment.into(), departure, now);
        Some((record.start, record.end))
    }

    fn send_again(&mut self, index: usize, mss: u32, departure: Departure, now: Instant) {
        let (start, end) = (self.records[index].start, self.records[index].end);
        let number = self.log(start, end, now);
        let record = &mut self.records[index];
        record.mark = Mark::Outstanding;
        record.retransmitted = true;
        record.sent_at = now;
        record.departure = departure;
        record.segment = largest(record.len(), mss);
        record.number = number;
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
}

#[cfg(test)]
#[path = "sent_tests.rs"]
mod tests;
