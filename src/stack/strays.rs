//! Several stacks behind the same addresses, one for each queue of a device: what comes to one and is another's.
//!
//! The host keeps a flow on one queue, that of its hash or that which it was answered from, so a stray is rare: an ICMP error or what was
//! put together from fragments, whose hash is another one; a flow that the stack opened and that was silent for seconds. Whoever runs the
//! stacks offers a stray to the others ([`Stack::adopt`]), and gives it back to be answered if nobody wants it ([`Stack::refuse`]).

use crate::base::counters::DropReason;
use crate::base::share::Share;
use crate::base::time::Instant;
use crate::ip::Datagram;
use crate::wire::ip::protocol;

use super::Stack;

/// Strays that wait for [`Stack::poll_stray`]: more than a burst brings.
pub(super) const MAX_STRAYS: usize = 256;

impl Stack {
    /// Makes this one of several stacks with the same addresses: it chooses ports and identifiers of its share only, and does not answer
    /// for what may be another's. To be called before anything is opened.
    pub fn set_share(&mut self, share: Share) {
        self.share = share;
        self.ip.output().set_share(share);
        self.tcp.set_share(share);
        self.udp.set_share(share);
        self.icmp.pings().set_share(share);
    }

    /// The next datagram that came here and is for no socket of this stack.
    pub fn poll_stray(&mut self) -> Option<Datagram> {
        self.strays.pop_front()
    }

    /// Takes in what strayed to another stack, if it is for a socket of this one; else it is given back.
    pub fn adopt(&mut self, stray: Datagram, now: Instant) -> Option<Datagram> {
        if !self.knows(&stray) {
            return Some(stray);
        }
        self.counters.strays_adopted += 1;
        self.take(stray, now);
        None
    }

    /// Answers a stray of this stack that no other adopted.
    pub fn refuse(&mut self, stray: Datagram, now: Instant) {
        self.take(stray, now);
    }

    /// Hands a datagram to its upper layer, unless it may be for another stack.
    pub(super) fn deliver(&mut self, datagram: Datagram, now: Instant) {
        if self.share.is_whole() || self.knows(&datagram) {
            self.take(datagram, now);
        } else if self.strays.len() < MAX_STRAYS {
            self.strays.push_back(datagram);
        } else {
            self.counters.drop(DropReason::StrayLimit);
        }
    }

    /// True if a datagram is this stack's business: for one of its sockets, or for any stack of these addresses.
    fn knows(&self, datagram: &Datagram) -> bool {
        match datagram.header.protocol {
            protocol::TCP => self.tcp.knows(datagram),
            protocol::UDP => self.udp.knows(datagram),
            _ => match self.icmp.quoted(datagram) {
                None => self.icmp.knows(datagram),
                Some((protocol::TCP, error)) => self.tcp.knows_ends(error.local, error.remote),
                Some((_, error)) => self.udp.knows_ends(error.local, error.remote),
            },
        }
    }
}
