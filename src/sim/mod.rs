//! A network in a process, under a virtual clock: hosts, links with faults, and one seed that determines everything.
//!
//! The same seed and the same calls give the same packets at the same times, byte for byte; [`Network::trace_hash`] tells.
//! Links carry wire packets: super-segments are split and checksums completed before a packet meets a queue or a draw.
//!
//! A [`Network`] is driven by hand ([`Network::step`], [`Network::run_while`]) with the socket calls of [`Stack`] in between,
//! or by [`run`], under applications that are written for tokio. Any [`Node`] may stand at the end of a link.
//!
//! ```
//! use tidegate::base::{socket::SocketError, time::Duration};
//! use tidegate::device::Capabilities;
//! use tidegate::sim::{LinkConfig, Network};
//! use tidegate::stack::StackConfig;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut network = Network::new(7);
//! let config = |addr: &str| -> Result<_, std::net::AddrParseError> {
//!     Ok(StackConfig { addrs: vec![(addr.parse()?, 24)], tcp: Default::default() })
//! };
//! let client = network.add_host(config("10.0.0.1")?, Capabilities::plain(1500))?;
//! let server = network.add_host(config("10.0.0.2")?, Capabilities::offload(1500))?;
//! network.connect(client, server, LinkConfig { loss: 0.1, ..LinkConfig::default() });
//!
//! let listener = network.stack(server).tcp_listen("10.0.0.2:80".parse()?, 1)?;
//! let now = network.now();
//! let id = network.stack(client).tcp_connect(None, "10.0.0.2:80".parse()?, now)?;
//!
//! // One end writes 100,000 bytes, the other reads them, whatever the link loses.
//! let (mut unsent, mut received, mut accepted) = (100_000, 0, None);
//! let done = network.run_while(Duration::from_secs(60), |network| {
//!     let now = network.now();
//!     while let Ok(sent) = network.stack(client).tcp().send(id, &[std::io::IoSlice::new(&vec![7; unsent])], now) {
//!         unsent -= sent;
//!         if unsent == 0 {
//!             break;
//!         }
//!     }
//!     let stack = network.stack(server);
//!     accepted = accepted.or_else(|| stack.tcp().accept(listener).ok());
//!     let mut buffer = [0; 4096];
//!     while let Some((id, _)) = accepted && let Ok(len) = stack.tcp().recv(id, &mut buffer, now) {
//!         received += len;
//!     }
//!     received < 100_000
//! });
//! assert!(done, "within a minute of virtual time");
//! # Ok(())
//! # }
//! ```

pub mod flows;
mod host;
mod tasks;
mod trace;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::base::buffer::Buffer;
use crate::base::counters::DropReason;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::device::Capabilities;
use crate::device::link::{Carried, Link};
use crate::device::segment::to_wire;
use crate::driver::clock::VirtualClock;
use crate::driver::shared::Shared;
use crate::ip::addresses::ConfigError;
use crate::stack::{Stack, StackConfig};
use crate::wire::packet::{Offload, Packet};
use host::{Host, Kind};

pub use crate::device::link::{Bursts, Codel, Fate, LinkConfig, LinkCounters, Passage, Policer, Queue};
pub use host::Node;
pub use tasks::run;
pub use trace::{Moment, Tap, Traced};

/// Frames that a host may send at one instant; more means that it never stops.
const MAX_FRAMES_AT_ONCE: usize = 100_000;
/// Steps at one instant; more means that hosts answer each other for ever over links without delay.
const MAX_STEPS_AT_ONCE: u32 = 100_000;

/// Decides for each packet whether a link gets it.
pub type Filter = Box<dyn FnMut(&[u8], Instant) -> bool>;

/// One direction between two hosts.
struct Cable {
    link: Link<Vec<u8>>,
    filter: Option<Filter>,
}

/// Names a host of a [`Network`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostId(usize);

/// Hosts, the links between them, and the time.
pub struct Network {
    seed: u64,
    clock: VirtualClock,
    now: Instant,
    steps_at_once: u32,
    rng: Rng,
    hosts: Vec<Host>,
    shared: Vec<Arc<Shared>>,
    /// A task was woken since somebody asked.
    woke: Rc<Cell<bool>>,
    routes: BTreeMap<IpAddr, HostId>,
    /// The next hop where a packet does not go straight to its host: by where it is and where it is to arrive.
    hops: BTreeMap<(HostId, HostId), HostId>,
    cables: BTreeMap<(HostId, HostId), Cable>,
    /// Packets on their way, by arrival and then by the order they were sent in.
    arrivals: BTreeMap<(Instant, u64), Traced>,
    unroutable: u64,
    trace: trace::Trace,
}

