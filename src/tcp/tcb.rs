//! The transmission control block: one connection as a struct of its parts. The parts' behaviour lives in their own files.

use std::net::IpAddr;
use std::sync::Arc;

use crate::base::counters::Counters;
use crate::base::pool::Pooled;
use crate::base::socket::{Readiness, SocketError};
use crate::base::time::Instant;
use crate::device::Capabilities;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{MAX_WINDOW_SHIFT, Options, TIMESTAMP_LEN, TcpHeader, Timestamps};

use super::ack::AckState;
use super::buffers::ReceiveTuning;
use super::close::Lingering;
use super::config::TcpConfig;
use super::congestion::Controller;
use super::ecn::{Agreement, EcnState};
use super::flight::Resting;
use super::giving_up::NEVER;
use super::memory::Budget;
use super::mtu::PathState;
use super::options::SocketOptions;
use super::reassembly::Reassembly;
use super::receive::ReceiveQueue;
use super::recovery::Recovery;
use super::rtt::RttEstimator;
use super::segment::{FourTuple, fixed_headers};
use super::send::SendQueue;
use super::state::State;
use super::statistics::Counts;
use super::timers::{ConnectionDeadlines, Timer};
use super::trouble::Troubles;

/// What every step of a connection may use: settings, the device's abilities, counters and the time.
pub struct Env<'a> {
    /// The stack's settings.
    pub config: &'a TcpConfig,
    /// What the device can do.
    pub capabilities: Capabilities,
    /// The stack's counters.
    pub counters: &'a mut Counters,
    /// The stack's memory.
    pub memory: Budget,
    /// Now.
    pub now: Instant,
}

/// SND.* of RFC 9293 §3.3.1.
#[derive(Clone, Debug, Default)]
pub struct SendSequence {
    /// Initial send sequence number.
    pub iss: SeqNum,
    /// Oldest unacknowledged sequence number.
    pub una: SeqNum,
    /// Next sequence number to send.
    pub nxt: SeqNum,
    /// The peer's window, in bytes.
    pub wnd: u32,
    /// The largest window the peer ever offered.
    pub max_wnd: u32,
    /// Segment sequence number of the last window update.
    pub wl1: SeqNum,
    /// Segment acknowledgement number of the last window update.
    pub wl2: SeqNum,
    /// The FIN's sequence number, once it was sent.
    pub fin: Option<SeqNum>,
    /// Behind the last segment sent that was smaller than the MSS (Minshall's variant of Nagle).
    pub small: SeqNum,
    /// SND.UP: past the last urgent byte.
    pub up: SeqNum,
}

/// RCV.* of RFC 9293 §3.3.1.
#[derive(Clone, Debug, Default)]
pub struct ReceiveSequence {
    /// Initial receive sequence number.
    pub irs: SeqNum,
    /// Next sequence number expected.
    pub nxt: SeqNum,
    /// The right edge of the window as advertised: RCV.NXT + RCV.WND. It never moves left (SHLD-14).
    pub adv: SeqNum,
    /// RCV.UP: past the last urgent byte.
    pub up: SeqNum,
    /// Payload bytes received in order so far: the stream offset of RCV.NXT.
    pub offset: u64,
    /// The sequence number of the peer's FIN, known but not reached yet.
    pub fin: Option<SeqNum>,
}

impl ReceiveSequence {
    /// RCV.WND as the peer knows it.
    pub fn wnd(&self) -> u32 {
        self.adv.offset_from(self.nxt).max(0) as u32
    }
}

/// What was agreed in the handshake.
#[derive(Clone, Debug, Default)]
pub struct Agreed {
    /// The send MSS as far as the peer limits it: payload bytes of a full segment, options taken off.
    pub mss: u16,
    /// The MSS this side announced.
    pub advertised_mss: u16,
    /// Shift of windows received.
    pub snd_shift: u8,
    /// Shift of windows sent.
    pub rcv_shift: u8,
    /// Both sides offered window scaling, if only by a shift of zero.
    pub scaling: bool,
    /// Both sides said SACK-permitted.
    pub sack: bool,
    /// Both sides sent timestamps.
    pub timestamps: bool,
    /// ECN.
    pub ecn: Agreement,
}

