//! The eleven states of a connection (RFC 9293 §3.3.2) and the legal moves between them, as a table.

use std::fmt;

/// A connection's state. LISTEN and CLOSED stand here for completeness: a listener is a structure of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// No connection.
    Closed,
    /// Waiting for a SYN from any peer.
    Listen,
    /// A SYN was sent, none came.
    SynSent,
    /// SYNs were exchanged, ours is not acknowledged yet.
    SynReceived,
    /// Data flows in both directions.
    Established,
    /// This side closed first; its FIN is not acknowledged yet.
    FinWait1,
    /// Our FIN is acknowledged; the peer may still send.
    FinWait2,
    /// The peer closed first; this side may still send.
    CloseWait,
    /// Both closed at once; our FIN is not acknowledged yet.
    Closing,
    /// The peer closed first, then this side; our FIN is not acknowledged yet.
    LastAck,
    /// All is said; old segments may still be under way.
    TimeWait,
}

use State::*;

impl State {
    /// Every state, in the order of RFC 9293 §3.3.2.
    pub const ALL: [State; 11] = [
        Listen,
        SynSent,
        SynReceived,
        Established,
        FinWait1,
        FinWait2,
        CloseWait,
        Closing,
        LastAck,
        TimeWait,
        Closed,
    ];

    /// The RFC's name.
    pub const fn name(self) -> &'static str {
        match self {
            Closed => "CLOSED",
            Listen => "LISTEN",
            SynSent => "SYN-SENT",
            SynReceived => "SYN-RECEIVED",
            Established => "ESTABLISHED",
            FinWait1 => "FIN-WAIT-1",
            FinWait2 => "FIN-WAIT-2",
            CloseWait => "CLOSE-WAIT",
            Closing => "CLOSING",
            LastAck => "LAST-ACK",
            TimeWait => "TIME-WAIT",
        }
    }

    /// Both SYNs are acknowledged: ESTABLISHED and everything after it.
    pub const fn is_synchronized(self) -> bool {
        !matches!(self, Closed | Listen | SynSent | SynReceived)
    }

    /// The peer may still send data: its FIN has not come.
    pub const fn receives_data(self) -> bool {
        matches!(self, SynReceived | Established | FinWait1 | FinWait2)
    }

    /// The application may still queue data: it has not closed its direction.
    pub const fn sends_data(self) -> bool {
        matches!(self, Established | CloseWait)
    }

    /// The application closed its direction and the FIN waits to be sent or acknowledged.
    pub const fn fin_pending(self) -> bool {
        matches!(self, FinWait1 | Closing | LastAck)
    }

    /// True if the table of legal moves leads from here to `next`.
    pub fn may_become(self, next: State) -> bool {
        LEGAL_MOVES.iter().any(|&(from, to, _)| from == self && to == next)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// From, to, and what makes the move (RFC 9293 §3.3.2, figure 5, and §3.10). Every state but CLOSED may also fall to CLOSED by
/// an abort, a RST or a timeout. A close in SYN-RECEIVED is queued until ESTABLISHED, as §3.10.4 allows.
pub const LEGAL_MOVES: &[(State, State, &str)] = &[
    (Closed, Listen, "passive open"),
    (Closed, SynSent, "active open: send SYN"),
    (Listen, SynReceived, "receive SYN: send SYN-ACK"),
    (Listen, Closed, "close"),
    (SynSent, SynReceived, "receive SYN: simultaneous open"),
    (SynSent, Established, "receive SYN-ACK: send ACK"),
    (SynSent, Closed, "close, refused or timed out"),
    (SynReceived, Established, "receive ACK of SYN"),
    (SynReceived, Closed, "abort, RST or timeout"),
    (Established, FinWait1, "close: send FIN"),
    (Established, CloseWait, "receive FIN"),
    (Established, Closed, "abort, RST or timeout"),
    (FinWait1, FinWait2, "receive ACK of FIN"),
    (FinWait1, Closing, "receive FIN: simultaneous close"),
    (FinWait1, TimeWait, "receive FIN and ACK of FIN"),
    (FinWait1, Closed, "abort, RST or timeout"),
    (FinWait2, TimeWait, "receive FIN"),
    (FinWait2, Closed, "abort, RST or timeout"),
    (CloseWait, LastAck, "close: send FIN"),
    (CloseWait, Closed, "abort, RST or timeout"),
    (Closing, TimeWait, "receive ACK of FIN"),
    (Closing, Closed, "abort, RST or timeout"),
    (LastAck, Closed, "receive ACK of FIN"),
    (TimeWait, Closed, "2 MSL passed"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9293 §3.3.2: printed so that a reader can hold it against figure 5 (`cargo test -- --nocapture`).
    #[test]
    fn the_table_of_moves_reaches_every_state_and_leaves_every_state() {
        for &(from, to, why) in LEGAL_MOVES {
            println!("{from:<13}-> {to:<13}{why}");
            assert!(from.may_become(to));
        }
        for state in State::ALL {
            assert!(LEGAL_MOVES.iter().any(|&(_, to, _)| to == state), "{state} cannot be reached");
            assert!(LEGAL_MOVES.iter().any(|&(from, _, _)| from == state), "{state} cannot be left");
        }
        assert!(!Established.may_become(SynSent) && !TimeWait.may_become(Established));
    }

    /// RFC 9293 §3.3.2: states are called what the RFC calls them.
    #[test]
    fn states_have_the_names_of_the_rfc() {
        let names = [Closed, SynReceived, FinWait1, TimeWait].map(State::name);
        assert_eq!(names, ["CLOSED", "SYN-RECEIVED", "FIN-WAIT-1", "TIME-WAIT"]);
    }
}
