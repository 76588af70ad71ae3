//! No packet costs an allocation once the stack is warm: on each hot path alone, and between two stacks over a link that loses,
//! reorders and repeats, in bulk and in requests and responses.
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
use tidegate::base::time::{Duration, Instant};
use tidegate::device::Capabilities;
use tidegate::stack::{Stack, StackConfig};
use tidegate::tcp::TcpId;
use tidegate::tcp::config::TcpConfig;
use tidegate::wire::packet::Packet;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Rounds until pools and queues have their size, and rounds that are counted.
const WARM_UP: usize = 600;
const COUNTED: usize = 200;

/// With faults one allocation in so many packets may be.
const PACKETS_TO_A_GROWTH: usize = 1_000;
/// These open new connections again and again; they show nothing here.
const NEW_CONNECTIONS: [&str; 4] = ["open_close", "sack_in", "sack_holes_in", "sack_holes_by_count_in"];

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
        if !NEW_CONNECTIONS.contains(&name) {
            found.push((name.to_owned(), allocations));
        }
    }
    for capabilities in [Capabilities::offload(1_500), Capabilities::plain(1_500)] {
        for faults in [Faults::NONE, Faults::SOME] {
            let case = |what: &str| format!("{what}, {capabilities:?}, {faults:?}");
            found.push((case("bulk"), Pair::new(capabilities, faults).bulk()));
            found.push((case("requests and responses"), Pair::new(capabilities, faults).requests()));
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
        let addrs = [[10, 0, 0, 1], [10, 0, 0, 2]];
        let mut stacks = addrs.map(|addr| {
            let config = StackConfig { addrs: vec![(addr.into(), 24)], tcp: TcpConfig::default() };
            Stack::new(config, capabilities, [addr[3]; 32]).expect("a stack")
        });
        let (server, now) = (SocketAddr::from((addrs[1], 80)), Instant::from_millis(1_000));
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
        let (packets, faulty) = ((self.packets - before) as usize, self.faults.lost > 0);
        assert!(packets > 5 * COUNTED, "a connection at work: {packets} packets");
        // Where faults meet as they never did before, a list may still grow to a size that it never had.
        if faulty { allocations.saturating_sub(packets / PACKETS_TO_A_GROWTH) } else { allocations }
    }
}