/// Timestamps of a connection (RFC 7323 §4).
#[derive(Clone, Debug, Default)]
pub struct TimestampState {
    /// Added to the millisecond clock.
    pub offset: u32,
    /// TS.Recent.
    pub recent: u32,
    /// When TS.Recent was taken, in [`seconds`].
    pub recent_at: u32,
    /// Last.ACK.sent.
    pub last_ack_sent: SeqNum,
}

/// The clock of [`TimestampState::recent_at`]: 32 bits do for 24 days.
pub fn seconds(at: Instant) -> u32 {
    (at.as_millis() / 1_000) as u32
}

/// One connection. At rest it is this struct alone; queues and records hold memory only while they hold something.
#[derive(Debug)]
pub struct Tcb {
    /// Both ends.
    pub tuple: FourTuple,
    /// Its socket options, shared with the stack or the listener unless they were changed.
    pub options: Arc<SocketOptions>,
    /// The state; changed through [`Tcb::enter`] only.
    pub state: State,
    /// It was opened actively (MUST-11).
    pub active: bool,
    /// A SYN or SYN-ACK is to be sent.
    pub syn_due: bool,
    /// Our SYN went out again for a reason other than its timeout.
    pub syn_repeated: bool,
    /// The application closed its direction before the connection was established.
    pub close_due: bool,
    /// A window probe is to be sent.
    pub probe_due: bool,
    /// The silly-window rules are overridden for the next segment.
    pub override_due: bool,
    /// The application gave the socket up.
    pub orphan: bool,
    /// RCV.UP lies ahead of what was read.
    pub urgent: bool,
    /// The last send call announced more.
    pub more: bool,
    /// How far a lingering close is.
    pub lingering: Lingering,
    /// The path carries less than the floor: routers have to fragment.
    pub may_fragment: bool,
    /// The application shut reading down.
    pub read_closed: bool,
    /// A send call found the queue full: tell when there is room.
    pub wants_room: bool,
    /// Timeouts in a row without an acknowledgement.
    pub retries: u8,
    /// Probes in a row without an acknowledgement.
    pub probes: u8,
    /// Doublings of the probe interval since the window closed.
    pub probe_backoff: u8,
    /// When the first retransmission or window probe went out since the peer answered last; `NEVER` without trouble.
    pub troubled_since: Instant,
    /// When the last segment that counts came; until one does, when our SYN (or SYN-ACK) was sent, for the first round trip.
    pub heard_at: Instant,
    /// It is counted among the stack's orphans.
    pub counted: bool,
    /// The pending error (SO_ERROR).
    pub error: Option<SocketError>,
    /// The last soft error ICMP reported (MUST-47), told if the connection is given up.
    pub soft_error: Option<SocketError>,
    /// What the socket's owner is to be told.
    pub events: Readiness,
    /// What the stack's memory budget was charged for it.
    pub charged: u32,
    /// It stands in the queue of connections with something to send.
    pub queued: bool,
    /// It stands in the queue of connections with events.
    pub noticed: bool,
    /// SND.*.
    pub snd: SendSequence,
    /// RCV.*.
    pub rcv: ReceiveSequence,
    /// The handshake's outcome.
    pub agreed: Agreed,
    /// Timestamps.
    pub ts: TimestampState,
    /// Round-trip time.
    pub rtt: RttEstimator,
    /// How much may be under way.
    pub congestion: Controller,
    /// Explicit congestion notification.
    pub ecn: EcnState,
    /// Loss recovery.
    pub recovery: Recovery,
    /// What the path carries.
    pub path: PathState,
    /// What is owed to the peer.
    pub ack: AckState,
    /// What is counted for `TCP_INFO`.
    pub counts: Counts,
    /// Timers.
    pub deadlines: ConnectionDeadlines,
    /// Bytes from SND.UNA on.
    pub send_queue: SendQueue,
    /// What is under way; absent while nothing is.
    pub flight: Resting,
    /// Bytes to be read.
    pub receive_queue: ReceiveQueue,
    /// Out-of-order segments; absent while there are none.
    pub reassembly: Pooled<Reassembly>,
    /// What went wrong on the path; absent while nothing did.
    pub trouble: Troubles,
    /// How large the receive buffer should be.
    pub tuning: ReceiveTuning,
}

