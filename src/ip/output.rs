//! The output side of IP: headers in front of transport packets, fragments where a datagram exceeds the MTU (RFC 791 §3.2,
//! RFC 8200 §4.5), and the bounded queue of frames that wait for the device. TCP builds its frames with [`frame`] and keeps
//! them itself; it never fragments.

use smallvec::SmallVec;
use std::collections::VecDeque;
use std::mem::size_of;
use std::net::IpAddr;

use crate::base::buffer::Slice;
use crate::base::counters::{Counters, DropReason};
use crate::base::hash::HashKey;
use crate::base::rng::Rng;
use crate::wire::ip::{FRAGMENT_HEADER, Fragment, IpHeader};
use crate::wire::packet::{Frame, Offload};

pub use crate::wire::ip::{MAX_PACKET, header_len};

/// Memory of the output queue in bytes: frames and the chunks under their payload. Some sixty echo replies of 60,000 bytes fit.
pub const MAX_QUEUE: usize = 4 << 20;
/// Hop limit of what this stack originates outside of TCP (RFC 1122 §3.2.1.7).
pub const HOP_LIMIT: u8 = 64;
/// Counters of identifications; destinations share them by a keyed hash.
const ID_BUCKETS: usize = 1_024;

/// A frame that is one IP packet, never to be fragmented: IPv4 carries DF and identification 0 (RFC 6864 §4.1, atomic
/// datagrams; hostile case P13). The transport header's checksum is the caller's business.
pub fn frame(header: &IpHeader, transport: &[u8], payload: SmallVec<[Slice; 4]>, offload: Offload) -> Frame {
    let mut frame = Frame::new(offload);
    let len = transport.len() + payload.iter().map(|slice| slice.len()).sum::<usize>();
    debug_assert!(header.dst.is_ipv6() || len + header_len(header.dst) <= MAX_PACKET);
    frame.push_header(&header.encode(len, None));
    frame.push_header(transport);
    frame.payload = payload;
    frame
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
    mtu: usize,
    queue: VecDeque<Queued>,
    charged: usize,
    ids: Identifications,
}

impl Output {
    /// An empty queue in front of a device of this MTU.
    pub fn new(mtu: usize, rng: &mut Rng) -> Self {
        Output { mtu, queue: VecDeque::new(), charged: 0, ids: Identifications::new(rng) }
    }

    /// The largest IP packet that the device takes.
    pub fn mtu(&self) -> usize {
        self.mtu
    }

    /// True if `len` bytes above the IP header go out in one piece.
    pub fn fits(&self, dst: IpAddr, len: usize) -> bool {
        header_len(dst) + len <= self.mtu
    }

    /// Queues a datagram, as a whole or in fragments. The fragments share the payload's chunk; its checksum must be complete
    /// unless the datagram [fits](Output::fits).
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
        let chunk = payload.capacity();
        if self.fits(header.dst, len) {
            self.push(frame(header, transport, SmallVec::from_iter([payload]), offload));
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
        let frames = len / self.max_fragment(dst).max(1) + 1;
        self.queue.is_empty() || self.charged + len + frames * size_of::<Queued>() <= MAX_QUEUE
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
        let id = self.ids.next(header.src, header.dst, header.protocol);
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
        (self.mtu.saturating_sub(header_len(dst) + extension) & !7).max(8)
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
}

impl std::fmt::Debug for Identifications {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identifications")
    }
}

impl Identifications {
    fn new(rng: &mut Rng) -> Self {
        Identifications { key: HashKey::new(rng), counters: (0..ID_BUCKETS).map(|_| rng.u32()).collect() }
    }

    fn next(&mut self, src: IpAddr, dst: IpAddr, protocol: u8) -> u32 {
        let hash = self.key.secret_hash(&(src, dst, protocol));
        let counter = &mut self.counters[(hash >> 32) as usize % ID_BUCKETS];
        *counter = counter.wrapping_add(1);
        (hash as u32).wrapping_add(*counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::buffer::Buffer;
    use crate::base::rng::Rng;
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
        while output.pop().is_some() {}
        assert!(output.charged == 0 && output.is_relaxed());
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
        let mut seen: Vec<_> = dsts.iter().map(|&dst| ids.next(dsts[0], dst, 17) as u16).collect();
        assert!(seen.windows(2).filter(|w| w[1].wrapping_sub(w[0]) < 16).count() < 5, "no common counter");
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 95);
        let (a, b) = (ids.next(dsts[0], dsts[1], 17), ids.next(dsts[0], dsts[1], 17));
        assert_ne!(a, b, "RFC 6864 §4.3: no repetition within a datagram's lifetime");
    }
}
