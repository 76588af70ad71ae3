//! The rate limit of ICMP errors (RFC 1812 §4.3.2.8, RFC 4443 §2.4 f): a small token bucket per destination.
//!
//! There is no bucket that all destinations share: its emptiness could be read off by one who probes with another's address
//! (hostile case P12). Destinations meet in a bucket only by a keyed hash, and the size of a bucket is drawn anew whenever it
//! fills up, so that even its owner cannot count on it. The number of buckets bounds the whole.

use std::net::IpAddr;

use crate::base::hash::HashKey;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};

/// Buckets; with [`INTERVAL`] they bound the errors of a stack to 2,560 a second.
const BUCKETS: usize = 256;
/// The time in which a bucket gains a token.
pub const INTERVAL: Duration = Duration::from_millis(100);
/// The most that a bucket holds, and the least it holds when full.
const BURST: std::ops::RangeInclusive<u64> = 6..=10;

#[derive(Clone, Copy)]
struct Bucket {
    tokens: u64,
    /// When the bucket last gained a token.
    filled: Instant,
}

/// One bucket of tokens per destination.
pub struct RateLimit {
    key: HashKey,
    rng: Rng,
    buckets: Box<[Bucket]>,
}

impl std::fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RateLimit")
    }
}

impl RateLimit {
    /// Full buckets.
    pub fn new(rng: &mut Rng) -> Self {
        let (key, mut rng) = (HashKey::new(rng), Rng::from_seed(rng.seed()));
        let full = |_| Bucket { tokens: draw(&mut rng), filled: Instant::ZERO };
        RateLimit { buckets: (0..BUCKETS).map(full).collect(), key, rng }
    }

    /// True if an error may go to `dst` now; takes its token.
    pub fn allow(&mut self, dst: IpAddr, now: Instant) -> bool {
        let bucket = &mut self.buckets[(self.key.secret_hash(&network(dst)) as usize) % BUCKETS];
        let gained = (now.since(bucket.filled).as_nanos() / INTERVAL.as_nanos()) as u64;
        if gained > 0 {
            bucket.tokens = (bucket.tokens + gained).min(draw(&mut self.rng));
            bucket.filled = now;
        }
        let allowed = bucket.tokens > 0;
        bucket.tokens = bucket.tokens.saturating_sub(1);
        allowed
    }
}

fn draw(rng: &mut Rng) -> u64 {
    BURST.start() + rng.below(BURST.end() - BURST.start() + 1)
}

/// An IPv6 host owns all of its /64: it counts as one destination.
fn network(dst: IpAddr) -> u128 {
    match dst {
        IpAddr::V4(dst) => u128::from(dst.to_bits()),
        IpAddr::V6(dst) => dst.to_bits() >> 64 | 1 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burst(limit: &mut RateLimit, dst: IpAddr, now: Instant) -> usize {
        (0..1_000).filter(|_| limit.allow(dst, now)).count()
    }

    /// Hostile case P12: a thousand errors to spoofed addresses leave the others' budgets alone, and bursts vary.
    #[test]
    fn an_exhausted_budget_cannot_be_read_by_others() {
        let mut limit = RateLimit::new(&mut Rng::from_u64(1));
        let victim = IpAddr::from([10, 0, 0, 1]);
        assert!((6..=10).contains(&burst(&mut limit, victim, Instant::ZERO)));
        let free = (1..=100u8).filter(|&i| limit.allow(IpAddr::from([10, 0, 1, i]), Instant::ZERO)).count();
        assert!(free >= 95, "{free} of 100 others were served");
        let bursts: Vec<_> =
            (1..50).map(|i| burst(&mut limit, victim, Instant::from_millis(i * 5_000))).collect();
        assert!(bursts.iter().all(|n| (6..=10).contains(n)));
        assert!(bursts.windows(2).any(|w| w[0] != w[1]), "jittered: {bursts:?}");
    }

    #[test]
    fn a_bucket_gains_a_token_per_interval() {
        let mut limit = RateLimit::new(&mut Rng::from_u64(1));
        let dst = "fd77::1".parse().unwrap();
        burst(&mut limit, dst, Instant::ZERO);
        assert_eq!(burst(&mut limit, dst, Instant::from_millis(99)), 0);
        let neighbour = "fd77::2".parse().unwrap();
        assert_eq!(burst(&mut limit, neighbour, Instant::from_millis(100)), 1, "the same /64");
    }
}
