//! Loss recovery: what an acknowledgement says about the bytes under way, and the phases that a connection goes through
//! when some are lost (RFC 5681 §3.2, RFC 6582 without SACK, RFC 6675 and RFC 8985 with it).
//!
//! What is lost is decided in `rack.rs` (by time) or here (by count); how fast sending goes on in `prr.rs`; whether the loss was
//! none in `undo.rs`; a loss at the very end is found by `tail_probe.rs`. How large the window is belongs to `congestion`.

use crate::base::pool::{Boxes, Pool, Pooled, Recycled};
use crate::base::time::Duration;
use crate::wire::seq::SeqNum;

use super::congestion::{Ack, Congestion, Reduction};
use super::delivered::{Arrival, Delivered};
use super::prr::{Prr, Step};
use super::rack::Reordering;
use super::segment::Segment;
use super::tail_probe::TailProbe;
use super::tcb::{Env, Tcb};
use super::timers::Timer;
use super::undo::Repeats;

/// Duplicate acknowledgements, or segments reported behind a hole, that mean a loss (RFC 5681 §3.2, RFC 6675 §2).
pub const DUP_THRESH: u32 = 3;

/// The shortest time that the peer gets to repeat a report that it seems to have taken back (RFC 2018 §8).
const SHORTEST_DOUBT: Duration = Duration::from_millis(10);

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// No loss is being repaired.
    Open,
    /// The window comes down after a congestion mark (RFC 3168), or a loss that the tail probe repaired.
    Reduced,
    /// Fast recovery: until RECOVER is acknowledged.
    FastRecovery,
    /// After a timeout: what is lost is sent again, in slow start.
    Loss,
}

/// The state of loss recovery.
#[derive(Debug)]
pub struct Recovery {
    /// Where the connection stands.
    pub phase: Phase,
    /// SND.NXT when the phase began: one reduction of the window until this is acknowledged (RFC 6582 §3.2).
    pub recover: SeqNum,
    /// The probe for a loss at the end.
    pub tail_probe: TailProbe,
    /// The retransmission timer fired: the first lost segment goes whatever the window says.
    pub timed_out: bool,
    /// What is known of the path's reordering.
    pub reordering: Reordering,
    /// The repair or reduction that is going on.
    pub episode: Pooled<Episode>,
}

/// One repair, or one reduction.
#[derive(Clone, Debug)]
pub struct Episode {
    /// How fast sending goes on.
    pub prr: Prr,
    /// What was sent again, and whether that was needed.
    pub repeats: Repeats,
}

impl Recycled for Episode {
    fn pool() -> &'static Boxes<Self> {
        static POOL: Boxes<Episode> = Pool::of_boxes();
        &POOL
    }

    fn fresh() -> Self {
        Episode { prr: Prr::default(), repeats: Repeats::new(SeqNum(0)) }
    }

    fn recycle(&mut self) {
        *self = Episode::fresh();
    }
}

/// How things stood before an acknowledgement.
#[derive(Clone, Copy, Debug)]
struct Before {
    una: SeqNum,
    flight: u32,
    /// Bytes under way that no SACK block had reported: RecoverFS of RFC 9937, if recovery begins now.
    unreported: u32,
}

impl Recovery {
    /// Nothing lost; `iss` was the first number sent.
    pub fn new(iss: SeqNum) -> Self {
        Recovery {
            phase: Phase::Open,
            recover: iss,
            tail_probe: TailProbe::default(),
            timed_out: false,
            reordering: Reordering::default(),
            episode: Pooled::none(),
        }
    }

    /// Some of what was sent before `nxt` is sent again for another reason than loss: duplicates that it causes mean nothing.
    pub fn repeat(&mut self, nxt: SeqNum) {
        self.phase = Phase::Loss;
        self.recover = nxt;
        self.episode.clear();
    }
}

impl Tcb {
    /// Bytes that are under way as far as is known.
    pub fn in_flight(&self) -> u32 {
        let sent = &self.flight.sent;
        self.outstanding()
            .saturating_sub(sent.lost())
            .saturating_sub(sent.sacked())
            .saturating_sub(self.flight.departed)
    }

