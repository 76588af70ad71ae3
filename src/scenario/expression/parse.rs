//! Tokens to statements. Depth and size of an expression are bounded, so that none can overflow the stack.

use super::eval::{Compare, Expr, Operator};
use super::is_given;
use super::lexer::{self, Kind, Token};
use crate::scenario::error::ParseError;

/// How deep parentheses and signs may stand in each other.
const MAX_DEPTH: usize = 64;
/// How many operands an expression may have.
const MAX_OPERANDS: usize = 1_000;
/// Words that are no variables.
const RESERVED: [&str; 13] =
    ["and", "or", "not", "assert", "print", "if", "else", "elif", "for", "while", "def", "in", "is"];

/// One statement and its line in the script.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement {
    pub line: u32,
    pub action: Action,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// Does nothing; these names stand in it.
    Print {
        names: Vec<String>,
    },
    Assign {
        name: String,
        value: Expr,
    },
    Add {
        name: String,
        value: Expr,
    },
    Assert {
        condition: Expr,
        text: String,
    },
}

impl Action {
    /// True for an assignment that makes this name.
    pub(super) fn assigns(&self, wanted: &str) -> bool {
        matches!(self, Action::Assign { name, .. } if name == wanted)
    }

    /// The names whose values it asks for, evaluated or not.
    pub(super) fn names(&self, found: &mut Vec<String>) {
        match self {
            Action::Print { names } => found.extend_from_slice(names),
            Action::Assign { value, .. } => value.names(found),
            Action::Add { name, value } => {
                found.push(name.clone());
                value.names(found);
            }
            Action::Assert { condition, .. } => condition.names(found),
        }
    }
}

