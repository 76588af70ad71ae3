//! What a link counts.

use super::Fate;

/// What a link did so far, in packets but for `bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Handed to the link.
    pub packets: u64,
    /// Bytes of them, IP headers included.
    pub bytes: u64,
    /// Copies that arrive.
    pub delivered: u64,
    /// Lost by a draw, in a burst or alone.
    pub lost: u64,
    /// Taken out by a filter.
    pub filtered: u64,
    /// Dropped because they exceeded the policer's rate.
    pub policed: u64,
    /// Dropped because the queue was full.
    pub queue_full: u64,
    /// Dropped by CoDel.
    pub queue_long: u64,
    /// Dropped because they exceed the MTU.
    pub too_big: u64,
    /// Marked by CoDel.
    pub marked: u64,
    /// Second copies.
    pub duplicated: u64,
    /// Held back.
    pub reordered: u64,
    /// Changed.
    pub corrupted: u64,
}

impl LinkCounters {
    /// Every counter by its name, stable for scripts.
    pub fn named(&self) -> [(&'static str, u64); 13] {
        [
            ("packets", self.packets),
            ("bytes", self.bytes),
            ("delivered", self.delivered),
            ("lost", self.lost),
            ("filtered", self.filtered),
            ("policed", self.policed),
            ("queue_full", self.queue_full),
            ("queue_long", self.queue_long),
            ("too_big", self.too_big),
            ("marked", self.marked),
            ("duplicated", self.duplicated),
            ("reordered", self.reordered),
            ("corrupted", self.corrupted),
        ]
    }

    pub(super) fn count(&mut self, fate: Fate) {
        *match fate {
            Fate::Arrives(_) => &mut self.delivered,
            Fate::Lost => &mut self.lost,
            Fate::Filtered => &mut self.filtered,
            Fate::Policed => &mut self.policed,
            Fate::QueueFull => &mut self.queue_full,
            Fate::QueueLong => &mut self.queue_long,
            Fate::TooBig => &mut self.too_big,
        } += 1;
    }
}
