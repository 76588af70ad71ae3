//! `tidegate link A B`: a wire with faults between two TUN devices, until a signal comes or its time is over.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tidegate::device::Device;
use tidegate::device::link::LinkConfig;
use tidegate::device::netconfig::HostSide;
use tidegate::device::tun::Tun;
use tidegate::driver::wire::{DirectionCounters, Wire, WireConfig, WireCounters};
use tracing::{info, warn};

use super::signals::Signals;

/// Options of `link`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// TUN device at one end: made, or attached to if it was made with `ip tuntap add`; %d stands for the first free number
    a: String,
    /// TUN device at the other end
    b: String,
    /// Only from A to B, over the options below: as "delay 5ms loss 1%", the names being those of the options
    #[arg(long, value_name = "LINK", default_value = "", hide_default_value = true, value_parser = check_text)]
    ab: String,
    /// Only from B to A, as --ab
    #[arg(long, value_name = "LINK", default_value = "", hide_default_value = true, value_parser = check_text)]
    ba: String,
    /// What all chance depends on: the same seed draws the same fate for the same packets
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// MTU of both devices, in bytes; 1500 on a new device
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(68..=65_535))]
    mtu: Option<u32>,
    /// End after this time
    #[arg(long = "for", value_name = "TIME", value_parser = super::duration)]
    end_after: Option<Duration>,
    #[command(flatten)]
    properties: Properties,
}

const HELP: &str = "\
The wire carries what the kernel routes into A to B, and back. Both ends in one network namespace are of no use, since the kernel
knows its own addresses; put them into two, while the command holds them:

  tidegate link wa wb --delay 25ms --rate 100mbit --queue 50ms --loss 0.5% &
  ip netns add a;  ip link set wa netns a
  ip netns add b;  ip link set wb netns b
  ip -n a addr add 10.0.0.1 peer 10.0.0.2 dev wa;  ip -n a link set wa up
  ip -n b addr add 10.0.0.2 peer 10.0.0.1 dev wb;  ip -n b link set wb up
  ip netns exec a ping 10.0.0.2

It prints `ready A B` when the devices are there, and at its end a line of counters on stderr. Devices that it made vanish with it,
wherever they were moved. Without options the wire is perfect. docs/link.md tells the model.";

/// What a wire does to packets, in both directions unless told otherwise. The values are read by the library.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The wire, in both directions")]
struct Properties {
    /// How long a packet takes from one end to the other, once it is sent: us, ms or s
    #[arg(long, value_name = "TIME", value_parser = |text: &str| check("delay", text))]
    delay: Option<String>,
    /// Added to the delay: a draw between zero and this; packets keep their order
    #[arg(long, value_name = "TIME", value_parser = |text: &str| check("jitter", text))]
    jitter: Option<String>,
    /// Bits per second, of IP packets: kbit, mbit or gbit
    #[arg(long, value_name = "RATE", value_parser = |text: &str| check("rate", text))]
    rate: Option<String>,
    /// Room for packets that wait for the rate: 100p, 64kb or 50ms [default: 1000p]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| check("queue", text))]
    queue: Option<String>,
    /// CoDel keeps the queue short: on, ecn to mark instead of drop, TARGET/INTERVAL, or 5ms/100ms/ecn
    #[arg(long, value_name = "HOW", value_parser = |text: &str| check("codel", text))]
    codel: Option<String>,
    /// Share of packets that vanish
    #[arg(long, value_name = "SHARE", value_parser = |text: &str| check("loss", text))]
    loss: Option<String>,
    /// Losses in runs: their share and mean length, as 1%/5
    #[arg(long, value_name = "SHARE/LEN", value_parser = |text: &str| check("burst", text))]
    burst: Option<String>,
    /// Share of packets that are held back and overtaken, and optionally by how long at most, as 1%/5ms
    #[arg(long, value_name = "SHARE", value_parser = |text: &str| check("reorder", text))]
    reorder: Option<String>,
    /// Share of packets that arrive twice
    #[arg(long, value_name = "SHARE", value_parser = |text: &str| check("dup", text))]
    dup: Option<String>,
    /// Share of packets in which one byte is changed
    #[arg(long, value_name = "SHARE", value_parser = |text: &str| check("corrupt", text))]
    corrupt: Option<String>,
    /// Drop at once what exceeds this rate, and optionally the bucket, as 10mbit/20kb
    #[arg(long, value_name = "RATE", value_parser = |text: &str| check("police", text))]
    police: Option<String>,
    /// Hand packets over in bunches, at multiples of this time
    #[arg(long, value_name = "TIME", value_parser = |text: &str| check("bunch", text))]
    bunch: Option<String>,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    super::block_on(link(args))
}

