//! The hot paths, each as a load that repeats: the peers get ready, then the stack works. Only the second part is measured.
//!
//! A load comes in bursts of up to [`BURST`] packets, as a device brings them. What is not the path itself (the peers' own work, data
//! that must be there before) is done while getting ready.

use std::io::IoSlice;

use tidegate::device::Capabilities;
use tidegate::tcp::config::TcpConfig;
use tidegate::wire::packet::{Frame, Packet};
use tidegate::wire::seq::SeqNum;

use super::{MSS, Peer, Rig, SUPER};

/// Packets in a burst of small ones.
pub const BURST: usize = 64;
/// Segments in a flight of which every second is lost.
const FLIGHT: usize = 4_000;
/// Super-segments in a burst: less than the windows that a connection begins with grow to.
const SUPERS: usize = 4;

/// One hot path under load.
pub trait Workload {
    /// Packets that one run takes in or sends.
    fn packets(&self) -> usize;

    /// The peers get ready.
    fn prepare(&mut self);

    /// The stack works.
    fn run(&mut self);
}

/// A load over so many connections.
pub type Build = fn(usize) -> Box<dyn Workload>;

/// Every hot path by its name.
pub const ALL: [(&str, Build); 13] = [
    ("ack_in", AckIn::build),
    ("sack_in", SackIn::build),
    ("sack_holes_in", |count| SackHolesIn::build(count, true)),
    ("sack_holes_by_count_in", |count| SackHolesIn::build(count, false)),
    ("data_in_small", |count| DataIn::build(count, 100, BURST)),
    ("data_in_super", |count| DataIn::build(count, SUPER, SUPERS)),
    ("out_of_order_in", OutOfOrderIn::build),
    ("read_super", ReadSuper::build),
    ("bulk_out", BulkOut::build),
    ("small_out", SmallOut::build),
    ("ack_out", AckOut::build),
    ("echo", Echo::build),
    ("open_close", OpenClose::build),
];

/// A stack with connections that take turns.
struct Turns {
    rig: Rig,
    peers: Vec<Peer>,
    turn: usize,
    packets: Vec<Packet>,
    frames: Vec<Frame>,
    bytes: Vec<u8>,
}

impl Turns {
    fn new(count: usize) -> Self {
        Turns::on(Rig::new(), count)
    }

    fn on(mut rig: Rig, count: usize) -> Self {
        let peers = rig.open_many(count);
        let (packets, frames) = (Vec::with_capacity(2 * BURST), Vec::with_capacity(2 * BURST));
        Turns { rig, peers, turn: 0, packets, frames, bytes: vec![7; SUPERS * SUPER] }
    }

    /// The place of the connection whose turn it is. Neighbours in time are no neighbours in memory.
    fn next(&mut self) -> usize {
        self.turn = (self.turn + 7_919) % self.peers.len();
        self.turn
    }

    fn receive_all(&mut self) {
        let Turns { rig, packets, .. } = self;
        packets.drain(..).for_each(|packet| rig.receive(packet));
    }

    fn transmit_all(&mut self) {
        let Turns { rig, frames, .. } = self;
        frames.extend(std::iter::from_fn(|| rig.transmit()));
    }

    fn send(&mut self, at: usize, len: usize) {
        let (id, now) = (self.peers[at].id(), self.rig.now);
        let sent = self.rig.stack.tcp().send(id, &[IoSlice::new(&self.bytes[..len])], now);
        assert_eq!(sent, Ok(len));
    }

    fn read(&mut self, at: usize) {
        let (id, now) = (self.peers[at].id(), self.rig.now);
        while self.rig.stack.tcp().recv(id, &mut self.bytes, now).is_ok() {}
    }

    /// What the stack sends reaches its peers.
    fn hear_all(&mut self) {
        self.transmit_all();
        self.frames.drain(..).for_each(|frame| self.peers[Rig::peer_of(&frame)].hear(&frame));
        self.rig.rest();
    }

    /// Data of the stack goes to the peer at `at`, and its acknowledgements wait to be received: one for each frame.
    fn acknowledge_frames(&mut self, at: usize) {
        self.transmit_all();
        for frame in self.frames.drain(..) {
            self.peers[at].hear(&frame);
            self.packets.push(self.peers[at].ack());
        }
    }
}

/// Acknowledgements of data under way, one for each super-segment.
struct AckIn(Turns);

impl AckIn {
    fn build(count: usize) -> Box<dyn Workload> {
        let mut turns = Turns::new(count);
        // The windows open first, until a burst fits into each.
        for at in 0..count {
            (0..8).for_each(|_| open_window(&mut turns, at));
        }
        Box::new(AckIn(turns))
    }
}

