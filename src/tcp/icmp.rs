//! ICMP errors about our segments (RFC 9293 §3.9.2.2), believed only as far as RFC 5927 §4.1 allows: the quoted sequence number
//! must be under way. They end an open that waits for its SYN-ACK (RFC 5461 §4); later they are soft and only remembered.
//! Path MTU discovery is not here yet.

use crate::base::counters::{Counters, DropReason};
use crate::base::socket::SocketError;
use crate::base::time::Instant;
use crate::wire::icmp::{ErrorKind, IcmpError};

use super::segment::FourTuple;
use super::state::State;
use super::{Owner, Tcp};

impl Tcp {
    /// Hears of an ICMP error about one of its segments (MUST-54).
    pub fn icmp_error(&mut self, error: IcmpError, counters: &mut Counters, now: Instant) {
        let tuple = FourTuple { local: error.local, remote: error.remote };
        let Some(&Owner::Connection(index)) = self.owners.get(&tuple) else {
            return counters.drop(DropReason::IcmpIgnored);
        };
        let Some(tcb) = self.connections.at_mut(index) else { return };
        let under_way = error.seq.at_or_after(tcb.snd.una) && error.seq.before(tcb.snd.nxt);
        let Some(reason) = meaning(error.kind).filter(|_| under_way) else {
            return counters.drop(DropReason::IcmpIgnored);
        };
        if tcb.state == State::SynSent {
            tcb.die(Some(reason));
        } else {
            tcb.soft_error = Some(reason);
        }
        self.settle(index, now);
    }
}

/// The error an application would see; none for what says nothing about the path.
fn meaning(kind: ErrorKind) -> Option<SocketError> {
    match kind {
        ErrorKind::NetUnreachable => Some(SocketError::NetworkUnreachable),
        ErrorKind::HostUnreachable | ErrorKind::Prohibited | ErrorKind::HopLimitExceeded => {
            Some(SocketError::HostUnreachable)
        }
        ErrorKind::ProtocolUnreachable | ErrorKind::PortUnreachable => Some(SocketError::ConnectionRefused),
        ErrorKind::PacketTooBig { .. }
        | ErrorKind::ReassemblyTimeout
        | ErrorKind::ParameterProblem { .. } => None,
    }
}
