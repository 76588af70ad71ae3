//! The output side of IP: headers in front of transport packets, fragments where a datagram exceeds the path's MTU (RFC 791
//! §3.2, RFC 8200 §4.5), and the bounded queue of frames that wait for the device. TCP builds its frames with [`frame`] and keeps
//! them itself; it never fragments.

use smallvec::SmallVec;
use std::collections::VecDeque;
use std::mem::size_of;
use std::net::IpAddr;

use crate::base::buffer::{LARGE, SMALL, Slice};
use crate::base::counters::{Counters, DropReason};
use crate::base::hash::HashKey;
use crate::base::rng::Rng;
use crate::base::share::Share;
use crate::wire::checksum::Sum;
use crate::wire::ip::{FRAGMENT_HEADER, Fragment, IpHeader};
use crate::wire::packet::{Frame, Offload};

use super::path_mtu::PathMtus;
pub use crate::wire::ip::{MAX_PACKET, header_len};

/// Memory of the output queue in bytes: frames and the chunks under their payload. Some sixty echo replies of 60,000 bytes fit.
pub const MAX_QUEUE: usize = 4 << 20;
/// Hop limit of what this stack originates outside of TCP (RFC 1122 §3.2.1.7).
pub const HOP_LIMIT: u8 = 64;
/// Counters of identifications; destinations share them by a keyed hash.
const ID_BUCKETS: usize = 1_024;
/// Where the flags of the IPv4 header stand, and DF among them.
const FLAGS: usize = 6;
const DONT_FRAGMENT: u8 = 0x40;

/// A frame that is one IP packet, never to be fragmented: IPv4 carries DF and identification 0 (RFC 6864 §4.1, atomic
/// datagrams; hostile case P13). The transport header's checksum is the caller's business.
pub fn frame(header: &IpHeader, transport: &[u8], payload: SmallVec<[Slice; 4]>, offload: Offload) -> Frame {
    let len = transport.len() + payload.iter().map(|slice| slice.len()).sum::<usize>();
    debug_assert!(header.dst.is_ipv6() || len + header_len(header.dst) <= MAX_PACKET);
    let mut frame = Frame::with_payload(payload, offload);
    frame.push_header(&header.encode(len, None));
    frame.push_header(transport);
    frame
}

/// Lets routers fragment an IPv4 frame: DF is cleared. It has no identification until [`Output::identify`]. An IPv6 frame stays
/// as it is: only its sender could fragment it.
pub fn allow_fragments(frame: &mut Frame) {
    if let Some(header) = ipv4_header(frame) {
        header[FLAGS] &= !DONT_FRAGMENT;
        fill_checksum(header);
    }
}

fn ipv4_header(frame: &mut Frame) -> Option<&mut [u8; 20]> {
    frame.headers_mut().first_chunk_mut().filter(|header| header[0] == 0x45)
}

fn fill_checksum(header: &mut [u8; 20]) {
    header[10..12].fill(0);
    let sum = Sum::new().add(header).checksum();
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// Why a datagram could not be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// Longer than the IP version can carry, fragments or not.
    TooLong,
    /// No room in the queue. Counted as a drop.
    Full,
}

#[derive(Debug)]
struct Queued {
    frame: Frame,
    /// Bytes of memory that are free again when the frame is gone.
    charge: usize,
}

/// What waits for the device: everything but TCP.
#[derive(Debug)]
pub struct Output {
    paths: PathMtus,
    queue: VecDeque<Queued>,
    charged: usize,
    ids: Identifications,
}

impl Output {
    /// An empty queue in front of a device of this MTU.
    pub fn new(mtu: usize, rng: &mut Rng) -> Self {
        let paths = PathMtus::new(mtu, rng);
        Output { paths, queue: VecDeque::new(), charged: 0, ids: Identifications::new(rng) }
    }

    /// Identifications are chosen from `share`.
    pub fn set_share(&mut self, share: Share) {
        self.ids.share = share;
    }

