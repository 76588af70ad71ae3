//! What a connection keeps only once its path has lost, reordered, repeated or marked something: counters of that for `TCP_INFO`, and
//! what follows from it. It lies in a box of its own, so that a connection whose path is clean has none.

use std::ops::{Deref, DerefMut};

use crate::base::pool::{Boxes, Pool, Pooled, Recycled};
use crate::base::time::{Duration, Instant};

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
    /// Retransmission timeouts, those of SYNs left out.
    pub timeouts: u32,
    /// Runs of them: a run ends when something new is acknowledged.
    pub timeout_runs: u32,
    /// When the run began that is going on.
    timed_out_at: Option<Instant>,
    /// How long the runs took that are over.
    timeout_time: Duration,
    /// Segments of ours delivered whose acknowledgement echoed a congestion mark.
    pub delivered_marked: u32,
    /// Segments received with a congestion mark.
    pub marks_in: u32,
    /// Segments received behind a gap.
    pub out_of_order: u32,
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
            timeout_runs: 0,
            timed_out_at: None,
            timeout_time: Duration::ZERO,
            delivered_marked: 0,
            marks_in: 0,
            out_of_order: 0,
            duplicates: Duplicates::none(),
            black_hole: None,
        }
    }

    /// The retransmission timer fired.
    pub fn time_out(&mut self, now: Instant) {
        self.timeouts = self.timeouts.wrapping_add(1);
        if self.timed_out_at.is_none() {
            self.timeout_runs = self.timeout_runs.wrapping_add(1);
            self.timed_out_at = Some(now);
        }
    }

    /// Something new was acknowledged.
    pub fn answered(&mut self, now: Instant) {
        if let Some(since) = self.timed_out_at.take() {
            self.timeout_time += now.since(since);
        }
    }

    /// How long runs of timeouts took in all, with the one that is going on.
    pub fn timeout_time(&self, now: Instant) -> Duration {
        self.timeout_time + self.timed_out_at.map_or(Duration::ZERO, |since| now.since(since))
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