/// One round trip in which the window of the connection at `at` is used.
fn open_window(turns: &mut Turns, at: usize) {
    let (id, now) = (turns.peers[at].id(), turns.rig.now);
    let _ = turns.rig.stack.tcp().send(id, &[IoSlice::new(&turns.bytes)], now);
    loop {
        turns.rig.wait();
        turns.acknowledge_frames(at);
        if turns.packets.is_empty() {
            return turns.rig.rest();
        }
        turns.receive_all();
    }
}

impl Workload for AckIn {
    fn packets(&self) -> usize {
        SUPERS
    }

    fn prepare(&mut self) {
        self.0.rig.rest();
        let at = self.0.next();
        self.0.send(at, SUPERS * SUPER);
        self.0.acknowledge_frames(at);
        assert_eq!(self.0.packets.len(), SUPERS);
        self.0.rig.wait();
    }

    fn run(&mut self) {
        self.0.receive_all();
    }
}

/// Of four super-segments the first is lost: reports of the others, and what is sent again. Each time on a connection of its own,
/// since windows come down by it.
struct SackIn(Turns);

impl SackIn {
    fn build(count: usize) -> Box<dyn Workload> {
        Box::new(SackIn(Turns::new(count)))
    }
}

impl Workload for SackIn {
    fn packets(&self) -> usize {
        SUPERS
    }

    fn prepare(&mut self) {
        let turns = &mut self.0;
        turns.frames.clear();
        let (at, now) = (turns.next(), turns.rig.now);
        turns.rig.stack.tcp_abort(turns.peers[at].id(), now);
        turns.rig.rest();
        turns.peers[at] = turns.rig.open();
        (0..8).for_each(|_| open_window(turns, at));
        turns.send(at, SUPERS * SUPER);
        turns.transmit_all();
        let Turns { peers, frames, packets, rig, .. } = turns;
        let peer = &mut peers[at];
        let hole = (peer.expected, peer.expected + frames[0].payload_len() as u32);
        for frame in frames.drain(..).skip(1) {
            peer.hear(&frame);
            packets.push(peer.sack(hole.0, [(hole.1, peer.expected)]));
        }
        assert_eq!(packets.len(), SUPERS - 1);
        rig.wait();
    }

    fn run(&mut self) {
        self.0.receive_all();
        self.0.transmit_all();
        assert_eq!(self.0.frames.len(), 1);
    }
}

/// Flights of single segments, of which every second is lost: each acknowledgement reports one more that arrived, repeats the two
/// before, and what it allows is sent again. What it costs must not hang on how many are under way.
struct SackHolesIn {
    turns: Turns,
    /// Of each connection: where its flight begins, and how many segments of it were reported.
    flights: Vec<(SeqNum, usize)>,
}

impl SackHolesIn {
    fn build(count: usize, rack: bool) -> Box<dyn Workload> {
        let tcp = TcpConfig {
            initial_window: FLIGHT as u32,
            send_buffer: FLIGHT * MSS,
            send_buffer_initial: FLIGHT * MSS,
            rack,
            ..TcpConfig::default()
        };
        let turns = Turns::on(Rig::with(tcp, Capabilities::plain(1_500)), count);
        let mut load = SackHolesIn { turns, flights: vec![(SeqNum(0), 0); count] };
        (0..count).for_each(|at| load.take_off(at));
        Box::new(load)
    }

    /// A new flight leaves, on a new connection, since windows come down by losses.
    fn take_off(&mut self, at: usize) {
        let turns = &mut self.turns;
        let now = turns.rig.now;
        turns.rig.stack.tcp_abort(turns.peers[at].id(), now);
        turns.rig.rest();
        turns.peers[at] = turns.rig.open();
        (0..FLIGHT / 50).for_each(|_| turns.send(at, 50 * MSS));
        let una = turns.peers[at].expected;
        turns.transmit_all();
        assert_eq!(turns.frames.len(), FLIGHT);
        turns.frames.drain(..).for_each(|frame| turns.peers[at].hear(&frame));
        turns.rig.wait();
        self.flights[at] = (una, 0);
    }
}

impl Workload for SackHolesIn {
    fn packets(&self) -> usize {
        BURST / 2
    }

    fn prepare(&mut self) {
        self.turns.frames.clear();
        self.turns.rig.wait();
        let at = self.turns.next();
        if self.flights[at].1 + self.packets() > FLIGHT / 2 {
            self.take_off(at);
        }
        let (una, known) = self.flights[at];
        let block = |place: usize| {
            let start = una + ((2 * place + 1) * MSS) as u32;
            (start, start + MSS as u32)
        };
        for newest in known..known + self.packets() {
            let blocks = (newest.saturating_sub(2)..=newest).rev().map(block);
            self.turns.packets.push(self.turns.peers[at].sack(una, blocks));
        }
        self.flights[at].1 += self.packets();
    }

