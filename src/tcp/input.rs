//! Segment arrives (RFC 9293 §3.10.7.4), for a connection that is past SYN-SENT: the RFC's eight steps by name, each of which
//! may end the processing with a [`Verdict`]. Answers are noted and leave with the next `poll_transmit`.

use crate::base::counters::DropReason;
use crate::base::socket::{Readiness, SocketError};
use crate::base::time::Instant;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::Flags;

use super::ack::Provoked;
use super::close::Lingering;
use super::config::TcpConfig;
use super::delivered::{Arrival, Delivered};
use super::giving_up::NEVER;
use super::memory::Budget;
use super::recovery::Recovery;
use super::segment::Segment;
use super::state::State;
use super::statistics::Waits;
use super::tcb::{Env, Tcb, seconds};
use super::timers::Timer;

/// A timestamp older than so many seconds says nothing about order any more (RFC 7323 §5.5).
const TIMESTAMP_LIFETIME: u32 = 24 * 24 * 3600;

/// How a segment ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Taken.
    Done,
    /// Dropped, for a reason to be counted.
    Drop(DropReason),
    /// Dropped and answered with a RST made from it.
    Reset(DropReason),
    /// The connection is over and its peer must be told: RST at SND.NXT.
    Abort(DropReason),
}

/// Go on with the next step, or end with a verdict.
type Step = Result<(), Verdict>;

impl Tcb {
    /// Takes a segment in. In CLOSED and TIME-WAIT nothing comes here any more: the connection owns its tuple no longer.
    pub fn receive(&mut self, segment: &mut Segment, env: &mut Env) -> Verdict {
        self.counts.take(segment);
        let outcome = match self.state {
            State::SynSent => self.arrives_in_syn_sent(segment, env),
            _ => self.arrives(segment, env),
        };
        outcome.err().unwrap_or(Verdict::Done)
    }

    fn arrives(&mut self, segment: &mut Segment, env: &mut Env) -> Step {
        self.check_sequence(segment, env)?;
        self.check_rst(segment, env)?;
        self.check_syn(segment, env)?;
        self.check_ack(segment, env)?;
        self.take_timestamp(segment, env);
        self.check_urgent(segment);
        self.take_text_and_fin(segment, env)
    }

    /// First: sequence number and timestamp.
    fn check_sequence(&mut self, segment: &mut Segment, env: &mut Env) -> Step {
        let its_syn = segment.has(Flags::SYN) && segment.seq() == self.rcv.irs;
        if its_syn && self.state == State::SynReceived {
            self.agree_on_ecn(segment.header.flags);
            if !segment.has(Flags::ACK) {
                // The peer did not get our SYN-ACK.
                self.syn_due = true;
                self.syn_repeated = true;
                return Err(Verdict::Done);
            }
            // The SYN-ACK of a simultaneous open (figure 7): its SYN is known, its ACK counts. Its window is not scaled.
            segment.trim_front(self.rcv.nxt);
            segment.header.window >>= self.agreed.snd_shift;
        }
        self.check_timestamp(segment, env)?;
        if self.is_acceptable(segment) {
            return Ok(());
        }
        self.acknowledge_unacceptable(segment, env);
        Err(Verdict::Drop(DropReason::TcpOutOfWindow))
    }

    /// The test of RFC 9293 §3.4, with two allowances: an empty segment may stand at the right edge (a peer that filled the
    /// window acknowledges from there), and with a window of zero the next byte's ACK and RST still count (MUST-66).
    fn is_acceptable(&self, segment: &Segment) -> bool {
        let (seq, end) = (segment.seq(), segment.end());
        if segment.len() == 0 {
            return seq.at_or_after(self.rcv.nxt) && seq.at_or_before(self.rcv.nxt + self.rcv.wnd());
        }
        if self.rcv.wnd() == 0 {
            return seq == self.rcv.nxt;
        }
        end.after(self.rcv.nxt) && seq.before(self.rcv.adv)
    }

