//! What the packets of one flow say: which bytes are sent for the first time, which arrive for nothing, and whether a retransmission
//! timeout could have been avoided (RFC 8985 §1): RACK repairs a loss when something sent later is delivered, and where nothing is,
//! a tail loss probe makes it so. It judges by packets; of the sender it hears only which of them were probes.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::super::{HostId, Traced};
use super::{Avoidable, Missed};
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
    /// SACK and timestamps, as far as they are agreed on.
    sack: bool,
    timestamps: bool,
    /// Offsets in the stream, in which a FIN takes one: the first that was never sent, and the first that is not acknowledged.
    next: u64,
    una: u64,
    arrived: RangeSet,
    /// What SACK blocks told of so far: they repeat themselves.
    reported: RangeSet,
    /// What is sent and not acknowledged, by where it begins.
    under_way: BTreeMap<u64, Sent>,
    /// When a packet was sent that was delivered, and when the sender could know: both ascend.
    evidence: VecDeque<(Instant, Instant)>,
    min_rtt: Option<Duration>,
    max_rtt: Duration,
    tail: Tail,
    pub(super) sent: u64,
    pub(super) resent: u64,
    pub(super) spurious: u64,
    pub(super) received: u64,
    pub(super) avoidable: Vec<Avoidable>,
}

/// What decides whether a tail loss probe was due (RFC 8985 §7).
#[derive(Default)]
struct Tail {
    /// SYNs sent, and whether the sender is sure to know of a round trip.
    syns: u32,
    measured: bool,
    /// The packet that left last: when, and whether it repeated something.
    last: Option<(Instant, bool)>,
    /// A repair goes on until this is acknowledged.
    recover: u64,
    /// The probe that is not answered: the end of the stream when it left, and whether it repeated something.
    probe: Option<(u64, bool)>,
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
            sack: false,
            timestamps: false,
            next: 0,
            una: 0,
            arrived: RangeSet::new(),
            reported: RangeSet::new(),
            under_way: BTreeMap::new(),
            evidence: VecDeque::new(),
            min_rtt: None,
            max_rtt: Duration::ZERO,
            tail: Tail::default(),
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
            (self.sack, self.timestamps) = (tcp.options.sack_permitted, tcp.options.timestamps.is_some());
            self.tail.syns += 1;
        }
        let fin = u64::from(tcp.flags.has(Flags::FIN));
        let Some(start) = self.offset(tcp.seq, self.next).filter(|_| len + fin > 0) else { return };
        let end = start + len;
        self.sent += len;
        self.resent += self.next.min(end).saturating_sub(start);
        let repeats = start < self.next;
        self.next = self.next.max(end + fin);
        self.tail.last = Some((now, repeats));
        if repeats {
            self.tail.recover = self.next;
        }
        if len == 0 {
            return;
        }
        // What is cut differently the second time overlaps what lies before it.
        let overlapped = self.under_way.range(..end).next_back().filter(|_| repeats).map(|(_, sent)| sent.at);
        for (_, sent) in self.under_way.range_mut(start..end) {
            (sent.before, sent.at) = (Some(sent.at), now);
        }
        self.under_way.entry(start).or_insert(Sent { end, at: now, before: overlapped, sacked: false });
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
        if tcp.flags.has(Flags::SYN) {
            self.sack &= tcp.options.sack_permitted;
            self.timestamps &= tcp.options.timestamps.is_some();
            self.tail.measured = self.tail.syns == 1;
        }
        let (mut newest, mut once, mut again) = (None, false, false);
        while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.get().end <= una) {
            let sent = entry.remove();
            (once, again) = (once || sent.before.is_none(), again || sent.before.is_some());
            newest = newest.max(self.delivered(&sent, now));
        }
        // Karn's rule (RFC 6298 §3), as strict as it can be taken.
        self.tail.measured |= once && !again;
        self.una = self.una.max(una);
        self.reported.remove_below(self.una);
        // RFC 8985 §7.4: new data, or something behind the probe, was acknowledged.
        self.tail.probe = self.tail.probe.filter(|&(end, repeats)| una < end + u64::from(repeats));
        for &(left, right) in &tcp.options.sack {
            let (Some(left), Some(right)) = (self.offset(left, self.una), self.offset(right, self.una))
            else {
                continue;
            };
            newest = newest.max(self.reports(left.max(self.una)..right.max(self.una), now));
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

    /// The sender learns from a SACK block; when the newest was sent that it is certain of.
    fn reports(&mut self, block: Range<u64>, now: Instant) -> Option<Instant> {
        let mut under_way = std::mem::take(&mut self.under_way);
        let fresh: Vec<_> = self.reported.gaps(block.clone()).collect();
        let mut newest = None;
        for gap in fresh {
            // A segment of which a part was reported before may begin ahead of the gap.
            let first = under_way.range(..=gap.start).next_back().map_or(gap.start, |(&start, _)| start);
            for (_, sent) in under_way.range_mut(first.max(block.start)..gap.end) {
                if sent.end <= block.end && !sent.sacked {
                    newest = newest.max(self.delivered(sent, now));
                    sent.sacked = true;
                }
            }
        }
        self.under_way = under_way;
        self.reported.insert(block);
        newest
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

    /// The packet that left last was a tail loss probe, which repairs nothing that is known to be lost.
    pub(super) fn probed(&mut self) {
        let repeats = self.tail.last.is_some_and(|(_, repeats)| repeats);
        self.tail.probe = Some((self.next, repeats));
        if repeats {
            self.tail.recover = self.una;
        }
    }

    /// The sender's retransmission timer fired at `now`.
    pub(super) fn timed_out(&mut self, now: Instant) {
        let avoidable = self.overtaken(now).or_else(|| self.unprobed());
        self.avoidable.extend(avoidable.map(|(sent, why)| Avoidable {
            at: now,
            offset: self.una,
            sent,
            why,
        }));
        self.tail.recover = self.next;
    }

    /// The timeout was avoidable if the sender knew, for at least the longest round trip, that something had been delivered which was
    /// sent after the first segment under way. Without timestamps it cannot always know.
    fn overtaken(&self, now: Instant) -> Option<(Instant, Missed)> {
        let (_, first) = self.under_way.range(self.una..).next().filter(|_| self.sack && self.timestamps)?;
        // What the timeout itself sent again does not count; what the receiver had reported and then dropped could not be known.
        let at = if first.at == now { first.before } else { Some(first.at) };
        let sent = at.filter(|_| !first.sacked)?;
        let &(newer, known) = self.evidence.iter().find(|(newer, _)| *newer > sent)?;
        let known = known.max(sent);
        (known + self.max_rtt + SLACK < now).then_some((sent, Missed::Overtaken { newer, known }))
    }

    /// The timeout was avoidable if no probe preceded it although nothing stood against one (RFC 8985 §7.2, §7.3): nothing is reported,
    /// nothing is being repaired, no probe is unanswered, and a round trip is known. The probe's timer never is the later one.
    fn unprobed(&self) -> Option<(Instant, Missed)> {
        let Tail { measured, last, recover, probe, .. } = self.tail;
        let reported = self.under_way.range(self.una..).any(|(_, sent)| sent.sacked);
        let due = self.sack && measured && self.una >= recover && probe.is_none() && !reported;
        last.filter(|_| due && self.una < self.next).map(|(sent, _)| (sent, Missed::Probe))
    }
}
