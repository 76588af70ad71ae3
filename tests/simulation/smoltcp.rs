//! A second opinion: smoltcp as the peer in this process, over a faulty link; bulk and echo, opened from either side, closed by
//! either side first.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use ::smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use ::smoltcp::phy::{self, DeviceCapabilities, Medium};
use ::smoltcp::socket::tcp::{RecvError, Socket, SocketBuffer, State};
use ::smoltcp::wire::{HardwareAddress, IpCidr};
use tidegate::base::buffer::Buffer;
use tidegate::base::counters::DropReason;
use tidegate::base::rng::Rng;
use tidegate::base::time::{Duration, Instant};
use tidegate::device::Capabilities;
use tidegate::sim::{HostId, LinkConfig, Network, Node};
use tidegate::tcp::config::TcpConfig;
use tidegate::wire::packet::{Frame, Offload, Packet};

use crate::pair::{App, PORT, Plan, addrs, expect_nothing_left, host, pattern};

const MTU: usize = 1500;
/// Longer than any of this may take.
const LIMIT: Duration = Duration::from_secs(3600);

/// Packets in and out, in memory.
#[derive(Default)]
struct Wire {
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

struct Rx(Vec<u8>);
struct Tx<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.push_back(packet);
        result
    }
}

impl phy::Device for Wire {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: ::smoltcp::time::Instant) -> Option<(Rx, Tx<'_>)> {
        Some((Rx(self.incoming.pop_front()?), Tx(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: ::smoltcp::time::Instant) -> Option<Tx<'_>> {
        Some(Tx(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

/// smoltcp with one socket.
struct Smol {
    iface: Interface,
    wire: Wire,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
}

fn smol_time(now: Instant) -> ::smoltcp::time::Instant {
    ::smoltcp::time::Instant::from_micros(now.as_micros() as i64)
}

impl Smol {
    fn new(addr: IpAddr, buffer: usize) -> Self {
        let mut wire = Wire::default();
        let mut iface =
            Interface::new(Config::new(HardwareAddress::Ip), &mut wire, ::smoltcp::time::Instant::ZERO);
        iface.update_ip_addrs(|own| {
            let len = if addr.is_ipv4() { 24 } else { 64 };
            own.push(IpCidr::new(addr.into(), len)).expect("room for an address");
        });
        let mut sockets = SocketSet::new(Vec::new());
        let memory = || SocketBuffer::new(vec![0; buffer]);
        let handle = sockets.add(Socket::new(memory(), memory()));
        Smol { iface, wire, sockets, handle }
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    fn connect(&mut self, to: SocketAddr) {
        let socket = self.sockets.get_mut::<Socket>(self.handle);
        socket.connect(self.iface.context(), to, 40_000).unwrap();
    }

    fn poll(&mut self, now: Instant) {
        self.iface.poll(smol_time(now), &mut self.wire, &mut self.sockets);
    }
}

/// smoltcp as a node: the test keeps hold of it, too.
struct SmolNode(Rc<RefCell<Smol>>);

impl Node for SmolNode {
    fn receive(&mut self, packet: Packet, now: Instant) {
        let mut smol = self.0.borrow_mut();
        smol.wire.incoming.push_back(packet.bytes().to_vec());
        smol.poll(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.0.borrow_mut().poll(now);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let smol = &mut *self.0.borrow_mut();
        let at = smol.iface.poll_at(::smoltcp::time::Instant::ZERO, &smol.sockets)?;
        Some(Instant::from_micros(at.total_micros().max(0) as u64))
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Frame> {
        let mut smol = self.0.borrow_mut();
        if smol.wire.outgoing.is_empty() {
            smol.poll(now);
        }
        let packet = smol.wire.outgoing.pop_front()?;
        let mut frame = Frame::new(Offload::None);
        frame.payload.push(Buffer::copy_of(&packet).slice(0..packet.len()));
        Some(frame)
    }
}

/// The application at smoltcp's end, after the same plan as the one at ours.
struct SmolApp {
    plan: Plan,
    expects: usize,
    /// It writes back what it read, instead of a stream of its own.
    echo: bool,
    written: usize,
    read: usize,
    closed: bool,
    rng: Rng,
}

impl SmolApp {
    /// True once smoltcp's socket is closed for good.
    fn act(&mut self, socket: &mut Socket<'_>) -> bool {
        if matches!(socket.state(), State::Listen | State::SynSent | State::SynReceived) {
            return false;
        }
        let mut eof = false;
        // What is echoed waits in the socket's buffers, not here.
        while !self.echo || socket.can_send() {
            let mut buffer = vec![0; 1 + self.rng.below(self.plan.chunk as u64) as usize];
            let room = if self.echo {
                buffer.len().min(socket.send_capacity() - socket.send_queue())
            } else {
                buffer.len()
            };
            match socket.recv_slice(&mut buffer[..room]) {
                Ok(0) => break,
                Ok(len) => {
                    for (i, &byte) in buffer[..len].iter().enumerate() {
                        assert_eq!(byte, pattern(0, self.read + i), "byte {}", self.read + i);
                    }
                    self.read += len;
                    if self.echo {
                        assert_eq!(socket.send_slice(&buffer[..len]), Ok(len));
                        self.written += len;
                    }
                }
                Err(RecvError::Finished) => {
                    eof = true;
                    break;
                }
                Err(RecvError::InvalidState) => break,
            }
        }
        while !self.echo && self.written < self.plan.writes && socket.can_send() {
            let end = (self.written + self.plan.chunk).min(self.plan.writes);
            let bytes: Vec<u8> = (self.written..end).map(|at| pattern(1, at)).collect();
            self.written += socket.send_slice(&bytes).unwrap();
        }
        let done = if self.echo { eof } else { self.written == self.plan.writes };
        if done && (!self.plan.waits_for_eof || eof) && !self.closed {
            self.closed = true;
            socket.close();
        }
        socket.state() == State::Closed
    }
}

struct Case {
    seed: u64,
    link: LinkConfig,
    /// smoltcp's buffers.
    buffer: usize,
    tidegate_opens: bool,
    echo: bool,
}

impl Case {
    fn run(&self, capabilities: Capabilities) {
        let rng = &mut Rng::from_u64(self.seed);
        let mut network = Network::new(self.seed);
        let [own, peer] = addrs(self.seed % 2 == 1);
        let tidegate = host(&mut network, own, TcpConfig::default(), capabilities);
        let smol = Rc::new(RefCell::new(Smol::new(peer, self.buffer)));
        let other = network.add_node(SmolNode(smol.clone()), &[peer]);
        network.connect(tidegate, other, self.link.clone());
        network.allow_drops(tidegate, DROPS);
        crate::show::if_asked(&mut network);

        // Small windows move few bytes per round trip.
        let most = 150_000.min(60 * self.buffer as u64);
        let (ours, theirs) = (rng.below(most) as usize, rng.below(most) as usize);
        let waits = rng.chance(0.5);
        let plan =
            |writes, waits_for_eof| Plan { writes, chunk: 3_000, waits_for_eof, drops: false, pauses: 0.0 };
        let theirs = if self.echo { ours } else { theirs };
        // An echo is the stream that was sent.
        let streams = [0, if self.echo { 0 } else { 1 }];
        let mut app = App::new(tidegate, plan(ours, waits && !self.echo), theirs, streams, rng);
        let mut smol_app = SmolApp {
            plan: plan(theirs, !waits),
            expects: ours,
            echo: self.echo,
            written: 0,
            read: 0,
            closed: false,
            rng: Rng::from_seed(rng.seed()),
        };
        self.open(&mut network, &mut app, &smol, [own, peer]);
        let over = network.run_while(LIMIT, |network| {
            app.act(network);
            let closed = smol_app.act(smol.borrow_mut().socket());
            !(app.closed && closed)
        });
        let state = smol.borrow_mut().socket().state();
        assert!(
            over,
            "stalled: {} {} {} here, {} {} {state} there",
            app.written, app.read, app.closed, smol_app.written, smol_app.read
        );
        assert_eq!((app.read, smol_app.read), (app.expects, smol_app.expects));
        if let Some(listener) = app.listener {
            let now = network.now();
            network.stack(tidegate).tcp_close_listener(listener, now);
        }
        expect_nothing_left(&mut network, &[tidegate], LIMIT);
    }

    fn open(&self, network: &mut Network, app: &mut App, smol: &Rc<RefCell<Smol>>, [own, peer]: [IpAddr; 2]) {
        let (host, now): (HostId, _) = (app.host, network.now());
        if self.tidegate_opens {
            smol.borrow_mut().socket().listen(PORT).unwrap();
            app.id = Some(network.stack(host).tcp_connect(None, (peer, PORT).into(), now).unwrap());
        } else {
            app.listener = Some(network.stack(host).tcp_listen((own, PORT).into(), 1).unwrap());
            smol.borrow_mut().connect((own, PORT).into());
        }
    }
}

/// What loss, duplication and reordering may make us drop.
const DROPS: &[DropReason] = &[
    DropReason::TcpOutOfWindow,
    DropReason::TcpPaws,
    DropReason::TcpBadAck,
    DropReason::TcpFlags,
    DropReason::TcpNoSocket,
    DropReason::TcpRst,
];

fn cases(loss: f64, echo: bool) {
    let link = LinkConfig {
        delay: Duration::from_millis(5),
        loss,
        duplicate: loss / 4.0,
        reorder: loss / 2.0,
        ..LinkConfig::default()
    };
    let mut seed = 0;
    for buffer in [512, 4_096, 65_535] {
        for tidegate_opens in [false, true] {
            for capabilities in [Capabilities::plain(MTU), Capabilities::offload(MTU)] {
                for _ in 0..4 {
                    let case = Case { seed, link: link.clone(), buffer, tidegate_opens, echo };
                    let run = std::panic::AssertUnwindSafe(|| case.run(capabilities));
                    if let Err(panic) = std::panic::catch_unwind(run) {
                        eprintln!("seed {seed}, buffer {buffer}, opens {tidegate_opens}, {capabilities:?}");
                        std::panic::resume_unwind(panic);
                    }
                    seed += 1;
                }
            }
        }
    }
}

#[test]
fn bulk_both_ways_over_a_clean_link() {
    cases(0.0, false);
}

#[test]
fn bulk_both_ways_over_a_lossy_link() {
    cases(0.1, false);
}

#[test]
fn echo_over_a_clean_link() {
    cases(0.0, true);
}

#[test]
fn echo_over_a_lossy_link() {
    cases(0.1, true);
}
