//! The transmission control protocol (RFC 9293), split by concern and named after the RFC's words.
//!
//! [`Tcp`] holds the tables and finds the owner of a segment; a connection's own behaviour is in [`tcb::Tcb`] and the files named
//! after its parts. The way in is `segment` → `input` (or `handshake`, `listener`, `time_wait`), the way out `output` → `frame`.

mod ack;
mod ahead;
mod buffers;
mod close;
pub mod config;
pub mod congestion;
mod cookie;
mod delivered;
mod ecn;
mod flight;
mod frame;
mod giving_up;
mod half_open;
mod handshake;
mod icmp;
mod info;
mod input;
mod isn;
mod listener;
mod memory;
mod mtu;
pub mod options;
mod output;
mod owners;
mod probe;
mod prr;
mod rack;
mod rate;
mod reassembly;
mod receive;
mod record;
mod recovery;
mod report;
mod rtt;
mod sack;
mod segment;
mod send;
mod sent;
mod share;
mod sockets;
mod standing;
pub mod state;
mod statistics;
mod tail_probe;
mod tcb;
#[cfg(test)]
mod tests;
mod time_wait;
mod timers;
mod transfer;
mod trouble;
mod undo;
mod urgent;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::counters::{Counters, DropReason};
use crate::base::hash::{HashKey, HashMap};
use crate::base::rng::Rng;
use crate::base::share::Share;
use crate::base::socket::{Handle, Readiness, SocketError};
use crate::base::table::Table;
use crate::base::time::Instant;
use crate::base::timers::TimerQueue;
use crate::device::Capabilities;
use crate::ip::path_mtu::PathMtus;
use crate::ip::{Datagram, Ip, output as ip_output};
use crate::wire::ip::{Endpoint, ecn::NOT_ECT};
use crate::wire::packet::Frame;
use crate::wire::tcp::{Flags, TcpHeader};
use config::TcpConfig;
use cookie::CookieJar;
use half_open::HalfOpen;
pub use info::ConnectionInfo;
use input::Verdict;
use isn::Secrets;
use listener::Listener;
use memory::Memory;
use options::SocketOptions;
use owners::{Owner, Owners};
use segment::{FourTuple, Segment};
use smallvec::SmallVec;
pub use standing::Standing;
use state::State;
pub use statistics::{RecoveryState, Statistics};
use tcb::{Env, Tcb};
use time_wait::{Answer, TimeWait};
use timers::Timer;
pub use transfer::SendFlags;

/// Frames in a row that one connection may send before the next has its turn: runs fill the peer's receive path better than
/// turns of one (measured: 36 against 55 Gbit/s with eight flows).
const RUN: u32 = 8;
/// Replies that no connection owns (RST, SYN-ACK, ACK from TIME-WAIT) and that wait for the device.
const MAX_REPLIES: usize = 1024;

/// Names a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TcpId(pub Handle);

/// Names a listener.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ListenerId(pub Handle);

/// What the sockets' owners should know; take them with [`Tcp::poll_event`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TcpEvent {
    /// A connection became ready for what the bits say.
    Connection(TcpId, Readiness),
    /// A listener has connections to accept.
    Acceptable(ListenerId),
}

/// All of TCP of one stack: connections, listeners, half-open entries, TIME-WAIT records and their timers.
#[derive(Debug)]
pub struct Tcp {
    config: TcpConfig,
    /// What sockets have that ask for nothing in particular.
    defaults: Arc<SocketOptions>,
    /// What the last socket asked for that was not content with that: a server's connections all ask for the same.
    asked_last: Arc<SocketOptions>,
    capabilities: Capabilities,
    secrets: Secrets,
    cookies: CookieJar,
    owners: Owners,
    connections: Table<Tcb>,
    timers: TimerQueue,
    listeners: Table<Listener>,
    listening: HashMap<Endpoint, u32>,
    half_open: Table<HalfOpen>,
    half_open_timers: TimerQueue,
    time_wait: TimeWait,
    /// Connections that may have something to send, and how many frames the first has sent in this turn.
    ready: VecDeque<u32>,
    run: u32,
    /// Connections and listeners whose owners are to be told.
    notices: VecDeque<u32>,
    acceptable: VecDeque<ListenerId>,
    replies: VecDeque<Frame>,
    opens: u32,
    orphans: usize,
    /// Ports that it may choose.
    share: Share,
    memory: Memory,
}

/// Lends the parts of a [`Tcp`] that every step of a connection may use, beside the connection itself.
macro_rules! env {
    ($tcp:expr, $counters:expr, $now:expr) => {
        Env {
            config: &$tcp.config,
            capabilities: $tcp.capabilities,
            memory: $tcp.memory.budget($tcp.config.memory_limit),
            counters: $counters,
            now: $now,
        }
    };
}
use env;

