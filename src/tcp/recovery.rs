//! Loss recovery by duplicate acknowledgements and by timeout (RFC 5681 §3.2, RFC 6582): what counts as lost, and when the
//! window is reduced. SACK-based recovery is not here yet.

use crate::base::time::Instant;
use crate::wire::seq::SeqNum;

use super::congestion::{Ack, Congestion, Reduction};
use super::sent::Acked;
use super::tcb::{Env, Tcb};
use super::timers::Timer;

/// Duplicate acknowledgements that mean a loss (RFC 5681 §3.2).
pub const DUP_THRESH: u32 = 3;

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// No loss is being repaired.
    Open,
    /// Fast recovery: until RECOVER is acknowledged.
    FastRecovery,
    /// After a timeout: everything is sent again, in slow start.
    Loss,
}

/// The state of loss recovery.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// Where the connection stands.
    pub phase: Phase,
    /// SND.NXT when the phase began: one reduction of the window until this is acknowledged (RFC 6582 §3.2).
    recover: SeqNum,
    dup_acks: u32,
    /// Bytes that duplicate acknowledgements say have left the network.
    departed: u32,
}

impl Recovery {
    /// Nothing lost.
    pub fn new(iss: SeqNum) -> Self {
        Recovery { phase: Phase::Open, recover: iss, dup_acks: 0, departed: 0 }
    }

    /// Some of what was sent before `nxt` is sent again for another reason than loss: duplicates that it causes mean nothing.
    pub fn repeat(&mut self, nxt: SeqNum) {
        *self = Recovery { phase: Phase::Loss, recover: nxt, dup_acks: 0, departed: 0 };
    }

    /// Duplicate acknowledgements in a row.
    pub fn dup_acks(&self) -> u32 {
        self.dup_acks
    }

    /// Nothing lost, and nothing sent before `una` matters.
    pub fn restart(&mut self, una: SeqNum) {
        *self = Recovery::new(una);
    }
}

impl Tcb {
    /// Bytes that are under way as far as is known.
    pub fn in_flight(&self) -> u32 {
        self.snd
            .nxt
            .since(self.snd.una)
            .saturating_sub(self.sent.lost())
            .saturating_sub(self.recovery.departed)
    }

    /// SND.UNA moved on by `acked`, with `flight` bytes under way before.
    pub fn on_new_ack(&mut self, acked: u32, flight: u32, env: &Env) {
        let mss = self.mss();
        let recovered = self.snd.una.at_or_after(self.recovery.recover);
        match self.recovery.phase {
            Phase::Open => {
                self.tell_of_ack(acked, flight, env);
                // Dragged along: left behind by 2³¹ it would compare as lying ahead.
                self.recovery.recover = self.snd.una;
            }
            Phase::Loss => {
                self.tell_of_ack(acked, flight.max(acked), env);
                if recovered {
                    self.recovery.phase = Phase::Open;
                }
            }
            // RFC 6582 §3.2 step 3, full acknowledgement: the window is ssthresh already.
            Phase::FastRecovery if recovered => self.recovery.phase = Phase::Open,
            // Partial acknowledgement: the next hole begins at SND.UNA.
            Phase::FastRecovery => {
                self.sent.mark_first_lost(mss);
                self.recovery.departed = self.recovery.departed.saturating_sub(acked.saturating_sub(mss));
                return;
            }
        }
        self.recovery.dup_acks = 0;
        self.recovery.departed = 0;
    }

    /// Only a window that limits the sender may grow: in slow start while cwnd < 2 · flight, else when it is used up.
    fn tell_of_ack(&mut self, delivered: u32, flight: u32, env: &Env) {
        let (mss, cwnd) = (self.mss(), self.congestion.window());
        let slow_start = cwnd < self.congestion.ssthresh();
        let may_grow = if slow_start { cwnd / 2 < flight } else { cwnd < flight.saturating_add(mss) };
        let ack = Ack {
            mss,
            delivered,
            lost: 0,
            flight,
            in_flight: self.in_flight(),
            may_grow,
            in_recovery: false,
            round_ended: false,
            rtt: None,
            min_rtt: self.rtt.min_rtt(),
            rate: None,
            now: env.now,
        };
        self.congestion.on_ack(&ack);
    }

