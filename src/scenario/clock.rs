//! When events are due: absolute and relative times, and how far a time may be off.

use super::host::{START, at};
use super::script::{Clock, When};
use super::verdict::Stop;
use crate::base::time::{Duration, Instant};

/// How far a time may be off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    /// At least this.
    pub floor: Duration,
    /// Or so many percent of the time since the previous event.
    pub percent: f64,
}

impl Tolerance {
    /// The tolerance of a time that lies `distance` behind what it counts from.
    pub(super) fn of(self, distance: Duration) -> Duration {
        self.floor.max(distance.mul_f64(self.percent / 100.0))
    }
}

/// An event's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// First and last instant; `None` for `*`.
    pub range: Option<(Instant, Instant)>,
    /// How far off they may be.
    pub tolerance: Duration,
    /// What `+t` counted from.
    pub base: Instant,
}

impl Due {
    /// The scheduled time; `now` for `*`.
    pub(super) fn scheduled(&self, now: Instant) -> Instant {
        self.range.map_or(now, |(start, _)| start)
    }

    /// Behind this nothing can be in time any more.
    pub(super) fn latest(&self) -> Option<Instant> {
        self.range.map(|(_, end)| end + self.tolerance)
    }

    /// How a stamp misses this time.
    pub(super) fn miss(&self, stamp: Instant) -> Option<&'static str> {
        let (start, end) = self.range?;
        if stamp + self.tolerance < start {
            Some("too early")
        } else if stamp > end + self.tolerance {
            Some("too late")
        } else {
            None
        }
    }
}

/// Goes through the times of a script.
#[derive(Debug)]
pub(super) struct Timeline {
    tolerance: Tolerance,
    /// The previous event's scheduled time; `None` before the first.
    previous: Option<Instant>,
    /// That of the previous event, if it was a packet in.
    inbound: Option<Instant>,
    absolute: Instant,
}

impl Timeline {
    pub(super) fn new(tolerance: Tolerance) -> Self {
        Timeline { tolerance, previous: None, inbound: None, absolute: START }
    }

    pub(super) fn tolerance(&self) -> Tolerance {
        self.tolerance
    }

    /// The time of the next event; `inbound` says that it is a packet in, `outbound` that it is one out.
    ///
    /// # Errors
    /// Times that cannot be: a first one other than zero, absolute ones that go back, ranges of anything but packets out.
    pub(super) fn due(
        &mut self,
        when: When,
        now: Instant,
        inbound: bool,
        outbound: bool,
    ) -> Result<Due, Stop> {
        // Packets in a row count from the first one's time, not from when the clock was looked at.
        let base = self.inbound.filter(|_| inbound).unwrap_or(now);
        let (start, end) = match when {
            When::At(_, Some(_)) | When::Any if !outbound => {
                return Err(Stop::fail("`*` and `a~b` are times of packets out only"));
            }
            When::Any => return Ok(Due { range: None, tolerance: Duration::ZERO, base }),
            When::At(start, end) => (start, end.unwrap_or(start)),
        };
        let resolved = (resolve(start, base), resolve(end, base));
        if self.previous.is_none() && resolved.0 != START {
            return Err(Stop::fail("the first event's time must be 0"));
        }
        if let Clock::Absolute(_) = start {
            if resolved.0 < self.absolute {
                return Err(Stop::fail("absolute times must not go back"));
            }
            self.absolute = resolved.0;
        }
        if resolved.1 < resolved.0 {
            return Err(Stop::fail("the range of times ends before it begins"));
        }
        let distance = resolved.0.since(self.previous.unwrap_or(START));
        Ok(Due { range: Some(resolved), tolerance: self.tolerance.of(distance), base })
    }

    /// The event is done with.
    pub(super) fn done(&mut self, due: &Due, now: Instant, inbound: bool) {
        let scheduled = due.scheduled(now);
        self.previous = Some(scheduled);
        self.inbound = inbound.then_some(scheduled);
    }
}

/// A written time as an instant.
pub(super) fn resolve(clock: Clock, base: Instant) -> Instant {
    match clock {
        Clock::Absolute(since) => at(since),
        Clock::Relative(after) => base + after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn timeline() -> Timeline {
        Timeline::new(Tolerance { floor: MS(4), percent: 12.5 })
    }

    fn relative(ms: u64) -> When {
        When::At(Clock::Relative(MS(ms)), None)
    }

    fn absolute(ms: u64) -> When {
        When::At(Clock::Absolute(MS(ms)), None)
    }

    /// Relative times count from the clock, but those of packets in a row from the first one's.
    #[test]
    fn packets_in_a_row_count_from_the_firsts_time() {
        let mut line = timeline();
        let first = line.due(absolute(0), START, true, false).unwrap();
        line.done(&first, START, true);
        let second = line.due(relative(10), START + MS(3), true, false).unwrap();
        assert_eq!(second.range, Some((START + MS(10), START + MS(10))));
        line.done(&second, START + MS(10), true);
        let out = line.due(relative(10), START + MS(12), false, true).unwrap();
        assert_eq!(out.range, Some((START + MS(22), START + MS(22))));
    }

    /// The tolerance grows with the distance to the previous event.
    #[test]
    fn the_tolerance_is_a_share_of_the_time_since_the_previous_event() {
        let mut line = timeline();
        let first = line.due(absolute(0), START, false, false).unwrap();
        line.done(&first, START, false);
        let due = line.due(absolute(800), START, false, true).unwrap();
        assert_eq!((due.tolerance, due.latest()), (MS(100), Some(START + MS(900))));
        assert_eq!(due.miss(START + MS(699)), Some("too early"));
        assert_eq!(due.miss(START + MS(700)), None);
        assert_eq!(due.miss(START + MS(901)), Some("too late"));
        assert_eq!(line.due(absolute(1), START, false, true).unwrap_err().into_verdict().name(), "FAIL");
    }

    #[test]
    fn times_that_cannot_be_are_refused() {
        assert!(timeline().due(absolute(1), START, false, true).is_err(), "the first is 0");
        assert!(timeline().due(When::Any, START, true, false).is_err(), "`*` of a packet in");
        let mut line = timeline();
        let first = line.due(absolute(0), START, false, false).unwrap();
        line.done(&first, START, false);
        let range = When::At(Clock::Absolute(MS(1)), Some(Clock::Absolute(MS(2))));
        assert!(line.due(range, START, false, false).is_err(), "a range of a call");
    }
}
