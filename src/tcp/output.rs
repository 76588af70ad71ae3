//! What to send next (RFC 9293 §3.8): SYN, lost data, new data with its FIN, a window probe, a plain ACK; in that order.
//! Nagle's algorithm and both silly-window rules are here. Up to 64 KiB leave in one frame where the device can segment.

use smallvec::SmallVec;

use crate::base::buffer::Slice;
use crate::base::time::{Duration, Instant};
use crate::ip::output::{MAX_PACKET, header_len};
use crate::wire::ip::ecn::NOT_ECT;
use crate::wire::packet::Frame;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, MAX_HEADER, Options, TcpHeader};

use super::ecn::Marks;
use super::frame;
use super::rate::Delivery;
use super::record::segments;
use super::recovery::Phase;
use super::state::State;
use super::statistics::Waits;
use super::tail_probe::TailProbe;
use super::tcb::{Env, Tcb};
use super::timers::Timer;

/// What pacing held back for longer than it had to is made up for, so much of it: more would be a burst that queues have to take.
const MOST_LATE: Duration = Duration::from_millis(2);

impl Tcb {
    /// The next frame of this connection; `None` when there is nothing to send or nothing may be sent.
    pub fn poll_transmit(&mut self, env: &mut Env) -> Option<Frame> {
        if self.state == State::Closed {
            return None;
        }
        if self.syn_due {
            return Some(self.send_syn(env));
        }
        // Each is returned from where it is made: a frame is large, and moving it costs as much as making it.
        if self.state.is_synchronized() {
            let frame = self.send_data(env);
            if frame.is_some() {
                return frame;
            }
        }
        if std::mem::take(&mut self.probe_due) {
            return Some(self.send_probe(env));
        }
        if self.ack.is_due() && self.state != State::SynSent {
            return Some(self.send_ack(env));
        }
        self.rest(env);
        None
    }

    /// After a frame: true where nothing can follow it, so that nobody need ask; then the connection rests already.
    pub fn rest_if_done(&mut self, env: &Env) -> bool {
        let data = self.unsent() > 0 || (self.state.fin_pending() && self.snd.fin.is_none());
        let other = self.probe_due || self.ack.is_due();
        let repair = self.recovery.episode.is_some()
            || self.recovery.tail_probe == TailProbe::Due
            || self.flight.sent.lost() > 0;
        let paced = self.pacing_rate().is_some();
        if data || other || repair || paced || !self.state.is_synchronized() {
            return false;
        }
        self.note_what_sending_waits_for(env);
        self.rest(env);
        true
    }

    /// SYN in SYN-SENT, SYN-ACK in SYN-RECEIVED (policy 1).
    fn send_syn(&mut self, env: &mut Env) -> Frame {
        self.syn_due = false;
        self.counts.sent += 1;
        self.heard_at = env.now;
        env.counters.tcp_retransmits += u64::from(self.retries > 0);
        self.arm_syn(env);
        let answers = self.state == State::SynReceived;
        let config = env.config;
        let scaling = if answers { self.agreed.scaling } else { config.window_scaling };
        let timestamps = if answers { self.agreed.timestamps } else { config.timestamps };
        let options = Options {
            mss: Some(self.agreed.advertised_mss),
            window_scale: scaling.then_some(super::tcb::window_shift(config, &self.options)),
            sack_permitted: if answers { self.agreed.sack } else { config.sack },
            timestamps: timestamps
                .then(|| crate::wire::tcp::Timestamps { val: self.ts_now(env.now), ecr: self.ts.recent }),
            ..Options::default()
        };
        let header = TcpHeader {
            src_port: self.tuple.local.port,
            dst_port: self.tuple.remote.port,
            seq: self.snd.iss,
            ack: if answers { self.rcv.nxt } else { SeqNum(0) },
            flags: if answers { Flags::SYN.with(Flags::ACK) } else { Flags::SYN }
                .with(self.ecn_setup_flags()),
            window: self.initial_window(config) as u16,
            urgent: 0,
            options,
        };
        env.counters.tcp_out += 1;
        frame::build(
            &self.tuple,
            &header,
            SmallVec::new(),
            self.agreed.mss,
            &self.options,
            NOT_ECT,
            env.capabilities,
        )
    }

    /// Bytes per second at most: what the algorithm paces to, and what the application allows.
    pub fn pacing_rate(&self) -> Option<u64> {
        match (self.congestion.pacing_rate(), self.options.max_pacing_rate) {
            (Some(paced), Some(most)) => Some(paced.min(most)),
            (paced, most) => paced.or(most),
        }
    }

