//! The transmission control protocol (RFC 9293), split by concern and named after the RFC's words.

pub mod config;
pub mod sockets;

use std::collections::VecDeque;

use crate::base::counters::Counters;
use crate::base::rng::Rng;
use crate::base::socket::{Handle, Readiness};
use crate::base::time::Instant;
use crate::device::Capabilities;
use crate::ip::Datagram;
use crate::wire::packet::Frame;
use config::TcpConfig;

/// Names a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TcpId(pub Handle);

/// Names a listener.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ListenerId(pub Handle);

/// What the sockets' owners should know; take them with [`Tcp::poll_event`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TcpEvent {
    /// A connection became ready for what the bits say.
    Connection(TcpId, Readiness),
    /// A listener has connections to accept.
    Acceptable(ListenerId),
}

/// All of TCP of one stack: connections, listeners, half-open entries, TIME-WAIT records and their timers.
#[derive(Debug)]
pub struct Tcp {
    config: TcpConfig,
    replies: VecDeque<Frame>,
}

impl Tcp {
    /// TCP without a socket, for a device of these capabilities.
    pub fn new(_config: TcpConfig, _capabilities: Capabilities, _rng: &mut Rng) -> Self {
        todo!()
    }

    /// Takes a segment (or super-segment) in.
    pub fn receive(&mut self, _datagram: Datagram, _counters: &mut Counters, _now: Instant) {
        todo!()
    }

    /// Lets every timer fire that is due.
    pub fn handle_timeout(&mut self, _counters: &mut Counters, _now: Instant) {
        todo!()
    }

    /// When the next timer is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// The next frame to send.
    pub fn poll_transmit(&mut self, _counters: &mut Counters, _now: Instant) -> Option<Frame> {
        todo!()
    }

    /// The next thing a socket's owner should know.
    pub fn poll_event(&mut self) -> Option<TcpEvent> {
        todo!()
    }
}
