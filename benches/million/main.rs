//! What a million connections cost: memory by side, time to open, the time of a packet among ten and among a million, and opening
//! and closing beside 100,000 TIME-WAIT records.
//!
//!     cargo bench --bench million
//!     cargo bench --bench million -- 10 100000      these numbers of connections only
//!
//! Bytes are what is allocated for a connection on each side: after the handshake, and "used" after a byte went to and fro. A packet is
//! one byte that the server takes in, reads, answers and sends, in bursts as a device brings them, each packet of another connection;
//! only the server is measured. "few" are always the same connections, as many as a burst has packets, among idle ones; "any" are drawn
//! from all. The ratio is to the few of the first line. It asserts nothing: seconds do not repeat.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures")]

#[path = "pair.rs"]
mod pair;

use std::io::IoSlice;
use std::time::Instant as Clock;

use pair::{Pair, held};
use tidegate::tcp::TcpId;
use tidegate::wire::packet::Packet;

const COUNTS: [usize; 4] = [10, 1_000, 100_000, 1_000_000];
/// Packets in a burst: of ten connections, and as many as a device brings at most.
const SIZES: [usize; 2] = [10, 64];
/// Bursts in a run.
const BURSTS: usize = 2_000;
/// All times are the least of so many runs.
const RUNS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let counts: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    println!(
        "                         bytes                    ns in bursts of 10        ns in bursts of 64"
    );
    println!(
        "connections   open, µs   client   server   used     few    any   ratio       few    any   ratio"
    );
    let mut least = [None; SIZES.len()];
    for &count in if counts.is_empty() { &COUNTS[..] } else { &counts } {
        report(count, &mut least);
    }
    time_wait();
}

/// One line. `least` are the times that ratios are to, once there are some.
fn report(count: usize, least: &mut [Option<f64>; SIZES.len()]) {
    let mut pair = Pair::new();
    let began = Clock::now();
    pair.open(count);
    let open = began.elapsed().as_secs_f64() * 1e6 / count as f64;
    let [client, server] = [&pair.client, &pair.server].map(|side| side.bytes / count as isize);
    let fresh = held();
    (0..count).step_by(500).for_each(|first| pair.echo(first..(first + 500).min(count)));
    let used = server + (held() - fresh) / 2 / count as isize;
    print!("{count:>11}   {open:>8.2}   {client:>6}   {server:>6}   {used:>4}");
    for (size, least) in SIZES.into_iter().zip(least) {
        if count < size {
            print!("   {:>5}  {:>5}   {:>5}   ", "–", "–", "–");
            continue;
        }
        let [few, any] = [size, count].map(|of| packet_time(&mut pair, size, Order { of, state: 1 }));
        let ratio = any / *least.get_or_insert(few);
        print!("   {few:>5.0}  {any:>5.0}   {ratio:>5.2}   ");
    }
    println!();
}

/// Draws connections out of the first so many.
struct Order {
    of: usize,
    state: u64,
}

impl Order {
    fn next(&mut self) -> usize {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % self.of
    }

    /// So many different ones. In the order of their numbers they would lie beside each other.
    fn draw(&mut self, count: usize) -> Vec<usize> {
        let mut which = Vec::with_capacity(count);
        while which.len() < count {
            let number = self.next();
            if !which.contains(&number) {
                which.push(number);
            }
        }
        which
    }
}

/// Nanoseconds that the server needs for a packet: the least lower quartile of some runs, since neighbours on this machine only ever add.
fn packet_time(pair: &mut Pair, size: usize, mut order: Order) -> f64 {
    let mut run = || {
        let mut times: Vec<f64> = (0..BURSTS).map(|_| burst_time(pair, &order.draw(size))).collect();
        times.sort_unstable_by(f64::total_cmp);
        times[times.len() / 4]
    };
    (0..RUNS).map(|_| run()).fold(f64::MAX, f64::min)
}

/// Nanoseconds for each packet of one burst to these connections: in, its answer read, written and sent.
fn burst_time(pair: &mut Pair, which: &[usize]) -> f64 {
    let now = pair.now;
    for &number in which {
        let id = pair.clients[number];
        pair.client.stack.tcp().send(id, &[IoSlice::new(b"?")], now).expect("room");
    }
    let mut burst = Vec::with_capacity(which.len());
    while let Some(frame) = pair.client.stack.poll_transmit(now) {
        burst.push(frame.to_packet());
    }
    let servers: Vec<TcpId> = which.iter().map(|&number| pair.servers[number]).collect();
    let mut answers: Vec<Packet> = Vec::with_capacity(which.len());
    let began = Clock::now();
    pair.server.stack.look_ahead(&burst);
    for packet in burst {
        pair.server.stack.receive(packet, now);
    }
    while pair.server.stack.poll_event().is_some() {}
    pair.answer(&servers);
    while let Some(frame) = pair.server.stack.poll_transmit(now) {
        answers.push(frame.to_packet());
    }
    let took = began.elapsed().as_nanos() as f64;
    for packet in answers {
        pair.client.stack.receive(packet, now);
    }
    for &number in which {
        pair.client.stack.tcp().recv(pair.clients[number], &mut [0; 64], now).expect("the echo");
    }
    pair.exchange();
    took / which.len() as f64
}

/// Microseconds to open and to close a connection, both ends together, beside so many TIME-WAIT records.
fn time_wait() {
    println!("TIME-WAIT records   open, µs   close, µs");
    for records in [0, 100_000] {
        let mut pair = Pair::new();
        for _ in 0..records / 10_000 {
            pair.open(10_000);
            pair.close(10_000);
        }
        let (mut open, mut close) = (f64::MAX, f64::MAX);
        for _ in 0..RUNS {
            let began = Clock::now();
            pair.open(4_000);
            open = open.min(began.elapsed().as_secs_f64() * 1e6 / 4_000.0);
            let began = Clock::now();
            pair.close(4_000);
            close = close.min(began.elapsed().as_secs_f64() * 1e6 / 4_000.0);
        }
        let counters = pair.server.stack.counters();
        println!("{records:>17}   {open:>8.2}   {close:>9.2}   evicted {}", counters.tcp_time_wait_evicted);
    }
}