impl Network {
    /// A network without a host; `seed` determines every draw in it, those of its hosts included.
    pub fn new(seed: u64) -> Self {
        Network {
            seed,
            clock: VirtualClock::default(),
            now: Instant::ZERO,
            steps_at_once: 0,
            rng: Rng::from_u64(seed),
            hosts: Vec::new(),
            shared: Vec::new(),
            woke: Rc::default(),
            routes: BTreeMap::new(),
            hops: BTreeMap::new(),
            cables: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            unroutable: 0,
            trace: trace::Trace::new(),
        }
    }

    /// Adds a stack of its own.
    ///
    /// # Errors
    /// A configuration that cannot be.
    pub fn add_host(
        &mut self,
        config: StackConfig,
        capabilities: Capabilities,
    ) -> Result<HostId, ConfigError> {
        let addrs: Vec<IpAddr> = config.addrs.iter().map(|&(addr, _)| addr).collect();
        let stack = Stack::new(config, capabilities, self.rng.seed())?;
        Ok(self.add(Kind::Stack(Box::new(stack)), &addrs))
    }

    /// Adds a stack whose sockets are those of [`crate::net`], over what comes back; see [`run`].
    ///
    /// # Errors
    /// A configuration that cannot be.
    pub fn add_shared_host(
        &mut self,
        config: StackConfig,
        capabilities: Capabilities,
    ) -> Result<(HostId, Arc<Shared>), ConfigError> {
        let addrs: Vec<IpAddr> = config.addrs.iter().map(|&(addr, _)| addr).collect();
        let stack = Stack::new(config, capabilities, self.rng.seed())?;
        let (node, shared) = tasks::SharedNode::new(stack, self.clock.clone(), self.woke.clone());
        self.shared.push(shared.clone());
        Ok((self.add(Kind::Node(Box::new(node)), &addrs), shared))
    }

    /// Adds any other node that packets for `addrs` go to.
    pub fn add_node(&mut self, node: impl Node + 'static, addrs: &[IpAddr]) -> HostId {
        self.add(Kind::Node(Box::new(node)), addrs)
    }

    /// Adds what has no address of its own and only passes packets on, see [`Network::route`].
    pub fn add_router(&mut self) -> HostId {
        let id = self.add(Kind::Node(Box::new(host::Router)), &[]);
        self.hosts[id.0].forwards = true;
        id
    }

    /// From now on packets that are at `from` and belong to `to` take the link to `hop`, which passes them on.
    pub fn route(&mut self, from: HostId, to: HostId, hop: HostId) {
        self.hops.insert((from, to), hop);
    }

    fn add(&mut self, kind: Kind, addrs: &[IpAddr]) -> HostId {
        let id = HostId(self.hosts.len());
        self.hosts.push(Host::new(kind));
        self.routes.extend(addrs.iter().map(|&addr| (addr, id)));
        id
    }

    /// Joins two hosts by a link in each direction.
    pub fn connect(&mut self, a: HostId, b: HostId, config: LinkConfig) {
        self.connect_one_way(a, b, config.clone());
        self.connect_one_way(b, a, config);
    }

    /// Lays a link in one direction, or replaces it.
    pub fn connect_one_way(&mut self, from: HostId, to: HostId, config: LinkConfig) {
        let rng = Rng::from_seed(self.rng.seed());
        self.cables.insert((from, to), Cable { link: Link::new(config, rng), filter: None });
    }

    /// Changes what a link does from now on; packets on their way stay as they are.
    pub fn set_link(&mut self, from: HostId, to: HostId, config: LinkConfig) {
        if let Some(cable) = self.cables.get_mut(&(from, to)) {
            cable.link.set_config(config);
        }
    }

    /// Lets `filter` decide for each packet whether the link gets it: for tests that lose one certain segment.
    pub fn set_filter(
        &mut self,
        from: HostId,
        to: HostId,
        filter: impl FnMut(&[u8], Instant) -> bool + 'static,
    ) {
        if let Some(cable) = self.cables.get_mut(&(from, to)) {
            cable.filter = Some(Box::new(filter));
        }
    }

