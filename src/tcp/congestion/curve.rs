//! The window of congestion avoidance in CUBIC (RFC 9438 §4.2 to §4.5, §4.7): the cubic function of time, and beside it what Reno
//! would have. Bytes, microseconds and integers. It neither keeps the window nor knows why it was reduced: see `cubic.rs`.

use super::{Ack, MAX_WINDOW};
use crate::base::time::{Duration, Instant};

/// W_est is kept in parts of a byte, for acknowledgements that add less than one.
const EST_SHIFT: u32 = 16;

/// The curve of one connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Curve {
    /// W_max: its plateau.
    pub w_max: u32,
    /// cwnd_prior: the window before the last reduction.
    pub cwnd_prior: u32,
    /// W_est: what Reno would have, shifted by [`EST_SHIFT`].
    w_est: u64,
    /// K: when the plateau is reached, in µs of `elapsed`.
    k: u32,
    /// t: µs of this congestion avoidance stage in which the window was free to grow. Idle time is not in it (§5.8).
    elapsed: u32,
    /// Up to when `elapsed` was counted.
    counted: Instant,
    /// Growth of less than a byte, in parts of the window.
    carry: u32,
    /// A congestion avoidance stage has begun: `k`, `elapsed` and `w_est` are its own.
    in_stage: bool,
    /// No loss has told yet where the limit is: W_max is where this stage began (§4.8, §4.10).
    unknown_limit: bool,
}

impl Curve {
    /// Before anything is known of the path.
    pub fn new() -> Self {
        Curve {
            w_max: 0,
            cwnd_prior: 0,
            w_est: 0,
            k: 0,
            elapsed: 0,
            counted: Instant::ZERO,
            carry: 0,
            in_stage: false,
            unknown_limit: true,
        }
    }

    /// The window of `cwnd` bytes is about to be reduced because of congestion.
    pub fn reduce(&mut self, cwnd: u32) {
        // §4.7, fast convergence: a window that did not reach the last plateau leaves room to others, by (1 + β) / 2.
        let lower = !self.unknown_limit && cwnd < self.w_max;
        self.w_max = if lower { (u64::from(cwnd) * 17 / 20) as u32 } else { cwnd };
        self.unknown_limit = false;
        self.cwnd_prior = cwnd;
        self.in_stage = false;
    }

    /// What was known of the limit does not count any more: the next stage begins at its plateau (§4.8).
    pub fn forget_limit(&mut self) {
        self.unknown_limit = true;
        self.in_stage = false;
    }

    /// The window was reduced for another reason than congestion: a new stage begins from there.
    pub fn end_stage(&mut self) {
        self.in_stage = false;
    }

    /// §5.8: t does not include the time up to `now`, when the application left the window unused.
    pub fn skip(&mut self, now: Instant) {
        self.counted = now;
    }

    /// What a window of `cwnd` bytes grows to with the acknowledgement.
    pub fn grow(&mut self, cwnd: u32, ack: &Ack) -> u32 {
        let mss = ack.mss.clamp(1, 1 << 16);
        if !self.in_stage {
            self.begin_stage(cwnd, mss, ack.now);
        }
        let micros = (ack.now.since(self.counted).as_nanos() / 1_000).min(u32::MAX.into()) as u32;
        self.elapsed = self.elapsed.saturating_add(micros);
        // Whole microseconds were counted; the rest is left for the next time.
        self.counted += Duration::from_micros(micros.into());

        let (window, delivered) = (u64::from(cwnd.max(1)), u64::from(ack.delivered.min(cwnd)));
        self.estimate_reno(window, delivered, mss);
        // §4.4 and §4.5: (target − cwnd) / cwnd for each segment acknowledged.
        let rtt = ack.min_rtt.or(ack.rtt).unwrap_or_default();
        let wanted = u64::from(self.target(cwnd, rtt, mss) - cwnd) * delivered + u64::from(self.carry);
        self.carry = (wanted % window) as u32;
        let grown = window + wanted / window;
        // §4.3: where Reno would have more than the curve, what Reno would have.
        let w_est = self.w_est >> EST_SHIFT;
        let friendly = u64::from(self.w_cubic(self.elapsed, mss)) < w_est;
        (if friendly { grown.max(w_est) } else { grown }).min(MAX_WINDOW.into()) as u32
    }

