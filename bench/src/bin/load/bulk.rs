//! Bulk: one thread and one connection a stream, blocking calls of the size that the kernel likes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use tidegate_bench as bench;

use crate::{Plan, process};

/// Fits the processor's cache beside what the kernel copies it from or to.
const BLOCK: usize = 256 * 1024;

/// Bytes that one thread has moved; on a cache line of its own.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Count(AtomicU64);

/// Reads from chargen.
pub fn receive(plan: Plan, streams: usize) -> anyhow::Result<String> {
    run(plan, bench::CHARGEN, streams, |mut stream, count| {
        let mut block = vec![0; BLOCK];
        while let Ok(size @ 1..) = stream.read(&mut block) {
            count.0.fetch_add(size as u64, Ordering::Relaxed);
        }
    })
}

/// Writes to discard.
pub fn send(plan: Plan, streams: usize) -> anyhow::Result<String> {
    run(plan, bench::DISCARD, streams, |mut stream, count| {
        let block = vec![b'.'; BLOCK];
        while let Ok(size @ 1..) = stream.write(&block) {
            count.0.fetch_add(size as u64, Ordering::Relaxed);
        }
    })
}

fn run(plan: Plan, port: u16, streams: usize, work: fn(TcpStream, Arc<Count>)) -> anyhow::Result<String> {
    let mut counts = Vec::new();
    for _ in 0..streams {
        let stream = connect(plan, port)?;
        let count = Arc::new(Count::default());
        counts.push(count.clone());
        thread::spawn(move || work(stream, count));
    }
    let moved = || counts.iter().map(|count| count.0.load(Ordering::Relaxed)).sum::<u64>();
    thread::sleep(plan.warm);
    let before = (moved(), process::cpu_seconds(plan.pid)?, process::retransmissions(), Instant::now());
    thread::sleep(plan.seconds);
    let seconds = before.3.elapsed().as_secs_f64();
    let bytes = moved() - before.0;
    let cpu = process::cpu_seconds(plan.pid)? - before.1;
    let again = process::retransmissions() - before.2;
    anyhow::ensure!(bytes > 0, "no byte came through in {seconds:.1} s");
    Ok(format!(
        r#"{{"gbps":{:.4},"bytes":{bytes},"seconds":{seconds:.4},"cpu":{cpu:.2},"retransmissions":{again}}}"#,
        bytes as f64 * 8e-9 / seconds
    ))
}

fn connect(plan: Plan, port: u16) -> anyhow::Result<TcpStream> {
    let server = plan.server(port);
    let stream = TcpStream::connect_timeout(&server, Duration::from_secs(5));
    let stream = stream.with_context(|| format!("no connection to {server}"))?;
    bench::use_cubic(&stream);
    Ok(stream)
}
