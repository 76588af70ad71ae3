//! How a run ends: passed, failed at a line, or skipped at a line.

use std::fmt;

/// The end of one script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything was as written.
    Pass,
    /// Something was not.
    Fail(Finding),
    /// The script asks for what the runner or the stack does not have.
    Skip(Finding),
}

impl Verdict {
    /// The word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Verdict::Pass => "PASS",
            Verdict::Fail(_) => "FAIL",
            Verdict::Skip(_) => "SKIP",
        }
    }

    /// What was found, unless it passed.
    pub const fn finding(&self) -> Option<&Finding> {
        match self {
            Verdict::Pass => None,
            Verdict::Fail(finding) | Verdict::Skip(finding) => Some(finding),
        }
    }

    /// True for a failure.
    pub const fn is_failure(&self) -> bool {
        matches!(self, Verdict::Fail(_))
    }
}

/// What ended a script before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The line of the event, counted from one; zero where none is to blame.
    pub line: u32,
    /// In one line.
    pub reason: String,
    /// The rest of the diagnosis, in lines.
    pub details: Vec<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        self.details.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// Ends a run early; who knows the line adds it.
#[derive(Clone, Debug)]
pub(super) enum Stop {
    Fail(Finding),
    Skip(Finding),
}

impl Stop {
    /// A failure of the event at hand.
    pub(super) fn fail(reason: impl Into<String>) -> Self {
        Stop::Fail(Finding { line: 0, reason: reason.into(), details: Vec::new() })
    }

    /// Something that is not supported.
    pub(super) fn skip(reason: impl Into<String>) -> Self {
        Stop::Skip(Finding { line: 0, reason: reason.into(), details: Vec::new() })
    }

    /// With the event's line, where none is known yet.
    pub(super) fn at(mut self, line: u32) -> Self {
        let (Stop::Fail(finding) | Stop::Skip(finding)) = &mut self;
        if finding.line == 0 {
            finding.line = line;
        }
        self
    }

    /// With more lines.
    pub(super) fn with(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        let (Stop::Fail(finding) | Stop::Skip(finding)) = &mut self;
        finding.details.extend(lines);
        self
    }

    pub(super) fn into_verdict(self) -> Verdict {
        match self {
            Stop::Fail(finding) => Verdict::Fail(finding),
            Stop::Skip(finding) => Verdict::Skip(finding),
        }
    }
}
