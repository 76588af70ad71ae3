//! Goodput over loss, round trip and rate, for each algorithm: the first table of `docs/goodput.md`.
//!
//! Each cell is one flow of a seed of its own, measured after 20 round trips and a fifth of a second. Cells of a path that holds
//! many megabytes take seconds each; unless `TIDEGATE_GRID=all` they are taken as committed.

use std::collections::BTreeMap;

use tidegate::base::time::Duration;
use tidegate::sim::LinkConfig;
use tidegate::tcp::congestion::CongestionControl;

use crate::common::*;

const DOC: &str = "docs/goodput.md";
const LOSSES: [f64; 7] = [0.0, 0.001, 0.01, 0.03, 0.05, 0.1, 0.3];
const RATES: [u64; 2] = [10 * MBIT, 1000 * MBIT];
const RTTS: [Duration; 6] = [
    Duration::from_micros(5),
    Duration::from_millis(1),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(300),
];

/// The shallowest queue in front of a bottleneck, in bytes.
const QUEUE: usize = 64 << 10;
/// A cell is measured for so long, or until so much arrived: bytes and bandwidth-delay products.
const LONGEST: Duration = Duration::from_secs(120);
const ENOUGH: (u64, u64) = (15_000_000, 4);
/// Paths that hold more, in bytes, are for the whole grid only.
const SMALL: usize = 15_000_000;

/// Goodput of one cell as a share of what its path could carry.
fn cell(congestion: CongestionControl, rate: u64, rtt: Duration, loss: f64) -> f64 {
    let seed = rate ^ rtt.as_nanos() as u64 ^ (loss * 1e6) as u64;
    let path = LinkConfig { loss, ..link(rate, rtt, QUEUE) };
    let mut running = tidegate::sim::flows::Dumbbell { seed, ..one_flow(roomy(congestion), path) }.lay();
    let warm = at(rtt * 20 + millis(200));
    running.run_until(warm);
    let before = running.report(0);
    let enough = ENOUGH.0.max(ENOUGH.1 * bandwidth_delay(rate, rtt) as u64);
    let step = rtt.clamp(millis(10), millis(300));
    while running.now() < warm + LONGEST && running.report(0).since(before).received < enough {
        running.run_until(running.now() + step);
    }
    share(&running.report(0).since(before), running.now().since(warm), rate, loss)
}

/// Percent, with two digits that mean something.
fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent < 0.995 => format!("{percent:.2}"),
        percent if percent < 9.95 => format!("{percent:.1}"),
        percent => format!("{percent:.0}"),
    }
}

fn name_of(rtt: Duration) -> String {
    if rtt < millis(1) { format!("{} µs", rtt.as_micros()) } else { format!("{} ms", rtt.as_millis()) }
}

/// A table with a row for each loss and a column for each round trip.
fn table(mut cell: impl FnMut(Duration, f64) -> String) -> String {
    let columns = RTTS.map(|rtt| format!(" {} |", name_of(rtt))).concat();
    let mut text = format!("| loss |{columns}\n|---:|{}\n", "---:|".repeat(RTTS.len()));
    for loss in LOSSES {
        let cells = RTTS.map(|rtt| format!(" {} |", cell(rtt, loss))).concat();
        text += &format!("| {} % |{cells}\n", (loss * 1000.0).round() / 10.0);
    }
    text
}

/// The cells of a table as they are committed.
fn read(table: &str) -> BTreeMap<(usize, usize), String> {
    let rows = table.lines().skip(2).enumerate();
    let cells = rows.flat_map(|(row, line)| {
        let cells = line.split('|').skip(2).map(|cell| cell.trim().to_owned());
        cells.enumerate().map(move |(column, cell)| ((row, column), cell))
    });
    cells.collect()
}

fn check(congestion: CongestionControl) {
    let whole = std::env::var("TIDEGATE_GRID").is_ok_and(|which| which == "all");
    for rate in RATES {
        let name = format!("{} at {} Mbit/s", congestion.name(), rate / MBIT);
        let text = committed(DOC);
        let known = read(block(&text, &name));
        let place = |rtt, loss| {
            let row = LOSSES.iter().position(|&known| known == loss).unwrap();
            (row, RTTS.iter().position(|&known| known == rtt).unwrap())
        };
        let made = table(|rtt, loss| {
            let small = bandwidth_delay(rate, rtt) <= SMALL;
            match known.get(&place(rtt, loss)) {
                Some(cell) if !whole && !small => cell.clone(),
                _ => percent(cell(congestion, rate, rtt, loss)),
            }
        });
        write_block(DOC, &name, &made);
    }
}

/// RFC 9438, RFC 6582, draft-ietf-ccwg-bbr: how much of a path each algorithm uses, held by `docs/goodput.md`.
#[test]
fn goodput_of_reno_is_as_committed() {
    check(CongestionControl::NewReno);
}

/// The same for CUBIC.
#[test]
fn goodput_of_cubic_is_as_committed() {
    check(CongestionControl::Cubic);
}

/// The same for BBR.
#[test]
fn goodput_of_bbr_is_as_committed() {
    check(CongestionControl::Bbr);
}
