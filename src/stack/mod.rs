//! The sans-IO surface: packets in, packets out, time as the last argument.

use crate::base::counters::Counters;
use crate::base::socket::Readiness;
use crate::base::time::Instant;
use crate::device::Capabilities;
use crate::icmp::PingId;
use crate::tcp::config::TcpConfig;
use crate::tcp::{ListenerId, Tcp, TcpId};
use crate::udp::UdpId;
use crate::wire::packet::{Frame, Packet};
use std::net::IpAddr;

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
#[derive(Debug)]
pub struct Stack {
    tcp: Tcp,
    counters: Counters,
}

impl Stack {
    /// A stack for a device of these capabilities; the seed determines everything random in it.
    pub fn new(_config: StackConfig, _capabilities: Capabilities, _seed: [u8; 32]) -> Self {
        todo!()
    }

    /// Takes a packet in. Nothing is sent from here: answers come out of `poll_transmit`.
    pub fn receive(&mut self, _packet: Packet, _now: Instant) {
        todo!()
    }

    /// Lets every timer fire that is due; a call too many does nothing.
    pub fn handle_timeout(&mut self, _now: Instant) {
        todo!()
    }

    /// When `handle_timeout` wants to be called next, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// The next frame to send: a wire packet, or up to 64 KiB of one flow where the device can segment.
    pub fn poll_transmit(&mut self, _now: Instant) -> Option<Frame> {
        todo!()
    }

    /// The next thing that a socket's owner should know.
    pub fn poll_event(&mut self) -> Option<Event> {
        todo!()
    }

    /// The TCP sockets.
    pub fn tcp(&mut self) -> &mut Tcp {
        &mut self.tcp
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
