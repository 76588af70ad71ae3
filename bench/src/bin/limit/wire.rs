//! The device as plain system calls, one for each packet.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{read, write};
use tidegate::device::tun::Tun;

/// A flow that has not moved for so many milliseconds has lost something.
const STALL: u16 = 200;

/// One queue of the device.
pub struct Wire {
    tun: Tun,
}

impl Wire {
    pub fn new(tun: Tun) -> Self {
        Wire { tun }
    }

    pub fn read(&self, packet: &mut [u8]) -> Option<usize> {
        read(&self.tun, packet).ok()
    }

    /// A refused packet is a lost one.
    pub fn write(&self, packet: &[u8]) {
        let _ = write(&self.tun, packet);
    }

    /// Sleeps until there is something to read; false after [`STALL`] milliseconds.
    pub fn sleep(&self) -> bool {
        let mut wait = [PollFd::new(self.tun.as_fd(), PollFlags::POLLIN)];
        !matches!(poll(&mut wait, PollTimeout::from(STALL)), Ok(0) | Err(Errno::EINTR))
    }
}
