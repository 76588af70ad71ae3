//! Endings: shutdown and close by the application, RST in answer to what belongs nowhere, and what an orphan may cost.

use std::net::Shutdown;

use crate::base::socket::{Readiness, SocketError};
use crate::base::time::{Duration, Instant};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, TcpHeader};

use super::segment::Segment;
use super::state::State;
use super::tcb::{Env, Tcb};
use super::timers::Timer;

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

/// How far a close that waits for the peer is (`SO_LINGER`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lingering {
    /// Nobody waits.
    No,
    /// Until the peer has acknowledged everything.
    Waiting,
    /// The time is over.
    Over,
}

impl Tcb {
    /// The application closes one direction or both (RFC 9293 §3.10.4; half-close). FIN follows the pending data. As on Linux,
    /// shutting reading down is not told to the peer: what waits or still comes can be read, and nobody waits for more. An open
    /// in progress is given up.
    pub fn shutdown(&mut self, how: Shutdown) -> Result<(), SocketError> {
        if matches!(self.state, State::Closed | State::TimeWait | State::Listen) {
            return Err(SocketError::NotConnected);
        }
        if self.state == State::SynSent {
            self.die(Some(SocketError::ConnectionReset));
            return Ok(());
        }
        if matches!(how, Shutdown::Read | Shutdown::Both) {
            self.read_closed = true;
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
            _ if unread || self.options.linger == Some(Duration::ZERO) => Closing::Reset,
            _ => {
                self.close_sending();
                self.arm_orphan(env);
                Closing::Graceful
            }
        }
    }

    /// A close that waits, as the `linger` option asks: the first call closes both directions. `WouldBlock` while the peer has not
    /// acknowledged everything, `TimedOut` when the time is over.
    pub fn linger(&mut self, now: Instant) -> Result<(), SocketError> {
        let unread = !self.receive_queue.is_empty();
        let Some(patience) = self.options.linger.filter(|time| !time.is_zero()) else { return Ok(()) };
        match self.lingering {
            Lingering::No if unread => return Ok(()),
            Lingering::No => {
                self.lingering = Lingering::Waiting;
                self.read_closed = true;
                self.close_sending();
                self.deadlines.set(Timer::Orphan, now + patience);
            }
            Lingering::Waiting => {}
            Lingering::Over => return Err(SocketError::TimedOut),
        }
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        match self.state {
            State::SynReceived | State::FinWait1 | State::Closing | State::LastAck => {
                Err(SocketError::WouldBlock)
            }
            _ => Ok(()),
        }
    }

    /// The time to linger is over.
    pub fn stop_lingering(&mut self) {
        self.lingering = Lingering::Over;
        self.events |= Readiness::HUP;
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
    use super::super::segment::FourTuple;
    use super::super::segment::tests::segment;
    use super::*;

    /// RFC 9293 §3.10.7.1 and policy 18.
    #[test]
    fn a_reset_takes_its_numbers_from_the_segment_it_answers() {
        let mut with_ack = segment(100, Flags::ACK, b"abc");
        with_ack.header.ack = SeqNum(7);
        let reset = reset_for(&with_ack).unwrap();
        assert_eq!((reset.seq, reset.flags), (SeqNum(7), Flags::RST));
        let FourTuple { local, remote } = with_ack.tuple;
        assert_eq!((reset.src_port, reset.dst_port), (local.port, remote.port));
        let reset = reset_for(&segment(100, Flags::SYN, b"abc")).unwrap();
        assert_eq!(
            (reset.seq, reset.ack, reset.flags),
            (SeqNum(0), SeqNum(104), Flags::RST.with(Flags::ACK))
        );
        assert_eq!(reset_for(&segment(1, Flags::RST, b"")), None);
    }
}
