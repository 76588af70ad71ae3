//! `tidegate scenario`: runs scripts in the packetdrill language against the stack under a virtual clock. No device, no
//! privilege; docs/scenarios.md describes the language.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use tidegate::scenario::junit;
use tidegate::scenario::matrix::{IMPOSSIBLE, Matrix};
use tidegate::scenario::options::{OptionError, RunOptions, take_arguments};
use tidegate::scenario::script::ScriptOption;
use tidegate::scenario::suite::{Report, Totals, own_ip_version, run_source, scripts};

/// The runner's own options, which clap does not know because scripts have them, too.
const RUN_OPTIONS: &str = "\
Options of a run (a script may have them as well; here they override its own; - and _ are equal):
  -D, --define NAME=VALUE       Replace NAME in scripts
      --profile NAME            Configuration of the stack: default, linux or plain
      --ip-version VERSION      ipv4 (the default), ipv6, or both: scripts that name none run twice
      --no-skip                 A skipped script counts as a failure
      --leftover ignore|fail    What packets are that no event looked at
      --psh last|strict         Compare PSH on the last byte written, or always
      --ts-ecr on|off           Compare echoed timestamps
      --tcp-ts-tick-usecs N     Compare timestamp values, N microseconds a tick
      --tcp-ts-ecr-scaled       Map unknown echoed timestamps by their distance
      --strict-segments         One line is one segment
      --tolerance-usecs N       How far times may be off (4000)
      --tolerance-percent N     The same in percent of the time since the previous event (12.5)
      --mtu N, --mss N, --local-ip A, --remote-ip A, --bind-port N, --connect-port N
      --offload                 The device takes super-segments
      --syn-queue N             Half-open connections of a listener (4096); SYN cookies beyond
      --verbose                 Show every packet and call";

/// Options of `scenario`.
#[derive(Debug, clap::Args)]
#[command(after_help = RUN_OPTIONS)]
pub(crate) struct Args {
    /// Scripts, or directories to search for *.pkt
    #[arg(required = true, value_name = "FILE.pkt")]
    files: Vec<PathBuf>,
    /// Write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Show which events met which state of a connection, and which never did
    #[arg(long)]
    matrix: bool,
}

/// Takes the runner's options out of the command line, if it is this command's. An error is wrong usage.
pub(super) fn take_options(arguments: Vec<String>) -> Result<(Vec<String>, Vec<ScriptOption>), String> {
    let [program, command, rest @ ..] = arguments.as_slice() else { return Ok((arguments, Vec::new())) };
    if command != "scenario" {
        return Ok((arguments, Vec::new()));
    }
    let (options, others) = take_arguments(rest.iter().cloned()).map_err(|error| error.to_string())?;
    // A wrong value is the caller's mistake, told once and not of every script. What is not supported may suit some script.
    for options in versions(&options) {
        if let Err(OptionError::Wrong { reason, .. }) = RunOptions::new(&[], &options) {
            return Err(reason);
        }
    }
    let kept = [program.clone(), command.clone()].into_iter().chain(others).collect();
    Ok((kept, options))
}

pub(crate) fn run(args: Args, options: &[ScriptOption]) -> anyhow::Result<ExitCode> {
    let files = scripts(&args.files).context("cannot search for scripts")?;
    if files.is_empty() {
        bail!("no *.pkt here; name scripts, or a directory that has some");
    }
    let versions = versions(options);
    let (mut totals, mut matrix, mut reports) = (Totals::default(), Matrix::default(), Vec::new());
    for file in &files {
        let name = file.display().to_string();
        let source = match std::fs::read(file) {
            // A wrong byte in a comment harms nobody; elsewhere the parser complains of what stands in its place.
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                let report = Report::unreadable(&name, &error);
                show(&report)?;
                totals.add(&report.verdict);
                reports.push(report);
                continue;
            }
        };
        // What names its version shows something that only that version has. Whoever names the script itself has the last word.
        let has_the_word = versions.len() == 1 && args.files.contains(file);
        let own = own_ip_version(&source).filter(|_| !has_the_word);
        for options in versions.iter().filter(|options| own.is_none_or(|own| is_for(options, own))) {
            let report = run_source(&name, &source, options);
            show(&report)?;
            totals.add(&report.verdict);
            matrix.merge(&report.matrix);
            reports.push(report);
        }
    }
    if args.matrix {
        tell(&matrix_text(&matrix))?;
    }
    if let Some(file) = &args.junit {
        let name = file.display();
        std::fs::write(file, junit::render(&reports)).with_context(|| format!("cannot write {name}"))?;
    }
    tell(&format!("{totals}\n"))?;
    Ok(if totals.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The options of each run of a script: `--ip-version both` makes two.
fn versions(options: &[ScriptOption]) -> Vec<Vec<ScriptOption>> {
    let is_both =
        |option: &&ScriptOption| option.name == "ip_version" && option.value.as_deref() == Some("both");
    if !options.iter().any(|option| is_both(&option)) {
        return vec![options.to_vec()];
    }
    let with = |version: &str| {
        let value = Some(version.to_owned());
        let chosen = ScriptOption { line: 0, name: "ip_version".to_owned(), value };
        options.iter().filter(|option| !is_both(option)).cloned().chain([chosen]).collect()
    };
    vec![with("ipv4"), with("ipv6")]
}

/// True unless the options choose the other IP version.
fn is_for(options: &[ScriptOption], version: &str) -> bool {
    let chosen = options.iter().rev().find(|option| option.name == "ip_version");
    chosen.is_none_or(|option| option.value.as_deref() == Some(version))
}

/// The table, its holes, and what is impossible.
fn matrix_text(matrix: &Matrix) -> String {
    let holes: Vec<_> =
        matrix.holes().map(|(state, event)| format!("  {state}: {}\n", event.name())).collect();
    let impossible = IMPOSSIBLE.iter().map(|(state, events, reason)| {
        let names: Vec<_> = events.iter().map(|event| event.name()).collect();
        format!("  {state}: {}: {reason}\n", names.join(", "))
    });
    let impossible: String = impossible.collect();
    format!("{matrix}{} cells are empty:\n{}impossible:\n{impossible}", holes.len(), holes.concat())
}

fn show(report: &Report) -> io::Result<()> {
    let mut text: String = report.log.iter().map(|line| format!("{line}\n")).collect();
    if report.verdict.finding().is_some() {
        text += &format!("{report}\n");
    }
    tell(&text)
}

/// Text to whoever reads it. A reader who has gone away (`| head`) misses the rest; status and JUnit report stay whole.
fn tell(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// Names are equal with - and _; other commands keep all of theirs.
    #[test]
    fn options_of_a_run_are_taken_from_this_command_only() {
        let (rest, options) =
            take_options(arguments("tidegate scenario --ip_version=both a.pkt --no-skip --junit x")).unwrap();
        assert_eq!(rest, arguments("tidegate scenario a.pkt --junit x"));
        let names: Vec<_> = options.iter().map(|option| option.name.as_str()).collect();
        assert_eq!(names, ["ip_version", "no_skip"]);
        assert_eq!(versions(&options).len(), 2);
        let other = arguments("tidegate serve --mtu 1400");
        assert_eq!(take_options(other.clone()).unwrap(), (other, Vec::new()));
    }
}