    /// Bytes sent and not acknowledged.
    pub fn outstanding(&self) -> u32 {
        self.snd.nxt.since(self.snd.una)
    }

    /// An acknowledgement that may be believed: SND.UNA moves, SACK blocks are noted, losses found, the window moved.
    pub fn take_acknowledgement(&mut self, segment: &Segment, env: &mut Env) {
        let newer = segment.ack().after(self.snd.una);
        if self.flight.sent.is_empty() && !newer {
            // Nothing was under way: only a late SACK block, or the answer to a tail probe, has something to tell.
            let tells =
                !segment.header.options.sack.is_empty() || self.recovery.tail_probe != TailProbe::Idle;
            if tells {
                self.take_late_report(segment, env);
            }
            return;
        }
        let before = Before {
            una: self.snd.una,
            flight: self.in_flight(),
            unreported: self.outstanding() - self.flight.sent.sacked(),
        };
        let (arrival, mut delivered) = (self.arrival(segment, env), Delivered::default());
        if newer {
            self.advance_una(segment.ack(), &arrival, &mut delivered, env);
        }
        delivered.repeated = !newer && self.is_duplicate_ack(segment);
        self.take_sack_blocks(segment, before.una, &arrival, &mut delivered);
        if !self.agreed.sack {
            self.count_departures(newer, &mut delivered);
        }
        if newer || delivered.sacked {
            self.measure(&delivered, newer, self.echoed(segment), env.now);
        }
        self.counts.delivered += delivered.segments;
        self.count_marked(delivered.segments, segment);
        self.recover(before, &delivered, newer, &arrival, segment, env);
        if newer {
            self.after_advance(env);
        } else if delivered.sacked {
            // Who reports needs no probe.
            self.arm_tail_probe(env);
        }
    }

    fn arrival(&self, segment: &Segment, env: &Env) -> Arrival {
        Arrival {
            now: env.now,
            min_rtt: self.rtt.min_rtt(),
            echoed: self.echoed(segment).map(|ecr| ecr.wrapping_sub(self.ts.offset)),
        }
    }

    /// Nothing is under way: what was sent again may still be reported as a duplicate.
    fn take_late_report(&mut self, segment: &Segment, env: &mut Env) {
        let (arrival, mut delivered) = (self.arrival(segment, env), Delivered::default());
        self.take_sack_blocks(segment, self.snd.una, &arrival, &mut delivered);
        self.take_duplicate(&delivered, segment, env);
        if self.recovery.phase == Phase::Open {
            self.undo_late(&delivered, env);
        }
    }

    /// The timestamp that the peer echoes.
    fn echoed(&self, segment: &Segment) -> Option<u32> {
        segment.header.options.timestamps.filter(|_| self.agreed.timestamps).map(|ts| ts.ecr)
    }

    fn recover(
        &mut self,
        before: Before,
        delivered: &Delivered,
        newer: bool,
        arrival: &Arrival,
        segment: &Segment,
        env: &mut Env,
    ) {
        self.update_rack(delivered, env.now);
        self.take_duplicate(delivered, segment, env);
        if newer && self.flight.sent.is_taken_back() {
            // RFC 2018 §8: the peer has dropped what it reported; the timer begins anew with everything.
            return;
        }
        let (recovered, was) = (self.is_recovered(), self.recovery.phase);
        match self.recovery.phase {
            Phase::Open => {
                // Dragged along: left behind by 2³¹ it would compare as lying ahead.
                self.recovery.recover = if newer { self.snd.una - 1 } else { self.recovery.recover };
                self.undo_late(delivered, env);
            }
            Phase::Reduced if recovered => self.end_reduction(),
            Phase::FastRecovery => self.in_fast_recovery(recovered, newer, delivered, arrival, env),
            Phase::Loss => self.in_loss(recovered, newer, delivered, arrival, env),
            Phase::Reduced => {}
        }
        let lost = self.detect_losses(newer, env);
        if lost > 0 {
            self.flight.delivery.lose(lost);
            if matches!(self.recovery.phase, Phase::Open | Phase::Reduced) {
                self.enter_recovery(before, env);
            }
        }
        // The acknowledgement that ends a reduction leaves the window at ssthresh (RFC 6582 §3.2 step 3, RFC 9937 §6).
        let may_grow = newer && matches!(was, Phase::Open | Phase::Loss);
        self.move_window(before, delivered, may_grow, lost, env);
    }

