//! Runs every script under `tests/scenarios/` over both IP versions, or over the one that it names. None may be skipped, none may leave a packet that it did not
//! look at, and together they must have shown every state of a connection every event that can meet it (RFC 9293 §3.10).

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tidegate::scenario::matrix::{Event, Matrix};
use tidegate::scenario::script::ScriptOption;
use tidegate::scenario::suite::{Report, own_ip_version, run_source, scripts};
use tidegate::tcp::state::State;

/// `--name=value` as the command line gives it.
fn option(name: &str, value: Option<&str>) -> ScriptOption {
    ScriptOption { line: 0, name: name.to_owned(), value: value.map(str::to_owned) }
}

fn run_one(path: &Path, source: &str, version: &str) -> Report {
    let name = format!("{} ({version})", path.display());
    let options =
        [option("no_skip", None), option("leftover", Some("fail")), option("ip_version", Some(version))];
    run_source(&name, source, &options)
}

/// All scripts over both versions (those that name one over that), on as many threads as there are processors.
fn run_all() -> Vec<Report> {
    let paths = scripts(&[PathBuf::from("tests/scenarios")]).expect("a readable directory");
    assert!(!paths.is_empty(), "no script in tests/scenarios");
    let sources: Vec<_> = paths.iter().map(|path| std::fs::read_to_string(path).expect("a script")).collect();
    let mut runs = Vec::new();
    for (path, source) in paths.iter().zip(&sources) {
        let own = own_ip_version(source);
        let versions = ["ipv4", "ipv6"].into_iter().filter(|version| own.is_none_or(|own| own == *version));
        runs.extend(versions.map(|version| (path, source, version)));
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut reports = Vec::new();
        while let Some((path, source, version)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            reports.push(run_one(path, source, version));
        }
        reports
    };
    let count = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic outside of a script")).collect()
    })
}

#[test]
fn every_script_passes_over_both_ip_versions() {
    let reports = run_all();
    let failed = reports.iter().filter(|report| report.verdict.finding().is_some());
    let mut failures: Vec<String> = failed.map(ToString::to_string).collect();
    failures.sort();
    assert!(failures.is_empty(), "{} of {} runs:\n{}", failures.len(), reports.len(), failures.join("\n"));
}

/// The state × event coverage, recorded from the states the stack itself was in.
#[test]
fn every_state_has_met_every_event() {
    let mut matrix = Matrix::default();
    run_all().iter().for_each(|report| matrix.merge(&report.matrix));
    println!("{matrix}");
    let names = |(state, event): (State, Event)| format!("{state}: {}", event.name());
    let wrong: Vec<_> = matrix.contradictions().map(names).collect();
    assert!(wrong.is_empty(), "met, though they stand in the table of the impossible:\n{}", wrong.join("\n"));
    let holes: Vec<_> = matrix.holes().map(names).collect();
    assert!(holes.is_empty(), "{} empty cells:\n{}", holes.len(), holes.join("\n"));
}
