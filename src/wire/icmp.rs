//! ICMP messages as values: version 4 (RFC 792, RFC 1122 §3.2.2) and version 6 (RFC 4443) alike, since upper layers ask what
//! happened and not in which version. Messages this stack does not speak (redirects, timestamps, neighbour discovery) stay
//! [`Message::Other`]. Checksums are the caller's business.

use std::net::IpAddr;

use etherparse::{icmpv4, icmpv6};

use super::ip::{Endpoint, IpPacket, protocol};
use super::seq::SeqNum;

/// Bytes of an ICMP header.
pub const HEADER: usize = 8;
/// Where the checksum lies in the header.
pub const CHECKSUM_OFFSET: usize = 2;

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No route to the network.
    NetUnreachable,
    /// The host cannot be reached.
    HostUnreachable,
    /// The host does not know the upper layer.
    ProtocolUnreachable,
    /// Nobody listens on the port.
    PortUnreachable,
    /// The packet exceeds a link's MTU; zero when the router does not tell it.
    PacketTooBig {
        /// The MTU in bytes; RFC 1191 has 16 bits for it.
        mtu: u32,
    },
    /// Forbidden by a filter.
    Prohibited,
    /// TTL or hop limit ran out on the way.
    HopLimitExceeded,
    /// Fragments were missing for too long.
    ReassemblyTimeout,
    /// A header field makes no sense.
    ParameterProblem {
        /// The message's code.
        code: u8,
        /// Offset of the field in the quoted packet; IPv4 has eight bits for it.
        pointer: u32,
    },
}

/// The fixed part of an ICMP message; what follows the eight bytes is payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Asks for an echo.
    EchoRequest {
        /// Identifier.
        id: u16,
        /// Sequence number.
        seq: u16,
    },
    /// Answers an echo request.
    EchoReply {
        /// Identifier.
        id: u16,
        /// Sequence number.
        seq: u16,
    },
    /// An error; the payload quotes the packet it is about.
    Error(ErrorKind),
    /// A message that this stack does not speak.
    Other {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
}

impl Message {
    /// Reads the first eight bytes of a message of the IP version of `addr`.
    pub fn parse(addr: IpAddr, bytes: &[u8]) -> Option<Message> {
        let &[kind, code, _, _, a, b, c, d, ..] = bytes else { return None };
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let word = u32::from_be_bytes([a, b, c, d]);
        let error = if addr.is_ipv4() { error_v4(kind, code, a, low) } else { error_v6(kind, code, word) };
        let (request, reply) = echo_types(addr);
        Some(match error {
            Some(error) => Message::Error(error),
            None if (kind, code) == (request, 0) => Message::EchoRequest { id: high, seq: low },
            None if (kind, code) == (reply, 0) => Message::EchoReply { id: high, seq: low },
            None => Message::Other { kind, code },
        })
    }

    /// The eight bytes of the message in the IP version of `addr`, with a checksum of zero.
    pub fn encode(&self, addr: IpAddr) -> [u8; HEADER] {
        let (request, reply) = echo_types(addr);
        let (kind, code, word) = match *self {
            Message::EchoRequest { id, seq } => (request, 0, echo_word(id, seq)),
            Message::EchoReply { id, seq } => (reply, 0, echo_word(id, seq)),
            Message::Error(error) if addr.is_ipv4() => encode_v4(error),
            Message::Error(error) => encode_v6(error),
            Message::Other { kind, code } => (kind, code, 0),
        };
        let [a, b, c, d] = word.to_be_bytes();
        [kind, code, 0, 0, a, b, c, d]
    }
}

/// True if a message of this type is an error, to which no error may answer (RFC 1122 §3.2.2, RFC 4443 §2.4 e.1). Unknown
/// types below 128 are errors in ICMPv6; redirects count as errors in both versions (e.2).
pub fn is_error(addr: IpAddr, kind: u8) -> bool {
    if addr.is_ipv4() {
        use icmpv4::*;
        let errors = [
            TYPE_DEST_UNREACH,
            TYPE_SOURCE_QUENCH,
            TYPE_REDIRECT,
            TYPE_TIME_EXCEEDED,
            TYPE_PARAMETER_PROBLEM,
        ];
        errors.contains(&kind)
    } else {
        kind < 128 || kind == icmpv6::TYPE_REDIRECT_MESSAGE
    }
}