    /// Data, unless it is paced and it is not time yet.
    fn send_data(&mut self, env: &mut Env) -> Option<Frame> {
        if self.pacing_rate().is_none() {
            return self.send_next(env);
        }
        if env.now < self.flight.paced_until {
            let until = self.flight.paced_until;
            self.flight.deadlines.set(Timer::Pace, until);
            self.flight.held_back = true;
            return None;
        }
        let frame = self.send_next(env);
        self.flight.held_back &= frame.is_some();
        frame
    }

    /// The tail loss probe, what is lost, new data.
    fn send_next(&mut self, env: &mut Env) -> Option<Frame> {
        if self.prefers_new_data() {
            let new = self.send_new(env);
            if new.is_some() || self.snd.nxt.after(self.recovery.recover) {
                return new;
            }
            self.go_on_repeating();
        }
        if self.recovery.tail_probe == TailProbe::Due {
            let probe = self.send_tail_probe(env);
            if probe.is_some() {
                return probe;
            }
        }
        if self.flight.sent.lost() > 0 {
            let repeated = self.retransmit(env);
            if repeated.is_some() {
                return repeated;
            }
        }
        self.send_new(env)
    }

    /// RFC 8985 §7.3: one new segment if there is one, whatever the congestion window says; else the last one again.
    fn send_tail_probe(&mut self, env: &mut Env) -> Option<Frame> {
        self.recovery.tail_probe = TailProbe::Idle;
        if self.flight.sent.is_empty() {
            return None;
        }
        let mss = self.mss();
        self.override_due = true;
        let new = self.send_new_within(mss, env);
        self.override_due = false;
        let repeated = new.is_none();
        let frame = new.or_else(|| {
            let last = self.flight.sent.last()?.start;
            self.window_for(last)?;
            let departure = self.flight.delivery.depart(self.in_flight());
            let (start, end) = self.flight.sent.retransmit_last(mss, departure, env.now)?;
            Some(self.send_again(start, end, env))
        })?;
        env.counters.tcp_tail_probes += 1;
        self.recovery.tail_probe = TailProbe::Sent { end: self.snd.nxt, repeated };
        // RFC 8985 §7.2: no further probe while one is unanswered; sending it armed the timer again.
        self.flight.deadlines.clear(Timer::TailProbe);
        self.arm_retransmit(env);
        Some(frame)
    }

    /// The first lost range again, as much as the congestion window allows. After a timeout, with nothing under way, and for the
    /// hole of NewReno (RFC 6582 §3.2 step 2) one segment goes in any case.
    fn retransmit(&mut self, env: &mut Env) -> Option<Frame> {
        let (mss, in_flight) = (self.mss(), self.in_flight());
        let first = self.flight.sent.first_lost()?;
        let (first, len) = (first.start, first.end.since(first.start));
        let free = self.congestion.window().saturating_sub(in_flight);
        // Whole segments, or one that was shorter anyway; but after a timeout the window of one segment is one, as Linux counts.
        let short = len <= free.min(mss) && self.recovery.phase != Phase::Loss;
        let room = if short { free } else { free / mss * mss };
        let hole = !self.agreed.sack && self.recovery.phase == Phase::FastRecovery;
        let forced = in_flight == 0 || hole || self.recovery.timed_out;
        let max = if forced { room.max(mss) } else { room };
        if max == 0 {
            return None;
        }
        let max = max.min(self.super_segment(env)).min(self.window_for(first)?);
        let departure = self.flight.delivery.depart(in_flight + max);
        let full = self.full_segment();
        let (start, end) = self.flight.sent.retransmit(max, full, departure, env.now)?;
        self.recovery.timed_out = false;
        if start == self.snd.una || self.deadlines.get(Timer::Retransmit).is_none() {
            self.arm_retransmit(env);
        }
        Some(self.send_again(start, end, env))
    }

    fn send_again(&mut self, start: SeqNum, end: SeqNum, env: &mut Env) -> Frame {
        env.counters.tcp_retransmits += 1;
        self.trouble.retransmitted += segments(start, end, self.mss(), self.snd.fin);
        if let Some(episode) = self.recovery.episode.as_mut() {
            episode.repeats.sent_again(end.since(start), env.now);
        }
        let fin = self.snd.fin.is_some_and(|fin| fin.before(end));
        self.trouble.retransmitted_bytes += u64::from(end.since(start) - u32::from(fin));
        self.send_range(start, end, fin, true, Marks::default(), env)
    }

