//! Packets for the tests of this layer and those above: a host 10.77.0.1 / fd77::1 talks to the stack 10.77.0.2 / fd77::2.

use std::net::IpAddr;

use super::input::Input;
use super::{Datagram, Ip};
use crate::base::counters::Counters;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::device::Capabilities;
use crate::wire::checksum::Sum;
use crate::wire::icmp::Message;
use crate::wire::ip::{Fragment, IpHeader, protocol};
use crate::wire::packet::{Frame, Packet};
use crate::wire::tcp::TcpHeader;
use crate::wire::udp::UdpHeader;

/// An address from its text.
pub(crate) fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The addresses of the host and the stack, in this order.
pub(crate) fn ends(v6: bool) -> (IpAddr, IpAddr) {
    if v6 { (addr("fd77::1"), addr("fd77::2")) } else { (addr("10.77.0.1"), addr("10.77.0.2")) }
}

/// The stack's network layer.
pub(crate) fn layer(capabilities: Capabilities) -> Ip {
    let addrs = [(addr("10.77.0.2"), 24), (addr("fd77::2"), 64), (addr("10.78.0.2"), 24)];
    Ip::new(&addrs, capabilities, &mut Rng::from_u64(1)).unwrap()
}

/// The header of a packet from the host to the stack.
pub(crate) fn header(v6: bool, protocol: u8) -> IpHeader {
    let (src, dst) = ends(v6);
    IpHeader { src, dst, protocol, hop_limit: 64, traffic_class: 0 }
}

/// An IP packet.
pub(crate) fn packet(header: &IpHeader, payload: &[u8]) -> Vec<u8> {
    [&header.encode(payload.len(), None)[..], payload].concat()
}

/// The fragments of a datagram, `step` payload bytes each.
pub(crate) fn fragments(header: &IpHeader, id: u32, payload: &[u8], step: usize) -> Vec<Vec<u8>> {
    let parts = payload.chunks(step).enumerate().map(|(i, chunk)| {
        let offset = (i * step) as u16;
        let more = i * step + chunk.len() < payload.len();
        [&header.encode(chunk.len(), Some(Fragment { id, offset, more }))[..], chunk].concat()
    });
    parts.collect()
}

/// A UDP datagram with its checksum, without the IP header.
pub(crate) fn udp(header: &IpHeader, src_port: u16, dst_port: u16, payload: &[u8]) -> Vec<u8> {
    let length = 8 + payload.len();
    let udp = UdpHeader { src_port, dst_port, length: length as u16, checksum: 0 };
    let sum = Sum::pseudo_header(header.src, header.dst, protocol::UDP, length);
    let checksum = sum.add(&udp.to_bytes()).add(payload).checksum();
    [&UdpHeader { checksum, ..udp }.to_bytes()[..], payload].concat()
}

/// A TCP segment with its checksum, without the IP header.
pub(crate) fn tcp(header: &IpHeader, tcp: &TcpHeader, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [&tcp.to_bytes()[..], payload].concat();
    fill_tcp_checksum(header, &mut bytes);
    bytes
}

/// Puts the checksum of a TCP segment into its place.
pub(crate) fn fill_tcp_checksum(header: &IpHeader, bytes: &mut [u8]) {
    bytes[16..18].fill(0);
    let sum = Sum::pseudo_header(header.src, header.dst, protocol::TCP, bytes.len()).add(bytes);
    bytes[16..18].copy_from_slice(&sum.checksum().to_be_bytes());
}

/// An ICMP message with its checksum, without the IP header.
pub(crate) fn icmp(header: &IpHeader, message: &Message, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [&message.encode(header.dst)[..], payload].concat();
    fill_icmp_checksum(header, &mut bytes);
    bytes
}

/// Puts the checksum of an ICMP message into its place.
pub(crate) fn fill_icmp_checksum(header: &IpHeader, bytes: &mut [u8]) {
    bytes[2..4].fill(0);
    let sum = match header.dst {
        IpAddr::V4(_) => Sum::new(),
        IpAddr::V6(_) => Sum::pseudo_header(header.src, header.dst, protocol::ICMPV6, bytes.len()),
    };
    let checksum = sum.add(bytes).checksum();
    bytes[2..4].copy_from_slice(&checksum.to_be_bytes());
}

/// Receives bytes; the datagram, if they completed one.
pub(crate) fn receive(ip: &mut Ip, bytes: &[u8], counters: &mut Counters) -> Option<Datagram> {
    match ip.receive(Packet::from_slice(bytes), counters, Instant::ZERO) {
        Input::Datagram(datagram) => Some(datagram),
        Input::Refused(..) | Input::Nothing => None,
    }
}

/// Everything that waits for the device, put together by a second stack that has the host's addresses.
pub(crate) fn transmitted(ip: &mut Ip) -> Vec<Datagram> {
    let addrs = [(addr("10.77.0.1"), 24), (addr("fd77::1"), 64)];
    let mut host = Ip::new(&addrs, Capabilities::plain(65_535), &mut Rng::from_u64(2)).unwrap();
    let mut counters = Counters::default();
    let frames: Vec<Frame> = std::iter::from_fn(|| ip.poll_transmit()).collect();
    let datagrams: Vec<_> = frames
        .iter()
        .filter_map(|frame| match host.receive(frame.to_packet(), &mut counters, Instant::ZERO) {
            Input::Datagram(datagram) => Some(datagram),
            _ => None,
        })
        .collect();
    assert_eq!(counters.drops().collect::<Vec<_>>(), [], "the other end took all of it");
    datagrams
}
