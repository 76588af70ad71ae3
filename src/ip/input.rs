//! The input side of IP, as named steps that each return early with their reason: form, TTL, addresses, options (RFC 791,
//! RFC 1122 §3.2.1) or extension headers (RFC 8200 §4, RFC 5095, RFC 7112), what the device left undone, reassembly.
//!
//! Some refusals may be answered by an ICMP error. It is only named here; `icmp` decides whether it is sent.

use std::ops::Range;

use super::addresses::Destination;
use super::reassembly::Outcome;
use super::{Datagram, Ip};
use crate::base::buffer::Buffer;
use crate::base::counters::{Counters, DropReason};
use crate::base::time::Instant;
use crate::wire::icmp::ErrorKind;
use crate::wire::ip::{FRAGMENT_HEADER, Fragment, IpHeader, IpPacket, protocol};
use crate::wire::packet::{Offload, Packet};
use crate::wire::{tcp, udp};

/// Extension headers of one packet (hostile case P10).
pub const MAX_EXTENSIONS: usize = 8;
/// Bytes that every upper layer's header has at least.
const MIN_UPPER: usize = 8;

/// What a packet came to.
#[derive(Debug)]
pub enum Input {
    /// A whole datagram for an upper layer.
    Datagram(Datagram),
    /// Dropped; an ICMP error may tell the sender.
    Refused(Datagram, ErrorKind),
    /// Dropped, or a fragment held until the others come.
    Nothing,
}

/// Why a packet goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refusal {
    reason: DropReason,
    answer: Option<ErrorKind>,
}

impl From<DropReason> for Refusal {
    fn from(reason: DropReason) -> Self {
        Refusal { reason, answer: None }
    }
}

/// A refusal that points at the byte that caused it (RFC 4443 §3.4).
fn problem(reason: DropReason, code: u8, pointer: usize) -> Refusal {
    Refusal { reason, answer: Some(ErrorKind::ParameterProblem { code, pointer: pointer as u32 }) }
}

/// Codes of ICMPv6's parameter problem (RFC 4443 §3.4, RFC 7112 §6).
mod code {
    pub(super) const FIELD: u8 = 0;
    pub(super) const NEXT_HEADER: u8 = 1;
    pub(super) const OPTION: u8 = 2;
    pub(super) const INCOMPLETE_CHAIN: u8 = 3;
}

impl Ip {
    /// Takes a packet from the device.
    pub fn receive(&mut self, packet: Packet, counters: &mut Counters, now: Instant) -> Input {
        counters.ip_in += 1;
        let mut parsed = match IpPacket::parse(packet.bytes()) {
            Ok(parsed) => parsed,
            Err(reason) => {
                counters.drop(reason);
                return Input::Nothing;
            }
        };
        let steps = self
            .check_addresses(&parsed)
            .and_then(|()| check_hop_limit(&parsed))
            .and_then(|()| check_options(packet.bytes(), &parsed))
            .and_then(|()| walk_extensions(packet.bytes(), &mut parsed))
            .and_then(|()| check_upper(&parsed))
            .and_then(|()| check_group(self.addresses.classify(parsed.header.dst), &parsed))
            .and_then(|()| check_offload(&packet, &parsed));
        match (steps, parsed.fragment) {
            (Err(refusal), _) => refuse(packet, parsed, refusal, counters),
            (Ok(()), None) => {
                let IpPacket { header, payload, .. } = parsed;
                Input::Datagram(Datagram { header, packet, payload })
            }
            (Ok(()), Some(fragment)) => self.reassemble(packet, parsed, fragment, counters, now),
        }
    }

    /// Hostile case P6: martians are dropped in silence, whatever else is wrong with them.
    fn check_addresses(&self, parsed: &IpPacket) -> Result<(), Refusal> {
        let header = &parsed.header;
        // Our own address as the source: a loop or a lie (LAND, hostile case P5).
        if self.addresses.is_martian(header.src) || self.addresses.is_local(header.src) {
            return Err(DropReason::IpMartian.into());
        }
        match self.addresses.classify(header.dst) {
            Destination::Foreign => Err(DropReason::IpNotForUs.into()),
            Destination::Local | Destination::Group => Ok(()),
        }
    }

