//! Congestion control: how much may be under way. A small trait, and an enum over what implements it; bytes, not packets.
//!
//! | algorithm | name | when |
//! |---|---|---|
//! | [`Cubic`] | `cubic` | the default: fair beside what most of the Internet runs, and fast on long paths; it fills the queue until something is dropped or marked |
//! | [`NewReno`] | `reno` | the plain standard: as a yardstick, and where few segments are under way anyway |
//! | [`Bbr`] | `bbr` | losses that are no congestion (radio), queues that are much too short or much too long: it sends at the rate that arrives, paced, and leaves the queue nearly empty; beside others it may take more than its share, or less |
//!
//! Chosen for a stack by [`TcpConfig::congestion`](super::config::TcpConfig::congestion), for a socket by
//! [`SocketOptions::congestion`](super::options::SocketOptions::congestion).

mod bbr;
mod cubic;
mod curve;
mod hystart;
mod newreno;

pub use bbr::Bbr;
pub use cubic::Cubic;
pub use hystart::HyStart;
pub use newreno::NewReno;

use crate::base::time::{Duration, Instant};

/// A window never grows beyond this: sequence arithmetic is right below 2³¹ (hostile case M7: a cap on cwnd).
pub const MAX_WINDOW: u32 = 1 << 30;

/// What an acknowledgement tells the algorithm. It is told of every one that delivers something, or finds something lost.
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    /// The effective send MSS, in bytes.
    pub mss: u32,
    /// Bytes newly delivered: acknowledged, or reported by SACK.
    pub delivered: u32,
    /// Bytes newly found lost.
    pub lost: u32,
    /// Bytes under way before it came.
    pub flight: u32,
    /// Bytes under way after it.
    pub in_flight: u32,
    /// The peer's window, in bytes.
    pub peer_window: u32,
    /// The window may grow: no loss is being repaired, and the window limits the sender (policy 5).
    pub may_grow: bool,
    /// In fast recovery, or in a reduction for ECN.
    pub in_recovery: bool,
    /// A round trip ended with it: what was sent after the last one ended was delivered.
    pub round_ended: bool,
    /// The newest round-trip time, if it gave one.
    pub rtt: Option<Duration>,
    /// The shortest round-trip time seen.
    pub min_rtt: Option<Duration>,
    /// The delivery rate, if it could be measured.
    pub rate: Option<RateSample>,
    /// Now.
    pub now: Instant,
}

#[cfg(test)]
impl Ack {
    /// An acknowledgement of `delivered` bytes that lets the window grow.
    pub fn of(delivered: u32, mss: u32) -> Self {
        Ack {
            mss,
            delivered,
            lost: 0,
            flight: 0,
            in_flight: 0,
            peer_window: u32::MAX,
            may_grow: true,
            in_recovery: false,
            round_ended: false,
            rtt: None,
            min_rtt: None,
            rate: None,
            now: Instant::ZERO,
        }
    }
}

/// A sample of the delivery rate (draft-ietf-ccwg-bbr, "delivery rate samples").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSample {
    /// Bytes delivered over the interval.
    pub delivered: u32,
    /// The interval: the longer of the time to send them and the time to have them acknowledged.
    pub interval: Duration,
    /// Bytes delivered in all when the newest of them was sent.
    pub prior_delivered: u64,
    /// Bytes delivered in all now.
    pub total_delivered: u64,
    /// Bytes under way when the newest of them was sent, it included.
    pub tx_in_flight: u32,
    /// Bytes found lost since the newest of them was sent.
    pub lost: u32,
    /// Too little was there to send in between: the path may carry more.
    pub app_limited: bool,
}

impl RateSample {
    /// Bytes per second.
    pub fn rate(&self) -> u64 {
        let nanos = self.interval.as_nanos().max(1);
        (u128::from(self.delivered) * 1_000_000_000 / nanos).min(u128::from(u64::MAX)) as u64
    }
}

/// Why the window is reduced, once per window of data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Congestion {
    /// A loss was found.
    Loss,
    /// The peer echoed a congestion mark (RFC 3168 §6.1.2).
    Mark,
}

/// The moment of a reduction.
#[derive(Clone, Copy, Debug)]
pub struct Reduction {
    /// The effective send MSS, in bytes.
    pub mss: u32,
    /// Bytes under way.
    pub flight: u32,
    /// Now.
    pub now: Instant,
}

/// The decisions of a congestion control algorithm; windows in bytes.
pub trait Algorithm {
    /// The congestion window.
    fn window(&self) -> u32;

    /// The slow start threshold.
    fn ssthresh(&self) -> u32;

    /// The window as recovery has it: while a loss is repaired (PRR, RFC 9937), and ssthresh at its end. Algorithms that control
    /// recovery themselves are never told.
    fn set_window(&mut self, window: u32);

