//! Packets into the stack: TCP segments and UDP datagrams with the script's numbers mapped to the wire's, and valid checksums.

use super::encode;
use super::numbers::Numbers;
use super::record::{Ends, Record};
use super::script::{FlagSpec, IpNotes, OptionsSpec, Ports, TcpOptionSpec, TcpSpec};
use super::verdict::Stop;
use crate::base::buffer::{Buffer, LARGE};
use crate::wire::checksum::Sum;
use crate::wire::ip::{header_len, protocol};
use crate::wire::packet::{Offload, Packet};
use crate::wire::tcp::{CHECKSUM_OFFSET, Flags, MAX_HEADER, MIN_HEADER};
use crate::wire::udp;

/// How segments are injected.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    /// Echoed timestamps the script never saw are guessed by their distance.
    pub scaled_echo: bool,
    /// A payload above this stands for segments of this size that were coalesced.
    pub coalesced: Option<u16>,
}

/// A segment as the remote side sends it.
pub(super) fn segment(
    spec: &TcpSpec,
    notes: &IpNotes,
    record: &Record,
    ends: Ends,
    rules: Rules,
) -> Result<Packet, Stop> {
    if spec.flags.ace.is_some() {
        return Err(Stop::skip("accurate ECN (RFC 9768) is not supported"));
    }
    let syn = has(spec.flags, Flags::SYN);
    let seq = record.numbers.remote_to_real(spec.range.first, syn);
    let options = match &spec.options {
        OptionsSpec::Any => {
            return Err(Stop::fail("`<...>` says nothing about a packet that is to be injected"));
        }
        OptionsSpec::List(list) => encode::options(&map_options(list, spec, &record.numbers, rules)?),
    };
    let header_len = MIN_HEADER + options.len();
    if header_len > MAX_HEADER || !header_len.is_multiple_of(4) {
        return Err(Stop::fail(format!("{} bytes of options do not make a TCP header", options.len())));
    }
    let ports = spec.ports.unwrap_or(Ports { src: record.remote.port, dst: record.local.port });
    let mut bytes = Vec::with_capacity(header_len + spec.range.len as usize);
    bytes.extend(ports.src.to_be_bytes());
    bytes.extend(ports.dst.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend(ack_field(spec, &record.numbers, syn).to_be_bytes());
    bytes.extend([(header_len as u8) << 2 | u8::from(spec.flags.ae), spec.flags.bits]);
    bytes.extend(spec.window.unwrap_or(0).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(spec.urgent.unwrap_or(0).to_be_bytes());
    bytes.extend(options);
    let offset = record.numbers.remote_offset(seq, syn);
    bytes.extend(encode::payload(offset.into(), spec.range.len as usize));
    let mut packet = finish(ends, protocol::TCP, notes, bytes, CHECKSUM_OFFSET)?;
    if let Some(mss) = rules.coalesced.filter(|&mss| spec.range.len > u32::from(mss)) {
        packet.offload = Offload::Tcp { mss, start: wire_header_len(ends) };
    }
    Ok(packet)
}

/// A datagram as the remote side sends it.
pub(super) fn datagram(
    ports: Option<Ports>,
    len: u32,
    notes: &IpNotes,
    record: &Record,
    ends: Ends,
) -> Result<Packet, Stop> {
    let ports = ports.unwrap_or(Ports { src: record.remote.port, dst: record.local.port });
    let length =
        u16::try_from(udp::HEADER + len as usize).map_err(|_| Stop::fail("too long for a datagram"))?;
    let header = udp::UdpHeader { src_port: ports.src, dst_port: ports.dst, length, checksum: 0 };
    let mut bytes = header.to_bytes().to_vec();
    bytes.extend(encode::payload(0, len as usize));
    finish(ends, protocol::UDP, notes, bytes, udp::CHECKSUM_OFFSET)
}

/// The acknowledgement number is of the stack's side. Without the ACK flag it means nothing and goes out as written.
fn ack_field(spec: &TcpSpec, numbers: &Numbers, syn: bool) -> u32 {
    match spec.ack {
        Some(ack) if has(spec.flags, Flags::ACK) => numbers.local_to_real(ack, syn),
        other => other.unwrap_or(0),
    }
}

/// SACK edges and echoed timestamps are of the stack's side, too.
fn map_options(
    list: &[TcpOptionSpec],
    spec: &TcpSpec,
    numbers: &Numbers,
    rules: Rules,
) -> Result<Vec<TcpOptionSpec>, Stop> {
    let syn = has(spec.flags, Flags::SYN);
    let edge = |number: u32| numbers.local_to_real(number, syn);
    list.iter()
        .map(|option| match option {
            TcpOptionSpec::Sack(edges) => Ok(TcpOptionSpec::Sack(
                edges.iter().map(|&(left, right)| (edge(left), edge(right))).collect(),
            )),
            &TcpOptionSpec::Timestamps { val, ecr } if has(spec.flags, Flags::ACK) => numbers
                .echoed_timestamp(ecr, rules.scaled_echo)
                .map(|ecr| TcpOptionSpec::Timestamps { val, ecr })
                .ok_or_else(|| {
                    Stop::fail(format!("the stack has sent no timestamp that the script calls {ecr}"))
                        .with(["--tcp_ts_ecr_scaled maps it by its distance from the first".to_owned()])
                }),
            other => Ok(other.clone()),
        })
        .collect()
}

/// Checksum and IP header.
pub(super) fn finish(
    ends: Ends,
    number: u8,
    notes: &IpNotes,
    mut upper: Vec<u8>,
    checksum: usize,
) -> Result<Packet, Stop> {
    let sum = Sum::pseudo_header(ends.remote, ends.local, number, upper.len());
    // ICMP for IPv4 is the one without a pseudo-header.
    let sum = if number == protocol::ICMP { Sum::new() } else { sum };
    let sum = match sum.add(&upper).checksum() {
        // RFC 768: zero would say that there is none.
        0 if number == protocol::UDP => 0xffff,
        sum => sum,
    };
    if let Some(field) = upper.get_mut(checksum..checksum + 2) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
    let most = LARGE.min(usize::from(u16::MAX)) - usize::from(wire_header_len(ends));
    if upper.len() > most {
        return Err(Stop::fail(format!("{} bytes do not fit into an IP packet", upper.len())));
    }
    let bytes = encode::inbound(ends, number, notes, &upper);
    Ok(Packet { buffer: Buffer::copy_of(&bytes), offload: Offload::None })
}

fn wire_header_len(ends: Ends) -> u16 {
    header_len(ends.local) as u16
}

fn has(flags: FlagSpec, bit: Flags) -> bool {
    Flags(flags.bits).has(bit)
}