/// An ICMP error about a TCP segment or UDP datagram of this stack, as the transport sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// What happened.
    pub kind: ErrorKind,
    /// This stack's end of the flow.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// The quoted segment's sequence number; without meaning for UDP.
    pub seq: SeqNum,
}

/// The packet that an ICMP error quotes, as far as the eight bytes that every error must quote (RFC 792) tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Where the packet came from.
    pub src: IpAddr,
    /// Where it went.
    pub dst: IpAddr,
    /// The upper layer.
    pub protocol: u8,
    /// The first eight bytes of the upper layer.
    pub upper: [u8; 8],
}

impl Quoted {
    /// Reads an error's payload. A quoted fragment that is not the first has no upper-layer header: `None`.
    pub fn parse(bytes: &[u8]) -> Option<Quoted> {
        let packet = IpPacket::parse_quoted(bytes)?;
        if packet.fragment.is_some_and(|fragment| fragment.offset != 0) {
            return None;
        }
        let upper = bytes.get(packet.payload)?.first_chunk()?;
        let header = packet.header;
        Some(Quoted { src: header.src, dst: header.dst, protocol: header.protocol, upper: *upper })
    }

    /// The quoted flow and sequence number, if TCP or UDP sent the packet; `kind` is what the error says.
    pub fn transport_error(&self, kind: ErrorKind) -> Option<IcmpError> {
        let [a, b, c, d, seq @ ..] = self.upper;
        matches!(self.protocol, protocol::TCP | protocol::UDP).then(|| IcmpError {
            kind,
            local: Endpoint::new(self.src, u16::from_be_bytes([a, b])),
            remote: Endpoint::new(self.dst, u16::from_be_bytes([c, d])),
            seq: SeqNum(u32::from_be_bytes(seq)),
        })
    }
}

const fn echo_types(addr: IpAddr) -> (u8, u8) {
    match addr {
        IpAddr::V4(_) => (icmpv4::TYPE_ECHO_REQUEST, icmpv4::TYPE_ECHO_REPLY),
        IpAddr::V6(_) => (icmpv6::TYPE_ECHO_REQUEST, icmpv6::TYPE_ECHO_REPLY),
    }
}

fn echo_word(id: u16, seq: u16) -> u32 {
    u32::from(id) << 16 | u32::from(seq)
}

fn error_v4(kind: u8, code: u8, pointer: u8, mtu: u16) -> Option<ErrorKind> {
    use icmpv4::*;
    Some(match (kind, code) {
        (TYPE_DEST_UNREACH, CODE_DST_UNREACH_NET | CODE_DST_UNREACH_SOURCE_ROUTE_FAILED)
        | (TYPE_DEST_UNREACH, CODE_DST_UNREACH_NET_UNKNOWN | CODE_DST_UNREACH_TOS_NET) => {
            ErrorKind::NetUnreachable
        }
        (TYPE_DEST_UNREACH, CODE_DST_UNREACH_HOST | CODE_DST_UNREACH_HOST_UNKNOWN)
        | (TYPE_DEST_UNREACH, CODE_DST_UNREACH_ISOLATED | CODE_DST_UNREACH_TOS_HOST) => {
            ErrorKind::HostUnreachable
        }
        (TYPE_DEST_UNREACH, CODE_DST_UNREACH_PROTOCOL) => ErrorKind::ProtocolUnreachable,
        (TYPE_DEST_UNREACH, CODE_DST_UNREACH_PORT) => ErrorKind::PortUnreachable,
        // RFC 1191 §4: the next hop's MTU in the low 16 bits; old routers leave them zero.
        (TYPE_DEST_UNREACH, CODE_DST_UNREACH_NEED_FRAG) => ErrorKind::PacketTooBig { mtu: u32::from(mtu) },
        (TYPE_DEST_UNREACH, CODE_DST_UNREACH_NET_PROHIB | CODE_DST_UNREACH_HOST_PROHIB)
        | (
            TYPE_DEST_UNREACH,
            CODE_DST_UNREACH_FILTER_PROHIB
            | CODE_DST_UNREACH_HOST_PRECEDENCE_VIOLATION
            | CODE_DST_UNREACH_PRECEDENCE_CUTOFF,
        ) => ErrorKind::Prohibited,
        (TYPE_TIME_EXCEEDED, CODE_TIME_EXCEEDED_TTL_EXCEEDED_IN_TRANSIT) => ErrorKind::HopLimitExceeded,
        (TYPE_TIME_EXCEEDED, CODE_TIME_EXCEEDED_FRAG_REASSEMBLY_TIME_EXCEEDED) => {
            ErrorKind::ReassemblyTimeout
        }
        (TYPE_PARAMETER_PROBLEM, code) => ErrorKind::ParameterProblem { code, pointer: u32::from(pointer) },
        _ => return None,
    })
}

