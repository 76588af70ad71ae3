//! Bulk flows over one bottleneck, measured: what arrived, what was sent again and for nothing, how the window moved.
//!
//! A [`Dumbbell`] says what stands where, [`Dumbbell::lay`] builds it, [`Running`] lets time pass. Every sender is a host of its own
//! behind a router; all of them write to one receiver. Times are virtual, and equal seeds give equal figures.
//!
//! It knows nothing of the algorithms: what it tells comes from the packets on the path and from what sockets tell everybody.
//!
//! ```
//! use tidegate::base::time::{Duration, Instant};
//! use tidegate::sim::LinkConfig;
//! use tidegate::sim::flows::{Dumbbell, Flow};
//!
//! // Two flows share 10 Mbit/s; the second begins a second later.
//! let path = LinkConfig { rate: Some(10_000_000), ..LinkConfig::default() };
//! let late = Flow { start: Duration::from_secs(1), ..Flow::default() };
//! let mut running = Dumbbell { flows: vec![Flow::default(), late], ..Dumbbell::symmetric(path) }.lay();
//! running.run_until(Instant::from_millis(5_000));
//! let reports = [0, 1].map(|flow| running.report(flow));
//! assert!(reports[0].delivered > reports[1].delivered);
//! ```

mod ends;
mod watch;

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use super::{Fate, HostId, LinkConfig, Moment, Network};
use crate::base::time::{Duration, Instant};
use crate::device::Capabilities;
use crate::stack::StackConfig;
use crate::tcp::config::TcpConfig;

use crate::tcp::{ListenerId, RecoveryState};
use ends::End;
use watch::Watch;

/// Where the receiver listens.
const PORT: u16 = 5001;
const RECEIVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

/// One sender.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Its settings.
    pub tcp: TcpConfig,
    /// When it opens its connection.
    pub start: Duration,
    /// Added to the path's round trip, for this flow alone.
    pub extra_rtt: Duration,
    /// How much it writes before it closes, at least a byte.
    pub bytes: u64,
    /// What the applications do besides.
    pub habits: Habits,
    /// What its device can do, MTU included.
    pub capabilities: Capabilities,
    /// How late it hears of its timers, as on a machine with other work.
    pub timer_lateness: Duration,
}

impl Default for Flow {
    /// Writes for ever, from the start, over a device with offloads.
    fn default() -> Self {
        Flow {
            tcp: TcpConfig::default(),
            start: Duration::ZERO,
            extra_rtt: Duration::ZERO,
            bytes: u64::MAX,
            habits: Habits::default(),
            capabilities: Capabilities::offload(1500),
            timer_lateness: Duration::ZERO,
        }
    }
}

/// What the two applications of a flow do besides writing and reading as fast as they can.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habits {
    /// The writer rests after so many bytes, for so long.
    pub writer: Option<(u64, Duration)>,
    /// The reader rests after so many bytes, for so long.
    pub reader: Option<(u64, Duration)>,
    /// Bytes that the reader sends back after the writer has closed its direction.
    pub answer: u64,
    /// The writer resets the connection after so many bytes.
    pub abort_after: Option<u64>,
}

/// A bottleneck and the flows that share it.
#[derive(Clone, Debug)]
pub struct Dumbbell {
    /// Determines every draw.
    pub seed: u64,
    /// What data goes through.
    pub forward: LinkConfig,
    /// What acknowledgements go through.
    pub backward: LinkConfig,
    /// The receiver's settings.
    pub receiver: TcpConfig,
    /// The senders.
    pub flows: Vec<Flow>,
    /// How often [`Sample`]s are taken.
    pub sample_every: Option<Duration>,
}

impl Dumbbell {
    /// One flow over the same link in both directions.
    pub fn symmetric(link: LinkConfig) -> Self {
        Dumbbell {
            seed: 1,
            forward: link.clone(),
            backward: link,
            receiver: TcpConfig::default(),
            flows: vec![Flow::default()],
            sample_every: None,
        }
    }

