//! The files the architecture test reads: every Rust file and every script of the package, with its path from the root.
//!
//! Build output (`target`) and anything hidden is not part of the tree.

use std::fs;
use std::path::Path;

/// One file: its path from the package's root with `/` between the parts, and its text.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All Rust files, in a fixed order.
pub(crate) fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches", "examples", "fuzz"] {
        walk(folder, &mut found);
    }
    found.retain(|path| path.ends_with(".rs"));
    read_all(found)
}

/// All scripts, whatever their language.
pub(crate) fn scripts() -> Vec<Source> {
    let mut found = Vec::new();
    walk("scripts", &mut found);
    found.retain(|path| !path.ends_with(".pyc"));
    read_all(found)
}

fn read_all(mut paths: Vec<String>) -> Vec<Source> {
    paths.sort();
    let read = |path: String| Source { text: fs::read_to_string(root().join(&path)).expect(&path), path };
    paths.into_iter().map(read).collect()
}

/// Adds the files below `folder` to `found`; a folder that does not exist has none.
fn walk(folder: &str, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(root().join(folder)) else { return };
    for entry in entries {
        let entry = entry.expect("a readable folder");
        let name = entry.file_name().into_string().expect("a UTF-8 file name");
        let path = format!("{folder}/{name}");
        let kind = entry.file_type().expect("a file type");
        if kind.is_dir() && name != "target" && !name.starts_with('.') {
            walk(&path, found);
        } else if kind.is_file() {
            found.push(path);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
