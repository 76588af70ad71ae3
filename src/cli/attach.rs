//! What a command is attached to: its TUN device, the host's and the stack's addresses on it, and the stack behind it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use tidegate::device::Device;
use tidegate::device::link::LinkConfig;
use tidegate::device::netconfig::HostSide;
use tidegate::device::pipe::pipe;
use tidegate::device::tun::Tun;
use tidegate::driver::wire::{Wire, WireConfig};
use tidegate::driver::{Driver, DriverConfig};
use tidegate::net::Net;
use tidegate::stack::StackConfig;
use tidegate::tcp::config::TcpConfig;
use tidegate::tcp::congestion::CongestionControl;
use tracing::warn;

use super::link;
use super::threads::Further;

/// Packets or super-segments that may wait between the link and the stack.
const PIPE: usize = 4_096;

/// Options of the device and its addresses.
#[derive(Debug, clap::Args)]
#[group(id = "device")]
pub(crate) struct Args {
    /// Device to create or, if it exists, to attach to; %d stands for the first free number [default: tide0 to serve, else tidec%d]
    #[arg(long, value_name = "NAME", conflicts_with = "tun_fd")]
    tun: Option<String>,
    /// Open descriptor of a TUN device to use instead of opening one
    #[arg(long, value_name = "FD")]
    tun_fd: Option<i32>,
    /// The host's IPv4 address and prefix length [default: 10.77.0.1/24 to serve, else 10.78.0.1/24]
    #[arg(long, value_name = "ADDR/LEN")]
    host_addr: Option<Prefix<Ipv4Addr>>,
    /// The stack's IPv4 address [default: 10.77.0.2 to serve, else 10.78.0.2]
    #[arg(long)]
    addr: Option<Ipv4Addr>,
    /// The host's IPv6 address and prefix length [default: fd77::1/64 to serve, else fd78::1/64]
    #[arg(long, value_name = "ADDR/LEN")]
    host_addr6: Option<Prefix<Ipv6Addr>>,
    /// The stack's IPv6 address [default: fd77::2 to serve, else fd78::2]
    #[arg(long)]
    addr6: Option<Ipv6Addr>,
    /// Largest IP packet on the link, in bytes; 1500 on a new device
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1280..=65_535))]
    mtu: Option<u32>,
    /// Exchange plain packets with the kernel instead of super-segments of up to 64 KiB
    #[arg(long)]
    no_offload: bool,
    /// Congestion control of the stack's connections
    #[arg(long, value_name = "NAME", default_value = "cubic", value_parser = algorithm)]
    congestion: CongestionControl,
    /// Memory that a connection's send buffer and receive buffer may take each, in bytes [default: 4 MiB and 6 MiB]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(4096..=1 << 30))]
    buffers: Option<u32>,
    /// How long to look for packets before sleeping, while that finds some: it spares the time of a wake-up; 0 sleeps at once
    #[arg(long, value_name = "TIME", default_value = "50us", value_parser = super::duration)]
    busy_poll: Duration,
    /// Impair the packets in both directions, as "delay 25ms rate 100mbit loss 1%": the options of `tidegate link`
    #[arg(long, value_name = "LINK", value_parser = link::check_text)]
    link: Option<String>,
    /// Only towards the stack, over --link
    #[arg(long, value_name = "LINK", value_parser = link::check_text)]
    link_in: Option<String>,
    /// Only from the stack, over --link
    #[arg(long, value_name = "LINK", value_parser = link::check_text)]
    link_out: Option<String>,
    /// What the link's chance depends on
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    link_seed: u64,
}

/// Which defaults a command has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    /// `serve`.
    Server,
    /// `ping` and `get`: apart from the server's, so that both run side by side.
    Client,
}

/// A stack that runs behind its device.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) net: Net,
    pub(crate) driver: Driver,
    /// What stands between the device and the stack.
    pub(crate) wire: Option<Wire>,
    /// The device's name.
    pub(crate) name: String,
    /// The stack's addresses.
    pub(crate) addr: Ipv4Addr,
    pub(crate) addr6: Ipv6Addr,
    /// The device's further queues, each with a shard that does not run yet.
    pub(crate) further: Vec<Further>,
}

impl Args {
    /// Opens the device, sets up the host's side and starts the stack. What was created goes with the driver.
    pub(crate) fn open(self, role: Role) -> anyhow::Result<Attached> {
        self.open_queues(role, 1)
    }

