//! BBR version 3 (draft-ietf-ccwg-bbr-06): a model of the path, its bandwidth and its shortest round trip, decides how fast and how much
//! is sent. Section numbers in this directory are the draft's.
//!
//! Here: the steps of an acknowledgement (§5.2). `filters.rs` has what is measured, `startup.rs` Startup and Drain, `probe_bw.rs` the
//! cycle of ProbeBW, `probe_rtt.rs` ProbeRTT, `losses.rs` the reaction to losses, `control.rs` pacing rate and window.
//!
//! What differs from the draft:
//! - Losses are told with the acknowledgement that finds them, not packet by packet. Its rate sample stands for the lost packets: the
//!   bytes under way at its newest packet, and what was lost since that was sent. So there is no interpolation within a burst
//!   (InflightAtLoss), and each acknowledgement that finds losses counts as one lost range in Startup.
//! - SACK is taken for granted: a single loss per round, all that can be found without, is not taken for too much.
//! - A congestion mark counts as a loss above the threshold (§3.7 leaves the reaction open, but asks for one).
//! - There is no ProbeRTT while the peer's window lets no more under way than the bandwidth-delay product (§5.3.4 knows idleness only as
//!   a reason to do without): the sender has no queue to let go, so each round trip is as good as one measured then, and half of what
//!   the window allows would be lost for nothing (`no_probe_rtt_where_the_peers_window_leaves_no_queue`).
//! - The random wait between probes is a hash of the connection's state, so that the same seed gives the same packets.

mod control;
mod filters;
mod losses;
mod probe_bw;
mod probe_rtt;
mod startup;

use filters::{Aggregation, FullPipe, MaxBandwidth, MinRtt, Rounds, Signals};
use losses::{Episode, Saved};
use probe_bw::Cycle;

use super::{Ack, Algorithm, Congestion, MAX_WINDOW, Reduction};
use crate::base::time::{Duration, Instant};

/// No bound known, of bytes or of bytes per second.
const INFINITE: u64 = u64::MAX;
/// What the draft calls β, in tenths: what a round with losses leaves at least.
const BETA_TENTHS: u64 = 7;

/// States of BBR (§5.1), the four of ProbeBW among them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Startup,
    Drain,
    Down,
    Cruise,
    Refill,
    Up,
    ProbeRtt,
}

impl State {
    /// §5.6.1: in percent of the bandwidth.
    fn pacing_gain(self) -> u64 {
        match self {
            State::Startup => 277,
            State::Drain => 50,
            State::Down => 90,
            State::Cruise | State::Refill | State::ProbeRtt => 100,
            State::Up => 125,
        }
    }

    /// §5.6.1: in percent of the bandwidth-delay product.
    fn cwnd_gain(self) -> u64 {
        match self {
            State::Up => 225,
            State::ProbeRtt => 50,
            _ => 200,
        }
    }

    fn is_probe_bw(self) -> bool {
        matches!(self, State::Down | State::Cruise | State::Refill | State::Up)
    }

    /// Sending as fast as may be to see what the path carries.
    fn is_probing(self) -> bool {
        matches!(self, State::Startup | State::Refill | State::Up)
    }
}

/// An acknowledgement, digested.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    now: Instant,
    /// Bytes newly acknowledged.
    newly_acked: u64,
    /// Bytes under way after it.
    in_flight: u64,
    /// The peer's window.
    peer_window: u64,
    /// Bytes per second; 0 without a rate sample, and so are the rest.
    rate: u64,
    delivered: u64,
    prior_delivered: u64,
    lost: u64,
    tx_in_flight: u64,
    app_limited: bool,
    /// The acknowledgement itself found losses.
    found_loss: bool,
    in_recovery: bool,
}

impl Sample {
    /// IsInflightTooHigh: more than BBR.LossThresh, 2 %, of what was under way is lost.
    fn is_inflight_too_high(&self) -> bool {
        self.lost.saturating_mul(50) > self.tx_in_flight
    }
}