impl Tcb {
    /// A connection about to send its first SYN (or SYN-ACK), in SYN-SENT (or, from a listener, SYN-RECEIVED).
    pub fn new(
        tuple: FourTuple,
        state: State,
        iss: SeqNum,
        ts_offset: u32,
        options: Arc<SocketOptions>,
        env: &Env,
    ) -> Self {
        // Policy 2: a configured maximum clamps both directions.
        let by_mtu = advertised_mss(tuple.remote.addr, env.capabilities.mtu);
        let advertised_mss = options.max_mss.map_or(by_mtu, |most| most.min(by_mtu));
        let agreed = Agreed {
            mss: default_mss(tuple.remote.addr).min(advertised_mss),
            advertised_mss,
            rcv_shift: window_shift(env.config, &options),
            ecn: Agreement::offered(&options, state),
            ..Agreed::default()
        };
        Tcb {
            tuple,
            congestion: Controller::new(options.congestion, env.config.hystart, 0),
            ack: AckState::new(if options.quick_ack { env.config.quick_acks } else { 0 }),
            options,
            state,
            active: state == State::SynSent,
            syn_due: false,
            syn_repeated: false,
            close_due: false,
            probe_due: false,
            override_due: false,
            orphan: false,
            urgent: false,
            more: false,
            lingering: Lingering::No,
            may_fragment: false,
            read_closed: false,
            wants_room: false,
            retries: 0,
            probes: 0,
            probe_backoff: 0,
            troubled_since: NEVER,
            heard_at: env.now,
            counted: false,
            error: None,
            soft_error: None,
            events: Readiness::NONE,
            charged: 0,
            queued: false,
            noticed: false,
            snd: SendSequence { iss, una: iss, nxt: iss, small: iss, up: iss, ..SendSequence::default() },
            rcv: ReceiveSequence::default(),
            agreed,
            ts: TimestampState { offset: ts_offset, ..TimestampState::default() },
            rtt: RttEstimator::default(),
            ecn: EcnState::default(),
            recovery: Recovery::new(iss),
            path: PathState::default(),
            counts: Counts::new(env.now),
            deadlines: ConnectionDeadlines::new(),
            send_queue: SendQueue::default(),
            flight: Resting::default(),
            receive_queue: ReceiveQueue::default(),
            reassembly: Pooled::none(),
            trouble: Troubles::default(),
            tuning: ReceiveTuning::default(),
        }
    }

    /// Moves to `state`; an illegal move is a bug that tests catch.
    pub fn enter(&mut self, state: State) {
        debug_assert!(self.state.may_become(state), "{} -> {state}", self.state);
        self.state = state;
    }

    /// Takes what the peer's SYN says: its numbers, its options as far as this side offers them too (RFC 9293 §3.10.7).
    pub fn take_syn(&mut self, header: &TcpHeader, env: &Env) {
        self.rcv.irs = header.seq;
        self.rcv.nxt = header.seq + 1;
        self.rcv.adv = self.rcv.nxt + self.initial_window(env.config);
        self.agree(&header.options, env);
        self.agree_on_ecn(header.flags);
        // The window of a SYN is never scaled (RFC 7323 §2.2).
        self.snd.wnd = u32::from(header.window);
        self.snd.max_wnd = self.snd.wnd;
        self.snd.wl1 = header.seq;
        self.snd.wl2 = self.snd.una;
        if let (true, Some(ts)) = (self.agreed.timestamps, header.options.timestamps) {
            self.ts.recent = ts.val;
            self.ts.recent_at = seconds(env.now);
        }
        self.ts.last_ack_sent = self.rcv.nxt;
    }

