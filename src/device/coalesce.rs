//! The other way round than `segment`: consecutive segments of a flow become one super-segment, as in a network card that receives.
//!
//! A device that takes super-segments takes 45 segments for little more than the price of one. Only what a split would give back
//! byte for byte is joined: equal headers, numbers in sequence, full segments but for the last, and right checksums,
//! which a super-segment could not tell. TCP without IP options and extension headers only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use crate::base::buffer::Slice;
use crate::wire::checksum::Sum;
use crate::wire::ip::protocol;
use crate::wire::packet::{Frame, Offload, Packet};
use crate::wire::tcp::{CHECKSUM_OFFSET, Flags};

/// The longest IP packet.
const LONGEST: usize = 65_535;

/// Joins wire packets, in order, into as few frames as possible; each is handed to `emit` when nothing more can follow in it.
pub fn join(packets: impl Iterator<Item = Packet>, mut emit: impl FnMut(Frame)) {
    let mut run: Option<Run> = None;
    for packet in packets {
        let segment = Segment::of(&packet);
        if let (Some(run), Some(segment)) = (&mut run, &segment)
            && run.takes(segment, packet.bytes())
        {
            run.push(segment, packet);
            continue;
        }
        if let Some(run) = run.take() {
            emit(run.into_frame());
        }
        match segment {
            Some(segment) => run = Some(Run::new(segment, packet)),
            None => emit(Frame::from(packet)),
        }
    }
    if let Some(run) = run {
        emit(run.into_frame());
    }
}

/// Where things lie in a packet that may be joined with others.
struct Segment {
    /// Where the TCP header begins, and where the payload does.
    tcp: usize,
    payload: usize,
    len: usize,
    seq: u32,
    flags: Flags,
}

impl Segment {
    /// `None` for anything but TCP payload with nothing special about it.
    fn of(packet: &Packet) -> Option<Segment> {
        let bytes = packet.bytes();
        let tcp = match bytes.first()? {
            // RFC 6864 §4.1: without DF, identifications would have to be kept; fragments have no TCP header of their own.
            0x45 if bytes.get(6..8)? == [0x40, 0] && bytes[9] == protocol::TCP => 20,
            0x60..=0x6f if *bytes.get(6)? == protocol::TCP => 40,
            _ => return None,
        };
        let header = bytes.get(tcp..tcp + 20)?;
        let payload = tcp + 4 * usize::from(header[12] >> 4);
        let flags = Flags(header[13]);
        let told = usize::from(u16::from_be_bytes(if tcp == 20 {
            [bytes[2], bytes[3]]
        } else {
            [bytes[4], bytes[5]]
        }));
        let whole = if tcp == 20 { told } else { told + 40 } == bytes.len();
        let plain = flags.without(Flags::PSH) == Flags::ACK;
        if packet.offload != Offload::None || !whole || !plain || payload < tcp + 20 || payload >= bytes.len()
        {
            return None;
        }
        let seq = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        Some(Segment { tcp, payload, len: bytes.len() - payload, seq, flags })
    }

    /// Both checksums are right.
    fn is_sound(&self, bytes: &[u8]) -> bool {
        let transport = &bytes[self.tcp..];
        (self.tcp == 40 || Sum::new().add(&bytes[..20]).is_valid())
            && pseudo_header(bytes, self.tcp, transport.len()).add(transport).is_valid()
    }
}

/// Segments that go together.
struct Run {
    first: Segment,
    packet: Packet,
    rest: Vec<Slice>,
    /// Payload bytes of all.
    len: usize,
    flags: Flags,
    /// Nothing can follow: the last was shorter, or pushed.
    ended: bool,
    /// The first one's checksums were looked at, and right.
    sound: Option<bool>,
}

impl Run {
    fn new(first: Segment, packet: Packet) -> Self {
        let (len, flags) = (first.len, first.flags);
        Run { first, packet, rest: Vec::new(), len, flags, ended: flags.has(Flags::PSH), sound: None }
    }

    fn takes(&mut self, next: &Segment, bytes: &[u8]) -> bool {
        let first = self.packet.bytes();
        let (tcp, payload) = (self.first.tcp, self.first.payload);
        if self.ended || next.len > self.first.len || payload + self.len + next.len > LONGEST {
            return false;
        }
        // All but lengths, identification and checksums; in TCP all but number, PSH and checksum.
        let same = |range: Range<usize>| first.get(range.clone()) == bytes.get(range);
        let ip =
            if tcp == 20 { same(0..2) && same(6..10) && same(12..20) } else { same(0..4) && same(6..40) };
        ip && next.tcp == tcp
            && next.payload == payload
            && same(tcp..tcp + 4)
            && same(tcp + 8..tcp + 13)
            && same(tcp + 14..tcp + 16)
            && same(tcp + 18..payload)
            && next.seq == self.first.seq.wrapping_add(self.len as u32)
            && *self.sound.get_or_insert_with(|| self.first.is_sound(first))
            && next.is_sound(bytes)
    }