    /// A duplicate acknowledgement came (RFC 5681 §2): a segment has left the network behind a hole.
    pub fn on_duplicate_ack(&mut self, env: &mut Env) {
        let mss = self.mss();
        let outstanding = self.snd.nxt.since(self.snd.una);
        self.recovery.dup_acks = self.recovery.dup_acks.saturating_add(1);
        // More segments cannot have left than were sent behind the hole (hostile case M8: spoofed duplicates).
        let most = outstanding.saturating_sub(self.sent.lost()).saturating_sub(mss);
        self.recovery.departed = (self.recovery.departed.saturating_add(mss)).min(most);
        // RFC 6582 §3.2 step 1: only if the data acknowledged so far includes the last recovery's.
        let fresh = self.snd.una.at_or_after(self.recovery.recover);
        if self.recovery.phase == Phase::Open && self.recovery.dup_acks >= DUP_THRESH && fresh {
            self.recovery.phase = Phase::FastRecovery;
            self.recovery.recover = self.snd.nxt;
            self.congestion
                .on_congestion(Congestion::Loss, &Reduction { mss, flight: outstanding, now: env.now });
            let ssthresh = self.congestion.ssthresh();
            self.congestion.set_window(ssthresh);
            self.sent.mark_first_lost(mss);
        }
    }

    /// The retransmission timer fired: everything under way counts as lost (RFC 6298 §5.4 to §5.6).
    pub fn on_retransmission_timeout(&mut self, env: &mut Env) {
        let flight = self.snd.nxt.since(self.snd.una);
        env.counters.tcp_timeouts += 1;
        let at = Reduction { mss: self.mss(), flight, now: env.now };
        self.congestion.on_timeout(self.retries <= 1, &at);
        self.recovery.phase = Phase::Loss;
        self.recovery.recover = self.snd.nxt;
        self.recovery.dup_acks = 0;
        self.recovery.departed = 0;
        self.sent.mark_all_lost();
        self.rtt.backoff = self.rtt.backoff.saturating_add(1);
        self.arm_retransmit(env);
    }

    /// Starts or restarts the retransmission timer while something is under way (RFC 6298 §5.1 to §5.3).
    pub fn arm_retransmit(&mut self, env: &Env) {
        if self.sent.is_empty() && self.state.is_synchronized() {
            self.deadlines.clear(Timer::Retransmit);
        } else {
            let wait = self.within_user_timeout(self.rtt.rto(env.config), env.now);
            self.deadlines.set(Timer::Retransmit, env.now + wait);
        }
    }

    /// Measures the round trip of what is acknowledged now: by the time it was sent, if all of it was sent once (Karn's rule).
    /// Otherwise by the echoed timestamp, unless that is older than the retransmission: then it echoes the original, whose
    /// acknowledgement was lost, and says how long the timeout was and not the round trip (RFC 7323 §4.1). A measurement ends
    /// the back-off (RFC 6298 §5.7).
    pub fn measure(&mut self, acked: Acked, echoed: Option<u32>, now: Instant) {
        let rtt = match (acked.retransmitted_at, acked.sent_at) {
            (None, Some(sent_at)) => now.since(sent_at),
            (Some(again), _) => {
                let Some(ecr) = echoed.filter(|_| self.agreed.timestamps) else { return };
                let elapsed = u64::from(self.ts_now(now).wrapping_sub(ecr));
                if elapsed > now.as_millis().saturating_sub(again.as_millis()) {
                    return;
                }
                std::time::Duration::from_millis(elapsed.max(1))
            }
            (None, None) => return,
        };
        self.rtt.sample(rtt);
        self.rtt.backoff = 0;
    }
}