    /// How much from `start` on the peer's window has room for. After a shrink what fits goes again as usual (SHLD-16) and what does
    /// not waits (no use of MAY-7), but for the first byte after a timeout: that is the probe of a window shrunk to zero (MUST-35).
    fn window_for(&self, start: SeqNum) -> Option<u32> {
        match (self.snd.una + self.snd.wnd).offset_from(start) {
            room if room > 0 => Some(room as u32),
            _ => (start == self.snd.una && self.retries > 0).then(|| self.mss()),
        }
    }

    /// New data, and the FIN behind the last of it.
    fn send_new(&mut self, env: &mut Env) -> Option<Frame> {
        // One segment at least: the MSS may have grown since the window was set (`mtu`), and nothing would ever open it.
        let room = self.congestion.window().max(self.mss()).saturating_sub(self.in_flight());
        self.send_new_within(room, env)
    }

    fn send_new_within(&mut self, congestion: u32, env: &mut Env) -> Option<Frame> {
        let unsent = self.unsent();
        let fin_due = self.state.fin_pending() && self.snd.fin.is_none();
        if unsent == 0 && !fin_due {
            self.note_what_sending_waits_for(env);
            return None;
        }
        let window = (self.snd.una + self.snd.wnd).offset_from(self.snd.nxt).max(0) as u32;
        if unsent > 0 {
            let by_window = window < congestion.min(unsent).min(self.mss());
            self.counts.wait(if by_window { Waits::Window } else { Waits::Busy }, env.now);
        }
        let len = self.how_much(unsent, window, congestion, fin_due, env)?;
        let with_fin = |len| fin_due && len == unsent && window > len;
        if len == 0 && !with_fin(len) {
            return None;
        }
        let len = if self.flight.sent.is_empty() { self.wake_congestion(len, env) } else { len };
        let fin = with_fin(len);
        let overridden = std::mem::take(&mut self.override_due);
        self.probe_backoff = 0;
        self.deadlines.clear(Timer::Probe);
        let start = self.snd.nxt;
        let end = start + len + u32::from(fin);
        self.snd.nxt = end;
        if fin {
            self.snd.fin = Some(end - 1);
        }
        if len % self.full_segment() != 0 {
            self.snd.small = end;
        }
        self.depart(start, end, env);
        if self.deadlines.get(Timer::Retransmit).is_none() {
            self.arm_retransmit(env);
        }
        self.arm_tail_probe(env);
        let marks = if len > 0 { self.mark_new_data(env) } else { Marks::default() };
        Some(self.send_range(start, end, fin, overridden, marks, env))
    }

    /// All was sent: more is to come from the application, or nothing.
    fn note_what_sending_waits_for(&mut self, env: &Env) {
        if !self.flight.sent.is_empty() {
            self.counts.wait(if self.wants_room { Waits::Buffer } else { Waits::Busy }, env.now);
        }
    }

    /// Notes that `start..end` is under way from now on.
    fn depart(&mut self, start: SeqNum, end: SeqNum, env: &Env) {
        if self.flight.sent.is_empty() {
            self.flight.delivery = Delivery::starting(self.send_queue.acknowledged(), env.now);
        }
        let (in_flight, mss) = (self.in_flight(), self.mss());
        let departure = self.flight.delivery.depart(in_flight);
        let full = self.full_segment();
        self.flight.sent.push(start, end, full, departure, env.now);
        let limited = in_flight.saturating_add(mss) > self.congestion.window();
        self.flight.usage.note(in_flight, limited, self.snd.una, self.snd.nxt);
    }

    /// `len` bytes are to be sent after nothing was under way: the algorithm hears how long that was. Returns how many of them go.
    fn wake_congestion(&mut self, len: u32, env: &Env) -> u32 {
        let (idle, rto) = (self.counts.since_data_sent(env.now), self.rtt.rto(env.config));
        let restart = env.config.slow_start_after_idle && idle >= rto;
        let restart = restart.then(|| self.congestion.window().min(env.config.initial_window * self.mss()));
        self.congestion.on_idle(idle, rto, restart, env.now);
        let (window, full) = (self.congestion.window(), self.full_segment());
        // RFC 5681 §4.1: the restart window holds for the first frame, too.
        if len > window { len.min((window / full).max(1) * full) } else { len }
    }

