//! Defaults of TCP where RFCs leave room, as one value; each field with its unit and RFC.

use crate::base::time::Duration;

use super::congestion::{CongestionControl, HyStart};

/// When a listener answers a SYN without keeping anything (RFC 4987 §3.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SynCookies {
    /// Never: a SYN that finds the queue full is dropped.
    Off,
    /// When the SYN queue is full.
    WhenFull,
    /// For every SYN.
    Always,
}

/// Whether explicit congestion notification (RFC 3168) is agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ecn {
    /// Never.
    Off,
    /// With a peer that asks for it.
    Accept,
    /// Connections opened here ask for it, too.
    Request,
}

/// Settings of every connection of a stack. Changes apply to connections opened afterwards. What a single socket may choose for
/// itself is in [`SocketOptions`](super::options::SocketOptions); its defaults are here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpConfig {
    /// The largest memory of a connection's receive buffer, in bytes, which the offered window scale must serve; half of it is
    /// window (the rest pays for overhead).
    pub receive_buffer: usize,
    /// Its first memory, in bytes, if that is less; it grows with what the application reads.
    pub receive_buffer_initial: usize,
    /// Its memory where memory is scarce, in bytes; room for a window of four segments in any case.
    pub receive_buffer_smallest: usize,
    /// Let receive buffers grow.
    pub tune_receive_buffer: bool,
    /// Window of a SYN in bytes, if the buffer has room for it; `None`: as many whole segments as 16 bits can tell.
    pub initial_receive_window: Option<u16>,
    /// The largest send buffer of a connection, in bytes.
    pub send_buffer: usize,
    /// Its first size, in bytes, if that is less; it grows with the congestion window.
    pub send_buffer_initial: usize,
    /// Bytes that a connection may have in its send buffer when there is no memory left.
    pub send_buffer_smallest: usize,
    /// Memory that the queues of all connections may take together, in bytes, smallest buffers apart; from three quarters of it
    /// on buffers do not grow and windows shrink.
    pub memory_limit: usize,
    /// Offer and use timestamps (RFC 7323 §3).
    pub timestamps: bool,
    /// Offer and use window scaling (RFC 7323 §2).
    pub window_scaling: bool,
    /// Offer SACK and send SACK blocks (RFC 2018).
    pub sack: bool,
    /// Find losses by time (RACK, RFC 8985) where SACK is agreed, else by counting (RFC 6675).
    pub rack: bool,
    /// Probe for losses at the end of a flight (RFC 8985 §7).
    pub tail_loss_probe: bool,
    /// After a timeout see whether anything was lost before much is sent again (F-RTO, RFC 5682).
    pub frto: bool,
    /// After a retransmission timeout without sending begin with the initial window again (RFC 5681 §4.1).
    pub slow_start_after_idle: bool,
    /// Report what came twice, where SACK is used (D-SACK, RFC 2883).
    pub dsack: bool,
    /// Explicit congestion notification (RFC 3168, SHLD-8).
    pub ecn: Ecn,
    /// Initial window in segments (RFC 6928).
    pub initial_window: u32,
    /// Retransmission timeout before a round trip was measured (RFC 6298 §2.1).
    pub initial_rto: Duration,
    /// Floor under the variance term of the retransmission timeout: RTO = SRTT + max(4·RTTVAR, this).
    pub min_rto: Duration,
    /// The longest retransmission timeout (RFC 6298 §2.5).
    pub max_rto: Duration,
    /// The longest that an acknowledgement is withheld (RFC 9293 §3.8.6.3, MUST-40: below 0.5 s).
    pub delayed_ack: Duration,
    /// Acknowledgements sent at once at the start of a connection, while the peer's window still grows.
    pub quick_acks: u8,
    /// Retransmissions of a SYN before the open fails (R2 of a SYN, MUST-23).
    pub syn_retries: u8,
    /// The first retransmissions of a SYN that come one [`TcpConfig::initial_rto`] apart; later ones double. Zero: all double.
    pub syn_linear_retries: u8,
    /// Retransmissions of a SYN-ACK before the half-open entry is dropped.
    pub syn_ack_retries: u8,
    /// Retransmissions of data before the application is told of the trouble (R1, RFC 9293 §3.8.3, SHLD-10: at least 3).
    pub r1: u8,
    /// Retransmissions of data before the connection is given up (R2, RFC 9293 §3.8.3).
    pub retries: u8,
    /// How long sent data may stay unacknowledged before the connection is given up (RFC 5482); `None`: R2 alone decides.
    pub user_timeout: Option<Duration>,
    /// Keep-alive probes for sockets that do not ask (RFC 9293 §3.8.4, MUST-25: off).
    pub keep_alive: bool,
    /// Silence before the first keep-alive probe (MUST-28: two hours or more).
    pub keep_alive_idle: Duration,
    /// Time between keep-alive probes.
    pub keep_alive_interval: Duration,
    /// Unanswered keep-alive probes that end the connection (MUST-29).
    pub keep_alive_probes: u8,
    /// Unanswered zero-window probes before the connection is given up.
    pub probe_retries: u8,
    /// Retransmissions before a connection that its application closed is given up.
    pub orphan_retries: u8,
    /// How long a connection that its application closed is kept, whatever it still waits for (policy 29).
    pub orphan_timeout: Duration,
    /// Connections that their applications closed, at most; one more is reset.
    pub max_orphans: usize,
    /// How long a connection that its application closed may stay in FIN-WAIT-2.
    pub fin_wait_2_timeout: Duration,
    /// How long a closed connection is remembered in TIME-WAIT: 2·MSL (MUST-13).
    pub time_wait: Duration,
    /// A RST does not end TIME-WAIT early (RFC 1337).
    pub rfc1337: bool,
    /// TIME-WAIT records kept; the oldest is evicted beyond that.
    pub max_time_wait: usize,
    /// Nagle's algorithm, in Minshall's variant (SHLD-7).
    pub nagle: bool,
    /// When full segments time out again and again, smaller ones are tried: a router may drop them and its ICMP messages be lost
    /// (RFC 4821 §7.7).
    pub black_hole_detection: bool,
    /// A RST in CLOSE-WAIT is told as "broken pipe", as Linux does, and not as "connection reset" (RFC 9293 §3.10.7.4).
    pub broken_pipe_in_close_wait: bool,
    /// Half-open connections a listener holds.
    pub syn_queue: usize,
    /// When SYN cookies are used.
    pub syn_cookies: SynCookies,
    /// How long one secret of the SYN cookies is used before the next; a cookie is valid for at most twice that.
    pub secret_rotation: Duration,
    /// DSCP in the upper six bits of what is sent (RFC 2474, MUST-48); the lower two belong to ECN.
    pub traffic_class: u8,
    /// TTL or hop limit of what is sent (RFC 1700, MUST-49).
    pub hop_limit: u8,
    /// Forbid fragmentation and obey the path's MTU (RFC 1191, RFC 8201).
    pub path_mtu_discovery: bool,
    /// The congestion control algorithm.
    pub congestion: CongestionControl,
    /// What ends the initial slow start of CUBIC besides a loss.
    pub hystart: HyStart,
    /// Connections, listeners apart, that the stack holds.
    pub max_connections: usize,
}

