//! A table of numbered things whose handles go stale when a place is used again.

use super::paged::Paged;
use super::socket::Handle;

/// Places with generations. Removing and inserting cost O(1), and nothing ever moves.
#[derive(Debug)]
pub struct Table<T> {
    slots: Paged<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { slots: Paged::new(), free: Vec::new() }
    }
}

impl<T> Table<T> {
    /// Puts a value into a free place.
    pub fn insert(&mut self, value: T) -> Handle {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, value: None });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.value = Some(value);
        Handle { index, generation: slot.generation }
    }

    /// Takes the value at `index` away; its handles are stale from now on.
    pub fn remove(&mut self, index: u32) -> Option<T> {
        let slot = self.slots.get_mut(index as usize)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        Some(value)
    }

    /// Makes `handle` stale without taking the value away.
    pub fn retire(&mut self, handle: Handle) {
        if let Some(slot) = self.slots.get_mut(handle.index as usize)
            && slot.generation == handle.generation
        {
            slot.generation = slot.generation.wrapping_add(1);
        }
    }

    /// The value that `handle` names.
    pub fn get(&self, handle: Handle) -> Option<&T> {
        self.slots
            .get(handle.index as usize)
            .filter(|slot| slot.generation == handle.generation)?
            .value
            .as_ref()
    }

    /// The value that `handle` names.
    pub fn get_mut(&mut self, handle: Handle) -> Option<&mut T> {
        self.slots
            .get_mut(handle.index as usize)
            .filter(|slot| slot.generation == handle.generation)?
            .value
            .as_mut()
    }

    /// The value at `index`, of whatever generation.
    pub fn at(&self, index: u32) -> Option<&T> {
        self.slots.get(index as usize)?.value.as_ref()
    }

    /// The value at `index`, of whatever generation.
    pub fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.value.as_mut()
    }

    /// How many places there are, taken or free.
    pub fn places(&self) -> usize {
        self.slots.len()
    }

    /// The handle of the value at `index`.
    pub fn handle(&self, index: u32) -> Option<Handle> {
        let slot = self.slots.get(index as usize).filter(|slot| slot.value.is_some())?;
        Some(Handle { index, generation: slot.generation })
    }

    /// The values with their places, in the order of places.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..)
            .zip(self.slots.iter())
            .filter_map(|(index, slot)| slot.value.as_ref().map(|value| (index, value)))
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// True without a value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_goes_stale_when_its_place_is_used_again() {
        let mut table = Table::default();
        let a = table.insert("a");
        assert_eq!((table.get(a), table.len()), (Some(&"a"), 1));
        assert_eq!(table.remove(a.index), Some("a"));
        let b = table.insert("b");
        assert_eq!(a.index, b.index);
        assert_eq!((table.get(a), table.get(b), table.handle(b.index)), (None, Some(&"b"), Some(b)));
        assert_eq!((table.remove(7), table.is_empty()), (None, false));
        table.retire(b);
        assert_eq!((table.get(b), table.at(b.index)), (None, Some(&"b")));
    }
}
