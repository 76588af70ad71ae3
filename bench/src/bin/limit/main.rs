//! The limit: a responder behind a TUN device with no TCP in it, as fast as anything can be there.
//!
//! It answers SYNs by hand, acknowledges what comes, sends prepared super-segments, and keeps five numbers a flow. It trusts its
//! one client: segments come in order, nothing is checked, nothing is kept for sending again (a stalled flow starts over from the
//! last acknowledgement, since all its bytes are alike). Whatever a real stack does beyond this, its distance from here shows.

mod flow;
mod packet;
mod responder;
mod wire;

use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use tidegate_bench as bench;

use responder::Responder;
use wire::Wire;

/// Packets read before anything else is done.
const BURST: usize = 64;
/// The virtio-net header and the largest packet.
const LARGEST: usize = 66_000;

/// The limit of what a TUN device gives: a responder without TCP
#[derive(Clone, Copy, Debug, Parser)]
struct Options {
    /// Look for packets so many microseconds before sleeping
    #[arg(long, default_value_t = 0)]
    spin: u64,
    /// What one acknowledgement is for
    #[arg(long, value_enum, default_value_t = Ack::Burst)]
    ack: Ack,
    /// Kilobytes in flight on each flow; half of it is sent in one run
    #[arg(long, default_value_t = 1024)]
    in_flight: u32,
    /// Queues of the device, each with a thread and flows of its own
    #[arg(long, default_value_t = 1)]
    queues: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Ack {
    /// Every packet read
    Read,
    /// All of a flow's packets in a burst
    Burst,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let queues = bench::device::open_queues(options.queues)?;
    bench::ready()?;
    thread::scope(|scope| {
        for tun in queues {
            scope.spawn(move || answer(options, &Wire::new(tun)));
        }
    });
    Ok(())
}

/// Answers what comes to this queue for ever. The kernel picks a flow's queue by its hash, and stays with it since the answers come
/// from there.
fn answer(options: Options, wire: &Wire) {
    let mut responder = Responder::new(options.ack == Ack::Read, options.in_flight * 1024);
    let mut packet = vec![0; LARGEST];
    let spin = Duration::from_micros(options.spin);
    let mut last = Instant::now();
    loop {
        let mut count = 0;
        while count < BURST
            && let Some(len) = wire.read(&mut packet)
        {
            responder.receive(wire, &packet[..len]);
            count += 1;
        }
        let sent = responder.transmit(wire);
        if count > 0 || sent {
            // Without spinning the clock is of no interest.
            if !spin.is_zero() {
                last = Instant::now();
            }
        } else if (spin.is_zero() || last.elapsed() >= spin) && !wire.sleep() {
            responder.start_over();
        }
    }
}
