//! Socket options: the settings of one socket (RFC 9293 §3.9.1), as one value that is given when a socket is opened and may be
//! read and changed while it is. A connection from a listener inherits the listener's.
//!
//! Sockets that change nothing share the stack's one set of defaults, made from [`TcpConfig`]. What the settings mean is told
//! where they are used: `output`, `close`, `ack`, `probe`, `frame`.

use std::sync::Arc;

use crate::base::socket::SocketError;
use crate::base::time::{Duration, Instant};

use super::config::{Ecn, TcpConfig};
use super::congestion::CongestionControl;
use super::memory::Budget;
use super::tcb::Tcb;
use super::{ListenerId, Tcp, TcpId};

/// The smallest MSS that a socket may ask for, in bytes: Linux's bound.
pub const MIN_MSS: u16 = 88;
/// The DSCP's bits in the traffic class; the other two are ECN's (RFC 3168 §5).
const DSCP: u8 = 0xfc;

/// The settings of one socket. The defaults come from the stack's [`TcpConfig`]; [`SocketOptions::default`] is that of the
/// default configuration.
///
/// ```
/// use tidegate::{base::time::{Duration, Instant}, device::Capabilities, stack::{Stack, StackConfig}};
/// use tidegate::tcp::options::SocketOptions;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = StackConfig { addrs: vec![("10.77.0.2".parse()?, 24)], tcp: Default::default() };
/// let mut stack = Stack::new(config, Capabilities::plain(1500), [0; 32])?;
/// let now = Instant::ZERO;
/// let options = SocketOptions { nodelay: true, ..stack.tcp().default_options().clone() };
/// let id = stack.tcp_connect_with(None, "10.77.0.1:80".parse()?, &options, now)?;
/// let user_timeout = Some(Duration::from_secs(30));
/// stack.tcp().set_options(id, SocketOptions { user_timeout, ..options }, now)?;
/// assert_eq!(stack.tcp().options(id)?.user_timeout, user_timeout);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// `TCP_NODELAY`: no Nagle algorithm (RFC 9293 §3.7.4, MUST-17). Default: [`TcpConfig::nagle`] says no.
    pub nodelay: bool,
    /// `TCP_CORK`: less than a full segment waits until this is cleared, at most one retransmission timeout. Off.
    pub cork: bool,
    /// `TCP_QUICKACK`: the first [`TcpConfig::quick_acks`] acknowledgements of in-order data are not delayed. Reading it tells
    /// whether some of them are left; setting it when none is grants as many again.
    pub quick_ack: bool,
    /// `SO_LINGER`: `None` closes in the background; zero resets; else a close may wait this long for the peer to acknowledge
    /// everything, and resets then. Default `None`.
    pub linger: Option<Duration>,
    /// `SO_KEEPALIVE` (RFC 9293 §3.8.4, MUST-24). Default: [`TcpConfig::keep_alive`], off (MUST-25).
    pub keep_alive: bool,
    /// `TCP_KEEPIDLE`: silence before the first keep-alive probe (MUST-27). Default: [`TcpConfig::keep_alive_idle`].
    pub keep_idle: Duration,
    /// `TCP_KEEPINTVL`: time between keep-alive probes. Default: [`TcpConfig::keep_alive_interval`].
    pub keep_interval: Duration,
    /// `TCP_KEEPCNT`: unanswered keep-alive probes that end the connection. Default: [`TcpConfig::keep_alive_probes`].
    pub keep_probes: u8,
    /// `TCP_USER_TIMEOUT` (RFC 5482; RFC 9293 §3.9.1): how long sent data may stay unacknowledged before the connection is given
    /// up; `None` leaves that to the retries. Default: [`TcpConfig::user_timeout`].
    pub user_timeout: Option<Duration>,
    /// `TCP_LINGER2`: how long the connection may stay in FIN-WAIT-2 once it was closed. Default:
    /// [`TcpConfig::fin_wait_2_timeout`].
    pub fin_wait_2_timeout: Duration,
    /// `TCP_SYNCNT`: retransmissions of a SYN (R2 of a SYN, MUST-21 to MUST-23). Default: [`TcpConfig::syn_retries`].
    pub syn_retries: u8,
    /// R1: retransmissions before the application is told of the trouble (RFC 9293 §3.8.3, SHLD-9). Default: [`TcpConfig::r1`].
    pub r1: u8,
    /// R2: retransmissions before the connection is given up (MUST-20, MUST-21). Default: [`TcpConfig::retries`].
    pub retries: u8,
    /// `TCP_DEFER_ACCEPT`: a listener's connections are accepted only when data came, or after this time. Default `None`: at once.
    pub defer_accept: Option<Duration>,
    /// `TCP_MAXSEG`: the largest MSS in bytes, in both directions (policy 2); what the MTU allows is never exceeded. It counts
    /// when the connection is opened. Default `None`.
    pub max_mss: Option<u16>,
    /// `SO_RCVBUF`: memory of the receive buffer in bytes, half of which is window (policy 3). Default `None`: it grows with use
    /// up to [`TcpConfig::receive_buffer`].
    pub receive_buffer: Option<usize>,
    /// `SO_SNDBUF`: bytes that the send buffer takes. Default `None`: they grow with the congestion window up to
    /// [`TcpConfig::send_buffer`].
    pub send_buffer: Option<usize>,
    /// `IP_TOS`, `IPV6_TCLASS`: DSCP in the upper six bits (RFC 2474; MUST-48, SHLD-22); the lower two belong to ECN and are
    /// ignored. Default: [`TcpConfig::traffic_class`].
    pub traffic_class: u8,
    /// `IP_TTL`, `IPV6_UNICAST_HOPS` (MUST-49). Default: [`TcpConfig::hop_limit`].
    pub hop_limit: u8,
    /// `IP_MTU_DISCOVER`: packets may not be fragmented and the path's MTU is obeyed (RFC 1191, RFC 8201). Default:
    /// [`TcpConfig::path_mtu_discovery`], on.
    pub path_mtu_discovery: bool,
    /// `TCP_CONGESTION`: the algorithm. It counts when the connection is opened. Default: [`TcpConfig::congestion`].
    pub congestion: CongestionControl,
    /// `SO_MAX_PACING_RATE`: bytes of data per second that are sent at most, whatever the algorithm; the window's bursts are spread
    /// out, two segments at least together. Default `None`: as the algorithm has it, and only BBR paces.
    pub max_pacing_rate: Option<u64>,
    /// Explicit congestion notification (RFC 3168; policy 21). It counts when the connection is opened. Default:
    /// [`TcpConfig::ecn`], with peers that ask.
    pub ecn: Ecn,
    /// `IP_RECVERR`: soft ICMP errors are told at once as the pending error (MUST-47, SHLD-25), not only when the connection is
    /// given up. Default false: reports are off, as SHLD-20 allows.
    pub report_soft_errors: bool,
}