pub(super) fn statements(text: &str, first_line: u32) -> Result<Vec<Statement>, ParseError> {
    let tokens = lexer::tokens(text, first_line)?;
    let mut parser = Parser { text, tokens, at: 0, operands: 0 };
    let mut statements = Vec::new();
    while parser.peek().is_some() {
        if !parser.end() {
            let line = parser.line();
            let action = parser.statement()?;
            statements.push(Statement { line, action });
            if parser.peek().is_some() && !parser.end() {
                return Err(parser.unexpected());
            }
        }
    }
    Ok(statements)
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    operands: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn line(&self) -> u32 {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |token| token.line)
    }

    fn end(&mut self) -> bool {
        let end = self.peek() == Some(&Kind::End);
        self.at += usize::from(end);
        end
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Kind::Sign(found)) if *found == sign);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Kind::Name(name)) if name == word);
        self.at += usize::from(found);
        found
    }

    fn error(&self, reason: &str) -> ParseError {
        ParseError::new(self.line(), reason)
    }

    fn unexpected(&self) -> ParseError {
        match self.tokens.get(self.at) {
            Some(Token { kind: Kind::End, .. }) => self.error("a statement ends too early"),
            None => self.error("the code block ends too early"),
            Some(token) => self.error(&format!("unexpected {}", &self.text[token.start..token.end])),
        }
    }

    fn statement(&mut self) -> Result<Action, ParseError> {
        if self.word("assert") {
            return self.assertion();
        }
        if self.word("print") {
            if !matches!(self.peek(), Some(Kind::Sign("("))) {
                return Err(self.unexpected());
            }
            let first = self.at;
            self.ignored(true)?;
            let name = |token: &Token| match &token.kind {
                Kind::Name(name) if !RESERVED.contains(&name.as_str()) => Some(name.clone()),
                _ => None,
            };
            return Ok(Action::Print {
                names: self.tokens[first..self.at].iter().filter_map(name).collect(),
            });
        }
        let name = match self.peek() {
            Some(Kind::Name(name)) if !RESERVED.contains(&name.as_str()) => name.clone(),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        let add = self.sign("+=");
        if !add && !self.sign("=") {
            self.at -= 1;
            return Err(self.error(&format!("{name} begins neither an assignment nor an assertion")));
        }
        if is_given(&name) {
            return Err(self.error(&format!("{name} cannot be assigned to")));
        }
        let value = self.expression()?;
        Ok(if add { Action::Add { name, value } } else { Action::Assign { name, value } })
    }

    fn assertion(&mut self) -> Result<Action, ParseError> {
        let first = self.at;
        let condition = self.expression()?;
        let span = self.tokens[first..self.at].first().zip(self.tokens[first..self.at].last());
        let text = span.map_or("", |(first, last)| &self.text[first.start..last.end]);
        let text = text.replace('\\', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        if self.sign(",") {
            if matches!(self.peek(), None | Some(Kind::End)) {
                return Err(self.unexpected());
            }
            self.ignored(false)?;
        }
        Ok(Action::Assert { condition, text })
    }

    /// Moves over what is never evaluated: one group in parentheses, or all up to the end of the statement.
    fn ignored(&mut self, group: bool) -> Result<(), ParseError> {
        let mut depth = 0usize;
        while let Some(kind) = self.peek() {
            match kind {
                Kind::End => break,
                Kind::Sign("(") => depth += 1,
                Kind::Sign(")") => depth = depth.checked_sub(1).ok_or_else(|| self.unexpected())?,
                _ => {}
            }
            self.at += 1;
            if group && depth == 0 {
                return Ok(());
            }
        }
        if depth > 0 { Err(self.unexpected()) } else { Ok(()) }
    }

    fn expression(&mut self) -> Result<Expr, ParseError> {
        self.operands = 0;
        self.or(MAX_DEPTH)
    }

    fn or(&mut self, depth: usize) -> Result<Expr, ParseError> {
        let mut left = self.and(depth)?;
        while self.word("or") {
            left = Expr::Or(Box::new(left), Box::new(self.and(depth)?));
        }
        Ok(left)
    }

    fn and(&mut self, depth: usize) -> Result<Expr, ParseError> {
        let mut left = self.not(depth)?;
        while self.word("and") {
            left = Expr::And(Box::new(left), Box::new(self.not(depth)?));
        }
        Ok(left)
    }

    fn not(&mut self, depth: usize) -> Result<Expr, ParseError> {
        if self.word("not") {
            return Ok(Expr::Not(Box::new(self.not(self.deeper(depth)?)?)));
        }
        self.comparison(depth)
    }

    /// `a < b <= c` compares neighbours.
    fn comparison(&mut self, depth: usize) -> Result<Expr, ParseError> {
        let first = self.binary(0, depth)?;
        let mut rest = Vec::new();
        while let Some(compare) = self.peek().and_then(Compare::from_kind) {
            self.at += 1;
            rest.push((compare, self.binary(0, depth)?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Compare(Box::new(first), rest) })
    }

    /// Operators of `level` and those that bind tighter, from the left.
    fn binary(&mut self, level: usize, depth: usize) -> Result<Expr, ParseError> {
        let Some(operators) = Operator::LEVELS.get(level) else { return self.operand(depth) };
        let mut left = self.binary(level + 1, depth)?;
        while let Some(operator) = operators.iter().find(|(sign, _)| self.sign(sign)).map(|(_, op)| *op) {
            left = Expr::Binary(operator, Box::new(left), Box::new(self.binary(level + 1, depth)?));
        }
        Ok(left)
    }

    fn operand(&mut self, depth: usize) -> Result<Expr, ParseError> {
        self.operands += 1;
        if self.operands > MAX_OPERANDS {
            return Err(self.error("the expression is too long"));
        }
        if self.sign("-") {
            return Ok(Expr::Negate(Box::new(self.operand(self.deeper(depth)?)?)));
        }
        if self.sign("+") {
            return self.operand(self.deeper(depth)?);
        }
        if self.sign("(") {
            let inner = self.or(self.deeper(depth)?)?;
            return if self.sign(")") { Ok(inner) } else { Err(self.unexpected()) };
        }
        let operand = match self.peek() {
            Some(Kind::Int(number)) => Expr::Int(*number),
            Some(Kind::Name(name)) if !RESERVED.contains(&name.as_str()) => Expr::Name(name.clone()),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(operand)
    }

    fn deeper(&self, depth: usize) -> Result<usize, ParseError> {
        depth.checked_sub(1).ok_or_else(|| self.error("nested too deeply"))
    }
}