    /// What paths carry.
    pub fn paths(&mut self) -> &mut PathMtus {
        &mut self.paths
    }

    /// True if `len` bytes above the IP header go out in one piece.
    pub fn fits(&self, dst: IpAddr, len: usize) -> bool {
        header_len(dst) + len <= self.mtu_to(dst)
    }

    fn mtu_to(&self, dst: IpAddr) -> usize {
        usize::from(self.paths.for_datagrams(dst).mtu)
    }

    /// Gives an IPv4 frame that routers may fragment its identification; the wire packets of a super-segment are numbered from
    /// it on (RFC 6864 §4.2). Atomic datagrams keep their zero.
    pub fn identify(&mut self, frame: &mut Frame) {
        if frame.headers().get(FLAGS).is_none_or(|flags| flags & DONT_FRAGMENT != 0) {
            return;
        }
        let packets = frame.offload.packets(frame.payload_len());
        let Some(header) = ipv4_header(frame).filter(|header| header[FLAGS] & DONT_FRAGMENT == 0) else {
            return;
        };
        let [src, dst] =
            [12, 16].map(|at| IpAddr::from([header[at], header[at + 1], header[at + 2], header[at + 3]]));
        let id = self.ids.take(src, dst, header[9], packets as u32) as u16;
        header[4..6].copy_from_slice(&id.to_be_bytes());
        fill_checksum(header);
    }

    /// Queues a datagram, as a whole or in fragments. The fragments share the payload's chunk; its checksum must be complete
    /// unless the datagram [fits](Output::fits). A super-datagram stays whole: each of its datagrams must fit.
    pub fn send(
        &mut self,
        header: &IpHeader,
        transport: &[u8],
        payload: Slice,
        offload: Offload,
        counters: &mut Counters,
    ) -> Result<(), SendError> {
        let len = transport.len() + payload.len();
        if len > max_payload(header.dst) {
            return Err(SendError::TooLong);
        }
        if !self.has_room_for(header.dst, len) {
            counters.drop(DropReason::OutputQueueFull);
            return Err(SendError::Full);
        }
        let (chunk, path) = (payload.capacity(), self.paths.for_datagrams(header.dst));
        if offload.is_super() || header_len(header.dst) + len <= usize::from(path.mtu) {
            let mut whole = frame(header, transport, SmallVec::from_iter([payload]), offload);
            if path.may_fragment {
                allow_fragments(&mut whole);
                self.identify(&mut whole);
            }
            self.push(whole);
        } else {
            self.push_fragments(header, transport, &payload, counters);
        }
        // The chunk is free again when the last frame over it is gone.
        if let Some(last) = self.queue.back_mut() {
            last.charge += chunk;
            self.charged += chunk;
        }
        Ok(())
    }

    /// True if a datagram of `len` bytes above the IP header finds room. A queue that is empty takes anything.
    pub fn has_room_for(&self, dst: IpAddr, len: usize) -> bool {
        self.has_plenty() || self.charged + len + self.fragments(dst, len) * size_of::<Queued>() <= MAX_QUEUE
    }

    /// True if `count` datagrams of `len` bytes each find room behind `ahead` bytes that are about to be queued.
    pub fn has_room_for_many(&self, dst: IpAddr, len: usize, count: usize, ahead: usize) -> bool {
        let each =
            || self.fragments(dst, len) * size_of::<Queued>() + if len <= SMALL { SMALL } else { LARGE };
        self.has_plenty() || self.charged + ahead + count * each() <= MAX_QUEUE
    }

    /// True if there is room for whatever one call may send, so that nothing need be known of its path: 31 large chunks at most, or
    /// as many small ones as a super-datagram has datagrams.
    fn has_plenty(&self) -> bool {
        self.charged <= MAX_QUEUE / 4
    }

    fn fragments(&self, dst: IpAddr, len: usize) -> usize {
        len / self.max_fragment(dst).max(1) + 1
    }