impl Default for SocketOptions {
    fn default() -> Self {
        SocketOptions::new(&TcpConfig::default())
    }
}

impl SocketOptions {
    /// The options of a socket that asks for nothing in particular, in a stack of this configuration.
    pub fn new(config: &TcpConfig) -> Self {
        SocketOptions {
            nodelay: !config.nagle,
            cork: false,
            quick_ack: config.quick_acks > 0,
            linger: None,
            keep_alive: config.keep_alive,
            keep_idle: config.keep_alive_idle,
            keep_interval: config.keep_alive_interval,
            keep_probes: config.keep_alive_probes,
            user_timeout: config.user_timeout,
            fin_wait_2_timeout: config.fin_wait_2_timeout,
            syn_retries: config.syn_retries,
            r1: config.r1,
            retries: config.retries,
            defer_accept: None,
            max_mss: None,
            receive_buffer: None,
            send_buffer: None,
            traffic_class: config.traffic_class & DSCP,
            hop_limit: config.hop_limit,
            path_mtu_discovery: config.path_mtu_discovery,
            congestion: config.congestion,
            max_pacing_rate: None,
            ecn: config.ecn,
            report_soft_errors: false,
        }
    }

    /// These options as a socket can have them: ECN's bits out of the traffic class. `Invalid` for a hop limit or a rate of zero, an
    /// MSS below [`MIN_MSS`], or keep-alive without time or probes.
    ///
    /// # Errors
    /// `Invalid`, as told.
    pub fn checked(mut self) -> Result<Self, SocketError> {
        self.traffic_class &= DSCP;
        let no_keep_alive = self.keep_probes == 0 || self.keep_idle.is_zero() || self.keep_interval.is_zero();
        let tiny = self.max_mss.is_some_and(|mss| mss < MIN_MSS);
        let never = self.hop_limit == 0 || self.max_pacing_rate == Some(0);
        if no_keep_alive || tiny || never { Err(SocketError::Invalid) } else { Ok(self) }
    }
}