    fn push(&mut self, segment: &Segment, packet: Packet) {
        self.len += segment.len;
        self.flags = self.flags.with(segment.flags);
        self.ended = segment.len < self.first.len || segment.flags.has(Flags::PSH);
        self.rest.push(Slice::from(packet.buffer).slice(segment.payload..LONGEST));
    }

    fn into_frame(self) -> Frame {
        if self.rest.is_empty() {
            return Frame::from(self.packet);
        }
        let Segment { tcp, payload, len: mss, .. } = self.first;
        let mut frame = Frame::new(Offload::Tcp { mss: mss as u16, start: tcp as u16 });
        frame.push_header(&self.packet.bytes()[..payload]);
        let transport_len = payload - tcp + self.len;
        let headers = frame.headers_mut();
        headers[tcp + 13] = self.flags.0;
        if tcp == 20 {
            headers[2..4].copy_from_slice(&((tcp + transport_len) as u16).to_be_bytes());
            headers[10..12].fill(0);
            let sum = Sum::new().add(&headers[..20]).checksum();
            headers[10..12].copy_from_slice(&sum.to_be_bytes());
        } else {
            headers[4..6].copy_from_slice(&(transport_len as u16).to_be_bytes());
        }
        let folded = pseudo_header(headers, tcp, transport_len).folded();
        headers[tcp + CHECKSUM_OFFSET..tcp + CHECKSUM_OFFSET + 2].copy_from_slice(&folded.to_be_bytes());
        frame.payload.push(Slice::from(self.packet.buffer).slice(payload..LONGEST));
        frame.payload.extend(self.rest);
        frame
    }
}