    /// True if the queue is at most half full, so that a sender that found it full may try again.
    pub fn is_relaxed(&self) -> bool {
        self.charged <= MAX_QUEUE / 2
    }

    /// The frame that waits longest.
    pub fn pop(&mut self) -> Option<Frame> {
        let Queued { frame, charge } = self.queue.pop_front()?;
        self.charged -= charge;
        Some(frame)
    }

    fn push(&mut self, frame: Frame) {
        let charge = size_of::<Queued>();
        self.charged += charge;
        self.queue.push_back(Queued { frame, charge });
    }

    fn push_fragments(
        &mut self,
        header: &IpHeader,
        transport: &[u8],
        payload: &Slice,
        counters: &mut Counters,
    ) {
        let id = self.ids.take(header.src, header.dst, header.protocol, 1);
        let (head, total) = (transport.len(), transport.len() + payload.len());
        let step = self.max_fragment(header.dst);
        for start in (0..total).step_by(step) {
            let end = total.min(start + step);
            let part = Fragment { id, offset: start as u16, more: end < total };
            let mut frame = Frame::new(Offload::None);
            frame.push_header(&header.encode(end - start, Some(part)));
            frame.push_header(&transport[start.min(head)..end.min(head)]);
            frame.payload.push(payload.slice(start.max(head) - head..end.max(head) - head));
            self.push(frame);
            counters.fragments_out += 1;
        }
    }

    /// Payload bytes of every fragment but the last: a multiple of eight.
    fn max_fragment(&self, dst: IpAddr) -> usize {
        let extension = if dst.is_ipv6() { FRAGMENT_HEADER } else { 0 };
        (self.mtu_to(dst).saturating_sub(header_len(dst) + extension) & !7).max(8)
    }
}

/// The longest upper-layer packet: IPv4's length field counts its header, IPv6's does not.
pub const fn max_payload(dst: IpAddr) -> usize {
    if dst.is_ipv4() { MAX_PACKET - header_len(dst) } else { MAX_PACKET }
}

/// Identifications of fragmented datagrams: counters that start at a secret place per source, destination and protocol, so
/// that they do not repeat soon and nobody else can tell them (RFC 7739 §5.3; hostile case P13).
struct Identifications {
    key: HashKey,
    counters: Box<[u32]>,
    share: Share,
}

impl std::fmt::Debug for Identifications {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identifications")
    }
}

impl Identifications {
    fn new(rng: &mut Rng) -> Self {
        let (key, counters) = (HashKey::new(rng), (0..ID_BUCKETS).map(|_| rng.u32()).collect());
        Identifications { key, counters, share: Share::WHOLE }
    }

