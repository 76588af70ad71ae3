//! What the packets of one flow say: which bytes are sent for the first time, which arrive for nothing, and whether a retransmission
//! timeout could have been avoided (RFC 8985 §1: RACK-TLP repairs a loss when something sent later is delivered).

use std::collections::{BTreeMap, VecDeque};

use super::super::{HostId, Traced};
use super::Avoidable;
use crate::base::ranges::RangeSet;
use crate::base::time::{Duration, Instant};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, TcpHeader};

/// Evidence kept: older than that many newer pieces it tells nothing.
const MAX_EVIDENCE: usize = 10_000;
/// Time that a sender may take to act on evidence, above the longest round trip: a tick of its timers.
const SLACK: Duration = Duration::from_millis(10);

/// Watches one flow from its sender to its receiver.
pub(super) struct Watch {
    sender: HostId,
    receiver: HostId,
    addr: [u8; 4],
    /// The first sequence number of data.
    first: Option<SeqNum>,
    /// Offsets in the stream: the first that was never sent, and the first that is not acknowledged.
    next: u64,
    una: u64,
    arrived: RangeSet,
    /// What is sent and not acknowledged, by where it begins.
    under_way: BTreeMap<u64, Sent>,
    /// When a packet was sent that was delivered, and when the sender could know: both ascend.
    evidence: VecDeque<(Instant, Instant)>,
    min_rtt: Option<Duration>,
    max_rtt: Duration,
    pub(super) sent: u64,
    pub(super) resent: u64,
    pub(super) spurious: u64,
    pub(super) received: u64,
    pub(super) avoidable: Vec<Avoidable>,
}

/// Transmissions of one segment.
struct Sent {
    end: u64,
    /// The last one, and the one before.
    at: Instant,
    before: Option<Instant>,
    sacked: bool,
}

impl Watch {
    pub(super) fn new(sender: HostId, receiver: HostId, addr: [u8; 4]) -> Self {
        Watch {
            sender,
            receiver,
            addr,
            first: None,
            next: 0,
            una: 0,
            arrived: RangeSet::new(),
            under_way: BTreeMap::new(),
            evidence: VecDeque::new(),
            min_rtt: None,
            max_rtt: Duration::ZERO,
            sent: 0,
            resent: 0,
            spurious: 0,
            received: 0,
            avoidable: Vec::new(),
        }
    }

    /// A copy of a packet left its sender, or arrived, at `now`.
    pub(super) fn see(&mut self, traced: &Traced, received: bool, now: Instant) {
        let from = if received { traced.to } else { traced.from };
        let bytes = &traced.bytes;
        let addr = if traced.from == self.sender || received && traced.to == self.receiver { 12 } else { 16 };
        let ends = (from == self.sender, from == self.receiver);
        if !(ends.0 || ends.1) || bytes.get(addr..addr + 4) != Some(&self.addr) {
            return;
        }
        let Some((tcp, header)) = bytes.get(20..).and_then(TcpHeader::parse) else { return };
        let len = bytes.len().saturating_sub(20 + header) as u64;
        match (ends, received) {
            ((true, _), false) => self.leaves(&tcp, len, now),
            ((true, _), true) => self.acknowledges(&tcp, now),
            ((_, true), true) if !traced.passage.duplicate => self.arrives(&tcp, len),
            _ => {}
        }
    }

    /// The offset of a sequence number near `near`.
    fn offset(&self, seq: SeqNum, near: u64) -> Option<u64> {
        let there = self.first?.0.wrapping_add(near as u32);
        Some(near.saturating_add_signed((seq.0.wrapping_sub(there) as i32).into()))
    }

    fn leaves(&mut self, tcp: &TcpHeader, len: u64, now: Instant) {
        if tcp.flags.has(Flags::SYN) {
            self.first = Some(tcp.seq + 1);
        }
        let Some(start) = self.offset(tcp.seq, self.next).filter(|_| len > 0) else { return };
        let end = start + len;
        self.sent += len;
        self.resent += self.next.min(end).saturating_sub(start);
        self.next = self.next.max(end);
        for (_, sent) in self.under_way.range_mut(start..end) {
            (sent.before, sent.at) = (Some(sent.at), now);
        }
        self.under_way.entry(start).or_insert(Sent { end, at: now, before: None, sacked: false });
    }

    fn arrives(&mut self, tcp: &TcpHeader, len: u64) {
        let Some(start) = self.offset(tcp.seq, self.next).filter(|_| len > 0) else { return };
        let fresh: u64 = self.arrived.gaps(start..start + len).map(|gap| gap.end - gap.start).sum();
        self.spurious += len - fresh;
        self.received += fresh;
        self.arrived.insert(start..start + len);
    }

    /// The sender learns what was delivered.
    fn acknowledges(&mut self, tcp: &TcpHeader, now: Instant) {
        let Some(una) = self.offset(tcp.ack, self.una) else { return };
        let mut newest = None;
        while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.get().end <= una) {
            let sent = entry.remove();
            newest = newest.max(self.delivered(&sent, now));
        }
        self.una = self.una.max(una);
        for &(left, right) in &tcp.options.sack {
            let (Some(left), Some(right)) = (self.offset(left, self.una), self.offset(right, self.una))
            else {
                continue;
            };
            let mut under_way = std::mem::take(&mut self.under_way);
            for (_, sent) in under_way.range_mut(left.max(self.una)..right.max(self.una)) {
                if sent.end <= right && !sent.sacked {
                    newest = newest.max(self.delivered(sent, now));
                    sent.sacked = true;
                }
            }
            self.under_way = under_way;
        }
        let Some(newest) = newest.filter(|at| self.evidence.back().is_none_or(|(known, _)| known < at))
        else {
            return;
        };
        self.evidence.push_back((newest, now));
        if self.evidence.len() > MAX_EVIDENCE {
            self.evidence.pop_front();
        }
    }

    /// When the copy was sent of which it is certain that it was delivered. RFC 8985 §6.2 step 2: an acknowledgement that comes
    /// sooner after a retransmission than a round trip takes is of the original, and says nothing.
    fn delivered(&mut self, sent: &Sent, now: Instant) -> Option<Instant> {
        let took = now.since(sent.at);
        if sent.sacked {
            return None;
        }
        if sent.before.is_some() && self.min_rtt.is_none_or(|min| took < min) {
            return None;
        }
        if sent.before.is_none() {
            self.min_rtt = Some(self.min_rtt.map_or(took, |known| known.min(took)));
        }
        self.max_rtt = self.max_rtt.max(took);
        Some(sent.at)
    }

    /// The sender's retransmission timer fired at `now`. The timeout was avoidable if the sender knew, for at least the longest
    /// round trip, that something had been delivered which was sent after the first segment under way.
    pub(super) fn timed_out(&mut self, now: Instant) {
        let Some((_, first)) = self.under_way.range(self.una..).next() else { return };
        // What the timeout itself sent again does not count; what the receiver had reported and then dropped could not be known.
        let at = if first.at == now { first.before } else { Some(first.at) };
        let Some(sent) = at.filter(|_| !first.sacked) else { return };
        let Some(&(newer, known)) = self.evidence.iter().find(|(newer, _)| *newer > sent) else { return };
        let known = known.max(sent);
        if known + self.max_rtt + SLACK < now {
            self.avoidable.push(Avoidable { at: now, offset: self.una, sent, newer, known });
        }
    }
}
