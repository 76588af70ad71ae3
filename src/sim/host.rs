//! What stands at the ends of links: a [`Stack`], or any other [`Node`]; and the checks that make a test host fail.

use crate::base::counters::{Counters, DropReason};
use crate::base::time::{Duration, Instant};
use crate::stack::Stack;
use crate::tcp::ConnectionInfo;
use crate::wire::packet::{Frame, Packet};

/// Timer calls in a row, without a packet in or out, that mean a timer which fires for nothing. Timers that were moved away
/// fire early once (lazy re-arm), and the end of TIME-WAIT sends nothing; so some such calls are normal.
const IDLE_TIMER_CALLS: u32 = 2_000;
/// Timer calls at one instant, without a packet in between.
const TIMER_CALLS_AT_ONCE: u32 = 16;

/// Something that sends and receives IP packets and wants to be told the time: a [`Stack`], another implementation under test,
/// a scripted peer.
pub trait Node {
    /// A wire packet arrives.
    fn receive(&mut self, packet: Packet, now: Instant);

    /// The time that [`Node::poll_timeout`] asked for has come, or passed.
    fn handle_timeout(&mut self, now: Instant);

    /// When [`Node::handle_timeout`] is to be called.
    fn poll_timeout(&mut self) -> Option<Instant>;

    /// The next frame to send.
    fn poll_transmit(&mut self, now: Instant) -> Option<Frame>;

    /// What happened so far, if this node counts.
    fn counted(&mut self) -> Option<Counters> {
        None
    }

    /// Its TCP connections, for whoever draws them.
    fn connections(&mut self) -> Vec<ConnectionInfo> {
        Vec::new()
    }
}

impl Node for Stack {
    fn receive(&mut self, packet: Packet, now: Instant) {
        Stack::receive(self, packet, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        Stack::handle_timeout(self, now);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        Stack::poll_timeout(self)
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Frame> {
        Stack::poll_transmit(self, now)
    }

    fn counted(&mut self) -> Option<Counters> {
        Some(Stack::counters(self).clone())
    }

    fn connections(&mut self) -> Vec<ConnectionInfo> {
        self.tcp().connections().collect()
    }
}

/// Passes packets on: the network does that in its place.
pub(super) struct Router;

impl Node for Router {
    fn receive(&mut self, _packet: Packet, _now: Instant) {}

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }

    fn poll_transmit(&mut self, _now: Instant) -> Option<Frame> {
        None
    }
}

/// A node as the network keeps it.
pub(super) enum Kind {
    Stack(Box<Stack>),
    Node(Box<dyn Node>),
}

/// A node with its checks.
pub(super) struct Host {
    kind: Kind,
    /// What arrives here goes on to where its address is.
    pub(super) forwards: bool,
    /// The only reasons for which it may drop packets; `None`: any.
    allowed: Option<Vec<DropReason>>,
    /// How late it hears of its timers.
    pub(super) timer_lateness: Duration,
    /// Timer calls since a packet came or went, and those of them at the present instant.
    idle_calls: u32,
    calls_at_once: u32,
    called_at: Instant,
}

impl Host {
    pub(super) fn new(kind: Kind) -> Self {
        Host {
            kind,
            forwards: false,
            allowed: None,
            timer_lateness: Duration::ZERO,
            idle_calls: 0,
            calls_at_once: 0,
            called_at: Instant::ZERO,
        }
    }

    pub(super) fn node(&mut self) -> &mut dyn Node {
        match &mut self.kind {
            Kind::Stack(stack) => stack.as_mut(),
            Kind::Node(node) => node.as_mut(),
        }
    }

    pub(super) fn stack(&mut self) -> Option<&mut Stack> {
        match &mut self.kind {
            Kind::Stack(stack) => Some(stack),
            Kind::Node(_) => None,
        }
    }

    pub(super) fn allow_drops(&mut self, reasons: &[DropReason]) {
        self.allowed = Some(reasons.to_vec());
    }

    pub(super) fn receive(&mut self, packet: Packet, now: Instant) -> Result<(), String> {
        self.idle_calls = 0;
        self.calls_at_once = 0;
        self.node().receive(packet, now);
        self.check_drops()
    }

    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Frame> {
        let frame = self.node().poll_transmit(now)?;
        self.idle_calls = 0;
        self.calls_at_once = 0;
        Some(frame)
    }

    /// When it hears of its next timer.
    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        let due = self.node().poll_timeout()?;
        Some(due + self.timer_lateness)
    }

    /// Lets timers fire that are due.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), String> {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return Ok(());
        }
        self.idle_calls += 1;
        self.calls_at_once = if self.called_at == now { self.calls_at_once + 1 } else { 1 };
        self.called_at = now;
        if self.idle_calls > IDLE_TIMER_CALLS || self.calls_at_once > TIMER_CALLS_AT_ONCE {
            return Err("a timer fires again and again without a packet".to_owned());
        }
        self.node().handle_timeout(now);
        self.check_drops()
    }

    fn check_drops(&mut self) -> Result<(), String> {
        if self.allowed.is_none() {
            return Ok(());
        }
        let Some(counters) = self.node().counted() else { return Ok(()) };
        let allowed = self.allowed.as_deref().unwrap_or_default();
        match counters.drops().find(|(reason, _)| !allowed.contains(reason)) {
            Some((reason, _)) => Err(format!("unexpected drop: {}", reason.name())),
            None => Ok(()),
        }
    }
}
