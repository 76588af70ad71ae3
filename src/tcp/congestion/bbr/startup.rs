//! Startup doubles the rate each round until the pipe is full or losses say so (§5.3.1); Drain empties the queue that it left (§5.3.2).

use super::{Bbr, Sample, State};

/// BBRStartupFullLossCnt: acknowledgements of a round that find losses.
const FULL_LOSS_COUNT: u32 = 6;
/// Rounds after which Drain is over however much is under way.
const DRAIN_ROUNDS: u64 = 3;

impl Bbr {
    /// CheckStartupDone.
    pub(super) fn check_startup_done(&mut self, sample: &Sample) {
        self.check_high_loss(sample);
        if self.state == State::Startup && self.full_pipe.reached {
            self.state = State::Drain;
            self.drain_start_round = self.rounds.count;
        }
    }

    /// CheckStartupHighLoss (§5.3.1.3): a round in fast recovery with 2 % lost at six places.
    fn check_high_loss(&mut self, sample: &Sample) {
        if self.full_pipe.reached {
            return;
        }
        if sample.found_loss {
            self.signals.loss_events += 1;
        }
        if !self.signals.loss_round_start {
            return;
        }
        let many = self.signals.loss_events >= FULL_LOSS_COUNT;
        if self.state == State::Startup && sample.in_recovery && many && sample.is_inflight_too_high() {
            self.end_startup_for_loss();
        }
        self.signals.loss_events = 0;
    }

    /// The pipe is full, and what it holds is known.
    pub(super) fn end_startup_for_loss(&mut self) {
        self.leave_for_loss(State::Startup);
        self.full_pipe.reached = true;
        self.inflight_longterm = self.bdp(self.bw(), 100).max(self.signals.inflight_latest);
    }

    /// CheckDrainDone.
    pub(super) fn check_drain_done(&mut self, sample: &Sample) {
        if self.state != State::Drain {
            return;
        }
        let empty = sample.in_flight <= self.quantize(self.bdp(self.bw(), 100));
        if empty || self.rounds.count > self.drain_start_round + DRAIN_ROUNDS {
            self.start_down(sample.now);
        }
    }
}
