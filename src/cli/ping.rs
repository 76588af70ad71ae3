//! `tidegate ping HOST`: echo requests (RFC 792, RFC 4443) that go out through the stack.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tidegate::base::time::Instant;
use tidegate::net::{Net, Ping, PingEvent};
use tokio::net::lookup_host;
use tokio::time::MissedTickBehavior;

use super::attach::{self, Attached, Role};
use super::signals::Signals;

/// How long to wait for the last reply.
const LAST: Duration = Duration::from_secs(1);
/// The data begins with the time of sending, in nanoseconds of the stack's clock.
const STAMP: usize = size_of::<u64>();

/// Options of `ping`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address, or a name that the system's resolver answers
    host: String,
    /// Stop after this many requests
    #[arg(short, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Time between requests
    #[arg(short, value_name = "TIME", default_value = "1", value_parser = super::duration)]
    interval: Duration,
    /// Bytes of data in each request
    #[arg(short, value_name = "BYTES", default_value_t = 56, value_parser = clap::value_parser!(u32).range(..=65_507))]
    size: u32,
    #[command(flatten)]
    device: attach::Args,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    super::block_on(ping(args))
}

async fn ping(args: Args) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::catch()?;
    let found = lookup_host((args.host.as_str(), 0)).await;
    let found = found.with_context(|| format!("cannot resolve {}", args.host))?.next();
    let host = found.with_context(|| format!("{} has no address", args.host))?.ip();
    let Attached { net, driver, wire: _wire, .. } = args.device.open(Role::Client)?;
    let socket = Ping::open(&net, host).with_context(|| format!("cannot ping {host}"))?;
    println!("PING {} ({host}) {} bytes of data", args.host, args.size);
    let mut session = Session { net, host, size: args.size as usize, sent: 0, times: Vec::new() };
    tokio::select! {
        result = session.run(&socket, args.interval, args.count) => result?,
        () = signals.next() => {}
    }
    session.print_summary();
    drop(socket);
    driver.shutdown(Duration::ZERO).await.context("the device failed")?;
    Ok(if session.times.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// One run of requests to one host.
struct Session {
    net: Net,
    host: IpAddr,
    size: usize,
    sent: u64,
    /// Round trips of the replies.
    times: Vec<Duration>,
}

impl Session {
    async fn run(&mut self, socket: &Ping, interval: Duration, count: Option<u64>) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while count.is_none_or(|count| self.sent < count) {
            tokio::select! {
                _ = ticks.tick() => self.send(socket)?,
                event = socket.recv() => self.heard(event?),
            }
        }
        let rest = async {
            while (self.times.len() as u64) < self.sent {
                self.heard(socket.recv().await?);
            }
            anyhow::Ok(())
        };
        // Nobody need answer.
        tokio::time::timeout(LAST, rest).await.unwrap_or(Ok(()))
    }

    fn send(&mut self, socket: &Ping) -> anyhow::Result<()> {
        let mut data: Vec<u8> = (0..self.size).map(|index| index as u8).collect();
        let stamp = self.net.shared().now().as_nanos().to_be_bytes();
        if let Some(start) = data.get_mut(..STAMP) {
            start.copy_from_slice(&stamp);
        }
        self.sent += 1;
        match socket.send(self.sent as u16, &data) {
            // Like a full queue on the way: that request is lost.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            result => result.with_context(|| format!("cannot send to {}", self.host)),
        }
    }

    fn heard(&mut self, event: PingEvent) {
        match event {
            PingEvent::Reply { from, hop_limit, seq, data } => {
                let stamp = data.get(..STAMP).and_then(|stamp| stamp.try_into().ok()).map(u64::from_be_bytes);
                let took = stamp.map(|sent| self.net.shared().now().since(Instant::from_nanos(sent)));
                let shown = took.map_or(String::new(), |took| format!(" time={:.3} ms", millis(took)));
                println!("{} bytes from {from}: seq={seq} ttl={hop_limit}{shown}", data.len());
                self.times.push(took.unwrap_or_default());
            }
            PingEvent::Error { to, kind } => println!("{to}: {kind:?}"),
        }
    }

    fn print_summary(&self) {
        let received = self.times.len() as u64;
        let lost = self.sent.saturating_sub(received) * 100 / self.sent.max(1);
        println!("\n--- {} ---", self.host);
        println!("{} packets transmitted, {received} received, {lost}% packet loss", self.sent);
        let (Some(min), Some(max)) = (self.times.iter().min(), self.times.iter().max()) else { return };
        if self.size >= STAMP {
            let mean = self.times.iter().sum::<Duration>() / self.times.len() as u32;
            println!("rtt min/avg/max = {:.3}/{:.3}/{:.3} ms", millis(*min), millis(mean), millis(*max));
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
