//! Out-of-order segments that wait for a gap to fill (SHLD-31), and the SACK blocks that tell the peer of them (RFC 2018).
//! Bounded in memory (hostile case M1): what lies farthest ahead is dropped first. The memory bounds the ranges, too: each holds a
//! buffer of [`crate::base::buffer::SMALL`] bytes at least, as an honest burst of losses that takes every second segment needs.

use std::collections::VecDeque;
use std::ops::Range;

use smallvec::SmallVec;

use crate::base::buffer::{Buffer, Slice};
use crate::base::pool::{Boxes, Pool, Recycled};
use crate::base::ranges::RangeSet;

/// Payloads and ranges that an empty queue keeps memory for.
const KEPT: usize = 256;
/// Ranges reported again beside newer ones, as far as there is room.
const REPEATED: usize = 4;
/// Ranges that may wait to be reported for the first time: as many as a burst has packets.
const MAX_UNREPORTED: usize = 64;

/// Out-of-order payloads by stream offset: bytes behind the first byte of the stream.
#[derive(Debug, Default)]
pub struct Reassembly {
    /// Payloads with their offsets, in order; they never overlap.
    payloads: VecDeque<(u64, Slice)>,
    ranges: RangeSet,
    /// Offsets inside the ranges that changed last, the newest first (RFC 2018 §4).
    recent: SmallVec<[u64; REPEATED]>,
    /// The first so many of them were not reported yet.
    unreported: usize,
    memory: usize,
}

impl Recycled for Reassembly {
    fn pool() -> &'static Boxes<Self> {
        static POOL: Boxes<Reassembly> = Pool::of_boxes();
        &POOL
    }

    fn fresh() -> Self {
        Reassembly::default()
    }

    fn recycle(&mut self) {
        let Reassembly { mut payloads, mut ranges, mut recent, .. } = std::mem::take(self);
        payloads.clear();
        payloads.shrink_to(KEPT);
        ranges.clear(KEPT);
        recent.clear();
        *self = Reassembly { payloads, ranges, recent, ..Reassembly::default() };
    }
}

impl Reassembly {
    /// Stores a payload at `offset`, the parts of it that are new. False if the bound made it drop something.
    pub fn insert(&mut self, offset: u64, payload: Slice, max_memory: usize) -> bool {
        if payload.is_empty() {
            return true;
        }
        let whole = offset..offset + payload.len() as u64;
        let gaps: SmallVec<[Range<u64>; 4]> = self.ranges.gaps(whole.clone()).collect();
        for gap in gaps {
            let part = payload.slice((gap.start - offset) as usize..(gap.end - offset) as usize);
            // Copy-break: a small part must not pin the 64 KiB it came in.
            let part = if part.len() * 2 < part.capacity() { Buffer::copy_of(&part).into() } else { part };
            self.memory += part.capacity();
            let place = self.place(gap.start);
            self.payloads.insert(place, (gap.start, part));
        }
        let merged = self.ranges.insert(whole);
        self.note_recent(merged.start);
        self.enforce(max_memory)
    }

    /// Takes the payload that begins at `offset`, if it is there.
    pub fn take(&mut self, offset: u64) -> Option<Slice> {
        let place = self.place(offset);
        self.payloads.get(place).filter(|(start, _)| *start == offset)?;
        let (_, payload) = self.payloads.remove(place)?;
        self.memory -= payload.capacity();
        self.ranges.remove_below(offset + payload.len() as u64);
        Some(payload)
    }

    /// Forgets what lies before `offset`: it was delivered by other segments. A payload that reaches beyond is cut.
    pub fn remove_below(&mut self, offset: u64) {
        while let Some((start, payload)) = self.payloads.front_mut().filter(|(start, _)| *start < offset) {
            let len = payload.len();
            if *start + len as u64 > offset {
                *payload = payload.slice((offset - *start) as usize..len);
                *start = offset;
            } else {
                self.memory -= payload.capacity();
                self.payloads.pop_front();
            }
        }
        self.ranges.remove_below(offset);
    }

    /// Forgets what lies at or behind `offset`: the stream ends there. A payload that reaches beyond is cut.
    pub fn remove_above(&mut self, offset: u64) {
        while let Some((_, payload)) = self.payloads.pop_back_if(|(start, _)| *start >= offset) {
            self.memory -= payload.capacity();
        }
        if let Some((start, payload)) = self.payloads.back_mut() {
            *payload = payload.slice(0..(offset - *start) as usize);
        }
        self.ranges.remove_above(offset);
    }

    /// Where a payload that begins at `offset` stands, or would.
    fn place(&self, offset: u64) -> usize {
        self.payloads.partition_point(|&(start, _)| start < offset)
    }

    /// The range that holds `offset`.
    pub fn find(&self, offset: u64) -> Option<Range<u64>> {
        self.ranges.find(offset)
    }

    /// The first part of `range` that is held.
    pub fn first_held(&self, range: Range<u64>) -> Option<Range<u64>> {
        self.ranges.first_overlap(range)
    }

