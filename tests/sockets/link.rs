//! Two stacks joined by a pair of Unix datagram sockets, a device whose queue is short, so that it is full often; or by the
//! in-memory pipe, with offload.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;

use tidegate::base::buffer::Buffer;
use tidegate::device::pipe::pipe;
use tidegate::device::{Capabilities, Device};
use tidegate::driver::Driver;
use tidegate::net::Net;
use tidegate::stack::StackConfig;
use tidegate::tcp::config::TcpConfig;
use tidegate::wire::packet::{Frame, Offload, Packet};

pub(crate) const SERVER: &str = "10.0.0.1";
pub(crate) const SERVER6: &str = "fd00::1";
pub(crate) const MTU: usize = 1500;

/// One end of the link.
pub(crate) struct Wire(pub(crate) UnixDatagram);

impl Wire {
    pub(crate) fn pair() -> (Wire, Wire) {
        let (left, right) = UnixDatagram::pair().unwrap();
        left.set_nonblocking(true).unwrap();
        right.set_nonblocking(true).unwrap();
        (Wire(left), Wire(right))
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Device for Wire {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(MTU)
    }

    fn recv(&mut self, packets: &mut Vec<Packet>, max: usize) -> io::Result<usize> {
        for count in 0..max {
            let mut buffer = Buffer::small();
            match buffer.fill(|chunk| self.0.recv(chunk)) {
                Ok(_) => packets.push(Packet { buffer, offload: Offload::None }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(count),
                Err(error) => return Err(error),
            }
        }
        Ok(max)
    }

    fn send(&mut self, frames: &mut VecDeque<Frame>) -> io::Result<()> {
        while let Some(frame) = frames.front() {
            assert_eq!(frame.offload, Offload::None, "a plain device gets complete packets");
            assert!(frame.len() <= MTU);
            match self.0.send(&frame.to_vec()) {
                Ok(_) => drop(frames.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A running stack.
pub(crate) struct Host {
    pub(crate) net: Net,
    pub(crate) driver: Driver,
}

/// Server (x.1) and client (x.2).
pub(crate) fn hosts(tcp: TcpConfig) -> (Host, Host) {
    let (left, right) = Wire::pair();
    (start(1, left, tcp.clone()), start(2, right, tcp))
}

/// The same over the in-memory pipe, whose ends take super-segments.
pub(crate) fn piped_hosts() -> (Host, Host) {
    let offload = Capabilities::offload(MTU);
    let (left, right) = pipe(offload, offload, 8).unwrap();
    (start(1, left, TcpConfig::default()), start(2, right, TcpConfig::default()))
}

pub(crate) fn start(number: u8, device: impl Device + Send + 'static, tcp: TcpConfig) -> Host {
    let addrs = vec![
        (format!("10.0.0.{number}").parse().unwrap(), 24),
        (format!("fd00::{number}").parse().unwrap(), 64),
    ];
    let (net, driver) = Net::start(StackConfig { addrs, tcp }, device).unwrap();
    Host { net, driver }
}

/// Lets everything that is ready run, and what that makes ready in turn.
pub(crate) async fn settle() {
    for _ in 0..500 {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index % 251) as u8).collect()
}
