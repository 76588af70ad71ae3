//! Scripts as files: from text to a report, many files to totals. What the program and the tests share.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::matrix::Matrix;
use super::options::{self, OptionError, RunOptions};
use super::parse::parse;
use super::run::{Outcome, run};
use super::script::ScriptOption;
use super::verdict::{Finding, Verdict};

/// How a script's run went.
#[derive(Clone, Debug)]
pub struct Report {
    /// The script's name, for people.
    pub file: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Every packet and call, with `--verbose`.
    pub log: Vec<String>,
    /// Which events met which state.
    pub matrix: Matrix,
}

impl Report {
    /// The failure of a file that cannot be read.
    pub fn unreadable(file: &str, error: &io::Error) -> Self {
        let outcome = ended(Verdict::Fail(finding(0, format!("cannot be read: {error}"))));
        Report { file: file.to_owned(), verdict: outcome.verdict, log: outcome.log, matrix: outcome.matrix }
    }
}

impl fmt::Display for Report {
    /// `file:line: FAIL: reason` and the diagnosis.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.verdict.finding() {
            None => write!(f, "{}: {}", self.file, self.verdict.name()),
            Some(found) => write!(f, "{}:{}: {}: {found}", self.file, found.line, self.verdict.name()),
        }
    }
}

/// How many scripts ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Skipped.
    pub skipped: usize,
}

impl Totals {
    /// Counts one more.
    pub fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Pass => self.passed += 1,
            Verdict::Fail(_) => self.failed += 1,
            Verdict::Skip(_) => self.skipped += 1,
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Runs a script from its text; the command line's options override its own. A script that cannot be read fails, one that asks
/// for what there is not is skipped, and a panic of the stack is a failure like any other.
pub fn run_source(file: &str, source: &str, command_line: &[ScriptOption]) -> Report {
    let attempt = catch_unwind(AssertUnwindSafe(|| attempt(source, command_line)));
    let (outcome, no_skip) = attempt.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        (ended(Verdict::Fail(finding(0, format!("panicked: {text}")))), false)
    });
    let verdict = match outcome.verdict {
        Verdict::Skip(found) if no_skip => {
            Verdict::Fail(Finding { reason: format!("skipped: {}", found.reason), ..found })
        }
        verdict => verdict,
    };
    Report { file: file.to_owned(), verdict, log: outcome.log, matrix: outcome.matrix }
}

/// The IP version that a script's head fixes, if it does: what it shows exists there only.
pub fn own_ip_version(source: &str) -> Option<&str> {
    let heads = source.lines().filter(|line| line.trim_start().starts_with("--"));
    let words = heads.flat_map(str::split_whitespace);
    let options = words.filter_map(|word| word.strip_prefix("--")?.split_once('='));
    options.filter(|(name, _)| name.replace('-', "_") == "ip_version").map(|(_, value)| value).next_back()
}

/// The outcome, and whether a skip counts as a failure.
fn attempt(source: &str, command_line: &[ScriptOption]) -> (Outcome, bool) {
    let no_skip = command_line.iter().any(|option| option.name == "no_skip");
    let script = match options::definitions(command_line) {
        Ok(definitions) => parse(source, &definitions),
        Err(error) => return (ended(option_verdict(error)), no_skip),
    };
    let script = match script {
        Ok(script) => script,
        Err(error) => {
            let found = finding(error.line, format!("parse error: {}", error.reason));
            return (ended(Verdict::Fail(found)), no_skip);
        }
    };
    match RunOptions::new(&script.options, command_line) {
        Ok(options) => (run(&script, &options), options.no_skip),
        Err(error) => (ended(option_verdict(error)), no_skip),
    }
}

fn option_verdict(error: OptionError) -> Verdict {
    match error {
        OptionError::Unsupported { line, reason } => Verdict::Skip(finding(line, reason)),
        OptionError::Wrong { line, reason } => Verdict::Fail(finding(line, reason)),
    }
}

fn ended(verdict: Verdict) -> Outcome {
    Outcome { verdict, log: Vec::new(), matrix: Matrix::default() }
}

fn finding(line: u32, reason: String) -> Finding {
    Finding { line, reason, details: Vec::new() }
}

/// The scripts under these paths, in a fixed order: files as they are, directories searched for `*.pkt`.
///
/// # Errors
/// What reading a directory gives.
pub fn scripts(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> =
        directory.read_dir()?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "pkt") {
            found.push(path);
        }
    }
    Ok(())
}