/// BBR of one connection.
#[derive(Clone, Debug)]
pub struct Bbr {
    cwnd: u32,
    initial_window: u64,
    mss: u64,
    /// Bytes per second; `None` before the first acknowledgement.
    pacing_rate: Option<u64>,
    state: State,
    rounds: Rounds,
    max_bw: MaxBandwidth,
    min_rtt: MinRtt,
    aggregation: Aggregation,
    full_pipe: FullPipe,
    signals: Signals,
    cycle: Cycle,
    bw_shortterm: u64,
    inflight_shortterm: u64,
    inflight_longterm: u64,
    /// BBR.drain_start_round.
    drain_start_round: u64,
    /// BBR.probe_rtt_done_stamp, and BBR.probe_rtt_round_done.
    probe_rtt_done: Option<Instant>,
    probe_rtt_round_done: bool,
    /// Samples of packets sent before so much was delivered tell nothing of the path: ProbeRTT limited them.
    app_limited_until: Option<u64>,
    idle_restart: bool,
    /// The window limited the sender in this round, and in the last.
    cwnd_limited: [bool; 2],
    /// BBR.prior_cwnd: the last good window.
    prior_cwnd: u32,
    episode: Episode,
    saved: Option<Saved>,
}

impl Bbr {
    /// Startup from `initial_window` bytes (§5.2.1).
    pub fn new(initial_window: u32) -> Self {
        Bbr {
            cwnd: initial_window,
            initial_window: initial_window.into(),
            mss: 1,
            pacing_rate: None,
            state: State::Startup,
            rounds: Rounds::default(),
            max_bw: MaxBandwidth::default(),
            min_rtt: MinRtt::default(),
            aggregation: Aggregation::default(),
            full_pipe: FullPipe::default(),
            signals: Signals::default(),
            cycle: Cycle::default(),
            bw_shortterm: INFINITE,
            inflight_shortterm: INFINITE,
            inflight_longterm: INFINITE,
            drain_start_round: 0,
            probe_rtt_done: None,
            probe_rtt_round_done: false,
            app_limited_until: None,
            idle_restart: false,
            cwnd_limited: [false; 2],
            prior_cwnd: 0,
            episode: Episode::None,
            saved: None,
        }
    }

    /// The first acknowledgement: clocks start, and pacing with what the handshake measured (InitPacingRate).
    fn begin(&mut self, ack: &Ack) {
        if self.pacing_rate.is_none() {
            self.min_rtt.begin(ack.now);
            self.aggregation.restart(ack.now);
            let rtt = ack.rtt.or(ack.min_rtt).unwrap_or(Duration::from_millis(1));
            let nominal = rate_of(self.initial_window, rtt);
            self.pacing_rate = Some(nominal.saturating_mul(State::Startup.pacing_gain()) / 100);
        }
    }

    fn digest(&mut self, ack: &Ack) -> Sample {
        self.mss = u64::from(ack.mss.max(1));
        self.rounds.delivered = match ack.rate {
            Some(rate) => rate.total_delivered,
            None => self.rounds.delivered.saturating_add(ack.delivered.into()),
        };
        let limited_by_us = |prior| self.app_limited_until.is_some_and(|until| prior <= until);
        let rate = ack.rate;
        Sample {
            now: ack.now,
            newly_acked: ack.delivered.into(),
            in_flight: ack.in_flight.into(),
            peer_window: ack.peer_window.into(),
            rate: rate.map_or(0, |sample| sample.rate().min(filters::MAX_RATE)),
            delivered: rate.map_or(0, |sample| sample.delivered.into()),
            prior_delivered: rate.map_or(0, |sample| sample.prior_delivered),
            lost: rate.map_or(0, |sample| sample.lost.into()),
            tx_in_flight: rate.map_or(0, |sample| sample.tx_in_flight.into()),
            app_limited: rate.is_some_and(|rate| rate.app_limited || limited_by_us(rate.prior_delivered)),
            found_loss: ack.lost > 0,
            in_recovery: ack.in_recovery,
        }
    }

    /// UpdateModelAndState (§5.2.3).
    fn update_model(&mut self, ack: &Ack, sample: &Sample) {
        if sample.found_loss {
            self.on_loss(sample);
        }
        if ack.rate.is_some() {
            self.signals.update(sample, self.rounds.delivered);
            self.update_congestion_signals(sample);
        } else {
            (self.rounds.start, self.signals.loss_round_start) = (false, false);
        }
        let bw = self.bw();
        let (cwnd, reached) = (self.cwnd.into(), self.full_pipe.reached);
        self.aggregation.update(sample, bw, cwnd, reached, self.rounds.count);
        self.full_pipe.update(sample, self.rounds.start);
        self.check_startup_done(sample);
        self.check_drain_done(sample);
        self.update_probe_bw(sample);
        self.min_rtt.update(ack.rtt, ack.now);
        self.check_probe_rtt(sample);
        self.signals.advance(sample);
    }