impl Tcp {
    /// TCP without a socket, for a device of these capabilities.
    pub fn new(config: TcpConfig, capabilities: Capabilities, rng: &mut Rng) -> Self {
        let defaults = Arc::new(SocketOptions::new(&config));
        Tcp {
            asked_last: defaults.clone(),
            defaults,
            secrets: Secrets::new(rng),
            cookies: CookieJar::new(&config, rng),
            owners: Owners::new(rng),
            listening: HashMap::with_hasher(HashKey::new(rng)),
            connections: Table::default(),
            timers: TimerQueue::new(),
            listeners: Table::default(),
            half_open: Table::default(),
            half_open_timers: TimerQueue::new(),
            time_wait: TimeWait::new(&config),
            ready: VecDeque::new(),
            run: 0,
            notices: VecDeque::new(),
            acceptable: VecDeque::new(),
            replies: VecDeque::new(),
            opens: 0,
            orphans: 0,
            share: Share::WHOLE,
            memory: Memory::default(),
            config,
            capabilities,
        }
    }

    /// Changes the settings; they apply to connections opened afterwards, and to what a connection reads live.
    pub fn set_config(&mut self, config: TcpConfig) {
        self.time_wait.set_config(&config);
        self.defaults = Arc::new(SocketOptions::new(&config));
        self.config = config;
    }

    /// The settings.
    pub fn config(&self) -> &TcpConfig {
        &self.config
    }

    /// Takes a segment (or super-segment) in. Answers wait for [`Tcp::poll_transmit`].
    pub fn receive(&mut self, datagram: Datagram, counters: &mut Counters, now: Instant) {
        counters.tcp_in += 1;
        let mut segment = match Segment::parse(datagram) {
            Ok(segment) => segment,
            Err(reason) => return counters.drop(reason),
        };
        match self.owner(&segment.tuple) {
            // By reference: a segment is large, and moving it costs as much as taking it in.
            Some(Owner::Connection(index)) => self.for_connection(index, &mut segment, counters, now),
            Some(Owner::HalfOpen(index)) => self.for_half_open(index, segment, counters, now),
            Some(Owner::TimeWait(index)) => self.for_time_wait(index, segment, counters, now),
            None => self.for_listener(segment, counters, now),
        }
    }

    /// Who a segment between these two ends is for, listeners apart.
    fn owner(&self, tuple: &FourTuple) -> Option<Owner> {
        self.owners.find(tuple, |owner| match owner {
            Owner::Connection(index) => self.connections.at(index).is_some_and(|tcb| tcb.tuple == *tuple),
            Owner::HalfOpen(index) => self.half_open.at(index).is_some_and(|entry| entry.tuple == *tuple),
            Owner::TimeWait(index) => self.time_wait.tuple(index) == Some(tuple),
        })
    }

    fn for_connection(&mut self, index: u32, segment: &mut Segment, counters: &mut Counters, now: Instant) {
        let Some(tcb) = self.connections.at_mut(index) else { return };
        match tcb.receive(segment, &mut env!(self, counters, now)) {
            Verdict::Done => {}
            Verdict::Drop(reason) => counters.drop(reason),
            Verdict::Reset(reason) => {
                counters.drop(reason);
                let options = tcb.options.clone();
                self.reset(&segment.tuple, close::reset_for(segment), &options, counters);
            }
            Verdict::Abort(reason) => {
                counters.drop(reason);
                self.abort_connection(index, SocketError::ConnectionReset, counters, now);
            }
        }
        self.settle(index, now);
        counters.tcp_time_wait_evicted += self.time_wait.take_evicted();
    }

    fn for_time_wait(&mut self, index: u32, segment: Segment, counters: &mut Counters, now: Instant) {
        let listener = self.would_take(&segment);
        match self.time_wait.arrives(index, &segment, listener.is_some(), now) {
            Answer::Ignore if segment.has(Flags::RST) => counters.drop(DropReason::TcpRst),
            Answer::Ignore => {}
            Answer::Limited if segment.has(Flags::SYN) => counters.tcp_challenge_acks_limited += 1,
            Answer::Limited => counters.tcp_corrections_limited += 1,
            Answer::Forget => {
                counters.tcp_rst_in += 1;
                self.owners.remove(&segment.tuple, Owner::TimeWait(index));
                self.time_wait.remove(index);
            }
            Answer::Ack(header, options) => self.reply(&segment.tuple, &header, &options, counters),
            Answer::Reopen(end) => {
                self.owners.remove(&segment.tuple, Owner::TimeWait(index));
                self.time_wait.remove(index);
                if let Some(listener) = listener {
                    self.start_half_open(listener, &segment, Some(end), counters, now);
                }
            }
        }
    }