    fn agree(&mut self, offered: &Options, env: &Env) {
        let config = env.config;
        self.agreed.sack = config.sack && offered.sack_permitted;
        self.agreed.timestamps = config.timestamps && offered.timestamps.is_some();
        let scale = offered.window_scale.filter(|_| config.window_scaling);
        self.agreed.scaling = scale.is_some();
        match scale {
            Some(shift) => self.agreed.snd_shift = shift,
            None => (self.agreed.snd_shift, self.agreed.rcv_shift) = (0, 0),
        }
        let options = if self.agreed.timestamps { TIMESTAMP_LEN } else { 0 };
        self.agreed.mss = send_mss(offered.mss, self.tuple.remote.addr, self.agreed.advertised_mss, options);
        self.begin_congestion(config);
    }

    /// Congestion control from its beginning, with the initial window; with one segment after a lost SYN (RFC 5681 §3.1), which is not
    /// believed of a single retransmission: a second is a short time (RFC 6298 appendix A).
    pub fn begin_congestion(&mut self, config: &TcpConfig) {
        let segments = if self.trouble.retransmitted > 1 { 1 } else { config.initial_window };
        let window = segments * self.mss();
        self.congestion = Controller::new(self.options.congestion, config.hystart, window);
    }

    /// The effective send MSS: as agreed, or less where the path carries less (MUST-16).
    pub fn mss(&self) -> u32 {
        u32::from(self.agreed.mss.min(self.path.mss()))
    }

    /// The sequence number of the first byte in the send queue.
    pub fn data_start(&self) -> SeqNum {
        // Until our SYN is acknowledged it stands before the data.
        if self.state.is_synchronized() || self.state == State::Closed {
            self.snd.una
        } else {
            self.snd.iss + 1
        }
    }

    /// The sequence number behind the last byte in the send queue: that of the FIN, once it is due.
    pub fn data_end(&self) -> SeqNum {
        self.data_start() + self.send_queue.len() as u32
    }

    /// Bytes queued that were never sent.
    pub fn unsent(&self) -> u32 {
        if self.snd.fin.is_some() { 0 } else { self.data_end().offset_from(self.snd.nxt).max(0) as u32 }
    }

    /// True if our FIN was sent and acknowledged.
    pub fn fin_acked(&self) -> bool {
        self.snd.fin.is_some_and(|fin| self.snd.una.after(fin))
    }

    /// TSval of a segment sent now (RFC 7323 §5.4: a clock of 1 ms).
    pub fn ts_now(&self, now: Instant) -> u32 {
        self.ts.offset.wrapping_add(now.as_millis() as u32)
    }

    /// The timestamps option of a segment sent now, if agreed.
    pub fn timestamps(&self, now: Instant) -> Option<Timestamps> {
        self.agreed.timestamps.then(|| Timestamps { val: self.ts_now(now), ecr: self.ts.recent })
    }

    /// The window that could be offered now: half of the memory limit, less what waits to be read (policy 3).
    pub fn free_window(&self, config: &TcpConfig, budget: Budget) -> u32 {
        let memory = self.receive_queue.memory() + self.reassembly.as_ref().map_or(0, |queue| queue.memory());
        let limit = self.receive_limit(config, budget);
        let by_bytes = (limit / 2).saturating_sub(self.receive_queue.len());
        let by_memory = limit.saturating_sub(memory) / 2;
        by_bytes.min(by_memory).min(1 << 30) as u32
    }

    /// The window in our SYN.
    pub fn initial_window(&self, config: &TcpConfig) -> u32 {
        let memory = self.unstressed_receive_limit(config);
        match config.initial_receive_window {
            Some(window) => (memory / 2).min(usize::from(window)) as u32,
            None => initial_window(memory, self.agreed.advertised_mss),
        }
    }

