//! Explicit Congestion Notification (RFC 3168 §6.1): its negotiation, the receiver's echo of congestion marks, and the sender's one
//! reduction for each window of data. What a reduction does to the window is `recovery`'s business. No AccECN (RFC 9768).

use crate::wire::ip::ecn;
use crate::wire::tcp::Flags;

use super::config::Ecn;
use super::congestion::Congestion;
use super::options::SocketOptions;
use super::segment::Segment;
use super::state::State;
use super::tcb::{Env, Tcb};

/// What an ECN-setup SYN carries, and an ECN-setup SYN-ACK half of (RFC 3168 §6.1.1).
const SETUP: Flags = Flags::ECE.with(Flags::CWR);

/// How far both ends agree on ECN.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Agreement {
    /// One of them does not want it.
    #[default]
    No,
    /// This side wants it: its SYN asks, or waits to be asked.
    Offered,
    /// Both want it, but this side sent a SYN or SYN-ACK without it too: marks count, and nothing is sent ECN-capable.
    ReceiveOnly,
    /// Both want it.
    Full,
}

impl Agreement {
    /// What a connection begins with that is about to send a SYN, or a SYN-ACK.
    pub fn offered(options: &SocketOptions, state: State) -> Self {
        match options.ecn {
            Ecn::Off => Agreement::No,
            Ecn::Accept if state == State::SynSent => Agreement::No,
            Ecn::Accept | Ecn::Request => Agreement::Offered,
        }
    }

    /// True if both ends want it.
    pub fn is_made(self) -> bool {
        matches!(self, Agreement::ReceiveOnly | Agreement::Full)
    }
}

/// ECN after the handshake.
#[derive(Clone, Debug, Default)]
pub struct EcnState {
    /// The next new data tells the peer of the reduction.
    cwr_due: bool,
    /// Acknowledgements carry ECE.
    echo: bool,
    /// The peer has sent an ECN-capable packet.
    pub seen: bool,
}

/// How a segment leaves; by default not ECN-capable.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks {
    /// The ECN field of its IP header.
    pub field: u8,
    /// CWR, or nothing.
    pub flags: Flags,
}

/// True for an ECN-setup SYN or SYN-ACK. A SYN-ACK that just mirrors the bits of the SYN is none (RFC 3168 §6.1.1).
pub fn is_setup(flags: Flags) -> bool {
    flags.has(Flags::ECE) && flags.has(Flags::CWR) != flags.has(Flags::ACK)
}

/// The flags of a SYN that `asks` for ECN, or does not.
pub fn setup(asks: bool) -> Flags {
    if asks { SETUP } else { Flags::NONE }
}

impl Tcb {
    /// The ECN bits of our SYN or SYN-ACK. None on a retry: a middlebox may have dropped it for them (RFC 3168 §6.1.1.1).
    pub fn ecn_setup_flags(&self) -> Flags {
        match (self.state, self.agreed.ecn) {
            _ if self.retries > 0 => Flags::NONE,
            (State::SynSent, Agreement::Offered) => SETUP,
            (State::SynReceived, Agreement::Full) => Flags::ECE,
            _ => Flags::NONE,
        }
    }

    /// A SYN or SYN-ACK of the peer says whether it wants ECN. One that does not is enough to do without.
    pub fn agree_on_ecn(&mut self, flags: Flags) {
        self.agreed.ecn = match self.agreed.ecn {
            Agreement::No => Agreement::No,
            _ if is_setup(flags) => Agreement::Full,
            _ => Agreement::No,
        };
    }

    /// The handshake is over. RFC 3168 §6.1.1: who sent a SYN without ECN, as every retry is, MUST NOT set ECT; but it must
    /// listen to marks, because the peer may know only the SYN with ECN.
    pub fn conclude_ecn(&mut self) {
        if self.agreed.ecn == Agreement::Full && self.retries > 0 {
            self.agreed.ecn = Agreement::ReceiveOnly;
        }
    }

    /// Text came in the window. RFC 3168 §6.1.3: a mark is echoed in every acknowledgement until the sender says CWR. It is told at
    /// once of the first, and is answered at once when it has slowed down, because it may have little left to send on.
    pub fn take_mark(&mut self, segment: &Segment, env: &mut Env) {
        if !self.agreed.ecn.is_made() {
            return;
        }
        self.ecn.seen |= segment.ecn != ecn::NOT_ECT;
        let marked = segment.ecn == ecn::CE;
        let slowed = segment.has(Flags::CWR);
        if (marked && !self.ecn.echo) || slowed {
            self.ack.at_once();
        }
        env.counters.tcp_marks_in += u64::from(marked);
        if marked {
            self.trouble.marks_in = self.trouble.marks_in.wrapping_add(segment.segments);
        }
        self.ecn.echo = marked || (self.ecn.echo && !slowed);
    }

    /// The flag that goes with every acknowledgement now.
    pub fn ecn_echo(&self) -> Flags {
        if self.ecn.echo { Flags::ECE } else { Flags::NONE }
    }

    /// Before an acknowledgement takes effect: if it echoes a mark, the window comes down, once for each window of data and not beside
    /// the reduction for a loss (RFC 3168 §6.1.2).
    pub fn take_echo(&mut self, segment: &Segment, env: &mut Env) {
        let ack = segment.ack();
        // Newer acknowledgements have overtaken an old one, and perhaps the CWR that ended its echo. With nothing under way an echo is of
        // what was answered already.
        let counts =
            self.agreed.ecn == Agreement::Full && ack.at_or_after(self.snd.una) && self.outstanding() > 0;
        if !counts || !segment.has(Flags::ECE) {
            return;
        }
        env.counters.tcp_echoes_in += 1;
        // Behind RECOVER stands what carried CWR: once that has arrived, an echo is of a new mark.
        if ack.after(self.recovery.recover) {
            self.enter_reduction(Congestion::Mark, env);
        }
    }

    /// So many segments of ours were delivered; if the acknowledgement echoes a mark, they count as marked (Linux alike).
    pub fn count_marked(&mut self, segments: u32, ack: &Segment) {
        if segments > 0 && self.agreed.ecn == Agreement::Full && ack.has(Flags::ECE) {
            self.trouble.delivered_marked = self.trouble.delivered_marked.wrapping_add(segments);
        }
    }

    /// The window was reduced, for whatever reason: the next new data says CWR (RFC 3168 §6.1.2).
    pub fn tell_of_reduction(&mut self) {
        self.ecn.cwr_due = true;
    }

    /// How new data leaves. Nothing else is ECN-capable: no retransmission (RFC 3168
    /// §6.1.5), pure ACK (§6.1.4), SYN (§6.1.1) or window probe (§6.1.6).
    pub fn mark_new_data(&mut self, env: &mut Env) -> Marks {
        if self.agreed.ecn != Agreement::Full {
            return Marks::default();
        }
        // Of a super-segment the first segment alone carries it: `device::segment`, and GSO_ECN of the virtio-net header.
        let cwr = std::mem::take(&mut self.ecn.cwr_due);
        env.counters.tcp_cwr_out += u64::from(cwr);
        Marks { field: ecn::ECT0, flags: if cwr { Flags::CWR } else { Flags::NONE } }
    }
}
