//! Micro-benchmarks of the sans-IO core alone: what a packet costs on each hot path, by the number of connections that take turns.
//!
//! `cargo bench --bench core`, or with part of a name behind `--`. Times of a noisy machine: compare runs that were interleaved; what
//! repeats is counted in `instructions.rs`. No device, no system call, no runtime: those are in `scripts/bench`.

mod support;

use divan::Bencher;
use divan::counter::ItemsCount;

use support::workloads::{ALL, Build, Workload};

/// Connections that take turns. A stack that looks at more than the one a packet is for shows here.
const CONNECTIONS: [usize; 3] = [10, 1_000, 100_000];
/// Those whose cost does not hang on their number, or that would take too long to set up: with ten only.
const BY_NUMBER: [&str; 4] = ["data_in_small", "small_out", "ack_out", "echo"];

fn main() {
    divan::main();
}

/// The paths to measure, with how many connections.
fn cases() -> Vec<(&'static str, usize)> {
    let counts = |name: &str| if BY_NUMBER.contains(&name) { &CONNECTIONS[..] } else { &CONNECTIONS[..1] };
    ALL.iter().flat_map(|&(name, _)| counts(name).iter().map(move |&count| (name, count))).collect()
}

/// Items are packets in or out.
#[divan::bench(args = cases().into_iter().map(Case), sample_size = 1, sample_count = 2_000, max_time = 1)]
fn core(bencher: Bencher, case: &Case) {
    let build: Build = ALL.iter().find(|(name, _)| *name == case.0.0).expect("a known path").1;
    let load: std::cell::RefCell<Box<dyn Workload>> = build(case.0.1).into();
    let packets = load.borrow().packets();
    bencher
        .counter(ItemsCount::new(packets))
        .with_inputs(|| load.borrow_mut().prepare())
        .bench_local_values(|()| load.borrow_mut().run());
}

struct Case((&'static str, usize));

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} connections", self.0.0, self.0.1)
    }
}
