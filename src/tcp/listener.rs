//! Listeners and what comes before a connection: the SYN queue of half-open entries and the accept queue (RFC 9293 §3.10.7.2).
//!
//! A half-open entry is a connection in SYN-RECEIVED in less than 100 bytes. For the moment a segment takes, it is blown up to a
//! [`Tcb`], so that there is one implementation of each rule; it stays one when its SYN-ACK is acknowledged.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::base::counters::{Counters, DropReason};
use crate::base::time::Instant;
use crate::wire::ip::Endpoint;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Options, TcpHeader, Timestamps};

use super::ack::AnswerLimit;
use super::close;
use super::input::Verdict;
use super::options::SocketOptions;
use super::segment::{FourTuple, Segment};
use super::state::State;
use super::tcb::{Env, Tcb};
use super::{ListenerId, Owner, Tcp, env};

/// How far behind the old connection's last number a reopened one begins: more than a window that is not scaled.
const REOPEN_STEP: u32 = 65_537;

/// A passive open: where it listens and what waits.
#[derive(Debug)]
pub struct Listener {
    /// Where it listens; an unspecified address stands for every address of the stack.
    pub local: Endpoint,
    /// Its options, which its connections inherit.
    pub options: Arc<SocketOptions>,
    /// Established connections that wait for accept, at most.
    pub backlog: usize,
    /// Those that wait, by place in the table of connections.
    pub accept_queue: VecDeque<u32>,
    /// Half-open entries of this listener.
    pub half_open: usize,
    /// An event was queued and nobody accepted since.
    pub noticed: bool,
}

impl Listener {
    /// A listener without a connection.
    pub fn new(local: Endpoint, backlog: usize, options: Arc<SocketOptions>) -> Self {
        Listener {
            local,
            options,
            backlog: backlog.max(1),
            accept_queue: VecDeque::new(),
            half_open: 0,
            noticed: false,
        }
    }

    /// True if no further connection may wait.
    pub fn is_full(&self) -> bool {
        self.accept_queue.len() >= self.backlog
    }
}

/// A connection in SYN-RECEIVED from a listener.
#[derive(Clone, Debug)]
pub struct HalfOpen {
    /// Both ends.
    pub tuple: FourTuple,
    /// Place of its listener.
    pub listener: u32,
    /// SYN-ACKs sent again so far.
    pub retries: u8,
    /// The SYN came again and its SYN-ACK went out again: no round trip can be measured (Karn's rule).
    repeated: bool,
    iss: SeqNum,
    irs: SeqNum,
    window: u16,
    mss: Option<u16>,
    window_scale: Option<u8>,
    sack_permitted: bool,
    timestamp: Option<u32>,
    sent_at: Instant,
    limit: AnswerLimit,
}

impl HalfOpen {
    /// What a SYN leaves behind. Data that came with it is not kept: the peer sends it again.
    pub fn new(syn: &Segment, listener: u32, iss: SeqNum, now: Instant) -> Self {
        let options = &syn.header.options;
        HalfOpen {
            tuple: syn.tuple,
            listener,
            retries: 0,
            repeated: false,
            iss,
            irs: syn.seq(),
            window: syn.header.window,
            mss: options.mss,
            window_scale: options.window_scale,
            sack_permitted: options.sack_permitted,
            timestamp: options.timestamps.map(|ts| ts.val),
            sent_at: now,
            limit: AnswerLimit::default(),
        }
    }

    /// The connection this entry stands for, in SYN-RECEIVED.
    pub fn to_tcb(&self, ts_offset: u32, options: Arc<SocketOptions>, env: &Env) -> Tcb {
        let mut tcb = Tcb::new(self.tuple, State::SynReceived, self.iss, ts_offset, options, env);
        tcb.listener = Some(self.listener);
        tcb.retries = self.retries;
        tcb.syn_repeated = self.repeated;
        tcb.syn_sent_at = self.sent_at;
        tcb.ack.limit = self.limit;
        tcb.snd.nxt = self.iss + 1;
        let syn = TcpHeader {
            seq: self.irs,
            flags: Flags::SYN,
            window: self.window,
            options: Options {
                mss: self.mss,
                window_scale: self.window_scale,
                sack_permitted: self.sack_permitted,
                timestamps: self.timestamp.map(|val| Timestamps { val, ecr: 0 }),
                ..Options::default()
            },
            ..TcpHeader::default()
        };
        tcb.take_syn(&syn, env);
        tcb
    }