    /// UpdateCongestionSignals, UpdateMaxBw and AdaptLowerBoundsFromCongestion (§5.5.5, §5.5.10.3).
    fn update_congestion_signals(&mut self, sample: &Sample) {
        self.rounds.update(sample.prior_delivered);
        if self.rounds.start {
            self.cycle.rounds_since_probe_up = self.cycle.rounds_since_probe_up.saturating_add(1);
            self.cwnd_limited = [false, self.cwnd_limited[0]];
        }
        if sample.rate >= self.max_bw.get() || !sample.app_limited {
            self.max_bw.update(sample.rate);
        }
        if !self.signals.loss_round_start {
            return;
        }
        if self.signals.loss_in_round && !self.state.is_probing() {
            let bw = if self.bw_shortterm == INFINITE { self.max_bw.get() } else { self.bw_shortterm };
            let inflight =
                if self.inflight_shortterm == INFINITE { self.cwnd.into() } else { self.inflight_shortterm };
            self.bw_shortterm = self.signals.bw_latest.max(beta(bw));
            self.inflight_shortterm = self.signals.inflight_latest.max(beta(inflight));
        }
        self.signals.loss_in_round = false;
    }

    fn reset_short_term_model(&mut self) {
        (self.bw_shortterm, self.inflight_shortterm) = (INFINITE, INFINITE);
    }
}

impl Algorithm for Bbr {
    fn window(&self) -> u32 {
        self.cwnd
    }

    /// There is none.
    fn ssthresh(&self) -> u32 {
        u32::MAX
    }

    fn set_window(&mut self, window: u32) {
        self.cwnd = window.clamp(1, MAX_WINDOW);
    }

    fn on_ack(&mut self, ack: &Ack) {
        self.begin(ack);
        let sample = self.digest(ack);
        self.cwnd_limited[0] |= ack.flight.saturating_add(ack.mss) > self.cwnd;
        self.end_episode(&sample);
        self.update_model(ack, &sample);
        self.set_pacing_rate(self.state.pacing_gain());
        self.set_cwnd(&sample);
    }

    fn on_congestion(&mut self, why: Congestion, at: &Reduction) {
        // OnEnterFastRecovery.
        self.note_loss();
        if self.episode == Episode::None {
            self.episode = Episode::Recovery;
        }
        if why == Congestion::Mark {
            self.on_mark(at.flight.into(), at.now);
        }
    }

    fn on_timeout(&mut self, _first: bool, at: &Reduction) {
        // OnEnterRTO.
        self.save_state();
        self.episode = Episode::Timeout(self.rounds.delivered.saturating_add(at.flight.into()));
        self.set_window(at.mss);
    }

    fn undo(&mut self) {
        self.on_spurious_episode();
    }

    /// HandleRestartFromIdle (§5.4.1): the window stays, the pace is the bandwidth.
    fn on_idle(&mut self, _idle: Duration, _rto: Duration, _restart: Option<u32>, now: Instant) {
        self.idle_restart = true;
        self.aggregation.restart(now);
        if self.state.is_probe_bw() {
            self.set_pacing_rate(100);
        } else if self.state == State::ProbeRtt {
            self.check_probe_rtt_done(now);
        }
    }

    fn pacing_rate(&self) -> Option<u64> {
        // Before anything was measured: InitPacingRate with a round trip of 1 ms.
        Some(self.pacing_rate.unwrap_or(self.initial_window * 2_770).max(1))
    }

    fn controls_recovery(&self) -> bool {
        true
    }
}

/// Bytes per second of `bytes` in `time`.
fn rate_of(bytes: u64, time: Duration) -> u64 {
    (u128::from(bytes) * 1_000_000_000 / time.as_nanos().max(1)).min(filters::MAX_RATE.into()) as u64
}

fn beta(value: u64) -> u64 {
    (u128::from(value) * u128::from(BETA_TENTHS) / 10) as u64
}

#[cfg(test)]
mod probe_tests;
#[cfg(test)]
mod step_tests;
#[cfg(test)]
#[path = "tests.rs"]
mod tests;
