//! Scripted segments: what goes in, what must come out, when, and silence where nothing may. One file per concern.
//!
//! The stack is 10.0.0.2 (port 80 where it listens), the peer 10.0.0.1 port 5000. Numbers are relative: the peer's ISN is 1000, the
//! stack's is subtracted from everything it sends, so its SYN has 0 and its first byte 1.

mod ack;
mod blind;
mod buffers;
mod close;
mod cookie;
mod data;
mod ecn;
mod giving_up;
mod handshake;
mod hostile;
mod icmp;
mod keep_alive;
mod listen;
mod loss;
mod matrix;
mod memory;
mod mtu;
mod offload;
mod open;
mod options;
mod pacing;
mod push;
mod reduction;
mod reordering;
mod repair;
mod report;
mod reset;
mod retransmit;
mod sockets;
mod statistics;
mod tail_probe;
mod time_wait;
mod timestamps;
mod undo;
mod urgent;
mod window;
mod wrap;

use std::io::IoSlice;

use super::config::TcpConfig;
use super::frame;
use super::segment::FourTuple;
use super::state::State;
use super::*;
use crate::base::buffer::Buffer;
use crate::base::socket::SocketError;
use crate::base::time::Duration;
use crate::wire::ip::{IpHeader, protocol};
use crate::wire::packet::{Offload, Packet};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Options, Timestamps};

const IRS: u32 = 1000;
const MSS: usize = 1000;
const SYN: Flags = Flags::SYN;
const ACK: Flags = Flags::ACK;
const FIN: Flags = Flags::FIN;
const RST: Flags = Flags::RST;
const PSH: Flags = Flags::PSH;
const SYN_ACK: Flags = SYN.with(ACK);
const FIN_ACK: Flags = FIN.with(ACK);
const RST_ACK: Flags = RST.with(ACK);

/// A segment in relative numbers, as tests write it.
#[derive(Clone, PartialEq, Eq)]
struct Seg {
    flags: Flags,
    seq: u32,
    ack: u32,
    payload: Vec<u8>,
    /// The raw field; not compared when it is `None`.
    window: Option<u16>,
    /// The urgent pointer.
    urgent: u16,
    options: Options,
    /// The ECN field of the IP header.
    ecn: u8,
}

fn seg(flags: Flags, seq: u32, ack: u32) -> Seg {
    Seg { flags, seq, ack, payload: Vec::new(), window: None, urgent: 0, options: Options::default(), ecn: 0 }
}

impl Seg {
    fn data(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    fn window(mut self, window: u16) -> Self {
        self.window = Some(window);
        self
    }

    fn urgent(mut self, pointer: u16) -> Self {
        self.urgent = pointer;
        self.flags = self.flags.with(Flags::URG);
        self
    }

    /// The ECN field of the IP header.
    fn ecn(mut self, field: u8) -> Self {
        self.ecn = field;
        self
    }

    fn mss(mut self, mss: u16) -> Self {
        self.options.mss = Some(mss);
        self
    }

    fn ts(mut self, val: u32, ecr: u32) -> Self {
        self.options.timestamps = Some(Timestamps { val, ecr });
        self
    }

    fn scale(mut self, shift: u8) -> Self {
        self.options.window_scale = Some(shift);
        self
    }

    fn sack_permitted(mut self) -> Self {
        self.options.sack_permitted = true;
        self
    }
}

impl std::fmt::Debug for Seg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} seq {} ack {} len {}", self.flags, self.seq, self.ack, self.payload.len())?;
        if let Some(window) = self.window {
            write!(f, " win {window}")?;
        }
        if self.options.is_empty() { Ok(()) } else { write!(f, " {:?}", self.options) }
    }
}

/// A stack's TCP with a peer made of segments.
struct Bench {
    tcp: Tcp,
    /// The network layer below.
    layer: Ip,
    counters: Counters,
    now: Instant,
    tuple: FourTuple,
    /// The stack's ISN, learnt from its SYN.
    iss: SeqNum,
    /// The peer's ISN.
    irs: SeqNum,
    listener: Option<ListenerId>,
    /// DSCP and hop limit of the last frame.
    ip: (u8, u8),
    /// The last frame's identification, and whether it had DF.
    fragmentation: (u16, bool),
    id: Option<TcpId>,
}

/// Plain settings: no option that changes numbers, no quick acknowledgements, a small window.
fn plain() -> TcpConfig {
    TcpConfig {
        timestamps: false,
        window_scaling: false,
        sack: false,
        quick_acks: 0,
        receive_buffer: 20_000,
        // Halves and doubles are easy to follow.
        congestion: congestion::CongestionControl::NewReno,
        ..TcpConfig::default()
    }
}

