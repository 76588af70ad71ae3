//! Slow start and congestion avoidance of RFC 5681, in bytes (RFC 3465 with L bounded by what was delivered).

use super::{Ack, Algorithm};
use crate::base::time::Instant;

/// A window never grows beyond this: sequence arithmetic is right below 2³¹ (hostile case M7: a cap on cwnd).
const MAX_WINDOW: u32 = 1 << 30;

/// RFC 5681's algorithm.
#[derive(Clone, Debug)]
pub struct NewReno {
    cwnd: u32,
    ssthresh: u32,
    /// Bytes delivered in congestion avoidance since the window grew last.
    acked: u32,
}

impl NewReno {
    /// Slow start from `initial_window` bytes, without a threshold.
    pub fn new(initial_window: u32) -> Self {
        NewReno { cwnd: initial_window, ssthresh: u32::MAX, acked: 0 }
    }

    /// RFC 5681 §3.1, equation 4.
    fn halve(&mut self, flight: u32, mss: u32) {
        self.ssthresh = (flight / 2).max(2 * mss);
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

    fn on_ack(&mut self, ack: Ack, mss: u32, _now: Instant) {
        // Only a window that limits the sender may grow: in slow start while cwnd < 2 · flight, else when it is used up.
        let slow_start = self.cwnd < self.ssthresh;
        let limited =
            if slow_start { self.cwnd / 2 < ack.flight } else { self.cwnd < ack.flight.saturating_add(mss) };
        if !limited {
            return;
        }
        if slow_start {
            // §3.1, equation 2, by the bytes delivered: an acknowledgement cut in pieces gains nothing (hostile case M8).
            self.cwnd = self.cwnd.saturating_add(ack.delivered).min(self.ssthresh).min(MAX_WINDOW);
        } else {
            // §3.1: one MSS for each window of data.
            self.acked = self.acked.saturating_add(ack.delivered);
            if self.acked >= self.cwnd {
                self.acked -= self.cwnd;
                self.cwnd = self.cwnd.saturating_add(mss).min(MAX_WINDOW);
            }
        }
    }

    fn on_loss(&mut self, flight: u32, mss: u32, _now: Instant) {
        self.halve(flight, mss);
        self.cwnd = self.ssthresh;
    }

    fn on_timeout(&mut self, flight: u32, mss: u32, first: bool, _now: Instant) {
        if first {
            self.halve(flight, mss);
        }
        self.cwnd = mss;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    fn ack(cc: &mut NewReno, delivered: u32) {
        let flight = cc.cwnd;
        cc.on_ack(Ack { delivered, flight }, MSS, Instant::ZERO);
    }

    /// RFC 5681 §3.1: a window per round trip in slow start, one MSS per round trip beyond ssthresh.
    #[test]
    fn the_window_doubles_in_slow_start_and_grows_by_one_mss_afterwards() {
        let mut cc = NewReno::new(10 * MSS);
        (0..10).for_each(|_| ack(&mut cc, MSS));
        assert_eq!(cc.window(), 20 * MSS);
        cc.on_loss(20 * MSS, MSS, Instant::ZERO);
        assert_eq!((cc.window(), cc.ssthresh()), (10 * MSS, 10 * MSS));
        (0..10).for_each(|_| ack(&mut cc, MSS));
        assert_eq!(cc.window(), 11 * MSS);
    }

    /// RFC 5681 §3.1: after a timeout one segment; a repeated timeout does not halve ssthresh again.
    #[test]
    fn a_timeout_falls_back_to_one_segment() {
        let mut cc = NewReno::new(10 * MSS);
        cc.on_timeout(10 * MSS, MSS, true, Instant::ZERO);
        assert_eq!((cc.window(), cc.ssthresh()), (MSS, 5 * MSS));
        cc.on_timeout(MSS, MSS, false, Instant::ZERO);
        assert_eq!(cc.ssthresh(), 5 * MSS);
    }

    /// RFC 5681 §3.1, RFC 9293 §3.8.2: ssthresh is at least two segments.
    #[test]
    fn ssthresh_has_a_floor_of_two_segments() {
        let mut cc = NewReno::new(10 * MSS);
        cc.on_loss(MSS, MSS, Instant::ZERO);
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
        cc.on_ack(Ack { delivered: MSS, flight: MSS }, MSS, Instant::ZERO);
        assert_eq!(cc.window(), 10 * MSS);
    }
}
