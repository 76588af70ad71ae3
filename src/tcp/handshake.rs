//! The active side of the handshake: SYN-SENT (RFC 9293 §3.10.7.3) with its simultaneous open, and the SYN's retransmissions.
//! The passive side is a half-open entry of its listener until its SYN-ACK is acknowledged (`listener.rs`).

use std::sync::Arc;

use crate::base::counters::DropReason;
use crate::base::socket::SocketError;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::Flags;

use super::input::Verdict;
use super::options::SocketOptions;
use super::segment::{FourTuple, Segment};
use super::state::State;
use super::tcb::{Env, Tcb};

impl Tcb {
    /// An active open: the SYN leaves with the next `poll_transmit`.
    pub fn open(
        tuple: FourTuple,
        iss: SeqNum,
        ts_offset: u32,
        options: Arc<SocketOptions>,
        env: &mut Env,
    ) -> Tcb {
        let mut tcb = Tcb::new(tuple, State::SynSent, iss, ts_offset, options, env);
        tcb.syn_due = true;
        tcb.snd.nxt = iss + 1;
        env.counters.tcp_active_opens += 1;
        tcb
    }

    /// Segment arrives in SYN-SENT.
    pub fn arrives_in_syn_sent(&mut self, segment: &mut Segment, env: &mut Env) -> Result<(), Verdict> {
        // First: an ACK must acknowledge our SYN, nothing else was sent.
        let acks = segment.has(Flags::ACK);
        if acks && segment.ack() != self.snd.nxt {
            let reason = DropReason::TcpBadAck;
            return Err(if segment.has(Flags::RST) { Verdict::Drop(reason) } else { Verdict::Reset(reason) });
        }
        // Second: a RST counts only with that ACK (RFC 5961 §3.2 has nothing to add).
        if segment.has(Flags::RST) {
            if !acks {
                return Err(Verdict::Drop(DropReason::TcpRst));
            }
            env.counters.tcp_rst_in += 1;
            self.die(Some(SocketError::ConnectionRefused));
            return Err(Verdict::Done);
        }
        // Fourth: SYN; fifth: neither SYN nor RST.
        if !segment.has(Flags::SYN) {
            return Err(Verdict::Drop(DropReason::TcpFlags));
        }
        self.take_syn(&segment.header, env);
        if !acks {
            // Simultaneous open (MUST-10): our SYN goes out again, now with an ACK.
            self.enter(State::SynReceived);
            self.syn_due = true;
            self.syn_repeated = true;
            return Ok(());
        }
        self.establish(segment, env);
        self.ack.at_once();
        segment.trim_front(self.rcv.nxt);
        self.take_text_and_fin(segment, env)
    }
}