    /// Sends a RST, if there is one to send.
    fn reset(
        &mut self,
        tuple: &FourTuple,
        header: Option<TcpHeader>,
        options: &SocketOptions,
        counters: &mut Counters,
    ) {
        let Some(header) = header else { return };
        counters.tcp_rst_out += 1;
        self.reply(tuple, &header, options, counters);
    }

    fn reply(
        &mut self,
        tuple: &FourTuple,
        header: &TcpHeader,
        options: &SocketOptions,
        counters: &mut Counters,
    ) {
        counters.tcp_out += 1;
        let frame =
            frame::build(tuple, header, SmallVec::new(), u16::MAX, options, NOT_ECT, self.capabilities);
        self.push_reply(frame, counters);
    }

    fn push_reply(&mut self, frame: Frame, counters: &mut Counters) {
        if self.replies.len() >= MAX_REPLIES {
            return counters.drop(DropReason::OutputQueueFull);
        }
        self.replies.push_back(frame);
    }

    /// RST+ACK at SND.NXT, and the end of the connection. Once the peer has all of it, nobody needs to be told (RFC 9293 §3.10.5).
    fn abort_connection(&mut self, index: u32, error: SocketError, counters: &mut Counters, now: Instant) {
        let Some(tcb) = self.connections.at_mut(index) else { return };
        if tcb.state == State::Closed {
            return;
        }
        let told = match tcb.state {
            State::Closing | State::LastAck => tcb.snd.fin.is_none(),
            State::TimeWait => false,
            state => state.is_synchronized() || state == State::SynReceived,
        };
        let header = TcpHeader {
            src_port: tcb.tuple.local.port,
            dst_port: tcb.tuple.remote.port,
            seq: tcb.snd.nxt,
            ack: tcb.rcv.nxt,
            flags: Flags::RST.with(Flags::ACK),
            options: crate::wire::tcp::Options { timestamps: tcb.timestamps(now), ..Default::default() },
            ..TcpHeader::default()
        };
        let (tuple, options) = (tcb.tuple, tcb.options.clone());
        tcb.die(Some(error));
        if told {
            self.reset(&tuple, Some(header), &options, counters);
        }
    }

    /// After anything happened to a connection: its memory, its end, its place in the queues, its timer.
    fn settle(&mut self, index: u32, now: Instant) {
        self.charge(index);
        let Some(tcb) = self.connections.at_mut(index) else { return };
        if matches!(tcb.state, State::Closed | State::TimeWait) {
            let this = Owner::Connection(index);
            if self.owners.has(&tcb.tuple, this) {
                self.owners.remove(&tcb.tuple, this);
                if tcb.state == State::TimeWait {
                    tcb.deadlines = timers::ConnectionDeadlines::new();
                    tcb.flight.rest();
                    let (record, evicted) = self.time_wait.insert(tcb, now);
                    if let Some((place, tuple)) = evicted {
                        self.owners.remove(&tuple, Owner::TimeWait(place));
                    }
                    self.owners.insert(&tcb.tuple, Owner::TimeWait(record));
                }
            }
            if std::mem::take(&mut tcb.counted) {
                self.orphans -= 1;
            }
        }
        let over = tcb.state == State::Closed || (tcb.state == State::TimeWait && !tcb.ack.is_due());
        // While it stands in the queue its place stays taken, or a newcomer in that place would stand there twice.
        if over && tcb.orphan && !tcb.queued {
            return self.forget(index);
        }
        if !tcb.queued && tcb.state != State::Closed {
            tcb.queued = true;
            self.ready.push_back(index);
        }
        if tcb.events != Readiness::NONE && !tcb.noticed && !tcb.orphan {
            tcb.noticed = true;
            self.notices.push_back(index);
        }
        self.arm(index);
    }

    /// The connection's node in the timer queue. A deadline that moved away is left: it fires early, finds nothing due, and is
    /// set anew (lazy re-arm); so a timer restarted by every ACK costs nothing.
    fn arm(&mut self, index: u32) {
        let next = self.connections.at(index).and_then(|tcb| tcb.next_deadline());
        match (next, self.timers.get(index)) {
            (Some(next), Some(armed)) if armed <= next => {}
            (next, _) => self.timers.set(index, next),
        }
    }