async fn link(args: Args) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::catch()?;
    let config = args.config()?;
    let (first, second) = (open(&args.a, args.mtu)?, open(&args.b, args.mtu)?);
    let (a, b) = (first.name().to_owned(), second.name().to_owned());
    let mut wire = Wire::start(first, second, config).context("cannot start the wire")?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "ready {a} {b}").and_then(|()| stdout.flush()).context("cannot say ready")?;
    let over = async {
        match args.end_after {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = signals.next() => {}
        () = over => {}
        ended = wire.ended() => return ended.map(|()| ExitCode::SUCCESS).context("the wire broke"),
    }
    let counters = wire.stop().await.context("the wire broke while stopping")?;
    eprintln!("counters {}", list(["ab", "ba"], &counters));
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn config(&self) -> anyhow::Result<WireConfig> {
        let both = self.properties.config()?;
        let (mut there, mut back) = (both.clone(), both);
        there.apply(&self.ab)?;
        back.apply(&self.ba)?;
        Ok(WireConfig { there, back, seed: self.seed })
    }
}

impl Properties {
    fn config(&self) -> anyhow::Result<LinkConfig> {
        let mut link = LinkConfig::transparent();
        let told = [
            ("delay", &self.delay),
            ("jitter", &self.jitter),
            ("rate", &self.rate),
            ("queue", &self.queue),
            ("codel", &self.codel),
            ("loss", &self.loss),
            ("burst", &self.burst),
            ("reorder", &self.reorder),
            ("dup", &self.dup),
            ("corrupt", &self.corrupt),
            ("police", &self.police),
            ("bunch", &self.bunch),
        ];
        for (name, value) in told.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            link.set(name, value)?;
        }
        Ok(link)
    }
}

/// One end: the device, up, with a queue that holds what comes between two reads.
fn open(name: &str, mtu: Option<u32>) -> anyhow::Result<Tun> {
    let mut tun = Tun::open(name, true)?;
    for soft in tun.configure(&HostSide { addrs: Vec::new(), mtu })? {
        warn!("{soft}");
    }
    if !tun.capabilities().tcp_segmentation {
        info!("{} carries no super-segments: this kernel does not offload", tun.name());
    }
    Ok(tun)
}

/// All counters as `name=value …`, each direction with its prefix.
pub(crate) fn list(prefixes: [&str; 2], counters: &WireCounters) -> String {
    let named = |prefix: &str, direction: DirectionCounters| {
        direction
            .named()
            .map(|(name, value)| format!("{prefix}_{name}={value}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    format!("{} {}", named(prefixes[0], counters.there), named(prefixes[1], counters.back))
}

/// A text of properties, as `--ab` takes it.
pub(crate) fn check_text(text: &str) -> Result<String, String> {
    LinkConfig::transparent().apply(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

fn check(name: &str, value: &str) -> Result<String, String> {
    LinkConfig::transparent().set(name, value).map(|()| value.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
    }

    fn config(options: &str) -> WireConfig {
        let words = ["link", "a", "b"].into_iter().chain(options.split('|').filter(|word| !word.is_empty()));
        Program::parse_from(words).args.config().unwrap()
    }

    fn text(text: &str) -> LinkConfig {
        let mut link = LinkConfig::transparent();
        link.apply(text).map(|()| link).unwrap()
    }

    /// Every option is the property of its name, and is told of both directions.
    #[test]
    fn options_are_the_properties_of_their_names() {
        let values = [
            ("delay", "1ms"),
            ("jitter", "2ms"),
            ("rate", "3mbit"),
            ("queue", "4p"),
            ("codel", "5ms/6ms"),
            ("loss", "7%"),
            ("burst", "8%/9"),
            ("reorder", "1%/2ms"),
            ("dup", "3%"),
            ("corrupt", "4%"),
            ("police", "5mbit/6kb"),
            ("bunch", "7ms"),
        ];
        for (name, value) in values {
            let config = config(&format!("--{name}|{value}"));
            assert_eq!(config.there, text(&format!("{name} {value}")), "{name}");
            assert_eq!(config.back, config.there);
        }
        let rest: Vec<_> = LinkConfig::NAMES
            .into_iter()
            .filter(|name| values.iter().all(|(told, _)| told != name))
            .collect();
        assert_eq!(rest, ["mtu"], "which is the devices' own");
    }

    #[test]
    fn directions_differ_where_they_are_told_to() {
        let config = config("--delay|5ms|--loss|1%|--ba|delay 50ms rate 1mbit|--seed|9");
        assert_eq!(config.there, text("delay 5ms loss 1%"));
        assert_eq!((config.back, config.seed), (text("delay 50ms loss 1% rate 1mbit"), 9));
    }

    #[test]
    fn what_does_not_fit_is_refused_before_anything_is_made() {
        for options in ["--delay|25", "--ab|loss", "--loss|101%", "--mtu|67", "--for|long"] {
            assert!(
                Program::try_parse_from(["link", "a", "b"].into_iter().chain(options.split('|'))).is_err()
            );
        }
    }
}