    fn begin_stage(&mut self, cwnd: u32, mss: u32, now: Instant) {
        self.in_stage = true;
        (self.elapsed, self.counted, self.carry) = (0, now, 0);
        self.w_est = u64::from(cwnd) << EST_SHIFT;
        if self.unknown_limit || self.w_max <= cwnd {
            // §4.8 and §4.10: after a timeout, or slow start that no loss ended, the curve begins at its plateau.
            (self.w_max, self.k) = (cwnd, 0);
        } else {
            self.k = time_to_plateau(self.w_max - cwnd, mss);
        }
    }

    /// §4.3: W_est grows by α_cubic segments for each window acknowledged, by one once it is where the loss was.
    fn estimate_reno(&mut self, window: u64, delivered: u64, mss: u32) {
        let acked = delivered * u64::from(mss);
        let caught_up = self.w_est >> EST_SHIFT >= u64::from(self.cwnd_prior);
        // α_cubic = 3 · (1 − β) / (1 + β) = 9 / 17.
        let grown = if caught_up { acked } else { acked * 9 / 17 };
        let most = u64::from(MAX_WINDOW) << EST_SHIFT;
        self.w_est = self.w_est.saturating_add((grown << EST_SHIFT) / window).min(most);
    }

    /// §4.2: the window to reach within a round trip: W_cubic(t + RTT), between cwnd and 1.5 · cwnd. The round trip is the shortest:
    /// a queue would make the curve steeper.
    ///
    /// While no loss has told where the limit is, the window grows by a twentieth per round trip at least, as on Linux. The curve
    /// alone, from its plateau, would need 25 s for the 6,000 segments that a slow start left too early is short of.
    fn target(&self, cwnd: u32, rtt: Duration, mss: u32) -> u32 {
        let ahead = rtt.as_micros().min(u32::MAX.into()) as u32;
        let least = if self.unknown_limit { cwnd.saturating_add(cwnd / 20) } else { cwnd };
        let most = cwnd.saturating_add(cwnd / 2);
        self.w_cubic(self.elapsed.saturating_add(ahead), mss).clamp(least, most)
    }

    /// §4.2, figure 1: W_cubic(t) = C · (t − K)³ + W_max.
    fn w_cubic(&self, t: u32, mss: u32) -> u32 {
        let ticks = u128::from(ticks(t.abs_diff(self.k)));
        // (t − K)³ in s³, times the segment size, times C = 0.4.
        let bytes = (ticks * ticks * ticks * u128::from(mss)) >> 60;
        let offset = u32::try_from(bytes as u64 / 5 * 2).unwrap_or(u32::MAX);
        if t < self.k { self.w_max.saturating_sub(offset) } else { self.w_max.saturating_add(offset) }
    }
}

/// Microseconds in units of 2⁻²⁰ s, in which a cube is scaled by a shift.
fn ticks(micros: u32) -> u64 {
    u64::from(micros) * 16_384 / 15_625
}

/// §4.2, figure 2: K = ∛((W_max − cwnd) / C), in µs; `below` is W_max − cwnd.
fn time_to_plateau(below: u32, mss: u32) -> u32 {
    // 1 / C = 5 / 2, and 60 bits of fraction: the root has 20.
    let cube = ((u128::from(below) * 5) << 60) / (2 * u128::from(mss));
    (cube_root(cube) * 15_625 / 16_384).min(u32::MAX.into()) as u32
}

/// The largest integer whose cube is at most `cube`, which is below 2¹⁰⁵. Integer, so that every platform has the same.
fn cube_root(cube: u128) -> u64 {
    (0..35).rev().fold(0, |root, bit| {
        let next: u64 = root | 1 << bit;
        if u128::from(next).pow(3) <= cube { next } else { root }
    })
}

#[cfg(test)]
#[path = "curve_tests.rs"]
mod tests;
