//! The rules, each a function from a file's facts to its violations, with the tables they hold: layers, budgets, allow lists.
//!
//! To change what the house allows, change a table here and say why in ARCHITECTURE.md.

use std::fmt;

use crate::facts::{Facts, Name, module_of};

/// The layers from the ground up. Modules of one row do not import each other; each row imports only rows above it here.
const LAYERS: [&[&str]; 10] = [
    &["base"],
    &["wire"],
    &["device"],
    &["ip"],
    &["icmp", "udp", "tcp"],
    &["stack"],
    &["driver"],
    &["scenario", "sim"],
    &["net"],
    &["apps"],
];
/// The layers up to this row are the sans-IO core.
const CORE_TOP: &str = "stack";
/// Files that join the layers, and so may import all of them.
const ABOVE_ALL_LAYERS: [&str; 3] = ["src/lib.rs", "src/main.rs", "src/cli/"];

const MAX_FILE_LINES: usize = 600;
const MAX_FUNCTION_LINES: usize = 80;

/// Where `unsafe` may stand: the device's system calls, and tests that take over a descriptor which tun-tap opened.
const UNSAFE_ALLOWED: [&str; 3] = ["src/device/", "tests/tun.rs", "tests/second_host/host.rs"];
/// Where a clock may be read. Benchmarks measure, so they may too.
const CLOCK_ALLOWED: [&str; 2] = ["src/driver/clock.rs", "benches/"];

/// What the core may not name, and the files of the core that may all the same. A name without `::` is any part of a path.
const OUTSIDE_WORLD: [(&str, &[&str]); 13] = [
    ("tokio", &[]),
    ("std::net::TcpListener", &[]),
    ("std::net::TcpStream", &[]),
    ("std::net::UdpSocket", &[]),
    ("std::fs", &["src/device/"]),
    ("std::thread", &[]),
    ("std::env", &[]),
    ("std::process", &[]),
    ("getrandom", &[]),
    // The pools are shared by shards; the in-memory pipe by its two ends.
    ("Mutex", &["src/base/pool.rs", "src/device/"]),
    ("RwLock", &[]),
    ("Condvar", &[]),
    ("println", &[]),
];

/// A broken rule, shown as `file:line: rule: what`.
pub(crate) struct Violation {
    path: String,
    line: usize,
    rule: &'static str,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.what)
    }
}

impl Violation {
    /// A file whose tokens cannot be read: no rule can vouch for it.
    pub(crate) fn unreadable(path: &str, message: String) -> Self {
        Violation { path: path.to_owned(), line: 1, rule: "readable", what: message }
    }
}

/// All rules over one Rust file.
pub(crate) fn check(facts: &Facts) -> Vec<Violation> {
    let rules = [
        imports_go_down,
        lengths,
        header,
        unsafe_in_device_only,
        clock_in_driver_only,
        core_is_sans_io,
        nothing_left_open,
    ];
    rules.iter().flat_map(|rule| rule(facts)).collect()
}

/// Scripts have the same length budget.
pub(crate) fn script_length(path: &str, text: &str) -> Option<Violation> {
    let lines = text.lines().count();
    let what = format!("{lines} lines, at most {MAX_FILE_LINES}");
    (lines > MAX_FILE_LINES).then(|| Violation {
        path: path.to_owned(),
        line: lines,
        rule: "file length",
        what,
    })
}

/// Imports go down only, and layers of one row stay apart.
fn imports_go_down(facts: &Facts) -> Vec<Violation> {
    const RULE: &str = "import order";
    if !facts.path.starts_with("src/") || starts_with_any(&facts.path, &ABOVE_ALL_LAYERS) {
        return Vec::new();
    }
    let home = module_of(&facts.path).first().cloned().unwrap_or_default();
    let Some(rank) = rank(&home) else {
        return vec![violation(facts, 1, RULE, format!("`{home}` is no layer: add it to LAYERS or move it"))];
    };
    let judge = |name: &Name| {
        let [root, target, ..] = name.segments.as_slice() else { return None };
        if !matches!(root.as_str(), "crate" | "tidegate") || *target == home || name.is_macro {
            return None;
        }
        let what = match self::rank(target) {
            Some(other) if other < rank => return None,
            Some(_) => format!("`{home}` may not import `{target}`"),
            None => format!("`{}` is no layer: name what you import by its layer", name.segments.join("::")),
        };
        Some(violation(facts, name.line, RULE, what))
    };
    facts.names.iter().filter_map(judge).collect()
}

