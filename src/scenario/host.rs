//! The stack under test with a clock that stands still until it is moved: nothing sleeps, no timer is skipped, and the same
//! script gives the same packets.

use super::record::Ends;
use crate::base::time::{Duration, Instant};
use crate::device::{Capabilities, segment};
use crate::ip::addresses::ConfigError;
use crate::stack::{Stack, StackConfig};
use crate::tcp::config::TcpConfig;
use crate::wire::packet::Packet;

/// Where script time begins: far enough from the origin that nothing saturates there.
pub(super) const START: Instant = Instant::from_millis(3_600_000);
/// What all chance depends on.
const SEED: [u8; 32] = *b"tidegate scenarios, every run :)";
/// Timer calls at one instant that mean a timer which fires for nothing.
const CALLS_AT_ONCE: u32 = 64;

/// A packet as the stack sent it.
#[derive(Clone, Debug)]
pub(super) struct Stamped {
    /// When.
    pub at: Instant,
    /// The wire packet, from the IP header on.
    pub bytes: Vec<u8>,
}

/// The stack with its clock.
#[derive(Debug)]
pub(super) struct Host {
    stack: Stack,
    now: Instant,
    sent: Vec<Stamped>,
    calls_at_once: u32,
}

impl Host {
    /// A fresh stack at the local end, behind a device of this MTU.
    pub(super) fn new(ends: Ends, tcp: &TcpConfig, mtu: usize, offload: bool) -> Result<Self, ConfigError> {
        let prefix = if ends.local.is_ipv4() { 16 } else { 48 };
        let config = StackConfig { addrs: vec![(ends.local, prefix)], tcp: tcp.clone() };
        let capabilities = if offload { Capabilities::offload(mtu) } else { Capabilities::plain(mtu) };
        let stack = Stack::new(config, capabilities, SEED)?;
        Ok(Host { stack, now: START, sent: Vec::new(), calls_at_once: 0 })
    }

    pub(super) fn stack(&mut self) -> &mut Stack {
        &mut self.stack
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// Hands a packet to the stack.
    pub(super) fn deliver(&mut self, packet: Packet) {
        self.stack.receive(packet, self.now);
    }

    /// Takes out what the stack has to send at this instant. Super-segments are split as a device would.
    pub(super) fn collect(&mut self) -> Vec<Stamped> {
        while self.stack.poll_event().is_some() {}
        while let Some(frame) = self.stack.poll_transmit(self.now) {
            let wire = segment::to_wire(frame.to_packet());
            self.sent.extend(wire.iter().map(|p| Stamped { at: self.now, bytes: p.bytes().to_vec() }));
        }
        std::mem::take(&mut self.sent)
    }

    /// The instant of the stack's next timer, in whole microseconds, never in the past.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.stack.poll_timeout().map(|due| up_to_micros(due).max(self.now))
    }

    /// Moves the clock to the earlier of the next timer and `to`; true when `to` is reached and no timer is due.
    ///
    /// # Errors
    /// A timer that fires again and again at one instant.
    pub(super) fn step(&mut self, to: Instant) -> Result<bool, String> {
        match self.next_timer().filter(|&due| due <= to) {
            Some(due) => {
                self.calls_at_once = if due == self.now { self.calls_at_once + 1 } else { 0 };
                if self.calls_at_once > CALLS_AT_ONCE {
                    return Err("a timer of the stack fires again and again at one instant".to_owned());
                }
                self.now = due;
                self.stack.handle_timeout(due);
                Ok(false)
            }
            None => {
                self.now = self.now.max(to);
                self.calls_at_once = 0;
                Ok(true)
            }
        }
    }
}

fn up_to_micros(at: Instant) -> Instant {
    Instant::from_micros(at.as_nanos().div_ceil(1_000))
}

/// Script time in seconds, as diagnoses show it.
pub(super) fn seconds(at: Instant) -> String {
    let micros = at.since(START).as_micros();
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// The instant `since` after the script's start.
pub(super) fn at(since: Duration) -> Instant {
    START + since
}
