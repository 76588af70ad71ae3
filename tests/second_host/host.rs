//! smoltcp as a host on a TUN device of its own, opened with the `tun-tap` crate: one connection at a time, driven by a
//! loop that sleeps in poll(2) until a packet comes or smoltcp's next deadline. Nothing here is tidegate's but the clock.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, FromRawFd, IntoRawFd};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{RecvError, Socket, SocketBuffer, State};
use smoltcp::time::{Duration as Delay, Instant};
use smoltcp::wire::{HardwareAddress, IpCidr};
use tidegate::driver::clock::Clock;

/// How long one connection may take.
const BOUND: Delay = Delay::from_secs(30);
const MTU: usize = 1_500;

/// smoltcp behind its device.
pub(crate) struct Host {
    iface: Interface,
    device: Tun,
    /// The next connection's own port.
    port: u16,
}

impl Host {
    /// Creates the device `name`, which is down yet, and a host behind it with these addresses.
    pub(crate) fn open(name: &str, addrs: &[(IpAddr, u8)], routers: &[IpAddr]) -> Host {
        let mut device = Tun::open(name);
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = Clock::Monotonic.now().as_nanos();
        let mut iface = Interface::new(config, &mut device, now());
        iface.update_ip_addrs(|own| {
            own.extend(addrs.iter().map(|&(addr, len)| IpCidr::new(addr.into(), len)));
        });
        for router in routers {
            let added = match *router {
                IpAddr::V4(router) => iface.routes_mut().add_default_ipv4_route(router),
                IpAddr::V6(router) => iface.routes_mut().add_default_ipv6_route(router),
            };
            added.expect("smoltcp has room for a route");
        }
        Host { iface, device, port: 40_000 }
    }

    /// Connects to `to` and talks until both sides are closed; returns what came.
    pub(crate) fn connect(&mut self, to: SocketAddr, buffer: usize, talk: Talk) -> Vec<u8> {
        let mut socket = socket(buffer);
        self.port += 1;
        socket.connect(self.iface.context(), to, self.port).expect("smoltcp opens a connection");
        self.run(socket, talk)
    }

    /// Waits for a connection to `port` and talks until both sides are closed; returns what came.
    pub(crate) fn accept(&mut self, port: u16, buffer: usize, talk: Talk) -> Vec<u8> {
        let mut socket = socket(buffer);
        socket.listen(port).expect("smoltcp listens");
        self.run(socket, talk)
    }

    fn run(&mut self, socket: Socket<'static>, mut talk: Talk) -> Vec<u8> {
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(socket);
        let deadline = now() + BOUND;
        loop {
            let now = now();
            self.iface.poll(now, &mut self.device, &mut sockets);
            let socket = sockets.get_mut::<Socket>(handle);
            let (moved, state) = (talk.step(socket), socket.state());
            assert!(
                now < deadline,
                "smoltcp is in {state} after {BOUND}, with {} bytes taken and {} received",
                talk.taken,
                talk.received.len()
            );
            if moved {
                continue;
            }
            let delay = self.iface.poll_delay(now, &sockets);
            if talk.is_over(state, delay) {
                return talk.received;
            }
            self.device.wait(delay.unwrap_or(BOUND).min(deadline - now));
        }
    }
}

/// The application at smoltcp's side of a connection.
#[derive(Default)]
pub(crate) struct Talk {
    /// What to send before the own FIN.
    outgoing: Vec<u8>,
    /// Send what came instead, and close after the peer.
    echo: bool,
    /// How much the socket has taken.
    taken: usize,
    received: Vec<u8>,
    /// The peer's FIN has come.
    finished: bool,
    /// Called once when as many bytes have come.
    milestone: Option<(usize, Box<dyn FnOnce() + Send>)>,
}

impl Talk {
    /// Sends `outgoing` and closes; what comes is taken until the peer closes too.
    pub(crate) fn send(outgoing: Vec<u8>) -> Talk {
        Talk { outgoing, ..Talk::default() }
    }

    /// Sends back what comes, and closes after the peer.
    pub(crate) fn echo() -> Talk {
        Talk { echo: true, ..Talk::default() }
    }