fn lengths(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    if facts.lines > MAX_FILE_LINES {
        let what = format!("{} lines, at most {MAX_FILE_LINES}", facts.lines);
        found.push(violation(facts, facts.lines, "file length", what));
    }
    for function in facts.functions.iter().filter(|function| function.lines > MAX_FUNCTION_LINES) {
        let what = format!("`{}` has {} lines, at most {MAX_FUNCTION_LINES}", function.name, function.lines);
        found.push(violation(facts, function.line, "function length", what));
    }
    found
}

fn header(facts: &Facts) -> Vec<Violation> {
    let what = "the file does not start with `//!`: what it is for, which RFC, what it does not do";
    let missing = !facts.first_line.starts_with("//!");
    missing.then(|| violation(facts, 1, "header", what.to_owned())).into_iter().collect()
}

fn unsafe_in_device_only(facts: &Facts) -> Vec<Violation> {
    const RULE: &str = "unsafe";
    if starts_with_any(&facts.path, &UNSAFE_ALLOWED) {
        return Vec::new();
    }
    let what = || format!("`unsafe` stands only in {}", UNSAFE_ALLOWED.join(", "));
    let blocks = facts.names.iter().filter(|name| name.segments == ["unsafe"]).map(|name| name.line);
    let attributes = facts.attributes.iter().filter(|a| a.text.starts_with("unsafe")).map(|a| a.line);
    blocks.chain(attributes).map(|line| violation(facts, line, RULE, what())).collect()
}

/// Time is an argument; one file reads the clock.
fn clock_in_driver_only(facts: &Facts) -> Vec<Violation> {
    if starts_with_any(&facts.path, &CLOCK_ALLOWED) {
        return Vec::new();
    }
    let reads = |name: &&Name| match name.segments.as_slice() {
        [.., kind, call] => call == "now" && matches!(kind.as_str(), "Instant" | "SystemTime"),
        _ => false,
    } || name.segments.last().is_some_and(|last| last == "clock_gettime");
    let what =
        |name: &Name| format!("`{}` reads a clock; only {} may", name.segments.join("::"), CLOCK_ALLOWED[0]);
    let found = facts.names.iter().filter(reads);
    found.map(|name| violation(facts, name.line, "clock", what(name))).collect()
}

/// The core names no runtime, socket, file, thread, environment or lock. Its unit tests may.
fn core_is_sans_io(facts: &Facts) -> Vec<Violation> {
    let home = module_of(&facts.path);
    let core_top = rank(CORE_TOP);
    if !home.first().is_some_and(|layer| rank(layer).is_some() && rank(layer) <= core_top) {
        return Vec::new();
    }
    let judge = |name: &Name| {
        let (banned, _) = OUTSIDE_WORLD.iter().find(|(banned, allowed)| {
            is_named(banned, &name.segments) && !starts_with_any(&facts.path, allowed)
        })?;
        (!name.in_test)
            .then(|| violation(facts, name.line, "sans-IO", format!("the core may not name `{banned}`")))
    };
    facts.names.iter().filter_map(judge).collect()
}

/// No work left open, and no test or example that only looks as if it ran.
fn nothing_left_open(facts: &Facts) -> Vec<Violation> {
    const RULE: &str = "nothing left open";
    let is_open = |name: &&Name| {
        name.is_macro && name.segments.last().is_some_and(|last| last == "todo" || last == "unimplemented")
    };
    let macros = facts
        .names
        .iter()
        .filter(is_open)
        .map(|name| violation(facts, name.line, RULE, format!("`{}!`", name.segments.join("::"))));
    let skips = |text: &str| {
        let dense = text.replace(' ', "");
        dense == "ignore"
            || dense.starts_with("ignore=")
            || (dense.starts_with("cfg_attr(") && dense.contains(",ignore"))
            || (dense.starts_with("doc=") && dense.contains("```ignore"))
    };
    let attributes = facts.attributes.iter().filter(|attribute| skips(&attribute.text)).map(|attribute| {
        violation(facts, attribute.line, RULE, "a test or example that is skipped".to_owned())
    });
    macros.chain(attributes).collect()
}

