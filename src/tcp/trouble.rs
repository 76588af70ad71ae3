//! What a connection keeps only once its path has lost, reordered, repeated or marked something: counters of that for `TCP_INFO`, and
//! what follows from it. It lies in a box of its own, so that a connection whose path is clean has none.

use std::ops::{Deref, DerefMut};

use crate::base::pool::{Boxes, Pool, Pooled, Recycled};

use super::mtu::BlackHole;
use super::report::Duplicates;

/// Counters since the connection was opened, and state that outlives what is under way.
#[derive(Debug)]
pub struct Trouble {
    /// Segments sent again, SYNs included.
    pub retransmitted: u32,
    /// Bytes sent again.
    pub retransmitted_bytes: u64,
    /// Segments that arrived twice at the peer, by D-SACK (RFC 2883).
    pub duplicated: u32,
    /// Retransmission timeouts.
    pub timeouts: u32,
    /// What came twice, to be reported.
    pub duplicates: Duplicates,
    /// Larger packets seem to vanish.
    pub black_hole: Option<BlackHole>,
}

impl Trouble {
    const fn none() -> Self {
        Trouble {
            retransmitted: 0,
            retransmitted_bytes: 0,
            duplicated: 0,
            timeouts: 0,
            duplicates: Duplicates::none(),
            black_hole: None,
        }
    }
}

impl Recycled for Trouble {
    fn pool() -> &'static Boxes<Self> {
        static POOL: Boxes<Trouble> = Pool::of_boxes();
        &POOL
    }

    fn fresh() -> Self {
        Trouble::none()
    }

    fn recycle(&mut self) {
        *self = Trouble::none();
    }
}

static NONE: Trouble = Trouble::none();

/// A [`Trouble`] that takes memory from its first change on.
#[derive(Debug, Default)]
pub struct Troubles(Pooled<Trouble>);

impl Troubles {
    /// What there is of it, to be changed.
    pub fn as_mut(&mut self) -> Option<&mut Trouble> {
        self.0.as_mut()
    }
}

impl Deref for Troubles {
    type Target = Trouble;

    fn deref(&self) -> &Trouble {
        self.0.as_ref().unwrap_or(&NONE)
    }
}

impl DerefMut for Troubles {
    fn deref_mut(&mut self) -> &mut Trouble {
        self.0.get_or_fresh()
    }
}
