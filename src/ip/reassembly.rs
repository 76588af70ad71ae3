//! Reassembly of fragmented datagrams (RFC 791 §3.2, RFC 1122 §3.3.2, RFC 8200 §4.5), bounded in memory, datagrams, fragments
//! and time (hostile cases P7–P9).
//!
//! Both versions follow RFC 5722: a fragment that overlaps another spoils the datagram, and its later fragments are dropped
//! too. An exact duplicate does no harm. The timeout is 60 seconds for both, which RFC 8200 asks for and RFC 1122 allows.
//! ECN is merged as RFC 3168 §5.3 says.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::base::buffer::{Buffer, Slice};
use crate::base::counters::{Counters, DropReason};
use crate::base::hash::{HashKey, HashMap};
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::wire::ip::{Fragment, IpHeader, MAX_PACKET, header_len, protocol};
use crate::wire::packet::{Offload, Packet};

use super::Datagram;

/// Memory of all fragments held, in bytes of their chunks.
pub const MAX_MEMORY: usize = 4 << 20;
/// Datagrams under construction, spoiled ones included.
pub const MAX_DATAGRAMS: usize = 64;
/// Fragments of one datagram: 65,507 bytes at an MTU of 1,280 are 53.
pub const MAX_FRAGMENTS: usize = 64;
/// How long a datagram may take.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// What fragments of one datagram have in common.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Key {
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    id: u32,
}

#[derive(Debug)]
struct Piece {
    start: usize,
    bytes: Slice,
}

impl Piece {
    fn end(&self) -> usize {
        self.start + self.bytes.len()
    }
}

#[derive(Debug)]
struct Partial {
    deadline: Instant,
    /// Sorted, disjoint.
    pieces: Vec<Piece>,
    /// The datagram's length, known since the last fragment.
    total: Option<usize>,
    /// The first fragment with its header, for an ICMP error to quote.
    first: Option<(IpHeader, Slice)>,
    /// The ECN codepoints seen, as bits.
    ecn: u8,
    /// An overlap or a contradiction: what still comes of this datagram is dropped.
    spoiled: bool,
}

/// What a fragment came to.
#[derive(Debug)]
pub enum Outcome {
    /// The datagram is complete: its upper-layer bytes, and the header with the first fragment's fields.
    Complete(IpHeader, Buffer),
    /// Held until the rest arrives.
    Held,
    /// Dropped.
    Dropped(DropReason),
}

/// The datagrams under construction.
#[derive(Debug)]
pub struct Reassembly {
    partials: HashMap<Key, Partial>,
    /// Oldest first, which is also the order of the deadlines.
    order: VecDeque<Key>,
    memory: usize,
    /// The empty list of the last datagram that was completed: the next one takes no allocation.
    spare: Vec<Piece>,
}

impl Reassembly {
    /// Nothing under construction.
    pub fn new(rng: &mut Rng) -> Self {
        let partials = HashMap::with_hasher(HashKey::new(rng));
        Reassembly { partials, order: VecDeque::new(), memory: 0, spare: Vec::new() }
    }

    /// Takes a fragment: `packet` is the whole IP packet, of which `payload` is the fragment's part of the datagram.
    pub fn insert(
        &mut self,
        header: &IpHeader,
        part: Fragment,
        packet: &[u8],
        payload: std::ops::Range<usize>,
        counters: &mut Counters,
        now: Instant,
    ) -> Outcome {
        // RFC 8200 §4.5: in IPv6 the fragments' next headers may differ, and the first one's counts.
        let protocol = if header.dst.is_ipv4() { header.protocol } else { protocol::FRAGMENT };
        let key = Key { src: header.src, dst: header.dst, protocol, id: part.id };
        let bytes = packet.get(payload.clone()).unwrap_or_default();
        let partial = self.partial(key, counters, now);
        match partial.place(header.dst, part, bytes.len(), |piece| *piece.bytes == *bytes) {
            Placement::Duplicate => return Outcome::Held,
            Placement::Invalid => return self.spoil(key, DropReason::FragmentInvalid),
            Placement::TooMany => return self.spoil(key, DropReason::FragmentLimit),
            Placement::At(index) => {
                let copy = Slice::from(Buffer::copy_of(packet.get(..payload.end).unwrap_or_default()));
                partial.ecn |= 1 << (header.traffic_class & 3);
                if part.offset == 0 {
                    partial.first = Some((*header, copy.clone()));
                }
                let piece = Piece { start: usize::from(part.offset), bytes: copy.slice(payload) };
                partial.pieces.insert(index, piece);
                self.memory += copy.capacity();
            }
        }
        if self.partials.get(&key).is_some_and(Partial::is_complete) {
            return self.complete(key, counters);
        }
        while self.memory > MAX_MEMORY {
            self.evict_oldest(counters);
        }
        Outcome::Held
    }

