//! An idle connection costs little, whether it carried data or not: bytes of memory in the core by a counting allocator, with all
//! that stands beside the connection itself (its places in the table that finds it, in that of timers, in that of handles).
//!
//! `cargo bench --bench million` measures the same, and the time of a packet, up to a million connections.

#[path = "../benches/million/pair.rs"]
mod pair;

use pair::{Pair, held};

/// What is allocated once is paid for by these: a whole number of pages, as all counts here are.
const WARM: usize = 1_024;
/// A TIME-WAIT record with its places in the order of expiry and in the table that finds it.
const TIME_WAIT: isize = 160;

fn warm() -> Pair {
    let mut pair = Pair::new();
    pair.open(WARM);
    pair.echo(0..WARM);
    pair
}

/// Bytes for each client and each server beyond the warm ones.
fn grown(pair: &Pair, before: [isize; 2], count: usize) -> [isize; 2] {
    let grown = [pair.client.bytes - before[0], pair.server.bytes - before[1]];
    grown.map(|bytes| bytes / (count - WARM) as isize)
}

fn echo(pair: &mut Pair, count: usize) {
    (WARM..count).step_by(500).for_each(|first| pair.echo(first..(first + 500).min(count)));
}

fn check_fresh_and_used(count: usize) {
    let mut pair = warm();
    let before = [pair.client.bytes, pair.server.bytes];
    pair.open(count);
    let fresh = grown(&pair, before, count);
    echo(&mut pair, count);
    let used = grown(&pair, before, count);
    println!("{count} connections: bytes for each client and each server: fresh {fresh:?}, used {used:?}");
    assert!(fresh.into_iter().chain(used).all(|bytes| bytes <= 512), "{fresh:?} and {used:?} with {count}");
}

fn check_closed(count: usize) {
    let mut pair = warm();
    pair.open(count);
    echo(&mut pair, count);
    let before = held();
    (0..count / 512).for_each(|_| pair.close(512));
    let record = (held() - before) / count as isize;
    println!("{count} connections: {record} bytes for each that is in TIME-WAIT");
    assert!(record <= TIME_WAIT, "{record} bytes with {count} connections");
}

/// The allocator counts for all threads, so everything is one test. The table that finds a connection doubles: just behind such a step
/// it is the largest for its connections, and just before the smallest.
#[test]
fn an_idle_connection_takes_at_most_512_bytes_in_the_core() {
    [10_240, 14_592, 28_672].into_iter().for_each(check_fresh_and_used);
    check_closed(10_240);
}