    /// Builds it; nothing has been sent yet.
    ///
    /// # Panics
    /// With more than 200 flows.
    pub fn lay(self) -> Running {
        let mut network = Network::new(self.seed);
        let receiver = host(&mut network, RECEIVER, self.receiver.clone(), Capabilities::offload(1500));
        let router = network.add_router();
        network.connect_one_way(router, receiver, self.forward);
        network.connect_one_way(receiver, router, self.backward);
        assert!(self.flows.len() <= 200, "addresses for more flows");
        let watches = Rc::new(RefCell::new(Vec::new()));
        let mut flows = Vec::new();
        for (number, flow) in self.flows.into_iter().enumerate() {
            let addr = Ipv4Addr::new(10, 9, 0, 10 + number as u8);
            let id = host(&mut network, addr, flow.tcp.clone(), flow.capabilities);
            network.set_timer_lateness(id, flow.timer_lateness);
            let access =
                LinkConfig { mtu: flow.capabilities.mtu, delay: flow.extra_rtt / 2, ..LinkConfig::default() };
            network.connect(id, router, access);
            network.route(id, receiver, router);
            network.route(receiver, id, router);
            watches.borrow_mut().push(Watch::new(id, receiver, addr.octets()));
            flows.push(End::new(id, addr, flow));
        }
        let watching = watches.clone();
        network.set_tap(move |traced, moment, _| {
            let (received, at) = match (moment, traced.passage.fate) {
                (Moment::Received, Fate::Arrives(at)) => (true, at),
                _ => (false, traced.sent),
            };
            watching.borrow_mut().iter_mut().for_each(|watch: &mut Watch| watch.see(traced, received, at));
        });
        let server = SocketAddr::new(RECEIVER.into(), PORT);
        let listener = network.stack(receiver).tcp_listen(server, 200).expect("a free port");
        let next_sample = self.sample_every.map(|_| Instant::ZERO);
        Running { network, receiver, router, listener, flows, watches, every: self.sample_every, next_sample }
    }
}

fn host(network: &mut Network, addr: Ipv4Addr, tcp: TcpConfig, capabilities: Capabilities) -> HostId {
    let config = StackConfig { addrs: vec![(addr.into(), 16)], tcp };
    network.add_host(config, capabilities).expect("one private address")
}

/// What one flow achieved so far. Bytes are payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Bytes that the receiving application read.
    pub delivered: u64,
    /// Bytes that arrived, in whatever order, each counted once.
    pub received: u64,
    /// Bytes put on the path, repeats included.
    pub sent: u64,
    /// Of these, bytes that had been sent before.
    pub resent: u64,
    /// Bytes that arrived although they had arrived before, without the path's doing: they were sent again for nothing.
    pub spurious: u64,
    /// Retransmission timeouts.
    pub timeouts: u64,
    /// Of these, timeouts that loss recovery should have forestalled, see [`Missed`].
    pub avoidable: u64,
    /// When the receiver had read all that there was.
    pub finished: Option<Instant>,
}

impl Report {
    /// What happened since `earlier`.
    pub fn since(self, earlier: Report) -> Report {
        Report {
            delivered: self.delivered - earlier.delivered,
            received: self.received - earlier.received,
            sent: self.sent - earlier.sent,
            resent: self.resent - earlier.resent,
            spurious: self.spurious - earlier.spurious,
            timeouts: self.timeouts - earlier.timeouts,
            avoidable: self.avoidable - earlier.avoidable,
            finished: self.finished,
        }
    }
}

/// A retransmission timeout that loss recovery should have forestalled, and what the sender knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avoidable {
    /// When the timer fired.
    pub at: Instant,
    /// Where the first missing segment begins, in bytes of the stream.
    pub offset: u64,
    /// When that was sent last; for a probe, when anything was.
    pub sent: Instant,
    /// What was missed.
    pub why: Missed,
}

/// The chance that a sender had to repair a loss before its timer fired (RFC 8985).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// It had known for a round trip and more that something sent after the missing segment had been delivered (§6). Asked only of flows
    /// with SACK and timestamps.
    Overtaken {
        /// When that was sent.
        newer: Instant,
        /// When the sender could know.
        known: Instant,
    },
    /// Nobody had reported anything, and it sent no tail loss probe although nothing stood against one (§7). Asked only of flows with
    /// SACK.
    Probe,
}

/// A sender at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The moment.
    pub at: Instant,
    /// Congestion window, in bytes.
    pub window: u32,
    /// Slow start threshold, in bytes.
    pub ssthresh: u32,
    /// The receiver's window, in bytes.
    pub granted: u32,
    /// Segments sent and not acknowledged.
    pub unacknowledged: u32,
    /// The phase of loss recovery.
    pub recovery: RecoveryState,
    /// Smoothed round-trip time, zero until measured.
    pub srtt: Duration,
    /// Bytes delivered so far.
    pub delivered: u64,
    /// Timeouts so far.
    pub timeouts: u64,
    /// Bytes in the queue of the bottleneck.
    pub queue: usize,
}

/// A [`Dumbbell`] in operation.
pub struct Running {
    network: Network,
    receiver: HostId,
    router: HostId,
    listener: ListenerId,
    flows: Vec<End>,
    watches: Rc<RefCell<Vec<Watch>>>,
    every: Option<Duration>,
    next_sample: Option<Instant>,
}

