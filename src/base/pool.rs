//! What is in use only while packets are under way (records of a flight, queues of chunks) comes and goes with every one of them.
//! Here it waits for who needs it next, so that neither takes an allocation, and a connection at rest holds nothing.
//!
//! A pool is an allocator, not state: it is shared by all stacks of the process, bounded, and whatever comes out of it is as good as new.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Boxes of one kind that wait, at most.
const MOST: usize = 1_024;

/// Things that wait to be used again, the last first: it is still in the processor's cache.
#[derive(Debug)]
pub struct Pool<T> {
    free: Mutex<Vec<T>>,
    most: usize,
}

impl<T> Pool<T> {
    /// An empty pool that will keep `most`.
    pub const fn new(most: usize) -> Self {
        Pool { free: Mutex::new(Vec::new()), most }
    }

    /// One that waits.
    pub fn take(&self) -> Option<T> {
        self.lock().pop()
    }

    /// Keeps `used`, or drops it where enough wait.
    pub fn give_back(&self, used: T) {
        let mut free = self.lock();
        if free.len() < self.most {
            free.push(used);
        } else {
            // What it drops may be pooled itself.
            drop(free);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pool of boxes.
pub type Boxes<T> = Pool<Box<T>>;

impl<T> Boxes<T> {
    /// An empty pool of boxes, bounded.
    pub const fn of_boxes() -> Self {
        Pool::new(MOST)
    }
}

/// What comes in pooled boxes.
pub trait Recycled: Sized + 'static {
    /// Where those that nobody uses wait.
    fn pool() -> &'static Boxes<Self>;

    /// A new one.
    fn fresh() -> Self;

    /// Makes it as good as new. Memory of its own may stay, within a bound.
    fn recycle(&mut self);
}

/// Nothing, or a value in a pooled box: one word. The box goes back when the value is let go of or this is dropped.
#[derive(Debug)]
pub struct Pooled<T: Recycled>(Option<Box<T>>);

impl<T: Recycled> Pooled<T> {
    /// Nothing.
    pub const fn none() -> Self {
        Pooled(None)
    }

    /// The value, if there is one.
    pub fn as_ref(&self) -> Option<&T> {
        self.0.as_deref()
    }

    /// The value, if there is one.
    pub fn as_mut(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }

    /// True with a value.
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// True without.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// The value; a fresh one if there was none.
    pub fn get_or_fresh(&mut self) -> &mut T {
        self.0.get_or_insert_with(|| T::pool().take().unwrap_or_else(|| Box::new(T::fresh())))
    }

    /// Lets go of the value.
    pub fn clear(&mut self) {
        if let Some(mut value) = self.0.take() {
            value.recycle();
            T::pool().give_back(value);
        }
    }

    /// Lets go of the value if `over` says so.
    pub fn clear_if(&mut self, over: impl FnOnce(&T) -> bool) {
        if self.as_ref().is_some_and(over) {
            self.clear();
        }
    }
}

impl<T: Recycled> Default for Pooled<T> {
    fn default() -> Self {
        Pooled::none()
    }
}

impl<T: Recycled> Drop for Pooled<T> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Notes(Vec<u8>);

    impl Recycled for Notes {
        fn pool() -> &'static Boxes<Self> {
            static POOL: Boxes<Notes> = Pool::of_boxes();
            &POOL
        }

        fn fresh() -> Self {
            Notes::default()
        }

        fn recycle(&mut self) {
            self.0.clear();
        }
    }

    #[test]
    fn a_box_is_used_again_and_as_good_as_new() {
        let mut first = Pooled::<Notes>::none();
        assert!(first.is_none() && first.as_ref().is_none());
        first.get_or_fresh().0.extend([1; 100]);
        let at = std::ptr::from_ref(first.get_or_fresh());
        first.clear_if(|notes| notes.0.is_empty());
        assert!(first.is_some());
        first.clear_if(|notes| !notes.0.is_empty());
        let mut second = Pooled::<Notes>::none();
        let notes = second.get_or_fresh();
        assert!(std::ptr::eq(at, notes) && notes.0.is_empty() && notes.0.capacity() >= 100);
        drop(second);
        assert!(std::ptr::eq(at, first.get_or_fresh()), "dropping gives back, too");
    }

    #[test]
    fn a_pool_keeps_no_more_than_its_bound() {
        let pool = Pool::new(2);
        (0..3).for_each(|used| pool.give_back(used));
        assert_eq!((pool.take(), pool.take(), pool.take()), (Some(1), Some(0), None));
    }
}