    fn run(&mut self) {
        let Turns { rig, packets, frames, .. } = &mut self.turns;
        for packet in packets.drain(..) {
            rig.receive(packet);
            frames.extend(std::iter::from_fn(|| rig.transmit()));
        }
    }
}

/// Data in order: small segments for each connection in turn, or super-segments for one after the other.
struct DataIn {
    turns: Turns,
    len: usize,
    burst: usize,
    served: Vec<usize>,
}

impl DataIn {
    fn build(count: usize, len: usize, burst: usize) -> Box<dyn Workload> {
        let mut load = DataIn { turns: Turns::new(count), len, burst, served: Vec::with_capacity(burst) };
        if len > MSS {
            (0..count).for_each(|at| load.widen_window(at));
        }
        Box::new(load)
    }

    /// The connection at `at` receives and reads until its window holds a burst.
    fn widen_window(&mut self, at: usize) {
        let id = self.turns.peers[at].id();
        for _ in 0..100 {
            let known = self.turns.rig.stack.tcp().statistics(id, self.turns.rig.now).expect("a connection");
            let len = self.len.min(known.receive_window as usize / self.burst / 2);
            let Turns { peers, packets, bytes, .. } = &mut self.turns;
            packets.extend((0..self.burst).map(|_| peers[at].data(&bytes[..len])));
            self.turns.receive_all();
            self.served.push(at);
            self.settle();
        }
    }

    /// Everything is read and acknowledged.
    fn settle(&mut self) {
        while let Some(at) = self.served.pop() {
            self.turns.read(at);
        }
        self.turns.hear_all();
        self.turns.rig.wait();
    }
}

impl Workload for DataIn {
    fn packets(&self) -> usize {
        self.burst
    }

    fn prepare(&mut self) {
        self.settle();
        let mut at = self.turns.next();
        for _ in 0..self.burst {
            if self.len <= MSS {
                at = self.turns.next();
            }
            let Turns { peers, packets, bytes, .. } = &mut self.turns;
            packets.push(peers[at].data(&bytes[..self.len]));
            self.served.push(at);
        }
    }

    fn run(&mut self) {
        self.turns.receive_all();
    }
}

/// Full segments of which each second comes before the first.
struct OutOfOrderIn(Turns);

impl OutOfOrderIn {
    fn build(count: usize) -> Box<dyn Workload> {
        Box::new(OutOfOrderIn(Turns::new(count)))
    }
}

impl Workload for OutOfOrderIn {
    fn packets(&self) -> usize {
        BURST / 2
    }

    fn prepare(&mut self) {
        let at = self.0.turn;
        self.0.read(at);
        self.0.rig.rest();
        self.0.rig.wait();
        let at = self.0.next();
        let Turns { peers, packets, bytes, .. } = &mut self.0;
        packets.extend((0..BURST / 2).map(|_| peers[at].data(&bytes[..MSS])));
        packets.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
    }

    fn run(&mut self) {
        self.0.receive_all();
    }
}

/// The application takes received super-segments without a copy.
struct ReadSuper(Turns);

impl ReadSuper {
    fn build(count: usize) -> Box<dyn Workload> {
        Box::new(ReadSuper(Turns::new(count)))
    }
}

impl Workload for ReadSuper {
    fn packets(&self) -> usize {
        1
    }

    fn prepare(&mut self) {
        self.0.rig.rest();
        self.0.rig.wait();
        let at = self.0.next();
        let Turns { peers, packets, bytes, .. } = &mut self.0;
        packets.push(peers[at].data(&bytes[..20 * MSS]));
        self.0.receive_all();
    }

    fn run(&mut self) {
        let (id, now) = (self.0.peers[self.0.turn].id(), self.0.rig.now);
        while self.0.rig.stack.tcp().recv_slice(id, now).is_ok() {}
    }
}

/// Super-segments of one stream.
struct BulkOut(Turns);

impl BulkOut {
    fn build(count: usize) -> Box<dyn Workload> {
        let mut turns = Turns::new(count);
        for at in 0..count {
            (0..8).for_each(|_| open_window(&mut turns, at));
        }
        Box::new(BulkOut(turns))
    }
}

impl Workload for BulkOut {
    fn packets(&self) -> usize {
        SUPERS
    }

