//! Idle memory: opens many connections, lets each do its work once, and looks at what the server's process has grown by.
//!
//! For a server over the kernel's sockets the kernel's own growth counts as well: half of it, since the client's ends are the other half.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use tidegate_bench as bench;

use crate::connects::connect_from;
use crate::{Plan, process};

/// Threads that connect, so that neither side waits for the other.
const THREADS: usize = 8;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 10.77.0.2\r\n\r\n";
/// The first of the further source addresses ends so.
const FURTHER: u8 = 10;

/// Prints bytes per connection, and how fast they were opened.
pub fn run(plan: Plan, connections: usize, sources: u8, http: bool) -> anyhow::Result<String> {
    let server = plan.server(if http { bench::HTTP } else { bench::ECHO });
    // What the first connection brings about is not per connection.
    let first = open(bench::CLIENT, server, http)?;
    let before = (process::resident(plan.pid)?, process::slab()?, Instant::now());
    let held = open_all(server, connections, sources.max(1), http)?;
    let seconds = before.2.elapsed().as_secs_f64();
    thread::sleep(plan.warm);
    let growth = process::resident(plan.pid)?.saturating_sub(before.0);
    let slab = process::slab()?.saturating_sub(before.1);
    let line = format!(
        r#"{{"bytes_each":{:.0},"kernel_each":{:.0},"opened_per_second":{:.0},"connections":{}}}"#,
        growth as f64 / held.len() as f64,
        slab as f64 / 2.0 / held.len() as f64,
        held.len() as f64 / seconds,
        held.len(),
    );
    drop((first, held));
    Ok(line)
}

fn open_all(
    server: SocketAddr,
    connections: usize,
    sources: u8,
    http: bool,
) -> anyhow::Result<Vec<TcpStream>> {
    let share = move |thread: usize| (thread..connections).step_by(THREADS);
    let threads = (0..THREADS).map(|thread| {
        thread::spawn(move || {
            share(thread)
                .map(|number| open(source(number, sources), server, http))
                .collect::<anyhow::Result<Vec<_>>>()
        })
    });
    let threads: Vec<_> = threads.collect();
    let mut held = Vec::with_capacity(connections);
    for thread in threads {
        held.extend(thread.join().map_err(|_| anyhow::anyhow!("a thread failed"))??);
    }
    Ok(held)
}

fn source(number: usize, sources: u8) -> Ipv4Addr {
    let [a, b, c, own] = bench::CLIENT.octets();
    let index = (number / THREADS % usize::from(sources)) as u8;
    Ipv4Addr::new(a, b, c, if index == 0 { own } else { FURTHER + index - 1 })
}

/// A connection that has worked once.
fn open(source: Ipv4Addr, server: SocketAddr, http: bool) -> anyhow::Result<TcpStream> {
    let mut stream = connect_from(source, server)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut block = [0; 4096];
    stream.write_all(if http { REQUEST } else { b"." })?;
    let count = stream.read(&mut block).context("no answer")?;
    anyhow::ensure!(count > 0, "{server} closed the connection");
    Ok(stream)
}
