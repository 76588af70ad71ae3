//! Slow start and congestion avoidance of RFC 5681, in bytes (RFC 3465 with L bounded by what was delivered).

use super::{Ack, Algorithm, Congestion, MAX_WINDOW, Reduction, restart_window};
use crate::base::time::{Duration, Instant};

/// RFC 5681's algorithm.
#[derive(Clone, Debug)]
pub struct NewReno {
    cwnd: u32,
    ssthresh: u32,
    /// Bytes delivered in congestion avoidance since the window grew last.
    acked: u32,
    /// Window and threshold before the last reduction.
    before: (u32, u32),
}

impl NewReno {
    /// Slow start from `initial_window` bytes, without a threshold.
    pub fn new(initial_window: u32) -> Self {
        NewReno { cwnd: initial_window, ssthresh: u32::MAX, acked: 0, before: (0, u32::MAX) }
    }

    /// Goes on from where another algorithm was.
    pub fn take_threshold(&mut self, ssthresh: u32) {
        (self.ssthresh, self.before) = (ssthresh, (0, ssthresh));
    }

    /// RFC 5681 §3.1, equation 4.
    fn halve(&mut self, at: &Reduction) {
        self.before = (self.cwnd, self.ssthresh);
        self.ssthresh = (at.flight / 2).max(at.mss.saturating_mul(2));
        self.acked = 0;
    }
}

impl Algorithm for NewReno {
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
        if !ack.may_grow {
            return;
        }
        if self.cwnd < self.ssthresh {
            // §3.1, equation 2, by the bytes delivered: an acknowledgement cut in pieces gains nothing (hostile case M8).
            self.cwnd = self.cwnd.saturating_add(ack.delivered).min(self.ssthresh).min(MAX_WINDOW);
        } else {
            // §3.1: one MSS for each window of data.
            self.acked = self.acked.saturating_add(ack.delivered);
            if self.acked >= self.cwnd {
                self.acked -= self.cwnd;
                self.cwnd = self.cwnd.saturating_add(ack.mss).min(MAX_WINDOW);
            }
        }
    }

    fn on_congestion(&mut self, _why: Congestion, at: &Reduction) {
        self.halve(at);
    }

    fn on_timeout(&mut self, first: bool, at: &Reduction) {
        if first {
            self.halve(at);
        }
        self.set_window(at.mss);
    }

    fn undo(&mut self) {
        self.cwnd = self.cwnd.max(self.before.0);
        self.ssthresh = self.ssthresh.max(self.before.1);
    }

    fn on_idle(&mut self, idle: Duration, rto: Duration, restart: Option<u32>, _now: Instant) {
        let Some(restart) = restart else { return };
        // RFC 2861 §2: the threshold remembers.
        self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
        self.cwnd = restart_window(self.cwnd, idle, rto, restart);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    fn ack(cc: &mut NewReno, delivered: u32) {
        cc.on_ack(&Ack::of(delivered, MSS));
    }

    fn at(flight: u32) -> Reduction {
        Reduction { mss: MSS, flight, now: Instant::ZERO }
    }

    /// RFC 5681 §3.1: a window per round trip in slow start, one MSS per round trip beyond ssthresh.
    #[test]
    fn the_window_doubles_in_slow_start_and_grows_by_one_mss_afterwards() {
        let mut cc = NewReno::new(10 * MSS);
        (0..10).for_each(|_| ack(&mut cc, MSS));
        assert_eq!(cc.window(), 20 * MSS);
        cc.on_congestion(Congestion::Loss, &at(20 * MSS));
        cc.set_window(cc.ssthresh());
        assert_eq!((cc.window(), cc.ssthresh()), (10 * MSS, 10 * MSS));
        (0..10).for_each(|_| ack(&mut cc, MSS));
        assert_eq!(cc.window(), 11 * MSS);
    }

    /// RFC 5681 §3.1: what was delivered beyond a window counts for the next segment.
    #[test]
    fn each_window_delivered_adds_one_segment() {
        let mut cc = NewReno::new(10 * MSS);
        cc.take_threshold(10 * MSS);
        let windows = [9_999, 2_000, 8_999, 1_000, 1].map(|delivered| {
            ack(&mut cc, delivered);
            cc.window()
        });
        assert_eq!(windows, [10, 11, 11, 12, 12].map(|segments| segments * MSS));
    }

    /// RFC 5681 §4.1, RFC 2861 §2: a restart after idle halves the window for each RTO, and the threshold remembers three
    /// quarters of it.
    #[test]
    fn a_restart_after_idle_halves_the_window() {
        let (mut cc, rto) = (NewReno::new(40 * MSS), Duration::from_millis(200));
        cc.take_threshold(20 * MSS);
        cc.on_idle(rto * 2, rto, None, Instant::ZERO);
        assert_eq!((cc.window(), cc.ssthresh()), (40 * MSS, 20 * MSS));
        cc.on_idle(rto * 2, rto, Some(4 * MSS), Instant::ZERO);
        assert_eq!((cc.window(), cc.ssthresh()), (10 * MSS, 30 * MSS));
    }

    /// RFC 5681 §3.1: after a timeout one segment; a repeated timeout does not halve ssthresh again.
    #[test]
    fn a_timeout_falls_back_to_one_segment() {
        let mut cc = NewReno::new(10 * MSS);
        cc.on_timeout(true, &at(10 * MSS));
        assert_eq!((cc.window(), cc.ssthresh()), (MSS, 5 * MSS));
        cc.on_timeout(false, &at(MSS));
        assert_eq!(cc.ssthresh(), 5 * MSS);
    }

    /// RFC 5681 §3.1, RFC 9293 §3.8.2: ssthresh is at least two segments.
    #[test]
    fn ssthresh_has_a_floor_of_two_segments() {
        let mut cc = NewReno::new(10 * MSS);
        cc.on_congestion(Congestion::Loss, &at(MSS));
        assert_eq!(cc.ssthresh(), 2 * MSS);
    }

    /// Hostile case M8 (ACK division): 1,460 acknowledgements of one byte grow the window by one segment in all.
    #[test]
    fn acknowledgements_of_single_bytes_gain_nothing() {
        let mut cc = NewReno::new(10 * MSS);
        (0..MSS).for_each(|_| ack(&mut cc, 1));
        assert_eq!(cc.window(), 11 * MSS);
    }

    /// A window that does not limit the sender does not grow (policy 5).
    #[test]
    fn an_idle_senders_window_does_not_grow() {
        let mut cc = NewReno::new(10 * MSS);
        cc.on_ack(&Ack { may_grow: false, ..Ack::of(MSS, MSS) });
        assert_eq!(cc.window(), 10 * MSS);
    }
}
