//! Endings: shutdown and close by the application, RST in answer to what belongs nowhere, and what an orphan may cost.

use std::net::Shutdown;

use crate::base::socket::{Readiness, SocketError};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, TcpHeader};

use super::segment::Segment;
use super::state::State;
use super::tcb::{Env, Tcb};

/// What closing a socket leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closing {
    /// FIN after the pending data, in the background.
    Graceful,
    /// A RST at SND.NXT: received data was never read (SHLD-3), or nobody can be told gracefully.
    Reset,
    /// Nothing to send.
    Silent,
}

impl Tcb {
    /// The application closes one direction or both (RFC 9293 §3.10.4; half-close). FIN follows the pending data.
    pub fn shutdown(&mut self, how: Shutdown) -> Result<(), SocketError> {
        if matches!(self.state, State::Closed | State::SynSent | State::Listen) {
            return Err(SocketError::NotConnected);
        }
        if matches!(how, Shutdown::Read | Shutdown::Both) {
            self.read_closed = true;
            self.receive_queue.clear();
            self.events |= Readiness::IN | Readiness::RDHUP;
        }
        if matches!(how, Shutdown::Write | Shutdown::Both) {
            self.close_sending();
        }
        Ok(())
    }

    fn close_sending(&mut self) {
        match self.state {
            // RFC 9293 §3.10.4: queued until the connection is established.
            State::SynReceived => self.close_due = true,
            State::Established => self.enter(State::FinWait1),
            State::CloseWait => self.enter(State::LastAck),
            _ => return,
        }
        self.events |= Readiness::OUT;
    }

    /// The application gives the socket up; tells what must still happen on the wire.
    pub fn close(&mut self, env: &Env) -> Closing {
        self.orphan = true;
        let unread = !self.receive_queue.is_empty();
        self.receive_queue.clear();
        match self.state {
            State::Closed | State::TimeWait | State::Listen => Closing::Silent,
            State::SynSent => {
                self.die(None);
                Closing::Silent
            }
            _ if unread => Closing::Reset,
            _ => {
                self.close_sending();
                self.arm_orphan(env);
                Closing::Graceful
            }
        }
    }
}

/// The RST that answers a segment which belongs to no connection, or acknowledges what was never sent (RFC 9293 §3.10.7.1);
/// none for a RST.
pub fn reset_for(segment: &Segment) -> Option<TcpHeader> {
    if segment.has(Flags::RST) {
        return None;
    }
    let (seq, ack, flags) = if segment.has(Flags::ACK) {
        (segment.ack(), SeqNum(0), Flags::RST)
    } else {
        (SeqNum(0), segment.end(), Flags::RST.with(Flags::ACK))
    };
    let (src_port, dst_port) = (segment.tuple.local.port, segment.tuple.remote.port);
    Some(TcpHeader { src_port, dst_port, seq, ack, flags, ..TcpHeader::default() })
}

#[cfg(test)]
mod tests {
    use super::super::segment::tests::segment;
    use super::*;

    /// RFC 9293 §3.10.7.1 and policy 18.
    #[test]
    fn a_reset_takes_its_numbers_from_the_segment_it_answers() {
        let mut with_ack = segment(100, Flags::ACK, b"abc");
        with_ack.header.ack = SeqNum(7);
        let reset = reset_for(&with_ack).unwrap();
        assert_eq!((reset.seq, reset.flags), (SeqNum(7), Flags::RST));
        let reset = reset_for(&segment(100, Flags::SYN, b"abc")).unwrap();
        assert_eq!(
            (reset.seq, reset.ack, reset.flags),
            (SeqNum(0), SeqNum(104), Flags::RST.with(Flags::ACK))
        );
        assert_eq!(reset_for(&segment(1, Flags::RST, b"")), None);
    }
}
