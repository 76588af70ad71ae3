//! A stack under load from peers that are nothing but packets: what the micro-benchmarks, the instruction counts and the
//! allocation test have in common.
//!
//! A [`Peer`] is one connection seen from the other end. It knows numbers and nothing else: no window, no timer, no loss. Its
//! packets carry a checksum offload, as those of a TUN device do, so that a stack takes their sums as verified.

pub mod workloads;

use std::net::{IpAddr, SocketAddr};

use tidegate::base::buffer::Buffer;
use tidegate::base::time::{Duration, Instant};
use tidegate::device::Capabilities;
use tidegate::stack::{Stack, StackConfig};
use tidegate::tcp::config::TcpConfig;
use tidegate::tcp::{ListenerId, TcpId};
use tidegate::wire::ip::{IpHeader, protocol};
use tidegate::wire::packet::{Frame, Offload, Packet};
use tidegate::wire::seq::SeqNum;
use tidegate::wire::tcp::{CHECKSUM_OFFSET, Flags, Options, TcpHeader, Timestamps};

/// Payload of a full segment at an MTU of 1500, timestamps taken off.
pub const MSS: usize = 1_448;
/// Payload of the largest super-segment of whole segments.
pub const SUPER: usize = 45 * MSS;
/// The round trip of every connection here: that of a device without a path behind it.
pub const ROUND: Duration = Duration::from_micros(50);

const SERVER: [u8; 4] = [10, 0, 0, 2];
const PORT: u16 = 80;
/// Ports of one peer address.
const FIRST_PORT: u16 = 1_024;
const PORTS: u32 = 60_000;
/// Bytes of the IPv4 header.
const IP: usize = 20;
/// The peers' window scale; with it their windows never limit.
const SHIFT: u8 = 10;

/// The stack with its clock and its listener.
pub struct Rig {
    /// The stack.
    pub stack: Stack,
    /// Its time.
    pub now: Instant,
    listener: ListenerId,
    opened: u32,
}

impl Rig {
    /// A stack that listens, behind a device with offload.
    pub fn new() -> Self {
        // Small segments go at once: what is measured is what one costs.
        let tcp = TcpConfig { nagle: false, ..TcpConfig::default() };
        Rig::with(tcp, Capabilities::offload(1_500))
    }

    /// A stack of these settings, which listens, behind such a device.
    pub fn with(tcp: TcpConfig, device: Capabilities) -> Self {
        let config = StackConfig { addrs: vec![(IpAddr::from(SERVER), 8)], tcp };
        let mut stack = Stack::new(config, device, [7; 32]).expect("a stack");
        let local = SocketAddr::from((SERVER, PORT));
        let listener = stack.tcp_listen(local, 1_024).expect("a listener");
        Rig { stack, now: Instant::from_millis(1_000), listener, opened: 0 }
    }

    /// A round trip passes, and with it what timers are due.
    pub fn wait(&mut self) {
        assert_eq!(
            self.stack.counters().drops().next(),
            None,
            "a load that loses packets measures something else"
        );
        self.now += ROUND;
        self.stack.handle_timeout(self.now);
    }

    /// A packet arrives.
    pub fn receive(&mut self, packet: Packet) {
        self.stack.receive(packet, self.now);
    }

    /// The next frame to send.
    pub fn transmit(&mut self) -> Option<Frame> {
        self.stack.poll_transmit(self.now)
    }

    /// A connection of the next peer, established and accepted.
    pub fn open(&mut self) -> Peer {
        let mut peer = self.next_peer();
        self.receive(peer.syn());
        self.wait();
        let answer = self.transmit().expect("a SYN-ACK");
        peer.hear(&answer);
        self.receive(peer.ack());
        let (id, _) = self.stack.tcp().accept(self.listener).expect("a connection");
        peer.id = Some(id);
        self.rest();
        peer
    }

    /// As many connections.
    pub fn open_many(&mut self, count: usize) -> Vec<Peer> {
        (0..count).map(|_| self.open()).collect()
    }

    /// A peer that has not called yet.
    pub fn next_peer(&mut self) -> Peer {
        self.opened += 1;
        let [_, a, b, c] = (self.opened / PORTS + 256).to_be_bytes();
        Peer::new([10, a, b, c], FIRST_PORT + (self.opened % PORTS) as u16)
    }

    /// Which of the peers, in the order of their opening, a frame is for.
    pub fn peer_of(frame: &Frame) -> usize {
        let field = |at: usize| u16::from_be_bytes([frame.headers()[at], frame.headers()[at + 1]]);
        let (high, low) = (u32::from(field(16)), u32::from(field(18)));
        let block = ((high & 0xff) << 16 | low) - 256;
        (block * PORTS + u32::from(field(22) - FIRST_PORT) - 1) as usize
    }