fn encode_v4(error: ErrorKind) -> (u8, u8, u32) {
    use icmpv4::*;
    match error {
        ErrorKind::NetUnreachable => (TYPE_DEST_UNREACH, CODE_DST_UNREACH_NET, 0),
        ErrorKind::HostUnreachable => (TYPE_DEST_UNREACH, CODE_DST_UNREACH_HOST, 0),
        ErrorKind::ProtocolUnreachable => (TYPE_DEST_UNREACH, CODE_DST_UNREACH_PROTOCOL, 0),
        ErrorKind::PortUnreachable => (TYPE_DEST_UNREACH, CODE_DST_UNREACH_PORT, 0),
        ErrorKind::PacketTooBig { mtu } => (TYPE_DEST_UNREACH, CODE_DST_UNREACH_NEED_FRAG, mtu & 0xffff),
        ErrorKind::Prohibited => (TYPE_DEST_UNREACH, CODE_DST_UNREACH_FILTER_PROHIB, 0),
        ErrorKind::HopLimitExceeded => (TYPE_TIME_EXCEEDED, CODE_TIME_EXCEEDED_TTL_EXCEEDED_IN_TRANSIT, 0),
        ErrorKind::ReassemblyTimeout => {
            (TYPE_TIME_EXCEEDED, CODE_TIME_EXCEEDED_FRAG_REASSEMBLY_TIME_EXCEEDED, 0)
        }
        ErrorKind::ParameterProblem { code, pointer } => (TYPE_PARAMETER_PROBLEM, code, pointer << 24),
    }
}

/// ICMPv6's codes of "destination unreachable" (RFC 4443 §3.1).
mod unreachable_v6 {
    pub(super) const NO_ROUTE: u8 = 0;
    pub(super) const PROHIBITED: u8 = 1;
    pub(super) const BEYOND_SCOPE: u8 = 2;
    pub(super) const ADDRESS: u8 = 3;
    pub(super) const PORT: u8 = 4;
    pub(super) const SOURCE_POLICY: u8 = 5;
    pub(super) const REJECT_ROUTE: u8 = 6;
}

/// RFC 4443 §3.4: the code that stands for IPv4's "protocol unreachable".
const UNRECOGNIZED_NEXT_HEADER: u8 = 1;

fn error_v6(kind: u8, code: u8, word: u32) -> Option<ErrorKind> {
    use icmpv6::*;
    use unreachable_v6::*;
    Some(match (kind, code) {
        (TYPE_DST_UNREACH, NO_ROUTE) => ErrorKind::NetUnreachable,
        (TYPE_DST_UNREACH, PROHIBITED | SOURCE_POLICY | REJECT_ROUTE) => ErrorKind::Prohibited,
        (TYPE_DST_UNREACH, BEYOND_SCOPE | ADDRESS) => ErrorKind::HostUnreachable,
        (TYPE_DST_UNREACH, PORT) => ErrorKind::PortUnreachable,
        (TYPE_PACKET_TOO_BIG, _) => ErrorKind::PacketTooBig { mtu: word },
        (TYPE_TIME_EXCEEDED, 0) => ErrorKind::HopLimitExceeded,
        (TYPE_TIME_EXCEEDED, 1) => ErrorKind::ReassemblyTimeout,
        (TYPE_PARAMETER_PROBLEM, code) => ErrorKind::ParameterProblem { code, pointer: word },
        _ => return None,
    })
}

