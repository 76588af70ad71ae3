//! What the rules need to know about one Rust file, read from its tokens.
//!
//! Tokens, not a syntax tree: the inside of a macro call (`proptest!`, `select!`, `assert!`) counts like any other code, and
//! strings and comments never do. Paths are made absolute (`crate::…`) from `self`, `super` and nested `use` groups.

use std::str::FromStr;

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

use crate::tree::Source;

/// The facts of one file.
pub(crate) struct Facts {
    pub(crate) path: String,
    pub(crate) lines: usize,
    pub(crate) comment_lines: usize,
    /// The file's first line.
    pub(crate) first_line: String,
    pub(crate) functions: Vec<Function>,
    pub(crate) names: Vec<Name>,
    pub(crate) attributes: Vec<Attribute>,
}

/// A function with a body.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// From `fn` to the closing brace.
    pub(crate) lines: usize,
}

/// A path as the code names it: `crate` first when it is the package's own, else as written.
pub(crate) struct Name {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    /// Followed by `!`: a macro call.
    pub(crate) is_macro: bool,
    /// Stands in code that exists only under `cfg(test)`.
    pub(crate) in_test: bool,
}

/// An attribute's inside as text, doc comments included.
pub(crate) struct Attribute {
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl Facts {
    /// Reads a file; the error is the tokenizer's message.
    pub(crate) fn read(source: &Source) -> Result<Self, String> {
        let tokens = TokenStream::from_str(&source.text).map_err(|error| error.to_string())?;
        let is_comment = |line: &&str| line.trim_start().starts_with("//");
        let mut facts = Facts {
            path: source.path.clone(),
            lines: source.text.lines().count(),
            comment_lines: source.text.lines().filter(is_comment).count(),
            first_line: source.text.lines().next().unwrap_or_default().to_owned(),
            functions: Vec::new(),
            names: Vec::new(),
            attributes: Vec::new(),
        };
        let module = module_of(&source.path);
        let in_test = is_test_path(&source.path);
        Walk { facts: &mut facts, module, in_test }.tokens(&tokens.into_iter().collect::<Vec<_>>());
        Ok(facts)
    }
}

/// The module path of a file under `src/`: `src/ip/input.rs` is `ip::input`, `src/ip/mod.rs` is `ip`.
pub(crate) fn module_of(path: &str) -> Vec<String> {
    let Some(inside) = path.strip_prefix("src/").and_then(|rest| rest.strip_suffix(".rs")) else {
        return Vec::new();
    };
    let mut parts: Vec<String> = inside.split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// A file that is a test module of its own (`src/tcp/tests.rs`, `src/tcp/tests/close.rs`), or outside `src/`.
fn is_test_path(path: &str) -> bool {
    let is_tests = |part: &str| part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs");
    !path.starts_with("src/") || path.split('/').any(is_tests)
}

/// The walk through one group of tokens, with the module it stands in.
struct Walk<'a> {
    facts: &'a mut Facts,
    module: Vec<String>,
    in_test: bool,
}

impl Walk<'_> {
    fn tokens(&mut self, tokens: &[TokenTree]) {
        let mut at = 0;
        let mut test_item = false;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    if let Some((group, after)) = attribute(tokens, at) {
                        test_item |= self.attribute(group);
                        at = after;
                        continue;
                    }
                }
                TokenTree::Ident(word) if word == "mod" => {
                    if let Some((name, body)) = inline_module(tokens, at) {
                        self.inside(body, Some(name), test_item);
                        test_item = false;
                        at += 3;
                        continue;
                    }
                }
                TokenTree::Ident(word) => {
                    if word == "fn" {
                        self.function(tokens, at);
                    }
                    at = self.path(tokens, at, &[], test_item);
                    continue;
                }
                TokenTree::Group(group) => {
                    self.inside(group, None, test_item);
                    // The braces are the item's body: what follows them is another item.
                    test_item &= group.delimiter() != Delimiter::Brace;
                }
                TokenTree::Punct(punct) if punct.as_char() == ';' => test_item = false,
                _ => {}
            }
            at += 1;
        }
    }

    fn inside(&mut self, group: &Group, module: Option<String>, test_item: bool) {
        let mut path = self.module.clone();
        path.extend(module);
        let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
        Walk { facts: self.facts, module: path, in_test: self.in_test || test_item }.tokens(&tokens);
    }

    /// Notes an attribute; true when it makes its item exist in tests only.
    fn attribute(&mut self, group: &Group) -> bool {
        let text = group.stream().to_string();
        let is_test = text == "test" || text.replace(' ', "").starts_with("cfg(test");
        self.facts.attributes.push(Attribute { text, line: group.span_open().start().line });
        is_test
    }

    /// Notes the function whose `fn` stands at `at`, when it has a name and a body.
    fn function(&mut self, tokens: &[TokenTree], at: usize) {
        let Some(TokenTree::Ident(name)) = tokens.get(at + 1) else { return };
        for token in &tokens[at + 2..] {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ';' => return,
                TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => {
                    let line = tokens[at].span().start().line;
                    let lines = body.span_close().end().line + 1 - line;
                    self.facts.functions.push(Function { name: name.to_string(), line, lines });
                    return;
                }
                _ => {}
            }
        }
    }

    /// Notes the path that begins at `at`, below `prefix`; returns the place after it.
    fn path(&mut self, tokens: &[TokenTree], at: usize, prefix: &[String], test_item: bool) -> usize {
        let mut segments = prefix.to_vec();
        let line = tokens[at].span().start().line;
        let mut next = at;
        loop {
            match tokens.get(next) {
                Some(TokenTree::Ident(word)) => segments.push(word.to_string()),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace && next > at => {
                    self.use_group(group, &segments, test_item);
                    return next + 1;
                }
                _ => break,
            }
            next += 1;
            if !is_path_separator(tokens, next) {
                break;
            }
            next += 2;
        }
        let is_macro = matches!(tokens.get(next), Some(TokenTree::Punct(p)) if p.as_char() == '!');
        let segments = self.absolute(segments);
        self.facts.names.push(Name { segments, line, is_macro, in_test: self.in_test || test_item });
        next.max(at + 1)
    }

    /// The inside of `use prefix::{…}`.
    fn use_group(&mut self, group: &Group, prefix: &[String], test_item: bool) {
        let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at = match token {
                TokenTree::Ident(word) if word == "as" => at + 2,
                TokenTree::Ident(_) => self.path(&tokens, at, prefix, test_item),
                _ => at + 1,
            };
        }
    }

    /// `self::x` and `super::x` written from the package's root.
    fn absolute(&self, segments: Vec<String>) -> Vec<String> {
        let climbs = segments.iter().take_while(|s| matches!(s.as_str(), "self" | "super")).count();
        let ups = segments[..climbs].iter().filter(|s| *s == "super").count();
        if climbs == 0 || climbs == segments.len() || ups > self.module.len() {
            return segments;
        }
        let home = &self.module[..self.module.len() - ups];
        std::iter::once("crate".to_owned())
            .chain(home.iter().cloned())
            .chain(segments[climbs..].iter().cloned())
            .collect()
    }
}

/// The brackets of the attribute whose `#` stands at `at`, and the place after it.
fn attribute(tokens: &[TokenTree], at: usize) -> Option<(&Group, usize)> {
    let bang = matches!(tokens.get(at + 1), Some(TokenTree::Punct(p)) if p.as_char() == '!');
    let place = at + 1 + usize::from(bang);
    match tokens.get(place) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => Some((group, place + 1)),
        _ => None,
    }
}

/// `mod name { … }` at `at`.
fn inline_module(tokens: &[TokenTree], at: usize) -> Option<(String, &Group)> {
    match (tokens.get(at + 1), tokens.get(at + 2)) {
        (Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) => Some((name.to_string(), body)),
        _ => None,
    }
}

fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    let is_colon = |token: Option<&TokenTree>, spacing: Option<Spacing>| matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == ':' && spacing.is_none_or(|s| p.spacing() == s));
    is_colon(tokens.get(at), Some(Spacing::Joint)) && is_colon(tokens.get(at + 1), None)
}
