//! ProbeBW, where a long connection spends its life (§5.3.3): down to empty the queue, cruise, refill the pipe, up to see whether there
//! is more; and what the answers do to the long-term bound of the bytes under way.

use super::{Bbr, INFINITE, Sample, State};
use crate::base::time::{Duration, Instant};

/// What the acknowledgements that come now tell of a probe (BBR.ack_phase).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AckPhase {
    /// Nothing.
    #[default]
    Init,
    /// Nothing yet: the pipe is refilled.
    Refilling,
    /// Nothing yet: it has just begun.
    ProbeStarting,
    /// What they say counts.
    ProbeFeedback,
    /// It was stopped; they still answer it.
    ProbeStopping,
}

/// Where the cycle stands (§2.14).
#[derive(Clone, Debug)]
pub struct Cycle {
    pub ack_phase: AckPhase,
    /// BBR.is_bw_probe_sample: losses were caused by the probe.
    pub is_probe_sample: bool,
    /// BBR.rounds_since_probe_up.
    pub rounds_since_probe_up: u64,
    up_acked: u64,
    /// BBR.probe_up_acked_per_inc: the bound grows by one segment for so many bytes.
    acked_per_increment: u64,
    up_rounds: u32,
    /// BBR.bw_probe_wait and BBR.cycle_stamp.
    pub wait: Duration,
    stamp: Instant,
    /// The last probe lost too much; the last probe stopped early for that reason.
    pub prev_probe_too_high: bool,
    prev_probe_precautionary: bool,
}

impl Default for Cycle {
    fn default() -> Self {
        Cycle {
            ack_phase: AckPhase::Init,
            is_probe_sample: false,
            rounds_since_probe_up: 0,
            up_acked: 0,
            acked_per_increment: INFINITE,
            up_rounds: 0,
            wait: Duration::ZERO,
            stamp: Instant::ZERO,
            prev_probe_too_high: false,
            prev_probe_precautionary: false,
        }
    }
}

/// The bounds of the wait between two probes, in rounds (§5.3.3.8: as Reno would need).
const MAX_RENO_ROUNDS: u64 = 63;

impl Bbr {
    /// UpdateProbeBWCyclePhase.
    pub(super) fn update_probe_bw(&mut self, sample: &Sample) {
        if !self.full_pipe.reached || self.adapt_long_term_model(sample) {
            return;
        }
        match self.state {
            State::Down if self.is_time_to_probe(sample.now) => self.start_refill(),
            State::Down if self.is_time_to_cruise(sample) => self.state = State::Cruise,
            State::Cruise if self.is_time_to_probe(sample.now) => self.start_refill(),
            State::Refill if self.rounds.start => {
                self.cycle.is_probe_sample = true;
                self.start_up(sample);
            }
            State::Up => self.check_up_done(sample),
            _ => {}
        }
    }

    /// StartProbeBW_DOWN, EnterProbeBW too.
    pub(super) fn start_down(&mut self, now: Instant) {
        self.signals.reset();
        self.cycle.acked_per_increment = INFINITE;
        self.pick_wait(now);
        self.cycle.stamp = now;
        self.cycle.ack_phase = AckPhase::ProbeStopping;
        self.rounds.restart();
        self.state = State::Down;
    }

    /// StartProbeBW_REFILL.
    pub(super) fn start_refill(&mut self) {
        self.reset_short_term_model();
        (self.cycle.up_rounds, self.cycle.up_acked) = (0, 0);
        self.cycle.prev_probe_precautionary = false;
        self.cycle.ack_phase = AckPhase::Refilling;
        self.rounds.restart();
        self.state = State::Refill;
    }

    /// StartProbeBW_UP.
    fn start_up(&mut self, sample: &Sample) {
        self.cycle.ack_phase = AckPhase::ProbeStarting;
        self.rounds.restart();
        self.full_pipe.reset(sample.rate);
        self.state = State::Up;
        self.raise_slope();
    }

