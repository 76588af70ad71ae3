//! The congestion window over time in the cases of the textbooks: a text snapshot of each in `tests/path/snapshots`, and the same as
//! a plot in `docs/congestion/`, shown by `docs/congestion.md`.

use tidegate::base::time::{Duration, Instant};
use tidegate::sim::flows::{Running, Sample};
use tidegate::sim::{LinkConfig, Queue};
use tidegate::tcp::RecoveryState;
use tidegate::tcp::congestion::CongestionControl;

use crate::common::*;
use crate::plot;

/// Columns of the bar that stands for the largest window of a snapshot.
const BAR: f64 = 60.0;
/// Points of a plot for each line of its snapshot.
const FINER: u32 = 4;

/// One case: a flow over a path for some time.
struct Case {
    name: &'static str,
    title: &'static str,
    congestion: CongestionControl,
    path: LinkConfig,
    /// Which data packets the path loses, by number from zero and time.
    loses: fn(u64, Duration) -> bool,
    lines: u32,
    every: Duration,
}

impl Case {
    fn run(&self) -> Running {
        let mut dumbbell = one_flow(plain(self.congestion), self.path.clone());
        // What the receiver grants shall not limit.
        dumbbell.receiver.receive_buffer = 64 << 20;
        dumbbell.receiver.receive_buffer_initial = 64 << 20;
        dumbbell.sample_every = Some(self.every / FINER);
        let mut running = dumbbell.lay();
        let (from, to) = running.bottleneck();
        let (loses, mut data) = (self.loses, 0);
        running.network().set_filter(from, to, move |packet, now| {
            let is_data = packet.len() > 200;
            data += u64::from(is_data);
            !(is_data && loses(data - 1, now.since(Instant::ZERO)))
        });
        running.run_until(at(self.every * (self.lines - 1)));
        running
    }

    fn check(&self) {
        let running = self.run();
        let samples = running.samples(0);
        check_file(&format!("tests/path/snapshots/{}.txt", self.name), &self.text(samples));
        check_file(&format!("docs/congestion/{}.svg", self.name), &plot::windows(self.title, samples));
        let page = committed("docs/congestion.md");
        assert!(
            page.contains(&format!("congestion/{}.svg", self.name)),
            "docs/congestion.md shows {}",
            self.name
        );
    }

    /// One line for each moment.
    fn text(&self, samples: &[Sample]) -> String {
        let moments = samples.iter().step_by(FINER as usize);
        let largest = moments.clone().map(|sample| segments(sample.window)).max().unwrap_or(1);
        let mut text = format!("{}\n\n    time  cwnd ssthresh queue  phase\n", self.title);
        for sample in moments {
            let window = segments(sample.window);
            let ssthresh = match segments(sample.ssthresh) {
                big if big > 100_000 => "-".to_owned(),
                segments => segments.to_string(),
            };
            let bar = "#".repeat((f64::from(window) / f64::from(largest) * BAR).round() as usize);
            let time = sample.at.since(Instant::ZERO).as_secs_f64();
            let queue = sample.queue / PACKET as usize;
            let phase = phase(sample.recovery);
            text += &format!("{time:7.3}s {window:5} {ssthresh:>8} {queue:5}  {phase:8} |{bar}\n");
        }
        text
    }
}

fn segments(bytes: u32) -> u32 {
    bytes / SEGMENT as u32
}

fn phase(recovery: RecoveryState) -> &'static str {
    match recovery {
        RecoveryState::Open => "open",
        RecoveryState::Disorder => "disorder",
        RecoveryState::Reduced => "reduced",
        RecoveryState::Recovery => "recovery",
        RecoveryState::Loss => "loss",
    }
}

fn nothing(_: u64, _: Duration) -> bool {
    false
}

/// A path whose queue is too deep to ever be full.
fn deep(rate: u64, rtt: Duration) -> LinkConfig {
    LinkConfig { queue: Queue::Bytes(64 << 20), ..link(rate, rtt, 0) }
}

/// RFC 5681 §3.1: the window doubles each round trip.
#[test]
fn slow_start() {
    Case {
        name: "slow-start",
        title: "NewReno: slow start, round trip 50 ms",
        congestion: CongestionControl::NewReno,
        path: deep(200 * MBIT, millis(50)),
        loses: nothing,
        lines: 30,
        every: millis(10),
    }
    .check();
}

/// RFC 5681 §3.2, RFC 9937: one lost segment costs half of the window and no timeout.
#[test]
fn one_loss() {
    Case {
        name: "one-loss",
        title: "NewReno: one lost segment, round trip 50 ms",
        congestion: CongestionControl::NewReno,
        path: deep(50 * MBIT, millis(50)),
        loses: |number, _| number == 300,
        lines: 60,
        every: millis(20),
    }
    .check();
}

/// RFC 6298 §5, RFC 5681 §3.1: everything is lost for 300 ms; after the timeout the window starts from one segment.
#[test]
fn timeout() {
    Case {
        name: "timeout",
        title: "NewReno: nothing arrives from 0.3 s to 0.6 s, round trip 50 ms",
        congestion: CongestionControl::NewReno,
        path: deep(50 * MBIT, millis(50)),
        loses: |_, now| (millis(300)..millis(600)).contains(&now),
        lines: 60,
        every: millis(25),
    }
    .check();
}

/// RFC 5681 §3.1: linear growth, halved whenever the queue overflows.
#[test]
fn saw_tooth() {
    Case {
        name: "saw-tooth",
        title: "NewReno: 10 Mbit/s, round trip 40 ms, drop-tail queue of 50 kB",
        congestion: CongestionControl::NewReno,
        path: link(10 * MBIT, millis(40), 0),
        loses: nothing,
        lines: 80,
        every: millis(250),
    }
    .check();
}

/// RFC 9438 §4.2: after a loss the window rises fast to where it was, lingers there, and then asks for more.
#[test]
fn cubic_curve() {
    Case {
        name: "cubic",
        title: "CUBIC: 50 Mbit/s, round trip 80 ms, drop-tail queue of 500 kB",
        congestion: CongestionControl::Cubic,
        path: link(50 * MBIT, millis(80), 0),
        loses: nothing,
        lines: 80,
        every: millis(500),
    }
    .check();
}

/// RFC 9406: slow start ends when the round trip grows, before anything is lost.
#[test]
fn hystart() {
    Case {
        name: "hystart",
        title: "CUBIC: HyStart++ leaves slow start, 20 Mbit/s, round trip 100 ms",
        congestion: CongestionControl::Cubic,
        path: deep(20 * MBIT, millis(100)),
        loses: nothing,
        lines: 60,
        every: millis(50),
    }
    .check();
}

/// draft-ietf-ccwg-bbr §5.3: startup doubles the rate until it no longer helps, drain empties the queue it made, and then the rate is probed
/// now and again.
#[test]
fn bbr() {
    Case {
        name: "bbr",
        title: "BBR: 20 Mbit/s, round trip 50 ms, a deep queue",
        congestion: CongestionControl::Bbr,
        path: deep(20 * MBIT, millis(50)),
        loses: nothing,
        lines: 100,
        every: millis(150),
    }
    .check();
}
