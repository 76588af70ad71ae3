//! Demultiplexing: which connection, half-open entry or TIME-WAIT record a segment's addresses and ports belong to.
//!
//! A hash table of eight bytes a place, 32 bits of the keyed hash and the owner, in which a search reads one cache line as a rule. The
//! addresses and ports themselves stand with the owner, who is looked at next anyway; whoever searches compares there. It does
//! not know its owners.

use std::net::IpAddr;

use crate::base::hash::HashKey;
use crate::base::rng::Rng;

use super::segment::FourTuple;

/// Who a segment is for, by its place in the table of its kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// A connection.
    Connection(u32),
    /// A half-open entry.
    HalfOpen(u32),
    /// A TIME-WAIT record.
    TimeWait(u32),
}

/// The kind in the upper two bits, the place below. No table has 2³⁰ places: that is 500 GB of connections.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Packed(u32);

const PLACE: u32 = (1 << 30) - 1;

/// A place of the table. The hash says where its search begins; the upper bits do, so that a larger table is filled in order.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Slot {
    hash: u32,
    owner: Packed,
}

const FREE: Slot = Slot { hash: 0, owner: Packed(u32::MAX) };

/// Places of the smallest table.
const FEWEST: usize = 64;

/// Owners by the hash of their addresses and ports: linear probing, at most seven eighths full.
pub struct Owners {
    key: HashKey,
    /// A power of two of them, or none.
    slots: Vec<Slot>,
    len: usize,
}

impl From<Owner> for Packed {
    fn from(owner: Owner) -> Self {
        let (kind, place) = match owner {
            Owner::Connection(place) => (0, place),
            Owner::HalfOpen(place) => (1, place),
            Owner::TimeWait(place) => (2, place),
        };
        debug_assert!(place <= PLACE);
        Packed(kind << 30 | place & PLACE)
    }
}

impl From<Packed> for Owner {
    fn from(packed: Packed) -> Self {
        let place = packed.0 & PLACE;
        match packed.0 >> 30 {
            0 => Owner::Connection(place),
            1 => Owner::HalfOpen(place),
            _ => Owner::TimeWait(place),
        }
    }
}

impl Owners {
    /// No owner; the key is drawn from `rng`.
    pub fn new(rng: &mut Rng) -> Self {
        Owners { key: HashKey::new(rng), slots: Vec::new(), len: 0 }
    }

    /// How many owners there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without an owner.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The owner of `tuple`, of which `owns` tells.
    pub fn find(&self, tuple: &FourTuple, owns: impl Fn(Owner) -> bool) -> Option<Owner> {
        let at = self.position(self.hash(tuple), |packed| owns(packed.into()))?;
        Some(self.slots[at].owner.into())
    }

    /// True if `tuple` is known to belong to `owner`.
    pub fn has(&self, tuple: &FourTuple, owner: Owner) -> bool {
        let wanted = Packed::from(owner);
        self.position(self.hash(tuple), |known| known == wanted).is_some()
    }

    /// `tuple`, which nobody owns yet, belongs to `owner`.
    pub fn insert(&mut self, tuple: &FourTuple, owner: Owner) {
        if (self.len + 1) * 8 > self.slots.len() * 7 {
            self.grow();
        }
        self.place(Slot { hash: self.hash(tuple), owner: owner.into() });
        self.len += 1;
    }

    /// `tuple` belongs to nobody, if it was `owner`'s.
    pub fn remove(&mut self, tuple: &FourTuple, owner: Owner) {
        let wanted = Packed::from(owner);
        let Some(at) = self.position(self.hash(tuple), |known| known == wanted) else { return };
        self.vacate(at);
        self.len -= 1;
    }

    /// Reads the place where a search for this hash begins.
    pub fn touch(&self, hash: u32) -> u32 {
        self.slots.get(self.home(hash)).map_or(0, |slot| slot.hash)
    }

    /// The first owner that has this hash: the right one but for one time in four billion.
    pub fn likely(&self, hash: u32) -> Option<Owner> {
        self.position(hash, |_| true).map(|at| self.slots[at].owner.into())
    }

    /// Where a slot of this hash stands that `is` right.
    fn position(&self, hash: u32, is: impl Fn(Packed) -> bool) -> Option<usize> {
        let mut at = self.home(hash);
        loop {
            // An empty table has no slot to begin with; no other is full, so the search ends.
            let slot = *self.slots.get(at)?;
            if slot == FREE {
                return None;
            }
            if slot.hash == hash && is(slot.owner) {
                return Some(at);
            }
            at = self.behind(at);
        }
    }

    fn place(&mut self, slot: Slot) {
        let mut at = self.home(slot.hash);
        while self.slots[at] != FREE {
            at = self.behind(at);
        }
        self.slots[at] = slot;
    }

    /// Frees a slot. Those behind it that would be searched for from here or earlier move up.
    fn vacate(&mut self, mut hole: usize) {
        let mask = self.slots.len() - 1;
        let mut at = self.behind(hole);
        while self.slots[at] != FREE {
            let home = self.home(self.slots[at].hash);
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
            at = self.behind(at);
        }
        self.slots[hole] = FREE;
    }

