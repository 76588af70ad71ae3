//! A parsed and checked segment: header, payload by reference to the packet's buffer, and the RFC's SEG.* values.

use std::net::IpAddr;

use crate::base::buffer::Slice;
use crate::base::counters::DropReason;
use crate::ip::Datagram;
use crate::wire::checksum::Sum;
use crate::wire::ip::{Endpoint, ecn, protocol};
use crate::wire::packet::Offload;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, TcpHeader};

/// The two ends of a connection, seen from this stack.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FourTuple {
    /// This stack's end.
    pub local: Endpoint,
    /// The peer's end.
    pub remote: Endpoint,
}

/// A segment as it came: checksum right, ports possible. Trimming moves `header.seq` and cuts `payload`.
#[derive(Debug)]
pub struct Segment {
    /// Which connection it is for.
    pub tuple: FourTuple,
    /// The ECN field of its IP header; of a SYN always Not-ECT.
    pub ecn: u8,
    /// The header.
    pub header: TcpHeader,
    /// The payload.
    pub payload: Slice,
    /// Segments that it came as: more than one where the device or the sender's joined them.
    pub segments: u32,
}

impl Segment {
    /// Checks and parses what IP delivered (RFC 9293 §3.1, MUST-3; hostile cases P3, P5, P6).
    pub fn parse(datagram: Datagram) -> Result<Segment, DropReason> {
        let ip = datagram.header;
        let bytes = datagram.payload();
        let (mut header, header_len) = TcpHeader::parse(bytes).ok_or(DropReason::TcpMalformed)?;
        // With an offload the sender's side left the sum to us: the packet never crossed a wire (tun facts, behaviour 2).
        if datagram.packet.offload == Offload::None
            && !Sum::pseudo_header(ip.src, ip.dst, protocol::TCP, bytes.len()).add(bytes).is_valid()
        {
            return Err(DropReason::TcpChecksum);
        }
        let tuple = FourTuple {
            local: Endpoint::new(ip.dst, header.dst_port),
            remote: Endpoint::new(ip.src, header.src_port),
        };
        // Port 0 is never bound; a segment from its own destination is a LAND attack.
        if header.src_port == 0 || header.dst_port == 0 || tuple.local == tuple.remote {
            return Err(DropReason::TcpMalformed);
        }
        let mut ecn = ip.traffic_class & ecn::MASK;
        if header.flags.has(Flags::SYN) && ecn != ecn::NOT_ECT {
            // RFC 3168 §6.1.1: no SYN leaves ECN-capable. A path that writes this field would mark everything: no ECN over it.
            header.flags = header.flags.without(Flags::ECE.with(Flags::CWR));
            ecn = ecn::NOT_ECT;
        }
        let payload = datagram.payload.start + header_len..datagram.payload.end;
        let segments = match datagram.packet.offload {
            Offload::Tcp { mss, .. } => (payload.len() as u32).div_ceil(u32::from(mss.max(1))).max(1),
            _ => 1,
        };
        let payload = Slice::from(datagram.packet.buffer).slice(payload);
        Ok(Segment { tuple, ecn, header, payload, segments })
    }

    /// SEG.SEQ.
    pub fn seq(&self) -> SeqNum {
        self.header.seq
    }

    /// SEG.ACK.
    pub fn ack(&self) -> SeqNum {
        self.header.ack
    }

    /// SEG.LEN: the sequence numbers it occupies, SYN and FIN included.
    pub fn len(&self) -> u32 {
        self.payload.len() as u32 + u32::from(self.has(Flags::SYN)) + u32::from(self.has(Flags::FIN))
    }

    /// The sequence number behind the last one it occupies.
    pub fn end(&self) -> SeqNum {
        self.header.seq + self.len()
    }

    /// True if every flag of `flags` is set.
    pub fn has(&self, flags: Flags) -> bool {
        self.header.flags.has(flags)
    }

    /// Cuts off what lies before `start` (already received), the SYN first, then payload, and a FIN that lies before it.
    pub fn trim_front(&mut self, start: SeqNum) {
        if !self.header.seq.before(start) {
            return;
        }
        let mut cut = start.since(self.header.seq);
        self.header.seq = start;
        if self.has(Flags::SYN) {
            self.header.flags = self.header.flags.without(Flags::SYN);
            cut -= 1;
        }
        let len = self.payload.len();
        if cut as usize > len {
            self.header.flags = self.header.flags.without(Flags::FIN);
        }
        self.payload = self.payload.slice((cut as usize).min(len)..len);
    }

    /// Cuts off what lies at or behind `end` (beyond the window), the FIN with it.
    pub fn trim_back(&mut self, end: SeqNum) {
        if !self.end().after(end) {
            return;
        }
        let keep = end.offset_from(self.header.seq).max(0) as usize;
        self.header.flags = self.header.flags.without(Flags::FIN.with(Flags::PSH));
        self.payload = self.payload.slice(0..keep);
    }
}

/// Bytes of IP and TCP header without options, for the MSS (RFC 9293 §3.7.1).
pub const fn fixed_headers(addr: IpAddr) -> usize {
    if addr.is_ipv4() { 40 } else { 60 }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn segment(seq: u32, flags: Flags, payload: &[u8]) -> Segment {
        let end = Endpoint::new([10, 0, 0, 1].into(), 1);
        let header = TcpHeader { seq: SeqNum(seq), flags, ..TcpHeader::default() };
        let payload = crate::base::buffer::Buffer::copy_of(payload).into();
        let tuple = FourTuple { local: end, remote: end };
        Segment { tuple, ecn: ecn::NOT_ECT, header, payload, segments: 1 }
    }

    /// RFC 9293 §3.10.7.4: a segment is trimmed to fit into the window before its text is taken.
    #[test]
    fn trimming_cuts_syn_then_text_then_fin() {
        let mut s = segment(10, Flags::SYN.with(Flags::FIN), b"abcdef");
        assert_eq!((s.len(), s.end()), (8, SeqNum(18)));
        s.trim_front(SeqNum(13));
        assert_eq!(
            (s.seq(), &*s.payload, s.has(Flags::SYN), s.has(Flags::FIN)),
            (SeqNum(13), &b"cdef"[..], false, true)
        );
        s.trim_back(SeqNum(15));
        assert_eq!((&*s.payload, s.has(Flags::FIN), s.end()), (&b"cd"[..], false, SeqNum(15)));
    }

    #[test]
    fn trimming_past_the_fin_leaves_nothing() {
        let mut s = segment(u32::MAX - 1, Flags::FIN, b"ab");
        s.trim_front(SeqNum(1));
        assert_eq!((s.len(), s.seq()), (0, SeqNum(1)));
    }

    #[test]
    fn a_fin_at_the_window_edge_is_kept() {
        let mut s = segment(10, Flags::FIN, b"ab");
        s.trim_back(SeqNum(13));
        assert!(s.has(Flags::FIN));
        s.trim_front(SeqNum(12));
        assert_eq!((s.len(), s.has(Flags::FIN)), (1, true));
    }
}
