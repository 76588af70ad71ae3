//! No packet costs an allocation once the stack is warm: on each hot path alone; between two stacks over a link that loses,
//! reorders and repeats, in bulk and in requests and responses; datagrams; and through sockets, drivers and a pipe.
//!
//! The allocator counts for all threads, so everything is one test. What opening a connection takes is not counted: a connection is
//! not a packet.

#[path = "../benches/support/mod.rs"]
mod support;

use std::alloc::System;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::SocketAddr;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::workloads;
use tidegate::apps::echo;
use tidegate::base::time::{Duration, Instant};
use tidegate::device::Capabilities;
use tidegate::device::pipe::pipe;
use tidegate::driver::{Driver, DriverConfig};
use tidegate::net::{Net, TcpListener, TcpStream};
use tidegate::stack::{Stack, StackConfig};
use tidegate::tcp::TcpId;
use tidegate::tcp::config::TcpConfig;
use tidegate::wire::packet::Packet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Rounds until pools and queues have their size, and rounds that are counted.
const WARM_UP: usize = 600;
const COUNTED: usize = 200;

/// Allocations so far; memory that grows in its place counts, too.
struct Count(Region<'static, System>);

impl Count {
    fn start() -> Self {
        Count(Region::new(ALLOCATOR))
    }

    fn total(&self) -> usize {
        let change = self.0.change();
        change.allocations + change.reallocations
    }
}

#[test]
fn no_packet_costs_an_allocation() {
    let mut found = Vec::new();
    for (name, build) in workloads::ALL {
        let allocations = on_hot_path(build(10).as_mut());
        match name {
            // These open connections, of which each takes its lists anew, and show nothing here.
            "open_close" | "sack_holes_in" | "sack_holes_by_count_in" => {}
            // The first loss of each round's connection takes a box for the curve from then on, and nothing else does.
            "sack_in" => found.push((name.to_owned(), allocations.abs_diff(COUNTED))),
            _ => found.push((name.to_owned(), allocations)),
        }
    }
    for capabilities in [Capabilities::offload(1_500), Capabilities::plain(1_500)] {
        for faults in [Faults::NONE, Faults::SOME] {
            let case = |what: &str| format!("{what}, {capabilities:?}, {faults:?}");
            found.push((case("bulk"), Pair::new(capabilities, faults).bulk()));
            found.push((case("requests and responses"), Pair::new(capabilities, faults).requests()));
        }
    }
    for capabilities in [Capabilities::offload(1_500), Capabilities::plain(1_500)] {
        found.push((format!("datagrams, {capabilities:?}"), datagrams(capabilities)));
        for len in [1, 100_000] {
            found.push((
                format!("sockets, {len} bytes, {capabilities:?}"),
                echo_through_sockets(capabilities, len),
            ));
        }
    }
    found.retain(|(_, allocations)| *allocations > 0);
    assert!(found.is_empty(), "allocations in {COUNTED} rounds: {found:#?}");
}

fn on_hot_path(load: &mut dyn workloads::Workload) -> usize {
    let mut allocations = 0;
    for round in 0..WARM_UP + COUNTED {
        load.prepare();
        let count = Count::start();
        load.run();
        allocations += if round < WARM_UP { 0 } else { count.total() };
    }
    allocations
}

/// Which packets meet with this, one of so many; zero: none does.
#[derive(Clone, Copy, Debug)]
struct Faults {
    lost: u32,
    late: u32,
    twice: u32,
}

impl Faults {
    const NONE: Faults = Faults { lost: 0, late: 0, twice: 0 };
    /// Primes, so that all meetings occur.
    const SOME: Faults = Faults { lost: 101, late: 67, twice: 53 };
}

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [10, 0, 0, 2];

/// Client and server.
fn stacks(capabilities: Capabilities) -> [Stack; 2] {
    [CLIENT, SERVER].map(|addr| {
        let config = StackConfig { addrs: vec![(addr.into(), 24)], tcp: TcpConfig::default() };
        Stack::new(config, capabilities, [addr[3]; 32]).expect("a stack")
    })
}

/// Datagrams of several sizes, one that needs fragments among them, and each comes back.
fn datagrams(capabilities: Capabilities) -> usize {
    let mut stacks = stacks(capabilities);
    let (server, now) = (SocketAddr::from((SERVER, 7)), Instant::from_millis(1_000));
    let ids = [SocketAddr::from((CLIENT, 5_000)), server];
    let ids = [0, 1].map(|side: usize| stacks[side].udp_bind(ids[side]).expect("a port"));
    let (mut link, mut bytes) = (VecDeque::with_capacity(256), vec![7; 4_096]);
    let mut round = || {
        for len in [1, 100, 100, 100, 1_472, 4_000] {
            stacks[0].udp_send_to(ids[0], &bytes[..len], server).expect("room");
        }
        for side in 0..2 {
            link.extend(
                std::iter::from_fn(|| stacks[side].poll_transmit(now)).map(|frame| frame.to_packet()),
            );
            link.drain(..).for_each(|packet| stacks[1 - side].receive(packet, now));
            while stacks[1 - side].poll_event().is_some() {}
            let mut count = 0;
            while let Ok(received) = stacks[1 - side].udp().recv_from(ids[1 - side], &mut bytes) {
                count += 1;
                if side == 0 {
                    let (id, answer) = (ids[1], &bytes[..received.len]);
                    stacks[1].udp_send_to(id, answer, received.from).expect("room");
                }
            }
            assert_eq!(count, 6);
        }
    };
    (0..WARM_UP).for_each(|_| round());
    let count = Count::start();
    (0..COUNTED).for_each(|_| round());
    count.total()
}

/// So many bytes are written, echoed and read, again and again, by tasks of a runtime; drivers, wakers and the pipe are counted, too.
/// When whose turn is depends on the machine, and a list grows where more waits than ever before: the least of some counts.
fn echo_through_sockets(capabilities: Capabilities, len: usize) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (client, server) = pipe(capabilities, capabilities, 64).expect("a pipe");
        let drivers = stacks(capabilities).into_iter().zip([client, server]);
        let drivers: Vec<Driver> = drivers
            .map(|(stack, device)| Driver::spawn(stack, device, DriverConfig::default()).expect("a driver"))
            .collect();
        let [client, server] = [0, 1].map(|side: usize| Net::new(drivers[side].shared().clone()));
        let listener = TcpListener::bind(&server, SocketAddr::from((SERVER, 7))).await.expect("a listener");
        tokio::spawn(async move { echo::run(listener.accept().await.expect("a connection").0).await });
        let mut stream =
            TcpStream::connect(&client, SocketAddr::from((SERVER, 7))).await.expect("a connection");
        let (mut bytes, mut least) = (vec![7; len], usize::MAX);
        for rounds in [WARM_UP, COUNTED, COUNTED, COUNTED] {
            let count = Count::start();
            for _ in 0..rounds {
                stream.write_all(&bytes).await.expect("room");
                stream.read_exact(&mut bytes).await.expect("the echo");
            }
            least = least.min(count.total());
        }
        least
    })
}

