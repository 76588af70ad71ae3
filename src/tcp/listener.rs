//! Listeners and what comes before a connection: the SYN queue of half-open entries and the accept queue (RFC 9293 §3.10.7.2).
//!
//! A full accept queue lets handshakes wait: new SYNs are dropped, the ACK that would complete one is ignored and its SYN-ACK is
//! sent again. A full SYN queue is answered by cookies (`cookie.rs`).

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::base::counters::{Counters, DropReason};
use crate::base::time::Instant;
use crate::wire::ip::Endpoint;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::Flags;

use super::close;
use super::config::TcpConfig;
use super::half_open::HalfOpen;
use super::input::Verdict;
use super::options::SocketOptions;
use super::segment::Segment;
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
    /// When the last SYN was answered by a cookie.
    pub cookie_sent: Option<Instant>,
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
            cookie_sent: None,
            noticed: false,
        }
    }

    /// True if no further connection may wait.
    pub fn is_full(&self) -> bool {
        self.accept_queue.len() >= self.backlog
    }
}

impl Tcp {
    /// Segment arrives in LISTEN, or in CLOSED where nobody listens (RFC 9293 §3.10.7.1 and §3.10.7.2).
    pub(super) fn for_listener(&mut self, mut segment: Segment, counters: &mut Counters, now: Instant) {
        let found = self.find_listener(&segment.tuple.local);
        let syn = segment.has(Flags::SYN);
        let completes = segment.has(Flags::ACK) && !syn && !segment.has(Flags::RST);
        if let Some(index) = found.filter(|_| completes)
            && self.take_cookie(index, &mut segment, counters, now)
        {
            return;
        }
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
        let room = |listener: &Listener| {
            !listener.is_full()
                && listener.half_open < self.config.syn_queue
                && self.connections.len() < self.config.max_connections
        };
        self.listeners.at(index).filter(|&listener| room(listener)).map(|_| index)
    }

    pub(super) fn find_listener(&self, local: &Endpoint) -> Option<u32> {
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
        let Some(listener) = self.listeners.at(index) else { return };
        if listener.is_full() {
            return counters.drop(DropReason::TcpAcceptQueueFull);
        }
        if self.connections.len() >= self.config.max_connections {
            return counters.drop(DropReason::TcpSynQueueFull);
        }
        let full = listener.half_open >= self.config.syn_queue;
        // A cookie's number knows nothing of the connection it would follow in TIME-WAIT.
        if previous.is_none() && self.wants_cookie(full) {
            return self.send_cookie(index, syn, counters, now);
        }
        if full {
            return counters.drop(DropReason::TcpSynQueueFull);
        }
        if let Some(listener) = self.listeners.at_mut(index) {
            listener.half_open += 1;
        }
        let clock = self.secrets.isn(&syn.tuple, now);
        // RFC 9293 §3.10.7.4 (MAY-2): larger than any number of the old connection, which may have outrun the clock.
        let iss = previous.filter(|&end| !clock.after(end)).map_or(clock, |end| end + REOPEN_STEP);
        let entry = self.half_open.insert(HalfOpen::new(syn.tuple, &syn.header, index, iss, now)).index;
        self.owners.insert(&syn.tuple, Owner::HalfOpen(entry));
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

    pub(super) fn listener_options(&self, listener: u32) -> Arc<SocketOptions> {
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
            entry.on_repeated_syn(&segment.header);
            // The deadline stays: SYNs that come for ever must not keep the entry for ever.
            let deadline = self.half_open_timers.get(index);
            self.send_syn_ack(index, counters, now);
            return self.half_open_timers.set(index, deadline);
        }
        let (listener, tuple) = (entry.listener, segment.tuple);
        let ts_offset = self.secrets.timestamp_offset(&tuple);
        let inherited = self.listeners.at(listener).map_or(&self.defaults, |listener| &listener.options);
        let options = inherited.clone();
        let bare = segment.len() == 0;
        let mut tcb = entry.to_tcb(ts_offset, options.clone(), &env!(self, counters, now));
        let verdict = tcb.receive(&mut segment, &mut env!(self, counters, now));
        if let Some(entry) = self.half_open.at_mut(index) {
            entry.limit = tcb.ack.limit;
            if bare && tcb.state.is_synchronized() && entry.retries < deferred(&options, &self.config) {
                entry.acked = true;
                return counters.drop(DropReason::TcpDeferred);
            }
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
        self.conclude(verdict, &segment, &options, counters);
    }

    /// How a segment for what is not a connection yet ended.
    pub(super) fn conclude(
        &mut self,
        verdict: Verdict,
        segment: &Segment,
        options: &SocketOptions,
        counters: &mut Counters,
    ) {
        match verdict {
            Verdict::Done => {}
            Verdict::Drop(reason) | Verdict::Abort(reason) => counters.drop(reason),
            Verdict::Reset(reason) => {
                counters.drop(reason);
                self.reset(&segment.tuple, close::reset_for(segment), options, counters);
            }
        }
    }

    /// The handshake is complete: the connection waits for accept.
    pub(super) fn promote(&mut self, tcb: Tcb, listener: u32, counters: &mut Counters, now: Instant) {
        let tuple = tcb.tuple;
        let index = self.connections.insert(tcb).index;
        self.owners.insert(&tuple, Owner::Connection(index));
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
        self.owners.remove(&entry.tuple, Owner::HalfOpen(index));
        if let Some(listener) = self.listeners.at_mut(entry.listener) {
            listener.half_open -= 1;
        }
    }

    /// The SYN-ACK was not answered in time (policy 17): again, or forgotten. An entry whose listener waits for data is left in
    /// peace until the last timeout of that time: the answer to that SYN-ACK is accepted, data or not.
    pub(super) fn on_half_open_timeout(&mut self, index: u32, counters: &mut Counters, now: Instant) {
        let Some(listener) = self.half_open.at(index).map(|entry| entry.listener) else { return };
        let deferred = deferred(&self.listener_options(listener), &self.config);
        let Some(entry) = self.half_open.at_mut(index) else { return };
        let waits_for_data = entry.acked && entry.retries < deferred;
        if entry.retries >= self.config.syn_ack_retries && !waits_for_data {
            return self.remove_half_open(index);
        }
        entry.retries = entry.retries.saturating_add(1);
        if waits_for_data && entry.retries < deferred {
            let wait = self.config.initial_rto.saturating_mul(1 << entry.retries.min(16));
            return self.half_open_timers.set(index, Some(now + wait));
        }
        entry.sent_at = now;
        self.send_syn_ack(index, counters, now);
    }
}

/// `TCP_DEFER_ACCEPT` in timeouts of the SYN-ACK, as on Linux: those that end within that time, and the one after.
fn deferred(options: &SocketOptions, config: &TcpConfig) -> u8 {
    let Some(time) = options.defer_accept.filter(|time| !time.is_zero()) else { return 0 };
    let (mut count, mut wait) = (1, config.initial_rto);
    let mut period = wait;
    while time > period && count < u8::MAX {
        count += 1;
        wait = (wait * 2).min(config.max_rto);
        period = period.saturating_add(wait);
    }
    count
}