    /// Something was delivered or found lost.
    fn on_ack(&mut self, ack: &Ack);

    /// Congestion was found: the one reduction of this window of data. The threshold goes down at once; the window follows it by
    /// [`Algorithm::set_window`].
    fn on_congestion(&mut self, why: Congestion, at: &Reduction);

    /// A retransmission timeout fired; `first` unless it is a repeated one for the same data.
    fn on_timeout(&mut self, first: bool, at: &Reduction);

    /// The last reduction was a mistake, nothing had been lost (policy 6): window, threshold and what belongs to them are as
    /// before it, or larger.
    fn undo(&mut self);

    /// Data is sent after nothing was under way for `idle`; `restart` asks for the restart window of RFC 5681 §4.1, computed once
    /// for each RTO of `rto`.
    fn on_idle(&mut self, idle: Duration, rto: Duration, restart: Option<u32>, now: Instant);

    /// Bytes per second at most, where the algorithm paces.
    fn pacing_rate(&self) -> Option<u64> {
        None
    }

    /// The algorithm decides the window during recovery too: no PRR.
    fn controls_recovery(&self) -> bool {
        false
    }
}

/// The algorithms to choose from (MAY-18).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CongestionControl {
    /// RFC 5681 and RFC 6582.
    NewReno,
    /// RFC 9438, with HyStart as [`TcpConfig::hystart`](super::config::TcpConfig::hystart) has it.
    Cubic,
    /// draft-ietf-ccwg-bbr, version 3 of BBR.
    Bbr,
}

impl CongestionControl {
    /// All of them.
    pub const ALL: [Self; 3] = [CongestionControl::NewReno, CongestionControl::Cubic, CongestionControl::Bbr];

    /// The name that `TCP_CONGESTION` knows it by.
    pub const fn name(self) -> &'static str {
        match self {
            CongestionControl::NewReno => "reno",
            CongestionControl::Cubic => "cubic",
            CongestionControl::Bbr => "bbr",
        }
    }

    /// The algorithm of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// The algorithm of one connection with its state.
#[derive(Clone, Debug)]
pub enum Controller {
    /// RFC 5681 and RFC 6582.
    NewReno(NewReno),
    /// RFC 9438.
    Cubic(Cubic),
    /// draft-ietf-ccwg-bbr; it knows much more than the others.
    Bbr(Box<Bbr>),
}

impl Controller {
    /// The chosen algorithm with an initial window of `initial_window` bytes; `hystart` is for CUBIC.
    pub fn new(choice: CongestionControl, hystart: HyStart, initial_window: u32) -> Self {
        match choice {
            CongestionControl::Cubic => Controller::Cubic(Cubic::new(hystart, initial_window)),
            CongestionControl::Bbr => Controller::Bbr(Box::new(Bbr::new(initial_window))),
            CongestionControl::NewReno => Controller::NewReno(NewReno::new(initial_window)),
        }
    }

    /// Reads a little of what the algorithm keeps in a box, so that it is near when it is needed.
    pub fn touch(&self) -> u32 {
        match self {
            Controller::Cubic(cubic) => cubic.touch(),
            Controller::NewReno(_) => 0,
            Controller::Bbr(bbr) => bbr.window(),
        }
    }

    /// Another algorithm in the middle of a connection: it begins with the window and the threshold that are in force.
    pub fn switched(&self, choice: CongestionControl, hystart: HyStart) -> Self {
        let mut next = Controller::new(choice, hystart, self.window());
        match &mut next {
            Controller::NewReno(next) => next.take_threshold(self.ssthresh()),
            Controller::Cubic(next) => next.take_threshold(self.ssthresh()),
            Controller::Bbr(_) => {}
        }
        next
    }
}

impl std::ops::Deref for Controller {
    type Target = dyn Algorithm;

    fn deref(&self) -> &Self::Target {
        match self {
            Controller::NewReno(algorithm) => algorithm,
            Controller::Cubic(algorithm) => algorithm,
            Controller::Bbr(algorithm) => &**algorithm,
        }
    }
}

impl std::ops::DerefMut for Controller {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Controller::NewReno(algorithm) => algorithm,
            Controller::Cubic(algorithm) => algorithm,
            Controller::Bbr(algorithm) => &mut **algorithm,
        }
    }
}

/// RFC 5681 §4.1, halved for each RTO passed, as RFC 2861 refines it: the window after nothing was under way for `idle`.
fn restart_window(cwnd: u32, idle: Duration, rto: Duration, restart: u32) -> u32 {
    let times = (idle.as_nanos() / rto.as_nanos().max(1)).min(31) as u32;
    cwnd.min((cwnd >> times).max(restart).max(1))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