    fn prepare(&mut self) {
        let at = self.0.turn;
        assert!(matches!(self.0.frames.len(), 0 | SUPERS));
        self.0.acknowledge_frames(at);
        self.0.rig.wait();
        self.0.receive_all();
        self.0.rig.rest();
        let at = self.0.next();
        self.0.send(at, SUPERS * SUPER);
    }

    fn run(&mut self) {
        self.0.transmit_all();
    }
}

/// Each connection writes a short message.
struct SmallOut {
    turns: Turns,
    writers: Vec<usize>,
}

impl SmallOut {
    fn build(count: usize) -> Box<dyn Workload> {
        Box::new(SmallOut { turns: Turns::new(count), writers: Vec::with_capacity(BURST) })
    }
}

impl Workload for SmallOut {
    fn packets(&self) -> usize {
        BURST
    }

    fn prepare(&mut self) {
        self.turns.rig.wait();
        for (frame, at) in self.turns.frames.drain(..).zip(self.writers.drain(..)) {
            let peer = &mut self.turns.peers[at];
            peer.hear(&frame);
            self.turns.rig.receive(peer.ack());
        }
        self.turns.rig.rest();
        self.turns.rig.wait();
        for _ in 0..BURST {
            let at = self.turns.next();
            self.writers.push(at);
        }
    }

    fn run(&mut self) {
        for writer in 0..BURST {
            self.turns.send(self.writers[writer], 100);
            self.turns.transmit_all();
        }
    }
}

/// Acknowledgements of data that just came.
struct AckOut(DataIn);

impl AckOut {
    fn build(count: usize) -> Box<dyn Workload> {
        let turns = Turns::new(count);
        Box::new(AckOut(DataIn { turns, len: MSS, burst: BURST, served: Vec::with_capacity(BURST) }))
    }
}

impl Workload for AckOut {
    fn packets(&self) -> usize {
        BURST.min(self.0.turns.peers.len())
    }

    fn prepare(&mut self) {
        assert!(
            matches!(self.0.turns.frames.len(), 0 | BURST) || self.0.turns.frames.len() == self.packets()
        );
        self.0.turns.frames.clear();
        self.0.prepare();
        self.0.run();
        // Each connection has got two full segments, or one that may not wait.
        self.0
            .served
            .iter()
            .for_each(|&at| self.0.turns.packets.push(self.0.turns.peers[at].data(&[7; MSS])));
        self.0.run();
    }

    fn run(&mut self) {
        self.0.turns.transmit_all();
    }
}

/// One byte comes, is told of, read, written back and sent; the next acknowledges it.
struct Echo(Turns);

impl Echo {
    fn build(count: usize) -> Box<dyn Workload> {
        Box::new(Echo(Turns::new(count)))
    }
}

impl Workload for Echo {
    fn packets(&self) -> usize {
        1
    }

    fn prepare(&mut self) {
        let at = self.0.turn;
        if let Some(frame) = self.0.frames.pop() {
            self.0.peers[at].hear(&frame);
        }
        self.0.rig.wait();
        let at = self.0.next();
        let packet = self.0.peers[at].data(b"x");
        self.0.packets.push(packet);
    }

    fn run(&mut self) {
        self.0.receive_all();
        let (id, now, mut byte) = (self.0.peers[self.0.turn].id(), self.0.rig.now, [0]);
        let stack = &mut self.0.rig.stack;
        while stack.poll_event().is_some() {}
        assert_eq!(stack.tcp().recv(id, &mut byte, now), Ok(1));
        assert_eq!(stack.tcp().send(id, &[IoSlice::new(&byte)], now), Ok(1));
        self.0.transmit_all();
    }
}

/// A connection from SYN to the last acknowledgement, beside the others. Its peer, who closes first, is measured with it.
struct OpenClose(Turns);

impl OpenClose {
    fn build(count: usize) -> Box<dyn Workload> {
        Box::new(OpenClose(Turns::new(count)))
    }
}

impl Workload for OpenClose {
    fn packets(&self) -> usize {
        6
    }

    fn prepare(&mut self) {
        self.0.rig.wait();
    }

    fn run(&mut self) {
        let rig = &mut self.0.rig;
        let mut peer = rig.next_peer();
        rig.receive(peer.syn());
        let answer = rig.transmit().expect("a SYN-ACK");
        peer.hear(&answer);
        rig.receive(peer.ack());
        while rig.stack.poll_event().is_some() {}
        let id = rig.accept();
        rig.receive(peer.fin());
        while rig.stack.poll_event().is_some() {}
        rig.stack.tcp_close(id, rig.now);
        let fin = rig.transmit().expect("a FIN");
        peer.hear(&fin);
        rig.receive(peer.ack());
        assert!(rig.transmit().is_none());
    }
}