    fn grow(&mut self) {
        let places = (self.slots.len() * 2).max(FEWEST);
        let old = std::mem::replace(&mut self.slots, vec![FREE; places]);
        old.into_iter().filter(|&slot| slot != FREE).for_each(|slot| self.place(slot));
    }

    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.slots.len() as u64) >> 32) as usize
    }

    fn behind(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    /// 32 bits of the keyed hash of what tells connections apart, in one piece: its length says which IP version.
    pub fn hash(&self, tuple: &FourTuple) -> u32 {
        let mut bytes = [0; 36];
        let ports = [tuple.local.port.to_be_bytes(), tuple.remote.port.to_be_bytes()];
        let len = match (tuple.local.addr, tuple.remote.addr) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                bytes[4..8].copy_from_slice(&local.octets());
                bytes[8..12].copy_from_slice(&remote.octets());
                12
            }
            (local, remote) => {
                for (at, addr) in [(4, local), (20, remote)] {
                    let octets = match addr {
                        IpAddr::V4(addr) => addr.to_ipv6_mapped().octets(),
                        IpAddr::V6(addr) => addr.octets(),
                    };
                    bytes[at..at + 16].copy_from_slice(&octets);
                }
                36
            }
        };
        bytes[..4].copy_from_slice(ports.as_flattened());
        (self.key.table_hash(&bytes[..len]) >> 32) as u32
    }
}

impl std::fmt::Debug for Owners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Owners({} in {} places)", self.len, self.slots.len())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::*;
    use crate::wire::ip::Endpoint;

    fn tuple(number: u32) -> FourTuple {
        let local = Endpoint::new([10, 77, 0, 2].into(), 7);
        let addr = if number.is_multiple_of(3) {
            [0xfd77, 0, 0, 0, 0, 0, 0, (number >> 16) as u16].into()
        } else {
            [10, 77, 1, (number >> 16) as u8].into()
        };
        FourTuple { local, remote: Endpoint::new(addr, number as u16) }
    }

    fn owner(number: u32) -> Owner {
        match number % 4 {
            0 => Owner::HalfOpen(number),
            1 => Owner::TimeWait(number),
            _ => Owner::Connection(number),
        }
    }

    fn number(owner: Owner) -> u32 {
        let (Owner::Connection(place) | Owner::HalfOpen(place) | Owner::TimeWait(place)) = owner;
        place
    }

    fn find(owners: &Owners, wanted: u32) -> Option<Owner> {
        owners.find(&tuple(wanted), |owner| tuple(number(owner)) == tuple(wanted))
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_a_map(ops in prop::collection::vec((any::<bool>(), 0u32..300), 0..1000)) {
            let (mut owners, mut model) = (Owners::new(&mut Rng::from_u64(1)), HashMap::new());
            for (add, which) in ops {
                if add && model.insert(which, owner(which)).is_none() {
                    owners.insert(&tuple(which), owner(which));
                } else if !add {
                    model.remove(&which);
                    owners.remove(&tuple(which), owner(which));
                }
                prop_assert_eq!(owners.len(), model.len());
            }
            for which in 0..300 {
                prop_assert_eq!(find(&owners, which), model.get(&which).copied());
                prop_assert_eq!(owners.has(&tuple(which), owner(which)), model.contains_key(&which));
            }
        }
    }

    /// Tuples may share all 32 bits of the hash: whoever searches is asked for each.
    #[test]
    fn owners_of_one_hash_are_told_apart() {
        let mut owners = Owners::new(&mut Rng::from_u64(1));
        let (one, other) = (Owner::Connection(1), Owner::Connection(2));
        [one, other].iter().for_each(|&owner| owners.insert(&tuple(1), owner));
        for owner in [one, other] {
            assert_eq!(owners.find(&tuple(1), |known| known == owner), Some(owner));
        }
        assert_eq!(owners.find(&tuple(1), |_| false), None);
        owners.remove(&tuple(1), other);
        assert!(owners.has(&tuple(1), one) && !owners.has(&tuple(1), other));
    }

    /// The cost of a search does not grow with the table: so many places are read on average, whatever its size.
    #[test]
    fn a_search_reads_as_many_places_of_a_large_table_as_of_a_small_one() {
        let mut owners = Owners::new(&mut Rng::from_u64(1));
        let mut held = 0;
        for wanted in [56, 7_168, 57_344, 114_688] {
            (held..wanted).for_each(|next| owners.insert(&tuple(next), owner(next)));
            held = wanted;
            let places = owners.slots.len();
            assert_eq!(places * 7 / 8, wanted as usize, "as full as it gets");
            let read = |which| {
                let hash = owners.hash(&tuple(which));
                let at = owners.position(hash, |packed| number(packed.into()) == which).unwrap();
                1 + (at + places - owners.home(hash)) % places
            };
            let mean = (0..held).map(read).sum::<usize>() as f64 / f64::from(held);
            // Knuth: (1 + 1/(1-α))/2 for linear probing that is α full, here 4.5; eight places are a cache line.
            assert!(mean < 6.0, "{mean} places on average with {held} owners");
        }
    }

    /// 131,072 places of eight bytes for 100,000 owners.
    #[test]
    fn an_owner_takes_less_than_20_bytes() {
        assert_eq!((size_of::<Slot>(), FEWEST * 7 / 8), (8, 56));
    }
}
