//! How flows share a bottleneck: Jain's index over goodput, for flows of one algorithm and of two, held by `docs/congestion.md`.

use tidegate::base::time::Duration;
use tidegate::sim::LinkConfig;
use tidegate::sim::flows::{Dumbbell, Flow};
use tidegate::tcp::congestion::CongestionControl;

use crate::common::*;

const DOC: &str = "docs/congestion.md";
const RATE: u64 = 10 * MBIT;
const RTT: Duration = Duration::from_millis(50);
/// Jitter in each direction.
const JITTER: Duration = Duration::from_millis(2);
/// Flows begin one after the other; what they do in the first seconds does not count.
const APART: Duration = Duration::from_millis(100);
const WARM: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(60);

/// Jain's index: 1 if all shares are equal, 1/n if one flow has everything.
fn jain(shares: &[f64]) -> f64 {
    let (sum, squares) = (shares.iter().sum::<f64>(), shares.iter().map(|share| share * share).sum::<f64>());
    sum * sum / (shares.len() as f64 * squares)
}

/// The shares of flows that use these algorithms by turns; with `apart` each flow's round trip is
/// longer than the one's before by half of the first's.
fn shares(algorithms: &[CongestionControl], count: u32, apart: bool) -> Vec<f64> {
    let flows = (0..count).map(|number| Flow {
        tcp: plain(algorithms[number as usize % algorithms.len()]),
        start: APART * number,
        extra_rtt: if apart { RTT * number / 2 } else { Duration::ZERO },
        ..Flow::default()
    });
    // Without jitter a drop-tail queue falls into step with the flows and prefers some of them for ever.
    let path = LinkConfig { jitter: JITTER, ..link(RATE, RTT, 0) };
    let mut running = Dumbbell { flows: flows.collect(), ..Dumbbell::symmetric(path) }.lay();
    running.run_until(at(WARM));
    let before: Vec<_> = (0..count as usize).map(|flow| running.report(flow)).collect();
    running.run_until(at(WARM + MEASURED));
    let reports = before.iter().enumerate().map(|(flow, before)| running.report(flow).since(*before));
    reports.map(|report| share(&report, MEASURED, RATE, 0.0)).collect()
}

/// Each algorithm with itself, and CUBIC against NewReno.
fn mixtures() -> impl Iterator<Item = Vec<CongestionControl>> {
    let alone = ALGORITHMS.iter().map(|&congestion| vec![congestion]);
    alone.chain([vec![CongestionControl::Cubic, CongestionControl::NewReno]])
}

/// RFC 9438 §4.3, RFC 5681: Jain's index is at least 0.95 for 2, 4 and 10 flows with equal round trips, CUBIC against NewReno too;
/// with different round trips it is reported.
#[test]
fn flows_share_a_bottleneck_fairly() {
    let head = "| flows | of | round trips | Jain's index | used | smallest and largest share |";
    let mut table = format!("{head}\n|---:|---|---|---:|---:|---:|\n");
    let mut unfair = Vec::new();
    for algorithms in mixtures() {
        let names: Vec<&str> = algorithms.iter().map(|congestion| congestion.name()).collect();
        for (count, apart) in [2, 4, 10].into_iter().flat_map(|count| [(count, false), (count, true)]) {
            let shares = shares(&algorithms, count, apart);
            let (index, names) = (jain(&shares), names.join(" and "));
            let (least, most) = shares.iter().fold((f64::MAX, 0.0_f64), |(a, b), &s| (a.min(s), b.max(s)));
            let rtts = if apart { format!("50 to {} ms", 50 + 25 * (count - 1)) } else { "50 ms".to_owned() };
            let used = shares.iter().sum::<f64>() * 100.0;
            table += &format!(
                "| {count} | {names} | {rtts} | {index:.2} | {used:.0} % | {:.0} %, {:.0} % |\n",
                least * 100.0,
                most * 100.0
            );
            if !apart && index < 0.95 {
                unfair.push(format!("{count} × {names}: {index:.3} of {shares:.2?}"));
            }
        }
    }
    println!("{table}");
    assert!(unfair.is_empty(), "unfair: {unfair:#?}");
    write_block(DOC, "fairness", &table);
}