    /// An unacceptable segment is answered with an ACK, a RST never. Answers to segments with data are not limited: lost
    /// acknowledgements are repaired by them; those to empty ones are (policy 19).
    fn acknowledge_unacceptable(&mut self, segment: &Segment, env: &mut Env) {
        if segment.has(Flags::RST) {
            return;
        }
        if segment.has(Flags::SYN) {
            self.answer(Provoked::Challenge, env);
        } else if segment.len() > 0 {
            self.note_old_text(segment, env);
            self.ack.at_once();
        } else {
            self.answer(Provoked::Correction, env);
        }
    }

    /// PAWS (RFC 7323 §5.3, R1). A RST is not held to it (§5.2), a segment without timestamp neither (policy 20).
    fn check_timestamp(&mut self, segment: &Segment, env: &mut Env) -> Step {
        let Some(ts) = segment.header.options.timestamps.filter(|_| self.agreed.timestamps) else {
            return Ok(());
        };
        let older = (ts.val.wrapping_sub(self.ts.recent) as i32) < 0;
        if older && seconds(env.now).wrapping_sub(self.ts.recent_at) < TIMESTAMP_LIFETIME {
            if segment.has(Flags::RST) {
                return Ok(());
            }
            self.acknowledge_unacceptable(segment, env);
            return Err(Verdict::Drop(DropReason::TcpPaws));
        }
        Ok(())
    }

    /// TS.Recent (RFC 7323 §4.3): only a segment that covers the last acknowledgement sent moves it, and only when nothing speaks
    /// against it any more, its acknowledgement least of all: a blind one must not shut the peer out by a timestamp of the far
    /// future (hostile case T12).
    fn take_timestamp(&mut self, segment: &Segment, env: &Env) {
        let ts = segment.header.options.timestamps.filter(|_| self.agreed.timestamps);
        if let Some(ts) = ts.filter(|_| segment.seq().at_or_before(self.ts.last_ack_sent)) {
            self.ts.recent = ts.val;
            self.ts.recent_at = seconds(env.now);
        }
    }

    /// Second: RST. Only the exact number resets; another in the window draws a challenge ACK (RFC 5961 §3.2).
    fn check_rst(&mut self, segment: &Segment, env: &mut Env) -> Step {
        if !segment.has(Flags::RST) {
            return Ok(());
        }
        if segment.seq() != self.rcv.nxt {
            self.answer(Provoked::Challenge, env);
            return Err(Verdict::Drop(DropReason::TcpRst));
        }
        env.counters.tcp_rst_in += 1;
        let error = match self.state {
            State::SynReceived => Some(SocketError::ConnectionRefused),
            // Both directions are closed already: nothing is lost.
            State::Closing | State::LastAck => None,
            State::CloseWait if env.config.broken_pipe_in_close_wait => Some(SocketError::BrokenPipe),
            _ => Some(SocketError::ConnectionReset),
        };
        self.die(error);
        Err(Verdict::Done)
    }

    /// Fourth: SYN. In a synchronized state it draws a challenge ACK, whatever its number (RFC 5961 §4.2).
    fn check_syn(&mut self, segment: &Segment, env: &mut Env) -> Step {
        if !segment.has(Flags::SYN) {
            return Ok(());
        }
        self.answer(Provoked::Challenge, env);
        Err(Verdict::Drop(DropReason::TcpFlags))
    }

    /// Fifth: ACK.
    fn check_ack(&mut self, segment: &Segment, env: &mut Env) -> Step {
        if !segment.has(Flags::ACK) {
            return Err(Verdict::Drop(DropReason::TcpFlags));
        }
        let ack = segment.ack();
        if self.state == State::SynReceived {
            if ack != self.snd.iss + 1 {
                return Err(Verdict::Reset(DropReason::TcpBadAck));
            }
            self.establish(segment, env);
        }
        // RFC 5961 §5.2: what acknowledges the future, or a past older than the largest window, is answered and dropped.
        let oldest = self.snd.una - self.snd.max_wnd;
        if ack.after(self.snd.nxt) || ack.before(oldest) {
            self.answer(Provoked::Correction, env);
            return Err(Verdict::Drop(DropReason::TcpBadAck));
        }
        self.probes = 0;
        self.heard_at = env.now;
        self.take_echo(segment, env);
        let newer = ack.after(self.snd.una);
        self.take_acknowledgement(segment, env);
        if ack == self.snd.una {
            self.update_window(segment, newer);
        }
        if self.snd.wnd == 0 && !self.orphan {
            // Retransmissions into a closed window are probes too (MUST-37): their answers keep the connection.
            self.retries = 0;
        }
        self.closing_ack(env)
    }

