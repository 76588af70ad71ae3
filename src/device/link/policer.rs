//! A policer: a bucket that fills with tokens at a rate, and from which each packet takes as many as it has bytes.

use super::config::Policer;
use crate::base::time::Instant;

/// What is in the bucket, in bits times 10⁹: whole numbers at every rate and every nanosecond.
#[derive(Debug)]
pub(super) struct Bucket {
    tokens: u128,
    filled: Option<Instant>,
}

const UNIT: u128 = 1_000_000_000;

impl Bucket {
    /// Full when the first packet comes.
    pub(super) fn new() -> Self {
        Bucket { tokens: 0, filled: None }
    }

    /// True if a packet of `len` bytes is within the rate; only then it costs tokens.
    pub(super) fn passes(&mut self, policer: &Policer, len: usize, now: Instant) -> bool {
        let full = u128::from(policer.bucket) * 8 * UNIT;
        self.tokens = match self.filled {
            None => full,
            Some(filled) => full.min(self.tokens + now.since(filled).as_nanos() * u128::from(policer.rate)),
        };
        self.filled = Some(now);
        let wanted = len as u128 * 8 * UNIT;
        let passes = wanted <= self.tokens;
        if passes {
            self.tokens -= wanted;
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 8 Mbit/s are 1,000 bytes each millisecond, offered here at three times that.
    #[test]
    fn a_bucket_passes_its_depth_at_once_and_then_its_rate() {
        let policer = Policer { rate: 8_000_000, bucket: 10_000 };
        let mut bucket = Bucket::new();
        let at_once = (0..20).filter(|_| bucket.passes(&policer, 1_000, Instant::from_millis(5))).count();
        assert_eq!(at_once, 10);
        let passed =
            (1..=3_000).filter(|i| bucket.passes(&policer, 1_000, Instant::from_micros(5_000 + i * 333)));
        assert_eq!(passed.count(), 999, "in 999 ms");
    }

    #[test]
    fn a_rest_fills_no_more_than_the_bucket() {
        let policer = Policer { rate: 8_000_000, bucket: 2_000 };
        let mut bucket = Bucket::new();
        assert!(bucket.passes(&policer, 2_000, Instant::ZERO));
        assert!(!bucket.passes(&policer, 1, Instant::ZERO));
        let later = Instant::from_millis(60_000);
        assert!(!bucket.passes(&policer, 2_001, later));
        assert!(bucket.passes(&policer, 2_000, later));
    }
}
