//! The half-open entry: a connection in SYN-RECEIVED from a listener, in less than 100 bytes (hostile case T10). For the moment a
//! segment takes it is blown up to a [`Tcb`], so that there is one implementation of each rule. The queue is its listener's.

use std::sync::Arc;

use crate::base::time::Instant;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Options, TcpHeader, Timestamps};

use super::ack::AnswerLimit;
use super::ecn;
use super::options::SocketOptions;
use super::segment::{FourTuple, Segment};
use super::state::State;
use super::tcb::{Env, Tcb};

/// A connection in SYN-RECEIVED from a listener.
#[derive(Clone, Debug)]
pub struct HalfOpen {
    /// Both ends.
    pub tuple: FourTuple,
    /// Place of its listener.
    pub listener: u32,
    /// SYN-ACKs sent again so far.
    pub retries: u8,
    /// The SYN came again and its SYN-ACK went out again: no round trip can be measured (Karn's rule).
    pub repeated: bool,
    /// The ACK that completes the handshake came, but the listener waits for data (`TCP_DEFER_ACCEPT`).
    pub acked: bool,
    iss: SeqNum,
    irs: SeqNum,
    window: u16,
    mss: Option<u16>,
    window_scale: Option<u8>,
    sack_permitted: bool,
    timestamp: Option<u32>,
    /// The SYN asked for ECN, and every copy of it.
    ecn: bool,
    /// When its SYN-ACK was sent last.
    pub sent_at: Instant,
    /// What it answered to whoever provokes it.
    pub limit: AnswerLimit,
}

impl HalfOpen {
    /// What a SYN leaves behind. Data that came with it is not kept: the peer sends it again.
    pub fn new(tuple: FourTuple, syn: &TcpHeader, listener: u32, iss: SeqNum, now: Instant) -> Self {
        let options = &syn.options;
        HalfOpen {
            tuple,
            listener,
            retries: 0,
            repeated: false,
            acked: false,
            iss,
            irs: syn.seq,
            window: syn.window,
            mss: options.mss,
            window_scale: options.window_scale,
            sack_permitted: options.sack_permitted,
            timestamp: options.timestamps.map(|ts| ts.val),
            ecn: ecn::is_setup(syn.flags),
            sent_at: now,
            limit: AnswerLimit::default(),
        }
    }

    /// The connection this entry stands for, in SYN-RECEIVED.
    pub fn to_tcb(&self, ts_offset: u32, options: Arc<SocketOptions>, env: &Env) -> Tcb {
        let mut tcb = Tcb::new(self.tuple, State::SynReceived, self.iss, ts_offset, options, env);
        tcb.retries = self.retries;
        if self.retries > 0 {
            tcb.trouble.retransmitted = self.retries.into();
        }
        tcb.counts.sent = 1 + u32::from(self.retries);
        tcb.counts.received = 1 + u32::from(self.repeated);
        tcb.syn_repeated = self.repeated;
        tcb.heard_at = self.sent_at;
        tcb.ack.limit = self.limit;
        tcb.snd.nxt = self.iss + 1;
        let syn = TcpHeader {
            seq: self.irs,
            flags: Flags::SYN.with(ecn::setup(self.ecn)),
            window: self.window,
            options: Options {
                mss: self.mss,
                window_scale: self.window_scale,
                sack_permitted: self.sack_permitted,
                timestamps: self.timestamp.map(|val| Timestamps { val, ecr: 0 }),
                ..Options::default()
            },
            ..TcpHeader::default()
        };
        tcb.take_syn(&syn, env);
        tcb
    }

    /// The SYN came again, perhaps with a newer timestamp: the SYN-ACK echoes that, so that the peer measures its round trip
    /// and not its timeout.
    pub fn on_repeated_syn(&mut self, syn: &TcpHeader) {
        let newer = syn.options.timestamps.map(|ts| ts.val);
        self.timestamp = self.timestamp.and(newer.or(self.timestamp));
        self.ecn &= ecn::is_setup(syn.flags);
        self.repeated = true;
    }

    /// True if `seq` is the number of this entry's SYN-ACK.
    pub fn is_syn_ack(&self, seq: SeqNum) -> bool {
        seq == self.iss
    }

    /// True if `segment` is this entry's SYN come again.
    pub fn is_repeated_syn(&self, segment: &Segment) -> bool {
        segment.has(Flags::SYN) && !segment.has(Flags::ACK) && segment.seq() == self.irs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SYN flood costs at most this much per entry (hostile case T10).
    #[test]
    fn a_half_open_entry_fits_into_100_bytes() {
        assert!(size_of::<HalfOpen>() <= 100, "{}", size_of::<HalfOpen>());
    }
}
