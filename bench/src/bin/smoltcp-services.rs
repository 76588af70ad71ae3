//! One of the services on smoltcp, over a TUN device that the `tun-tap` crate opens: no virtio-net header, no offload.
//!
//! smoltcp looks at all its sockets for each packet, so that only those of the service that is asked for exist. Their buffers are fixed.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, FromRawFd, IntoRawFd};

use anyhow::Context;
use clap::Parser;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr};
use tidegate_bench::http::{ANSWER, Answer, LAST_ANSWER, Requests};
use tidegate_bench::{CHARGEN, DISCARD, ECHO, HTTP, PATTERN, PREFIX, STACK, device, ready};

const MTU: usize = 1_500;
/// Packets taken in or sent before the applications have their turn.
const BURST: usize = 64;

/// One service on smoltcp
#[derive(Debug, Parser)]
struct Options {
    /// Its port: 7, 9, 19 or 80
    port: u16,
}

fn main() -> anyhow::Result<()> {
    let Options { port } = Options::parse();
    let mut tun = Tun::open()?;
    let mut iface = Interface::new(Config::new(HardwareAddress::Ip), &mut tun, Instant::now());
    iface.update_ip_addrs(|own| own.push(IpCidr::new(STACK.into(), PREFIX)).expect("room for an address"));
    // Enough for the load's streams, and for its 64 connections with as many again that close or wait.
    let (count, buffer) = match port {
        CHARGEN | DISCARD => (8, 1 << 20),
        ECHO => (2, 1 << 16),
        _ => (128, 1 << 12),
    };
    let mut sockets = SocketSet::new(Vec::new());
    let mut served: Vec<Served> = (0..count)
        .map(|_| Served { handle: sockets.add(listener(port, buffer)), requests: Requests::default() })
        .collect();
    ready()?;
    loop {
        let now = Instant::now();
        for _ in 0..BURST {
            if matches!(iface.poll_ingress_single(now, &mut tun, &mut sockets), PollIngressSingleResult::None)
            {
                break;
            }
        }
        let mut moved = false;
        for served in &mut served {
            moved |= served.advance(sockets.get_mut::<Socket>(served.handle), port, buffer);
        }
        iface.poll(now, &mut tun, &mut sockets);
        if !moved && !tun.is_readable() {
            tun.wait(iface.poll_delay(now, &sockets));
        }
    }
}

fn listener(port: u16, buffer: usize) -> Socket<'static> {
    let room = || SocketBuffer::new(vec![0; buffer]);
    let mut socket = Socket::new(room(), room());
    socket.set_nagle_enabled(false);
    socket.listen(port).expect("a new socket listens");
    socket
}

/// A socket and what its application remembers.
struct Served {
    handle: SocketHandle,
    requests: Requests,
}

impl Served {
    /// The application's turn. True if it did anything.
    fn advance(&mut self, socket: &mut Socket<'static>, port: u16, buffer: usize) -> bool {
        match socket.state() {
            // One that waits out TIME-WAIT cannot listen; a new one can.
            State::TimeWait | State::Closed => {
                *socket = listener(port, buffer);
                return true;
            }
            State::CloseWait if !socket.can_recv() => socket.close(),
            _ => {}
        }
        match port {
            CHARGEN => socket.can_send() && socket.send_slice(&PATTERN).is_ok_and(|count| count > 0),
            DISCARD => socket.can_recv() && socket.recv(|bytes| (bytes.len(), ())).is_ok(),
            ECHO => echo(socket),
            HTTP => self.answer(socket),
            _ => false,
        }
    }

    fn answer(&mut self, socket: &mut Socket<'static>) -> bool {
        if !socket.can_recv() {
            return false;
        }
        let answer = socket.recv(|bytes| (bytes.len(), self.requests.take(bytes)));
        match answer {
            Ok(Answer::Keep) => drop(socket.send_slice(ANSWER)),
            Ok(Answer::Close) => {
                let _ = socket.send_slice(LAST_ANSWER);
                socket.close();
            }
            Ok(Answer::Wait) | Err(_) => {}
        }
        true
    }
}

fn echo(socket: &mut Socket<'static>) -> bool {
    let mut block = [0; 2048];
    match socket.can_recv().then(|| socket.recv_slice(&mut block)) {
        Some(Ok(count)) => socket.send_slice(&block[..count]).is_ok(),
        _ => false,
    }
}

/// The device.
struct Tun(File);

impl Tun {
    fn open() -> anyhow::Result<Tun> {
        let iface = tun_tap::Iface::without_packet_info("bench%d", tun_tap::Mode::Tun)
            .context("cannot create a TUN device")?;
        device::configure(iface.name())?;
        // SAFETY: the descriptor is open, and nobody else's from here on.
        let file = unsafe { File::from_raw_fd(iface.into_raw_fd()) };
        fcntl(&file, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK))?;
        Ok(Tun(file))
    }

    fn is_readable(&self) -> bool {
        poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO)
            .is_ok_and(|count| count > 0)
    }

    fn wait(&self, delay: Option<smoltcp::time::Duration>) {
        // Rounded up, so that a deadline in less than a millisecond is not waited for by spinning.
        let delay = delay.map_or(PollTimeout::NONE, |delay| {
            PollTimeout::try_from(delay.total_micros().div_ceil(1000).min(60_000) as i32)
                .unwrap_or(PollTimeout::NONE)
        });
        let _ = poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], delay);
    }
}

impl phy::Device for Tun {
    type RxToken<'a> = Received;
    type TxToken<'a> = Free<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Free<'_>)> {
        let mut bytes = vec![0; MTU];
        match self.0.read(&mut bytes) {
            Ok(len) => {
                bytes.truncate(len);
                Some((Received(bytes), Free(&self.0)))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("the device is gone: {error}"),
        }
    }

    fn transmit(&mut self, _: Instant) -> Option<Free<'_>> {
        Some(Free(&self.0))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

struct Free<'a>(&'a File);

impl phy::TxToken for Free<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, len: usize, fill: F) -> R {
        let mut bytes = [0; MTU];
        let result = fill(&mut bytes[..len]);
        let _ = self.0.write(&bytes[..len]);
        result
    }
}
