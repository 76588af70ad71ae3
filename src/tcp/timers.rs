//! The deadlines of one connection, as one small table; its minimum is the connection's node in the stack's timer queue.

use crate::base::time::Instant;

/// What a connection waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timer {
    /// The tail loss probe (RFC 8985 §7). Before the next: due at the same time it takes its place.
    TailProbe,
    /// What may only have been overtaken is lost by then (RFC 8985 §6.2 step 5).
    Reordering,
    /// The next transmission may leave, where the algorithm paces.
    Pace,
    /// Retransmission (RFC 6298), of SYN and SYN-ACK too.
    Retransmit,
    /// Zero-window probe, and the override of the sender's silly-window avoidance (RFC 9293 §3.8.6).
    Probe,
    /// A withheld acknowledgement (RFC 9293 §3.8.6.3).
    DelayedAck,
    /// How long closing may wait for the peer: a close that lingers its own time; an orphan in FIN-WAIT-2, or without progress.
    Orphan,
    /// The next look at a connection that may have died in silence (RFC 9293 §3.8.4).
    KeepAlive,
}

const TIMERS: [Timer; 8] = [
    Timer::TailProbe,
    Timer::Reordering,
    Timer::Pace,
    Timer::Retransmit,
    Timer::Probe,
    Timer::DelayedAck,
    Timer::Orphan,
    Timer::KeepAlive,
];
const UNARMED: Instant = Instant::from_nanos(u64::MAX);

/// When each of `N` timers is due, [`TIMERS`] from `FIRST` on.
#[derive(Clone, Debug)]
pub struct Deadlines<const FIRST: usize, const N: usize>([Instant; N]);

/// The timers of what is under way; they go with it.
pub type FlightDeadlines = Deadlines<0, 3>;
/// The timers of the connection as a whole.
pub type ConnectionDeadlines = Deadlines<3, 5>;

impl<const FIRST: usize, const N: usize> Deadlines<FIRST, N> {
    /// None is armed.
    pub const fn new() -> Self {
        Deadlines([UNARMED; N])
    }

    /// Arms a timer, or moves it.
    pub fn set(&mut self, timer: Timer, deadline: Instant) {
        self.0[timer as usize - FIRST] = deadline;
    }

    /// Disarms a timer.
    pub fn clear(&mut self, timer: Timer) {
        self.set(timer, UNARMED);
    }

    /// When `timer` is due.
    pub fn get(&self, timer: Timer) -> Option<Instant> {
        Some(self.0[timer as usize - FIRST]).filter(|&deadline| deadline != UNARMED)
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.0.iter().min().copied().filter(|&deadline| deadline != UNARMED)
    }

    /// Takes a timer that is due, and disarms it.
    pub fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let index = self.0.iter().position(|&deadline| deadline <= now)?;
        self.0[index] = UNARMED;
        Some(TIMERS[FIRST + index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_deadline_is_next_and_due_timers_are_taken_once() {
        let mut deadlines = ConnectionDeadlines::new();
        assert_eq!(deadlines.next(), None);
        deadlines.set(Timer::DelayedAck, Instant::from_millis(40));
        deadlines.set(Timer::Retransmit, Instant::from_millis(200));
        assert_eq!(deadlines.next(), Some(Instant::from_millis(40)));
        assert_eq!(deadlines.take_due(Instant::from_millis(39)), None);
        assert_eq!(deadlines.take_due(Instant::from_millis(40)), Some(Timer::DelayedAck));
        assert_eq!(deadlines.take_due(Instant::from_millis(40)), None);
        assert_eq!(deadlines.get(Timer::Retransmit), Some(Instant::from_millis(200)));
    }
}
