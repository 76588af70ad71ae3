//! A TUN device as tidegate's own programs open it: virtio-net header, segmentation offload, host's address, queue length.

use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use tidegate::device::Device;
use tidegate::device::netconfig::HostSide;
use tidegate::device::tun::Tun;
use tidegate::driver::{Driver, DriverConfig};
use tidegate::net::{Net, Shard};
use tidegate::stack::StackConfig;
use tidegate::tcp::config::TcpConfig;

use crate::{CLIENT, PREFIX, STACK};

/// As long as `tidegate serve` looks for packets before it sleeps.
pub const DRIVER: DriverConfig = DriverConfig { busy_poll: Duration::from_micros(50) };

/// Creates the device, with the client's address on the host's side of it.
///
/// # Errors
/// What the kernel says; root and `/dev/net/tun` are needed.
pub fn open() -> anyhow::Result<Tun> {
    let mut tun = Tun::open("bench%d", true)?;
    tun.configure(&host())?;
    Ok(tun)
}

/// The same with several queues.
///
/// # Errors
/// As [`open`].
pub fn open_queues(count: usize) -> anyhow::Result<Vec<Tun>> {
    if count < 2 {
        return Ok(vec![open()?]);
    }
    let mut first = Tun::open_queues("bench%d", true)?;
    first.configure(&host())?;
    let mut queues = vec![first];
    for _ in 1..count {
        queues.push(queues[0].another_queue()?);
    }
    Ok(queues)
}

fn host() -> HostSide {
    HostSide { addrs: vec![(IpAddr::V4(CLIENT), PREFIX)], mtu: Some(1_500) }
}

/// The same for a device that another crate has created, as `ip` does it.
///
/// # Errors
/// What `ip` says.
pub fn configure(name: &str) -> anyhow::Result<()> {
    let address = format!("{CLIENT}/{PREFIX}");
    for arguments in [
        &["addr", "add", &address, "dev", name][..],
        &["link", "set", name, "up", "mtu", "1500", "txqueuelen", "2000"][..],
    ] {
        let status = Command::new("ip").args(arguments).status().context("cannot run ip")?;
        ensure!(status.success(), "ip {} failed: run this as root", arguments.join(" "));
    }
    Ok(())
}

/// A tidegate stack behind such a device, on the current tokio runtime, as `serve` runs it. It ends with the driver.
///
/// # Errors
/// As [`open`].
pub fn stack() -> anyhow::Result<(Net, Driver)> {
    stack_with(TcpConfig::default())
}

/// The same with other settings of TCP.
///
/// # Errors
/// As [`open`].
pub fn stack_with(tcp: TcpConfig) -> anyhow::Result<(Net, Driver)> {
    Net::start_with(config(tcp), open()?, DRIVER).context("cannot start the stack")
}

/// A stack for each of several queues, to be started over it with [`DRIVER`].
///
/// # Errors
/// As [`open`].
pub fn shards(count: usize) -> anyhow::Result<Vec<(Shard, Tun)>> {
    let queues = open_queues(count)?;
    let shards = Net::shards(config(TcpConfig::default()), queues[0].capabilities(), queues.len())?;
    Ok(shards.into_iter().zip(queues).collect())
}

fn config(tcp: TcpConfig) -> StackConfig {
    StackConfig { addrs: vec![(IpAddr::V4(STACK), PREFIX)], tcp }
}
