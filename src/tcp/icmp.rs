//! ICMP errors about our segments (RFC 9293 §3.9.2.2), believed only as far as RFC 5927 allows: the quoted sequence number must
//! be under way. They end an open that waits for its SYN-ACK (RFC 5461 §4); later none of them ends a connection (RFC 5927 §6),
//! and they are remembered, or told where the socket asks for that. What is too big is `mtu`'s business.

use crate::base::counters::{Counters, DropReason};
use crate::base::socket::SocketError;
use crate::base::time::Instant;
use crate::ip::Ip;
use crate::wire::icmp::{ErrorKind, IcmpError};

use super::segment::FourTuple;
use super::state::State;
use super::tcb::{Env, Tcb};
use super::{Owner, Tcp, env};

impl Tcp {
    /// Hears of an ICMP error about one of its segments (MUST-54).
    pub fn icmp_error(&mut self, error: IcmpError, ip: &mut Ip, counters: &mut Counters, now: Instant) {
        let tuple = FourTuple { local: error.local, remote: error.remote };
        let taken = match self.owner(&tuple) {
            Some(Owner::Connection(index)) => {
                let Some(tcb) = self.connections.at_mut(index) else { return };
                let taken = tcb.on_icmp_error(&error, ip, &mut env!(self, counters, now));
                self.settle(index, now);
                taken
            }
            Some(Owner::HalfOpen(index)) => self.on_half_open_error(index, &error),
            // A connection in TIME-WAIT has nothing under way.
            Some(Owner::TimeWait(_)) | None => false,
        };
        if !taken {
            counters.drop(DropReason::IcmpIgnored);
        }
    }

    /// As for a SYN: the SYN-ACK did not reach anybody, so nobody will answer it (RFC 5461 §4; Linux drops the entry, too). Its
    /// number is known to those on the path only.
    fn on_half_open_error(&mut self, index: u32, error: &IcmpError) -> bool {
        let hit = meaning(error).is_some()
            && self.half_open.at(index).is_some_and(|entry| entry.is_syn_ack(error.seq));
        if hit {
            self.remove_half_open(index);
        }
        hit
    }
}

impl Tcb {
    /// False if the error is not to be believed, or says nothing.
    fn on_icmp_error(&mut self, error: &IcmpError, ip: &mut Ip, env: &mut Env) -> bool {
        if let ErrorKind::PacketTooBig { mtu } = error.kind {
            return self.on_packet_too_big(mtu, error.seq, ip.paths(), env);
        }
        // RFC 5927 §4.1 (hostile case T9): an attacker who cannot see the connection has to guess what is under way.
        let under_way = error.seq.at_or_after(self.snd.una) && error.seq.before(self.snd.nxt);
        let Some(reason) = meaning(error).filter(|_| under_way) else { return false };
        match self.state {
            State::SynSent | State::SynReceived => self.die(Some(reason)),
            _ => {
                // MUST-47, MUST-56, SHLD-25; SHLD-26 would abort for some, RFC 5927 §6 says why not. The last word counts.
                self.soft_error = None;
                self.report(reason);
            }
        }
        true
    }
}

/// The error an application would see, as on Linux.
fn meaning(error: &IcmpError) -> Option<SocketError> {
    match error.kind {
        ErrorKind::NetUnreachable => Some(SocketError::NetworkUnreachable),
        ErrorKind::Prohibited if error.remote.addr.is_ipv6() => Some(SocketError::Access),
        ErrorKind::HostUnreachable | ErrorKind::Prohibited => Some(SocketError::HostUnreachable),
        ErrorKind::HopLimitExceeded | ErrorKind::ReassemblyTimeout => Some(SocketError::HostUnreachable),
        ErrorKind::PortUnreachable => Some(SocketError::ConnectionRefused),
        ErrorKind::ProtocolUnreachable => Some(SocketError::ProtocolOption),
        ErrorKind::ParameterProblem { .. } => Some(SocketError::Protocol),
        ErrorKind::PacketTooBig { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ip::Endpoint;
    use crate::wire::seq::SeqNum;

    /// As on Linux: what ICMPv6 says is prohibited is a matter of access, what ICMP says is an unreachable host.
    #[test]
    fn what_is_prohibited_means_something_else_in_each_version() {
        for (addr, heard) in [("10.0.0.1", SocketError::HostUnreachable), ("fd77::1", SocketError::Access)] {
            let end = Endpoint::new(addr.parse().unwrap(), 80);
            let error = IcmpError { kind: ErrorKind::Prohibited, local: end, remote: end, seq: SeqNum(0) };
            assert_eq!(meaning(&error), Some(heard));
        }
    }
}