    /// The last step: a fragment is held until it completes its datagram.
    fn reassemble(
        &mut self,
        packet: Packet,
        parsed: IpPacket,
        part: Fragment,
        counters: &mut Counters,
        now: Instant,
    ) -> Input {
        let IpPacket { header, payload, .. } = parsed;
        match self.reassembly.insert(&header, part, packet.bytes(), payload, counters, now) {
            Outcome::Complete(header, buffer) => whole(header, buffer, counters),
            Outcome::Held => Input::Nothing,
            Outcome::Dropped(reason) => {
                counters.drop(reason);
                Input::Nothing
            }
        }
    }
}

/// The datagram that fragments made. Behind a fragment header more extension headers may stand; what is wrong there is not
/// answered, since there is no packet any more to point into.
fn whole(header: IpHeader, buffer: Buffer, counters: &mut Counters) -> Input {
    let mut parsed = IpPacket { header, options: 0..0, payload: 0..buffer.written().len(), fragment: None };
    if let Err(refusal) = walk_rest(buffer.written(), &mut parsed) {
        counters.drop(refusal.reason);
        return Input::Nothing;
    }
    let mut packet = Packet { buffer, offload: Offload::None };
    if parsed.payload.start > 0 {
        packet = Packet::from_slice(packet.bytes().get(parsed.payload).unwrap_or_default());
    }
    let payload = 0..packet.bytes().len();
    Input::Datagram(Datagram { header: parsed.header, packet, payload })
}

fn refuse(packet: Packet, parsed: IpPacket, refusal: Refusal, counters: &mut Counters) -> Input {
    counters.drop(refusal.reason);
    // RFC 1122 §3.2.2, RFC 4443 §2.4: never an error about a fragment other than the first.
    match refusal.answer {
        Some(kind) if parsed.fragment.is_none_or(|part| part.offset == 0) => {
            let IpPacket { header, payload, .. } = parsed;
            Input::Refused(Datagram { header, packet, payload }, kind)
        }
        _ => Input::Nothing,
    }
}

fn check_hop_limit(parsed: &IpPacket) -> Result<(), Refusal> {
    // A host takes what arrives, whatever is left of the hop limit; zero cannot arrive.
    if parsed.header.hop_limit == 0 { Err(DropReason::IpTtl.into()) } else { Ok(()) }
}

/// IPv4 options (hostile case P2): a list whose lengths do not add up and source routes (RFC 7126 §4.3) are dropped, everything
/// else is ignored and copied nowhere.
fn check_options(bytes: &[u8], parsed: &IpPacket) -> Result<(), Refusal> {
    const END: u8 = 0;
    const NOP: u8 = 1;
    const LOOSE_SOURCE_ROUTE: u8 = 131;
    const STRICT_SOURCE_ROUTE: u8 = 137;
    let mut options = bytes.get(parsed.options.clone()).unwrap_or_default();
    loop {
        options = match *options {
            [] | [END, ..] => return Ok(()),
            [NOP, ref rest @ ..] => rest,
            [LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE, ..] => return Err(DropReason::IpOptions.into()),
            [_, len, ..] if len >= 2 => options.get(usize::from(len)..).ok_or(DropReason::IpOptions)?,
            _ => return Err(DropReason::IpOptions.into()),
        };
    }
}

