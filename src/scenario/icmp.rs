//! ICMP messages into the stack, and the names of types and codes in both IP versions (RFC 792, RFC 4443).

use super::encode;
use super::inject;
use super::record::{Ends, Record};
use super::script::{Echoed, IcmpSpec, IpNotes};
use super::verdict::Stop;
use crate::wire::icmp::CHECKSUM_OFFSET;
use crate::wire::ip::{Endpoint, IpHeader, protocol};
use crate::wire::packet::Packet;

/// Types of version 4.
const TYPES_V4: [(&str, u8); 13] = [
    ("echo_reply", 0),
    ("unreachable", 3),
    ("source_quench", 4),
    ("redirect", 5),
    ("echo_request", 8),
    ("time_exceeded", 11),
    ("parameter_problem", 12),
    ("timestamp_request", 13),
    ("timestamp_reply", 14),
    ("information_request", 15),
    ("information_reply", 16),
    ("address_mask_request", 17),
    ("address_mask_reply", 18),
];

/// Codes of version 4's "unreachable", from 0 on.
const UNREACHABLE_V4: [&str; 16] = [
    "net_unreachable",
    "host_unreachable",
    "protocol_unreachable",
    "port_unreachable",
    "frag_needed",
    "source_route_failed",
    "net_unknown",
    "host_unknown",
    "source_host_isolated",
    "net_prohibited",
    "host_prohibited",
    "net_unreachable_for_tos",
    "host_unreachable_for_tos",
    "packet_filtered",
    "precedence_violation",
    "precedence_cutoff",
];

/// Types of version 6.
const TYPES_V6: [(&str, u8); 6] = [
    ("unreachable", 1),
    ("packet_too_big", 2),
    ("time_exceeded", 3),
    ("parameter_problem", 4),
    ("echo_request", 128),
    ("echo_reply", 129),
];

/// Codes of version 6's "unreachable", from 0 on.
const UNREACHABLE_V6: [&str; 5] =
    ["no_route", "admin_prohibited", "not_neighbour", "address_unreachable", "port_unreachable"];

/// Type and code as numbers.
pub(super) fn numbers(spec: &IcmpSpec, v4: bool) -> Result<(u8, u8), Stop> {
    let version = if v4 { 4 } else { 6 };
    let types = if v4 { &TYPES_V4[..] } else { &TYPES_V6[..] };
    let named = types.iter().find(|(name, _)| *name == spec.kind).map(|&(_, number)| number);
    let kind = named
        .or_else(|| numbered(&spec.kind, "type_"))
        .ok_or_else(|| Stop::skip(format!("`{}` is no type of ICMP for IPv{version}", spec.kind)))?;
    let Some(name) = &spec.code else { return Ok((kind, 0)) };
    let codes: &[&str] = match (v4, kind) {
        (true, 3) => &UNREACHABLE_V4,
        (false, 1) => &UNREACHABLE_V6,
        _ => &[],
    };
    let named = codes.iter().position(|code| code == name).map(|code| code as u8);
    let code = named
        .or_else(|| numbered(name, "code_"))
        .ok_or_else(|| Stop::skip(format!("`{name}` is no code of `{}` in IPv{version}", spec.kind)))?;
    Ok((kind, code))
}

/// The names of a type and code, as a script writes them.
pub(super) fn names(kind: u8, code: u8, v4: bool) -> (String, Option<String>) {
    let types = if v4 { &TYPES_V4[..] } else { &TYPES_V6[..] };
    let name = types.iter().find(|(_, number)| *number == kind).map(|(name, _)| (*name).to_owned());
    let codes: &[&str] = match (v4, kind) {
        (true, 3) => &UNREACHABLE_V4,
        (false, 1) => &UNREACHABLE_V6,
        _ => &[],
    };
    let code_name = codes.get(usize::from(code)).map(|name| (*name).to_owned());
    let code_name = code_name.or_else(|| (code != 0).then(|| format!("code_{code}")));
    (name.unwrap_or_else(|| format!("type_{kind}")), code_name)
}

fn numbered(name: &str, prefix: &str) -> Option<u8> {
    name.strip_prefix(prefix)?.parse().ok()
}