    /// New data is acknowledged: SND.UNA moves on.
    pub fn advance_una(&mut self, ack: SeqNum, arrival: &Arrival, delivered: &mut Delivered, env: &mut Env) {
        let fin = self.snd.fin.is_some_and(|fin| ack.after(fin));
        let bytes = ack.since(self.snd.una) - u32::from(fin);
        self.flight.sent.acknowledge(ack, self.snd.fin, arrival, delivered);
        self.send_queue.acknowledge(bytes as usize);
        if self.send_queue.len() == 0 {
            self.counts.wait(Waits::Idle, env.now);
        }
        self.snd.una = ack;
        if self.snd.small.before(ack) {
            self.snd.small = ack;
        }
        if self.snd.up.before(ack) {
            self.snd.up = ack;
        }
        if let Some(trouble) = self.trouble.as_mut() {
            trouble.answered(env.now);
        }
        self.more = false;
        self.retries = 0;
        self.troubled_since = NEVER;
        if self.orphan {
            self.arm_orphan(env);
        }
        self.soft_error = None;
        self.note_delivered(delivered, env.now);
    }

    /// SND.UNA has moved, and what that means to the window is known.
    pub fn after_advance(&mut self, env: &Env) {
        if self.flight.sent.is_empty() {
            self.rest_flight(env.now);
        }
        self.arm_retransmit(env);
        self.arm_tail_probe(env);
        self.tell_room(env.config, env.memory);
    }

    /// Nothing is under way any more. Where the application limits the rate, what was sent still counts until its time is over.
    pub fn rest_flight(&mut self, now: Instant) {
        let (until, held_back) = (self.flight.paced_until, self.flight.held_back);
        self.flight.rest();
        if until > now && self.options.max_pacing_rate.is_some() {
            (self.flight.paced_until, self.flight.held_back) = (until, held_back);
            self.flight.deadlines.set(Timer::Pace, until);
        }
    }

    /// A writer that found the queue full is told when a quarter of it is free.
    pub fn tell_room(&mut self, config: &TcpConfig, memory: Budget) {
        let limit = self.send_limit(config, memory);
        if self.wants_room && self.send_queue.len() <= limit - limit.div_ceil(4).min(limit) {
            self.wants_room = false;
            self.events |= Readiness::OUT;
        }
    }

    /// The peer's window, from segments in order of SND.WL1 and SND.WL2 only; unsigned (MUST-1). One that acknowledges new data
    /// is the newest, though it may be retransmitted data with an old number: without its window SND.UNA alone would move,
    /// and the right edge with it, beyond what the peer ever offered.
    fn update_window(&mut self, segment: &Segment, newer: bool) {
        let (seq, ack) = (segment.seq(), segment.ack());
        if newer || self.snd.wl1.before(seq) || (self.snd.wl1 == seq && self.snd.wl2.at_or_before(ack)) {
            let wnd = u32::from(segment.header.window) << self.agreed.snd_shift;
            if self.snd.wnd == 0 && wnd > 0 && !self.orphan {
                // The probes of the closed window are over: what still waits is timed anew.
                self.probe_backoff = 0;
                self.troubled_since = NEVER;
                self.deadlines.clear(Timer::Probe);
            }
            self.snd.wnd = wnd;
            self.snd.max_wnd = self.snd.max_wnd.max(self.snd.wnd);
            self.snd.wl1 = seq;
            self.snd.wl2 = ack;
        }
    }

