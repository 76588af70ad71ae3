//! Congestion control: how much may be under way. A small trait, and an enum over what implements it; bytes, not packets.

mod newreno;

pub use newreno::NewReno;

use crate::base::time::Instant;

/// What an acknowledgement tells the algorithm.
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    /// Bytes newly delivered.
    pub delivered: u32,
    /// Bytes that were under way before it came.
    pub flight: u32,
}

/// The decisions of a congestion control algorithm. `mss` is the effective send MSS in bytes.
pub trait Algorithm {
    /// The congestion window, in bytes.
    fn window(&self) -> u32;

    /// The slow start threshold, in bytes.
    fn ssthresh(&self) -> u32;

    /// New data was acknowledged outside of recovery.
    fn on_ack(&mut self, ack: Ack, mss: u32, now: Instant);

    /// A loss was found by duplicate acknowledgements with `flight` bytes under way: the one reduction of this recovery.
    fn on_loss(&mut self, flight: u32, mss: u32, now: Instant);

    /// A retransmission timeout fired with `flight` bytes under way; `first` unless it is a repeated one for the same data.
    fn on_timeout(&mut self, flight: u32, mss: u32, first: bool, now: Instant);
}

/// The algorithms to choose from (MAY-18).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CongestionControl {
    /// RFC 5681 and RFC 6582.
    NewReno,
}

impl CongestionControl {
    /// The name that `TCP_CONGESTION` knows it by.
    pub const fn name(self) -> &'static str {
        match self {
            CongestionControl::NewReno => "reno",
        }
    }

    /// The algorithm of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [CongestionControl::NewReno].into_iter().find(|known| known.name() == name)
    }
}

/// The algorithm of one connection with its state.
#[derive(Clone, Debug)]
pub enum Congestion {
    /// RFC 5681 and RFC 6582.
    NewReno(NewReno),
}

impl Congestion {
    /// The chosen algorithm with an initial window of `initial_window` bytes.
    pub fn new(choice: CongestionControl, initial_window: u32) -> Self {
        match choice {
            CongestionControl::NewReno => Congestion::NewReno(NewReno::new(initial_window)),
        }
    }

    fn get(&self) -> &dyn Algorithm {
        match self {
            Congestion::NewReno(algorithm) => algorithm,
        }
    }

    fn get_mut(&mut self) -> &mut dyn Algorithm {
        match self {
            Congestion::NewReno(algorithm) => algorithm,
        }
    }
}

impl Algorithm for Congestion {
    fn window(&self) -> u32 {
        self.get().window()
    }

    fn ssthresh(&self) -> u32 {
        self.get().ssthresh()
    }

    fn on_ack(&mut self, ack: Ack, mss: u32, now: Instant) {
        self.get_mut().on_ack(ack, mss, now);
    }

    fn on_loss(&mut self, flight: u32, mss: u32, now: Instant) {
        self.get_mut().on_loss(flight, mss, now);
    }

    fn on_timeout(&mut self, flight: u32, mss: u32, first: bool, now: Instant) {
        self.get_mut().on_timeout(flight, mss, first, now);
    }
}
