//! Every parser of `wire` and the offload of `device` on arbitrary bytes. What a parser accepts must lie within its input, and what
//! can be written back must read back the same.

use std::net::IpAddr;

use tidegate::base::buffer::Buffer;
use tidegate::device::segment::to_wire;
use tidegate::device::vnet::{LEN, VnetHeader};
use tidegate::wire::icmp::{Message, Quoted};
use tidegate::wire::ip::{Fragment, IpPacket};
use tidegate::wire::packet::{Offload, Packet};
use tidegate::wire::tcp::{Options, TcpHeader};
use tidegate::wire::udp::UdpHeader;

/// The first byte chooses the parser, the rest is its input.
pub fn run(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else { return };
    match choice % 8 {
        0 => ip(rest),
        1 => tcp(rest),
        2 => options(rest),
        3 => udp(rest),
        4 => icmp(rest),
        5 => drop(Quoted::parse(rest)),
        6 => vnet(rest),
        _ => split(rest),
    }
}

fn ip(bytes: &[u8]) {
    if let Ok(packet) = IpPacket::parse(bytes) {
        assert!(packet.payload.start <= packet.payload.end && packet.payload.end <= bytes.len());
        assert!(packet.options.end <= packet.payload.start || packet.options.is_empty());
    }
    IpPacket::parse_quoted(bytes);
    Fragment::parse_v6(bytes);
}

fn tcp(bytes: &[u8]) {
    let Some((header, len)) = TcpHeader::parse(bytes) else { return };
    assert!((20..=60).contains(&len) && len <= bytes.len());
    let written = header.to_bytes();
    let (again, _) = TcpHeader::parse(&written).expect("what was written can be read");
    assert_eq!(
        (again.seq, again.ack, again.flags, again.window),
        (header.seq, header.ack, header.flags, header.window)
    );
}

fn options(bytes: &[u8]) {
    let options = Options::parse(bytes);
    assert!(options.sack.len() <= 4);
    // All of them at once do not fit into a header; SACK blocks give way, and nothing else.
    let mut written = [0; 40];
    let len = options.write(&mut written);
    assert_eq!(len % 4, 0);
    let again = Options::parse(&written[..len]);
    assert_eq!(
        (again.mss, again.window_scale, again.sack_permitted, again.timestamps),
        (options.mss, options.window_scale, options.sack_permitted, options.timestamps)
    );
    assert!(options.sack.starts_with(&again.sack));
}

fn udp(bytes: &[u8]) {
    if let Some(header) = UdpHeader::parse(bytes) {
        assert_eq!(header.to_bytes(), bytes[..8]);
    }
}

fn icmp(bytes: &[u8]) {
    for addr in [IpAddr::from([10, 0, 0, 1]), IpAddr::from([0xfd77, 0, 0, 0, 0, 0, 0, 1])] {
        if let Some(message) = Message::parse(addr, bytes) {
            message.encode(addr);
        }
    }
}

fn vnet(bytes: &[u8]) {
    let Some((header, packet)) = bytes.split_first_chunk::<LEN>() else { return };
    let Some(offload) = VnetHeader::parse(header).offload(packet) else { return };
    pieces(packet, offload);
}

/// A super-segment whose offload is not checked by the device's own reader.
fn split(bytes: &[u8]) {
    let &[kind, a, b, c, d, ref packet @ ..] = bytes else { return };
    let (start, second) = (u16::from_be_bytes([a, b]) % 128, u16::from_be_bytes([c, d]));
    pieces(
        packet,
        match kind % 4 {
            0 => Offload::None,
            1 => Offload::Checksum { start, offset: second },
            2 => Offload::Tcp { mss: second, start },
            _ => Offload::Udp { size: second, start },
        },
    );
}

fn pieces(packet: &[u8], offload: Offload) {
    if packet.len() > 65_535 {
        return;
    }
    let pieces = to_wire(Packet { buffer: Buffer::copy_of(packet), offload });
    assert!(!pieces.is_empty() && pieces.iter().all(|piece| piece.offload == Offload::None));
}