    /// What the acknowledgement of our FIN means to each closing state.
    fn closing_ack(&mut self, env: &mut Env) -> Step {
        if !self.fin_acked() {
            return Ok(());
        }
        if self.lingering == Lingering::Waiting {
            self.events |= Readiness::HUP;
        }
        match self.state {
            State::FinWait1 => {
                self.enter(State::FinWait2);
                if self.orphan {
                    self.arm_orphan(env);
                }
            }
            State::Closing => self.enter(State::TimeWait),
            State::LastAck => {
                self.die(None);
                return Err(Verdict::Done);
            }
            _ => {}
        }
        Ok(())
    }

    /// Seventh and eighth: text and FIN.
    pub fn take_text_and_fin(&mut self, segment: &mut Segment, env: &mut Env) -> Step {
        if segment.len() == 0 || !self.state.receives_data() {
            return Ok(());
        }
        // A FIN right behind the window is taken: it needs no room, and its sender need not ask again and again for a window that
        // it has no use for (Linux likewise; RFC 9293 §3.10.7.4 would have it wait).
        let fin_at_edge = segment.has(Flags::FIN) && segment.end() == self.rcv.adv + 1;
        let limit =
            if segment.end().after(self.rcv.adv) && !fin_at_edge { self.rcv.adv } else { segment.end() };
        if limit != segment.end() {
            // Beyond the window: the peer is told where it ends.
            self.ack.at_once();
            segment.trim_back(limit);
        }
        if segment.seq().before(self.rcv.nxt) {
            // A partial duplicate: its sender missed an acknowledgement.
            self.ack.at_once();
            self.note_old_text(segment, env);
            segment.trim_front(self.rcv.nxt);
        } else {
            self.note_text_held(segment, env);
        }
        let has_fin = segment.has(Flags::FIN);
        if let Some(fin) = self.rcv.fin {
            // Nothing can stand behind the FIN: a peer that sends it is broken, and the FIN counts.
            segment.trim_back(fin);
        } else if has_fin {
            self.end_stream(segment.end() - 1);
        }
        self.take_text(segment, env)?;
        if self.rcv.fin == Some(self.rcv.nxt) {
            self.take_fin();
        } else if has_fin {
            // A FIN behind a gap, perhaps alone (RFC 5681 §4.2).
            self.ack.at_once();
        }
        Ok(())
    }

    /// The peer's FIN stands at `fin`. Text behind it that already waits for a gap to fill would carry RCV.NXT past it.
    fn end_stream(&mut self, fin: SeqNum) {
        self.rcv.fin = Some(fin);
        let end = self.rcv.offset + u64::from(fin.since(self.rcv.nxt));
        if let Some(queue) = self.reassembly.as_mut() {
            queue.remove_above(end);
        }
        self.reassembly.clear_if(|queue| queue.is_empty());
    }

    fn take_text(&mut self, segment: &mut Segment, env: &mut Env) -> Step {
        if segment.payload.is_empty() {
            return Ok(());
        }
        env.counters.tcp_in_data += 1;
        self.tune_on_data(segment, env);
        self.counts.received_data(env.now);
        env.counters.tcp_in_bytes += segment.payload.len() as u64;
        let shut = self.read_closed && matches!(self.state, State::FinWait1 | State::FinWait2);
        if self.orphan || shut {
            // Nobody will ever read it: RFC 9293 §3.6.1, half-duplex close (MAY-1, SHLD-3).
            return Err(Verdict::Abort(DropReason::TcpAfterClose));
        }
        self.take_mark(segment, env);
        let payload = self.admit(std::mem::take(&mut segment.payload), env);
        if payload.is_empty() {
            return Ok(());
        }
        if segment.seq() == self.rcv.nxt {
            let len = payload.len();
            let per_segment = len.min(usize::from(self.agreed.advertised_mss));
            self.deliver(payload);
            self.ack.on_data(len, per_segment);
            self.fill_holes();
            return Ok(());
        }
        self.acknowledge_gap();
        self.trouble.out_of_order = self.trouble.out_of_order.wrapping_add(segment.segments);
        let offset = self.rcv.offset + u64::from(segment.seq().since(self.rcv.nxt));
        let limit = self.receive_limit(env.config, env.memory);
        let queue = self.reassembly.get_or_fresh();
        if !queue.insert(offset, payload, limit) {
            env.counters.drop(DropReason::TcpReassemblyFull);
        }
        self.reassembly.clear_if(|queue| queue.is_empty());
        Ok(())
    }

