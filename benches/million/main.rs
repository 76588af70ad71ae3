//! What a million connections cost: memory by side, time to open, the time of a packet among ten and among a million, and opening
//! and closing beside 100,000 TIME-WAIT records.
//!
//!     cargo bench --bench million
//!     cargo bench --bench million -- 10 100000      these numbers of connections only
//!
//! Bytes are what is allocated for a connection on each side: after the handshake, and "used" after a byte went to and fro. A packet is
//! one byte that the server takes in, reads, answers and sends, in bursts of 64 as a device brings them; only the server is measured.
//! "few" are ten connections among idle ones, "any" are all, at random. It asserts nothing: seconds do not repeat.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures")]

#[path = "pair.rs"]
mod pair;

use std::io::IoSlice;
use std::time::Instant as Clock;

use pair::{Pair, held};
use tidegate::tcp::TcpId;
use tidegate::wire::packet::Packet;

const COUNTS: [usize; 4] = [10, 1_000, 100_000, 1_000_000];
const BURST: usize = 64;
const BURSTS: usize = 10_000;
/// The times to open and to close are the least of so many.
const RUNS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let counts: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    println!("connections   open, µs   bytes: client   server   used   packet, ns: few    any");
    for &count in if counts.is_empty() { &COUNTS[..] } else { &counts } {
        report(count);
    }
    time_wait();
}

fn report(count: usize) {
    let mut pair = Pair::new();
    let began = Clock::now();
    pair.open(count);
    let open = began.elapsed().as_secs_f64() * 1e6 / count as f64;
    let [client, server] = [&pair.client, &pair.server].map(|side| side.bytes / count as isize);
    let fresh = held();
    (0..count).step_by(500).for_each(|first| pair.echo(first..(first + 500).min(count)));
    let used = server + (held() - fresh) / 2 / count as isize;
    let few = packet_time(&mut pair, &mut Order::new(count.min(10), false));
    let any = packet_time(&mut pair, &mut Order::new(count, true));
    println!("{count:>11}   {open:>8.2}   {client:>13}   {server:>6}   {used:>4}   {few:>15.0}   {any:>4.0}");
}

/// Which connection is next: in turn, or at random.
struct Order {
    count: usize,
    random: bool,
    state: u64,
}

impl Order {
    fn new(count: usize, random: bool) -> Self {
        Order { count, random, state: 1 }
    }

    fn next(&mut self) -> usize {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if self.random {
            (self.state >> 33) as usize % self.count
        } else {
            (self.state >> 33) as usize % 10 % self.count
        }
    }
}

/// Nanoseconds that the server needs for a packet in, its answer read, written and sent: the lower quartile of bursts, since neighbours
/// on this machine only ever add.
fn packet_time(pair: &mut Pair, order: &mut Order) -> f64 {
    let mut times = Vec::with_capacity(BURSTS);
    for _ in 0..BURSTS {
        let mut which: Vec<usize> = (0..BURST).map(|_| order.next()).collect();
        which.sort_unstable();
        which.dedup();
        // In the order of their numbers they would lie beside each other.
        let len = which.len();
        (1..len).for_each(|i| which.swap(i, order.next() % (i + 1)));
        let now = pair.now;
        for &number in &which {
            let id = pair.clients[number];
            pair.client.stack.tcp().send(id, &[IoSlice::new(b"?")], now).expect("room");
        }
        let mut burst = Vec::with_capacity(BURST);
        while let Some(frame) = pair.client.stack.poll_transmit(now) {
            burst.push(frame.to_packet());
        }
        let servers: Vec<TcpId> = which.iter().map(|&number| pair.servers[number]).collect();
        let mut answers: Vec<Packet> = Vec::with_capacity(BURST);
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
        times.push(began.elapsed().as_nanos() as f64 / which.len() as f64);
        for packet in answers {
            pair.client.stack.receive(packet, now);
        }
        for &number in &which {
            pair.client.stack.tcp().recv(pair.clients[number], &mut [0; 64], now).expect("the echo");
        }
        pair.exchange();
    }
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 4]
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