    /// Takes the connection that was opened last from the listener.
    pub fn accept(&mut self) -> TcpId {
        self.stack.tcp().accept(self.listener).expect("a connection").0
    }

    /// Drops what the stack wants to send and to tell: the peers have seen it.
    pub fn rest(&mut self) {
        while self.transmit().is_some() {}
        while self.stack.poll_event().is_some() {}
    }
}

/// The other end of a connection.
pub struct Peer {
    /// The connection in the stack, once it is accepted.
    pub id: Option<TcpId>,
    /// The next sequence number of this end.
    pub next: SeqNum,
    /// The next that it expects of the stack.
    pub expected: SeqNum,
    addr: [u8; 4],
    port: u16,
    /// The stack's clock as its last segment told it, to be echoed.
    recent: u32,
    clock: u32,
}

impl Peer {
    fn new(addr: [u8; 4], port: u16) -> Self {
        Peer { id: None, next: SeqNum(1_000), expected: SeqNum(0), addr, port, recent: 0, clock: 1 }
    }

    /// The connection in the stack.
    pub fn id(&self) -> TcpId {
        self.id.expect("an accepted connection")
    }

    /// Its SYN, as Linux would send it.
    pub fn syn(&mut self) -> Packet {
        let options = Options {
            mss: Some(1_460),
            window_scale: Some(SHIFT),
            sack_permitted: true,
            timestamps: Some(Timestamps { val: self.clock, ecr: 0 }),
            ..Options::default()
        };
        let packet = self.packet(self.next, Flags::SYN, options, &[]);
        self.next += 1;
        packet
    }

    /// An acknowledgement of everything heard.
    pub fn ack(&self) -> Packet {
        self.packet(self.next, Flags::ACK, self.stamps(), &[])
    }

    /// An acknowledgement of less, with blocks of what arrived behind gaps.
    pub fn sack(&self, upto: SeqNum, blocks: impl IntoIterator<Item = (SeqNum, SeqNum)>) -> Packet {
        let options = Options { sack: blocks.into_iter().collect(), ..self.stamps() };
        let behind = Peer { expected: upto, ..*self };
        behind.packet(self.next, Flags::ACK, options, &[])
    }

    /// The next bytes of its stream.
    pub fn data(&mut self, payload: &[u8]) -> Packet {
        let packet = self.packet(self.next, Flags::ACK.with(Flags::PSH), self.stamps(), payload);
        self.next += payload.len() as u32;
        packet
    }

    /// Its FIN.
    pub fn fin(&mut self) -> Packet {
        let packet = self.packet(self.next, Flags::ACK.with(Flags::FIN), self.stamps(), &[]);
        self.next += 1;
        packet
    }

    /// A segment of the stack arrives here, in order or not: what it carries is known from now on.
    pub fn hear(&mut self, frame: &Frame) {
        let (header, _) = TcpHeader::parse(&frame.headers()[IP..]).expect("a TCP header");
        let flags = [Flags::SYN, Flags::FIN].into_iter().filter(|&flag| header.flags.has(flag)).count();
        self.expected = header.seq + (frame.payload_len() + flags) as u32;
        self.recent = header.options.timestamps.map_or(0, |stamps| stamps.val);
    }

    fn stamps(&self) -> Options {
        let stamps = Timestamps { val: self.clock, ecr: self.recent };
        Options { timestamps: Some(stamps), ..Options::default() }
    }

    fn packet(&self, seq: SeqNum, flags: Flags, options: Options, payload: &[u8]) -> Packet {
        let tcp = TcpHeader {
            src_port: self.port,
            dst_port: PORT,
            seq,
            ack: if flags.has(Flags::SYN) { SeqNum(0) } else { self.expected },
            flags,
            window: u16::MAX,
            options,
            ..TcpHeader::default()
        };
        let ip = IpHeader {
            src: self.addr.into(),
            dst: SERVER.into(),
            protocol: protocol::TCP,
            hop_limit: 64,
            traffic_class: 0,
        };
        let tcp = tcp.to_bytes();
        let mut buffer = Buffer::for_len(IP + tcp.len() + payload.len());
        buffer.append(&ip.encode(tcp.len() + payload.len(), None));
        buffer.append(&tcp);
        buffer.append(payload);
        let start = IP as u16;
        let offload = if payload.len() > MSS {
            Offload::Tcp { mss: MSS as u16, start }
        } else {
            Offload::Checksum { start, offset: CHECKSUM_OFFSET as u16 }
        };
        Packet { buffer, offload }
    }
}
