//! What `TCP_INFO` tells of one connection: the few counters a connection keeps for it, and the snapshot made from them and from
//! what the connection knows anyway (the names are Linux's, the quantities those of RFC 4898).
//!
//! Times are kept as 32 bits of milliseconds, so that all of this takes 52 bytes of a connection. What stays zero on a clean path is
//! counted in `trouble.rs`.

use crate::base::socket::SocketError;
use crate::base::time::{Duration, Instant};

use super::congestion::{CongestionControl, RateSample};
use super::recovery::{DUP_THRESH, Phase};
use super::segment::Segment;
use super::state::State;
use super::tcb::Tcb;
use super::{Tcp, TcpId};
use crate::tcp::config::TcpConfig;

/// What sending waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Waits {
    /// Nothing is queued or under way.
    #[default]
    Idle,
    /// The network, or acknowledgements.
    Busy,
    /// The peer's window.
    Window,
    /// Room in the send buffer, for the application to write more.
    Buffer,
}

/// Bytes per second that the delivery rate is kept in, so that 32 bits reach beyond 500 Gbit/s.
const RATE_UNIT: u64 = 16;

/// The counters of one connection.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Segments sent, with data or without.
    pub sent: u32,
    /// Those with data, sent again or not.
    pub sent_with_data: u32,
    /// Segments received, with data or without, taken or not.
    pub received: u32,
    /// Those with data.
    pub received_with_data: u32,
    /// Segments of ours that arrived, the SYN included.
    pub delivered: u32,
    /// The last sample of the delivery rate, in units of [`RATE_UNIT`], and whether the application limited it.
    rate: u32,
    rate_app_limited: bool,
    data_sent: u32,
    data_received: u32,
    since: u32,
    busy: u32,
    window_limited: u32,
    buffer_limited: u32,
    waits: Waits,
}

impl Counts {
    /// Nothing counted; every "last time" is now.
    pub fn new(now: Instant) -> Self {
        let now = millis(now);
        Counts { data_sent: now, data_received: now, since: now, ..Counts::default() }
    }

    /// A segment came.
    pub fn take(&mut self, segment: &Segment) {
        let with_data = if segment.payload.is_empty() { 0 } else { segment.segments };
        self.received = self.received.wrapping_add(segment.segments);
        self.received_with_data = self.received_with_data.wrapping_add(with_data);
    }

    /// Data was sent.
    pub fn sent_data(&mut self, now: Instant) {
        self.data_sent = millis(now);
    }

    /// Data was received.
    pub fn received_data(&mut self, now: Instant) {
        self.data_received = millis(now);
    }

    /// How long ago data was sent last.
    pub fn since_data_sent(&self, now: Instant) -> Duration {
        Duration::from_millis(millis(now).wrapping_sub(self.data_sent).into())
    }

    /// A sample of the delivery rate: kept, unless only the application's slowness makes it smaller than the last.
    pub fn note_rate(&mut self, sample: Option<&RateSample>) {
        let Some(sample) = sample else { return };
        let rate = (sample.rate() / RATE_UNIT).min(u32::MAX.into()) as u32;
        if !sample.app_limited || rate >= self.rate {
            (self.rate, self.rate_app_limited) = (rate, sample.app_limited);
        }
    }

    /// Time since data was received.
    pub fn since_data_received(&self, now: Instant) -> Duration {
        Duration::from_millis(millis(now).wrapping_sub(self.data_received).into())
    }

    /// From now on sending waits for `waits`.
    pub fn wait(&mut self, waits: Waits, now: Instant) {
        if waits == self.waits {
            return;
        }
        (self.busy, self.window_limited, self.buffer_limited) = self.times(now);
        self.since = millis(now);
        self.waits = waits;
    }

    /// Milliseconds busy in all, and those of them limited by the peer's window and by the send buffer.
    fn times(&self, now: Instant) -> (u32, u32, u32) {
        let passed = millis(now).wrapping_sub(self.since);
        let within = |waits: bool| if waits { passed } else { 0 };
        (
            self.busy.wrapping_add(within(self.waits != Waits::Idle)),
            self.window_limited.wrapping_add(within(self.waits == Waits::Window)),
            self.buffer_limited.wrapping_add(within(self.waits == Waits::Buffer)),
        )
    }
}

/// Milliseconds, modulo 2³².
fn millis(at: Instant) -> u32 {
    at.as_millis() as u32
}