    /// A duplicate that the peer reports (RFC 2883), and what that means to the tail probe.
    fn take_duplicate(&mut self, delivered: &Delivered, segment: &Segment, env: &Env) {
        if let Some(range) = delivered.duplicate {
            let segments = range.1.since(range.0).div_ceil(self.mss());
            self.trouble.duplicated = self.trouble.duplicated.wrapping_add(segments);
            self.widen_reordering_window(range);
            self.forgive_repeat(range.0, range.1);
        }
        self.judge_tail_probe(segment, delivered, env);
    }

    /// RFC 6582 §3.2: all that was under way when the repair began has arrived.
    fn is_recovered(&self) -> bool {
        self.snd.una.at_or_after(self.recovery.recover)
    }

    /// What is newly found lost, in bytes.
    fn detect_losses(&mut self, newer: bool, env: &Env) -> u32 {
        if self.agreed.sack && env.config.rack {
            return self.detect_by_time(env);
        }
        if self.agreed.sack {
            return self.flight.sent.mark_below_sacked(DUP_THRESH);
        }
        let mss = self.mss();
        match self.recovery.phase {
            // RFC 6582 §3.2 step 3, partial acknowledgement: the next hole begins at SND.UNA.
            Phase::FastRecovery if newer => self.flight.sent.mark_first_lost(mss),
            // Step 2: only if what is acknowledged goes beyond the last recovery's.
            Phase::Open | Phase::Reduced if u32::from(self.flight.dup_acks) >= DUP_THRESH => {
                let fresh =
                    self.recovery.phase == Phase::Reduced || self.snd.una.after(self.recovery.recover);
                if fresh { self.flight.sent.mark_first_lost(mss) } else { 0 }
            }
            _ => 0,
        }
    }

    /// RFC 5681 §2: data is outstanding, the segment carries none, and neither number nor window moves.
    fn is_duplicate_ack(&self, segment: &Segment) -> bool {
        segment.ack() == self.snd.una
            && segment.len() == 0
            && !self.flight.sent.is_empty()
            && u32::from(segment.header.window) << self.agreed.snd_shift == self.snd.wnd
    }

    /// Without SACK each duplicate says that one segment has left the network behind a hole. No more can have left than were sent
    /// behind it (hostile case M8: spoofed duplicates).
    fn count_departures(&mut self, newer: bool, delivered: &mut Delivered) {
        let (mss, outstanding) = (self.mss(), self.outstanding());
        let partial = self.recovery.phase == Phase::FastRecovery && !self.is_recovered();
        let flight = &mut *self.flight;
        if newer {
            let gone = if partial {
                flight.departed.min(delivered.bytes.saturating_sub(mss))
            } else {
                flight.dup_acks = 0;
                flight.departed
            };
            flight.departed -= gone;
            delivered.bytes = delivered.bytes.saturating_sub(gone);
        } else if delivered.repeated {
            flight.dup_acks = flight.dup_acks.saturating_add(1);
            let most = outstanding.saturating_sub(flight.sent.lost()).saturating_sub(mss);
            let departed = flight.departed.saturating_add(mss).min(most);
            delivered.bytes += departed.saturating_sub(flight.departed);
            flight.departed = departed;
        }
    }

