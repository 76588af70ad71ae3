//! The little language of `%{ … }%` blocks: assignments and assertions over integers, against a snapshot of the connection.
//!
//! Statements stand on lines of their own or behind `;`: `name = expression`, `name += expression`, `print(…)`, which does
//! nothing, and `assert expression [, message]`. Operators mean what they do in Python: `//` and `%` round down, comparisons
//! chain, `and` and `or` give an operand. There are no floating-point numbers, no calls, no branches: those are errors.

mod eval;
mod lexer;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::eval::{Names, Stop};
use self::parse::{Action, Statement};
use super::error::ParseError;
use super::script::CodeBlock;

/// Names with their values.
pub type Variables = BTreeMap<String, i64>;

/// How a block ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All assertions hold.
    Held,
    /// An assertion does not hold.
    Failed {
        /// Its line in the script.
        line: u32,
        /// What it says.
        expression: String,
        /// The names in it with their values.
        values: Vec<(String, i64)>,
    },
    /// A name that nothing gives a value: the script asks for what the runner does not have.
    Unknown {
        /// Its line in the script.
        line: u32,
        /// The name.
        name: String,
    },
    /// The block cannot be read, divides by zero or leaves the range of 64 bits.
    Error(ParseError),
}

/// Names whose values never change: states, congestion states and option bits as Linux numbers them in `tcp_info`.
pub const CONSTANTS: [(&str, i64); 22] = [
    ("TCP_ESTABLISHED", 1),
    ("TCP_SYN_SENT", 2),
    ("TCP_SYN_RECV", 3),
    ("TCP_FIN_WAIT1", 4),
    ("TCP_FIN_WAIT2", 5),
    ("TCP_TIME_WAIT", 6),
    ("TCP_CLOSE", 7),
    ("TCP_CLOSE_WAIT", 8),
    ("TCP_LAST_ACK", 9),
    ("TCP_LISTEN", 10),
    ("TCP_CLOSING", 11),
    ("TCP_CA_Open", 0),
    ("TCP_CA_Disorder", 1),
    ("TCP_CA_CWR", 2),
    ("TCP_CA_Recovery", 3),
    ("TCP_CA_Loss", 4),
    ("TCPI_OPT_TIMESTAMPS", 1),
    ("TCPI_OPT_SACK", 2),
    ("TCPI_OPT_WSCALE", 4),
    ("TCPI_OPT_ECN", 8),
    ("TCPI_OPT_ECN_SEEN", 16),
    ("TCPI_OPT_SYN_DATA", 32),
];

/// Reads a block without running it.
///
/// # Errors
/// On the first thing that the language does not define, with its line in the script.
pub fn check(block: &CodeBlock) -> Result<(), ParseError> {
    parse::statements(&block.text, block.line).map(|_| ())
}

/// Runs a block. `given` are the names of the snapshot; `variables` are the script's own and live from block to block.
pub fn run(block: &CodeBlock, given: &Variables, variables: &mut Variables) -> Outcome {
    let statements = match parse::statements(&block.text, block.line) {
        Ok(statements) => statements,
        Err(error) => return Outcome::Error(error),
    };
    if let Some(unknown) = unknown(&statements, given, variables) {
        return unknown;
    }
    for statement in &statements {
        match step(statement, given, variables) {
            Ok(Outcome::Held) => {}
            Ok(outcome) => return outcome,
            Err(Stop::Unknown(name)) => return Outcome::Unknown { line: statement.line, name },
            Err(Stop::Fault(reason)) => return Outcome::Error(ParseError::new(statement.line, reason)),
        }
    }
    Outcome::Held
}

/// The first name that nothing gives a value, evaluated or not: neither runner nor an assignment in this block or an earlier.
fn unknown(statements: &[Statement], given: &Variables, variables: &Variables) -> Option<Outcome> {
    let names = Names { given, variables };
    let assigned = |name: &str| statements.iter().any(|statement| statement.action.assigns(name));
    statements.iter().find_map(|statement| {
        let mut used = Vec::new();
        statement.action.names(&mut used);
        let unknown = used.into_iter().find(|name| names.get(name).is_err() && !assigned(name));
        unknown.map(|name| Outcome::Unknown { line: statement.line, name })
    })
}

fn step(statement: &Statement, given: &Variables, variables: &mut Variables) -> Result<Outcome, Stop> {
    let names = Names { given, variables };
    match &statement.action {
        Action::Print { .. } => {}
        Action::Assign { name, value } => {
            let value = value.eval(names)?;
            variables.insert(name.clone(), value);
        }
        Action::Add { name, value } => {
            let sum = names.get(name)?.checked_add(value.eval(names)?).ok_or_else(eval::overflow)?;
            variables.insert(name.clone(), sum);
        }
        Action::Assert { condition, text } => {
            if condition.eval(names)? == 0 {
                let mut used = Vec::new();
                condition.names(&mut used);
                let value = |name: &String| Some((name.clone(), names.get(name).ok()?));
                let values = used.iter().filter_map(value).collect();
                return Ok(Outcome::Failed { line: statement.line, expression: text.clone(), values });
            }
        }
    }
    Ok(Outcome::Held)
}

/// True for names that the runner gives, which a script may not assign to.
fn is_given(name: &str) -> bool {
    name.starts_with("tcpi_") || CONSTANTS.iter().any(|(constant, _)| *constant == name)
}
