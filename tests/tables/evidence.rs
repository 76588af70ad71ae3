//! The numbers that tests, scenarios and namespace cases carry in the comment above them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A test and the rows it shows.
pub(crate) struct Evidence {
    /// `src/tcp/tests/reset.rs::name`, `tests/scenarios/reset/name.pkt` or `scripts/net/cases/load.sh::case_name`.
    pub(crate) name: String,
    pub(crate) ids: BTreeSet<String>,
}

/// The names of those that carry `id`, sorted.
pub(crate) fn names_for(id: &str, evidence: &[Evidence]) -> Vec<String> {
    let mut names: Vec<String> =
        evidence.iter().filter(|item| item.ids.contains(id)).map(|item| item.name.clone()).collect();
    names.sort();
    names
}

/// Everything that carries a number.
pub(crate) fn collect() -> Vec<Evidence> {
    let mut found = Vec::new();
    for folder in ["src", "tests", "scripts/net/cases"] {
        walk(Path::new(env!("CARGO_MANIFEST_DIR")), folder, &mut found);
    }
    found.retain(|item| !item.ids.is_empty());
    found
}

fn walk(root: &Path, folder: &str, found: &mut Vec<Evidence>) {
    for entry in fs::read_dir(root.join(folder)).expect(folder) {
        let entry = entry.expect("a readable folder");
        let path = format!("{folder}/{}", entry.file_name().to_str().expect("a UTF-8 file name"));
        if entry.file_type().expect("a file type").is_dir() {
            walk(root, &path, found);
            continue;
        }
        let read = || fs::read_to_string(root.join(&path)).expect("a readable file");
        match path.rsplit('.').next() {
            Some("rs") => found.extend(commented(&path, &read(), "///", test_name)),
            Some("sh") => found.extend(commented(&path, &read(), "#", case_name)),
            Some("pkt") => found.push(Evidence { ids: ids(&head(&read())), name: path }),
            _ => {}
        }
    }
}

/// Functions with a comment directly above them; attributes may stand between. What is `#[ignore]`d shows nothing.
fn commented(path: &str, text: &str, mark: &str, name: fn(&str, bool) -> Option<&str>) -> Vec<Evidence> {
    let (mut comment, mut is_test, mut ignored, mut found) = (String::new(), false, false, Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some(name) = name(line, is_test && !ignored) {
            found.push(Evidence { name: format!("{path}::{name}"), ids: ids(&comment) });
        }
        match line.strip_prefix(mark) {
            Some(words) if !line.starts_with("#[") => comment.extend([words, " "]),
            _ if line.starts_with("#[") => {
                is_test |= line.contains("test]") || line.contains("::test(");
                ignored |= line.starts_with("#[ignore");
            }
            _ => (comment, is_test, ignored) = (String::new(), false, false),
        }
    }
    found
}

fn test_name(line: &str, is_test: bool) -> Option<&str> {
    let rest = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
    is_test.then(|| rest.split(['(', '<']).next()).flatten()
}

fn case_name(line: &str, _: bool) -> Option<&str> {
    line.strip_suffix("() {").filter(|name| name.starts_with("case_"))
}

/// The comment a scenario begins with.
fn head(text: &str) -> String {
    let lines = text.lines().map(str::trim).take_while(|line| line.is_empty() || line.starts_with("//"));
    lines.map(|line| line.trim_start_matches('/')).collect::<Vec<_>>().join(" ")
}

/// The row numbers in a text; `MUST-30 to MUST-33` and `P7–P9` name those between as well.
fn ids(text: &str) -> BTreeSet<String> {
    let text = text.replace('–', " to ").replace("..", " to ");
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let mut found = BTreeSet::new();
    for (index, word) in words.iter().enumerate() {
        let Some((prefix, last)) = split(word) else { continue };
        let first = match index.checked_sub(2).map(|before| (words[before], words[index - 1])) {
            Some((before, "to")) => {
                split(before).filter(|&(other, _)| other == prefix).map_or(last, |(_, n)| n)
            }
            _ => last,
        };
        found.extend((first..=last).map(|number| format!("{prefix}{number}")));
    }
    found
}

/// `MUST-7` as `MUST-` and 7.
fn split(word: &str) -> Option<(&str, u32)> {
    let digits = word.find(|c: char| c.is_ascii_digit())?;
    let (prefix, number) = word.split_at(digits);
    Some((prefix, number.parse().ok()?))
        .filter(|(prefix, _)| ["MUST-", "SHLD-", "P", "T", "M"].contains(prefix))
}

/// Comments, attributes and names as the sources write them.
#[test]
fn numbers_are_read_from_comments() {
    let rust =
        "/// RFC 1 (MUST-30 to MUST-32, hostile cases P7–P8).\n#[test]\nfn a() {\n/// T1\nfn helper() {\n";
    let found = commented("x.rs", rust, "///", test_name);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].name, "x.rs::a");
    assert_eq!(found[0].ids.iter().collect::<Vec<_>>(), ["MUST-30", "MUST-31", "MUST-32", "P7", "P8"]);
    let shell = "# row T10\ncase_flood() {\n";
    assert_eq!(names_for("T10", &commented("x.sh", shell, "#", case_name)), ["x.sh::case_flood"]);
    assert_eq!(ids(&head("// SHLD-3\n// M4.\n0 < S 0:0(0)\n// T9")).len(), 2);
}

/// A test that does not run is no evidence, wherever its attribute stands; the next one is.
#[test]
fn an_ignored_test_is_no_evidence() {
    for attributes in ["#[test]\n#[ignore = \"slow\"]", "#[ignore]\n#[test]"] {
        let rust = format!("/// MUST-1\n{attributes}\nfn a() {{\n}}\n/// MUST-2\n#[test]\nfn b() {{\n");
        let found = commented("x.rs", &rust, "///", test_name);
        assert_eq!((names_for("MUST-1", &found), names_for("MUST-2", &found).len()), (Vec::new(), 1));
    }
}