    /// When the next timer is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        [self.deadlines.next(), self.flight.deadlines.next()].into_iter().flatten().min()
    }

    /// Takes a timer that is due, and disarms it; those of what is under way first.
    pub fn take_due(&mut self, now: Instant) -> Option<Timer> {
        if self.flight.deadlines.next().is_some_and(|deadline| deadline <= now) {
            return self.flight.deadlines.take_due(now);
        }
        self.deadlines.take_due(now)
    }

    /// Ends the connection here and now, with an error for the application; nothing is sent.
    pub fn die(&mut self, error: Option<SocketError>) {
        self.enter(State::Closed);
        if self.error.is_none() {
            self.error = error;
        }
        self.send_queue.clear();
        self.flight.rest();
        self.reassembly.clear();
        self.deadlines = ConnectionDeadlines::new();
        self.syn_due = false;
        self.probe_due = false;
        self.events |= Readiness::IN | Readiness::OUT | Readiness::HUP | Readiness::RDHUP;
        if self.error.is_some() {
            self.events |= Readiness::ERR;
        }
    }
}

/// The MSS to announce: what fits into the device's MTU without options (RFC 9293 §3.7.1, RFC 6691; MUST-67).
pub fn advertised_mss(addr: IpAddr, mtu: usize) -> u16 {
    mtu.saturating_sub(fixed_headers(addr)).clamp(48, usize::from(u16::MAX)) as u16
}

/// The MSS of a peer that announced none (MUST-15).
pub const fn default_mss(addr: IpAddr) -> u16 {
    if addr.is_ipv4() { 536 } else { 1_220 }
}

/// The effective send MSS: the peer's announcement, our own limit, and the options of every segment taken off (MUST-16). The
/// floor of 48, options included, keeps a tiny announcement from making us send headers only (hostile case M3).
pub fn send_mss(announced: Option<u16>, addr: IpAddr, own: u16, options: usize) -> u16 {
    announced.unwrap_or(default_mss(addr)).min(own).max(48) - options as u16
}

/// The shift this side offers: enough for its largest buffer (policy 3). A buffer that the socket has fixed cannot grow, so its
/// window, which is half of it, is what the shift must reach.
pub fn window_shift(config: &TcpConfig, options: &SocketOptions) -> u8 {
    if !config.window_scaling {
        return 0;
    }
    let largest = options.receive_buffer.map_or(config.receive_buffer, |fixed| fixed / 2);
    (largest.max(1).ilog2().saturating_sub(15) as u8).min(MAX_WINDOW_SHIFT)
}

/// The window in a SYN with a receive buffer of `memory` bytes: unscaled, whole segments (policy 3).
fn initial_window(memory: usize, mss: u16) -> u32 {
    let (limit, mss) = ((memory / 2).min(65_535) as u32, u32::from(mss.max(1)));
    if limit < mss { limit } else { limit / mss * mss }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An idle connection is this struct alone: it must stay within 512 bytes.
    #[test]
    fn a_connection_at_rest_fits_into_512_bytes() {
        let size = size_of::<Tcb>();
        println!("Tcb: {size} bytes");
        assert!(size <= 512, "{size}");
    }

    /// MUST-15, MUST-16, hostile case M3.
    #[test]
    fn the_send_mss_has_defaults_limits_and_a_floor() {
        let (v4, v6) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([0xfd77, 0, 0, 0, 0, 0, 0, 1]));
        assert_eq!((send_mss(None, v4, 1460, 0), send_mss(None, v6, 1440, 0)), (536, 1220));
        assert_eq!(send_mss(Some(9000), v4, 1460, 12), 1448);
        assert_eq!(send_mss(Some(0), v4, 1460, 12), 36);
        assert_eq!((advertised_mss(v4, 1500), advertised_mss(v6, 1500)), (1460, 1440));
    }

    #[test]
    fn the_first_window_is_a_whole_number_of_segments() {
        let config = TcpConfig::default();
        let options = SocketOptions::default();
        assert_eq!(initial_window(config.receive_buffer, 1460), 44 * 1460);
        assert_eq!(initial_window(2000, 1460), 1000);
        assert_eq!(window_shift(&TcpConfig { receive_buffer: 6 << 20, ..config.clone() }, &options), 7);
        let fixed = SocketOptions { receive_buffer: Some(2 << 20), ..options };
        assert_eq!(window_shift(&config, &fixed), 5);
        let growing = TcpConfig { receive_buffer: 15_728_640, ..config };
        assert_eq!(window_shift(&growing, &SocketOptions::default()), 8);
    }
}
