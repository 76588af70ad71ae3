//! What a connection keeps only while something of it is under way, in a box of its own from a pool: an idle connection has none.

use std::ops::{Deref, DerefMut};

use crate::base::pool::{Boxes, Pool, Pooled, Recycled};
use crate::base::time::Instant;
use crate::wire::seq::SeqNum;

use super::rack::Rack;
use super::rate::Delivery;
use super::sent::SentQueue;
use super::timers::FlightDeadlines;

/// The state of the bytes under way.
#[derive(Debug)]
pub struct Flight {
    /// The transmissions.
    pub sent: SentQueue,
    /// The youngest transmission delivered (RFC 8985 §5.3).
    pub rack: Rack,
    /// How far delivery is.
    pub delivery: Delivery,
    /// How far the window is used.
    pub usage: Usage,
    /// Without SACK: duplicate acknowledgements in a row.
    pub dup_acks: u8,
    /// Without SACK: bytes that they say have left the network.
    pub departed: u32,
    /// Timers.
    pub deadlines: FlightDeadlines,
    /// When the next transmission may leave, if the algorithm paces.
    pub paced_until: Instant,
    /// Data has waited for that since there was last nothing to send.
    pub held_back: bool,
}

impl Flight {
    const fn none() -> Self {
        Flight {
            sent: SentQueue::new(),
            rack: Rack::new(),
            delivery: Delivery::starting(0, Instant::ZERO),
            usage: Usage::new(),
            dup_acks: 0,
            departed: 0,
            deadlines: FlightDeadlines::new(),
            paced_until: Instant::ZERO,
            held_back: false,
        }
    }
}

impl Recycled for Flight {
    fn pool() -> &'static Boxes<Self> {
        static POOL: Boxes<Flight> = Pool::of_boxes();
        &POOL
    }

    fn fresh() -> Self {
        Flight::none()
    }

    fn recycle(&mut self) {
        self.sent.recycle();
        *self = Flight { sent: std::mem::replace(&mut self.sent, SentQueue::new()), ..Flight::none() };
    }
}

/// Whether the window limits the sender (RFC 9438 §5.8, RFC 7661 §4.3): what is not used may not grow.
#[derive(Debug)]
pub struct Usage {
    /// The largest number of bytes under way in this round trip or the last.
    pub most: u32,
    /// The window held data back when so many were.
    pub limited: bool,
    until: SeqNum,
}

impl Usage {
    const fn new() -> Self {
        Usage { most: 0, limited: false, until: SeqNum(0) }
    }

    /// `in_flight` bytes are under way up to `nxt`, and the window holds more back or does not.
    pub fn note(&mut self, in_flight: u32, limited: bool, una: SeqNum, nxt: SeqNum) {
        let over = una.at_or_after(self.until);
        if over || limited || (!self.limited && in_flight > self.most) {
            self.most = in_flight;
            self.limited = limited;
            self.until = nxt;
        }
    }
}

static NONE: Flight = Flight::none();

/// A [`Flight`] that takes memory from its first change until [`Resting::rest`].
#[derive(Debug, Default)]
pub struct Resting(Pooled<Flight>);

impl Resting {
    /// Nothing is under way any more: the memory is given back.
    pub fn rest(&mut self) {
        self.0.clear();
    }

    /// True while it takes memory.
    #[cfg(test)]
    pub fn is_held(&self) -> bool {
        self.0.is_some()
    }
}

impl Deref for Resting {
    type Target = Flight;

    fn deref(&self) -> &Flight {
        self.0.as_ref().unwrap_or(&NONE)
    }
}

impl DerefMut for Resting {
    fn deref_mut(&mut self) -> &mut Flight {
        self.0.get_or_fresh()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9438 §5.8, RFC 7661 §4.3: the most that was under way counts for this round trip and the next, and that the window was full
    /// counts more than how much it held then.
    #[test]
    fn the_most_of_a_round_trip_is_forgotten_after_the_next() {
        let mut usage = Usage::new();
        let mut note = |in_flight, limited, una, nxt| {
            usage.note(in_flight, limited, SeqNum(una), SeqNum(nxt));
            (usage.most, usage.limited)
        };
        assert_eq!(note(5, false, 0, 5), (5, false));
        assert_eq!(note(4, false, 2, 6), (5, false), "less");
        assert_eq!(note(7, false, 2, 9), (7, false), "more");
        assert_eq!(note(7, false, 4, 11), (7, false), "as much, which begins no new round trip");
        assert_eq!(note(3, false, 9, 12), (3, false), "the round trip is over");
        assert_eq!(note(2, true, 10, 13), (2, true), "the window is full, though less is under way");
        assert_eq!(note(8, false, 11, 19), (2, true), "not full any more");
        assert_eq!(note(6, false, 13, 20), (6, false), "and the round trip is over");
    }
}
