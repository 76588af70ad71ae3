//! The limit: a responder behind a TUN device with no TCP in it, as fast as anything can be there.
//!
//! It answers SYNs by hand, acknowledges what comes, sends prepared super-segments, and keeps five numbers a flow. It trusts its
//! one client: segments come in order, nothing is checked, nothing is kept for sending again (a stalled flow starts over from the
//! last acknowledgement, since all its bytes are alike). Whatever a real stack does beyond this, its distance from here shows.

mod flow;
mod packet;
mod responder;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{read, write};
use tidegate::device::tun::Tun;
use tidegate_bench as bench;

use responder::Responder;

/// Packets read before anything else is done.
const BURST: usize = 64;
/// A flow that has not moved for so long has lost something.
const STALL: u16 = 200;
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Ack {
    /// Every packet read
    Read,
    /// All of a flow's packets in a burst
    Burst,
}

/// The device, as plain system calls.
struct Wire {
    tun: Tun,
}

impl Wire {
    fn read(&self, packet: &mut [u8]) -> Option<usize> {
        read(&self.tun, packet).ok()
    }

    /// A refused packet is a lost one.
    fn write(&self, packet: &[u8]) {
        let _ = write(&self.tun, packet);
    }

    /// Sleeps until there is something to read; false after [`STALL`] milliseconds.
    fn sleep(&self) -> bool {
        let mut wait = [PollFd::new(self.tun.as_fd(), PollFlags::POLLIN)];
        !matches!(poll(&mut wait, PollTimeout::from(STALL)), Ok(0) | Err(Errno::EINTR))
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let wire = Wire { tun: bench::device::open()? };
    bench::ready()?;
    let mut responder = Responder::new(options.ack == Ack::Read, options.in_flight * 1024);
    let mut packet = vec![0; LARGEST];
    let spin = Duration::from_micros(options.spin);
    let mut last = Instant::now();
    loop {
        let mut count = 0;
        while count < BURST
            && let Some(len) = wire.read(&mut packet)
        {
            responder.receive(&wire, &packet[..len]);
            count += 1;
        }
        let sent = responder.transmit(&wire);
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