/// Walks IPv6's extension headers up to the upper layer or to a fragment header (hostile case P10). Afterwards `payload` begins
/// behind them and `header.protocol` says what follows.
fn walk_extensions(bytes: &[u8], parsed: &mut IpPacket) -> Result<(), Refusal> {
    if parsed.header.dst.is_ipv4() {
        return Ok(());
    }
    walk(bytes, parsed, true)?;
    let Some(part) = parsed.fragment else { return Ok(()) };
    if part.more && !parsed.payload.len().is_multiple_of(8) {
        return Err(problem(DropReason::FragmentInvalid, code::FIELD, 4));
    }
    if usize::from(part.offset) + parsed.payload.len() > usize::from(u16::MAX) {
        // RFC 8200 §4.5: this fragment goes, not what is held of the datagram. It cannot be the first, so nobody is told.
        return Err(DropReason::FragmentInvalid.into());
    }
    if part.is_atomic() {
        // RFC 6946: a whole datagram, whatever else is under construction with this identification.
        parsed.fragment = None;
        return walk(bytes, parsed, false);
    }
    if part.offset == 0 {
        // RFC 7112 §5: the first fragment holds all headers.
        let mut ahead = parsed.clone();
        walk_rest(bytes, &mut ahead)?;
        if ahead.header.protocol != protocol::NO_NEXT_HEADER && ahead.payload.len() < MIN_UPPER {
            return Err(problem(DropReason::IpExtension, code::INCOMPLETE_CHAIN, 0));
        }
    }
    Ok(())
}

/// Walks on behind a fragment header.
fn walk_rest(bytes: &[u8], parsed: &mut IpPacket) -> Result<(), Refusal> {
    if parsed.header.dst.is_ipv4() { Ok(()) } else { walk(bytes, parsed, false) }
}

/// One pass of the walk: up to an upper layer, or into `parsed.fragment` where `may_fragment`.
fn walk(bytes: &[u8], parsed: &mut IpPacket, may_fragment: bool) -> Result<(), Refusal> {
    // Where the number of the header at `payload.start` stands: first in the IPv6 header.
    let mut number_at = if may_fragment { 6 } else { parsed.payload.start.saturating_sub(FRAGMENT_HEADER) };
    for step in 0..=MAX_EXTENSIONS {
        let rest = bytes.get(parsed.payload.clone()).unwrap_or_default();
        let at = parsed.payload.start;
        let (next, len) = match parsed.header.protocol {
            // RFC 8200 §4.1: hop-by-hop options stand directly behind the IPv6 header or nowhere.
            protocol::HOP_BY_HOP if step > 0 || !may_fragment => {
                return Err(problem(DropReason::IpExtension, code::NEXT_HEADER, number_at));
            }
            protocol::HOP_BY_HOP | protocol::DESTINATION_OPTIONS => options_header(rest, at)?,
            protocol::ROUTING => routing_header(rest, at)?,
            protocol::FRAGMENT if may_fragment => {
                let (part, next) = Fragment::parse_v6(rest).ok_or(DropReason::IpExtension)?;
                parsed.fragment = Some(part);
                parsed.header.protocol = next;
                parsed.payload.start += FRAGMENT_HEADER;
                return Ok(());
            }
            // A fragment header behind a fragment header is nobody's honest work.
            protocol::FRAGMENT => return Err(DropReason::IpExtension.into()),
            protocol::TCP | protocol::UDP | protocol::ICMPV6 => return Ok(()),
            protocol::NO_NEXT_HEADER => return Err(DropReason::IpProtocol.into()),
            // RFC 8200 §4: the chain ends at what this stack does not know.
            _ => return Err(problem(DropReason::IpProtocol, code::NEXT_HEADER, number_at)),
        };
        number_at = at;
        parsed.header.protocol = next;
        parsed.payload.start += len;
    }
    Err(DropReason::IpExtension.into())
}

/// The next header and length of an extension header in its usual form (RFC 8200 §4.2), and its body.
fn extension(rest: &[u8]) -> Result<(u8, &[u8]), Refusal> {
    let &[next, units, ..] = rest else { return Err(DropReason::IpExtension.into()) };
    let bytes = rest.get(..8 + 8 * usize::from(units)).ok_or(DropReason::IpExtension)?;
    Ok((next, bytes))
}

