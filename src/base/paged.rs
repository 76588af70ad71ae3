//! A vector in pages, which grows without moving what it holds and without setting room for as many again aside.
//!
//! A million connections cost what they hold, not up to twice that, and none waits while the others are copied.

use std::ops::{Index, IndexMut};

/// Elements of a page: a table of a few sockets should not take much either.
const PAGE: usize = 256;

/// Elements numbered from zero. Nothing is ever taken out.
#[derive(Debug)]
pub struct Paged<T> {
    /// All but the last are full.
    pages: Vec<Vec<T>>,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Paged::new()
    }
}

impl<T> Paged<T> {
    /// No element.
    pub const fn new() -> Self {
        Paged { pages: Vec::new() }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.pages.last().map_or(0, |last| (self.pages.len() - 1) * PAGE + last.len())
    }

    /// True without an element.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Adds an element behind the last.
    pub fn push(&mut self, value: T) {
        match self.pages.last_mut() {
            Some(last) if last.len() < PAGE => last.push(value),
            _ => {
                let mut page = Vec::with_capacity(PAGE);
                page.push(value);
                self.pages.push(page);
            }
        }
    }

    /// Adds what `fill` makes until there are `len` elements at least.
    pub fn grow(&mut self, len: usize, mut fill: impl FnMut() -> T) {
        for _ in self.len()..len {
            self.push(fill());
        }
    }

    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.pages.get(index / PAGE)?.get(index % PAGE)
    }

    /// The element at `index`.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.pages.get_mut(index / PAGE)?.get_mut(index % PAGE)
    }

    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }

    /// The elements in order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.pages.iter_mut().flatten()
    }
}

impl<T> Index<usize> for Paged<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        &self.pages[index / PAGE][index % PAGE]
    }
}

impl<T> IndexMut<usize> for Paged<T> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut self.pages[index / PAGE][index % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_stand_in_order_across_pages_and_stay_where_they_are() {
        let mut paged = Paged::new();
        assert_eq!((paged.len(), paged.is_empty(), paged.get(0)), (0, true, None));
        paged.push(0);
        let first: *const usize = &paged[0];
        let mut next = 0;
        paged.grow(3 * PAGE + 1, || {
            next += 1;
            next
        });
        assert_eq!(first, &raw const paged[0]);
        assert_eq!((paged.len(), paged[2 * PAGE], paged.get(3 * PAGE + 1)), (3 * PAGE + 1, 2 * PAGE, None));
        assert!(paged.iter().copied().eq(0..=3 * PAGE));
        paged.iter_mut().for_each(|value| *value += 1);
        paged[PAGE] = 7;
        assert_eq!((paged[0], paged[PAGE], paged.get_mut(3 * PAGE)), (1, 7, Some(&mut (3 * PAGE + 1))));
    }
}
