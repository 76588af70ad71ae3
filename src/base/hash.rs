//! Keyed hashing: SipHash with a random key, so that nobody outside can choose tuples that collide, nor foretell a number we
//! derive from a tuple (RFC 6056, RFC 6528). SipHash-2-4 where a secret is at stake, SipHash-1-3 for tables.

use std::hash::{BuildHasher, Hash, Hasher};

use siphasher::sip::{SipHasher13, SipHasher24};

use super::rng::Rng;

/// A 128-bit key drawn from the seeded generator.
#[derive(Clone, Copy)]
pub struct HashKey(u64, u64);

impl HashKey {
    /// Draws a key.
    pub fn new(rng: &mut Rng) -> Self {
        HashKey(rng.u64(), rng.u64())
    }

    /// SipHash-2-4 of `value`: unpredictable without the key.
    pub fn secret_hash(&self, value: &impl Hash) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.0, self.1);
        value.hash(&mut hasher);
        hasher.finish()
    }

    /// SipHash-1-3 of `bytes`, for tables.
    pub fn table_hash(&self, bytes: &[u8]) -> u64 {
        SipHasher13::new_with_keys(self.0, self.1).hash(bytes)
    }
}

/// Hash tables keyed this way cannot be flooded with chosen keys (hostile case T11).
impl BuildHasher for HashKey {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

impl std::fmt::Debug for HashKey {
    /// Never shows the key (hostile case T6: never logged).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey")
    }
}

/// A hash map with a seeded key. Nothing may iterate over it on the way to a packet: the order is the key's.
pub type HashMap<K, V> = std::collections::HashMap<K, V, HashKey>;

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    /// MUST-9: the key decides, and nothing tells it.
    #[test]
    fn different_keys_give_different_hashes_and_no_debug_output_shows_them() {
        let (a, b) = (HashKey::new(&mut Rng::from_u64(1)), HashKey::new(&mut Rng::from_u64(2)));
        assert_ne!(a.secret_hash(&1u8), b.secret_hash(&1u8));
        assert_eq!(a.secret_hash(&1u8), a.secret_hash(&1u8));
        assert_eq!(format!("{a:?}"), "HashKey");
    }

    /// Hostile case T11: what collides under one key, because somebody searched for it, is spread under another.
    #[test]
    fn values_that_collide_under_one_key_are_spread_under_another() {
        const BUCKETS: u64 = 256;
        let (known, own) = (HashKey::new(&mut Rng::from_u64(1)), HashKey::new(&mut Rng::from_u64(2)));
        let colliding = (0u32..).filter(|value| known.hash_one(value).is_multiple_of(BUCKETS)).take(1_024);
        let mut buckets = [0; BUCKETS as usize];
        colliding.for_each(|value| buckets[(own.hash_one(value) % BUCKETS) as usize] += 1);
        assert!(buckets.iter().all(|&count| count < 20), "four on average: {buckets:?}");
    }
}