/// The phase of loss recovery, as `tcpi_ca_state` numbers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecoveryState {
    /// Nothing unusual.
    Open = 0,
    /// Duplicate acknowledgements came, not enough of them for a loss.
    Disorder = 1,
    /// The window was reduced for ECN.
    Reduced = 2,
    /// Fast recovery.
    Recovery = 3,
    /// After a retransmission timeout.
    Loss = 4,
}

/// Everything `TCP_INFO` tells of a connection, at one moment. "Segments" are of [`Statistics::send_mss`] bytes, the last of each
/// transmission perhaps shorter.
///
/// Of Linux's fields these are not here, because there is nothing to tell: `tcpi_fackets` and `tcpi_last_ack_sent`, which Linux does
/// not keep either; `tcpi_fastopen_client_fail`, since there is no fast open; `tcpi_rehash`, since no flow label is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// The state.
    pub state: State,
    /// The phase of loss recovery.
    pub recovery: RecoveryState,
    /// Retransmission timeouts in a row.
    pub retransmits: u8,
    /// Unanswered probes, of a zero window or of keep-alive.
    pub probes: u8,
    /// Doublings of the retransmission timeout, or of the probe interval.
    pub backoff: u8,
    /// Timestamps were agreed (RFC 7323).
    pub timestamps: bool,
    /// SACK was agreed (RFC 2018).
    pub sack: bool,
    /// Window scaling was agreed (RFC 7323).
    pub window_scaling: bool,
    /// Shift of the peer's window (RFC 7323 §2).
    pub send_window_scale: u8,
    /// Shift of this side's window.
    pub receive_window_scale: u8,
    /// ECN was agreed (RFC 3168).
    pub ecn: bool,
    /// The peer has sent an ECN-capable packet.
    pub ecn_seen: bool,
    /// The retransmission timeout, back-off included.
    pub rto: Duration,
    /// The longest that an acknowledgement is withheld.
    pub ack_timeout: Duration,
    /// Effective send MSS, options taken off, in bytes.
    pub send_mss: u32,
    /// The largest segment the peer is known to send, in bytes.
    pub receive_mss: u32,
    /// The MSS this side announced, in bytes.
    pub advertised_mss: u32,
    /// The largest IP packet that the path carries, in bytes, as far as this is known; at most the device's MTU.
    pub path_mtu: u32,
    /// Segments sent and not acknowledged, the SYN included.
    pub unacknowledged: u32,
    /// Of these, those that SACK says have arrived.
    pub sacked: u32,
    /// Of these, those that count as lost and were not sent again yet.
    pub lost: u32,
    /// Of these, those that were sent again.
    pub retransmitting: u32,
    /// Bytes under way as far as is known (RFC 6675's pipe), which the congestion window limits: those sent and not acknowledged, but
    /// for what has arrived and what counts as lost and was not sent again yet. SYN and FIN count as one each. Linux has no name for it.
    pub in_flight: u32,
    /// Segments sent since the connection was opened, acknowledgements included; a super-segment counts as what becomes of it.
    pub segments_sent: u32,
    /// Of these, those with data.
    pub data_segments_sent: u32,
    /// Segments received since the connection was opened, the SYN included, whatever became of them; a super-segment counts as what
    /// it was made of.
    pub segments_received: u32,
    /// Of these, those with data.
    pub data_segments_received: u32,
    /// Segments with data received behind a gap, once the SYN was.
    pub out_of_order_received: u32,
    /// Segments sent again since the connection was opened.
    pub retransmitted: u32,
    /// Smoothed round-trip time; zero until measured.
    pub srtt: Duration,
    /// Round-trip time variation; zero until measured.
    pub rttvar: Duration,
    /// Shortest round trip; zero until measured.
    pub min_rtt: Duration,
    /// Round-trip time as the receiver sees it; zero until measured.
    pub receive_rtt: Duration,
    /// The most that the application read in a round trip, in bytes; zero while that is not more than a first flight.
    pub receive_space: u32,
    /// Slow start threshold in segments; `u32::MAX` until there is one.
    pub slow_start_threshold: u32,
    /// Congestion window, in segments.
    pub congestion_window: u32,
    /// The largest distance in segments by which the path was seen to reorder; 3 before that (RFC 5681 §3.2).
    pub reordering: u32,
    /// Times that reordering was seen (RFC 8985 §6.2 step 3).
    pub reordering_seen: u32,
    /// Segments of ours that arrived twice, as D-SACK tells (RFC 2883).
    pub duplicates: u32,
    /// Retransmission timeouts since the connection was opened, those of SYNs left out.
    pub timeouts: u32,
    /// Runs of such timeouts; a run ends when something new is acknowledged.
    pub timeout_runs: u32,
    /// Time in all from the first timeout of a run to its end, the run that is going on included.
    pub timeout_time: Duration,
    /// The newest sample of the delivery rate, in bytes per second; zero until measured.
    pub delivery_rate: u64,
    /// The application sent too little for that sample to tell what the path carries.
    pub delivery_rate_app_limited: bool,
    /// Bytes per second that sending is paced to; `None`: it is not.
    pub pacing_rate: Option<u64>,
    /// Bytes per second that the application allows at most
    /// ([`SocketOptions::max_pacing_rate`](super::options::SocketOptions::max_pacing_rate)).
    pub max_pacing_rate: Option<u64>,
    /// The congestion control algorithm.
    pub algorithm: CongestionControl,
    /// Time since data was sent last.
    pub since_data_sent: Duration,
    /// Time since data was received last.
    pub since_data_received: Duration,
    /// Time since an acknowledgement was received last.
    pub since_ack_received: Duration,
    /// Time in all that data was queued or under way, in whole milliseconds.
    pub busy: Duration,
    /// Time of this that the peer's window held data back.
    pub window_limited: Duration,
    /// Time of this that all that the send buffer has room for was under way.
    pub buffer_limited: Duration,
    /// Segments that arrived, the SYN included.
    pub delivered: u32,
    /// Of these, those whose acknowledgement echoed a congestion mark (RFC 3168).
    pub delivered_marked: u32,
    /// Segments with data received that carried a congestion mark, where ECN was agreed.
    pub marks_received: u32,
    /// Sequence numbers acknowledged since the connection was established, the SYN of an active open and the FIN included.
    pub bytes_acked: u64,
    /// Sequence numbers received in order, the peer's FIN included.
    pub bytes_received: u64,
    /// Bytes of data sent, those sent again included.
    pub bytes_sent: u64,
    /// Bytes of data sent again.
    pub bytes_retransmitted: u64,
    /// The peer's window, in bytes.
    pub send_window: u32,
    /// This side's window as the peer knows it, in bytes.
    pub receive_window: u32,
    /// What this side's window may become as the receive buffer is now, in bytes.
    pub receive_window_limit: u32,
    /// Bytes queued and never sent.
    pub not_sent: u32,
}