    /// What a link did so far.
    pub fn link_counters(&self, from: HostId, to: HostId) -> LinkCounters {
        self.cables.get(&(from, to)).map(|cable| cable.link.counters()).unwrap_or_default()
    }

    /// Packets and bytes that wait in front of a link at `at`, as far as is known now.
    pub fn link_queue_at(&self, from: HostId, to: HostId, at: Instant) -> (usize, usize) {
        self.cables.get(&(from, to)).map(|cable| cable.link.waiting(at)).unwrap_or_default()
    }

    /// Packets to an address that no link leads to.
    pub fn unroutable(&self) -> u64 {
        self.unroutable
    }

    /// From now on the simulation fails when `host` drops a packet for another reason than these.
    pub fn allow_drops(&mut self, host: HostId, reasons: &[DropReason]) {
        self.hosts[host.0].allow_drops(reasons);
    }

    /// From now on `host` hears of its timers so much after they are due.
    pub fn set_timer_lateness(&mut self, host: HostId, lateness: Duration) {
        self.hosts[host.0].timer_lateness = lateness;
    }

    /// The stack of a host that was added by [`Network::add_host`].
    ///
    /// # Panics
    /// For a host of another kind.
    pub fn stack(&mut self, host: HostId) -> &mut Stack {
        self.hosts[host.0].stack().expect("a host that was added by add_host")
    }

    /// A host, whatever its kind.
    pub fn node(&mut self, host: HostId) -> &mut dyn Node {
        self.hosts[host.0].node()
    }

    /// The present.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Keeps every packet from now on, for [`Network::trace`].
    pub fn keep_trace(&mut self) {
        self.trace.keep();
    }

    /// The packets kept so far, in the order they were sent.
    pub fn trace(&self) -> &[Traced] {
        self.trace.kept()
    }

    /// Shows every packet to `tap` from now on.
    pub fn set_tap(&mut self, tap: impl FnMut(&Traced, Moment, &mut dyn Node) + 'static) {
        self.trace.set_tap(Box::new(tap));
    }

    /// A hash over every packet so far, with its time and fate: equal for equal runs.
    pub fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// When the next packet arrives or the next timer is due. What hosts have to send at present is sent first.
    pub fn next_event(&mut self) -> Option<Instant> {
        self.transmit();
        let arrival = self.arrivals.first_key_value().map(|(&(at, _), _)| at);
        let timers = self.hosts.iter_mut().filter_map(Host::poll_timeout).min();
        let leaving = self.cables.values().filter_map(|cable| cable.link.poll_timeout()).min();
        arrival.into_iter().chain(timers).chain(leaving).min().map(|at| at.max(self.now))
    }

    /// Moves time to the next event and lets everything happen that is due then. False if nothing will ever happen.
    ///
    /// # Panics
    /// When a host drops a packet that it was not allowed to, when its timers fire for nothing, or when it never stops sending.
    pub fn step(&mut self) -> bool {
        let happened = self.happen();
        self.transmit();
        happened
    }

    /// [`Network::step`], after which hosts have not answered yet: applications may act first, as under a driver.
    fn happen(&mut self) -> bool {
        let Some(at) = self.next_event() else { return false };
        self.move_to(at);
        self.forward_due();
        while let Some(entry) = self.arrivals.first_entry().filter(|entry| entry.key().0 <= at) {
            let traced = entry.remove();
            self.arrive(&traced);
        }
        for index in 0..self.hosts.len() {
            let checked = self.hosts[index].handle_timeout(at);
            self.check(HostId(index), checked);
        }
        true
    }

    /// Steps up to `time`, and stops the clock there.
    pub fn run_until(&mut self, time: Instant) {
        while self.next_event().is_some_and(|at| at <= time) {
            self.step();
        }
        self.move_to(time.max(self.now));
    }

    /// Steps for as long as `condition` holds, for `limit` of virtual time at most. The condition is asked after every step, and
    /// may make socket calls. False if it still holds in the end: time is up, or nothing will ever happen.
    pub fn run_while(&mut self, limit: Duration, mut condition: impl FnMut(&mut Network) -> bool) -> bool {
        let until = self.now + limit;
        while condition(self) {
            if self.next_event().is_none_or(|at| at > until) {
                return false;
            }
            self.step();
        }
        true
    }

