//! The sans-IO surface: packets in, packets out, time as the last argument. Here the layers meet: `receive` follows a packet
//! from IP to the transport it is for, `poll_transmit` collects what they want to send. Protocol rules live in the layers.

mod sockets;
mod strays;

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::base::counters::Counters;
use crate::base::rng::Rng;
use crate::base::share::Share;
use crate::base::socket::Readiness;
use crate::base::time::Instant;
use crate::device::Capabilities;
use crate::icmp::{Icmp, PingId};
use crate::ip::addresses::{Addresses, ConfigError};
use crate::ip::input::Input;
use crate::ip::{Datagram, Ip};
use crate::tcp::config::TcpConfig;
use crate::tcp::{ListenerId, Tcp, TcpEvent, TcpId};
use crate::udp::{Udp, UdpId};
use crate::wire::icmp::ErrorKind;
use crate::wire::ip::protocol;
use crate::wire::packet::{Frame, Packet};

/// How a stack is set up.
#[derive(Clone, Debug)]
pub struct StackConfig {
    /// The stack's own addresses with their subnets' prefix lengths.
    pub addrs: Vec<(IpAddr, u8)>,
    /// TCP's settings.
    pub tcp: TcpConfig,
}

/// What a socket's owner should know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A connection became ready for what the bits say.
    Tcp(TcpId, Readiness),
    /// A listener has connections to accept.
    Acceptable(ListenerId),
    /// A UDP socket became ready.
    Udp(UdpId, Readiness),
    /// An echo reply (or an error) waits.
    Ping(PingId),
}

/// A TCP/IP stack: a pure state machine. Whoever owns it brings packets, time and a seed.
///
/// Its methods come in families. **Input**: [`receive`](Stack::receive) takes a packet in, [`handle_timeout`](Stack::handle_timeout)
/// tells it the time; neither returns anything. **`poll_*`** take out what resulted, until there is no more:
/// [`poll_transmit`](Stack::poll_transmit) the frames to send, [`poll_event`](Stack::poll_event) what sockets became ready for,
/// [`poll_timeout`](Stack::poll_timeout) when the stack wants to hear of the time again. **Socket calls** never block and fail with
/// what POSIX says: those that stay within a socket are on [`tcp`](Stack::tcp), [`udp`](Stack::udp) and [`pings`](Stack::pings),
/// those that need other layers or counters are here, with the protocol's name in front. After any input or socket call, poll again.
///
/// ```
/// use tidegate::{base::time::Instant, device::Capabilities, stack::{Event, Stack, StackConfig}};
/// # use tidegate::wire::{ip::{IpHeader, protocol}, packet::{Frame, Packet}, udp::UdpHeader};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # fn next_packet() -> Packet {
/// #     let (src, dst) = ([10, 77, 0, 1].into(), [10, 77, 0, 2].into());
/// #     let ip = IpHeader { src, dst, protocol: protocol::UDP, hop_limit: 64, traffic_class: 0 };
/// #     let udp = UdpHeader { src_port: 5000, dst_port: 7, length: 13, checksum: 0 };
/// #     Packet::from_slice(&[&ip.encode(13, None)[..], &udp.to_bytes(), b"hello"].concat())
/// # }
/// # fn send(frame: Frame) { assert!(frame.to_vec().ends_with(b"hello")) }
/// # let (now, seed) = (Instant::ZERO, [0; 32]);
/// let config = StackConfig { addrs: vec![("10.77.0.2".parse()?, 24)], tcp: Default::default() };
/// let mut stack = Stack::new(config, Capabilities::plain(1500), seed)?;
/// let echo = stack.udp_bind("10.77.0.2:7".parse()?)?;
/// stack.receive(next_packet(), now);
/// while let Some(event) = stack.poll_event() {
///     if let Event::Udp(id, _) = event && id == echo {
///         let mut datagram = [0; 1500];
///         let received = stack.udp().recv_from(id, &mut datagram)?;
///         stack.udp_send_to(id, &datagram[..received.len], received.from)?;
///     }
/// }
/// while let Some(frame) = stack.poll_transmit(now) {
///     send(frame);
/// }
/// # assert_eq!(stack.counters().udp_out, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Stack {
    ip: Ip,
    icmp: Icmp,
    udp: Udp,
    tcp: Tcp,
    counters: Counters,
    share: Share,
    strays: VecDeque<Datagram>,
}

