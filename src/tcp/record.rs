//! One transmission under way, and what is known of it. The queue of them, which is the scoreboard of RFC 6675, is in `sent.rs`.

use crate::base::time::Instant;
use crate::wire::seq::SeqNum;

use super::rate::Departure;

/// What is known of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It is under way.
    Outstanding,
    /// SACK says that it arrived.
    Sacked,
    /// It counts as lost and waits to be sent again.
    Lost,
}

/// One transmission: a range of sequence numbers that left in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The first sequence number.
    pub start: SeqNum,
    /// The one behind the last.
    pub end: SeqNum,
    /// When it was sent the last time.
    pub sent_at: Instant,
    /// How far delivery was then.
    pub departure: Departure,
    /// It was sent more than once: no round trip can be measured on it (Karn's rule).
    pub retransmitted: bool,
    /// What is known of it.
    pub mark: Mark,
    /// Sequence numbers of the largest segment in it: the MSS it was cut to, or all of it.
    pub segment: u16,
    /// The number of its last transmission.
    pub number: u32,
}

/// Segments under way, by what is known of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// All of them.
    pub all: u32,
    /// Those that SACK reported.
    pub sacked: u32,
    /// Those that count as lost.
    pub lost: u32,
    /// Those that were sent again since.
    pub retransmitted: u32,
}

impl Record {
    /// How many segments it is; a FIN at `fin` rides on the last.
    pub fn segments(&self, fin: Option<SeqNum>) -> u32 {
        segments(self.start, self.end, self.segment.into(), fin)
    }

    /// Sequence numbers in it.
    pub fn len(&self) -> u32 {
        self.end.since(self.start)
    }

    /// The last segment, if it is shorter than those before it: how many sequence numbers are before it, and its payload.
    pub fn short_tail(&self, fin: Option<SeqNum>) -> Option<(u32, u32)> {
        let data = self.len() - u32::from(fin.is_some_and(|fin| self.end == fin + 1));
        let tail = data % u32::from(self.segment).max(1);
        (0 < tail && tail < data).then_some((data - tail, tail))
    }
}

/// The largest of the segments of `mss` that `len` sequence numbers are cut to.
pub fn largest(len: u32, mss: u32) -> u16 {
    len.min(mss).min(u32::from(u16::MAX)) as u16
}

/// Segments from `start` to `end`; a FIN at `fin` rides on the last of them.
pub fn segments(start: SeqNum, end: SeqNum, mss: u32, fin: Option<SeqNum>) -> u32 {
    let last = fin.filter(|&fin| end == fin + 1).unwrap_or(end);
    last.since(start).div_ceil(mss.max(1)).max(1)
}