    /// The same with several queues; a link or an inherited descriptor has one.
    pub(crate) fn open_queues(self, role: Role, queues: usize) -> anyhow::Result<Attached> {
        let (name, subnet) = match role {
            Role::Server => ("tide0", 77),
            Role::Client => ("tidec%d", 78),
        };
        let (wire, tcp) = (self.wire()?, self.tcp());
        let offload = !self.no_offload;
        let mut tun = match self.tun_fd {
            Some(fd) => Tun::from_inherited(fd, offload)?,
            None if queues > 1 => Tun::open_queues(self.tun.as_deref().unwrap_or(name), offload)?,
            None => Tun::open(self.tun.as_deref().unwrap_or(name), offload)?,
        };
        let host = self.host_addr.unwrap_or(Prefix { addr: Ipv4Addr::new(10, subnet, 0, 1), len: 24 });
        let addr = self.addr.unwrap_or(Ipv4Addr::new(10, subnet, 0, 2));
        // The decimal number is read as hexadecimal, so that both addresses look alike: 10.77 and fd77.
        let net6 = 0xfd00 + u16::from(subnet / 10 * 16 + subnet % 10);
        let default6 = |host| Ipv6Addr::new(net6, 0, 0, 0, 0, 0, 0, host);
        let host6 = self.host_addr6.unwrap_or(Prefix { addr: default6(1), len: 64 });
        let addr6 = self.addr6.unwrap_or(default6(2));
        let addrs = vec![(host.addr.into(), host.len), (host6.addr.into(), host6.len)];
        for soft in tun.configure(&HostSide { addrs, mtu: self.mtu })? {
            warn!("{soft}");
        }
        let name = tun.name().to_owned();
        let addrs: Vec<(IpAddr, u8)> = vec![(addr.into(), host.len), (addr6.into(), host6.len)];
        let config = StackConfig { addrs, tcp };
        let driver = DriverConfig { busy_poll: self.busy_poll };
        let mut further = Vec::new();
        let (net, driver, wire) = match wire {
            None => {
                let shards = Net::shards(config, tun.capabilities(), queues);
                let mut shards = shards.context("cannot start the stack")?;
                let own = shards.pop().context("no shard")?;
                for shard in shards {
                    further.push(Further { shard, queue: tun.another_queue()?, driver });
                }
                let (net, driver) = own.start(tun, driver).context("cannot start the stack")?;
                (net, driver, None)
            }
            Some(wire) => {
                let capabilities = tun.capabilities();
                let (end, stack_end) =
                    pipe(capabilities, capabilities, PIPE).context("cannot make a pipe")?;
                let wire = Wire::start(tun, end, wire).context("cannot start the link")?;
                let (net, driver) =
                    Net::start_with(config, stack_end, driver).context("cannot start the stack")?;
                (net, driver, Some(wire))
            }
        };
        Ok(Attached { net, driver, wire, name, addr, addr6, further })
    }

    fn tcp(&self) -> TcpConfig {
        let mut tcp = TcpConfig { congestion: self.congestion, ..TcpConfig::default() };
        if let Some(bytes) = self.buffers {
            (tcp.send_buffer, tcp.receive_buffer) = (bytes as usize, bytes as usize);
        }
        tcp
    }

    /// What the options ask for to stand before the stack.
    fn wire(&self) -> anyhow::Result<Option<WireConfig>> {
        if self.link.is_none() && self.link_in.is_none() && self.link_out.is_none() {
            return Ok(None);
        }
        let direction = |over: &Option<String>| -> anyhow::Result<LinkConfig> {
            let mut link = LinkConfig::transparent();
            [&self.link, over].into_iter().flatten().try_for_each(|text| link.apply(text))?;
            Ok(link)
        };
        let (there, back) = (direction(&self.link_in)?, direction(&self.link_out)?);
        Ok(Some(WireConfig { there, back, seed: self.link_seed }))
    }
}

fn algorithm(name: &str) -> Result<CongestionControl, String> {
    let names = || CongestionControl::ALL.map(CongestionControl::name).join(", ");
    CongestionControl::from_name(name).ok_or_else(|| format!("there are: {}", names()))
}

/// An address with the length of its subnet's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix<A> {
    addr: A,
    len: u8,
}

impl<A: FromStr<Err = std::net::AddrParseError> + Into<IpAddr> + Copy> FromStr for Prefix<A> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (addr, len) =
            text.split_once('/').ok_or("write it as ADDRESS/LENGTH, for example 10.77.0.1/24")?;
        let addr: A = addr.parse().map_err(|error: A::Err| error.to_string())?;
        let longest = if addr.into().is_ipv4() { 32 } else { 128 };
        match len.parse() {
            Ok(len) if len <= longest => Ok(Prefix { addr, len }),
            _ => Err(format!("the prefix length must be a number up to {longest}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read_and_checked() {
        assert_eq!("10.0.0.1/8".parse(), Ok(Prefix { addr: Ipv4Addr::new(10, 0, 0, 1), len: 8 }));
        assert_eq!("::1/128".parse(), Ok(Prefix { addr: Ipv6Addr::LOCALHOST, len: 128 }));
        for text in ["10.0.0.1", "10.0.0.1/33", "10.0.0.1/x", "10.0.0/8", "fd77::1/64"] {
            assert!(text.parse::<Prefix<Ipv4Addr>>().is_err(), "{text}");
        }
    }
}
