//! Script text to [`Script`]: recursive descent over the tokens, one file per concern.
//!
//! What the language does not define is an error with its line, never a guess. Checked here is all that the text alone tells:
//! ranges that do not add up, options that fill no header, times that run backwards. Whether the stack can do what a script
//! asks is the runner's question.

mod call;
mod event;
mod icmp;
mod option;
mod packet;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

use super::error::ParseError;
use super::lexer::{self, Kind, Token};
use super::preprocess::{self, Definitions};
use super::script::{Definition, Script, ScriptOption};

/// Reads a script; `definitions` (`-D`, `--define` of the command line) select `#ifdef` lines and replace names, before those
/// that the script defines itself.
///
/// # Errors
/// On the first thing that the language does not define, with its line.
pub fn parse(source: &str, definitions: &Definitions) -> Result<Script, ParseError> {
    let selected = preprocess::select(source, definitions)?;
    let tokens = lexer::tokens(&selected, 1)?;
    let options = script_options(&tokens);
    let mut known = Definitions::new();
    for option in options.iter().filter(|option| option.name == "define") {
        let text = option.value.as_deref().unwrap_or("");
        let (name, value) =
            preprocess::definition(text).map_err(|reason| ParseError::new(option.line, reason))?;
        known.insert(name, value);
    }
    known.extend(definitions.iter().map(|(name, value)| (name.clone(), value.clone())));
    let tokens: Vec<Token> =
        tokens.into_iter().skip(options.len()).map(|token| replaced(token, &known)).collect();
    let options = options.into_iter().map(|option| with_value_replaced(option, &known)).collect();
    Parser::new(tokens).script(options)
}

/// The options at the head.
fn script_options(tokens: &[Token]) -> Vec<ScriptOption> {
    let option = |token: &Token| match &token.kind {
        Kind::Option(name, value) => {
            Some(ScriptOption { line: token.line, name: name.clone(), value: value.clone() })
        }
        _ => None,
    };
    tokens.iter().map_while(option).collect()
}

/// A defined name becomes its value before parsing.
fn replaced(token: Token, definitions: &Definitions) -> Token {
    let Kind::Name(name) = &token.kind else { return token };
    let kind = match definitions.get(name) {
        Some(Definition::Int(value)) => Kind::Int(value.to_string()),
        Some(Definition::Word(word)) => Kind::Name(word.clone()),
        Some(Definition::Text(text)) => Kind::Text(text.clone()),
        Some(Definition::Command(text)) => Kind::Command(text.clone()),
        None => return token,
    };
    Token { line: token.line, kind }
}

fn with_value_replaced(mut option: ScriptOption, definitions: &Definitions) -> ScriptOption {
    let definition = option.value.as_ref().and_then(|value| definitions.get(value));
    if let Some(definition) = definition {
        option.value = Some(match definition {
            Definition::Int(value) => value.to_string(),
            Definition::Word(text) => text.clone(),
            Definition::Text(text) => format!("\"{text}\""),
            Definition::Command(text) => format!("`{text}`"),
        });
    }
    option
}

/// The tokens and the place in them. The grammar's parts are its methods, in the files of this folder.
struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn new(tokens: Vec<Token>) -> Self {
        Parser { tokens, at: 0 }
    }

    fn peek(&self) -> Option<&Kind> {
        self.peek_behind(0)
    }

    /// The token `ahead` places behind the next one.
    fn peek_behind(&self, ahead: usize) -> Option<&Kind> {
        self.tokens.get(self.at.saturating_add(ahead)).map(|token| &token.kind)
    }

    /// The line of the next token; behind the end, of the last.
    fn line(&self) -> u32 {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |token| token.line)
    }

    fn error(&self, reason: impl Into<String>) -> ParseError {
        ParseError::new(self.line(), reason)
    }

    /// What has just been taken is wrong.
    fn wrong(&self, reason: impl Into<String>) -> ParseError {
        let taken = self.at.checked_sub(1).and_then(|before| self.tokens.get(before));
        ParseError::new(taken.map_or(1, |token| token.line), reason)
    }

    /// What stands here is not what must.
    fn expected(&self, what: &str) -> ParseError {
        let found = match self.peek() {
            None => "the end of the script".to_owned(),
            Some(Kind::Int(text) | Kind::Hex(text) | Kind::Decimal(text) | Kind::Name(text)) => text.clone(),
            Some(Kind::Text(text)) => format!("\"{text}\""),
            Some(Kind::Command(_)) => "a command".to_owned(),
            Some(Kind::Code(_)) => "a code block".to_owned(),
            Some(Kind::Note(text)) => format!("({text})"),
            Some(Kind::Option(name, _)) => format!("--{name}"),
            Some(Kind::Ellipsis) => "`...`".to_owned(),
            Some(Kind::Sign(sign)) => format!("`{sign}`"),
        };
        self.error(format!("expected {what}, found {found}"))
    }

    fn is_sign(&self, sign: char) -> bool {
        self.peek() == Some(&Kind::Sign(sign))
    }

    /// Takes `sign` if it comes next.
    fn sign(&mut self, sign: char) -> bool {
        let found = self.is_sign(sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: char) -> Result<(), ParseError> {
        if self.sign(sign) { Ok(()) } else { Err(self.expected(&format!("`{sign}`"))) }
    }

    /// Takes the keyword if it comes next.
    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Kind::Name(name)) if name == word);
        self.at += usize::from(found);
        found
    }

    fn name(&mut self, what: &str) -> Result<String, ParseError> {
        match self.peek() {
            Some(Kind::Name(name)) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.expected(what)),
        }
    }

    /// An integer within `range`.
    fn int<T: TryFrom<i64>>(&mut self, what: &str, range: RangeInclusive<i64>) -> Result<T, ParseError> {
        let Some(Kind::Int(text)) = self.peek() else { return Err(self.expected(what)) };
        let value = text.parse().ok().filter(|value| range.contains(value));
        let value = value.and_then(|value| T::try_from(value).ok());
        let outside =
            || self.error(format!("{text} is out of range: {what} is {} to {}", range.start(), range.end()));
        let value = value.ok_or_else(outside)?;
        self.at += 1;
        Ok(value)
    }

    fn u8(&mut self, what: &str) -> Result<u8, ParseError> {
        self.int(what, 0..=0xff)
    }

    fn u16(&mut self, what: &str) -> Result<u16, ParseError> {
        self.int(what, 0..=0xffff)
    }

    fn u32(&mut self, what: &str) -> Result<u32, ParseError> {
        self.int(what, 0..=0xffff_ffff)
    }

    /// A sequence number: modulo 2^32, so -1 is the one before 0.
    fn seq(&mut self, what: &str) -> Result<u32, ParseError> {
        let number: i64 = self.int(what, -0x8000_0000..=0xffff_ffff)?;
        Ok(number as u32)
    }

    /// A hexadecimal number up to `max`.
    fn hex(&mut self, what: &str, max: u64) -> Result<u64, ParseError> {
        let Some(Kind::Hex(text)) = self.peek() else {
            return Err(self.expected(&format!("{what} in hexadecimal")));
        };
        let value = u64::from_str_radix(&text[2..], 16).ok().filter(|&value| value <= max);
        let value =
            value.ok_or_else(|| self.error(format!("{text} is out of range: {what} is at most {max:#x}")))?;
        self.at += 1;
        Ok(value)
    }
}
