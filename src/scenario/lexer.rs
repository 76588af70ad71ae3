//! Script text to tokens with line numbers. White space and comments only separate; commands and code blocks come out verbatim.
//!
//! Numbers stay text here: whether `0123` is a number or a cookie's digits is known to the parser alone. Names are not yet
//! replaced by their definitions (`parse` does that), and `#ifdef` is gone already (`preprocess`).

use super::error::ParseError;

/// A token and the line it starts on.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// The line, counted from 1.
    pub line: u32,
    /// What it is.
    pub kind: Kind,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `-?[0-9]+`, as written.
    Int(String),
    /// `0x…`, as written.
    Hex(String),
    /// Digits with a fraction: `.1`, `0.25`.
    Decimal(String),
    /// `[A-Za-z0-9_]+` that is no number.
    Name(String),
    /// `"…"` without its quotes.
    Text(String),
    /// `` `…` `` without its quotes.
    Command(String),
    /// `%{ … }%` without its braces.
    Code(String),
    /// `--name` or `--name=value`, the value as written.
    Option(String, Option<String>),
    /// `( words )` behind a call's result, without the parentheses.
    Note(String),
    /// `...`
    Ellipsis,
    /// Any other sign.
    Sign(char),
}

/// The signs that are tokens of their own.
const SIGNS: &str = "+-~*<>[](){},:.=|";

/// All tokens of `source`, which may start on a line other than the first.
///
/// # Errors
/// On a character that starts no token, and on a string, command, code block or comment that does not end.
pub fn tokens(source: &str, first_line: u32) -> Result<Vec<Token>, ParseError> {
    let mut lexer = Lexer { rest: source, line: first_line };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next(is_behind_result(&tokens))? {
        tokens.push(token);
    }
    Ok(tokens)
}

/// True behind `) = value` or `) = -1 ERRNO`, where a parenthesis opens words that only document.
fn is_behind_result(tokens: &[Token]) -> bool {
    let is_value = |kind: &Kind| matches!(kind, Kind::Int(_) | Kind::Hex(_) | Kind::Name(_) | Kind::Ellipsis);
    let mut kinds = tokens.iter().rev().map(|token| &token.kind).peekable();
    let Some(last) = kinds.next().filter(|kind| is_value(kind)) else { return false };
    if matches!((last, kinds.peek()), (Kind::Name(_), Some(Kind::Int(minus_one))) if minus_one == "-1") {
        kinds.next();
    }
    while kinds.next_if(|kind| **kind == Kind::Sign('|')).is_some() {
        if !kinds.next().is_some_and(is_value) {
            return false;
        }
    }
    (kinds.next(), kinds.next()) == (Some(&Kind::Sign('=')), Some(&Kind::Sign(')')))
}

struct Lexer<'a> {
    rest: &'a str,
    line: u32,
}

impl<'a> Lexer<'a> {
    fn next(&mut self, behind_result: bool) -> Result<Option<Token>, ParseError> {
        self.skip_blanks()?;
        let line = self.line;
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let kind = match first {
            '"' => Kind::Text(self.string()?),
            '`' => Kind::Command(self.until("`", "`", "command")?),
            '%' if self.rest.starts_with("%{") => Kind::Code(self.until("%{", "}%", "code block")?),
            '(' if behind_result => Kind::Note(self.note()?),
            '-' if self.starts_option() => self.option()?,
            '.' if self.rest.starts_with("...") => {
                self.take(3);
                Kind::Ellipsis
            }
            _ if starts_number(self.rest) => self.number()?,
            _ if is_word(first) => self.word(),
            _ if SIGNS.contains(first) => {
                self.take(1);
                Kind::Sign(first)
            }
            _ => return Err(ParseError::new(line, format!("unexpected character {first:?}"))),
        };
        Ok(Some(Token { line, kind }))
    }