    /// A loss was found: the window comes down, once for all losses of this window of data.
    fn enter_recovery(&mut self, before: Before, env: &Env) {
        if self.recovery.phase == Phase::Open {
            self.reduce(Congestion::Loss, before.unreported, env);
        }
        // Amid a reduction, too: what carried CWR may be what was lost.
        self.tell_of_reduction();
        self.recovery.phase = Phase::FastRecovery;
        self.recovery.recover = self.snd.nxt;
        self.recovery.tail_probe = TailProbe::default();
        self.flight.deadlines.clear(Timer::TailProbe);
    }

    /// The window comes down without a loss to repair: the peer echoed a mark, or the tail probe repaired it already.
    pub fn enter_reduction(&mut self, why: Congestion, env: &Env) {
        if self.recovery.phase != Phase::Open {
            return;
        }
        let unreported = self.outstanding() - self.flight.sent.sacked();
        self.reduce(why, unreported, env);
        self.tell_of_reduction();
        self.recovery.phase = Phase::Reduced;
        self.recovery.recover = self.snd.nxt;
    }

    fn reduce(&mut self, why: Congestion, flight: u32, env: &Env) {
        let outstanding = self.outstanding().max(flight).min(self.congestion.window());
        let at = Reduction { mss: self.mss(), flight: outstanding, now: env.now };
        self.congestion.on_congestion(why, &at);
        *self.recovery.episode.get_or_fresh() =
            Episode { prr: Prr::new(flight), repeats: Repeats::new(self.snd.una) };
    }

    /// RFC 9937 §6: at the end the window is ssthresh.
    pub fn end_reduction(&mut self) {
        if self.recovery.phase != Phase::Open && !self.congestion.controls_recovery() {
            let ssthresh = self.congestion.ssthresh();
            self.congestion.set_window(ssthresh);
        }
        self.end_episode();
    }

    /// All is as usual again. What was sent again is remembered: duplicates may still be reported (RFC 3708 §3).
    fn end_episode(&mut self) {
        self.recovery.phase = Phase::Open;
        self.recovery.episode.as_mut().map(Episode::end);
        self.recovery.episode.clear_if(|episode| !episode.has_sent_again());
    }

    fn in_fast_recovery(
        &mut self,
        recovered: bool,
        newer: bool,
        delivered: &Delivered,
        arrival: &Arrival,
        env: &mut Env,
    ) {
        if (newer || delivered.duplicate.is_some()) && self.was_spurious(recovered, arrival) {
            self.undo(env);
        } else if recovered {
            self.end_reduction();
        } else {
            return;
        }
        self.recovery.reordering.on_recovered();
        (self.flight.dup_acks, self.flight.departed) = (0, 0);
    }

    fn in_loss(
        &mut self,
        recovered: bool,
        newer: bool,
        delivered: &Delivered,
        arrival: &Arrival,
        env: &mut Env,
    ) {
        let spurious = (newer && self.was_spurious(recovered, arrival))
            || self.timeout_was_spurious(recovered, newer, delivered);
        if spurious {
            self.undo(env);
        } else if recovered {
            self.end_episode();
        } else {
            return;
        }
        self.recovery.reordering.on_recovered();
    }

    /// The window after an acknowledgement: PRR's while it comes down, else the algorithm's.
    fn move_window(&mut self, before: Before, delivered: &Delivered, may_grow: bool, lost: u32, env: &Env) {
        let in_flight = self.in_flight();
        let in_recovery = matches!(self.recovery.phase, Phase::FastRecovery | Phase::Reduced);
        let (rate, round_ended) =
            self.flight.delivery.deliver(delivered.bytes, delivered.newest, self.rtt.min_rtt(), env.now);
        self.counts.note_rate(rate.as_ref());
        let slow_start = self.congestion.window() < self.congestion.ssthresh();
        let usage = &self.flight.usage;
        let limited = if slow_start { self.congestion.window() / 2 < usage.most } else { usage.limited };
        let rtt = delivered.sent_at.or(delivered.sacked_at).map(|sent_at| env.now.since(sent_at));
        let ack = Ack {
            mss: self.mss(),
            delivered: delivered.bytes,
            lost,
            flight: before.flight,
            in_flight,
            peer_window: self.snd.wnd,
            may_grow: may_grow && limited && !in_recovery,
            in_recovery,
            round_ended,
            rtt,
            min_rtt: self.rtt.min_rtt(),
            rate,
            now: env.now,
        };
        self.congestion.on_ack(&ack);
        if !in_recovery || self.congestion.controls_recovery() || delivered.bytes + lost == 0 {
            return;
        }
        let step = Step {
            delivered: delivered.bytes,
            in_flight,
            safe: self.snd.una != before.una && lost == 0,
            ssthresh: self.congestion.ssthresh(),
            mss: self.mss(),
        };
        if let Some(episode) = self.recovery.episode.as_mut() {
            let window = episode.prr.window(&step);
            self.congestion.set_window(window);
        }
    }

