//! How long the driver looks for work before it sleeps. On a host of its own a round trip is mostly two wake-ups of a halted core, tens of
//! microseconds each; who looks a little longer spares one of them. Looking is bounded, and given up for a while where it finds nothing,
//! so that a stack with little to do costs next to nothing and an idle one nothing at all. Nobody waits for the answer to what comes in
//! bulk: there a sleep gathers more packets for each turn.

use std::time::Duration;

/// After this many misses in a row no more waits are passed over: 2¹⁰.
const MOST_MISSES: u32 = 10;

/// A turn that brings more bytes than this is bulk.
const BULK: usize = 32 * 1024;

/// Decides, wait by wait, whether to look before sleeping.
#[derive(Debug)]
pub(super) struct Spin {
    /// The longest that one wait may look; zero: never.
    most: Duration,
    /// Waits in a row that looked and then slept all the same.
    misses: u32,
    /// Waits that will sleep at once.
    pass_over: u32,
    /// The last packets were bulk.
    bulk: bool,
}

impl Spin {
    pub(super) fn new(most: Duration) -> Self {
        Spin { most, misses: 0, pass_over: 0, bulk: false }
    }

    /// How long the wait that begins now may look.
    pub(super) fn begin(&mut self) -> Duration {
        if self.bulk {
            return Duration::ZERO;
        }
        if self.pass_over == 0 {
            return self.most;
        }
        self.pass_over -= 1;
        Duration::ZERO
    }

    /// A turn brought packets of so many bytes together.
    pub(super) fn brought(&mut self, bytes: usize) {
        self.bulk = bytes > BULK;
    }

    /// Looking found something.
    pub(super) fn hit(&mut self) {
        self.misses = 0;
    }

    /// Looking found nothing: after the second miss in a row 2 waits sleep at once, then 6, 14, … 1,022.
    pub(super) fn miss(&mut self) {
        self.misses = (self.misses + 1).min(MOST_MISSES);
        self.pass_over = (1 << self.misses) - 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_micros(20);

    /// Waits out of `waits` that looked, all in vain.
    fn looked(spin: &mut Spin, waits: usize) -> usize {
        let in_vain = |_: &usize| {
            let looks = !spin.begin().is_zero();
            if looks {
                spin.miss();
            }
            looks
        };
        (0..waits).filter(in_vain).count()
    }

    #[test]
    fn who_finds_something_goes_on_looking() {
        let mut spin = Spin::new(MOST);
        for _ in 0..100 {
            assert_eq!(spin.begin(), MOST);
            spin.hit();
        }
    }

    #[test]
    fn who_finds_nothing_looks_ever_less() {
        let mut spin = Spin::new(MOST);
        assert_eq!(looked(&mut spin, 2_000), 10);
        assert_eq!(looked(&mut spin, 102_300), 100);
    }

    #[test]
    fn one_hit_begins_anew() {
        let mut spin = Spin::new(MOST);
        looked(&mut spin, 10_000);
        while spin.begin().is_zero() {}
        spin.hit();
        assert_eq!((spin.begin(), spin.begin()), (MOST, MOST));
    }

    #[test]
    fn what_comes_in_bulk_is_not_looked_for() {
        let mut spin = Spin::new(MOST);
        spin.brought(BULK + 1);
        assert_eq!(spin.begin(), Duration::ZERO);
        assert_eq!(spin.begin(), Duration::ZERO, "a wait for something else tells nothing");
        spin.brought(BULK);
        assert_eq!(spin.begin(), MOST);
    }

    #[test]
    fn a_bound_of_zero_never_looks() {
        assert_eq!(looked(&mut Spin::new(Duration::ZERO), 1_000), 0);
    }
}
