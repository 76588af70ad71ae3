//! What an acknowledgement reports beside its number: the ranges that wait behind a gap (SACK, RFC 2018 §4) and what came twice
//! (D-SACK, RFC 2883 §4).
//!
//! A burst draws one acknowledgement (MUST-58) unless that cannot say it all. With SACK each new range and each duplicate is
//! reported once at least: nothing else tells the peer of it, and what it does not know to have arrived it sends again. Without
//! SACK the peer counts duplicate acknowledgements (RFC 5681 §3.2), so each segment out of order draws one. What the peer makes of
//! such reports is not here.

use crate::base::pool::{Boxes, Pool, Pooled, Recycled};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::SackBlocks;

use super::segment::Segment;
use super::tcb::{Env, Tcb};

/// Duplicates that may wait to be reported: as many as a burst has packets; what is beyond goes unreported.
const MAX_DUPLICATES: usize = 64;

/// Duplicate ranges in the order they came; absent while there are none.
#[derive(Debug, Default)]
pub struct Duplicates(Pooled<Ranges>);

#[derive(Debug, Default)]
struct Ranges(SackBlocks);

impl Recycled for Ranges {
    fn pool() -> &'static Boxes<Self> {
        static POOL: Boxes<Ranges> = Pool::of_boxes();
        &POOL
    }

    fn fresh() -> Self {
        Ranges::default()
    }

    fn recycle(&mut self) {
        self.0.clear();
    }
}

impl Duplicates {
    /// None.
    pub const fn none() -> Self {
        Duplicates(Pooled::none())
    }

    fn push(&mut self, start: SeqNum, end: SeqNum) {
        let ranges = &mut self.0.get_or_fresh().0;
        if let Some(last) = ranges.last_mut().filter(|last| last.1 == start) {
            last.1 = end;
        } else if ranges.len() < MAX_DUPLICATES {
            ranges.push((start, end));
        }
    }

    fn first(&self) -> Option<(SeqNum, SeqNum)> {
        self.0.as_ref()?.0.first().copied()
    }

    /// The first was reported. True if it was there.
    fn pop(&mut self) -> bool {
        let Some(ranges) = self.0.as_mut() else { return false };
        ranges.0.remove(0);
        self.0.clear_if(|ranges| ranges.0.is_empty());
        true
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Tcb {
    /// A segment came that lies before RCV.NXT, wholly or with its beginning: that came twice.
    pub fn note_old_text(&mut self, segment: &Segment, env: &Env) {
        let (start, end) = (segment.seq(), segment.end());
        if start.before(self.rcv.nxt) && env.config.dsack && self.agreed.sack {
            self.trouble.duplicates.push(start, if end.after(self.rcv.nxt) { self.rcv.nxt } else { end });
        }
    }

    /// Text came from RCV.NXT on or behind a gap; perhaps some of it waits already. RFC 2883 §4.2 has the first such part of a
    /// segment reported and not the others.
    pub fn note_text_held(&mut self, segment: &Segment, env: &Env) {
        let Some(queue) = self.reassembly.as_ref().filter(|_| env.config.dsack && self.agreed.sack) else {
            return;
        };
        let start = self.rcv.offset + u64::from(segment.seq().since(self.rcv.nxt));
        if let Some(held) = queue.first_held(start..start + segment.payload.len() as u64) {
            let seq = |offset: u64| self.rcv.nxt + (offset - self.rcv.offset) as u32;
            self.trouble.duplicates.push(seq(held.start), seq(held.end));
        }
    }

    /// Text came behind a gap: the peer learns of it at once (RFC 5681 §4.2), from a SACK block or by counting.
    pub fn acknowledge_gap(&mut self) {
        if self.agreed.sack {
            self.ack.at_once();
        } else {
            self.ack.repeat();
        }
    }

    /// The next segment needs no block.
    pub fn reports_nothing(&self) -> bool {
        !self.agreed.sack || (self.trouble.duplicates.is_empty() && self.reassembly.is_none())
    }

    /// The blocks of the next segment: a duplicate first (RFC 2883 §4) and the block around it, then the newest ranges (RFC 2018 §4).
    pub fn sack_blocks(&self) -> SackBlocks {
        let mut blocks = SackBlocks::new();
        if self.reports_nothing() {
            return blocks;
        }
        blocks.extend(self.trouble.duplicates.first());
        let Some(queue) = self.reassembly.as_ref() else { return blocks };
        let seq = |offset: u64| self.rcv.nxt + (offset - self.rcv.offset) as u32;
        let around = self.trouble.duplicates.first().filter(|(start, _)| start.at_or_after(self.rcv.nxt));
        let around =
            around.and_then(|(start, _)| queue.find(self.rcv.offset + u64::from(start.since(self.rcv.nxt))));
        let room = self.blocks_at_most() - blocks.len();
        blocks.extend(queue.blocks(around, room).map(|range| (seq(range.start), seq(range.end))));
        blocks
    }

    /// A segment with [`Tcb::sack_blocks`] went out; another follows if there is more to tell.
    pub fn reported(&mut self, env: &mut Env) {
        let mut room = self.blocks_at_most();
        if self.trouble.as_mut().is_some_and(|trouble| trouble.duplicates.pop()) {
            // The block around the duplicate may have taken another's place.
            room -= 2;
            env.counters.tcp_dsacks_out += 1;
        }
        let more = self.reassembly.as_mut().is_some_and(|queue| queue.reported(room));
        if self.agreed.sack && (more || !self.trouble.duplicates.is_empty()) {
            self.ack.at_once();
        }
    }

    /// How many blocks fit beside the other options (RFC 2018 §3).
    fn blocks_at_most(&self) -> usize {
        if self.agreed.timestamps { 3 } else { 4 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neighbours are one block; what is beyond the bound is not kept, and nothing is when all is told.
    #[test]
    fn duplicates_are_few_and_leave_nothing_behind() {
        let mut duplicates = Duplicates::default();
        duplicates.push(SeqNum(1), SeqNum(5));
        duplicates.push(SeqNum(5), SeqNum(9));
        duplicates.push(SeqNum(1), SeqNum(5));
        assert_eq!(duplicates.first(), Some((SeqNum(1), SeqNum(9))));
        (0..1_000).for_each(|i| duplicates.push(SeqNum(100 + 2 * i), SeqNum(101 + 2 * i)));
        let told = std::iter::from_fn(|| duplicates.pop().then_some(())).count();
        assert_eq!((told, duplicates.is_empty()), (MAX_DUPLICATES, true));
    }

    /// What one connection left unreported when it ended is not reported by another, whose list may be the same memory.
    #[test]
    fn a_list_used_again_begins_empty() {
        for i in 0..10 {
            let (mut old, mut new) = (Duplicates::default(), Duplicates::default());
            old.push(SeqNum(1), SeqNum(5));
            drop(old);
            new.push(SeqNum(100 + i), SeqNum(200));
            assert_eq!(new.first(), Some((SeqNum(100 + i), SeqNum(200))));
        }
    }
}