/// Hop-by-hop and destination options. Known ones are ignored, too; unknown ones say themselves what is to be done about them
/// (RFC 8200 §4.2).
fn options_header(rest: &[u8], at: usize) -> Result<(u8, usize), Refusal> {
    const PAD1: u8 = 0;
    let (next, bytes) = extension(rest)?;
    let mut offset = 2;
    while let Some(&kind) = bytes.get(offset) {
        if kind == PAD1 {
            offset += 1;
            continue;
        }
        let len = *bytes.get(offset + 1).ok_or(DropReason::IpExtension)?;
        match kind >> 6 {
            0b00 => {}
            0b01 => return Err(DropReason::IpExtension.into()),
            // 11 asks for silence towards groups; so does this stack with every error.
            _ => return Err(problem(DropReason::IpExtension, code::OPTION, at + offset)),
        }
        offset += 2 + usize::from(len);
    }
    if offset > bytes.len() { Err(DropReason::IpExtension.into()) } else { Ok((next, bytes.len())) }
}

/// A routing header that has done its work is skipped; type 0 (RFC 5095) and one with segments left are refused, since this
/// stack is a host.
fn routing_header(rest: &[u8], at: usize) -> Result<(u8, usize), Refusal> {
    let (next, bytes) = extension(rest)?;
    match *bytes {
        [_, _, kind, left, ..] if kind == 0 || left > 0 => {
            Err(problem(DropReason::IpExtension, code::FIELD, at + 2))
        }
        _ => Ok((next, bytes.len())),
    }
}

/// Is there an upper layer for it? (IPv6's walk has refused the others already.)
fn check_upper(parsed: &IpPacket) -> Result<(), Refusal> {
    let header = &parsed.header;
    match header.protocol {
        protocol::TCP | protocol::UDP | protocol::ICMP => Ok(()),
        // Later fragments name what the first one begins with, which may be an extension header.
        _ if header.dst.is_ipv6() => Ok(()),
        _ => Err(Refusal { reason: DropReason::IpProtocol, answer: Some(ErrorKind::ProtocolUnreachable) }),
    }
}

/// RFC 9293 MUST-57, RFC 1122 §4.2.3.10; hostile case P6: TCP with a group is dropped in silence.
fn check_group(destination: Destination, parsed: &IpPacket) -> Result<(), Refusal> {
    if destination == Destination::Group && parsed.header.protocol == protocol::TCP {
        return Err(DropReason::IpMartian.into());
    }
    Ok(())
}

/// Hostile case P14: the virtio-net header must agree with the packet that it describes.
fn check_offload(packet: &Packet, parsed: &IpPacket) -> Result<(), Refusal> {
    let Range { start, end } = parsed.payload;
    let is_upper = |at: u16, header: usize| usize::from(at) == start && start + header <= end;
    let valid = match (packet.offload, parsed.header.protocol) {
        (Offload::None, _) => true,
        _ if parsed.fragment.is_some() => false,
        (Offload::Checksum { start, offset }, protocol::TCP) => {
            is_upper(start, tcp::MIN_HEADER) && usize::from(offset) == tcp::CHECKSUM_OFFSET
        }
        (Offload::Checksum { start, offset }, protocol::UDP) => {
            is_upper(start, udp::HEADER) && usize::from(offset) == udp::CHECKSUM_OFFSET
        }
        // ICMP comes fully summed.
        (Offload::Checksum { .. }, _) => false,
        (Offload::Tcp { mss, start }, protocol::TCP) => mss > 0 && is_upper(start, tcp::MIN_HEADER),
        (Offload::Udp { size, start }, protocol::UDP) => size > 0 && is_upper(start, udp::HEADER),
        (Offload::Tcp { .. } | Offload::Udp { .. }, _) => false,
    };
    if valid { Ok(()) } else { Err(DropReason::OffloadInvalid.into()) }
}

#[cfg(test)]
#[path = "input_tests.rs"]
mod tests;
