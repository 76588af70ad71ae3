//! Socket calls: arguments, result, error.

use super::Parser;
use crate::scenario::error::ParseError;
use crate::scenario::lexer::Kind;
use crate::scenario::script::{Call, Field, Value};

/// How deep lists and structures may stand in each other.
const MAX_DEPTH: usize = 32;

impl Parser {
    /// `name(arguments) = result [ERRNO] [(words)]`; the end of a blocking call is already taken.
    pub(super) fn call(&mut self) -> Result<Call, ParseError> {
        let name = self.name("a call")?;
        self.expect('(')?;
        let args = if self.is_sign(')') { Vec::new() } else { self.values(MAX_DEPTH)? };
        self.expect(')')?;
        self.expect('=')?;
        let result = self.value(MAX_DEPTH)?;
        let errno = match self.peek() {
            Some(Kind::Name(_)) if result != Value::Int(-1) => {
                return Err(self.error("only the result -1 has an error"));
            }
            Some(Kind::Name(name)) if is_errno(name) => Some(self.name("an error")?),
            _ => None,
        };
        let note = self.words();
        Ok(Call { end: None, name, args, result, errno, note })
    }

    /// The words in parentheses, which only document a result.
    fn words(&mut self) -> Option<String> {
        let Some(Kind::Note(words)) = self.peek() else { return None };
        let words = words.clone();
        self.at += 1;
        Some(words)
    }

    fn values(&mut self, depth: usize) -> Result<Vec<Value>, ParseError> {
        let mut values = vec![self.value(depth)?];
        while self.sign(',') {
            values.push(self.value(depth)?);
        }
        Ok(values)
    }

    fn value(&mut self, depth: usize) -> Result<Value, ParseError> {
        let first = self.single(depth)?;
        if !self.is_sign('|') {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.sign('|') {
            parts.push(self.single(depth)?);
        }
        let number = |part: &Value| matches!(part, Value::Int(_) | Value::Hex(_) | Value::Name(_));
        if parts.iter().all(number) {
            Ok(Value::Or(parts))
        } else {
            Err(self.wrong("`|` joins numbers and names"))
        }
    }

    fn single(&mut self, depth: usize) -> Result<Value, ParseError> {
        let depth = depth.checked_sub(1).ok_or_else(|| self.error("nested too deeply"))?;
        let value = match self.peek() {
            Some(Kind::Ellipsis) => Value::Ellipsis,
            Some(Kind::Int(_)) => return Ok(Value::Int(self.int("a number", i64::MIN..=i64::MAX)?)),
            Some(Kind::Hex(_)) => return Ok(Value::Hex(self.hex("a number", u64::MAX)?)),
            Some(Kind::Name(name)) => Value::Name(name.clone()),
            Some(Kind::Text(text)) => Value::Text(text.clone()),
            Some(Kind::Sign('[')) => return self.list(depth),
            Some(Kind::Sign('{')) => return self.structure(depth),
            _ => return Err(self.expected("a value")),
        };
        self.at += 1;
        Ok(value)
    }

    fn list(&mut self, depth: usize) -> Result<Value, ParseError> {
        self.expect('[')?;
        let values = if self.is_sign(']') { Vec::new() } else { self.values(depth)? };
        self.expect(']')?;
        Ok(Value::List(values))
    }

    fn structure(&mut self, depth: usize) -> Result<Value, ParseError> {
        self.expect('{')?;
        let mut fields = vec![self.field(depth)?];
        while self.sign(',') {
            fields.push(self.field(depth)?);
        }
        self.expect('}')?;
        Ok(Value::Struct(fields))
    }

    fn field(&mut self, depth: usize) -> Result<Field, ParseError> {
        let named = matches!(self.peek(), Some(Kind::Name(_)))
            && matches!(self.peek_behind(1), Some(Kind::Sign('=' | '(')));
        if !named {
            return Ok(Field::Positional(self.value(depth)?));
        }
        let name = self.name("a field")?;
        let argument = if self.sign('(') {
            let argument = self.value(depth)?;
            self.expect(')')?;
            Some(argument)
        } else {
            None
        };
        self.expect('=')?;
        Ok(Field::Named { name, argument, value: self.value(depth)? })
    }
}

fn is_errno(name: &str) -> bool {
    name.starts_with('E') && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}
