//! What the programs of the benchmark share: addresses, ports, the HTTP answer, and the ready line.
//!
//! Each stack offers the same services on the same ports: echo, discard, chargen and a minimal HTTP responder. See `scripts/bench`.

pub mod device;
pub mod http;

use std::ffi::OsString;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt};

/// The client's address; further ones of the same /24 exist where many connections are held.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The address of the stack under test.
pub const STACK: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// Prefix length of the subnet of both.
pub const PREFIX: u8 = 24;

/// RFC 862.
pub const ECHO: u16 = 7;
/// RFC 863.
pub const DISCARD: u16 = 9;
/// RFC 864, but for the pattern: what is sent is of no interest here.
pub const CHARGEN: u16 = 19;
/// HTTP/1.1.
pub const HTTP: u16 = 80;

/// Whose sockets a program that runs on two stacks uses.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum On {
    /// The kernel's.
    Kernel,
    /// Tidegate's, behind a TUN device.
    Tidegate,
}

/// What the servers of this package send on the chargen port.
pub static PATTERN: [u8; 256 * 1024] = [b'.'; 256 * 1024];

/// Lets a kernel's socket use CUBIC, whatever the machine's default: BBR paces, which takes two thirds on such paths. A kernel without
/// it keeps its own.
pub fn use_cubic(socket: &impl AsFd) {
    let _ = setsockopt(socket, sockopt::TcpCongestion, &OsString::from("cubic"));
}

/// Tells the script that connections are welcome from now on.
///
/// # Errors
/// When nobody listens on stdout.
pub fn ready() -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "ready")?;
    stdout.flush()
}
