//! An idle connection costs little: bytes of memory in the core by a counting allocator, with all that stands beside the
//! connection itself (its places in the table that finds it, in that of timers, in that of handles).
//!
//! `cargo bench --bench million` measures the same, and the time of a packet, up to a million connections.

#[path = "../benches/million/pair.rs"]
mod pair;

use pair::{Pair, held};

/// What is allocated once is paid for by these: a whole number of pages, as all counts here are.
const WARM: usize = 1_024;
/// A connection that carried data keeps besides what it learned of the path and of the peer.
const LEARNED: isize = 64;
/// A TIME-WAIT record with its places in the order of expiry and in the table that finds it.
const TIME_WAIT: isize = 160;

fn warm() -> Pair {
    let mut pair = Pair::new();
    pair.open(WARM);
    pair.echo(0..WARM);
    pair
}

fn check_fresh(count: usize) {
    let mut pair = warm();
    let before = [pair.client.bytes, pair.server.bytes];
    pair.open(count);
    let grown = [pair.client.bytes - before[0], pair.server.bytes - before[1]];
    let [client, server] = grown.map(|bytes| bytes / (count - WARM) as isize);
    println!("{count} connections: {client} bytes for each client, {server} for each server");
    assert!(client <= 512 && server <= 512, "{client} and {server} bytes with {count} connections");
}

fn check_used_and_closed(count: usize) {
    let mut pair = warm();
    pair.open(count);
    let before = held();
    (WARM..count).step_by(500).for_each(|first| pair.echo(first..(first + 500).min(count)));
    let learned = (held() - before) / 2 / (count - WARM) as isize;
    println!("{count} connections: {learned} bytes more for each that was used");
    assert!(learned <= LEARNED, "{learned} bytes more with {count} connections");
    let before = held();
    (0..count / 512).for_each(|_| pair.close(512));
    // What they had learned is forgotten with them.
    let record = (held() - before) / count as isize + 2 * learned;
    println!("{count} connections: {record} bytes for each that is in TIME-WAIT");
    assert!(record <= TIME_WAIT, "{record} bytes with {count} connections");
}

/// The allocator counts for all threads, so everything is one test. The table that finds a connection doubles: just behind such a step
/// it is the largest for its connections, and just before the smallest.
#[test]
fn an_idle_connection_takes_at_most_512_bytes_in_the_core() {
    [10_240, 14_592, 28_672].into_iter().for_each(check_fresh);
    check_used_and_closed(10_240);
}