impl Bench {
    fn new(config: TcpConfig) -> Self {
        Bench::on(config, Capabilities::plain(MSS + 40))
    }

    fn on(config: TcpConfig, capabilities: Capabilities) -> Self {
        let tuple = FourTuple {
            local: Endpoint::new([10, 0, 0, 2].into(), 80),
            remote: Endpoint::new([10, 0, 0, 1].into(), 5000),
        };
        Bench {
            tcp: Tcp::new(config, capabilities, &mut Rng::from_u64(1)),
            layer: Ip::new(&[(tuple.local.addr, 24)], capabilities, &mut Rng::from_u64(2)).unwrap(),
            counters: Counters::default(),
            now: Instant::from_millis(1000),
            tuple,
            iss: SeqNum(0),
            irs: SeqNum(IRS),
            listener: None,
            ip: (0, 0),
            fragmentation: (0, false),
            id: None,
        }
    }

    /// With a listener on port 80.
    fn listening(config: TcpConfig) -> Self {
        Bench::new(config).listen(10)
    }

    fn listen(mut self, backlog: usize) -> Self {
        self.listener = Some(self.tcp.listen("0.0.0.0:80".parse().unwrap(), backlog).unwrap());
        self
    }

    /// After the handshake from a listener, accepted; the peer's window is 60,000.
    fn established(config: TcpConfig) -> Self {
        Bench::established_with(config, 60_000)
    }

    fn established_with(config: TcpConfig, window: u16) -> Self {
        Bench::listening(config).handshake(window)
    }

    fn handshake(mut self, window: u16) -> Self {
        self.gets(seg(SYN, 0, 0).mss(MSS as u16).window(window));
        self.sends(SYN_ACK, 0, 1);
        // A round trip of 100 ms: the first retransmission timeout is 100 + max(4·50, 200) = 300 ms.
        self.now += ms(100);
        self.gets(seg(ACK, 1, 1).window(window));
        self.silent();
        let (id, _) = self.tcp.accept(self.listener.unwrap()).unwrap();
        self.id = Some(id);
        self
    }

    /// An active open with its SYN under way.
    fn opening(config: TcpConfig) -> Self {
        let mut bench = Bench::new(config);
        let (now, remote) = (bench.now, bench.tuple.remote);
        let id =
            bench.tcp.connect((bench.tuple.local.addr, 80), remote.into(), &mut bench.counters, now).unwrap();
        bench.id = Some(id);
        bench
    }

    fn id(&self) -> TcpId {
        self.id.expect("a connection")
    }

    fn state(&self) -> State {
        let end = |info: &ConnectionInfo| info.local == self.tuple.local && info.remote == self.tuple.remote;
        self.tcp.connections().find(end).map_or(State::Closed, |info| info.state)
    }

    /// The peer sends a segment.
    fn gets(&mut self, s: Seg) {
        self.gets_joined(s, Offload::None);
    }

    /// The peer sends what the device makes one of.
    fn gets_joined(&mut self, s: Seg, offload: Offload) {
        let header = TcpHeader {
            src_port: self.tuple.remote.port,
            dst_port: self.tuple.local.port,
            seq: self.irs + s.seq,
            ack: if s.flags.has(ACK) { self.iss + s.ack } else { SeqNum(0) },
            flags: s.flags,
            window: s.window.unwrap_or(60_000),
            urgent: s.urgent,
            options: s.options,
        };
        let peer = FourTuple { local: self.tuple.remote, remote: self.tuple.local };
        let mut payload = SmallVec::new();
        if !s.payload.is_empty() {
            payload.push(Buffer::copy_of(&s.payload).into());
        }
        let frame = frame::build(
            &peer,
            &header,
            payload,
            u16::MAX,
            &SocketOptions::default(),
            s.ecn,
            Capabilities::plain(65_535),
        );
        let mut packet: Packet = frame.to_packet();
        packet.offload = offload;
        let ip = IpHeader {
            src: peer.local.addr,
            dst: peer.remote.addr,
            protocol: protocol::TCP,
            hop_limit: 64,
            traffic_class: s.ecn,
        };
        let len = packet.bytes().len();
        self.tcp.receive(Datagram { header: ip, packet, payload: 20..len }, &mut self.counters, self.now);
    }

