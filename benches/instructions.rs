//! What a packet costs on each hot path, in instructions: counted by callgrind, held to the committed `benches/instructions.txt`.
//!
//! `cargo bench --bench instructions` fails where a path needs 5 % more than is written there, or 5 % less, so that a gain is
//! written down and kept. `TIDEGATE_WRITE_TABLES=1` in front writes the counts anew. Instructions, unlike seconds, repeat: hash keys come
//! from a fixed seed, and of glibc's copies, which it picks by what the processor can do, all runs take the plain one.
//! The counts are those of one compiler on x86-64; the file names it. A profile of each path is left in `target/tmp`, for
//! `callgrind_annotate`.

mod support;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;

use support::workloads::{self, Workload};

/// How far a count may move, in hundredths.
const TOLERANCE: u64 = 5;
/// Runs before counting begins, until queues and tables have their size, and counted runs.
const WARM_UP: usize = 200;
const RUNS: usize = 200;
/// Connections that take turns; a second count for paths whose cost could hang on it.
const FEW: usize = 10;
const MANY: usize = 1_000;
const BY_NUMBER: [&str; 2] = ["data_in_small", "echo"];
/// No variants of memcpy and memset but those of every x86-64 processor: larger ones count fewer instructions.
const PLAIN_COPIES: &str =
    "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,-SSSE3";
const WRITE: &str = "TIDEGATE_WRITE_TABLES=1 cargo bench --bench instructions";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, count] = args.as_slice()
        && flag == "--load"
    {
        load(name, count.parse().expect("a number of connections"));
        return ExitCode::SUCCESS;
    }
    let filter = args.iter().find(|arg| !arg.starts_with("--"));
    match check(filter.map(String::as_str)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Under callgrind: the load of one path. What it collects is what [`counted`] does.
fn load(name: &str, connections: usize) {
    let build = workloads::ALL.iter().find(|(known, _)| *known == name).expect("a known path").1;
    let mut load = build(connections);
    for _ in 0..WARM_UP {
        load.prepare();
        load.run();
    }
    let mut packets = 0;
    for _ in 0..RUNS {
        load.prepare();
        packets += load.packets();
        counted(load.as_mut());
    }
    println!("{packets}");
}

/// Its name is what callgrind is told to look for.
#[inline(never)]
fn counted(load: &mut dyn Workload) {
    // Something behind the call keeps it from being a jump, which callgrind would take for the end of this function.
    let mark = black_box(1);
    load.run();
    black_box(mark);
}

/// Counts every path and compares.
fn check(filter: Option<&str>) -> Result<(), String> {
    let counts = count_all(filter)?;
    let table = table_path();
    if std::env::var_os("TIDEGATE_WRITE_TABLES").is_some() && filter.is_none() {
        return std::fs::write(&table, written(&counts)).map_err(|error| format!("{table:?}: {error}"));
    }
    let text = std::fs::read_to_string(&table).unwrap_or_default();
    let mut failed = Vec::new();
    for (path, count) in &counts {
        let known =
            text.lines().find_map(|line| line.strip_prefix(path.as_str())?.trim().parse::<u64>().ok());
        let verdict = verdict(*count, known);
        println!("{path:28} {count:8}  {}", verdict.as_deref().unwrap_or("ok"));
        failed.extend(verdict.map(|verdict| format!("{path}: {verdict}")));
    }
    let forgotten = text.lines().filter(|line| !line.starts_with('#') && filter.is_none());
    let forgotten = forgotten.filter(|line| !counts.iter().any(|(path, _)| line.starts_with(path.as_str())));
    failed.extend(forgotten.map(|line| format!("no such path any more: {line}")));
    // The form that `scripts/test` counts.
    println!("{} passed, {} failed", counts.len().saturating_sub(failed.len()), failed.len());
    if failed.is_empty() {
        return Ok(());
    }
    let made = text.lines().find(|line| line.contains("rustc")).unwrap_or("# nothing is known");
    Err(format!("{}\n{made}\nthis is {}; to write the counts anew: {WRITE}", failed.join("\n"), compiler()))
}

/// What is wrong with `count` where `known` was written down.
fn verdict(count: u64, known: Option<u64>) -> Option<String> {
    let Some(known) = known else { return Some("not written down".to_owned()) };
    if count * 100 > known * (100 + TOLERANCE) {
        return Some(format!("{count} instructions, more than {TOLERANCE} % above the {known} written down"));
    }
    (count * 100 < known * (100 - TOLERANCE)).then(|| {
        format!("{count} instructions, a gain of more than {TOLERANCE} % over {known}: write it down")
    })
}

fn written(counts: &[(String, u64)]) -> String {
    let mut text = format!(
        "# Instructions per packet on the hot paths: path, connections that take turns, count (benches/instructions.rs).\n\
         # Made with {}. Anew: {WRITE}\n",
        compiler()
    );
    counts.iter().for_each(|(path, count)| text += &format!("{path:28} {count:8}\n"));
    text
}

fn table_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt")
}

fn compiler() -> String {
    let version = Command::new("rustc").arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    format!(
        "{} for {}",
        version.unwrap_or_else(|_| "rustc of unknown version".to_owned()),
        std::env::consts::ARCH
    )
}

/// Instructions per packet of every path, as many counted at once as there are processors.
fn count_all(filter: Option<&str>) -> Result<Vec<(String, u64)>, String> {
    let counts = |name: &str| if BY_NUMBER.contains(&name) { vec![FEW, MANY] } else { vec![FEW] };
    let cases: Vec<(&str, usize)> = workloads::ALL
        .iter()
        .filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter)))
        .flat_map(|&(name, _)| counts(name).into_iter().map(move |count| (name, count)))
        .collect();
    let (todo, done) = (Mutex::new(cases.iter().enumerate()), Mutex::new(vec![None; cases.len()]));
    let work = || {
        while let Some((at, &(name, connections))) = todo.lock().expect("no panic").next() {
            let count = count(name, connections);
            done.lock().expect("no panic")[at] = Some(count);
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let counted = done.into_inner().expect("no panic").into_iter().flatten();
    cases
        .iter()
        .zip(counted)
        .map(|((name, connections), count)| count.map(|count| (format!("{name} {connections}"), count)))
        .collect()
}

/// Instructions per packet of one path, from a run of this very program under callgrind.
fn count(name: &str, connections: usize) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let profile = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("callgrind.{name}.{connections}"));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*instructions*counted*"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(program)
        .args(["--load", name, &connections.to_string()])
        // A longer environment moves the stack, and with it what copies of unaligned bytes cost.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GLIBC_TUNABLES", PLAIN_COPIES)
        .output()
        .map_err(|error| format!("valgrind cannot be run ({error}): `scripts/setup` installs it"))?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let number = |text: &str| text.trim().parse::<u64>().ok().filter(|&number| number > 0);
    let collected = told.lines().find_map(|line| number(line.split_once("Collected :")?.1));
    let packets = number(&String::from_utf8_lossy(&output.stdout));
    match (output.status.success(), collected, packets) {
        (true, Some(collected), Some(packets)) => Ok(collected / packets),
        _ => Err(format!("{name}, {connections} connections: callgrind counted nothing\n{told}")),
    }
}
