//! Runs every script under `tests/scenarios/` over both IP versions, or over the one that it names, without and with segmentation
//! offload. None may be skipped, none may leave a packet that it did not look at, and together they must have shown every state of a
//! connection every event that can meet it (RFC 9293 §3.10). Each names the section it shows, and none repeats another.

use std::collections::BTreeMap;
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

fn run_one(path: &Path, source: &str, version: &str, more: &[ScriptOption]) -> Report {
    let name = format!("{} ({version})", path.display());
    let own =
        [option("no_skip", None), option("leftover", Some("fail")), option("ip_version", Some(version))];
    run_source(&name, source, &[&own, more].concat())
}

/// All scripts of `folders` over both versions (those that name one over that), with what `more` says instead of what they say
/// themselves, on as many threads as there are processors.
fn run_all(folders: &[&str], more: &[ScriptOption]) -> Vec<Report> {
    let folders: Vec<_> = folders.iter().map(|folder| Path::new("tests/scenarios").join(folder)).collect();
    let paths = scripts(&folders).expect("readable directories");
    assert!(!paths.is_empty(), "no script in {folders:?}");
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
            reports.push(run_one(path, source, version, more));
        }
        reports
    };
    let count = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic outside of a script")).collect()
    })
}

fn assert_all_pass(reports: &[Report]) {
    let failed = reports.iter().filter(|report| report.verdict.finding().is_some());
    let mut failures: Vec<String> = failed.map(ToString::to_string).collect();
    failures.sort();
    assert!(failures.is_empty(), "{} of {} runs:\n{}", failures.len(), reports.len(), failures.join("\n"));
}

#[test]
fn every_script_passes_over_both_ip_versions() {
    assert_all_pass(&run_all(&[""], &[]));
}

/// Super-segments are split before they are matched, so what is on the wire is the same: with offload all of it holds, too.
#[test]
fn every_script_passes_with_segmentation_offload() {
    assert_all_pass(&run_all(&[""], &[option("offload", None)]));
}

/// What a script is about it sets itself, so that it holds with Linux's choices as well as with ours.
#[test]
fn scripts_of_loss_recovery_and_congestion_control_pass_under_the_linux_profile() {
    let folders = ["sack", "recovery", "rack", "tlp", "prr", "cubic", "ecn", "undo"];
    assert_all_pass(&run_all(&folders, &[option("profile", Some("linux"))]));
}

/// Scripts that differ in nothing but numbers, because the numbers are the case.
const DIFFER_IN_NUMBERS: &[(&[&str], &str)] = &[
    (
        &["sending/the_mss_announced_fits_the_ipv4_mtu", "sending/the_mss_announced_fits_the_ipv6_mtu"],
        "the version of IP",
    ),
    (
        &[
            "sending/without_an_mss_option_ipv4_segments_carry_536_octets",
            "sending/without_an_mss_option_ipv6_segments_carry_1220_octets",
        ],
        "the version of IP",
    ),
    (
        &[
            "timestamps/a_timestamp_beyond_the_acknowledgement_range_is_not_recorded",
            "timestamps/an_ack_of_a_filled_hole_echoes_what_filled_it",
            "timestamps/timestamps_are_compared_across_the_end_of_their_space",
        ],
        "which timestamp comes with which text",
    ),
    (
        &["data/an_ack_from_ahead_of_a_gap_counts", "zero-window/the_first_probe_comes_after_one_timeout"],
        "the window, and when what is sent is sent",
    ),
    (
        &[
            "data/an_ack_of_unsent_data_is_answered",
            "window/a_window_of_one_octet_is_used_octet_by_octet",
            "window/a_window_with_its_top_bit_set_is_large",
            "zero-window/a_lost_update_is_repaired_by_the_answer_to_a_probe",
        ],
        "acknowledgements, and windows of 0, 1 and 32,768",
    ),
    (
        &["data/a_bare_fin_behind_a_gap_is_remembered", "data/text_beyond_a_fin_that_waits_is_cut_off"],
        "text before a FIN or beyond it",
    ),
    (
        &[
            "data/text_crosses_the_end_of_the_number_space",
            "data/text_that_overlaps_what_is_kept_is_taken_once",
        ],
        "the peer's first number, and the overlap",
    ),
    (
        &[
            "data/text_behind_a_gap_is_kept_and_delivered_when_the_gap_is_filled",
            "data/text_with_an_ack_of_unsent_data_is_dropped_and_answered",
        ],
        "sequence number or acknowledgement is ahead",
    ),
    (
        &[
            "handshake/data_on_a_syn_is_sent_again_after_the_handshake",
            "handshake/sequence_numbers_wrap_in_the_handshake",
        ],
        "text on the SYN, or its number",
    ),
];