    /// The stacks that sockets share.
    fn shared(&self) -> impl Iterator<Item = &Arc<Shared>> {
        self.shared.iter()
    }

    fn move_to(&mut self, at: Instant) {
        self.steps_at_once = if at == self.now { self.steps_at_once + 1 } else { 0 };
        assert!(self.steps_at_once < MAX_STEPS_AT_ONCE, "seed {}: time stands still at {at:?}", self.seed);
        self.now = at;
        self.clock.advance_to(at);
    }

    fn arrive(&mut self, traced: &Traced) {
        let mut packet = Packet { buffer: Buffer::for_len(traced.bytes.len()), offload: Offload::None };
        packet.buffer.append(&traced.passage.apply(&traced.bytes));
        let host = &mut self.hosts[traced.to.0];
        if host.forwards {
            return self.send(traced.to, packet.bytes().to_vec());
        }
        let checked = host.receive(packet, self.now);
        self.trace.received(traced, host.node());
        self.check(traced.to, checked);
    }

    /// Puts on the links what the hosts have to send.
    fn transmit(&mut self) {
        for index in 0..self.hosts.len() {
            let mut frames = 0;
            while let Some(frame) = self.hosts[index].poll_transmit(self.now) {
                frames += 1;
                assert!(
                    frames < MAX_FRAMES_AT_ONCE,
                    "seed {}: host {index} never stops sending at {:?}",
                    self.seed,
                    self.now
                );
                for packet in to_wire(frame.to_packet()) {
                    self.send(HostId(index), packet.bytes().to_vec());
                }
            }
        }
    }

    fn send(&mut self, from: HostId, bytes: Vec<u8>) {
        let to = destination(&bytes).and_then(|addr| self.routes.get(&addr).copied());
        let hop = to.map(|to| self.hops.get(&(from, to)).copied().unwrap_or(to));
        let cable = hop.and_then(|hop| Some((hop, self.cables.get_mut(&(from, hop))?)));
        let Some((to, cable)) = cable else {
            self.unroutable += 1;
            return;
        };
        if cable.filter.as_mut().is_none_or(|passes| passes(&bytes, self.now)) {
            cable.link.push(bytes, self.now);
        } else {
            cable.link.push_filtered(bytes, self.now);
        }
        self.forward(from, to);
    }

    /// Forwards what links have held until now.
    fn forward_due(&mut self) {
        let due = |cable: &Cable| cable.link.poll_timeout().is_some_and(|at| at <= self.now);
        let due: Vec<_> = self.cables.iter().filter(|(_, cable)| due(cable)).map(|(&ends, _)| ends).collect();
        due.into_iter().for_each(|(from, to)| self.forward(from, to));
    }

    /// Puts on their way the packets that a link has decided on.
    fn forward(&mut self, from: HostId, to: HostId) {
        while let Some(carried) = self.cables.get_mut(&(from, to)).and_then(|cable| cable.link.poll(self.now))
        {
            self.trace_passages(from, to, carried);
        }
    }

    fn trace_passages(&mut self, from: HostId, to: HostId, carried: Carried<Vec<u8>>) {
        let Carried { packet: bytes, since: sent, passages } = carried;
        for passage in passages {
            let number = self.trace.number();
            let traced = Traced { number, sent, from, to, bytes: bytes.clone(), passage };
            self.trace.sent(&traced, self.hosts[from.0].node());
            if let Fate::Arrives(at) = passage.fate {
                self.arrivals.insert((at, number), traced);
            }
        }
    }

    fn check(&self, host: HostId, checked: Result<(), String>) {
        if let Err(problem) = checked {
            panic!("seed {}: host {} at {:?}: {problem}", self.seed, host.0, self.now);
        }
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Network(seed {}, {} hosts, {:?})", self.seed, self.hosts.len(), self.now)
    }
}

/// The destination address of an IP packet.
fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => <[u8; 4]>::try_from(packet.get(16..20)?).ok().map(IpAddr::from),
        6 => <[u8; 16]>::try_from(packet.get(24..40)?).ok().map(IpAddr::from),
        _ => None,
    }
}