impl Default for TcpConfig {
    fn default() -> Self {
        TcpConfig {
            receive_buffer: 6 << 20,
            receive_buffer_initial: 131_072,
            receive_buffer_smallest: 4_096,
            tune_receive_buffer: true,
            initial_receive_window: None,
            send_buffer: 4 << 20,
            send_buffer_initial: 65_536,
            send_buffer_smallest: 4_096,
            memory_limit: 1 << 30,
            timestamps: true,
            window_scaling: true,
            sack: true,
            rack: true,
            tail_loss_probe: true,
            frto: true,
            slow_start_after_idle: false,
            dsack: true,
            ecn: Ecn::Accept,
            initial_window: 10,
            initial_rto: Duration::from_secs(1),
            min_rto: Duration::from_millis(200),
            max_rto: Duration::from_secs(120),
            delayed_ack: Duration::from_millis(40),
            quick_acks: 16,
            syn_retries: 7,
            syn_linear_retries: 0,
            syn_ack_retries: 5,
            r1: 3,
            retries: 15,
            user_timeout: None,
            keep_alive: false,
            keep_alive_idle: Duration::from_secs(7_200),
            keep_alive_interval: Duration::from_secs(75),
            keep_alive_probes: 9,
            probe_retries: 15,
            orphan_retries: 8,
            orphan_timeout: Duration::from_secs(60),
            max_orphans: 65_536,
            fin_wait_2_timeout: Duration::from_secs(60),
            time_wait: Duration::from_secs(60),
            max_time_wait: 131_072,
            rfc1337: true,
            nagle: true,
            black_hole_detection: true,
            broken_pipe_in_close_wait: false,
            syn_queue: 4_096,
            syn_cookies: SynCookies::WhenFull,
            secret_rotation: Duration::from_secs(60),
            traffic_class: 0,
            hop_limit: 64,
            path_mtu_discovery: true,
            congestion: CongestionControl::Cubic,
            hystart: HyStart::PlusPlus,
            max_connections: 1 << 20,
        }
    }
}
