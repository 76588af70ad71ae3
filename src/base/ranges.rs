//! A set of half-open ranges of a 64-bit number line, kept sorted and merged: what arrived, what was acknowledged.

use std::collections::BTreeMap;
use std::ops::Range;

/// Disjoint, non-touching, non-empty ranges in ascending order. Every operation costs O(log n) and what it merges away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// Start to end.
    ranges: BTreeMap<u64, u64>,
}

impl RangeSet {
    /// The empty set.
    pub const fn new() -> Self {
        RangeSet { ranges: BTreeMap::new() }
    }

    /// Adds `range`, merging it with what it overlaps or touches; returns the merged range it became part of.
    pub fn insert(&mut self, range: Range<u64>) -> Range<u64> {
        if range.is_empty() {
            return range;
        }
        let Range { mut start, mut end } = range;
        while let Some((&s, &e)) = self.ranges.range(..=end).next_back() {
            if e < start {
                break;
            }
            self.ranges.remove(&s);
            start = start.min(s);
            end = end.max(e);
        }
        self.ranges.insert(start, end);
        start..end
    }

    /// Forgets everything below `bound`.
    pub fn remove_below(&mut self, bound: u64) {
        while let Some((&start, &end)) = self.ranges.first_key_value() {
            if start >= bound {
                break;
            }
            self.ranges.remove(&start);
            if end > bound {
                self.ranges.insert(bound, end);
            }
        }
    }

    /// Forgets everything at or above `bound`.
    pub fn remove_above(&mut self, bound: u64) {
        while let Some((&start, &end)) = self.ranges.last_key_value() {
            if end <= bound {
                break;
            }
            self.ranges.remove(&start);
            if start < bound {
                self.ranges.insert(start, bound);
            }
        }
    }

    /// The parts of `range` that are not in the set, in ascending order.
    pub fn gaps(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let first = self.ranges.range(..=range.start).next_back().map_or(range.start, |(&s, _)| s);
        let mut cursor = range.start;
        let mut known = self.ranges.range(first..range.end.max(first));
        std::iter::from_fn(move || {
            while cursor < range.end {
                let (gap_end, next) = match known.next() {
                    Some((&s, &e)) => (s.min(range.end), e),
                    None => (range.end, range.end),
                };
                let gap = cursor..gap_end;
                cursor = cursor.max(next);
                if !gap.is_empty() {
                    return Some(gap);
                }
            }
            None
        })
    }

    /// The first part of `range` that is in the set.
    pub fn first_overlap(&self, range: Range<u64>) -> Option<Range<u64>> {
        let at_start = self.find(range.start);
        let held = at_start.or_else(|| self.ranges.range(range.start..).next().map(|(&s, &e)| s..e))?;
        let overlap = held.start.max(range.start)..held.end.min(range.end);
        (!overlap.is_empty()).then_some(overlap)
    }

    /// True if every number of `range` is in the set.
    pub fn covers(&self, range: Range<u64>) -> bool {
        self.gaps(range).next().is_none()
    }

    /// The lowest range.
    pub fn first(&self) -> Option<Range<u64>> {
        self.ranges.first_key_value().map(|(&s, &e)| s..e)
    }

    /// The highest range.
    pub fn last(&self) -> Option<Range<u64>> {
        self.ranges.last_key_value().map(|(&s, &e)| s..e)
    }

    /// The range that holds `at`.
    pub fn find(&self, at: u64) -> Option<Range<u64>> {
        self.ranges.range(..=at).next_back().map(|(&s, &e)| s..e).filter(|range| range.contains(&at))
    }

    /// The ranges in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        self.ranges.iter().map(|(&s, &e)| s..e)
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
