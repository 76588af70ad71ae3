//! A TUN device as tidegate's own programs open it: virtio-net header, segmentation offload, host's address, queue length.

use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use tidegate::device::netconfig::HostSide;
use tidegate::device::tun::Tun;
use tidegate::driver::{Driver, DriverConfig};
use tidegate::net::Net;
use tidegate::stack::StackConfig;
use tidegate::tcp::config::TcpConfig;

use crate::{CLIENT, PREFIX, STACK};

/// Creates the device, with the client's address on the host's side of it.
///
/// # Errors
/// What the kernel says; root and `/dev/net/tun` are needed.
pub fn open() -> anyhow::Result<Tun> {
    let mut tun = Tun::open("bench%d", true)?;
    tun.configure(&HostSide { addrs: vec![(IpAddr::V4(CLIENT), PREFIX)], mtu: Some(1_500) })?;
    Ok(tun)
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
    let config = StackConfig { addrs: vec![(IpAddr::V4(STACK), PREFIX)], tcp: TcpConfig::default() };
    let driver = DriverConfig { busy_poll: Duration::from_micros(50) };
    Net::start_with(config, open()?, driver).context("cannot start the stack")
}