impl Running {
    /// Now.
    pub fn now(&self) -> Instant {
        self.network.now()
    }

    /// The network, for what else a test wants to do to it.
    pub fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    /// The two ends of the bottleneck, in the direction of data.
    pub fn bottleneck(&self) -> (HostId, HostId) {
        (self.router, self.receiver)
    }

    /// Changes the path, from now on.
    pub fn set_path(&mut self, forward: LinkConfig, backward: LinkConfig) {
        self.network.set_link(self.router, self.receiver, forward);
        self.network.set_link(self.receiver, self.router, backward);
    }

    /// Lets time pass.
    ///
    /// # Panics
    /// When a stream differs from what was written, or as [`Network::step`] does.
    pub fn run_until(&mut self, until: Instant) {
        while self.advance(until) {}
        self.network.run_until(until);
    }

    /// Lets time pass until every flow is done. False if some are not by `until`.
    pub fn run_to_end(&mut self, until: Instant) -> bool {
        while self.flows.iter().any(|flow| flow.finished.is_none()) {
            if !self.advance(until) {
                return false;
            }
        }
        true
    }

    /// What a flow achieved so far.
    pub fn report(&self, flow: usize) -> Report {
        let end = &self.flows[flow];
        let watch = &self.watches.borrow()[flow];
        Report {
            delivered: end.read,
            received: watch.received,
            sent: watch.sent,
            resent: watch.resent,
            spurious: watch.spurious,
            timeouts: end.timeouts,
            avoidable: watch.avoidable.len() as u64,
            finished: end.finished,
        }
    }

    /// The timeouts of a flow that were avoidable.
    pub fn avoidable(&self, flow: usize) -> Vec<Avoidable> {
        self.watches.borrow()[flow].avoidable.clone()
    }

    /// How a flow's window moved.
    pub fn samples(&self, flow: usize) -> &[Sample] {
        &self.flows[flow].samples
    }

    /// Lets applications act, then moves to the next event, `until` at most. False if nothing happens before.
    fn advance(&mut self, until: Instant) -> bool {
        self.accept();
        let (receiver, now) = (self.receiver, self.now());
        self.flows.iter_mut().for_each(|end| end.act(&mut self.network, receiver));
        let wakes = self.flows.iter().filter_map(|end| end.wakes_at(now)).min();
        let event = self.network.next_event();
        self.count_probes();
        let Some(next) = event.into_iter().chain(wakes).min().filter(|next| *next <= until) else {
            self.sample_before(until + Duration::from_nanos(1));
            return false;
        };
        self.sample_before(next);
        if event == Some(next) {
            self.network.happen();
        } else {
            self.network.run_until(next);
        }
        self.count_timeouts();
        true
    }

    fn accept(&mut self) {
        while let Ok((id, peer)) = self.network.stack(self.receiver).tcp().accept(self.listener) {
            let flow = self.flows.iter_mut().find(|flow| flow.addr == peer.ip());
            flow.expect("one of the senders").far = Some(id);
        }
    }

    /// What hosts had to send was sent a moment ago.
    fn count_probes(&mut self) {
        for (end, watch) in self.flows.iter_mut().zip(self.watches.borrow_mut().iter_mut()) {
            let probes = self.network.stack(end.host).counters().tcp_tail_probes;
            if probes > end.probes {
                end.probes = probes;
                watch.probed();
            }
        }
    }

    fn count_timeouts(&mut self) {
        let now = self.network.now();
        for (end, watch) in self.flows.iter_mut().zip(self.watches.borrow_mut().iter_mut()) {
            let timeouts = self.network.stack(end.host).counters().tcp_timeouts;
            if timeouts > end.timeouts {
                end.timeouts = timeouts;
                watch.timed_out(now);
            }
        }
    }