    /// True if `segment` is this entry's SYN come again.
    pub fn is_repeated_syn(&self, segment: &Segment) -> bool {
        segment.has(Flags::SYN) && !segment.has(Flags::ACK) && segment.seq() == self.irs
    }
}

impl Tcp {
    /// Segment arrives in LISTEN, or in CLOSED where nobody listens (RFC 9293 §3.10.7.1 and §3.10.7.2).
    pub(super) fn for_listener(&mut self, segment: Segment, counters: &mut Counters, now: Instant) {
        let found = self.find_listener(&segment.tuple.local);
        let syn = segment.has(Flags::SYN);
        let Some(index) = found.filter(|_| !segment.has(Flags::ACK) && !segment.has(Flags::RST)) else {
            // An ACK that no connection knows, or a closed port. A RST is never answered; a SYN with a RST is nonsense.
            counters.drop(DropReason::TcpNoSocket);
            let options = self.defaults.clone();
            return self.reset(&segment.tuple, close::reset_for(&segment), &options, counters);
        };
        // Policy 25: a SYN with a FIN, or no flag that means anything, is dropped in silence.
        if !syn || segment.has(Flags::FIN) {
            return counters.drop(DropReason::TcpFlags);
        }
        self.start_half_open(index, &segment, None, counters, now);
    }

    /// The listener that would open a connection for this SYN now.
    pub(super) fn would_take(&self, segment: &Segment) -> Option<u32> {
        let others = Flags::ACK.with(Flags::RST).with(Flags::FIN);
        if !segment.has(Flags::SYN) || segment.header.flags.any(others) {
            return None;
        }
        let index = self.find_listener(&segment.tuple.local)?;
        self.listeners.at(index).filter(|listener| !listener.is_full()).map(|_| index)
    }

    fn find_listener(&self, local: &Endpoint) -> Option<u32> {
        let any: IpAddr =
            if local.addr.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        // `[::]` listens on both IP versions, as on Linux.
        let places = [local.addr, any, Ipv6Addr::UNSPECIFIED.into()];
        places.into_iter().find_map(|addr| self.listening.get(&Endpoint::new(addr, local.port)).copied())
    }

    /// Answers a SYN. `previous` is SND.NXT of the connection in TIME-WAIT that this one replaces.
    pub(super) fn start_half_open(
        &mut self,
        index: u32,
        syn: &Segment,
        previous: Option<SeqNum>,
        counters: &mut Counters,
        now: Instant,
    ) {
        let Some(listener) = self.listeners.at_mut(index) else { return };
        if listener.is_full() {
            return counters.drop(DropReason::TcpAcceptQueueFull);
        }
        if listener.half_open >= self.config.syn_queue
            || self.connections.len() >= self.config.max_connections
        {
            return counters.drop(DropReason::TcpSynQueueFull);
        }
        listener.half_open += 1;
        let clock = self.secrets.isn(&syn.tuple, now);
        // RFC 9293 §3.10.7.4 (MAY-2): larger than any number of the old connection, which may have outrun the clock.
        let iss = previous.filter(|&end| !clock.after(end)).map_or(clock, |end| end + REOPEN_STEP);
        let entry = self.half_open.insert(HalfOpen::new(syn, index, iss, now)).index;
        self.owners.insert(syn.tuple, Owner::HalfOpen(entry));
        self.send_syn_ack(entry, counters, now);
    }

    fn send_syn_ack(&mut self, index: u32, counters: &mut Counters, now: Instant) {
        let Some(entry) = self.half_open.at(index) else { return };
        let ts_offset = self.secrets.timestamp_offset(&entry.tuple);
        let options = self.listener_options(entry.listener);
        let env = &mut env!(self, counters, now);
        let mut tcb = entry.to_tcb(ts_offset, options, env);
        tcb.syn_due = true;
        let frame = tcb.poll_transmit(env);
        self.half_open_timers.set(index, tcb.deadlines.next());
        if let Some(frame) = frame {
            self.push_reply(frame, counters);
        }
    }

    fn listener_options(&self, listener: u32) -> Arc<SocketOptions> {
        self.listeners.at(listener).map_or(&self.defaults, |listener| &listener.options).clone()
    }

