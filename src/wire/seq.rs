//! TCP sequence numbers (RFC 9293 §3.4): a circle, so there is no `Ord`, only "before" and "after" within half of it.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A sequence number modulo 2³². Comparisons are right for numbers less than 2³¹ apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// True if `self` comes before `other`.
    pub const fn before(self, other: SeqNum) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// True if `self` comes after `other`.
    pub const fn after(self, other: SeqNum) -> bool {
        other.before(self)
    }

    /// True if `self` is `other` or comes before it.
    pub const fn at_or_before(self, other: SeqNum) -> bool {
        !other.before(self)
    }

    /// True if `self` is `other` or comes after it.
    pub const fn at_or_after(self, other: SeqNum) -> bool {
        !self.before(other)
    }

    /// The later of the two.
    pub const fn latest(self, other: SeqNum) -> SeqNum {
        if self.before(other) { other } else { self }
    }

    /// The distance from `earlier` up to here, modulo 2³².
    pub const fn since(self, earlier: SeqNum) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// The signed distance from `other` to here.
    pub const fn offset_from(self, other: SeqNum) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }
}

impl Add<u32> for SeqNum {
    type Output = SeqNum;

    fn add(self, n: u32) -> SeqNum {
        SeqNum(self.0.wrapping_add(n))
    }
}

impl AddAssign<u32> for SeqNum {
    fn add_assign(&mut self, n: u32) {
        *self = *self + n;
    }
}

impl Sub<u32> for SeqNum {
    type Output = SeqNum;

    fn sub(self, n: u32) -> SeqNum {
        SeqNum(self.0.wrapping_sub(n))
    }
}

impl fmt::Debug for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// RFC 9293 §3.4: the order holds across the wrap for any two numbers less than 2³¹ apart.
        #[test]
        fn order_holds_around_the_circle(base: u32, step in 1u32..0x8000_0000) {
            let (a, b) = (SeqNum(base), SeqNum(base) + step);
            prop_assert!(a.before(b) && b.after(a) && !b.before(a) && a.at_or_before(b) && b.at_or_after(a));
            prop_assert_eq!(b.since(a), step);
            prop_assert_eq!(a.offset_from(b), 0i32.wrapping_sub(step as i32));
            prop_assert_eq!(a.latest(b), b);
            prop_assert_eq!(b - step, a);
            prop_assert!(!a.before(a) && a.at_or_before(a));
        }
    }
}