fn encode_v6(error: ErrorKind) -> (u8, u8, u32) {
    use icmpv6::*;
    use unreachable_v6::*;
    match error {
        ErrorKind::NetUnreachable => (TYPE_DST_UNREACH, NO_ROUTE, 0),
        ErrorKind::HostUnreachable => (TYPE_DST_UNREACH, ADDRESS, 0),
        // The pointer of a packet without extension headers: the next-header field of the IPv6 header.
        ErrorKind::ProtocolUnreachable => (TYPE_PARAMETER_PROBLEM, UNRECOGNIZED_NEXT_HEADER, 6),
        ErrorKind::PortUnreachable => (TYPE_DST_UNREACH, PORT, 0),
        ErrorKind::PacketTooBig { mtu } => (TYPE_PACKET_TOO_BIG, 0, mtu),
        ErrorKind::Prohibited => (TYPE_DST_UNREACH, PROHIBITED, 0),
        ErrorKind::HopLimitExceeded => (TYPE_TIME_EXCEEDED, 0, 0),
        ErrorKind::ReassemblyTimeout => (TYPE_TIME_EXCEEDED, 1, 0),
        ErrorKind::ParameterProblem { code, pointer } => (TYPE_PARAMETER_PROBLEM, code, pointer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ip::{Fragment, IpHeader};
    use proptest::prelude::*;

    const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
    const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);

    fn messages() -> impl Strategy<Value = Message> {
        prop_oneof![
            any::<(u16, u16)>().prop_map(|(id, seq)| Message::EchoRequest { id, seq }),
            any::<(u16, u16)>().prop_map(|(id, seq)| Message::EchoReply { id, seq }),
            any::<u16>().prop_map(|mtu| Message::Error(ErrorKind::PacketTooBig { mtu: u32::from(mtu) })),
            any::<(u8, u8)>().prop_map(|(code, at)| {
                Message::Error(ErrorKind::ParameterProblem { code, pointer: u32::from(at) })
            }),
            prop::sample::select(&[
                ErrorKind::NetUnreachable,
                ErrorKind::HostUnreachable,
                ErrorKind::PortUnreachable,
                ErrorKind::Prohibited,
                ErrorKind::HopLimitExceeded,
                ErrorKind::ReassemblyTimeout,
            ])
            .prop_map(Message::Error),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_parses_back(message in messages()) {
            for addr in [V4, V6] {
                prop_assert_eq!(Message::parse(addr, &message.encode(addr)), Some(message));
            }
        }

        /// Hostile case P1: any bytes, no panic.
        #[test]
        fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            for addr in [V4, V6] {
                prop_assert_eq!(Message::parse(addr, &bytes).is_some(), bytes.len() >= HEADER);
            }
            let _ = Quoted::parse(&bytes);
        }
    }

    /// RFC 4443 §3.4: ICMPv6 has no "protocol unreachable" but says so by a parameter problem.
    #[test]
    fn an_unknown_protocol_is_told_in_each_versions_way() {
        let error = Message::Error(ErrorKind::ProtocolUnreachable);
        assert_eq!(error.encode(V4), [3, 2, 0, 0, 0, 0, 0, 0]);
        assert_eq!(error.encode(V6), [4, 1, 0, 0, 0, 0, 0, 6]);
    }

    #[test]
    fn a_quoted_segment_tells_flow_and_sequence_number() {
        let header = IpHeader {
            src: IpAddr::from([10, 0, 0, 2]),
            dst: IpAddr::from([10, 0, 0, 1]),
            protocol: protocol::TCP,
            hop_limit: 64,
            traffic_class: 0,
        };
        // The quote ends after eight bytes, while the header still tells the segment's full length.
        let mut quote = header.encode(1_000, None).to_vec();
        quote.extend_from_slice(&[0, 80, 0x12, 0x34, 1, 2, 3, 4]);
        let error =
            Quoted::parse(&quote).and_then(|q| q.transport_error(ErrorKind::HostUnreachable)).unwrap();
        assert_eq!((error.local, error.remote.port), (Endpoint::new(header.src, 80), 0x1234));
        assert_eq!(error.seq, SeqNum(0x0102_0304));
        assert_eq!(Quoted::parse(&quote[..27]), None, "seven bytes are too few");
        let part = |offset| Fragment { id: 1, offset, more: true };
        let fragment = |offset| [&header.encode(8, Some(part(offset)))[..], &quote[20..]].concat();
        assert!(Quoted::parse(&fragment(0)).is_some());
        assert_eq!(Quoted::parse(&fragment(8)), None, "no header in a later fragment");
    }
}
