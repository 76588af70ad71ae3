//! What happens to a script before it is parsed: `#ifdef NAME` … `#endif` select lines, and `-D NAME=VALUE` names values.
//!
//! Dropped lines leave empty ones, so that line numbers hold. There is no `#else` and nothing else of a C preprocessor.

use std::collections::BTreeMap;

use super::error::ParseError;
use super::lexer::{self, Kind};
use super::script::Definition;

/// Names and the values that replace them.
pub type Definitions = BTreeMap<String, Definition>;

/// Directives of C that would be mistaken for comments of a code block, or dropped unseen.
const UNKNOWN: [&str; 4] = ["#else", "#elif", "#if", "#ifndef"];

/// The text without the lines that stand under an undefined name.
///
/// # Errors
/// On an `#endif` too many, one too few, and on directives other than the two.
pub fn select(source: &str, definitions: &Definitions) -> Result<String, ParseError> {
    let mut open: Vec<(u32, bool)> = Vec::new();
    let mut selected = String::with_capacity(source.len());
    for (line, text) in (1..).zip(source.split_inclusive('\n')) {
        let mut words = text.split_whitespace();
        let (first, second) = (words.next().unwrap_or(""), words.next());
        let mut keep = open.iter().all(|&(_, taken)| taken);
        match first {
            "#ifdef" => {
                let name = second.filter(|name| is_name(name));
                let name = name.ok_or_else(|| ParseError::new(line, "#ifdef needs a name"))?;
                check_rest(line, first, words.next())?;
                open.push((line, definitions.contains_key(name)));
                keep = false;
            }
            "#endif" => {
                check_rest(line, first, second)?;
                open.pop().ok_or_else(|| ParseError::new(line, "#endif without #ifdef"))?;
                keep = false;
            }
            other if UNKNOWN.contains(&other) => {
                return Err(ParseError::new(line, format!("{other} is not supported")));
            }
            _ => {}
        }
        selected.push_str(if keep {
            text
        } else if text.ends_with('\n') {
            "\n"
        } else {
            ""
        });
    }
    match open.pop() {
        Some((line, _)) => Err(ParseError::new(line, "#ifdef without #endif")),
        None => Ok(selected),
    }
}

/// Reads `NAME=VALUE` as `-D` and `--define` take it. A bare `NAME` has the value 1, as C compilers have it.
///
/// # Errors
/// When the name is none, or the value not one integer, bare word, `"string"` or `` `command` ``.
pub fn definition(text: &str) -> Result<(String, Definition), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, "1"));
    if !is_name(name) {
        return Err(format!("{name:?} is no name to define"));
    }
    let wrong = || format!("the value of {name} is not one integer, word, \"string\" or `command`");
    let tokens = lexer::tokens(value, 1).map_err(|_| wrong())?;
    let [token] = &tokens[..] else { return Err(wrong()) };
    let value = match &token.kind {
        Kind::Int(digits) => Definition::Int(digits.parse().map_err(|_| wrong())?),
        Kind::Hex(digits) => Definition::Int(i64::from_str_radix(&digits[2..], 16).map_err(|_| wrong())?),
        Kind::Name(word) => Definition::Word(word.clone()),
        Kind::Text(text) => Definition::Text(text.clone()),
        Kind::Command(text) => Definition::Command(text.clone()),
        _ => return Err(wrong()),
    };
    Ok((name.to_owned(), value))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Behind a directive only a comment may follow.
fn check_rest(line: u32, directive: &str, rest: Option<&str>) -> Result<(), ParseError> {
    match rest {
        Some(word) if !word.starts_with("//") => {
            Err(ParseError::new(line, format!("unexpected {word:?} behind {directive}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(names: &[&str]) -> Definitions {
        names.iter().map(|name| (name.to_string(), Definition::Int(1))).collect()
    }

    fn fails(source: &str, line: u32, reason: &str) {
        assert_eq!(select(source, &with(&["A"])).unwrap_err(), ParseError::new(line, reason));
    }

    #[test]
    fn lines_under_an_undefined_name_are_dropped_and_still_counted() {
        let source = "1\n#ifdef A // why\n3\n #ifdef B\n5\n#endif\n7\n#endif\n9";
        assert_eq!(select(source, &with(&["A", "B"])).unwrap(), "1\n\n3\n\n5\n\n7\n\n9");
        assert_eq!(select(source, &with(&["A"])).unwrap(), "1\n\n3\n\n\n\n7\n\n9");
        assert_eq!(select(source, &with(&["B"])).unwrap(), "1\n\n\n\n\n\n\n\n9");
    }

    #[test]
    fn unbalanced_and_unknown_directives_are_errors() {
        fails("1\n#ifdef A\n", 2, "#ifdef without #endif");
        fails("#ifdef B\n#ifdef A\n#endif", 1, "#ifdef without #endif");
        fails("1\n2\n#endif", 3, "#endif without #ifdef");
        fails("#ifdef\n#endif", 1, "#ifdef needs a name");
        fails("#ifdef A B\n#endif", 1, "unexpected \"B\" behind #ifdef");
        fails("#ifdef A\n#endif A", 2, "unexpected \"A\" behind #endif");
        fails("#ifdef B\n#else\n#endif", 2, "#else is not supported");
        fails("#ifndef B\n#endif", 1, "#ifndef is not supported");
    }

    #[test]
    fn definitions_are_numbers_words_strings_or_commands() {
        let value = |text| definition(text).unwrap().1;
        assert_eq!(definition("A_1=-5").unwrap(), ("A_1".to_owned(), Definition::Int(-5)));
        assert_eq!(value("A=0x10"), Definition::Int(16));
        assert_eq!(value("A=cubic"), Definition::Word("cubic".to_owned()));
        assert_eq!(value("A=\"a b\""), Definition::Text("a b".to_owned()));
        assert_eq!(value("A=`ls -l`"), Definition::Command("ls -l".to_owned()));
        assert_eq!(value("A"), Definition::Int(1));
        for wrong in ["", "=1", "A=", "A=a b", "A=0.5", "A=99999999999999999999", "A=\"", "A-B=1"] {
            assert!(definition(wrong).is_err(), "{wrong}");
        }
    }
}