    /// Closes at once; what comes is taken until the peer closes too. Calls `told` when `count` bytes have come.
    pub(crate) fn receive(count: usize, told: impl FnOnce() + Send + 'static) -> Talk {
        Talk { milestone: Some((count, Box::new(told))), ..Talk::default() }
    }

    /// Moves what the socket gives and takes. True if it did anything, so that smoltcp may have something to send.
    fn step(&mut self, socket: &mut Socket<'_>) -> bool {
        if matches!(socket.state(), State::Listen | State::SynSent | State::SynReceived) {
            return false;
        }
        let before = (self.received.len(), self.taken);
        loop {
            match socket.recv(|data| (data.len(), self.received.extend_from_slice(data))) {
                Ok(()) if socket.can_recv() => {}
                Err(RecvError::Finished) => break self.finished = true,
                Ok(()) | Err(RecvError::InvalidState) => break,
            }
        }
        if let Some((_, told)) = self.milestone.take_if(|(count, _)| self.received.len() >= *count) {
            told();
        }
        let source = if self.echo { &self.received } else { &self.outgoing };
        if socket.can_send() {
            self.taken += socket.send_slice(&source[self.taken..]).expect("smoltcp sends");
        }
        let close = socket.may_send() && self.taken == source.len() && (self.finished || !self.echo);
        if close {
            socket.close();
        }
        close || before != (self.received.len(), self.taken)
    }

    /// Both sides are closed and everything is acknowledged: smoltcp has at most TIME-WAIT (10 s) to wait for, and no
    /// acknowledgment (10 ms).
    fn is_over(&self, state: State, delay: Option<Delay>) -> bool {
        match state {
            State::Closed => {
                assert!(self.finished, "the connection was reset after {} bytes", self.received.len());
                true
            }
            State::TimeWait => delay.is_none_or(|delay| delay >= Delay::from_secs(1)),
            _ => false,
        }
    }
}

fn socket(buffer: usize) -> Socket<'static> {
    Socket::new(SocketBuffer::new(vec![0; buffer]), SocketBuffer::new(vec![0; buffer]))
}

fn now() -> Instant {
    Instant::from_micros(Clock::Monotonic.now().as_micros() as i64)
}

/// The TUN device, plain packets only.
struct Tun(File);

impl Tun {
    fn open(name: &str) -> Tun {
        let tun = tun_tap::Iface::without_packet_info(name, tun_tap::Mode::Tun);
        let tun = tun.expect("these tests need root and /dev/net/tun, for smoltcp's device");
        // SAFETY: `into_raw_fd` gave up the descriptor, so this is its only owner.
        #[allow(unsafe_code)]
        let file = unsafe { File::from_raw_fd(tun.into_raw_fd()) };
        fcntl(&file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("the descriptor can be made non-blocking");
        Tun(file)
    }

    /// Sleeps until a packet is there or the time is over.
    fn wait(&self, time: Delay) {
        // Rounded up: woken before its deadline, smoltcp would do nothing, and be woken again.
        let time = Duration::from_millis(time.total_micros().div_ceil(1_000));
        let time = PollTimeout::try_from(time).expect("a time below the bound");
        poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], time).expect("poll(2) works");
    }
}

impl phy::Device for Tun {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sender<'a>;

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }

    fn receive(&mut self, _: Instant) -> Option<(Received, Sender<'_>)> {
        let mut packet = vec![0; MTU];
        match self.0.read(&mut packet) {
            Ok(len) => packet.truncate(len),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => panic!("smoltcp's device: {error}"),
        }
        Some((Received(packet), Sender(&self.0)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sender<'_>> {
        Some(Sender(&self.0))
    }
}

/// A packet from the device.
struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

/// The permission to send one packet.
struct Sender<'a>(&'a File);

impl phy::TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, len: usize, fill: F) -> R {
        let mut packet = vec![0; len];
        let result = fill(&mut packet);
        self.0.write_all(&packet).expect("smoltcp's device takes a packet");
        result
    }
}
