//! Paths by name, and what must hold on each: the goodput it allows, no timeout that loss recovery could have forestalled, the bytes.
//!
//! Paths are told in the words of `tidegate link`. Bytes are compared by the harness as they arrive.

use std::ops::RangeInclusive;

use tidegate::base::time::Duration;
use tidegate::device::Capabilities;
use tidegate::sim::LinkConfig;
use tidegate::sim::flows::{Dumbbell, Flow, Report, Running};
use tidegate::tcp::config::{Ecn, TcpConfig};
use tidegate::tcp::congestion::CongestionControl;

use crate::common::*;

/// How often the queue is looked at.
const SAMPLED: Duration = Duration::from_millis(10);

/// A path and one flow over it, for each algorithm.
struct Topology {
    forward: &'static str,
    backward: &'static str,
    /// What both ends do about congestion marks.
    ecn: Ecn,
    /// What happens in mid-flow: after so long, both directions become these.
    changes: &'static [(Duration, &'static str, &'static str)],
    offload: bool,
    /// How late the sender hears of its timers.
    lateness: Duration,
    /// From the end of the first to the end of the second: what counts.
    warm: Duration,
    over: Duration,
}

impl Topology {
    fn of(forward: &'static str, backward: &'static str) -> Self {
        let (warm, over) = (Duration::from_secs(3), Duration::from_secs(17));
        let (ecn, lateness) = (Ecn::Off, Duration::ZERO);
        Topology { forward, backward, ecn, changes: &[], offload: true, lateness, warm, over }
    }

    fn run(&self, congestion: CongestionControl) -> (Running, Report) {
        let mut running = self.lay(congestion).lay();
        let before = self.advance(&mut running, self.warm);
        let after = self.advance(&mut running, self.warm + self.over);
        (running, after.since(before))
    }

    fn lay(&self, congestion: CongestionControl) -> Dumbbell {
        let device = if self.offload { Capabilities::offload(1500) } else { Capabilities::plain(1500) };
        let tcp = TcpConfig { ecn: self.ecn, ..plain(congestion) };
        let flows = vec![Flow {
            tcp: tcp.clone(),
            capabilities: device,
            timer_lateness: self.lateness,
            ..Flow::default()
        }];
        Dumbbell {
            backward: path(self.backward),
            receiver: tcp,
            flows,
            sample_every: Some(SAMPLED),
            ..Dumbbell::symmetric(path(self.forward))
        }
    }

    fn advance(&self, running: &mut Running, until: Duration) -> Report {
        for (when, forward, backward) in self.changes.iter().filter(|change| change.0 <= until) {
            if at(*when) > running.now() {
                running.run_until(at(*when));
                running.set_path(path(forward), path(backward));
            }
        }
        running.run_until(at(until));
        running.report(0)
    }

    /// Each algorithm uses so much of `rate`, with so many timeouts at most, of which none was avoidable.
    fn check(&self, rate: u64, loss: f64, least: f64, timeouts: RangeInclusive<u64>) -> Vec<Ran> {
        let runs = ALGORITHMS.iter().map(|&congestion| {
            let (running, report) = self.run(congestion);
            let share = share(&report, self.over, rate, loss);
            let told = format!("{}: {share:.3} of the path, {report:?}", congestion.name());
            println!("{told}");
            assert!(share >= least, "{told}");
            assert!(timeouts.contains(&report.timeouts) && report.avoidable == 0, "{told}");
            Ran { congestion, running, report }
        });
        runs.collect()
    }

    /// The queue stays short: so long on average, as the time that it takes to leave, and in nineteen of twenty looks.
    fn check_queue(&self, rate: u64, ran: &Ran, mean: Duration, mostly: Duration) {
        let counts = ran.running.samples(0).iter().filter(|sample| sample.at >= at(self.warm));
        let mut bytes: Vec<usize> = counts.map(|sample| sample.queue).collect();
        bytes.sort_unstable();
        let time = |bytes: usize| Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64);
        let (is, nearly) =
            (time(bytes.iter().sum::<usize>() / bytes.len()), time(bytes[bytes.len() * 19 / 20]));
        let told = format!("{}: {is:?} on average, {nearly:?} mostly", ran.congestion.name());
        println!("{told}");
        assert!(is <= mean && nearly <= mostly, "{told}");
    }
}