fn pseudo_header(bytes: &[u8], tcp: usize, len: usize) -> Sum {
    let (src, dst): (IpAddr, IpAddr) = if tcp == 20 {
        let addr = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
        (addr(12).into(), addr(16).into())
    } else {
        let addr = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[at..at + 16]).unwrap_or_default());
        (addr(8).into(), addr(24).into())
    };
    Sum::pseudo_header(src, dst, protocol::TCP, len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::segment::to_wire;
    use proptest::prelude::*;

    /// A super-segment over IPv4 with DF or over IPv6, complete but for its checksum.
    fn whole(v6: bool, flags: Flags, payload: &[u8], mss: u16) -> Packet {
        let start = if v6 { 40 } else { 20 };
        let mut bytes = vec![0; start + 32];
        let len = (32 + payload.len() + if v6 { 0 } else { 20 }) as u16;
        if v6 {
            (bytes[0], bytes[6], bytes[7]) = (0x60, protocol::TCP, 64);
            bytes[4..6].copy_from_slice(&len.to_be_bytes());
        } else {
            (bytes[0], bytes[6], bytes[8], bytes[9]) = (0x45, 0x40, 64, protocol::TCP);
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
        }
        bytes[start..start + 12].copy_from_slice(&[0, 1, 0, 2, 0xff, 0xff, 0xff, 0, 0, 0, 0, 9]);
        (bytes[start + 12], bytes[start + 13], bytes[start + 15]) = (0x80, flags.0, 77);
        bytes[start + 20..start + 32].copy_from_slice(&[1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6]);
        bytes.extend_from_slice(payload);
        let buffer = crate::base::buffer::Buffer::copy_of(&bytes);
        Packet { buffer, offload: Offload::Tcp { mss, start: start as u16 } }
    }

    fn wire(flags: Flags, payload: usize) -> Vec<Packet> {
        to_wire(whole(false, flags, &vec![7; payload], 100)).into_vec()
    }

    fn joined(packets: Vec<Packet>) -> Vec<Frame> {
        let mut frames = Vec::new();
        join(packets.into_iter(), |frame| frames.push(frame));
        frames
    }

    fn changed(packet: &Packet, at: usize, value: u8) -> Packet {
        let mut bytes = packet.bytes().to_vec();
        bytes[at] ^= value;
        Packet::from_slice(&bytes)
    }

    proptest! {
        /// What is joined and split again is what it was; and full segments in a row become one frame.
        #[test]
        fn a_split_gives_back_what_was_joined(
            v6 in any::<bool>(),
            payload in prop::collection::vec(any::<u8>(), 1..20_000),
            mss in 100u16..3_000,
            push in any::<bool>(),
        ) {
            let flags = if push { Flags::ACK.with(Flags::PSH) } else { Flags::ACK };
            let packets = to_wire(whole(v6, flags, &payload, mss));
            let bytes: Vec<_> = packets.iter().map(|packet| packet.bytes().to_vec()).collect();
            let frames = joined(packets.into_vec());
            prop_assert_eq!(frames.len(), 1);
            let again: Vec<_> = to_wire(frames[0].to_packet()).iter().map(|packet| packet.bytes().to_vec()).collect();
            prop_assert_eq!(again, bytes);
        }
    }

    /// A receiver must see every fault: a damaged segment, whatever byte it is, is joined with none.
    #[test]
    fn a_damaged_segment_stays_alone() {
        let packets = wire(Flags::ACK, 300);
        for at in 0..packets[1].bytes().len() {
            let damaged = changed(&packets[1], at, 0x10);
            let bytes = damaged.bytes().to_vec();
            let frames = joined(vec![
                Packet::from_slice(packets[0].bytes()),
                damaged,
                Packet::from_slice(packets[2].bytes()),
            ]);
            assert_eq!(frames.len(), 3, "byte {at}");
            assert_eq!(frames[1].to_vec(), bytes);
        }
        let first = changed(&packets[0], 100, 1);
        assert_eq!(joined(vec![first, Packet::from_slice(packets[1].bytes())]).len(), 2);
    }

    #[test]
    fn what_is_out_of_sequence_short_or_pushed_ends_a_run() {
        let copy = |packet: &Packet| Packet::from_slice(packet.bytes());
        let packets = wire(Flags::ACK, 350);
        let lens = |frames: Vec<Frame>| frames.iter().map(Frame::payload_len).collect::<Vec<_>>();
        assert_eq!(lens(joined(vec![copy(&packets[0]), copy(&packets[2]), copy(&packets[3])])), [152, 150]);
        assert_eq!(lens(joined(packets.iter().chain(&packets).map(copy).collect())), [350, 350]);
        let pushed = wire(Flags::ACK.with(Flags::PSH), 200);
        let next = wire(Flags::ACK, 400).split_off(2);
        assert_eq!(lens(joined(pushed.into_iter().chain(next).collect())), [200, 200]);
    }

    #[test]
    fn only_plain_segments_are_joined() {
        for flags in [
            Flags::ACK.with(Flags::FIN),
            Flags::ACK.with(Flags::ECE),
            Flags::ACK.with(Flags::SYN),
            Flags::NONE,
        ] {
            // FIN stands on the last one only, the others on all.
            let last = joined(wire(flags, 300)).pop().unwrap();
            assert_eq!((last.offload, last.payload.len()), (Offload::None, 1), "{flags:?}");
        }
        for bytes in [&[][..], &[0x45], &[0x45; 19], &[0x60; 40], &[0x60; 70], &[0xff; 90]] {
            assert_eq!(joined(vec![Packet::from_slice(bytes), Packet::from_slice(bytes)]).len(), 2);
        }
        // Bare acknowledgements.
        assert_eq!(joined(wire(Flags::ACK, 0).into_iter().chain(wire(Flags::ACK, 0)).collect()).len(), 2);
    }

    #[test]
    fn a_frame_is_no_longer_than_an_ip_packet() {
        let packets = to_wire(whole(false, Flags::ACK, &vec![1; 65_000], 1_448)).into_vec();
        let mut all = packets.iter().map(|packet| Packet::from_slice(packet.bytes())).collect::<Vec<_>>();
        // The rest goes on where the first ended, but for its number.
        for packet in &packets[..5] {
            let mut bytes = packet.bytes().to_vec();
            let seq = u32::from_be_bytes(bytes[24..28].try_into().unwrap()).wrapping_add(44 * 1_448);
            bytes[24..28].copy_from_slice(&seq.to_be_bytes());
            bytes[36..38].fill(0);
            let sum = pseudo_header(&bytes, 20, bytes.len() - 20).add(&bytes[20..]).checksum();
            bytes[36..38].copy_from_slice(&sum.to_be_bytes());
            all.push(Packet::from_slice(&bytes));
        }
        all.remove(44);
        let frames = joined(all);
        assert_eq!(frames.iter().map(Frame::payload_len).collect::<Vec<_>>(), [45 * 1_448, 4 * 1_448]);
        assert!(frames[0].len() <= LONGEST);
    }
}
