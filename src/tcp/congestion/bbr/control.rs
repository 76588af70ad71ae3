//! From BBR's model to what the sender obeys (§5.6): pacing rate and congestion window.

use super::{Bbr, INFINITE, Sample, State};
use crate::tcp::congestion::MAX_WINDOW;

/// BBR.MinPipeCwnd, in segments.
const MIN_PIPE_CWND: u64 = 4;
/// BBR.PacingMarginPercent: pacing stays below the bandwidth by so much.
const PACING_MARGIN_PERCENT: u128 = 1;
/// The largest volume of one burst, in bytes (C.send_quantum).
const MAX_QUANTUM: u64 = 65_536;

impl Bbr {
    /// BBR.bw: the bandwidth within its short-term bound.
    pub(super) fn bw(&self) -> u64 {
        self.max_bw.get().min(self.bw_shortterm)
    }

    /// BBR.bdp for a bandwidth, times `gain` percent; the initial window while no round trip is known (BDPMultiple).
    pub(super) fn bdp(&self, bw: u64, gain: u64) -> u64 {
        let Some(min_rtt) = self.min_rtt.get() else { return self.initial_window };
        let bytes = u128::from(bw) * min_rtt.as_nanos() / 1_000_000_000 * u128::from(gain) / 100;
        bytes.min(u128::from(MAX_WINDOW)) as u64
    }

    pub(super) fn min_pipe_cwnd(&self) -> u64 {
        MIN_PIPE_CWND.saturating_mul(self.mss)
    }

    /// C.send_quantum (§5.6.3).
    fn quantum(&self) -> u64 {
        (self.pacing_rate.unwrap_or(0) / 1_000).min(MAX_QUANTUM).max(2 * self.mss)
    }

    /// QuantizationBudget (§5.6.4.2): room for bursts in sender and receiver.
    pub(super) fn quantize(&self, inflight: u64) -> u64 {
        let up = if self.state == State::Up { 2 * self.mss } else { 0 };
        inflight.max(3 * self.quantum()).max(self.min_pipe_cwnd()) + up
    }

    /// TargetInflight: the bandwidth-delay product, unless congestion cut the window.
    pub(super) fn target_inflight(&self) -> u64 {
        self.bdp(self.bw(), 100).min(self.cwnd.into())
    }

    /// InflightWithHeadroom (§5.3.3.9): 15 % are left to others.
    pub(super) fn inflight_with_headroom(&self) -> u64 {
        if self.inflight_longterm == INFINITE {
            return INFINITE;
        }
        let headroom = (u128::from(self.inflight_longterm) * 15 / 100) as u64;
        self.inflight_longterm.saturating_sub(headroom.max(self.mss)).max(self.min_pipe_cwnd())
    }

    /// SetPacingRateWithGain (§5.6.2): until the pipe was filled the rate only rises.
    pub(super) fn set_pacing_rate(&mut self, gain: u64) {
        let bw = u128::from(self.bw()) * u128::from(gain) * (100 - PACING_MARGIN_PERCENT) / 10_000;
        let rate = bw.min(u128::from(u64::MAX)) as u64;
        if rate > 0 && (self.full_pipe.reached || self.pacing_rate.is_none_or(|now| rate > now)) {
            self.pacing_rate = Some(rate);
        }
    }

    /// SetCwnd (§5.6.4.6) within the bounds of ProbeRTT and of the model (§5.6.4.5, §5.6.4.7).
    pub(super) fn set_cwnd(&mut self, sample: &Sample) {
        let gain = self.state.cwnd_gain();
        let wanted = self.bdp(self.bw(), gain).saturating_add(self.aggregation.extra_acked());
        let max_inflight = self.quantize(wanted);
        let (cwnd, grown) = (u64::from(self.cwnd), u64::from(self.cwnd) + sample.newly_acked);
        let cwnd = if self.full_pipe.reached {
            grown.min(max_inflight)
        } else if cwnd < max_inflight || self.rounds.delivered < self.initial_window {
            grown
        } else {
            cwnd
        };
        let least = self.min_pipe_cwnd();
        let most = match self.state {
            State::ProbeRtt => self.probe_rtt_cwnd().min(self.inflight_with_headroom()),
            State::Cruise => self.inflight_with_headroom(),
            State::Down | State::Refill | State::Up => self.inflight_longterm,
            State::Startup | State::Drain => INFINITE,
        };
        let most = most.min(self.inflight_shortterm).max(least);
        self.cwnd = cwnd.max(least).min(most).min(MAX_WINDOW.into()) as u32;
    }
}