/// The comment that a script begins with.
fn head(source: &str) -> String {
    let lines = source.lines().take_while(|line| line.starts_with("//"));
    lines.map(|line| line.trim_start_matches('/').trim()).collect::<Vec<_>>().join(" ")
}

/// `RFC 9293 §3.4` or `RFC 7323 appendix A`.
fn names_a_section(head: &str) -> bool {
    head.split("RFC ").skip(1).any(|rest| {
        let section = rest.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        section.len() < rest.len() && (section.starts_with('§') || section.starts_with("appendix"))
    })
}

/// What a script does, with every number as N: two that are equal here differ at most in their numbers.
fn shape(source: &str) -> String {
    let mut shape = String::new();
    for line in source.lines().map(|line| line.split("//").next().unwrap_or_default().trim()) {
        if line.is_empty() {
            continue;
        }
        let numeric = |c: char| c.is_ascii_digit() || c == '.';
        let mut rest = line;
        while !rest.is_empty() {
            let same = rest.find(|c| numeric(c) != rest.starts_with(numeric)).unwrap_or(rest.len());
            let (run, tail) = rest.split_at(same);
            shape.push_str(if run.contains(|c: char| c.is_ascii_digit()) { "N" } else { run });
            rest = tail;
        }
        shape.push('\n');
    }
    shape
}

/// Each script by its name, as `window/name`, and its text.
fn named_scripts() -> Vec<(String, String)> {
    let paths = scripts(&[PathBuf::from("tests/scenarios")]).expect("a readable directory");
    let name = |path: &Path| {
        let path = path.strip_prefix("tests/scenarios").unwrap_or(path).with_extension("");
        path.display().to_string()
    };
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).expect("a script"))).collect()
}

/// A script is evidence for a rule, so its first comment names it.
#[test]
fn every_script_names_the_section_it_shows() {
    let scripts = named_scripts();
    let silent = scripts.iter().filter(|(_, source)| !names_a_section(&head(source)));
    let silent: Vec<_> = silent.map(|(name, _)| name).collect();
    assert!(silent.is_empty(), "no section of an RFC in the head of {silent:#?}");
    for wrong in ["policy 14", "RFC 9293", "RFC §3", "RFC 9293, §"] {
        assert!(!names_a_section(wrong), "{wrong}");
    }
}

/// Two scripts are two cases: none is another one with other numbers, unless the numbers are what it is about.
#[test]
fn no_script_repeats_another() {
    let mut shapes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    named_scripts()
        .into_iter()
        .for_each(|(name, source)| shapes.entry(shape(&source)).or_default().push(name));
    let mut repeated: Vec<_> = shapes.into_values().filter(|names| names.len() > 1).collect();
    repeated.iter_mut().for_each(|names| names.sort());
    repeated.sort();
    let mut allowed: Vec<Vec<String>> = DIFFER_IN_NUMBERS
        .iter()
        .map(|(names, _)| names.iter().map(|&name| name.to_owned()).collect())
        .collect();
    allowed.sort();
    let new = repeated.iter().filter(|names| !allowed.contains(names)).collect::<Vec<_>>();
    assert!(new.is_empty(), "equal but for numbers: {new:#?}");
    let gone = allowed.iter().filter(|names| !repeated.contains(names)).collect::<Vec<_>>();
    assert!(gone.is_empty(), "allowed, but they differ now: {gone:#?}");
    assert_eq!(shape("+.1 < S. 1:2(1) ack 3 // 4\n\n"), "+N < S. N:N(N) ack N\n");
}

/// The state × event coverage, recorded from the states the stack itself was in.
#[test]
fn every_state_has_met_every_event() {
    let mut matrix = Matrix::default();
    run_all(&[""], &[]).iter().for_each(|report| matrix.merge(&report.matrix));
    println!("{matrix}");
    let names = |(state, event): (State, Event)| format!("{state}: {}", event.name());
    let wrong: Vec<_> = matrix.contradictions().map(names).collect();
    assert!(wrong.is_empty(), "met, though they stand in the table of the impossible:\n{}", wrong.join("\n"));
    let holes: Vec<_> = matrix.holes().map(names).collect();
    assert!(holes.is_empty(), "{} empty cells:\n{}", holes.len(), holes.join("\n"));
}