    /// In-order bytes for the application.
    fn deliver(&mut self, payload: crate::base::buffer::Slice) {
        self.rcv.nxt += payload.len() as u32;
        self.rcv.offset += payload.len() as u64;
        self.events |= Readiness::IN;
        self.receive_queue.push(payload);
    }

    /// What waited behind the gap that was just filled.
    fn fill_holes(&mut self) {
        let Some(queue) = self.reassembly.as_mut() else { return };
        self.ack.at_once();
        queue.remove_below(self.rcv.offset);
        while let Some(payload) = self.reassembly.as_mut().and_then(|queue| queue.take(self.rcv.offset)) {
            self.deliver(payload);
        }
        self.reassembly.clear_if(|queue| queue.is_empty());
    }

    fn take_fin(&mut self) {
        self.rcv.nxt += 1;
        self.rcv.fin = None;
        self.rcv.adv = self.rcv.adv.latest(self.rcv.nxt);
        self.ack.at_once();
        self.events |= Readiness::IN | Readiness::RDHUP;
        match self.state {
            State::Established => self.enter(State::CloseWait),
            State::FinWait1 => self.enter(State::Closing),
            State::FinWait2 => self.enter(State::TimeWait),
            _ => {}
        }
    }

    /// An ACK that an attacker could provoke (RFC 5961), limited per connection and kind.
    fn answer(&mut self, kind: Provoked, env: &mut Env) {
        let counters = &mut *env.counters;
        let count = match (kind, self.ack.provoked(kind, env.now)) {
            (Provoked::Challenge, true) => &mut counters.tcp_challenge_acks,
            (Provoked::Challenge, false) => &mut counters.tcp_challenge_acks_limited,
            (Provoked::Correction, true) => &mut counters.tcp_corrections,
            (Provoked::Correction, false) => &mut counters.tcp_corrections_limited,
        };
        *count += 1;
    }

    /// Our SYN is acknowledged: ESTABLISHED, with the first window and the first round trip.
    pub fn establish(&mut self, segment: &Segment, env: &mut Env) {
        let sent_once = self.retries == 0 && !self.syn_repeated;
        self.rtt.syn_retransmitted = self.retries > 0;
        self.conclude_ecn();
        self.rtt.backoff = 0;
        self.retries = 0;
        self.troubled_since = NEVER;
        let at = Some(std::mem::replace(&mut self.heard_at, env.now));
        self.syn_due = false;
        self.deadlines.clear(Timer::Retransmit);
        self.snd.una = self.snd.iss + 1;
        self.snd.up = self.snd.una;
        self.recovery = Recovery::new(self.snd.iss);
        let scaled = if segment.has(Flags::SYN) { 0 } else { self.agreed.snd_shift };
        self.snd.wnd = u32::from(segment.header.window) << scaled;
        self.snd.max_wnd = self.snd.wnd;
        self.snd.wl1 = segment.seq();
        self.snd.wl2 = segment.ack();
        let delivered = Delivered {
            sent_at: at.filter(|_| sent_once),
            retransmitted_at: at.filter(|_| !sent_once),
            ..Delivered::default()
        };
        self.measure(&delivered, true, segment.header.options.timestamps.map(|ts| ts.ecr), env.now);
        self.counts.delivered += 1;
        self.enter(State::Established);
        self.arm_keep_alive(env.now);
        if self.close_due {
            self.enter(State::FinWait1);
        }
        self.events |= Readiness::OUT;
    }
}