    /// Takes the samples that are due before `at`.
    fn sample_before(&mut self, at: Instant) {
        let Some(every) = self.every else { return };
        while let Some(due) = self.next_sample.filter(|due| *due < at) {
            let queue = self.network.link_queue_at(self.router, self.receiver, due).1;
            for end in &mut self.flows {
                let stack = self.network.stack(end.host);
                let tcp = stack.tcp();
                let Some((id, info)) = end.near.and_then(|id| Some((id, tcp.info(id).ok()?))) else {
                    continue;
                };
                let Ok(statistics) = tcp.statistics(id, due) else { continue };
                end.samples.push(Sample {
                    at: due,
                    window: info.congestion_window,
                    ssthresh: info.slow_start_threshold,
                    granted: info.send_window,
                    unacknowledged: statistics.unacknowledged,
                    recovery: statistics.recovery,
                    srtt: statistics.srtt,
                    delivered: end.read,
                    timeouts: end.timeouts,
                    queue,
                });
            }
            self.next_sample = Some(due + every);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tcp::{Flags, TcpHeader};

    /// Two flows, one of them late and farther away: both are served, and their figures differ as their paths do.
    #[test]
    fn flows_share_a_bottleneck_and_are_told_apart() {
        let link = LinkConfig { rate: Some(8_000_000), ..LinkConfig::default() };
        let near = Flow { bytes: 500_000, ..Flow::default() };
        let far =
            Flow { start: Duration::from_millis(100), extra_rtt: Duration::from_millis(30), ..near.clone() };
        let sample_every = Some(Duration::from_millis(10));
        let mut running =
            Dumbbell { flows: vec![near, far], sample_every, ..Dumbbell::symmetric(link) }.lay();
        assert!(running.run_to_end(Instant::from_millis(10_000)));
        for flow in [0, 1] {
            let report = running.report(flow);
            assert_eq!((report.delivered, report.sent - report.resent), (500_000, 500_000));
            assert_eq!(report.spurious, 0);
        }
        // A thousand kilobytes take at least a second at a thousand kilobytes per second.
        assert!(running.now() > Instant::from_millis(1_000));
        let shortest =
            |flow| running.samples(flow).iter().map(|s| s.srtt).filter(|srtt| !srtt.is_zero()).min();
        let srtts = [0, 1].map(shortest).map(Option::unwrap_or_default);
        assert!(srtts[1] >= srtts[0] + Duration::from_millis(20), "{srtts:?}");
    }

    /// A flow of 60,000 bytes with these settings over a path that loses what `loses` says, by its place in the stream and its flags.
    fn timeouts(tcp: TcpConfig, mut loses: impl FnMut(u32, u8) -> bool + 'static) -> (u64, Vec<Missed>) {
        let flows = vec![Flow { tcp, bytes: 60_000, ..Flow::default() }];
        let link = LinkConfig { rate: Some(8_000_000), ..LinkConfig::default() };
        let mut running = Dumbbell { flows, ..Dumbbell::symmetric(link) }.lay();
        let (from, to) = running.bottleneck();
        let mut first = None;
        running.network().set_filter(from, to, move |packet, _| {
            let (tcp, _) = TcpHeader::parse(&packet[20..]).expect("a TCP segment");
            let first = *first.get_or_insert(tcp.seq + 1);
            !loses(tcp.seq.since(first), tcp.flags.0)
        });
        assert!(running.run_to_end(Instant::from_millis(60_000)));
        let missed = running.avoidable(0).iter().map(|timeout| timeout.why).collect();
        (running.report(0).timeouts, missed)
    }

    /// RFC 8985 §7: the last segment is lost. A probe repairs that; without one there is a timeout, and it is told as avoidable.
    #[test]
    fn a_timeout_that_a_probe_forestalls_is_avoidable() {
        let last_once = || {
            let mut lost = false;
            move |_: u32, flags: u8| flags & Flags::FIN.0 != 0 && !std::mem::replace(&mut lost, true)
        };
        assert_eq!(timeouts(TcpConfig::default(), last_once()), (0, vec![]));
        let silent = TcpConfig { tail_loss_probe: false, ..TcpConfig::default() };
        assert_eq!(timeouts(silent, last_once()), (1, vec![Missed::Probe]));
        // Who cannot report needs no probe.
        let mute = TcpConfig { sack: false, ..TcpConfig::default() };
        assert_eq!(timeouts(mute, last_once()), (1, vec![]));
    }

    /// RFC 8985 §6: a segment is lost twice. RACK finds out by what was sent after its copy; who counts (RFC 6675) waits for the timer.
    #[test]
    fn a_timeout_that_rack_forestalls_is_avoidable() {
        let third_twice = || {
            let mut lost = 0;
            move |seq: u32, _: u8| {
                lost += u32::from(seq == 2 * 1448);
                seq == 2 * 1448 && lost <= 2
            }
        };
        assert_eq!(timeouts(TcpConfig::default(), third_twice()), (0, vec![]));
        let counts = TcpConfig { rack: false, ..TcpConfig::default() };
        let (timeouts, missed) = timeouts(counts, third_twice());
        assert!(matches!((timeouts, &missed[..]), (1, [Missed::Overtaken { .. }])), "{timeouts}: {missed:?}");
    }
}