/// Two stacks with a connection between them, and a link of no width.
struct Pair {
    stacks: [Stack; 2],
    /// What is on its way to each, and what comes late.
    links: [VecDeque<Packet>; 2],
    late: [VecDeque<Packet>; 2],
    ids: [TcpId; 2],
    now: Instant,
    faults: Faults,
    packets: u32,
    bytes: Vec<u8>,
}

impl Pair {
    fn new(capabilities: Capabilities, faults: Faults) -> Self {
        let mut stacks = stacks(capabilities);
        let (server, now) = (SocketAddr::from((SERVER, 80)), Instant::from_millis(1_000));
        let listener = stacks[1].tcp_listen(server, 16).expect("a listener");
        let client = stacks[0].tcp_connect(None, server, now).expect("an open");
        let queues = || [VecDeque::with_capacity(4_096), VecDeque::with_capacity(4_096)];
        let mut pair = Pair {
            stacks,
            links: queues(),
            late: queues(),
            ids: [client; 2],
            now,
            faults: Faults::NONE,
            packets: 0,
            bytes: vec![7; 1 << 18],
        };
        (0..4).for_each(|_| pair.round());
        pair.ids[1] = pair.stacks[1].tcp().accept(listener).expect("a connection").0;
        pair.faults = faults;
        pair
    }

    /// Half a round trip of 200 µs: what is on its way arrives, and what each stack sends then is on its way. With nothing on its
    /// way time passes until a timer is due.
    fn round(&mut self) {
        self.now += Duration::from_micros(100);
        if self.links.iter().chain(&self.late).all(VecDeque::is_empty) {
            let due = self.stacks.iter().filter_map(Stack::poll_timeout).min();
            self.now = due.map_or(self.now, |due| due.max(self.now));
        }
        for (side, stack) in self.stacks.iter_mut().enumerate() {
            for packet in self.links[side].drain(..) {
                stack.receive(packet, self.now);
            }
            std::mem::swap(&mut self.links[side], &mut self.late[side]);
            stack.handle_timeout(self.now);
            while stack.poll_event().is_some() {}
        }
        for side in 0..2 {
            while let Some(frame) = self.stacks[side].poll_transmit(self.now) {
                self.packets += 1;
                let (packets, other) = (self.packets, 1 - side);
                let meets = |every: u32| every > 0 && packets.is_multiple_of(every);
                if meets(self.faults.lost) {
                    continue;
                }
                let way = if meets(self.faults.late) { &mut self.late } else { &mut self.links };
                way[other].push_back(frame.to_packet());
                if meets(self.faults.twice) {
                    self.links[other].push_back(frame.to_packet());
                }
            }
        }
    }

    fn write(&mut self, side: usize, len: usize) -> usize {
        let bytes = [IoSlice::new(&self.bytes[..len])];
        self.stacks[side].tcp().send(self.ids[side], &bytes, self.now).unwrap_or(0)
    }

    fn read(&mut self, side: usize) -> usize {
        self.stacks[side].tcp().recv(self.ids[side], &mut self.bytes, self.now).unwrap_or(0)
    }

    /// The first stack writes, up to 128 KiB in a round, and the second reads.
    fn bulk(mut self) -> usize {
        self.counted(|pair| {
            pair.write(0, 1 << 17);
            pair.round();
            while pair.read(1) > 0 {}
        })
    }

    /// Requests of 100 bytes and responses of 5,000, one after the other.
    fn requests(mut self) -> usize {
        let mut awaited = 0;
        self.counted(|pair| {
            if awaited == 0 {
                awaited = 5_000;
                pair.write(0, 100);
            }
            pair.round();
            if pair.read(1) > 0 {
                pair.write(1, 5_000);
            }
            awaited -= pair.read(0);
        })
    }

    /// Allocations in the last of so many rounds that windows and losses have met in every way.
    fn counted(&mut self, mut round: impl FnMut(&mut Self)) -> usize {
        (0..10 * WARM_UP).for_each(|_| round(self));
        let (before, count) = (self.packets, Count::start());
        (0..10 * COUNTED).for_each(|_| round(self));
        let allocations = count.total();
        let packets = (self.packets - before) as usize;
        assert!(packets > 5 * COUNTED, "a connection at work: {packets} packets");
        allocations
    }
}