    /// When the oldest datagram runs out of time.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.order.front().and_then(|key| self.partials.get(key)).map(|partial| partial.deadline)
    }

    /// Takes out a datagram that ran out of time, if there is one; with it the first fragment, if that arrived and an ICMP
    /// error may tell (RFC 1122 §3.3.2, RFC 8200 §4.5).
    pub fn expire(&mut self, counters: &mut Counters, now: Instant) -> Option<Option<Datagram>> {
        if self.poll_timeout()? > now {
            return None;
        }
        let partial = self.remove(*self.order.front()?)?;
        // What spoiled a datagram was counted then.
        if partial.spoiled {
            return Some(None);
        }
        counters.drop(DropReason::FragmentTimeout);
        Some(partial.first.map(|(header, packet)| {
            let start =
                partial.pieces.first().map_or(0, |piece| packet.len().saturating_sub(piece.bytes.len()));
            let packet = Packet { buffer: Buffer::copy_of(&packet), offload: Offload::None };
            Datagram { header, payload: start..packet.bytes().len(), packet }
        }))
    }

    /// The datagram that a fragment belongs to; a new one where the limit is reached takes the oldest one's place.
    fn partial(&mut self, key: Key, counters: &mut Counters, now: Instant) -> &mut Partial {
        if !self.partials.contains_key(&key) {
            if self.order.len() >= MAX_DATAGRAMS {
                self.evict_oldest(counters);
            }
            self.order.push_back(key);
        }
        self.partials.entry(key).or_insert_with(|| Partial {
            deadline: now + TIMEOUT,
            pieces: std::mem::take(&mut self.spare),
            total: None,
            first: None,
            ecn: 0,
            spoiled: false,
        })
    }

    /// Frees what the datagram holds, but remembers it, so that its later fragments are dropped too (RFC 5722 §4).
    fn spoil(&mut self, key: Key, reason: DropReason) -> Outcome {
        if let Some(partial) = self.partials.get_mut(&key) {
            self.memory -= partial.memory();
            partial.pieces = Vec::new();
            partial.first = None;
            partial.spoiled = true;
        }
        Outcome::Dropped(reason)
    }

    fn complete(&mut self, key: Key, counters: &mut Counters) -> Outcome {
        let Some(mut partial) = self.remove(key) else { return Outcome::Held };
        let Some((mut header, _)) = partial.first else { return Outcome::Held };
        let Some(ecn) = merged_ecn(partial.ecn, header.traffic_class) else {
            return Outcome::Dropped(DropReason::FragmentInvalid);
        };
        header.traffic_class = header.traffic_class & !3 | ecn;
        let mut buffer = Buffer::for_len(partial.total.unwrap_or_default());
        partial.pieces.drain(..).for_each(|piece| {
            buffer.append(&piece.bytes);
        });
        self.spare = partial.pieces;
        counters.reassembled += 1;
        Outcome::Complete(header, buffer)
    }

    fn evict_oldest(&mut self, counters: &mut Counters) {
        if let Some(&key) = self.order.front() {
            self.remove(key);
            counters.drop(DropReason::FragmentLimit);
        }
    }

    fn remove(&mut self, key: Key) -> Option<Partial> {
        self.order.retain(|&other| other != key);
        let partial = self.partials.remove(&key)?;
        self.memory -= partial.memory();
        Some(partial)
    }
}

/// Where a fragment belongs among those held.
enum Placement {
    At(usize),
    Duplicate,
    Invalid,
    TooMany,
}

impl Partial {
    fn memory(&self) -> usize {
        self.pieces.iter().map(|piece| piece.bytes.capacity()).sum()
    }

    /// Where the fragment belongs, or why it does not. `is_same` compares its bytes with a piece's.
    fn place(
        &mut self,
        dst: IpAddr,
        part: Fragment,
        len: usize,
        is_same: impl Fn(&Piece) -> bool,
    ) -> Placement {
        let (start, end) = (usize::from(part.offset), usize::from(part.offset) + len);
        let header = if dst.is_ipv4() { header_len(dst) } else { 0 };
        // Hostile case P7: nothing may reach beyond what a length field can say. A part that is not the last is a multiple of
        // eight bytes, and no part is empty.
        if self.spoiled || len == 0 || end + header > MAX_PACKET || part.more && !len.is_multiple_of(8) {
            return Placement::Invalid;
        }
        let index = self.pieces.partition_point(|piece| piece.start < start);
        if let Some(piece) = self.pieces.get(index)
            && (piece.start, piece.end()) == (start, end)
        {
            // RFC 8200 §4.5: an exact duplicate may be ignored; the same place with other bytes, or as another kind of part,
            // is an overlap.
            let is_last = self.total == Some(end);
            return if is_same(piece) && is_last != part.more {
                Placement::Duplicate
            } else {
                Placement::Invalid
            };
        }
        if self.contradicts_end(end, part.more) || self.overlaps(index, start, end) {
            return Placement::Invalid;
        }
        if self.pieces.len() >= MAX_FRAGMENTS {
            return Placement::TooMany;
        }
        if !part.more {
            self.total = Some(end);
        }
        Placement::At(index)
    }

    /// Two ends, or data beyond the end.
    fn contradicts_end(&self, end: usize, more: bool) -> bool {
        let last_end = self.pieces.last().map_or(0, Piece::end);
        let fits = |total: usize| if more { end <= total } else { end == total };
        !self.total.is_none_or(fits) || !more && last_end > end
    }

    /// Hostile case P8: overlap with a neighbour, of which `index` is the later one.
    fn overlaps(&self, index: usize, start: usize, end: usize) -> bool {
        let before = index.checked_sub(1).and_then(|i| self.pieces.get(i));
        let after = self.pieces.get(index);
        before.is_some_and(|piece| piece.end() > start) || after.is_some_and(|piece| piece.start < end)
    }

    fn is_complete(&self) -> bool {
        // The pieces are disjoint and end at `total`: without a gap if their lengths add up to it.
        let held: usize = self.pieces.iter().map(|piece| piece.bytes.len()).sum();
        self.total == Some(held)
    }
}

/// RFC 3168 §5.3: congestion marked on any fragment marks the datagram; a mark beside "not ECN-capable" cannot be.
fn merged_ecn(seen: u8, first: u8) -> Option<u8> {
    const NOT_ECT: u8 = 1 << 0b00;
    const CE: u8 = 1 << 0b11;
    match (seen & CE != 0, seen & NOT_ECT != 0) {
        (true, true) => None,
        (true, false) => Some(0b11),
        (false, _) => Some(first & 3),
    }
}

#[cfg(test)]
#[path = "reassembly_tests.rs"]
mod tests;
