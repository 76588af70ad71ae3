//! CUBIC (RFC 9438), in bytes: slow start with HyStart, reductions, timeouts, and the undo of either. Congestion avoidance is in
//! `curve.rs`.
//!
//! The core reduces the window by PRR and decides when it may grow at all. A reduction starts from cwnd and not from the bytes under
//! way, as §4.6 allows a sender whose window grows only while it is used. One rule is Linux's and not the RFC's: the growth
//! while no limit is known (`Curve::target`).

use super::curve::Curve;
use super::hystart::{HyStart, Search};
use super::{Ack, Algorithm, Congestion, MAX_WINDOW, Reduction, restart_window};
use crate::base::time::{Duration, Instant};

/// RFC 9438's algorithm. Only a connection whose initial slow start is over owns more than this struct.
#[derive(Clone, Debug)]
pub struct Cubic {
    cwnd: u32,
    ssthresh: u32,
    phase: Phase,
}

#[derive(Clone, Debug)]
enum Phase {
    /// The initial slow start, unwatched as yet.
    Fresh(HyStart),
    /// The initial slow start.
    Search(Search),
    /// A threshold is known: congestion avoidance, and slow start up to it.
    Steady(Box<Steady>),
}

#[derive(Clone, Debug)]
struct Steady {
    curve: Curve,
    /// The state before the last reduction (§4.9).
    before: Option<Before>,
}

#[derive(Clone, Debug)]
struct Before {
    cwnd: u32,
    ssthresh: u32,
    past: Past,
}

#[derive(Clone, Debug)]
enum Past {
    Curve(Curve),
    SlowStart(Phase),
}

impl Cubic {
    /// Slow start from `initial_window` bytes, without a threshold.
    pub fn new(hystart: HyStart, initial_window: u32) -> Self {
        Cubic { cwnd: initial_window, ssthresh: u32::MAX, phase: Phase::Fresh(hystart) }
    }

    /// See [`Controller::touch`](super::Controller::touch).
    pub fn touch(&self) -> u32 {
        match &self.phase {
            Phase::Fresh(_) | Phase::Search(_) => 0,
            Phase::Steady(steady) => steady.curve.w_max,
        }
    }

    /// Goes on from where another algorithm was.
    pub fn take_threshold(&mut self, ssthresh: u32) {
        self.ssthresh = ssthresh;
        if ssthresh < u32::MAX {
            self.settle();
        }
    }

    fn grow_to(&mut self, window: u32) {
        self.cwnd = self.cwnd.max(window.min(MAX_WINDOW));
    }

    fn slow_start(&mut self, ack: &Ack) {
        if let Phase::Fresh(hystart) = self.phase
            && let Some(search) = Search::new(hystart, ack.now)
        {
            self.phase = Phase::Search(search);
        }
        let growth = match &mut self.phase {
            Phase::Search(search) => search.on_ack(ack, self.cwnd),
            Phase::Fresh(_) | Phase::Steady(_) => Some(ack.delivered),
        };
        match growth {
            Some(growth) if ack.may_grow => self.grow_to(self.cwnd.saturating_add(growth).min(self.ssthresh)),
            Some(_) => {}
            // RFC 9406 §4.2: congestion avoidance from here.
            None => self.ssthresh = self.cwnd,
        }
    }

    /// The initial slow start is over, however it ended: there is a curve.
    fn settle(&mut self) {
        if !matches!(self.phase, Phase::Steady(_)) {
            self.phase = Phase::Steady(Box::new(Steady { curve: Curve::new(), before: None }));
        }
    }

    /// Remembers the state for [`Algorithm::undo`] and lowers the threshold.
    fn reduce(&mut self, mss: u32) {
        let past = match &self.phase {
            Phase::Steady(steady) => Past::Curve(steady.curve.clone()),
            initial => Past::SlowStart(initial.clone()),
        };
        self.settle();
        let Phase::Steady(steady) = &mut self.phase else { return };
        steady.before = Some(Before { cwnd: self.cwnd, ssthresh: self.ssthresh, past });
        steady.curve.reduce(self.cwnd);
        // §4.6: β = 0.7; at least two segments.
        let reduced = (u64::from(self.cwnd) * 7 / 10) as u32;
        self.ssthresh = reduced.max(mss.saturating_mul(2));
    }
}

impl Algorithm for Cubic {
    fn window(&self) -> u32 {
        self.cwnd
    }

    fn ssthresh(&self) -> u32 {
        self.ssthresh
    }

    fn set_window(&mut self, window: u32) {
        self.cwnd = window.clamp(1, MAX_WINDOW);
    }

    fn on_ack(&mut self, ack: &Ack) {
        if self.cwnd < self.ssthresh {
            return self.slow_start(ack);
        }
        self.settle();
        let Phase::Steady(steady) = &mut self.phase else { return };
        if ack.may_grow {
            let window = steady.curve.grow(self.cwnd, ack);
            self.grow_to(window);
        } else {
            steady.curve.skip(ack.now);
        }
    }

    fn on_congestion(&mut self, _why: Congestion, at: &Reduction) {
        self.reduce(at.mss);
    }

    fn on_timeout(&mut self, first: bool, at: &Reduction) {
        if first {
            self.reduce(at.mss);
        }
        if let Phase::Steady(steady) = &mut self.phase {
            // §4.8: in the first stage after it K is 0 and W_max where it begins.
            steady.curve.forget_limit();
        }
        self.set_window(at.mss);
    }

    fn undo(&mut self) {
        // §4.9: everything as it was; the time since the stage began goes on.
        if let Phase::Steady(steady) = &mut self.phase
            && let Some(before) = steady.before.take()
        {
            self.cwnd = self.cwnd.max(before.cwnd);
            self.ssthresh = self.ssthresh.max(before.ssthresh);
            match before.past {
                Past::Curve(curve) => steady.curve = curve,
                Past::SlowStart(phase) => self.phase = phase,
            }
        }
    }

    fn on_idle(&mut self, idle: Duration, rto: Duration, restart: Option<u32>, now: Instant) {
        let window = restart.map_or(self.cwnd, |restart| restart_window(self.cwnd, idle, rto, restart));
        if let Phase::Steady(steady) = &mut self.phase {
            steady.before = None;
            steady.curve.skip(now);
            if window < self.cwnd {
                steady.curve.end_stage();
            }
        }
        if window < self.cwnd {
            self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
            self.cwnd = window;
        }
    }
}

#[cfg(test)]
#[path = "cubic_tests.rs"]
mod tests;