    /// How many bytes of new data go now: whole segments, and a short one only where the silly-window rule (RFC 9293
    /// §3.8.6.2.1, MUST-38) and Nagle (§3.7.4) allow it. `None`: wait.
    fn how_much(&self, unsent: u32, window: u32, congestion: u32, fin: bool, env: &Env) -> Option<u32> {
        let mss = self.full_segment();
        let len = unsent.min(window).min(congestion).min(self.super_segment(env));
        let tail = len % mss;
        let everything = len == unsent;
        // Policy 14. Minshall: a short segment waits only for the acknowledgement of another short one. Cork and `MSG_MORE` hold it in
        // any case; FIN, urgent data and the override (one RTO with nothing under way, MUST-60) go.
        let nagle = self.options.nodelay || self.snd.small.at_or_before(self.snd.una);
        let urgent = self.snd.up.after(self.snd.nxt);
        let free = fin || urgent || self.override_due || (nagle && !self.is_corked());
        if tail == 0 || (everything && free) {
            return Some(len);
        }
        if len > mss {
            return Some(len - tail);
        }
        // Less than a segment: half of the largest window the peer ever had, or the override timer (§3.8.6.2.1 (3), (4)).
        let window_limited = len == window && !everything;
        (window_limited && (len >= self.snd.max_wnd / 2 || self.override_due)).then_some(len)
    }

    /// More is to come, so that less than a full segment waits for it.
    fn is_corked(&self) -> bool {
        self.options.cork || self.more
    }

    /// Payload of a full segment sent now: SACK blocks take their room from it (RFC 6691 §3.1; or it would exceed the MTU).
    fn full_segment(&self) -> u32 {
        if self.reports_nothing() {
            return self.mss();
        }
        let blocks = self.sack_blocks().len();
        self.mss() - if blocks > 0 { 4 + 8 * blocks as u32 } else { 0 }
    }

    /// The largest payload for one frame, whole segments (tun facts: up to 65,535 bytes of IP packet).
    fn super_segment(&self, env: &Env) -> u32 {
        let full = self.full_segment();
        if !env.capabilities.tcp_segmentation || self.has_urgent_data() {
            return full;
        }
        let mut room = MAX_PACKET - header_len(self.tuple.remote.addr) - MAX_HEADER;
        if let Some(rate) = self.pacing_rate() {
            // Paced bursts are of a millisecond at most, but of two segments.
            room = room.min((rate / 1_000) as usize).max(2 * full as usize);
        }
        (room as u32 / full * full).max(full)
    }

    fn send_range(
        &mut self,
        start: SeqNum,
        end: SeqNum,
        fin: bool,
        push: bool,
        marks: Marks,
        env: &mut Env,
    ) -> Frame {
        let data_end = if fin { end - 1 } else { end };
        let len = data_end.since(start) as usize;
        let offset = start.since(self.data_start()) as usize;
        let payload = self.send_queue.slices(offset, len);
        let mut flags = Flags::ACK.with(marks.flags);
        // PSH on the last byte written, unless more is announced (policy 13; MUST-61). What waited for it goes with PSH.
        if len > 0 && data_end == self.data_end() && (push || fin || !self.is_corked()) {
            flags = flags.with(Flags::PSH);
        }
        if fin {
            flags = flags.with(Flags::FIN);
        }
        if len > 0 {
            env.counters.tcp_out_data += 1;
            env.counters.tcp_out_bytes += len as u64;
            self.counts.sent_data(env.now);
            self.note_sent(len as u32, env.now);
        }
        self.emit(start, flags, payload, marks.field, env)
    }

    /// What recovery and pacing want to know of data that leaves.
    fn note_sent(&mut self, len: u32, now: Instant) {
        if let Some(episode) = self.recovery.episode.as_mut() {
            episode.prr.sent(len);
        }
        if let Some(rate) = self.pacing_rate() {
            let takes = Duration::from_nanos(u64::from(len) * 1_000_000_000 / rate.max(1));
            // What was held back and leaves late makes up for it: a timer is never quite in time. A pause is no reason for a burst.
            let from = if self.flight.held_back { now - MOST_LATE } else { now };
            self.flight.paced_until = self.flight.paced_until.max(from) + takes;
        }
    }

    /// An empty segment at SND.UNA − 1: out of the peer's window, so that it must answer (policy 15; MUST-36).
    fn send_probe(&mut self, env: &mut Env) -> Frame {
        self.emit(self.snd.una - 1, Flags::ACK, SmallVec::new(), NOT_ECT, env)
    }

    fn send_ack(&mut self, env: &mut Env) -> Frame {
        self.emit(self.acceptable_seq(), Flags::ACK, SmallVec::new(), NOT_ECT, env)
    }

    /// SND.NXT, unless the peer has shrunk its window below it: then the window's right edge, which the peer still accepts
    /// (RFC 9293 §3.4). What rounding a scaled window takes away is no shrinking.
    fn acceptable_seq(&self) -> SeqNum {
        let edge = self.snd.una + self.snd.wnd;
        let beyond = self.snd.nxt.offset_from(edge);
        if beyond >= 1 << self.agreed.snd_shift { edge } else { self.snd.nxt }
    }

