//! What a connection looks like from outside: the rows of a listing.

use crate::base::time::Duration;
use crate::wire::ip::Endpoint;

use super::Tcp;
use super::state::State;
use super::tcb::Tcb;

/// One connection, half-open entries and TIME-WAIT records included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// This stack's end.
    pub local: Endpoint,
    /// The peer's end.
    pub remote: Endpoint,
    /// The state.
    pub state: State,
    /// Bytes queued and not acknowledged.
    pub send_queue: usize,
    /// Bytes received and not read.
    pub receive_queue: usize,
    /// Congestion window, in bytes.
    pub congestion_window: u32,
    /// Slow start threshold, in bytes.
    pub slow_start_threshold: u32,
    /// Smoothed round-trip time, if measured.
    pub srtt: Option<Duration>,
    /// Round-trip time variation, if measured.
    pub rttvar: Option<Duration>,
    /// Shortest round trip seen.
    pub min_rtt: Option<Duration>,
    /// Effective send MSS, in bytes.
    pub send_mss: u32,
    /// The peer's window, in bytes.
    pub send_window: u32,
    /// This side's window as the peer knows it, in bytes.
    pub receive_window: u32,
}

impl ConnectionInfo {
    pub(super) fn of(tcb: &Tcb) -> Self {
        ConnectionInfo {
            send_queue: tcb.send_queue.len(),
            receive_queue: tcb.receive_queue.len(),
            congestion_window: tcb.congestion.window(),
            slow_start_threshold: tcb.congestion.ssthresh(),
            srtt: tcb.rtt.srtt(),
            rttvar: tcb.rtt.rttvar(),
            min_rtt: tcb.rtt.min_rtt(),
            send_mss: tcb.mss(),
            send_window: tcb.snd.wnd,
            receive_window: tcb.rcv.wnd(),
            ..ConnectionInfo::bare(tcb.tuple.local, tcb.tuple.remote, tcb.state)
        }
    }

    fn bare(local: Endpoint, remote: Endpoint, state: State) -> Self {
        ConnectionInfo {
            local,
            remote,
            state,
            send_queue: 0,
            receive_queue: 0,
            congestion_window: 0,
            slow_start_threshold: 0,
            srtt: None,
            rttvar: None,
            min_rtt: None,
            send_mss: 0,
            send_window: 0,
            receive_window: 0,
        }
    }
}

impl Tcp {
    /// Every connection: those with a control block, then half-open entries, then TIME-WAIT records.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionInfo> + '_ {
        // A block in TIME-WAIT has left a record, which speaks for it.
        let gone = |tcb: &Tcb| tcb.state == State::TimeWait || (tcb.orphan && tcb.state == State::Closed);
        let blocks = self.connections.iter().map(|(_, tcb)| tcb).filter(move |tcb| !gone(tcb));
        let half_open = self.half_open.iter().map(|(_, entry)| (entry.tuple, State::SynReceived));
        let time_wait = self.time_wait.iter().map(|record| (record.tuple, State::TimeWait));
        blocks.map(ConnectionInfo::of).chain(
            half_open.chain(time_wait).map(|(t, state)| ConnectionInfo::bare(t.local, t.remote, state)),
        )
    }
}
