//! What is wrong with a script, and on which line.

/// A script that cannot be read: the line and a one-line reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: u32,
    /// What is wrong there.
    pub reason: String,
}

impl ParseError {
    /// An error on `line`.
    pub fn new(line: u32, reason: impl Into<String>) -> Self {
        ParseError { line, reason: reason.into() }
    }
}
