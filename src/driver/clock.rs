//! The clock: the one place that asks what time it is. Everything below takes an [`Instant`] as an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::time::{ClockId, clock_gettime};

use crate::base::time::{Duration, Instant};

/// Where the sockets of a stack get their time from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's `CLOCK_MONOTONIC`, the clock that a timerfd can wait for.
    Monotonic,
    /// A clock that stands still until its owner moves it: a simulator's.
    Virtual(VirtualClock),
}

impl Clock {
    /// The present.
    pub fn now(&self) -> Instant {
        match self {
            Clock::Monotonic => monotonic(),
            Clock::Virtual(clock) => clock.now(),
        }
    }
}

/// Virtual time, shared by whoever holds a clone.
#[derive(Clone, Debug, Default)]
pub struct VirtualClock(Arc<AtomicU64>);

impl VirtualClock {
    /// The present.
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Acquire))
    }

    /// Moves the clock forward to `now`; a point in the past changes nothing.
    pub fn advance_to(&self, now: Instant) {
        self.0.fetch_max(now.as_nanos(), Ordering::AcqRel);
    }
}

/// The present on tokio's clock, for applications that wait on its timers: paused time drives their tests.
#[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
pub fn timer_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// The clock of the tokio runtime it is started in: the system's, or a paused one that stands still while tasks run.
#[derive(Clone, Copy, Debug)]
pub struct RuntimeClock(tokio::time::Instant);

impl RuntimeClock {
    /// A clock that begins now.
    pub fn start() -> Self {
        RuntimeClock(timer_now())
    }

    /// The time since it began.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

fn monotonic() -> Instant {
    // The call cannot fail for a clock that every Linux has; the origin is as good as any other value then.
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or((0, 0), |time| (time.tv_sec(), time.tv_nsec()));
    Instant::from_nanos(time.0 as u64 * 1_000_000_000 + time.1 as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_time_stands_until_moved_and_never_runs_backwards() {
        let hands = VirtualClock::default();
        let clock = Clock::Virtual(hands.clone());
        assert_eq!(clock.now(), Instant::ZERO);
        hands.advance_to(Instant::from_millis(5));
        hands.advance_to(Instant::from_millis(3));
        assert_eq!(clock.now(), Instant::from_millis(5));
    }

    #[test]
    fn monotonic_time_does_not_run_backwards() {
        let first = Clock::Monotonic.now();
        assert!(first > Instant::ZERO);
        assert!(Clock::Monotonic.now() >= first);
    }
}
