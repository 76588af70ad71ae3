//! Paths by name, and what must hold on each: the goodput it allows, no timeout that loss recovery could have forestalled, the bytes.
//!
//! Paths are told in the words of `tidegate link`. Bytes are compared by the harness as they arrive.

use std::ops::RangeInclusive;

use tidegate::base::time::Duration;
use tidegate::device::Capabilities;
use tidegate::sim::LinkConfig;
use tidegate::sim::flows::{Dumbbell, Flow, Report, Running};
use tidegate::tcp::congestion::CongestionControl;

use crate::common::*;

/// A path and one flow over it, for each algorithm.
struct Topology {
    forward: &'static str,
    backward: &'static str,
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
        Topology { forward, backward, changes: &[], offload: true, lateness: Duration::ZERO, warm, over }
    }

    fn run(&self, congestion: CongestionControl) -> (Running, Report) {
        let mut running = self.lay(congestion).lay();
        let before = self.advance(&mut running, self.warm);
        let after = self.advance(&mut running, self.warm + self.over);
        (running, after.since(before))
    }

    fn lay(&self, congestion: CongestionControl) -> Dumbbell {
        let device = if self.offload { Capabilities::offload(1500) } else { Capabilities::plain(1500) };
        let tcp = plain(congestion);
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
    fn check(&self, rate: u64, loss: f64, least: f64, timeouts: RangeInclusive<u64>) {
        for &congestion in ALGORITHMS {
            let (_, report) = self.run(congestion);
            let share = share(&report, self.over, rate, loss);
            let told = format!("{}: {share:.3} of the path, {report:?}", congestion.name());
            println!("{told}");
            assert!(share >= least, "{told}");
            assert!(timeouts.contains(&report.timeouts) && report.avoidable == 0, "{told}");
        }
    }
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

/// RFC 8289: CoDel keeps the queue at 5 ms; the flow still uses most of the line.
#[test]
fn a_codel_queue() {
    let topology = Topology::of("delay 20ms rate 20mbit queue 1000p codel on", "delay 20ms rate 20mbit");
    topology.check(20 * MBIT, 0.0, 0.75, 0..=0);
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
    topology.check(20 * MBIT, 0.0, 0.85, 0..=0);
    for &congestion in ALGORITHMS {
        let (_, report) = topology.run(congestion);
        assert!(report.spurious * 100 < report.sent, "{}: {report:?}", congestion.name());
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

/// 600 ms by satellite with some loss: the window must grow to hundreds of segments and come back after each loss.
#[test]
fn a_satellite() {
    let ends = ("delay 300ms rate 10mbit queue 300ms", "delay 300ms rate 10mbit");
    let (warm, over) = (Duration::from_secs(15), Duration::from_secs(60));
    let topology = Topology { warm, over, ..Topology::of(ends.0, ends.1) };
    topology.check(10 * MBIT, 0.0, 0.8, 0..=0);
}

/// Two seconds of queue in front of a slow line: the round trip grows to fifty times its length, and no timeout is too short for
/// that.
#[test]
fn a_bloated_buffer() {
    let ends = ("delay 20ms rate 5mbit queue 2s", "delay 20ms rate 5mbit");
    let topology = Topology { over: Duration::from_secs(90), ..Topology::of(ends.0, ends.1) };
    topology.check(5 * MBIT, 0.0, 0.95, 0..=0);
}
