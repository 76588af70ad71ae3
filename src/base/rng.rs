//! The one source of randomness: a cryptographic generator seeded with 32 bytes, so that the same seed gives the same packets.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// A seeded generator. The seed comes from the system in production and from the test in tests.
#[derive(Clone)]
pub struct Rng(ChaCha12Rng);

impl Rng {
    /// A generator whose whole output is determined by `seed`.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Rng(ChaCha12Rng::from_seed(seed))
    }

    /// A generator for tests and simulations, from a short seed.
    pub fn from_u64(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Rng::from_seed(bytes)
    }

    /// A new seed, for a generator that shall be independent of this one.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        seed
    }

    /// 32 random bits.
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in `0..bound`; zero for a bound of zero. The bias of the multiplication is below 2⁻³² for 32-bit bounds.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        // 53 bits fill a double's mantissa: uniform in [0, 1).
        ((self.u64() >> 11) as f64) * (1.0 / (1u64 << 53) as f64) < probability
    }
}

impl std::fmt::Debug for Rng {
    /// Never shows the state: secrets come from it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rng")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (mut a, mut b, mut c) = (Rng::from_u64(7), Rng::from_u64(7), Rng::from_u64(8));
        let (x, y, z): (Vec<_>, Vec<_>, Vec<_>) = (
            (0..16).map(|_| a.u64()).collect(),
            (0..16).map(|_| b.u64()).collect(),
            (0..16).map(|_| c.u64()).collect(),
        );
        assert_eq!(x, y);
        assert_ne!(x, z);
    }

    #[test]
    fn below_stays_in_bounds_and_chance_keeps_its_rate() {
        let mut rng = Rng::from_u64(1);
        assert!((0..1000).all(|_| rng.below(7) < 7));
        assert_eq!(rng.below(0), 0);
        let hits = (0..10_000).filter(|_| rng.chance(0.3)).count();
        assert!((2_800..3_200).contains(&hits), "{hits} of 10000");
        assert!(!rng.chance(0.0));
        assert!(rng.chance(1.0));
    }
}