fn violation(facts: &Facts, line: usize, rule: &'static str, what: String) -> Violation {
    Violation { path: facts.path.clone(), line, rule, what }
}

fn rank(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&layer))
}

fn starts_with_any(path: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| path.starts_with(prefix))
}

/// Does a path name `banned`: begin with it when it has several parts or is a crate, contain it when it is a type?
fn is_named(banned: &str, segments: &[String]) -> bool {
    let parts: Vec<&str> = banned.split("::").collect();
    let is_type = parts.len() == 1 && banned.starts_with(char::is_uppercase);
    if is_type {
        return segments.iter().any(|segment| segment == banned);
    }
    // A lone word in an expression (`tokio`, `println`) is only a name of the outside when a path or a call follows.
    segments.len() >= parts.len() && parts.iter().zip(segments).all(|(part, segment)| part == segment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Source;

    /// What the rules say about a sample, as `line: rule` lines.
    fn judge(path: &str, text: &str) -> Vec<String> {
        let source = Source { path: path.to_owned(), text: format!("//! Sample.\n{text}") };
        let facts = Facts::read(&source).expect("a sample that can be read");
        check(&facts).iter().map(|v| format!("{}: {}", v.line, v.rule)).collect()
    }

    fn is_clean(path: &str, text: &str) {
        assert_eq!(judge(path, text), Vec::<String>::new(), "{text}");
    }

    #[test]
    fn an_import_upwards_is_found() {
        for upwards in [
            "use crate::tcp::Tcb;",
            "use crate::{base::Instant, stack};",
            "use crate::{base::{Instant, Seed}, tcp::{state::State}};",
            "fn f() { crate::udp::bind() }",
            "use super::net::TcpStream;",
            "fn f() { assert!(crate::apps::HTTP > 0) }",
            "mod inner { use super::super::driver; }",
        ] {
            assert_eq!(judge("src/ip/mod.rs", upwards), ["2: import order"], "{upwards}");
        }
    }

    #[test]
    fn transport_layers_do_not_import_each_other() {
        assert_eq!(judge("src/tcp/input.rs", "use crate::udp::Socket;"), ["2: import order"]);
        assert_eq!(judge("src/icmp/mod.rs", "\nuse crate::tcp::Tcb;"), ["3: import order"]);
    }

    #[test]
    fn a_module_without_a_layer_is_found() {
        assert_eq!(judge("src/util.rs", ""), ["1: import order"]);
        assert_eq!(judge("src/ip/mod.rs", "use crate::Shortcut;"), ["2: import order"]);
    }

    #[test]
    fn imports_downwards_are_clean() {
        is_clean(
            "src/tcp/input.rs",
            "use crate::{base::Instant, ip, wire::{self, Segment}};\nuse super::state::State;",
        );
        is_clean("src/tcp/input.rs", "mod tests { use super::*; use super::super::output; }");
        is_clean("src/cli/serve.rs", "use tidegate::{apps, base}; use crate::anything::Else;");
        is_clean("src/base/mod.rs", "pub(crate) mod time; /// [`crate::tcp`] comes later.\nstruct S;");
        is_clean("tests/echo.rs", "use tidegate::net::TcpStream;");
    }

    #[test]
    fn a_long_file_is_found() {
        let lines = |n: usize| "// line\n".repeat(n);
        is_clean("src/base/a.rs", &lines(599));
        assert_eq!(judge("src/base/a.rs", &lines(600)), ["601: file length"]);
        assert!(script_length("scripts/a.sh", &lines(601)).is_some());
        assert!(script_length("scripts/a.sh", &lines(600)).is_none());
    }

    #[test]
    fn a_long_function_is_found_also_inside_macros_and_impls() {
        let body = |n: usize| format!("fn f() {{\n{}}}", "let x = 1;\n".repeat(n));
        is_clean("src/base/a.rs", &body(78));
        assert_eq!(judge("src/base/a.rs", &body(79)), ["2: function length"]);
        assert_eq!(judge("src/base/a.rs", &format!("impl A {{ pub {} }}", body(79))), ["2: function length"]);
        assert_eq!(judge("tests/a.rs", &format!("proptest! {{ {} }}", body(79))), ["2: function length"]);
        is_clean("src/base/a.rs", "trait T { fn f(); fn g(call: fn(u8) -> u8); }");
    }

    #[test]
    fn a_file_without_header_is_found() {
        let source = Source { path: "src/base/a.rs".to_owned(), text: "use std::fmt;".to_owned() };
        let facts = Facts::read(&source).expect("readable");
        assert_eq!(check(&facts).iter().map(|v| v.rule).collect::<Vec<_>>(), ["header"]);
    }

    #[test]
    fn unsafe_outside_the_device_is_found() {
        let block = "fn f() {\nunsafe { g() } }";
        assert_eq!(judge("src/base/a.rs", block), ["3: unsafe"]);
        assert_eq!(judge("tests/a.rs", "unsafe impl Send for A {}"), ["2: unsafe"]);
        assert_eq!(judge("src/base/a.rs", "#[unsafe(no_mangle)]\nfn f() {}"), ["2: unsafe"]);
        is_clean("src/device/tun.rs", block);
        is_clean("src/base/a.rs", "// unsafe\nconst WORD: &str = \"unsafe\";");
    }

    #[test]
    fn a_clock_outside_the_driver_is_found() {
        for read in [
            "std::time::Instant::now()",
            "Instant::now()",
            "tokio::time::Instant::now()",
            "SystemTime::now()",
        ] {
            let text = format!("fn f() {{ {read} }}");
            assert_eq!(judge("src/net/a.rs", &text), ["2: clock"], "{read}");
            assert_eq!(judge("tests/a.rs", &text), ["2: clock"], "{read}");
            is_clean("src/driver/clock.rs", &text);
        }
        assert_eq!(
            judge("src/driver/a.rs", "use std::time::Instant;\nfn f() { Instant::now() }"),
            ["3: clock"]
        );
        is_clean("src/tcp/a.rs", "fn f(now: Instant) { self.now(now) }");
    }

    #[test]
    fn the_outside_world_in_the_core_is_found() {
        for outside in [
            "use tokio::sync::mpsc;",
            "use std::net::{IpAddr, UdpSocket};",
            "use std::{fs::File, fmt};",
            "fn f() { std::thread::spawn(g) }",
            "use std::sync::{Arc, Mutex};",
            "fn f() { std::env::var(\"SEED\") }",
            "fn f() { println!(\"here\") }",
        ] {
            assert_eq!(judge("src/stack/a.rs", outside), ["2: sans-IO"], "{outside}");
            is_clean("src/driver/a.rs", outside);
        }
        is_clean("src/ip/a.rs", "use std::net::IpAddr;\n#[cfg(test)]\nmod tests { use std::env; }");
        is_clean("src/ip/tests.rs", "use std::env;");
        assert_eq!(judge("src/ip/a.rs", "#[cfg(test)]\nmod tests {}\nuse std::env;"), ["4: sans-IO"]);
    }

    #[test]
    fn the_allow_list_holds_for_its_files_only() {
        let lock = "use std::sync::Mutex;";
        is_clean("src/base/pool.rs", lock);
        is_clean("src/device/pipe.rs", lock);
        assert_eq!(judge("src/base/rng.rs", lock), ["2: sans-IO"]);
    }

    #[test]
    fn work_left_open_and_skipped_tests_are_found() {
        for open in [
            "fn f() { todo!() }",
            "fn f() { std::unimplemented!(\"later\") }",
            "#[test] #[ignore] fn t() {}",
            "#[ignore = \"slow\"] fn t() {}",
            "#[cfg_attr(miri, ignore)] fn t() {}",
            "/// ```ignore\n/// f();\n/// ```\nfn f() {}",
        ] {
            assert_eq!(judge("src/base/a.rs", open), ["2: nothing left open"], "{open}");
        }
        is_clean("src/base/a.rs", "fn f() { let todo = 1; ignore(todo) }");
    }

    #[test]
    fn a_violation_names_file_line_and_rule() {
        let found = script_length("scripts/a.sh", &"#\n".repeat(601)).map(|v| v.to_string());
        assert_eq!(found.as_deref(), Some("scripts/a.sh:601: file length: 601 lines, at most 600"));
    }
}
