//! The other end of the wire: it follows what the stack sends, checks it, and makes segments whose numbers are near the live ones.

use std::net::{IpAddr, SocketAddr};

use arbitrary::{Result, Unstructured};
use tidegate::device::segment::to_wire;
use tidegate::wire::checksum::Sum;
use tidegate::wire::ip::{Fragment, IpHeader, IpPacket, protocol};
use tidegate::wire::packet::Frame;
use tidegate::wire::seq::SeqNum;
use tidegate::wire::tcp::{CHECKSUM_OFFSET, Flags, TcpHeader};

use super::{LOCAL, Lines, PORT, REMOTE, own_byte, peer_byte};

/// The peer's ports; a SYN, and whatever the stack opens, go to one of them.
const PORTS: [u16; 4] = [5_000, 5_001, 5_002, 5_003];
/// Four-tuples that are remembered.
const MAX_LINES: usize = 32;

/// What is known of one four-tuple.
#[derive(Default, Clone)]
pub struct Line {
    /// The stack's ISN, from its last SYN, and the highest number behind what it sent.
    iss: SeqNum,
    sent: SeqNum,
    /// Every ISN it sent: one of an earlier SYN cookie still opens a connection.
    isses: Vec<SeqNum>,
    /// What the stack expects next, from its last acknowledgement.
    expected: SeqNum,
    /// What this side offered: what it acknowledged, and its window's right edge; the largest window of a SYN, and the shift.
    offers: Vec<(SeqNum, SeqNum)>,
    syn_window: u32,
    shift: u8,
    /// This side's next timestamp, and the last of the stack's.
    timestamp: u32,
    echo: u32,
    /// Where this side's stream may begin: behind each SYN it sent.
    starts: Vec<u32>,
}

/// The peer.
#[derive(Default)]
pub struct Peer {
    lines: Lines,
}

impl Peer {
    /// Where the stream from `remote` to `local` may begin.
    pub fn starts(&self, local: SocketAddr, remote: SocketAddr) -> &[u32] {
        let key = (remote.port(), local.port(), usize::from(remote.is_ipv6()));
        self.lines.get(&key).map_or(&[], |line| &line.starts)
    }

    /// A packet for the stack, drawn from the fuzzer's bytes.
    pub fn packet(&mut self, input: &mut Unstructured) -> Result<Option<Vec<u8>>> {
        Ok(match input.int_in_range(0..=19)? {
            0 => Some(input.bytes(input.len().min(80))?.to_vec()),
            1 => self.icmp(input)?,
            2 => Some(udp(input)?),
            3 => fragments(self.segment(input)?, input)?,
            4 => {
                let mut bytes = self.segment(input)?;
                let at = input.choose_index(bytes.len())?;
                bytes[at] ^= input.arbitrary::<u8>()?;
                bytes.truncate(bytes.len() - input.int_in_range(0..=at.min(40))?);
                Some(bytes)
            }
            _ => Some(self.segment(input)?),
        })
    }

    fn key(&self, input: &mut Unstructured) -> Result<(u16, u16, usize)> {
        if !self.lines.is_empty() && input.ratio(7, 8)? {
            let index = input.choose_index(self.lines.len())?;
            return Ok(*self.lines.keys().nth(index).expect("index is in range"));
        }
        Ok((*input.choose(&PORTS)?, PORT, input.int_in_range(0..=1)?))
    }

    fn segment(&mut self, input: &mut Unstructured) -> Result<Vec<u8>> {
        let key = self.key(input)?;
        let mut line = self.lines.get(&key).cloned().unwrap_or_default();
        let flags = match input.int_in_range(0..=9)? {
            0 => Flags::SYN,
            1 => Flags::SYN.with(Flags::ACK),
            2 => Flags::FIN.with(Flags::ACK),
            3 => Flags::RST.with(if input.arbitrary()? { Flags::ACK } else { Flags::NONE }),
            4 => Flags(input.arbitrary()?),
            _ => Flags::ACK.with(if input.arbitrary()? { Flags::PSH } else { Flags::NONE }),
        };
        let len = if input.arbitrary()? { input.int_in_range(0..=3_000)? } else { 0 };
        let mut header = TcpHeader {
            src_port: key.0,
            dst_port: key.1,
            seq: line.expected + nearby(input)?,
            ack: line.sent + nearby(input)?,
            flags,
            window: if input.ratio(1, 4)? { input.int_in_range(0..=3)? } else { input.arbitrary()? },
            ..TcpHeader::default()
        };
        self.options(&mut header, &mut line, input)?;
        note(&header, &mut line);
        let payload: Vec<u8> = (0..len)
            .map(|i| peer_byte(header.seq.0.wrapping_add(i + u32::from(flags.has(Flags::SYN)))))
            .collect();
        if self.lines.contains_key(&key) || (flags.has(Flags::SYN) && self.lines.len() < MAX_LINES) {
            self.lines.insert(key, line);
        }
        Ok(in_ip(
            key.2,
            protocol::TCP,
            with_checksum(key.2, protocol::TCP, &header.to_bytes(), &payload, CHECKSUM_OFFSET),
        ))
    }