/// One algorithm's run over a topology.
struct Ran {
    congestion: CongestionControl,
    running: Running,
    report: Report,
}

fn path(text: &str) -> LinkConfig {
    text.parse().unwrap()
}

/// A queue of one bandwidth-delay product is enough to keep the line busy.
#[test]
fn a_drop_tail_queue() {
    let topology = Topology::of("delay 20ms rate 20mbit queue 40ms", "delay 20ms rate 20mbit");
    topology.check(20 * MBIT, 0.0, 0.9, 0..=0);
}

/// How long CoDel's queue may be: its target on average. What a window has too much after a slow start, or while BBR probes for more, it
/// takes a few round trips to say.
const CODEL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(25));

/// RFC 8289: CoDel keeps the queue at 5 ms, of 600 that it has room for; the flow still uses most of the line.
#[test]
fn a_codel_queue() {
    let topology = Topology::of("delay 20ms rate 20mbit queue 1000p codel on", "delay 20ms rate 20mbit");
    for ran in topology.check(20 * MBIT, 0.0, 0.8, 0..=0) {
        topology.check_queue(20 * MBIT, &ran, CODEL.0, CODEL.1);
    }
}

/// RFC 3168 §5, RFC 8289: the same queue marks where it would drop. Both ends agree on that, so nothing is dropped or sent again;
/// the queue is as short and the line as busy.
#[test]
fn a_codel_queue_that_marks() {
    let ends = ("delay 20ms rate 20mbit queue 1000p codel ecn", "delay 20ms rate 20mbit");
    let topology = Topology { ecn: Ecn::Request, ..Topology::of(ends.0, ends.1) };
    for mut ran in topology.check(20 * MBIT, 0.0, 0.8, 0..=0) {
        topology.check_queue(20 * MBIT, &ran, CODEL.0, CODEL.1);
        let (from, to) = ran.running.bottleneck();
        let link = ran.running.network().link_counters(from, to);
        let told = format!("{}: {link:?}, {:?}", ran.congestion.name(), ran.report);
        assert!(link.marked > 0, "{told}");
        assert_eq!((link.queue_long, link.queue_full, ran.report.resent), (0, 0, 0), "{told}");
    }
}

/// Random loss of 1 %: repaired by fast recovery alone.
#[test]
fn random_loss() {
    let topology = Topology::of("delay 10ms rate 20mbit queue 40ms loss 1%", "delay 10ms rate 20mbit");
    topology.check(20 * MBIT, 0.01, 0.15, 0..=0);
}

/// Losses in runs of ten packets: the tail loss probe and lost retransmissions (RFC 8985).
#[test]
fn bursty_loss() {
    let topology = Topology::of("delay 10ms rate 20mbit queue 40ms burst 1%/10", "delay 10ms rate 20mbit");
    topology.check(20 * MBIT, 0.01, 0.2, 0..=20);
}

/// A token bucket drops what exceeds 10 Mbit/s of a path that carries 100: nothing queues, so only losses tell.
#[test]
fn a_policer() {
    let ends = ("delay 20ms rate 100mbit police 10mbit/50kb", "delay 20ms rate 100mbit");
    let topology = Topology::of(ends.0, ends.1);
    topology.check(10 * MBIT, 0.0, 0.5, 0..=3);
}

/// The sender hears of its timers late, as on a machine with other work: pacing makes up for it.
#[test]
fn late_timers() {
    let ends = ("delay 10ms rate 100mbit queue 20ms", "delay 10ms rate 100mbit");
    for lateness in [Duration::from_micros(100), millis(1)] {
        let topology = Topology { lateness, ..Topology::of(ends.0, ends.1) };
        topology.check(100 * MBIT, 0.0, 0.95, 0..=0);
    }
}

/// Round trips between 40 and 60 ms.
#[test]
fn jitter() {
    let topology =
        Topology::of("delay 20ms jitter 10ms rate 20mbit queue 40ms", "delay 20ms jitter 10ms rate 20mbit");
    topology.check(20 * MBIT, 0.0, 0.85, 0..=0);
}

