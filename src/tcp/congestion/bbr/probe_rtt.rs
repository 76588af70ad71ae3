//! ProbeRTT (§5.3.4): where the shortest round trip was not seen for five seconds, half of the bytes under way are let go for 200 ms,
//! so that the queue empties and it can be seen.

use super::probe_bw::AckPhase;
use super::{Bbr, Sample, State};
use crate::base::time::{Duration, Instant};

/// BBR.ProbeRTTDuration.
const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);

impl Bbr {
    /// CheckProbeRTT.
    pub(super) fn check_probe_rtt(&mut self, sample: &Sample) {
        let needless = self.idle_restart || self.has_no_queue(sample);
        if self.state != State::ProbeRtt && self.min_rtt.expired && !needless {
            self.save_cwnd();
            self.state = State::ProbeRtt;
            self.probe_rtt_done = None;
            self.cycle.ack_phase = AckPhase::ProbeStopping;
            self.rounds.restart();
        }
        if self.state == State::ProbeRtt {
            self.handle_probe_rtt(sample);
        }
        if sample.newly_acked > 0 {
            self.idle_restart = false;
        }
    }

    /// The peer's window holds no more than the path does, give or take what a delayed acknowledgement holds back.
    fn has_no_queue(&self, sample: &Sample) -> bool {
        sample.peer_window <= self.bdp(self.max_bw.get(), 100).saturating_add(2 * self.mss)
    }

    fn handle_probe_rtt(&mut self, sample: &Sample) {
        // MarkConnectionAppLimited: what is sent until all of this is delivered is slower than the path.
        self.app_limited_until = Some(self.rounds.delivered.saturating_add(sample.in_flight));
        if self.probe_rtt_done.is_none() {
            if sample.in_flight <= self.probe_rtt_cwnd() {
                self.probe_rtt_done = Some(sample.now + PROBE_RTT_DURATION);
                self.probe_rtt_round_done = false;
                self.rounds.restart();
            }
            return;
        }
        self.probe_rtt_round_done |= self.rounds.start;
        if self.probe_rtt_round_done {
            self.check_probe_rtt_done(sample.now);
        }
    }

    /// CheckProbeRTTDone and ExitProbeRTT.
    pub(super) fn check_probe_rtt_done(&mut self, now: Instant) {
        if self.probe_rtt_done.is_none_or(|done| now <= done) {
            return;
        }
        self.min_rtt.probed(now);
        self.restore_cwnd();
        self.reset_short_term_model();
        if self.full_pipe.reached {
            // §5.3.4.4: the queue is empty already.
            self.start_down(now);
            self.state = State::Cruise;
        } else {
            self.state = State::Startup;
        }
    }

    /// ProbeRTTCwnd (§5.6.4.5).
    pub(super) fn probe_rtt_cwnd(&self) -> u64 {
        self.bdp(self.bw(), State::ProbeRtt.cwnd_gain()).max(self.min_pipe_cwnd())
    }
}
