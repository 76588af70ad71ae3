//! A packet the stack sent, field by field as it lies on the wire: options in their order with the padding between them,
//! reserved bits and checksums. `wire::tcp` reads what a connection needs; this reads what a script may compare.

use std::net::IpAddr;

use super::script::TcpOptionSpec;
use crate::wire::checksum::Sum;
use crate::wire::ip::protocol;
use crate::wire::tcp::MIN_HEADER;

/// An IP packet's bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    bytes: &'a [u8],
    /// Where the upper layer begins.
    upper: usize,
}

impl<'a> View<'a> {
    /// Looks at a whole packet; `None` where it is shorter than its header.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let upper = match bytes.first()? >> 4 {
            4 => usize::from(bytes[0] & 15) * 4,
            6 => 40,
            _ => return None,
        };
        (upper >= 20 && bytes.len() >= upper).then_some(View { bytes, upper })
    }

    pub(super) fn version(&self) -> u8 {
        self.bytes[0] >> 4
    }

    pub(super) fn src(&self) -> IpAddr {
        self.address(12, 8)
    }

    pub(super) fn dst(&self) -> IpAddr {
        self.address(16, 24)
    }

    fn address(&self, v4: usize, v6: usize) -> IpAddr {
        if self.version() == 4 {
            IpAddr::from(*self.bytes[v4..].first_chunk::<4>().unwrap_or(&[0; 4]))
        } else {
            IpAddr::from(*self.bytes[v6..].first_chunk::<16>().unwrap_or(&[0; 16]))
        }
    }

    pub(super) fn protocol(&self) -> u8 {
        if self.version() == 4 { self.bytes[9] } else { self.bytes[6] }
    }

    /// Bytes of the whole packet, by its header.
    pub(super) fn total_len(&self) -> usize {
        if self.version() == 4 {
            usize::from(word(self.bytes, 2))
        } else {
            40 + usize::from(word(self.bytes, 4))
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn traffic_class(&self) -> u8 {
        if self.version() == 4 { self.bytes[1] } else { (word(self.bytes, 0) >> 4) as u8 }
    }

    pub(super) fn hop_limit(&self) -> u8 {
        if self.version() == 4 { self.bytes[8] } else { self.bytes[7] }
    }

    pub(super) fn flow_label(&self) -> Option<u32> {
        (self.version() == 6).then(|| long(self.bytes, 0) & 0xf_ffff)
    }

    /// IPv4's header checksum is right; IPv6 has none.
    pub(super) fn header_checksum_is_right(&self) -> bool {
        self.version() == 6 || Sum::new().add(&self.bytes[..self.upper]).is_valid()
    }

    /// The transport's checksum is right.
    pub(super) fn transport_checksum_is_right(&self) -> bool {
        let upper = self.upper();
        Sum::pseudo_header(self.src(), self.dst(), self.protocol(), upper.len()).add(upper).is_valid()
    }

    /// What follows the IP header.
    pub(super) fn upper(&self) -> &'a [u8] {
        &self.bytes[self.upper..]
    }

    /// The segment, if it is one.
    pub(super) fn tcp(&self) -> Option<TcpView<'a>> {
        let bytes = self.upper();
        let header_len = usize::from(bytes.get(12)? >> 4) * 4;
        let sound = self.protocol() == protocol::TCP && header_len >= MIN_HEADER && bytes.len() >= header_len;
        sound.then(|| TcpView { header: &bytes[..header_len], payload: &bytes[header_len..] })
    }

    /// Ports and payload of a datagram, if it is one.
    pub(super) fn udp(&self) -> Option<(u16, u16, &'a [u8])> {
        let bytes = self.upper();
        (self.protocol() == protocol::UDP && bytes.len() >= 8)
            .then(|| (word(bytes, 0), word(bytes, 2), &bytes[8..]))
    }

    /// Type, code and what follows them, if it is ICMP of this IP version.
    pub(super) fn icmp(&self) -> Option<(u8, u8, &'a [u8])> {
        let bytes = self.upper();
        let number = if self.version() == 4 { protocol::ICMP } else { protocol::ICMPV6 };
        (self.protocol() == number && bytes.len() >= 8).then(|| (bytes[0], bytes[1], bytes))
    }
}

/// A segment's bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct TcpView<'a> {
    header: &'a [u8],
    pub payload: &'a [u8],
}

impl<'a> TcpView<'a> {
    pub(super) fn src_port(&self) -> u16 {
        word(self.header, 0)
    }

    pub(super) fn dst_port(&self) -> u16 {
        word(self.header, 2)
    }

    pub(super) fn seq(&self) -> u32 {
        long(self.header, 4)
    }

    pub(super) fn ack(&self) -> u32 {
        long(self.header, 8)
    }

    pub(super) fn header_len(&self) -> usize {
        self.header.len()
    }

    /// The eight control bits of byte 13.
    pub(super) fn flags(&self) -> u8 {
        self.header[13]
    }

    /// The accurate-ECN bit (RFC 9768).
    pub(super) fn ae(&self) -> bool {
        self.header[12] & 1 == 1
    }

    /// The bits that must be zero (MUST-4's neighbours in byte 12).
    pub(super) fn reserved(&self) -> u8 {
        self.header[12] & 0x0e
    }

    pub(super) fn window(&self) -> u16 {
        word(self.header, 14)
    }

    pub(super) fn urgent(&self) -> u16 {
        word(self.header, 18)
    }

    /// The options in their order, padding included. Where the bytes make no sense the list ends, and the second value says
    /// so.
    pub(super) fn options(&self) -> (Vec<TcpOptionSpec>, bool) {
        let mut bytes = &self.header[MIN_HEADER..];
        let mut options = Vec::new();
        while let Some(&kind) = bytes.first() {
            let len = if kind < 2 { 1 } else { usize::from(bytes.get(1).copied().unwrap_or(0)) };
            let option = bytes.get(..len).filter(|_| len > 0).and_then(option);
            let Some(option) = option else { return (options, false) };
            options.push(option);
            bytes = &bytes[len..];
        }
        (options, true)
    }
}

/// Magic of the experimental fast open option.
pub(super) const FAST_OPEN_MAGIC: [u8; 2] = [0xf9, 0x89];

fn option(bytes: &[u8]) -> Option<TcpOptionSpec> {
    Some(match *bytes {
        [0] => TcpOptionSpec::Eol,
        [1] => TcpOptionSpec::Nop,
        [2, 4, a, b] => TcpOptionSpec::Mss(u16::from_be_bytes([a, b])),
        [3, 3, shift] => TcpOptionSpec::WindowScale(shift),
        [4, 2] => TcpOptionSpec::SackPermitted,
        [5, _, ref edges @ ..] if edges.len() % 8 == 0 => {
            TcpOptionSpec::Sack(edges.chunks_exact(8).map(|edge| (long(edge, 0), long(edge, 4))).collect())
        }
        [8, 10, ref body @ ..] => TcpOptionSpec::Timestamps { val: long(body, 0), ecr: long(body, 4) },
        [19, _, ref digest @ ..] => TcpOptionSpec::Md5(digest.to_vec()),
        [34, _, ref cookie @ ..] => TcpOptionSpec::FastOpen(cookie.to_vec()),
        [254, _, a, b, ref cookie @ ..] if [a, b] == FAST_OPEN_MAGIC => {
            TcpOptionSpec::FastOpenExperimental(cookie.to_vec())
        }
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u16::from_be_bytes(*word))
}

fn long(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_be_bytes(*word))
}
