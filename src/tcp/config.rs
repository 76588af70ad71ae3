//! Defaults of TCP where RFCs leave room, as one value; each field with its unit and RFC.

use crate::base::time::Duration;

/// Settings of every connection of a stack. Changes apply to connections opened afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpConfig {
    /// Memory of a connection's receive buffer, in bytes; half of it is window (the rest pays for overhead).
    pub receive_buffer: usize,
    /// Memory of a connection's send buffer, in bytes.
    pub send_buffer: usize,
    /// Offer and use timestamps (RFC 7323 §3).
    pub timestamps: bool,
    /// Offer and use window scaling (RFC 7323 §2).
    pub window_scaling: bool,
    /// Offer SACK and send SACK blocks (RFC 2018).
    pub sack: bool,
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
    /// Retransmissions of a SYN-ACK before the half-open entry is dropped.
    pub syn_ack_retries: u8,
    /// Retransmissions of data before the connection is given up (R2, RFC 9293 §3.8.3).
    pub retries: u8,
    /// Unanswered zero-window probes before the connection is given up.
    pub probe_retries: u8,
    /// Retransmissions before a connection that its application closed is given up.
    pub orphan_retries: u8,
    /// How long a connection that its application closed may stay in FIN-WAIT-2.
    pub fin_wait_2_timeout: Duration,
    /// How long a closed connection is remembered in TIME-WAIT: 2·MSL (MUST-13).
    pub time_wait: Duration,
    /// TIME-WAIT records kept; the oldest is evicted beyond that.
    pub max_time_wait: usize,
    /// Nagle's algorithm, in Minshall's variant (SHLD-7).
    pub nagle: bool,
    /// Half-open connections a listener holds.
    pub syn_queue: usize,
    /// Connections, listeners apart, that the stack holds.
    pub max_connections: usize,
}

impl Default for TcpConfig {
    fn default() -> Self {
        TcpConfig {
            receive_buffer: 6 << 20,
            send_buffer: 4 << 20,
            timestamps: true,
            window_scaling: true,
            sack: true,
            initial_window: 10,
            initial_rto: Duration::from_secs(1),
            min_rto: Duration::from_millis(200),
            max_rto: Duration::from_secs(120),
            delayed_ack: Duration::from_millis(40),
            quick_acks: 16,
            syn_retries: 7,
            syn_ack_retries: 5,
            retries: 15,
            probe_retries: 15,
            orphan_retries: 8,
            fin_wait_2_timeout: Duration::from_secs(60),
            time_wait: Duration::from_secs(60),
            max_time_wait: 131_072,
            nagle: true,
            syn_queue: 4_096,
            max_connections: 1 << 20,
        }
    }
}
