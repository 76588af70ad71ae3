//! What SACK blocks say about what is under way (RFC 2018, RFC 2883): the sender's side. The receiver's is in `reassembly.rs`.

use crate::wire::seq::SeqNum;

use super::delivered::{Arrival, Delivered};
use super::segment::Segment;
use super::tcb::Tcb;

impl Tcb {
    /// Notes every block that lies within what is under way; blocks of an old acknowledgement still count (policy 10). What was
    /// never sent, and what is turned around, is ignored (hostile cases: SACK of the future).
    pub fn take_sack_blocks(
        &mut self,
        segment: &Segment,
        una_before: SeqNum,
        arrival: &Arrival,
        delivered: &mut Delivered,
    ) {
        if !self.agreed.sack || segment.header.options.sack.is_empty() {
            return;
        }
        delivered.duplicate = self.reported_duplicate(segment).filter(|(start, end)| {
            // Of the future, of what was acknowledged long ago, or of more than fits a window: not of this repair.
            let window = self.snd.max_wnd;
            end.at_or_before(self.snd.nxt) && end.after(una_before - window) && end.since(*start) <= window
        });
        let blocks = &segment.header.options.sack;
        let mut blocks: smallvec::SmallVec<[(SeqNum, SeqNum); 4]> = blocks.iter().copied().collect();
        // In ascending order, or the path would seem to reorder.
        blocks.sort_by_key(|(start, _)| start.since(una_before));
        for (start, end) in blocks {
            let start = start.latest(self.snd.una);
            if start.before(end) && end.at_or_before(self.snd.nxt) && !self.flight.sent.is_empty() {
                self.flight.sent.sack(start, end, arrival, delivered);
            }
        }
    }

    /// RFC 2883 §4: the first block reports a duplicate if it lies below the acknowledgement or within the second.
    pub fn reported_duplicate(&self, segment: &Segment) -> Option<(SeqNum, SeqNum)> {
        if !self.agreed.sack {
            return None;
        }
        let mut blocks = segment.header.options.sack.iter().copied();
        let (start, end) = blocks.next().filter(|(start, end)| start.before(*end))?;
        let acknowledged = end.at_or_before(segment.ack());
        let within = blocks.next().is_some_and(|(from, to)| start.at_or_after(from) && end.at_or_before(to));
        (acknowledged || within).then_some((start, end))
    }
}