impl Statistics {
    /// The values under Linux's names and in its units: µs for round trips and busy times, ms for "last" times.
    pub fn named(&self) -> [(&'static str, u64); 58] {
        let micros = |time: Duration| time.as_micros() as u64;
        let millis = |time: Duration| time.as_millis() as u64;
        let options = [self.timestamps, self.sack, self.window_scaling, self.ecn, self.ecn_seen];
        let options = options.into_iter().rev().fold(0, |bits, bit| bits << 1 | u64::from(bit));
        let repairs = matches!(self.recovery, RecoveryState::Recovery | RecoveryState::Loss);
        // Linux's infinity is 2³¹ − 1.
        let ssthresh = u64::from(self.slow_start_threshold.min(i32::MAX as u32));
        [
            ("tcpi_state", u64::from(state_number(self.state))),
            ("tcpi_ca_state", self.recovery as u64),
            ("tcpi_retransmits", self.retransmits.into()),
            ("tcpi_probes", self.probes.into()),
            ("tcpi_backoff", self.backoff.into()),
            ("tcpi_options", options),
            ("tcpi_snd_wscale", self.send_window_scale.into()),
            ("tcpi_rcv_wscale", self.receive_window_scale.into()),
            ("tcpi_rto", micros(self.rto)),
            ("tcpi_ato", micros(self.ack_timeout)),
            ("tcpi_snd_mss", self.send_mss.into()),
            ("tcpi_rcv_mss", self.receive_mss.into()),
            ("tcpi_advmss", self.advertised_mss.into()),
            ("tcpi_pmtu", self.path_mtu.into()),
            ("tcpi_unacked", self.unacknowledged.into()),
            ("tcpi_sacked", self.sacked.into()),
            // Linux's holds until what was sent again has arrived; a tail probe was not lost.
            ("tcpi_lost", (self.lost + if repairs { self.retransmitting } else { 0 }).into()),
            ("tcpi_retrans", self.retransmitting.into()),
            ("tcpi_total_retrans", self.retransmitted.into()),
            ("tcpi_rtt", micros(self.srtt)),
            ("tcpi_rttvar", micros(self.rttvar)),
            ("tcpi_min_rtt", micros(self.min_rtt)),
            ("tcpi_rcv_rtt", micros(self.receive_rtt)),
            ("tcpi_rcv_space", self.receive_space.into()),
            ("tcpi_snd_ssthresh", ssthresh),
            ("tcpi_snd_cwnd", self.congestion_window.into()),
            ("tcpi_reordering", self.reordering.into()),
            ("tcpi_reord_seen", self.reordering_seen.into()),
            ("tcpi_dsack_dups", self.duplicates.into()),
            ("tcpi_total_rto", self.timeouts.into()),
            ("tcpi_total_rto_recoveries", self.timeout_runs.into()),
            ("tcpi_total_rto_time", millis(self.timeout_time)),
            ("tcpi_delivery_rate", self.delivery_rate),
            ("tcpi_delivery_rate_app_limited", self.delivery_rate_app_limited.into()),
            // Linux's "not paced" is the largest number.
            ("tcpi_pacing_rate", self.pacing_rate.unwrap_or(u64::MAX)),
            ("tcpi_max_pacing_rate", self.max_pacing_rate.unwrap_or(u64::MAX)),
            ("tcpi_last_data_sent", millis(self.since_data_sent)),
            ("tcpi_last_data_recv", millis(self.since_data_received)),
            ("tcpi_last_ack_recv", millis(self.since_ack_received)),
            ("tcpi_busy_time", micros(self.busy)),
            ("tcpi_rwnd_limited", micros(self.window_limited)),
            ("tcpi_sndbuf_limited", micros(self.buffer_limited)),
            ("tcpi_segs_out", self.segments_sent.into()),
            ("tcpi_data_segs_out", self.data_segments_sent.into()),
            ("tcpi_segs_in", self.segments_received.into()),
            ("tcpi_data_segs_in", self.data_segments_received.into()),
            ("tcpi_rcv_ooopack", self.out_of_order_received.into()),
            ("tcpi_delivered", self.delivered.into()),
            ("tcpi_delivered_ce", self.delivered_marked.into()),
            ("tcpi_received_ce", self.marks_received.into()),
            ("tcpi_bytes_acked", self.bytes_acked),
            ("tcpi_bytes_received", self.bytes_received),
            ("tcpi_bytes_sent", self.bytes_sent),
            ("tcpi_bytes_retrans", self.bytes_retransmitted),
            ("tcpi_snd_wnd", self.send_window.into()),
            ("tcpi_rcv_wnd", self.receive_window.into()),
            ("tcpi_rcv_ssthresh", self.receive_window_limit.into()),
            ("tcpi_notsent_bytes", self.not_sent.into()),
        ]
    }

    /// One value by Linux's name.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.named().into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// Linux's number of a state. It shows a socket in TIME-WAIT as closed, since a record has taken its place.
const fn state_number(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait | State::Closed => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Listen => 10,
        State::Closing => 11,
    }
}

impl Tcp {
    /// `TCP_INFO`: what is known of a connection now.
    pub fn statistics(&self, id: TcpId, now: Instant) -> Result<Statistics, SocketError> {
        let tcb = self.connections.get(id.0).ok_or(SocketError::NoSocket)?;
        Ok(tcb.statistics(&self.config, self.capabilities.mtu, now))
    }
}

impl Tcb {
    fn statistics(&self, config: &TcpConfig, mtu: usize, now: Instant) -> Statistics {
        let mss = self.mss();
        let opening = matches!(self.state, State::SynSent | State::SynReceived);
        let flight = self.flight.sent.census(self.snd.fin);
        let since = |then: u32| Duration::from_millis(millis(now).wrapping_sub(then).into());
        let (busy, window_limited, buffer_limited) = self.counts.times(now);
        let millis = |count: u32| Duration::from_millis(count.into());
        let ssthresh = self.congestion.ssthresh();
        Statistics {
            state: self.state,
            recovery: self.recovery_state(),
            retransmits: self.retries,
            probes: self.probes,
            backoff: if opening { self.retries } else { self.rtt.backoff.max(self.probe_backoff) },
            timestamps: self.agreed.timestamps,
            sack: self.agreed.sack,
            window_scaling: self.agreed.scaling,
            send_window_scale: self.agreed.snd_shift,
            receive_window_scale: self.agreed.rcv_shift,
            ecn: self.agreed.ecn.is_made(),
            ecn_seen: self.ecn.seen,
            rto: self.rtt.rto(config),
            ack_timeout: config.delayed_ack,
            send_mss: mss,
            receive_mss: self.ack.segment().into(),
            advertised_mss: self.agreed.advertised_mss.into(),
            path_mtu: self.path_mtu(mtu),
            unacknowledged: if opening { 1 } else { flight.all },
            sacked: flight.sacked,
            lost: flight.lost,
            retransmitting: flight.retransmitted,
            in_flight: self.in_flight(),
            segments_sent: self.counts.sent,
            data_segments_sent: self.counts.sent_with_data,
            segments_received: self.counts.received,
            data_segments_received: self.counts.received_with_data,
            out_of_order_received: self.trouble.out_of_order,
            retransmitted: self.trouble.retransmitted,
            srtt: self.rtt.srtt().unwrap_or_default(),
            rttvar: self.rtt.rttvar().unwrap_or_default(),
            min_rtt: self.rtt.min_rtt().unwrap_or_default(),
            receive_rtt: self.tuning.rtt(),
            receive_space: self.tuning.space(),
            slow_start_threshold: if ssthresh == u32::MAX { ssthresh } else { ssthresh / mss },
            congestion_window: self.congestion.window() / mss,
            reordering: DUP_THRESH.max(self.recovery.reordering.extent.into()),
            reordering_seen: self.recovery.reordering.seen.into(),
            duplicates: self.trouble.duplicated,
            timeouts: self.trouble.timeouts,
            timeout_runs: self.trouble.timeout_runs,
            timeout_time: self.trouble.timeout_time(now),
            delivery_rate: u64::from(self.counts.rate) * RATE_UNIT,
            delivery_rate_app_limited: self.counts.rate_app_limited,
            pacing_rate: self.pacing_rate(),
            max_pacing_rate: self.options.max_pacing_rate,
            algorithm: self.options.congestion,
            since_data_sent: since(self.counts.data_sent),
            since_data_received: self.counts.since_data_received(now),
            since_ack_received: now.since(self.heard_at),
            busy: millis(busy),
            window_limited: millis(window_limited),
            buffer_limited: millis(buffer_limited),
            delivered: self.counts.delivered,
            delivered_marked: self.trouble.delivered_marked,
            marks_received: self.trouble.marks_in,
            bytes_acked: self.acknowledged_numbers(),
            bytes_received: self.rcv.offset + u64::from(self.has_received_fin()),
            bytes_sent: self.sent_once() + self.trouble.retransmitted_bytes,
            bytes_retransmitted: self.trouble.retransmitted_bytes,
            send_window: self.snd.wnd,
            receive_window: self.rcv.wnd(),
            receive_window_limit: (self.unstressed_receive_limit(config) / 2).min(1 << 30) as u32,
            not_sent: self.unsent(),
        }
    }