    /// Nothing more to send now: what waits gets its timer.
    fn rest(&mut self, env: &Env) {
        if self.ack.may_wait() && self.deadlines.get(Timer::DelayedAck).is_none() {
            self.deadlines.set(Timer::DelayedAck, env.now + env.config.delayed_ack);
        }
        let in_flight = self.in_flight();
        let repaired = !self.flight.sent.is_empty() && self.flight.sent.lost() == 0;
        if self.unsent() == 0 && repaired && in_flight < self.congestion.window() {
            self.flight.delivery.limit_by_application(in_flight);
        }
        // With nothing under way only the peer's window can hold back what is queued (SHLD-29: first probe after one RTO), or pacing.
        let waits = self.unsent() > 0 || (self.state.fin_pending() && self.snd.fin.is_none());
        let waits = waits && self.flight.paced_until <= env.now;
        if waits && self.flight.sent.is_empty() && self.state.is_synchronized() {
            if self.deadlines.get(Timer::Probe).is_none() {
                self.arm_probe(env);
            }
        } else {
            self.deadlines.clear(Timer::Probe);
        }
    }

    /// Every segment after the handshake: acknowledgement and echo of marks, window, timestamps, SACK blocks.
    fn emit(
        &mut self,
        seq: SeqNum,
        flags: Flags,
        payload: SmallVec<[Slice; 4]>,
        ecn: u8,
        env: &mut Env,
    ) -> Frame {
        let flags = flags.with(self.ecn_echo());
        let window = self.select_window(env);
        let full = self.full_segment() as u16;
        let len: usize = payload.iter().map(|slice| slice.len()).sum();
        let segments = (len as u32).div_ceil(full.into()).max(1);
        self.counts.sent = self.counts.sent.wrapping_add(segments);
        self.counts.sent_with_data =
            self.counts.sent_with_data.wrapping_add(if len > 0 { segments } else { 0 });
        let urgent = self.urgent_pointer(seq);
        let options =
            Options { timestamps: self.timestamps(env.now), sack: self.sack_blocks(), ..Options::default() };
        let header = TcpHeader {
            src_port: self.tuple.local.port,
            dst_port: self.tuple.remote.port,
            seq,
            ack: self.rcv.nxt,
            flags: if urgent.is_some() { flags.with(Flags::URG) } else { flags },
            window,
            urgent: urgent.unwrap_or(0),
            options,
        };
        self.ack.sent();
        self.reported(env);
        self.ts.last_ack_sent = self.rcv.nxt;
        self.deadlines.clear(Timer::DelayedAck);
        env.counters.tcp_out += 1;
        frame::build(&self.tuple, &header, payload, full, &self.options, ecn, env.capabilities)
    }

    /// The window field. The right edge moves only by a worthwhile step (RFC 9293 §3.8.6.2.2, MUST-39) and never back.
    fn select_window(&mut self, env: &Env) -> u16 {
        let (free, offered) = (self.free_window(env.config, env.memory), self.rcv.wnd());
        let window = if free >= offered.saturating_add(self.window_step(env)) { free } else { offered };
        let shift = self.agreed.rcv_shift;
        // Rounded up (policy 3) while there is memory for it, then down: small segments would move the edge by what rounding adds
        // for ever. What an earlier field allowed is still taken (RFC 7323 §2.4).
        let field = if free >> shift > 0 { window.div_ceil(1 << shift) } else { window >> shift };
        let field = field.min(u32::from(u16::MAX));
        self.rcv.adv = self.rcv.adv.latest(self.rcv.nxt + (field << shift));
        // The edge may lie beyond what this field can say (an unscaled window that was read empty): offer what fits.
        field as u16
    }

    /// The least by which the window's right edge moves: one segment, or half of a small buffer.
    fn window_step(&self, env: &Env) -> u32 {
        u32::from(self.agreed.advertised_mss)
            .min((self.receive_limit(env.config, env.memory) / 4) as u32)
            .max(1)
    }

    /// The application has read: a window that at least doubled is announced (a lost update is repaired by the peer's probe). More
    /// than the field can say is no news: without window scaling every read would draw an ACK.
    pub fn after_read(&mut self, env: &Env) {
        self.tune_on_read(env);
        let most = u32::from(u16::MAX) << self.agreed.rcv_shift;
        let (free, offered) = (self.free_window(env.config, env.memory).min(most), self.rcv.wnd());
        let worthwhile = free >= offered.saturating_add(self.window_step(env)) && free / 2 >= offered;
        if worthwhile && self.state.receives_data() {
            self.ack.at_once();
        }
    }
}
