//! A block's text to tokens. What has no meaning outside messages is [`Kind::Other`], so that messages may hold anything.

use crate::scenario::error::ParseError;

/// A token, its line in the script and where it stands in the block's text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub line: u32,
    pub start: usize,
    pub end: usize,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Int(i64),
    Name(String),
    Text,
    /// An operator, a parenthesis or a comma.
    Sign(&'static str),
    /// The end of a statement: a new line outside brackets, or `;`.
    End,
    Other,
}

/// Longer ones first.
const SIGNS: [&str; 19] =
    ["==", "!=", "<=", ">=", "//", "+=", "+", "-", "*", "%", "&", "|", "<", ">", "=", "(", ")", ",", ";"];

pub(super) fn tokens(text: &str, first_line: u32) -> Result<Vec<Token>, ParseError> {
    let mut tokens = Vec::new();
    let (mut at, mut line, mut depth) = (0, first_line, 0usize);
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (len, kind) = match first {
            '\n' => (1, (depth == 0).then_some(Kind::End)),
            '#' => (rest.find('\n').unwrap_or(rest.len()), None),
            '\\' => {
                (joined(rest).ok_or_else(|| ParseError::new(line, "a backslash ends no line here"))?, None)
            }
            '"' | '\'' => (string(rest, first).ok_or_else(|| unterminated(line))?, Some(Kind::Text)),
            _ if first.is_whitespace() => (first.len_utf8(), None),
            _ if is_word(first) => word(rest),
            _ => sign(rest, first),
        };
        depth = match first {
            '(' | '[' | '{' => depth + 1,
            ')' | ']' | '}' => depth.saturating_sub(1),
            _ => depth,
        };
        if let Some(kind) = kind {
            tokens.push(Token { line, start: at, end: at + len, kind });
        }
        line += rest[..len].bytes().filter(|&byte| byte == b'\n').count() as u32;
        at += len;
    }
    Ok(tokens)
}

fn unterminated(line: u32) -> ParseError {
    ParseError::new(line, "string does not end on its line")
}

/// A backslash at the end of a line joins it with the next.
fn joined(rest: &str) -> Option<usize> {
    if rest.starts_with("\\\n") {
        Some(2)
    } else if rest.starts_with("\\\r\n") {
        Some(3)
    } else {
        None
    }
}

/// The length of a string with its quotes.
fn string(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (place, c) in rest.char_indices().skip(1) {
        match c {
            '\n' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(place + 1),
            _ => {}
        }
    }
    None
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A name or a whole number; `0.5`, `1e3`, `010` and the like mean something else in Python, and nothing here.
fn word(rest: &str) -> (usize, Option<Kind>) {
    let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    let text = &rest[..len];
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let number = match hex {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None if text.len() > 1 && text.starts_with('0') => None,
        None => text.parse().ok(),
    };
    let kind = match number {
        Some(_) if rest[len..].starts_with('.') => Kind::Other,
        Some(number) => Kind::Int(number),
        None if text.starts_with(|c: char| c.is_ascii_digit()) => Kind::Other,
        None => Kind::Name(text.to_owned()),
    };
    (len, Some(kind))
}

fn sign(rest: &str, first: char) -> (usize, Option<Kind>) {
    match SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
        Some(";") => (1, Some(Kind::End)),
        Some(sign) => (sign.len(), Some(Kind::Sign(sign))),
        None => (first.len_utf8(), Some(Kind::Other)),
    }
}
