//! Runs scripts from text and judges verdicts. The line that must be blamed bears the mark `// HERE`.

use tidegate::scenario::script::ScriptOption;
use tidegate::scenario::suite::run_source;
use tidegate::scenario::verdict::{Finding, Verdict};

/// A listener at work: lines 1 to 6. The stack's options are left open.
pub(crate) const LISTENING: &str = "\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
";

/// An accepted connection with an MSS of 1000 and a scaled window, on descriptor 4.
pub(crate) const ESTABLISHED: &str = "\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0 > S. 0:0(0) ack 1 <...>
+.1 < . 1:1(0) ack 1 win 257
+0 accept(3, ..., ...) = 4
";

/// Runs a script that consists of these parts.
pub(crate) fn verdict(parts: &[&str]) -> Verdict {
    verdict_with(&[], parts)
}

pub(crate) fn verdict_with(overrides: &[ScriptOption], parts: &[&str]) -> Verdict {
    run_source("test.pkt", &parts.concat(), overrides).verdict
}

#[track_caller]
pub(crate) fn passes(parts: &[&str]) {
    let verdict = verdict(parts);
    assert_eq!(verdict, Verdict::Pass, "{}", shown(&verdict));
}

/// The script fails on the marked line, and the diagnosis contains these words.
#[track_caller]
pub(crate) fn fails(parts: &[&str], words: &[&str]) {
    let verdict = verdict(parts);
    let Verdict::Fail(finding) = &verdict else { panic!("not a failure: {}", shown(&verdict)) };
    blames(&parts.concat(), finding, words);
}

/// The script is skipped because of the marked line.
#[track_caller]
pub(crate) fn skips(parts: &[&str], words: &[&str]) {
    let verdict = verdict(parts);
    let Verdict::Skip(finding) = &verdict else { panic!("not skipped: {}", shown(&verdict)) };
    blames(&parts.concat(), finding, words);
}

#[track_caller]
fn blames(text: &str, finding: &Finding, words: &[&str]) {
    let marked = text.lines().position(|line| line.contains("// HERE")).expect("a marked line");
    assert_eq!(finding.line as usize, marked + 1, "{finding}");
    let diagnosis = finding.to_string();
    for word in words {
        assert!(diagnosis.contains(word), "`{word}` is not in: {diagnosis}");
    }
}

fn shown(verdict: &Verdict) -> String {
    match verdict.finding() {
        Some(finding) => format!("{} line {}: {finding}", verdict.name(), finding.line),
        None => verdict.name().to_owned(),
    }
}