    /// What the stack sends next, if anything, in relative numbers.
    fn next(&mut self) -> Option<Seg> {
        self.layer.paths().expire(self.now);
        let frame = self.tcp.poll_transmit(&mut self.layer, &mut self.counters, self.now)?;
        let bytes = frame.to_vec();
        self.ip = (bytes[1], bytes[8]);
        self.fragmentation = (u16::from_be_bytes([bytes[4], bytes[5]]), bytes[6] & 0x40 != 0);
        let (header, len) = TcpHeader::parse(&bytes[20..]).expect("a TCP header");
        if header.flags.has(SYN) {
            self.iss = header.seq;
            self.tuple.local.port = header.src_port;
        }
        let relative =
            |number: SeqNum, base: SeqNum, there: bool| if there { number.since(base) } else { number.0 };
        Some(Seg {
            flags: header.flags,
            // A RST that answers a stranger has absolute numbers of its own.
            seq: relative(header.seq, self.iss, header.seq != SeqNum(0) || self.iss == SeqNum(0)),
            ack: relative(header.ack, self.irs, header.flags.has(ACK)),
            payload: bytes[20 + len..].to_vec(),
            window: Some(header.window),
            urgent: header.urgent,
            options: header.options,
            ecn: bytes[1] & 3,
        })
    }

    /// SND.NXT, in relative numbers.
    fn next_seq(&self) -> u32 {
        self.tcp.connections.get(self.id().0).unwrap().snd.nxt.since(self.iss)
    }

    /// The stack must send exactly this next: flags and numbers; returns the segment for more.
    #[track_caller]
    fn sends(&mut self, flags: Flags, seq: u32, ack: u32) -> Seg {
        let sent =
            self.next().unwrap_or_else(|| panic!("silence where {flags:?} seq {seq} ack {ack} should be"));
        assert_eq!((sent.flags, sent.seq, sent.ack), (flags, seq, ack), "sent {sent:?}");
        sent
    }

    #[track_caller]
    fn sends_data(&mut self, flags: Flags, seq: u32, ack: u32, len: usize) -> Seg {
        let sent = self.sends(flags, seq, ack);
        assert_eq!(sent.payload.len(), len, "sent {sent:?}");
        sent
    }

    #[track_caller]
    fn silent(&mut self) {
        if let Some(sent) = self.next() {
            panic!("sent {sent:?} where silence should be");
        }
    }

    /// Lets time pass, timer by timer; nothing may be sent before the end of it.
    #[track_caller]
    fn quiet_for(&mut self, duration: Duration) {
        self.silent();
        let end = self.now + duration;
        while let Some(due) = self.tcp.poll_timeout().filter(|&due| due < end) {
            self.now = self.now.max(due);
            self.tcp.handle_timeout(&mut self.counters, self.now);
            self.silent();
        }
        self.now = end;
    }

    /// Lets time pass and the timers due at the end of it fire.
    #[track_caller]
    fn after(&mut self, duration: Duration) {
        self.quiet_for(duration);
        self.tcp.handle_timeout(&mut self.counters, self.now);
    }

    /// Lets time pass at once, as a host that slept does.
    fn jump(&mut self, duration: Duration) {
        self.now += duration;
        self.tcp.handle_timeout(&mut self.counters, self.now);
    }

    /// Lets time pass until the next timer fires.
    #[track_caller]
    fn until_timer(&mut self) {
        let due = self.tcp.poll_timeout().expect("a timer");
        self.after(due.since(self.now));
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, SocketError> {
        self.tcp.send(self.id(), &[IoSlice::new(bytes)], self.now)
    }

    fn write_with(&mut self, bytes: &[u8], flags: SendFlags) -> Result<usize, SocketError> {
        self.tcp.send_with(self.id(), &[IoSlice::new(bytes)], flags, self.now)
    }

    fn readiness(&self) -> Readiness {
        self.tcp.readiness(self.id())
    }

    /// What the connection's owner is told since the last time.
    fn told(&mut self) -> Readiness {
        let mut told = Readiness::NONE;
        while let Some(event) = self.tcp.poll_event() {
            if let TcpEvent::Connection(_, bits) = event {
                told |= bits;
            }
        }
        told
    }

    fn read(&mut self) -> Result<Vec<u8>, SocketError> {
        let mut into = vec![0; 100_000];
        let len = self.tcp.recv(self.id(), &mut into, self.now)?;
        into.truncate(len);
        Ok(into)
    }

    fn shutdown(&mut self) {
        self.tcp.shutdown(self.id(), std::net::Shutdown::Write, self.now).unwrap();
    }

    fn close(&mut self) {
        let id = self.id();
        self.tcp.close(id, &mut self.counters, self.now);
    }

    fn set_options(&mut self, change: impl FnOnce(&mut SocketOptions)) {
        let mut options = self.tcp.options(self.id()).unwrap();
        change(&mut options);
        self.tcp.set_options(self.id(), options, self.now).unwrap();
    }

    fn statistics(&self) -> Statistics {
        self.tcp.statistics(self.id(), self.now).unwrap()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.counters.dropped(reason)
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + 7) as u8).collect()
}
