//! Packets as the limit reads and writes them: virtio-net header, IPv4 and TCP at fixed places, no options but in SYNs.
//!
//! Templates hold everything that stays; a packet is the template with a port and two numbers written into it.

use etherparse::{IpNumber, Ipv4Header, TcpHeader};
use tidegate::device::vnet::LEN as VNET;
use tidegate_bench::{CLIENT, STACK};

/// The largest payload of a segment: an MTU of 1500 and no options.
pub const MSS: usize = 1460;
/// Payload of a super-segment: as many whole segments as an IPv4 packet holds.
pub const SUPER: usize = 44 * MSS;

const IP: usize = VNET;
const TCP: usize = IP + 20;
const PAYLOAD: usize = TCP + 20;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;

/// Advertised in every segment; the scale makes it 64 MiB, more than the client ever has to send.
const WINDOW: u16 = u16::MAX;
const SCALE: u8 = 10;
/// Maximum segment size and window scale.
pub const SYN_OPTIONS: [u8; 8] = [2, 4, (MSS >> 8) as u8, MSS as u8, 1, 3, 3, SCALE];

/// What came from the client.
#[derive(Debug)]
pub struct Segment<'a> {
    pub client_port: u16,
    pub port: u16,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    pub options: &'a [u8],
    pub payload: &'a [u8],
}

impl<'a> Segment<'a> {
    /// A TCP segment over IPv4; anything else is nothing to the limit.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let ip = bytes.get(IP..)?;
        if ip.len() < 40 || ip[0] != 0x45 || ip[9] != IpNumber::TCP.0 {
            return None;
        }
        let word = |at: usize| u16::from_be_bytes([ip[at], ip[at + 1]]);
        let long = |at: usize| u32::from_be_bytes([ip[at], ip[at + 1], ip[at + 2], ip[at + 3]]);
        let start = 20 + usize::from(ip[32] >> 4) * 4;
        Some(Segment {
            client_port: word(20),
            port: word(22),
            seq: long(24),
            ack: long(28),
            flags: ip[33],
            window: word(34),
            options: ip.get(40..start)?,
            payload: ip.get(start..)?,
        })
    }

    /// The window scale that a SYN offers.
    pub fn scale(&self) -> u8 {
        let mut rest = self.options;
        while let [kind, tail @ ..] = rest {
            rest = match (kind, tail) {
                (0, _) => return 0,
                (1, _) => tail,
                (3, [3, scale, ..]) => return *scale,
                (_, [len, ..]) => rest.get(usize::from(*len).max(2)..).unwrap_or_default(),
                _ => return 0,
            };
        }
        0
    }
}

/// A packet to the client that lacks only ports and numbers.
#[derive(Debug)]
pub struct Template {
    bytes: Vec<u8>,
    /// Sums over what never changes, lengths apart.
    ip_sum: u32,
    pseudo_sum: u32,
}

impl Template {
    /// A packet with these flags, and room for a payload of `most` bytes, all dots.
    pub fn new(flags: u8, most: usize) -> Self {
        let mut ip = Ipv4Header::new(0, 64, IpNumber::TCP, STACK.octets(), CLIENT.octets())
            .expect("an empty payload fits");
        ip.total_len = 0;
        ip.header_checksum = 0;
        let tcp = TcpHeader::new(0, 0, 0, WINDOW);
        let mut bytes = vec![b'.'; PAYLOAD + most];
        bytes[..IP].fill(0);
        bytes[IP..TCP].copy_from_slice(&ip.to_bytes());
        bytes[IP + 10..TCP - 8].fill(0);
        bytes[TCP..PAYLOAD].copy_from_slice(&tcp.to_bytes());
        bytes[TCP + 13] = flags;
        let ip_sum = sum(&bytes[IP..TCP]);
        let pseudo_sum = sum(&bytes[IP + 12..TCP]) + u32::from(IpNumber::TCP.0);
        let mut template = Template { bytes, ip_sum, pseudo_sum };
        template.set_len(most);
        template
    }

    /// Replaces the payload.
    pub fn set_payload(&mut self, payload: &[u8]) {
        self.bytes.resize(PAYLOAD, 0);
        self.bytes.extend_from_slice(payload);
        self.set_len(payload.len());
    }

    /// Makes the payload TCP options, for a SYN.
    pub fn payload_is_options(&mut self) {
        self.bytes[TCP + 12] = (((self.bytes.len() - TCP) / 4) << 4) as u8;
    }

    /// The packet of this flow, at these numbers.
    pub fn fill(&mut self, port: u16, client_port: u16, seq: u32, ack: u32, flags: u8) -> &[u8] {
        let tcp = &mut self.bytes[TCP..PAYLOAD];
        tcp[0..2].copy_from_slice(&port.to_be_bytes());
        tcp[2..4].copy_from_slice(&client_port.to_be_bytes());
        tcp[4..8].copy_from_slice(&seq.to_be_bytes());
        tcp[8..12].copy_from_slice(&ack.to_be_bytes());
        tcp[13] = flags;
        &self.bytes
    }

    fn set_len(&mut self, payload: usize) {
        let (ip, tcp) = ((40 + payload) as u16, (20 + payload) as u16);
        self.bytes[IP + 2..IP + 4].copy_from_slice(&ip.to_be_bytes());
        let checksum = !fold(self.ip_sum + u32::from(ip));
        self.bytes[IP + 10..IP + 12].copy_from_slice(&checksum.to_be_bytes());
        // The host finishes TCP's checksum, or rather trusts it: the field holds the sum of the pseudo-header.
        let pseudo = fold(self.pseudo_sum + u32::from(tcp));
        self.bytes[TCP + 16..TCP + 18].copy_from_slice(&pseudo.to_be_bytes());
        self.set_vnet(payload > MSS);
    }

    /// virtio 1.2 §5.1.6: flags, type, header length, segment size, and where the checksum starts and lies.
    fn set_vnet(&mut self, large: bool) {
        let (kind, headers, size) = if large { (1, 40, MSS as u16) } else { (0, 0, 0) };
        self.bytes[..2].copy_from_slice(&[1, kind]);
        for (place, word) in [(2, headers), (4, size), (6, 20), (8, 16u16)] {
            self.bytes[place..place + 2].copy_from_slice(&word.to_ne_bytes());
        }
    }
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum()
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