    fn options(&self, header: &mut TcpHeader, line: &mut Line, input: &mut Unstructured) -> Result<()> {
        use tidegate::wire::tcp::Timestamps;
        if input.ratio(3, 4)? {
            line.timestamp = line.timestamp.wrapping_add(input.int_in_range(0..=3)?);
            let far = if input.ratio(1, 8)? { input.arbitrary()? } else { 0 };
            header.options.timestamps =
                Some(Timestamps { val: line.timestamp.wrapping_add(far), ecr: line.echo });
        }
        if header.flags.has(Flags::SYN) {
            header.options.mss =
                if input.arbitrary()? { Some(input.arbitrary::<u16>()? % 2_000) } else { None };
            header.options.window_scale =
                if input.arbitrary()? { Some(input.int_in_range(0..=14)?) } else { None };
            header.options.sack_permitted = input.arbitrary()?;
        } else {
            for _ in 0..input.int_in_range(0..=3)? {
                let left = line.iss + input.int_in_range(0..=70_000u32)?;
                header.options.sack.push((left, left + nearby(input)?));
            }
        }
        Ok(())
    }

    /// An error about something the stack may have sent, with a plausible or a wrong sequence number.
    fn icmp(&mut self, input: &mut Unstructured) -> Result<Option<Vec<u8>>> {
        let key = self.key(input)?;
        let line = self.lines.get(&key).cloned().unwrap_or_default();
        let quoted = TcpHeader {
            src_port: key.1,
            dst_port: key.0,
            seq: line.sent + nearby(input)?,
            ..TcpHeader::default()
        };
        let version = key.2;
        let inner = IpHeader {
            src: LOCAL[version],
            dst: REMOTE[version],
            protocol: protocol::TCP,
            hop_limit: 60,
            traffic_class: 0,
        };
        let rest: [u8; 4] = input.arbitrary::<u32>()?.to_be_bytes();
        let (kind, code) = if version == 0 {
            (*input.choose(&[3u8, 4, 5, 11, 12])?, input.int_in_range(0..=15)?)
        } else {
            (input.int_in_range(1..=4)?, input.int_in_range(0..=7)?)
        };
        let mut message = vec![kind, code, 0, 0, 0, 0, rest[2], rest[3]];
        message.extend_from_slice(&inner.encode(20, None));
        message.extend_from_slice(&quoted.to_bytes()[..8]);
        let protocol = if version == 0 { protocol::ICMP } else { protocol::ICMPV6 };
        Ok(Some(in_ip(version, protocol, with_checksum(version, protocol, &[], &message, 2))))
    }

    /// Follows and checks a frame of the stack's.
    pub fn takes(&mut self, frame: Frame) {
        for packet in to_wire(frame.to_packet()) {
            let bytes = packet.bytes();
            let parsed = IpPacket::parse(bytes).expect("the stack sends sound IP headers");
            assert_eq!(parsed.payload.end, bytes.len());
            assert!(bytes.len() <= 1_500, "a packet of {} bytes", bytes.len());
            let (src, dst, body) = (parsed.header.src, parsed.header.dst, &bytes[parsed.payload.clone()]);
            if parsed.fragment.is_none() && parsed.header.protocol == protocol::TCP {
                let sum = Sum::pseudo_header(src, dst, protocol::TCP, body.len()).add(body);
                assert!(sum.is_valid(), "a wrong checksum is sent");
                self.takes_segment(usize::from(src.is_ipv6()), body);
            }
        }
    }

    fn takes_segment(&mut self, version: usize, body: &[u8]) {
        let (header, len) = TcpHeader::parse(body).expect("the stack sends sound TCP headers");
        let payload = &body[len..];
        let key = (header.dst_port, header.src_port, version);
        if !self.lines.contains_key(&key) && (self.lines.len() >= MAX_LINES || header.flags.has(Flags::RST)) {
            return;
        }
        let line = self.lines.entry(key).or_default();
        if let Some(timestamps) = header.options.timestamps {
            line.echo = timestamps.val;
        }
        if header.flags.has(Flags::RST) {
            return;
        }
        if header.flags.has(Flags::SYN) {
            (line.iss, line.sent) = (header.seq, header.seq + 1);
            line.isses.push(header.seq);
        }
        if header.flags.has(Flags::ACK) {
            line.expected = header.ack;
        }
        if !payload.is_empty() {
            check_data(line, &header, payload);
        }
        let end =
            header.seq + payload.len() as u32 + u32::from(header.flags.any(Flags::SYN.with(Flags::FIN)));
        line.sent = if end.after(line.sent) { end } else { line.sent };
    }
}

