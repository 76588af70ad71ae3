//! Idle memory: opens many connections, lets each do its work once, and looks at what the server's process has grown by.
//!
//! For a server over the kernel's sockets the kernel's own growth counts as well: half of it, since the client's ends are the other half.
//! A process may have few files open, so that the connections are held by several: this program again, each with a share.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use tidegate_bench as bench;

use crate::connects::connect_from;
use crate::{Plan, process};

/// Threads that connect, so that neither side waits for the other.
const THREADS: usize = 8;
/// Connections of one process.
const SHARE: usize = 15_000;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 10.77.0.2\r\n\r\n";
/// The first of the further source addresses ends so.
const FURTHER: u8 = 10;

/// Prints bytes per connection, and how fast they were opened.
pub fn run(plan: Plan, connections: usize, sources: u8, http: bool) -> anyhow::Result<String> {
    // What the first connection brings about is not per connection. It is one of them, since servers have bounds.
    let first = open(bench::CLIENT, server(plan, http), http)?;
    let before = (process::resident(plan.pid)?, process::slab()?, Instant::now());
    let connections = connections.saturating_sub(1);
    let shares = (0..connections).step_by(SHARE).map(|begin| SHARE.min(connections - begin));
    let mut holders = Vec::new();
    for (number, share) in shares.enumerate() {
        // One after the other: the server's pace is what limits.
        let source = source(number, sources.max(1));
        holders.push(Holder::start(plan, share, source, http)?);
    }
    let seconds = before.2.elapsed().as_secs_f64();
    thread::sleep(plan.warm);
    let growth = process::resident(plan.pid)?.saturating_sub(before.0);
    let slab = process::slab()?.saturating_sub(before.1);
    drop((first, holders));
    let each = |bytes: f64| bytes / connections as f64;
    Ok(format!(
        r#"{{"bytes_each":{:.0},"kernel_each":{:.0},"opened_per_second":{:.0},"connections":{connections}}}"#,
        each(growth as f64),
        each(slab as f64 / 2.0),
        connections as f64 / seconds,
    ))
}

/// What a holder does: opens its share, says so, and waits for the end of its input.
pub fn hold(plan: Plan, connections: usize, source: Ipv4Addr, http: bool) -> anyhow::Result<String> {
    let server = server(plan, http);
    let threads = (0..THREADS).map(|thread| {
        let share = (thread..connections).step_by(THREADS);
        thread::spawn(move || share.map(|_| open(source, server, http)).collect::<anyhow::Result<Vec<_>>>())
    });
    let threads: Vec<_> = threads.collect();
    let mut held = Vec::with_capacity(connections);
    for thread in threads {
        held.extend(thread.join().map_err(|_| anyhow::anyhow!("a thread failed"))??);
    }
    bench::ready()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(String::new())
}

/// A process that holds connections.
struct Holder(Child);

impl Holder {
    fn start(plan: Plan, connections: usize, source: Ipv4Addr, http: bool) -> anyhow::Result<Holder> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--to", &plan.to.to_string(), "hold", "--connections", &connections.to_string()]);
        command.args(["--source", &source.to_string()]).args(http.then_some("--http"));
        let mut holder = Holder(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
        let stdout = holder.0.stdout.take().context("no pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        anyhow::ensure!(line == "ready\n", "not all connections were opened");
        Ok(holder)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn server(plan: Plan, http: bool) -> SocketAddr {
    plan.server(if http { bench::HTTP } else { bench::ECHO })
}

fn source(number: usize, sources: u8) -> Ipv4Addr {
    let [a, b, c, own] = bench::CLIENT.octets();
    let index = (number % usize::from(sources)) as u8;
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