    /// White space and both kinds of comments.
    fn skip_blanks(&mut self) -> Result<(), ParseError> {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.take(blank);
            if self.rest.starts_with("//") {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.take(end);
            } else if self.rest.starts_with("/*") {
                self.until("/*", "*/", "comment")?;
            } else {
                return Ok(());
            }
        }
    }

    /// Moves over `len` bytes, counting their lines.
    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(len);
        self.line += taken.bytes().filter(|&byte| byte == b'\n').count() as u32;
        self.rest = rest;
        taken
    }

    /// What stands between `open`, which comes next, and `close`.
    fn until(&mut self, open: &str, close: &str, what: &str) -> Result<String, ParseError> {
        let line = self.line;
        self.take(open.len());
        let len =
            self.rest.find(close).ok_or_else(|| ParseError::new(line, format!("{what} does not end")))?;
        let text = self.take(len).to_owned();
        self.take(close.len());
        Ok(text)
    }

    /// Any text up to the matching parenthesis; how its words are apart says nothing.
    fn note(&mut self) -> Result<String, ParseError> {
        let mut depth = 0usize;
        let matching = self.rest.char_indices().find(|&(_, c)| {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        let (end, _) = matching.ok_or_else(|| ParseError::new(self.line, "`(` is not closed"))?;
        let text = self.take(end + 1);
        Ok(text[1..end].split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// A string stays on its line and knows no escapes, so that none can be read differently from what was meant.
    fn string(&mut self) -> Result<String, ParseError> {
        let line = self.line;
        let text = self.until("\"", "\"", "string")?;
        if text.contains('\n') {
            return Err(ParseError::new(line, "string does not end on its line"));
        }
        if text.contains('\\') {
            return Err(ParseError::new(line, "a string knows no backslash"));
        }
        Ok(text)
    }

    /// A `.` belongs to a number only if a digit follows it, so that `0...0.2` is `0`, `...`, `0.2`.
    fn number(&mut self) -> Result<Kind, ParseError> {
        let sign = usize::from(self.rest.starts_with('-'));
        let run = sign + word_len(&self.rest[sign..]);
        let whole = &self.rest[..run];
        if let Some(digits) = whole.strip_prefix("0x").filter(|digits| is_hex(digits)) {
            let text = format!("0x{digits}");
            self.take(run);
            return Ok(Kind::Hex(text));
        }
        let fraction = fraction_len(&self.rest[run..]);
        if !whole[sign..].bytes().all(|byte| byte.is_ascii_digit()) {
            return if sign == 1 { Err(self.malformed()) } else { Ok(self.word()) };
        }
        if fraction == 0 {
            return Ok(Kind::Int(self.take(run).to_owned()));
        }
        if sign == 1 || self.rest[run + fraction..].starts_with(is_word) {
            return Err(self.malformed());
        }
        Ok(Kind::Decimal(self.take(run + fraction).to_owned()))
    }

    fn malformed(&self) -> ParseError {
        let len = self.rest.find(|c: char| !is_word(c) && c != '-' && c != '.').unwrap_or(self.rest.len());
        ParseError::new(self.line, format!("malformed number {}", &self.rest[..len]))
    }

    fn word(&mut self) -> Kind {
        Kind::Name(self.take(word_len(self.rest)).to_owned())
    }

    fn starts_option(&self) -> bool {
        let name = self.rest.strip_prefix("--").unwrap_or("");
        name.starts_with(|c: char| c.is_ascii_alphabetic())
    }

    /// `--name [= value]`. A value is a run without white space; quoted parts of it may hold some.
    fn option(&mut self) -> Result<Kind, ParseError> {
        self.take(2);
        let len = self.rest.find(|c: char| !is_word(c) && c != '-').unwrap_or(self.rest.len());
        let name = self.take(len).replace('-', "_");
        self.skip_blanks()?;
        if !self.rest.starts_with('=') {
            return Ok(Kind::Option(name, None));
        }
        self.take(1);
        self.skip_blanks()?;
        let mut value = String::new();
        while let Some(c) = self.rest.chars().next().filter(|c| !c.is_whitespace()) {
            if self.rest.starts_with("//") || self.rest.starts_with("/*") {
                break;
            }
            match c {
                '"' => value.push_str(&format!("\"{}\"", self.string()?)),
                '`' => value.push_str(&format!("`{}`", self.until("`", "`", "command")?)),
                _ => value.push_str(self.take(c.len_utf8())),
            }
        }
        if value.is_empty() {
            return Err(ParseError::new(self.line, format!("--{name}= needs a value")));
        }
        Ok(Kind::Option(name, Some(value)))
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_hex(digits: &str) -> bool {
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn word_len(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}

/// A digit, or one behind a sign or a point.
fn starts_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '.']).unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit())
}

/// The length of `.` and the digits behind it, or zero.
fn fraction_len(text: &str) -> usize {
    let Some(digits) = text.strip_prefix('.') else { return 0 };
    match digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len()) {
        0 => 0,
        len => len + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(source: &str) -> Vec<Kind> {
        tokens(source, 1).unwrap().into_iter().map(|token| token.kind).collect()
    }

    fn int(text: &str) -> Kind {
        Kind::Int(text.to_owned())
    }

    fn decimal(text: &str) -> Kind {
        Kind::Decimal(text.to_owned())
    }

    fn name(text: &str) -> Kind {
        Kind::Name(text.to_owned())
    }

    fn fails(source: &str, line: u32, reason: &str) {
        assert_eq!(tokens(source, 1).unwrap_err(), ParseError::new(line, reason), "{source}");
    }

    #[test]
    fn a_point_belongs_to_a_number_only_before_a_digit() {
        assert_eq!(kinds("0...0.2"), [int("0"), Kind::Ellipsis, decimal("0.2")]);
        assert_eq!(kinds(".1 0.25 S. P.5 . 1."), {
            let point = Kind::Sign('.');
            let (s, p) = (name("S"), name("P"));
            [
                decimal(".1"),
                decimal("0.25"),
                s,
                point.clone(),
                p,
                decimal(".5"),
                point.clone(),
                int("1"),
                point,
            ]
        });
        assert_eq!(kinds("+0....2"), [Kind::Sign('+'), int("0"), Kind::Ellipsis, decimal(".2")]);
    }

    #[test]
    fn integers_hex_and_names_that_begin_with_digits() {
        assert_eq!(kinds("-1 007 0x1F 12ab 0xg"), {
            [int("-1"), int("007"), Kind::Hex("0x1F".to_owned()), name("12ab"), name("0xg")]
        });
        assert_eq!(kinds("- 1"), [Kind::Sign('-'), int("1")]);
        fails("-0.5", 1, "malformed number -0.5");
        fails("\n1.5x", 2, "malformed number 1.5x");
        fails("-12ab", 1, "malformed number -12ab");
    }

    #[test]
    fn comments_separate_and_count_lines() {
        let found = tokens("a/* x\n * y */b // c\n// d\ne//", 1).unwrap();
        let expected = [(1, "a"), (2, "b"), (4, "e")];
        assert_eq!(found, expected.map(|(line, text)| Token { line, kind: name(text) }));
        fails("a\n/* b\n\n", 2, "comment does not end");
    }

    #[test]
    fn strings_commands_and_code_are_verbatim() {
        let found = tokens("\"a // b\"\n`sysctl -w x=1 // y\nls` %{ assert a < 1 # \"\n}% z", 1).unwrap();
        let kinds: Vec<Kind> = found.iter().map(|token| token.kind.clone()).collect();
        assert_eq!(kinds, {
            let command = Kind::Command("sysctl -w x=1 // y\nls".to_owned());
            let code = Kind::Code(" assert a < 1 # \"\n".to_owned());
            [Kind::Text("a // b".to_owned()), command, code, name("z")]
        });
        assert_eq!(found.iter().map(|token| token.line).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    #[test]
    fn what_does_not_end_is_told_where_it_starts() {
        fails("\n\"a", 2, "string does not end");
        fails("\n\"a\n\"", 2, "string does not end on its line");
        fails("\"a\\n\"", 1, "a string knows no backslash");
        fails("\n\n`a\n\n", 3, "command does not end");
        fails("0 %{ a }", 1, "code block does not end");
    }

    #[test]
    fn options_keep_their_value_as_written() {
        let option =
            |name: &str, value: Option<&str>| Kind::Option(name.to_owned(), value.map(str::to_owned));
        assert_eq!(
            kinds("--ip-version=ipv6 --verbose // x\n--local_ip = fd00::1/* y */--define=A=\"b c\" 0"),
            [
                option("ip_version", Some("ipv6")),
                option("verbose", None),
                option("local_ip", Some("fd00::1")),
                option("define", Some("A=\"b c\"")),
                int("0"),
            ]
        );
        fails("--mtu=\n", 2, "--mtu= needs a value");
        fails("--mtu=\"\n", 1, "string does not end");
    }

    #[test]
    fn other_characters_are_errors() {
        fails("\n#else", 2, "unexpected character '#'");
        fails("ä", 1, "unexpected character 'ä'");
        fails("%", 1, "unexpected character '%'");
        fails("\0", 1, "unexpected character '\\0'");
    }
}