/// The identifier and sequence number of echoes, or the MTU, stand in the second word.
fn second_word(spec: &IcmpSpec, v4: bool, kind: u8, code: u8) -> Result<u32, Stop> {
    let too_big = if v4 { (kind, code) == (3, 4) } else { kind == 2 };
    if too_big && spec.mtu.is_none() {
        return Err(Stop::fail(format!("`{}` needs an mtu", spec.code.as_deref().unwrap_or(&spec.kind))));
    }
    Ok(spec.mtu.unwrap_or(0) | u32::from(spec.id.unwrap_or(0)) << 16)
}

/// The message that a router, or the remote host, sends. An error quotes a packet of the connection under test.
pub(super) fn message(
    spec: &IcmpSpec,
    notes: &IpNotes,
    record: Option<&Record>,
    ends: Ends,
) -> Result<Packet, Stop> {
    let v4 = ends.local.is_ipv4();
    let (kind, code) = numbers(spec, v4)?;
    let mut bytes = vec![kind, code, 0, 0];
    bytes.extend(second_word(spec, v4, kind, code)?.to_be_bytes());
    let echo = if v4 { matches!(kind, 0 | 8) } else { matches!(kind, 128 | 129) };
    if !echo {
        bytes.extend(quote(spec.echoed, record, ends));
    }
    let number = if v4 { protocol::ICMP } else { protocol::ICMPV6 };
    inject::finish(ends, number, notes, bytes, CHECKSUM_OFFSET)
}

/// IP header and the first eight bytes of a packet of ours, as RFC 792 has it quoted.
fn quote(echoed: Option<Echoed>, record: Option<&Record>, ends: Ends) -> Vec<u8> {
    let local = record.map_or(Endpoint::new(ends.local, ends.bind_port), |record| record.local);
    let remote = record.map_or(Endpoint::new(ends.remote, ends.connect_port), |record| record.remote);
    let number = match echoed {
        Some(Echoed::Tcp(_)) => protocol::TCP,
        Some(Echoed::Udp(_)) => protocol::UDP,
        None => record.map_or(protocol::TCP, |record| record.protocol),
    };
    let mut upper = [local.port.to_be_bytes(), remote.port.to_be_bytes()].concat();
    let len = if number == protocol::UDP {
        let len = 8 + if let Some(Echoed::Udp(len)) = echoed { len } else { 0 };
        upper.extend((len as u16).to_be_bytes());
        upper.extend([0, 0]);
        len
    } else {
        let (first, len) =
            if let Some(Echoed::Tcp(range)) = echoed { (range.first, range.len) } else { (0, 0) };
        let seq = record.map_or(first, |record| record.numbers.local_to_real(first, false));
        upper.extend(seq.to_be_bytes());
        len + 20
    };
    let header = IpHeader {
        src: local.addr,
        dst: remote.addr,
        protocol: number,
        hop_limit: 64,
        traffic_class: encode::ecn_bits(super::script::EcnNote::NotEct),
    };
    let mut bytes = header.encode(len as usize, None).to_vec();
    bytes.extend(upper);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(kind: &str, code: Option<&str>) -> IcmpSpec {
        IcmpSpec { kind: kind.to_owned(), code: code.map(str::to_owned), mtu: None, id: None, echoed: None }
    }

    /// Names mean the numbers of their IP version, and come back as they were.
    #[test]
    fn names_are_numbers_of_their_version() {
        for (kind, code, v4, expected) in [
            ("unreachable", Some("frag_needed"), true, (3, 4)),
            ("unreachable", Some("precedence_cutoff"), true, (3, 15)),
            ("unreachable", Some("port_unreachable"), false, (1, 4)),
            ("packet_too_big", None, false, (2, 0)),
            ("type_42", Some("code_7"), true, (42, 7)),
            ("address_mask_reply", None, true, (18, 0)),
        ] {
            let numbers = numbers(&spec(kind, code), v4).unwrap();
            assert_eq!(numbers, expected);
            assert_eq!(names(numbers.0, numbers.1, v4), (kind.to_owned(), code.map(str::to_owned)));
        }
        assert!(matches!(numbers(&spec("packet_too_big", None), true), Err(Stop::Skip(_))));
        assert!(matches!(numbers(&spec("unreachable", Some("nonsense")), true), Err(Stop::Skip(_))));
    }
}