/// One packet in fifty is held back by up to 10 ms, so that others overtake it: hardly anything is sent twice for that
/// (RFC 8985 §6.2 step 4).
#[test]
fn reordering() {
    let topology =
        Topology::of("delay 20ms rate 20mbit queue 40ms reorder 2%/10ms", "delay 20ms rate 20mbit");
    for ran in topology.check(20 * MBIT, 0.0, 0.85, 0..=0) {
        assert!(ran.report.spurious * 100 < ran.report.sent, "{}: {:?}", ran.congestion.name(), ran.report);
    }
}

/// A quarter of the acknowledgements is lost; the others say it all.
#[test]
fn lost_acknowledgements() {
    let topology = Topology::of("delay 20ms rate 20mbit queue 40ms", "delay 20ms rate 20mbit loss 25%");
    topology.check(20 * MBIT, 0.0, 0.9, 0..=0);
}

/// Acknowledgements come in bunches of 20 ms: data leaves in bursts that the queue must take.
#[test]
fn compressed_acknowledgements() {
    let topology = Topology::of("delay 20ms rate 20mbit queue 60ms", "delay 20ms rate 20mbit bunch 20ms");
    topology.check(20 * MBIT, 0.0, 0.85, 0..=0);
}

/// The way back carries a hundredth of the way there, less than an acknowledgement for each other segment needs: its queue
/// drops some.
#[test]
fn an_asymmetric_rate() {
    let topology = Topology::of("delay 20ms rate 50mbit queue 60ms", "delay 20ms rate 500kbit queue 50p");
    topology.check(50 * MBIT, 0.0, 0.85, 0..=0);
}

/// The route becomes three times as long, and then short again: packets on the new way overtake those on the old one.
#[test]
fn a_route_change() {
    const LONG: (&str, &str) = ("delay 60ms rate 20mbit queue 60ms", "delay 60ms rate 20mbit");
    const SHORT: (&str, &str) = ("delay 20ms rate 20mbit queue 60ms", "delay 20ms rate 20mbit");
    const CHANGES: &[(Duration, &str, &str)] =
        &[(Duration::from_secs(6), LONG.0, LONG.1), (Duration::from_secs(13), SHORT.0, SHORT.1)];
    let topology = Topology { changes: CHANGES, ..Topology::of(SHORT.0, SHORT.1) };
    topology.check(20 * MBIT, 0.0, 0.7, 0..=0);
}

/// A round trip of 5 µs, and a queue of 16 packets: a super-segment alone would overflow it.
#[test]
fn a_datacentre_with_a_short_queue() {
    for offload in [false, true] {
        let ends = ("delay 2.5us rate 1gbit queue 16p", "delay 2.5us rate 1gbit");
        let (warm, over) = (millis(100), millis(200));
        let topology = Topology { offload, warm, over, ..Topology::of(ends.0, ends.1) };
        topology.check(1000 * MBIT, 0.0, 0.8, 0..=0);
    }
}

/// 600 ms by satellite, which is 500 segments, without loss and with one packet in ten thousand lost: the window must grow to hundreds of
/// segments, and come back after each loss, which NewReno does by one segment in each 600 ms.
#[test]
fn a_satellite() {
    const CLEAN: &str = "delay 300ms rate 10mbit queue 300ms";
    const LOSSY: &str = "delay 300ms rate 10mbit queue 300ms loss 0.01%";
    let (warm, over) = (Duration::from_secs(15), Duration::from_secs(60));
    let of = |forward| Topology { warm, over, ..Topology::of(forward, "delay 300ms rate 10mbit") };
    of(CLEAN).check(10 * MBIT, 0.0, 0.8, 0..=0);
    for ran in of(LOSSY).check(10 * MBIT, 0.0001, 0.4, 0..=0) {
        assert!(ran.report.resent > 0, "{} lost nothing: {:?}", ran.congestion.name(), ran.report);
    }
}

/// Two seconds of queue in front of a slow line: the round trip grows to fifty times its length, and no timeout is too short for
/// that.
#[test]
fn a_bloated_buffer() {
    let ends = ("delay 20ms rate 5mbit queue 2s", "delay 20ms rate 5mbit");
    let topology = Topology { over: Duration::from_secs(90), ..Topology::of(ends.0, ends.1) };
    topology.check(5 * MBIT, 0.0, 0.95, 0..=0);
}