impl Stack {
    /// A stack for a device of these capabilities; the seed determines everything random in it. Fails with the address or MTU
    /// that cannot be.
    pub fn new(config: StackConfig, capabilities: Capabilities, seed: [u8; 32]) -> Result<Self, ConfigError> {
        let mut rng = Rng::from_seed(seed);
        Ok(Stack {
            ip: Ip::new(&config.addrs, capabilities, &mut rng)?,
            icmp: Icmp::new(&mut rng),
            udp: Udp::new(&mut rng),
            tcp: Tcp::new(config.tcp, capabilities, &mut rng),
            counters: Counters::default(),
            share: Share::WHOLE,
            strays: VecDeque::new(),
        })
    }

    /// Says which packets [`Stack::receive`] is about to bring. It changes nothing: where there are many connections, the memory that the
    /// packets of a burst will need is fetched for all of them at once, and not for one after the other.
    pub fn look_ahead(&self, packets: &[Packet]) {
        self.tcp.look_ahead(packets);
    }

    /// Takes a packet in. Nothing is sent from here: answers come out of `poll_transmit`.
    pub fn receive(&mut self, packet: Packet, now: Instant) {
        match self.ip.receive(packet, &mut self.counters, now) {
            Input::Datagram(datagram) => self.deliver(datagram, now),
            Input::Refused(datagram, kind) => self.send_error(&datagram, kind, now),
            Input::Nothing => {}
        }
    }

    /// Lets every timer fire that is due; a call too many does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        for datagram in self.ip.expire(&mut self.counters, now) {
            self.send_error(&datagram, ErrorKind::ReassemblyTimeout, now);
        }
        self.tcp.handle_timeout(&mut self.counters, now);
    }

    /// When `handle_timeout` wants to be called next, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.ip.poll_timeout(), self.tcp.poll_timeout()].into_iter().flatten().min()
    }

    /// The next frame to send: a wire packet, or up to 64 KiB of one flow where the device can segment.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Frame> {
        self.ip.paths().expire(now);
        self.udp.flush(&mut self.ip, &mut self.counters);
        if let Some(frame) = self.ip.poll_transmit() {
            if self.ip.output().is_relaxed() {
                self.udp.output_relaxed();
            }
            self.counters.ip_out += 1;
            return Some(frame);
        }
        let frame = self.tcp.poll_transmit(&mut self.ip, &mut self.counters, now);
        self.counters.ip_out += u64::from(frame.is_some());
        frame
    }

    /// The next thing that a socket's owner should know.
    pub fn poll_event(&mut self) -> Option<Event> {
        let tcp = self.tcp.poll_event().map(|event| match event {
            TcpEvent::Connection(id, readiness) => Event::Tcp(id, readiness),
            TcpEvent::Acceptable(id) => Event::Acceptable(id),
        });
        tcp.or_else(|| self.udp.poll_event().map(|(id, readiness)| Event::Udp(id, readiness)))
            .or_else(|| self.icmp.pings().poll_event().map(Event::Ping))
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The stack's own addresses.
    pub fn addresses(&self) -> &Addresses {
        self.ip.addresses()
    }

    /// Hands a datagram to its upper layer; `ip` lets through only what has one.
    fn take(&mut self, datagram: Datagram, now: Instant) {
        match datagram.header.protocol {
            protocol::TCP => self.tcp.receive(datagram, &mut self.counters, now),
            protocol::UDP => {
                if let Some(unheard) = self.udp.receive(datagram, &mut self.counters) {
                    self.send_error(&unheard, ErrorKind::PortUnreachable, now);
                }
            }
            _ => match self.icmp.receive(datagram, &mut self.ip, &mut self.counters, now) {
                Some((protocol::TCP, error)) => {
                    self.tcp.icmp_error(error, &mut self.ip, &mut self.counters, now)
                }
                Some((_, error)) => self.udp.icmp_error(error, &mut self.ip, &mut self.counters, now),
                None => {}
            },
        }
    }

    fn send_error(&mut self, about: &Datagram, kind: ErrorKind, now: Instant) {
        self.icmp.send_error(about, kind, &mut self.ip, &mut self.counters, now);
    }
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod offload_tests;
#[cfg(test)]
mod stray_tests;
#[cfg(test)]
mod tests;