    /// The first of `count` identifications in a row.
    fn take(&mut self, src: IpAddr, dst: IpAddr, protocol: u8, count: u32) -> u32 {
        let hash = self.key.secret_hash(&(src, dst, protocol));
        let counter = &mut self.counters[(hash >> 32) as usize % ID_BUCKETS];
        let first = (hash as u32).wrapping_add(counter.wrapping_add(1));
        let left = self.share.block() - first % self.share.block();
        // A row that would end in another stack's block begins with the next one of its own.
        let skipped = if self.share.is_whole() || count <= left { 0 } else { left };
        *counter = counter.wrapping_add(skipped).wrapping_add(count);
        self.share.in_block(first.wrapping_add(skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::buffer::Buffer;
    use crate::base::rng::Rng;
    use crate::base::time::Instant;
    use crate::wire::ip::{IpPacket, protocol};
    use proptest::prelude::*;

    fn header(v6: bool) -> IpHeader {
        let (src, dst) = match v6 {
            false => (IpAddr::from([10, 0, 0, 2]), IpAddr::from([10, 0, 0, 1])),
            true => ("fd77::2".parse().unwrap(), "fd77::1".parse().unwrap()),
        };
        IpHeader { src, dst, protocol: protocol::UDP, hop_limit: 64, traffic_class: 0 }
    }

    fn output(mtu: usize) -> Output {
        Output::new(mtu, &mut Rng::from_u64(1))
    }

    proptest! {
        /// RFC 791 §3.2, RFC 8200 §4.5: fragments fit the MTU, lie end to end and carry the datagram's bytes.
        #[test]
        fn fragments_put_together_are_the_datagram(v6: bool, mtu in 1280usize..1600, len in 0usize..9000) {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let (mut output, header) = (output(mtu), header(v6));
            let payload = Slice::from(Buffer::copy_of(&bytes));
            output.send(&header, b"transprt", payload, Offload::None, &mut Counters::default()).unwrap();
            let (mut joined, mut more) = (Vec::new(), true);
            while let Some(frame) = output.pop() {
                prop_assert!(frame.len() <= mtu && more);
                let packet = frame.to_vec();
                let parsed = IpPacket::parse_quoted(&packet).unwrap();
                let part = parsed.fragment.unwrap_or_default();
                prop_assert_eq!(usize::from(part.offset), joined.len());
                joined.extend_from_slice(&packet[parsed.payload]);
                more = part.more;
            }
            prop_assert!(!more && output.charged == 0);
            prop_assert_eq!(&joined[..8], b"transprt");
            prop_assert_eq!(&joined[8..], &bytes[..]);
        }
    }

    #[test]
    fn fragments_share_the_payloads_chunk() {
        let mut output = output(1_500);
        let buffer = Buffer::copy_of(&[7; 60_000]);
        let at = buffer.written().as_ptr();
        let payload = Slice::from(buffer);
        output.send(&header(false), &[0; 8], payload, Offload::None, &mut Counters::default()).unwrap();
        let frames: Vec<_> = std::iter::from_fn(|| output.pop()).collect();
        assert_eq!(frames.len(), 41);
        assert_eq!(frames[0].payload[0].as_ptr(), at);
    }

    /// Hostile case P9 turned around: one large reply passes, a flood of them stays bounded and is counted.
    #[test]
    fn the_queue_is_bounded_and_counts_what_it_drops() {
        let (mut output, mut counters) = (output(1_280), Counters::default());
        let payload = Slice::from(Buffer::copy_of(&[0; 65_507]));
        for _ in 0..200 {
            let _ = output.send(&header(true), &[0; 8], payload.clone(), Offload::None, &mut counters);
        }
        let sent = 200 - counters.dropped(DropReason::OutputQueueFull);
        assert!((40..64).contains(&sent), "{sent} datagrams queued");
        assert!(output.charged <= MAX_QUEUE + 65_536 && !output.is_relaxed());
        // What fits by its bytes alone does not by what its frames cost.
        assert!(!output.has_room_for(header(true).dst, MAX_QUEUE - output.charged.min(MAX_QUEUE)));
        while !output.is_relaxed() {
            assert!(output.charged > MAX_QUEUE / 2 && output.pop().is_some());
        }
        assert!((1..=MAX_QUEUE / 2).contains(&output.charged), "a sender that waits is told at half");
        while output.pop().is_some() {}
        assert!(output.charged == 0 && output.is_relaxed());
    }

    /// Hostile case P9: room is asked for by what a datagram takes: its bytes, and a record for each of its fragments, of which a small
    /// MTU makes many. One record less of room, and it is refused.
    #[test]
    fn room_is_reckoned_with_every_fragment() {
        let (dst, record, chunk) = (header(false).dst, size_of::<Queued>(), 65_536);
        let taken = |len: usize| {
            let mut empty = output(68);
            let payload = Slice::from(Buffer::copy_of(&vec![0; len]));
            empty.send(&header(false), &[], payload, Offload::None, &mut Counters::default()).unwrap();
            empty.charged
        };
        let refused_at = |has_room: &dyn Fn(&Output) -> bool| {
            let (mut output, payload) = (output(68), Slice::from(Buffer::copy_of(&[0; 60_000])));
            let mut counters = Counters::default();
            (0..6).for_each(|_| {
                output.send(&header(false), &[], payload.clone(), Offload::None, &mut counters).unwrap();
            });
            while has_room(&output) {
                output.send(&header(false), &[], Slice::default(), Offload::None, &mut counters).unwrap();
            }
            output.charged
        };
        let edge = MAX_QUEUE + 1..=MAX_QUEUE + record;
        let one = refused_at(&|output| output.has_room_for(dst, 60_001)) + taken(60_001) - chunk + 60_001;
        assert!(edge.contains(&one), "{one}");
        let many = refused_at(&|output| output.has_room_for_many(dst, 1_000, 60, 5_000)) + 60 * taken(1_000);
        assert!(edge.contains(&(many + 5_000)), "{many}");
        let many = refused_at(&|output| output.has_room_for_many(dst, 3_001, 3, 0)) + 3 * taken(3_001);
        assert!(edge.contains(&many), "{many}");
    }

    /// RFC 768, RFC 791: IPv4 ends at 65,535 bytes with its header, IPv6 without.
    #[test]
    fn what_no_packet_can_carry_is_refused() {
        for (v6, longest) in [(false, 65_515), (true, 65_535)] {
            let mut output = output(1_500);
            let mut send = |len: usize| {
                let payload = Slice::from(Buffer::copy_of(&vec![0; len - 8]));
                output.send(&header(v6), &[0; 8], payload, Offload::None, &mut Counters::default())
            };
            assert_eq!(send(longest), Ok(()));
            assert_eq!(send(longest + 1), Err(SendError::TooLong));
        }
    }

    /// Hostile case P13, RFC 6864 §4.1: whole datagrams carry DF and ID 0; fragments an ID nobody else can tell.
    #[test]
    fn identifications_tell_nothing_to_others() {
        let atomic = frame(&header(false), b"x", SmallVec::new(), Offload::None).to_vec();
        assert_eq!(&atomic[4..8], &[0, 0, 0x40, 0]);
        let mut ids = Identifications::new(&mut Rng::from_u64(3));
        let dsts: Vec<IpAddr> = (0..100).map(|i| IpAddr::from([10, 0, 1, i])).collect();
        let mut seen: Vec<_> = dsts.iter().map(|&dst| ids.take(dsts[0], dst, 17, 1) as u16).collect();
        assert!(seen.windows(2).filter(|w| w[1].wrapping_sub(w[0]) < 16).count() < 5, "no common counter");
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 95);
        let (a, b) = (ids.take(dsts[0], dsts[1], 17, 1), ids.take(dsts[0], dsts[1], 17, 1));
        assert_ne!(a, b, "RFC 6864 §4.3: no repetition within a datagram's lifetime");
        ids.take(dsts[0], dsts[2], 17, 100);
        assert_eq!(ids.take(dsts[0], dsts[1], 17, 1), b.wrapping_add(1), "what others get does not show");
    }

    /// RFC 6864 §4.3, RFC 8200 §4.5: stacks with the same addresses never give the same number to datagrams of one pair of ends, nor
    /// does a row of one reach into another's numbers.
    #[test]
    fn identifications_of_several_stacks_do_not_meet() {
        let (src, dst) = (IpAddr::from([10, 0, 1, 1]), IpAddr::from([10, 0, 1, 2]));
        for part in 0..3 {
            let mut ids = Identifications::new(&mut Rng::from_u64(3));
            ids.share = Share::new(part, 3);
            let mut seen = std::collections::BTreeSet::new();
            for count in (1..=45).cycle().take(9_000) {
                let row = ids.take(src, dst, 17, count) & 0xffff;
                assert_eq!((row / 21_845, (row + count - 1) / 21_845), (part.into(), part.into()));
                seen.insert(row);
            }
            assert!(seen.len() > 5_000);
        }
    }

    /// Hostile case P13: each byte of both addresses counts, so that a neighbour's identifications say nothing about another's.
    #[test]
    fn identifications_differ_for_neighbours() {
        let id_of = |src: [u8; 4], dst: [u8; 4]| {
            let header = IpHeader { src: src.into(), dst: dst.into(), ..header(false) };
            let mut frame = frame(&header, b"x", SmallVec::new(), Offload::None);
            allow_fragments(&mut frame);
            output(1_500).identify(&mut frame);
            u16::from_be_bytes([frame.headers()[4], frame.headers()[5]])
        };
        let (src, dst) = ([10, 1, 2, 3], [10, 4, 5, 6]);
        for at in 0..4 {
            let (mut other_src, mut other_dst) = (src, dst);
            other_src[at] ^= 0x40;
            other_dst[at] ^= 0x40;
            assert_ne!(id_of(src, dst), id_of(other_src, dst), "byte {at} of the source");
            assert_ne!(id_of(src, dst), id_of(src, other_dst), "byte {at} of the destination");
        }
    }

    /// RFC 1191 §6.5, RFC 8201 §5.2: datagrams are cut to what their path carries, those to others are not.
    #[test]
    fn datagrams_are_fragmented_to_the_path_mtu() {
        for (v6, told, longest) in [(false, 1_000, 996), (true, 1_400, 1_400)] {
            let mut output = output(1_500);
            let payload = Slice::from(Buffer::copy_of(&[0; 1_440]));
            assert!(output.paths().lower_for_datagrams(header(v6).dst, told, Instant::ZERO));
            assert!(!output.fits(header(v6).dst, 1_440) && output.fits(header(v6).src, 1_440));
            output.send(&header(v6), &[], payload, Offload::None, &mut Counters::default()).unwrap();
            let lens: Vec<_> = std::iter::from_fn(|| output.pop()).map(|frame| frame.len()).collect();
            assert!(lens.len() == 2 && lens[0] <= longest && lens[0] > longest - 8, "{lens:?}");
        }
    }

    /// RFC 6864 §4.2, hostile case P13: without DF every wire packet has its own identification, unpredictable; the header's
    /// checksum holds.
    #[test]
    fn a_frame_that_may_be_fragmented_is_numbered() {
        let mut output = output(1_500);
        let mut id_of = |payload: usize, mss: u16| {
            let payload = SmallVec::from_iter([Slice::from(Buffer::copy_of(&vec![0; payload]))]);
            let mut frame = frame(&header(false), &[0; 20], payload, Offload::Tcp { mss, start: 20 });
            output.identify(&mut frame);
            assert_eq!(frame.headers()[4..8], [0, 0, 0x40, 0], "an atomic datagram has none");
            allow_fragments(&mut frame);
            assert!(IpPacket::parse(&frame.to_vec()).is_ok());
            output.identify(&mut frame);
            assert!(IpPacket::parse(&frame.to_vec()).is_ok() && frame.headers()[6] == 0);
            u16::from_be_bytes([frame.headers()[4], frame.headers()[5]])
        };
        let ids = [id_of(3_000, 1_000), id_of(1, 1_000), id_of(2, 1_000)];
        assert_eq!((ids[1].wrapping_sub(ids[0]), ids[2].wrapping_sub(ids[1])), (3, 1));
        let mut v6 = frame(&header(true), &[0; 20], SmallVec::new(), Offload::None);
        let before = v6.to_vec();
        allow_fragments(&mut v6);
        output.identify(&mut v6);
        assert_eq!(v6.to_vec(), before);
    }

    /// Below the floor of 552 bytes routers have to fragment: DF goes.
    #[test]
    fn datagrams_on_a_path_below_the_floor_go_without_df() {
        let mut output = output(1_500);
        let dst = header(false).dst;
        output.paths().lower_for_datagrams(dst, 296, Instant::ZERO);
        let mut counters = Counters::default();
        output.send(&header(false), &[0; 8], Slice::default(), Offload::None, &mut counters).unwrap();
        let packet = output.pop().unwrap().to_vec();
        assert!(packet[6] & DONT_FRAGMENT == 0 && packet[4..6] != [0, 0]);
    }
}
