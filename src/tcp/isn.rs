//! Numbers nobody outside can foretell: initial sequence numbers (RFC 6528), timestamp offsets and source ports (RFC 6056).

use crate::base::hash::HashKey;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::wire::ip::Endpoint;
use crate::wire::seq::SeqNum;

use super::segment::FourTuple;

/// The ports chosen for active opens (RFC 6335 §6: the dynamic ports).
pub const EPHEMERAL_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// The secrets of a stack, drawn once from its seed. They do not change while it lives: RFC 6528 §3 rests on the numbers of one
/// four-tuple growing with the clock, which a new key would break for connections that are remembered (TIME-WAIT here or at the
/// peer), and the same is true of timestamps and PAWS. The key has 128 bits; what can be asked of it is one number per SYN.
/// The secrets of SYN cookies, whose numbers must be forgotten, do change (`cookie.rs`).
#[derive(Clone, Debug)]
pub struct Secrets {
    isn: HashKey,
    timestamps: HashKey,
    ports: HashKey,
}

impl Secrets {
    /// Draws the secrets.
    pub fn new(rng: &mut Rng) -> Self {
        Secrets { isn: HashKey::new(rng), timestamps: HashKey::new(rng), ports: HashKey::new(rng) }
    }

    /// ISN = M + F(tuple, key) with M a clock of 4 µs ticks (RFC 6528 §3; MUST-8, MUST-9, SHLD-1).
    pub fn isn(&self, tuple: &FourTuple, now: Instant) -> SeqNum {
        SeqNum((self.isn.secret_hash(tuple) as u32).wrapping_add((now.as_micros() / 4) as u32))
    }

    /// What is added to the millisecond clock in a connection's timestamps: a hash of the whole four-tuple, so that neither
    /// uptime nor another connection's values leak (hostile case T7).
    pub fn timestamp_offset(&self, tuple: &FourTuple) -> u32 {
        self.timestamps.secret_hash(tuple) as u32
    }

    /// The ports to try for an active open, each once: a keyed start per destination, moved on by a counter
    /// (RFC 6056 §3.3.3, simple hash-based selection with a random step; hostile case T8).
    pub fn ports(
        &self,
        local: std::net::IpAddr,
        remote: Endpoint,
        counter: u32,
    ) -> impl Iterator<Item = u16> {
        let (first, last) = (u32::from(*EPHEMERAL_PORTS.start()), u32::from(*EPHEMERAL_PORTS.end()));
        let count = last - first + 1;
        let hash = self.ports.secret_hash(&(local, remote));
        let step = self.ports.secret_hash(&(local, remote, counter)) as u32;
        let start = (hash as u32).wrapping_add(step);
        (0..count).map(move |i| (first + start.wrapping_add(i) % count) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Duration;
    use std::collections::BTreeSet;

    fn tuple(port: u16) -> FourTuple {
        FourTuple {
            local: Endpoint::new([10, 0, 0, 2].into(), port),
            remote: Endpoint::new([10, 0, 0, 1].into(), 80),
        }
    }

    /// RFC 6528 §3 (SHLD-1, MUST-8, MUST-9), hostile case T6: one tuple's numbers follow the clock, another tuple's tell nothing about them.
    #[test]
    fn sequence_numbers_follow_the_clock_and_differ_by_tuple() {
        let secrets = Secrets::new(&mut Rng::from_u64(1));
        let now = Instant::from_millis(5);
        let isn = secrets.isn(&tuple(1), now);
        assert_eq!(secrets.isn(&tuple(1), now + Duration::from_secs(1)).since(isn), 250_000);
        let others: BTreeSet<_> = (0..1000).map(|port| secrets.isn(&tuple(port), now).0).collect();
        assert_eq!(others.len(), 1000);
        assert_ne!(Secrets::new(&mut Rng::from_u64(2)).isn(&tuple(1), now), isn);
        assert_ne!(secrets.timestamp_offset(&tuple(1)), secrets.timestamp_offset(&tuple(2)));
    }

    /// Whether the values fill 64 ranges of the 32-bit space alike: as far from their share as chance takes 10,000 values.
    fn spread_evenly(values: &[u32]) -> bool {
        let mut buckets = [0; 64];
        values.iter().for_each(|value| buckets[(value >> 26) as usize] += 1);
        let share = values.len() / 64;
        buckets.iter().all(|&count: &usize| count.abs_diff(share) < share / 2)
    }

    /// RFC 6528 §3, hostile case T6: of 10,000 numbers those of one tuple follow the clock and nothing else; those of different
    /// tuples, as a scanner collects them, and the steps from one to the next are spread over the whole space, with no step twice
    /// as often as chance would have it.
    #[test]
    fn ten_thousand_sequence_numbers_give_nothing_to_predict() {
        let secrets = Secrets::new(&mut Rng::from_u64(1));
        let at = |n: u64| Instant::from_millis(5) + Duration::from_micros(1_000 * n);
        let first = secrets.isn(&tuple(1), at(0));
        assert!((0..10_000).all(|n| secrets.isn(&tuple(1), at(n)).since(first) == 250 * n as u32));
        let remotes = |n: u32| FourTuple {
            remote: Endpoint::new([10, 0, (n >> 8) as u8, n as u8].into(), 5_000),
            ..tuple(80)
        };
        let ports = |n: u32| tuple(n as u16);
        for tuples in [&remotes as &dyn Fn(u32) -> FourTuple, &ports] {
            let isns: Vec<u32> = (0..10_000).map(|n| secrets.isn(&tuples(n), at(u64::from(n))).0).collect();
            let steps: Vec<u32> = isns.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
            assert!(spread_evenly(&isns) && spread_evenly(&steps));
            // Of 10,000 draws from 2³² about 0.01 pairs are equal.
            assert!(steps.iter().collect::<BTreeSet<_>>().len() >= 9_997);
            let bits = (0..32).map(|bit| steps.iter().filter(|&step| step >> bit & 1 == 1).count());
            assert!(bits.into_iter().all(|count| (4_700..5_300).contains(&count)));
        }
    }

    /// RFC 6056 §3, hostile case T8: every port of the range is tried once, and consecutive opens do not walk by one.
    #[test]
    fn source_ports_cover_the_range_and_do_not_walk() {
        let secrets = Secrets::new(&mut Rng::from_u64(1));
        let remote = tuple(1).remote;
        let all: BTreeSet<_> = secrets.ports(tuple(1).local.addr, remote, 0).collect();
        assert_eq!((all.len(), all.first(), all.last()), (16_384, Some(&49_152), Some(&65_535)));
        let firsts: Vec<_> =
            (0..100).filter_map(|n| secrets.ports(tuple(1).local.addr, remote, n).next()).collect();
        let steps = firsts.windows(2).filter(|w| w[0].abs_diff(w[1]) <= 1).count();
        assert!(steps < 5, "{firsts:?}");
    }
}