    fn recovery_state(&self) -> RecoveryState {
        match self.recovery.phase {
            Phase::Open if self.flight.dup_acks > 0 || self.flight.sent.sacked() > 0 => {
                RecoveryState::Disorder
            }
            Phase::Open => RecoveryState::Open,
            Phase::Reduced => RecoveryState::Reduced,
            Phase::FastRecovery => RecoveryState::Recovery,
            Phase::Loss => RecoveryState::Loss,
        }
    }

    /// Bytes of data that were sent at least once. The numbers tell it, since a reset empties the queue.
    fn sent_once(&self) -> u64 {
        let acknowledged = self.send_queue.acknowledged();
        let syn = acknowledged == 0 && self.snd.una == self.snd.iss;
        let fin = self.snd.fin.is_some() && !self.fin_acked();
        let under_way = self.snd.nxt.offset_from(self.snd.una) - i32::from(syn) - i32::from(fin);
        acknowledged + under_way.max(0) as u64
    }

    fn acknowledged_numbers(&self) -> u64 {
        let syn = self.active && self.snd.una != self.snd.iss;
        self.send_queue.acknowledged() + u64::from(syn) + u64::from(self.fin_acked())
    }

    fn has_received_fin(&self) -> bool {
        matches!(self.state, State::CloseWait | State::LastAck | State::Closing | State::TimeWait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4898 `SndLimTime*`: busy time includes the time that the peer's window held data back.
    #[test]
    fn busy_time_includes_window_limited_time() {
        let at = Instant::from_millis;
        let mut counts = Counts::new(at(u64::from(u32::MAX) - 5));
        counts.wait(Waits::Busy, at(u64::from(u32::MAX)));
        counts.wait(Waits::Window, at(u64::from(u32::MAX) + 10));
        assert_eq!(counts.times(at(u64::from(u32::MAX) + 15)), (15, 5, 0));
        counts.wait(Waits::Idle, at(u64::from(u32::MAX) + 30));
        assert_eq!(counts.times(at(u64::from(u32::MAX) + 99)), (30, 20, 0));
    }
}
