//! A TUN device as tidegate's own programs open it: virtio-net header, segmentation offload, host's address, queue length.

use std::fs::OpenOptions;
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

/// The same with several queues, each a descriptor of the one device.
///
/// # Errors
/// As [`open`].
pub fn open_queues(count: usize) -> anyhow::Result<Vec<Tun>> {
    if count < 2 {
        return Ok(vec![open()?]);
    }
    let mut queues = Vec::new();
    for _ in 0..count {
        let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
        sys::attach_queue(&file).context("the device has no further queue")?;
        queues.push(Tun::from_fd(file.into(), true)?);
    }
    queues[0].configure(&HostSide { addrs: vec![(IpAddr::V4(CLIENT), PREFIX)], mtu: Some(1_500) })?;
    Ok(queues)
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
    let config = StackConfig { addrs: vec![(IpAddr::V4(STACK), PREFIX)], tcp };
    let driver = DriverConfig { busy_poll: Duration::from_micros(50) };
    Net::start_with(config, open()?, driver).context("cannot start the stack")
}

/// The one call that the library does not make: it knows devices of one queue.
mod sys {
    use std::ffi::c_int;
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use nix::libc::{IFF_MULTI_QUEUE, IFF_NO_PI, IFF_TUN, IFF_VNET_HDR};
    use nix::{ioctl_write_ptr_bad, request_code_write};

    /// `struct ifreq`: a name, flags, and what is of no use here.
    #[repr(C, align(8))]
    struct Request {
        name: [u8; 16],
        flags: u16,
        rest: [u8; 22],
    }

    ioctl_write_ptr_bad!(tunsetiff, request_code_write!(b'T', 202, size_of::<c_int>()), Request);

    /// Makes the device with its first queue, or adds a queue to it.
    pub fn attach_queue(file: &File) -> nix::Result<()> {
        let flags = (IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE) as u16;
        let request = Request { name: *b"bench\0\0\0\0\0\0\0\0\0\0\0", flags, rest: [0; 22] };
        // SAFETY: the file is open, and `Request` is as large as the kernel's `struct ifreq`, which is all that it reads or writes.
        unsafe { tunsetiff(file.as_raw_fd(), &request) }.map(drop)
    }
}
