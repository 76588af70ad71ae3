//! The tail loss probe (RFC 8985 §7): a loss of the last segments leaves nobody to report it, so that only the retransmission timeout
//! would. A probe two round trips later draws a report, or repairs a single loss itself.

use crate::base::time::Duration;
use crate::wire::seq::SeqNum;

use super::congestion::Congestion;
use super::delivered::Delivered;
use super::recovery::Phase;
use super::segment::Segment;
use super::tcb::{Env, Tcb};
use super::timers::Timer;

/// How far the probe is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TailProbe {
    /// None is under way.
    #[default]
    Idle,
    /// The timer fired: it leaves with the next chance to send.
    Due,
    /// It is under way; TLP.end_seq, and whether it sent something again.
    Sent {
        /// SND.NXT when it left.
        end: SeqNum,
        /// It repeated the last segment.
        repeated: bool,
    },
}

impl Tcb {
    /// RFC 8985 §7.2: two round trips without an answer, and never after the retransmission timeout (policy 8).
    pub fn arm_tail_probe(&mut self, env: &Env) {
        let sent = &self.flight.sent;
        if sent.is_empty() {
            return;
        }
        let wanted = env.config.tail_loss_probe
            && self.agreed.sack
            && self.recovery.phase != Phase::FastRecovery
            && self.recovery.phase != Phase::Loss
            && self.recovery.tail_probe == TailProbe::Idle
            && sent.sacked() == 0;
        let (Some(srtt), Some(timeout)) =
            (self.rtt.srtt().filter(|_| wanted), self.deadlines.get(Timer::Retransmit))
        else {
            return self.flight.deadlines.clear(Timer::TailProbe);
        };
        // With a single segment under way its acknowledgement may be delayed.
        let single = sent.is_one_record() && self.outstanding() <= self.mss();
        let patience = if single { env.config.min_rto } else { Duration::from_millis(2) };
        let deadline = (env.now + srtt * 2 + patience).min(timeout);
        self.flight.deadlines.set(Timer::TailProbe, deadline);
    }

    /// The timer fired (RFC 8985 §7.3). The retransmission timeout begins anew, whatever the probe does.
    pub fn on_tail_probe_timeout(&mut self, env: &Env) {
        self.recovery.tail_probe = TailProbe::Due;
        self.arm_retransmit(env);
    }

    /// RFC 8985 §7.4: what the acknowledgement says about the probe. If the probe repaired a loss, the window comes down once.
    pub fn judge_tail_probe(&mut self, segment: &Segment, delivered: &Delivered, env: &Env) {
        let TailProbe::Sent { end, repeated } = self.recovery.tail_probe else { return };
        let ack = segment.ack();
        if ack.before(end) {
            return;
        }
        let duplicate = self.reported_duplicate(segment).or(delivered.duplicate).is_some();
        // A plain duplicate of the acknowledgement answers the needless copy, where the peer knows no D-SACK.
        let plain = segment.len() == 0 && ack == self.snd.una && delivered.bytes == 0;
        if !repeated || duplicate {
            self.recovery.tail_probe = TailProbe::Idle;
        } else if ack.after(end) {
            self.recovery.tail_probe = TailProbe::Idle;
            if self.recovery.phase == Phase::Open {
                self.enter_reduction(Congestion::Loss, env);
                self.end_reduction();
            }
        } else if plain {
            self.recovery.tail_probe = TailProbe::Idle;
        }
    }
}
