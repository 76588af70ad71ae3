//! What an expression is worth. Truth is 1 or 0; what leaves 64 bits is an error, never wrapped.

use super::lexer::Kind;
use super::{CONSTANTS, Variables};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    Int(i64),
    Name(String),
    Negate(Box<Expr>),
    Not(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    Compare(Box<Expr>, Vec<(Compare, Expr)>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    BitOr,
    BitAnd,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Operator {
    /// From loose to tight.
    pub(super) const LEVELS: [&'static [(&'static str, Operator)]; 4] = [
        &[("|", Operator::BitOr)],
        &[("&", Operator::BitAnd)],
        &[("+", Operator::Add), ("-", Operator::Subtract)],
        &[("*", Operator::Multiply), ("//", Operator::Divide), ("%", Operator::Modulo)],
    ];

    fn apply(self, left: i64, right: i64) -> Result<i64, Stop> {
        let result = match self {
            Operator::BitOr => Some(left | right),
            Operator::BitAnd => Some(left & right),
            Operator::Add => left.checked_add(right),
            Operator::Subtract => left.checked_sub(right),
            Operator::Multiply => left.checked_mul(right),
            Operator::Divide | Operator::Modulo if right == 0 => {
                return Err(Stop::Fault("division by zero".to_owned()));
            }
            Operator::Divide => floor(left, right).map(|(quotient, _)| quotient),
            Operator::Modulo => floor(left, right).map(|(_, remainder)| remainder),
        };
        result.ok_or_else(overflow)
    }
}

/// Quotient rounded down, and the remainder that has the divisor's sign.
fn floor(left: i64, right: i64) -> Option<(i64, i64)> {
    let (quotient, remainder) = (left.checked_div(right)?, left.checked_rem(right)?);
    if remainder != 0 && (remainder < 0) != (right < 0) {
        Some((quotient - 1, remainder + right))
    } else {
        Some((quotient, remainder))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    pub(super) fn from_kind(kind: &Kind) -> Option<Self> {
        Some(match kind {
            Kind::Sign("==") => Compare::Equal,
            Kind::Sign("!=") => Compare::Unequal,
            Kind::Sign("<") => Compare::Less,
            Kind::Sign("<=") => Compare::LessOrEqual,
            Kind::Sign(">") => Compare::Greater,
            Kind::Sign(">=") => Compare::GreaterOrEqual,
            _ => return None,
        })
    }

    fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Compare::Equal => left == right,
            Compare::Unequal => left != right,
            Compare::Less => left < right,
            Compare::LessOrEqual => left <= right,
            Compare::Greater => left > right,
            Compare::GreaterOrEqual => left >= right,
        }
    }
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Unknown(String),
    Fault(String),
}

pub(super) fn overflow() -> Stop {
    Stop::Fault("a number leaves the range of 64 bits".to_owned())
}

/// Where names get their values from.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub given: &'a Variables,
    pub variables: &'a Variables,
}

impl Names<'_> {
    pub(super) fn get(self, name: &str) -> Result<i64, Stop> {
        let constant = || CONSTANTS.iter().find(|(constant, _)| *constant == name).map(|(_, value)| *value);
        let known = self.given.get(name).or_else(|| self.variables.get(name)).copied();
        known.or_else(constant).ok_or_else(|| Stop::Unknown(name.to_owned()))
    }
}

impl Expr {
    pub(super) fn eval(&self, names: Names<'_>) -> Result<i64, Stop> {
        Ok(match self {
            Expr::Int(value) => *value,
            Expr::Name(name) => names.get(name)?,
            Expr::Negate(inner) => inner.eval(names)?.checked_neg().ok_or_else(overflow)?,
            Expr::Not(inner) => i64::from(inner.eval(names)? == 0),
            Expr::Binary(operator, left, right) => operator.apply(left.eval(names)?, right.eval(names)?)?,
            Expr::Compare(first, rest) => {
                let mut left = first.eval(names)?;
                for (compare, right) in rest {
                    let right = right.eval(names)?;
                    if !compare.holds(left, right) {
                        return Ok(0);
                    }
                    left = right;
                }
                1
            }
            Expr::And(left, right) => match left.eval(names)? {
                0 => 0,
                _ => right.eval(names)?,
            },
            Expr::Or(left, right) => match left.eval(names)? {
                0 => right.eval(names)?,
                value => value,
            },
        })
    }

    /// The names in it, each once, in their order.
    pub(super) fn names(&self, found: &mut Vec<String>) {
        match self {
            Expr::Int(_) => {}
            Expr::Name(name) if found.contains(name) => {}
            Expr::Name(name) => found.push(name.clone()),
            Expr::Negate(inner) | Expr::Not(inner) => inner.names(found),
            Expr::Binary(_, left, right) | Expr::And(left, right) | Expr::Or(left, right) => {
                left.names(found);
                right.names(found);
            }
            Expr::Compare(first, rest) => {
                first.names(found);
                rest.iter().for_each(|(_, expr)| expr.names(found));
            }
        }
    }
}