/// The bytes are those the application sent at that place, and the peer's window has room for them.
fn check_data(line: &mut Line, header: &TcpHeader, payload: &[u8]) {
    let is_ours = |iss: &SeqNum| {
        let start = header.seq.offset_from(*iss + 1) as u32;
        payload.iter().enumerate().all(|(index, byte)| *byte == own_byte(start.wrapping_add(index as u32)))
    };
    let iss = line.isses.iter().rev().copied().find(is_ours);
    line.iss = iss.unwrap_or_else(|| panic!("other bytes than the application's at {:?}", header.seq));
    let (end, from) = (header.seq + payload.len() as u32, line.iss + 1);
    // Only an acknowledgement of what was sent counts.
    let counts = |ack: SeqNum| !from.after(ack) && !ack.after(end);
    let offers = line.offers.iter().filter(|(ack, _)| counts(*ack)).map(|(_, edge)| *edge);
    let edge = offers.fold(from + line.syn_window, |best, edge| if edge.after(best) { edge } else { best });
    assert!(!end.after(edge), "{} bytes beyond the window", end.offset_from(edge));
}

/// Remembers what this side's segment offers: the widest reading of it.
fn note(header: &TcpHeader, line: &mut Line) {
    let window = u32::from(header.window);
    if header.flags.has(Flags::SYN) {
        line.starts.push(header.seq.0.wrapping_add(1));
        line.shift = line.shift.max(header.options.window_scale.unwrap_or(0));
        line.syn_window = line.syn_window.max(window);
    } else if header.flags.has(Flags::ACK) {
        line.offers.push((header.ack, header.ack + (window << line.shift)));
    }
}

/// Mostly nothing, often a little, at times anything.
fn nearby(input: &mut Unstructured) -> Result<u32> {
    Ok(match input.int_in_range(0..=15)? {
        0..=8 => 0,
        9 | 10 => input.int_in_range(0..=3_000)?,
        11 | 12 => 0u32.wrapping_sub(input.int_in_range(0..=3_000)?),
        13 => 1,
        14 => 0u32.wrapping_sub(1),
        _ => input.arbitrary()?,
    })
}

fn udp(input: &mut Unstructured) -> Result<Vec<u8>> {
    let version = input.int_in_range(0..=1)?;
    let len: u16 = input.int_in_range(0..=600)?;
    let header = tidegate::wire::udp::UdpHeader {
        src_port: input.arbitrary()?,
        dst_port: *input.choose(&[53, 54])?,
        length: 8 + len,
        checksum: 0,
    };
    Ok(in_ip(
        version,
        protocol::UDP,
        with_checksum(version, protocol::UDP, &header.to_bytes(), &vec![9; len.into()], 6),
    ))
}

/// One piece of the packet, as a fragment. Pieces of later steps may complete it.
fn fragments(packet: Vec<u8>, input: &mut Unstructured) -> Result<Option<Vec<u8>>> {
    let Ok(parsed) = IpPacket::parse(&packet) else { return Ok(None) };
    if parsed.header.src.is_ipv6() {
        return Ok(None);
    }
    let body = &packet[parsed.payload];
    let cut = 8 * input.int_in_range(0..=body.len() / 8)?;
    let (part, more) = if input.arbitrary()? { (&body[..cut], true) } else { (&body[cut..], false) };
    let fragment =
        Fragment { id: input.int_in_range(0..=3)?, offset: if more { 0 } else { cut as u16 }, more };
    let mut bytes = parsed.header.encode(part.len(), Some(fragment)).to_vec();
    bytes.extend_from_slice(part);
    Ok(Some(bytes))
}

fn in_ip(version: usize, protocol: u8, body: Vec<u8>) -> Vec<u8> {
    let header =
        IpHeader { src: REMOTE[version], dst: LOCAL[version], protocol, hop_limit: 64, traffic_class: 0 };
    let mut bytes = header.encode(body.len(), None).to_vec();
    bytes.extend_from_slice(&body);
    bytes
}

/// Header and payload with their checksum; ICMP over IPv4 is without a pseudo-header.
fn with_checksum(version: usize, protocol: u8, header: &[u8], payload: &[u8], offset: usize) -> Vec<u8> {
    let mut body = [header, payload].concat();
    let (src, dst): (IpAddr, IpAddr) = (REMOTE[version], LOCAL[version]);
    let sum = if protocol == protocol::ICMP {
        Sum::new()
    } else {
        Sum::pseudo_header(src, dst, protocol, body.len())
    };
    let checksum = match sum.add(&body).checksum() {
        0 if protocol == protocol::UDP => 0xffff,
        checksum => checksum,
    };
    body[offset..offset + 2].copy_from_slice(&checksum.to_be_bytes());
    body
}