    /// The retransmission timer fired: what is under way counts as lost, but for what left a moment ago (RFC 6298 §5.4 to §5.6,
    /// RFC 8985 §6.3).
    pub fn on_retransmission_timeout(&mut self, env: &mut Env) {
        env.counters.tcp_timeouts += 1;
        self.trouble.time_out(env.now);
        // Repeated timeouts, and one amid a repair, are one event of congestion (RFC 5681 §3.1).
        let amid = self.recovery.phase == Phase::FastRecovery && !self.is_recovered();
        let first = self.retries <= 1 && !amid;
        let flight = self.outstanding().min(self.congestion.window().max(self.mss()));
        let at = Reduction { mss: self.mss(), flight, now: env.now };
        self.congestion.on_timeout(first, &at);
        let rtt = self.flight.rack.rtt().or(self.rtt.srtt());
        let recent = rtt.filter(|_| self.agreed.sack && env.config.rack);
        let before = self.flight.sent.lost();
        self.flight.sent.mark_all_lost(recent, env.now);
        let lost = self.flight.sent.lost().saturating_sub(before);
        self.flight.delivery.lose(lost);
        self.begin_timeout_episode(first, env);
        self.tell_of_reduction();
        self.recovery.phase = Phase::Loss;
        self.recovery.timed_out = true;
        self.recovery.recover = self.snd.nxt;
        self.recovery.tail_probe = TailProbe::default();
        (self.flight.dup_acks, self.flight.departed) = (0, 0);
        self.flight.deadlines.clear(Timer::TailProbe);
        self.flight.deadlines.clear(Timer::Reordering);
        self.rtt.backoff = self.rtt.backoff.saturating_add(1);
        self.arm_retransmit(env);
    }

    /// The reordering timer fired: what has not arrived by now is lost (RFC 8985 §6.2 step 5).
    pub fn on_reordering_timeout(&mut self, env: &Env) {
        let before = Before {
            una: self.snd.una,
            flight: self.in_flight(),
            unreported: self.outstanding() - self.flight.sent.sacked(),
        };
        let lost = self.detect_by_time(env);
        if lost == 0 {
            return;
        }
        self.flight.delivery.lose(lost);
        if matches!(self.recovery.phase, Phase::Open | Phase::Reduced) {
            self.enter_recovery(before, env);
        }
        self.move_window(before, &Delivered::default(), false, lost, env);
        self.arm_retransmit(env);
    }

    /// Starts or restarts the retransmission timer while something is under way (RFC 6298 §5.1 to §5.3).
    pub fn arm_retransmit(&mut self, env: &Env) {
        if self.flight.sent.is_empty() && self.state.is_synchronized() {
            self.deadlines.clear(Timer::Retransmit);
        } else {
            let mut wait = self.rtt.rto(env.config);
            if self.flight.sent.is_taken_back() {
                // It cannot be a late report for long: half a round trip, as Linux waits.
                wait = wait.min((self.rtt.srtt().unwrap_or_default() / 2).max(SHORTEST_DOUBT));
            }
            let wait = self.within_user_timeout(wait, env.now);
            self.deadlines.set(Timer::Retransmit, env.now + wait);
        }
    }
}
