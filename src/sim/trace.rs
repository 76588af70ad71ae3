//! What passed over the links: a record of packets, and a hash of it that tells whether two runs were the same.

use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher24;

use super::HostId;
use super::host::Node;
use crate::base::time::Instant;
use crate::device::link::Passage;

/// One copy of one packet: when it was sent, from whom to whom, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// Counts copies from zero, in the order they were sent.
    pub number: u64,
    /// When the packet was handed to the link.
    pub sent: Instant,
    /// The sender.
    pub from: HostId,
    /// The receiver.
    pub to: HostId,
    /// The packet as it was sent, from the IP header on; a change on the way stands in `passage`.
    pub bytes: Vec<u8>,
    /// What became of it.
    pub passage: Passage,
}

/// The two moments at which a [`Tap`] sees a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It has just been sent; the node is its sender. On a link with CoDel it has just left the link's queue, since its fate is
    /// known no earlier.
    Sent,
    /// It has just been received; the node is its receiver. Never for a packet that does not arrive.
    Received,
}

/// Sees every copy of every packet at both moments, with the node it concerns.
pub type Tap = Box<dyn FnMut(&Traced, Moment, &mut dyn Node)>;

/// The record of a network's packets.
pub(super) struct Trace {
    hasher: SipHasher24,
    packets: u64,
    kept: Option<Vec<Traced>>,
    tap: Option<Tap>,
}

impl Trace {
    pub(super) fn new() -> Self {
        Trace { hasher: SipHasher24::new(), packets: 0, kept: None, tap: None }
    }

    pub(super) fn keep(&mut self) {
        self.kept.get_or_insert_default();
    }

    pub(super) fn kept(&self) -> &[Traced] {
        self.kept.as_deref().unwrap_or_default()
    }

    pub(super) fn set_tap(&mut self, tap: Tap) {
        self.tap = Some(tap);
    }

    pub(super) fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// The number of the next copy.
    pub(super) fn number(&mut self) -> u64 {
        self.packets += 1;
        self.packets - 1
    }

    pub(super) fn sent(&mut self, traced: &Traced, sender: &mut dyn Node) {
        let Traced { sent, from, to, bytes, passage, .. } = traced;
        (sent.as_nanos(), from.0, to.0, bytes, passage).hash(&mut self.hasher);
        if let Some(tap) = &mut self.tap {
            tap(traced, Moment::Sent, sender);
        }
        if let Some(kept) = &mut self.kept {
            kept.push(traced.clone());
        }
    }

    pub(super) fn received(&mut self, traced: &Traced, receiver: &mut dyn Node) {
        if let Some(tap) = &mut self.tap {
            tap(traced, Moment::Received, receiver);
        }
    }
}
