//! One deadline per numbered owner, the earliest first: a 4-ary heap with the position of every owner at hand.
//!
//! Setting, moving and clearing a deadline cost O(log n) of those that are armed; idle owners cost nothing. Owners re-arm
//! lazily: a deadline that only moves away is left where it is, and the early call finds nothing due and sets it anew.

use super::paged::Paged;
use super::time::Instant;

const ARITY: usize = 4;
const UNARMED: u32 = u32::MAX;
/// Up to so many deadlines no memory is given back.
const SPARE: usize = 1024;

/// The deadlines of owners numbered from zero.
#[derive(Debug, Default)]
pub struct TimerQueue {
    heap: Vec<(Instant, u32)>,
    /// Where an owner stands in `heap`.
    position: Paged<u32>,
}

impl TimerQueue {
    /// No deadline.
    pub const fn new() -> Self {
        TimerQueue { heap: Vec::new(), position: Paged::new() }
    }

    /// Sets or moves the deadline of `owner`; `None` clears it.
    pub fn set(&mut self, owner: u32, deadline: Option<Instant>) {
        let index = owner as usize;
        match (deadline, self.position.get(index).copied().unwrap_or(UNARMED)) {
            (None, UNARMED) => {}
            (None, at) => self.remove(at as usize),
            (Some(deadline), UNARMED) => {
                self.position.grow(index + 1, || UNARMED);
                self.heap.push((deadline, owner));
                self.position[index] = (self.heap.len() - 1) as u32;
                self.sift_up(self.heap.len() - 1);
            }
            (Some(deadline), at) => {
                self.heap[at as usize].0 = deadline;
                let at = self.sift_up(at as usize);
                self.sift_down(at);
            }
        }
    }

    /// The deadline of `owner`.
    pub fn get(&self, owner: u32) -> Option<Instant> {
        let at = *self.position.get(owner as usize)?;
        (at != UNARMED).then(|| self.heap[at as usize].0)
    }

    /// The earliest deadline of all.
    pub fn next(&self) -> Option<Instant> {
        self.heap.first().map(|&(deadline, _)| deadline)
    }

    /// Takes an owner whose deadline is not after `now`, and clears it.
    pub fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let &(deadline, owner) = self.heap.first()?;
        if deadline > now {
            return None;
        }
        self.remove(0);
        Some(owner)
    }

    /// How many owners have a deadline.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// True if nobody has a deadline.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    fn remove(&mut self, at: usize) {
        let (_, owner) = self.heap.swap_remove(at);
        self.position[owner as usize] = UNARMED;
        // What a burst of openings took is given back; where it halves at a quarter, each removal pays for little of that.
        if self.heap.len() >= SPARE && self.heap.len() < self.heap.capacity() / 4 {
            self.heap.shrink_to(self.heap.capacity() / 2);
        }
        if at < self.heap.len() {
            self.position[self.heap[at].1 as usize] = at as u32;
            let at = self.sift_up(at);
            self.sift_down(at);
        }
    }

    fn sift_up(&mut self, mut at: usize) -> usize {
        while at > 0 {
            let parent = (at - 1) / ARITY;
            if self.heap[parent].0 <= self.heap[at].0 {
                break;
            }
            self.swap(at, parent);
            at = parent;
        }
        at
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let children = at * ARITY + 1..(at * ARITY + 1 + ARITY).min(self.heap.len());
            let Some(least) = children.min_by_key(|&child| self.heap[child].0) else { return };
            if self.heap[at].0 <= self.heap[least].0 {
                return;
            }
            self.swap(at, least);
            at = least;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.position[self.heap[a].1 as usize] = a as u32;
        self.position[self.heap[b].1 as usize] = b as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn nothing_is_due_before_its_deadline() {
        let mut timers = TimerQueue::new();
        timers.set(3, Some(Instant::from_millis(5)));
        assert_eq!(timers.pop_due(Instant::from_millis(4)), None);
        assert_eq!(timers.next(), Some(Instant::from_millis(5)));
        assert_eq!(timers.pop_due(Instant::from_millis(5)), Some(3));
        assert_eq!((timers.next(), timers.is_empty()), (None, true));
    }

    proptest! {
        #[test]
        fn the_queue_agrees_with_a_sorted_map(ops in prop::collection::vec((0u32..20, prop::option::of(0u64..1000)), 0..200)) {
            let (mut timers, mut model) = (TimerQueue::new(), BTreeMap::new());
            for (owner, deadline) in ops {
                timers.set(owner, deadline.map(Instant::from_nanos));
                match deadline {
                    Some(deadline) => model.insert(owner, deadline),
                    None => model.remove(&owner),
                };
                prop_assert_eq!(timers.next().map(Instant::as_nanos), model.values().min().copied());
                prop_assert_eq!(timers.get(owner).map(Instant::as_nanos), model.get(&owner).copied());
            }
            let mut last = 0;
            while let Some(owner) = timers.pop_due(Instant::from_nanos(u64::MAX)) {
                let deadline = model.remove(&owner).unwrap();
                prop_assert!(deadline >= last);
                last = deadline;
            }
            prop_assert!(model.is_empty());
        }
    }
}