/// A socket that has options: a connection or a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Socket {
    /// A connection.
    Connection(TcpId),
    /// A listener.
    Listener(ListenerId),
}

impl From<TcpId> for Socket {
    fn from(id: TcpId) -> Self {
        Socket::Connection(id)
    }
}

impl From<ListenerId> for Socket {
    fn from(id: ListenerId) -> Self {
        Socket::Listener(id)
    }
}

impl Tcp {
    /// What sockets have that ask for nothing in particular.
    pub fn default_options(&self) -> &SocketOptions {
        &self.defaults
    }

    /// The options of a connection or listener.
    ///
    /// # Errors
    /// `NoSocket` for a handle that names none.
    pub fn options(&self, socket: impl Into<Socket>) -> Result<SocketOptions, SocketError> {
        match socket.into() {
            Socket::Connection(id) => self
                .connections
                .get(id.0)
                .map(|tcb| SocketOptions { quick_ack: tcb.ack.is_quick(), ..(*tcb.options).clone() }),
            Socket::Listener(id) => self.listeners.get(id.0).map(|listener| (*listener.options).clone()),
        }
        .ok_or(SocketError::NoSocket)
    }

    /// Changes the options of a connection or listener; those that count when a connection is opened change nothing in an open
    /// one. A listener's apply to connections whose SYN comes afterwards, and to half-open ones.
    ///
    /// # Errors
    /// `NoSocket` for a handle that names none, `Invalid` for values that cannot be.
    pub fn set_options(
        &mut self,
        socket: impl Into<Socket>,
        options: SocketOptions,
        now: Instant,
    ) -> Result<(), SocketError> {
        let options = self.share(options)?;
        match socket.into() {
            Socket::Connection(id) => {
                let (config, memory) = (&self.config, self.memory.budget(self.config.memory_limit));
                let tcb = self.connections.get_mut(id.0).ok_or(SocketError::NoSocket)?;
                tcb.set_options(options, config, memory, now);
                self.settle(id.0.index, now);
            }
            Socket::Listener(id) => {
                self.listeners.get_mut(id.0).ok_or(SocketError::NoSocket)?.options = options;
            }
        }
        Ok(())
    }

    /// Checked, and without memory of their own where they are the defaults, or what the last socket asked for.
    pub(super) fn share(&mut self, options: SocketOptions) -> Result<Arc<SocketOptions>, SocketError> {
        let options = options.checked()?;
        let known = [&self.defaults, &self.asked_last].into_iter().find(|known| ***known == options);
        Ok(match known {
            Some(known) => known.clone(),
            None => {
                self.asked_last = Arc::new(options);
                self.asked_last.clone()
            }
        })
    }
}

impl Tcb {
    /// The application changed the options while the connection is open.
    fn set_options(&mut self, options: Arc<SocketOptions>, config: &TcpConfig, memory: Budget, now: Instant) {
        if options.quick_ack != self.ack.is_quick() {
            self.ack.set_quick(if options.quick_ack { config.quick_acks.max(1) } else { 0 });
        }
        // Linux: switching Nagle off sends what waits, even a corked segment.
        if options.nodelay && !self.options.nodelay && self.unsent() > 0 {
            self.override_due = true;
        }
        if options.congestion != self.options.congestion {
            self.congestion = self.congestion.switched(options.congestion, config.hystart);
        }
        if options.max_pacing_rate != self.options.max_pacing_rate && self.flight.paced_until > now {
            self.flight.paced_until = now;
        }
        self.options = options;
        self.arm_keep_alive(now);
        self.tell_room(config, memory);
    }
}
