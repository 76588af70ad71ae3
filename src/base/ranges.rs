//! A set of half-open ranges of a 64-bit number line, kept sorted and merged: what arrived, what was acknowledged.

use std::collections::VecDeque;
use std::ops::Range;

/// Disjoint, non-touching, non-empty ranges in ascending order. Finding costs O(log n); a change moves what lies on its shorter
/// side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// Starts and ends.
    ranges: VecDeque<(u64, u64)>,
}

impl RangeSet {
    /// The empty set.
    pub const fn new() -> Self {
        RangeSet { ranges: VecDeque::new() }
    }

    /// Adds `range`, merging it with what it overlaps or touches; returns the merged range it became part of.
    pub fn insert(&mut self, range: Range<u64>) -> Range<u64> {
        if range.is_empty() {
            return range;
        }
        let from = self.ranges.partition_point(|&(_, end)| end < range.start);
        let to = from + self.ranges.range(from..).take_while(|&&(start, _)| start <= range.end).count();
        let merged = match to - from {
            0 => (range.start, range.end),
            _ => (range.start.min(self.ranges[from].0), range.end.max(self.ranges[to - 1].1)),
        };
        if from == to {
            self.ranges.insert(from, merged);
        } else {
            self.ranges[from] = merged;
            self.ranges.drain(from + 1..to);
        }
        merged.0..merged.1
    }

    /// Forgets `range`.
    pub fn remove(&mut self, range: Range<u64>) {
        let from = self.behind(range.start);
        let to = from + self.ranges.range(from..).take_while(|&&(start, _)| start < range.end).count();
        if from == to || range.is_empty() {
            return;
        }
        let before = (self.ranges[from].0, range.start);
        let behind = (range.end, self.ranges[to - 1].1);
        self.ranges.drain(from..to);
        for (start, end) in [behind, before] {
            if start < end {
                self.ranges.insert(from, (start, end));
            }
        }
    }

    /// Forgets everything below `bound`.
    pub fn remove_below(&mut self, bound: u64) {
        while self.ranges.pop_front_if(|&mut (_, end)| end <= bound).is_some() {}
        if let Some(first) = self.ranges.front_mut() {
            first.0 = first.0.max(bound);
        }
    }

    /// Forgets everything at or above `bound`.
    pub fn remove_above(&mut self, bound: u64) {
        while self.ranges.pop_back_if(|&mut (start, _)| start >= bound).is_some() {}
        if let Some(last) = self.ranges.back_mut() {
            last.1 = last.1.min(bound);
        }
    }

    /// Forgets everything; keeps memory for `most` ranges at most.
    pub fn clear(&mut self, most: usize) {
        self.ranges.clear();
        self.ranges.shrink_to(most);
    }

    /// The parts of `range` that are not in the set, in ascending order.
    pub fn gaps(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut known = self.ranges.range(self.behind(range.start)..);
        let mut cursor = range.start;
        std::iter::from_fn(move || {
            while cursor < range.end {
                let (start, end) = known.next().copied().unwrap_or((range.end, range.end));
                let gap = cursor..start.min(range.end);
                cursor = cursor.max(end);
                if !gap.is_empty() {
                    return Some(gap);
                }
            }
            None
        })
    }

    /// The place of the first range that ends behind `at`.
    fn behind(&self, at: u64) -> usize {
        self.ranges.partition_point(|&(_, end)| end <= at)
    }

    /// The first part of `range` that is in the set.
    pub fn first_overlap(&self, range: Range<u64>) -> Option<Range<u64>> {
        let &(start, end) = self.ranges.get(self.behind(range.start))?;
        let overlap = start.max(range.start)..end.min(range.end);
        (!overlap.is_empty()).then_some(overlap)
    }

    /// True if every number of `range` is in the set.
    pub fn covers(&self, range: Range<u64>) -> bool {
        self.gaps(range).next().is_none()
    }

    /// The lowest range.
    pub fn first(&self) -> Option<Range<u64>> {
        self.ranges.front().map(|&(start, end)| start..end)
    }

    /// The highest range.
    pub fn last(&self) -> Option<Range<u64>> {
        self.ranges.back().map(|&(start, end)| start..end)
    }

    /// The range that holds `at`.
    pub fn find(&self, at: u64) -> Option<Range<u64>> {
        self.ranges.get(self.behind(at)).map(|&(start, end)| start..end).filter(|range| range.contains(&at))
    }

    /// The ranges in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        self.ranges.iter().map(|&(start, end)| start..end)
    }

    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// True without any range.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn touching_ranges_become_one() {
        let mut set = RangeSet::new();
        set.insert(0..2);
        set.insert(4..6);
        assert_eq!(set.len(), 2);
        assert_eq!(set.insert(2..4), 0..6);
        assert_eq!(set.iter().collect::<Vec<_>>(), vec![0..6]);
    }

    proptest! {
        /// Against the plainest model there is: one boolean per number.
        #[test]
        fn the_set_agrees_with_an_array_of_booleans(
            ops in prop::collection::vec((0u64..64, 0u64..12, 0u8..10), 0..40),
            probe in (0u64..64, 0u64..20),
        ) {
            let (mut set, mut model) = (RangeSet::new(), [false; 96]);
            for (start, len, what) in ops {
                match what {
                    0 => {
                        set.remove_below(start);
                        model[..start as usize].fill(false);
                    }
                    1 => {
                        set.remove_above(start + 20);
                        model[start as usize + 20..].fill(false);
                    }
                    2 | 3 => {
                        set.remove(start..start + len);
                        model[start as usize..(start + len) as usize].fill(false);
                    }
                    _ => {
                        set.insert(start..start + len);
                        model[start as usize..(start + len) as usize].fill(true);
                    }
                }
            }
            let held: Vec<u64> = set.iter().flatten().collect();
            let expected: Vec<u64> = (0..96).filter(|&i| model[i as usize]).collect();
            prop_assert_eq!(held, expected);
            let ranges: Vec<_> = set.iter().collect();
            prop_assert!(ranges.windows(2).all(|w| w[0].end < w[1].start), "merged and sorted: {:?}", ranges);
            let wanted = probe.0..probe.0 + probe.1;
            let gaps: Vec<u64> = set.gaps(wanted.clone()).flatten().collect();
            let missing: Vec<u64> = wanted.clone().filter(|&i| !model[i as usize]).collect();
            prop_assert_eq!(set.covers(wanted), missing.is_empty());
            prop_assert_eq!(gaps, missing);
            prop_assert_eq!(set.find(probe.0).is_some(), model[probe.0 as usize]);
            let range = probe.0..probe.0 + probe.1;
            let first = range.clone().find(|&i| model[i as usize]);
            let end = first.map(|first| (first..range.end).find(|&i| !model[i as usize]).unwrap_or(range.end));
            prop_assert_eq!(set.first_overlap(range), first.zip(end).map(|(first, end)| first..end));
        }
    }
}