    /// Segment arrives in SYN-RECEIVED (RFC 9293 §3.10.7.4), for a half-open entry.
    pub(super) fn for_half_open(
        &mut self,
        index: u32,
        mut segment: Segment,
        counters: &mut Counters,
        now: Instant,
    ) {
        let Some(entry) = self.half_open.at_mut(index) else { return };
        if entry.is_repeated_syn(&segment) {
            // The SYN-ACK echoes this SYN, so that the peer measures its round trip and not its timeout.
            let newer = segment.header.options.timestamps.map(|ts| ts.val);
            entry.timestamp = entry.timestamp.and(newer.or(entry.timestamp));
            entry.repeated = true;
            // The deadline stays: SYNs that come for ever must not keep the entry for ever.
            let deadline = self.half_open_timers.get(index);
            self.send_syn_ack(index, counters, now);
            return self.half_open_timers.set(index, deadline);
        }
        let (listener, tuple) = (entry.listener, segment.tuple);
        let ts_offset = self.secrets.timestamp_offset(&tuple);
        let inherited = self.listeners.at(listener).map_or(&self.defaults, |listener| &listener.options);
        let options = inherited.clone();
        let mut tcb = entry.to_tcb(ts_offset, options.clone(), &env!(self, counters, now));
        let verdict = tcb.receive(&mut segment, &mut env!(self, counters, now));
        if let Some(entry) = self.half_open.at_mut(index) {
            entry.limit = tcb.ack.limit;
        }
        if tcb.state == State::Closed {
            self.remove_half_open(index);
        } else if tcb.state.is_synchronized() {
            if self.listeners.at(listener).is_none_or(Listener::is_full) {
                // The completing ACK is ignored and the SYN-ACK goes out again later: the peer keeps its data until then.
                return counters.drop(DropReason::TcpAcceptQueueFull);
            }
            self.remove_half_open(index);
            self.promote(tcb, listener, counters, now);
        } else if tcb.ack.is_due()
            && let Some(frame) = tcb.poll_transmit(&mut env!(self, counters, now))
        {
            self.push_reply(frame, counters);
        }
        match verdict {
            Verdict::Done => {}
            Verdict::Drop(reason) | Verdict::Abort(reason) => counters.drop(reason),
            Verdict::Reset(reason) => {
                counters.drop(reason);
                self.reset(&tuple, close::reset_for(&segment), &options, counters);
            }
        }
    }

    /// The handshake is complete: the connection waits for accept.
    fn promote(&mut self, tcb: Tcb, listener: u32, counters: &mut Counters, now: Instant) {
        let tuple = tcb.tuple;
        let index = self.connections.insert(Box::new(tcb)).index;
        self.owners.insert(tuple, Owner::Connection(index));
        counters.tcp_passive_opens += 1;
        if let (Some(handle), Some(entry)) =
            (self.listeners.handle(listener), self.listeners.at_mut(listener))
        {
            entry.accept_queue.push_back(index);
            if !entry.noticed {
                entry.noticed = true;
                self.acceptable.push_back(ListenerId(handle));
            }
        }
        self.settle(index, now);
    }

    /// Forgets a half-open entry; its tuple has no owner afterwards.
    pub(super) fn remove_half_open(&mut self, index: u32) {
        let Some(entry) = self.half_open.remove(index) else { return };
        self.half_open_timers.set(index, None);
        self.owners.remove(&entry.tuple);
        if let Some(listener) = self.listeners.at_mut(entry.listener) {
            listener.half_open -= 1;
        }
    }

    /// The SYN-ACK was not answered in time (policy 17): again, or forgotten.
    pub(super) fn on_half_open_timeout(&mut self, index: u32, counters: &mut Counters, now: Instant) {
        let Some(entry) = self.half_open.at_mut(index) else { return };
        if entry.retries >= self.config.syn_ack_retries {
            return self.remove_half_open(index);
        }
        entry.retries += 1;
        entry.sent_at = now;
        self.send_syn_ack(index, counters, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SYN flood costs at most this much per entry (hostile case T10).
    #[test]
    fn a_half_open_entry_fits_into_100_bytes() {
        assert!(size_of::<HalfOpen>() <= 100, "{}", size_of::<HalfOpen>());
    }
}