    /// The next ranges to report, at most `max`: `first` if there is one, then the one that changed last. Where more than that were
    /// never reported the oldest of those go before, as they would have gone if each had been reported when it came.
    pub fn blocks(&self, first: Option<Range<u64>>, max: usize) -> impl Iterator<Item = Range<u64>> + '_ {
        let others = max - usize::from(first.is_some());
        let recent = &self.recent[self.unreported.saturating_sub(others)..];
        let recent = recent.iter().filter_map(|&offset| self.ranges.find(offset));
        let mut seen: SmallVec<[u64; 8]> = SmallVec::new();
        first
            .into_iter()
            .chain(recent)
            .chain(self.ranges.iter())
            .filter(move |range| {
                let new = !seen.contains(&range.start);
                seen.push(range.start);
                new
            })
            .take(max)
    }

    /// [`Reassembly::blocks`] with this `max` were reported. True if others never were.
    pub fn reported(&mut self, max: usize) -> bool {
        self.unreported = self.unreported.saturating_sub(max);
        self.recent.truncate(self.unreported.max(REPEATED));
        self.unreported > 0
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// True if no segment waits.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    fn note_recent(&mut self, start: u64) {
        let at = self.recent.iter().position(|&offset| offset == start);
        if let Some(at) = at {
            self.recent.remove(at);
        }
        self.recent.insert(0, start);
        if at.is_none_or(|at| at >= self.unreported) {
            self.unreported = (self.unreported + 1).min(MAX_UNREPORTED);
        }
        self.recent.truncate(self.unreported.max(REPEATED));
    }

    /// Drops what lies farthest ahead until `max_memory` is kept. False if something was dropped.
    pub fn enforce(&mut self, max_memory: usize) -> bool {
        let mut kept = true;
        while self.memory > max_memory {
            let Some((_, payload)) = self.payloads.pop_back() else { break };
            self.memory -= payload.capacity();
            self.rebuild_last(payload.len() as u64);
            kept = false;
        }
        kept
    }

    /// Shortens the last range by the payload that was dropped from its end.
    fn rebuild_last(&mut self, dropped: u64) {
        if let Some(last) = self.ranges.last() {
            self.ranges.remove_above(last.end - dropped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::buffer::{LARGE, SMALL};
    use proptest::prelude::*;

    fn payload(range: Range<u64>) -> Slice {
        Buffer::copy_of(&range.map(|i| i as u8).collect::<Vec<_>>()).into()
    }

    /// RFC 2018 §4: the first block holds the segment that caused the ACK, then the blocks reported most recently.
    #[test]
    fn the_newest_block_comes_first() {
        let mut queue = Reassembly::default();
        for start in [100, 200, 300] {
            queue.insert(start, payload(start..start + 10), 1 << 20);
        }
        assert_eq!(queue.blocks(None, 4).collect::<Vec<_>>(), [300..310, 200..210, 100..110]);
        assert!(!queue.reported(4));
        queue.insert(110, payload(110..120), 1 << 20);
        assert_eq!(queue.blocks(None, 2).collect::<Vec<_>>(), [100..120, 300..310]);
    }

    /// RFC 2018 §4: more new ranges than one acknowledgement can hold are reported by as many as that takes, each range once at
    /// least.
    #[test]
    fn every_range_is_reported() {
        let mut queue = Reassembly::default();
        for i in 1..=7u64 {
            queue.insert(i * 100, payload(i..i + 10), 1 << 20);
        }
        let mut told = Vec::new();
        loop {
            told.push(queue.blocks(None, 3).map(|range| range.start / 100).collect::<Vec<_>>());
            if !queue.reported(3) {
                break;
            }
        }
        assert_eq!(told, [[3, 2, 1], [6, 5, 4], [7, 6, 5]]);
        for i in 0..1_000u64 {
            queue.insert(i * 3 + 10_000, payload(i..i + 1), 1 << 20);
        }
        assert!(queue.recent.len() <= MAX_UNREPORTED);
    }

    /// RFC 2018 §4: a range that grows is news again, behind those that changed before it and were not reported yet.
    #[test]
    fn a_range_that_grows_is_reported_again() {
        let mut queue = Reassembly::default();
        for start in [100, 200, 300, 400] {
            queue.insert(start, payload(start..start + 10), 1 << 20);
        }
        assert!(!queue.reported(4));
        for start in [110, 210, 310, 410] {
            queue.insert(start, payload(start..start + 10), 1 << 20);
        }
        assert_eq!(queue.blocks(None, 3).collect::<Vec<_>>(), [300..320, 200..220, 100..120]);
        assert!(queue.reported(3));
        assert_eq!(queue.blocks(None, 3).next(), Some(400..420));
    }

    /// Hostile case M1: a small part does not keep the large buffer that it came in; what fills half of its buffer is not copied.
    #[test]
    fn a_small_part_keeps_no_large_buffer() {
        for (len, memory) in [(100, 2_048), (LARGE / 2 - 1, LARGE), (LARGE / 2, LARGE), (60_000, LARGE)] {
            let mut buffer = Buffer::large();
            buffer.append(&vec![7; len]);
            let came = Slice::from(buffer);
            let mut queue = Reassembly::default();
            queue.insert(1_000, came.clone(), 1 << 20);
            assert_eq!(queue.memory(), memory, "{len}");
            let kept = queue.take(1_000).unwrap();
            assert_eq!(kept.as_ptr() == came.as_ptr(), len >= LARGE / 2, "{len}");
        }
    }

    /// Hostile case M1: as much as the bounds say is kept, and no more: what lies farthest ahead goes.
    #[test]
    fn what_the_bounds_allow_is_kept() {
        let mut queue = Reassembly::default();
        let most = 3_000 * SMALL;
        assert!((0..3_000).all(|i| queue.insert(i * 2 + 1, payload(1..2), most)));
        assert_eq!((queue.ranges.len(), queue.memory()), (3_000, most), "each takes a buffer");
        assert!(!queue.insert(1 << 20, payload(1..2), most), "a range too many");
        assert_eq!((queue.ranges.len(), queue.ranges.last()), (3_000, Some(5_999..6_000)));
        assert!(!queue.insert(2, payload(1..2), most), "a buffer too many");
        assert_eq!((queue.ranges.len(), queue.memory()), (2_998, most));
    }

    /// Hostile case M1: one byte at every second place, in reverse order, stays within the bounds.
    #[test]
    fn alternating_bytes_stay_within_ranges_and_memory() {
        let mut queue = Reassembly::default();
        let dropped =
            (0..5_000u64).rev().filter(|i| !queue.insert(i * 2 + 1, payload(1..2), 1 << 20)).count();
        assert!(dropped > 0 && queue.ranges.len() <= (1 << 20) / SMALL && queue.memory() <= 1 << 20);
        assert_eq!(queue.blocks(None, usize::MAX).next(), Some(1..2), "the nearest are kept");
    }

    proptest! {
        /// Whatever the order, overlap and repetition: what comes out is a prefix of the stream, each byte once.
        #[test]
        fn segments_in_any_order_come_out_in_order(mut cuts in prop::collection::vec((0u64..400, 1u64..60), 1..60)) {
            let mut queue = Reassembly::default();
            let (mut next, mut out) = (0, Vec::new());
            cuts.push((0, 1));
            for (start, len) in cuts {
                if start + len > next {
                    let start = start.max(next);
                    let len = len.min(400);
                    queue.insert(start, payload(start..start + len), 1 << 20);
                }
                while let Some(slice) = queue.take(next) {
                    out.extend_from_slice(&slice);
                    next += slice.len() as u64;
                }
            }
            prop_assert_eq!(out, (0..next).map(|i| i as u8).collect::<Vec<_>>());
            prop_assert_eq!(queue.memory(), queue.payloads.iter().map(|(_, payload)| payload.capacity()).sum::<usize>());
            let held: u64 = queue.ranges.iter().map(|range| range.end - range.start).sum();
            prop_assert_eq!(held, queue.payloads.iter().map(|(_, payload)| payload.len() as u64).sum::<u64>());
        }

        #[test]
        fn forgetting_what_lies_behind_the_end_keeps_the_rest(starts in prop::collection::vec(0u64..200, 1..20), bound in 0u64..220) {
            let mut queue = Reassembly::default();
            starts.iter().for_each(|&start| { queue.insert(start, payload(start..start + 7), 1 << 20); });
            let before: Vec<u64> = queue.ranges.iter().flatten().filter(|&i| i < bound).collect();
            queue.remove_above(bound);
            prop_assert_eq!(queue.ranges.iter().flatten().collect::<Vec<_>>(), before);
            let held: u64 = queue.payloads.iter().map(|(_, payload)| payload.len() as u64).sum();
            prop_assert_eq!(held, queue.ranges.iter().map(|range| range.end - range.start).sum::<u64>());
            prop_assert_eq!(queue.memory(), queue.payloads.iter().map(|(_, payload)| payload.capacity()).sum::<usize>());
        }

        #[test]
        fn forgetting_a_prefix_keeps_the_rest(starts in prop::collection::vec(0u64..200, 1..20), bound in 0u64..220) {
            let mut queue = Reassembly::default();
            starts.iter().for_each(|&start| { queue.insert(start, payload(start..start + 7), 1 << 20); });
            let before: Vec<u64> = queue.ranges.iter().flatten().filter(|&i| i >= bound).collect();
            queue.remove_below(bound);
            prop_assert_eq!(queue.ranges.iter().flatten().collect::<Vec<_>>(), before);
            let held: u64 = queue.payloads.iter().map(|(_, payload)| payload.len() as u64).sum();
            prop_assert_eq!(held, queue.ranges.iter().map(|range| range.end - range.start).sum::<u64>());
            prop_assert!(queue.payloads.iter().all(|(_, payload)| !payload.is_empty()));
            prop_assert_eq!(queue.memory(), queue.payloads.iter().map(|(_, payload)| payload.capacity()).sum::<usize>());
        }
    }
}