    /// Lets every timer fire that is due.
    pub fn handle_timeout(&mut self, counters: &mut Counters, now: Instant) {
        while let Some(index) = self.timers.pop_due(now) {
            if let Some(tcb) = self.connections.at_mut(index) {
                let mut dead = false;
                while let Some(timer) = tcb.take_due(now) {
                    dead |= tcb.on_timer(timer, &mut env!(self, counters, now));
                }
                if dead {
                    self.abort_connection(index, SocketError::TimedOut, counters, now);
                }
            }
            self.settle(index, now);
        }
        while let Some(index) = self.half_open_timers.pop_due(now) {
            self.on_half_open_timeout(index, counters, now);
        }
        while let Some((place, tuple)) = self.time_wait.pop_expired(now) {
            self.owners.remove(&tuple, Owner::TimeWait(place));
        }
    }

    /// When the next timer is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.timers.next(), self.half_open_timers.next(), self.time_wait.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next frame to send: replies first, then the connections in turns of [`RUN`] frames.
    pub fn poll_transmit(&mut self, ip: &mut Ip, counters: &mut Counters, now: Instant) -> Option<Frame> {
        let mut frame = self.next_frame(ip.paths(), counters, now);
        if let Some(frame) = &mut frame {
            ip.output().identify(frame);
        }
        frame
    }

    fn next_frame(&mut self, paths: &PathMtus, counters: &mut Counters, now: Instant) -> Option<Frame> {
        self.memory.count(counters);
        if !self.replies.is_empty() {
            return self.replies.pop_front();
        }
        while let Some(&index) = self.ready.front() {
            let Some(tcb) = self.connections.at_mut(index) else {
                self.rest(index);
                continue;
            };
            let env = &mut env!(self, counters, now);
            tcb.follow_path(paths, env);
            let mut frame = tcb.poll_transmit(env);
            let Some(made) = &mut frame else {
                self.rest(index);
                continue;
            };
            if tcb.may_fragment {
                ip_output::allow_fragments(made);
            }
            if tcb.rest_if_done(env) {
                self.rest(index);
                return frame;
            }
            self.arm(index);
            self.run += 1;
            if self.run >= RUN {
                self.run = 0;
                self.ready.rotate_left(1);
            }
            return frame;
        }
        None
    }

    /// The first connection in the queue has nothing more to send.
    fn rest(&mut self, index: u32) {
        self.ready.pop_front();
        self.run = 0;
        let Some(tcb) = self.connections.at_mut(index) else { return };
        tcb.queued = false;
        if tcb.orphan && matches!(tcb.state, State::TimeWait | State::Closed) {
            return self.forget(index);
        }
        self.arm(index);
    }

    /// The next thing a socket's owner should know.
    pub fn poll_event(&mut self) -> Option<TcpEvent> {
        while let Some(index) = self.notices.pop_front() {
            let Some(tcb) = self.connections.at_mut(index) else { continue };
            tcb.noticed = false;
            let events = std::mem::take(&mut tcb.events);
            if let Some(handle) = self.connections.handle(index)
                && events != Readiness::NONE
            {
                return Some(TcpEvent::Connection(TcpId(handle), events));
            }
        }
        while let Some(id) = self.acceptable.pop_front() {
            if let Some(listener) = self.listeners.get_mut(id.0) {
                listener.noticed = false;
                return Some(TcpEvent::Acceptable(id));
            }
        }
        None
    }

    /// Connections that something can still be lost of: an application holds them, or data or FIN is not acknowledged. Not
    /// those that are closed, in TIME-WAIT, or closed by the application and acknowledged (FIN-WAIT-2).
    pub fn open_connections(&self) -> usize {
        let done = |tcb: &Tcb| match tcb.state {
            State::Closed | State::TimeWait => true,
            State::FinWait2 => tcb.orphan,
            _ => false,
        };
        self.connections.iter().filter(|(_, tcb)| !done(tcb)).count()
    }
}

impl Tcb {
    /// A timer fired. True if the peer counts as gone and is to be told so by a RST.
    fn on_timer(&mut self, timer: Timer, env: &mut Env) -> bool {
        match timer {
            Timer::Retransmit if self.state.is_synchronized() => self.on_data_timeout(env),
            Timer::Retransmit => self.on_syn_timeout(env),
            Timer::Probe => self.on_probe_timeout(env),
            Timer::TailProbe => self.on_tail_probe_timeout(env),
            Timer::Reordering => self.on_reordering_timeout(env),
            // What was held back leaves with the next `poll_transmit`.
            Timer::Pace if self.flight.sent.is_empty() && self.unsent() == 0 => self.rest_flight(env.now),
            Timer::Pace => {}
            Timer::DelayedAck => self.ack.at_once(),
            Timer::Orphan if !self.orphan => self.stop_lingering(),
            // The peer never closed, or never took what was left: the orphan is forgotten in silence, and what the peer still
            // sends draws a RST. In TIME-WAIT no timer of the connection is left.
            Timer::Orphan => self.die(None),
            Timer::KeepAlive => return self.on_keep_alive(env),
        }
        false
    }
}
