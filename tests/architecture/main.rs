//! The architecture test: what ARCHITECTURE.md promises about the shape of the code, held by reading the code.
//!
//! Import order, lengths of files and functions, headers, and the places where `unsafe`, a clock or the outside world may
//! be named. Each rule is a pure function from the facts of a source file to its violations (`rules`), and has a self-test on
//! a small bad sample, so that a rule which cannot fail is noticed. It does not resolve names as a compiler does: a type that
//! comes through a glob import is judged where it is imported, not where it is used.

mod facts;
mod rules;
mod tree;

use facts::Facts;
use rules::Violation;

/// The whole tree obeys all rules; each line of a failure names the place and the rule.
#[test]
fn the_tree_obeys_the_architecture() {
    let mut violations: Vec<Violation> = Vec::new();
    for source in tree::sources() {
        match Facts::read(&source) {
            Ok(facts) => violations.extend(rules::check(&facts)),
            Err(message) => violations.push(Violation::unreadable(&source.path, message)),
        }
    }
    for script in tree::scripts() {
        violations.extend(rules::script_length(&script.path, &script.text));
    }
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} violations:\n{}", lines.len(), lines.join("\n"));
}

/// The walk finds this very file and the library, so that an empty walk cannot pass for a clean tree.
#[test]
fn the_walk_sees_the_tree() {
    let paths: Vec<String> = tree::sources().into_iter().map(|source| source.path).collect();
    assert!(paths.contains(&"src/lib.rs".to_owned()), "{paths:?}");
    assert!(paths.contains(&"tests/architecture/main.rs".to_owned()), "{paths:?}");
    assert!(tree::scripts().iter().any(|script| script.path == "scripts/test"));
}

/// Prints the ten longest files and functions (`cargo test --test architecture -- --nocapture longest`).
#[test]
fn longest_files_and_functions() {
    let sources = tree::sources();
    let facts: Vec<Facts> = sources.iter().filter_map(|source| Facts::read(source).ok()).collect();
    let mut files: Vec<(usize, String)> = facts.iter().map(|f| (f.lines, f.path.clone())).collect();
    let mut functions: Vec<(usize, String)> = facts
        .iter()
        .flat_map(|f| f.functions.iter().map(|g| (g.lines, format!("{}:{} {}", f.path, g.line, g.name))))
        .collect();
    let total: usize = facts.iter().map(|f| f.lines).sum();
    let comments: usize = facts.iter().map(|f| f.comment_lines).sum();
    println!("{} files, {total} lines, {} % comments", facts.len(), comments * 100 / total.max(1));
    println!("{} functions, {} lines in the middle one", functions.len(), middle(&mut functions));
    print_longest("files", &mut files);
    print_longest("functions", &mut functions);
}

fn middle(functions: &mut [(usize, String)]) -> usize {
    functions.sort();
    functions.get(functions.len() / 2).map_or(0, |(lines, _)| *lines)
}

fn print_longest(what: &str, entries: &mut [(usize, String)]) {
    entries.sort_by(|a, b| b.cmp(a));
    println!("longest {what}:");
    for (lines, name) in entries.iter().take(10) {
        println!("{lines:6}  {name}");
    }
}
