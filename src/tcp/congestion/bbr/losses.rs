//! What losses and congestion marks do to BBR (§5.5.10, §3.7), the episodes they begin (§5.6.4.4), and the undo of one that was
//! a mistake (§5.5.11).

use super::{Bbr, Sample, State, beta};
use crate::base::time::Instant;

/// A loss episode that goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Episode {
    None,
    /// Fast recovery: until an acknowledgement comes outside of it.
    Recovery,
    /// After a timeout: until so much is delivered.
    Timeout(u64),
}

/// What undo restores (§5.5.11).
#[derive(Clone, Debug)]
pub struct Saved {
    /// The episode is over: the next loss begins another.
    over: bool,
    /// The state that the episode ended.
    state: Option<State>,
    bw_shortterm: u64,
    inflight_shortterm: u64,
    inflight_longterm: u64,
}

impl Bbr {
    /// NoteLoss and HandleLostPacket (§5.5.10.2).
    pub(super) fn on_loss(&mut self, sample: &Sample) {
        self.note_loss();
        if self.cycle.is_probe_sample && sample.is_inflight_too_high() {
            self.handle_inflight_too_high(sample);
        }
    }

    pub(super) fn note_loss(&mut self) {
        if !self.signals.loss_in_round {
            self.signals.loss_round_delivered = self.rounds.delivered;
        }
        self.save_state();
        self.signals.loss_in_round = true;
    }

    /// SaveStateUponLoss (§5.5.11.1), once for an episode: what it changes itself is not worth restoring.
    pub(super) fn save_state(&mut self) {
        if self.saved.as_ref().is_some_and(|saved| !saved.over) {
            return;
        }
        self.save_cwnd();
        self.saved = Some(Saved {
            over: false,
            state: None,
            bw_shortterm: self.bw_shortterm,
            inflight_shortterm: self.inflight_shortterm,
            inflight_longterm: self.inflight_longterm,
        });
    }

    pub(super) fn save_cwnd(&mut self) {
        let good = self.episode == Episode::None && self.state != State::ProbeRtt;
        self.prior_cwnd = if good { self.cwnd } else { self.prior_cwnd.max(self.cwnd) };
    }

    pub(super) fn restore_cwnd(&mut self) {
        self.cwnd = self.cwnd.max(self.prior_cwnd);
    }

    /// The loss episode ended `state`: undo leads back there.
    pub(super) fn leave_for_loss(&mut self, state: State) {
        if let Some(saved) = &mut self.saved {
            saved.state = Some(state);
        }
    }

    /// A loss episode is over when recovery is, or when all that was under way at the timeout is delivered.
    pub(super) fn end_episode(&mut self, sample: &Sample) {
        let over = match self.episode {
            Episode::None => false,
            Episode::Recovery => !sample.in_recovery,
            Episode::Timeout(until) => self.rounds.delivered >= until,
        };
        if over {
            self.episode = Episode::None;
            self.restore_cwnd();
        }
        if self.episode == Episode::None
            && let Some(saved) = &mut self.saved
        {
            saved.over = true;
        }
    }

    /// HandleSpuriousLossDetection (§5.5.11.2).
    pub(super) fn on_spurious_episode(&mut self) {
        let Some(saved) = self.saved.take() else { return };
        self.episode = Episode::None;
        self.restore_cwnd();
        self.signals.loss_in_round = false;
        self.full_pipe.reset(0);
        self.bw_shortterm = self.bw_shortterm.max(saved.bw_shortterm);
        self.inflight_shortterm = self.inflight_shortterm.max(saved.inflight_shortterm);
        self.inflight_longterm = self.inflight_longterm.max(saved.inflight_longterm);
        match saved.state {
            Some(State::Startup) if self.state != State::Startup => {
                self.full_pipe.reached = false;
                if self.state != State::ProbeRtt {
                    self.state = State::Startup;
                }
            }
            Some(State::Up) if self.state != State::Up && self.state != State::ProbeRtt => {
                self.start_refill();
            }
            _ => {}
        }
    }

    /// HandleInflightTooHigh (§5.5.10.2): once for each probe.
    pub(super) fn handle_inflight_too_high(&mut self, sample: &Sample) {
        self.cycle.prev_probe_too_high = true;
        self.cycle.is_probe_sample = false;
        if !sample.app_limited {
            self.inflight_longterm = sample.tx_in_flight.max(beta(self.target_inflight()));
        }
        if self.state == State::Up {
            self.leave_for_loss(State::Up);
            self.start_down(sample.now);
        }
    }

    /// A congestion mark: as losses beyond the threshold.
    pub(super) fn on_mark(&mut self, flight: u64, now: Instant) {
        if self.state == State::Startup {
            self.end_startup_for_loss();
        } else if self.cycle.is_probe_sample {
            self.cycle.prev_probe_too_high = true;
            self.cycle.is_probe_sample = false;
            self.inflight_longterm = flight.max(beta(self.target_inflight()));
            if self.state == State::Up {
                self.start_down(now);
            }
        }
    }
}