    /// PickProbeWait: two to three seconds, and a round more or less, by a hash of what this connection has and no other.
    fn pick_wait(&mut self, now: Instant) {
        let state =
            now.as_nanos() ^ self.rounds.delivered.rotate_left(32) ^ self.max_bw.get().rotate_left(16);
        let mixed = (state ^ (state >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let random = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 16;
        self.cycle.rounds_since_probe_up = random & 1;
        self.cycle.wait = Duration::from_millis(2_000 + (random >> 1) % 1_000);
    }

    /// IsTimeToProbeBW: the wait is over, or Reno would have grown as far by now.
    fn is_time_to_probe(&self, now: Instant) -> bool {
        let reno_rounds = (self.target_inflight() / self.mss).min(MAX_RENO_ROUNDS);
        now > self.cycle.stamp + self.cycle.wait || self.cycle.rounds_since_probe_up >= reno_rounds
    }

    /// IsTimeToCruise: the queue is empty, and others find room.
    fn is_time_to_cruise(&self, sample: &Sample) -> bool {
        sample.in_flight <= self.inflight_with_headroom()
            && sample.in_flight <= self.quantize(self.bdp(self.max_bw.get(), 100))
    }

    /// IsTimeToGoDown, and what follows.
    fn check_up_done(&mut self, sample: &Sample) {
        // §5.3.3.6: no further than to where the last probe lost too much, before that has been tried with care.
        let careful = self.cycle.prev_probe_too_high && sample.in_flight >= self.inflight_longterm;
        if careful {
            self.cycle.prev_probe_precautionary = true;
        } else if self.is_at_longterm_bound() {
            self.full_pipe.reset(sample.rate);
        }
        if careful || self.full_pipe.now {
            self.cycle.prev_probe_too_high = false;
            self.start_down(sample.now);
        }
    }

    /// The window limits the sender, and the long-term bound the window.
    fn is_at_longterm_bound(&self) -> bool {
        self.cwnd_limited != [false; 2] && u64::from(self.cwnd) >= self.inflight_longterm
    }

    /// RaiseInflightLongtermSlope: twice as steep each round.
    fn raise_slope(&mut self) {
        let growth = 1u64 << self.cycle.up_rounds;
        self.cycle.up_rounds = (self.cycle.up_rounds + 1).min(30);
        self.cycle.acked_per_increment = (u64::from(self.cwnd) / growth).max(self.mss);
    }

    /// ProbeInflightLongtermUpward.
    fn probe_upward(&mut self, sample: &Sample) {
        if !self.is_at_longterm_bound() {
            return;
        }
        self.cycle.up_acked = self.cycle.up_acked.saturating_add(sample.newly_acked);
        let increments = self.cycle.up_acked / self.cycle.acked_per_increment;
        self.cycle.up_acked %= self.cycle.acked_per_increment;
        self.inflight_longterm = self.inflight_longterm.saturating_add(increments.saturating_mul(self.mss));
        if self.rounds.start {
            self.raise_slope();
        }
    }

    /// AdaptLongTermModel: true if it has decided where to go.
    fn adapt_long_term_model(&mut self, sample: &Sample) -> bool {
        if self.cycle.ack_phase == AckPhase::ProbeStarting && self.rounds.start {
            self.cycle.ack_phase = AckPhase::ProbeFeedback;
        }
        if self.cycle.ack_phase == AckPhase::ProbeStopping && self.rounds.start {
            self.cycle.is_probe_sample = false;
            self.cycle.ack_phase = AckPhase::Init;
            if self.state.is_probe_bw() && !sample.app_limited {
                self.max_bw.advance();
            }
            // §5.3.3.6: the careful probe lost nothing: once more, without stopping there.
            let careful = self.cycle.prev_probe_precautionary && !self.cycle.prev_probe_too_high;
            if self.state.is_probe_bw() && careful {
                self.start_refill();
                return true;
            }
        }
        if !sample.is_inflight_too_high() && self.inflight_longterm != INFINITE {
            self.inflight_longterm = self.inflight_longterm.max(sample.tx_in_flight);
            if self.state == State::Up {
                self.probe_upward(sample);
            }
        }
        false
    }
}
