//! Round trips: one byte to echo and back, blocking, the next when the last is there.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::Context;
use tidegate_bench as bench;

use crate::Plan;

/// Waits no longer for one byte.
const LOST: Duration = Duration::from_secs(5);

/// Prints the median, the 99th percentile and the number of round trips.
pub fn run(plan: Plan) -> anyhow::Result<String> {
    let server = plan.server(bench::ECHO);
    let mut stream =
        TcpStream::connect_timeout(&server, LOST).with_context(|| format!("no connection to {server}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LOST))?;
    let mut trips = Vec::with_capacity(1 << 20);
    repeat(&mut stream, plan.warm, &mut trips)?;
    trips.clear();
    repeat(&mut stream, plan.seconds, &mut trips)?;
    trips.sort_unstable();
    let at = |share: f64| trips[((trips.len() - 1) as f64 * share) as usize].as_nanos() as f64 / 1000.0;
    Ok(format!(r#"{{"p50":{:.2},"p99":{:.2},"trips":{}}}"#, at(0.5), at(0.99), trips.len()))
}

fn repeat(stream: &mut TcpStream, time: Duration, trips: &mut Vec<Duration>) -> anyhow::Result<()> {
    let end = Instant::now() + time;
    let mut started = Instant::now();
    let mut byte = [b'.'];
    while trips.is_empty() || started < end {
        stream.write_all(&byte).and_then(|()| stream.read_exact(&mut byte)).context("the echo ended")?;
        let now = Instant::now();
        trips.push(now - started);
        started = now;
    }
    Ok(())
}
